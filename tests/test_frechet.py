import numpy as np
import pandas as pd
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from consonance import frechet
from consonance.errors import InputError


def full_rank(rng, *, dim, count, decay=1.0):
    """Samples with a power-law spectrum in a random basis: covariances that do not commute."""
    basis, _ = np.linalg.qr(rng.standard_normal((dim, dim)))
    scales = np.arange(1, dim + 1) ** (-decay / 2)
    return rng.standard_normal(dim) + (rng.standard_normal((count, dim)) * scales) @ basis


def toolkit(mean_a, cov_a, mean_b, cov_b):
    """The formula of the paper's toolkit: eigenvalues and eigenvectors of S_a S_b."""
    values, vectors = scipy.linalg.eig(cov_a @ cov_b)
    root = (vectors * np.sqrt(values.astype(complex))) @ scipy.linalg.inv(vectors)
    shift = mean_a - mean_b
    return shift @ shift + np.trace(cov_a) + np.trace(cov_b) - 2 * np.trace(root).real


def moments(samples):
    return samples.mean(axis=0), np.cov(samples, rowvar=False)


@pytest.mark.parametrize(("dim", "count"), [(2, 10), (16, 200), (96, 1000)])
@pytest.mark.parametrize("decay", [0.0, 2.0])
def test_equals_the_toolkits_formula_and_sqrtm(dim, count, decay):
    rng = np.random.default_rng(dim)
    a, b = (full_rank(rng, dim=dim, count=count, decay=decay) for _ in range(2))
    arguments = (*moments(a), *moments(b))
    result = frechet.distance(*arguments)
    # 1e-6 is what the workflow promises; full-rank sets come far closer.
    assert result.fad == pytest.approx(toolkit(*arguments), rel=1e-9)
    root = scipy.linalg.sqrtm(arguments[1] @ arguments[3])
    expected = np.trace(arguments[1] + arguments[3]) - 2 * np.trace(root).real
    assert result.trace_term == pytest.approx(expected, rel=1e-9)
    assert frechet.sample_distance(a, b).fad == pytest.approx(result.fad, rel=1e-10)


def test_one_dimension_has_a_closed_form():
    result = frechet.distance(
        np.array([1.0]), np.array([[4.0]]), np.array([3.5]), np.array([[9.0]])
    )
    assert result.mean_term == pytest.approx(6.25, rel=1e-15)
    assert result.trace_term == pytest.approx((2.0 - 3.0) ** 2, rel=1e-14)
    assert result.fad == pytest.approx(7.25, rel=1e-14)
    assert result.relative == pytest.approx(7.25 / 13, rel=1e-14)


def test_commuting_covariances_have_a_closed_form():
    rng = np.random.default_rng(1)
    basis, _ = np.linalg.qr(rng.standard_normal((6, 6)))
    sd_a, sd_b = rng.uniform(0.1, 3, 6), rng.uniform(0.1, 3, 6)
    cov_a, cov_b = (basis * sd_a**2) @ basis.T, (basis * sd_b**2) @ basis.T
    cov_a, cov_b = (cov_a + cov_a.T) / 2, (cov_b + cov_b.T) / 2
    result = frechet.distance(np.zeros(6), cov_a, np.full(6, 2.0), cov_b)
    assert result.mean_term == 24.0
    assert result.trace_term == pytest.approx(((sd_a - sd_b) ** 2).sum(), rel=1e-12)


def test_gaussians_with_known_parameters_are_found_from_many_samples():
    rng = np.random.default_rng(2)
    a = rng.standard_normal((400_000, 2)) * [1.0, 2.0]
    b = rng.standard_normal((400_000, 2)) * [3.0, 1.0] + [1.0, 0.0]
    # 1 + (1 - 3)^2 + (2 - 1)^2; the standard error of the estimate is about 0.02.
    assert frechet.sample_distance(a, b).fad == pytest.approx(6.0, abs=0.1)


@pytest.mark.parametrize("count", [5, 12, 40])
def test_identical_sets_are_at_distance_zero(count):
    samples = full_rank(np.random.default_rng(3), dim=12, count=count)
    spread = np.trace(np.cov(samples, rowvar=False))
    for result in (
        frechet.sample_distance(samples, samples),
        frechet.distance(*moments(samples), *moments(samples)),
    ):
        assert result.mean_term == 0
        # Rounding of a sum of 12 values of the spread's size.
        assert 0 <= result.trace_term <= 1e-13 * spread


