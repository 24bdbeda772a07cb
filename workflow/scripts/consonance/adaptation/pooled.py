"""Training on clip means: approaches that leave the encoder as it is.

Mean pooling commutes with a weighted sum over layers and with the linear head:
mean_t sum_k w_k h_kt = sum_k w_k mean_t h_kt. So the plain mean over layers and the learned
weights w = softmax(a) need the clip means of each layer only, and hundreds of epochs take seconds.

As in `consonance.probes`, the training loop of one run is one compiled function without a lock;
threads train different runs at once, and a run's result does not depend, to the bit, on their
number or on what else is trained.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

import numba
import numpy as np

from consonance.adaptation import naming, stages
from consonance.adaptation.approaches import Approach
from consonance.adaptation.results import Result
from consonance.adaptation.stages import Run
from consonance.arrangement import Arranged
from consonance.errors import InputError
from consonance.linear import FAST, adamw, compute_gradient, compute_logits, error

logger = logging.getLogger(__name__)

LAYER_WEIGHTS = "layer_weights"


@dataclass(frozen=True)
class _Side:
    """One approach's view of one domain: features (n, K, d) and classes (n,)."""

    features: np.ndarray
    classes: np.ndarray


def train(
    means: np.ndarray,
    arranged: Mapping[str, Arranged],
    approaches: Sequence[Approach],
    *,
    domains: Sequence[str],
    seeds: Sequence[int],
    labels: Sequence[str],
    threads: int,
) -> dict[str, list[Result]]:
    """Trains every run of every approach: all directions, stages, seeds and shares.

    The logits are W (sum_k w_k x_k) + b with w_k = 1 / L, or w = softmax(a) with a = 0 at the
    start where the approach trains layer weights. AdamW (its decay draws a towards 0, that is the
    weights towards their mean) minimises the mean cross-entropy of each batch. The epoch with the
    highest validation accuracy is kept, among equals the one with the lowest validation loss, then
    the earliest; the test clips are predicted once, with it. See `stages` for what stage two takes
    over.

    Args:
        means: (clips, L, d) float32, clip means of layers 1 to L.
        arranged: domain to its clips (`stages.arrange`).
        approaches: approaches that are `pooled`.
        domains: the two domains.
        seeds: the experiment's seeds; an approach may use fewer.
        labels: names of the classes.
        threads: runs trained at the same time; does not change the result.

    Returns:
        approach name to its results, by direction, stage, share (falling) and seed. Tensors:
        head.weight (C, d), head.bias (C,) and, where they are trained, layer_weights (L,), the a
        before the softmax.

    Raises:
        InputError: means or losses that are not finite.
        ValueError: an approach that is not pooled.
    """
    wrong = [approach.name for approach in approaches if not approach.pooled]
    if wrong:
        raise ValueError(f"{', '.join(wrong)} cannot be trained on clip means.")
    bad = [k + 1 for k in range(means.shape[1]) if not np.isfinite(means[:, k]).all()]
    if bad:
        raise InputError(
            f"The clip means of layers {', '.join(map(str, bad))} contain NaN or infinite values; "
            "check the model and its precision, and extract the embeddings again."
        )
    by_domain = {domain: means[arranged[domain].rows] for domain in domains}
    waves: dict[int, list[tuple[Approach, Run]]] = {1: [], 2: []}
    for approach in approaches:
        for direction in naming.directions(domains):
            for run in stages.plan(direction, approach, domains=domains, seeds=seeds):
                waves[run.stage].append((approach, run))
    sides: dict[tuple[bool, str], _Side] = {}
    for approach, run in [*waves[1], *waves[2]]:
        weighted = LAYER_WEIGHTS in approach.trains
        if (weighted, run.domain) not in sides:
            x = by_domain[run.domain]
            if not weighted:
                x = x.mean(axis=1, dtype=np.float64, keepdims=True).astype(np.float32)
            sides[weighted, run.domain] = _Side(
                np.ascontiguousarray(x), arranged[run.domain].emotions.astype(np.int64)
            )
    done: dict[tuple[str, Run], Result] = {}

    def one(approach: Approach, run: Run) -> Result:
        weighted = LAYER_WEIGHTS in approach.trains
        start = None if run.start is None else done[approach.name, run.start].tensors
        return _train_one(
            sides[weighted, run.domain],
            arranged[run.domain],
            approach,
            run,
            start=start,
            n_classes=len(labels),
        )

    # Stage two needs all of stage one; within a stage every run is on its own.
    for jobs in waves.values():
        _in_threads(one, jobs, threads, done)
    order = [job for stage in waves.values() for job in stage]
    names = list(naming.directions(domains))
    order.sort(key=lambda job: (names.index(job[1].direction), job[1].stage, -job[1].fraction))
    found: dict[str, list[Result]] = {approach.name: [] for approach in approaches}
    for approach, run in order:
        found[approach.name].append(done[approach.name, run])
    return found


