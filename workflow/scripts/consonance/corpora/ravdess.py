"""The Ryerson Audio-Visual Database of Emotional Speech and Song, as released.

Livingstone & Russo (2018), PLoS ONE 13(5): e0196391, doi:10.1371/journal.pone.0196391; audio-only
files of Zenodo record 1188976. A file's name says everything:
modality-channel-emotion-intensity-statement-repetition-actor, two digits each.
"""

import itertools
import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from consonance.corpora.recording import Recording, path_id
from consonance.errors import InputError

logger = logging.getLogger(__name__)

# The folder that each archive of the release is unpacked into, and the channel of its files.
FOLDERS = {"Audio_Speech_Actors_01-24": "01", "Audio_Song_Actors_01-24": "02"}
DOMAINS = {"01": "speech", "02": "song"}
EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fearful",
    "07": "disgust",
    "08": "surprised",
}
INTENSITIES = {"01": "normal", "02": "strong"}
STATEMENTS = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}
REPETITIONS = {"01": "1", "02": "2"}
ACTORS = tuple(f"{number:02d}" for number in range(1, 25))
LANGUAGE = "en"
_AUDIO_ONLY = "03"
# What the release holds: song has no disgust and no surprise, neutral is never strong, and actor 18
# did not sing.
_SONG_EMOTIONS = ("01", "02", "03", "04", "05", "06")
_ACTORS_WITHOUT_SONG = ("18",)

_PARTS = ("modality", "channel", "emotion", "intensity", "statement", "repetition", "actor")
_NAME = re.compile(r"-".join(rf"(?P<{part}>\d\d)" for part in _PARTS))
_ACTOR_FOLDER = re.compile(r"Actor_(\d\d)")
_KNOWN = {
    "modality": (_AUDIO_ONLY,),
    "channel": tuple(DOMAINS),
    "emotion": tuple(EMOTIONS),
    "intensity": tuple(INTENSITIES),
    "statement": tuple(STATEMENTS),
    "repetition": tuple(REPETITIONS),
    "actor": ACTORS,
}

_READ_SUFFIXES = (".wav", ".flac")
# What lies beside recordings without being one. Anything else in the folders must be a recording.
_IGNORED_FOLDERS = ("__MACOSX",)
_IGNORED_NAMES = ("Thumbs.db", "desktop.ini", "README", "LICENSE", "LICENCE")
_IGNORED_SUFFIXES = (".txt", ".md", ".csv", ".json", ".pdf", ".html", ".zip")


def list_recordings(root: Path, *, domains: Sequence[str] = ()) -> list[Recording]:
    """Lists everything in the two folders of the release that is a recording or should be one.

    `root` holds `Audio_Speech_Actors_01-24` and `Audio_Song_Actors_01-24` (one of them is enough);
    nothing else in it is read. Each holds `Actor_NN` folders, possibly nested once more, with
    `.wav` or `.flac` files. Ignored are hidden files and folders (`.DS_Store`, `._*`), `__MACOSX`,
    `README`, `LICENSE`, `Thumbs.db`, `desktop.ini` and the suffixes of text, tables and archives
    (`.txt`, `.md`, `.csv`, `.json`, `.pdf`, `.html`, `.zip`). Every other file is a recording, with
    a problem if its suffix is not read, its name does not parse, it lies in the folder of another
    actor or channel than its name says, or another file has the same id.

    A clip's id is its file's stem. A file whose suffix is not read or whose name does not parse,
    and each of several files with the same stem, gets an id made of its path and a digest
    (`recording.path_id`) instead, so that ids are always unique. Labels are those of the name, also
    for a file in a wrong folder; where the name does not parse only the domain (of the folder) is
    known.

    Args:
        root: the folder that holds the release's folders.
        domains: not used; both domains are listed.

    Returns:
        The recordings, sorted by clip.

    Raises:
        InputError: `root` holds neither of the two folders, or a folder cannot be read.
    """
    recordings = [_recording(path, root, channel) for path, channel in _files(root)]
    stems = Counter(recording.clip for recording in recordings)
    recordings = [
        _one_of_several(recording, root) if stems[recording.clip] > 1 else recording
        for recording in recordings
    ]
    return sorted(recordings, key=lambda recording: recording.clip)


