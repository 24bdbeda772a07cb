"""Which stage trains on what: runs, their training clips and the order in which they come.

A *run* is one stage of one direction and seed. Stage one trains on the source domain; stage two
starts from everything that stage one trained and trains on the target domain. What a stage takes
over: head, layer weights, gates, LoRA, adapters, at stage one's best epoch. What is reset:
the optimiser's moments and step count, and the record of the best epoch.

Direct training on a domain is stage one of the other direction. A run on a share of its domain's
training clips keeps all validation and test clips; stage two always starts from a stage one
that saw all of its clips. So `fraction` of a stage-one run is the share that direct training sees,
that of a stage-two run the share of the target's clips.

All draws depend on the seed and the names of what is drawn alone: the runs of different approaches
see the same clips in the same order, and so do direct training and stage two on a domain.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from consonance import arrangement
from consonance.adaptation.approaches import Approach
from consonance.adaptation.naming import WHOLE, directions
from consonance.arrangement import TEST, TRAIN, VALIDATION, Arranged
from consonance.errors import InputError
from consonance.splits import PARTS, generator


@dataclass(frozen=True, order=True)
class Run:
    """One stage of one direction, seed and share of the training clips.

    Attributes:
        direction: "source-to-target".
        stage: 1 or 2.
        fraction: share of the stage's training clips.
        seed: of split, start and order.
        source: the source domain.
        target: the target domain.
    """

    direction: str
    stage: int
    fraction: float
    seed: int
    source: str
    target: str

    @property
    def domain(self) -> str:
        """The domain that the stage trains on and is tested on."""
        return self.source if self.stage == 1 else self.target

    @property
    def name(self) -> str:
        """A name that is unique within an approach, fit for a file."""
        return f"{self.direction}.{self.stage}.{self.fraction:g}.{self.seed}"

    @property
    def start(self) -> "Run | None":
        """The run whose parameters this one starts from."""
        if self.stage == 1:
            return None
        return Run(self.direction, 1, WHOLE, self.seed, self.source, self.target)


@dataclass(frozen=True)
class Clips:
    """The clips of one run.

    Attributes:
        train: rows in the domain's `Arranged`, sorted.
        validation: likewise.
        test: likewise.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def plan(
    direction: str, approach: Approach, *, domains: Sequence[str], seeds: Sequence[int]
) -> list[Run]:
    """Lists the runs of an approach in a direction, every run after the one that it starts from.

    Args:
        direction: such as "speech-to-song".
        approach: its stages, its shares of the clips, and its seeds if it has its own.
        domains: the two domains.
        seeds: the experiment's seeds.

    Raises:
        InputError: the direction is not between two of the domains.
    """
    known = directions(domains)
    if direction not in known:
        raise InputError(
            f"The direction '{direction}' is unknown; with the domains {', '.join(domains)} there "
            f"is {', '.join(known) or 'none'}."
        )
    source, target = known[direction]
    return [
        Run(direction, stage, float(fraction), seed, source, target)
        for seed in seeds
        if approach.seeds is None or seed in approach.seeds
        for stage in approach.stages
        for fraction in sorted(approach.fractions, reverse=True)
    ]


def arrange(
    clips: Sequence[str],
    manifest: pd.DataFrame,
    splits: pd.DataFrame,
    *,
    domains: Sequence[str],
    labels: Sequence[str],
    scheme: str,
) -> dict[str, Arranged]:
    """Brings embeddings, manifest and splits of all domains into order and checks the stages.

    Args:
        clips: clip id of every row of the embeddings.
        manifest: the kept clips.
        splits: seed, domain, clip, part.
        domains: the domains.
        labels: the emotions in the order of the class numbers.
        scheme: "random" or "speaker".

    Returns:
        domain to its clips.

    Raises:
        InputError: as `arrangement.arrange`; a seed in which a stage has no clips of a part, or the
            stages have different label sets; a recording (or, under "speaker", a speaker) that is
            tested in one domain and trained on or validated with in the other.
    """
    found = {
        domain: arrangement.arrange(clips, manifest, splits, domain=domain, labels=labels)
        for domain in domains
    }
    problems = _label_problems(found, labels) + _leaks(manifest, splits, scheme)
    if problems:
        raise InputError(problems)
    return found


def fingerprint(arranged: Mapping[str, Arranged]) -> str:
    """Returns a SHA-256 over clips, emotions, seeds and parts of all domains."""
    digest = hashlib.sha256()
    for domain, own in arranged.items():
        content = [domain, own.clips, own.emotions.tolist(), list(own.seeds), own.parts.tolist()]
        digest.update(json.dumps(content).encode("utf-8"))
    return digest.hexdigest()


