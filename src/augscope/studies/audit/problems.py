"""What is wrong with the data, collected so that one message lists it all."""

from __future__ import annotations

SHOWN = 12  # examples of one kind; the rest is counted


class DataError(ValueError):
    """The data cannot be audited; the message lists every problem, with file names."""


class Problems:
    """Problems by kind, in the order of their first examples. `source` is the data, as messages call it."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.examples: dict[str, list[str]] = {}

    def add(self, kind: str, example: str) -> None:
        """Note a file or a line that has a problem of a kind."""
        self.examples.setdefault(kind, []).append(example)

    def raise_if_any(self) -> None:
        """Raise `DataError` with all of them."""
        count = sum(map(len, self.examples.values()))
        if not count:
            return
        lines = [
            f"`data` must be fit for an audit, got {self.source} with {count:,} problem{'s' if count > 1 else ''}:"
        ]
        for kind, examples in self.examples.items():
            lines += [f"  {kind}:", *(f"    {example}" for example in examples[:SHOWN])]
            if len(examples) > SHOWN:
                lines.append(f"    … and {len(examples) - SHOWN:,} more")
        raise DataError("\n".join(lines))
