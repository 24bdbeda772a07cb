"""How alike an emotion's speech and song are, with what the number is worth.

The Fréchet audio distance of two finite sets is above zero even if they come from one population,
and the more so the fewer clips they have. Beside the plain value this module gives: the value at
equal numbers of clips, the floor between speakers of one domain, a permutation null, the
extrapolation to unlimited clips, intervals over speakers, and other measures with the same.

What each answers:

- *Label swap* (FAD, kernel distance): are the domains exchangeable? Within each speaker and
  emotion the domain labels are shuffled among the clips, so that speakers and numbers of clips stay
  as they are. A small p says that the domains differ. Value less null mean (`_corrected`) takes
  away what the value would be without a difference. It is not an unbiased distance: shuffled sets
  hold the difference of the domains as additional spread, so it takes away a little too much where
  they differ.
- *Pair shuffle* (alignment, cosine): does it matter which song clip belongs to which speech clip?
  Within each speaker and emotion the partners are shuffled, so that a voice's own similarity to
  itself is in the null, and what remains is statement, intensity and repetition. A small p says
  that true partners are more alike than others. Swapping labels within pairs would leave a cosine
  as it is and is no null for it.
- *Floor*: the distance between two halves of the speakers within one domain, at the same number of
  clips as the value beside it. Speech and song of *different* halves (`fad_halves`) is its fair
  counterpart; a value near the floor says that changing domain changes no more than changing
  voices.
- *Interval*: delete-a-group jackknife over speakers (or their folds). It covers the mean of the
  estimator over new speakers, at this number of clips, and thus includes the estimator's bias.
"""

import logging
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from threadpoolctl import threadpool_limits

from consonance import frechet
from consonance.errors import InputError
from consonance.gram import Clips

log = logging.getLogger(__name__)

SWAP = "labels swapped within speaker and emotion"
SHUFFLE = "pairs shuffled within speaker and emotion"

# Two values that differ by rounding only are a tie (relative).
_TIE = 1e-9
# Each half of the speakers must hold two voices, or it is one voice and not a sample of voices.
_SPEAKERS_FOR_HALVES = 4
# A quadratic in 1/n needs three sizes.
_SIZES_FOR_FIT = 3
# Permutations of the pooled set per round; time is looked at between rounds.
_ROUND = 8


@dataclass(frozen=True)
class Measure:
    """A row's kind.

    Attributes:
        label: what it is, in words.
        closer: larger means more alike (otherwise farther apart).
        null: how its null is made; empty if it has none.
    """

    label: str
    closer: bool
    null: str


MEASURES = {
    "fad": Measure("Fréchet distance of clip means", False, SWAP),
    "fad_relative": Measure("Fréchet distance / tr(S_a + S_b)", False, SWAP),
    "fad_corrected": Measure("Fréchet distance less its null mean", False, SWAP),
    "fad_relative_corrected": Measure(
        "Fréchet distance / tr(S_a + S_b), less its null mean", False, SWAP
    ),
    "fad_equal": Measure("Fréchet distance at equal numbers of clips", False, ""),
    "fad_halves": Measure("Fréchet distance between different speakers", False, ""),
    "fad_unlimited": Measure("Fréchet distance extrapolated to unlimited clips", False, ""),
    "kad": Measure("Kernel distance (unbiased MMD^2, scaled)", False, SWAP),
    "cka": Measure("Linear alignment of matched pairs (CKA)", True, SHUFFLE),
    "cka_debiased": Measure("Linear alignment of matched pairs (debiased CKA)", True, SHUFFLE),
    "cosine": Measure("Mean cosine of matched pairs", True, SHUFFLE),
    "cosine_centred": Measure("Mean cosine of matched pairs, domains centred", True, SHUFFLE),
}
FRAME_MEASURES = {
    "fad_frames": Measure("Fréchet distance of frames", False, ""),
    "fad_frames_relative": Measure("Fréchet distance of frames / tr(S_a + S_b)", False, ""),
}

