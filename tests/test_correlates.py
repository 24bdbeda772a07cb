import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from consonance import correlates
from consonance.errors import InputError

EMOTIONS = ["neutral", "calm", "happy", "sad", "angry", "fearful"]
CHOICES = {
    "units": {"pitch": "semitones"},
    "domains": ["speech", "song"],
    "design": "unpaired",
    "effect": "hedges",
    "confidence": 0.95,
    "resamples": 200,
    "seed": 0,
}
TESTS = {"alternative": "two-sided", "permutations": 10000, "seed": 0, "correction": "holm"}


def recordings(emotions, *, speakers, repetitions):
    """Labels of matched recordings in both domains."""
    grid = itertools.product(["speech", "song"], emotions, range(speakers), range(repetitions))
    frame = pd.DataFrame(grid, columns=["domain", "emotion", "speaker", "repetition"])
    frame = frame.astype({"speaker": str, "repetition": str})
    frame["clip"] = [f"c{index:05d}" for index in range(len(frame))]
    return frame.assign(corpus="corpus", intensity="normal", statement="dogs")


def made(emotions=("happy",), *, speakers=6, repetitions=3, shift=1.0, seed=0):
    """Labels and pitches, `shift` higher in song than in speech."""
    labels = recordings(emotions, speakers=speakers, repetitions=repetitions)
    generator = np.random.default_rng(seed)
    values = labels[["clip"]].assign(pitch=generator.normal(40, 2, len(labels)))
    values.loc[labels["domain"] == "song", "pitch"] += shift
    return labels, values


def one(values, labels, *, properties=("pitch",), emotions=("happy",), **changes):
    table = correlates.differences(
        values, labels, properties=properties, emotions=emotions, **{**CHOICES, **changes}
    )
    return table.iloc[0]


# Differences --------------------------------------------------------------------------------------


def test_the_difference_of_small_samples_by_hand():
    labels = recordings(["happy"], speakers=2, repetitions=2)
    # speech 1, 2, 3, 4 (mean 2.5, variance 5/3); song 3, 5, 7, 9 (mean 6, variance 20/3):
    # pooled variance (3 * 5/3 + 3 * 20/3) / 6 = 25/6, d = 3.5 / sqrt(25/6) = 1.714643.
    values = labels[["clip"]].assign(pitch=[1.0, 2, 3, 4, 3, 5, 7, 9])
    row = one(values, labels, effect="cohen")
    assert row["difference"] == pytest.approx(3.5 / math.sqrt(25 / 6), rel=1e-12)
    assert (row["mean_a"], row["mean_b"], row["clips_a"], row["clips_b"]) == (2.5, 6.0, 4, 4)
    # J(6) = Gamma(3) / (sqrt(3) Gamma(5/2)) = 2 / (sqrt(3) * 3/4 sqrt(pi))
    factor = 8 / (3 * math.sqrt(3 * math.pi))
    corrected = one(values, labels, effect="hedges")["difference"]
    assert corrected == pytest.approx(factor * 3.5 / math.sqrt(25 / 6), rel=1e-12)
    # Changes 2, 3, 4, 5: mean 3.5, variance 5/3.
    row = one(values, labels, effect="cohen", design="paired")
    assert row["difference"] == pytest.approx(3.5 / math.sqrt(5 / 3), rel=1e-12)
    assert (row["clips_a"], row["clips_b"], row["speakers"]) == (4, 4, 2)


def test_the_correction_factor_in_closed_form():
    # Gamma(1/2) = sqrt(pi), Gamma(3/2) = sqrt(pi) / 2.
    expected = [1 / math.sqrt(math.pi), math.sqrt(2 / math.pi)]
    assert correlates.correction_factor(np.array([2, 4])) == pytest.approx(expected, rel=1e-12)
    # Hedges' approximation 1 - 3 / (4 f - 1) is good to 0.0007 from f = 10.
    freedom = np.arange(10, 500)
    approximation = 1 - 3 / (4 * freedom - 1)
    assert correlates.correction_factor(freedom) == pytest.approx(approximation, abs=7e-4)
    assert correlates.correction_factor(1) == 0
    assert math.isnan(correlates.correction_factor(0))


