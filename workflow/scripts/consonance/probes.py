"""Linear probes: how well does a linear classifier read the emotion off each state of an encoder?

The protocol is that of arXiv 2409.17899, section V-A: clip means, one linear layer with softmax
cross-entropy per state, AdamW, a fixed number of epochs, the weights of the epoch with the best
validation accuracy, one evaluation on the test clips.

A probe is small (6 x 768 weights), so a framework spends its time on calls, not on arithmetic.
Here the training loop of one probe is one compiled function (numba) with the gradient of softmax
cross-entropy, P - Y, written out. It holds no lock, so threads train different probes at once. A
probe is computed by one thread, in one order of operations: its result does not depend, to the
bit, on the number of threads or on which other states and seeds are trained beside it.
"""

import logging
import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

import numba
import numpy as np
import pandas as pd

from consonance import scores
from consonance.arrangement import TEST, TRAIN, UNUSED, VALIDATION
from consonance.errors import InputError
from consonance.linear import FAST, adamw, compute_gradient, compute_logits, error, predict
from consonance.splits import PARTS, generator

logger = logging.getLogger(__name__)

CLASS_WEIGHTS = ("none", "balanced")


@dataclass(frozen=True)
class ProbeResult:
    """What came out of probes of several seeds and states.

    Attributes:
        predictions: (seeds, states, clips) int16, predicted class of test clips, else -1.
        best_epoch: (seeds, states) int32, the epoch kept, counted from 1.
        validation_accuracy: (seeds, states) float64, at that epoch.
        validation_loss: (seeds, states) float64, mean cross-entropy in nats at that epoch (with
            class weights if the training had them).
        weights: (seeds, states, classes, d) float32 at that epoch, for raw clip means (the
            standardisation is folded in); None if not asked for.
        biases: (seeds, states, classes) float32, likewise.
    """

    predictions: np.ndarray
    best_epoch: np.ndarray
    validation_accuracy: np.ndarray
    validation_loss: np.ndarray
    weights: np.ndarray | None
    biases: np.ndarray | None