COLUMNS = [
    *("measure", "emotion", "layer", "value", "lower", "upper", "floor"),
    *("null_mean", "null_low", "null_high", "p"),
    *("domain_a", "domain_b", "clips_a", "clips_b", "speakers", "groups", "permutations"),
    *("null", "reason"),
]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The choices behind the estimates; every one comes from the configuration.

    Attributes:
        permutations: relabellings of each null.
        draws: sub-samples averaged for the value at equal numbers, and per size for the
            extrapolation.
        pooled_draws: the same for the set of all emotions, where each costs more and varies less.
        splits: splits of the speakers into halves.
        fractions: shares of the clips at which the extrapolation measures, three or more, between
            0 and 1.
        level: confidence of intervals, and width of the null's quantiles.
        interval: `jackknife` or `bootstrap` (over speakers), for the measures of the whole sets;
            sub-sampling estimates always use the jackknife.
        bootstrap_draws: draws of the bootstrap.
        kernel_scale: factor of the kernel distance (100 in arXiv 2502.15602's toolkit).
        seed: of all draws. What is drawn for an emotion depends on nothing but the seed, the
            emotion and its clips; all layers and measures share it.
        pooled_permutations: relabellings of the Fréchet null of the set of all emotions, of which
            each costs far more than one of a single emotion; at most `permutations`.
    """

    permutations: int
    draws: int
    pooled_draws: int
    splits: int
    fractions: tuple[float, ...]
    level: float
    interval: str
    bootstrap_draws: int
    kernel_scale: float
    seed: int
    pooled_permutations: int

    def __post_init__(self) -> None:
        problems = []
        counts = ("permutations", "pooled_permutations", "draws", "pooled_draws", "splits")
        for name in (*counts, "bootstrap_draws"):
            if getattr(self, name) < 1:
                problems.append(f"similarity.{name} must be at least 1.")
        if not 0 < self.level < 1:
            problems.append("similarity.level must lie between 0 and 1.")
        if self.interval not in ("jackknife", "bootstrap"):
            problems.append("similarity.interval must be `jackknife` or `bootstrap`.")
        sizes = set(self.fractions)
        if len(sizes) < _SIZES_FOR_FIT or min(sizes) <= 0 or max(sizes) > 1:
            problems.append(
                "similarity.fractions must hold three or more different shares above 0, at most 1."
            )
        if problems:
            raise InputError(problems)


REPLICATE_COLUMNS = [*("measure", "emotion", "layer", "domain_a", "domain_b"), "replicate", "value"]


class Measured(NamedTuple):
    """What was measured, and how it changes without each group of speakers.

    Attributes:
        table: columns `COLUMNS`.
        replicates: columns `REPLICATE_COLUMNS`: each value with one group of speakers left out
            (numbered in their order), from which intervals of differences can be had.
    """

    table: pd.DataFrame
    replicates: pd.DataFrame


# Designs ------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Design:
    """Who and what the clips of two sets are; rows 0 to n_a - 1 are the first domain's.

    Attributes:
        n_a: clips of the first domain.
        speaker: (n,) number of each clip's speaker.
        stratum: (n,) number of each clip's speaker and emotion.
        group: (n,) number of the jackknife group that each clip's speaker is in.
        pairs: (m, 2) rows of matched clips.
        unpaired: why there are no pairs; empty if there are.
    """

    n_a: int
    speaker: np.ndarray
    stratum: np.ndarray
    group: np.ndarray
    pairs: np.ndarray
    unpaired: str = ""

    @property
    def whole(self) -> "Subset":
        """All clips and pairs."""
        rows = np.arange(len(self.speaker))
        return Subset(rows[: self.n_a], rows[self.n_a :], self.pairs)

    @property
    def is_b(self) -> np.ndarray:
        """(n,) whether a clip is of the second domain."""
        return np.arange(len(self.speaker)) >= self.n_a

    def without(self, group: int) -> "Subset":
        """All clips and pairs but those of one group of speakers."""
        kept = self.group != group
        whole = self.whole
        return Subset(whole.a[kept[whole.a]], whole.b[kept[whole.b]], _where(self.pairs, kept))

    def resampled(self, rng: np.random.Generator) -> "Subset":
        """Draws as many speakers as there are, with replacement, each with all clips and pairs."""
        numbers = np.unique(self.speaker)
        drawn = rng.choice(numbers, size=len(numbers))
        whole = self.whole
        of_pair = self.speaker[self.pairs[:, 0]]
        return Subset(
            np.concatenate([whole.a[self.speaker[whole.a] == s] for s in drawn]),
            np.concatenate([whole.b[self.speaker[whole.b] == s] for s in drawn]),
            np.concatenate([self.pairs[of_pair == s] for s in drawn]),
        )


class Subset(NamedTuple):
    """Rows of the first set, of the second, and matched pairs (m, 2)."""

    a: np.ndarray
    b: np.ndarray
    pairs: np.ndarray


def arrange(
    labels: pd.DataFrame,
    *,
    domains: tuple[str, str],
    pair_by: Sequence[str],
    groups: Mapping[str, object],
) -> tuple[np.ndarray, Design]:
    """Finds the clips of both domains and how they belong together.

    Args:
        labels: the clips of one emotion (or of several), with columns domain, emotion, speaker and
            those of `pair_by`, as strings.
        domains: the two domains.
        pair_by: columns that a pair has in common; each combination must occur once per domain.
        groups: speaker to jackknife group (an actor fold, or the speaker itself).

    Returns:
        Positions in `labels`, first the first domain's in their order and then the second's, and
        the design of the clips in that order.

    Raises:
        InputError: a speaker has no group.
    """
    labels = labels.reset_index(drop=True)
    kept = pd.concat([labels[labels["domain"] == domain] for domain in domains])
    unknown = sorted(set(kept["speaker"]) - set(groups))
    if unknown:
        raise InputError(
            f"The table of folds lacks the speakers {', '.join(unknown)}; make it again from this "
            "manifest."
        )
    n_a = int((kept["domain"] == domains[0]).sum())
    speaker, _ = pd.factorize(kept["speaker"], sort=True)
    stratum = kept.groupby(["speaker", "emotion"], sort=True).ngroup().to_numpy()
    group, _ = pd.factorize(kept["speaker"].map(dict(groups)), sort=True)
    pairs, unpaired = _matched(kept, n_a=n_a, by=list(pair_by), domains=domains)
    return kept.index.to_numpy(), Design(n_a, speaker, stratum, group, pairs, unpaired)


def _matched(
    kept: pd.DataFrame, *, n_a: int, by: list[str], domains: tuple[str, str]
) -> tuple[np.ndarray, str]:
    nothing = np.empty((0, 2), dtype=np.int64)
    sides = [kept.iloc[:n_a][by], kept.iloc[n_a:][by]]
    for domain, side in zip(domains, sides, strict=True):
        repeated = int(side.duplicated(keep=False).sum())
        if repeated:
            return nothing, (
                f"{repeated} clips of {domain} share {', '.join(by)} with another, so speech and "
                "song cannot be matched clip by clip; add columns that tell them apart."
            )
    first, second = (
        side.assign(row=np.arange(len(side)) + start)
        for side, start in zip(sides, (0, n_a), strict=True)
    )
    both = first.merge(second, on=by, suffixes=("_a", "_b")).sort_values("row_a")
    if both.empty:
        return nothing, (
            f"No clip of {domains[0]} has a partner in {domains[1]} with the same "
            f"{', '.join(by)}, so measures of matched pairs cannot be computed."
        )
    return both[["row_a", "row_b"]].to_numpy(), ""


# Resampling ---------------------------------------------------------------------------------------


def generator(seed: int, *purpose: str) -> np.random.Generator:
    """Returns a generator of its own for each purpose, the same on every machine."""
    return np.random.default_rng([seed, *(zlib.crc32(part.encode()) for part in purpose)])


def swapped(design: Design, *, count: int, rng: np.random.Generator) -> np.ndarray:
    """Shuffles the domain labels within each speaker and emotion.

    Returns:
        (count, n) bool: which clips count as the second domain's.

    Raises:
        InputError: no speaker has clips of an emotion in both domains, so nothing can be swapped.
    """
    labels = np.tile(design.is_b, (count, 1))
    changes = False
    for stratum in np.unique(design.stratum):
        rows = np.flatnonzero(design.stratum == stratum)
        changes |= len(np.unique(design.is_b[rows])) > 1
        labels[:, rows] = rng.permuted(labels[:, rows], axis=1)
    if not changes:
        raise InputError(
            "No speaker has clips of the same emotion in both domains, so labels cannot be swapped "
            "within speakers and there is no null."
        )
    return labels


def shuffled(design: Design, *, count: int, rng: np.random.Generator) -> np.ndarray:
    """Shuffles partners among the matched pairs of each speaker and emotion.

    Returns:
        (count, m) int: the pair whose second clip each first clip is given.

    Raises:
        InputError: no speaker has two pairs of an emotion, so nothing can be shuffled.
    """
    strata = design.stratum[design.pairs[:, 0]]
    orders = np.tile(np.arange(len(strata)), (count, 1))
    changes = False
    for stratum in np.unique(strata):
        places = np.flatnonzero(strata == stratum)
        changes |= len(places) > 1
        orders[:, places] = rng.permuted(orders[:, places], axis=1)
    if not changes:
        raise InputError(
            "No speaker has two matched pairs of the same emotion, so partners cannot be shuffled "
            "within speakers and there is no null."
        )
    return orders


def p_value(value: float, null: np.ndarray) -> float:
    """Returns (1 + number of null values >= value) / (1 + number of null values).

    A valid p value for any number of permutations (Phipson and Smyth 2010). Values within rounding
    of each other are ties and count.
    """
    reached = null >= value - _TIE * abs(value)
    return (1 + int(reached.sum())) / (1 + len(null))


def order_keys(design: Design, *, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draws random orders of the clips in which every head is balanced over speakers.

    The k clips with the lowest keys among any candidates are a random sub-sample without
    replacement that takes the same share of each speaker's clips, up to one. Balance keeps the
    speakers' mixture the same at every size, and lowers the variance.

    Returns:
        (count, n) float64 keys.
    """
    keys = np.empty((count, len(design.speaker)))
    cell = design.speaker * 2 + design.is_b
    for number in np.unique(cell):
        rows = np.flatnonzero(cell == number)
        places = rng.permuted(np.tile(np.arange(len(rows)), (count, 1)), axis=1)
        keys[:, rows] = (places + rng.random((count, 1))) / len(rows)
    return keys


def head(keys: np.ndarray, candidates: np.ndarray, size: int) -> np.ndarray:
    """Returns the `size` candidates with the lowest keys."""
    return candidates[np.argsort(keys[candidates], kind="stable")[:size]]


def half_speakers(design: Design, *, count: int, rng: np.random.Generator) -> np.ndarray:
    """Splits the speakers in two halves at random.

    Returns:
        (count, n) bool: which clips are of the first half's speakers.

    Raises:
        InputError: fewer than four speakers have clips in both domains.
    """
    both = np.intersect1d(design.speaker[: design.n_a], design.speaker[design.n_a :])
    if len(both) < _SPEAKERS_FOR_HALVES:
        raise InputError(
            f"{len(both)} speakers have clips in both domains; splitting speakers in two halves "
            f"needs {_SPEAKERS_FOR_HALVES}."
        )
    numbers = np.unique(design.speaker)
    first = np.zeros((count, len(numbers)), dtype=bool)
    first[:, : len(numbers) // 2] = True
    return rng.permuted(first, axis=1)[:, np.searchsorted(numbers, design.speaker)]


def jackknife(
    statistic: Callable[[Subset], Mapping[str, float]], design: Design
) -> dict[str, np.ndarray]:
    """Computes a statistic without each group of speakers in turn.

    Returns:
        For each of its values, (G,) in the order of the groups.

    Raises:
        InputError: there is only one group.
    """
    groups = np.unique(design.group)
    if len(groups) < 2:
        raise InputError(
            "All clips are of one group of speakers, so there is no interval over speakers."
        )
    each = [statistic(design.without(group)) for group in groups]
    return {name: np.array([values[name] for values in each]) for name in each[0]}


def jackknife_error(replicates: np.ndarray) -> float:
    """Returns the delete-a-group jackknife's standard error.

    sqrt((G - 1) / G sum (t_g - mean t)^2), for G groups of about equal size (Kott 2001).
    """
    count = len(replicates)
    return float(np.sqrt((count - 1) / count * ((replicates - replicates.mean()) ** 2).sum()))


def interval(value: float, error: float, *, groups: int, level: float) -> tuple[float, float]:
    """Returns value -+ t error, with Student's t of groups - 1 degrees of freedom.

    The lower end of a distance may fall below zero; it is not cut off, because the interval is that
    of an estimator and says how uncertain it is.
    """
    half = float(stats.t.ppf((1 + level) / 2, groups - 1)) * error
    return value - half, value + half


def bootstrap(
    statistic: Callable[[Subset], Mapping[str, float]],
    design: Design,
    *,
    count: int,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Computes a statistic on speakers drawn with replacement.

    Only the spread of the draws is of use: repeated speakers make FAD and alignment larger, so the
    draws lie around a higher value than the estimate.

    Returns:
        For each of its values, (count,).

    Raises:
        InputError: there are fewer than two speakers.
    """
    if len(np.unique(design.speaker)) < 2:
        raise InputError("All clips are of one speaker, so there is no interval over speakers.")
    each = [statistic(design.resampled(rng)) for _ in range(count)]
    return {name: np.array([values[name] for values in each]) for name in each[0]}


# Estimates ----------------------------------------------------------------------------------------


def equal_numbers(clips: Clips, subset: Subset, *, size: int, keys: np.ndarray) -> float:
    """Computes the mean Fréchet distance of sub-samples of a given number of clips.

    Args:
        clips: embeddings.
        subset: clips to draw from.
        size: clips drawn from each set.
        keys: (R, n) orders from `order_keys`.

    Raises:
        InputError: a set has fewer clips.
    """
    if min(len(subset.a), len(subset.b)) < size or size < 2:
        raise InputError(
            f"The sets have {len(subset.a)} and {len(subset.b)} clips, so {max(size, 2)} cannot be "
            "drawn from each."
        )
    if size == len(subset.a) == len(subset.b):
        return clips.fad(subset.a, subset.b).fad
    return float(
        np.mean(
            [clips.fad(head(key, subset.a, size), head(key, subset.b, size)).fad for key in keys]
        )
    )


class Halves(NamedTuple):
    """Mean Fréchet distances between disjoint halves of the speakers.

    Attributes:
        across: between the domains, from one half to the other.
        floor: within a domain, from one half to the other; mean of both domains.
    """

    across: float
    floor: float


def halves(
    clips: Clips, subset: Subset, *, size: int, keys: np.ndarray, first: np.ndarray
) -> Halves:
    """Computes Fréchet distances between halves of the speakers, at one number of clips throughout.

    Args:
        clips: embeddings.
        subset: clips to draw from.
        size: clips drawn from each domain's half.
        keys: (R, n) orders from `order_keys`.
        first: (R, n) halves from `half_speakers`.

    Raises:
        InputError: a half has fewer clips in a domain.
    """
    across, floor = [], []
    for key, half in zip(keys, first, strict=True):
        parts = [rows[side] for rows in subset[:2] for side in (half[rows], ~half[rows])]
        fewest = min(len(part) for part in parts)
        if fewest < size or size < 2:
            raise InputError(
                f"A half of the speakers has {fewest} clips in a domain, so {max(size, 2)} cannot "
                "be drawn."
            )
        a1, a2, b1, b2 = (head(key, part, size) for part in parts)
        across += [clips.fad(a1, b2).fad, clips.fad(a2, b1).fad]
        floor += [clips.fad(a1, a2).fad, clips.fad(b1, b2).fad]
    return Halves(float(np.mean(across)), float(np.mean(floor)))


def kernel_floor(clips: Clips, design: Design, *, first: np.ndarray) -> float:
    """Computes the mean unbiased MMD^2 between halves of the speakers within a domain.

    Unbiased, it needs no equal numbers of clips.

    Args:
        clips: embeddings.
        design: who the clips are.
        first: (R, n) halves from `half_speakers`.

    Returns:
        The mean over splits and both domains; NaN if a half has fewer than two clips.
    """
    if smallest_half(design, first=first) < 2:
        return float("nan")
    values = [clips.mmd(first & side, ~first & side) for side in (~design.is_b, design.is_b)]
    return float(np.mean(values))


def smallest_half(design: Design, *, first: np.ndarray) -> int:
    """Returns the number of clips in the smallest half of any split and domain."""
    counts = [(half[rows]).sum() for rows in design.whole[:2] for half in (*first, *~first)]
    return int(min(counts))


class Extrapolation(NamedTuple):
    """The Fréchet distance for unlimited clips of the same speakers.

    Attributes:
        value: intercept of the quadratic in 1/n.
        linear: intercept of the straight line in 1/n.
        sizes: (k,) mean of 1/n_a and 1/n_b, inverted.
        distances: (k,) mean distance at each size.
    """

    value: float
    linear: float
    sizes: np.ndarray
    distances: np.ndarray


def extrapolate(
    clips: Clips, subset: Subset, *, fractions: Sequence[float], keys: np.ndarray
) -> Extrapolation:
    """Extrapolates the Fréchet distance to unlimited clips.

    Clips are drawn without replacement and balanced over speakers at several sizes, and the mean
    distances fitted as a polynomial in 1/n. FAD-infinity (arXiv 2311.01616, after arXiv 1911.07023)
    takes the straight line, which holds where clips are many more than directions in which they
    vary. With fewer, the curve bends downwards towards 1/n = 0 and the line stops too high; the
    quadratic follows better, and its distance from the line is the part that rests on the model.
    The speakers stay those at hand: what differs between their speech and song stays in the value.

    Args:
        clips: embeddings.
        subset: clips to draw from.
        fractions: shares of each set, three or more.
        keys: (R, n) orders from `order_keys`.

    Raises:
        InputError: too few clips for three different sizes.
    """
    sizes, distances, done = [], [], set()
    for fraction in sorted(fractions):
        drawn = tuple(round(fraction * len(rows)) for rows in subset[:2])
        if min(drawn) < 2 or drawn in done:
            continue
        done.add(drawn)
        full = drawn == (len(subset.a), len(subset.b))
        each = [
            clips.fad(head(key, subset.a, drawn[0]), head(key, subset.b, drawn[1])).fad
            for key in (keys[:1] if full else keys)
        ]
        sizes.append(2 / (1 / drawn[0] + 1 / drawn[1]))
        distances.append(float(np.mean(each)))
    if len(sizes) < _SIZES_FOR_FIT:
        raise InputError(
            f"The sets have {len(subset.a)} and {len(subset.b)} clips, too few to extrapolate from "
            "three sizes."
        )
    sizes, distances = np.array(sizes), np.array(distances)
    linear, quadratic = (np.polynomial.Polynomial.fit(1 / sizes, distances, k) for k in (1, 2))
    return Extrapolation(float(quadratic(0.0)), float(linear(0.0)), sizes, distances)


# Tables -------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Plan:
    """What is drawn for an emotion, the same for all layers; a string says why it is missing."""

    labels: np.ndarray | str
    orders: np.ndarray | str
    keys: np.ndarray
    half_keys: np.ndarray
    first: np.ndarray | str


@dataclass(frozen=True, eq=False)
class _Set:
    """An emotion's clips: positions in the table of clips, design and plan, or why not."""

    emotion: str
    rows: np.ndarray
    design: Design
    plan: _Plan
    unusable: str


def table(
    means: np.ndarray,
    labels: pd.DataFrame,
    *,
    domains: tuple[str, str],
    emotions: Sequence[str],
    layers: Sequence[int],
    pair_by: Sequence[str],
    groups: Mapping[str, object],
    settings: Settings,
    workers: int,
) -> Measured:
    """Measures the likeness of two domains per emotion and layer, and of all emotions together.

    Values at equal numbers of clips use the smallest set of any single emotion and domain, and
    those between halves of the speakers the smallest half, so that emotions can be compared. The
    result does not depend on `workers`, and none of its rows on which other layers are asked for.

    Args:
        means: (n, S, d) clip means, float32 or float64.
        labels: (n rows) the clips in that order; columns domain, emotion, speaker and those of
            `pair_by`, as strings without missing values.
        domains: the two domains.
        emotions: emotions in their order, without the pooled set.
        layers: states to measure, positions along S.
        pair_by: columns in which a matched pair agrees, for example speaker, emotion, intensity,
            statement and repetition.
        groups: speaker to jackknife group: the actor folds, or each speaker to itself.
        settings: all other choices.
        workers: threads.

    Returns:
        `Measured`; its table has one row per measure (`MEASURES`), emotion (the pooled set is
        `all`) and layer, columns `COLUMNS`:

        - value; lower and upper of its interval; floor (only where it is comparable: `fad_halves`,
          `kad`);
        - null_mean, null_low, null_high (quantiles at the settings' level), p and permutations, and
          in `null` how it was made;
        - clips_a, clips_b: clips (or pairs) that one value rests on; speakers and groups of them;
        - reason: why a value, an interval or a null is missing, as sentences; else empty.

    Raises:
        InputError: a speaker has no group.
        ValueError: shapes do not fit, or an emotion bears the pooled set's name.
    """
    if frechet.ALL in emotions:
        raise ValueError(f"No emotion may be called {frechet.ALL!r}: the pooled set has that name.")
    if means.ndim != 3 or len(means) != len(labels):
        raise ValueError(f"{len(labels)} labels do not fit means of shape {means.shape}.")
    labels = labels.reset_index(drop=True)
    choices = {"domains": domains, "pair_by": pair_by, "groups": groups}
    sets = [_prepare(labels, emotion, [emotion], settings, **choices) for emotion in emotions]
    pooled = _prepare(labels, frechet.ALL, list(emotions), settings, **choices)
    usable = [part for part in sets if not part.unusable]
    sizes = {
        "equal": min((min(len(side) for side in p.design.whole[:2]) for p in usable), default=0),
        "half": min(
            (
                smallest_half(part.design, first=part.plan.first)
                for part in usable
                if not isinstance(part.plan.first, str)
            ),
            default=0,
        ),
    }

    def one(task: tuple[_Set, int]) -> list[dict]:
        part, layer = task
        where = {
            "emotion": part.emotion,
            "layer": layer,
            "domain_a": domains[0],
            "domain_b": domains[1],
        }
        if part.unusable:
            return [_missing(name, where, part.unusable) for name in MEASURES]
        try:
            clips = Clips(means[part.rows, layer])
        except InputError as error:
            return [_missing(name, where, str(error)) for name in MEASURES]
        null = pooled_null.get(layer) if part is pooled else None
        return _measure(clips, part, where, sizes=sizes, settings=settings, fad_null=null)

    with threadpool_limits(limits=1), ThreadPoolExecutor(workers) as executor:
        pooled_null = _pooled_null(
            means, pooled, layers=layers, count=settings.pooled_permutations, executor=executor
        )
        tasks = [(part, layer) for part in (*sets, pooled) for layer in layers]
        rows = [row for some in executor.map(one, tasks) for row in some]
    return _lay_out(rows)


def frame_table(
    folds: Mapping[tuple[str, str], Mapping[int, frechet.Moments]],
    *,
    domains: tuple[str, str],
    emotions: Sequence[str],
    layer: int,
    level: float,
    workers: int,
) -> Measured:
    """Measures the Fréchet distance of frames with its interval over actor folds.

    Each fold of actors is left out in turn, which needs the folds' moments only and no second pass
    over the audio. A null would need the frames and is not given.

    Args:
        folds: (domain, emotion) to fold to the moments of its frames, of one layer.
        domains: the two domains.
        emotions: emotions in their order, without the pooled set.
        layer: for the column `layer`.
        level: confidence of intervals.
        workers: threads.

    Returns:
        Rows as in `table`, measures `FRAME_MEASURES`; clips counts clips, groups the folds.
    """

    def one(emotion: str) -> list[dict]:
        where = {
            "emotion": emotion,
            "layer": layer,
            "domain_a": domains[0],
            "domain_b": domains[1],
        }
        members = emotions if emotion == frechet.ALL else [emotion]
        sides = [_by_fold(folds, domain, members) for domain in domains]
        try:
            for domain, side in zip(domains, sides, strict=True):
                _refuse_small(sum(part.clips for part in side.values()), emotion, domain)
            values = _frame_distance(sides)
        except InputError as error:
            return [_missing(name, where, str(error)) for name in FRAME_MEASURES]
        counts = [sum(part.clips for part in side.values()) for side in sides]
        row = {**where, **dict(zip(("clips_a", "clips_b"), counts, strict=True)), "reason": ""}
        rows = [{**row, "measure": name, "value": value} for name, value in values.items()]
        groups = sorted(set(sides[0]) | set(sides[1]))
        try:
            if len(groups) < 2:
                raise InputError(
                    "All clips are of one fold of actors, so there is no interval over actors."
                )
            each = [
                _frame_distance([{f: m for f, m in side.items() if f != fold} for side in sides])
                for fold in groups
            ]
        except InputError as error:
            return [{**row, "reason": f"There is no interval: {error}"} for row in rows]
        for row in rows:
            replicates = np.array([values[row["measure"]] for values in each])
            row["lower"], row["upper"] = interval(
                row["value"], jackknife_error(replicates), groups=len(groups), level=level
            )
            row["groups"] = len(groups)
            row["replicates"] = replicates
        return rows

    with threadpool_limits(limits=1), ThreadPoolExecutor(workers) as executor:
        rows = [row for some in executor.map(one, [*emotions, frechet.ALL]) for row in some]
    return _lay_out(rows)


def _lay_out(rows: list[dict]) -> Measured:
    """Puts rows, and the replicates that some of them carry, into tables."""
    keys = ("measure", "emotion", "layer", "domain_a", "domain_b")
    replicates = [
        {**{key: row[key] for key in keys}, "replicate": number, "value": value}
        for row in rows
        for number, value in enumerate(row.get("replicates", ()))
    ]
    return Measured(
        pd.DataFrame(rows, columns=COLUMNS).astype({"permutations": "Int64"}),
        pd.DataFrame(replicates, columns=REPLICATE_COLUMNS),
    )


def _by_fold(
    folds: Mapping[tuple[str, str], Mapping[int, frechet.Moments]],
    domain: str,
    members: Sequence[str],
) -> dict[int, frechet.Moments]:
    parts = [folds.get((domain, emotion), {}) for emotion in members]
    numbers = sorted({fold for part in parts for fold in part})
    return {fold: frechet.pool([part[fold] for part in parts if fold in part]) for fold in numbers}


def _frame_distance(sides: Sequence[Mapping[int, frechet.Moments]]) -> dict[str, float]:
    if not all(sides):
        raise InputError("A fold of actors holds all clips of a domain.")
    a, b = (frechet.pool(side.values()) for side in sides)
    if min(a.count, b.count, a.clips, b.clips) < 2:
        raise InputError("Too few clips are left without a fold of actors.")
    result = frechet.distance(a.mean, a.scatter / (a.count - 1), b.mean, b.scatter / (b.count - 1))
    if result.spread == 0:
        raise InputError("All frames are equal in this layer, so it carries no information.")
    return {"fad_frames": result.fad, "fad_frames_relative": result.relative}


def _refuse_small(count: int, emotion: str, domain: str) -> None:
    what = "any emotion" if emotion == frechet.ALL else emotion
    if count == 0:
        raise InputError(f"There are no clips of {what} in {domain}, so there is no comparison.")
    if count == 1:
        raise InputError(
            f"There is one clip of {what} in {domain}, and one clip does not vary; a comparison "
            "needs at least two."
        )


def _prepare(
    labels: pd.DataFrame,
    emotion: str,
    members: list[str],
    settings: Settings,
    *,
    domains: tuple[str, str],
    pair_by: Sequence[str],
    groups: Mapping[str, object],
) -> _Set:
    """Arranges an emotion's clips and draws everything that is random about them."""
    mine = labels[labels["emotion"].isin(members)]
    where, design = arrange(mine, domains=domains, pair_by=pair_by, groups=groups)
    rows = mine.index.to_numpy()[where]

    def draw(purpose: str, function: Callable[..., np.ndarray], count: int) -> np.ndarray | str:
        try:
            return function(design, count=count, rng=generator(settings.seed, purpose, emotion))
        except InputError as error:
            return str(error)

    unusable = ""
    try:
        for domain, side in zip(domains, design.whole[:2], strict=True):
            _refuse_small(len(side), emotion, domain)
    except InputError as error:
        unusable = str(error)
    draws = settings.pooled_draws if emotion == frechet.ALL else settings.draws
    orders = design.unpaired or draw("shuffle", shuffled, settings.permutations)
    plan = _Plan(
        labels=draw("swap", swapped, settings.permutations),
        orders=orders,
        keys=draw("draws", order_keys, draws),
        half_keys=draw("half draws", order_keys, settings.splits),
        first=draw("halves", half_speakers, settings.splits),
    )
    return _Set(emotion, rows, design, plan, unusable)


def swap_null(clips: Clips, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Computes the Fréchet distance and its scale-free version for swapped labels.

    Args:
        clips: embeddings.
        labels: (P, n) bool from `swapped`.

    Returns:
        `fad` and `fad_relative`, (P,) each.
    """
    results = [clips.fad(np.flatnonzero(~row), np.flatnonzero(row)) for row in labels]
    return {
        "fad": np.array([result.fad for result in results]),
        "fad_relative": np.array([result.relative for result in results]),
    }


def _pooled_null(
    means: np.ndarray,
    pooled: _Set,
    *,
    layers: Sequence[int],
    count: int,
    executor: ThreadPoolExecutor,
) -> dict[int, dict[str, np.ndarray]]:
    """Computes the pooled set's Fréchet null in rounds over all layers."""
    if pooled.unusable or isinstance(pooled.plan.labels, str):
        return {}
    labels = pooled.plan.labels[:count]
    clips = {}
    for layer in layers:
        try:
            clips[layer] = Clips(means[pooled.rows, layer])
        except InputError:
            # `_measure` meets the same error and reports it.
            continue
    parts: dict[int, list[dict[str, np.ndarray]]] = {layer: [] for layer in clips}
    for done in range(0, len(labels) if clips else 0, _ROUND):
        some = labels[done : done + _ROUND]
        blocks = [(layer, block) for layer in clips for block in np.array_split(some, 2)]
        for (layer, _), null in zip(
            blocks,
            executor.map(lambda item: swap_null(clips[item[0]], item[1]), blocks),
            strict=True,
        ):
            parts[layer].append(null)
        log.info("%d of %d permutations of all emotions", done + len(some), len(labels))
    return {
        layer: {name: np.concatenate([part[name] for part in some]) for name in some[0]}
        for layer, some in parts.items()
    }


def _measure(
    clips: Clips,
    part: _Set,
    where: dict,
    *,
    sizes: Mapping[str, int],
    settings: Settings,
    fad_null: dict[str, np.ndarray] | None,
) -> list[dict]:
    """Computes all measures of an emotion and a layer.

    A statistic returns its measures' values for a subset, and may add `floor`, and `doubt`: what
    the value owes to its model, which widens the interval.
    """
    design, plan, n = part.design, part.plan, len(clips)
    n_pairs = len(design.pairs)

    def scaled(size: int, subset: Subset) -> int:
        # Without a group of speakers, sub-samples lack its share too.
        return round(size * (len(subset.a) + len(subset.b)) / n)

    def fad(subset: Subset) -> dict[str, float]:
        result = clips.fad(subset.a, subset.b)
        return {"fad": result.fad, "fad_relative": result.relative}

    def null_of_fad() -> dict[str, np.ndarray]:
        return fad_null or swap_null(clips, _drawn(plan.labels))

    def equal(subset: Subset) -> dict[str, float]:
        size = scaled(sizes["equal"], subset)
        return {"fad_equal": equal_numbers(clips, subset, size=size, keys=plan.keys)}

    def between_halves(subset: Subset) -> dict[str, float]:
        first = _drawn(plan.first)
        size = min(
            scaled(sizes["half"], subset),
            min((half[rows]).sum() for rows in subset[:2] for half in (*first, *~first)),
        )
        result = halves(clips, subset, size=size, keys=plan.half_keys, first=first)
        return {"fad_halves": result.across, "floor": result.floor}

    def unlimited(subset: Subset) -> dict[str, float]:
        result = extrapolate(clips, subset, fractions=settings.fractions, keys=plan.keys)
        return {"fad_unlimited": result.value, "doubt": result.value - result.linear}

    def kad(subset: Subset) -> dict[str, float]:
        weights = [np.bincount(rows, minlength=n) for rows in subset[:2]]
        return {"kad": settings.kernel_scale * float(clips.mmd(*weights)), "floor": floor_of_kad()}

    @cache
    def floor_of_kad() -> float:
        if isinstance(plan.first, str):
            return float("nan")
        return settings.kernel_scale * kernel_floor(clips, design, first=plan.first)

    def null_of_kad() -> dict[str, np.ndarray]:
        labels = _drawn(plan.labels)
        return {"kad": settings.kernel_scale * clips.mmd(~labels, labels)}

    def cka(subset: Subset) -> dict[str, float]:
        value = clips.alignment(*_paired(subset, design)).value()
        return {"cka": value.plain, "cka_debiased": value.debiased}

    def null_of_cka() -> dict[str, np.ndarray]:
        alignment = clips.alignment(*_paired(design.whole, design))
        values = np.array([alignment.value(order) for order in _drawn(plan.orders)])
        return {"cka": values[:, 0], "cka_debiased": values[:, 1]}

    def cosine(centred: bool) -> tuple[Callable, Callable]:
        name = "cosine_centred" if centred else "cosine"

        def value(subset: Subset) -> dict[str, float]:
            cosines = clips.cosines(*_paired(subset, design), centred=centred)
            return {name: float(cosines.diagonal().mean())}

        def null() -> dict[str, np.ndarray]:
            cosines = clips.cosines(*_paired(design.whole, design), centred=centred)
            orders = _drawn(plan.orders)
            return {name: cosines[np.arange(n_pairs), orders].mean(axis=1)}

        return value, null

    everything = (design.n_a, n - design.n_a)
    families = [
        (("fad", "fad_relative"), fad, null_of_fad, everything),
        (("fad_equal",), equal, None, (sizes["equal"],) * 2),
        (("fad_halves",), between_halves, None, (sizes["half"],) * 2),
        (("fad_unlimited",), unlimited, None, everything),
        (("kad",), kad, null_of_kad, everything),
        (("cka", "cka_debiased"), cka, null_of_cka, (n_pairs,) * 2),
        (("cosine",), *cosine(False), (n_pairs,) * 2),
        (("cosine_centred",), *cosine(True), (n_pairs,) * 2),
    ]
    rows: dict[str, dict] = {}
    for names, statistic, null, counts in families:
        try:
            values = statistic(design.whole)
        except InputError as error:
            rows |= {name: _missing(name, where, str(error)) for name in names}
            continue
        reasons = []
        try:
            errors = _errors(statistic, design, settings, whole=null is not None, where=where)
        except InputError as error:
            errors = {}
            reasons.append(f"There is no interval: {error}")
        try:
            nulls = null() if null else {}
        except InputError as error:
            nulls = {}
            reasons.append(f"There is no null: {error}")
        for name in names:
            rows[name] = {
                **where,
                "measure": name,
                "value": values[name],
                "floor": values.get("floor", np.nan),
                **dict(zip(("clips_a", "clips_b"), counts, strict=True)),
                "speakers": len(np.unique(design.speaker)),
                "groups": len(np.unique(design.group)),
                "reason": " ".join(reasons),
                **_null_columns(values[name], nulls.get(name), name=name, level=settings.level),
            }
            if name in errors:
                error, groups, rows[name]["replicates"] = errors[name]
                error = float(np.hypot(error, values.get("doubt", 0.0)))
                rows[name]["lower"], rows[name]["upper"] = interval(
                    values[name], error, groups=groups, level=settings.level
                )
    for name in ("fad", "fad_relative"):
        rows[f"{name}_corrected"] = _corrected(rows[name], name=f"{name}_corrected", where=where)
    return [rows[name] for name in MEASURES]


def _drawn(draws: np.ndarray | str) -> np.ndarray:
    if isinstance(draws, str):
        raise InputError(draws)
    return draws


def _paired(subset: Subset, design: Design) -> tuple[np.ndarray, np.ndarray]:
    if design.unpaired:
        raise InputError(design.unpaired)
    if not len(subset.pairs):
        raise InputError("There are no matched pairs of clips.")
    return subset.pairs[:, 0], subset.pairs[:, 1]


def _where(pairs: np.ndarray, kept: np.ndarray) -> np.ndarray:
    return pairs[kept[pairs].all(axis=1)]


def _errors(
    statistic: Callable[[Subset], Mapping[str, float]],
    design: Design,
    settings: Settings,
    *,
    whole: bool,
    where: Mapping,
) -> dict[str, tuple[float, int, np.ndarray]]:
    """Returns each value's standard error over speakers, the groups and replicates behind it."""
    if whole and settings.interval == "bootstrap":
        rng = generator(settings.seed, "bootstrap", where["emotion"])
        draws = bootstrap(statistic, design, count=settings.bootstrap_draws, rng=rng)
        groups = len(np.unique(design.speaker))
        # A bootstrap's variance is low by (G - 1) / G.
        stretch = np.sqrt(groups / (groups - 1))
        nothing = np.empty(0)  # draws with replacement are no replicates with a group left out
        return {
            name: (float(each.std()) * stretch, groups, nothing) for name, each in draws.items()
        }
    replicates = jackknife(statistic, design)
    return {name: (jackknife_error(each), len(each), each) for name, each in replicates.items()}


def _null_columns(value: float, null: np.ndarray | None, *, name: str, level: float) -> dict:
    if null is None:
        return {"permutations": 0, "null": ""}
    tail = (1 - level) / 2
    low, high = np.quantile(null, [tail, 1 - tail])
    return {
        "null_mean": float(null.mean()),
        "null_low": float(low),
        "null_high": float(high),
        "p": p_value(value, null),
        "permutations": len(null),
        "null": MEASURES[name].null,
    }


def _corrected(row: dict, *, name: str, where: dict) -> dict:
    """Takes the null's mean from a row's value, interval and null."""
    if not row.get("permutations"):
        return _missing(name, where, row["reason"])
    shifted = ("value", "lower", "upper", "null_mean", "null_low", "null_high")
    moved = {key: row[key] - row["null_mean"] for key in shifted if key in row}
    # The null stays that of all speakers, so replicates move with the value.
    replicates = row.get("replicates", np.empty(0)) - row["null_mean"]
    return {**row, **moved, "replicates": replicates, "measure": name}


def _missing(name: str, where: dict, reason: str) -> dict:
    return {**where, "measure": name, "permutations": 0, "null": "", "reason": reason}
