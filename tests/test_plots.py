"""Tests of the figures: what they say, what they draw, and that they are the same every time."""

import math
from itertools import pairwise

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PolyCollection, QuadMesh
from matplotlib.colors import same_color
from matplotlib.patches import Rectangle

from consonance import plots
from consonance.errors import InputError
from consonance.plots import board, style

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful")
STYLE = plots.Style(dpi=50)
LABELS = {"speech": "Speech (SER)", "song": "Song (MER)", "random": "Random split"}
ORDER = {"domain": ("speech", "song"), "emotion": (*EMOTIONS, "all")}


def probe_table(models=("a", "b"), depths=(3, 3), seeds=2, schemes=("random",)):
    """Returns a probe summary whose means are 0.1 layer + 0.01 (model) - 0.05 (song)."""
    rows = []
    for i, (model, depth) in enumerate(zip(models, depths, strict=True)):
        for domain in ("speech", "song"):
            for scheme in schemes:
                for layer in range(depth + 1):
                    mean = min(1, 0.1 + 0.8 * layer / depth + 0.01 * i - 0.05 * (domain == "song"))
                    common = {
                        "model": model,
                        "domain": domain,
                        "scheme": scheme,
                        "layer": layer,
                        "mean": mean,
                        "low": mean - 0.02 if seeds > 1 else np.nan,
                        "high": mean + 0.02 if seeds > 1 else np.nan,
                        "seeds": seeds,
                        "band": "range" if seeds > 1 else "",
                    }
                    rows += [{**common, "metric": m, "emotion": ""} for m in ("accuracy", "uar")]
                    rows += [
                        {**common, "metric": "recall", "emotion": emotion, "mean": mean * k / 6}
                        for k, emotion in enumerate(EMOTIONS, 1)
                    ]
    return pd.DataFrame(rows)


def fad_table(models=("a", "b"), depth=3, scale=1.0):
    return pd.DataFrame(
        [
            {
                "model": model,
                "level": level,
                "layer": layer,
                "emotion": emotion,
                "fad": scale * (k + 1) * layer * 100**i,
                "fad_relative": 0.1 * (k + 1),
            }
            for i, model in enumerate(models)
            for level in ("frames", "clips")
            for layer in range(depth + 1)
            for k, emotion in enumerate((*EMOTIONS, "all"))
        ]
    )


def matrix_table(models=("a",), layers=(1,), emotions=EMOTIONS):
    sets = [(domain, emotion) for domain in ("speech", "song") for emotion in emotions]
    return pd.DataFrame(
        [
            {
                "model": model,
                "level": "clips",
                "layer": layer,
                "domain_a": a[0],
                "emotion_a": a[1],
                "domain_b": b[0],
                "emotion_b": b[1],
                "fad": float(10 * abs(i - j)),
                "fad_relative": abs(i - j) / 100,
            }
            for model in models
            for layer in layers
            for i, a in enumerate(sets)
            for j, b in enumerate(sets)
        ]
    )


def similarity_table(models=("a", "b"), measures=("FAD", "CKA"), emotions=("calm", "sad")):
    rows = []
    for model in models:
        for measure in measures:
            for k, emotion in enumerate(emotions, 1):
                for layer in (1, 2, 3):
                    value = float(k * layer)
                    rows.append(
                        {
                            "model": model,
                            "measure": measure,
                            "emotion": emotion,
                            "layer": layer,
                            "value": value,
                            "low": value - 0.5,
                            "high": value + 0.5,
                            "floor": 0.2,
                            "null_low": 0.1,
                            "null_high": 0.4,
                        }
                    )
    return pd.DataFrame(rows)


def forest_table():
    return pd.DataFrame(
        {
            "group": ["Speech", "Speech", "Song"],
            "label": ["a minus b", "b minus c", "a minus b"],
            "estimate": [0.05, -0.02, 0.0],
            "low": [0.01, -0.05, -0.03],
            "high": [0.09, 0.01, 0.03],
            "p": [0.0004, 0.2, np.nan],
            "significant": [True, False, False],
        }
    )


