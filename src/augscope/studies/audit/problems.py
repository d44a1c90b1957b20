"""What is wrong with the data, collected so that one message lists it all."""

from __future__ import annotations

SHOWN = 12  # examples of one kind; the rest is counted


class DataError(ValueError):
    """The data cannot be used; the message lists every problem, with file names."""


class Problems:
    """Problems by kind, in the order of their first examples.

    Args:
        source: the data, as messages call it.
        argument: what it was given as.
        use: what it must be fit for.
    """

    def __init__(self, source: str, argument: str = "data", use: str = "an audit") -> None:
        self.source, self.argument, self.use = source, argument, use
        self.examples: dict[str, list[str]] = {}

    def add(self, kind: str, example: str) -> None:
        """Note a file or a line that has a problem of a kind."""
        self.examples.setdefault(kind, []).append(example)

    def raise_if_any(self) -> None:
        """Raise `DataError` with all of them."""
        count = sum(map(len, self.examples.values()))
        if not count:
            return
        fit = f"`{self.argument}` must be fit for {self.use}"
        lines = [f"{fit}, got {self.source} with {count:,} problem{'s' if count > 1 else ''}:"]
        for kind, examples in self.examples.items():
            lines += [f"  {kind}:", *(f"    {example}" for example in examples[:SHOWN])]
            if len(examples) > SHOWN:
                lines.append(f"    … and {len(examples) - SHOWN:,} more")
        raise DataError("\n".join(lines))
