"""Tests of the tables of adaptation: what a job writes, what is compared, what a figure gets."""

import adaptation_data as data
import numpy as np
import pandas as pd
import pytest

from consonance import files, plots, published
from consonance import tables as generic
from consonance.adaptation import naming, results, stages, summaries, tables
from consonance.plots import adaptation as figures

STATISTICS = {"first_seed": 0, "level": 0.95, "draws": 60, "seed": 0, "min_clusters": 3}
SEEDS = [0, 1]
LAYERS, DIM = 3, 4


def result(run, arranged, *, right, gate=False, epochs=3):
    """Makes up a run in which the first `right` of the test clips are recognised."""
    clips = stages.clips_of(arranged[run.domain], run)
    truth = arranged[run.domain].emotions[clips.test]
    predicted = np.where(np.arange(len(truth)) < right, truth, 1 - truth).astype(np.int16)
    tensors = {
        "head.weight": np.zeros((2, DIM), np.float32),
        "head.bias": np.zeros(2, np.float32),
        "layer_weights": np.log(np.array([1, 2, 5], np.float32)),
    }
    if gate:
        tensors["gates"] = np.array([[0, 0, 0, 0], [1, 1, 1, 1], [-1, 1, -1, 1]], np.float32)
    curves = np.stack([np.linspace(1, 0.5, epochs), np.full(epochs, 0.75), np.full(epochs, 0.6)], 1)
    return results.Result(
        run=run, predicted=predicted, curves=curves, best_epoch=2, tensors=tensors, seconds=1.5,
        device="cpu",
    )  # fmt: skip


@pytest.fixture(scope="module")
def made():
    """Tables of one job of ws and one of peft, in which two stages are better by two clips."""
    table = data.manifest(speakers=10)
    arranged = stages.arrange(
        list(table["clip"]), table, data.drawn(table, seeds=SEEDS), domains=data.DOMAINS,
        labels=data.LABELS, scheme="random",
    )  # fmt: skip
    found = {
        name: [
            result(run, arranged, right=4 + 2 * (run.stage == 2) - (run.fraction < 1),
                   gate=name == "peft")
            for direction in naming.directions(data.DOMAINS)
            for run in stages.plan(
                direction, data.approach(name), domains=data.DOMAINS, seeds=SEEDS
            )
        ]
        for name in ("ws", "peft")
    }  # fmt: skip
    job = tables.Job("demo", "m", "random", data.LABELS, arranged, LAYERS)
    chosen = {name: data.approach(name) for name in found}
    return table, tables.lay_out(found, chosen, job), found


def test_every_table_begins_with_the_keys_and_survives_a_file(made, tmp_path):
    for name, table in made[1].items():
        assert tuple(table.columns[: len(naming.KEYS)]) == naming.KEYS, name
        files.write_csv(table, tmp_path / f"{name}.csv")
        again = generic.read(tmp_path / f"{name}.csv")
        pd.testing.assert_frame_equal(again, table, check_dtype=False)


def test_predictions_are_those_of_the_test_clips_in_clip_order(made):
    table, found, _ = made
    for _, part in found["predictions"].groupby(list(naming.KEYS)):
        assert part["clip"].is_monotonic_increasing
        assert (
            part["emotion"].to_numpy() == table.set_index("clip")["emotion"][part["clip"]]
        ).all()
        assert part["clip"].str.startswith(part["domain"].iloc[0]).all()
        expected = 4 + 2 * (part["stage"].iloc[0] == 2) - (part["fraction"].iloc[0] < 1)
        assert (part["emotion"] == part["predicted"]).sum() == expected


def test_scores_are_fractions_of_the_test_clips(made):
    scores = made[1]["scores"]
    whole = scores[(scores["fraction"] == 1) & (scores["metric"] == "accuracy")]
    assert set(whole.loc[whole["stage"] == 1, "value"]) == {4 / 8}
    assert set(whole.loc[whole["stage"] == 2, "value"]) == {6 / 8}
    best = scores[scores["metric"] == "best_epoch"]
    assert set(best["value"]) == {2.0}


def test_weights_sum_to_one_and_gates_are_factors(made):
    weights = made[1]["weights"]
    # Softmax of logarithms is proportion; float32 tensors.
    assert weights["weight"][:3].tolist() == pytest.approx([1 / 8, 2 / 8, 5 / 8], abs=1e-6)
    assert weights["layer"][:3].tolist() == [1, 2, 3]
    gates = made[1]["gates"]
    assert set(gates["approach"]) == {"peft"}
    assert gates["mean"][:3].tolist() == pytest.approx([0.5, 0.7310586, 0.5])
    assert gates["sd"][:3].tolist() == pytest.approx([0, 0, 0.2310586], abs=1e-6)