def correlation_table(models=("a", "b")):
    return pd.DataFrame(
        [
            {
                "model": model,
                "layer": layer,
                "feature": feature,
                "correlation": sign * layer / 3,
                "significant": layer == 3 and sign > 0,
            }
            for model in models
            for layer in (1, 2, 3)
            for feature, sign in (("F0 mean", 1), ("Loudness", -1))
        ]
    )


def spread_table():
    return pd.DataFrame(
        [
            {
                "model": model,
                "domain": domain,
                "probe": probe,
                "layer": layer,
                "statistic": statistic,
                "value": 0.1 * layer + 0.05 * (probe == "plain"),
                "low": 0.1 * layer - 0.05,
                "high": 0.1 * layer + 0.1,
            }
            for model in ("a", "b")
            for domain in ("speech", "song")
            for probe in ("plain", "balanced")
            for statistic in ("range", "worst")
            for layer in (1, 2, 3)
        ]
    )


FIGURES = {
    "accuracy_by_layer": (plots.accuracy_by_layer, probe_table, {"chance": 1 / 6}),
    "accuracy_by_layer, uar by domain": (
        plots.accuracy_by_layer,
        probe_table,
        {"metric": "uar", "panels": "domain"},
    ),
    "accuracy_by_emotion": (plots.accuracy_by_emotion, probe_table, {"scheme": "random"}),
    "fad_by_layer": (plots.fad_by_layer, fad_table, {"level": "frames"}),
    "fad_matrix": (plots.fad_matrix, matrix_table, {"level": "clips", "layers": [1]}),
    "similarity_by_layer": (plots.similarity_by_layer, similarity_table, {}),
    "emotion_spread": (plots.emotion_spread, spread_table, {}),
    "forest": (plots.forest, forest_table, {"xlabel": "Difference (points)", "scale": 100}),
    "rank_correlation_heatmap": (plots.rank_correlation_heatmap, correlation_table, {}),
}


def dress(**more):
    return {"style": STYLE, "labels": LABELS, "order": ORDER} | more


def panels(figure):
    """Returns the axes of panels by title, without colour bars."""
    return {axes.get_title(): axes for axes in figure.axes if axes.get_title()}


def data_lines(axes):
    """Returns the lines with data along the layers (no chance line, no floor)."""
    return [line for line in axes.lines if line.get_marker() not in ("None", None, "")]


def words(figure):
    return [text.get_text() for text in figure.texts]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()] if figure.legends else []


def bands(axes):
    return [item for item in axes.collections if isinstance(item, PolyCollection)]


@pytest.mark.parametrize("name", FIGURES)
class TestEveryFigure:
    def test_words_of_the_caller_are_on_its_face(self, name):
        draw, table, settings = FIGURES[name]
        figure = draw(
            table(),
            **settings,
            **dress(title="A title", notice="Not a finding", note="A note.", source="from here"),
        )
        assert {"A title", "Not a finding", "A note.", "from here"} <= set(words(figure))
        (notice,) = (text for text in figure.texts if text.get_text() == "Not a finding")
        box = notice.get_bbox_patch()
        assert same_color(box.get_edgecolor(), "#B3261E")
        assert notice.get_window_extent().y0 > max(axes.bbox.y1 for axes in figure.axes)

    def test_the_same_table_gives_the_same_bytes(self, name, tmp_path):
        draw, table, settings = FIGURES[name]
        # A PDF takes long to write because of its fonts: one figure stands for all.
        suffixes = ("png", "svg", "pdf") if name == "forest" else ("png", "svg")
        figure = draw(table(), **settings, **dress(notice="Not a finding"))
        with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 9, "svg.hashsalt": "x"}):
            again = draw(table(), **settings, **dress(notice="Not a finding"))
            for suffix in suffixes:
                plots.save(again, tmp_path / f"again.{suffix}")
        for suffix in suffixes:
            plots.save(figure, tmp_path / f"first.{suffix}")
            plots.save(figure, tmp_path / f"second.{suffix}")
            first = (tmp_path / f"first.{suffix}").read_bytes()
            assert first
            assert first == (tmp_path / f"second.{suffix}").read_bytes()
            assert first == (tmp_path / f"again.{suffix}").read_bytes()

    def test_nothing_overlaps_or_is_cut_off(self, name):
        draw, table, settings = FIGURES[name]
        figure = draw(
            table(),
            **settings,
            **dress(title="A title", notice="Long words " * 20, note="A note.", source="source"),
        )
        check_layout(figure)

    def test_a_missing_column_is_named(self, name):
        draw, table, settings = FIGURES[name]
        optional = {"low", "high", "floor", "null_low", "null_high", "group", "p", "significant"}
        optional |= {"probe", "fad_relative"}
        whole = table()
        needed = [c for c in whole if c not in optional or name.startswith("accuracy")]
        if name == "forest":
            needed += ["low", "high"]
        if name == "accuracy_by_layer" or "uar" in name:
            needed.remove("emotion")
        for column in needed:
            with pytest.raises(InputError, match=rf"lacks the column {column};"):
                draw(whole.drop(columns=column), **settings, **dress())

    def test_an_empty_table_is_an_error(self, name):
        draw, table, settings = FIGURES[name]
        with pytest.raises(InputError, match="has no rows"):
            draw(table().iloc[:0], **settings, **dress())


