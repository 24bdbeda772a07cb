import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from consonance import scores


def test_explicit_values():
    truth = np.array([0, 0, 0, 0, 1, 1, 2])
    predicted = np.array([0, 0, 0, 1, 1, 0, 2])
    counts = scores.confusion(truth, predicted, n_classes=3)
    assert counts.tolist() == [[3, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert scores.accuracy(counts) == 5 / 7
    assert scores.recall(counts).tolist() == [0.75, 0.5, 1.0]
    assert scores.uar(counts) == 0.75
    assert scores.absent(counts) == []


def test_the_paper_grid():
    truth = np.zeros(203, dtype=int)
    predicted = np.repeat([0, 1], [177, 26])
    counts = scores.confusion(truth, predicted, n_classes=2)
    assert round(100 * float(scores.accuracy(counts)), 2) == 87.19


def test_clips_without_a_prediction_are_not_counted():
    truth = np.array([0, 1, 2, 1])
    predicted = np.array([[0, -1, -1, 0], [-1, 1, 2, -1]])
    counts = scores.confusion(truth, predicted, n_classes=3)
    assert counts.shape == (2, 3, 3)
    assert counts[0].tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 0]]
    assert counts[1].tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert scores.uar(counts).tolist() == [0.5, 1.0]
    assert np.isnan(scores.recall(counts)[0, 2])
    assert scores.absent(counts) == [0, 2]


def test_without_any_clip_the_values_are_nan():
    counts = scores.confusion(np.array([0, 1]), np.array([-1, -1]), n_classes=2)
    assert np.isnan(scores.accuracy(counts))
    assert np.isnan(scores.uar(counts))


@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(1, 40))
def test_equal_to_scikit_learn(seed, n_classes, n):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, n_classes, n)
    predicted = rng.integers(0, n_classes, (2, 3, n))
    counts = scores.confusion(truth, predicted, n_classes=n_classes)
    present = np.unique(truth)
    for index in np.ndindex(2, 3):
        expected = metrics.confusion_matrix(truth, predicted[index], labels=range(n_classes))
        assert (counts[index] == expected).all()
        assert scores.accuracy(counts)[index] == metrics.accuracy_score(truth, predicted[index])
        # Sums in another order: rounding only.
        assert scores.uar(counts)[index] == pytest.approx(
            metrics.recall_score(truth, predicted[index], labels=present, average="macro"),
            rel=1e-14,
        )
        np.testing.assert_array_equal(
            scores.recall(counts)[index][present],
            metrics.recall_score(truth, predicted[index], labels=present, average=None),
        )


def test_errors():
    with pytest.raises(ValueError, match="shape"):
        scores.confusion(np.zeros(3, int), np.zeros(4, int), n_classes=2)
    with pytest.raises(ValueError, match="outside 0 to 1"):
        scores.confusion(np.array([0, 2]), np.array([0, 1]), n_classes=2)
    with pytest.raises(ValueError, match="outside 0 to 1"):
        scores.confusion(np.array([0, 1]), np.array([0, 2]), n_classes=2)
