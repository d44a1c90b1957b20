"""Results that show themselves: a few lines as `repr`, with a table below in a notebook; as data frames; and axes to draw on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


class Shown:
    """A result whose `repr` is its text, a few lines; in a notebook the rows of `_table`, headings first, stand below."""

    def __repr__(self) -> str:
        return str(self)

    def _table(self) -> Sequence[Sequence[Any]]:
        return ()

    def _repr_html_(self) -> str:
        rows = [
            "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in row)
            for tag, row in zip(["th", *["td"] * len(self._table())], self._table(), strict=False)
        ]
        table = "".join(f"<tr>{row}</tr>" for row in rows)
        return f"<pre>{escape(repr(self))}</pre>" + (f"<table>{table}</table>" if table else "")


def data_frame(content: Mapping[str, Any] | Sequence[Any], **options: Any) -> pd.DataFrame:
    """Return columns by name, or rows, as a data frame; options are pandas'. Raises ValueError if pandas is not installed."""
    check_installed("pandas")
    import pandas as pd

    return pd.DataFrame(content, **options)


def check_installed(*names: str) -> None:
    """Raise ValueError, with the command that installs them, unless these packages can be imported."""
    try:
        for name in names:
            __import__(name)
    except ImportError:
        raise ValueError(f"{' and '.join(names)} must be installed for this: pip install {' '.join(names)}") from None
