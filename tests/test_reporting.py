import copy
import platform
import re
import socket
from types import SimpleNamespace

import docutils.core
import jinja2
import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from consonance import tables
from consonance.errors import InputError
from consonance.reporting import columns, document, entries, methods, provenance, summary
from consonance.reporting.columns import Column

ACOUSTICS = {
    "sampling_rate": 16000,
    "properties": ["pitch", "hnr", "jitter"],
    "design": "unpaired",
    "effect": "hedges",
    "confidence": 0.9,
    "resamples": 2345,
    "seed": 17,
    "permutations": 54321,
    "alternative": "two-sided",
    "correction": "holm",
}
HEADER = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


def clips(count=20, *, excluded=0):
    """A manifest with the columns that reports use."""
    return pd.DataFrame(
        {
            "clip": [f"c{index}" for index in range(count)],
            "domain": ["speech", "song"] * (count // 2),
            "speaker": [str(index % 4) for index in range(count)],
            "duration": 3.6,
            "excluded": ["silent: peak 0"] * excluded + [""] * (count - excluded),
        }
    )


# Columns and documents ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("text", "mert", "MERT"),
        ("text", "", tables.EMPTY),
        ("text", None, tables.EMPTY),
        ("count", 12345, "12,345"),
        ("count", np.nan, tables.EMPTY),
        ("number", 0.012345, "0.0123"),
        ("number", 1234.5, "1,234"),
        ("number", -2.0, "-2.00"),
        ("number", 0.0, "0"),
        ("number", np.inf, "∞"),
        ("percent", 0.84236, "84.2"),
        ("p", 0.0277, "0.028"),
        ("p", 0.0004, "< 0.001"),
        ("p", 0.001, "0.001"),
        ("truth", True, "yes"),
        ("truth", False, "no"),
        ("number", "2/720", "2/720"),
    ],
)
def test_values_are_written_for_readers(kind, value, expected):
    assert Column("x", "X", kind).show(value, {"mert": "MERT"}) == expected


def test_kinds_are_guessed_from_names_and_types():
    frame = pd.DataFrame(
        {
            "model": ["a", "b"],
            "layer": [1, 2],
            "value": [0.5, 1.5],
            "clips_a": [1.0, np.nan],
            "p_holm": [0.5, 1.0],
            "significant": [True, False],
            "low": [0.1, 0.2],
            "nothing": [np.nan, np.nan],
        }
    )
    guessed = {column.name: column for column in columns.guess(frame, percent=["low"])}
    kinds = [column.kind for column in guessed.values()]
    assert kinds == ["text", "count", "number", "count", "p", "truth", "percent", "number"]
    assert guessed["low"].header == "From (%)"
    assert guessed["p_holm"].header == "p (Holm)"
    assert columns.header("best_epoch") == "Best epoch"
    assert columns.empty(frame).tolist() == [False] * 7 + [True]


def test_a_missing_column_is_named():
    with pytest.raises(InputError, match="lacks the columns b, c"):
        columns.text(
            pd.DataFrame({"a": [1]}), [Column(name, name, "count") for name in "abc"], labels={}
        )


BLOCKS = [
    document.Heading("Title", level=1),
    document.Paragraph("Synthetic & random.", notice=True),
    document.Bullets(["one", "two < three"]),
    document.Table(
        pd.DataFrame({"model": ["a|b"], "value": [0.5]}),
        [Column("model", "Model", "text"), Column("value", "Value (%)", "percent")],
    ),
]


def test_a_document_as_markdown():
    assert document.markdown(BLOCKS) == (
        "# Title\n\n**Synthetic & random.**\n\n- one\n- two < three\n\n"
        "| Model | Value (%) |\n| :--- | ---: |\n| a\\|b | 50.0 |\n"
    )


def test_a_document_as_html():
    page = document.page(BLOCKS, title="A & B")
    assert "<title>A &amp; B</title>" in page
    assert '<p class="notice">Synthetic &amp; random.</p>' in page
    assert "<li>two &lt; three</li>" in page
    assert '<td>a|b<td class="n">50.0' in page
    assert "data-filter" not in page.split("<script>")[0]


