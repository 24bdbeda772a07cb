"""Whether the emotions that differ most acoustically are those that lie farthest apart."""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import permutations as orders
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from consonance import tables
from consonance.correlates.effects import check_choice
from consonance.errors import InputError

ALL = "all"
"""The name of the set that pools every emotion; no emotion, so not correlated over."""

CORRELATION_COLUMNS = (
    *("corpus", "model", "measure", "layer", "property", "correlation", "p", "p_adjusted"),
    *("tests", "permutations", "exact", "smallest_p", "emotions", "design", "alternative"),
    *("correction", "reason"),
)
_GROUP = ["corpus", "model", "measure", "layer"]
_FEWEST_EMOTIONS = 3  # two can only agree or disagree

Alternative = Literal["two-sided", "greater"]
Correction = Literal["holm", "bh"]


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
    check_choice("alternative", alternative, ("two-sided", "greater"))
    check_choice("correction", correction, ("holm", "bh"))
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