def check_layout(figure):
    """Asserts that words, legend and panels keep clear of one another and of the edges."""
    renderer = figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.texts]
    boxes += [item.get_window_extent(renderer) for item in figure.legends]
    inside = [axes.get_tightbbox(renderer) for axes in figure.axes]
    slack = 1.0  # pixel: extents of text are rounded up to whole pixels
    for box in boxes + inside:
        assert box.x0 >= -slack
        assert box.y0 >= -slack
        assert box.x1 <= figure.bbox.x1 + slack
        assert box.y1 <= figure.bbox.y1 + slack
    for i, box in enumerate(boxes):
        for other in boxes[:i] + inside:
            overlap = min(box.y1, other.y1) - max(box.y0, other.y0)
            beside = min(box.x1, other.x1) - max(box.x0, other.x0)
            assert overlap <= slack or beside <= slack, (box, other)


class TestAccuracyByLayer:
    def test_lines_are_percentages_of_the_layers_from_one_on(self):
        figure = plots.accuracy_by_layer(probe_table(), chance=1 / 6, **dress())
        axes = panels(figure)["a"]
        speech, song = data_lines(axes)
        np.testing.assert_array_equal(speech.get_xdata(), [1, 2, 3])
        np.testing.assert_allclose(speech.get_ydata(), 100 * (0.1 + 0.8 * np.arange(1, 4) / 3))
        np.testing.assert_allclose(song.get_ydata(), speech.get_ydata() - 5)
        assert axes.get_ylabel() == "Random split\nAccuracy (%)"
        assert "Layer (1\N{EN DASH}3; output of transformer block)" in words(figure)
        assert list(axes.get_xticks()) == [1, 2, 3]
        assert legend(figure) == [
            "Speech (SER)",
            "Song (MER)",
            "Chance (16.7 %)",
            "Band: lowest to highest of 2 seeds",
        ]
        chance = axes.lines[-1]
        np.testing.assert_allclose(chance.get_ydata(), 100 / 6)

    def test_the_band_is_drawn_between_low_and_high(self):
        axes = panels(plots.accuracy_by_layer(probe_table(), **dress()))["a"]
        corners = bands(axes)[0].get_paths()[0].vertices
        middle = 100 * (0.1 + 0.8 / 3)
        at_one = corners[corners[:, 0] == 1, 1]
        assert (at_one.min(), at_one.max()) == (
            pytest.approx(middle - 2),
            pytest.approx(middle + 2),
        )

    def test_one_seed_has_no_band_in_the_legend(self):
        figure = plots.accuracy_by_layer(probe_table(seeds=1), **dress())
        assert legend(figure) == ["Speech (SER)", "Song (MER)"]
        assert all(np.isnan(band.get_datalim(band.axes.transData).x0) or not band.get_paths()
                   or not np.isfinite(band.get_paths()[0].vertices).all()
                   for axes in figure.axes for band in bands(axes))  # fmt: skip

    def test_standard_deviations_are_named_as_such(self):
        table = probe_table().assign(band="sd")
        assert "Band: \N{PLUS-MINUS SIGN}1 standard deviation over 2 seeds" in legend(
            plots.accuracy_by_layer(table, **dress())
        )

    def test_panels_of_domains_have_a_line_per_model(self):
        figure = plots.accuracy_by_layer(probe_table(), panels="domain", metric="uar", **dress())
        assert set(panels(figure)) == {"Speech (SER)", "Song (MER)"}
        assert len(data_lines(panels(figure)["Song (MER)"])) == 2
        assert figure.axes[0].get_ylabel() == "Random split\nUAR (%)"

    def test_schemes_are_rows(self):
        figure = plots.accuracy_by_layer(probe_table(schemes=("random", "speaker")), **dress())
        assert [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()] == [
            "Random split\nAccuracy (%)",
            "speaker\nAccuracy (%)",
        ]
        assert len(figure.axes) == 4

    def test_a_missing_layer_leaves_a_gap(self):
        table = probe_table()
        axes = panels(plots.accuracy_by_layer(table[table["layer"] != 2], **dress()))["a"]
        (line, *_) = data_lines(axes)
        assert list(line.get_xdata()) == [1, 2, 3]
        assert np.isnan(line.get_ydata()[1])

    def test_a_missing_cell_says_so(self):
        table = probe_table()
        hole = (table["model"] == "b") & (table["domain"] == "song")
        figure = plots.accuracy_by_emotion(table[~hole], scheme="random", **dress())
        texts = [text.get_text() for axes in figure.axes for text in axes.texts]
        assert texts == ["no data"]

    def test_two_values_for_a_layer_are_an_error(self):
        table = pd.concat([probe_table(), probe_table()])
        with pytest.raises(InputError, match="several values for one layer"):
            plots.accuracy_by_layer(table, **dress())

    def test_nothing_left_to_draw_is_an_error(self):
        table = probe_table()
        with pytest.raises(InputError, match="No row of the table has a value of mean"):
            plots.accuracy_by_layer(table[table["layer"] == 0], **dress())
        with pytest.raises(InputError, match="No row of the table has a value of mean"):
            plots.accuracy_by_emotion(table, scheme="speaker", **dress())

    def test_marks_do_not_depend_on_which_models_are_there(self):
        order = {**ORDER, "model": ("a", "b")}
        both = plots.accuracy_by_layer(probe_table(), panels="domain", **dress(order=order))
        alone = plots.accuracy_by_layer(
            probe_table(models=("b",), depths=(3,)), panels="domain", **dress(order=order)
        )
        expected = data_lines(both.axes[0])[1]
        (line,) = data_lines(alone.axes[0])
        assert line.get_color() == expected.get_color()
        assert line.get_marker() == expected.get_marker()

    def test_rows_of_the_table_may_come_in_any_order(self):
        table = probe_table()
        order = {**ORDER, "model": ("a", "b")}
        straight = plots.accuracy_by_layer(table, **dress(order=order))
        shuffled = plots.accuracy_by_layer(
            table.sample(frac=1, random_state=0), **dress(order=order)
        )
        for one, other in zip(straight.axes, shuffled.axes, strict=True):
            for line, same in zip(data_lines(one), data_lines(other), strict=True):
                np.testing.assert_array_equal(line.get_ydata(), same.get_ydata())

    @pytest.mark.parametrize("depths", [(4,), (24, 4), (12, 12, 6, 24, 12), (12,) * 8])
    @pytest.mark.parametrize("panels_of", ["model", "domain"])
    def test_one_to_eight_models_of_any_depth_fit(self, depths, panels_of):
        models = [f"a model with number {k}" for k in range(len(depths))]
        figure = plots.accuracy_by_layer(
            probe_table(models, depths), panels=panels_of, chance=1 / 6, **dress(title="Title")
        )
        check_layout(figure)
        renderer = figure.canvas.get_renderer()
        for axes in figure.axes:
            boxes = [
                tick.get_window_extent(renderer)
                for tick in axes.get_xticklabels()
                if tick.get_visible() and tick.get_text()
            ]
            for left, right in pairwise(boxes):
                assert left.x1 < right.x0, "numbers of layers run into each other"
        for axes in figure.axes:
            assert all(tick == int(tick) for tick in axes.get_xticks())