@given(text=st.text(alphabet=st.characters(blacklist_categories=["Cs"]), min_size=1))
def test_no_text_becomes_markup(text):
    frame = pd.DataFrame({"note": [text]})
    page = document.table_page(frame, title=text, labels={}, notice=text, most_rows=10)
    body = page.split("<body>")[1].split("<script>")[0]
    assert set(re.findall(r"<(\w+)", body)) <= set(
        ["h1", "p", "div", "table", "thead", "tbody", "tr", "th", "td", "button"]
    )


def test_a_page_needs_nothing_from_outside():
    page = document.page(BLOCKS, title="Title")
    assert not re.search(r"https?:|src=|href=|@import|url\(", page)


def test_a_long_table_is_cut_and_says_so():
    frame = pd.DataFrame({"layer": range(1500), "reason": ""})
    page = document.table_page(frame, title="Long", labels={}, most_rows=1000)
    assert "The first 1,000 of 1,500 rows are shown" in page
    assert page.count("<tr>") == 1001
    assert 'data-filter="yes"' in page
    assert "Reason" not in page
    assert "has no rows" in document.table_page(
        frame.iloc[:0], title="Empty", labels={}, most_rows=10
    )


# Provenance ---------------------------------------------------------------------------------------


def benchmark(folder, rule, job, content):
    path = folder / "benchmarks" / rule / f"{job}.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def test_run_times_are_summed_up_by_rule(tmp_path):
    row = "{}\t0:00:01\t{}\t7.1\t0.4\t0.6\t0.00\t0.00\t0.00\t{}\n"
    paths = [
        benchmark(tmp_path, "extract", "a", HEADER + row.format("10.5", "2000.25", "20")),
        benchmark(tmp_path, "extract", "b", HEADER + row.format("30", "1500", "50.5")),
        # So short that Snakemake could not look at it.
        benchmark(tmp_path, "plot", "a", HEADER + "0.4\t0:00:00" + "\tNA" * 8 + "\n"),
        benchmark(tmp_path, "plot", "b", ""),
        tmp_path / "benchmarks/plot/gone.tsv",
    ]
    table = provenance.run_times(paths).set_index("rule")
    assert table.index.tolist() == ["extract", "plot", "all rules"]
    assert table.loc["extract"].tolist() == [2, 40.5, 30, 70.5, 2000.25, 0]
    assert table.loc["plot", ["jobs", "seconds", "unread"]].tolist() == [3, 0.4, 2]
    assert table.loc["plot", ["cpu_seconds", "max_rss_mb"]].isna().all()
    assert table.loc["all rules", ["jobs", "seconds", "max_rss_mb"]].tolist() == [5, 40.9, 2000.25]


def test_no_benchmarks_give_no_rows():
    table = provenance.run_times([])
    assert table.empty
    assert tuple(table.columns) == provenance.RUN_TIME_COLUMNS


def test_pins_are_read_from_every_environment(project):
    found = provenance.pins(sorted((project / "envs").glob("*.yaml")))
    assert found["torch"] == "2.13.0"
    assert {"opensmile", "matplotlib", "peft", "statsmodels"} <= set(found)


def test_versions_name_no_machine():
    found = provenance.versions(
        ["numpy", "no-such-package", "elsewhere"], pinned={"elsewhere": "1.2"}
    )
    table = found.set_index("software")["version"]
    assert table["elsewhere"] == "1.2 (as pinned in envs)"
    assert table["numpy"] == np.__version__
    assert table["no-such-package"] == "not installed"
    assert platform.python_version() in table["Python"]
    text = table.to_csv()
    assert "/" not in text
    for name in (platform.node(), socket.gethostname(), platform.release()):
        assert name not in text


@pytest.fixture
def citation(project):
    return yaml.safe_load((project / "CITATION.cff").read_text(encoding="utf-8"))


def test_licences_of_data_models_and_software(default_config, citation):
    default_config["experiment"]["models"] = ["mert-v1-95m", "mine", "random"]
    default_config["models"]["mine"] = {"source": "folder", "folder": "/secret/place"}
    default_config["models"]["random"] = {"source": "random", "seed": 3}
    table = provenance.licences(default_config, citation=citation).set_index("name")
    assert table.loc["ravdess", "licence"] == "CC BY-NC-SA 4.0"
    assert table.loc["ravdess", "source"] == "https://zenodo.org/records/1188976"
    assert "Livingstone" in table.loc["ravdess", "citation"]
    mert = table.loc["MERT (v1, 95M)"]
    assert mert["licence"] == "CC BY-NC 4.0"
    assert mert["revision"] == default_config["models"]["mert-v1-95m"]["revision"]
    assert table.loc["mine", "licence"] == "not stated in the configuration"
    assert table.loc["random", ["source", "licence"]].tolist() == ["random weights (seed 3)", ""]
    assert "secret" not in table.to_csv()
    assert "HuBERT (base)" not in table.index
    assert "non-commercial" in table.loc["openSMILE", "licence"]
    assert table.loc["Consonance", "kind"] == "software"
    assert (table["kind"] == "paper").sum() == len(citation["references"])


