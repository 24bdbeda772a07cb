"""Fréchet audio distance (FAD): how far two sets of embeddings are apart, each as a Gaussian.

    FAD = |m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2))

with means m and covariances S (n - 1 in the denominator): the squared distance, as in equation 1 of
arXiv 2409.17899 (section IV-C) and in its toolkit, fadtk. All algebra here is symmetric. With roots
S = R R^T, the trace of (S_a S_b)^(1/2) is the sum of the singular values of R_a^T R_b, which is a
real number not below zero whatever the ranks; nothing is added to a diagonal to make it so. For
samples that are fewer than dimensions, the centred samples themselves are such a root.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.linalg import issymmetric, lapack
from threadpoolctl import threadpool_limits

from consonance.errors import InputError

log = logging.getLogger(__name__)

# The name of the set of all emotions of a domain.
ALL = "all"

# The error that rounding may leave in the trace term, relative to tr(S_a + S_b). The quick route
# (an eigenproblem, whose small values lose digits under the root) stands only where its error bound
# is lower. A trace term below zero by less than this is rounding and set to 0; by more, an error.
ROUNDING = 1e-8

MATRIX_COLUMNS = [
    *("corpus", "model", "level", "layer"),
    *("domain_a", "emotion_a", "domain_b", "emotion_b"),
    *("clips_a", "clips_b", "samples_a", "samples_b"),
    *("mean_term", "trace_term", "fad", "fad_relative"),
]
SKIPPED_COLUMNS = [
    *("corpus", "model", "level", "layer"),
    *("domain_a", "emotion_a", "domain_b", "emotion_b", "reason"),
]


class Distance(NamedTuple):
    """The Fréchet distance and its parts, in squared units of the embedding.

    Attributes:
        mean_term: |m_a - m_b|^2.
        trace_term: tr(S_a + S_b - 2 (S_a S_b)^(1/2)).
        spread: tr(S_a + S_b).
    """

    mean_term: float
    trace_term: float
    spread: float

    @property
    def fad(self) -> float:
        """The squared distance: mean term plus trace term."""
        return self.mean_term + self.trace_term

    @property
    def relative(self) -> float:
        """The distance divided by tr(S_a + S_b), free of the embedding's scale.

        The trace term's share lies between 0 (equal covariances) and 1 (orthogonal supports); the
        mean term's share has no upper limit. NaN if neither set varies.
        """
        return self.fad / self.spread if self.spread > 0 else float("nan")


class Spread:
    """A covariance S and, computed when first needed, its root R with S = R R^T.

    Keep one per set: in a table of all pairs each root is then computed once.

    Attributes:
        dim: number of dimensions d.
        trace: tr S.
        norm: Frobenius norm of S, an upper bound of its largest eigenvalue.
        covariance: (d, d) float64 S, or None if only a root is held.
    """

    def __init__(self, covariance: np.ndarray) -> None:
        """Takes a covariance.

        Args:
            covariance: (d, d), symmetric and positive semi-definite.

        Raises:
            InputError: not finite.
            ValueError: not square or not symmetric.
        """
        covariance = np.asarray(covariance, dtype=np.float64)
        if covariance.ndim != 2 or covariance.shape[0] != covariance.shape[1]:
            raise ValueError(f"A covariance must be square; got shape {covariance.shape}.")
        _refuse_non_finite(covariance, "The covariance")
        self.covariance: np.ndarray | None = covariance
        self.dim = len(covariance)
        self.trace = float(np.trace(covariance))
        self.norm = float(np.sqrt(np.vdot(covariance, covariance)))
        # The exact comparison is quick, and enough for nearly every covariance.
        if not issymmetric(covariance) and (
            np.abs(covariance - covariance.T).max() > self.rounding
        ):
            raise ValueError("A covariance must be symmetric.")

    @classmethod
    def of_samples(cls, samples: np.ndarray) -> "Spread":
        """Makes the covariance of samples, with n - 1 in the denominator.

        At most d samples, centred and divided by sqrt(n - 1), are themselves a root, exact to
        rounding, and no covariance is formed.

        Args:
            samples: (n, d), n at least 2.

        Raises:
            InputError: fewer than two samples, or values that are not finite.
        """
        samples = _checked_samples(samples)
        count, dim = samples.shape
        centred = samples - samples.mean(axis=0)
        if count > dim:
            return cls(centred.T @ centred / (count - 1))
        self = cls.__new__(cls)
        self.root = centred.T / np.sqrt(count - 1)
        gram = self.root.T @ self.root
        self.covariance = None
        self.dim, self.trace, self.norm = dim, float(np.trace(gram)), float(np.linalg.norm(gram))
        return self

    @property
    def rounding(self) -> float:
        """The size of rounding in S: d eps ||S||_F."""
        return self.dim * np.finfo(np.float64).eps * self.norm

    @cached_property
    def triangle(self) -> tuple[np.ndarray, np.ndarray]:
        """Cholesky decomposition with complete pivoting, of covariances only.

        Pivots below `rounding` end it, so that directions in which the set does not vary (fewer
        samples than dimensions, or the one direction that layer normalisation removes) have no
        column.

        Returns:
            L, (d, r) lower triangle in Fortran order, and the pivots' order p, with
            S[p][:, p] = L L^T up to `rounding`.

        Raises:
            InputError: S is negative in some direction.
        """
        triangle, pivots, rank, info = lapack.dpstrf(self.covariance.T, tol=self.rounding, lower=1)
        if info < 0:
            raise ValueError(f"LAPACK refused argument {-info} of dpstrf.")
        order = pivots - 1
        triangle = np.triu(triangle.T)[:rank].T
        if rank < self.dim:
            rest = _rearranged(self.covariance, order) - triangle @ triangle.T
            if np.abs(rest).max() > 2 * self.rounding:
                raise InputError(_NEGATIVE)
        return triangle, order

    @cached_property
    def root(self) -> np.ndarray:
        """R, (d, r) float64 with S = R R^T."""
        triangle, order = self.triangle
        factor = np.empty(triangle.shape)
        factor[order] = triangle
        return factor


def trace_root(a: Spread, b: Spread) -> float:
    """Computes tr (S_a S_b)^(1/2), the sum of the singular values of R_a^T R_b.

    Where both covariances are at hand, the squares of these values are the eigenvalues of
    R_a^T S_b R_a. That is quicker than a singular value decomposition but loses digits of small
    values, so it stands only where its error bound is below `ROUNDING` times tr(S_a + S_b).

    Raises:
        InputError: a covariance is negative in some direction.
    """
    if a.covariance is not None and b.covariance is not None:
        triangle, order = a.triangle
        turned = _rearranged(b.covariance, order)
        if triangle.shape[1] == a.dim:
            # itype 2: L^T S L.
            product, info = lapack.dsygst(turned.T, triangle, itype=2, lower=1)
            if info != 0:
                raise ValueError(f"LAPACK refused argument {-info} of dsygst.")
        else:
            product = triangle.T @ turned @ triangle
        squares = np.linalg.eigvalsh(product, UPLO="L")
        error = np.finfo(np.float64).eps * a.norm * b.norm
        if squares.min(initial=0.0) < -a.dim * error:
            raise InputError(_NEGATIVE)
        values = np.sqrt(np.clip(squares, 0.0, None))
        # |sqrt(x + e) - sqrt(x)| is at most sqrt(e), and about e / (2 sqrt(x)) where x is large.
        bound = (error / np.maximum(values, np.sqrt(error))).sum() if error > 0 else 0.0
        if bound <= ROUNDING * (a.trace + b.trace):
            return float(values.sum())
    return float(np.linalg.svd(a.root.T @ b.root, compute_uv=False).sum())


def distance(
    mean_a: np.ndarray, covariance_a: np.ndarray, mean_b: np.ndarray, covariance_b: np.ndarray
) -> Distance:
    """Computes the Fréchet distance between two Gaussians (arXiv 2409.17899, equation 1).

    A covariance that was rounded to float64 knows its root only to sqrt(eps) in directions in which
    a set does not vary, so for sets of lower rank than d the result is exact to about 1e-7 of
    tr(S_a + S_b); `sample_distance` is exact to rounding there too.

    Args:
        mean_a: (d,) mean of the first set.
        covariance_a: (d, d) its covariance.
        mean_b: (d,) mean of the second set.
        covariance_b: (d, d) its covariance.

    Returns:
        The terms as float64; their sum is `Distance.fad`.

    Raises:
        InputError: values that are not finite, or covariances that are negative in some direction.
        ValueError: shapes do not fit.
    """
    return _combine(mean_a, Spread(covariance_a), mean_b, Spread(covariance_b))


def sample_distance(samples_a: np.ndarray, samples_b: np.ndarray) -> Distance:
    """Computes the Fréchet distance between two sets of samples, covariances with n - 1.

    With at most d samples in a set, tr (S_a S_b)^(1/2) is the nuclear norm of the centred cross
    product A B^T / sqrt((n_a - 1)(n_b - 1)), an n_a x n_b matrix: exact whatever the ranks.

    Args:
        samples_a: (n_a, d) first set.
        samples_b: (n_b, d) second set.

    Returns:
        The terms as float64.

    Raises:
        InputError: fewer than two samples in a set, or values that are not finite.
        ValueError: shapes do not fit.
    """
    a, b = _checked_samples(samples_a), _checked_samples(samples_b)
    return _combine(a.mean(axis=0), Spread.of_samples(a), b.mean(axis=0), Spread.of_samples(b))


@dataclass(frozen=True, eq=False)
class Moments:
    """What FAD needs to know of a set of frames (or clip means).

    Attributes:
        clips: number of clips the samples come from.
        count: number of samples.
        mean: (d,) float64.
        scatter: (d, d) float64, sum over samples of (x - mean)(x - mean)^T.
    """

    clips: int
    count: int
    mean: np.ndarray
    scatter: np.ndarray


def pool(parts: Iterable[Moments]) -> Moments:
    """Pools the moments of disjoint sets: exact, and the same whatever the sets' sizes.

    Raises:
        ValueError: no part.
    """
    parts = list(parts)
    if not parts:
        raise ValueError("There is nothing to pool.")
    count = sum(part.count for part in parts)
    mean = sum((part.count / count) * part.mean for part in parts)
    scatter = np.zeros_like(parts[0].scatter)
    for part in parts:
        shift = part.mean - mean
        scatter += part.scatter + part.count * np.outer(shift, shift)
    return Moments(sum(part.clips for part in parts), count, mean, scatter)


def matrix(
    sets: Mapping[tuple[str, str], Moments | np.ndarray],
    *,
    corpus: str,
    model: str,
    level: str,
    layer: int,
    domains: Sequence[str],
    emotions: Sequence[str],
    workers: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Computes FAD between all pairs of domain-emotion sets, and between the domains' pooled sets.

    The pooled sets are compared with each other only: they contain the sets of single emotions.
    The result does not depend on `workers` (each pair runs on one thread of the linear algebra).

    Args:
        sets: (domain, emotion) to the set's moments, or to its samples (n, d), one per clip.
        corpus: name for the column `corpus`.
        model: name for the column `model`.
        level: `frames` or `clips`, for the column `level`.
        layer: state of the encoder, for the column `layer`.
        domains: domains in their order.
        emotions: emotions in their order, without the pooled set.
        workers: pairs computed at a time.

    Returns:
        The rows, with columns `MATRIX_COLUMNS`, one per unordered pair (first set before second:
        domain by domain, emotions in order, pooled sets last), and what could not be computed, with
        columns `SKIPPED_COLUMNS`: a set (second set empty) or a pair, and a sentence why.

    Raises:
        ValueError: an emotion bears the pooled set's name, or shapes differ between sets.
    """
    if ALL in emotions:
        raise ValueError(f"No emotion may be called {ALL!r}: the pooled set has that name.")
    where = {"corpus": corpus, "model": model, "level": level, "layer": layer}
    skipped: list[dict] = []

    def skip(first: tuple[str, str], second: tuple[str, str], reason: str) -> None:
        log.warning("%s, %s, %s, layer %d: %s", corpus, model, level, layer, reason)
        names = ("domain_a", "emotion_a", "domain_b", "emotion_b")
        skipped.append({**where, **dict(zip(names, first + second, strict=True)), "reason": reason})

    whole: dict[tuple[str, str], Moments | np.ndarray] = {}
    for domain in domains:
        present = []
        for emotion in emotions:
            if _clips(sets.get((domain, emotion))) == 0:
                reason = (
                    f"There are no clips of {emotion} in {domain}, so its distances cannot be "
                    f"computed, and the pooled set of {domain} lacks it."
                )
                skip((domain, emotion), ("", ""), reason)
                continue
            whole[domain, emotion] = sets[domain, emotion]
            present.append(sets[domain, emotion])
        if present:
            whole[domain, ALL] = _pool_any(present)

    with threadpool_limits(limits=1), ThreadPoolExecutor(workers) as executor:
        usable: dict[tuple[str, str], tuple[np.ndarray, Spread]] = {}
        futures = {key: executor.submit(_prepare, part, key) for key, part in whole.items()}
        for key, future in futures.items():
            try:
                usable[key] = future.result()
            except InputError as error:
                skip(key, ("", ""), str(error))
        single = [(d, e) for d in domains for e in emotions if (d, e) in usable]
        pooled = [(d, ALL) for d in domains if (d, ALL) in usable]
        pairs = [*combinations(single, 2), *combinations(pooled, 2)]
        distances = executor.map(lambda pair: _combine(*usable[pair[0]], *usable[pair[1]]), pairs)
        rows = []
        for (first, second), result in zip(pairs, distances, strict=True):
            if result.spread == 0:
                reason = (
                    f"All embeddings of {' '.join(first)} are equal, and so are those of "
                    f"{' '.join(second)}: this layer carries no information about them."
                )
                skip(first, second, reason)
                continue
            rows.append(
                {
                    **where,
                    **dict(zip(("domain_a", "emotion_a"), first, strict=True)),
                    **dict(zip(("domain_b", "emotion_b"), second, strict=True)),
                    "clips_a": _clips(whole[first]),
                    "clips_b": _clips(whole[second]),
                    "samples_a": _count(whole[first]),
                    "samples_b": _count(whole[second]),
                    "mean_term": result.mean_term,
                    "trace_term": result.trace_term,
                    "fad": result.fad,
                    "fad_relative": result.relative,
                }
            )
    return (
        pd.DataFrame(rows, columns=MATRIX_COLUMNS),
        pd.DataFrame(skipped, columns=SKIPPED_COLUMNS),
    )


