"""What an adapter says about one recording, and which recordings an experiment asks for."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

# A clip's id names files in the results: 200 characters leave room for a suffix and for a
# temporary name within the 255 bytes that file systems allow.
CLIP_ID_LENGTH = 200
CLIP_ID = re.compile(rf"[A-Za-z0-9._-]{{1,{CLIP_ID_LENGTH}}}")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_DIGEST_LENGTH = 8

# Reasons to leave a recording out that are choices of the experiment, not faults of a recording.
EMOTION_NOT_CHOSEN = "emotion not in experiment.emotions"
DOMAIN_NOT_CHOSEN = "domain not in experiment.domains"
SPEAKER_INCOMPLETE = "speaker without recordings in every domain"


@dataclass(frozen=True)
class Recording:
    """One file of a corpus, with what its name, folder or table says about it.

    Attributes:
        clip: id, unique in the corpus, of letters, digits, `.`, `_` and `-`.
        domain: for example speech or song.
        path: the audio file.
        emotion: the label, as the experiment writes it.
        intensity: of the emotion, for example normal or strong.
        speaker: id, always text ("01" stays "01").
        sex: of the speaker.
        language: spoken or sung.
        statement: the words.
        repetition: which take.
        problem: why the file cannot be used, as "kind: explanation"; empty if nothing is known
            against it. Labels that are unknown because of it are empty.
    """

    clip: str
    domain: str
    path: Path
    emotion: str = ""
    intensity: str = ""
    speaker: str = ""
    sex: str = ""
    language: str = ""
    statement: str = ""
    repetition: str = ""
    problem: str = ""


def safe_id(text: str) -> str:
    """Returns `text` with each run of characters that an id may not hold replaced by one `_`."""
    return _UNSAFE.sub("_", text)


def path_id(path: str) -> str:
    """Returns an id derived from a whole path, the same on every machine.

    The suffix is dropped, folders are joined by `-`, and eight hexadecimal digits of the SHA-256
    of the path as written follow, so that paths that become equal otherwise stay apart.

    Args:
        path: relative to the corpus, with `/` between folders.
    """
    digest = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:_DIGEST_LENGTH]
    folder, _, name = path.rpartition("/")
    stem = name.rpartition(".")[0] or name
    text = safe_id("-".join(part for part in [*folder.split("/"), stem] if part))
    return f"{text[-(CLIP_ID_LENGTH - _DIGEST_LENGTH - 1) :]}-{digest}"


def choice_exclusions(
    labels: pd.DataFrame,
    *,
    emotions: Sequence[str],
    domains: Sequence[str],
    speakers_in_all_domains: bool,
) -> pd.Series:
    """Says which recordings an experiment does not ask for, from labels alone.

    In this order: an emotion that is not chosen; a domain that is not chosen; and, if asked for, a
    speaker who has no recording in one of the domains among what the first two leave (recordings
    with a problem count as recordings here). A label that is empty because of a problem is
    unknown, and excludes nothing.

    Args:
        labels: columns domain, emotion and speaker.
        emotions: the chosen ones.
        domains: the chosen ones.
        speakers_in_all_domains: whether to leave out speakers who lack a domain.

    Returns:
        One of the three fixed reasons for each row, or an empty string.
    """
    reasons = pd.Series("", index=labels.index, dtype=str)
    reasons[~labels["domain"].isin(domains)] = DOMAIN_NOT_CHOSEN
    reasons[~labels["emotion"].isin([*emotions, ""])] = EMOTION_NOT_CHOSEN
    if speakers_in_all_domains:
        reasons[incomplete_speakers(labels[reasons == ""], domains)] = SPEAKER_INCOMPLETE
    return reasons


def incomplete_speakers(labels: pd.DataFrame, domains: Sequence[str]) -> pd.Index:
    """Returns the index of the rows whose speaker has no row in one of `domains`.

    Args:
        labels: columns domain and speaker; rows without a speaker are not looked at.
        domains: where a speaker must have rows; other domains do not count.
    """
    known = labels[labels["speaker"] != ""]
    pairs = known.loc[known["domain"].isin(domains), ["speaker", "domain"]].drop_duplicates()
    per_speaker = pairs["speaker"].value_counts()
    complete = per_speaker.index[per_speaker == len(set(domains))]
    return known.index[~known["speaker"].isin(complete)]
