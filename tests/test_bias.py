import numpy as np
import pandas as pd
import pytest
import worlds
from hypothesis import given
from hypothesis import strategies as st

from consonance import bias
from consonance.errors import InputError

EMOTIONS = worlds.EMOTIONS
SETTINGS = {
    "probe": "paper",
    "emotions": EMOTIONS,
    "level": 0.95,
    "draws": 300,
    "permutations": 200,
    "seed": 2,
    "min_clusters": 5,
}


def world_of(scheme="random", layers=2, seed=0, **settings):
    return worlds.simulate(scheme, layers, np.random.default_rng(seed), **settings)


def spread_of(world, **changes):
    return bias.emotion_spread(world.predictions, world.manifest, **(SETTINGS | changes))


# Measures -----------------------------------------------------------------------------------------


def test_measures_of_spread():
    found = bias.spread(np.array([[0.5, 0.7, 0.9, np.nan], [0.4, np.nan, np.nan, np.nan]]))
    assert found["range"][0] == pytest.approx(0.4)
    assert found["sd"][0] == pytest.approx(np.std([0.5, 0.7, 0.9]))
    assert found["worst"][0] == 0.5
    assert all(np.isnan(value[1]) for value in found.values())


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8), st.randoms())
def test_spread_does_not_depend_on_the_order_of_emotions(recalls, random):
    shuffled = list(recalls)
    random.shuffle(shuffled)
    one, other = bias.spread(np.array(recalls)), bias.spread(np.array(shuffled))
    for name, value in one.items():
        assert value == pytest.approx(other[name], abs=1e-12)
    rounding = 1e-12
    assert one["sd"] <= one["range"] / 2 + rounding  # Popoviciu


# Against simulations ------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["random", "speaker"])
def test_equally_hard_emotions_have_a_spread_that_the_permutations_expect(scheme):
    world = world_of(scheme, layers=300, logits=(1.5,) * 4)
    found = spread_of(world)
    for name, rows in found.groupby("statistic"):
        # 5 % of 300 worlds are rejected, with a standard error of 1.3 %.
        assert 0.01 <= (rows["p"] <= 0.05).mean() <= 0.09, name
        # What is expected without any difference is what is seen, to 5 %.
        assert rows["null_mean"].mean() == pytest.approx(rows["value"].mean(), rel=0.05)
    ranges = found[found["statistic"] == "range"]
    assert ranges["value"].min() > 0  # the bias that the permutations show


@pytest.mark.parametrize("scheme", ["random", "speaker"])
def test_intervals_cover_a_real_spread(scheme):
    world = world_of(scheme, layers=300)
    found = spread_of(world, permutations=20)
    truth = bias.spread(world.truth)
    for name in ("range", "sd"):
        rows = found[found["statistic"] == name]
        expected = truth[name][rows["layer"].to_numpy() - 1]
        covered = (rows["low"] <= expected) & (expected <= rows["high"])
        # 95 % of 300 worlds over the same clips, standard error 1.3 %.
        assert 0.91 <= covered.mean() <= 0.99, name
    assert (found.query("statistic == 'range'")["p"] <= 1 / 20).mean() > 0.9


# The table ----------------------------------------------------------------------------------------


def test_the_worst_emotion_is_named():
    found = spread_of(world_of(logits=(0.0, 2.0, 3.0, 2.0), takes=20))
    worst = found[found["statistic"] == "worst"]
    assert set(worst["emotion"]) == {"neutral"}
    assert (worst["support"] > 0.95).all()
    assert (worst["p"] == 1 / 201).all()
    assert (worst["value"] < worst["null_high"]).all()
    assert set(found.loc[found["statistic"] == "range", "emotion"]) == {""}


def test_values_are_those_of_the_mean_recalls():
    world = world_of(layers=1)
    frame = world.predictions
    right = (frame["emotion"] == frame["predicted"]).groupby([frame["seed"], frame["emotion"]])
    recall = right.mean().unstack().mean()
    found = spread_of(world).set_index("statistic")["value"]
    assert found["range"] == pytest.approx(recall.max() - recall.min())
    assert found["sd"] == pytest.approx(recall.std(ddof=0))
    assert found["worst"] == pytest.approx(recall.min())