class TestAccuracyByEmotion:
    def test_rows_are_domains_and_lines_are_recalls(self):
        figure = plots.accuracy_by_emotion(probe_table(), scheme="random", **dress())
        assert len(figure.axes) == 4
        labels = [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()]
        assert labels == ["Speech (SER)\nRecall (%)", "Song (MER)\nRecall (%)"]
        lines = data_lines(figure.axes[0])
        assert len(lines) == 6
        np.testing.assert_allclose(lines[2].get_ydata(), 50 * (0.1 + 0.8 * np.arange(1, 4) / 3))
        assert legend(figure) == list(EMOTIONS)
        assert not bands(figure.axes[0])

    def test_bands_on_request(self):
        figure = plots.accuracy_by_emotion(probe_table(), scheme="random", bands=True, **dress())
        assert len(bands(figure.axes[0])) == 6
        assert legend(figure)[-1] == "Band: lowest to highest of 2 seeds"


class TestFadByLayer:
    def test_each_model_has_its_own_axis_from_zero(self):
        figure = plots.fad_by_layer(fad_table(), level="frames", **dress())
        small, large = panels(figure)["a"], panels(figure)["b"]
        assert small.get_ylim()[0] == large.get_ylim()[0] == 0
        assert large.get_ylim()[1] == pytest.approx(100 * small.get_ylim()[1])
        np.testing.assert_allclose(data_lines(small)[1].get_ydata(), [2, 4, 6])
        assert small.get_ylabel() == "FAD (squared distance)"
        assert legend(figure) == [*EMOTIONS, "all"]

    def test_all_clips_are_black_and_thick(self):
        axes = panels(plots.fad_by_layer(fad_table(), level="clips", **dress()))["a"]
        (whole,) = (line for line in axes.lines if same_color(line.get_color(), "black"))
        np.testing.assert_allclose(whole.get_ydata(), [7, 14, 21])
        assert whole.get_linewidth() > data_lines(axes)[0].get_linewidth()

    def test_relative_distances(self):
        figure = plots.fad_by_layer(fad_table(), level="clips", value="fad_relative", **dress())
        np.testing.assert_allclose(data_lines(figure.axes[0])[0].get_ydata(), [0.1, 0.1, 0.1])
        assert "total" in figure.axes[0].get_ylabel()

    @pytest.mark.parametrize("scale", [1e-6, 1.0, 1e7])
    def test_numbers_of_any_size_stay_within_the_figure(self, scale):
        figure = plots.fad_by_layer(fad_table(scale=scale), level="clips", **dress())
        check_layout(figure)
        assert all(not axes.yaxis.get_offset_text().get_text() for axes in figure.axes)

    def test_an_unknown_level_is_an_error(self):
        with pytest.raises(InputError, match="No row of the table has a value of fad"):
            plots.fad_by_layer(fad_table(), level="words", **dress())


