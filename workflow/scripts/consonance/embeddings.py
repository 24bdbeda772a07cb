"""The embeddings of a corpus put together from its shards: clip means, and sets of frames."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd

from consonance import frechet
from consonance.errors import DamagedFileError, InputError
from consonance.moments import MomentsReader, pool, unpack


def read_means(path: Path | str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reads a file of clip means.

    Returns:
        clip (n,) str, means (n, states, dim) float32, frames (n,) int64.

    Raises:
        InputError: the file is missing or cannot be read.
        DamagedFileError: its content is not what was written; every member has a checksum.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            return content["clip"], content["means"], content["frames"]
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror or error}). Run the workflow again, so that "
            "the embeddings of this shard are made."
        ) from error
    except Exception as error:  # zipfile, zlib and numpy each have their own
        raise DamagedFileError(path, error) from error


def load_means(paths: Sequence[Path | str]) -> tuple[np.ndarray, np.ndarray]:
    """Reads the clip means of all shards.

    Args:
        paths: one `.means.npz` per shard.

    Returns:
        clips: (n,) clip ids, in the order of the shards.
        means: (n, states, dim) float32.

    Raises:
        InputError: a clip is in two shards, or shards have different numbers of states or
            dimensions: they were not made in one run.
    """
    parts = [read_means(path)[:2] for path in paths]
    shapes = {means.shape[1:] for _, means in parts}
    if len(shapes) > 1:
        raise InputError(
            f"The shards {', '.join(str(path) for path in paths)} hold states of different shapes "
            f"({', '.join(str(shape) for shape in sorted(shapes))}); remove them and run again."
        )
    clips = np.concatenate([names for names, _ in parts])
    if len(set(clips.tolist())) != len(clips):
        raise InputError(
            f"A clip is in two of the shards {', '.join(str(path) for path in paths)}; remove them "
            "and run again."
        )
    return clips, np.concatenate([means for _, means in parts])


def clip_sets(
    paths: Sequence[Path | str], manifest: pd.DataFrame
) -> Iterator[tuple[int, dict[tuple[str, str], np.ndarray]]]:
    """Groups the clip means of all shards by domain and emotion, state by state.

    Args:
        paths: one `.means.npz` per shard.
        manifest: the kept clips.

    Yields:
        state, and (domain, emotion) to its clip means (n, dim) float64, in the manifest's order.
    """
    clips, means = load_means(paths)
    place = pd.Series(np.arange(len(clips)), index=clips)
    rows = {
        key: place[group["clip"]].to_numpy()
        for key, group in manifest.groupby(["domain", "emotion"], sort=True)
    }
    for state in range(means.shape[1]):
        yield state, {key: means[index, state].astype(np.float64) for key, index in rows.items()}


def fold_sets(
    paths: Sequence[Path | str],
) -> Iterator[tuple[int, dict[tuple[str, str], dict[int, frechet.Moments]]]]:
    """Puts the frames of all shards together by domain, emotion and actor fold, state by state.

    Args:
        paths: one `.moments.npz` per shard.

    Yields:
        state, and (domain, emotion) to fold to the moments of its frames. One state is held at a
        time.
    """
    with ExitStack() as stack:
        readers = [stack.enter_context(MomentsReader(path)) for path in paths]
        places = defaultdict(list)
        for reader in readers:
            for cell in reader.cells:
                places[cell].append(reader)
        for state in range(max(reader.states for reader in readers)):
            sets: dict[tuple[str, str], dict[int, frechet.Moments]] = defaultdict(dict)
            for cell, holders in places.items():
                whole = pool(reader.load(cell, state) for reader in holders)
                sets[cell.domain, cell.emotion][cell.fold] = frechet.Moments(
                    clips=sum(reader.clips(cell) for reader in holders),
                    count=whole.count,
                    mean=whole.mean,
                    scatter=unpack(whole.scatter, whole.dim),
                )
            yield state, dict(sets)


def frame_sets(
    paths: Sequence[Path | str],
) -> Iterator[tuple[int, dict[tuple[str, str], frechet.Moments]]]:
    """Pools the frames of all shards and actor folds by domain and emotion, state by state.

    Args:
        paths: one `.moments.npz` per shard.

    Yields:
        state, and (domain, emotion) to the moments of its frames. One state is held at a time.
    """
    for state, sets in fold_sets(paths):
        yield state, {key: frechet.pool(folds.values()) for key, folds in sets.items()}
