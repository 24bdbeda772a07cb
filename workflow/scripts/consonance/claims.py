"""The paper's claims as checks: does each hold, fail, or can it not be told from these results?

A claim (arXiv 2409.17899, sections V-A to V-C) is written in a YAML file as one or more
inequalities between linear contrasts of results, which `evidence` computes with intervals.

An inequality holds where its interval lies on the right side of the threshold, fails where it lies
on the wrong side, and cannot be told where the interval spans the threshold. Of a claim with m
parts all of which must hold, "holds" needs every part at the given level (no correction is due:
all must be right at once), and "fails" one part at the level 1 - (1 - level) / m. Where one
part suffices, the two change places.
"""

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import yaml

from consonance import predictions as stored
from consonance import tables
from consonance.errors import InputError
from consonance.evidence import Adaptation, Distances, Lacking, Layers, Part, Probes, Source

HOLDS, FAILS, UNTOLD, MISSING = "holds", "fails", "cannot tell", "not computed"
OUTCOMES = (HOLDS, FAILS, UNTOLD, MISSING)
EVIDENCE = ("probes", "distances", "adaptation")
RELATIONS = (">", "<", "within")
NOT_THE_PAPERS = "not the paper's models or recordings"
CLAIM_COLUMNS = (
    "id",
    "finding",
    "claim",
    "models",
    "own_model",
    "evidence",
    "scheme",
    "measure",
    "outcome",
    "why",
    "statistic",
    "value",
    "low",
    "high",
    "level",
    "relation",
    "threshold",
    "parts",
    "paper",
    "note",
    "source",
)
PART_COLUMNS = (
    "id",
    "models",
    "scheme",
    "measure",
    "part",
    "value",
    "low",
    "high",
    "level",
    "relation",
    "threshold",
    "outcome",
    "reason",
)
ALL = "all"
_SINGLE_LAYERS = ("first", "last", "last - 1", "last - 2")
_CLAIM_KEYS = {
    "required": {"id", "finding", "claim", "source", "evidence", "roles", "parts"},
    "optional": {"paper", "joint", "trained_on", "combine", "relative_to", "order"},
}
_PART_KEYS = {"required": {"text", "plus", "minus", "relation", "threshold"}, "optional": {"each"}}
_TERM_KEYS = {
    "probes": {"role", "domain", "layers", "except", "pick", "emotions"},
    "distances": {"role", "layers", "except", "steps", "emotions"},
    "adaptation": {"role", "approach", "domain", "training"},
}


@dataclass(frozen=True)
class Claim:
    """One claim of the paper, as in the file (see its head)."""

    id: str
    finding: str
    text: str
    source: str
    paper: str
    evidence: str
    roles: tuple[str, ...]
    joint: bool
    trained_on: str
    any_part: bool
    relative_to: str
    order: tuple[tuple[str, ...], ...]
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Role:
    """One of the paper's models: its label, published name and what it was trained on."""

    label: str
    published: str
    trained_on: str


@dataclass(frozen=True)
class Book:
    """The claims of the paper and the words that they use."""

    layers: Layers
    roles: Mapping[str, Role]
    claims: tuple[Claim, ...]


@dataclass(frozen=True)
class Checked:
    """What came out.

    Attributes:
        claims: columns `CLAIM_COLUMNS`, one row per claim, model (or models), split scheme and
            measure. value, low, high, relation and threshold are those of the part that decided,
            statistic says it in words; own_model is whether the claim is about this model.
        parts: columns `PART_COLUMNS`, one row per inequality; level is that of its interval.
    """

    claims: pd.DataFrame
    parts: pd.DataFrame


# Reading ------------------------------------------------------------------------------------------