def meshes(figure):
    """Returns the maps of a figure by the title of their panel."""
    found = {}
    for axes in figure.axes:
        for item in axes.collections:
            if isinstance(item, QuadMesh) and axes.get_title():
                found[axes.get_title()] = item
    return found


class TestFadMatrix:
    def test_sets_are_ordered_by_domain_and_the_diagonal_is_empty(self):
        table = matrix_table(emotions=("calm", "sad")).sample(frac=1, random_state=1)
        figure = plots.fad_matrix(table, level="clips", layers=[1], **dress())
        grid = meshes(figure)["a"].get_array().reshape(4, 4)
        expected = 10.0 * np.abs(np.subtract.outer(np.arange(4), np.arange(4)))
        np.testing.assert_array_equal(np.ma.getmaskarray(grid), np.eye(4, dtype=bool))
        np.testing.assert_array_equal(grid.filled(0), expected)
        axes = panels(figure)["a"]
        names = ["calm", "sad", "calm", "sad"]
        assert [tick.get_text() for tick in axes.get_xticklabels()] == names
        assert [tick.get_text() for tick in axes.get_yticklabels()] == names
        assert "Layer 1. Colour: FAD (squared distance)" in words(figure)

    def test_numbers_are_written_where_they_are_legible(self):
        large = plots.fad_matrix(matrix_table(), level="clips", layers=[1], **dress())
        cells = [text.get_text() for text in panels(large)["a"].texts]
        assert cells.count("110") == 2
        assert "Speech (SER)" in cells
        assert len(cells) == 132 + 4  # cells and the names of two domains on two sides
        tight = matrix_table(layers=(1, 2, 3)).assign(fad_relative=0.123)
        small = plots.fad_matrix(
            tight, level="clips", layers=[1, 2, 3], value="fad_relative", **dress()
        )
        assert not any(
            text.get_text().startswith("0.1") for axes in small.axes for text in axes.texts
        )

    def test_several_layers_are_columns_and_models_rows(self):
        figure = plots.fad_matrix(
            matrix_table(models=("a", "b"), layers=(1, 2)), level="clips", layers=[1, 2], **dress()
        )
        assert set(meshes(figure)) == {"Layer 1", "Layer 2"}
        assert [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()] == ["a", "b"]
        check_layout(figure)

    def test_a_single_model_with_several_layers_is_named(self):
        table = matrix_table(layers=(1, 2))
        figure = plots.fad_matrix(table, level="clips", layers=[1, 2], **dress())
        assert [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()] == ["a"]
        check_layout(figure)

    @pytest.mark.parametrize("models", [1, 2, 4, 8])
    def test_any_number_of_models_fits(self, models):
        names = [f"model {k}" for k in range(models)]
        figure = plots.fad_matrix(matrix_table(names), level="clips", layers=[1], **dress())
        check_layout(figure)
        assert set(meshes(figure)) == set(names)

    def test_a_model_without_the_layer_has_no_map(self):
        table = matrix_table(models=("a", "b"), layers=(1, 2))
        table = table[(table["model"] == "a") | (table["layer"] == 1)]
        figure = plots.fad_matrix(table, level="clips", layers=[2, 1], **dress())
        assert "no data" in [text.get_text() for axes in figure.axes for text in axes.texts]

    def test_errors(self):
        with pytest.raises(InputError, match="no distances of frames for layer 1, 2"):
            plots.fad_matrix(matrix_table(), level="frames", layers=[1, 2], **dress())
        with pytest.raises(InputError, match="No pair of different sets has a value of fad"):
            table = matrix_table().assign(fad=np.nan)
            plots.fad_matrix(table, level="clips", layers=[1], **dress())
        twice = pd.concat([matrix_table(), matrix_table()])
        with pytest.raises(InputError, match="several values"):
            plots.fad_matrix(twice, level="clips", layers=[1], **dress())


