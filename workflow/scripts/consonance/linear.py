"""The arithmetic of a linear classifier trained by AdamW, compiled (numba) and without a lock.

Everything is float32, with float64 sums of losses. Each function is run by one thread, in one order
of operations, so that results do not depend on the number of threads.
"""

import math

import numba
import numpy as np

# Clips whose products with the weights are formed together: enough independent sums to keep the
# processor's multipliers busy. The compiled functions below are written out for it.
_TILE = 8

# Sums may be reordered (for vector instructions) but infinities and NaN keep their meaning.
FAST = {"reassoc", "contract", "nsz"}


def predict(
    features: np.ndarray, rows: np.ndarray, weights: np.ndarray, biases: np.ndarray
) -> np.ndarray:
    """Returns the class with the largest logit (the first of equals) for each row."""
    used = -(-len(rows) // _TILE) * _TILE
    logits = np.empty((used, len(biases)), dtype=np.float32)
    compute_logits(features, np.resize(rows, used), used, weights, biases, logits)
    return logits[: len(rows)].argmax(axis=1)


@numba.njit(nogil=True, fastmath=FAST, error_model="numpy")
def compute_logits(x, rows, used, w, b, out):
    """out[i, c] = x[rows[i]] . w[c] + b[c] for i < `used`, a multiple of the tile, 8."""
    for i in range(0, used, 8):
        x0, x1, x2, x3 = x[rows[i]], x[rows[i + 1]], x[rows[i + 2]], x[rows[i + 3]]
        x4, x5, x6, x7 = x[rows[i + 4]], x[rows[i + 5]], x[rows[i + 6]], x[rows[i + 7]]
        for c in range(0, len(b), 2):
            # Two classes at a time; an odd last one is computed twice.
            e = min(c + 1, len(b) - 1)
            wc, we = w[c], w[e]
            c0 = c1 = c2 = c3 = c4 = c5 = c6 = c7 = np.float32(0)
            e0 = e1 = e2 = e3 = e4 = e5 = e6 = e7 = np.float32(0)
            for j in range(len(wc)):
                c0 += x0[j] * wc[j]
                c1 += x1[j] * wc[j]
                c2 += x2[j] * wc[j]
                c3 += x3[j] * wc[j]
                c4 += x4[j] * wc[j]
                c5 += x5[j] * wc[j]
                c6 += x6[j] * wc[j]
                c7 += x7[j] * wc[j]
                e0 += x0[j] * we[j]
                e1 += x1[j] * we[j]
                e2 += x2[j] * we[j]
                e3 += x3[j] * we[j]
                e4 += x4[j] * we[j]
                e5 += x5[j] * we[j]
                e6 += x6[j] * we[j]
                e7 += x7[j] * we[j]
            out[i, c], out[i, e] = c0 + b[c], e0 + b[e]
            out[i + 1, c], out[i + 1, e] = c1 + b[c], e1 + b[e]
            out[i + 2, c], out[i + 2, e] = c2 + b[c], e2 + b[e]
            out[i + 3, c], out[i + 3, e] = c3 + b[c], e3 + b[e]
            out[i + 4, c], out[i + 4, e] = c4 + b[c], e4 + b[e]
            out[i + 5, c], out[i + 5, e] = c5 + b[c], e5 + b[e]
            out[i + 6, c], out[i + 6, e] = c6 + b[c], e6 + b[e]
            out[i + 7, c], out[i + 7, e] = c7 + b[c], e7 + b[e]


@numba.njit(nogil=True, fastmath=FAST, error_model="numpy")
def compute_gradient(x, rows, used, delta, gw, gb):
    """gw[c] = sum_i delta[i, c] x[rows[i]], gb[c] = sum_i delta[i, c] for i < `used`, as above."""
    gw[:] = 0
    gb[:] = 0
    for i in range(0, used, 8):
        x0, x1, x2, x3 = x[rows[i]], x[rows[i + 1]], x[rows[i + 2]], x[rows[i + 3]]
        x4, x5, x6, x7 = x[rows[i + 4]], x[rows[i + 5]], x[rows[i + 6]], x[rows[i + 7]]
        for c in range(len(gb)):
            gc = gw[c]
            d0, d1, d2, d3 = delta[i, c], delta[i + 1, c], delta[i + 2, c], delta[i + 3, c]
            d4, d5, d6, d7 = delta[i + 4, c], delta[i + 5, c], delta[i + 6, c], delta[i + 7, c]
            for j in range(len(gc)):
                gc[j] += (
                    d0 * x0[j] + d1 * x1[j] + d2 * x2[j] + d3 * x3[j]
                    + d4 * x4[j] + d5 * x5[j] + d6 * x6[j] + d7 * x7[j]
                )  # fmt: skip
            gb[c] += d0 + d1 + d2 + d3 + d4 + d5 + d6 + d7


@numba.njit(nogil=True, fastmath=FAST, error_model="numpy")
def adamw(w, g, m, v, step, optimiser):
    """One step of AdamW (Loshchilov & Hutter 2019) on a flat array, as torch.optim.AdamW."""
    rate, decay, beta1, beta2, epsilon = optimiser
    one = np.float32(1)
    keep = np.float32(1 - rate * decay)
    b1, b2, eps = np.float32(beta1), np.float32(beta2), np.float32(epsilon)
    size = np.float32(rate / (1 - beta1**step))
    root = np.float32(1 / math.sqrt(1 - beta2**step))
    for j in range(len(w)):
        m[j] += (g[j] - m[j]) * (one - b1)
        v[j] = v[j] * b2 + (one - b2) * g[j] * g[j]
        w[j] = w[j] * keep - size * m[j] / (np.sqrt(v[j]) * root + eps)


@numba.njit(nogil=True, fastmath=FAST, error_model="numpy")
def error(logits, classes, rows, count, used, class_weights):
    """Turns logits into d(mean loss)/d(logits); that of rows from `count` to `used` becomes 0.

    Returns:
        The weighted mean cross-entropy (float64 sums) and the number of correct predictions.
    """
    n_classes = logits.shape[1]
    total = 0.0
    for i in range(count):
        total += class_weights[classes[rows[i]]]
    loss = 0.0
    correct = 0
    for i in range(count):
        y = classes[rows[i]]
        top = 0
        for c in range(1, n_classes):
            if logits[i, c] > logits[i, top]:
                top = c
        correct += top == y
        highest = logits[i, top]
        margin = logits[i, y] - highest
        denominator = np.float32(0)
        for c in range(n_classes):
            logits[i, c] = math.exp(logits[i, c] - highest)
            denominator += logits[i, c]
        loss += class_weights[y] * (math.log(np.float64(denominator)) - margin)
        share = np.float32(class_weights[y] / total)
        for c in range(n_classes):
            logits[i, c] *= share / denominator
        logits[i, y] -= share
    for i in range(count, used):
        for c in range(n_classes):
            logits[i, c] = 0
    return loss / total, correct
