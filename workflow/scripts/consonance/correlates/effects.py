"""How much the recordings of an emotion differ between two domains in an acoustic property."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from scipy import special

from consonance import tables
from consonance.errors import InputError

PAIR = ("speaker", "emotion", "intensity", "statement", "repetition")
"""What recordings of two domains must share to be matched."""

DIFFERENCE_COLUMNS = (
    *("corpus", "emotion", "property", "unit", "design", "effect", "domain_a", "domain_b"),
    *("difference", "low", "high", "confidence", "mean_a", "mean_b", "clips_a", "clips_b"),
    *("speakers", "left_out", "reason"),
)

# Below this, relative to the total variance, a variance from sums is rounding and not spread.
_ROUNDING = 1e-12
# A draw that is the corpus again differs from it by rounding only.
_TIE = 1e-9

Design = Literal["unpaired", "paired"]
Effect = Literal["hedges", "cohen"]


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
    one degree of freedom J is 0. The interval is the bias-corrected and accelerated one (Efron,
    1987, JASA 82(397)) of a bootstrap that draws whole speakers, each with all its recordings of
    both domains, because recordings of a speaker are alike. (Draws have fewer different speakers
    than the corpus, so less spread and larger differences: percentiles alone would be too high.)
    In simulations 95 % intervals covered the truth 94 % of the time with 20 speakers, 92 % with 12
    and 88 % with 8.

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
    check_choice("design", design, ("unpaired", "paired"))
    check_choice("effect", effect, ("hedges", "cohen"))
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
    excess = (drawn - estimate) / max(1.0, abs(estimate))
    below = (excess < -_TIE).mean() + (np.abs(excess) <= _TIE).mean() / 2
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


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raises an `InputError` unless `value` is one of `choices`."""
    if value not in choices:
        raise InputError(f"The {name} is `{value}`; choose from {', '.join(choices)}.")
