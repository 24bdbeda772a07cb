"""Emotion bias: how unequally the emotions are recognised, and whether a balanced loss helps.

arXiv 2409.17899 (section V-A) reads an emotion bias off the recall per emotion. The spread of
recalls is above 0 even where all emotions are equally hard, because each recall is estimated from
few clips, and the more so the fewer. So beside every spread stands what it would be if the
emotion of a clip had nothing to do with its being recognised: the labels of the tested clips are
permuted, within each speaker, each clip keeping its results in all seeds.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from consonance import predictions as stored
from consonance import resampling
from consonance.comparisons import holm
from consonance.errors import InputError
from consonance.predictions import Tested
from consonance.resampling import Counts, Replicates
from consonance.splits import generator

RANGE, SD, WORST = "range", "sd", "worst"
STATISTICS = (RANGE, SD, WORST)
MEAN = "mean"
COLUMNS = (
    "corpus",
    "model",
    "domain",
    "scheme",
    "probe",
    "layer",
    "statistic",
    "emotion",
    "value",
    "low",
    "high",
    "level",
    "null_mean",
    "null_high",
    "p",
    "support",
    "method",
    "draws",
    "permutations",
    "unit",
    "clusters",
    "clips",
    "seeds",
    "reason",
)
PAIRED_COLUMNS = (
    "corpus",
    "model",
    "domain",
    "scheme",
    "layers",
    "statistic",
    "a",
    "b",
    "value_a",
    "value_b",
    "difference",
    "low",
    "high",
    "level",
    "p",
    "family",
    "family_size",
    "p_holm",
    "method",
    "draws",
    "unit",
    "clusters",
    "clips",
    "seeds",
    "reason",
)
NO_COMPARISON = pd.DataFrame(columns=list(PAIRED_COLUMNS))
"""What there is to say where only one kind of probe was trained."""
# Permutations whose labels are in memory at a time. It orders the stream of random numbers.
_CHUNK = 64
# Means of the same counts in another order may differ by rounding.
_EQUAL = 1e-12
METHOD = "bootstrap, bias-corrected; labels permuted within speakers"


def spread(recall: np.ndarray) -> dict[str, np.ndarray]:
    """Three measures of how far recalls lie apart.

    Args:
        recall: (..., E) recall per emotion; NaN is left out.

    Returns:
        range: highest minus lowest; sd: sqrt(sum (r - mean)^2 / E), the emotions being all there
        are and no sample; worst: the lowest. Each (...); NaN with fewer than two emotions.
    """
    there = ~np.isnan(recall)
    enough = there.sum(axis=-1) >= 2
    high = np.where(there, recall, -np.inf).max(axis=-1)
    low = np.where(there, recall, np.inf).min(axis=-1)
    mean = resampling.nanmean(recall, axis=-1)
    variance = resampling.nanmean((recall - mean[..., None]) ** 2, axis=-1)
    found = {RANGE: high - low, SD: np.sqrt(variance), WORST: low}
    return {name: np.where(enough, value, np.nan) for name, value in found.items()}


def emotion_spread(
    predictions: pd.DataFrame,
    manifest: pd.DataFrame,
    *,
    probe: str,
    emotions: Sequence[str],
    level: float,
    draws: int,
    permutations: int,
    seed: int,
    min_clusters: int,
) -> pd.DataFrame:
    """Spread of the recall per emotion, for every model, domain, scheme and layer.

    The recall of an emotion is its mean over seeds. Interval: bootstrap over units and seeds as in
    `resampling.combine`, bias-corrected percentiles, since a spread of noisy recalls is too
    large on average and in a draw even more so. Where the emotions hardly differ, no interval of a
    spread is exact, as it cannot be negative: look at null_mean, null_high and p instead.

    Args:
        predictions: model, scheme, seed, layer, clip, emotion, predicted.
        manifest: the kept clips.
        probe: the name of the kind of probe, for the table.
        emotions: the emotions of the experiment, in order.
        level: confidence.
        draws: bootstrap draws.
        permutations: of the labels.
        seed: of draws and permutations.
        min_clusters: with fewer units there is a value but no interval.

    Returns:
        Columns `COLUMNS`; statistic is range, sd or worst (`spread`); emotion is the one with the
        lowest recall (for worst), support the share of draws in which it is that too. null_mean
        and null_high are the mean and the quantile `level` over permutations (for worst: the
        quantile 1 - level, as small values are the remarkable ones), p = (1 + number of
        permutations at least as far out) / (1 + permutations).

    Raises:
        InputError: predictions that do not fit the manifest, or settings out of range.
    """
    problems = _settings(level, draws)
    if permutations < 1:
        problems.append(f"The number of permutations is {permutations}; it must be at least 1.")
    if problems:
        raise InputError(problems)
    rows = []
    for key, result in stored.arrange(predictions, manifest, emotions=emotions).items():
        corpus = _corpus(result, manifest)
        rng = generator(seed, f"bias/{corpus}/{probe}/{'/'.join(key)}")
        (counts,), seed_draws = resampling.draw_counts(
            [result], manifest, scheme=key[2], draws=draws, rng=rng
        )
        recall = _recalls(counts, seed_draws)
        found = _spreads(recall)
        null = _null(result, manifest, permutations, rng)
        few = _few(counts, key[2], min_clusters)
        common = {"corpus": corpus, **dict(zip(("model", "domain", "scheme"), key, strict=True))}
        common |= {"probe": probe, "level": level, "draws": draws, "permutations": permutations}
        common |= {"method": METHOD, "unit": resampling.UNIT_OF_SCHEME[key[2]]}
        common |= {"clusters": counts.groups_all, "clips": len(result.clips)}
        common |= {"seeds": len(result.seeds), "reason": few or _absent(counts, emotions)}
        worst, support = _worst(recall)
        for name in STATISTICS:
            ends = bias_corrected(found[name], level=level)
            # Recalls lie between 0 and 1, and so do their range, spread and minimum.
            low, high = (np.full_like(end, np.nan) if few else end.clip(0, 1) for end in ends)
            reference = _reference(found[name].value, null[name], level=level, lowest=name == WORST)
            for k, layer in enumerate(result.layers):
                row = common | {"layer": layer, "statistic": name, "value": found[name].value[k]}
                row |= {"low": low[k], "high": high[k], "emotion": "", "support": np.nan}
                row |= {column: values[k] for column, values in reference.items()}
                if name == WORST and np.isfinite(support[k]):
                    row |= {"emotion": emotions[worst[k]], "support": support[k]}
                rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def compare_probes(
    predictions_a: pd.DataFrame,
    predictions_b: pd.DataFrame,
    manifest: pd.DataFrame,
    *,
    names: tuple[str, str],
    emotions: Sequence[str],
    level: float,
    draws: int,
    seed: int,
    min_clusters: int,
) -> pd.DataFrame:
    """Compares two kinds of probe on the same clips: spread of recalls, UAR, accuracy.

    Units and seeds are drawn for both at once. Each statistic is that of the recalls averaged over
    seeds; the interval of the difference is value -+ t times the standard deviation of the
    draws. Both spreads are too large by about the same amount, which cancels in the difference.

    Args:
        predictions_a: model, scheme, seed, layer, clip, emotion, predicted of the first probe.
        predictions_b: the same of the second, on the same splits.
        manifest: the kept clips.
        names: what to call them.
        emotions: the emotions of the experiment, in order.
        level: confidence.
        draws: bootstrap draws.
        seed: of the draws.
        min_clusters: with fewer units there is a difference but no interval and no p value.

    Returns:
        Columns `PAIRED_COLUMNS`; per model, domain and scheme that both have, the mean over layers
        1 to L ("mean") and each layer; statistic is range, sd, worst, uar or accuracy;
        difference is value_a - value_b. p_holm is corrected over models, domains and schemes
        within a family (a statistic; the mean over layers, or the single layers).

    Raises:
        InputError: predictions that do not fit the manifest or each other, or settings out of
            range.
    """
    problems = _settings(level, draws)
    if problems:
        raise InputError(problems)
    first = stored.arrange(predictions_a, manifest, emotions=emotions)
    second = stored.arrange(predictions_b, manifest, emotions=emotions)
    shared = [key for key in first if key in second]
    problems = [
        problem
        for key in shared
        for problem in stored.same_splits([first[key], second[key]])
        or ([] if first[key].layers == second[key].layers else [f"The layers of {key[0]} differ."])
    ]
    if not shared:
        problems.append(
            f"The probes {names[0]} and {names[1]} have no model, domain and scheme in common, so "
            "there is nothing to compare."
        )
    if problems:
        raise InputError(problems)
    rows = []
    for key in shared:
        result = first[key]
        corpus = _corpus(result, manifest)
        rng = generator(seed, f"bias/{corpus}/{'/'.join(names)}/{'/'.join(key)}")
        counts, seed_draws = resampling.draw_counts(
            [result, second[key]], manifest, scheme=key[2], draws=draws, rng=rng
        )
        few = _few(counts[0], key[2], min_clusters)
        common = {"corpus": corpus, **dict(zip(("model", "domain", "scheme"), key, strict=True))}
        common |= {"a": names[0], "b": names[1], "level": level, "draws": draws}
        common |= {"method": "bootstrap, paired on the same clips"}
        common |= {"unit": resampling.UNIT_OF_SCHEME[key[2]], "clusters": counts[0].groups_all}
        common |= {"clips": len(result.clips), "seeds": len(result.seeds)}
        common |= {"reason": few or _absent(counts[0], emotions)}
        sides = [_all_statistics(each, seed_draws) for each in counts]
        kept = [k for k, layer in enumerate(result.layers) if layer >= 1]
        for name in (*STATISTICS, "uar", "accuracy"):
            values = [side[name].value for side in sides]
            difference = _difference(sides[0][name], sides[1][name])
            shown = [(str(result.layers[k]), np.array([k])) for k in kept]
            for layers, at in [(MEAN, np.array(kept)), *shown]:
                if not len(at):
                    continue
                mean = _mean_over_layers(difference, at)
                low, high, p = resampling.student_interval(mean, level=level)
                row = common | {"layers": layers, "statistic": name}
                row["family"] = f"{name}, {MEAN if layers == MEAN else 'single layers'}"
                row |= {"value_a": values[0][at].mean(), "value_b": values[1][at].mean()}
                row |= {"difference": float(mean.value)}
                row |= (
                    dict.fromkeys(("low", "high", "p"), np.nan)
                    if few
                    else {"low": float(low), "high": float(high), "p": float(p)}
                )
                rows.append(row)
    return holm(pd.DataFrame(rows, columns=list(PAIRED_COLUMNS)))


def bias_corrected(replicates: Replicates, *, level: float) -> tuple[np.ndarray, np.ndarray]:
    """The bias-corrected percentile interval, expanded for few units.

    With z0 = Phi^-1(share of draws below the value), the percentiles are Phi(2 z0 -+ s t) (Efron &
    Tibshirani 1993, chapter 14, without acceleration), s t as in
    `resampling.percentile_interval`.

    Args:
        replicates: (L,).
        level: confidence.

    Returns:
        low and high, each (L,).
    """
    low, high = np.full((2, *replicates.value.shape), np.nan)
    stretch = np.sqrt(resampling.ratio(replicates.groups, replicates.groups - 1))
    for k, value in enumerate(replicates.value):
        draws = replicates.draws[:, k]
        draws = draws[np.isfinite(draws)]
        if not np.isfinite(value) or not np.isfinite(stretch[k]) or not len(draws):
            continue
        # Half of the ties count as below; the ends keep z0 finite.
        below = (draws < value - _EQUAL).sum() + 0.5 * (np.abs(draws - value) <= _EQUAL).sum()
        centre = stats.norm.ppf(np.clip(below, 0.5, len(draws) - 0.5) / len(draws))
        reach = stretch[k] * stats.t.ppf((1 + level) / 2, replicates.df[k])
        ends = stats.norm.cdf([2 * centre - reach, 2 * centre + reach])
        low[k], high[k] = np.quantile(draws, ends)
    return low, high


# Inside -------------------------------------------------------------------------------------------


def _recalls(counts: Counts, seed_draws: np.ndarray) -> Replicates:
    """Returns the recalls (L, E), averaged over seeds."""
    return resampling.combine(
        counts.recall(), seed_draws, groups=counts.groups, effective=counts.effective
    )


def _spreads(recall: Replicates) -> dict[str, Replicates]:
    """Returns the measures of spread (L,) in the data and in every draw."""
    values, draws = spread(recall.value), spread(recall.draws)
    # An emotion with few units limits what is known of the spread.
    groups = np.where(recall.groups > 0, recall.groups, np.inf).min(axis=-1)
    df = np.where(recall.groups > 0, recall.df, np.inf).min(axis=-1)
    return {name: _from_draws(values[name], draws[name], groups, df) for name in values}


def _all_statistics(counts: Counts, seed_draws: np.ndarray) -> dict[str, Replicates]:
    """Returns the measures of spread, UAR and accuracy (L,)."""
    found = _spreads(_recalls(counts, seed_draws))
    for metric in ("uar", "accuracy"):
        found[metric] = resampling.combine(
            counts.score(metric),
            seed_draws,
            groups=counts.groups_all,
            effective=counts.effective_all,
        )
    return found


def _difference(a: Replicates, b: Replicates) -> Replicates:
    """Returns a - b (L,), draw by draw."""
    return _from_draws(
        a.value - b.value,
        a.draws - b.draws,
        np.minimum(a.groups, b.groups),
        np.minimum(a.df, b.df),
    )


def _mean_over_layers(replicates: Replicates, at: np.ndarray) -> Replicates:
    """Returns the mean over some layers ()."""
    return _from_draws(
        replicates.value[at].mean(),
        replicates.draws[:, at].mean(axis=1),
        replicates.groups[at].min(),
        replicates.df[at].min(),
    )


def _from_draws(value, draws, groups, df) -> Replicates:
    """Makes replicates of a statistic that is not a mean over seeds itself."""
    centred = draws - resampling.nanmean(draws, axis=0)
    variance = resampling.nanmean(centred**2, axis=0) * resampling.ratio(groups, groups - 1)
    return Replicates(
        value=value,
        draws=draws,
        variance=variance,
        split_variance=np.full_like(variance, np.nan),
        groups=np.asarray(groups, dtype=np.float64),
        df=np.asarray(df, dtype=np.float64),
    )


def _worst(recall: Replicates) -> tuple[np.ndarray, np.ndarray]:
    """Returns the emotion with the lowest recall (L,) and the share of draws that agree (L,)."""
    filled = np.where(np.isnan(recall.value), np.inf, recall.value)
    drawn = np.where(np.isnan(recall.draws), np.inf, recall.draws)
    worst = filled.argmin(axis=-1)
    support = (drawn.argmin(axis=-1) == worst).mean(axis=0)
    return worst, np.where(np.isfinite(filled).sum(axis=-1) >= 2, support, np.nan)


def _null(
    result: Tested, manifest: pd.DataFrame, permutations: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Returns the measures of spread (permutations, L) with labels permuted within speakers."""
    known = manifest.set_index("clip")["speaker"]
    speaker = pd.factorize(known.loc[list(result.clips)])[0].astype(np.float64)
    n, (s, layers) = len(result.clips), result.correct.shape[:2]
    correct = result.correct.reshape(s * layers, n).T.astype(np.float64)
    tested = result.tested.T.astype(np.float64)
    places = np.argsort(speaker, kind="stable")
    found: dict[str, list[np.ndarray]] = {name: [] for name in STATISTICS}
    for start in range(0, permutations, _CHUNK):
        size = min(_CHUNK, permutations - start)
        # Sorting speakers with a random fraction added shuffles within speakers.
        order = np.argsort(speaker + rng.random((size, n)), axis=1)
        labels = np.empty((size, n), dtype=np.int64)
        labels[:, places] = result.emotions[order]
        member = (labels[:, None, :] == np.arange(result.n_emotions)[:, None]).astype(np.float64)
        hits = (member @ correct).reshape(size, result.n_emotions, s, layers)
        recall = resampling.ratio(hits, (member @ tested)[:, :, :, None])
        spreads = spread(resampling.nanmean(recall, axis=2).transpose(0, 2, 1))
        for name in STATISTICS:
            found[name].append(spreads[name])
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _reference(
    value: np.ndarray, null: np.ndarray, *, level: float, lowest: bool
) -> dict[str, np.ndarray]:
    """Returns mean, quantile and p value of the permutations, (L,) each."""
    further = null <= value + _EQUAL if lowest else null >= value - _EQUAL
    p = (1 + further.sum(axis=0)) / (1 + len(null))
    return {
        "null_mean": null.mean(axis=0),
        "null_high": np.quantile(null, 1 - level if lowest else level, axis=0),
        "p": np.where(np.isfinite(value), p, np.nan),
    }


