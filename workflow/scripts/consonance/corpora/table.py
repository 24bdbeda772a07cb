"""Anybody's recordings: a CSV file with a row for each, saying where it is and what it is."""

import csv
import difflib
import os
import posixpath
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from consonance.corpora.recording import CLIP_ID, CLIP_ID_LENGTH, Recording, path_id, safe_id
from consonance.errors import InputError

REQUIRED = ("path", "emotion", "domain", "speaker")
OPTIONAL = ("clip", "intensity", "sex", "language", "statement", "repetition")
_FIRST_ROW = 2  # as spreadsheets count: the header is row 1


def list_recordings(root: Path, *, domains: Sequence[str]) -> list[Recording]:
    """Reads the recordings that a CSV file lists.

    The file is UTF-8 (with or without a byte-order mark), separated by commas, with a header. It
    must have the columns path, emotion, domain and speaker, and may have clip, intensity, sex,
    language, statement and repetition, in any order. Every value is text ("01" stays "01"); spaces
    around it are dropped; rows without any value are skipped. A path is absolute or relative to
    the folder of the CSV file. Whether it leads to a usable recording is not looked at here.

    A clip's id is the value of `clip`. Where that is empty or the column absent, it is the stem of
    the path, with every run of characters other than letters, digits, `.`, `_` and `-` replaced by
    `_`; unless another row would have the same id, when it is made of the whole path as written and
    a digest (`recording.path_id`). Ids that differ only in case count as the same, because some
    file systems cannot hold both.

    Args:
        root: the CSV file.
        domains: the domains that the experiment knows.

    Returns:
        The recordings, sorted by clip; none of them has a problem.

    Raises:
        InputError: naming at once every unknown or missing column, or, by their row numbers as a
            spreadsheet counts them (the header is row 1), all rows with too few or too many
            values, a line break in a value, a missing value, an unknown domain, an unusable or
            repeated id or a repeated path.
    """
    frame = _read(root, domains)
    named = [*REQUIRED[1:], *OPTIONAL]
    rows = frame.sort_values("clip")
    return [
        Recording(path=Path(file), **dict(zip(named, values, strict=True)))
        for file, *values in rows[["file", *named]].itertuples(index=False, name=None)
    ]


def labels(root: Path, *, domains: Sequence[str]) -> pd.DataFrame:
    """Returns columns domain, emotion, speaker and problem (empty) of every row."""
    frame = _read(root, domains)
    return frame[["domain", "emotion", "speaker"]].assign(problem="")


def list_audio_files(root: Path) -> list[Path]:
    """Returns the files of the table that exist, sorted.

    Only the table's form and its paths are looked at; what else may be wrong with it is told by
    `list_recordings`.
    """
    _, frame = _parse(root)
    wanted: defaultdict[str, list[str]] = defaultdict(list)
    for file in set(_files(root, frame["path"])):
        folder, name = os.path.split(file)
        wanted[folder].append(name)
    found = []
    for folder, names in wanted.items():
        # One listing per folder instead of one question per file: quicker on network file systems.
        try:
            with os.scandir(folder or ".") as entries:
                present = {entry.name for entry in entries if entry.is_file()}
        except OSError:
            continue
        found += [Path(folder, name) for name in names if name in present]
    return sorted(found)


def is_there(root: Path, *, domains: Sequence[str]) -> bool:
    """Says whether the CSV file exists."""
    return root.exists()


def check_full_release(manifest: pd.DataFrame, *, expect_full_release: bool) -> dict[str, Any]:
    """Returns that a table has no published release; that one is expected is an `InputError`."""
    if expect_full_release:
        raise InputError(
            "A corpus with the adapter `table` has no published release to be compared with; "
            "remove `expect_full_release` from it."
        )
    return {"full_release": False}


def _read(root: Path, domains: Sequence[str]) -> pd.DataFrame:
    """Returns the checked table: all known columns, and `file`, the path from here."""
    numbers, frame = _parse(root)
    if frame.empty:
        raise InputError(f"{root} lists no recordings; give it at least one row below the header.")
    for column in OPTIONAL:
        if column not in frame.columns:
            frame[column] = ""
    frame["file"] = _files(root, frame["path"])
    problems = []
    for column in REQUIRED:
        empty = numbers[(frame[column] == "").to_numpy()]
        if len(empty):
            problems.append(f"{root}: no {column} in {_rows(empty)}; fill it in.")
    unknown = ~frame["domain"].isin([*domains, ""])
    for domain, rows in _grouped(frame["domain"], unknown, numbers):
        problems.append(
            f"{root}: domain `{domain}` in {_rows(rows)} is not one of {', '.join(domains)}; "
            "correct it, or name your two domains in experiment.domains."
        )
    again = frame["file"].duplicated(keep=False) & (frame["path"] != "")
    for file, rows in _grouped(frame["file"], again, numbers):
        problems.append(f"{root}: {_rows(rows)} give the same file {file}; keep one of them.")
    given = frame["clip"] != ""
    unusable = given & ~frame["clip"].str.fullmatch(CLIP_ID.pattern)
    for clip, rows in _grouped(frame["clip"], unusable, numbers):
        problems.append(
            f"{root}: clip `{clip}` in {_rows(rows)} cannot name a file; use at most "
            f"{CLIP_ID_LENGTH} letters, digits, `.`, `_` and `-`."
        )
    frame["clip"] = _ids(frame)
    # Rows without a path or with a repeated one are named above already.
    ids = frame["clip"].str.lower()[given | ((frame["path"] != "") & ~again)]
    for clip, rows in _grouped(ids, ids.duplicated(keep=False), numbers):
        problems.append(
            f"{root}: {_rows(rows)} have the same clip id `{clip}` (upper and lower case count as "
            "the same); give each its own."
        )
    if problems:
        raise InputError(problems)
    return frame