def read(path: str | os.PathLike[str]) -> Book:
    """Reads claims from a YAML file.

    Args:
        path: the file; its head says what each key means.

    Returns:
        The claims, with the parts that stand for several written out.

    Raises:
        InputError: naming every claim with a missing, unknown or impossible entry.
    """
    with open(path, encoding="utf-8") as stream:
        content = yaml.safe_load(stream)
    problems = []
    if not isinstance(content, dict) or set(content) != {"layers", "margin", "roles", "claims"}:
        raise InputError(f"{path} must have the keys layers, margin, roles and claims, no others.")
    layers = {
        name: (Fraction(str(ends["over"])), Fraction(str(ends["upto"])))
        for name, ends in content["layers"].items()
    }
    roles = {name: Role(**entry) for name, entry in content["roles"].items()}
    claims = []
    for entry in content["claims"]:
        found = _wrong_entry(entry, layers, roles)
        if found:
            problems += [f"The claim {entry.get('id', '?')} in {path} {text}" for text in found]
            continue
        claims.append(_claim(entry, float(content["margin"])))
    names = [claim.id for claim in claims]
    problems += [
        f"The claim {name} occurs more than once in {path}."
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    if problems:
        raise InputError(problems)
    return Book(layers=layers, roles=roles, claims=tuple(claims))


def _wrong_entry(
    entry: Mapping[str, Any], layers: Mapping[str, Any], roles: Mapping[str, Role]
) -> list[str]:
    """Returns what is wrong with a claim in the file."""
    problems = _wrong_keys(entry, _CLAIM_KEYS, "")
    if problems:
        return problems
    if entry["evidence"] not in EVIDENCE:
        return [f"rests on '{entry['evidence']}'; choose one of {', '.join(EVIDENCE)}."]
    unknown = [name for name in entry["roles"] if name not in roles]
    if unknown:
        problems.append(f"names the roles {', '.join(unknown)}, which the file does not define.")
    if entry.get("combine", "all") not in ("all", "any"):
        problems.append(f"combines its parts by '{entry['combine']}'; choose all or any.")
    if entry.get("relative_to", "layer") not in ("layer", "emotion"):
        problems.append(f"is relative to '{entry['relative_to']}'; choose layer or emotion.")
    for number, part in enumerate(entry["parts"], start=1):
        where = f"part {number} "
        wrong = _wrong_keys(part, _PART_KEYS, where)
        if wrong:
            problems += wrong
            continue
        if part["relation"] not in RELATIONS:
            problems.append(f"{where}has the relation '{part['relation']}'; choose {RELATIONS}.")
        number_given = isinstance(part["threshold"], int | float)
        if not number_given and part["threshold"] not in ("margin", "-margin"):
            problems.append(f"{where}has the threshold '{part['threshold']}'.")
        for term in [*part["plus"], *part["minus"]]:
            strange = sorted(set(term) - _TERM_KEYS[entry["evidence"]])
            if strange:
                problems.append(f"{where}has a term with the unknown key {', '.join(strange)}.")
            if ("role" in term) != entry.get("joint", False):
                problems.append(
                    f"{where}must name roles in its terms if, and only if, it is joint."
                )
            for key in ("layers", "steps", "except"):
                if term.get(key, "all") not in (*layers, *_SINGLE_LAYERS):
                    problems.append(
                        f"{where}names the layers '{term[key]}', which are not defined."
                    )
    return problems


def _wrong_keys(entry: Any, keys: Mapping[str, set[str]], where: str) -> list[str]:
    """Returns what is wrong with the keys of a mapping."""
    if not isinstance(entry, dict):
        return [f"{where}must be a mapping."]
    missing = sorted(keys["required"] - set(entry))
    strange = sorted(set(entry) - keys["required"] - keys["optional"])
    problems = [f"{where}lacks {', '.join(missing)}."] if missing else []
    return problems + ([f"{where}has the unknown key {', '.join(strange)}."] if strange else [])


def _claim(entry: Mapping[str, Any], margin: float) -> Claim:
    """Makes a claim of a checked entry."""
    named = {"margin": margin, "-margin": -margin}
    parts = []
    for part in entry["parts"]:
        each = part.get("each", {})
        for values in itertools.product(*each.values()):
            filled = _filled(part, dict(zip(each, values, strict=True)))
            parts.append(
                Part(
                    text=filled["text"],
                    plus=tuple(filled["plus"]),
                    minus=tuple(filled["minus"]),
                    relation=part["relation"],
                    threshold=float(named.get(part["threshold"], part["threshold"])),
                )
            )
    return Claim(
        id=entry["id"],
        finding=entry["finding"],
        text=entry["claim"],
        source=entry["source"],
        paper=entry.get("paper", ""),
        evidence=entry["evidence"],
        roles=tuple(entry["roles"]),
        joint=entry.get("joint", False),
        trained_on=entry.get("trained_on", ""),
        any_part=entry.get("combine", "all") == "any",
        relative_to=entry.get("relative_to", ""),
        order=tuple(tuple(group) for group in entry.get("order", ())),
        parts=tuple(parts),
    )


def _filled(value: Any, names: Mapping[str, str]) -> Any:
    """Replaces "{name}" in all texts of a nested structure."""
    if isinstance(value, str):
        return value.format(**names) if names else value
    if isinstance(value, list):
        return [_filled(item, names) for item in value]
    if isinstance(value, dict):
        return {key: _filled(item, names) for key, item in value.items() if key != "each"}
    return value


# Checking -----------------------------------------------------------------------------------------


def check(
    book: Book,
    *,
    manifest: pd.DataFrame,
    emotions: Sequence[str],
    domains: Mapping[str, str],
    models: Sequence[str],
    roles: Mapping[str, str],
    trained_on: Mapping[str, str],
    paper_models: Mapping[str, str],
    predictions: pd.DataFrame | None,
    scores: pd.DataFrame | None,
    schemes: Sequence[str],
    distances: pd.DataFrame | None,
    distance_replicates: pd.DataFrame | None,
    adaptation: pd.DataFrame | None,
    test_to_train: float,
    level: float,
    draws: int,
    seed: int,
    min_clusters: int,
) -> Checked:
    """Checks every claim on the results of one corpus.

    A claim about one model is checked for every model there is: `own_model` tells the model
    that the claim is about from the others, on which it is a question of its own. A claim that
    compares the paper's models needs them all. What is not there makes the claim "not computed",
    with a sentence, and leaves the others alone.

    Args:
        book: the claims (`read`).
        manifest: the kept clips.
        emotions: the emotions of the experiment, in order.
        domains: the paper's names (speech, song) to the names of the experiment's domains.
        models: the models of the experiment, in order.
        roles: role in the book (w2v2, hubert, mert) to our model; roles without a model are left
            out.
        trained_on: our model to what it was trained on (speech, music), for models that have no
            role; a claim about speech models is checked for those only.
        paper_models: our model to the published model, where weights and recordings are the
            paper's (`Plan.paper_models`); empty otherwise.
        predictions: model, scheme, seed, layer, clip, emotion, predicted; or None.
        scores: probe scores (for the choice of layers by validation); or None.
        schemes: the split schemes to check probes and adaptation under.
        distances: model, measure, layer, emotion, value: the distance between the two domains
            within an emotion, for example measure "fad-frames"; or None.
        distance_replicates: the same columns and replicate: the distances with one actor, or one
            fold of actors, left out; or None (then no claim about distances can be told).
        adaptation: model, scheme, approach (baseline, ws, peft), direction ("speech-to-song", with
            the experiment's names of domains), stage (1, 2), domain (that was tested), seed, metric
            (accuracy), value; or None.
        test_to_train: number of test clips over number of training clips of a split.
        level: confidence.
        draws: bootstrap draws.
        seed: of the draws.
        min_clusters: with fewer units nothing can be told.

    Returns:
        `Checked`; its values are fractions for probes and adaptation, and relative distances
        (1 is the mean distance) for distances.

    Raises:
        InputError: settings out of range, tables without their columns, or predictions that do
            not fit the manifest.
    """
    problems = []
    if not 0 < level < 1:
        problems.append(f"The level of confidence is {level}; it must lie between 0 and 1.")
    if draws < 2:
        problems.append(f"The number of bootstrap draws is {draws}; it must be at least 2.")
    unknown = [role for role in roles if role not in book.roles]
    if unknown:
        problems.append(
            f"The roles {', '.join(unknown)} are not among those of the claims "
            f"({', '.join(book.roles)})."
        )
    if problems:
        raise InputError(problems)
    sources: dict[str, list[Source]] = {kind: [] for kind in EVIDENCE}
    # A table without rows is as good as none: the claims say what is missing.
    predictions, scores, distances, distance_replicates, adaptation = (
        None if table is None or table.empty else table
        for table in (predictions, scores, distances, distance_replicates, adaptation)
    )
    if predictions is not None and scores is not None:
        found = stored.arrange(predictions, manifest, emotions=emotions)
        problems = stored.same_splits(list(found.values()))
        if problems:
            raise InputError(problems)
        sources["probes"] = [
            Probes(
                book.layers, emotions, scheme=scheme, found=found, scores=scores,
                manifest=manifest, domains=domains, draws=draws, seed=seed,
                min_clusters=min_clusters,
            )
            for scheme in schemes
            if any(key[2] == scheme for key in found)
        ]  # fmt: skip
    if distances is not None:
        columns = ["model", "measure", "layer", "emotion", "value"]
        tables.require(distances, columns, what="claims about distances")
        if distance_replicates is not None:
            tables.require(
                distance_replicates, [*columns, "replicate"], what="claims about distances"
            )
        sources["distances"] = [
            Distances(book.layers, emotions, part, _of(distance_replicates, measure), measure)
            for measure, part in distances.groupby("measure", sort=False)
        ]
    if adaptation is not None:
        columns = ["model", "scheme", "approach", "direction", "stage", "domain", "seed"]
        tables.require(adaptation, [*columns, "metric", "value"], what="claims about adaptation")
        sources["adaptation"] = [
            Adaptation(book.layers, emotions, scheme=scheme, table=part, domains=domains,
                        test_to_train=test_to_train)
            for scheme, part in adaptation.groupby("scheme", sort=False)
            if scheme in schemes
        ]  # fmt: skip
    judge = _Judge(book, models, roles, trained_on, paper_models, level)
    claims, parts = [], []
    for claim in book.claims:
        for source in sources[claim.evidence] or [None]:
            for row, details in judge.rows(claim, source):
                claims.append(row)
                parts.extend(details)
    return Checked(
        claims=pd.DataFrame(claims, columns=list(CLAIM_COLUMNS)),
        parts=pd.DataFrame(parts, columns=list(PART_COLUMNS)),
    )


def outcome(low: float, high: float, relation: str, threshold: float) -> str:
    """Judges one inequality by an interval.

    Args:
        low: lower end; NaN if there is no interval.
        high: upper end.
        relation: ">" (holds if low > threshold, fails if high < threshold), "<" (the reverse), or
            "within" (holds if -threshold <= low and high <= threshold, fails if the interval
            lies outside altogether).
        threshold: what the statistic is compared with.

    Returns:
        "holds", "fails" or "cannot tell".
    """
    if np.isnan(low) or np.isnan(high):
        return UNTOLD
    if relation == "within":
        if -threshold <= low and high <= threshold:
            return HOLDS
        return FAILS if low > threshold or high < -threshold else UNTOLD
    above, below = low > threshold, high < threshold
    if relation == "<":
        above, below = below, above
    return HOLDS if above else FAILS if below else UNTOLD


@dataclass(frozen=True)
class _Judge:
    """Turns claims and evidence into rows."""

    book: Book
    models: Sequence[str]
    roles: Mapping[str, str]
    trained_on: Mapping[str, str]
    paper_models: Mapping[str, str]
    level: float

    def rows(self, claim: Claim, source: Source | None) -> list[tuple[dict, list[dict]]]:
        """Returns the rows of a claim and of its parts, per model or models."""
        own = [self.roles[role] for role in claim.roles if role in self.roles]
        if source is None:
            why = f"There are no results of {claim.evidence} in this run."
            return [(self._missing(claim, own, why, None), [])]
        if claim.joint:
            absent = [self.book.roles[role].label for role in claim.roles if role not in self.roles]
            if absent:
                labels = [self.book.roles[role].label for role in claim.roles]
                why = f"It compares {_and(labels)}; this run has no {_and(absent, 'or')}."
                return [(self._missing(claim, own, why, source), [])]
            return [self._row(claim, source, tuple(own), own=True)]
        subjects = [model for model in self.models if self._meant(claim, model)]
        if not subjects:
            why = f"No model of this run is known to be trained on {claim.trained_on}."
            return [(self._missing(claim, own, why, source), [])]
        return [self._row(claim, source, (model,), own=model in own) for model in subjects]

    def _meant(self, claim: Claim, model: str) -> bool:
        """Whether the claim makes sense for a model."""
        if not claim.trained_on:
            return True
        known = {self.roles[role]: self.book.roles[role].trained_on for role in self.roles}
        return (known | dict(self.trained_on)).get(model) == claim.trained_on

    def _papers(self, claim: Claim, models: Sequence[str], own: bool) -> bool:
        """Whether all these are the paper's models in the roles of the claim."""
        published = {self.book.roles[role].published for role in claim.roles}
        return own and all(self.paper_models.get(model) in published for model in models)

    def _base(self, claim: Claim, models: Sequence[str], own: bool, source: Source | None):
        note = "" if models and self._papers(claim, models, own) else NOT_THE_PAPERS
        return {
            "id": claim.id,
            "finding": claim.finding,
            "claim": claim.text,
            "models": ", ".join(models),
            "own_model": own,
            "evidence": claim.evidence,
            "scheme": source.scheme if source else "",
            "measure": source.measure if source else "",
            "level": self.level,
            "parts": len(claim.parts),
            "paper": claim.paper,
            "note": note,
            "source": claim.source,
        }

    def _missing(self, claim: Claim, models: Sequence[str], why: str, source) -> dict:
        nothing = {"outcome": MISSING, "why": why, "statistic": "", "relation": ""}
        numbers = dict.fromkeys(("value", "low", "high", "threshold"), np.nan)
        return self._base(claim, models, bool(models), source) | nothing | numbers

    def _row(
        self, claim: Claim, source: Source, models: tuple[str, ...], *, own: bool
    ) -> tuple[dict, list[dict]]:
        """Judges a claim for some models."""
        cast = dict(zip(claim.roles, models, strict=True)) if claim.joint else {"": models[0]}
        joint = 1 - (1 - self.level) / len(claim.parts)
        # The outcome that a single part brings about needs the level corrected for their number.
        alone = HOLDS if claim.any_part else FAILS
        details = []
        try:
            for part in claim.parts:
                estimate = source.estimate(part, cast, claim.relative_to)
                ends, wide = estimate.interval(self.level), estimate.interval(joint)
                judged = outcome(*ends, part.relation, part.threshold)
                detail = {"id": claim.id, "models": ", ".join(models), "scheme": source.scheme}
                detail |= {"measure": source.measure, "part": part.text, "value": estimate.value}
                detail |= {"relation": part.relation, "threshold": part.threshold}
                detail |= {"low": ends[0], "high": ends[1], "level": self.level}
                detail |= {"reason": estimate.reason, "outcome": judged}
                if judged == alone:
                    detail |= {"low": wide[0], "high": wide[1], "level": joint}
                    detail["outcome"] = outcome(*wide, part.relation, part.threshold)
                details.append(detail)
        except Lacking as lacking:
            return self._missing(claim, models, str(lacking), source), []
        decided, chosen = _combined(details, any_part=claim.any_part)
        row = self._base(claim, models, own, source) | {"outcome": decided}
        shown = ("value", "low", "high", "level", "relation", "threshold")
        row |= {name: chosen[name] for name in shown} | {"statistic": chosen["part"]}
        row["why"] = _why(row, chosen, details, source)
        if claim.order:
            row["why"] += source.order(models[0], claim.order)
        return row, details


def _combined(details: Sequence[dict], *, any_part: bool) -> tuple[str, dict]:
    """Returns the outcome of a claim, and the part that decided it."""
    alone, other = (HOLDS, FAILS) if any_part else (FAILS, HOLDS)
    outcomes = [detail["outcome"] for detail in details]
    decided = alone if alone in outcomes else other if set(outcomes) == {other} else UNTOLD
    sign = -1 if any_part else 1
    among = [detail for detail in details if detail["outcome"] == decided]
    return decided, min(among, key=lambda detail: sign * _margin(detail))


def _margin(detail: Mapping[str, Any]) -> float:
    """Returns how far the value lies on the right side of its threshold."""
    value, threshold = detail["value"], detail["threshold"]
    if np.isnan(value):
        return -np.inf
    if detail["relation"] == "within":
        return threshold - abs(value)
    return value - threshold if detail["relation"] == ">" else threshold - value


def _why(
    row: Mapping[str, Any], chosen: Mapping[str, Any], details: Sequence[dict], source: Source
) -> str:
    """Returns the reason of an outcome as sentences."""
    many = len(details) > 1
    count = sum(detail["outcome"] == HOLDS for detail in details)
    which = f"{count} of {len(details)} inequalities hold. " if many else ""
    which += f"Deciding: {chosen['part']}. " if many else ""
    if chosen["reason"]:
        return f"{which}{chosen['reason']}"
    low, high, limit = (source.show(row[name]) for name in ("low", "high", "threshold"))
    percent = f"{100 * row['level']:.3g} %"
    shown = f"{source.show(row['value'])}{source.unit} ({percent} interval {low} to {high})"
    if row["relation"] == "within":
        limit = f"the range of {limit} on either side of 0"
        place = {HOLDS: "lies within", FAILS: "lies outside", UNTOLD: "reaches out of"}
    else:
        upwards = row["relation"] == ">"
        place = {
            HOLDS: "lies above" if upwards else "lies below",
            FAILS: "lies below" if upwards else "lies above",
            UNTOLD: "spans",
        }
    return f"{which}It is {shown}; the interval {place[row['outcome']]} {limit}."


def _and(names: Sequence[str], word: str = "and") -> str:
    """Returns names as a list in prose."""
    return f" {word} ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def _of(table: pd.DataFrame | None, measure: str) -> pd.DataFrame | None:
    return None if table is None else table[table["measure"] == measure]


# Showing ------------------------------------------------------------------------------------------


def counts(checked: Checked) -> pd.DataFrame:
    """Counts outcomes.

    Args:
        checked: what `check` returned.

    Returns:
        Columns evidence, scheme, measure, own_model, outcome, claims (number of rows).
    """
    keys = ["evidence", "scheme", "measure", "own_model", "outcome"]
    return checked.claims.groupby(keys, sort=False).size().reset_index(name="claims")


def markdown(checked: Checked, *, labels: Mapping[str, str]) -> str:
    """Shows the claims as Markdown tables: one per evidence, scheme and measure.

    Where there are models that a claim is not about, a second table has the same questions asked
    of them.

    Args:
        checked: what `check` returned.
        labels: name to display, for models, schemes and measures.

    Returns:
        Text with a heading per table, ending in a line break.
    """
    columns = [
        tables.Column("id", "Claim"),
        tables.Column("claim", "The paper says"),
        tables.Column("models", "Models here"),
        tables.Column("outcome", "Outcome"),
        tables.Column("why", "Why"),
    ]
    note = tables.Column("note", "Note")
    blocks = []
    for (evidence, scheme, measure), part in checked.claims.groupby(
        ["evidence", "scheme", "measure"], sort=False
    ):
        shown = part.copy()
        shown["models"] = [
            ", ".join(labels.get(name, name) for name in names.split(", ")) if names else ""
            for names in shown["models"]
        ]
        words = [labels.get(evidence, evidence).capitalize()]
        words += [f"{labels.get(scheme, scheme)} split"] if scheme else []
        words += [labels.get(measure, measure)] if measure else []
        blocks.append(f"### {', '.join(words)}\n")
        # A claim that could not be computed for want of its models belongs to the first table.
        other = ~shown["own_model"] & (shown["models"] != "")
        if (~other).any():
            first = shown[~other]
            noted = [note] if (first["note"] != "").any() else []
            blocks.append(tables.markdown(first, [*columns, *noted]))
        if other.any():
            blocks.append("The same questions, asked of models that the claims are not about:\n")
            blocks.append(tables.markdown(shown[other], columns))
    return "\n".join(blocks)
