import dataclasses
import logging

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from consonance import arrangement, probes
from consonance.errors import InputError

LABELS = ["neutral", "calm", "happy", "sad", "angry"]
SETTINGS = {
    "epochs": 12,
    "batch_size": 16,
    "learning_rate": 1e-3,
    "weight_decay": 0.01,
    "betas": (0.9, 0.999),
    "epsilon": 1e-8,
    "initial_scale": 1.0,
    "class_weights": "none",
    "standardise": False,
    "threads": 1,
    "keep_weights": True,
}


def corpus(*, states=3, n=150, dim=40, seeds=2, separation=0.7, random_state=0, sizes=(95, 30)):
    """Normal features around class means; parts of other sizes in each seed."""
    rng = np.random.default_rng(random_state)
    emotions = np.arange(n) % len(LABELS)
    centres = separation * rng.standard_normal((states, len(LABELS), dim))
    means = rng.standard_normal((states, n, dim)) + centres[:, emotions]
    parts = np.full((seeds, n), arrangement.TEST, dtype=np.int8)
    for s in range(seeds):
        order = rng.permutation(n)
        n_train, n_validation = sizes[0] - 9 * s, sizes[1] + 4 * s
        parts[s, order[:n_train]] = arrangement.TRAIN
        parts[s, order[n_train : n_train + n_validation]] = arrangement.VALIDATION
        parts[s, order[-3:]] = arrangement.UNUSED
    return means.astype(np.float32), emotions, parts


def train(means, emotions, parts, **changed):
    arguments = {
        "seeds": list(range(10, 10 + len(parts))),
        "labels": LABELS,
        "layers": list(range(1, len(means) + 1)),
    }
    return probes.train(means, emotions, parts, **(arguments | SETTINGS | changed))


def by_torch(features, emotions, part, *, seed, dtype=torch.float32, n_classes=5, **changed):
    """One probe by a plain PyTorch loop from the same initial weights and batches."""
    options = SETTINGS | changed
    plan = probes._plan(
        emotions, part, seed=seed, n_classes=n_classes, dim=features.shape[1],
        epochs=options["epochs"], initial_scale=options["initial_scale"],
        balanced=options["class_weights"] == "balanced",
    )  # fmt: skip
    rows = plan.rows
    if options["standardise"]:
        known = features[rows[0]].astype(np.float64)
        features = (features - known.mean(0)) / known.std(0)
    x, y = torch.tensor(features, dtype=dtype), torch.tensor(emotions)
    layer = torch.nn.Linear(x.shape[1], n_classes, dtype=dtype)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(plan.initial[:-n_classes]).reshape(n_classes, -1))
        layer.bias.copy_(torch.tensor(plan.initial[-n_classes:]))
    weight = None
    if options["class_weights"] == "balanced":
        counts = np.bincount(emotions[rows[0]], minlength=n_classes)
        weight = torch.tensor(counts.sum() / (n_classes * counts), dtype=dtype)
    loss = torch.nn.CrossEntropyLoss(weight=weight)
    optimiser = torch.optim.AdamW(
        layer.parameters(), lr=options["learning_rate"], betas=tuple(options["betas"]),
        eps=options["epsilon"], weight_decay=options["weight_decay"],
    )  # fmt: skip
    best = (-1.0, -np.inf)
    for epoch in range(options["epochs"]):
        for batch in torch.tensor(plan.order[epoch]).split(options["batch_size"]):
            optimiser.zero_grad()
            loss(layer(x[batch]), y[batch]).backward()
            optimiser.step()
        with torch.no_grad():
            logits = layer(x[rows[1]])
            accuracy = (logits.argmax(1) == y[rows[1]]).double().mean().item()
            found = (accuracy, -loss(logits, y[rows[1]]).item())
        if found > best:
            best = found
            kept = (epoch + 1, *found, layer.weight.detach().clone(), layer.bias.detach().clone())
    epoch, accuracy, minus_loss, w, b = kept
    predicted = (x[rows[2]] @ w.T + b).argmax(1).numpy()
    return {
        "rows": rows[2], "predicted": predicted, "epoch": epoch, "accuracy": accuracy,
        "loss": -minus_loss, "w": w.numpy(), "b": b.numpy(),
    }  # fmt: skip


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"batch_size": 7},
        {"batch_size": 1000},
        {"class_weights": "balanced"},
        {"standardise": True},
        {"weight_decay": 0.0, "betas": (0.8, 0.99), "initial_scale": 0.1},
        {"learning_rate": 0.05, "weight_decay": 0.3},
    ],
    ids=str,
)
def test_equal_to_a_plain_pytorch_loop(changed):
    means, emotions, parts = corpus()
    result = train(means, emotions, parts, **changed)
    for s, seed in enumerate((10, 11)):
        for k in range(len(means)):
            expected = by_torch(means[k], emotions, parts[s], seed=seed, **changed)
            assert result.best_epoch[s, k] == expected["epoch"]
            assert result.validation_accuracy[s, k] == expected["accuracy"]
            assert (result.predictions[s, k, expected["rows"]] == expected["predicted"]).all()
            # Rounding of float32 sums in another order, over 12 epochs of at most 14 steps. Its
            # effect on a step is in proportion to the learning rate, where the gradient is small.
            noise = 2e-5 * max(1, changed.get("learning_rate", 0) / SETTINGS["learning_rate"])
            assert result.validation_loss[s, k] == pytest.approx(expected["loss"], rel=noise)
            if not changed.get("standardise"):
                np.testing.assert_allclose(result.weights[s, k], expected["w"], atol=noise)
                np.testing.assert_allclose(result.biases[s, k], expected["b"], atol=noise)


