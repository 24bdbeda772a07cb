import numpy as np
import pandas as pd
import pytest
import worlds
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from consonance import intervals, summaries
from consonance.errors import InputError

EMOTIONS = worlds.EMOTIONS
SETTINGS = {
    "model": "m",
    "emotions": EMOTIONS,
    "first_seed": 0,
    "level": 0.95,
    "draws": 300,
    "seed": 7,
    "min_clusters": 5,
}


def bare(predictions):
    """The columns of the probes' own CSV."""
    return predictions[["seed", "layer", "clip", "emotion", "predicted"]]


def world_of(scheme="random", layers=2, seed=0, **settings):
    return worlds.simulate(scheme, layers, np.random.default_rng(seed), **settings)


def found_in(world, scheme="random", **changes):
    return intervals.accuracy_intervals(
        bare(world.predictions), world.manifest, scheme=scheme, **(SETTINGS | changes)
    )


def one(table, **where):
    for name, value in where.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


# Coverage -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["random", "speaker"])
def test_95_percent_intervals_cover_the_truth(scheme):
    # Each layer is a world of its own over the same clips; splits are drawn anew three times. The
    # standard error of a coverage of 95 % in 900 worlds is 0.7 %, so 92 to 98 % is 4 of them.
    parts = []
    for repetition in range(3):
        world = world_of(scheme, layers=300, seed=repetition)
        found = found_in(world, scheme, first_seed=0)
        layer = found["layer"].to_numpy() - 1
        emotion = [EMOTIONS.index(name) if name else 0 for name in found["emotion"]]
        truth = np.where(
            found["metric"] == "recall",
            world.truth[layer, emotion],
            world.truth.mean(axis=1)[layer],  # as many clips of each emotion: accuracy and UAR
        )
        parts.append(found.assign(covered=(found["low"] <= truth) & (truth <= found["high"])))
    everything = pd.concat(parts)
    seeds = everything[everything["basis"] == "seeds"]
    coverage = seeds.groupby("metric")["covered"].mean()
    assert coverage.between(0.92, 0.98).all(), coverage
    # One emotion at a time, with a tenth of a point for the smaller number of worlds.
    recall = seeds[seeds["metric"] == "recall"].groupby("emotion")["covered"].mean()
    assert recall.between(0.92, 0.985).all(), recall


def test_naive_intervals_of_one_split_miss_further_speakers():
    # What the speaker bootstrap is for: 5 speakers with 40 clips each are no 200 clips.
    world = world_of("speaker", layers=300, speaker_sd=1.0)
    found = found_in(world, "speaker")
    rows = found[(found["metric"] == "accuracy")]
    truth = world.truth.mean(axis=1)[rows["layer"].to_numpy() - 1]
    covered = (rows["low"] <= truth) & (truth <= rows["high"])
    by_basis = covered.groupby(rows["basis"]).mean()
    assert by_basis["first"] < 0.85
    assert by_basis["seeds"] > 0.9


# One split ----------------------------------------------------------------------------------------


def test_one_split_has_wilsons_interval():
    world = world_of()
    found = found_in(world)
    part = world.predictions.query("seed == 0 and layer == 2")
    hits = (part["emotion"] == part["predicted"]).groupby(part["emotion"])
    for emotion, right in hits:
        row = one(found, basis="first", layer=2, metric="recall", emotion=emotion)
        low, high = proportion_confint(right.sum(), len(right), alpha=0.05, method="wilson")
        assert (row["value"], row["low"], row["high"]) == pytest.approx((right.mean(), low, high))
        assert (row["method"], row["unit"], row["clips"]) == ("Wilson", "clip", len(right))
    row = one(found, basis="first", layer=2, metric="accuracy")
    total = hits.sum().sum()
    low, high = proportion_confint(total, len(part), alpha=0.05, method="wilson")
    assert (row["low"], row["high"]) == pytest.approx((low, high))


def test_average_recall_of_one_split():
    # Var UAR = sum p (1 - p) / n / E^2 for independent clips.
    world = world_of(layers=1)
    row = one(found_in(world, draws=10_000), basis="first", metric="uar")
    part = world.predictions.query("seed == 0")
    right = (part["emotion"] == part["predicted"]).groupby(part["emotion"])
    rate, n = right.mean(), right.size()
    assert row["value"] == pytest.approx(rate.mean())
    variance = (rate * (1 - rate) / n).sum() / 16 * n.sum() / (n.sum() - 1)
    # 10,000 draws give a variance to 1.4 %.
    assert row["effective"] == pytest.approx(row["value"] * (1 - row["value"]) / variance, rel=0.06)
    assert row["method"] == "bootstrap, one seed"


