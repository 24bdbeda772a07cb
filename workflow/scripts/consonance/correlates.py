"""What drives similarity: acoustic differences between two domains, set against a distance.

For every emotion, how much do its recordings in the two domains differ in an acoustic property? And
are the emotions that differ most in it also those that an encoder puts farthest apart? With the
handful of emotions that a corpus has, the second question can only be answered weakly; `weakness`
says how weakly.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import permutations as orders
from typing import Literal

import numpy as np
import pandas as pd
from scipy import special, stats

from consonance import tables
from consonance.errors import InputError

ALL = "all"
"""The name of the set that pools every emotion; no emotion, so not correlated over."""

PAIR = ("speaker", "emotion", "intensity", "statement", "repetition")
"""What recordings of two domains must share to be matched."""

DIFFERENCE_COLUMNS = (
    *("corpus", "emotion", "property", "unit", "design", "effect", "domain_a", "domain_b"),
    *("difference", "low", "high", "confidence", "mean_a", "mean_b", "clips_a", "clips_b"),
    *("speakers", "left_out", "reason"),
)
CORRELATION_COLUMNS = (
    *("corpus", "model", "measure", "layer", "property", "correlation", "p", "p_adjusted"),
    *("tests", "permutations", "exact", "smallest_p", "emotions", "design", "alternative"),
    *("correction", "reason"),
)
_GROUP = ["corpus", "model", "measure", "layer"]

# Below this, relative to the total variance, a variance from sums is rounding and not spread.
_ROUNDING = 1e-12
_FEWEST_EMOTIONS = 3  # two can only agree or disagree

Design = Literal["unpaired", "paired"]
Effect = Literal["hedges", "cohen"]
Alternative = Literal["two-sided", "greater"]
Correction = Literal["holm", "bh"]


# Differences between domains ----------------------------------------------------------------------


def differences(
    values: pd.DataFrame,
    manifest: pd.DataFrame,
    *,
    properties: Sequence[str],
    units: Mapping[str, str],
    emotions: Sequence[str],
    domains: Sequence[str],
    design: Design,
    effect: Effect,
    confidence: float,
    resamples: int,
    seed: int,
) -> pd.DataFrame:
    """Computes the standardised difference between two domains per emotion and property.

    With means m, variances v (ddof = 1) and numbers n of recordings in the domains a and b:

    - unpaired: d = (m_b - m_a) / s, s^2 = ((n_a - 1) v_a + (n_b - 1) v_b) / (n_a + n_b - 2), with
      n_a + n_b - 2 degrees of freedom (Cohen's d with pooled standard deviation);
    - paired: d = mean(x_b - x_a) / sd(x_b - x_a) over pairs of recordings that share `PAIR`, with
      (pairs - 1) degrees of freedom (Cohen's d_z). Recordings of one domain that share it are
      averaged first.

    `hedges` multiplies d by J = Gamma(f/2) / (sqrt(f/2) Gamma((f-1)/2)) for f degrees of freedom,
    which removes its bias (Hedges, 1981, Journal of Educational Statistics 6(2), equation 6e); with
    one degree of freedom J is 0. The interval is the bias-corrected and accelerated interval (Efron,
    1987, JASA 82(397)) of a bootstrap that draws whole speakers, each with all its recordings of
    both domains, because recordings of a speaker are alike. (Draws have fewer different speakers
    than the corpus, so less spread and larger differences: percentiles alone would be too high.)

    Args:
        values: clip and one column per property.
        manifest: the kept clips: corpus (one), clip, domain, emotion, speaker, intensity, statement
            and repetition are used.
        properties: columns of `values`.
        units: the unit of each property, for the table.
        emotions: one row per property for each of these.
        domains: a and b, in this order: a positive difference is larger in b.
        design: see above.
        effect: see above.
        confidence: of the interval, such as 0.95.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        The columns `DIFFERENCE_COLUMNS`, emotions within properties. `difference`, `low` and `high`
        are in standard deviations; mean_a and mean_b in the property's unit, over the recordings
        used; clips_a and clips_b are their numbers (paired: the number of pairs); speakers those
        that they come from; left_out the recordings (paired: the pairs) without a finite value.
        What cannot be computed is NaN, and `reason` says why in a sentence (else "").

    Raises:
        InputError: if a clip of the manifest has no row in `values`, a column is missing, or an
            argument is not one of those above.
    """
    _check_choice("design", design, ("unpaired", "paired"))
    _check_choice("effect", effect, ("hedges", "cohen"))
    if not 0 < confidence < 1:
        raise InputError(f"The confidence must lie between 0 and 1, but is {confidence}.")
    if len(domains) != 2:
        raise InputError(f"A difference needs two domains, but these are given: {domains}.")
    frame = _joined(values, manifest, properties)
    rows = []
    for name in properties:
        for index, emotion in enumerate(emotions):
            # The same speakers are drawn for every property of an emotion.
            generator = np.random.default_rng([seed, index])
            part = frame.loc[frame["emotion"] == emotion, ["domain", *PAIR, name]]
            row = _difference(
                part.rename(columns={name: "value"}),
                design=design,
                corrected=effect == "hedges",
                domains=domains,
                confidence=confidence,
                resamples=resamples,
                generator=generator,
                subject=f"`{name}` of {emotion}",
            )
            rows.append({"property": name, "unit": units.get(name, ""), "emotion": emotion, **row})
    corpus = ", ".join(dict.fromkeys(frame["corpus"]))
    table = pd.DataFrame(rows).assign(
        corpus=corpus,
        design=design,
        effect=effect,
        domain_a=domains[0],
        domain_b=domains[1],
        confidence=confidence,
    )
    return table[list(DIFFERENCE_COLUMNS)]


def correction_factor(freedom: float | np.ndarray) -> float | np.ndarray:
    """Returns Hedges' J for a number of degrees of freedom, which takes the bias from Cohen's d."""
    half = np.asarray(freedom, np.float64) / 2
    with np.errstate(all="ignore"):
        factor = np.exp(special.gammaln(half) - special.gammaln(half - 0.5)) / np.sqrt(half)
    return np.where(half > 0, factor, np.nan)[()]


def _joined(
    values: pd.DataFrame, manifest: pd.DataFrame, properties: Sequence[str]
) -> pd.DataFrame:
    """Returns the labels of every clip with its values."""
    tables.require(values, ["clip", *properties], what="acoustic properties")
    tables.require(manifest, ["corpus", "clip", "domain", *PAIR], what="kept clips")
    missing = sorted(set(manifest["clip"]) - set(values["clip"]))
    if missing:
        raise InputError(
            f"{len(missing)} clips of the manifest have no acoustic properties, the first is "
            f"{missing[0]}; compute them anew."
        )
    labels = manifest[["corpus", "clip", "domain", *PAIR]]
    return labels.merge(values[["clip", *properties]], on="clip", validate="one_to_one")


def _difference(
    part: pd.DataFrame,
    *,
    design: Design,
    corrected: bool,
    domains: Sequence[str],
    confidence: float,
    resamples: int,
    generator: np.random.Generator,
    subject: str,
) -> dict[str, object]:
    """Computes one row of `differences`."""
    part = _pairs(part, domains) if design == "paired" else part[part["domain"].isin(domains)]
    finite = part[np.isfinite(part["value"])]
    by_domain = [finite[finite["domain"] == domain] for domain in domains]
    counts = [len(rows) for rows in by_domain]
    means = [math.fsum(rows["value"]) / len(rows) if len(rows) else np.nan for rows in by_domain]
    dropped = len(part) - len(finite)
    row: dict[str, object] = {
        "difference": np.nan,
        "low": np.nan,
        "high": np.nan,
        "mean_a": means[0],
        "mean_b": means[1],
        "clips_a": counts[0],
        "clips_b": counts[1],
        "speakers": finite["speaker"].nunique(),
        "left_out": dropped // 2 if design == "paired" else dropped,
    }
    row["reason"] = _obstacle(counts, by_domain, part, domains, design, subject)
    if row["reason"]:
        return row
    sums = _sums(by_domain, design)
    speakers = sums[0].shape[1]
    (row["difference"],) = _standardised(sums, np.ones((1, speakers)), corrected)
    if speakers < 2 or (finite["speaker"] == "").any():
        row["reason"] = f"The difference in {subject} has no interval, because " + (
            "its recordings come from one speaker." if speakers < 2 else "speakers are unknown."
        )
        return row
    weights = generator.multinomial(speakers, np.full(speakers, 1 / speakers), size=resamples)
    drawn = _standardised(sums, weights.astype(np.float64), corrected)
    if not np.isfinite(drawn).all():
        row["reason"] = (
            f"The difference in {subject} has no interval, because it cannot be computed for every "
            f"draw of its {speakers} speakers."
        )
        return row
    without = _standardised(sums, 1 - np.eye(speakers), corrected)
    row["low"], row["high"] = _interval(row["difference"], drawn, without, confidence)
    return row


def _interval(
    estimate: float, drawn: np.ndarray, without: np.ndarray, confidence: float
) -> np.ndarray:
    """Returns the ends of the BCa interval.

    With z0 the normal quantile of the share of draws below the estimate (ties count half) and a the
    acceleration from the estimates without one speaker each, the ends are the quantiles
    Phi(z0 + (z0 + z) / (1 - a (z0 + z))) of the draws for z = -+ Phi^-1((1 + confidence) / 2).
    Where these are undefined (all draws on one side, or a speaker without whom there is no
    estimate), z0 or a is 0.
    """
    below = (drawn < estimate).mean() + (drawn == estimate).mean() / 2
    bias = special.ndtri(below) if 0 < below < 1 else 0.0
    change = without.mean() - without
    square = (change**2).sum()
    skewed = np.isfinite(square) and square > 0
    acceleration = (change**3).sum() / (6 * square**1.5) if skewed else 0.0
    z = bias + special.ndtri((1 + confidence) / 2) * np.array([-1, 1])
    return np.quantile(drawn, special.ndtr(bias + z / (1 - acceleration * z)))


def _pairs(part: pd.DataFrame, domains: Sequence[str]) -> pd.DataFrame:
    """Returns both halves of every pair; a half without a finite value takes the other with it."""
    wide = part.groupby([*PAIR, "domain"], sort=True)["value"].mean().unstack("domain")
    if not set(domains) <= set(wide.columns):
        return part.iloc[:0]
    present = part.groupby([*PAIR, "domain"], sort=True).size().unstack("domain")
    wide = wide.loc[present[list(domains)].notna().all(axis=1), list(domains)]
    wide[~np.isfinite(wide).all(axis=1)] = np.nan
    return wide.stack(future_stack=True).rename("value").reset_index()


def _obstacle(
    counts: Sequence[int],
    by_domain: Sequence[pd.DataFrame],
    part: pd.DataFrame,
    domains: Sequence[str],
    design: Design,
    subject: str,
) -> str:
    """Returns why a difference cannot be computed, or ""."""
    for domain, count in zip(domains, counts, strict=True):
        if count >= 2:
            continue
        what = "pairs" if design == "paired" else f"recordings in {domain}"
        if (part["domain"] == domain).sum() == 0:
            return f"The difference in {subject} is missing, because there are no {what}."
        return (
            f"The difference in {subject} is missing, because it needs at least two {what} with a "
            f"finite value and there {'is' if count == 1 else 'are'} {count or 'none'}."
        )
    if design == "paired":
        change = by_domain[1]["value"].to_numpy() - by_domain[0]["value"].to_numpy()
        constant = np.ptp(change) == 0
        what = "it changes by the same amount in every pair"
    else:
        constant = all(np.ptp(rows["value"]) == 0 for rows in by_domain)
        what = "it is constant in both domains"
    if constant:
        return f"The difference in {subject} is missing, because {what}: there is no spread."
    return ""


def _sums(by_domain: Sequence[pd.DataFrame], design: Design) -> list[np.ndarray]:
    """Returns per speaker the number of values, their sum and the sum of their squares.

    From these any draw of speakers gives the difference at once. The values are divided by their
    common standard deviation first and, unpaired, have their common mean taken off; neither changes
    a standardised difference.

    Returns:
        Shape (3, speakers), float64: for each domain, or once for the changes within pairs.
    """
    samples = [rows["value"].to_numpy(np.float64) for rows in by_domain]
    if design == "paired":
        samples = [samples[1] - samples[0]]
        by_domain = by_domain[:1]
    together = np.concatenate(samples)
    centre = 0.0 if design == "paired" else together.mean()
    scale = together.std()
    codes, names = pd.factorize(pd.concat([rows["speaker"] for rows in by_domain]), sort=True)
    result, first = [], 0
    for sample in samples:
        of = codes[first : first + len(sample)]
        first += len(sample)
        scaled = (sample - centre) / scale
        parts = [np.bincount(of, weights, len(names)) for weights in (None, scaled, scaled**2)]
        result.append(np.array(parts, np.float64))
    return result


def _standardised(sums: Sequence[np.ndarray], weights: np.ndarray, corrected: bool) -> np.ndarray:
    """Returns the standardised difference for each row of weights, shape (draws, speakers).

    Args:
        sums: from `_sums`: one sample of changes, or the two domains.
        weights: how often each speaker counts.
        corrected: whether to multiply by Hedges' factor.
    """
    with np.errstate(all="ignore"):
        change, freedom, spread = 0.0, -len(sums), 0.0
        for sign, sample in zip((1,) if len(sums) == 1 else (-1, 1), sums, strict=True):
            n, total, square = (weights @ part for part in sample)
            change = change + sign * total / n
            freedom = freedom + n
            spread = spread + square - total**2 / n
        variance = spread / freedom
        d = change / np.sqrt(np.where(variance > _ROUNDING, variance, np.nan))
    return d * correction_factor(freedom) if corrected else d


# Correlation with a distance ----------------------------------------------------------------------


def distances(
    fads: Sequence[pd.DataFrame],
    *,
    level: Literal["frames", "clips"],
    value: Literal["fad", "fad_relative"],
    domains: Sequence[str],
) -> pd.DataFrame:
    """Returns the distance between the two domains of each emotion from tables of FAD.

    Args:
        fads: tables of the rule that measures FAD.
        level: which FAD.
        value: the raw or the scale-free one.
        domains: the two domains, in any order.

    Returns:
        corpus, model, measure (such as "fad-frames"), layer, emotion and value: what `correlations`
        takes. Any other measure can be brought in the same columns.

    Raises:
        InputError: if a column is missing or no row is left.
    """
    keys = ["corpus", "model", "layer"]
    needed = [*keys, "level", "domain_a", "emotion_a", "domain_b", "emotion_b", value]
    for fad in fads:
        tables.require(fad, needed, what="correlations with FAD")
    frame = pd.concat(fads, ignore_index=True)
    same = (frame["emotion_a"] == frame["emotion_b"]) & (frame["emotion_a"] != ALL)
    between = [
        {a, b} == set(domains) for a, b in zip(frame["domain_a"], frame["domain_b"], strict=True)
    ]
    frame = frame[same & np.array(between, dtype=bool) & (frame["level"] == level)]
    if frame.empty:
        raise InputError(
            f"The tables of FAD have no {level} value between {' and '.join(domains)} for any "
            "emotion."
        )
    frame = frame.rename(columns={"emotion_a": "emotion"})
    return frame.assign(measure=f"{value.replace('_', '-')}-{level}", value=frame[value])[
        [*_GROUP, "emotion", "value"]
    ].reset_index(drop=True)


def correlations(
    differences: pd.DataFrame,
    distances: pd.DataFrame,
    *,
    alternative: Alternative,
    permutations: int,
    seed: int,
    correction: Correction,
) -> pd.DataFrame:
    """Correlates the size of each property's difference with a distance, over emotions.

    Spearman's rank correlation of |difference| and distance (ties get their mean rank). Its p value
    is the share of all n! orders of the emotions whose correlation is at least as large (in
    absolute value, for two-sided); if n! exceeds `permutations`, that many orders are drawn and
    p = (1 + those at least as large) / (1 + drawn). Corrected are the properties of one corpus,
    model, measure and layer together; layers are not corrected for, so one significant layer among
    many is no finding.

    Args:
        differences: from `differences`, of one design and effect per corpus.
        distances: corpus, model, measure, layer, emotion and value (see `distances`).
        alternative: `greater` asks for larger differences with larger distances only.
        permutations: the most orders that are enumerated, and how many are drawn instead.
        seed: of the draws; unused where all orders are enumerated.
        correction: `holm` (Holm, 1979: family-wise error) or `bh` (Benjamini & Hochberg, 1995:
            false discovery rate).

    Returns:
        The columns `CORRELATION_COLUMNS`: `tests` is the number of properties corrected for,
        `permutations` how many orders were looked at, `exact` whether those were all, `smallest_p`
        the smallest p that these ranks could give, `emotions` how many were correlated. What cannot
        be computed is NaN, and `reason` says why.

    Raises:
        InputError: if a column is missing or an argument is not one of those above.
    """
    _check_choice("alternative", alternative, ("two-sided", "greater"))
    _check_choice("correction", correction, ("holm", "bh"))
    if permutations < 1:
        raise InputError("The number of permutations must be at least 1.")
    columns = ["corpus", "emotion", "property", "design", "difference"]
    tables.require(differences, columns, what="acoustic differences")
    tables.require(distances, [*_GROUP, "emotion", "value"], what="distances")
    rows = []
    for keys, distance in distances.groupby(_GROUP, sort=False):
        group = dict(zip(_GROUP, keys, strict=True))
        by_emotion = distance.set_index("emotion")["value"]
        if by_emotion.index.has_duplicates:
            raise InputError(
                f"The distances of {group['model']}, layer {group['layer']} ({group['measure']}) "
                "have an emotion more than once."
            )
        own = differences[differences["corpus"] == group["corpus"]]
        family = []
        for name, one in own.groupby("property", sort=False):
            sizes = one.set_index("emotion")["difference"].abs()
            row = _correlation(sizes, by_emotion, alternative, permutations, seed)
            family.append({**group, "property": name, "design": one["design"].iloc[0], **row})
        rows += _adjusted(family, correction)
    if not rows:
        raise InputError("The acoustic differences and the distances have no corpus in common.")
    table = pd.DataFrame(rows).assign(alternative=alternative, correction=correction)
    return table[list(CORRELATION_COLUMNS)]


def adjust(p: Sequence[float] | np.ndarray, *, correction: Correction) -> np.ndarray:
    """Returns p values corrected for their number, by Holm or by Benjamini and Hochberg.

    Args:
        p: finite p values, shape (n,).
        correction: `holm`: max over j <= i of (n - j + 1) p_(j), at most 1; `bh`: min over j >= i
            of n p_(j) / j, at most 1; p_(j) is the j-th smallest.
    """
    p = np.asarray(p, np.float64)
    if correction == "bh":
        return stats.false_discovery_control(p) if len(p) else p
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    result = np.empty(len(p))
    result[order] = np.minimum(stepped, 1.0)
    return result


def _correlation(
    sizes: pd.Series, by_emotion: pd.Series, alternative: Alternative, most: int, seed: int
) -> dict[str, object]:
    """Computes one row of `correlations`, without the correction."""
    both = pd.concat([sizes.rename("size"), by_emotion.rename("distance")], axis=1, join="inner")
    both = both[np.isfinite(both).all(axis=1)]
    count = len(both)
    row: dict[str, object] = {
        **dict.fromkeys(("correlation", "p", "smallest_p"), np.nan),
        "permutations": 0,
        "exact": False,
        "emotions": count,
    }
    if count < _FEWEST_EMOTIONS:
        reason = (
            f"The correlation is missing, because it needs {_FEWEST_EMOTIONS} emotions that have "
            f"both values and {'only ' if count else ''}{count or 'none'} "
            f"{'has' if count == 1 else 'have'}."
        )
        return {**row, "reason": reason}
    # Centred ranks are multiples of 1/4, so their products compare without rounding.
    x, y = (stats.rankdata(both[column]) - (count + 1) / 2 for column in both)
    norm = math.sqrt((x @ x) * (y @ y))
    if norm == 0:
        what = "distance" if x.any() else "difference"
        reason = f"The correlation is missing, because the {what} is the same for every emotion."
        return {**row, "reason": reason}
    looked_at, exact = _orders(count, most, seed)
    permuted = y[looked_at] @ x
    observed = float(y @ x)
    if alternative == "two-sided":
        extreme, permuted = abs(observed), np.abs(permuted)
    else:
        extreme = observed
    extra = 0 if exact else 1
    total = len(permuted) + extra

    def share(threshold: float) -> float:
        return (int((permuted >= threshold).sum()) + extra) / total

    return {
        **row,
        "correlation": observed / norm,
        "p": share(extreme),
        "smallest_p": share(permuted.max()) if exact else 1 / total,
        "permutations": len(permuted),
        "exact": exact,
        "reason": "",
    }


@cache
def _orders(count: int, most: int, seed: int) -> tuple[np.ndarray, bool]:
    """Returns orders of `count` things, shape (orders, count), and whether these are all."""
    if math.factorial(count) <= most:
        return np.array(list(orders(range(count)))), True
    generator = np.random.default_rng(seed)
    return generator.permuted(np.tile(np.arange(count), (most, 1)), axis=1), False


def _adjusted(family: list[dict[str, object]], correction: Correction) -> Iterator[dict]:
    """Adds the corrected p values to the rows of one family."""
    tested = [index for index, row in enumerate(family) if np.isfinite(row["p"])]
    corrected = adjust([family[index]["p"] for index in tested], correction=correction)
    by_index = dict(zip(tested, corrected, strict=True))
    for index, row in enumerate(family):
        yield {**row, "p_adjusted": by_index.get(index, np.nan), "tests": len(tested)}


# For figures and text -----------------------------------------------------------------------------


def weakness(correlations: pd.DataFrame, *, alpha: float) -> str:
    """Says in words how little the test of `correlations` can find.

    Args:
        correlations: from `correlations`.
        alpha: the level below which an adjusted p is called significant.

    Returns:
        A few sentences, for the figure's note and the methods.
    """
    tested = correlations[np.isfinite(correlations["p"])]
    if tested.empty:
        return "No correlation could be computed."
    emotions = int(tested["emotions"].max())
    most = tested[tested["emotions"] == emotions].iloc[0]
    tests = int(tested["tests"].max())
    if most["exact"]:
        total = math.factorial(emotions)
        side = {"two-sided": 2, "greater": 1}[most["alternative"]]
        least = side / total
        reach = (
            f"With {emotions} emotions the smallest possible p is 1/{total:,} = {1 / total:.2g} "
            f"one-sided and 2/{total:,} = {2 / total:.2g} two-sided"
        )
    else:
        least = float(most["smallest_p"])
        reach = (
            f"With {emotions} emotions and {int(most['permutations']):,} orders drawn, the "
            f"smallest possible p is {least:.2g}"
        )
    verdict = "The test is weak: what is not significant may well be there."
    if most["correction"] == "holm":
        best = min(1.0, least * tests)
        reach += f", and corrected for {tests} properties at best {best:.2g}"
        if best > alpha:
            verdict = f"So no property can be found significant at {alpha:g}, whatever the truth."
    return f"{reach}. {verdict}"


def heatmap_table(correlations: pd.DataFrame, *, measure: str, alpha: float) -> pd.DataFrame:
    """Returns what the heat map of rank correlations draws, for one measure.

    Returns:
        model, layer, feature (the property), correlation and significant (adjusted p below
        `alpha`).

    Raises:
        InputError: if the measure does not occur.
    """
    one = correlations[correlations["measure"] == measure]
    tables.require(one, CORRELATION_COLUMNS, what=f"correlations with {measure}")
    one = one.rename(columns={"property": "feature"})
    one = one.assign(significant=one["p_adjusted"] < alpha)
    columns = ["model", "layer", "feature", "correlation", "significant"]
    return one[columns].reset_index(drop=True)


def forest_table(
    differences: pd.DataFrame, *, properties: Sequence[str], labels: Mapping[str, str]
) -> pd.DataFrame:
    """Returns what a forest plot of differences draws: emotions under a heading per property.

    Args:
        differences: from `differences`.
        properties: which, in this order.
        labels: display names of properties and emotions.

    Returns:
        label, estimate, low, high, group and significant (the interval excludes 0); differences
        that are missing are left out.
    """
    parts = [differences[differences["property"] == name] for name in properties]
    one = pd.concat(parts) if parts else differences.iloc[:0]
    one = one[np.isfinite(one["difference"])]
    return pd.DataFrame(
        {
            "label": [labels.get(name, name) for name in one["emotion"]],
            "estimate": one["difference"].to_numpy(float),
            "low": one["low"].to_numpy(float),
            "high": one["high"].to_numpy(float),
            "group": [labels.get(name, name) for name in one["property"]],
            "significant": ((one["low"] > 0) | (one["high"] < 0)).to_numpy(bool),
        }
    )


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise InputError(f"The {name} is `{value}`; choose from {', '.join(choices)}.")