# Methods ------------------------------------------------------------------------------------------


def methods_text(config, *, models=None):
    manifests = {name: clips(excluded=2) for name in config["experiment"]["corpora"]}
    blocks = methods.methods(config, manifests=manifests, models=models or {})
    return document.markdown(blocks)


def test_the_methods_name_data_and_models(default_config):
    record = {"states": 13, "dim": 768, "parameters": 94_400_000, "frames_per_second": 75.0}
    text = methods_text(default_config, models={"mert-v1-95m": record})
    assert "18 clips (9 of speech and 9 of song; 0.02 hours) by 4 speakers, after 2" in text
    assert "12af15fef9d0ac838c3f475bfbbf26d2060dd4f5; 12 layers of 768 dimensions" in text
    assert "94.4 million parameters, 75 frames/s; audio at 24,000 Hz." in text
    assert "None" not in text


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("audio.minimum_seconds", 0.125, "shorter than 0.125 s"),
        ("audio.silence_peak", 0.25, "above 0.25 of full scale"),
        ("audio.rate_range", [7000, 99000], "7,000 to 99,000 Hz"),
        ("experiment.on_bad_audio", "exclude", "were excluded and are listed"),
        ("experiment.emotions", ["happy", "sad"], "2 emotions are happy and sad"),
        ("extraction.precision", "bfloat16", "ran in bfloat16"),
        ("extraction.window_seconds", 12.5, "longer than 12.5 s"),
        ("extraction.long_clips", "refuse", "were refused"),
        (
            "splits.fractions",
            {"train": 0.5, "validation": 0.3, "test": 0.2},
            "50 % for training, 30 % for validation and 20 % for",
        ),
        ("splits.seeds", [7], "with 1 seed (7)"),
        ("splits.schemes", ["speaker"], "for testing (speaker: by speaker, so that no"),
        ("probes.learning_rate", 0.0123, "learning rate 0.0123"),
        ("probes.betas", [0.8, 0.88], "betas 0.8 and 0.88"),
        ("probes.epsilon", 1e-5, "epsilon 1e-05"),
        ("probes.weight_decay", 0.777, "weight decay 0.777"),
        ("probes.batch_size", 77, "batches of 77"),
        ("probes.epochs", 1234, "1,234 epochs"),
        ("probes.standardise", True, "after scaling every feature"),
        ("probes.class_weights", ["none"], "cross-entropy (every clip weighing the same)"),
        ("fad.levels", ["clips"], "taken over the mean vectors of the clips of a set (clips), for"),
        ("fad.actor_folds", 9, "9 folds"),
        ("fad.actor_fold_seed", 31, "seed 31"),
        ("similarity.permutations", 777, "777 permutations"),
        ("similarity.pooled_permutations", 33, "33 for all emotions"),
        ("similarity.draws", 13, "13 sub-samples"),
        ("similarity.splits", 14, "14 splits"),
        ("similarity.fractions", [0.4, 0.7, 1.0], "40 %, 70 % and 100 % of the clips"),
        ("similarity.level", 0.9, "90 % intervals come from"),
        ("similarity.interval", "bootstrap", "a bootstrap over speakers (200 draws)"),
        ("similarity.kernel_scale", 7, "times 7"),
        ("similarity.seed", 55, "seed 55"),
        ("similarity.pair_by", ["speaker", "emotion"], "that share speaker and emotion"),
        ("adaptation.run", ["ws", "baseline"], "over blocks. ws: the classifier and softmax"),
        ("adaptation.controls", ["ws"], "controls, ws were also trained directly for the epochs"),
        ("adaptation.fractions", [0.2, 1.0], "repeated with 20 % of the training clips"),
        (
            "adaptation.approaches",
            {
                "baseline": {"trains": [], "learning_rate": 0.005, "seeds": [0]},
                "ws": {"trains": ["gate"], "learning_rate": 0.1, "gate": {"place": "readout"}},
                "peft": {"trains": ["lora"], "learning_rate": 0.1, "lora": {"rank": 3}},
            },
            "baseline: the classifier; AdamW with learning rate 0.005 and weight decay 0.01, "
            "batches of 32, 300 epochs a stage; seeds 0 only. ws: the classifier and a gate per "
            "block and dimension (sigmoid, starting at 1, on the readout); AdamW with learning "
            "rate 0.1 and weight decay 0.01, batches of 32, 300 epochs a stage. peft: the "
            "classifier and LoRA of rank 3 and alpha 1 on q_proj, k_proj, v_proj and out_proj of "
            "every block;",
        ),
        ("evidence.level", 0.9, "90 % intervals of scores"),
        ("evidence.draws", 321, "321 bootstrap draws of test clips"),
        ("evidence.min_clusters", 8, "fewer than 8 of them"),
        ("evidence.comparisons", ["models"], "In pairs, models were compared"),
        ("evidence.metrics", ["uar"], "test clips in uar"),
        ("evidence.permutations", 123, "123 permutations of the labels"),
        ("evidence.seed", 44, "seed 44"),
        ("evidence.claim_measures", ["kad"], "are tested on kad"),
        ("acoustics.sampling_rate", None, "at the recordings' sampling rate"),
        ("acoustics.resamples", 5432, "5,432 bootstrap draws"),
        ("acoustics.confidence", 0.8, "80 % intervals"),
        ("acoustics.seed", 99, "seed 99"),
        ("acoustics.permutations", 777, "at most 777"),
        ("acoustics.effect", "cohen", "Cohen's d"),
        ("acoustics.design", "paired", "recordings matched by speaker"),
        ("acoustics.correction", "bh", "Benjamini and Hochberg's"),
        ("acoustics.alternative", "greater", "one-sided (positive correlation) permutation"),
        ("acoustics.properties", ["pitch"], "each emotion and 1 "),
    ],
)
def test_the_methods_follow_the_configuration(default_config, path, value, expected):
    config = {**default_config, "acoustics": dict(ACOUSTICS)}
    before = methods_text(config)
    section, key = path.split(".")
    config[section] = {**config[section], key: value}
    after = methods_text(config)
    assert expected not in before
    assert expected in after


