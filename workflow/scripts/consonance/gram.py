"""Measures between two sets of clips from inner products alone.

Clips are usually fewer than the dimensions of their embeddings, and resampling asks for the same
measures of thousands of subsets. So the inner products of all clips of both sets are computed once,
and every subset's measure is read from its block of that matrix.
"""

from functools import cached_property
from typing import NamedTuple

import numpy as np

from consonance import frechet
from consonance.errors import InputError


class Clips:
    """Embeddings of the clips of two sets together, seen through their inner products.

    Subsets are given as row numbers; a row may occur several times, as in a bootstrap sample.

    Attributes:
        centred: (n, d) float64, the embeddings less the mean of all n.
        mean: (d,) float64, that mean.
    """

    def __init__(self, embeddings: np.ndarray) -> None:
        """Takes the embeddings of all clips.

        Args:
            embeddings: (n, d), any float type; computed with as float64.

        Raises:
            InputError: values that are not finite, or all embeddings equal.
            ValueError: not two-dimensional.
        """
        embeddings = np.asarray(embeddings, dtype=np.float64)
        if embeddings.ndim != 2:
            raise ValueError(f"Embeddings must have shape (n, d); got {embeddings.shape}.")
        bad = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
        if len(bad):
            raise InputError(
                f"The embeddings of {len(bad)} of {len(embeddings)} clips hold NaN or infinite "
                "values in this layer, so nothing can be computed from it; look for recordings or "
                "weights that make the encoder overflow."
            )
        if len(embeddings) and (embeddings == embeddings[0]).all():
            raise InputError(
                f"The embeddings of all {len(embeddings)} clips are equal in this layer, so it "
                "carries no information about them."
            )
        self.mean = embeddings.mean(axis=0)
        self.centred = embeddings - self.mean

    def __len__(self) -> int:
        return len(self.centred)

    @cached_property
    def inner(self) -> np.ndarray:
        """(n, n) inner products of the centred embeddings."""
        return self.centred @ self.centred.T

    def fad(self, a: np.ndarray, b: np.ndarray) -> frechet.Distance:
        """Computes the Fréchet distance between two subsets, exact for any rank.

        With A and B the centred subsets, the nuclear norm of A B^T is that of the doubly centred
        block of the inner products. Where a subset has more clips than dimensions, the covariances
        are smaller than that block and are used instead.

        Args:
            a: (n_a,) rows of the first subset, at least two.
            b: (n_b,) rows of the second.
        """
        if max(len(a), len(b)) > self.centred.shape[1]:
            return frechet.sample_distance(self.centred[a], self.centred[b])
        n_a, n_b = len(a), len(b)
        rows_a = self.inner.take(a, axis=0)
        to_a, to_b = rows_a.sum(axis=0), self.inner.take(b, axis=0).sum(axis=0)
        within_a, within_b = to_a[a].sum() / n_a, to_b[b].sum() / n_b
        diagonal = self.inner.diagonal()
        between = to_a[b].sum() / (n_a * n_b)
        block = rows_a.take(b, axis=1)
        block -= to_b[a][:, None] / n_b + to_a[b] / n_a - between
        nuclear = np.linalg.svd(block, compute_uv=False).sum()
        spread = (diagonal[a].sum() - within_a) / (n_a - 1)
        spread += (diagonal[b].sum() - within_b) / (n_b - 1)
        trace_term = spread - 2 * nuclear / np.sqrt((n_a - 1) * (n_b - 1))
        mean_term = within_a / n_a + within_b / n_b - 2 * between
        # Both are squares, and below zero by rounding only.
        return frechet.Distance(
            max(float(mean_term), 0.0), max(float(trace_term), 0.0), float(spread)
        )

    @cached_property
    def bandwidth(self) -> float:
        """The median distance between two of the clips, over all pairs.

        Raises:
            InputError: it is zero.
        """
        upper = np.triu_indices(len(self), 1)
        bandwidth = float(np.median(np.sqrt(self._squares()[upper])))
        if not bandwidth > 0:
            raise InputError(
                "More than half of the pairs of clips have equal embeddings in this layer, so the "
                "kernel's bandwidth (their median distance) is zero."
            )
        return bandwidth

    @cached_property
    def kernel(self) -> np.ndarray:
        """(n, n) Gaussian kernel exp(-|x - y|^2 / (2 bandwidth^2)), its diagonal set to zero."""
        kernel = np.exp(-self._squares() / (2 * self.bandwidth**2))
        np.fill_diagonal(kernel, 0.0)
        return kernel

    def mmd(self, weights_a: np.ndarray, weights_b: np.ndarray) -> np.ndarray:
        """Computes the unbiased squared maximum mean discrepancy, for many subsets at once.

            MMD^2 = mean k(x, x') + mean k(y, y') - 2 mean k(x, y),  x not x', y not y'

        (Gretton et al. 2012, equation 3; with the Gaussian kernel and the median distance it is the
        kernel audio distance of arXiv 2502.15602, which takes the median over its reference set and
        multiplies by 100.) The bandwidth is that of all clips, whatever the subset: symmetric in
        the sets, and the same for every relabelling. The value may be below zero, and is so on
        average if the same speakers are in both sets and nothing differs: each clip meets fewer
        clips of its own speaker in its set, where it is left out, than in the other.

        Args:
            weights_a: (..., n) how often each clip occurs in the first subset, 0 or more.
            weights_b: (..., n) how often in the second.

        Returns:
            (...) float64.
        """
        weights_a = np.asarray(weights_a, dtype=np.float64)
        weights_b = np.asarray(weights_b, dtype=np.float64)

        def within(weights: np.ndarray, summed: np.ndarray) -> np.ndarray:
            # A clip's pairs with itself have kernel zero here and are not counted either.
            pairs = weights.sum(axis=-1) ** 2 - (weights**2).sum(axis=-1)
            return (summed * weights).sum(axis=-1) / pairs

        to_a, to_b = weights_a @ self.kernel, weights_b @ self.kernel
        between = (to_a * weights_b).sum(axis=-1)
        between /= weights_a.sum(axis=-1) * weights_b.sum(axis=-1)
        return within(weights_a, to_a) + within(weights_b, to_b) - 2 * between

    def alignment(self, a: np.ndarray, b: np.ndarray) -> "Alignment":
        """Prepares linear centred kernel alignment between matched rows.

        Args:
            a: (m,) rows of one side.
            b: (m,) rows of the other, in the order of their partners.
        """
        return Alignment(self.inner[np.ix_(a, a)], self.inner[np.ix_(b, b)])

    def cosines(self, a: np.ndarray, b: np.ndarray, *, centred: bool) -> np.ndarray:
        """Computes the cosines between all rows of one side and all of the other.

        Args:
            a: (m,) rows of one side.
            b: (k,) rows of the other.
            centred: subtract each side's mean first.

        Returns:
            (m, k) cosines.

        Raises:
            InputError: an embedding is zero (after centring), so it has no direction.
        """
        inner = self.inner
        if not centred:
            along = self.centred @ self.mean
            inner = inner + along[:, None] + along[None, :] + self.mean @ self.mean
        cross = inner[np.ix_(a, b)]
        squares_a, squares_b = inner.diagonal()[a], inner.diagonal()[b]
        if centred:
            within_a = inner[np.ix_(a, a)].mean(axis=1)
            within_b = inner[np.ix_(b, b)].mean(axis=1)
            cross = cross - cross.mean(axis=1)[:, None] - cross.mean(axis=0) + cross.mean()
            squares_a = squares_a - 2 * within_a + within_a.mean()
            squares_b = squares_b - 2 * within_b + within_b.mean()
        smallest = np.finfo(np.float64).eps * max(inner.diagonal().max(), 0.0)
        if min(squares_a.min(), squares_b.min()) <= smallest:
            raise InputError(
                "The embedding of a clip is zero in this layer (or equal to the mean of its set), "
                "so it has no direction and no cosine."
            )
        return cross / np.sqrt(squares_a[:, None] * squares_b[None, :])

    def _squares(self) -> np.ndarray:
        """(n, n) squared distances between the embeddings."""
        diagonal = self.inner.diagonal()
        squares = diagonal[:, None] + diagonal[None, :] - 2 * self.inner
        return np.maximum(squares, 0.0)


