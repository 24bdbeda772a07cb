import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from consonance import linear

# float32 sums of up to 40 products, in another order than numpy's.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def made(seed, *, clips=16, dim=10, classes=3):
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(clips, dim)).astype(np.float32)
    w = draw.normal(size=(classes, dim)).astype(np.float32)
    b = draw.normal(size=classes).astype(np.float32)
    return x, w, b, draw.integers(0, classes, clips)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 999),
    tiles=st.integers(1, 3),
    dim=st.integers(1, 40),
    classes=st.integers(1, 7),
)
def test_logits_and_gradient_are_matrix_products(seed, tiles, dim, classes):
    used = 8 * tiles
    x, w, b, _ = made(seed, clips=used + 5, dim=dim, classes=classes)
    rows = np.random.default_rng(seed).integers(0, len(x), used)
    out = np.empty((used, classes), np.float32)
    linear.compute_logits(x, rows, used, w, b, out)
    np.testing.assert_allclose(out, x[rows] @ w.T + b, **CLOSE)
    gw, gb = np.empty_like(w), np.empty_like(b)
    linear.compute_gradient(x, rows, used, out, gw, gb)
    np.testing.assert_allclose(gw, out.T.astype(float) @ x[rows], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(gb, out.sum(axis=0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("weights", [[1, 1, 1], [0.5, 2, 1]])
def test_error_is_the_cross_entropy_and_its_gradient(weights):
    x, w, b, y = made(0)
    count, used = 13, 16
    weights = np.array(weights, np.float32)
    logits = (x @ w.T + b).astype(np.float32)
    wanted = torch.tensor(logits[:count], requires_grad=True)
    loss = torch.nn.functional.cross_entropy(
        wanted, torch.tensor(y[:count]), weight=torch.tensor(weights)
    )
    loss.backward()
    correct = int((logits[:count].argmax(axis=1) == y[:count]).sum())
    delta = logits.copy()
    got, right = linear.error(delta, y, np.arange(used), count, used, weights)
    assert got == pytest.approx(loss.item(), rel=1e-6)
    assert right == correct
    np.testing.assert_allclose(delta[:count], wanted.grad, rtol=1e-5, atol=1e-7)
    assert not delta[count:].any()


def test_adamw_is_pytorchs():
    start = np.random.default_rng(0).normal(size=50).astype(np.float32)
    theirs = torch.tensor(start.copy(), requires_grad=True)
    optimiser = torch.optim.AdamW([theirs], lr=0.01, weight_decay=0.1, betas=(0.8, 0.95), eps=1e-7)
    ours, mean, square = start.copy(), np.zeros(50, np.float32), np.zeros(50, np.float32)
    for step in range(1, 6):
        gradient = np.random.default_rng(step).normal(size=50).astype(np.float32)
        theirs.grad = torch.tensor(gradient)
        optimiser.step()
        settings_ = np.array([0.01, 0.1, 0.8, 0.95, 1e-7])
        linear.adamw(ours, gradient, mean, square, step, settings_)
    # Five steps of float32 rounding.
    np.testing.assert_allclose(ours, theirs.detach(), rtol=1e-5, atol=1e-6)


def test_predict_takes_the_first_of_equal_classes_and_any_number_of_rows():
    x = np.array([[1, 0], [0, 1], [1, 1]], np.float32)
    w, b = np.eye(2, dtype=np.float32), np.zeros(2, np.float32)
    assert linear.predict(x, np.array([0, 1, 2]), w, b).tolist() == [0, 1, 0]
    assert linear.predict(x, np.array([1] * 9), w, b).tolist() == [1] * 9