def test_lists_and_counts_in_words():
    assert methods.listed([]) == ""
    assert methods.listed(["a"]) == "a"
    assert methods.listed(["a", "b", "c"]) == "a, b and c"
    assert methods.counted(1, "clip") == "1 clip"
    assert methods.counted(1234, "clip") == "1,234 clips"
    assert methods.counted(2, "corpus", "corpora") == "2 corpora"
    assert methods.per_cent(0.6) == "60 %"
    assert methods.per_cent(0.125) == "12.5 %"


# Summary ------------------------------------------------------------------------------------------


def tables_of_a_run(corpus="demo"):
    """Small tables with the columns that the summary uses."""
    values = {("best", "accuracy"): 0.8, ("mean", "accuracy"): 0.6, ("best", "uar"): 0.75}
    performance = pd.DataFrame(
        {
            "corpus": corpus,
            "model": model,
            "domain": domain,
            "scheme": scheme,
            "basis": basis,
            "metric": metric,
            "statistic": statistic,
            "layers": "4, 5" if statistic == "best" else "",
            "value": value + 0.01 * (model == "tiny-mert") - 0.2 * (scheme == "speaker"),
            "low": value - 0.3,
            "high": value + 0.05,
            "level": 0.95,
        }
        for model in ("tiny-hubert", "tiny-mert")
        for domain in ("speech", "song")
        for scheme in ("random", "speaker")
        for basis in ("first", "seeds")
        for (statistic, metric), value in values.items()
    )
    ranking = pd.DataFrame(
        {
            "corpus": corpus,
            "model": model,
            "level": "frames",
            "emotion": emotion,
            "mean_rank": float(place),
            "place": place,
        }
        for model, order in (("tiny-hubert", ["sad", "calm"]), ("tiny-mert", ["calm", "sad"]))
        for place, emotion in enumerate(order, start=1)
    )
    similarity = pd.DataFrame(
        {
            "corpus": corpus,
            "model": "tiny-mert",
            "measure": "fad-clips",
            "layer": layer,
            "emotion": emotion,
            "p": p,
        }
        for emotion, ps in (("sad", [0.01, 0.2]), ("calm", [0.01, 0.04]))
        for layer, p in enumerate(ps, start=1)
    )
    claims = pd.DataFrame(
        {
            "finding": "I",
            "claim": f"Claim {index}.",
            "outcome": outcome,
            "why": "Because.",
            "note": "not the paper's models",
        }
        for index, outcome in enumerate(["holds", "fails", "cannot tell", "cannot tell"])
    )
    beside = pd.DataFrame({"inside": ["yes", "no", "yes", "", ""]})
    correlates = pd.DataFrame(
        {
            "corpus": corpus,
            "model": "tiny-mert",
            "measure": "fad-clips",
            "layer": layer,
            "property": name,
            "correlation": correlation,
            "p_adjusted": p,
            "emotions": 6,
        }
        for layer, name, correlation, p in [
            (1, "pitch", 0.9, 0.04),
            (2, "pitch", 0.7, 0.2),
            (1, "hnr", -0.95, 0.03),
            (2, "hnr", -0.95, 0.03),
            (1, "jitter", np.nan, np.nan),
        ]
    )
    return {
        "performance_intervals": performance,
        "fad_ranking": ranking,
        "similarity": similarity,
        "claims": claims,
        "side_by_side": beside,
        "acoustic_correlates": correlates,
    }