def test_the_checkpoint_holds_the_runs_on_all_clips(made):
    tensors = tables.tensors(made[2])
    assert len([name for name in tensors if name.startswith("ws/")]) == 2 * 2 * 2 * 3
    assert "peft/speech-to-song/2/1/gates" in tensors


@pytest.fixture(scope="module")
def performance(made):
    table, found, _ = made
    return summaries.performance(
        found["predictions"], table, found["runs"], emotions=data.LABELS, **STATISTICS
    )


def test_performance_has_intervals_around_each_value(performance):
    shown = performance[(performance["basis"] == "seeds") & (performance["metric"] == "accuracy")]
    assert ((shown["low"] < shown["value"]) & (shown["value"] < shown["high"])).all()
    two = shown[(shown["training"] == "two-stage") & (shown["fraction"] == 1)]
    assert set(two["value"]) == {6 / 8}
    few = shown[shown["fraction"] == 0.5]
    assert set(few["training_clips"]) == {12.0}
    assert set(few["approach"]) == {"ws"}


def test_two_stage_and_direct_are_compared_on_the_same_clips(made):
    table, found, _ = made
    paired = summaries.paired(
        found["predictions"], found["scores"], table, emotions=data.LABELS, metrics=["accuracy"],
        controls=[], **STATISTICS,
    )  # fmt: skip
    assert tuple(paired.columns) == summaries.PAIRED_COLUMNS
    seeds = paired[paired["basis"] == "seeds"]
    stage = seeds[seeds["question"] == summaries.STAGE_QUESTION]
    assert sorted(zip(stage["approach"], stage["domain"], strict=True)) == [
        ("peft", "song"), ("peft", "speech"), ("ws", "song"), ("ws", "speech"),
    ]  # fmt: skip
    assert stage["difference"].tolist() == pytest.approx([2 / 8] * 4)
    assert set(stage["family_size"]) == {4}
    other = seeds[seeds["question"] == summaries.APPROACH_QUESTION]
    assert set(other["comparison"]) == {"direct: peft - ws", "two-stage: peft - ws"}
    assert (other["difference"] == 0).all()
    assert len(other) == 4


def test_a_control_answers_its_own_question_only(made):
    table, found, _ = made
    names = {"peft": "ws-long"}
    renamed = {name: found[name].replace({"approach": names}) for name in ("predictions", "scores")}
    paired = summaries.paired(
        renamed["predictions"], renamed["scores"], table, emotions=data.LABELS,
        metrics=["accuracy"], controls=["ws", "baseline"], **STATISTICS,
    )  # fmt: skip
    seeds = paired[paired["basis"] == "seeds"]
    assert set(seeds["question"]) == {naming.STAGE_QUESTION, naming.LENGTH_QUESTION}
    long = seeds[seeds["question"] == naming.LENGTH_QUESTION]
    assert set(long["comparison"]) == {"ws: two-stage - direct for as many epochs"}
    assert set(zip(long["a"], long["b"], strict=True)) == {("ws / two-stage", "ws-long / direct")}
    assert long["difference"].tolist() == pytest.approx([2 / 8] * 2)
    assert set(long["family_size"]) == {2}
    assert set(seeds.loc[seeds["question"] == naming.STAGE_QUESTION, "approach"]) == {"ws"}


def test_approaches_without_a_common_seed_are_not_compared(made, caplog):
    table, found, _ = made
    apart = {
        name: part[(part["approach"] == "ws") == (part["seed"] == 0)]
        for name, part in found.items()
        if name in ("predictions", "scores")
    }
    paired = summaries.paired(
        apart["predictions"], apart["scores"], table, emotions=data.LABELS, metrics=["accuracy"],
        controls=[], **STATISTICS,
    )  # fmt: skip
    assert set(paired["question"]) == {summaries.STAGE_QUESTION}
    assert "no seed in common" in caplog.text