def test_sets_of_low_rank_equal_a_reference_of_high_precision():
    mpmath = pytest.importorskip("mpmath")
    rng = np.random.default_rng(4)
    a, b = rng.integers(-9, 9, (4, 7)), rng.integers(-9, 9, (3, 7))
    with mpmath.workdps(60):

        def covariance(x):
            m = mpmath.matrix(x.tolist())
            ones = mpmath.ones(len(x), 1)
            centred = m - ones * (ones.T * m) / len(x)
            return (centred.T * centred) / (len(x) - 1)

        cov_a, cov_b = covariance(a), covariance(b)
        values, vectors = mpmath.eigsy(cov_a)
        root = vectors * mpmath.diag([mpmath.sqrt(max(v, 0)) for v in values]) * vectors.T
        inner = mpmath.eigsy(root * cov_b * root, eigvals_only=True)
        trace = sum(cov_a[i, i] + cov_b[i, i] for i in range(7))
        expected = float(trace - 2 * sum(mpmath.sqrt(max(v, 0)) for v in inner))
    assert frechet.sample_distance(a, b).trace_term == pytest.approx(expected, rel=1e-13)
    assert frechet.distance(*moments(a), *moments(b)).trace_term == pytest.approx(
        expected, rel=1e-7
    )


def test_sets_of_low_rank_are_the_limit_of_a_vanishing_diagonal():
    rng = np.random.default_rng(5)
    a, b = rng.standard_normal((6, 10)), rng.standard_normal((5, 10))
    exact = frechet.sample_distance(a, b).fad
    errors = []
    for eps in (1e-4, 1e-6, 1e-8):
        padded = [(mean, cov + eps * np.eye(10)) for mean, cov in (moments(a), moments(b))]
        errors.append(abs(toolkit(*padded[0], *padded[1]) - exact))
    # The error of an added diagonal falls with its root, so by ten at each step, towards our value.
    assert errors[0] / errors[1] == pytest.approx(10, rel=0.2)
    assert errors[1] / errors[2] == pytest.approx(10, rel=0.2)


def test_a_direction_removed_by_layer_normalisation_does_no_harm():
    rng = np.random.default_rng(6)
    a, b = (full_rank(rng, dim=32, count=300) for _ in range(2))
    a, b = (x - x.mean(axis=1, keepdims=True) for x in (a, b))
    expected = np.linalg.norm((a - a.mean(0)) @ (b - b.mean(0)).T, "nuc") / 299
    result = frechet.distance(*moments(a), *moments(b))
    spread = np.trace(np.cov(a, rowvar=False) + np.cov(b, rowvar=False))
    assert result.trace_term == pytest.approx(spread - 2 * expected, abs=1e-8 * spread)


def test_a_constant_feature_and_disjoint_supports():
    cov_a, cov_b = np.diag([2.0, 0.0, 0.0]), np.diag([0.0, 3.0, 0.0])
    result = frechet.distance(np.zeros(3), cov_a, np.zeros(3), cov_b)
    assert result.trace_term == 5.0
    assert result.relative == 1.0
    same = frechet.distance(np.zeros(3), np.zeros((3, 3)), np.ones(3), np.zeros((3, 3)))
    assert same.fad == 3.0
    assert np.isnan(same.relative)


def test_both_routes_to_the_trace_agree():
    rng = np.random.default_rng(7)
    a, b = (full_rank(rng, dim=24, count=200) for _ in range(2))
    with_covariance = [frechet.Spread(np.cov(x, rowvar=False)) for x in (a, b)]
    singular = np.linalg.svd(with_covariance[0].root.T @ with_covariance[1].root, compute_uv=False)
    value = frechet.trace_root(*with_covariance)
    assert value == pytest.approx(singular.sum(), rel=1e-12)
    few = frechet.Spread.of_samples(a[:10])
    mixed = frechet.trace_root(few, with_covariance[1])
    from_covariances = frechet.trace_root(
        frechet.Spread(np.cov(a[:10], rowvar=False)), with_covariance[1]
    )
    assert mixed == pytest.approx(from_covariances, rel=1e-10)


def test_ill_conditioned_covariances_keep_the_stated_accuracy():
    # Variances from 1 to 1e-16 in both sets: the eigenvalues of the product are all 1e-16 of the
    # norms, so the quick route knows none of their digits.
    scales = 10.0 ** -np.linspace(0, 8, 40)
    cov_a, cov_b = np.diag(scales**2), np.diag(scales[::-1] ** 2)
    result = frechet.distance(np.zeros(40), cov_a, np.zeros(40), cov_b)
    expected = ((scales - scales[::-1]) ** 2).sum()
    assert result.trace_term == pytest.approx(expected, rel=1e-7)