def predict(
    means: np.ndarray, rows: np.ndarray, tensors: Mapping[str, np.ndarray], *, layers: int
) -> np.ndarray:
    """Predicts clips with the tensors of a run.

    Args:
        means: (clips, L, d) float32, clip means of layers 1 to L.
        rows: which of them.
        tensors: of a `Result`.
        layers: L.

    Returns:
        (rows,) int64 classes; the first of equal logits.
    """
    x = means[rows].astype(np.float64)
    logits = np.asarray(tensors.get(LAYER_WEIGHTS, np.zeros(layers)), dtype=np.float64)
    shares = np.exp(logits - logits.max())
    pooled = np.einsum("k,nkd->nd", shares / shares.sum(), x)
    return (pooled @ tensors["head.weight"].T + tensors["head.bias"]).argmax(axis=1)


def _train_one(
    side: _Side,
    arranged: Arranged,
    approach: Approach,
    run: Run,
    *,
    start: Mapping[str, np.ndarray] | None,
    n_classes: int,
) -> Result:
    """Trains one run."""
    began = time.perf_counter()
    settings = approach.training
    clips = stages.clips_of(arranged, run)
    _, states, dim = side.features.shape
    weighted = LAYER_WEIGHTS in approach.trains
    if start is None:
        weight, bias = stages.initial_head(
            run.seed, n_classes=n_classes, dim=dim, scale=settings.initial_scale
        )
        logits = np.zeros(states, dtype=np.float32)
    else:
        weight, bias = start["head.weight"], start["head.bias"]
        logits = start[LAYER_WEIGHTS] if weighted else np.zeros(states, dtype=np.float32)
    parameters = np.concatenate([logits, weight.ravel(), bias]).astype(np.float32)
    order = np.stack([stages.order(clips, run, epoch) for epoch in range(1, settings.epochs + 1)])
    curves = np.empty((settings.epochs, 3))
    best_epoch = _fit(
        side.features,
        side.classes,
        order,
        clips.validation,
        settings.batch_size,
        np.array(
            [settings.learning_rate, settings.weight_decay, *settings.betas, settings.epsilon]
        ),
        n_classes,
        parameters,
        curves,
    )
    if best_epoch == 0 or not np.isfinite(curves).all():
        epoch = int(np.flatnonzero(~np.isfinite(curves).all(axis=1))[0]) + 1
        raise InputError(
            f"{approach.name}, {run.direction}, stage {run.stage}, seed {run.seed}: the loss is "
            f"not finite in epoch {epoch}; lower adaptation.approaches.{approach.name}."
            "learning_rate."
        )
    split = states + n_classes * dim
    tensors = {
        "head.weight": parameters[states:split].reshape(n_classes, dim).copy(),
        "head.bias": parameters[split:].copy(),
    }
    if weighted:
        tensors[LAYER_WEIGHTS] = parameters[:states].copy()
    predicted = predict(side.features, clips.test, tensors, layers=states)
    return Result(
        run=run,
        predicted=predicted.astype(np.int16),
        curves=curves,
        best_epoch=int(best_epoch),
        tensors=tensors,
        seconds=time.perf_counter() - began,
        device="cpu",
    )


def _in_threads(
    one, jobs: Sequence[tuple[Approach, Run]], threads: int, done: dict[tuple[str, Run], Result]
) -> None:
    """Runs the independent runs of a stage in threads."""
    began = time.monotonic()
    with ThreadPoolExecutor(threads) as pool:
        running = {pool.submit(one, *job): job for job in jobs}
        try:
            for future in as_completed(running):
                approach, run = running[future]
                done[approach.name, run] = future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    if jobs:
        logger.info(
            "Stage %d: %d runs on clip means in %.1f s.",
            jobs[0][1].stage, len(jobs), time.monotonic() - began,
        )  # fmt: skip


@numba.njit(nogil=True, fastmath=FAST, error_model="numpy")
def _mix(x, rows, used, shares, out):
    """out[i] = sum_k shares[k] x[rows[i], k] for i < `used`."""
    states = len(shares)
    for i in range(used):
        clip, into = x[rows[i]], out[i]
        into[:] = 0
        k = 0
        while k + 4 <= states:
            a0, a1, a2, a3 = shares[k], shares[k + 1], shares[k + 2], shares[k + 3]
            x0, x1, x2, x3 = clip[k], clip[k + 1], clip[k + 2], clip[k + 3]
            for j in range(len(into)):
                into[j] += a0 * x0[j] + a1 * x1[j] + a2 * x2[j] + a3 * x3[j]
            k += 4
        while k < states:
            a0, x0 = shares[k], clip[k]
            for j in range(len(into)):
                into[j] += a0 * x0[j]
            k += 1