_NEGATIVE = (
    "A covariance is negative in some direction, so it is the covariance of nothing; recompute the "
    "moments that it comes from."
)


def _rearranged(symmetric: np.ndarray, order: np.ndarray) -> np.ndarray:
    return symmetric.take(order, axis=0).take(order, axis=1)


def _refuse_non_finite(values: np.ndarray, what: str) -> None:
    if not np.isfinite(values).all():
        count = int(np.count_nonzero(~np.isfinite(values)))
        raise InputError(
            f"{what} holds {count} values that are NaN or infinite, so no distance can be "
            "computed; look for recordings or weights that make the encoder overflow."
        )


def _checked_samples(samples: np.ndarray) -> np.ndarray:
    samples = np.asarray(samples, dtype=np.float64)
    if samples.ndim != 2:
        raise ValueError(f"Samples must have shape (n, d); got {samples.shape}.")
    if len(samples) < 2:
        raise InputError(
            f"A set of {len(samples)} embeddings has no covariance; a distance needs at least two."
        )
    _refuse_non_finite(samples, "A set of embeddings")
    return samples


def _combine(mean_a: np.ndarray, a: Spread, mean_b: np.ndarray, b: Spread) -> Distance:
    if a.dim != b.dim:
        raise ValueError(f"The sets have different dimensions: {a.dim} and {b.dim}.")
    mean_a, mean_b = (np.asarray(mean, dtype=np.float64) for mean in (mean_a, mean_b))
    if mean_a.shape != (a.dim,) or mean_b.shape != (b.dim,):
        raise ValueError(f"Means of shape {mean_a.shape} and {mean_b.shape} do not fit.")
    _refuse_non_finite(np.concatenate([mean_a, mean_b]), "A mean")
    shift = mean_a - mean_b
    spread = a.trace + b.trace
    trace_term = spread - 2 * trace_root(a, b)
    if trace_term < -ROUNDING * spread:
        raise ArithmeticError(
            f"The trace term is {trace_term} where tr(S_a + S_b) is {spread}: lower than rounding "
            "can explain."
        )
    return Distance(float(shift @ shift), max(trace_term, 0.0), spread)


