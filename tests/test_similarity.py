import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import pdist
from threadpoolctl import threadpool_limits

from consonance import frechet, similarity
from consonance.errors import InputError
from consonance.gram import Alignment, Clips

DOMAINS = ("speech", "song")
PAIR_BY = ["speaker", "emotion", "take"]
CHOICES = similarity.Settings(
    permutations=39,
    draws=3,
    pooled_draws=2,
    splits=3,
    fractions=(0.5, 0.75, 1.0),
    level=0.95,
    interval="jackknife",
    bootstrap_draws=20,
    kernel_scale=100.0,
    seed=1,
    pooled_permutations=1000,
)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    # Threads of the linear algebra cost more than they gain at these sizes.
    with threadpool_limits(limits=1):
        yield


def takes(*, speakers, per, emotions=("angry",)):
    rows = [
        (domain, emotion, f"s{speaker:02d}", str(take))
        for domain in DOMAINS
        for speaker in range(speakers)
        for emotion in emotions
        for take in range(per)
    ]
    return pd.DataFrame(rows, columns=["domain", "emotion", "speaker", "take"])


def to_itself(labels):
    return {speaker: speaker for speaker in labels["speaker"].unique()}


def arranged(labels):
    return similarity.arrange(labels, domains=DOMAINS, pair_by=PAIR_BY, groups=to_itself(labels))[1]


def voices(rng, *, speakers, per, dim, shift=0.0, own=0.0):
    """Clips of both domains from one population of speakers, `speakers * per` each.

    Each speaker has a voice of its own, each clip noise; `shift` moves all song, and `own` lets the
    two domains of a speaker differ at random.
    """
    scales = np.arange(1, dim + 1) ** -0.5
    voice = rng.standard_normal((speakers, dim))
    domains = [voice + own * rng.standard_normal((speakers, dim)) for _ in DOMAINS]
    clips = np.concatenate([np.repeat(each, per, axis=0) for each in domains])
    clips += rng.standard_normal(clips.shape)
    clips[speakers * per :] += shift
    return clips * scales


# Measures -----------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(2, 9), st.integers(2, 9))
def test_distance_from_inner_products_equals_that_from_samples(seed, dim, n_a, n_b):
    rng = np.random.default_rng(seed)
    embeddings = rng.standard_normal((20, dim)) + 50 * rng.standard_normal(dim)
    # With replacement: a bootstrap sample holds clips several times.
    a, b = rng.integers(0, 20, n_a), rng.integers(0, 20, n_b)
    ours = Clips(embeddings).fad(a, b)
    expected = frechet.sample_distance(embeddings[a], embeddings[b])
    near = {"rel": 1e-9, "abs": 1e-9 * max(expected.spread, 1.0)}
    # Where clips outnumber dimensions both sides clip a rounded zero at another place.
    loose = {"rel": 1e-6, "abs": 1e-6 * max(expected.spread, 1.0)}
    assert ours.mean_term == pytest.approx(expected.mean_term, **near)
    assert ours.trace_term == pytest.approx(expected.trace_term, **loose)
    assert ours.spread == pytest.approx(expected.spread, **near)


def test_kernel_distance_equals_a_double_loop():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((9, 4))
    clips = Clips(x)
    assert clips.bandwidth == pytest.approx(np.median(pdist(x)), rel=1e-12)

    def kernel(i, j):
        return np.exp(-((x[i] - x[j]) ** 2).sum() / (2 * clips.bandwidth**2))

    a, b = [0, 1, 2, 3], [4, 5, 6, 7, 8]
    within_a = np.mean([kernel(i, j) for i in a for j in a if i != j])
    within_b = np.mean([kernel(i, j) for i in b for j in b if i != j])
    between = np.mean([kernel(i, j) for i in a for j in b])
    weights = np.zeros((2, 9))
    weights[0, a] = weights[1, b] = 1
    expected = within_a + within_b - 2 * between
    assert float(clips.mmd(*weights)) == pytest.approx(expected, rel=1e-12)
    # Many at once, and a clip that counts twice (its pair with itself does not).
    weights[0, 0] = 2
    doubled = [0, 0, 1, 2, 3]
    within_a = np.mean([kernel(i, j) for i in doubled for j in doubled if i != j])
    between = np.mean([kernel(i, j) for i in doubled for j in b])
    many = clips.mmd(np.tile(weights[0], (3, 1)), np.tile(weights[1], (3, 1)))
    np.testing.assert_allclose(many, within_a + within_b - 2 * between, rtol=1e-12)


def test_kernel_distance_is_unbiased_for_independent_clips():
    rng = np.random.default_rng(1)
    label = np.arange(20) >= 10
    values = [float(Clips(rng.standard_normal((20, 5))).mmd(~label, label)) for _ in range(400)]
    # Three standard errors around the true 0; a biased estimate would be near +0.08.
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(400) < 0.01


def explicit_cka(x, y):
    centre = np.eye(len(x)) - 1 / len(x)
    k, m = centre @ x @ x.T @ centre, centre @ y @ y.T @ centre
    return (k * m).sum() / np.sqrt((k * k).sum() * (m * m).sum())