def test_hedges_correction_removes_the_bias():
    generator = np.random.default_rng(0)
    draws, n, truth = 20000, 4, 1.0
    a = generator.normal(0, 1, (draws, n))
    b = generator.normal(truth, 1, (draws, n))
    d = (b.mean(1) - a.mean(1)) / np.sqrt((a.var(1, ddof=1) + b.var(1, ddof=1)) / 2)
    # The standard error of the mean of 20,000 values with sd 0.9 is 0.006; four of them.
    assert d.mean() > truth + 0.1
    assert (d * correlates.correction_factor(2 * n - 2)).mean() == pytest.approx(truth, abs=0.026)


@given(
    scale=st.floats(1e-3, 1e3),
    offset=st.floats(-100, 100),
    seed=st.integers(0, 1000),
    design=st.sampled_from(["unpaired", "paired"]),
)
@settings(max_examples=20, deadline=None)
def test_units_do_not_matter_and_swapping_domains_changes_the_sign(scale, offset, seed, design):
    labels, values = made(seed=seed)
    row = one(values, labels, design=design)
    scaled = one(values.assign(pitch=(values["pitch"] + offset) * scale), labels, design=design)
    swapped = one(values, labels, design=design, domains=["song", "speech"])
    names = ["difference", "low", "high"]
    np.testing.assert_allclose(
        scaled[names].to_numpy(float), row[names].to_numpy(float), rtol=1e-9, atol=1e-9
    )
    assert swapped["difference"] == pytest.approx(-row["difference"], rel=1e-12)
    assert (row["low"], row["high"]) == pytest.approx((-swapped["high"], -swapped["low"]), rel=1e-9)
    assert row["low"] <= row["difference"] <= row["high"]


def test_unequal_numbers_are_pooled_by_their_weight():
    labels, values = made(repetitions=4)
    kept = (labels["domain"] == "speech") | (labels["repetition"] == "0")
    labels = labels[kept]
    row = one(values, labels, effect="cohen")
    joined = labels.merge(values, on="clip")
    a = joined.loc[joined["domain"] == "speech", "pitch"]
    b = joined.loc[joined["domain"] == "song", "pitch"]
    pooled = (23 * a.var() + 5 * b.var()) / 28
    assert (row["clips_a"], row["clips_b"]) == (24, 6)
    assert row["difference"] == pytest.approx((b.mean() - a.mean()) / math.sqrt(pooled), rel=1e-12)


def test_recordings_without_a_counterpart_are_no_pairs():
    labels, values = made()
    less = labels[~((labels["domain"] == "song") & (labels["repetition"] == "2"))]
    row = one(values, less, design="paired")
    both = one(values, less[less["repetition"] != "2"], design="paired")
    assert row["clips_a"] == row["clips_b"] == 12
    assert row["left_out"] == 0
    assert row["difference"] == both["difference"]


def test_recordings_that_share_a_key_are_averaged_before_pairing():
    labels, values = made()
    row = one(values, labels.assign(repetition=""), design="paired", effect="cohen")
    means = labels.merge(values, on="clip").groupby(["speaker", "domain"])["pitch"].mean().unstack()
    change = means["song"] - means["speech"]
    assert row["clips_a"] == 6
    assert row["difference"] == pytest.approx(change.mean() / change.std(), rel=1e-12)


def test_a_value_that_is_not_a_number_is_left_out_and_counted():
    labels, values = made()
    values.loc[[0, 1], "pitch"] = np.nan
    row = one(values, labels)
    assert (row["clips_a"], row["clips_b"], row["left_out"], row["reason"]) == (16, 18, 2, "")
    paired = one(values, labels, design="paired")
    assert (paired["clips_a"], paired["clips_b"], paired["left_out"]) == (16, 16, 2)
    rest = one(values.iloc[2:], labels.iloc[2:])
    assert row["difference"] == rest["difference"]