def summary_text(config, results, *, manifests=None, remarks=None):
    corpora = config["experiment"]["corpora"]
    blocks = summary.summary(
        config,
        manifests={name: clips(excluded=2) for name in corpora} if manifests is None else manifests,
        notices=dict.fromkeys(corpora, "Synthetic recordings: not a finding"),
        labels={"tiny-mert": "tiny MERT", "hnr": "Harmonics", "speech": "Speech (SER)"},
        tables=results,
        alpha=0.05,
        remarks=remarks or {},
    )
    assert document.page(blocks, title="Summary")
    return document.markdown(blocks)


def test_the_summary_of_a_whole_run(demo_config):
    text = summary_text(demo_config, tables_of_a_run(), remarks={"distance": ["A remark."]})
    assert "**demo: Synthetic recordings: not a finding.**" in text
    assert (
        "- Speech (SER): the best accuracy in per cent is 81.0 [50.0, 85.0] with the random split "
        "(tiny MERT, layer 4, 5) and 61.0 [50.0, 85.0] with the speaker split (tiny MERT, layer 4, "
        "5).\n"
    ) in text
    assert (
        "- Of 2 models, the nearest emotion by FAD over frames is sad in 1 and calm in 1." in text
    )
    assert text.count("Of 4 claims of the paper, 1 holds, 1 fails and 2 cannot be told.") == 2
    assert (
        "- demo (synthetic, made by the workflow): 18 of 20 clips (9 of speech and 9 of song) by 4 "
        "speakers. Left out: silent (2)."
    ) in text
    assert f"| tiny MERT | random weights (seed 3) | {tables.EMPTY} | 24,000 |" in text
    assert "Per cent with 95 % intervals, from all seeds. Chance is 16.7 %." in text
    assert (
        "| tiny MERT | Speech (SER) | random | 81.0 [50.0, 85.0] | 4, 5 | 61.0 [30.0, 65.0] | "
        "76.0 [45.0, 80.0] |"
    ) in text
    assert "| tiny MERT | frames | calm (1.0), sad (2.0) |" in text
    assert "| tiny MERT | fad-clips | 1 of 2 | 2 of 2 |" in text
    assert "| I | Claim 1. | fails | Because. | not the paper's models |" in text
    assert "Of the paper's 5 published numbers, 3 have a counterpart" in text
    assert "and 2 of these lie inside it." in text
    assert "| tiny MERT | fad-clips | Harmonics (-0.95), pitch (+0.80) | 3 of 4 |" in text
    assert "A remark." in text
    assert "nan" not in text.lower().replace("fearful", "")


@pytest.mark.parametrize("name", sorted(tables_of_a_run()))
def test_a_table_that_is_missing_or_wrong_gives_a_sentence(demo_config, name):
    results = tables_of_a_run()
    for content, sentence in (
        (None, f"The table `{name}` was not made in this run."),
        (results[name].iloc[:0], f"The table `{name}` has no rows."),
        (results[name].iloc[:, :0], f"The table `{name}` lacks "),
    ):
        text = summary_text(demo_config, {**results, name: content})
        assert sentence in text
        others = [other for other in results if other != name]
        assert not [other for other in others if f"`{other}`" in text]


