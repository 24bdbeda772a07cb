"""The results of a run in two minutes of reading."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from consonance.reporting import provenance
from consonance.reporting.columns import Column
from consonance.reporting.document import Block, Bullets, Heading, Paragraph, Table
from consonance.reporting.methods import counted, listed

_BASES = {"seeds": "all seeds", "first": "first seed only"}
_REVISION_LENGTH = 12  # as Git shows a commit
_OUTCOMES = ("holds", "fails", "cannot tell", "not computed")


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
            are `performance_intervals` (else `probe_summary`), `fad_ranking` and `similarity` (for
            its p values), `claims`, `side_by_side` and `correlations`.
        alpha: p values below this are counted.
        remarks: sentences to add to a section: `performance`, `distance`, `claims`, `correlates`.

    Returns:
        The document. A table that is missing, empty or lacks a column gives a sentence.
    """
    writer = _Summary(config, labels, tables, alpha)
    blocks: list[Block] = [Heading("Summary of this run", level=1)]
    for corpus, notice in notices.items():
        if notice:
            blocks.append(Paragraph(f"{labels.get(corpus, corpus)}: {notice}.", notice=True))
    sections = (
        ("What was run", "", [*writer.data(manifests), *writer.models()]),
        ("How well emotions can be told", "performance", writer.performance()),
        ("How far apart the domains are", "distance", writer.distance()),
        ("Claims of the paper", "claims", [*writer.claims(), *writer.published()]),
        ("What drives the distance", "correlates", writer.correlates()),
    )
    for title, name, content in sections:
        blocks += [Heading(title), *content]
        blocks += [Paragraph(sentence) for sentence in remarks.get(name, ())]
    return blocks