# All seeds ----------------------------------------------------------------------------------------


def test_the_value_is_the_mean_over_seeds():
    world = world_of("speaker")
    found = found_in(world, "speaker")
    part = world.predictions.query("layer == 1")
    right = part["emotion"] == part["predicted"]
    row = one(found, basis="seeds", layer=1, metric="accuracy")
    assert row["value"] == pytest.approx(right.groupby(part["seed"]).mean().mean())
    assert (row["unit"], row["seeds"], row["draws"]) == ("speaker", 5, 300)
    assert row["clusters"] == part["clip"].str[:9].nunique()  # domain and speaker


def test_intervals_of_more_confidence_are_wider():
    world = world_of()
    narrow, wide = found_in(world, level=0.8), found_in(world, level=0.99)
    assert (wide["low"] < narrow["low"]).all()
    assert (wide["high"] > narrow["high"]).all()


def test_results_depend_on_the_seed_of_the_draws_alone():
    world = world_of()
    first = found_in(world)
    shuffled = worlds.World(
        world.predictions.sample(frac=1, random_state=0),
        world.manifest.sample(frac=1, random_state=0),
        world.truth,
    )
    pd.testing.assert_frame_equal(first, found_in(shuffled))
    other = found_in(world, seed=8)
    assert not np.allclose(first["low"], other["low"])
    # Another layer changes nothing in this one.
    alone = found_in(
        worlds.World(world.predictions.query("layer == 1"), world.manifest, world.truth)
    )
    pd.testing.assert_frame_equal(
        first[first["layer"] == 1].reset_index(drop=True), alone, check_exact=False, rtol=1e-12
    )


def test_one_seed_alone_says_so():
    world = world_of(seeds=1)
    row = one(found_in(world), basis="seeds", layer=1, metric="accuracy")
    assert row["method"] == "bootstrap, one seed"
    assert row["low"] < row["value"] < row["high"]


def test_perfect_recognition_has_an_interval():
    world = world_of(logits=(50, 50, 50, 50))
    found = found_in(world)
    assert (found["value"] == 1).all()
    assert found["high"].between(0.999999, 1).all()
    assert (found["low"] < 1).all()
    # 184 clips are drawn 40 at a time, so fewer clips of an emotion than of all were tested.
    assert (found.query("metric == 'recall'")["low"].max()) < 0.99


# Bad input ----------------------------------------------------------------------------------------


def test_too_few_speakers_have_a_value_and_a_reason():
    world = world_of("speaker", n_speakers=4)
    found = found_in(world, "speaker", min_clusters=10)
    rows = found[found["basis"] == "seeds"]
    assert rows["value"].notna().all()
    assert rows[["low", "high"]].isna().all().all()
    assert rows["reason"].str.contains("an interval over speakers needs at least 10").all()
    # One split has its clips, so those intervals stand.
    assert found.loc[found["metric"] != "uar"].query("basis == 'first'")["low"].notna().all()


def test_an_emotion_that_nobody_was_tested_on():
    world = world_of()
    found = found_in(world, emotions=[*EMOTIONS, "angry"])
    rows = found[found["emotion"] == "angry"]
    assert rows[["value", "low", "high"]].isna().all().all()
    assert set(rows["reason"]) == {"No clip of 'angry' was tested, so there is no value."}
    others = found[found["emotion"] != "angry"]
    assert others["low"].notna().all()


def test_one_clip_says_nothing():
    world = world_of(n_speakers=1, takes=5)
    found = found_in(world, min_clusters=2)
    rows = found.query("basis == 'first' and metric == 'recall'")
    assert set(rows["clips"]) == {1}
    assert rows["low"].isna().all()
    assert rows["reason"].str.startswith("Only one clip of").all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"first_seed": 9}, "have no seed 9; they have 0, 1, 2, 3, 4"),
        ({"level": 1.0}, "level of confidence is 1.0"),
        ({"draws": 1}, "bootstrap draws is 1"),
        ({"emotions": ["calm"]}, "made under another configuration"),
    ],
)
def test_settings_that_do_not_fit(changes, message):
    with pytest.raises(InputError, match=message):
        found_in(world_of(), **changes)


