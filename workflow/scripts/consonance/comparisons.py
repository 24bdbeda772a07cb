"""Differences between models, layers, domains and split schemes, paired and corrected for number.

Each kind of comparison is paired as far as the data allow, and `method` says how:

- models, and layers of one model: the same test clips in every seed.
- domains (speech against song): never the same recordings. Under the random split a recording is
  drawn together with its counterpart in the other domain (same speaker, emotion, intensity,
  statement, repetition) wherever both are tested, in whatever seed; under the speaker split all
  recordings of a speaker, in both domains, are drawn together.
- schemes (random against speaker split): the clips that some seed of each scheme tested, if these
  contain every emotion in every seed, else all test clips; speakers are drawn in either case.

Several seeds: paired bootstrap over units and seeds (`resampling.combine` on the differences per
seed). One split: McNemar's exact test on the clips that one side recognised and the other did not.

Layers: "mean" is the mean over layers 1 to L; "chosen" is, in every seed, the layer with the best
validation accuracy. No layer is ever chosen by its test clips.

Families: the comparisons that answer one question (a kind, a metric, a basis, over all models,
domains and schemes) are corrected together by Holm's method; `family_size` says how many.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from consonance import predictions as stored
from consonance import resampling
from consonance.contrasts import CHOSEN
from consonance.errors import InputError
from consonance.predictions import Tested
from consonance.resampling import Counts
from consonance.splits import generator

KINDS = ("models", "layers", "domains", "schemes")
METRICS = ("accuracy", "uar")
COLUMNS = (
    "corpus",
    "kind",
    "family",
    "family_size",
    "comparison",
    "model",
    "domain",
    "scheme",
    "layers",
    "a",
    "b",
    "metric",
    "basis",
    "value_a",
    "value_b",
    "difference",
    "low",
    "high",
    "level",
    "p",
    "p_holm",
    "method",
    "unit",
    "clusters",
    "clips",
    "seeds",
    "draws",
    "reason",
)
MEAN = "mean"
SAME_CLIPS = "paired on the same clips"

_Key = tuple[str, str, str]


def compare(
    predictions: pd.DataFrame,
    scores: pd.DataFrame,
    manifest: pd.DataFrame,
    *,
    kinds: Sequence[str],
    emotions: Sequence[str],
    metrics: Sequence[str],
    first_seed: int,
    level: float,
    draws: int,
    seed: int,
    min_clusters: int,
) -> pd.DataFrame:
    """Compares what can be compared within one corpus.

    Args:
        predictions: model, scheme, seed, layer, clip, emotion, predicted of all probe sets.
        scores: the score tables of the same probe sets (for the choice of layers).
        manifest: the kept clips.
        kinds: of `KINDS`: "models" (each pair, per domain and scheme; mean and chosen layer),
            "layers" (chosen layer against every layer, per model, domain and scheme), "domains"
            (per model and scheme; mean and chosen), "schemes" (per model and domain; likewise).
        emotions: the emotions of the experiment, in order.
        metrics: of accuracy, uar.
        first_seed: the seed of McNemar's test (accuracy, single layers).
        level: confidence of each interval, not corrected for number.
        draws: bootstrap draws.
        seed: of the draws.
        min_clusters: with fewer units there is a difference but no interval and no p value.

    Returns:
        Columns `COLUMNS`. difference is value_a - value_b; low, high and p belong to it; p_holm is
        p corrected within the family. basis is "seeds" (bootstrap) or "first" (McNemar). Interval
        of McNemar: Clopper and Pearson's for the share of discordant clips that a has, given their
        number. clips counts different clips (pairs for domains under McNemar). Where a comparison
        cannot be made, reason is a sentence and the numbers are empty.

    Raises:
        InputError: an unknown kind or metric, settings out of range, predictions that do not fit
            the manifest, probe sets of one domain and scheme that rest on different splits, or a
            model without validation scores.
    """
    problems = [
        f"The kind of comparison '{kind}' is unknown; choose from {', '.join(KINDS)}."
        for kind in kinds
        if kind not in KINDS
    ]
    problems += [
        f"The metric '{metric}' cannot be compared; choose from {', '.join(METRICS)}."
        for metric in metrics
        if metric not in METRICS
    ]
    if not 0 < level < 1:
        problems.append(f"The level of confidence is {level}; it must lie between 0 and 1.")
    if draws < 2:
        problems.append(f"The number of bootstrap draws is {draws}; it must be at least 2.")
    if problems:
        raise InputError(problems)
    found = stored.arrange(predictions, manifest, emotions=emotions)
    problems = stored.same_splits(list(found.values()))
    if problems:
        raise InputError(problems)
    corpus = manifest.loc[manifest["clip"].isin(predictions["clip"].unique()), "corpus"].iloc[0]
    chosen = {
        key: stored.chosen_layers(
            scores, model=key[0], domain=key[1], scheme=key[2],
            candidates=[layer for layer in each.layers if layer >= 1],
        )
        for key, each in found.items()
    }  # fmt: skip
    for key, each in found.items():
        lacking = [str(name) for name in each.seeds if name not in chosen[key]]
        if lacking:
            problems.append(
                f"The scores of {key[0]} on {key[1]} ({key[2]} split) have no validation accuracy "
                f"for seed {', '.join(lacking)}; train the probes again."
            )
    if problems:
        raise InputError(problems)
    engine = _Engine(
        found=found, chosen=chosen, manifest=manifest, corpus=corpus, metrics=metrics,
        first_seed=first_seed, level=level, draws=draws, seed=seed, min_clusters=min_clusters,
    )  # fmt: skip
    rows = [row for kind in kinds for row in getattr(engine, kind)()]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    # Rates lie between 0 and 1, and so their differences between -1 and 1.
    table[["low", "high"]] = table[["low", "high"]].astype(float).clip(-1, 1)
    return holm(table)


def holm(table: pd.DataFrame) -> pd.DataFrame:
    """Corrects the p values of every family for the number of comparisons in it (Holm 1979).

    Args:
        table: columns family and p; comparisons without a p value do not count.

    Returns:
        The table with family_size and p_holm filled.

    Raises:
        InputError: if a column is missing.
    """
    missing = {"family", "p"} - set(table.columns)
    if missing:
        raise InputError(f"The comparisons lack the column {', '.join(sorted(missing))}.")
    corrected = table.copy()
    corrected["p_holm"] = np.nan
    corrected["family_size"] = 0
    for _, part in corrected.groupby("family", sort=False):
        made = part.index[part["p"].notna()]
        corrected.loc[part.index, "family_size"] = len(made)
        if len(made):
            adjusted = multipletests(part.loc[made, "p"], method="holm")[1]
            corrected.loc[made, "p_holm"] = adjusted
    return corrected


def mcnemar_exact(
    a: np.ndarray, b: np.ndarray, *, level: float
) -> tuple[float, float, float, float]:
    """McNemar's exact test of two classifiers on the same clips.

    With m clips that only a recognised and k that only b did, m is binomial with m + k trials and
    probability 1/2 if both are equally good. The interval of the difference (m - k) / n is
    (2 pi - 1) (m + k) / n over Clopper and Pearson's interval of pi, given m + k: it excludes 0
    where the test rejects.

    Args:
        a: (n,) bool, recognised by a.
        b: (n,) bool, recognised by b.
        level: confidence.

    Returns:
        difference, low, high, p (two-sided).
    """
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    n, discordant = len(a), only_a + only_b
    test = mcnemar([[int((a & b).sum()), only_a], [only_b, int((~a & ~b).sum())]], exact=True)
    tail = (1 - level) / 2
    low = stats.beta.ppf(tail, only_a, only_b + 1) if only_a else 0.0
    high = stats.beta.ppf(1 - tail, only_a + 1, only_b) if only_b else 1.0
    low, high = ((2 * share - 1) * discordant / n for share in (low, high))
    return (only_a - only_b) / n, float(low), float(high), min(1.0, float(test.pvalue))


@dataclass(frozen=True)
class _Pair:
    """Two sides of a comparison and their draws.

    Attributes:
        sides: what was tested on each side.
        layers: per side seed to layer, or None for the mean over layers.
        shown: the layers in words.
        paired: how the sides belong together, in words.
        counts: per side, in every draw.
        seed_draws: how often each seed is drawn.
        unit: what is drawn.
        problem: why there are no draws, or "".
    """

    sides: tuple[Tested, Tested]
    layers: tuple[Mapping[int, int] | None, Mapping[int, int] | None]
    shown: str
    paired: str
    counts: Sequence[Counts]
    seed_draws: np.ndarray
    unit: str
    problem: str


@dataclass(frozen=True)
class _Engine:
    """Makes the rows of each kind of comparison."""

    found: Mapping[_Key, Tested]
    chosen: Mapping[_Key, Mapping[int, int]]
    manifest: pd.DataFrame
    corpus: str
    metrics: Sequence[str]
    first_seed: int
    level: float
    draws: int
    seed: int
    min_clusters: int

    def models(self) -> list[dict]:
        """Each pair of models, per domain and scheme."""
        rows = []
        for (domain, scheme), group in self._grouped(1, 2):
            for a, b in combinations(group, 2):
                labels = {"model": "", "domain": domain, "scheme": scheme, "a": a[0], "b": b[0]}
                for pair in self._pairs("models", a, b, scheme, SAME_CLIPS):
                    rows += self._rows("models", labels, pair)
        return rows

    def domains(self) -> list[dict]:
        """Each pair of domains, per model and scheme."""
        rows = []
        for (model, scheme), group in self._grouped(0, 2):
            for a, b in combinations(group, 2):
                labels = {"model": model, "domain": "", "scheme": scheme, "a": a[1], "b": b[1]}
                paired = "by matched recording" if scheme == "random" else "by speaker"
                for pair in self._pairs("domains", a, b, scheme, f"paired {paired}"):
                    rows += self._rows("domains", labels, pair)
        return rows

    def schemes(self) -> list[dict]:
        """Each pair of schemes, per model and domain."""
        rows = []
        for (model, domain), group in self._grouped(0, 1):
            for a, b in combinations(group, 2):
                labels = {"model": model, "domain": domain, "scheme": "", "a": a[2], "b": b[2]}
                sides, paired = self._tested_in_both(a, b)
                for pair in self._pairs("schemes", a, b, "speaker", paired, sides=sides):
                    rows += self._rows("schemes", labels, pair)
        return rows

    def layers(self) -> list[dict]:
        """The chosen layer against every layer, per model, domain and scheme."""
        rows = []
        for key, result in self.found.items():
            drawn, seed_draws = self._draw([result], key[2], f"layers/{'/'.join(key)}")
            labels = dict(zip(("model", "domain", "scheme"), key, strict=True))
            for layer in (name for name in result.layers if name >= 1):
                pair = _Pair(
                    sides=(result, result),
                    layers=(self.chosen[key], dict.fromkeys(result.seeds, layer)),
                    shown=f"{CHOSEN} - {layer}",
                    paired=SAME_CLIPS,
                    counts=[*drawn, *drawn],
                    seed_draws=seed_draws,
                    unit=resampling.UNIT_OF_SCHEME[key[2]],
                    problem="",
                )
                rows += self._rows("layers", labels | {"a": CHOSEN, "b": str(layer)}, pair)
        return rows

    def _grouped(self, *at: int) -> list[tuple[tuple[str, ...], list[_Key]]]:
        """Groups the probe sets by parts of their key, in order of appearance."""
        groups: dict[tuple[str, ...], list[_Key]] = {}
        for key in self.found:
            groups.setdefault(tuple(key[i] for i in at), []).append(key)
        return list(groups.items())

    def _tested_in_both(self, a: _Key, b: _Key) -> tuple[tuple[Tested, Tested], str]:
        """Returns the clips that both tested, if they hold every emotion in every seed."""
        whole = self.found[a], self.found[b]
        both = sorted(set(whole[0].clips) & set(whole[1].clips))
        parts = whole[0].only(both), whole[1].only(both)
        complete = all(
            set(part.emotions[tested]) == set(each.emotions)
            for part, each in zip(parts, whole, strict=True)
            for tested in part.tested
        )
        if complete:
            return parts, "paired on clips tested in both"
        return whole, "all test clips, paired by speaker"

    def _pairs(
        self,
        kind: str,
        a: _Key,
        b: _Key,
        scheme: str,
        paired: str,
        *,
        sides: tuple[Tested, Tested] | None = None,
    ) -> list[_Pair]:
        """Returns the pair in the mean over layers and in the chosen layers."""
        sides = sides or (self.found[a], self.found[b])
        seeds = [seed for seed in sides[0].seeds if seed in sides[1].seeds]
        drawn, seed_draws, problem = [], np.empty((0, 0)), ""
        if seeds:
            sides = sides[0].of_seeds(seeds), sides[1].of_seeds(seeds)
            drawn, seed_draws = self._draw(sides, scheme, f"{kind}/{'/'.join(a)}/{'/'.join(b)}")
        else:
            problem = "The two sides have no seed in common, so they cannot be paired."
        return [
            _Pair(
                sides=sides,
                layers=layers,
                shown=shown,
                paired=paired,
                counts=drawn,
                seed_draws=seed_draws,
                unit=resampling.UNIT_OF_SCHEME[scheme],
                problem=problem,
            )
            for shown, layers in (
                (MEAN, (None, None)),
                (CHOSEN, (self.chosen[a], self.chosen[b])),
            )
        ]

    def _draw(
        self, sides: Sequence[Tested], scheme: str, name: str
    ) -> tuple[list[Counts], np.ndarray]:
        """Draws the same units for all sides, and seeds."""
        return resampling.draw_counts(
            sides, self.manifest, scheme=scheme, draws=self.draws,
            rng=generator(self.seed, f"comparisons/{self.corpus}/{name}"),
        )  # fmt: skip

    def _rows(self, kind: str, labels: dict[str, str], pair: _Pair) -> list[dict]:
        """Returns the rows of one pair: bootstrap per metric, and McNemar's test."""
        where = [labels[name] for name in ("model", "domain") if labels[name]]
        where += [f"{labels['scheme']} split"] if labels["scheme"] else []
        where += {MEAN: ["mean over layers"], CHOSEN: ["chosen layer"]}.get(pair.shown, [])
        row = {"corpus": self.corpus, "kind": kind, **labels, "layers": pair.shown}
        layer = "layer " if kind == "layers" else ""
        row["comparison"] = f"{labels['a']} - {layer}{labels['b']} ({', '.join(where)})"
        row |= dict.fromkeys(("value_a", "value_b", "difference", "low", "high", "p"), np.nan)
        row |= {"level": self.level, "reason": pair.problem}
        rows = []
        for metric in self.metrics:
            made = row | {"metric": metric, "basis": "seeds", "family": f"{kind}, {metric}, seeds"}
            made |= {"method": f"bootstrap, {pair.paired}", "unit": pair.unit, "draws": self.draws}
            rows.append(made if pair.problem else made | self._bootstrap(metric, pair))
        single = pair.layers[0] is not None
        if "accuracy" in self.metrics and single and not pair.problem:
            made = row | {"metric": "accuracy", "basis": "first"}
            made |= {"family": f"{kind}, accuracy, first", "method": "McNemar exact"}
            rows.append(made | {"unit": "clip", "draws": ""} | self._mcnemar(pair))
        return rows

    def _bootstrap(self, metric: str, pair: _Pair) -> dict:
        """Returns the difference over seeds."""
        values = []
        for side, counts, layers in zip(pair.sides, pair.counts, pair.layers, strict=True):
            per_layer = counts.score(metric)
            if layers is None:
                kept = [k for k, layer in enumerate(side.layers) if layer >= 1]
                values.append(per_layer[:, :, kept].mean(axis=2))
            else:
                values.append(resampling.pick(per_layer, side, layers))
        # The side with fewer units limits what is known.
        groups = min(counts.groups_all for counts in pair.counts)
        effective = min(counts.effective_all for counts in pair.counts)
        replicates = resampling.combine(
            values[0] - values[1], pair.seed_draws, groups=groups, effective=effective
        )
        low, high, p = resampling.student_interval(replicates, level=self.level)
        row = {
            "value_a": float(resampling.nanmean(values[0][0], axis=0)),
            "value_b": float(resampling.nanmean(values[1][0], axis=0)),
            "difference": float(replicates.value),
            "clusters": groups,
            "clips": len(set(pair.sides[0].clips) | set(pair.sides[1].clips)),
            "seeds": len(pair.sides[0].seeds),
        }
        if groups < self.min_clusters:
            plural = "s" if groups > 1 else ""
            row["reason"] = (
                f"Only {groups} {pair.unit}{plural} were tested; a comparison over {pair.unit}s "
                f"needs at least {self.min_clusters}."
            )
            return row
        return row | {"low": float(low), "high": float(high), "p": float(p)}

    def _mcnemar(self, pair: _Pair) -> dict:
        """Returns the difference in the first seed, on clips (or matched recordings) of both."""
        a, b = pair.sides
        row = {"clusters": 0, "clips": 0, "seeds": 1}
        if self.first_seed not in a.seeds:
            return row | {"reason": f"There is no seed {self.first_seed} on both sides."}
        outcomes = []
        for side, layers in zip(pair.sides, pair.layers, strict=True):
            at = side.seeds.index(self.first_seed)
            layer = side.layers.index(layers[self.first_seed])
            tested = side.tested[at]
            clips = np.asarray(side.clips, dtype=object)[tested]
            outcomes.append(pd.Series(side.correct[at, layer, tested], index=clips))
        if a.domain != b.domain:
            # Recordings are matched by what is said and sung, not by what the split draws.
            units = resampling.units(self.manifest, scheme="random")
            for i, outcome in enumerate(outcomes):
                matched = outcome.set_axis(units.loc[outcome.index])
                outcomes[i] = matched[~matched.index.duplicated(keep=False)]
        shared = outcomes[0].index.intersection(outcomes[1].index)
        if not len(shared):
            what = "matched recordings" if a.domain != b.domain else "clips"
            return row | {"reason": f"The test parts of this split have no {what} in common."}
        first, second = (outcome.loc[shared].to_numpy(dtype=bool) for outcome in outcomes)
        difference, low, high, p = mcnemar_exact(first, second, level=self.level)
        row |= {"value_a": first.mean(), "value_b": second.mean(), "difference": difference}
        row |= {"clusters": len(shared), "clips": len(shared)}
        return row | {"low": low, "high": high, "p": p}
