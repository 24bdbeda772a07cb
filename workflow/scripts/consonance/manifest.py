"""The manifest: one checked table per corpus, a row per clip, and how it is cut into shards.

Everything after the manifest is blind to the layout of the corpus. Its columns, their types and
their meaning are in `workflow/schemas/manifest.schema.yaml`.
"""

import math
import os

import numpy as np
import pandas as pd

from consonance import files
from consonance.errors import InputError

COLUMNS = (
    "clip",
    "corpus",
    "domain",
    "path",
    "emotion",
    "intensity",
    "speaker",
    "sex",
    "language",
    "statement",
    "repetition",
    "duration",
    "rate",
    "channels",
    "content",
    "duplicate_of",
    "note",
    "excluded",
)
INTEGER_COLUMNS = ("rate", "channels")
TEXT_COLUMNS = tuple(c for c in COLUMNS if c not in ("duration", *INTEGER_COLUMNS))


def check(frame: pd.DataFrame) -> pd.DataFrame:
    """Checks what every job relies on, and returns the manifest.

    The columns are those of the schema, no id occurs twice, text is never missing, and every kept
    clip has an emotion, a speaker, a positive duration, a rate, a number of channels and a content.
    What values may look like beyond that is checked once, when the manifest is made
    (`scanning.build`).

    Raises:
        InputError: naming everything that is wrong.
    """
    problems = [f"The manifest lacks the column {c}." for c in COLUMNS if c not in frame.columns]
    unknown = [str(column) for column in frame.columns if column not in COLUMNS]
    problems += [f"The manifest has an unknown column `{column}`." for column in unknown]
    if not problems:
        again = frame["clip"][frame["clip"].duplicated()].drop_duplicates()
        problems += [f"The manifest has more than one row for the clip {clip}." for clip in again]
        unusable = {column: frame[column].isna() for column in TEXT_COLUMNS}
        is_kept = frame["excluded"] == ""
        for column in ("emotion", "speaker", "content"):
            unusable[column] |= is_kept & (frame[column] == "")
        for column in ("duration", *INTEGER_COLUMNS):
            unusable[column] = is_kept & ~(frame[column] > 0).fillna(False).astype(bool)
        for column, rows in unusable.items():
            if rows.any():
                clips = frame["clip"][rows]
                problems.append(
                    f"The manifest lacks a usable {column} for {len(clips):,} clips (the first: "
                    f"{clips.iat[0]})."
                )
    if problems:
        problems[-1] += "\nDo not edit a manifest: correct the corpus or its table, and run again."
        raise InputError(problems)
    return frame


def write(frame: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Writes a manifest as CSV, after `check`; the same bytes for the same manifest."""
    files.write_csv(check(frame)[list(COLUMNS)], path)


def read_manifest(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Reads a manifest.

    Returns:
        The columns of the schema, in its order: text as strings (empty, never missing), duration
        as float64 (NaN if unknown), rate and channels as nullable integers.

    Raises:
        InputError: the file cannot be read or is not a manifest (`check`).
    """
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except OSError as error:
        raise InputError(f"The manifest {path} cannot be read: {error.strerror}.") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"The manifest {path} is not a valid CSV file: {error}.") from error
    try:
        if "duration" in frame.columns:
            # Python's float reads back exactly what was written.
            frame["duration"] = [float(text or "nan") for text in frame["duration"]]
        for column in set(INTEGER_COLUMNS) & set(frame.columns):
            values = [int(text) if text else pd.NA for text in frame[column]]
            frame[column] = pd.array(values, dtype="Int64")
    except ValueError as error:
        raise InputError(f"The manifest {path} has a wrong number: {error}.") from error
    try:
        return check(frame)[list(COLUMNS)]
    except InputError as error:
        raise InputError([f"{path}: {problem}" for problem in error.problems]) from None


def kept(frame: pd.DataFrame) -> pd.DataFrame:
    """Returns the clips that are not excluded, with a new index; rate and channels as int64."""
    rows = frame[frame["excluded"] == ""].reset_index(drop=True)
    return rows.astype(dict.fromkeys(INTEGER_COLUMNS, "int64"))


def exclusion_counts(frame: pd.DataFrame) -> pd.DataFrame:
    """Counts the excluded clips by reason.

    Returns:
        Columns corpus, domain, reason and clips, sorted. A reason is a choice of the experiment, or
        the kind of the first problem of a recording, without the explanation after its colon.
    """
    rows = frame[frame["excluded"] != ""]
    reasons = rows["excluded"].str.partition(":")[0] if len(rows) else rows["excluded"]
    counts = rows.assign(reason=reasons).groupby(["corpus", "domain", "reason"]).size()
    return counts.astype("int64").rename("clips").reset_index()


def counts(frame: pd.DataFrame) -> pd.DataFrame:
    """Counts the kept clips.

    Returns:
        Columns corpus, domain, emotion, clips and speakers (how many different ones), sorted.
    """
    cells = kept(frame).groupby(["corpus", "domain", "emotion"])
    return cells.agg(clips=("clip", "size"), speakers=("speaker", "nunique")).reset_index()


def number_of_shards(clips: int, clips_per_shard: int) -> int:
    """Returns how many shards `clips` clips are cut into: at least one, ceil(clips / size)."""
    if clips_per_shard < 1:
        raise ValueError(f"clips_per_shard must be at least 1, not {clips_per_shard}.")
    return max(1, math.ceil(clips / clips_per_shard))


def shard_rows(
    frame: pd.DataFrame,
    folds: pd.DataFrame,
    shard_index: int,
    clips_per_shard: int,
    *,
    planned_shards: int | None = None,
) -> pd.DataFrame:
    """Returns the clips of one shard.

    Kept clips are sorted by fold, domain, emotion and clip, and cut into runs of `clips_per_shard`,
    so that a shard meets few (domain, emotion, fold) cells.

    Args:
        frame: a manifest.
        folds: columns speaker (text) and fold.
        shard_index: from 0. A shard past the end is empty.
        clips_per_shard: the size of every shard but the last.
        planned_shards: how many shards the workflow has; None does not check that they are enough.

    Returns:
        The rows of `kept` with a column fold (int64), and a new index.

    Raises:
        InputError: a kept clip's speaker has no fold or several, or the clips need more shards than
            are planned.
    """
    rows = kept(frame)
    repeated = folds["speaker"][folds["speaker"].duplicated()]
    if len(repeated):
        raise InputError(f"The folds give speaker {repeated.iat[0]} more than one fold.")
    fold_of = dict(zip(folds["speaker"].astype(object), folds["fold"], strict=True))
    missing = sorted(set(rows["speaker"]) - set(fold_of))
    if missing:
        raise InputError(
            f"The folds lack the speaker{'s' if len(missing) > 1 else ''} {', '.join(missing)} of "
            "the manifest; make the folds anew from this manifest (speakers are text)."
        )
    needed = number_of_shards(len(rows), clips_per_shard)
    if planned_shards is not None and needed > planned_shards:
        raise InputError(
            f"The manifest keeps {len(rows):,} clips, which need {needed} shards of "
            f"{clips_per_shard:,}, but only {planned_shards} were planned; run the workflow again, "
            "now that the recordings are there to be counted."
        )
    rows["fold"] = np.array([fold_of[speaker] for speaker in rows["speaker"]], dtype="int64")
    rows = rows.sort_values(["fold", "domain", "emotion", "clip"], ignore_index=True)
    start = shard_index * clips_per_shard
    return rows.iloc[start : start + clips_per_shard].reset_index(drop=True)
