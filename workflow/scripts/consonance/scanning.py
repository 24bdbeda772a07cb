"""Scanning a corpus: every recording is opened once, and the manifest says what was found."""

import logging
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from jsonschema import Draft202012Validator

from consonance import audio, corpora, manifest
from consonance.errors import InputError

logger = logging.getLogger(__name__)

SCHEMA_PATH = Path(__file__).parents[2] / "schemas" / "manifest.schema.yaml"

# What equal recordings should have in common.
_LABELS = ("domain", "emotion", "speaker")
SPEAKER_INCOMPLETE_AFTER_BAD_AUDIO = "speaker without usable recordings in every domain"


def build(
    recordings: Sequence[corpora.Recording],
    *,
    corpus: str,
    emotions: Sequence[str],
    domains: Sequence[str],
    speakers_in_all_domains: bool,
    minimum_seconds: float,
    silence_peak: float,
    rate_range: Sequence[int],
    on_bad_audio: str,
    threads: int,
) -> pd.DataFrame:
    """Makes the manifest of a corpus.

    In this order: (1) what the experiment does not ask for is excluded by its labels
    (`corpora.choice_exclusions`: emotion, then domain, then speakers who lack a domain) and never
    opened; (2) every other recording is decoded and inspected (`audio.inspect`); (3) recordings
    with a problem of name or content stop the run or are excluded; (4) speakers who lack a domain
    because of (3) are excluded too, if whole speakers are asked for; (5) among the clips that are
    kept, equal contents are marked: `duplicate_of` names the first such clip, and `note` says so
    on each clip where their domain, emotion or speaker differ. The result does not depend on
    `threads`.

    Args:
        recordings: from `corpora.list_recordings`.
        corpus: name of the corpus.
        emotions: the experiment's.
        domains: the experiment's.
        speakers_in_all_domains: whether to leave out speakers who lack a domain.
        minimum_seconds: see `audio.inspect`.
        silence_peak: see `audio.inspect`.
        rate_range: see `audio.inspect`.
        on_bad_audio: `stop` or `exclude`.
        threads: how many recordings are decoded at once.

    Returns:
        All recordings, kept and excluded, sorted by clip, with the columns of the schema.

    Raises:
        InputError: naming every bad recording, if they are to stop the run; or ids occur twice, an
            emotion differs from a chosen one only in case, no clip is left, or a value does not
            fit the schema.
    """
    if on_bad_audio not in ("stop", "exclude"):
        raise InputError(f"on_bad_audio must be `stop` or `exclude`, not `{on_bad_audio}`.")
    recordings = sorted(recordings, key=lambda recording: recording.clip)
    frame = _rows(recordings, corpus)
    _check_labels(frame, emotions)
    frame["excluded"] = corpora.choice_exclusions(
        frame, emotions=emotions, domains=domains, speakers_in_all_domains=speakers_in_all_domains
    )

    named_badly = np.array([bool(recording.problem) for recording in recordings], dtype=bool)
    chosen = (frame["excluded"] == "").to_numpy()
    inspect = partial(
        audio.inspect,
        minimum_seconds=minimum_seconds,
        silence_peak=silence_peak,
        rate_range=rate_range,
    )
    opened = np.flatnonzero(chosen & ~named_badly)
    inspections = audio.in_threads(
        inspect,
        [recordings[row].path for row in opened],
        threads=threads,
        what=f"Inspecting {corpus}",
    )
    bad = {int(row): recordings[row].problem for row in np.flatnonzero(chosen & named_badly)}
    bad |= {
        int(row): "; ".join(inspection.problems)
        for row, inspection in zip(opened, inspections, strict=True)
        if inspection.problems
    }
    if bad and on_bad_audio == "stop":
        _stop(frame, bad)
    _fill(frame, opened, inspections)
    frame.loc[list(bad), "excluded"] = list(bad.values())
    if speakers_in_all_domains:
        lost = corpora.incomplete_speakers(frame[frame["excluded"] == ""], domains)
        frame.loc[lost, "excluded"] = SPEAKER_INCOMPLETE_AFTER_BAD_AUDIO
    _mark_duplicates(frame)
    _report(frame, corpus, emotions, domains)
    validate(frame)
    return frame


def validate(frame: pd.DataFrame) -> None:
    """Checks a manifest against `workflow/schemas/manifest.schema.yaml`, and as `manifest.check`.

    Each distinct value of a column is checked once, so that 100,000 clips take seconds; the outcome
    is that of the schema applied to every row.

    Raises:
        InputError: naming every column with a wrong value, and the first such value.
    """
    manifest.check(frame)
    schema = _schema()
    problems: list[str] = []
    for rows, rules in (
        (frame, schema["properties"]),
        (frame[frame["excluded"] == ""], schema["then"]["properties"]),
    ):
        for column, rule in rules.items():
            problems += _column_problems(rows, column, rule)
    if problems:
        raise InputError(problems)


def _rows(recordings: Sequence[corpora.Recording], corpus: str) -> pd.DataFrame:
    """Returns the manifest's rows with what is known before any file is opened."""
    columns: dict[str, Any] = dict.fromkeys(manifest.COLUMNS)
    for column in manifest.TEXT_COLUMNS:
        values = [str(getattr(recording, column, "")) for recording in recordings]
        columns[column] = pd.Series(values, dtype=str)
    columns["corpus"] = pd.Series([corpus] * len(recordings), dtype=str)
    columns["duration"] = pd.Series(math.nan, index=range(len(recordings)), dtype="float64")
    for column in manifest.INTEGER_COLUMNS:
        columns[column] = pd.Series(pd.NA, index=range(len(recordings)), dtype="Int64")
    return pd.DataFrame(columns)