@pytest.mark.parametrize("design", ["unpaired", "paired"])
def test_what_cannot_be_computed_stays_with_its_reason(design):
    labels, values = made(["happy", "sad", "calm"])
    labels = labels[(labels["emotion"] != "sad") | (labels["domain"] == "speech")]
    constant = labels["clip"][labels["emotion"] == "calm"]
    values.loc[values["clip"].isin(constant), "pitch"] = 3.0
    table = correlates.differences(
        values,
        labels,
        properties=["pitch"],
        emotions=["happy", "sad", "calm", "angry"],
        **{**CHOICES, "design": design},
    ).set_index("emotion")
    assert table.loc["happy", "reason"] == ""
    assert table["difference"].notna().tolist() == [True, False, False, False]
    assert table["low"].notna().tolist() == [True, False, False, False]
    for emotion in ("sad", "angry"):
        assert "is missing, because there are no" in table.loc[emotion, "reason"]
    assert "there is no spread" in table.loc["calm", "reason"]
    assert all(reason.endswith(".") for reason in table["reason"][1:])


def test_one_clip_in_a_domain_and_all_values_missing():
    labels, values = made()
    alone = labels[(labels["domain"] == "song") | (labels["clip"] == "c00000")]
    row = one(values, alone)
    assert row["reason"] == (
        "The difference in `pitch` of happy is missing, because it needs at least two recordings "
        "in speech with a finite value and there is 1."
    )
    row = one(values.assign(pitch=np.nan), labels)
    assert "there are none" in row["reason"]
    assert row["left_out"] == 36


def test_one_speaker_or_unknown_speakers_give_no_interval():
    labels, values = made(speakers=1)
    row = one(values, labels)
    assert np.isfinite(row["difference"])
    assert math.isnan(row["low"])
    assert "come from one speaker" in row["reason"]
    labels, values = made()
    row = one(values, labels.assign(speaker=""))
    assert math.isnan(row["high"])
    assert "no interval" in row["reason"]


def test_intervals_cover_the_truth_when_speakers_differ():
    """400 corpora at once, as 400 properties: recordings of a speaker share half the variance."""
    trials, speakers, truth = 400, 20, 0.8
    labels = recordings(["happy"], speakers=speakers, repetitions=4)
    generator = np.random.default_rng(1)
    voices = generator.normal(0, math.sqrt(0.5), (2, speakers, trials))
    noise = generator.normal(0, math.sqrt(0.5), (len(labels), trials))
    song = (labels["domain"] == "song").to_numpy().astype(int)
    voice = voices[song, labels["speaker"].astype(int)]
    pitch = voice + noise + truth * song[:, None]
    names = [f"p{trial}" for trial in range(trials)]
    values = pd.concat([labels[["clip"]], pd.DataFrame(pitch, columns=names)], axis=1)
    table = correlates.differences(
        values, labels, properties=names, emotions=["happy"], **{**CHOICES, "resamples": 500}
    )
    covered = (table["low"] <= truth) & (truth <= table["high"])
    # 95 % less 1 % for having 20 speakers only; three standard errors of 400 trials are 3.5 %.
    assert 0.92 <= covered.mean() <= 0.98
    ignored = (table["high"] - table["low"]).mean()
    # Drawing clips instead of speakers would give about sqrt(2 / 80) * 2 * 1.96 = 0.62.
    assert ignored > 0.75


def test_results_repeat_and_depend_on_the_seed():
    labels, values = made(EMOTIONS)
    calls = [
        correlates.differences(
            values, labels, properties=["pitch"], emotions=EMOTIONS, **{**CHOICES, "seed": seed}
        )
        for seed in (0, 0, 1)
    ]
    pd.testing.assert_frame_equal(calls[0], calls[1], check_exact=True)
    assert (calls[0]["difference"] == calls[2]["difference"]).all()
    assert (calls[0]["low"] != calls[2]["low"]).any()


def test_the_table_has_its_columns_and_units():
    labels, values = made(EMOTIONS)
    table = correlates.differences(
        values, labels, properties=["pitch"], emotions=EMOTIONS, **CHOICES
    )
    assert tuple(table.columns) == correlates.DIFFERENCE_COLUMNS
    assert table["emotion"].tolist() == EMOTIONS
    assert set(table["unit"]) == {"semitones"}
    assert set(table["corpus"]) == {"corpus"}