def explicit_debiased_cka(x, y):
    """Song et al. 2012, equation 5, for each of the three products."""
    n = len(x)

    def hsic(k, m):
        k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
        one = np.ones(n)
        return (
            np.trace(k @ m)
            + (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
            - 2 / (n - 2) * (one @ k @ m @ one)
        ) / (n * (n - 3))

    k, m = x @ x.T, y @ y.T
    return hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))


def test_alignment_equals_its_formula_and_follows_the_order_of_partners():
    rng = np.random.default_rng(2)
    x, noise = rng.standard_normal((11, 5)) + 3, rng.standard_normal((11, 5))
    y = x @ rng.standard_normal((5, 5)) + noise
    clips = Clips(np.concatenate([x, y]))
    alignment = clips.alignment(np.arange(11), np.arange(11, 22))
    assert alignment.value().plain == pytest.approx(explicit_cka(x, y), rel=1e-12)
    assert alignment.value().debiased == pytest.approx(explicit_debiased_cka(x, y), rel=1e-11)
    order = rng.permutation(11)
    value = alignment.value(order)
    assert value.plain == pytest.approx(explicit_cka(x, y[order]), rel=1e-12)
    assert value.debiased == pytest.approx(explicit_debiased_cka(x, y[order]), rel=1e-11)


def test_alignment_of_a_set_with_its_rotation_is_one():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((9, 6))
    rotation, _ = np.linalg.qr(rng.standard_normal((6, 6)))
    clips = Clips(np.concatenate([x, 2 * x @ rotation + 1]))
    value = clips.alignment(np.arange(9), np.arange(9, 18)).value()
    assert value.plain == pytest.approx(1, rel=1e-12)
    assert value.debiased == pytest.approx(1, rel=1e-12)


def test_only_debiased_alignment_is_zero_for_unrelated_sets():
    rng = np.random.default_rng(4)
    values = []
    for _ in range(60):
        clips = Clips(rng.standard_normal((40, 100)))
        values.append(clips.alignment(np.arange(20), np.arange(20, 40)).value())
    plain, debiased = np.mean(values, axis=0)
    assert plain > 0.8
    assert abs(debiased) < 3 * np.std(values, axis=0)[1] / np.sqrt(60)


def test_cosines_equal_their_formula():
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((4, 3)) + 5, rng.standard_normal((4, 3)) - 1
    clips, a, b = Clips(np.concatenate([x, y])), np.arange(4), np.arange(4, 8)

    def explicit(x, y):
        x, y = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in (x, y))
        return x @ y.T

    np.testing.assert_allclose(clips.cosines(a, b, centred=False), explicit(x, y), rtol=1e-9)
    np.testing.assert_allclose(
        clips.cosines(a, b, centred=True), explicit(x - x.mean(0), y - y.mean(0)), rtol=1e-9
    )


def test_embeddings_without_information_are_refused():
    with pytest.raises(InputError, match="2 of 3 clips hold NaN"):
        Clips(np.array([[0, 1], [np.nan, 0], [np.inf, 1]]))
    with pytest.raises(InputError, match="all 3 clips are equal"):
        Clips(np.ones((3, 2)))
    with pytest.raises(ValueError, match="shape"):
        Clips(np.ones(3))
    mostly_equal = Clips(np.array([[1.0, 0.0]] * 5 + [[0.0, 2.0]]))
    with pytest.raises(InputError, match="bandwidth"):
        _ = mostly_equal.kernel
    with pytest.raises(InputError, match="do not vary"):
        Clips(np.eye(10)[[0, 0, 0, 0, 1, 2, 3, 4]]).alignment(np.arange(4), np.arange(4, 8))
    with pytest.raises(InputError, match="3 matched pairs of clips; alignment needs 4"):
        Alignment(np.eye(3), np.eye(3))
    with pytest.raises(InputError, match="no direction"):
        Clips(np.array([[0.0, 0], [1, 2], [3, 1]])).cosines(
            np.array([0]), np.array([1]), centred=False
        )


# Designs ------------------------------------------------------------------------------------------


def test_arrange_finds_sides_and_pairs():
    labels = pd.DataFrame(
        [
            ("song", "angry", "s2", "1"),
            ("speech", "angry", "s1", "1"),
            ("song", "angry", "s1", "1"),
            ("other", "angry", "s1", "1"),
            ("speech", "angry", "s2", "2"),
            ("speech", "angry", "s2", "1"),
        ],
        columns=["domain", "emotion", "speaker", "take"],
    )
    rows, design = similarity.arrange(
        labels, domains=DOMAINS, pair_by=PAIR_BY, groups={"s1": 4, "s2": 4}
    )
    assert rows.tolist() == [1, 4, 5, 0, 2]
    assert design.n_a == 3
    assert design.speaker.tolist() == [0, 1, 1, 1, 0]
    assert set(design.group) == {0}
    assert design.pairs.tolist() == [[0, 4], [2, 3]]
    assert design.unpaired == ""


def test_arrange_says_why_there_are_no_pairs():
    labels = takes(speakers=2, per=2)
    choices = {"domains": DOMAINS, "groups": to_itself(labels)}
    _, design = similarity.arrange(labels, pair_by=["speaker", "emotion"], **choices)
    assert design.unpaired.startswith("4 clips of speech share speaker, emotion with another")
    apart = labels.assign(take=labels["take"] + labels["domain"])
    _, design = similarity.arrange(apart, pair_by=PAIR_BY, **choices)
    assert design.unpaired.startswith("No clip of speech has a partner in song")
    with pytest.raises(InputError, match="lacks the speakers s00, s01"):
        similarity.arrange(labels, domains=DOMAINS, pair_by=PAIR_BY, groups={})