def test_permutations_stay_within_speakers():
    # One speaker is always right and says only happy things, the other never and is always sad:
    # within speakers there is nothing to exchange, so the spread is expected in full.
    manifest = worlds.manifest_of(2, emotions=["happy", "sad"], takes=10)
    happy = (manifest["emotion"] == "happy") == (manifest["speaker"] == "s00")
    manifest = manifest[happy].reset_index(drop=True)
    correct = (manifest["speaker"] == "s00").to_numpy()[None, None, :]
    tested = np.ones((1, len(manifest)), dtype=bool)
    predictions = worlds.table(correct, tested, manifest)
    found = bias.emotion_spread(predictions, manifest, **SETTINGS)
    row = found[found["statistic"] == "range"].iloc[0]
    assert (row["value"], row["null_mean"], row["p"]) == (1, 1, 1)


def test_rerunning_gives_the_same():
    world = world_of()
    pd.testing.assert_frame_equal(spread_of(world), spread_of(world))


def test_few_speakers_and_missing_emotions():
    world = world_of("speaker", n_speakers=5)
    found = spread_of(world, min_clusters=10)
    assert found["value"].notna().all()
    assert found["low"].isna().all()
    assert found["reason"].str.contains("over speakers needs at least 10").all()
    found = spread_of(world_of(), emotions=[*EMOTIONS, "angry"])
    assert set(found["reason"]) == {"No clip of angry was tested; the others count."}
    assert found["low"].notna().all()


def test_settings_out_of_range():
    with pytest.raises(InputError) as error:
        spread_of(world_of(), level=0, draws=0, permutations=0)
    assert len(error.value.problems) == 3


# Two kinds of probe -------------------------------------------------------------------------------


def probes(*, better, takes=20):
    """Predictions of two probes on the same splits; the second helps the hardest emotion."""
    rng = np.random.default_rng(0)
    manifest = worlds.manifest_of(12, takes=takes)
    tested = worlds.parts_of(manifest, "random", 4, rng)
    base = np.array([0.4, 0.8, 0.8, 0.8])
    emotion = np.array([EMOTIONS.index(name) for name in manifest["emotion"]])
    frames = []
    for rates in (base, base + np.array([better, 0, 0, 0])):
        correct = rng.random((4, 3, len(manifest))) < rates[emotion]
        frames.append(worlds.table(correct, tested, manifest))
    return frames, manifest


PAIRED = {
    "names": ("paper", "balanced"),
    "emotions": EMOTIONS,
    "level": 0.95,
    "draws": 300,
    "seed": 2,
    "min_clusters": 5,
}


def test_a_balanced_probe_that_helps():
    (paper, balanced), manifest = probes(better=0.3)
    found = bias.compare_probes(paper, balanced, manifest, **PAIRED)
    mean = found[found["layers"] == "mean"].set_index("statistic")
    assert mean.loc["range", "difference"] == pytest.approx(0.3, abs=0.12)
    assert mean.loc["range", "low"] > 0
    assert mean.loc["worst", "high"] < 0
    assert mean.loc["uar", "difference"] == pytest.approx(-0.075, abs=0.04)
    np.testing.assert_allclose(found["difference"], found["value_a"] - found["value_b"])
    assert set(found["layers"]) == {"mean", "1", "2", "3"}
    assert set(found.loc[found["layers"] != "mean", "family_size"]) == {3}
    assert (found["p_holm"] >= found["p"]).all()


def test_the_same_probe_twice():
    (paper, _), manifest = probes(better=0)
    found = bias.compare_probes(paper, paper, manifest, **PAIRED)
    assert (found["difference"] == 0).all()
    assert (found["p"] == 1).all()


def test_probes_that_cannot_be_paired():
    (paper, balanced), manifest = probes(better=0, takes=5)
    with pytest.raises(InputError, match="nothing to compare"):
        bias.compare_probes(paper, balanced.assign(model="n"), manifest, **PAIRED)
    with pytest.raises(InputError, match="different clips"):
        bias.compare_probes(paper, balanced[balanced["seed"] < 3], manifest, **PAIRED)
    with pytest.raises(InputError, match="layers of m differ"):
        bias.compare_probes(paper, balanced[balanced["layer"] < 3], manifest, **PAIRED)