def test_stays_equal_over_many_steps():
    # 3,000 steps; float64 PyTorch as the judge: ours must be no further from it than float32
    # PyTorch is, up to a factor for luck.
    means, emotions, parts = corpus(states=1, seeds=1, dim=96, separation=0.3)
    result = train(means, emotions, parts, epochs=500)
    exact = by_torch(means[0], emotions, parts[0], seed=10, epochs=500, dtype=torch.float64)
    plain = by_torch(means[0], emotions, parts[0], seed=10, epochs=500)
    assert result.best_epoch[0, 0] == exact["epoch"] == plain["epoch"]
    assert (result.predictions[0, 0, exact["rows"]] == exact["predicted"]).all()
    noise = np.abs(plain["w"] - exact["w"]).max()
    assert np.abs(result.weights[0, 0] - exact["w"]).max() < 5 * noise


@pytest.mark.parametrize("n_classes", [2, 3])
def test_few_classes(n_classes):
    means, emotions, parts = corpus(states=1, seeds=1)
    emotions = emotions % n_classes
    result = train(means, emotions, parts, labels=LABELS[:n_classes])
    expected = by_torch(means[0], emotions, parts[0], seed=10, n_classes=n_classes)
    np.testing.assert_allclose(result.weights[0, 0], expected["w"], atol=2e-5)
    assert (result.predictions[0, 0, expected["rows"]] == expected["predicted"]).all()


def assert_same(result, expected):
    for field in dataclasses.fields(result):
        np.testing.assert_array_equal(
            getattr(result, field.name), getattr(expected, field.name), err_msg=field.name
        )


def test_together_alone_and_in_any_number_of_threads_the_same_bits():
    means, emotions, parts = corpus(states=4, seeds=3)
    together = train(means, emotions, parts)
    assert_same(train(means, emotions, parts, threads=3), together)
    for s in range(3):
        for k in range(4):
            alone = train(means[[k]], emotions, parts[[s]], seeds=[10 + s], layers=[k])
            one = {
                field.name: getattr(together, field.name)[s : s + 1, k : k + 1]
                for field in dataclasses.fields(together)
            }
            assert_same(alone, probes.ProbeResult(**one))


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 70), st.integers(1, 40), st.integers(5, 60), st.integers(1, 40),
    st.integers(0, 2**32),
)  # fmt: skip
def test_any_size(dim, batch_size, n_train, n_validation, random_state):
    means, emotions, parts = corpus(
        states=1, seeds=1, n=n_train + n_validation + 9, dim=dim, sizes=(n_train, n_validation),
        random_state=random_state,
    )  # fmt: skip
    parts[0, :5] = arrangement.TRAIN  # every class at least once
    if not (parts == arrangement.VALIDATION).any():
        parts[0, 5] = arrangement.VALIDATION
    result = train(means, emotions, parts, batch_size=batch_size, epochs=3)
    expected = by_torch(
        means[0], emotions, parts[0], seed=10, batch_size=batch_size, epochs=3
    )  # fmt: skip
    if result.best_epoch[0, 0] == expected["epoch"]:
        np.testing.assert_allclose(result.weights[0, 0], expected["w"], atol=1e-4)
    else:  # two epochs equal up to rounding
        assert result.validation_loss[0, 0] == pytest.approx(expected["loss"], rel=1e-5)


def test_separable_classes_are_learned_and_noise_is_not():
    means, emotions, parts = corpus(separation=3.0, n=200, sizes=(120, 40))
    means[0] = np.random.default_rng(1).standard_normal(means[0].shape)
    result = train(means, emotions, parts, epochs=60, learning_rate=0.01)
    right = [
        (result.predictions[s, k] == emotions)[parts[s] == arrangement.TEST].mean()
        for s in range(2)
        for k in range(3)
    ]
    assert min(right[1:3] + right[4:]) == 1.0
    assert max(right[0], right[3]) < 0.5