def test_wrong_arguments_are_refused():
    labels, values = made()
    with pytest.raises(InputError, match="choose from unpaired, paired"):
        one(values, labels, design="matched")
    with pytest.raises(InputError, match="choose from hedges, cohen"):
        one(values, labels, effect="g")
    with pytest.raises(InputError, match="between 0 and 1"):
        one(values, labels, confidence=95)
    with pytest.raises(InputError, match="two domains"):
        one(values, labels, domains=["speech"])
    with pytest.raises(InputError, match="2 clips of the manifest have no acoustic properties"):
        one(values.iloc[2:], labels)
    with pytest.raises(InputError, match="lacks the column jitter"):
        one(values, labels, properties=["jitter"])


# Correlations -------------------------------------------------------------------------------------


def differing(sizes, *, name="pitch", emotions=EMOTIONS):
    return pd.DataFrame(
        {
            "corpus": "corpus",
            "emotion": list(emotions)[: len(sizes)],
            "property": name,
            "design": "unpaired",
            "difference": sizes,
        }
    )


def distant(values, *, layer=1, model="model", emotions=EMOTIONS):
    return pd.DataFrame(
        {
            "corpus": "corpus",
            "model": model,
            "measure": "fad-clips",
            "layer": layer,
            "emotion": list(emotions)[: len(values)],
            "value": values,
        }
    )


def correlated(sizes, values, **changes):
    table = correlates.correlations(differing(sizes), distant(values), **{**TESTS, **changes})
    return table.iloc[0]


def test_the_sign_of_a_difference_does_not_count():
    row = correlated([1, -2, 3, -4, 5, -6], [1, 2, 3, 4, 5, 6])
    assert row["correlation"] == 1
    assert row["p"] == 2 / 720
    assert row["smallest_p"] == 2 / 720
    assert (row["permutations"], row["exact"], row["emotions"]) == (720, True, 6)
    one_sided = correlated([1, -2, 3, -4, 5, -6], [1, 2, 3, 4, 5, 6], alternative="greater")
    assert one_sided["p"] == 1 / 720
    reversed_order = correlated([1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1], alternative="greater")
    assert reversed_order["correlation"] == -1
    assert reversed_order["p"] == 1


def test_exact_p_of_three_emotions_by_enumeration():
    # Orders of 1, 2, 3 against 1, 2, 3 correlate 1, .5, .5, -.5, -.5, -1.
    assert correlated([1, 2, 3], [1, 2, 3])["p"] == 2 / 6
    assert correlated([1, 2, 3], [1, 3, 2])["p"] == 6 / 6
    assert correlated([1, 2, 3], [1, 3, 2], alternative="greater")["p"] == 3 / 6
    assert correlated([1, 2, 3], [3, 1, 2], alternative="greater")["p"] == 5 / 6


@given(st.data())
@settings(max_examples=15, deadline=None)
def test_correlation_and_p_equal_scipys(data):
    count = data.draw(st.integers(3, 5))
    numbers = st.lists(st.integers(0, 8), min_size=count, max_size=count)
    sizes = data.draw(numbers.filter(lambda x: len(set(x)) > 1))
    values = data.draw(numbers.filter(lambda x: len(set(x)) > 1))
    alternative = data.draw(st.sampled_from(["two-sided", "greater"]))
    row = correlated(sizes, values, alternative=alternative)
    expected = stats.spearmanr(sizes, values).statistic
    assert row["correlation"] == pytest.approx(expected, abs=1e-12)

    def statistic(x):
        return stats.spearmanr(x, values).statistic

    drawn = [statistic(x) for x in itertools.permutations(sizes)]
    drawn = np.array(drawn) if alternative == "greater" else np.abs(drawn)
    extreme = expected if alternative == "greater" else abs(expected)
    assert row["p"] == pytest.approx((drawn >= extreme - 1e-12).mean(), abs=1e-12)
    assert row["smallest_p"] <= row["p"]