def _settings(level: float, draws: int) -> list[str]:
    """Returns what is wrong with the settings."""
    problems = []
    if not 0 < level < 1:
        problems.append(f"The level of confidence is {level}; it must lie between 0 and 1.")
    if draws < 2:
        problems.append(f"The number of bootstrap draws is {draws}; it must be at least 2.")
    return problems


def _corpus(result: Tested, manifest: pd.DataFrame) -> str:
    return manifest.loc[manifest["clip"].isin(result.clips), "corpus"].iloc[0]


def _few(counts: Counts, scheme: str, min_clusters: int) -> str:
    """Returns why there is no interval, or ''."""
    present = counts.groups[counts.groups > 0]
    unit = resampling.UNIT_OF_SCHEME[scheme]
    if len(present) and present.min() < min_clusters:
        return (
            f"An emotion was tested on {present.min()} {unit}s only; an interval over {unit}s "
            f"needs at least {min_clusters}."
        )
    return ""


def _absent(counts: Counts, emotions: Sequence[str]) -> str:
    """Says which emotions were not tested, or ''."""
    names = [name for name, clips in zip(emotions, counts.clips, strict=True) if not clips]
    if len(emotions) - len(names) < 2:
        return "Fewer than two emotions were tested, so there is no spread."
    return f"No clip of {', '.join(names)} was tested; the others count." if names else ""
