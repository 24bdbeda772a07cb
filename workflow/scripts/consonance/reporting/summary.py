"""The results of a run in two minutes of reading."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from consonance.adaptation.naming import APPROACH_QUESTION, LENGTH_QUESTION, STAGE_QUESTION
from consonance.reporting import provenance
from consonance.reporting.columns import Column
from consonance.reporting.document import Block, Bullets, Heading, Paragraph, Table
from consonance.reporting.methods import counted, listed

_METRICS = ("accuracy", "uar")
_RUN = ["corpus", "model", "domain", "scheme"]
_MEASURED = ["corpus", "model", "measure"]
_BASES = {"seeds": "all seeds", "first": "the first seed only"}
_OUTCOMES = {
    "holds": ("holds", "hold"),
    "fails": ("fails", "fail"),
    "cannot tell": ("cannot be told", "cannot be told"),
    "not computed": ("was not computed", "were not computed"),
}
_REVISION_LENGTH = 12  # as Git shows a commit
_PROPERTIES_NAMED = 3


def summary(
    config: Mapping[str, Any],
    *,
    manifests: Mapping[str, pd.DataFrame],
    notices: Mapping[str, str],
    labels: Mapping[str, str],
    tables: Mapping[str, pd.DataFrame | None],
    alpha: float,
    remarks: Mapping[str, Sequence[str]],
) -> list[Block]:
    """Returns the summary of a run.

    Args:
        config: the configuration.
        manifests: the whole manifest of each corpus, excluded clips too.
        notices: what the figures of a corpus say on their face, or "".
        labels: display names of models, domains and the like.
        tables: tidy tables by name, each optional; of several corpora, one below the other. Used
            are `performance_intervals` (else `probe_summary`), `adaptation_comparisons`,
            `fad_ranking`, `similarity` (for its p values), `claims`, `side_by_side` and
            `acoustic_correlates`.
        alpha: p values below this are counted.
        remarks: sentences to add to a section: `performance`, `adaptation`, `distance`, `claims`,
            `correlates`.

    Returns:
        The document. A table that is missing, empty or lacks a column gives a sentence.
    """
    results = _Results(tables, labels, many=len(config["experiment"]["corpora"]) > 1)
    chance = 1 / len(config["experiment"]["emotions"])
    blocks: list[Block] = [Heading("Summary of this run", level=1)]
    for corpus, notice in notices.items():
        if notice:
            blocks.append(Paragraph(f"{results.name(corpus)}: {notice}.", notice=True))
    headlines = list(_headlines(results))
    if headlines:
        blocks.append(Bullets(headlines))
    sections = (
        ("What was run", "", [_data(config, manifests, results), _models(config, results)]),
        ("How well emotions can be told", "performance", _performance(results, chance)),
        ("What training on the other domain adds", "adaptation", _adaptation(results, alpha)),
        (
            "How far apart the domains are",
            "distance",
            [*_ranking(results), *_tests(results, alpha)],
        ),
        ("Claims of the paper", "claims", [*_claims(results), *_published(results)]),
        ("What drives the distance", "correlates", _correlates(results, alpha)),
    )
    for title, name, content in sections:
        blocks += [Heading(title), *content]
        blocks += [Paragraph(sentence) for sentence in remarks.get(name, ())]
    return blocks


@dataclass(frozen=True)
class _Results:
    """The tables that a run made, and how names are shown.

    Attributes:
        tables: by name.
        labels: display names.
        many: whether there are several corpora, so that each must be named.
    """

    tables: Mapping[str, pd.DataFrame | None]
    labels: Mapping[str, str]
    many: bool

    def get(self, name: str, needed: Sequence[str]) -> tuple[pd.DataFrame | None, str]:
        """Returns a table, or None and a sentence that says why it cannot be shown."""
        frame = self.tables.get(name)
        if frame is None:
            return None, f"The table `{name}` was not made in this run."
        missing = [column for column in needed if column not in frame.columns]
        if missing:
            return None, f"The table `{name}` lacks {listed(missing)} and is not summed up here."
        if frame.empty:
            return None, f"The table `{name}` has no rows."
        return frame, ""

    def name(self, name: str) -> str:
        """Returns the display name of a model, a domain, a corpus or an emotion."""
        return self.labels.get(name, name)

    def prefix(self, corpus: str) -> str:
        """Returns what begins a sentence about one corpus of several."""
        return f"{self.name(corpus)}, " if self.many else ""

    def table(self, rows: pd.DataFrame | Sequence[Mapping[str, Any]], *columns: Column) -> Table:
        """Returns a table with the corpus first where there are several."""
        frame = pd.DataFrame(rows)
        if self.many and "corpus" in frame.columns:
            columns = (Column("corpus", "Corpus", "text"), *columns)
        present = [column for column in columns if column.name in frame.columns]
        return Table(frame, present, self.labels)


# In short -----------------------------------------------------------------------------------------


def _headlines(results: _Results) -> Iterator[str]:
    """Yields the main results in a line each; those that are missing are left out."""
    frame, _ = _best_layers(results)
    if frame is not None:
        best = frame[(frame["statistic"] == "best") & (frame["metric"] == "accuracy")]
        for (corpus, domain), group in best.groupby(["corpus", "domain"], sort=False):
            parts = []
            for scheme, one in group.groupby("scheme", sort=False):
                top = one.loc[one["value"].idxmax()]
                where = f"{results.name(top['model'])}, layer {top['layers']}"
                parts.append(f"{_with_interval(top)} with the {scheme} split ({where})")
            yield (
                f"{results.prefix(corpus)}{results.name(domain)}: the best accuracy in per cent is "
                f"{listed(parts)}."
            )
    frame, _ = results.get("fad_ranking", ["corpus", "model", "level", "emotion", "place"])
    if frame is not None:
        for (corpus, level), group in frame.groupby(["corpus", "level"], sort=False):
            nearest = group.loc[group["place"] == group["place"].min(), "emotion"].value_counts()
            parts = [f"{results.name(emotion)} in {count}" for emotion, count in nearest.items()]
            models = counted(group["model"].nunique(), "model")
            where = f"{results.name(corpus)}: of" if results.many else "Of"
            yield f"{where} {models}, the nearest emotion by FAD over {level} is {listed(parts)}."
    frame, _ = results.get("claims", ["claim", "outcome"])
    if frame is not None:
        yield _outcomes(frame)


# What was run -------------------------------------------------------------------------------------


def _data(
    config: Mapping[str, Any], manifests: Mapping[str, pd.DataFrame], results: _Results
) -> Block:
    """Says which clips were used and why others were not."""
    items = []
    for corpus in config["experiment"]["corpora"]:
        source = provenance.corpus_source(config["corpora"][corpus])
        name = f"{results.name(corpus)} ({source})"
        if corpus not in manifests:
            items.append(f"{name}: its manifest is missing.")
            continue
        manifest = manifests[corpus]
        kept = manifest[manifest["excluded"] == ""]
        by_domain = kept["domain"].value_counts()
        domains = [
            f"{by_domain.get(domain, 0):,} of {domain}"
            for domain in config["experiment"]["domains"]
        ]
        text = (
            f"{name}: {len(kept):,} of {counted(len(manifest), 'clip')} ({listed(domains)}) by "
            f"{counted(kept['speaker'].nunique(), 'speaker')}."
        )
        reasons = manifest.loc[manifest["excluded"] != "", "excluded"].str.split(":").str[0]
        left_out = [f"{reason} ({count:,})" for reason, count in reasons.value_counts().items()]
        items.append(f"{text} Left out: {'; '.join(left_out)}." if left_out else text)
    return Bullets(items)


def _models(config: Mapping[str, Any], results: _Results) -> Block:
    """Lists the models with where they come from."""
    rows = []
    for name in config["experiment"]["models"]:
        entry = config["models"][name]
        revision = entry.get("revision", "") if entry["source"] == "hub" else ""
        rows.append(
            {
                "model": name,
                "source": provenance.model_source(entry),
                "revision": revision[:_REVISION_LENGTH],
                "sampling_rate": entry["sampling_rate"],
            }
        )
    return results.table(
        rows,
        Column("model", "Model", "text"),
        Column("source", "Weights", "text"),
        Column("revision", "Revision", "text"),
        Column("sampling_rate", "Rate (Hz)", "count"),
    )


# Results ------------------------------------------------------------------------------------------


def _performance(results: _Results, chance: float) -> Iterator[Block]:
    """Gives the best layer of every model, domain and scheme."""
    caution = (
        f"Chance is {100 * chance:.1f} %. The best of many layers, chosen on the test clips, is a "
        "little too good; the mean over layers is not."
    )
    frame, problem = _best_layers(results)
    if frame is not None:
        basis = listed([_BASES.get(name, name) for name in frame["basis"].unique()])
        levels = frame["level"].dropna().unique() if "level" in frame.columns else []
        # The column is text in tables that `tables.read` read: in FAD's it says frames or clips.
        level = f"{100 * float(levels[0]):g} % " if len(levels) == 1 else ""
        yield Paragraph(f"Per cent with {level}intervals, from {basis}. {caution}")
        yield _performance_table(results, frame)
        return
    yield Paragraph(problem)
    frame, problem = results.get("probe_summary", [*_RUN, "layer", "metric", "mean", "low", "high"])
    if frame is None:
        yield Paragraph(problem)
        return
    frame = frame[frame["metric"].isin(_METRICS) & (frame["layer"] > 0)]
    best = frame.loc[frame.groupby([*_RUN, "metric"], sort=False)["mean"].idxmax()]
    best = best.assign(statistic="best", layers=best["layer"].astype(str), value=best["mean"])
    yield Paragraph(f"Per cent with the spread over seeds, which is no interval. {caution}")
    yield _performance_table(results, best)


def _best_layers(results: _Results) -> tuple[pd.DataFrame | None, str]:
    """Returns the best layer and the mean over layers with intervals, or why not."""
    needed = [*_RUN, "metric", "statistic", "basis", "layers", "value", "low", "high"]
    frame, problem = results.get("performance_intervals", needed)
    if frame is None:
        return None, problem
    wanted = frame["statistic"].isin(["best", "mean"]) & frame["metric"].isin(_METRICS)
    frame = frame[wanted & np.isfinite(frame["value"])]
    if frame.empty:
        return None, "The table `performance_intervals` has no value."
    seeds = frame["basis"] == "seeds"
    return (frame[seeds] if seeds.any() else frame), ""


def _performance_table(results: _Results, frame: pd.DataFrame) -> Block:
    """Returns a row per model, domain and scheme."""
    rows = []
    for names, group in frame.groupby(_RUN, sort=False):
        row = dict(zip(_RUN, names, strict=True))
        for _, one in group.iterrows():
            row[f"{one['metric']}_{one['statistic']}"] = _with_interval(one)
            if one["metric"] == "accuracy" and one["statistic"] == "best":
                row["layers"] = one["layers"]
        rows.append(row)
    return results.table(
        rows,
        Column("model", "Model", "text"),
        Column("domain", "Domain", "text"),
        Column("scheme", "Split", "text"),
        Column("accuracy_best", "Accuracy, best layer", "text"),
        Column("layers", "Layer", "text"),
        Column("accuracy_mean", "Accuracy, mean of layers", "text"),
        Column("uar_best", "UAR, best layer", "text"),
    )


def _adaptation(results: _Results, alpha: float) -> Iterator[Block]:
    """Sets two-stage training beside direct training, and counts what differs."""
    needed = [
        *("corpus", "question", "model", "domain", "scheme", "approach", "metric", "basis"),
        *("value_a", "value_b", "difference", "low", "high", "p_holm"),
    ]
    frame, problem = results.get("adaptation_comparisons", needed)
    if frame is None:
        yield Paragraph(problem)
        return
    frame = frame[(frame["metric"] == "accuracy") & (frame["basis"] == "seeds")]
    said = {
        STAGE_QUESTION: "Accuracy in per cent on the same test clips after training on the domain "
        "alone (direct) and after a first stage on the other domain (two-stage).",
        LENGTH_QUESTION: "The same, where direct training had as many epochs as both stages "
        "together.",
    }
    for question, words in said.items():
        stages = frame[frame["question"] == question]
        if stages.empty:
            continue
        rows = []
        for _, one in stages.iterrows():
            row = {key: one[key] for key in ("corpus", "model", "domain", "scheme", "approach")}
            row["direct"] = f"{100 * one['value_b']:.1f}"
            row["staged"] = f"{100 * one['value_a']:.1f}"
            row["gain"] = _with_interval(one.rename({"difference": "value"}), sign="+")
            row["p"] = one["p_holm"]
            rows.append(row)
        yield Paragraph(f"{words} {_significant(stages, alpha)}")
        yield results.table(
            rows,
            Column("model", "Model", "text"),
            Column("domain", "Domain", "text"),
            Column("scheme", "Split", "text"),
            Column("approach", "Approach", "text"),
            Column("direct", "Direct", "text"),
            Column("staged", "Two-stage", "text"),
            Column("gain", "Difference", "text"),
            Column("p", "p (Holm)", "p"),
        )
    others = frame[frame["question"] == APPROACH_QUESTION]
    if not others.empty:
        counts = _significant(others, alpha)
        yield Paragraph(f"Approaches against each other: {counts[0].lower()}{counts[1:]}")


def _significant(frame: pd.DataFrame, alpha: float) -> str:
    """Counts the differences that are left after correction."""
    tested = frame[np.isfinite(frame["p_holm"])]
    if tested.empty:
        return "None could be tested."
    found = int((tested["p_holm"] < alpha).sum())
    return (
        f"Of {counted(len(tested), 'paired comparison')}, {found:,} "
        f"{'differs' if found == 1 else 'differ'} after Holm's correction (p < {alpha:g})."
    )


def _ranking(results: _Results) -> Iterator[Block]:
    """Ranks the emotions from nearest to farthest."""
    needed = ["corpus", "model", "level", "emotion", "mean_rank", "place"]
    frame, problem = results.get("fad_ranking", needed)
    if frame is None:
        yield Paragraph(problem)
        return
    rows = []
    for (corpus, model, level), group in frame.groupby(["corpus", "model", "level"], sort=False):
        group = group.sort_values(["place", "emotion"], kind="stable")
        order = [
            f"{results.name(emotion)} ({rank:.1f})"
            for emotion, rank in zip(group["emotion"], group["mean_rank"], strict=True)
        ]
        rows.append({"corpus": corpus, "model": model, "level": level, "order": ", ".join(order)})
    yield results.table(
        rows,
        Column("model", "Model", "text"),
        Column("level", "FAD over", "text"),
        Column("order", "Emotions, nearest first (mean rank over layers)", "text"),
    )


def _tests(results: _Results, alpha: float) -> Iterator[Block]:
    """Counts the layers in which the distance of an emotion is more than chance."""
    frame, problem = results.get("similarity", [*_MEASURED, "layer", "emotion", "p"])
    if frame is None:
        yield Paragraph(problem)
        return
    tested = frame[np.isfinite(frame["p"]) & (frame["layer"] >= 1)]
    if tested.empty:
        yield Paragraph("No distance was tested against the permutation null.")
        return
    rows = []
    for names, group in tested.groupby(_MEASURED, sort=False):
        row = dict(zip(_MEASURED, names, strict=True))
        for emotion, one in group.groupby("emotion", sort=False):
            row[emotion] = f"{int((one['p'] < alpha).sum())} of {len(one)}"
            # So few permutations that no p can be that low say nothing.
            if "permutations" in one and (1 / (one["permutations"] + 1) >= alpha).all():
                row[emotion] = ""
        rows.append(row)
    emotions = dict.fromkeys(tested["emotion"])
    yield Paragraph(
        "Layers in which a distance (FAD, KAD) is larger than when domain labels are swapped "
        "within speakers, and a likeness of matched recordings (CKA, cosine) larger than when "
        f"partners are shuffled within speakers (p < {alpha:g}, not corrected for their number; "
        "empty: too few permutations to tell):"
    )
    yield results.table(
        rows,
        Column("model", "Model", "text"),
        Column("measure", "Measure", "text"),
        *(Column(emotion, results.name(emotion), "text") for emotion in emotions),
    )


def _claims(results: _Results) -> Iterator[Block]:
    """Says which of the paper's claims hold."""
    frame, problem = results.get("claims", ["claim", "outcome", "why"])
    if frame is None:
        yield Paragraph(problem)
        return
    texts = [name for name in ("finding", "scheme", "measure", "note") if name in frame]
    frame = frame.fillna(dict.fromkeys(texts, ""))
    yield Paragraph(_outcomes(frame))
    own = frame[_own(frame)]
    if own.empty:
        return
    # A column without a single word is left out.
    empty = [name for name in texts if not own[name].any()]
    yield results.table(
        own.drop(columns=empty),
        Column("finding", "Finding", "text"),
        Column("claim", "Claim", "text"),
        Column("scheme", "Split", "text"),
        Column("measure", "Measure", "text"),
        Column("outcome", "Outcome", "text"),
        Column("why", "Why", "text"),
        Column("note", "Note", "text"),
    )