class TestSimilarity:
    def test_value_interval_floor_and_null(self):
        figure = plots.similarity_by_layer(
            similarity_table(models=("a",), measures=("FAD",), emotions=("sad",)), **dress()
        )
        (axes,) = figure.axes
        (line,) = data_lines(axes)
        np.testing.assert_array_equal(line.get_ydata(), [1, 2, 3])
        (floor,) = (item for item in axes.lines if item is not line)
        np.testing.assert_array_equal(floor.get_ydata(), [0.2] * 3)
        null, interval = bands(axes)
        assert null.get_hatch()
        assert not interval.get_hatch()
        assert (
            null.get_paths()[0].vertices[:, 1].min(),
            null.get_paths()[0].vertices[:, 1].max(),
        ) == (
            0.1,
            0.4,
        )
        assert axes.get_ylabel() == "FAD"
        assert legend(figure) == ["sad", "Band: interval", "Floor", "Hatched: null"]

    def test_what_the_table_lacks_is_not_drawn(self):
        table = similarity_table()[["model", "measure", "emotion", "layer", "value"]]
        figure = plots.similarity_by_layer(table, **dress())
        assert legend(figure) == ["calm", "sad"]
        assert not any(bands(axes) for axes in figure.axes)

    def test_emotions_as_columns_share_an_axis(self):
        figure = plots.similarity_by_layer(
            similarity_table(models=("a",)), columns="emotion", lines="model", **dress()
        )
        assert set(panels(figure)) == {"calm", "sad"}
        calm, sad = panels(figure)["calm"], panels(figure)["sad"]
        assert calm.get_ylim() == sad.get_ylim()

    def test_facets_must_be_three_different_ones(self):
        with pytest.raises(InputError, match="name each of measure, model and emotion once"):
            plots.similarity_by_layer(similarity_table(), columns="measure", **dress())


