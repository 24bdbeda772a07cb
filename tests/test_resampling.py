import numpy as np
import pandas as pd
import pytest
import worlds
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from consonance import predictions as stored
from consonance import resampling
from consonance.errors import InputError
from consonance.resampling import Replicates

EMOTIONS = worlds.EMOTIONS


def replicates(value, variance, groups=100, df=1e9, draws=None):
    value = np.atleast_1d(np.asarray(value, dtype=float))
    shape = value.shape
    return Replicates(
        value=value,
        draws=np.zeros((2, *shape)) if draws is None else draws,
        variance=np.broadcast_to(np.asarray(variance, dtype=float), shape),
        split_variance=np.zeros(shape),
        groups=np.broadcast_to(np.asarray(groups, dtype=float), shape),
        df=np.broadcast_to(np.asarray(df, dtype=float), shape),
    )


# Units --------------------------------------------------------------------------------------------


def test_units_of_the_random_scheme_join_duplicates_and_counterparts():
    manifest = worlds.manifest_of(2, emotions=["calm"], takes=2, domains=("speech", "song"))
    manifest.loc[manifest["clip"] == "song-01-calm-01", "duplicate_of"] = "song-01-calm-00"
    units = resampling.units(manifest, scheme="random")
    assert units["speech-00-calm-00"] == units["song-00-calm-00"]
    assert units["speech-00-calm-00"] != units["speech-00-calm-01"]
    # Through the duplicate, both takes of speaker 1 belong together.
    assert units["speech-01-calm-00"] == units["speech-01-calm-01"]
    assert units.nunique() == 3


def test_clips_of_unknown_content_are_not_matched():
    manifest = worlds.manifest_of(2, emotions=["calm"], takes=1, domains=("speech", "song"))
    assert resampling.units(manifest.assign(statement=""), scheme="random").nunique() == 4


def test_units_of_the_speaker_scheme():
    manifest = worlds.manifest_of(3, takes=2)
    assert resampling.units(manifest, scheme="speaker").nunique() == 3
    # A recording that two speakers share joins them.
    manifest.loc[manifest["clip"] == "speech-01-sad-00", "duplicate_of"] = "speech-00-sad-00"
    assert resampling.units(manifest, scheme="speaker").nunique() == 2


def test_units_that_cannot_be_found():
    manifest = worlds.manifest_of(2)
    with pytest.raises(InputError, match="no speaker"):
        resampling.units(manifest.assign(speaker=""), scheme="speaker")
    with pytest.raises(InputError, match="'sex' is unknown"):
        resampling.units(manifest, scheme="sex")


# Draws --------------------------------------------------------------------------------------------


def drawn(predictions, manifest, *, scheme="random", draws=200, emotions=EMOTIONS):
    results = list(stored.arrange(predictions, manifest, emotions=emotions).values())
    rng = np.random.default_rng(0)
    return resampling.draw_counts(results, manifest, scheme=scheme, draws=draws, rng=rng)


def test_index_0_is_the_data():
    predictions, manifest, *_ = worlds.small()
    (counts,), _ = drawn(predictions, manifest, emotions=["calm", "sad"])
    np.testing.assert_allclose(counts.accuracy()[0], [[1, 0.5], [1 / 3, 1]])
    np.testing.assert_allclose(counts.recall()[0, 1], [[1, 0], [1, 1]])
    np.testing.assert_allclose(counts.uar()[0], [[1, 0.5], [0.5, 1]])
    np.testing.assert_array_equal(counts.clips, [2, 2])
    assert counts.groups_all == 4
    # Clip d is tested twice, the others once: (1 + 1 + 1 + 2)^2 / (1 + 1 + 1 + 4).
    assert counts.effective_all == pytest.approx(25 / 7)


def test_random_scheme_keeps_the_number_of_units_per_emotion():
    world = worlds.simulate("random", 1, np.random.default_rng(0), seeds=1)
    (counts,), _ = drawn(world.predictions, world.manifest)
    assert (counts.tested == counts.tested[0]).all()


def test_variance_of_draws_is_the_binomial_one():
    world = worlds.simulate("random", 1, np.random.default_rng(1), seeds=1, takes=20)
    (counts,), _ = drawn(world.predictions, world.manifest, draws=20_000)
    recall, n = counts.recall()[0, 0, 0], counts.tested[0, 0]
    variance = counts.recall()[1:, 0, 0].var(axis=0)
    # The standard error of a variance from 20,000 draws is 1 %.
    np.testing.assert_allclose(variance, recall * (1 - recall) / n, rtol=0.04)


