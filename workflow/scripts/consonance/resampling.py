"""Resampling of stored predictions: what varies, what is drawn again, and what comes out of it.

Two things make a test score uncertain: which recordings (or speakers) were tested, and which
split and start (seed) trained the classifier. The same recording is tested in several seeds, so
the results of the seeds are not independent; and the scores of the seeds differ in part only
because other recordings were tested. Resampling seeds and, within them, recordings would count
that part twice. So the two are taken apart:

- *Units* are drawn with replacement, and a unit brings its results in every seed, every layer,
  every model and both domains: recordings where the split is over recordings, speakers where it
  is over speakers.
- To each draw the deviations of the seeds from their mean are added, drawn with replacement and
  shrunken to what is left of the variance between seeds after what the units explain.

All functions are deterministic, and everything accumulates in float64.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse, stats
from scipy.sparse.csgraph import connected_components

from consonance.errors import InputError
from consonance.predictions import Tested

UNIT_OF_SCHEME = {"random": "clip", "speaker": "speaker"}
"""What is resampled in each split scheme."""

MATERIAL = ("speaker", "emotion", "intensity", "statement", "repetition")
"""What a recording in one domain and its counterpart in the other have in common."""

# Draws whose weights are in memory at a time. It orders the stream of random numbers, so another
# value gives other, equally good draws.
_CHUNK = 256
# A variance below this is a rounding error of numbers between 0 and 1.
_NO_VARIANCE = 1e-18


@dataclass(frozen=True)
class Counts:
    """Counts of test results in the data and in every draw.

    The first index of the arrays is the draw; index 0 is the data itself.

    Attributes:
        correct: (1 + draws, S, L, E) float64, weighted number of clips recognised.
        tested: (1 + draws, S, E) float64, weighted number of clips tested.
        groups: (E,) number of units with a test clip of the emotion.
        groups_all: number of units with a test clip.
        effective: (E,) (sum m)^2 / sum m^2 over units with m test results each: the number of
            equally large units that would vary as much.
        effective_all: the same over all emotions.
        clips: (E,) number of different clips tested.
    """

    correct: np.ndarray
    tested: np.ndarray
    groups: np.ndarray
    groups_all: int
    effective: np.ndarray
    effective_all: float
    clips: np.ndarray

    def accuracy(self) -> np.ndarray:
        """Returns the share of clips recognised: (1 + draws, S, L)."""
        return ratio(self.correct.sum(axis=-1), self.tested.sum(axis=-1)[:, :, None])

    def recall(self) -> np.ndarray:
        """Returns the recall of every emotion: (1 + draws, S, L, E); NaN without clips."""
        return ratio(self.correct, self.tested[:, :, None, :])

    def uar(self) -> np.ndarray:
        """Returns the mean recall over the emotions that have clips: (1 + draws, S, L)."""
        return nanmean(self.recall(), axis=-1)

    def score(self, metric: str) -> np.ndarray:
        """Returns `accuracy` or `uar` by name."""
        return {"accuracy": self.accuracy, "uar": self.uar}[metric]()


@dataclass(frozen=True)
class Replicates:
    """A statistic and how it varies.

    Attributes:
        value: (...) the statistic of the data.
        draws: (draws, ...) the statistic in every draw, seeds included.
        variance: (...) of the statistic; units and seeds together, with the correction
            G / (G - 1) for a finite number of units.
        split_variance: (...) of the statistic of one further split and start about its mean.
        groups: (...) number of units G.
        df: (...) degrees of freedom (Satterthwaite's, from units and seeds).
    """

    value: np.ndarray
    draws: np.ndarray
    variance: np.ndarray
    split_variance: np.ndarray
    groups: np.ndarray
    df: np.ndarray


# Units --------------------------------------------------------------------------------------------


def units(manifest: pd.DataFrame, *, scheme: str) -> pd.Series:
    """Says which clips are drawn together.

    random: a clip, together with exact duplicates of it and with its counterpart in the other
    domain (equal `MATERIAL`; only where speaker and statement are known), so that matched
    recordings stay matched in comparisons across domains. speaker: all clips of a speaker, and of
    speakers who share a recording.

    Args:
        manifest: the kept clips; columns clip, emotion, speaker, duplicate_of and, for matching,
            the rest of `MATERIAL`.
        scheme: "random" or "speaker".

    Returns:
        clip id to unit number.

    Raises:
        InputError: unknown scheme, or a clip without a speaker where speakers are drawn.
    """
    if scheme not in UNIT_OF_SCHEME:
        raise InputError(
            f"The split scheme '{scheme}' is unknown; choose one of {', '.join(UNIT_OF_SCHEME)}."
        )
    # In order of clips, so that draws do not depend on the order of the manifest.
    frame = manifest.sort_values("clip", ignore_index=True)
    joint = [frame["duplicate_of"].where(frame["duplicate_of"] != "", frame["clip"])]
    if scheme == "speaker":
        unknown = frame.loc[frame["speaker"] == "", "clip"]
        if len(unknown):
            raise InputError(
                f"{len(unknown)} clips have no speaker in the manifest, the first is "
                f"'{unknown.iloc[0]}'; intervals over speakers need every clip's speaker."
            )
        joint.append(frame["speaker"])
    elif set(MATERIAL) <= set(frame.columns):
        material = frame[list(MATERIAL)].agg("\0".join, axis=1)
        matched = (frame["speaker"] != "") & (frame["statement"] != "")
        joint.append(material.where(matched, frame["clip"]))
    n = len(frame)
    edges = [np.empty((2, 0), dtype=np.int64)]
    for label in joint:
        codes = pd.factorize(label)[0]
        first = pd.Series(range(n)).groupby(codes).transform("first").to_numpy()
        edges.append(np.stack([np.arange(n), first]))
    rows, columns = np.concatenate(edges, axis=1)
    graph = sparse.coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(n, n))
    return pd.Series(connected_components(graph, directed=False)[1], index=frame["clip"])


def resample(
    results: Sequence[Tested],
    unit_of: pd.Series,
    *,
    by_emotion: bool,
    draws: int,
    rng: np.random.Generator,
) -> list[Counts]:
    """Draws units with replacement, the same units for all results.

    Args:
        results: what was tested; only units with a test clip in one of them are drawn.
        unit_of: clip id to unit number (`units`).
        by_emotion: draw the units of each emotion apart (as the random split does), so that the
            number of units per emotion is that of the data; else all together.
        draws: B, number of draws.
        rng: random generator.

    Returns:
        The counts of each of `results`, in order.
    """
    codes = [unit_of.loc[list(each.clips)].to_numpy() for each in results]
    _, joint = np.unique(np.concatenate(codes), return_inverse=True)
    n_units = int(joint.max()) + 1
    emotion = np.zeros(n_units, dtype=np.int64)
    if by_emotion:
        emotion[joint] = np.concatenate([each.emotions for each in results])
    strata = [np.flatnonzero(emotion == value) for value in np.unique(emotion)]
    ends = np.cumsum([len(code) for code in codes])
    cells = [
        _cells(each, code, n_units)
        for each, code in zip(results, np.split(joint, ends[:-1]), strict=True)
    ]
    correct = [[cell[0].sum(axis=0)] for cell in cells]
    tested = [[cell[1].sum(axis=0)] for cell in cells]
    for start in range(0, draws, _CHUNK):
        size = min(_CHUNK, draws - start)
        weights = np.empty((size, n_units))
        for members in strata:
            equal = np.full(len(members), 1 / len(members))
            weights[:, members] = rng.multinomial(len(members), equal, size=size)
        for i, (hits, trials) in enumerate(cells):
            correct[i].extend((weights @ hits.reshape(n_units, -1)).reshape(size, *hits.shape[1:]))
            tested[i].extend(
                (weights @ trials.reshape(n_units, -1)).reshape(size, *trials.shape[1:])
            )
    return [
        _counts(np.stack(hits), np.stack(trials), cell[1], each)
        for hits, trials, cell, each in zip(correct, tested, cells, results, strict=True)
    ]


def _cells(result: Tested, unit: np.ndarray, n_units: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns clips recognised (units, S, L, E) and tested (units, S, E)."""
    n, n_emotions = len(result.clips), result.n_emotions
    s, layers = len(result.seeds), len(result.layers)
    member = sparse.csr_matrix(
        (np.ones(n), (unit * n_emotions + result.emotions, np.arange(n))),
        shape=(n_units * n_emotions, n),
    )
    correct = member @ result.correct.reshape(s * layers, n).T.astype(np.float64)
    tested = member @ result.tested.T.astype(np.float64)
    correct = correct.reshape(n_units, n_emotions, s, layers).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(correct), np.ascontiguousarray(
        tested.reshape(n_units, n_emotions, s).transpose(0, 2, 1)
    )


def _counts(correct: np.ndarray, tested: np.ndarray, cells: np.ndarray, result: Tested) -> Counts:
    """Adds to the counts how many units and clips they rest on."""
    sizes = cells.sum(axis=1)

    def effective(size: np.ndarray) -> np.ndarray:
        return ratio(size.sum(axis=0) ** 2, (size**2).sum(axis=0))

    return Counts(
        correct=correct,
        tested=tested,
        groups=(sizes > 0).sum(axis=0),
        groups_all=int((sizes.sum(axis=1) > 0).sum()),
        effective=effective(sizes),
        effective_all=float(effective(sizes.sum(axis=1))),
        clips=np.bincount(result.emotions, minlength=result.n_emotions),
    )


# From draws to intervals --------------------------------------------------------------------------


def pick(array: np.ndarray, result: Tested, chosen: Mapping[int, int]) -> np.ndarray:
    """Takes for every seed its own layer: (1 + draws, S, L, ...) to (1 + draws, S, ...)."""
    layers = [result.layers.index(chosen[seed]) for seed in result.seeds]
    return array[:, np.arange(len(result.seeds)), layers]


def draw_seeds(n_seeds: int, *, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Returns how often each seed is drawn: (draws, n_seeds) float64, rows with sum `n_seeds`."""
    return rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=draws).astype(np.float64)


def draw_counts(
    results: Sequence[Tested],
    manifest: pd.DataFrame,
    *,
    scheme: str,
    draws: int,
    rng: np.random.Generator,
) -> tuple[list[Counts], np.ndarray]:
    """Draws the units of a scheme for all results, and seeds.

    Args:
        results: what was tested, with the same number of seeds.
        manifest: the kept clips.
        scheme: "random" (clips, each emotion apart) or "speaker" (speakers).
        draws: number of draws.
        rng: random generator.

    Returns:
        The counts of each of `results`, and how often each seed is drawn.

    Raises:
        InputError: as `units`.
    """
    counts = resample(
        results, units(manifest, scheme=scheme), by_emotion=scheme == "random", draws=draws, rng=rng
    )
    return counts, draw_seeds(len(results[0].seeds), draws=draws, rng=rng)


def combine(
    per_seed: np.ndarray,
    seed_draws: np.ndarray,
    *,
    groups: np.ndarray | int,
    effective: np.ndarray | float,
) -> Replicates:
    """Averages a statistic over seeds and adds the seeds' own variation to the draws.

    With x_s the statistic of seed s and x_s* in a draw of units: the variance between seeds that
    the units explain is e = (tr C - sum C / S) / (S - 1), C the covariance of x* over draws,
    times G / (G - 1). What is observed is s^2 = sum (x_s - mean)^2 / m, with m the median of
    chi-squared with S - 1 degrees of freedom (a mean-unbiased estimate from few seeds would be
    too small in most cases). The seeds' own variance is u = max(0, s^2 - e). A draw is
    mean_s x_s* + sum_s v_s d_s / S, with v the numbers of times that the seeds are drawn and d
    the deviations x_s - mean, scaled to the variance u. The variance of the mean is then that
    explained by the units plus u / S; of one further split, mean_s C_ss + u.

    With one seed there is no second part: the interval is about the units alone.

    Args:
        per_seed: (1 + draws, S, ...); index 0 the data. NaN: no such clip in that seed.
        seed_draws: (draws, S) from `draw_seeds`.
        groups: (...) number of units G, or one for all.
        effective: (...) effective number of units.

    Returns:
        The mean over seeds with everything an interval needs.
    """
    data, draws = per_seed[0], per_seed[1:]
    n_seeds = data.shape[0]
    value = nanmean(data, axis=0)
    groups = np.broadcast_to(np.asarray(groups, dtype=np.float64), value.shape)
    effective = np.broadcast_to(np.asarray(effective, dtype=np.float64), value.shape)
    # One unit says nothing about others.
    stretch = ratio(groups, groups - 1)
    mean = nanmean(draws, axis=1)
    deviation = draws - nanmean(draws, axis=0)
    unit_variance = nanmean(_centred(mean) ** 2, axis=0) * stretch
    of_seed = nanmean(deviation**2, axis=0).sum(axis=0, where=~np.isnan(data)) * stretch
    seeds_there = (~np.isnan(data)).sum(axis=0)
    split_variance = ratio(of_seed, seeds_there)
    own = np.zeros_like(value)
    if n_seeds > 1:
        explained = ratio(of_seed - seeds_there * unit_variance, seeds_there - 1)
        squares = ((data - value) ** 2).sum(axis=0, where=~np.isnan(data))
        median = stats.chi2.median(np.maximum(seeds_there - 1, 1))
        left = np.where(seeds_there > 1, squares / median - explained, 0.0)
        own = np.maximum(0.0, np.nan_to_num(left))
        scale = np.sqrt(ratio(own * seeds_there, squares, otherwise=0.0))
        offset = np.where(np.isnan(data), 0.0, (data - value) * scale)
        mean = mean + np.einsum("bs,s...->b...", seed_draws / n_seeds, offset)
    of_seeds = ratio(own, seeds_there)
    variance = unit_variance + of_seeds
    spread = unit_variance**2 * ratio(1.0, effective - 1)
    spread = spread + of_seeds**2 / np.maximum(seeds_there - 1, 1)
    df = ratio(variance**2, spread)
    df = np.where(variance > _NO_VARIANCE, df, effective - 1)
    return Replicates(
        value=value,
        draws=mean,
        variance=variance,
        split_variance=split_variance + own,
        groups=groups,
        df=np.maximum(df, 1.0),
    )


def score_interval(replicates: Replicates, *, level: float) -> tuple[np.ndarray, ...]:
    """Wilson's interval with the variance of the bootstrap, for rates between 0 and 1.

    Wilson's interval of p = k / n is the set of rates r with |p - r| <= q sqrt(r (1 - r) / n).
    Here n is the number of independent clips that would vary as much, p (1 - p) / variance, and q
    is Student's t instead of the normal quantile. A rate of exactly 0 or 1 does not vary in any
    draw; n is then the number of units. Percentiles of the draws would be too narrow near 0 and 1
    and miss on one side only; this interval stays within [0, 1] and agrees with the one of a
    single test set.

    Args:
        replicates: (...) of a rate.
        level: confidence, for example 0.95.

    Returns:
        low, high, effective number n, each (...); NaN with fewer than two units.
    """
    value, variance = replicates.value, replicates.variance
    n = np.where(
        variance > _NO_VARIANCE,
        ratio(value * (1 - value), np.where(variance > _NO_VARIANCE, variance, np.nan)),
        replicates.groups,
    )
    # Rounding can leave a variance near 0 for a rate of 1.
    n = np.where((value <= 0) | (value >= 1), replicates.groups, n)
    q = stats.t.ppf((1 + level) / 2, replicates.df)
    centre = (n * value + q**2 / 2) / (n + q**2)
    half = q * np.sqrt(n * value * (1 - value) + q**2 / 4) / (n + q**2)
    valid = (replicates.groups >= 2) & np.isfinite(value)
    low = np.where(value <= 0, 0.0, centre - half)
    high = np.where(value >= 1, 1.0, centre + half)
    return tuple(np.where(valid, each, np.nan) for each in (low, high, n))


def split_interval(replicates: Replicates, *, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Says where a rate of one further split and start would fall, within [0, 1].

    value -+ t sqrt(variance of the mean + variance of one split).

    Args:
        replicates: (...) of a rate.
        level: confidence.

    Returns:
        low and high, each (...).
    """
    error = np.sqrt(replicates.variance + replicates.split_variance)
    half = stats.t.ppf((1 + level) / 2, replicates.df) * error
    return np.clip(replicates.value - half, 0, 1), np.clip(replicates.value + half, 0, 1)


def percentile_interval(
    replicates: Replicates, *, level: float | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The expanded percentile interval, for any statistic.

    Percentiles of bootstrap draws are too narrow when units are few. Hesterberg (2015, The
    American Statistician 69, 371-386) takes the percentiles Phi(-+ sqrt(G / (G - 1)) t) instead
    of alpha / 2 and 1 - alpha / 2, with t Student's quantile.

    Args:
        replicates: (...).
        level: confidence.

    Returns:
        low and high, each (...); NaN with fewer than two units.
    """
    draws = replicates.draws.reshape(len(replicates.draws), -1)
    stretch = np.sqrt(ratio(replicates.groups, replicates.groups - 1)).ravel()
    tail = stats.norm.cdf(-stretch * stats.t.ppf((1 + level) / 2, replicates.df.ravel()))
    ends = np.full((2, draws.shape[1]), np.nan)
    for column in range(draws.shape[1]):
        kept = draws[:, column]
        kept = kept[np.isfinite(kept)]
        if np.isfinite(tail[column]) and len(kept):
            ends[:, column] = np.quantile(kept, [tail[column], 1 - tail[column]])
    low, high = ends.reshape(2, *replicates.value.shape)
    return low, high


def student_interval(
    replicates: Replicates, *, level: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """value -+ t sqrt(variance), and the two-sided p value of the hypothesis that it is 0.

    For differences, which are not near a bound: interval and p value agree, and p is not limited
    by the number of draws, which a correction for many comparisons needs.

    Args:
        replicates: (...).
        level: confidence.

    Returns:
        low, high and p, each (...); NaN with fewer than two units. A difference that is 0 and
        does not vary (the same predictions) has p = 1.
    """
    error = np.sqrt(replicates.variance)
    half = stats.t.ppf((1 + level) / 2, replicates.df) * error
    statistic = ratio(np.abs(replicates.value), error, otherwise=np.inf)
    p = 2 * stats.t.sf(statistic, replicates.df)
    same = (replicates.variance <= _NO_VARIANCE) & (np.abs(replicates.value) <= _NO_VARIANCE)
    p = np.where(same, 1.0, p)
    valid = (replicates.groups >= 2) & np.isfinite(replicates.value)
    return tuple(
        np.where(valid, each, np.nan)
        for each in (replicates.value - half, replicates.value + half, p)
    )


# Arithmetic ---------------------------------------------------------------------------------------


def ratio(part, whole, *, otherwise: float = np.nan) -> np.ndarray:
    """Returns part / whole in float64, `otherwise` where `whole` is not above 0."""
    part, whole = np.broadcast_arrays(
        np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    )
    return np.divide(part, whole, out=np.full(whole.shape, otherwise), where=whole > 0)


def nanmean(array: np.ndarray, *, axis: int) -> np.ndarray:
    """Returns the mean of the numbers that are not NaN; NaN, without a warning, if none is."""
    there = ~np.isnan(array)
    return ratio(np.where(there, array, 0.0).sum(axis=axis), there.sum(axis=axis))


def _centred(draws: np.ndarray) -> np.ndarray:
    """Subtracts the mean over draws."""
    return draws - nanmean(draws, axis=0)