def test_two_stage_training_beside_direct(demo_config):
    rows = [
        ("two-stage against direct", "ws", 0.75, 0.7, 0.05, 0.01, 0.09, 0.02),
        ("two-stage against direct", "peft", 0.5, 0.5 + 1e-17, -1e-17, np.nan, np.nan, np.nan),
        ("two-stage against direct for as many epochs", "ws", 0.75, 0.76, -0.01, -0.05, 0.03, 0.6),
        ("approaches", "", 0.75, 0.7, 0.05, -0.01, 0.11, 0.2),
    ]
    names = ["question", "approach", "value_a", "value_b", "difference", "low", "high", "p_holm"]
    table = pd.DataFrame(rows, columns=names).assign(
        corpus="demo", model="tiny-mert", domain="speech", scheme="random", basis="seeds"
    )
    table = pd.concat([table.assign(metric=metric) for metric in ("accuracy", "uar")])
    text = summary_text(demo_config, {"adaptation_comparisons": table})
    assert "Of 1 paired comparison, 1 differs after Holm's correction (p < 0.05)." in text
    line = "| tiny MERT | Speech (SER) | random | ws | 70.0 | 75.0 | +5.0 [1.0, 9.0] | 0.020 |"
    assert text.count(line) == 1
    assert "| random | peft | 50.0 | 50.0 | +0.0 |" in text
    assert "as many epochs as both stages together. Of 1 paired comparison, 0 differ" in text
    assert "| random | ws | 76.0 | 75.0 | -1.0 [" in text
    others = "Approaches against each other: of 1 paired comparison, 0 differ after"
    assert others in text


def test_nothing_but_a_configuration_still_gives_a_summary(demo_config):
    text = summary_text(demo_config, {}, manifests={})
    assert "its manifest is missing" in text
    assert text.count("was not made in this run") == 8


def test_without_intervals_the_spread_over_seeds_is_shown(demo_config):
    probes = pd.DataFrame(
        {
            "corpus": "demo",
            "model": "tiny-mert",
            "domain": "speech",
            "scheme": "random",
            "layer": [0, 1, 2],
            "metric": "accuracy",
            "mean": [0.9, 0.5, 0.6],
            "low": [0.9, np.nan, np.nan],
            "high": [0.9, np.nan, np.nan],
        }
    )
    text = summary_text(demo_config, {"probe_summary": probes})
    assert "with the spread over seeds, which is no interval" in text
    assert "| tiny MERT | Speech (SER) | random | 60.0 | 2 |" in text


def test_several_corpora_are_named(demo_config):
    demo_config["corpora"]["other"] = demo_config["corpora"]["demo"]
    demo_config["experiment"]["corpora"] = ["demo", "other"]
    both = [tables_of_a_run("demo"), tables_of_a_run("other")]
    text = summary_text(demo_config, {name: pd.concat([t[name] for t in both]) for name in both[0]})
    assert "- demo, Speech (SER): the best accuracy" in text
    assert "- other: of 2 models, the nearest emotion" in text
    assert "| Corpus | Model | FAD over |" in text


def test_undefined_values_are_left_out(demo_config):
    results = tables_of_a_run()
    results["performance_intervals"]["value"] = np.nan
    results["similarity"]["p"] = np.nan
    results["acoustic_correlates"]["correlation"] = np.nan
    results["side_by_side"]["inside"] = ""
    text = summary_text(demo_config, results)
    assert "The table `performance_intervals` has no value." in text
    assert "No distance was tested" in text
    assert "No correlation with an acoustic property could be computed." in text
    assert "none has a counterpart" in text


# The report's entries and captions ----------------------------------------------------------------


WILDCARDS = {
    "corpus": "demo",
    "metric": "uar",
    "scheme": "speaker",
    "level": "clips",
    "scale": "relative",
    "model": "tiny-mert",
    "kind": "gates",
}


def rendered(path, config, *, wildcards, notice):
    """A caption as Snakemake renders it, with docutils made strict."""
    environment = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    job = SimpleNamespace(
        wildcards=SimpleNamespace(**wildcards), params=SimpleNamespace(notice=notice), config=config
    )
    text = environment.from_string(path.read_text(encoding="utf-8")).render(snakemake=job)
    page = docutils.core.publish_parts(
        text, writer="html", settings_overrides={"halt_level": 2, "report_level": 2}
    )
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page["html_body"])).strip()