# Resampling ---------------------------------------------------------------------------------------


def test_labels_are_swapped_within_speaker_and_emotion():
    labels = takes(speakers=3, per=4, emotions=("angry", "sad")).drop(index=[0, 1])
    design = arranged(labels)
    swaps = similarity.swapped(design, count=200, rng=np.random.default_rng(0))
    assert swaps.shape == (200, 46)
    for stratum in np.unique(design.stratum):
        rows = design.stratum == stratum
        assert (swaps[:, rows].sum(axis=1) == design.is_b[rows].sum()).all()
    # Every clip gets every label, each about as often as its stratum has it.
    share = swaps.mean(axis=0)
    expected = [design.is_b[design.stratum == s].mean() for s in design.stratum]
    assert np.abs(share - expected).max() < 0.15


def test_partners_are_shuffled_within_speaker_and_emotion():
    design = arranged(takes(speakers=3, per=4, emotions=("angry", "sad")))
    orders = similarity.shuffled(design, count=50, rng=np.random.default_rng(0))
    strata = design.stratum[design.pairs[:, 0]]
    assert (strata[orders] == strata).all()
    assert (np.sort(orders, axis=1) == np.arange(24)).all()
    assert len(np.unique(orders, axis=0)) == 50


def test_nothing_to_swap_or_shuffle_is_said():
    labels = takes(speakers=4, per=1)
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="No speaker has two matched pairs"):
        similarity.shuffled(arranged(labels), count=3, rng=rng)
    apart = labels.assign(speaker=labels["speaker"] + labels["domain"])
    with pytest.raises(InputError, match="No speaker has clips of the same emotion in both"):
        similarity.swapped(arranged(apart), count=3, rng=rng)


def test_p_value_counts_ties_and_itself():
    assert similarity.p_value(2.0, np.array([1.0, 2.0, 3.0])) == 3 / 4
    assert similarity.p_value(2.0, np.array([2.0 - 1e-13, 1.0])) == 2 / 3
    assert similarity.p_value(5.0, np.zeros(99)) == 0.01


def test_sub_samples_are_balanced_over_speakers():
    labels = takes(speakers=5, per=8).drop(index=range(4))
    design = arranged(labels)
    keys = similarity.order_keys(design, count=30, rng=np.random.default_rng(0))
    whole = design.whole
    for key in keys:
        drawn = similarity.head(key, whole.b, 20)
        assert len(set(drawn)) == 20
        assert (np.bincount(design.speaker[drawn]) == 4).all()
        # The first speaker has 4 of 36 clips of speech: 2 of 18, to within one.
        drawn = similarity.head(key, whole.a, 18)
        assert 1 <= (design.speaker[drawn] == 0).sum() <= 3
    chosen = np.array([similarity.head(key, whole.b, 20) for key in keys])
    assert len(np.unique(np.sort(chosen, axis=1), axis=0)) == 30


def test_halves_keep_speakers_together():
    design = arranged(takes(speakers=5, per=3))
    first = similarity.half_speakers(design, count=20, rng=np.random.default_rng(0))
    for half in first:
        sides = [set(design.speaker[half]), set(design.speaker[~half])]
        assert not sides[0] & sides[1]
        assert [len(side) for side in sides] == [2, 3]
    assert similarity.smallest_half(design, first=first) == 6
    with pytest.raises(InputError, match="3 speakers have clips in both domains"):
        similarity.half_speakers(
            arranged(takes(speakers=3, per=2)), count=1, rng=np.random.default_rng(0)
        )


def test_jackknife_of_a_mean_is_its_standard_error():
    rng = np.random.default_rng(0)
    labels = takes(speakers=7, per=1)
    design = arranged(labels)
    x = rng.standard_normal(14)
    replicates = similarity.jackknife(lambda subset: {"mean": x[subset.a].mean()}, design)["mean"]
    assert len(replicates) == 7
    np.testing.assert_allclose(replicates[2], np.delete(x[:7], 2).mean(), rtol=1e-14)
    error = similarity.jackknife_error(replicates)
    assert error == pytest.approx(x[:7].std(ddof=1) / np.sqrt(7), rel=1e-12)
    # For a mean, the interval is Student's.
    low, high = similarity.interval(x[:7].mean(), error, groups=7, level=0.9)
    expected = stats.t.interval(0.9, 6, loc=x[:7].mean(), scale=stats.sem(x[:7]))
    assert (low, high) == pytest.approx(expected, rel=1e-12)


def test_jackknife_leaves_out_groups_with_their_pairs():
    labels = takes(speakers=4, per=2)
    _, design = similarity.arrange(
        labels,
        domains=DOMAINS,
        pair_by=PAIR_BY,
        groups={"s00": "x", "s01": "x", "s02": "y", "s03": "y"},
    )
    subset = design.without(0)
    assert subset.a.tolist() == [4, 5, 6, 7]
    assert subset.b.tolist() == [12, 13, 14, 15]
    assert subset.pairs.tolist() == [[4, 12], [5, 13], [6, 14], [7, 15]]
    one_group = dataclasses.replace(design, group=np.zeros(16, dtype=int))
    with pytest.raises(InputError, match="one group of speakers"):
        similarity.jackknife(lambda subset: {}, one_group)


