"""Corpora: adapters that turn a corpus's own layout into recordings with labels.

An adapter is a module with the functions of `Adapter`, entered in `ADAPTERS` under its name.
Nothing here decodes audio.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from consonance.corpora import ravdess, table
from consonance.corpora.recording import (
    DOMAIN_NOT_CHOSEN,
    EMOTION_NOT_CHOSEN,
    SPEAKER_INCOMPLETE,
    Recording,
    choice_exclusions,
    incomplete_speakers,
)
from consonance.errors import InputError

__all__ = [
    "ADAPTERS",
    "DOMAIN_NOT_CHOSEN",
    "EMOTION_NOT_CHOSEN",
    "SPEAKER_INCOMPLETE",
    "Adapter",
    "Recording",
    "check_release",
    "choice_exclusions",
    "expected_clips",
    "incomplete_speakers",
    "list_audio_files",
    "list_recordings",
]


class Adapter(Protocol):
    """What the module of an adapter offers."""

    def list_recordings(self, root: Path, *, domains: Sequence[str]) -> list[Recording]:
        """Returns every recording, sorted by clip, with a problem where there is one."""

    def labels(self, root: Path, *, domains: Sequence[str]) -> pd.DataFrame:
        """Returns columns domain, emotion, speaker, problem: the recordings' labels, fast."""

    def list_audio_files(self, root: Path) -> list[Path]:
        """Returns the recordings' files that exist, sorted, fast."""

    def is_there(self, root: Path, *, domains: Sequence[str]) -> bool:
        """Says whether the corpus can be listed yet, as far as `domains` go."""

    def check_full_release(
        self, manifest: pd.DataFrame, *, expect_full_release: bool
    ) -> dict[str, Any]:
        """Compares a manifest with the published release, if there is one."""


ADAPTERS: dict[str, Adapter] = {"ravdess": ravdess, "table": table}


def list_recordings(adapter: str, root: Path, *, domains: Sequence[str]) -> list[Recording]:
    """Lists the recordings of a corpus.

    Args:
        adapter: a name in `ADAPTERS`.
        root: where the corpus is: a folder, or the CSV file of the adapter `table`.
        domains: the domains that the experiment knows. A table that names another is refused;
            RAVDESS is listed whole, whatever is given.

    Returns:
        The recordings, sorted by clip, including those with a problem.

    Raises:
        InputError: the adapter is unknown, or the corpus as a whole cannot be read (a problem of
            single files is told by `Recording.problem` instead).
    """
    return _adapter(adapter).list_recordings(Path(root), domains=domains)


def expected_clips(
    adapter: str,
    root: Path,
    *,
    emotions: Sequence[str],
    domains: Sequence[str],
    speakers_in_all_domains: bool,
    planned: int | None = None,
) -> int:
    """Counts, without opening any audio, how many clips an experiment will have of a corpus.

    It is the number of recordings that are chosen by their labels and have no known problem, and
    so at least as large as the number that the manifest keeps.

    Args:
        adapter: a name in `ADAPTERS`.
        root: where the corpus is, or will be.
        emotions: the chosen ones.
        domains: the chosen ones.
        speakers_in_all_domains: whether speakers who lack a domain are left out.
        planned: the number to return while the corpus, or the part of it that holds `domains`, is
            not there yet.

    Raises:
        InputError: as `list_recordings`, if the corpus is there or `planned` is None.
    """
    module = _adapter(adapter)
    root = Path(root)
    if planned is not None and not module.is_there(root, domains=domains):
        return planned
    labels = module.labels(root, domains=domains)
    reasons = choice_exclusions(
        labels,
        emotions=emotions,
        domains=domains,
        speakers_in_all_domains=speakers_in_all_domains,
    )
    return int(((reasons == "") & (labels["problem"] == "")).sum())


def list_audio_files(adapter: str, root: Path) -> list[Path]:
    """Lists the files of a corpus that its manifest depends on.

    Args:
        adapter: a name in `ADAPTERS`.
        root: where the corpus is, or will be.

    Returns:
        Every recording's file that exists, with or without a problem, sorted. Empty if `root`
        does not exist.

    Raises:
        InputError: as `list_recordings`.
    """
    module = _adapter(adapter)
    root = Path(root)
    return module.list_audio_files(root) if root.exists() else []


def check_release(adapter: str, manifest: pd.DataFrame, *, expected: bool) -> dict[str, Any]:
    """Compares a manifest with the corpus as its authors published it.

    Args:
        adapter: a name in `ADAPTERS`.
        manifest: of the corpus.
        expected: whether the full release, and nothing else, must be there.

    Returns:
        A report, fit for JSON, whose `full_release` is a bool (for adapters without a release,
        false, and nothing else is in it).

    Raises:
        InputError: the full release is expected, and not there or not known.
    """
    return _adapter(adapter).check_full_release(manifest, expect_full_release=expected)


def _adapter(name: str) -> Adapter:
    if name not in ADAPTERS:
        raise InputError(
            f"There is no corpus adapter `{name}`; the adapters are {', '.join(sorted(ADAPTERS))}."
        )
    return ADAPTERS[name]