@numba.njit(nogil=True, fastmath=FAST, error_model="numpy")
def _share_gradient(x, rows, count, delta, w, shares, back, out):
    """out[k] = d(loss)/d(a_k) for shares = softmax(a), from delta = d(loss)/d(logits)."""
    states, n_classes = len(shares), delta.shape[1]
    out[:] = 0
    for i in range(count):
        back[:] = 0
        for c in range(n_classes):
            d, wc = delta[i, c], w[c]
            for j in range(len(back)):
                back[j] += d * wc[j]
        clip = x[rows[i]]
        for k in range(states):
            total = np.float32(0)
            xk = clip[k]
            for j in range(len(back)):
                total += back[j] * xk[j]
            out[k] += total
    mean = np.float32(0)
    for k in range(states):
        mean += shares[k] * out[k]
    for k in range(states):
        out[k] = shares[k] * (out[k] - mean)


@numba.njit(nogil=True, fastmath=FAST, error_model="numpy")
def _softmax(a, out):
    highest = a[0]
    for k in range(1, len(a)):
        highest = max(highest, a[k])
    total = np.float32(0)
    for k in range(len(a)):
        out[k] = np.exp(a[k] - highest)
        total += out[k]
    for k in range(len(a)):
        out[k] /= total


@numba.njit(nogil=True, fastmath=FAST, error_model="numpy")
def _fit(x, classes, order, validation, batch_size, optimiser, n_classes, parameters, curves):
    """Trains one run and leaves the parameters of the best epoch in `parameters`.

    Args:
        x: (n, K, d) float32 features; with K = 1 the softmax is 1 and its gradient 0, so the only
            share stays as it is.
        classes: (n,) class of each clip.
        order: (epochs, training clips) rows of each epoch, in the order of the batches.
        validation: rows of the validation clips.
        batch_size: clips per step; the last batch of an epoch may be smaller.
        optimiser: rate, decay, beta1, beta2, epsilon.
        n_classes: C.
        parameters: (K + C d + C,) float32: a, then the head's weights (C, d) and biases.
        curves: (epochs, 3) float64, receives mean training loss of the steps' clips, validation
            accuracy and validation loss.

    Returns:
        The best epoch, from 1; 0 if the validation loss was never finite.
    """
    epochs, n_train = order.shape
    states, dim = x.shape[1], x.shape[2]
    n_validation = len(validation)
    largest = max(min(batch_size, n_train), n_validation)
    size = (largest + 7) // 8 * 8
    rows, places = np.zeros(size, dtype=np.int64), np.arange(size)
    delta = np.empty((size, n_classes), dtype=np.float32)
    pooled = np.empty((size, dim), dtype=np.float32)
    back = np.empty(dim, dtype=np.float32)
    shares = np.empty(states, dtype=np.float32)
    evenly = np.ones(n_classes, dtype=np.float32)
    labels = np.zeros(size, dtype=np.int64)
    gradient = np.zeros_like(parameters)
    mean = np.zeros_like(parameters)
    square = np.zeros_like(parameters)
    best = parameters.copy()
    split = states + n_classes * dim
    a, w, b = (
        parameters[:states],
        parameters[states:split].reshape(n_classes, dim),
        parameters[split:],
    )
    ga = gradient[:states]
    gw, gb = gradient[states:split].reshape(n_classes, dim), gradient[split:]
    best_epoch, best_correct, best_loss = 0, -1, np.inf
    step = 0
    for epoch in range(epochs):
        total = 0.0
        # One batch more than there are: the last is the validation clips, without a step.
        for begin in range(0, n_train + batch_size, batch_size):
            training = begin < n_train
            source = order[epoch, begin:] if training else validation
            count = min(batch_size, len(source)) if training else n_validation
            used = (count + 7) // 8 * 8
            for i in range(used):
                rows[i] = source[min(i, count - 1)]
                labels[i] = classes[rows[i]]
            _softmax(a, shares)
            _mix(x, rows, used, shares, pooled)
            compute_logits(pooled, places, used, w, b, delta)
            loss, correct = error(delta, labels, places, count, used, evenly)
            if training:
                total += loss * count
                compute_gradient(pooled, places, used, delta, gw, gb)
                if states > 1:
                    _share_gradient(x, rows, count, delta, w, shares, back, ga)
                step += 1
                adamw(parameters, gradient, mean, square, step, optimiser)
        curves[epoch, 0] = total / n_train
        curves[epoch, 1] = correct / n_validation
        curves[epoch, 2] = loss
        better = correct > best_correct or (correct == best_correct and loss < best_loss)
        if np.isfinite(loss) and better:
            best_epoch, best_correct, best_loss = epoch + 1, correct, loss
            best[:] = parameters
    parameters[:] = best
    return best_epoch