def test_under_the_null_p_is_small_no_more_often_than_it_says():
    generator = np.random.default_rng(0)
    names = [f"p{index}" for index in range(600)]
    table = pd.concat([differing(generator.normal(size=6), name=name) for name in names])
    table = correlates.correlations(table, distant(np.arange(6.0)), **TESTS)
    for level in (0.01, 0.05, 0.2):
        # An exact test; three binomial standard errors above the level.
        slack = 3 * math.sqrt(level * (1 - level) / len(names))
        assert (table["p"] <= level).mean() <= level + slack
    # Not conservative either: 0.0514 of the orders have p <= 0.06 or so.
    assert (table["p"] <= 0.06).mean() > 0.03


def test_many_emotions_are_drawn_and_the_p_is_never_zero():
    names = [f"e{index}" for index in range(10)]
    sizes = np.arange(1.0, 11)
    table = correlates.correlations(
        differing(sizes, emotions=names),
        distant(sizes, emotions=names),
        **{**TESTS, "permutations": 999},
    )
    row = table.iloc[0]
    assert (row["permutations"], row["exact"]) == (999, False)
    assert row["p"] == row["smallest_p"] == 1 / 1000
    again = correlates.correlations(
        differing(sizes, emotions=names),
        distant(sizes, emotions=names),
        **{**TESTS, "permutations": 999},
    )
    pd.testing.assert_frame_equal(table, again, check_exact=True)


@pytest.mark.parametrize("correction", ["holm", "bh"])
@given(p=st.lists(st.floats(0, 1), min_size=0, max_size=15))
@settings(max_examples=50, deadline=None)
def test_corrected_p_equal_those_of_statsmodels(correction, p):
    method = {"holm": "holm", "bh": "fdr_bh"}[correction]
    expected = multipletests(p, method=method)[1] if p else np.array([])
    np.testing.assert_allclose(correlates.adjust(p, correction=correction), expected, rtol=1e-12)


def test_the_properties_of_a_layer_are_corrected_together():
    sizes = {"pitch": [1, 2, 3, 4, 5, 6], "jitter": [2, 1, 3, 4, 5, 6], "hnr": [1, 1, 1, 1, 1, 1]}
    table = pd.concat([differing(values, name=name) for name, values in sizes.items()])
    far = pd.concat([distant([1, 2, 3, 4, 5, 6]), distant([6, 1, 5, 2, 4, 3], layer=2)])
    result = correlates.correlations(table, far, **TESTS)
    first = result[result["layer"] == 1].set_index("property")
    assert first.loc["pitch", "p_adjusted"] == pytest.approx(2 * 2 / 720)
    assert first.loc["jitter", "p_adjusted"] == pytest.approx(first.loc["jitter", "p"])
    assert set(result["tests"]) == {2}
    assert math.isnan(first.loc["hnr", "p"])
    assert math.isnan(first.loc["hnr", "p_adjusted"])
    assert first.loc["hnr", "reason"] == (
        "The correlation is missing, because the difference is the same for every emotion."
    )


def test_missing_emotions_are_left_out_and_too_few_say_so():
    sizes = [1.0, 2, 3, 4, np.nan, 6]
    row = correlated(sizes, [1, 2, 3, 4, 5, 6])
    assert (row["emotions"], row["permutations"], row["correlation"]) == (5, 120, 1)
    row = correlated([1.0, 2, np.nan], [1, 2, 3])
    assert row["reason"] == (
        "The correlation is missing, because it needs 3 emotions that have both values and only 2 "
        "have."
    )
    row = correlated([1, 2, 3, 4], [5, 5, 5, 5])
    assert "the distance is the same" in row["reason"]
    assert row["permutations"] == 0