def test_bootstrap_draws_whole_speakers():
    design = arranged(takes(speakers=5, per=3))
    subset = design.resampled(np.random.default_rng(0))
    assert len(subset.a) == len(subset.b) == len(subset.pairs) == 15
    counts = np.bincount(subset.a, minlength=15).reshape(5, 3)
    assert (counts == counts[:, :1]).all()
    assert (np.bincount(subset.b - 15, minlength=15).reshape(5, 3) == counts).all()
    x = np.random.default_rng(1).standard_normal(5).repeat(3)
    draws = similarity.bootstrap(
        lambda subset: {"mean": x[subset.a].mean()},
        design,
        count=2000,
        rng=np.random.default_rng(2),
    )["mean"]
    # The variance of a bootstrapped mean is exact; 2,000 draws know its root to 2 %.
    assert draws.std() == pytest.approx(x[::3].std() / np.sqrt(5), rel=0.06)


def test_generators_differ_by_purpose_and_repeat():
    first = similarity.generator(3, "swap", "angry").random(4)
    assert (first == similarity.generator(3, "swap", "angry").random(4)).all()
    assert (first != similarity.generator(3, "swap", "sad").random(4)).all()
    assert (first != similarity.generator(4, "swap", "angry").random(4)).all()


# Estimates ----------------------------------------------------------------------------------------


class Known:
    """Stands for clips whose distance is a known function of the numbers of clips."""

    def __init__(self, function):
        self.function = function
        self.calls = []

    def fad(self, a, b):
        self.calls.append((len(a), len(b)))
        return frechet.Distance(0.0, self.function(1 / len(a), 1 / len(b)), 1.0)


def test_extrapolation_finds_the_intercept():
    design = arranged(takes(speakers=4, per=10))
    keys = similarity.order_keys(design, count=5, rng=np.random.default_rng(0))
    fractions = (0.25, 0.5, 0.75, 1.0)
    line = Known(lambda x, y: 3 + 40 * x + 20 * y)
    result = similarity.extrapolate(line, design.whole, fractions=fractions, keys=keys)
    assert result.value == pytest.approx(3, abs=1e-10)
    assert result.linear == pytest.approx(3, abs=1e-10)
    assert result.sizes.tolist() == pytest.approx([10, 20, 30, 40], rel=1e-12)
    # All clips are one sample, every other size is drawn five times.
    assert line.calls == [(10, 10)] * 5 + [(20, 20)] * 5 + [(30, 30)] * 5 + [(40, 40)]
    curve = Known(lambda x, y: 3 + 40 * x - 100 * x * y)
    result = similarity.extrapolate(curve, design.whole, fractions=fractions, keys=keys)
    assert result.value == pytest.approx(3, abs=1e-9)
    assert result.linear > 3.1
    tiny = arranged(takes(speakers=1, per=3))
    with pytest.raises(InputError, match="too few to extrapolate"):
        similarity.extrapolate(line, tiny.whole, fractions=fractions, keys=np.zeros((1, 6)))


def test_values_at_equal_numbers_are_means_over_sub_samples():
    rng = np.random.default_rng(6)
    design = arranged(takes(speakers=4, per=5))
    clips = Clips(rng.standard_normal((40, 8)))
    keys = similarity.order_keys(design, count=3, rng=rng)
    whole = design.whole
    expected = np.mean(
        [
            clips.fad(similarity.head(k, whole.a, 12), similarity.head(k, whole.b, 12)).fad
            for k in keys
        ]
    )
    assert similarity.equal_numbers(clips, whole, size=12, keys=keys) == expected
    everything = similarity.equal_numbers(clips, whole, size=20, keys=keys)
    assert everything == clips.fad(whole.a, whole.b).fad
    with pytest.raises(InputError, match="21 cannot be drawn"):
        similarity.equal_numbers(clips, whole, size=21, keys=keys)


def test_halves_compare_disjoint_speakers_at_one_size():
    design = arranged(takes(speakers=4, per=3))
    first = np.tile(np.isin(design.speaker, [0, 1]), (1, 1))
    keys = np.arange(24.0)[None]
    x = np.random.default_rng(7).standard_normal((24, 5))
    clips = Clips(x)
    result = similarity.halves(clips, design.whole, size=4, keys=keys, first=first)
    a1, a2, b1, b2 = x[0:4], x[6:10], x[12:16], x[18:22]

    def distance(p, q):
        return frechet.sample_distance(p, q).fad

    assert result.across == pytest.approx((distance(a1, b2) + distance(a2, b1)) / 2, rel=1e-10)
    assert result.floor == pytest.approx((distance(a1, a2) + distance(b1, b2)) / 2, rel=1e-10)
    with pytest.raises(InputError, match="has 6 clips in a domain, so 7"):
        similarity.halves(clips, design.whole, size=7, keys=keys, first=first)
    floor = similarity.kernel_floor(clips, design, first=first)
    weights = np.zeros((4, 24))
    for row, start in enumerate((0, 6, 12, 18)):
        weights[row, start : start + 6] = 1
    expected = (clips.mmd(weights[0], weights[1]) + clips.mmd(weights[2], weights[3])) / 2
    assert floor == pytest.approx(float(expected), rel=1e-12)