def _check_labels(frame: pd.DataFrame, emotions: Sequence[str]) -> None:
    problems = [
        f"More than one recording has the id {clip}."
        for clip in frame["clip"][frame["clip"].duplicated()].drop_duplicates()
    ]
    chosen = {emotion.lower(): emotion for emotion in emotions}
    for emotion in sorted(set(frame["emotion"]) - set(emotions)):
        if emotion.lower() in chosen:
            problems.append(
                f"The corpus has the emotion `{emotion}`, and experiment.emotions has "
                f"`{chosen[emotion.lower()]}`; write it the same way in both."
            )
    if problems:
        raise InputError(problems)


def _stop(frame: pd.DataFrame, bad: dict[int, str]) -> None:
    problems = [f"{frame['path'].iat[row]}: {problem}." for row, problem in sorted(bad.items())]
    problems[-1] += (
        "\nMend or remove what is listed, or set experiment.on_bad_audio to `exclude` to go on "
        "without it."
    )
    raise InputError(problems)


def _fill(frame: pd.DataFrame, opened: np.ndarray, inspections: Sequence[audio.Inspection]) -> None:
    """Enters what the inspections found into their rows."""
    for column in ("duration", "content", "note"):
        frame.loc[opened, column] = [getattr(inspection, column) for inspection in inspections]
    for column in manifest.INTEGER_COLUMNS:
        values = [getattr(inspection, column) for inspection in inspections]
        frame.loc[opened, column] = pd.array(values, dtype="Int64")


def _mark_duplicates(frame: pd.DataFrame) -> None:
    rows = frame[frame["excluded"] == ""]
    again = rows[rows["content"].duplicated(keep=False)]
    groups: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in again.reset_index(names="row").to_dict("records"):
        groups[row["content"]].append(row)
    first: dict[int, str] = {}
    notes: dict[int, str] = {}
    for group in groups.values():
        first |= {row["row"]: group[0]["clip"] for row in group[1:]}
        differing = [label for label in _LABELS if len({row[label] for row in group}) > 1]
        if differing:
            for row in group:
                others = ", ".join(other["clip"] for other in group if other is not row)
                note = f"same content as {others}, but {' and '.join(differing)} differ"
                notes[row["row"]] = "; ".join(filter(None, [row["note"], note]))
    frame.loc[list(first), "duplicate_of"] = list(first.values())
    frame.loc[list(notes), "note"] = list(notes.values())
    if notes:
        row = next(iter(notes))
        logger.warning(
            "%s clips have the same content as another clip with other labels, for example %s: %s.",
            f"{len(notes):,}",
            frame["clip"].iat[row],
            notes[row],
        )


def _report(
    frame: pd.DataFrame, corpus: str, emotions: Sequence[str], domains: Sequence[str]
) -> None:
    """Logs what the manifest holds; raises `InputError` if it holds nothing."""
    reasons = manifest.exclusion_counts(frame).groupby("reason")["clips"].sum()
    told = "; ".join(f"{count:,} {reason}" for reason, count in reasons.items()) or "none excluded"
    rows = manifest.kept(frame)
    if rows.empty:
        raise InputError(
            f"The corpus {corpus} has {len(frame):,} recordings and none is kept ({told}). It has "
            f"the emotions {_names(frame['emotion'])} and the domains {_names(frame['domain'])}; "
            f"the experiment asks for {', '.join(emotions)} and {', '.join(domains)}."
        )
    cells = rows.groupby(["domain", "emotion"]).size()
    logger.info("%s: %s of %s clips kept (%s).", corpus, f"{len(rows):,}", f"{len(frame):,}", told)
    for domain in domains:
        counts = [(emotion, cells.get((domain, emotion), 0)) for emotion in emotions]
        logger.info("%s: %s", domain, ", ".join(f"{count:,} {name}" for name, count in counts))
        empty = [name for name, count in counts if not count]
        if empty:
            logger.warning("%s has no %s clip of %s.", corpus, domain, ", ".join(empty))
    mixed, copies = (rows["channels"] > 1).sum(), (rows["duplicate_of"] != "").sum()
    logger.info("Mixed down to one channel: %d. Exact duplicates: %d.", mixed, copies)


def _names(values: pd.Series) -> str:
    return ", ".join(sorted(set(values) - {""})) or "(none known)"


@cache
def _schema() -> dict[str, Any]:
    schema = yaml.safe_load(SCHEMA_PATH.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return schema


def _column_problems(rows: pd.DataFrame, column: str, rule: dict[str, Any]) -> Iterator[str]:
    """Yields one sentence if a column has values that the schema refuses."""
    validator = Draft202012Validator(rule)
    values = [None if pd.isna(value) else value for value in rows[column].unique().tolist()]
    wrong = [value for value in values if not validator.is_valid(value)]
    if wrong:
        message = next(validator.iter_errors(wrong[0])).message
        where = rows[column].isna() if wrong[0] is None else rows[column].isin([wrong[0]])
        clip = rows["clip"][where].iat[0]
        more = f"; {len(wrong) - 1:,} other values are wrong too" if len(wrong) > 1 else ""
        yield f"The manifest's column {column} is not valid (clip {clip}): {message}{more}."
