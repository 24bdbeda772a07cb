"""The clips of one domain in one order: where they are, their emotion, the part they are in."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from consonance.errors import InputError
from consonance.splits import PARTS

TRAIN, VALIDATION, TEST = range(len(PARTS))
UNUSED = -1
"""As a part: a clip that a seed leaves out; as a prediction: not a test clip."""


@dataclass(frozen=True)
class Arranged:
    """The clips of one domain, ready for training.

    Attributes:
        clips: clip ids, sorted.
        rows: (n,) int64, where each clip is in the means given.
        emotions: (n,) int64, index into the labels.
        seeds: the seeds of the splits.
        parts: (seeds, n) int8: 0 train, 1 validation, 2 test.
    """

    clips: list[str]
    rows: np.ndarray
    emotions: np.ndarray
    seeds: list[int]
    parts: np.ndarray


def arrange(
    clips: Sequence[str],
    manifest: pd.DataFrame,
    splits: pd.DataFrame,
    *,
    domain: str,
    labels: Sequence[str],
) -> Arranged:
    """Brings embeddings, manifest and splits of one domain into one order.

    Args:
        clips: the clip id of every row of the means, in any order and of any domains.
        manifest: columns clip, emotion at least.
        splits: columns seed, domain, clip, part.
        domain: whose clips to take.
        labels: the emotions in the order of the class numbers.

    Raises:
        InputError: the domain is not in the splits, or a clip of the splits is not in the
            embeddings or the manifest, or has an emotion that is not a label, or not one part in
            every seed.
    """
    table = splits[splits["domain"] == domain]
    if table.empty:
        raise InputError(f"The splits have no clip of the domain '{domain}'; draw them again.")
    problems = []
    wide = table.pivot_table(
        index="clip", columns="seed", values="part", aggfunc=list, sort=True
    ).map(lambda found: found[0] if isinstance(found, list) and len(found) == 1 else None)
    order = list(dict.fromkeys(table["seed"].tolist()))
    codes = wide[order].apply(lambda column: column.map(dict(zip(PARTS, range(3), strict=True))))
    names = wide.index.tolist()
    wrong = codes.index[codes.isna().any(axis=1)]
    if len(wrong):
        problems.append(
            f"{len(wrong)} clips of {domain} do not have exactly one part (one of "
            f"{', '.join(PARTS)}) in every seed of the splits, the first is '{wrong[0]}'; draw "
            "the splits again."
        )
    position = {clip: row for row, clip in enumerate(clips)}
    absent = [name for name in names if name not in position]
    if absent:
        problems.append(
            f"{len(absent)} clips of the splits of {domain} have no embedding, the first is "
            f"'{absent[0]}'; extract the embeddings again."
        )
    emotion = manifest.set_index("clip")["emotion"].reindex(names)
    unknown = emotion.index[~emotion.isin(list(labels))]
    if len(unknown):
        problems.append(
            f"{len(unknown)} clips of the splits of {domain} have an emotion other than "
            f"{', '.join(labels)} or none in the manifest, the first is '{unknown[0]}'; draw the "
            "splits again."
        )
    if problems:
        raise InputError(problems)
    number = {label: index for index, label in enumerate(labels)}
    return Arranged(
        clips=names,
        rows=np.array([position[name] for name in names], dtype=np.int64),
        emotions=emotion.map(number).to_numpy(dtype=np.int64),
        seeds=order,
        parts=np.ascontiguousarray(codes.to_numpy(dtype=np.int8).T),
    )