def _own(frame: pd.DataFrame) -> pd.Series:
    """Says which rows are about a model that the paper makes the claim about."""
    if "own_model" not in frame:
        return pd.Series(True, index=frame.index)
    return frame["own_model"].astype(bool) & (frame["outcome"] != "not computed")


def _outcomes(frame: pd.DataFrame) -> str:
    own = frame[_own(frame)]
    if own.empty:
        return (
            "None of the paper's claims is about a model of this run. They were checked on the "
            "models there are, as questions of their own: see the table of claims."
        )
    frame = own
    found = frame["outcome"].value_counts()
    counts = [
        f"{found[name]} {verbs[int(found[name] > 1)]}"
        for name, verbs in _OUTCOMES.items()
        if name in found
    ]
    return f"Of {counted(len(frame), 'claim')} of the paper, {listed(counts)}."


def _published(results: _Results) -> Iterator[Block]:
    """Counts the paper's numbers that lie within our intervals."""
    frame, problem = results.get("side_by_side", ["inside"])
    if frame is None:
        yield Paragraph(problem)
        return
    inside, outside = ((frame["inside"] == word).sum() for word in ("yes", "no"))
    text = f"Of the paper's {counted(len(frame), 'published number')}, "
    if inside + outside == 0:
        yield Paragraph(f"{text}none has a counterpart with an interval in this run.")
        return
    yield Paragraph(
        f"{text}{inside + outside:,} {'has' if inside + outside == 1 else 'have'} a counterpart "
        f"with an interval here, and {inside:,} of these "
        f"{'lies' if inside == 1 else 'lie'} inside it."
    )


