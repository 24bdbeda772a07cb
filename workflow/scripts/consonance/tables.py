"""Tidy tables: reading them without surprises, checking them, and showing them in prose."""

import math
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pandas as pd

from consonance.errors import InputError

TEXT_COLUMNS = frozenset(
    {
        "a",
        "alternative",
        "approach",
        "b",
        "band",
        "basis",
        "citation",
        "claim",
        "clip",
        "comparison",
        "content",
        "corpus",
        "correction",
        "design",
        "device",
        "direction",
        "domain",
        "domain_a",
        "domain_b",
        "duplicate_of",
        "effect",
        "emotion",
        "emotion_a",
        "emotion_b",
        "evidence",
        "excluded",
        "family",
        "feature",
        "file",
        "finding",
        "group",
        "id",
        "inside",
        "inside_split",
        "intensity",
        "kind",
        "label",
        "language",
        "layers",
        "level",
        "licence",
        "measure",
        "method",
        "metric",
        "misprint",
        "model",
        "models",
        "name",
        "note",
        "null",
        "our_layers",
        "our_model",
        "outcome",
        "paper_layers",
        "paper_source",
        "part",
        "path",
        "predicted",
        "probe",
        "property",
        "question",
        "reason",
        "relation",
        "remark",
        "repetition",
        "revision",
        "rule",
        "scheme",
        "section",
        "sex",
        "software",
        "source",
        "speaker",
        "statement",
        "statistic",
        "table",
        "text",
        "title",
        "training",
        "unit",
        "version",
        "why",
    }
)
"""Columns that hold text in every table of the project; all others hold numbers or truth values."""

EMPTY = "\N{EN DASH}"


def read(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Reads a tidy CSV: text stays text, an empty number is NaN.

    Unlike `pandas.read_csv` alone, a name such as "None" or "NA" in a text column is that name,
    an empty text is "" and not NaN, and a list of layers such as "5" is not turned into a number.

    Args:
        path: the CSV file.

    Returns:
        The table; the columns of `TEXT_COLUMNS` hold strings.

    Raises:
        InputError: if the file is empty.
    """
    try:
        names = list(pd.read_csv(path, nrows=0, dtype=str).columns)
    except pd.errors.EmptyDataError:
        raise InputError(f"The table {path} is empty; it must at least have a header.") from None
    text = [name for name in names if name in TEXT_COLUMNS]
    return pd.read_csv(
        path,
        dtype=dict.fromkeys(text, str),
        keep_default_na=False,
        na_values={name: [""] for name in names if name not in TEXT_COLUMNS},
    )


def read_all(paths: Sequence[str | os.PathLike[str]]) -> pd.DataFrame:
    """Reads several tidy CSV files of one kind into one table, in their order."""
    return pd.concat([read(path) for path in paths], ignore_index=True)


def require(frame: pd.DataFrame, columns: Collection[str], *, what: str) -> None:
    """Checks that a table can be used.

    Args:
        frame: the table.
        columns: the names that it must have.
        what: what needs them, to name in the message.

    Raises:
        InputError: naming every missing column, or saying that the table has no rows.
    """
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise InputError(
            f"The table for {what} lacks the column{'s' if len(missing) > 1 else ''} "
            f"{', '.join(missing)}; it has {', '.join(map(str, frame.columns)) or 'none'}. "
            "Make it anew with the function that its documentation names."
        )
    if frame.empty:
        raise InputError(f"The table for {what} has no rows, so there is nothing to show.")


@dataclass(frozen=True)
class Column:
    """How one column of a table is shown.

    Attributes:
        name: the column's name in the table.
        header: the words above it.
        digits: decimals of a number (after `scale`); None shows a number as it is.
        significant: significant digits instead of a fixed number of decimals.
        scale: what a number is multiplied by, 100 for per cent.
    """

    name: str
    header: str
    digits: int | None = None
    significant: int | None = None
    scale: float = 1.0

    def show(self, value: object) -> str:
        """Returns a value as text; an empty or missing value as an en dash."""
        if value is None or value is pd.NA or value == "":
            return EMPTY
        if isinstance(value, str):
            return value
        number = float(value)
        if math.isnan(number):
            return EMPTY
        number *= self.scale
        if self.significant is not None and math.isfinite(number):
            return f"{number:.{decimals(number, self.significant)}f}"
        if self.digits is not None:
            return f"{number:.{self.digits}f}"
        return str(int(number)) if number.is_integer() else str(number)

    @property
    def numeric(self) -> bool:
        """Whether the column is aligned as numbers."""
        return self.digits is not None or self.significant is not None


def decimals(number: float, significant: int) -> int:
    """Returns how many decimals show `number` with at least `significant` digits."""
    if number == 0:
        return 0
    return max(0, significant - 1 - math.floor(math.log10(abs(number))))


def markdown(frame: pd.DataFrame, columns: Sequence[Column]) -> str:
    """Returns the table in Markdown (GitHub's pipe table), ending in a line break."""
    lines = [
        [column.header for column in columns],
        ["---:" if column.numeric else ":---" for column in columns],
        *_cells(frame, columns),
    ]
    return "".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines
    )


def latex(
    frame: pd.DataFrame, columns: Sequence[Column], *, caption: str = "", label: str = ""
) -> str:
    """Returns the table as a LaTeX `table` that needs the package booktabs.

    Args:
        frame: the table.
        columns: what to show, in this order.
        caption: plain text; LaTeX's special characters are escaped.
        label: for `\\ref`, given to LaTeX as it is.
    """
    layout = "".join("r" if column.numeric else "l" for column in columns)
    lines = [r"\begin{table}", r"\centering"]
    if caption:
        lines.append(rf"\caption{{{escape(caption)}}}")
    if label:
        lines.append(rf"\label{{{label}}}")
    lines += [rf"\begin{{tabular}}{{{layout}}}", r"\toprule"]
    lines.append(" & ".join(escape(column.header) for column in columns) + r" \\")
    lines.append(r"\midrule")
    lines += [" & ".join(map(escape, cells)) + r" \\" for cells in _cells(frame, columns)]
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Returns plain text with LaTeX's special characters escaped."""
    return text.translate(_LATEX)


_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "$": r"\$",
        "&": r"\&",
        "%": r"\%",
        "#": r"\#",
        "_": r"\_",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        EMPTY: "--",
    }
)


def _cells(frame: pd.DataFrame, columns: Sequence[Column]) -> list[list[str]]:
    """Returns the shown text of every cell, row by row."""
    require(frame, [column.name for column in columns], what="a rendered table")
    return [
        [column.show(value) for column, value in zip(columns, row, strict=True)]
        for row in frame[[column.name for column in columns]].itertuples(index=False, name=None)
    ]