def test_the_distances_of_a_table_of_fad():
    fad = pd.DataFrame(
        {
            "corpus": "corpus",
            "model": "model",
            "level": ["clips", "clips", "frames", "clips", "clips"],
            "layer": 1,
            "domain_a": ["speech", "song", "speech", "speech", "speech"],
            "emotion_a": ["happy", "sad", "happy", "happy", "all"],
            "domain_b": ["song", "speech", "song", "speech", "song"],
            "emotion_b": ["happy", "sad", "happy", "sad", "all"],
            "fad": [1.0, 2.0, 3.0, 4.0, 5.0],
            "fad_relative": [0.1, 0.2, 0.3, 0.4, 0.5],
        }
    )
    table = correlates.distances([fad], level="clips", value="fad", domains=["speech", "song"])
    assert table.to_dict("records") == [
        {
            "corpus": "corpus",
            "model": "model",
            "measure": "fad-clips",
            "layer": 1,
            "emotion": emotion,
            "value": value,
        }
        for emotion, value in (("happy", 1.0), ("sad", 2.0))
    ]
    relative = correlates.distances(
        [fad], level="clips", value="fad_relative", domains=["speech", "song"]
    )
    assert relative["value"].tolist() == [0.1, 0.2]
    with pytest.raises(InputError, match="no clips value between speech and whisper"):
        correlates.distances([fad], level="clips", value="fad", domains=["speech", "whisper"])
    with pytest.raises(InputError, match="lacks the column"):
        correlates.distances(
            [fad.drop(columns="fad")], level="clips", value="fad", domains=["speech", "song"]
        )


def test_wrong_tables_and_choices_are_refused():
    table, far = differing([1, 2, 3]), distant([1, 2, 3])
    with pytest.raises(InputError, match="choose from holm, bh"):
        correlates.correlations(table, far, **{**TESTS, "correction": "bonferroni"})
    with pytest.raises(InputError, match="choose from two-sided, greater"):
        correlates.correlations(table, far, **{**TESTS, "alternative": "less"})
    with pytest.raises(InputError, match="at least 1"):
        correlates.correlations(table, far, **{**TESTS, "permutations": 0})
    with pytest.raises(InputError, match="no corpus in common"):
        correlates.correlations(table.assign(corpus="other"), far, **TESTS)
    with pytest.raises(InputError, match="an emotion more than once"):
        correlates.correlations(table, pd.concat([far, far]), **TESTS)


# For figures and text -----------------------------------------------------------------------------


def test_the_weakness_is_said_in_numbers():
    sizes = {f"p{index}": np.random.default_rng(index).normal(size=6) for index in range(15)}
    table = pd.concat([differing(values, name=name) for name, values in sizes.items()])
    result = correlates.correlations(table, distant(np.arange(6.0)), **TESTS)
    said = correlates.weakness(result, alpha=0.05)
    assert said == (
        "With 6 emotions the smallest possible p is 1/720 = 0.0014 one-sided and 2/720 = 0.0028 "
        "two-sided, and corrected for 15 properties at best 0.042. The test is weak: what is not "
        "significant may well be there."
    )
    said = correlates.weakness(result, alpha=0.01)
    assert said.endswith("So no property can be found significant at 0.01, whatever the truth.")
    result["p"] = np.nan
    assert correlates.weakness(result, alpha=0.05) == "No correlation could be computed."


def test_tables_for_figures():
    result = correlates.correlations(
        differing([1, 2, 3, 4, 5, 6]), distant([1, 2, 3, 4, 5, 6]), **TESTS
    )
    heat = correlates.heatmap_table(result, measure="fad-clips", alpha=0.05)
    assert heat.to_dict("records") == [
        {"model": "model", "layer": 1, "feature": "pitch", "correlation": 1.0, "significant": True}
    ]
    with pytest.raises(InputError, match="no rows"):
        correlates.heatmap_table(result, measure="mmd", alpha=0.05)
    labels, values = made(["happy"], shift=5)
    table = correlates.differences(
        values, labels, properties=["pitch"], emotions=["happy", "sad"], **CHOICES
    )
    forest = correlates.forest_table(table, properties=["pitch"], labels={"pitch": "Pitch"})
    assert forest[["label", "group", "significant"]].to_dict("records") == [
        {"label": "happy", "group": "Pitch", "significant": True}
    ]