def _correlates(results: _Results, alpha: float) -> Iterator[Block]:
    """Names the acoustic properties that go best with the distance, per model."""
    needed = [*_MEASURED, "layer", "property", "correlation", "p_adjusted", "emotions"]
    frame, problem = results.get("acoustic_correlates", needed)
    if frame is None:
        yield Paragraph(problem)
        return
    tested = frame[np.isfinite(frame["correlation"])]
    if tested.empty:
        yield Paragraph("No correlation with an acoustic property could be computed.")
        return
    rows = []
    for names, group in tested.groupby(_MEASURED, sort=False):
        means = group.groupby("property", sort=False)["correlation"].mean()
        order = means.abs().sort_values(ascending=False, kind="stable").index
        closest = [f"{results.name(name)} ({means[name]:+.2f})" for name in order]
        significant = int((group["p_adjusted"] < alpha).sum())
        row = dict(zip(_MEASURED, names, strict=True))
        row["closest"] = ", ".join(closest[:_PROPERTIES_NAMED])
        row["significant"] = f"{significant} of {len(group)}"
        rows.append(row)
    yield Paragraph(
        f"Rank correlation over {counted(int(tested['emotions'].max()), 'emotion')} between the "
        "size of the acoustic difference and the distance, averaged over layers. With so few "
        "emotions the test is weak, and neighbouring layers are not independent."
    )
    yield results.table(
        rows,
        Column("model", "Model", "text"),
        Column("measure", "Distance", "text"),
        Column("closest", "Closest properties (mean rank correlation)", "text"),
        Column("significant", f"Adjusted p < {alpha:g}", "text"),
    )


def _with_interval(row: pd.Series, sign: str = "") -> str:
    """Returns a fraction and its interval in per cent, with a sign where `sign` is "+"."""
    # Adding 0 turns the -0.0 of a rounded difference into 0.0.
    text = f"{round(100 * row['value'], 1) + 0:{sign}.1f}"
    if np.isfinite(row["low"]) and np.isfinite(row["high"]):
        text += f" [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
    return text