class TestForest:
    def test_points_intervals_and_words(self):
        figure = plots.forest(forest_table(), xlabel="Difference (points)", scale=100, **dress())
        (axes,) = figure.axes
        assert [tick.get_text() for tick in axes.get_yticklabels()] == [
            "Speech",
            "a minus b",
            "b minus c",
            "Song",
            "a minus b",
        ]
        assert [text.get_text() for text in axes.texts] == [
            "5.0 [1.0, 9.0], p < 0.001",
            "−2.0 [−5.0, 1.0], p = 0.200",  # noqa: RUF001
            "0.0 [−3.0, 3.0]",  # noqa: RUF001
        ]
        points = [line for line in axes.lines if line.get_marker() == "s"]
        assert [float(line.get_xdata()[0]) for line in points] == [5.0, -2.0, 0.0]
        assert [same_color(line.get_markerfacecolor(), "white") for line in points] == [
            False,
            True,
            True,
        ]
        intervals = [tuple(line.get_xdata()) for line in axes.lines if len(line.get_xdata()) == 2]
        assert intervals[0] == (1.0, 9.0)
        assert "Difference (points)" in words(figure)
        assert legend(figure) == ["Significant", "Not significant"]

    def test_a_plain_table_has_neither_headings_nor_legend(self):
        table = forest_table()[["label", "estimate", "low", "high"]]
        figure = plots.forest(table, xlabel="x", reference=None, **dress())
        assert not figure.legends
        assert len(figure.axes[0].get_yticklabels()) == 3


class TestRankCorrelations:
    def test_cells_signs_and_outlines(self):
        figure = plots.rank_correlation_heatmap(correlation_table(), **dress())
        grid = meshes(figure)["a"].get_array().reshape(2, 3)
        np.testing.assert_allclose(grid, [[1 / 3, 2 / 3, 1], [-1 / 3, -2 / 3, -1]])
        assert meshes(figure)["a"].get_clim() == (-1, 1)
        axes = panels(figure)["a"]
        minus = [text.get_position() for text in axes.texts]
        assert minus == [(1, 1), (2, 1), (3, 1)]
        (outline,) = (item for item in axes.patches if isinstance(item, Rectangle))
        assert (outline.get_x(), outline.get_y()) == pytest.approx((2.58, -0.42))
        assert [tick.get_text() for tick in axes.get_yticklabels()] == ["F0 mean", "Loudness"]

    def test_a_missing_cell_stays_empty(self):
        table = correlation_table()
        table = table[~((table["layer"] == 2) & (table["feature"] == "Loudness"))]
        grid = meshes(plots.rank_correlation_heatmap(table, **dress()))["a"].get_array()
        assert np.ma.getmaskarray(grid).reshape(2, 3).tolist() == [
            [False] * 3,
            [False, True, False],
        ]

    def test_two_values_for_a_cell_are_an_error(self):
        twice = pd.concat([correlation_table(), correlation_table()])
        with pytest.raises(InputError, match="several values"):
            plots.rank_correlation_heatmap(twice, **dress())