class Cka(NamedTuple):
    """Linear centred kernel alignment, plain and with unbiased estimators."""

    plain: float
    debiased: float


class Alignment:
    """Linear centred kernel alignment (CKA) between two sets of matched clips.

        CKA = <K, L> / (|K| |L|)

    with K and L the doubly centred inner products of each side (Kornblith et al. 2019). With fewer
    clips than dimensions it comes near 1 for unrelated sets; the debiased version replaces each
    product by its unbiased estimator (Song et al. 2012, as Nguyen et al. 2021 use it), which is 0
    on average for unrelated sets and may be below zero.
    """

    # The unbiased estimator divides by m - 3.
    NEEDED = 4

    def __init__(self, first: np.ndarray, second: np.ndarray) -> None:
        """Takes the inner products of each side.

        Args:
            first: (m, m) inner products of one side.
            second: (m, m) of the other side, partners in the same order.

        Raises:
            InputError: too few pairs, or a side that does not vary.
        """
        if len(first) < self.NEEDED:
            raise InputError(
                f"There are {len(first)} matched pairs of clips; alignment needs {self.NEEDED}."
            )
        self._first, self._second = _centred(first), _centred(second)
        # Centring so that products are unbiased is a projection, so one side of it is enough.
        self._first_u, second_u = _u_centred(self._first), _u_centred(self._second)
        self._scale = float(np.linalg.norm(self._first) * np.linalg.norm(self._second))
        self._scale_u = float(np.linalg.norm(self._first_u) * np.linalg.norm(second_u))
        size = float(np.linalg.norm(first) * np.linalg.norm(second))
        if min(self._scale, self._scale_u) <= np.finfo(np.float64).eps * size:
            raise InputError(
                "The embeddings of one side's matched clips do not vary in this layer, so there is "
                "nothing to align."
            )

    def value(self, order: np.ndarray | None = None) -> Cka:
        """Returns the alignment, after rearranging the second side's clips if `order` is given."""
        second = self._second if order is None else self._second[np.ix_(order, order)]
        return Cka(
            float(np.vdot(self._first, second)) / self._scale,
            float(np.vdot(self._first_u, second)) / self._scale_u,
        )


def _centred(inner: np.ndarray) -> np.ndarray:
    rows = inner.mean(axis=1)
    return inner - rows[:, None] - rows[None, :] + rows.mean()


def _u_centred(inner: np.ndarray) -> np.ndarray:
    """Centres so that products of two such matrices are unbiased (Szekely and Rizzo 2014)."""
    count = len(inner)
    inner = inner.copy()
    np.fill_diagonal(inner, 0.0)
    rows = inner.sum(axis=1)
    centred = inner - (rows[:, None] + rows[None, :]) / (count - 2)
    centred += rows.sum() / ((count - 1) * (count - 2))
    np.fill_diagonal(centred, 0.0)
    return centred