def test_table_three_has_the_papers_numbers_beside_ours(performance, project):
    paper = published.read(project / "workflow/resources/published/2409.17899.csv")
    beside = summaries.with_paper(
        performance, published=paper, paper_models={"m": "hubert-base-ls960"}, paper_scheme="random"
    )
    three = summaries.table_three(beside)
    row = three[
        (three["metric"] == "accuracy")
        & (three["approach"] == "peft")
        & (three["direction"] == "song-to-speech")
    ].iloc[0]
    assert (row["value_1"], row["value_2"]) == (4 / 8, 6 / 8)
    assert (row["paper_1"], row["paper_2"]) == pytest.approx((0.9162, 0.9310))
    assert three.loc[three["metric"] == "uar", "paper_1"].isna().all()
    style = {"labels": {"peft": "PEFT"}, "digits": 2}
    text = summaries.table_three_markdown(three, **style)
    assert "| PEFT | 50.00 |" in text
    assert "93.10" in text
    assert r"\toprule" in summaries.table_three_latex(three, **style)
    ours = summaries.with_paper(
        performance, published=paper, paper_models={}, paper_scheme="random"
    )
    assert ours["paper_value"].isna().all()


def test_a_control_has_nothing_in_stage_two(performance):
    alone = performance[(performance["approach"] != "peft") | (performance["stage"] == 1)]
    three = summaries.table_three(alone.assign(paper_value=np.nan))
    row = three[three["approach"] == "peft"].iloc[0]
    assert row["value_1"] == 4 / 8
    assert row[["value_2", "low_2", "high_2", "paper_2"]].isna().all()
    text = summaries.table_three_markdown(three, labels={}, digits=1)
    assert "| peft | 50.0 |" in text and text.splitlines()[0].endswith("| Seeds |")


def test_the_curves_of_a_control_end_with_stage_one(made):
    curves = summaries.curves(made[1]["curves"], band="range")
    alone = curves[(curves["approach"] == "ws") | (curves["stage"] == 1)]
    figure = figures.learning_curves(alone, style=plots.Style(dpi=50))
    limits = {axes.get_title(): axes.get_xlim() for axes in figure.axes if axes.get_title()}
    assert limits == {"ws": (0.5, 6.5), "peft": (0.5, 3.5)}
    assert len({axes.get_ylim() for axes in figure.axes[2:]}) == 1


def test_sizes_are_shares_of_the_encoder(made):
    table = summaries.sizes(made[1]["runs"], encoders={"m": 1000})
    row = table[(table["approach"] == "peft")].iloc[0]
    assert row["parameters"] == 2 * DIM + 2 + LAYERS + LAYERS * DIM
    assert row["share"] == row["parameters"] / 1000
    assert row["seeds"] == 2


def test_figures_show_every_panel(made, performance):
    _, found, _ = made
    dress = {"style": plots.Style(dpi=50), "labels": {"m": "Model M"}}
    whole = performance[
        (performance["fraction"] == 1)
        & (performance["basis"] == "seeds")
        & (performance["metric"] == "accuracy")
    ]
    curves = summaries.curves(found["curves"], band="range")
    weights = summaries.layer_values(found["weights"], value="weight", band="range")
    gates = summaries.layer_values(found["gates"], value="mean", band="sd")
    shares = performance[(performance["basis"] == "seeds") & (performance["metric"] == "accuracy")]
    for figure, panels in (
        (figures.adaptation_results(whole, **dress), 2),
        (figures.learning_curves(curves, **dress), 4),
        (figures.layer_weights(weights, **dress), 2),
        (figures.gate_values(gates, **dress), 1),
        (figures.limited_data(shares, **dress), 2),
        (figures.limited_data(shares[shares["approach"] == "peft"], **dress), 2),
    ):
        assert len(figure.axes) == panels
        assert all(axes.lines for axes in figure.axes)


def test_curves_put_stage_two_behind_stage_one(made):
    curves = summaries.curves(made[1]["curves"], band="range")
    figure = figures.learning_curves(curves, style=plots.Style(dpi=50))
    drawn = [line.get_xdata() for line in figure.axes[0].lines if len(line.get_xdata()) == 3]
    assert sorted(x.tolist() for x in map(np.asarray, drawn)) == [[1, 2, 3]] * 2 + [[4, 5, 6]] * 2


def test_the_spread_of_gates_lies_around_their_mean(made):
    gates = summaries.layer_values(made[1]["gates"], value="mean", band="range")
    third = gates[gates["layer"] == 3].iloc[0]
    assert third["spread_low"] == pytest.approx(0.5 - 0.2310586, abs=1e-6)
    assert third["spread_high"] == pytest.approx(0.5 + 0.2310586, abs=1e-6)