class TestEmotionSpread:
    def test_a_line_per_domain_and_probe(self):
        labels = {**LABELS, "plain": "paper's probe"}
        figure = plots.emotion_spread(spread_table(), **dress(labels=labels))
        assert legend(figure)[:2] == ["Speech (SER), paper's probe", "Speech (SER), balanced"]
        assert len(data_lines(figure.axes[0])) == 4
        np.testing.assert_allclose(data_lines(figure.axes[0])[0].get_ydata(), [15, 25, 35])

    def test_without_probes_a_line_per_domain(self):
        table = spread_table()
        table = table[table["probe"] == "plain"].drop(columns=["probe", "low", "high"])
        figure = plots.emotion_spread(table, **dress())
        assert legend(figure) == ["Speech (SER)", "Song (MER)"]


class TestStyle:
    def test_marks_differ_in_more_than_colour(self):
        marks = [STYLE.mark(position) for position in range(8)]
        assert len({mark.colour for mark in marks}) == 8
        assert len({mark.dashes for mark in marks}) == 8
        assert len({mark.marker for mark in marks}) == 8
        assert STYLE.mark(8) == marks[0]

    def test_colours_of_emotions_differ_for_red_green_blind_readers(self):
        # Machado et al. (2009), deuteranopia, severity 1, on linear RGB.
        blind = np.array(
            [
                [0.367322, 0.860646, -0.227968],
                [0.280085, 0.672501, 0.047413],
                [-0.011820, 0.042940, 0.968881],
            ]
        )
        colours = np.array([matplotlib.colors.to_rgb(c) for c in style.OKABE_ITO[:6]])
        linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
        seen = linear @ blind.T
        distances = [np.linalg.norm(seen[i] - seen[j]) for i in range(6) for j in range(i)]
        # Two greens of a traffic light, #009E73 and #33A02C, are 0.06 apart by this measure.
        assert min(distances) > 0.1

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"width": 0}, "width is 0; it must be positive"),
            ({"font_size": -1, "dpi": 0}, "2 problems"),
            ({"palette": ["red"]}, "'red' is not of the form #RRGGBB"),
            ({"palette": []}, "holds no colour"),
        ],
    )
    def test_errors(self, settings, message):
        with pytest.raises(InputError, match=message):
            plots.Style(**settings)

    def test_width_and_dots_of_a_file(self, tmp_path):
        figure = plots.forest(
            forest_table(), xlabel="x", style=plots.Style(width=5, dpi=40), labels={}, order={}
        )
        plots.save(figure, tmp_path / "f.png")
        image = matplotlib.image.imread(tmp_path / "f.png")
        assert image.shape[1] == 200

    def test_an_unknown_format_is_an_error(self, tmp_path):
        figure = plots.forest(forest_table(), xlabel="x", **dress())
        with pytest.raises(InputError, match=r"end it in \.pdf, \.svg or \.png"):
            plots.save(figure, tmp_path / "f.jpg")
        assert list(tmp_path.iterdir()) == []

    def test_pyplot_is_left_alone(self):
        plots.forest(forest_table(), xlabel="x", **dress())
        assert not matplotlib._pylab_helpers.Gcf.get_all_fig_managers()


def test_short_numbers_have_no_common_factor():
    show = board.short_numbers()
    assert [show(x) for x in (0.02, 15.0, 150000.0, 2e6, -0.5)] == [
        "0.02",
        "15",
        "150000",
        "2e+06",
        "\N{MINUS SIGN}0.5",
    ]


def test_words_are_wrapped_to_a_width():
    lines = board.wrap("word " * 30, inches=2.0, size=8).split("\n")
    longest = math.floor(2.0 * 72 / (0.56 * 8))
    assert max(map(len, lines)) <= longest
    assert " ".join(lines) == ("word " * 30).strip()


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ({("", "a"): (1, 4), ("", "b"): (1, 12)}, "Layer (output of transformer block)"),
        ({("", "a"): (1, 12)}, "Layer (1\N{EN DASH}12; output of transformer block)"),
        (
            {("", "a"): (0, 12), ("", "b"): (0, 12)},
            "Layer (0: encoder input; then output of transformer block)",
        ),
    ],
)
def test_the_layer_axis_says_what_layer_0_is(spans, expected):
    assert board.layer_label(spans) == expected