def test_speakers_are_drawn_whole():
    world = worlds.simulate("speaker", 1, np.random.default_rng(0), seeds=1)
    (counts,), _ = drawn(world.predictions, world.manifest, scheme="speaker")
    assert set(np.unique(counts.tested % 10)) == {0}  # ten takes of each emotion per speaker
    assert counts.groups_all == 5


def test_the_same_units_are_drawn_for_all_results():
    world = worlds.simulate("random", 1, np.random.default_rng(0))
    both = pd.concat([world.predictions, world.predictions.assign(model="n")])
    (a, b), _ = drawn(both, world.manifest)
    np.testing.assert_array_equal(a.correct, b.correct)


def test_draws_depend_on_the_seed_alone():
    world = worlds.simulate("random", 1, np.random.default_rng(0))
    (a,), seeds_a = drawn(world.predictions, world.manifest)
    (b,), seeds_b = drawn(world.predictions.sample(frac=1, random_state=1), world.manifest)
    np.testing.assert_array_equal(a.correct, b.correct)
    np.testing.assert_array_equal(seeds_a, seeds_b)
    assert (seeds_a.sum(axis=1) == 5).all()


# Units and seeds together -------------------------------------------------------------------------


def test_one_seed_has_the_variance_of_the_units_alone():
    rng = np.random.default_rng(0)
    per_seed = np.concatenate([[[0.5]], rng.normal(0.5, 0.1, (1000, 1))])
    found = resampling.combine(per_seed, np.ones((1000, 1)), groups=50, effective=40)
    expected = per_seed[1:].var() * 50 / 49
    assert found.variance == pytest.approx(expected)
    assert found.split_variance == pytest.approx(expected)
    assert found.df == pytest.approx(39)


def test_seeds_that_differ_though_units_do_not_matter():
    values = np.array([0.4, 0.5, 0.6])
    per_seed = np.tile(values, (5001, 1))
    seeds = resampling.draw_seeds(3, draws=5000, rng=np.random.default_rng(0))
    found = resampling.combine(per_seed, seeds, groups=50, effective=50)
    own = 0.02 / stats.chi2.median(2)
    assert found.variance == pytest.approx(own / 3)
    assert found.df == pytest.approx(2)
    # The draws vary as much as the variance says, within the error of 5,000 draws (2 %).
    assert found.draws.var() == pytest.approx(own / 3, rel=0.06)
    assert found.draws.mean() == pytest.approx(0.5, abs=0.005)


def test_differences_that_the_units_explain_are_not_counted_twice():
    # Each seed tests other clips and nothing else differs: the variance is that of all clips.
    rng = np.random.default_rng(0)
    world = worlds.simulate(
        "random", 300, rng, seeds=5, speaker_sd=0, clip_sd=0, seed_sd=0, logits=(1.0,) * 4
    )
    results = stored.arrange(world.predictions, world.manifest, emotions=EMOTIONS)
    (counts,), seeds = resampling.draw_counts(
        list(results.values()), world.manifest, scheme="random", draws=300, rng=rng
    )
    found = resampling.combine(
        counts.accuracy(), seeds, groups=counts.groups_all, effective=counts.effective_all
    )
    n = 5 * 0.2 * len(world.manifest)
    rate = world.truth.mean()
    # No clip varies more than another here, so tests are independent. Own variance of the
    # seeds, never below 0, adds some: up to half.
    ratio = found.variance.mean() / (rate * (1 - rate) / n)
    assert 1.0 < ratio < 1.5
    # Resampling seeds as well, as if they were units of their own, would give about 2.
    doubled = counts.accuracy()[1:].mean(axis=1).var(axis=0) + counts.accuracy()[0].var(axis=0) / 5
    assert doubled.mean() / (rate * (1 - rate) / n) > 1.7


def test_seeds_without_the_emotion_are_left_out():
    per_seed = np.tile([0.4, np.nan, 0.6], (11, 1))
    found = resampling.combine(per_seed, np.ones((10, 3)), groups=5, effective=5)
    assert found.value == pytest.approx(0.5)
    assert np.isfinite(found.variance)