def test_only_test_clips_are_predicted():
    means, emotions, parts = corpus()
    result = train(means, emotions, parts)
    assert result.predictions.dtype == np.int16
    expected = np.broadcast_to((parts == arrangement.TEST)[:, None], result.predictions.shape)
    assert ((result.predictions >= 0) == expected).all()


def test_what_the_test_clips_are_like_changes_nothing_else():
    means, emotions, parts = corpus(seeds=1)
    result = train(means, emotions, parts, standardise=True)
    other = means.copy()
    other[:, parts[0] == arrangement.TEST] += 100
    changed = train(other, emotions, parts, standardise=True)
    for name in ("best_epoch", "validation_accuracy", "validation_loss", "weights", "biases"):
        np.testing.assert_array_equal(getattr(changed, name), getattr(result, name))


def test_ties_go_to_the_lowest_loss_then_to_the_earliest_epoch():
    # Well separated: accuracy is 1 from early on, so the loss decides, which falls to the end.
    means, emotions, parts = corpus(separation=3.0, states=1, seeds=1)
    result = train(means, emotions, parts, epochs=60, learning_rate=0.01)
    assert result.validation_accuracy[0, 0] == 1
    assert result.best_epoch[0, 0] == 60
    # Features without information and without effect: every epoch is equal but for the biases,
    # which do not move with a rate that vanishes in float32.
    still = train(means * 0, emotions, parts, learning_rate=1e-30, weight_decay=0.0)
    assert still.best_epoch[0, 0] == 1


def test_weights_are_those_of_the_best_epoch_and_for_raw_means():
    means, emotions, parts = corpus(seeds=1)
    means = means * 5 + 3
    result = train(means, emotions, parts, standardise=True)
    logits = np.einsum("knd,kcd->knc", means, result.weights[0]) + result.biases[0][:, None]
    test = parts[0] == arrangement.TEST
    assert (logits.argmax(-1)[:, test] == result.predictions[0][:, test]).all()
    validation = parts[0] == arrangement.VALIDATION
    right = (logits.argmax(-1) == emotions)[:, validation].mean(axis=1)
    assert right.tolist() == result.validation_accuracy[0].tolist()
    shorter = train(
        means[[0]], emotions, parts, standardise=True, epochs=int(result.best_epoch[0, 0])
    )
    np.testing.assert_array_equal(shorter.weights[0, 0], result.weights[0, 0])


def test_standardising_makes_scale_irrelevant_and_survives_constant_features():
    means, emotions, parts = corpus()
    scaled = (means * np.float32(4) + 0).astype(np.float32)  # a power of two: no rounding
    scaled[..., 7] = means[..., 7] = 0.1
    result = train(means, emotions, parts, standardise=True)
    other = train(scaled, emotions, parts, standardise=True)
    np.testing.assert_array_equal(other.predictions, result.predictions)
    assert np.isfinite(result.weights).all()


def test_balanced_weights_help_the_rare_class():
    rng = np.random.default_rng(3)
    emotions = np.where(np.arange(600) % 12 == 0, 1, 0)
    means = rng.standard_normal((1, 600, 8)).astype(np.float32)
    means[0, emotions == 1, 0] += 1.5
    parts = (np.arange(600) // 12 % 3).astype(np.int8)[None]
    found = {}
    for way in probes.CLASS_WEIGHTS:
        result = train(
            means, emotions, parts, labels=LABELS[:2], class_weights=way, epochs=40,
            learning_rate=0.01,
        )  # fmt: skip
        found[way] = (result.predictions[0, 0][(parts[0] == 2) & (emotions == 1)] == 1).mean()
    assert found["balanced"] > found["none"] + 0.2


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"threads": 0}, "threads is 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"epsilon": -1.0}, "epsilon is -1.0"),
        ({"weight_decay": -0.1}, "weight_decay is -0.1"),
        ({"initial_scale": float("inf")}, "initial_scale is inf"),
        ({"betas": (0.9, 1.0)}, "betas are"),
        ({"class_weights": "auto"}, "class_weights is 'auto'"),
    ],
)
def test_impossible_settings(changed, words):
    with pytest.raises(InputError, match=words):
        train(*corpus(), **changed)


def test_layers_with_non_finite_means_are_named():
    means, emotions, parts = corpus(states=4)
    means[1, 3, 3] = np.nan
    means[3, 0, 0] = np.inf
    with pytest.raises(InputError, match=r"layers 2, 4 contain NaN"):
        train(means, emotions, parts)


