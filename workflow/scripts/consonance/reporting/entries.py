"""Where the report shows each result, and what it calls it.

Snakemake's report sorts categories and labels by the alphabet, so categories carry a number. Every
result has one label only: from two labels on, the report may turn one into a switch, which fails
where the two sides of the switch do not match.
"""

from collections.abc import Mapping
from dataclasses import dataclass

SUMMARY = "1 Summary and methods"
RECOGNITION = "2 Emotion recognition"
ADAPTATION = "3 Adaptation from one domain to the other"
SIMILARITY = "4 Distance between domains"
CORRELATES = "5 Acoustic correlates"
PAPER = "6 The paper's numbers and claims"
PROVENANCE = "7 Data and provenance"

WHOLE_RUN = "All corpora"
"""The subcategory of what belongs to no single corpus."""

_WORDS = {
    "accuracy": "accuracy",
    "uar": "UAR",
    "recall": "recall",
    "random": "random split",
    "speaker": "speaker split",
    "layer_weights": "layer weights",
    "frames": "frames",
    "clips": "clip means",
    "raw": "raw",
    "relative": "scale-free",
}


@dataclass(frozen=True)
class Entry:
    """One result, or one for every value of some wildcards.

    Attributes:
        title: with wildcards in braces; `{corpus}` is not among them, being the subcategory.
        category: one of those above.
    """

    title: str
    category: str

    def label(self, wildcards: Mapping[str, str], labels: Mapping[str, str]) -> str:
        """Returns the title with its wildcards filled in.

        Args:
            wildcards: of the job.
            labels: display names, for example of models.
        """
        words = {**_WORDS, **labels}
        filled = {name: words.get(value, value) for name, value in wildcards.items()}
        return self.title.format(**filled)


FIGURES = {
    "accuracy_by_layer": Entry("Figure: {metric} by layer", RECOGNITION),
    "accuracy_by_emotion": Entry("Figure: recall of each emotion, {scheme}", RECOGNITION),
    "comparisons": Entry("Figure: paired comparisons", RECOGNITION),
    "emotion_spread": Entry("Figure: how unevenly emotions are recognised", RECOGNITION),
    "adaptation": Entry("Figure: direct and two-stage training, {scheme}", ADAPTATION),
    "limited_data": Entry("Figure: fewer clips of the target, {model}, {scheme}", ADAPTATION),
    "learning_curves": Entry("Figure: learning curves, {model}, {scheme}", ADAPTATION),
    "adaptation_layers": Entry("Figure: learned {kind}, {scheme}", ADAPTATION),
    "fad_by_layer": Entry("Figure: FAD by layer, {level}, {scale}", SIMILARITY),
    "fad_matrix": Entry("Figure: FAD between all sets, {model}, {level}", SIMILARITY),
    "similarity_by_layer": Entry("Figure: measures with floor and null, {model}", SIMILARITY),
    "acoustic_differences": Entry("Figure: acoustic differences by emotion", CORRELATES),
    "acoustic_correlates": Entry("Figure: acoustic differences and distance", CORRELATES),
    "side_by_side": Entry("Figure: the paper's numbers and ours", PAPER),
}
"""Figures, by the name of the figure's file up to its first point, as is their caption's file."""

TABLES = {
    "performance": Entry("Table: best, worst and mean layer", RECOGNITION),
    "probe_summary": Entry("Table: probes by layer, over seeds", RECOGNITION),
    "performance_intervals": Entry("Table: best, worst and mean layer, intervals", RECOGNITION),
    "accuracy_intervals": Entry("Table: probes by layer, intervals", RECOGNITION),
    "comparisons": Entry("Table: paired comparisons", RECOGNITION),
    "emotion_spread": Entry("Table: how unevenly emotions are recognised", RECOGNITION),
    "probe_comparisons": Entry("Table: balanced against unweighted probes", RECOGNITION),
    "adaptation": Entry("Table: both stages, by approach", ADAPTATION),
    "adaptation_performance": Entry("Table: every stage and share of clips", ADAPTATION),
    "adaptation_comparisons": Entry("Table: paired comparisons of training", ADAPTATION),
    "adaptation_sizes": Entry("Table: trained parameters and clips", ADAPTATION),
    "fad_ranking": Entry("Table: emotions from nearest to farthest", SIMILARITY),
    "fad_summary": Entry("Table: FAD by emotion and layer", SIMILARITY),
    "fad_matrix": Entry("Table: FAD between all sets", SIMILARITY),
    "similarity": Entry("Table: measures with intervals, floor and null", SIMILARITY),
    "acoustic_differences": Entry("Table: acoustic differences by emotion", CORRELATES),
    "acoustic_correlates": Entry("Table: acoustic differences and distance", CORRELATES),
    "side_by_side": Entry("Table: the paper's numbers and ours", PAPER),
    "claims": Entry("Table: the paper's claims", PAPER),
    "exclusions": Entry("Table: clips left out, by reason", PROVENANCE),
}
"""Tables, by the name of the table's file; their captions are in `table.rst`."""

PAGES = {
    "summary": Entry("Summary of this run", SUMMARY),
    "methods": Entry("Methods", SUMMARY),
    "run_times": Entry("Run times and peak memory", PROVENANCE),
    "versions": Entry("Software versions", PROVENANCE),
    "licences": Entry("Licences and citations", PROVENANCE),
}
"""Pages about the whole run, by the name of the page's file, as is their caption's file."""

PERCENT = {
    "performance": ("value", "paper_value"),
    "probe_summary": ("mean", "sd", "low", "high"),
    "performance_intervals": ("value", "low", "high", "split_low", "split_high"),
    "accuracy_intervals": ("value", "low", "high"),
    "comparisons": ("value_a", "value_b", "difference", "low", "high"),
    "probe_comparisons": ("value_a", "value_b", "difference", "low", "high"),
    "emotion_spread": ("value", "low", "high", "null_mean", "null_high", "support"),
    "adaptation": tuple(
        f"{kind}_{stage}" for stage in (1, 2) for kind in ("value", "low", "high", "paper")
    ),
    "adaptation_performance": ("value", "low", "high", "paper_value"),
    "adaptation_comparisons": ("value_a", "value_b", "difference", "low", "high"),
    "side_by_side": (
        *("paper_value", "paper_likely", "ours", "low", "high"),
        *("split_low", "split_high", "difference"),
    ),
}
"""Columns of tables that hold fractions and are shown as per cent."""