def labels(root: Path, *, domains: Sequence[str] = ()) -> pd.DataFrame:
    """Returns columns domain, emotion, speaker and problem of every recording."""
    columns = ["domain", "emotion", "speaker", "problem"]
    rows = [[getattr(r, column) for column in columns] for r in list_recordings(root)]
    return pd.DataFrame(rows, columns=columns, dtype=str)


def list_audio_files(root: Path) -> list[Path]:
    """Returns the file of every recording, with or without a problem, sorted."""
    return sorted(path for path, _ in _files(root))


def is_there(root: Path, *, domains: Sequence[str]) -> bool:
    """Says whether the folders of all `domains` that the release has are in `root`."""
    wanted = [name for name, channel in FOLDERS.items() if DOMAINS[channel] in domains]
    return root.is_dir() and all((root / name).is_dir() for name in wanted)


def release() -> list[str]:
    """Returns the ids of the full audio-only release: 1,440 of speech and 1,012 of song, sorted."""
    clips = []
    for channel, emotion, intensity, statement, repetition, actor in itertools.product(
        DOMAINS, EMOTIONS, INTENSITIES, STATEMENTS, REPETITIONS, ACTORS
    ):
        strong_neutral = EMOTIONS[emotion] == "neutral" and INTENSITIES[intensity] == "strong"
        unsung = DOMAINS[channel] == "song" and (
            emotion not in _SONG_EMOTIONS or actor in _ACTORS_WITHOUT_SONG
        )
        if not strong_neutral and not unsung:
            parts = (_AUDIO_ONLY, channel, emotion, intensity, statement, repetition, actor)
            clips.append("-".join(parts))
    return sorted(clips)


def check_full_release(manifest: pd.DataFrame, *, expect_full_release: bool) -> dict[str, Any]:
    """Compares a manifest's clips, kept or not, with the release, and counts them.

    Args:
        manifest: of this corpus, as `manifest.build` returns it.
        expect_full_release: whether anything but the full release is an error.

    Returns:
        `full_release` (bool), `missing` and `unexpected` (sorted ids), `found`, `common` and `kept`
        (each domain -> emotion -> clips): all clips; those of the six emotions and the speakers
        that both domains have, for the full release 92 neutral ones and 184 of every other emotion
        per domain; and those the manifest keeps. Fit for JSON.

    Raises:
        InputError: the full release is expected and clips are missing or unexpected.
    """
    full = set(release())
    rows = manifest[manifest["clip"].map(lambda clip: _NAME.fullmatch(clip) is not None)]
    missing = sorted(full - set(rows["clip"]))
    unexpected = sorted(set(rows["clip"]) - full)
    sides = [rows[rows["domain"] == domain] for domain in DOMAINS.values()]
    speakers = set.intersection(*(set(side["speaker"]) for side in sides))
    emotions = {EMOTIONS[code] for code in _SONG_EMOTIONS}
    common = rows[rows["speaker"].isin(speakers) & rows["emotion"].isin(emotions)]
    report = {
        "full_release": not missing and not unexpected,
        "missing": missing,
        "unexpected": unexpected,
        "found": _counts(rows),
        "common": _counts(common),
        "kept": _counts(rows[rows["excluded"] == ""]),
    }
    sizes = ", ".join(f"{len(side):,} of {side['domain'].iat[0]}" for side in sides if len(side))
    logger.info(
        "RAVDESS: %s found (%s of the release); %s with the emotions and speakers of both domains.",
        sizes or "no clips",
        "all" if report["full_release"] else "a part",
        f"{len(common):,}",
    )
    if expect_full_release and not report["full_release"]:
        problems = []
        for clips, what in ((missing, "lacks"), (unexpected, "has, beyond the release,")):
            if clips:
                some = ", ".join(clips[:5]) + (", ..." if len(clips) > 5 else "")
                problems.append(
                    f"RAVDESS was expected in full (1,440 of speech and 1,012 of song), but the "
                    f"manifest {what} {len(clips):,} clips ({some}); complete the recordings, or "
                    "set `expect_full_release: false` for this corpus to work with what is there."
                )
        raise InputError(problems)
    return report