def clips_of(arranged: Arranged, run: Run) -> Clips:
    """Returns the clips of a run.

    The training clips of a share f are, of each emotion with n clips, the first max(1, round(f n))
    in an order drawn once per seed: a smaller share is contained in a larger one.
    """
    part = arranged.parts[list(arranged.seeds).index(run.seed)]
    train, validation, test = (np.flatnonzero(part == p) for p in (TRAIN, VALIDATION, TEST))
    if run.fraction < WHOLE:
        chosen = []
        for emotion in np.unique(arranged.emotions[train]):
            members = train[arranged.emotions[train] == emotion]
            rng = generator(run.seed, f"adaptation/share/{run.domain}/{emotion}")
            size = max(1, int(np.floor(run.fraction * len(members) + 0.5)))
            chosen.append(rng.permutation(members)[:size])
        train = np.sort(np.concatenate(chosen))
    return Clips(train, validation, test)


def order(clips: Clips, run: Run, epoch: int) -> np.ndarray:
    """Returns the training clips in the order of an epoch (from 1), the same in every approach."""
    rng = generator(run.seed, f"adaptation/order/{run.domain}/{epoch}")
    return rng.permutation(clips.train)


def initial(seed: int, name: str, shape: Sequence[int], *, bound: float) -> np.ndarray:
    """Draws a parameter uniformly from +-bound, float32; each name has its own stream."""
    rng = generator(seed, f"adaptation/initial/{name}")
    return rng.uniform(-bound, bound, size=tuple(shape)).astype(np.float32)


def initial_head(seed: int, *, n_classes: int, dim: int, scale: float) -> tuple[np.ndarray, ...]:
    """Returns the head's first weights (classes, dim) and biases (classes,).

    Both are uniform in +-scale / sqrt(dim), the same in every approach.
    """
    bound = scale / np.sqrt(dim)
    return (
        initial(seed, "head.weight", (n_classes, dim), bound=bound),
        initial(seed, "head.bias", (n_classes,), bound=bound),
    )


def _label_problems(found: Mapping[str, Arranged], labels: Sequence[str]) -> list[str]:
    """Returns a sentence for every seed whose stages lack parts or differ in their labels."""
    problems = []
    for domain, arranged in found.items():
        for seed, part in zip(arranged.seeds, arranged.parts, strict=True):
            problems += [
                f"With seed {seed} the {PARTS[number]} part of {domain} is empty; add clips."
                for number in (TRAIN, VALIDATION, TEST)
                if not (part == number).any()
            ]
    seen = {
        domain: {
            seed: {labels[e] for e in np.unique(arranged.emotions[part == TRAIN])}
            for seed, part in zip(arranged.seeds, arranged.parts, strict=True)
        }
        for domain, arranged in found.items()
    }
    for domain, by_seed in seen.items():
        for seed, present in by_seed.items():
            absent = [label for label in labels if label not in present]
            if absent:
                problems.append(
                    f"With seed {seed} no training clip of {domain} is {' or '.join(absent)}; both "
                    "stages need the same labels. Take the emotion out of experiment.emotions, "
                    "add recordings, or draw the splits again."
                )
    seeds = {domain: list(arranged.seeds) for domain, arranged in found.items()}
    if len({tuple(s) for s in seeds.values()}) > 1:
        problems.append(
            "The splits of the domains have different seeds "
            f"({'; '.join(f'{d}: {s}' for d, s in seeds.items())}); draw them again."
        )
    return problems


def _leaks(manifest: pd.DataFrame, splits: pd.DataFrame, scheme: str) -> list[str]:
    """Returns a sentence for every seed in which what is tested was trained or validated on."""
    known = manifest.set_index("clip")
    copies = known["duplicate_of"].where(known["duplicate_of"] != "", known.index.to_series())
    rules = {"recording": copies}
    if scheme == "speaker":
        rules["speaker"] = known["speaker"]
    problems = []
    for what, of in rules.items():
        names = splits["clip"].map(of)
        for seed, table in splits.assign(name=names).groupby("seed", sort=False):
            tested = table["part"] == "test"
            both = sorted(set(table["name"][tested]) & set(table["name"][~tested]))
            if both:
                problems.append(
                    f"With seed {seed} of the scheme '{scheme}' {len(both)} {what}s are tested "
                    f"and trained on or validated with, the first is '{both[0]}'; stage one would "
                    "give away the answers of stage two. Draw the splits again."
                )
    return problems
