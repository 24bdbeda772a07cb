"""Short texts made of headings, paragraphs, lists and tables, as Markdown and as one HTML file."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from consonance import tables
from consonance.reporting import columns as shown
from consonance.reporting.appearance import SCRIPT, STYLE
from consonance.reporting.columns import Column

# Few rows need no box to search them.
_ROWS_WITHOUT_FILTER = 12


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the document's title."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    """One paragraph of plain text; `notice` sets it off as a warning."""

    text: str
    notice: bool = False


@dataclass(frozen=True)
class Bullets:
    """A list of plain-text items."""

    items: Sequence[str]


@dataclass(frozen=True)
class Table:
    """A table with its columns; names in its text are replaced by `labels`."""

    frame: pd.DataFrame
    columns: Sequence[Column]
    labels: Mapping[str, str] = field(default_factory=dict)


Block = Heading | Paragraph | Bullets | Table


def markdown(blocks: Sequence[Block]) -> str:
    """Returns the document in GitHub's Markdown."""
    return "\n".join(_markdown(block) for block in blocks)


def page(blocks: Sequence[Block], *, title: str) -> str:
    """Returns the document as one HTML file that needs nothing else.

    Tables can be sorted by a click on a header and, if long, filtered; both need JavaScript, which
    is in the file. Everything can be read without it.

    Args:
        blocks: the document.
        title: of the browser's window.
    """
    body = "\n".join(_html(block) for block in blocks)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n"
    )


def table_page(
    frame: pd.DataFrame,
    *,
    title: str,
    columns: Sequence[Column] | None = None,
    percent: Sequence[str] = (),
    labels: Mapping[str, str],
    notice: str = "",
    note: str = "",
    most_rows: int,
) -> str:
    """Returns one table as an HTML file that needs nothing else.

    Args:
        frame: the table; without rows, a sentence says so.
        title: above it.
        columns: what to show; by default all columns that are not empty throughout, with kinds that
            are guessed.
        percent: columns of fractions to be shown as per cent, if `columns` is not given.
        labels: display names of models, domains and the like.
        notice: a warning above the table, such as that the data are synthetic.
        note: a sentence above the table.
        most_rows: a longer table is cut, and a sentence says so.
    """
    blocks: list[Block] = [Heading(title, level=1)]
    if notice:
        blocks.append(Paragraph(f"{notice}.", notice=True))
    if note:
        blocks.append(Paragraph(note))
    if frame.empty:
        blocks.append(Paragraph("This table has no rows."))
        return page(blocks, title=title)
    if len(frame) > most_rows:
        blocks.append(
            Paragraph(
                f"The first {most_rows:,} of {len(frame):,} rows are shown; the CSV file of the "
                "same name holds all of them."
            )
        )
    if columns is None:
        columns = shown.guess(frame.loc[:, ~shown.empty(frame)], percent=percent)
    blocks.append(Table(frame.head(most_rows), columns, labels))
    return page(blocks, title=title)


def _markdown(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {text}\n"
        case Paragraph(text, notice):
            return f"**{text}**\n" if notice else f"{text}\n"
        case Bullets(items):
            return "".join(f"- {item}\n" for item in items)
        case Table(frame, columns, labels):
            cells = shown.text(frame, columns, labels=labels)
            names = [str(index) for index in range(len(columns))]
            # The cells are text already; `digits` only tells that a column is numeric.
            heads = [
                tables.Column(name, column.header, digits=0 if column.numeric else None)
                for name, column in zip(names, columns, strict=True)
            ]
            return tables.markdown(pd.DataFrame(cells, columns=names, dtype=str), heads)


def _html(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"<h{level}>{html.escape(text)}</h{level}>"
        case Paragraph(text, notice):
            opening = '<p class="notice">' if notice else "<p>"
            return f"{opening}{html.escape(text)}</p>"
        case Bullets(items):
            return "<ul>" + "".join(f"<li>{html.escape(item)}</li>" for item in items) + "</ul>"
        case Table(frame, columns, labels):
            return _html_table(shown.text(frame, columns, labels=labels), columns)


def _html_table(cells: Sequence[Sequence[str]], columns: Sequence[Column]) -> str:
    align = [' class="n"' if column.numeric else "" for column in columns]
    heads = "".join(
        f'<th scope="col"{kind}><button type="button">{html.escape(column.header)}</button></th>'
        for column, kind in zip(columns, align, strict=True)
    )
    rows = "\n".join(
        "<tr>"
        + "".join(f"<td{kind}>{html.escape(cell)}" for cell, kind in zip(row, align, strict=True))
        for row in cells
    )
    search = ' data-filter="yes"' if len(cells) > _ROWS_WITHOUT_FILTER else ""
    return (
        f'<div class="table"{search}>\n<table>\n<thead><tr>{heads}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody>\n</table>\n</div>"
    )
