"""What is wrong with the data, gathered and said all at once."""

from __future__ import annotations

from dataclasses import dataclass, field

SHOWN = 12  # examples of one kind; the rest is counted


class DataError(ValueError):
    """The data cannot be audited; the message lists every problem, with file names."""


@dataclass
class Problems:
    """Problems by kind, in the order found.

    Attributes:
        source: the data, as messages call it.
        found: for each kind the files or lines that have it.
    """

    source: str
    found: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, what: str) -> None:
        """Note one."""
        self.found.setdefault(kind, []).append(what)

    def raise_if_any(self) -> None:
        """Raise `DataError` with all of them."""
        if not self.found:
            return
        count = sum(map(len, self.found.values()))
        lines = [f"`data` must be fit for an audit, got {self.source} with {count:,} problem{'s' * (count > 1)}:"]
        for kind, places in self.found.items():
            lines.append(f"  {kind}:")
            lines += [f"    {place}" for place in places[:SHOWN]]
            lines += [f"    … and {len(places) - SHOWN:,} more"] * (len(places) > SHOWN)
        raise DataError("\n".join(lines))