def _files(root: Path) -> Iterator[tuple[Path, str]]:
    """Yields each file that is not ignored, with the channel of its folder."""
    tops = [(root / name, channel) for name, channel in FOLDERS.items() if (root / name).is_dir()]
    if not tops:
        state = "holds neither" if root.is_dir() else "is not a folder, so it cannot hold"
        raise InputError(
            f"{root} {state} {' nor '.join(FOLDERS)}; give the folder that holds them (each "
            "archive of the release belongs in a folder of its own, named like the archive)."
        )
    for top, channel in tops:
        for path in _walk(top):
            yield path, channel


def _walk(folder: Path) -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"The folder {folder} cannot be read: {error.strerror}.") from error
    for path in entries:
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if path.name not in _IGNORED_FOLDERS:
                yield from _walk(path)
        elif path.name not in _IGNORED_NAMES and path.suffix.lower() not in _IGNORED_SUFFIXES:
            yield path


def _recording(path: Path, root: Path, channel: str) -> Recording:
    relative = path.relative_to(root).as_posix()
    unparsed = Recording(clip=path_id(relative), domain=DOMAINS[channel], path=path)
    parts, problem = _parse(path.stem)
    if problem:
        return replace(unparsed, problem=problem)
    labelled = Recording(
        clip=path.stem,
        domain=DOMAINS[parts["channel"]],
        path=path,
        emotion=EMOTIONS[parts["emotion"]],
        intensity=INTENSITIES[parts["intensity"]],
        speaker=parts["actor"],
        sex="male" if int(parts["actor"]) % 2 else "female",
        language=LANGUAGE,
        statement=STATEMENTS[parts["statement"]],
        repetition=REPETITIONS[parts["repetition"]],
    )
    if path.suffix.lower() not in _READ_SUFFIXES:
        return replace(
            labelled,
            clip=unparsed.clip,
            problem=f"unread format: the suffix is `{path.suffix}`, only "
            f"{' and '.join(_READ_SUFFIXES)} files are read",
        )
    actor = _ACTOR_FOLDER.fullmatch(path.parent.name)
    if actor is None:
        problem = "wrong folder: it does not lie in a folder named Actor_NN"
    elif actor[1] != parts["actor"]:
        problem = f"wrong folder: its name says actor {parts['actor']}, its folder {actor[1]}"
    elif channel != parts["channel"]:
        problem = (
            f"wrong folder: its name says {DOMAINS[parts['channel']]}, its folder "
            f"{DOMAINS[channel]}"
        )
    return replace(labelled, problem=problem)


def _parse(stem: str) -> tuple[dict[str, str], str]:
    """Returns the seven parts of a name, and why they mean nothing (or an empty string)."""
    match = _NAME.fullmatch(stem)
    if match is None:
        return {}, (
            "name does not parse: it is not seven numbers of two digits with `-` between them "
            "(modality-channel-emotion-intensity-statement-repetition-actor)"
        )
    parts = match.groupdict()
    wrong = [
        f"{part} {parts[part]} is not one of {', '.join(known)}"
        if len(known) > 1
        else f"{part} {parts[part]} is not {known[0]} (audio only)"
        for part, known in _KNOWN.items()
        if parts[part] not in known
    ]
    return parts, "name does not parse: " + "; ".join(wrong) if wrong else ""


def _one_of_several(recording: Recording, root: Path) -> Recording:
    problem = f"several files for one clip: another file is named {recording.clip} too"
    if recording.problem:
        problem = f"{recording.problem}; {problem}"
    clip = path_id(recording.path.relative_to(root).as_posix())
    return replace(recording, clip=clip, problem=problem)


def _counts(rows: pd.DataFrame) -> dict[str, dict[str, int]]:
    sizes = rows.groupby(["domain", "emotion"]).size()
    counts: dict[str, dict[str, int]] = {domain: {} for domain in DOMAINS.values()}
    for (domain, emotion), size in sizes.items():
        counts[domain][emotion] = int(size)
    return counts