sets = st.tuples(
    st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(2, 14), st.integers(2, 14)
)


@settings(max_examples=60, deadline=None)
@given(sets)
def test_invariances(drawn):
    seed, dim, n_a, n_b = drawn
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((n_a, dim)), 2 * rng.standard_normal((n_b, dim)) + 1
    value = frechet.sample_distance(a, b)
    assert value.mean_term >= 0
    assert value.trace_term >= 0
    # Rounding, amplified where few samples leave directions empty (root of eps at worst).
    near = {"rel": 1e-7, "abs": 1e-7 * value.spread}
    assert frechet.sample_distance(b, a).fad == pytest.approx(value.fad, **near)
    shuffled = rng.permutation(a), rng.permutation(b)
    assert frechet.sample_distance(*shuffled).fad == pytest.approx(value.fad, **near)
    rotation, _ = np.linalg.qr(rng.standard_normal((dim, dim)))
    shift = rng.standard_normal(dim)
    moved = frechet.sample_distance(a @ rotation + shift, b @ rotation + shift)
    assert moved.fad == pytest.approx(value.fad, **near)
    scaled = frechet.sample_distance(3 * a, 3 * b)
    assert scaled.fad == pytest.approx(9 * value.fad, **{**near, "abs": 9 * near["abs"]})
    assert scaled.relative == pytest.approx(value.relative, rel=1e-6, abs=1e-7)
    # The upper bound tr(S_a + S_b) of the trace term.
    assert value.trace_term <= value.spread * (1 + 1e-12)
    if dim > 1:
        formed = frechet.distance(*moments(a), *moments(b))
        assert formed.fad == pytest.approx(value.fad, rel=1e-6, abs=1e-6 * value.spread)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(value):
    good, bad = np.eye(3), np.eye(3)
    bad[1, 2] = bad[2, 1] = value
    with pytest.raises(InputError, match="2 values that are NaN or infinite"):
        frechet.distance(np.zeros(3), good, np.zeros(3), bad)
    with pytest.raises(InputError, match="A mean holds 1"):
        frechet.distance(np.array([0, value, 0]), good, np.zeros(3), good)
    with pytest.raises(InputError, match="NaN or infinite"):
        frechet.sample_distance(np.full((4, 3), value), np.ones((4, 3)))


def test_what_is_no_covariance_is_refused():
    negative = np.diag([1.0, -0.5, 1.0])
    for pair in ((negative, np.eye(3)), (np.eye(3), negative)):
        with pytest.raises(InputError, match="negative in some direction"):
            frechet.distance(np.zeros(3), pair[0], np.zeros(3), pair[1])
    with pytest.raises(ValueError, match="symmetric"):
        frechet.distance(np.zeros(2), np.array([[1, 0.5], [0, 1]]), np.zeros(2), np.eye(2))
    with pytest.raises(ValueError, match="square"):
        frechet.Spread(np.ones((2, 3)))
    with pytest.raises(ValueError, match="do not fit"):
        frechet.distance(np.zeros(2), np.eye(3), np.zeros(3), np.eye(3))
    with pytest.raises(ValueError, match="different dimensions"):
        frechet.distance(np.zeros(2), np.eye(2), np.zeros(3), np.eye(3))


def test_one_sample_has_no_covariance():
    with pytest.raises(InputError, match="A set of 1 embeddings has no covariance"):
        frechet.sample_distance(np.ones((1, 3)), np.ones((5, 3)))