def test_one_domain_at_a_time():
    world = world_of()
    manifest = world.manifest.copy()
    manifest.loc[manifest["speaker"] == "s00", "domain"] = "song"
    with pytest.raises(InputError, match="mix the domains"):
        found_in(worlds.World(world.predictions, manifest, world.truth))


# Tables I and II ----------------------------------------------------------------------------------


def test_performance_is_that_of_the_summary():
    world = world_of(layers=4)
    frame = bare(world.predictions)
    right = (frame["emotion"] == frame["predicted"]).rename("value")
    scores = right.groupby([frame["seed"], frame["layer"]]).mean().reset_index()
    scores = scores.assign(
        corpus="made", model="m", domain="speech", scheme="random", metric="accuracy", emotion=""
    )
    expected = summaries.performance_table(
        [scores], first_seed=0, published=None, paper_models={}, paper_scheme="random"
    )
    table = intervals.performance_intervals(frame, world.manifest, scheme="random", **SETTINGS)
    found = table[table["metric"] == "accuracy"]
    keys = ["basis", "statistic", "layers"]
    merged = found.merge(expected, on=keys, suffixes=("", "_expected"))
    assert len(merged) == len(expected) == 6
    np.testing.assert_allclose(merged["value"], merged["value_expected"])
    assert (found["low"] < found["value"]).all()
    assert (found["value"] < found["high"]).all()
    seeds = found[found["basis"] == "seeds"]
    assert (seeds["split_low"] < seeds["low"]).all()
    assert (seeds["split_high"] > seeds["high"]).all()
    assert found.loc[found["basis"] == "first", ["split_low", "split_high"]].isna().all().all()
    # The best layer has the interval that it has among all layers.
    best = one(found, basis="seeds", statistic="best")
    same = one(
        intervals.accuracy_intervals(frame, world.manifest, scheme="random", **SETTINGS),
        basis="seeds", metric="accuracy", layer=int(best["layers"]),
    )  # fmt: skip
    assert (best["low"], best["high"]) == pytest.approx((same["low"], same["high"]))


def test_states_alone_have_no_best_layer():
    world = world_of(layers=1)
    frame = bare(world.predictions).assign(layer=0)
    with pytest.raises(InputError, match="no layer from 1 on"):
        intervals.performance_intervals(frame, world.manifest, scheme="random", **SETTINGS)


# Scores only --------------------------------------------------------------------------------------


def test_corrected_t_has_the_closed_form():
    values = pd.DataFrame({"what": "a", "seed": range(5), "value": [0.7, 0.72, 0.69, 0.75, 0.71]})
    found = intervals.corrected_t(values, keys=["what"], level=0.95, test_to_train=1 / 3)
    x = values["value"]
    half = stats.t.ppf(0.975, 4) * np.sqrt((1 / 5 + 1 / 3) * x.var(ddof=1))
    row = found.iloc[0]
    assert (row["low"], row["high"]) == pytest.approx((x.mean() - half, x.mean() + half))
    # Without overlap it is the ordinary t-test.
    plain = intervals.corrected_t(values, keys=["what"], level=0.95, test_to_train=1e-12).iloc[0]
    expected = stats.ttest_1samp(x, 0)
    assert plain["low"] == pytest.approx(expected.confidence_interval().low)
    assert plain["p"] == pytest.approx(expected.pvalue)


def test_corrected_t_without_enough_seeds():
    values = pd.DataFrame({"what": ["a", "b"], "seed": 0, "value": [0.7, np.nan]})
    found = intervals.corrected_t(values, keys=["what"], level=0.95, test_to_train=1 / 3)
    assert found["low"].isna().all()
    assert found["reason"].str.contains("needs two").all()
    twice = pd.concat([values, values])
    with pytest.raises(InputError, match="twice"):
        intervals.corrected_t(twice, keys=["what"], level=0.95, test_to_train=1 / 3)
    with pytest.raises(InputError, match="must be > 0"):
        intervals.corrected_t(values, keys=["what"], level=0.95, test_to_train=0)
