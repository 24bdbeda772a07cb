"""The results that claims are checked on: probes, distances between domains, adaptation.

Each kind of evidence computes a linear contrast of its results (`Part`) with an interval:

- probes: bootstrap over units and seeds (`resampling.combine`), models, domains, layers and
  emotions being drawn together, so that what is paired stays paired; interval by Student's t;
- distances: jackknife over actors or folds of actors, theta -+ t_(K-1) sqrt((K - 1) / K sum
  (theta_(k) - mean)^2) for K values with one actor or fold left out;
- adaptation: t over seeds with the correction for overlapping training sets
  (`intervals.corrected_t`).
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from consonance import intervals, resampling
from consonance import predictions as stored
from consonance.errors import InputError
from consonance.predictions import Tested
from consonance.resampling import Counts, Replicates
from consonance.splits import generator

Layers = Mapping[str, tuple[Fraction, Fraction]]
"""Parts of an encoder of L layers: layer l belongs to one if over < l / L <= upto."""


@dataclass(frozen=True)
class Part:
    """One inequality: the sum of the terms `plus` less the sum of `minus`, against a threshold."""

    text: str
    plus: tuple[Mapping[str, Any], ...]
    minus: tuple[Mapping[str, Any], ...]
    relation: str
    threshold: float


class Lacking(Exception):
    """Something that a contrast needs is not among the results; the message says what."""


@dataclass(frozen=True)
class Estimate:
    """A contrast: its value, its interval at any level, and why there is none."""

    value: float
    interval: Callable[[float], tuple[float, float]]
    reason: str = ""


class Source:
    """What the kinds of evidence share."""

    scheme = ""
    measure = ""
    unit = ""

    def __init__(self, layers: Layers, emotions: Sequence[str]) -> None:
        self._layers = layers
        self._emotions = list(emotions)

    def estimate(self, part: Part, cast: Mapping[str, str], relative_to: str) -> Estimate:
        """Computes a contrast for the models in their roles."""
        raise NotImplementedError

    def order(self, model: str, groups: Sequence[Sequence[str]]) -> str:
        """Returns a sentence on how well an order of emotions is met, or ''."""
        return ""

    def show(self, value: float) -> str:
        """Returns a value as text."""
        return f"{100 * value:.1f}"

    def _model(self, term: Mapping[str, Any], cast: Mapping[str, str]) -> str:
        """Returns the model that a term is about."""
        return cast[term["role"]] if "role" in term else cast[""]

    def _codes(self, names: Sequence[str]) -> list[int]:
        """Returns the numbers of emotions."""
        absent = [name for name in names if name not in self._emotions]
        if absent:
            verb = "is" if len(absent) == 1 else "are"
            raise Lacking(f"{' and '.join(absent)} {verb} not among the emotions of this run.")
        return [self._emotions.index(name) for name in names]

    def _members(self, name: str, layers: Sequence[int]) -> list[int]:
        """Returns the layers of a part of the encoder, of those from 1 on."""
        there = [layer for layer in layers if layer >= 1]
        total = max(there, default=0)
        single = {"first": 1, "last": total, "last - 1": total - 1, "last - 2": total - 2}
        if name in single:
            members = [layer for layer in there if layer == single[name]]
        else:
            over, upto = self._layers[name]
            members = [layer for layer in there if over < Fraction(layer, total) <= upto]
        if not members:
            raise Lacking(f"With layers up to {total}, the part '{name}' of the encoder is empty.")
        return members

    def _layer_weights(self, term: Mapping[str, Any], layers: Sequence[int]) -> np.ndarray:
        """Returns the weight of every layer in a term."""
        weights = np.zeros(len(layers))
        position = {layer: at for at, layer in enumerate(layers)}
        if "steps" in term:
            ends = [k for k in self._members(term["steps"], layers) if k - 1 in position and k > 1]
            if not ends:
                raise Lacking(f"There is no step between layers within '{term['steps']}'.")
            for layer in ends:
                weights[position[layer]] += 1 / len(ends)
                weights[position[layer - 1]] -= 1 / len(ends)
            return weights
        members = self._members(term["layers"], layers)
        if "except" in term:
            left = self._members(term["except"], layers)
            members = [layer for layer in members if layer not in left]
            if not members:
                raise Lacking(f"'{term['layers']}' without '{term['except']}' has no layer.")
        weights[[position[layer] for layer in members]] = 1 / len(members)
        return weights


class Probes(Source):
    """Test results of the probes under one split scheme."""

    unit = " points"

    def __init__(
        self,
        layers: Layers,
        emotions: Sequence[str],
        *,
        scheme: str,
        found: Mapping[tuple[str, str, str], Tested],
        scores: pd.DataFrame,
        manifest: pd.DataFrame,
        domains: Mapping[str, str],
        draws: int,
        seed: int,
        min_clusters: int,
    ) -> None:
        super().__init__(layers, emotions)
        self.scheme = scheme
        self._scores, self._manifest, self._domains = scores, manifest, domains
        self._draws, self._seed, self._min_clusters = draws, seed, min_clusters
        results = {key[:2]: each for key, each in found.items() if key[2] == scheme}
        common = set.intersection(*(set(each.seeds) for each in results.values()))
        first = next(iter(results.values()))
        self._seeds = [name for name in first.seeds if name in common]
        self._results = {
            key: each.of_seeds(self._seeds) if self._seeds else each
            for key, each in results.items()
        }

    @cached_property
    def _drawn(self) -> tuple[dict[tuple[str, str], Counts], np.ndarray]:
        """Draws units for all models and domains at once, and seeds."""
        counts, seed_draws = resampling.draw_counts(
            list(self._results.values()), self._manifest, scheme=self.scheme, draws=self._draws,
            rng=generator(self._seed, f"claims/{self.scheme}"),
        )  # fmt: skip
        return dict(zip(self._results, counts, strict=True)), seed_draws

    def estimate(self, part: Part, cast: Mapping[str, str], relative_to: str) -> Estimate:
        if not self._seeds:
            raise Lacking("The models have no seed in common, so they cannot be compared.")
        total, used = 0.0, []
        for sign, terms in ((1, part.plus), (-1, part.minus)):
            for term in terms:
                values, key = self._term(term, cast)
                total = total + sign * values
                used.append(key)
        counts, seed_draws = self._drawn
        groups = min(counts[key].groups_all for key in used)
        effective = min(counts[key].effective_all for key in used)
        replicates = resampling.combine(total, seed_draws, groups=groups, effective=effective)
        reason = ""
        if groups < self._min_clusters:
            unit = resampling.UNIT_OF_SCHEME[self.scheme]
            reason = f"Only {groups} {unit}s were tested; an interval needs {self._min_clusters}."
        elif np.isnan(replicates.value):
            reason = "An emotion of the comparison has no test clip."
        return Estimate(float(replicates.value), _student(replicates, reason), reason)

    def _term(
        self, term: Mapping[str, Any], cast: Mapping[str, str]
    ) -> tuple[np.ndarray, tuple[str, str]]:
        """Returns a term in every draw and seed: (1 + draws, S)."""
        model = self._model(term, cast)
        domain = self._domains.get(term["domain"])
        key = model, domain
        if key not in self._results:
            named = domain or term["domain"]
            raise Lacking(f"There are no predictions of {model} on {named} in this run.")
        counts, result = self._drawn[0][key], self._results[key]
        if "emotions" in term:
            codes = self._codes(term["emotions"])
            per_layer = counts.recall()[..., codes].mean(axis=-1)
        else:
            per_layer = counts.accuracy()
        if term.get("pick") == "validation":
            chosen = stored.chosen_layers(
                self._scores, model=model, domain=domain, scheme=self.scheme,
                candidates=self._members(term["layers"], result.layers),
            )  # fmt: skip
            if set(self._seeds) - set(chosen):
                raise Lacking(f"The scores of {model} on {domain} lack a seed of its predictions.")
            return resampling.pick(per_layer, result, chosen), key
        return per_layer @ self._layer_weights(term, result.layers), key


class Distances(Source):
    """Distances between the domains by one measure, and the same without each actor or fold."""

    unit = " % of the mean distance"

    def __init__(
        self,
        layers: Layers,
        emotions: Sequence[str],
        distances: pd.DataFrame,
        replicates: pd.DataFrame | None,
        measure: str,
    ) -> None:
        super().__init__(layers, emotions)
        self.measure = measure
        self._distances, self._replicates = distances, replicates
        self._found: dict[str, tuple[list[int], np.ndarray, np.ndarray | None]] = {}

    def estimate(self, part: Part, cast: Mapping[str, str], relative_to: str) -> Estimate:
        data, left_out = 0.0, []
        for sign, terms in ((1, part.plus), (-1, part.minus)):
            for term in terms:
                layers, value, without = self._arrays(self._model(term, cast))
                weights = self._layer_weights(term, layers)
                codes = self._codes(term["emotions"])
                data += sign * float(_weighted(_relative(value, relative_to), weights, codes))
                if without is not None:
                    without = sign * _weighted(_relative(without, relative_to), weights, codes)
                left_out.append(without)
        if not np.isfinite(data):
            reason = "A distance of the comparison is missing, or a mean distance is not above 0."
            return Estimate(np.nan, _none, reason)
        sizes = {None if without is None else len(without) for without in left_out}
        total = None if None in sizes or len(sizes) > 1 else sum(left_out)
        if total is None or len(total) < 2 or not np.isfinite(total).all():
            reason = (
                f"It is {self.show(data)}{self.unit}, but distances with single actors or folds "
                "left out are missing, so there is no interval."
            )
            return Estimate(data, _none, reason)
        return Estimate(data, jackknife(data, total))

    def _arrays(self, model: str) -> tuple[list[int], np.ndarray, np.ndarray | None]:
        """Returns layers, distances (L, E) and those with something left out (K, L, E)."""
        if model not in self._found:
            self._found[model] = self._gridded(model)
        return self._found[model]

    def _gridded(self, model: str) -> tuple[list[int], np.ndarray, np.ndarray | None]:
        part = self._distances[
            (self._distances["model"] == model) & (self._distances["layer"] >= 1)
        ]
        if part.empty:
            raise Lacking(f"There are no distances of {model} in this run.")
        layers = sorted(part["layer"].unique().tolist())
        (value,) = _grids(part.assign(replicate=0), layers, self._emotions)
        if self._replicates is None:
            return layers, value, None
        rows = self._replicates[self._replicates["model"] == model]
        without = _grids(rows, layers, self._emotions)
        return layers, value, without if len(without) else None

    def order(self, model: str, groups: Sequence[Sequence[str]]) -> str:
        places = {name: place for place, group in enumerate(groups) for name in group}
        _, value, _ = self._arrays(model)
        codes = self._codes(list(places))
        taus = [
            stats.kendalltau(row[codes], list(places.values())).statistic
            for row in value
            if np.isfinite(row[codes]).all()
        ]
        if not taus:
            return ""
        return (
            " Kendall's tau between the distances and the paper's order: median "
            f"{np.median(taus):.2f} over {len(taus)} layers, {min(taus):.2f} to {max(taus):.2f}."
        )


class Adaptation(Source):
    """Accuracies after adaptation under one split scheme."""

    unit = " points"

    def __init__(
        self,
        layers: Layers,
        emotions: Sequence[str],
        *,
        scheme: str,
        table: pd.DataFrame,
        domains: Mapping[str, str],
        test_to_train: float,
    ) -> None:
        super().__init__(layers, emotions)
        self.scheme = scheme
        self._table = table[table["metric"] == "accuracy"]
        self._domains, self._test_to_train = domains, test_to_train

    def estimate(self, part: Part, cast: Mapping[str, str], relative_to: str) -> Estimate:
        total = 0.0
        for sign, terms in ((1, part.plus), (-1, part.minus)):
            for term in terms:
                total = total + sign * self._term(term, cast)
        seeds = total.dropna()
        frame = pd.DataFrame({"part": "", "seed": seeds.index, "value": seeds.to_numpy()})
        if len(seeds) < 2:
            few = "one seed" if len(seeds) else "no seed"
            value = float(seeds.mean()) if len(seeds) else np.nan
            return Estimate(value, _none, f"It rests on {few}; an interval needs two.")

        def interval(level: float) -> tuple[float, float]:
            row = intervals.corrected_t(
                frame, keys=["part"], level=level, test_to_train=self._test_to_train
            ).iloc[0]
            return row["low"], row["high"]

        return Estimate(float(seeds.mean()), interval)

    def _term(self, term: Mapping[str, Any], cast: Mapping[str, str]) -> pd.Series:
        """Returns a term per seed."""
        model = self._model(term, cast)
        cells = []
        for approach, named in itertools.product(
            _listed(term["approach"]), _listed(term["domain"])
        ):
            domain = self._domains.get(named)
            (other,) = [name for paper, name in self._domains.items() if paper != named] or [None]
            direct = term["training"] == "direct"
            source, target = (domain, other) if direct else (other, domain)
            rows = self._table[
                (self._table["model"] == model)
                & (self._table["approach"] == approach)
                & (self._table["direction"] == f"{source}-to-{target}")
                & (self._table["stage"] == (1 if direct else 2))
                & (self._table["domain"] == domain)
            ]
            if rows.empty:
                how = "directly" if direct else "in two stages"
                raise Lacking(
                    f"There is no result of {model} with {approach} on {domain or named} {how}."
                )
            if rows["seed"].duplicated().any():
                raise InputError(
                    f"The adaptation scores of {model} with {approach} on {domain} repeat a seed; "
                    "give each score once."
                )
            cells.append(rows.set_index("seed")["value"])
        return pd.concat(cells, axis=1).mean(axis=1, skipna=False)


def _listed(value: Any) -> list:
    return value if isinstance(value, list) else [value]


def _none(level: float) -> tuple[float, float]:
    return np.nan, np.nan


def _student(replicates: Replicates, reason: str) -> Callable[[float], tuple[float, float]]:
    """Returns the interval of a difference at any level."""
    if reason:
        return _none

    def interval(level: float) -> tuple[float, float]:
        low, high, _ = resampling.student_interval(replicates, level=level)
        return float(low), float(high)

    return interval


def jackknife(value: float, without: np.ndarray) -> Callable[[float], tuple[float, float]]:
    """Returns the delete-one jackknife's interval at any level."""
    k = len(without)
    error = np.sqrt((k - 1) / k * ((without - without.mean()) ** 2).sum())

    def interval(level: float) -> tuple[float, float]:
        half = stats.t.ppf((1 + level) / 2, k - 1) * error
        return float(value - half), float(value + half)

    return interval