def train(
    means: np.ndarray,
    emotions: np.ndarray,
    parts: np.ndarray,
    *,
    seeds: Sequence[int],
    labels: Sequence[str],
    layers: Sequence[int],
    epochs: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    betas: tuple[float, float],
    epsilon: float,
    initial_scale: float,
    class_weights: str,
    standardise: bool,
    threads: int,
    keep_weights: bool = False,
) -> ProbeResult:
    """Trains a linear classifier for every seed and state and predicts the test clips once.

    Minimises, over mini-batches B, sum_{i in B} w(y_i) (-log softmax(W x_i + b)[y_i]) /
    sum_{i in B} w(y_i) with AdamW (decoupled weight decay, bias correction; biases decay too), as
    torch.optim.AdamW and torch.nn.functional.cross_entropy do. After each epoch the validation
    clips are predicted; the epoch with the highest validation accuracy is kept, among equals the
    one with the lowest validation loss, then the earliest. Test clips are predicted with its
    weights, after the last epoch.

    The initial weights and the batches depend on the seed (and its training clips) alone: all
    states of a seed start from the same numbers and see the same batches, so differences between
    them are paired. The order of the clips is drawn afresh in every epoch; the last batch of an
    epoch is smaller if the sizes require it.

    Args:
        means: (states, n, d) float32, mean over time of each state of each clip.
        emotions: (n,) integer classes, indices into `labels`.
        parts: (seeds, n) integers: 0 train, 1 validation, 2 test, -1 not used.
        seeds: the experiment's seeds, one per row of `parts`.
        labels: names of the classes.
        layers: number of each state, for messages.
        epochs: passes over the training clips.
        batch_size: clips per step.
        learning_rate: AdamW's step size.
        weight_decay: AdamW's decay; each step multiplies the weights by 1 - rate x decay.
        betas: AdamW's decay of the running mean of the gradient and of its square.
        epsilon: AdamW's addend in the denominator.
        initial_scale: weights and biases start uniform in +-initial_scale / sqrt(d); 1 is
            torch.nn.Linear's way.
        class_weights: "none" for w = 1, or "balanced" for w(c) = n / (C n_c) over the n training
            clips; then also in the validation loss.
        standardise: whether to subtract from each feature its mean over the seed's training clips
            and divide by its standard deviation (ddof 0; a constant feature becomes 0).
        threads: probes trained at the same time; does not change the result.
        keep_weights: whether to return the weights.

    Raises:
        InputError: non-finite means (the layers are named), a class without training clips, no
            validation or test clips, impossible settings, or weights that became non-finite.
        ValueError: shapes that do not fit.
    """
    states, n_clips, dim = means.shape
    n_classes = len(labels)
    if (
        emotions.shape != (n_clips,)
        or parts.shape != (len(seeds), n_clips)
        or len(layers) != states
        or means.dtype != np.float32
    ):
        raise ValueError(
            f"means {means.shape} {means.dtype}, emotions {emotions.shape}, parts {parts.shape}, "
            f"{len(seeds)} seeds and {len(layers)} layers do not fit together."
        )
    problems = _wrong_settings(
        epochs=epochs, batch_size=batch_size, learning_rate=learning_rate,
        weight_decay=weight_decay, betas=betas, epsilon=epsilon, initial_scale=initial_scale,
        class_weights=class_weights, threads=threads,
    )  # fmt: skip
    bad = [layers[k] for k in range(states) if not np.isfinite(means[k]).all()]
    if bad:
        problems.append(
            f"The clip means of layers {', '.join(map(str, bad))} contain NaN or infinite values; "
            "check the model and its precision, and extract the embeddings again."
        )
    problems += _lacking(emotions, parts, seeds, labels)
    if problems:
        raise InputError(problems)

    shape = (len(seeds), states)
    predictions = np.full((*shape, n_clips), UNUSED, dtype=np.int16)
    best_epoch = np.zeros(shape, dtype=np.int32)
    best_score = np.zeros((*shape, 2))
    weights = np.zeros((*shape, n_classes, dim), dtype=np.float32)
    biases = np.zeros((*shape, n_classes), dtype=np.float32)
    classes = emotions.astype(np.int64)
    optimiser = np.array([learning_rate, weight_decay, *betas, epsilon])
    plans = [
        _plan(classes, part, seed=seed, n_classes=n_classes, dim=dim, epochs=epochs,
              initial_scale=initial_scale, balanced=class_weights == "balanced")
        for seed, part in zip(seeds, parts, strict=True)
    ]  # fmt: skip

    def one(s: int, k: int) -> None:
        plan = plans[s]
        features = _aligned(n_clips, dim)
        features[:] = means[k]
        if standardise:
            centre, scale = _standardisation(features[plan.rows[TRAIN]])
            features[:] = (features - centre) * scale
        parameters = plan.initial.copy()
        best_epoch[s, k] = _fit(
            features, classes, plan.order, plan.rows[VALIDATION], plan.class_weights, batch_size,
            optimiser, parameters, best_score[s, k],
        )  # fmt: skip
        w, b = parameters[:-n_classes].reshape(n_classes, dim), parameters[-n_classes:]
        test = plan.rows[TEST]
        predictions[s, k, test] = predict(features, test, w, b)
        if standardise:
            w64 = w * scale
            b = (b - w64 @ centre).astype(np.float32)
            w = w64.astype(np.float32)
        weights[s, k], biases[s, k] = w, b

    # All seeds of a state follow each other, so that its features stay in the cache.
    _in_threads([(one, s, k) for k in range(states) for s in range(len(seeds))], threads)

    diverged = best_epoch == 0
    if diverged.any():
        found = [layers[k] for k in np.flatnonzero(diverged.any(axis=0))]
        raise InputError(
            f"The probes of layers {', '.join(map(str, found))} never had a finite validation "
            "loss; lower the learning rate or standardise the features."
        )
    return ProbeResult(
        predictions=predictions,
        best_epoch=best_epoch,
        validation_accuracy=best_score[..., 0].copy(),
        validation_loss=best_score[..., 1].copy(),
        weights=weights if keep_weights else None,
        biases=biases if keep_weights else None,
    )