# What each is worth -------------------------------------------------------------------------------


def study(rng, *, speakers=10, per=8, dim=48, permutations=99, **population):
    """One data set: the plain distance and its corrections, each with its stated error."""
    design = arranged(takes(speakers=speakers, per=per))
    clips = Clips(voices(rng, speakers=speakers, per=per, dim=dim, **population))
    whole = design.whole
    swaps = similarity.swapped(design, count=permutations, rng=rng)
    null = similarity.swap_null(clips, swaps)["fad"]
    keys = similarity.order_keys(design, count=6, rng=rng)
    fractions = (0.5, 0.625, 0.75, 0.875, 1.0)

    def unlimited(subset):
        return similarity.extrapolate(clips, subset, fractions=fractions, keys=keys)

    replicates = similarity.jackknife(
        lambda subset: {
            "plain": clips.fad(subset.a, subset.b).fad,
            "unlimited": unlimited(subset).value,
        },
        design,
    )
    extrapolated = unlimited(whole)
    plain = clips.fad(whole.a, whole.b).fad
    error = similarity.jackknife_error(replicates["unlimited"])
    return {
        "plain": plain,
        "plain_error": similarity.jackknife_error(replicates["plain"]),
        "corrected": plain - null.mean(),
        "null_sd": null.std(),
        "p": similarity.p_value(plain, null),
        "unlimited": extrapolated.value,
        "unlimited_error": np.hypot(error, extrapolated.value - extrapolated.linear),
    }


def many(count, *, seed, **choices):
    rng = np.random.default_rng(seed)
    return pd.DataFrame([study(rng, **choices) for _ in range(count)])


def test_without_a_difference_only_the_plain_distance_is_far_from_zero():
    few, more = many(8, seed=10, per=4), many(8, seed=11, per=12)
    for results in (few, more):
        # Far from 0 beyond its own stated error in every single data set: the interval does not
        # know the bias.
        assert (results.plain > 4 * results.plain_error).all()
        # The corrected ones keep to theirs: within 4 errors each time, and on average within the
        # error of the mean of 8 (3 of them).
        assert (results.corrected.abs() < 4 * results.null_sd).all()
        assert abs(results.corrected.mean()) < 3 * results.null_sd.mean() / np.sqrt(8)
        assert (results.unlimited.abs() < 3 * results.unlimited_error).all()
    # Three times the clips: the plain distance falls to less than half.
    assert more.plain.mean() < 0.5 * few.plain.mean()
    assert abs(more.corrected.mean() - few.corrected.mean()) < 0.1 * few.plain.mean()


def test_a_difference_is_found_and_its_size_does_not_depend_on_the_number_of_clips():
    few, more = many(4, seed=12, per=4, shift=0.7), many(4, seed=13, per=12, shift=0.7)
    # The truth: the domains differ by a shift alone.
    truth = (0.7**2 / np.arange(1, 49)).sum()
    for results in (few, more):
        assert (results.p == 0.01).all()
        # Shuffled sets hold the shift as spread, so a little too much is taken away.
        assert 0.7 * truth < results.corrected.mean() < 1.1 * truth
        assert ((results.unlimited - truth).abs() < 3 * results.unlimited_error).all()
    assert few.plain.mean() > 1.5 * truth
    assert more.corrected.mean() == pytest.approx(few.corrected.mean(), rel=0.25)


def test_p_values_are_uniform_without_a_difference():
    rng = np.random.default_rng(14)
    design = arranged(takes(speakers=6, per=3))
    p = []
    for _ in range(300):
        clips = Clips(voices(rng, speakers=6, per=3, dim=10))
        null = similarity.swap_null(clips, similarity.swapped(design, count=19, rng=rng))["fad"]
        whole = design.whole
        p.append(similarity.p_value(clips.fad(whole.a, whole.b).fad, null))
    # The possible values are 1/20, ..., 1, each as likely: chi-square over five bins.
    counts = np.histogram(p, bins=[0, 0.201, 0.401, 0.601, 0.801, 1.001])[0]
    assert stats.chisquare(counts).pvalue > 0.001
    assert np.mean(np.array(p) <= 0.05) < 0.1


def test_jackknife_intervals_cover_the_mean_of_the_estimator():
    rng = np.random.default_rng(15)
    design = arranged(takes(speakers=10, per=3))
    whole = design.whole
    values, ends = [], []
    for _ in range(250):
        clips = Clips(voices(rng, speakers=10, per=3, dim=16, own=0.7, shift=0.5))
        value = clips.fad(whole.a, whole.b).fad
        replicates = similarity.jackknife(lambda s, c=clips: {"fad": c.fad(s.a, s.b).fad}, design)
        error = similarity.jackknife_error(replicates["fad"])
        values.append(value)
        ends.append(similarity.interval(value, error, groups=10, level=0.95))
    low, high = np.array(ends).T
    covered = np.mean((low <= np.mean(values)) & (np.mean(values) <= high))
    # 250 data sets know the coverage to 1.4 points.
    assert 0.91 <= covered <= 1.0