def _clips(part: Moments | np.ndarray | None) -> int:
    if part is None:
        return 0
    return part.clips if isinstance(part, Moments) else len(part)


def _count(part: Moments | np.ndarray) -> int:
    return part.count if isinstance(part, Moments) else len(part)


def _pool_any(parts: Sequence[Moments | np.ndarray]) -> Moments | np.ndarray:
    if isinstance(parts[0], Moments):
        return pool(parts)
    return np.concatenate(parts)


def _prepare(part: Moments | np.ndarray, key: tuple[str, str]) -> tuple[np.ndarray, Spread]:
    """Returns a set's mean and its covariance with the root; InputError names the set."""
    name = " ".join(key)
    if _clips(part) < 2 or _count(part) < 2:
        raise InputError(
            f"The set {name} has {_clips(part)} clip(s) and {_count(part)} embedding(s): a "
            "covariance needs at least two of each."
        )
    try:
        if isinstance(part, Moments):
            _refuse_non_finite(part.mean, "The mean")
            spread = Spread(part.scatter / (part.count - 1))
            mean = part.mean
        else:
            spread, mean = Spread.of_samples(part), np.asarray(part, np.float64).mean(axis=0)
        _ = spread.root
    except InputError as error:
        raise InputError(f"The set {name} cannot be used. {error}") from error
    return mean, spread