def _parse(root: Path) -> tuple[pd.Index, pd.DataFrame]:
    """Returns the row numbers and the stripped values of a table with usable columns."""
    try:
        with open(root, encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            records = [[value.strip() for value in row] for row in reader]
    except OSError as error:
        raise InputError(f"The table {root} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"The table {root} is not UTF-8; save it as CSV in UTF-8.") from error
    except csv.Error as error:
        raise InputError(f"The table {root} is not a valid CSV file: {error}.") from error
    if not records:
        raise InputError(f"The table {root} is empty; give it a header with {', '.join(REQUIRED)}.")
    header = records[0]
    _check_header(root, header)
    numbered = [(n, row) for n, row in enumerate(records[1:], _FIRST_ROW) if any(row)]
    ragged = [n for n, row in numbered if len(row) != len(header)]
    if ragged:
        raise InputError(
            f"{root}: {_rows(ragged)} do not have {len(header)} values like the header; a value "
            'that holds a comma must stand in double quotes ("...").'
        )
    if reader.line_num > len(records):
        broken = [n for n, row in numbered if any("\n" in v or "\r" in v for v in row)]
        if broken:
            raise InputError(f"{root}: line break inside a value in {_rows(broken)}; remove it.")
    frame = pd.DataFrame([row for _, row in numbered], columns=header, dtype=str)
    return pd.Index([n for n, _ in numbered], dtype="int64"), frame


def _check_header(root: Path, header: list[str]) -> None:
    known = [*REQUIRED, *OPTIONAL]
    problems = []
    for column in sorted(set(header) - set(known)):
        near = difflib.get_close_matches(column.lower(), known, n=1)
        advice = f"did you mean `{near[0]}`? The known" if near else "the known"
        problems.append(
            f"{root} has an unknown column `{column}`; {advice} columns are "
            f"{', '.join(known)}: rename or remove it."
        )
    missing = [column for column in REQUIRED if column not in header]
    if missing:
        problems.append(
            f"{root} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; a "
            f"table needs {', '.join(REQUIRED)}, separated by commas."
        )
    for column, times in Counter(header).items():
        if times > 1 and column in known:
            problems.append(f"{root} has the column `{column}` {times} times; keep one of them.")
    if problems:
        raise InputError(problems)


def _files(root: Path, paths: Iterable[str]) -> list[str]:
    folder = os.path.dirname(root)  # noqa: PTH120 (Path is too slow for 100,000 rows)
    join, normal = os.path.join, os.path.normpath
    return [normal(join(folder, path)) for path in paths]


def _ids(frame: pd.DataFrame) -> list[str]:
    """Returns each row's id: the given one, else the path's stem if no other row claims it."""
    paths = frame["path"].tolist()
    given = frame["clip"].tolist()
    stems = [
        clip or safe_id(posixpath.splitext(path.rpartition("/")[2])[0])
        for clip, path in zip(given, paths, strict=True)
    ]
    claims = Counter(stem.lower() for stem in stems)
    return [
        stem if clip or (claims[stem.lower()] == 1 and CLIP_ID.fullmatch(stem)) else path_id(path)
        for clip, stem, path in zip(given, stems, paths, strict=True)
    ]


def _grouped(values: pd.Series, chosen: pd.Series, numbers: pd.Index) -> list[tuple[str, list]]:
    """Returns each chosen value with the numbers of its rows, in order of appearance."""
    rows: defaultdict[str, list[int]] = defaultdict(list)
    for position, value in values[chosen].items():
        rows[value].append(int(numbers[position]))
    return list(rows.items())


def _rows(numbers: Sequence[int] | pd.Index) -> str:
    """Returns row numbers in words: "row 4", "rows 2-5, 9"."""
    numbers = [int(number) for number in numbers]
    starts = [numbers[0], *(b for a, b in pairwise(numbers) if b != a + 1)]
    ends = [*(a for a, b in pairwise(numbers) if b != a + 1), numbers[-1]]
    text = ", ".join(f"{a}-{b}" if a != b else f"{a}" for a, b in zip(starts, ends, strict=True))
    return f"row {text}" if len(numbers) == 1 else f"rows {text}"