def test_floor_and_value_between_halves_agree_without_a_difference():
    rng = np.random.default_rng(16)
    design = arranged(takes(speakers=10, per=4))
    keys = similarity.order_keys(design, count=10, rng=rng)
    first = similarity.half_speakers(design, count=10, rng=rng)
    across, floor, shifted = [], [], []
    for _ in range(10):
        x = voices(rng, speakers=10, per=4, dim=32)
        result = similarity.halves(Clips(x), design.whole, size=20, keys=keys, first=first)
        across.append(result.across)
        floor.append(result.floor)
        x[40:] += 1.0
        shifted.append(
            similarity.halves(Clips(x), design.whole, size=20, keys=keys, first=first).across
        )
    assert np.mean(floor) > 1
    difference = np.subtract(across, floor)
    assert abs(difference.mean()) < 3 * difference.std(ddof=1) / np.sqrt(10) < 0.1 * np.mean(floor)
    assert np.mean(shifted) > 2 * np.mean(floor)


def test_shuffled_partners_keep_the_voice_in_the_null():
    rng = np.random.default_rng(17)
    design = arranged(takes(speakers=8, per=6))
    orders = similarity.shuffled(design, count=99, rng=rng)
    a, b = design.pairs.T
    voice = voices(rng, speakers=8, per=6, dim=20)
    alike = Clips(voice).alignment(a, b)
    null = np.array([alike.value(order).debiased for order in orders])
    # Same voices align, and so do they in the null.
    assert alike.value().debiased > 0.3
    assert similarity.p_value(alike.value().debiased, null) > 0.05
    voice += np.tile(rng.standard_normal((48, 20)), (2, 1))
    matched = Clips(voice).alignment(a, b)
    null = np.array([matched.value(order).debiased for order in orders])
    assert similarity.p_value(matched.value().debiased, null) == 0.01


# Tables -------------------------------------------------------------------------------------------


EMOTIONS = ("angry", "calm")


def whole_measured(means, labels, **changes):
    choices = {
        "domains": DOMAINS,
        "emotions": EMOTIONS,
        "layers": [0, 1],
        "pair_by": PAIR_BY,
        "groups": to_itself(labels),
        "settings": CHOICES,
        "workers": 2,
    }
    return similarity.table(means, labels, **(choices | changes))


def measured(means, labels, **changes):
    return whole_measured(means, labels, **changes).table


@pytest.fixture(scope="module")
def corpus():
    labels = takes(speakers=6, per=4, emotions=EMOTIONS)
    rng = np.random.default_rng(20)
    means = rng.standard_normal((len(labels), 2, 12)).astype(np.float32)
    codes, names = pd.factorize(labels["speaker"])
    means += rng.standard_normal((len(names), 2, 12)).astype(np.float32)[codes]
    means[labels["domain"] == "song"] += 0.5
    return means, labels


@pytest.fixture(scope="module")
def whole_table(corpus):
    return measured(*corpus)


def test_table_is_whole(whole_table):
    table = whole_table
    assert list(table.columns) == similarity.COLUMNS
    assert len(table) == 3 * 2 * len(similarity.MEASURES)
    assert list(table.emotion.unique()) == ["angry", "calm", "all"]
    assert list(table.measure[: len(similarity.MEASURES)]) == list(similarity.MEASURES)
    assert (table.reason == "").all()
    for column in ("value", "lower", "upper"):
        assert np.isfinite(table[column]).all()
    assert (table.lower <= table.value).all()
    assert (table.value <= table.upper).all()
    has_null = table.measure.map(lambda name: bool(similarity.MEASURES[name].null))
    assert table.p.notna().equals(has_null)
    assert (table.permutations == np.where(has_null, 39, 0)).all()
    assert table.p[has_null].between(1 / 40, 1).all()
    assert set(table.measure[table.floor.notna()]) == {"fad_halves", "kad"}


def test_table_agrees_with_its_parts(corpus, whole_table):
    means, labels = corpus
    mine = labels[labels.emotion == "calm"]
    x = means[mine.index, 1].astype(np.float64)
    a, b = x[:24], x[24:]
    rows = whole_table.query("emotion == 'calm' and layer == 1").set_index("measure")
    expected = frechet.sample_distance(a, b)
    assert rows.value["fad"] == pytest.approx(expected.fad, rel=1e-10)
    assert rows.value["fad_relative"] == pytest.approx(expected.relative, rel=1e-10)
    assert rows.value["fad_equal"] == rows.value["fad"]
    corrected = rows.loc["fad_corrected"]
    assert corrected.value == pytest.approx(rows.value["fad"] - rows.null_mean["fad"], rel=1e-12)
    assert corrected.null_mean == 0
    assert corrected.upper - corrected.lower == pytest.approx(
        rows.upper["fad"] - rows.lower["fad"], rel=1e-9
    )
    assert rows.value["cka"] == pytest.approx(explicit_cka(a, b), rel=1e-9)
    assert rows.value["cka_debiased"] == pytest.approx(explicit_debiased_cka(a, b), rel=1e-8)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    assert rows.value["cosine"] == pytest.approx(((a * b).sum(axis=1) / norms).mean(), rel=1e-9)
    assert (rows.clips_a[["fad", "cka"]] == 24).all()
    assert rows.clips_a["fad_halves"] == 12
    # The jackknife over speakers, written out.
    speaker = np.arange(24) // 4
    left_out = [frechet.sample_distance(a[speaker != s], b[speaker != s]).fad for s in range(6)]
    error = np.sqrt(5 / 6 * ((left_out - np.mean(left_out)) ** 2).sum())
    half = stats.t.ppf(0.975, 5) * error
    assert rows.upper["fad"] == pytest.approx(expected.fad + half, rel=1e-8)
    pooled = whole_table.query("emotion == 'all' and layer == 1 and measure == 'fad'").iloc[0]
    x = means[:, 1].astype(np.float64)
    song = (labels.domain == "song").to_numpy()
    assert pooled.value == pytest.approx(frechet.sample_distance(x[~song], x[song]).fad, rel=1e-8)
    assert pooled.clips_a == 48