class _Summary:
    """Writes the sections of one summary."""

    def __init__(
        self,
        config: Mapping[str, Any],
        labels: Mapping[str, str],
        tables: Mapping[str, pd.DataFrame | None],
        alpha: float,
    ) -> None:
        self._config = config
        self._labels = labels
        self._tables = tables
        self._alpha = alpha
        self._many = len(config["experiment"]["corpora"]) > 1

    # What was run -------------------------------------------------------------------------------

    def data(self, manifests: Mapping[str, pd.DataFrame]) -> list[Block]:
        """Says which clips were used and why others were not."""
        items = []
        for corpus in self._config["experiment"]["corpora"]:
            entry = self._config["corpora"][corpus]
            name = f"{self._name(corpus)} ({provenance.corpus_source(entry)})"
            if corpus not in manifests:
                items.append(f"{name}: its manifest is missing.")
                continue
            manifest = manifests[corpus]
            kept = manifest[manifest["excluded"] == ""]
            by_domain = kept["domain"].value_counts()
            domains = [
                f"{by_domain.get(domain, 0):,} {self._name(domain)}"
                for domain in self._config["experiment"]["domains"]
            ]
            text = (
                f"{name}: {len(kept):,} of {counted(len(manifest), 'clip')} ({listed(domains)}) by "
                f"{counted(kept['speaker'].nunique(), 'speaker')}."
            )
            reasons = manifest.loc[manifest["excluded"] != "", "excluded"].str.partition(":")[0]
            left_out = [f"{reason} ({n:,})" for reason, n in reasons.value_counts().items()]
            items.append(f"{text} Left out: {'; '.join(left_out)}." if left_out else text)
        return [Bullets(items)]

    def models(self) -> list[Block]:
        """Lists the models with where they come from."""
        rows = []
        for name in self._config["experiment"]["models"]:
            entry = self._config["models"][name]
            revision = entry.get("revision", "") if entry["source"] == "hub" else ""
            rows.append(
                {
                    "model": name,
                    "source": provenance.model_source(entry),
                    "revision": revision[:_REVISION_LENGTH],
                    "sampling_rate": entry["sampling_rate"],
                }
            )
        columns = [
            Column("model", "Model", "text"),
            Column("source", "Weights", "text"),
            Column("revision", "Revision", "text"),
            Column("sampling_rate", "Rate (Hz)", "count"),
        ]
        return [self._table(pd.DataFrame(rows), columns)]

    # Results ------------------------------------------------------------------------------------

    def performance(self) -> list[Block]:
        """Gives the best layer of every model, domain and scheme."""
        chance = 1 / len(self._config["experiment"]["emotions"])
        level = (
            f"Chance is {100 * chance:.1f} %. The best of many layers on the same test clips is a "
            "little too good; the mean over layers is not."
        )
        needed = ["corpus", "model", "domain", "scheme", "metric", "statistic", "basis", "layers"]
        frame, problem = self._usable("performance_intervals", [*needed, "value", "low", "high"])
        if frame is not None:
            kept = frame["statistic"].isin(["best", "mean"]) & frame["metric"].isin(_METRICS)
            frame = frame[kept].copy()
            seeds = frame["basis"] == "seeds"
            frame = frame[seeds] if seeds.any() else frame
            basis = listed([_BASES.get(name, name) for name in frame["basis"].unique()])
            frame["layers"] = frame["layers"].where(frame["statistic"] == "best", "all")
            text = f"Per cent, with {self._confidence(frame)}intervals, from {basis}. {level}"
            return [Paragraph(text), self._performance_table(frame)]
        needed = ["corpus", "model", "domain", "scheme", "layer", "metric", "mean", "low", "high"]
        frame, other = self._usable("probe_summary", needed)
        if frame is None:
            return [Paragraph(problem), Paragraph(other)]
        frame = frame[frame["metric"].isin(_METRICS) & (frame["layer"] > 0)]
        keys = ["corpus", "model", "domain", "scheme", "metric"]
        best = frame.loc[frame.groupby(keys, sort=False)["mean"].idxmax()]
        best = best.assign(statistic="best", layers=best["layer"].astype(str), value=best["mean"])
        text = f"{problem} So per cent with the spread over seeds, which is no interval. {level}"
        return [Paragraph(text), self._performance_table(best)]

    def distance(self) -> list[Block]:
        """Ranks the emotions from nearest to farthest."""
        needed = ["corpus", "model", "level", "emotion", "layers", "mean_rank", "place"]
        frame, problem = self._usable("fad_ranking", needed)
        if frame is None:
            return [Paragraph(problem)]
        rows = []
        keys = ["corpus", "model", "level"]
        for (corpus, model, level), group in frame.groupby(keys, sort=False):
            group = group.sort_values(["place", "emotion"], kind="stable")
            order = [
                f"{self._name(emotion)} ({rank:.1f})"
                for emotion, rank in zip(group["emotion"], group["mean_rank"], strict=True)
            ]
            row = {"corpus": corpus, "model": model, "level": level, "order": ", ".join(order)}
            rows.append(row)
        columns = [
            Column("model", "Model", "text"),
            Column("level", "FAD over", "text"),
            Column("order", "Emotions, nearest first (mean rank over layers)", "text"),
        ]
        ranking = self._table(pd.DataFrame(rows), self._with_corpus(columns))
        return [ranking, *self._distance_tests()]

    def claims(self) -> list[Block]:
        """Says which of the paper's claims hold."""
        frame, problem = self._usable("claims", ["claim", "outcome", "why"])
        if frame is None:
            return [Paragraph(problem)]
        found = frame["outcome"].value_counts()
        counts = [f"{found[name]} {_VERBS[name]}" for name in _OUTCOMES if name in found]
        columns = [
            Column("finding", "Finding", "text"),
            Column("claim", "Claim", "text"),
            Column("outcome", "Outcome", "text"),
            Column("why", "Why", "text"),
            Column("note", "Note", "text"),
        ]
        shown = [
            column
            for column in columns
            if column.name in frame.columns and (frame[column.name].fillna("") != "").any()
        ]
        text = f"Of {counted(len(frame), 'claim')}, {listed(counts)}."
        return [Paragraph(text), self._table(frame, self._with_corpus(shown, frame))]

    def published(self) -> list[Block]:
        """Counts the paper's numbers that lie within our intervals."""
        frame, problem = self._usable("side_by_side", ["ours", "inside"])
        if frame is None:
            return [Paragraph(problem)]
        inside = frame["inside"].value_counts()
        judged = int(inside.get("yes", 0) + inside.get("no", 0))
        text = f"Of the paper's {counted(len(frame), 'published number')}, "
        if not judged:
            return [Paragraph(f"{text}none has a counterpart with an interval in this run.")]
        return [
            Paragraph(
                f"{text}{judged:,} have a counterpart with an interval here, and "
                f"{int(inside.get('yes', 0)):,} of those lie inside it."
            )
        ]

    def correlates(self) -> list[Block]:
        """Names the acoustic property that goes best with the distance, per model."""
        needed = ["corpus", "model", "measure", "layer", "property", "correlation", "p"]
        frame, problem = self._usable("correlations", [*needed, "p_adjusted", "emotions"])
        if frame is None:
            return [Paragraph(problem)]
        tested = frame[np.isfinite(frame["correlation"])]
        if tested.empty:
            return [Paragraph("No correlation with an acoustic property could be computed.")]
        rows = []
        for keys, group in tested.groupby(["corpus", "model", "measure"], sort=False):
            means = group.groupby("property", sort=False)["correlation"].mean()
            order = means.abs().sort_values(ascending=False, kind="stable").index
            row = dict(zip(["corpus", "model", "measure"], keys, strict=True))
            shown = [f"{self._name(name)} ({means[name]:+.2f})" for name in order[:3]]
            significant = int((group["p_adjusted"] < self._alpha).sum())
            row |= {"properties": ", ".join(shown), "significant": f"{significant} of {len(group)}"}
            rows.append(row)
        columns = [
            Column("model", "Model", "text"),
            Column("measure", "Distance", "text"),
            Column("properties", "Closest properties (mean rank correlation)", "text"),
            Column("significant", f"Adjusted p < {self._alpha:g}", "text"),
        ]
        emotions = int(tested["emotions"].max())
        text = (
            f"Rank correlation over {counted(emotions, 'emotion')} between the size of the "
            "acoustic difference and the distance, averaged over layers. With so few emotions the test is "
            "weak, and neighbouring layers are not independent."
        )
        return [Paragraph(text), self._table(pd.DataFrame(rows), self._with_corpus(columns))]

    # Helpers ------------------------------------------------------------------------------------

    def _distance_tests(self) -> list[Block]:
        """Counts the layers in which the distance of an emotion is more than chance."""
        needed = ["corpus", "model", "measure", "layer", "emotion", "p"]
        frame, problem = self._usable("similarity", needed)
        if frame is None:
            return [Paragraph(problem)]
        tested = frame[np.isfinite(frame["p"])]
        if tested.empty:
            return [Paragraph("No distance was tested against the permutation null.")]
        keys = ["corpus", "model", "measure"]
        rows = []
        for names, group in tested.groupby(keys, sort=False):
            row = dict(zip(keys, names, strict=True))
            for emotion, one in group.groupby("emotion", sort=False):
                row[emotion] = f"{int((one['p'] < self._alpha).sum())} of {len(one)}"
            rows.append(row)
        emotions = list(dict.fromkeys(tested["emotion"]))
        columns = [Column("model", "Model", "text"), Column("measure", "Measure", "text")]
        columns += [Column(emotion, self._name(emotion), "text") for emotion in emotions]
        text = (
            f"Layers in which the distance is larger than when domain labels are swapped within "
            f"speakers (p < {self._alpha:g}, not corrected for their number):"
        )
        return [Paragraph(text), self._table(pd.DataFrame(rows), self._with_corpus(columns))]

    def _performance_table(self, frame: pd.DataFrame) -> Table:
        rows = []
        keys = ["corpus", "model", "domain", "scheme", "statistic"]
        for names, group in frame.groupby(keys, sort=False):
            row = dict(zip(keys, names, strict=True))
            for one in group.itertuples():
                interval = ""
                if np.isfinite(one.low) and np.isfinite(one.high):
                    interval = f" [{100 * one.low:.1f}, {100 * one.high:.1f}]"
                row[one.metric] = f"{100 * one.value:.1f}{interval}"
                row[f"{one.metric}_layers"] = one.layers
            rows.append(row)
        columns = [
            Column("model", "Model", "text"),
            Column("domain", "Domain", "text"),
            Column("scheme", "Split", "text"),
            Column("statistic", "Layers", "text"),
        ]
        for metric, header in _METRICS.items():
            if (frame["metric"] == metric).any():
                columns.append(Column(metric, header, "text"))
                columns.append(Column(f"{metric}_layers", "Layer", "text"))
        return self._table(pd.DataFrame(rows), self._with_corpus(columns))

    def _usable(self, name: str, needed: Sequence[str]) -> tuple[pd.DataFrame | None, str]:
        """Returns a table, or None and a sentence that says why it cannot be shown."""
        frame = self._tables.get(name)
        if frame is None:
            return None, f"The table `{name}` was not made in this run."
        missing = [column for column in needed if column not in frame.columns]
        if missing:
            return None, f"The table `{name}` lacks {listed(missing)} and is not summed up here."
        if frame.empty:
            return None, f"The table `{name}` has no rows."
        return frame, ""

    def _confidence(self, frame: pd.DataFrame) -> str:
        levels = frame["level"].dropna().unique() if "level" in frame.columns else []
        return f"{100 * levels[0]:g} % " if len(levels) == 1 else ""

    def _with_corpus(
        self, columns: Sequence[Column], frame: pd.DataFrame | None = None
    ) -> list[Column]:
        """Puts the corpus first where there are several."""
        if not self._many or (frame is not None and "corpus" not in frame.columns):
            return list(columns)
        return [Column("corpus", "Corpus", "text"), *columns]

    def _table(self, frame: pd.DataFrame, columns: Sequence[Column]) -> Table:
        frame = frame.reindex(columns=[column.name for column in columns])
        return Table(frame, columns, self._labels)

    def _name(self, name: str) -> str:
        return self._labels.get(name, name)


_METRICS = {"accuracy": "Accuracy", "uar": "UAR"}
_VERBS = {
    "holds": "hold",
    "fails": "fail",
    "cannot tell": "cannot be told",
    "not computed": "were not computed",
}