def test_a_class_without_training_clips_and_empty_parts_are_named():
    means, emotions, parts = corpus()
    parts[1, (emotions == 3) & (parts[1] == arrangement.TRAIN)] = arrangement.VALIDATION
    parts[0, parts[0] == arrangement.TEST] = arrangement.UNUSED
    with pytest.raises(InputError) as caught:
        train(means, emotions, parts)
    assert len(caught.value.problems) == 2
    assert "seed 10 the test part is empty" in caught.value.problems[0]
    assert "seed 11 no training clip is sad" in caught.value.problems[1]


def test_divergence_is_an_error():
    means, emotions, parts = corpus()
    means[1] *= 1e37  # logits beyond float32 from the first step
    with pytest.raises(InputError, match="layers 2 never had a finite validation loss"):
        train(means, emotions, parts, initial_scale=1000.0)


def test_shapes_that_do_not_fit():
    means, emotions, parts = corpus()
    with pytest.raises(ValueError, match="do not fit together"):
        train(means, emotions[:-1], parts)
    with pytest.raises(ValueError, match="float64"):
        train(means.astype(np.float64), emotions, parts)


def test_progress_is_logged(caplog):
    with caplog.at_level(logging.INFO, logger="consonance.probes"):
        train(*corpus())
    assert "6 of 6 probes trained, about 0 s left" in caplog.messages


def test_tables():
    emotions = np.array([0, 1, 0, 1])
    result = probes.ProbeResult(
        predictions=np.array([[[0, -1, 1, -1]], [[-1, 1, -1, 0]]], dtype=np.int16),
        best_epoch=np.array([[3], [5]]),
        validation_accuracy=np.array([[0.5], [1.0]]),
        validation_loss=np.array([[0.7], [0.25]]),
        weights=None,
        biases=None,
    )
    predictions, tidy, confusion = probes.probe_tables(
        result, clips=["d", "c", "b", "a"], emotions=emotions, labels=["calm", "sad"],
        layers=[7], seeds=[1, 2], corpus="C", model="M", domain="song", scheme="random",
    )  # fmt: skip
    assert predictions.to_numpy().tolist() == [
        [1, 7, "b", "calm", "sad"],
        [1, 7, "d", "calm", "calm"],
        [2, 7, "a", "sad", "calm"],
        [2, 7, "c", "sad", "sad"],
    ]
    assert list(predictions.columns) == ["seed", "layer", "clip", "emotion", "predicted"]
    assert list(tidy.columns) == [
        "corpus", "model", "domain", "scheme", "seed", "layer", "metric", "emotion", "value",
    ]  # fmt: skip
    assert (tidy[["corpus", "model", "domain", "scheme"]] == ["C", "M", "song", "random"]).all(
        axis=None
    )
    assert tidy.loc[tidy["seed"] == 2, ["layer", "metric", "emotion", "value"]].fillna(
        -1
    ).to_numpy().tolist() == [
        [7, "accuracy", "", 0.5],
        [7, "uar", "", 0.5],
        [7, "recall", "calm", -1],
        [7, "recall", "sad", 0.5],
        [7, "best_epoch", "", 5.0],
        [7, "validation_accuracy", "", 1.0],
        [7, "validation_loss", "", 0.25],
    ]
    assert list(confusion.columns) == ["seed", "layer", "emotion", "predicted", "count"]
    assert confusion[confusion["count"] > 0].to_numpy().tolist() == [
        [1, 7, "calm", "calm", 1],
        [1, 7, "calm", "sad", 1],
        [2, 7, "sad", "calm", 1],
        [2, 7, "sad", "sad", 1],
    ]
    assert len(confusion) == 2 * 4


def test_tables_agree_with_a_real_result():
    means, emotions, parts = corpus()
    result = train(means, emotions, parts)
    predictions, tidy, confusion = probes.probe_tables(
        result, clips=[f"{i:03d}" for i in range(len(emotions))], emotions=emotions, labels=LABELS,
        layers=[1, 2, 3], seeds=[10, 11], corpus="C", model="M", domain="song", scheme="random",
    )  # fmt: skip
    right = predictions["emotion"] == predictions["predicted"]
    accuracy = right.groupby([predictions["seed"], predictions["layer"]]).mean()
    values = tidy[tidy["metric"] == "accuracy"].set_index(["seed", "layer"])["value"]
    pd.testing.assert_series_equal(accuracy, values, check_names=False)
    assert confusion["count"].sum() == len(predictions) == 3 * (parts == arrangement.TEST).sum()