def test_table_depends_on_the_seed_but_not_on_workers_or_other_layers(corpus, whole_table):
    again = measured(*corpus, workers=1)
    pd.testing.assert_frame_equal(again, whole_table, check_exact=True)
    alone = measured(*corpus, layers=[1])
    expected = whole_table[whole_table.layer == 1].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, expected, check_exact=True)
    other = measured(*corpus, layers=[1], settings=dataclasses.replace(CHOICES, seed=2))
    assert (other.value == expected.value)[expected.measure == "fad"].all()
    assert (other.null_mean != expected.null_mean)[expected.measure == "fad"].all()


def test_one_fewer_emotion_changes_no_draw_of_another(corpus, whole_table):
    few = measured(*corpus, emotions=["calm"])
    pick = "emotion == 'calm' and measure == 'fad'"
    pd.testing.assert_frame_equal(
        few.query(pick).reset_index(drop=True), whole_table.query(pick).reset_index(drop=True)
    )


def test_the_pooled_null_has_a_number_of_its_own(corpus):
    table = measured(*corpus, settings=dataclasses.replace(CHOICES, pooled_permutations=8))
    fad = table[table.measure == "fad"].set_index(["emotion", "layer"]).permutations
    assert fad["all"].tolist() == [8, 8]
    assert fad["angry"].tolist() == [39, 39]
    assert (table[table.measure == "kad"].permutations == 39).all()


def test_replicates_are_those_behind_the_interval(corpus):
    found = whole_measured(*corpus)
    keys = ["measure", "emotion", "layer"]
    row = found.table.set_index(keys).loc[("fad_equal", "calm", 1)]
    each = found.replicates.set_index(keys).loc[("fad_equal", "calm", 1)]
    assert each["replicate"].tolist() == list(range(row.groups))
    low, high = similarity.interval(
        row.value,
        similarity.jackknife_error(each["value"].to_numpy()),
        groups=row.groups,
        level=CHOICES.level,
    )
    assert (row.lower, row.upper) == pytest.approx((low, high))


def test_bootstrap_is_an_option_for_whole_sets(corpus, whole_table):
    table = measured(*corpus, settings=dataclasses.replace(CHOICES, interval="bootstrap"))
    changed = (table.upper != whole_table.upper).groupby(table.measure).all()
    expected = {name for name, measure in similarity.MEASURES.items() if measure.null}
    assert set(changed.index[changed]) == expected
    assert (table.value == whole_table.value).all()


def reasons(table, emotion, layer=0):
    chosen = table[(table.emotion == emotion) & (table.layer == layer)]
    return chosen.set_index("measure")[["value", "reason", "lower", "p"]]


def test_an_emotion_missing_in_one_domain(corpus):
    means, labels = corpus
    kept = ~((labels.domain == "song") & (labels.emotion == "calm")).to_numpy()
    table = measured(means[kept], labels[kept])
    calm = reasons(table, "calm")
    assert calm.value.isna().all()
    assert set(calm.reason) == {"There are no clips of calm in song, so there is no comparison."}
    assert (reasons(table, "angry").reason == "").all()
    assert reasons(table, "all").value.notna().all()


def test_a_set_with_one_clip(corpus):
    means, labels = corpus
    calm_song = np.flatnonzero((labels.domain == "song") & (labels.emotion == "calm"))
    kept = np.delete(np.arange(len(labels)), calm_song[1:])
    table = measured(means[kept], labels.iloc[kept])
    calm = reasons(table, "calm")
    assert calm.value.isna().all()
    assert calm.reason.str.startswith("There is one clip of calm in song").all()
    assert reasons(table, "angry").value.notna().all()


def test_a_layer_that_is_not_finite_or_constant(corpus):
    means, labels = corpus
    broken = means.copy()
    broken[(labels.emotion == "calm").to_numpy().nonzero()[0][0], 0, 3] = np.nan
    broken[:, 1] = 1.0
    table = measured(broken, labels)
    assert reasons(table, "calm").reason.str.startswith("The embeddings of 1 of 48 clips").all()
    assert reasons(table, "all").reason.str.contains("NaN").all()
    assert (reasons(table, "angry").reason == "").all()
    assert reasons(table, "angry", 1).reason.str.contains("are equal in this layer").all()


def test_a_constant_feature_is_no_obstacle(corpus):
    means, labels = corpus
    flat = means.copy()
    flat[:, :, 4] = 7.0
    assert (measured(flat, labels).reason == "").all()


