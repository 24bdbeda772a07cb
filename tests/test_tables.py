"""Tests of the tidy tables' reader and renderings."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consonance import files, manifest, tables
from consonance.errors import InputError


def test_text_stays_text_and_empty_numbers_become_nan(tmp_path):
    frame = pd.DataFrame(
        {"emotion": ["None", "", "NA"], "layers": ["5", "", "4, 5"], "value": [0.5, np.nan, 1.0]}
    )
    files.write_csv(frame, tmp_path / "table.csv")
    back = tables.read(tmp_path / "table.csv")
    assert list(back["emotion"]) == ["None", "", "NA"]
    assert list(back["layers"]) == ["5", "", "4, 5"]
    np.testing.assert_array_equal(back["value"], [0.5, np.nan, 1.0])


def test_a_name_that_looks_like_a_number_stays_as_it_is(tmp_path):
    (tmp_path / "folds.csv").write_text("speaker,fold\n01,0\n10,1\n")
    frame = tables.read(tmp_path / "folds.csv")
    assert list(frame["speaker"]) == ["01", "10"]
    assert list(frame["fold"]) == [0, 1]


def test_every_text_column_of_the_manifest_is_read_as_text():
    assert set(manifest.TEXT_COLUMNS) <= tables.TEXT_COLUMNS


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_numbers_survive_the_round_trip(tmp_path_factory, numbers):
    path = tmp_path_factory.mktemp("csv") / "table.csv"
    files.write_csv(pd.DataFrame({"model": "m", "value": numbers}), path)
    np.testing.assert_array_equal(tables.read(path)["value"].to_numpy(float), numbers)


def test_an_empty_file_is_an_error(tmp_path):
    (tmp_path / "table.csv").touch()
    with pytest.raises(InputError, match=r"table\.csv is empty"):
        tables.read(tmp_path / "table.csv")


def test_every_missing_column_is_named():
    frame = pd.DataFrame({"model": ["m"]})
    with pytest.raises(InputError, match="for a test lacks the columns layer, value; it has model"):
        tables.require(frame, ["model", "layer", "value"], what="a test")
    with pytest.raises(InputError, match="lacks the column layer;"):
        tables.require(frame, ["layer"], what="a test")
    with pytest.raises(InputError, match="a test has no rows"):
        tables.require(frame.iloc[:0], ["model"], what="a test")


@pytest.mark.parametrize(
    ("settings", "value", "shown"),
    [
        ({"digits": 2, "scale": 100}, 173 / 203, "85.22"),
        ({"digits": 2}, math.nan, tables.EMPTY),
        ({}, "", tables.EMPTY),
        ({}, None, tables.EMPTY),
        ({}, pd.NA, tables.EMPTY),
        ({}, "calm", "calm"),
        ({}, 12, "12"),
        ({}, 12.0, "12"),
        ({}, 1.5, "1.5"),
        ({"significant": 3}, 0.012345, "0.0123"),
        ({"significant": 3}, 1234.5, "1234"),
        ({"significant": 3}, 0.0, "0"),
        ({"significant": 3}, -98.76, "-98.8"),
    ],
)
def test_a_value_is_shown_with_the_right_digits(settings, value, shown):
    assert tables.Column("x", "X", **settings).show(value) == shown


FRAME = pd.DataFrame({"model": ["a_b|c", "d"], "value": [0.5, np.nan]})
COLUMNS = [tables.Column("model", "Model"), tables.Column("value", "%", digits=1, scale=100)]


def test_markdown():
    assert tables.markdown(FRAME, COLUMNS) == (
        f"| Model | % |\n| :--- | ---: |\n| a_b\\|c | 50.0 |\n| d | {tables.EMPTY} |\n"
    )


def test_latex_with_booktabs():
    assert tables.latex(FRAME, COLUMNS, caption="5 % & more", label="tab:x") == (
        "\\begin{table}\n\\centering\n\\caption{5 \\% \\& more}\n\\label{tab:x}\n"
        "\\begin{tabular}{lr}\n\\toprule\nModel & \\% \\\\\n\\midrule\n"
        "a\\_b|c & 50.0 \\\\\nd & -- \\\\\n\\bottomrule\n\\end{tabular}\n\\end{table}\n"
    )


def test_special_characters_are_escaped_once():
    assert tables.escape("\\{}~^$#") == (
        r"\textbackslash{}\{\}\textasciitilde{}\textasciicircum{}\$\#"
    )


def test_a_rendering_names_a_column_that_is_missing():
    with pytest.raises(InputError, match="lacks the column layer"):
        tables.markdown(FRAME, [tables.Column("layer", "Layer")])