def probe_tables(
    result: ProbeResult,
    *,
    clips: Sequence[str],
    emotions: np.ndarray,
    labels: Sequence[str],
    layers: Sequence[int],
    seeds: Sequence[int],
    corpus: str,
    model: str,
    domain: str,
    scheme: str,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Lays a result out as the three tables of a probe job.

    Args:
        result: of `train`.
        clips: clip ids in the order of `train`'s n.
        emotions: (n,) true classes.
        labels: names of the classes.
        layers: number of each state.
        seeds: of `train`.
        corpus: name, as are the following.
        model: name.
        domain: name.
        scheme: name of the split scheme.

    Returns:
        predictions: seed, layer, clip, emotion, predicted; test clips only, in clip order.
        scores: corpus, model, domain, scheme, seed, layer, metric, emotion, value; metrics
            accuracy, uar, recall (per emotion; NaN if the test part has no such clip), best_epoch,
            validation_accuracy, validation_loss; emotion is "" but for recall.
        confusion: seed, layer, emotion, predicted, count; all pairs of labels.
    """
    names = np.array(labels, dtype=object)
    order = np.argsort(np.array(clips))
    rows = []
    for s, seed in enumerate(seeds):
        for k, layer in enumerate(layers):
            found = result.predictions[s, k, order]
            tested = order[found != UNUSED]
            rows.append(
                pd.DataFrame(
                    {
                        "seed": seed,
                        "layer": layer,
                        "clip": np.array(clips, dtype=object)[tested],
                        "emotion": names[emotions[tested]],
                        "predicted": names[result.predictions[s, k, tested]],
                    }
                )
            )
    predictions = pd.concat(rows, ignore_index=True)

    counts = scores.confusion(emotions, result.predictions, n_classes=len(labels))
    if missing := scores.absent(counts):
        logger.warning(
            "Some test parts of %s have no clip of %s; the UAR is the mean over the others.",
            domain, ", ".join(labels[c] for c in missing),
        )  # fmt: skip
    metrics = {
        ("accuracy", ""): scores.accuracy(counts),
        ("uar", ""): scores.uar(counts),
        **{
            ("recall", label): values
            for label, values in zip(labels, np.moveaxis(scores.recall(counts), -1, 0), strict=True)
        },
        ("best_epoch", ""): result.best_epoch,
        ("validation_accuracy", ""): result.validation_accuracy,
        ("validation_loss", ""): result.validation_loss,
    }
    grid = pd.MultiIndex.from_product([seeds, layers, metrics], names=["seed", "layer", "metric"])
    tidy = grid.to_frame(index=False)
    tidy["emotion"] = tidy["metric"].str[1]
    tidy["metric"] = tidy["metric"].str[0]
    tidy["value"] = np.stack(list(metrics.values()), axis=-1).astype(np.float64).ravel()
    for position, (column, name) in enumerate(
        {"corpus": corpus, "model": model, "domain": domain, "scheme": scheme}.items()
    ):
        tidy.insert(position, column, name)

    confusion = pd.MultiIndex.from_product(
        [seeds, layers, labels, labels], names=["seed", "layer", "emotion", "predicted"]
    ).to_frame(index=False)
    confusion["count"] = counts.ravel()
    return predictions, tidy, confusion


@dataclass(frozen=True)
class _Plan:
    """What a seed alone decides: clips of each part, batches, initial and class weights."""

    rows: tuple[np.ndarray, np.ndarray, np.ndarray]
    order: np.ndarray
    initial: np.ndarray
    class_weights: np.ndarray


def _plan(
    classes: np.ndarray,
    part: np.ndarray,
    *,
    seed: int,
    n_classes: int,
    dim: int,
    epochs: int,
    initial_scale: float,
    balanced: bool,
) -> _Plan:
    """Draws the initial weights and the order of the training clips in every epoch of a seed."""
    rows = tuple(np.flatnonzero(part == number) for number in (TRAIN, VALIDATION, TEST))
    rng = generator(seed, "probes/order")
    order = np.empty((epochs, len(rows[TRAIN])), dtype=np.int64)
    for epoch in range(epochs):
        order[epoch] = rng.permutation(rows[TRAIN])
    bound = initial_scale / math.sqrt(dim)
    initial = generator(seed, "probes/initial").uniform(-bound, bound, size=n_classes * (dim + 1))
    counts = np.bincount(classes[rows[TRAIN]], minlength=n_classes)
    by_class = counts.sum() / (n_classes * counts) if balanced else np.ones(n_classes)
    return _Plan(
        rows=rows,
        order=order,
        initial=initial.astype(np.float32),
        class_weights=by_class.astype(np.float32),
    )


def _aligned(rows: int, columns: int) -> np.ndarray:
    """Returns an empty float32 matrix that begins at a cache line (64 bytes): 1.3x the speed."""
    line = 64 // 4
    memory = np.empty(rows * columns + line, dtype=np.float32)
    begin = -(memory.ctypes.data // 4) % line
    return memory[begin : begin + rows * columns].reshape(rows, columns)


def _standardisation(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and 1 / standard deviation (1 if constant) of each feature, in float64."""
    features = features.astype(np.float64)
    spread = features.std(axis=0)
    # A constant feature's standard deviation is rounding noise of its mean, not always 0.
    constant = features.max(axis=0) == features.min(axis=0)
    return features.mean(axis=0), 1 / np.where(constant, 1.0, spread)


def _in_threads(calls: list, threads: int) -> None:
    """Runs independent calls in threads and logs how far they are, about ten times."""
    begin = time.monotonic()
    every = max(1, len(calls) // 10)
    with ThreadPoolExecutor(threads) as pool:
        running = [pool.submit(*call) for call in calls]
        try:
            for done, future in enumerate(as_completed(running), start=1):
                future.result()
                if done % every == 0:
                    spent = time.monotonic() - begin
                    logger.info(
                        "%d of %d probes trained, about %.0f s left",
                        done, len(calls), spent / done * (len(calls) - done),
                    )  # fmt: skip
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _wrong_settings(
    *, epochs: int, batch_size: int, learning_rate: float, weight_decay: float,
    betas: tuple[float, float], epsilon: float, initial_scale: float, class_weights: str,
    threads: int,
) -> list[str]:  # fmt: skip
    """Returns a sentence for each setting of the probes that cannot be used."""
    problems = [
        f"The probes' {name} is {value}; it must be a whole number of at least 1."
        for name, value in
        {"epochs": epochs, "batch_size": batch_size, "threads": threads}.items() if value < 1
    ]  # fmt: skip
    problems += [
        f"The probes' {name} is {value}; it must be a finite number above 0."
        for name, value in {"learning_rate": learning_rate, "epsilon": epsilon}.items()
        if not 0 < value < math.inf
    ]
    problems += [
        f"The probes' {name} is {value}; it must be a finite number of at least 0."
        for name, value in {"weight_decay": weight_decay, "initial_scale": initial_scale}.items()
        if not 0 <= value < math.inf
    ]
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        problems.append(f"The probes' betas are {list(betas)}; two numbers from 0 to below 1.")
    if class_weights not in CLASS_WEIGHTS:
        problems.append(
            f"The probes' class_weights is {class_weights!r}; it must be 'none' or 'balanced'."
        )
    return problems


def _lacking(
    emotions: np.ndarray, parts: np.ndarray, seeds: Sequence[int], labels: Sequence[str]
) -> list[str]:
    """Returns a sentence for each seed without validation or test clips or a class to learn."""
    problems = []
    for seed, part in zip(seeds, parts, strict=True):
        known = set(emotions[part == TRAIN].tolist())
        unseen = [label for number, label in enumerate(labels) if number not in known]
        if unseen:
            problems.append(
                f"With seed {seed} no training clip is {' or '.join(unseen)}; draw the splits "
                "again or take the emotion out of the configuration."
            )
        for number in (VALIDATION, TEST):
            if not (part == number).any():
                problems.append(f"With seed {seed} the {PARTS[number]} part is empty; add clips.")
    return problems


@numba.njit(nogil=True, fastmath=FAST, error_model="numpy")
def _fit(
    x, classes, order, validation, class_weights, batch_size, optimiser, parameters, best_score
):
    """Trains one probe and leaves the parameters of the best epoch in `parameters`.

    Args:
        x: (n, d) float32 features.
        classes: (n,) class of each clip.
        order: (epochs, training clips) row numbers of each epoch, in the order of the batches.
        validation: row numbers of the validation clips.
        class_weights: (C,) float32.
        batch_size: clips per step; the last batch of an epoch may be smaller.
        optimiser: rate, decay, beta1, beta2, epsilon.
        parameters: (C d + C,) float32, initial weights (C, d), then biases.
        best_score: (2,) receives validation accuracy and loss of the best epoch.

    Returns:
        The best epoch, counted from 1, or 0 if the validation loss was never finite.
    """
    epochs, n_train = order.shape
    n_validation, n_classes, dim = len(validation), len(class_weights), x.shape[1]
    largest = max(min(batch_size, n_train), n_validation)
    rows = np.zeros((largest + 7) // 8 * 8, dtype=np.int64)
    delta = np.empty((len(rows), n_classes), dtype=np.float32)
    gradient = np.empty_like(parameters)
    mean = np.zeros_like(parameters)
    square = np.zeros_like(parameters)
    best = np.empty_like(parameters)
    split = n_classes * dim
    w, b = parameters[:split].reshape(n_classes, dim), parameters[split:]
    gw, gb = gradient[:split].reshape(n_classes, dim), gradient[split:]
    best_epoch, best_correct, best_loss = 0, -1, np.inf
    step = 0
    for epoch in range(epochs):
        # One batch more than there are: the last is the validation clips, without a step.
        for begin in range(0, n_train + batch_size, batch_size):
            training = begin < n_train
            source = order[epoch, begin:] if training else validation
            count = min(batch_size, len(source)) if training else n_validation
            used = (count + 7) // 8 * 8
            for i in range(used):
                rows[i] = source[min(i, count - 1)]
            compute_logits(x, rows, used, w, b, delta)
            loss, correct = error(delta, classes, rows, count, used, class_weights)
            if training:
                compute_gradient(x, rows, used, delta, gw, gb)
                step += 1
                adamw(parameters, gradient, mean, square, step, optimiser)
        better = correct > best_correct or (correct == best_correct and loss < best_loss)
        if np.isfinite(loss) and better:
            best_epoch, best_correct, best_loss = epoch + 1, correct, loss
            for j in range(len(best)):
                best[j] = parameters[j]
    for j in range(len(best)):
        parameters[j] = best[j]
    best_score[0] = best_correct / n_validation
    best_score[1] = best_loss
    return best_epoch