def test_too_few_speakers(corpus):
    means, labels = corpus
    two = labels.speaker.isin(["s00", "s01"]).to_numpy()
    table = reasons(measured(means[two], labels[two]), "angry")
    assert table.value["fad_halves"] != table.value["fad_halves"]
    assert table.reason["fad_halves"].startswith("2 speakers have clips in both domains")
    assert np.isfinite(table.lower["fad"])
    one = labels.speaker.eq("s00").to_numpy()
    table = reasons(measured(means[one], labels[one]), "angry")
    assert np.isfinite(table.value["fad"])
    assert np.isnan(table.lower["fad"])
    assert table.reason["fad"].startswith("There is no interval: All clips are of one group")
    assert np.isfinite(table.p["fad"])


def test_speakers_of_one_domain_only_leave_no_null(corpus):
    means, labels = corpus
    apart = labels.assign(speaker=labels["speaker"] + labels["domain"])
    table = reasons(measured(means, apart), "angry")
    assert np.isfinite(table.value["fad"])
    assert table.reason["fad"].startswith("There is no null: No speaker has clips")
    assert np.isnan(table.value["fad_corrected"])
    assert table.reason["fad_corrected"] == table.reason["fad"]
    assert table.reason["cka"].startswith("No clip of speech has a partner in song")


def test_settings_name_what_is_wrong():
    with pytest.raises(InputError) as error:
        dataclasses.replace(
            CHOICES, permutations=0, level=1.0, interval="none", fractions=(0.5, 1.0)
        )
    assert [problem.split(" ")[0] for problem in error.value.problems] == [
        "similarity.permutations",
        "similarity.level",
        "similarity.interval",
        "similarity.fractions",
    ]


def test_wrong_calls_are_refused(corpus):
    means, labels = corpus
    with pytest.raises(ValueError, match="pooled set"):
        measured(means, labels, emotions=["all"])
    with pytest.raises(ValueError, match="do not fit"):
        measured(means[1:], labels)


# Frames -------------------------------------------------------------------------------------------


def frame_moments(samples, clips):
    centred = samples - samples.mean(axis=0)
    return frechet.Moments(clips, len(samples), samples.mean(axis=0), centred.T @ centred)


def test_frames_have_intervals_over_folds():
    rng = np.random.default_rng(30)
    frames = {
        (domain, emotion): {
            fold: rng.standard_normal((30 + 5 * fold, 4)) + (domain == "song") for fold in range(3)
        }
        for domain in DOMAINS
        for emotion in EMOTIONS
    }
    folds = {
        key: {fold: frame_moments(x, clips=5) for fold, x in parts.items()}
        for key, parts in frames.items()
    }
    choices = {"domains": DOMAINS, "emotions": EMOTIONS, "layer": 2, "level": 0.9, "workers": 2}
    table = similarity.frame_table(folds, **choices).table
    assert list(table.columns) == similarity.COLUMNS
    assert list(table.emotion) == ["angry"] * 2 + ["calm"] * 2 + ["all"] * 2
    assert set(table.layer) == {2}
    row = table.query("emotion == 'calm' and measure == 'fad_frames'").iloc[0]

    def distance(folds):
        return frechet.sample_distance(
            *(np.concatenate([frames[d, "calm"][f] for f in folds]) for d in DOMAINS)
        ).fad

    left_out = np.array([distance([1, 2]), distance([0, 2]), distance([0, 1])])
    half = stats.t.ppf(0.95, 2) * np.sqrt(2 / 3 * ((left_out - left_out.mean()) ** 2).sum())
    assert row.value == pytest.approx(distance([0, 1, 2]), rel=1e-9)
    assert row.upper - row.value == pytest.approx(half, rel=1e-7)
    assert (row.clips_a, row.groups, row.reason) == (15, 3, "")
    everything = [
        np.concatenate([x for e in EMOTIONS for x in frames[d, e].values()]) for d in DOMAINS
    ]
    pooled = table.query("emotion == 'all' and measure == 'fad_frames_relative'").iloc[0]
    assert pooled.value == pytest.approx(frechet.sample_distance(*everything).relative, rel=1e-9)
    assert pooled.clips_b == 30


def test_frames_that_cannot_be_compared_are_said():
    rng = np.random.default_rng(31)
    good = {fold: frame_moments(rng.standard_normal((9, 3)), clips=3) for fold in range(2)}
    folds = {
        ("speech", "angry"): good,
        ("song", "angry"): {0: good[0]},
        ("speech", "calm"): {0: frame_moments(np.full((9, 3), np.nan), clips=3)},
        ("song", "calm"): good,
    }
    choices = {"domains": DOMAINS, "layer": 1, "level": 0.95, "workers": 1}
    table = similarity.frame_table(folds, emotions=["angry", "calm", "sad"], **choices).table
    table = table[table.measure == "fad_frames"].set_index("emotion")
    assert np.isfinite(table.value["angry"])
    assert np.isnan(table.lower["angry"])
    assert table.reason["angry"].startswith("There is no interval: A fold of actors holds all")
    assert "NaN or infinite" in table.reason["calm"]
    assert table.reason["sad"].startswith("There are no clips of sad in speech")
    assert "NaN or infinite" in table.reason["all"]
