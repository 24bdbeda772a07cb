"""How the columns of tidy tables are headed and how their values are written for readers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from consonance import tables
from consonance.errors import InputError

Kind = Literal["text", "count", "number", "percent", "p", "truth"]

SIGNIFICANT = 3
"""Digits of a number without a kind of its own."""
SMALLEST_P = 0.001
"""p values below this are written as "< 0.001"."""

_WORDS = {
    "p": "p",
    "p_adjusted": "p (adjusted)",
    "p_holm": "p (Holm)",
    "fad": "FAD",
    "fad_relative": "FAD / tr(Sa + Sb)",
    "uar": "UAR",
    "low": "From",
    "high": "To",
    "clips_a": "Clips (a)",
    "clips_b": "Clips (b)",
    "max_rss_mb": "Peak memory (MB)",
    "seconds": "Time (s)",
    "longest_seconds": "Longest job (s)",
}
_P_NAMES = frozenset({"p", "p_adjusted", "p_holm", "smallest_p"})


@dataclass(frozen=True)
class Column:
    """One column as a reader sees it.

    Attributes:
        name: in the table.
        header: above it.
        kind: `text`; `count`, a whole number with separators of thousands; `number`, with
            `SIGNIFICANT` digits; `percent`, a fraction shown as per cent with one decimal; `p`; and
            `truth`, yes or no.
    """

    name: str
    header: str
    kind: Kind

    @property
    def numeric(self) -> bool:
        """Whether it is aligned and sorted as numbers."""
        return self.kind not in ("text", "truth")

    def show(self, value: object, labels: Mapping[str, str]) -> str:
        """Returns a value as text; a missing one as an en dash."""
        if value is None or value is pd.NA or value == "":
            return tables.EMPTY
        if isinstance(value, float) and math.isnan(value):
            return tables.EMPTY
        if self.kind == "truth":
            return "yes" if value else "no"
        if self.kind == "text" or isinstance(value, str):
            return labels.get(str(value), str(value))
        number = float(value)
        if math.isinf(number):
            return "\N{INFINITY}" if number > 0 else "\N{MINUS SIGN}\N{INFINITY}"
        if self.kind == "p" and number < SMALLEST_P:
            return f"< {SMALLEST_P:g}"
        if self.kind == "p":
            return f"{number:.3f}"
        if self.kind == "percent":
            return f"{100 * number:.1f}"
        if self.kind == "count":
            return f"{number:,.0f}"
        return f"{number:,.{tables.decimals(number, SIGNIFICANT)}f}"


def header(name: str) -> str:
    """Returns the words above a column: "best_epoch" becomes "Best epoch"."""
    words = name.replace("_", " ")
    return _WORDS.get(name, words[:1].upper() + words[1:])


def guess(frame: pd.DataFrame, *, percent: Sequence[str] = ()) -> list[Column]:
    """Returns a column for each of a table, its kind guessed from the name and the type.

    Args:
        frame: the table.
        percent: columns of fractions to be shown as per cent.
    """
    columns = []
    for name in map(str, frame.columns):
        if name in percent:
            columns.append(Column(name, f"{header(name)} (%)", "percent"))
        else:
            columns.append(Column(name, header(name), _kind(name, frame[name])))
    return columns


def empty(frame: pd.DataFrame) -> pd.Series:
    """Returns, for each column, whether none of its cells has a value."""
    return (frame.isna() | (frame == "")).all()


def text(
    frame: pd.DataFrame, columns: Sequence[Column], *, labels: Mapping[str, str]
) -> list[list[str]]:
    """Returns every cell as text, row by row.

    Raises:
        InputError: naming every column that the table lacks.
    """
    missing = [column.name for column in columns if column.name not in frame.columns]
    if missing:
        raise InputError(f"The table lacks the columns {', '.join(missing)}.")
    shown = [
        [column.show(value, labels) for value in frame[column.name].tolist()] for column in columns
    ]
    return [list(row) for row in zip(*shown, strict=True)]


def _kind(name: str, values: pd.Series) -> Kind:
    if pd.api.types.is_bool_dtype(values):
        return "truth"
    if name in _P_NAMES:
        return "p"
    if pd.api.types.is_integer_dtype(values):
        return "count"
    if not pd.api.types.is_numeric_dtype(values):
        return "text"
    present = values.dropna()
    whole = len(present) > 0 and (present % 1 == 0).all()
    return "count" if whole else "number"