def _grids(rows: pd.DataFrame, layers: Sequence[int], emotions: Sequence[str]) -> np.ndarray:
    """Returns the distances of every replicate, (K, L, E), NaN where there is none."""
    rows = rows[rows["emotion"].isin(emotions) & rows["layer"].isin(layers)]
    if rows.duplicated(["replicate", "layer", "emotion"]).any():
        raise InputError("A distance occurs twice for the same model, layer and emotion.")
    names = sorted(rows["replicate"].unique().tolist())
    grids = np.full((len(names), len(layers), len(emotions)), np.nan)
    at = [
        pd.Categorical(rows[column], categories=list(known)).codes
        for column, known in (("replicate", names), ("layer", layers), ("emotion", emotions))
    ]
    grids[tuple(at)] = rows["value"]
    return grids


def _relative(values: np.ndarray, relative_to: str) -> np.ndarray:
    """Divides by the mean over emotions of the layer, or over layers of the emotion."""
    axis = {"layer": -1, "emotion": -2}[relative_to]
    there = np.isfinite(values)
    mean = resampling.ratio(
        np.where(there, values, 0.0).sum(axis=axis, keepdims=True),
        there.sum(axis=axis, keepdims=True),
    )
    return resampling.ratio(values, mean)


def _weighted(values: np.ndarray, weights: np.ndarray, codes: Sequence[int]) -> np.ndarray:
    """Returns the weighted sum over layers of the mean over emotions: (...)."""
    used = weights != 0
    return values[..., used, :][..., codes].mean(axis=-1) @ weights[used]