def test_pooled_moments_equal_those_of_all_samples():
    rng = np.random.default_rng(8)
    parts = [rng.standard_normal((n, 4)) + 100 * rng.standard_normal(4) for n in (1, 7, 30)]
    pooled = frechet.pool(as_moments(part, clips=2) for part in parts)
    together = np.concatenate(parts)
    assert (pooled.clips, pooled.count) == (6, 38)
    np.testing.assert_allclose(pooled.mean, together.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(pooled.scatter / 37, np.cov(together, rowvar=False), rtol=1e-11)
    with pytest.raises(ValueError, match="nothing to pool"):
        frechet.pool([])


def as_moments(samples, *, clips):
    centred = samples - samples.mean(axis=0)
    return frechet.Moments(clips, len(samples), samples.mean(axis=0), centred.T @ centred)


SETTINGS = {
    "corpus": "toy",
    "model": "tiny",
    "layer": 3,
    "domains": ["speech", "song"],
    "emotions": ["angry", "sad"],
    "workers": 2,
}


def four_sets(rng, *, count=9, dim=5):
    return {
        (domain, emotion): rng.standard_normal((count, dim)) + i + 2 * j
        for i, domain in enumerate(SETTINGS["domains"])
        for j, emotion in enumerate(SETTINGS["emotions"])
    }


@pytest.mark.parametrize("level", ["clips", "frames"])
def test_matrix_holds_every_pair_once_and_the_pooled_sets(level):
    samples = four_sets(np.random.default_rng(9))
    given_sets = samples
    if level == "frames":
        given_sets = {key: as_moments(x, clips=4) for key, x in samples.items()}
    rows, skipped = frechet.matrix(given_sets, level=level, **SETTINGS)
    assert skipped.empty
    assert list(rows.columns) == frechet.MATRIX_COLUMNS
    names = ["domain_a", "emotion_a", "domain_b", "emotion_b"]
    assert list(rows[names].itertuples(index=False, name=None)) == [
        ("speech", "angry", "speech", "sad"),
        ("speech", "angry", "song", "angry"),
        ("speech", "angry", "song", "sad"),
        ("speech", "sad", "song", "angry"),
        ("speech", "sad", "song", "sad"),
        ("song", "angry", "song", "sad"),
        ("speech", "all", "song", "all"),
    ]
    assert set(rows.level) == {level}
    assert set(rows.layer) == {3}
    clips = 4 if level == "frames" else 9
    assert list(rows.clips_a) == [clips] * 6 + [2 * clips]
    assert list(rows.samples_b) == [9] * 6 + [18]
    row = rows.iloc[4]
    a, b = samples["speech", "sad"], samples["song", "sad"]
    assert row.fad == pytest.approx(toolkit(*moments(a), *moments(b)), rel=1e-9)
    assert row.fad == row.mean_term + row.trace_term
    spread = np.trace(np.cov(a, rowvar=False) + np.cov(b, rowvar=False))
    assert row.fad_relative == pytest.approx(row.fad / spread, rel=1e-12)
    a, b = (
        np.concatenate([x for (d, _), x in samples.items() if d == domain])
        for domain in ("speech", "song")
    )
    assert rows.iloc[6].fad == pytest.approx(toolkit(*moments(a), *moments(b)), rel=1e-9)


def test_matrix_does_not_depend_on_workers():
    given_sets = four_sets(np.random.default_rng(10), count=90, dim=40)
    one, _ = frechet.matrix(given_sets, level="clips", **{**SETTINGS, "workers": 1})
    three, _ = frechet.matrix(given_sets, level="clips", **{**SETTINGS, "workers": 3})
    pd.testing.assert_frame_equal(one, three, check_exact=True)


def test_matrix_says_what_it_left_out_and_computes_the_rest():
    given_sets = four_sets(np.random.default_rng(11))
    given_sets["speech", "angry"] = given_sets["speech", "angry"][:1]
    del given_sets["song", "sad"]
    rows, skipped = frechet.matrix(given_sets, level="clips", **SETTINGS)
    assert list(rows.emotion_a) == ["sad", "all"]
    assert list(rows.samples_a) == [9, 10]
    assert list(skipped.domain_a) == ["song", "speech"]
    assert skipped.reason[0] == (
        "There are no clips of sad in song, so its distances cannot be computed, and the pooled "
        "set of song lacks it."
    )
    assert skipped.reason[1].startswith("The set speech angry has 1 clip(s) and 1 embedding(s)")


def test_matrix_leaves_out_sets_that_are_not_finite():
    given_sets = four_sets(np.random.default_rng(12))
    given_sets["song", "sad"][0, 0] = np.nan
    rows, skipped = frechet.matrix(given_sets, level="clips", **SETTINGS)
    assert len(rows) == 3
    assert list(zip(skipped.domain_a, skipped.emotion_a, strict=True)) == [
        ("song", "sad"),
        ("song", "all"),
    ]
    assert skipped.reason[0].startswith("The set song sad cannot be used.")


def test_matrix_leaves_out_a_dead_layer():
    given_sets = {key: np.ones((4, 3)) for key in four_sets(np.random.default_rng(13))}
    rows, skipped = frechet.matrix(given_sets, level="clips", **SETTINGS)
    assert rows.empty
    assert len(skipped) == 7
    assert skipped.reason.str.contains("carries no information").all()


def test_no_emotion_may_be_called_all():
    with pytest.raises(ValueError, match="pooled set"):
        frechet.matrix({}, level="clips", **{**SETTINGS, "emotions": ["all"]})
