"""Tests of the tidy tables behind figures and reports."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consonance import published, summaries, tables
from consonance.errors import InputError

PAPER = Path(__file__).parents[1] / "workflow/resources/published/2409.17899.csv"


def scores(values, *, metric="accuracy", emotion="", model="m", domain="speech", scheme="random"):
    """Returns a score table from {seed: {layer: value}}."""
    return pd.DataFrame(
        [
            {
                "corpus": "c",
                "model": model,
                "domain": domain,
                "scheme": scheme,
                "seed": seed,
                "layer": layer,
                "metric": metric,
                "emotion": emotion,
                "value": value,
            }
            for seed, layers in values.items()
            for layer, value in layers.items()
        ]
    )


class TestProbeSummary:
    def test_range_band(self):
        table = summaries.probe_summary(
            [scores({0: {1: 0.5}, 1: {1: 0.7}, 2: {1: 0.9}})], band="range"
        )
        row = table.iloc[0]
        assert (row["mean"], row["low"], row["high"]) == pytest.approx((0.7, 0.5, 0.9))
        assert row["sd"] == pytest.approx(0.2)
        assert (row["seeds"], row["band"], row["emotion"]) == (3, "range", "")

    def test_sd_band(self):
        table = summaries.probe_summary(
            [scores({0: {1: 0.5}, 1: {1: 0.7}, 2: {1: 0.9}})], band="sd"
        )
        assert (table["low"][0], table["high"][0]) == pytest.approx((0.5, 0.9))

    @pytest.mark.parametrize("band", ["range", "sd"])
    def test_one_seed_has_no_band(self, band):
        row = summaries.probe_summary([scores({3: {1: 0.5}})], band=band).iloc[0]
        assert row["mean"] == 0.5
        assert np.isnan([row["sd"], row["low"], row["high"]]).all()
        assert (row["seeds"], row["band"]) == (1, "")

    def test_a_seed_without_test_clips_of_an_emotion_does_not_count(self):
        table = scores({0: {1: 0.5}, 1: {1: np.nan}, 2: {1: 0.7}}, metric="recall", emotion="calm")
        row = summaries.probe_summary([table], band="range").iloc[0]
        assert (row["mean"], row["seeds"]) == (pytest.approx(0.6), 2)

    def test_rows_keep_their_order_and_other_metrics_drop_out(self):
        frames = [
            scores({0: {1: 0.5, 0: 0.4}}, model="b"),
            scores({0: {1: 12.0}}, metric="best_epoch", model="b"),
            scores({0: {1: 0.3}}, metric="recall", emotion="sad", model="a"),
        ]
        table = summaries.probe_summary(frames, band="range")
        assert table[["model", "layer", "metric", "emotion"]].to_numpy().tolist() == [
            ["b", 1, "accuracy", ""],
            ["b", 0, "accuracy", ""],
            ["a", 1, "recall", "sad"],
        ]

    def test_a_missing_emotion_read_as_nan_is_no_emotion(self):
        table = scores({0: {1: 0.5}}).assign(emotion=np.nan)
        assert summaries.probe_summary([table], band="range")["emotion"].tolist() == [""]

    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.floats(0, 1), min_size=2, max_size=8))
    def test_the_mean_lies_in_the_range_and_order_of_seeds_does_not_matter(self, values):
        table = scores({seed: {1: value} for seed, value in enumerate(values)})
        row = summaries.probe_summary([table], band="range").iloc[0]
        # A mean of equal numbers may miss them by rounding.
        assert row["low"] - 1e-15 <= row["mean"] <= row["high"] + 1e-15
        back = summaries.probe_summary([table.iloc[::-1]], band="range").iloc[0]
        assert (back["low"], back["high"]) == (row["low"], row["high"])
        assert back["mean"] == pytest.approx(row["mean"], rel=1e-14)

    @pytest.mark.parametrize(
        ("frames", "message"),
        [
            ([], "no score tables"),
            ([scores({0: {1: 0.5}}).drop(columns=["value", "seed"])], "columns seed, value"),
            ([scores({0: {1: 85.2}})], "accuracy 85.2 of m, layer 1; give fractions"),
            ([scores({0: {1: 0.5}})] * 2, "repeat a score, the first is corpus c, model m"),
            ([scores({0: {1: 3.0}}, metric="best_epoch")], "neither accuracy nor UAR nor recall"),
        ],
    )
    def test_errors(self, frames, message):
        with pytest.raises(InputError, match=message):
            summaries.probe_summary(frames, band="range")

    def test_an_unknown_band_is_an_error(self):
        with pytest.raises(InputError, match="'iqr' is unknown; choose range or sd"):
            summaries.probe_summary([scores({0: {1: 0.5}})], band="iqr")


def test_chance_level_counts_emotions():
    frames = [scores({0: {1: 0.5}}, metric="recall", emotion=name) for name in ("a", "b", "c", "d")]
    assert summaries.chance_level(summaries.probe_summary(frames, band="sd")) == 0.25
    only = summaries.probe_summary([scores({0: {1: 0.5}})], band="sd")
    with pytest.raises(InputError, match="holds no recall"):
        summaries.chance_level(only)


def performance(frames, **settings):
    defaults = {"first_seed": 0, "published": None, "paper_models": {}, "paper_scheme": "random"}
    table = summaries.performance_table(frames, **(defaults | settings))
    return table.set_index(["model", "metric", "statistic", "basis"]).sort_index()


class TestPerformanceTable:
    def test_best_worst_and_mean_over_layers_without_the_input(self):
        frame = scores(
            {
                0: {0: 0.99, 1: 0.5, 2: 0.8, 3: 0.2},
                1: {0: 0.01, 1: 0.7, 2: 0.4, 3: 0.4},
            }
        )
        table = performance([frame])
        of = table.loc["m", "accuracy"]
        assert of.loc[("best", "seeds"), ["value", "layers", "seeds"]].tolist() == [
            pytest.approx(0.6),
            "1, 2",
            2,
        ]
        assert of.loc[("worst", "seeds"), ["value", "layers"]].tolist() == [pytest.approx(0.3), "3"]
        assert of.loc[("mean", "seeds"), ["value", "layers"]].tolist() == [pytest.approx(0.5), ""]
        assert of.loc[("best", "first"), ["value", "layers", "seeds"]].tolist() == [0.8, "2", 1]
        assert of.loc[("worst", "first"), ["value", "layers"]].tolist() == [0.2, "3"]
        assert of.loc[("mean", "first"), "value"] == pytest.approx(0.5)

    def test_the_first_seed_is_the_one_asked_for(self):
        frame = scores({0: {1: 0.5}, 7: {1: 0.7}})
        assert (
            performance([frame], first_seed=7).loc[("m", "accuracy", "best", "first"), "value"]
            == 0.7
        )
        with pytest.raises(InputError, match="no accuracy for seed 3; its seeds are 0, 7"):
            performance([frame], first_seed=3)

    def test_ties_of_a_mean_over_seeds_survive_rounding_noise(self):
        # 0.1 + 0.2 and 0.3 differ in the last bit.
        frame = scores({0: {4: 0.1, 5: 0.3}, 1: {4: 0.2, 5: 0.0}})
        assert performance([frame]).loc[("m", "accuracy", "best", "seeds"), "layers"] == "4, 5"

    def test_the_paper_stands_beside_its_own_models_scheme_and_metric_only(self):
        frames = [
            scores({0: {1: 0.5}}, model=model, scheme=scheme, metric=metric)
            for model in ("mine", "other")
            for scheme in ("random", "speaker")
            for metric in ("accuracy", "uar")
        ]
        table = summaries.performance_table(
            frames,
            first_seed=0,
            published=published.read(PAPER),
            paper_models={"mine": "hubert-base-ls960"},
            paper_scheme="random",
        )
        beside = table[table["paper_value"].notna()]
        assert set(zip(beside["model"], beside["scheme"], beside["metric"], strict=True)) == {
            ("mine", "random", "accuracy")
        }
        best = beside[beside["statistic"] == "best"].iloc[0]
        assert best["paper_value"] == pytest.approx(0.8522)
        assert best["paper_layers"] == "6"
        assert best["paper_source"] == "Table I, row Best, column HuBERT"

    def test_tables_i_and_ii_of_the_paper_come_out_of_its_own_numbers(self):
        # Twelve counts whose best, worst and mean are Table II's for HuBERT.
        counts = [149] * 12
        counts[3] = counts[4] = 164
        counts[6] = 140
        frame = scores({0: {k: c / 203 for k, c in enumerate(counts, 1)}}, domain="song")
        table = summaries.performance_table(
            [frame],
            first_seed=0,
            published=published.read(PAPER),
            paper_models={"m": "hubert-base-ls960"},
            paper_scheme="random",
        )
        for row in table.itertuples():
            assert round(row.value, 4) == pytest.approx(row.paper_value)
            assert row.layers == row.paper_layers

    def test_only_the_input_is_an_error(self):
        with pytest.raises(InputError, match="no accuracy or UAR of a layer from 1 on"):
            performance([scores({0: {0: 0.5}})])

    def test_renderings(self):
        frames = [
            scores(
                {0: {1: 164 / 203, 2: 164 / 203}, 1: {1: 0.5, 2: 0.5}}, model="mine", domain="song"
            ),
            scores({0: {1: 0.25}, 1: {1: 0.25}}, model="b", domain="song"),
        ]
        table = summaries.performance_table(
            frames,
            first_seed=0,
            published=published.read(PAPER),
            paper_models={"mine": "hubert-base-ls960"},
            paper_scheme="random",
        )
        labels = {"song": "Song (MER)", "mine": "Mine & co", "random": "random split"}
        text = summaries.performance_markdown(table, labels=labels, digits=2)
        assert "### c: Song (MER), random split" in text
        assert "| Mine & co | Best | 65.39 (1, 2) | 80.79 (1, 2) | 80.79 (4, 5) |" in text
        assert f"| b | Mean | 25.00 | 25.00 | {tables.EMPTY} |" in text
        assert "UAR" not in text  # there is none in these scores
        tex = summaries.performance_latex(table, labels=labels, digits=1)
        assert r"Mine \& co & Best & 65.4 (1, 2) & 80.8 (1, 2) & 80.8 (4, 5) \\" in tex


EMOTIONS = ("angry", "calm", "all")


def fads(distance, *, layers=(1,), model="m", level="clips", swap=False):
    """Returns a FAD table of two domains; `distance(layer, a, b)` gives values."""
    sets = [(domain, emotion) for domain in ("speech", "song") for emotion in EMOTIONS]
    rows = []
    for layer in layers:
        for pair in combinations(sets, 2):
            a, b = pair[::-1] if swap else pair
            value = distance(layer, a, b)
            rows.append(
                {
                    "corpus": "c",
                    "model": model,
                    "level": level,
                    "layer": layer,
                    "domain_a": a[0],
                    "emotion_a": a[1],
                    "domain_b": b[0],
                    "emotion_b": b[1],
                    "clips_a": 10 if a[0] == "speech" else 20,
                    "clips_b": 10 if b[0] == "speech" else 20,
                    "samples_a": 100 if a[0] == "speech" else 200,
                    "samples_b": 100 if b[0] == "speech" else 200,
                    "fad": value,
                    "fad_relative": -value,
                }
            )
    return pd.DataFrame(rows)


def by_emotion(layer, a, b):
    return layer * {"angry": 1.0, "calm": 3.0, "all": 2.0}[a[1]]


class TestFad:
    @pytest.mark.parametrize("swap", [False, True])
    def test_domains_are_compared_within_an_emotion_whatever_side_they_are_on(self, swap):
        table = summaries.fad_summary(
            [fads(by_emotion, layers=(1, 2), swap=swap)], domains=("speech", "song")
        )
        found = table.set_index(["layer", "emotion"])
        assert found.loc[(2, "calm"), "fad"] == 6.0
        assert found.loc[(1, "angry"), ["clips_a", "clips_b"]].tolist() == [10, 20]
        assert found.loc[(1, "angry"), ["samples_a", "samples_b"]].tolist() == [100, 200]
        assert found.loc[(1, "angry"), ["rank", "rank_relative"]].tolist() == [1, 2]
        assert found.loc[(1, "calm"), ["rank", "rank_relative"]].tolist() == [2, 1]
        assert found.loc[(1, "all"), ["rank", "rank_relative"]].isna().all()
        assert len(table) == 6

    def test_the_sides_follow_the_order_of_the_domains(self):
        table = summaries.fad_summary([fads(by_emotion)], domains=("song", "speech"))
        assert set(table["clips_a"]) == {20}

    def test_ranking_over_layers(self):
        def crossing(layer, a, b):
            return by_emotion(1, a, b) if layer < 3 else -by_emotion(1, a, b)

        summary = summaries.fad_summary(
            [fads(crossing, layers=(0, 1, 2, 3))], domains=("speech", "song")
        )
        ranking = summaries.fad_ranking(summary)
        assert ranking["emotion"].tolist() == ["angry", "calm"]
        angry = ranking.iloc[0]
        assert angry["mean_rank"] == pytest.approx(4 / 3)
        assert angry[["best_rank", "worst_rank", "layers", "place"]].tolist() == [1, 2, 3, 1]
        assert angry["mean_rank_relative"] == pytest.approx(5 / 3)
        text = summaries.fad_ranking_markdown(ranking, labels={"m": "Model", "angry": "anger"})
        assert "| Model | clips | 1 | anger | 1.33 | 1 | 2 | 1.67 | 3 |" in text
        assert r"\toprule" in summaries.fad_ranking_latex(ranking, labels={})

    def test_tied_emotions_share_a_rank(self):
        summary = summaries.fad_summary([fads(lambda *_: 1.0)], domains=("speech", "song"))
        assert set(summary.loc[summary["emotion"] != "all", "rank"]) == {1.5}

    def test_matrix_is_symmetric_with_a_zero_diagonal(self):
        rng = np.random.default_rng(0)
        table = summaries.fad_matrix([fads(lambda *_: rng.random())])
        grid = table.pivot(
            index=["domain_a", "emotion_a"], columns=["domain_b", "emotion_b"], values="fad"
        )
        grid = grid.sort_index(axis=0).sort_index(axis=1)
        assert grid.shape == (4, 4)  # two domains, two emotions, without the pooled sets
        np.testing.assert_array_equal(grid, grid.T)
        np.testing.assert_array_equal(np.diag(grid), np.zeros(4))
        assert (grid.to_numpy()[~np.eye(4, dtype=bool)] > 0).all()
        whole = summaries.fad_matrix([fads(lambda *_: 1.0)], exclude=())
        assert len(whole) == 36

    def test_matrix_keeps_the_value_of_each_pair(self):
        codes = {"angry": 1, "calm": 2, "all": 3, "speech": 10, "song": 20}

        def value(_, a, b):
            return 1000 * (codes[a[0]] + codes[a[1]]) + codes[b[0]] + codes[b[1]]

        table = summaries.fad_matrix([fads(value)]).set_index(
            ["domain_a", "emotion_a", "domain_b", "emotion_b"]
        )["fad"]
        assert table["speech", "angry", "song", "calm"] == 11022
        assert table["song", "calm", "speech", "angry"] == 11022

    def test_a_stored_diagonal_is_replaced(self):
        frame = fads(by_emotion)
        itself = frame.iloc[[0]].assign(domain_b="speech", emotion_b="angry", fad=1e-9)
        table = summaries.fad_matrix([frame, itself])
        same = (table["domain_a"] == table["domain_b"]) & (table["emotion_a"] == table["emotion_b"])
        assert set(table.loc[same, "fad"]) == {0.0}
        assert same.sum() == 4

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda: summaries.fad_summary([], domains=("a", "b")), "no FAD tables"),
            (
                lambda: summaries.fad_summary([fads(by_emotion)], domains=("speech", "noise")),
                "No distance compares speech with noise",
            ),
            (
                lambda: summaries.fad_summary([fads(by_emotion)] * 2, domains=("speech", "song")),
                "repeat a distance between the domains",
            ),
            (
                lambda: summaries.fad_matrix([fads(by_emotion), fads(by_emotion, swap=True)]),
                "repeat a distance between two sets",
            ),
            (
                lambda: summaries.fad_matrix([fads(by_emotion)], exclude=EMOTIONS),
                "No distance between two different",
            ),
            (
                lambda: summaries.fad_matrix([fads(by_emotion).drop(columns="fad")]),
                "lacks the column fad;",
            ),
            (
                lambda: summaries.fad_ranking(
                    summaries.fad_summary(
                        [fads(by_emotion, layers=(0,))], domains=("speech", "song")
                    )
                ),
                "no distance of a single emotion in a layer from 1 on",
            ),
        ],
    )
    def test_errors(self, call, message):
        with pytest.raises(InputError, match=message):
            call()