@pytest.mark.parametrize("notice", ["", "Synthetic recordings: not a finding"])
@pytest.mark.parametrize("name", [*entries.FIGURES, *entries.PAGES])
def test_every_figure_and_page_has_a_caption(project, demo_config, name, notice):
    caption = project / "workflow/report" / f"{name}.rst"
    text = rendered(caption, demo_config, wildcards=WILDCARDS, notice=notice)
    assert 40 < len(text) < 600
    assert text.endswith(".")
    assert (f"{notice}." in text) == (bool(notice) and name in entries.FIGURES) or not notice
    assert "{" not in text


@pytest.mark.parametrize("name", entries.TABLES)
def test_every_table_has_a_caption(project, demo_config, name):
    caption = project / "workflow/report/table.rst"
    text = rendered(caption, demo_config, wildcards={"table": name}, notice="Not a finding")
    assert re.match(r"[A-Z*].+\. Not a finding\.$", text)


def test_no_caption_is_left_over(project):
    files = {path.stem for path in (project / "workflow/report").glob("*.rst")}
    assert files == {*entries.FIGURES, *entries.PAGES, "table", "workflow"}


def test_captions_follow_their_wildcards(project, default_config):
    caption = project / "workflow/report/fad_by_layer.rst"
    raw = {**WILDCARDS, "scale": "raw", "level": "frames"}
    said = rendered(caption, default_config, wildcards=raw, notice="")
    assert said.startswith("Fréchet audio distance between speech and song")
    assert "as in the paper" in said
    assert "must not be compared between layers" in said
    said = rendered(caption, default_config, wildcards=WILDCARDS, notice="")
    assert said.startswith("Scale-free Fréchet")
    assert "can be compared" in said


def test_the_front_page_says_what_is_no_finding(project, default_config, demo_config):
    page = project / "workflow/report/workflow.rst"
    said = rendered(page, default_config, wildcards={}, notice="")
    assert said.startswith("Emotion in speech and song How well")
    assert "4 encoders: Wav2Vec 2.0 (base, 960h), HuBERT (base), MERT (v1, 95M), Wav2Vec" in said
    said = rendered(page, demo_config, wildcards={}, notice="")
    assert (
        "Not a finding: the recordings of demo are synthetic, and the weights of all encoders are "
        "random."
    ) in said
    mixed = copy.deepcopy(default_config)
    mixed["models"]["mert-v1-95m"]["source"] = "random"
    said = rendered(page, mixed, wildcards={}, notice="")
    assert "Not a finding: the weights of mert-v1-95m are random." in said


def test_labels_fill_in_wildcards_and_are_unique():
    label = entries.FIGURES["fad_matrix"].label(WILDCARDS, {"tiny-mert": "tiny MERT"})
    assert label == "Figure: FAD between all sets, tiny MERT, clip means"
    titles = [
        (entry.category, entry.title)
        for group in (entries.FIGURES, entries.TABLES, entries.PAGES)
        for entry in group.values()
    ]
    assert len(set(titles)) == len(titles)
    categories = sorted({category for category, _ in titles})
    assert [category[0] for category in categories] == list("1234567")
    assert set(entries.PERCENT) <= set(entries.TABLES)


def test_claims_about_other_models_are_no_outcomes_of_the_paper(demo_config):
    found = tables_of_a_run()
    found["claims"]["own_model"] = False
    text = summary_text(demo_config, found)
    assert "None of the paper's claims is about a model of this run." in text
    assert "Claim 0." not in text
    found["claims"].loc[0, "own_model"] = True
    text = summary_text(demo_config, found)
    assert "Of 1 claim of the paper, 1 holds." in text
    assert "Claim 0." in text
    assert "Claim 1." not in text


def test_a_corpus_of_which_nothing_was_left_out(demo_config):
    text = summary_text(demo_config, {}, manifests={"demo": clips()})
    assert "20 of 20 clips" in text
    assert "Left out" not in text


def test_too_few_permutations_tell_nothing(demo_config):
    found = tables_of_a_run()
    found["similarity"]["permutations"] = 9
    assert " of 2 |" not in summary_text(demo_config, found).split("Claims of the paper")[0]
