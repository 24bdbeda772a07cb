"""The numbers that arXiv 2409.17899 prints, to set beside those of the workflow."""

import os

import pandas as pd

from consonance import tables
from consonance.errors import InputError

COLUMNS = (
    "id",
    "table",
    "domain",
    "model",
    "approach",
    "direction",
    "stage",
    "statistic",
    "layers",
    "value",
    "likely",
    "misprint",
    "source",
)


def read(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Reads the published numbers.

    Args:
        path: CSV with the columns of `COLUMNS`: id (unique), table (I, II or III), domain (speech
            for the paper's SER, song for its MER; in Table III the domain that the number was
            tested on), model, approach (probe, baseline, ws, peft), direction (speech-to-song or
            song-to-speech; Table III), stage (1 or 2; Table III), statistic (best, worst, mean,
            accuracy), layers ("4, 5": the layers in parentheses), value (per cent, as printed),
            likely (per cent: what was probably meant, for a misprint that can be explained),
            misprint (empty, or a sentence) and source (where in the paper).

    Returns:
        The table, one row per printed number, text without NaN.

    Raises:
        InputError: naming every column that is missing, id that is not unique, value outside
            0 to 100 and list of layers that cannot be read.
    """
    frame = tables.read(path)
    tables.require(frame, COLUMNS, what=f"published numbers ({path})")
    problems = [
        f"The id {name} occurs more than once in {path}; every printed number needs its own."
        for name in frame.loc[frame["id"].duplicated(), "id"].unique()
    ]
    for row in frame.itertuples():
        if not 0 <= row.value <= 100:
            problems.append(
                f"The value {row.value} of {row.id} in {path} is not a percentage; give 0 to 100."
            )
        try:
            layers(row.layers)
        except InputError as error:
            problems.append(f"{row.id} in {path}: {error}")
    if problems:
        raise InputError(problems)
    return frame[list(COLUMNS)]


def layers(text: str) -> tuple[int, ...]:
    """Returns the layers of a cell: "4, 5" gives (4, 5), "" gives ().

    Raises:
        InputError: if the text is anything else.
    """
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise InputError(
            f"'{text}' is not a list of layers; write whole numbers between commas."
        ) from None


def nearest(value: float, total: int, *, digits: int) -> tuple[int, float]:
    """Finds the count that an accuracy in per cent stands for.

    With n test clips an accuracy is 100 k / n for a whole number k. A printed value that differs
    from every such number after rounding cannot be a plain accuracy on those clips.

    Args:
        value: per cent, as printed.
        total: n, the number of test clips (for a mean over layers: clips times layers).
        digits: printed decimals.

    Returns:
        k and 100 k / n rounded to `digits`; the value lies on the grid if it equals the latter.
    """
    count = round(value * total / 100)
    return count, round(100 * count / total, digits)
