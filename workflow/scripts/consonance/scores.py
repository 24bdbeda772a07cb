"""How good predictions are: confusion counts, accuracy, and recall per class and on average.

All functions work on any number of leading axes (seed, layer) at once.
"""

import numpy as np


def confusion(truth: np.ndarray, predicted: np.ndarray, *, n_classes: int) -> np.ndarray:
    """Counts how often each class was taken for each.

    Args:
        truth: (n,) integer classes, 0 to `n_classes` - 1.
        predicted: (..., n) integer classes; a negative value is a clip without a prediction (not
            in the test part of this seed) and is not counted.
        n_classes: number of classes.

    Returns:
        (..., n_classes, n_classes) int64: [..., i, j] clips of class i predicted as j.

    Raises:
        ValueError: shapes do not fit or a class is out of range.
    """
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    if truth.ndim != 1 or predicted.shape[-1:] != truth.shape:
        raise ValueError(f"truth has shape {truth.shape}, predictions {predicted.shape}.")
    counted = predicted >= 0
    if truth.size and (truth.min() < 0 or max(truth.max(), predicted.max()) >= n_classes):
        raise ValueError(f"A class lies outside 0 to {n_classes - 1}.")
    leading = predicted.shape[:-1]
    tables = int(np.prod(leading, dtype=np.int64))
    cell = np.where(counted, truth.astype(np.int64) * n_classes + predicted, 0)
    cell += (np.arange(tables) * n_classes**2).reshape(*leading, 1)
    counts = np.bincount(cell[counted], minlength=tables * n_classes**2)
    return counts.reshape(*leading, n_classes, n_classes).astype(np.int64)


def accuracy(counts: np.ndarray) -> np.ndarray:
    """Returns the share of clips predicted correctly (weighted accuracy, WA).

    Args:
        counts: (..., C, C) from `confusion`.

    Returns:
        (...) float64, trace / sum; NaN without clips. This is what arXiv 2409.17899 calls UA: its
        values are multiples of 1/203, the number of test clips.
    """
    correct = np.trace(counts, axis1=-2, axis2=-1)
    return _ratio(correct, counts.sum(axis=(-2, -1)))


def recall(counts: np.ndarray) -> np.ndarray:
    """Returns, per class, the share of its clips that were predicted correctly.

    Args:
        counts: (..., C, C) from `confusion`.

    Returns:
        (..., C) float64; NaN for a class without clips.
    """
    return _ratio(np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-1))


def uar(counts: np.ndarray) -> np.ndarray:
    """Returns the unweighted average recall: the mean of `recall` over classes that have clips.

    Args:
        counts: (..., C, C) from `confusion`.

    Returns:
        (...) float64; NaN without clips.
    """
    present = counts.sum(axis=-1) > 0
    total = np.where(present, recall(counts), 0.0).sum(axis=-1)
    return _ratio(total, present.sum(axis=-1))


def absent(counts: np.ndarray) -> list[int]:
    """Lists the classes that have no clip in at least one of the tables.

    Args:
        counts: (..., C, C) from `confusion`.
    """
    missing = counts.sum(axis=-1) == 0
    return np.flatnonzero(missing.reshape(-1, counts.shape[-1]).any(axis=0)).tolist()


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divides in float64; 0 / 0 is NaN."""
    whole = np.asarray(whole, dtype=np.float64)
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)