# Intervals ----------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=50)
@given(n=st.integers(2, 500), share=st.floats(0.01, 0.99))
def test_score_interval_is_wilsons_for_independent_clips(n, share):
    count = round(share * n)
    rate = count / n
    found = resampling.score_interval(replicates(rate, rate * (1 - rate) / n, groups=n), level=0.95)
    expected = proportion_confint(count, n, alpha=0.05, method="wilson")
    # Student's t with 1e9 degrees of freedom is normal to 1e-8.
    np.testing.assert_allclose([found[0][0], found[1][0]], expected, atol=1e-7)


@settings(deadline=None)
@given(
    value=st.floats(0, 1), variance=st.floats(0, 0.2), groups=st.integers(2, 99),
    df=st.floats(1, 100),
)  # fmt: skip
def test_score_interval_lies_between_0_and_1_around_the_value(value, variance, groups, df):
    low, high, _ = resampling.score_interval(replicates(value, variance, groups, df), level=0.9)
    rounding = 1e-9
    assert -rounding <= low[0] <= value + rounding
    assert value - rounding <= high[0] <= 1 + rounding


def test_a_rate_of_1_has_the_interval_of_its_units():
    low, high, n = resampling.score_interval(replicates(1.0, 0.0, groups=20), level=0.95)
    assert n[0] == 20
    assert low[0] == pytest.approx(proportion_confint(20, 20, method="wilson")[0], abs=1e-7)
    assert high[0] == 1


def test_one_unit_has_no_interval():
    one = replicates(0.5, 0.01, groups=1)
    assert np.isnan(resampling.score_interval(one, level=0.95)[0][0])
    assert np.isnan(resampling.student_interval(one, level=0.95)[2][0])
    assert np.isnan(resampling.percentile_interval(one, level=0.95)[0][0])


def test_student_interval_is_the_t_test():
    x = np.random.default_rng(0).normal(0.3, 1, 12)
    found = resampling.student_interval(
        replicates(x.mean(), x.var(ddof=1) / 12, groups=12, df=11), level=0.9
    )
    expected = stats.ttest_1samp(x, 0)
    interval = expected.confidence_interval(0.9)
    np.testing.assert_allclose(np.ravel(found), [interval.low, interval.high, expected.pvalue])


def test_no_difference_that_does_not_vary_has_p_1():
    _, _, p = resampling.student_interval(replicates([0.0, 0.1], 0.0), level=0.95)
    np.testing.assert_allclose(p, [1, 0])


def test_percentile_interval_expands_for_few_units():
    draws = np.random.default_rng(0).normal(size=(100_000, 2))
    groups, df = np.array([10.0, 1e9]), np.array([9.0, 1e9])
    many = replicates([0.0, 0.0], 1.0, groups=groups, df=df, draws=draws)
    low, high = resampling.percentile_interval(many, level=0.95)
    # Quantiles of 100,000 normal draws have a standard error of 0.01 to 0.02.
    expected = np.array([np.sqrt(10 / 9) * stats.t.ppf(0.975, 9), stats.norm.ppf(0.975)])
    np.testing.assert_allclose(high, expected, atol=0.06)
    np.testing.assert_allclose(low, -expected, atol=0.06)


def test_one_further_split_falls_where_it_is_said_to():
    # Five seeds say where the sixth falls; the standard error in 400 worlds is 1.1 %.
    rng = np.random.default_rng(5)
    world = worlds.simulate("random", 400, rng, seeds=6, seed_sd=0.2)
    (result,) = stored.arrange(world.predictions, world.manifest, emotions=EMOTIONS).values()
    (counts,), seeds = resampling.draw_counts(
        [result.of_seeds(range(5))], world.manifest, scheme="random", draws=300, rng=rng
    )
    found = resampling.combine(
        counts.accuracy(), seeds, groups=counts.groups_all, effective=counts.effective_all
    )
    low, high = resampling.split_interval(found, level=0.95)
    last = result.of_seeds([5]).correct[0].mean(axis=-1)
    assert 0.92 <= np.mean((low <= last) & (last <= high)) <= 0.985


def test_pick_takes_a_layer_per_seed():
    predictions, manifest, *_ = worlds.small()
    (counts,), _ = drawn(predictions, manifest, draws=2, emotions=["calm", "sad"])
    result = next(iter(stored.arrange(predictions, manifest, emotions=["calm", "sad"]).values()))
    np.testing.assert_allclose(
        resampling.pick(counts.accuracy(), result, {0: 2, 1: 1})[0], [0.5, 1 / 3]
    )
