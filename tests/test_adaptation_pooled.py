"""Tests of training on clip means, against the same training written with torch's own parts."""

import adaptation_data as data
import numpy as np
import pytest
import torch
from torch.nn import functional

from consonance.adaptation import approaches, checkpoints, pooled, stages, tables
from consonance.errors import InputError

LAYERS, DIM = 5, 11


@pytest.fixture(scope="module")
def corpus():
    table = data.manifest(speakers=8)
    rng = np.random.default_rng(1)
    means = rng.standard_normal((len(table), LAYERS, DIM)).astype(np.float32)
    means[(table["emotion"] == "angry").to_numpy(), 2] += 0.5
    arranged = stages.arrange(
        list(table["clip"]),
        table,
        data.drawn(table, seeds=[0, 3]),
        domains=data.DOMAINS,
        labels=data.LABELS,
        scheme="random",
    )
    return means, arranged


def train(corpus, *names, threads=1, **changes):
    means, arranged = corpus
    chosen = approaches.read(approaches.resolve(data.settings(run=list(names), **changes)))
    return pooled.train(
        means, arranged, list(chosen.values()), domains=data.DOMAINS, seeds=[0, 3],
        labels=data.LABELS, threads=threads,
    )  # fmt: skip


@pytest.fixture(scope="module")
def found(corpus):
    return train(corpus, "baseline", "ws")


def reference(corpus, approach, run, start):
    """Trains one run with torch; returns curves and the tensors of the best epoch."""
    means, arranged = corpus
    own, training = arranged[run.domain], approach.training
    clips = stages.clips_of(own, run)
    x = torch.from_numpy(means[own.rows])
    y = torch.tensor(own.emotions)
    weight, bias = stages.initial_head(run.seed, n_classes=2, dim=DIM, scale=1.0)
    tensors = start or {"head.weight": weight, "head.bias": bias, "layer_weights": np.zeros(LAYERS)}
    head, b, a = (
        torch.nn.Parameter(torch.tensor(tensors.get(name, np.zeros(LAYERS)), dtype=torch.float32))
        for name in ("head.weight", "head.bias", "layer_weights")
    )
    optimiser = torch.optim.AdamW(
        [head, b] + ([a] if approach.trains else []), lr=training.learning_rate, weight_decay=0.01
    )

    def logits(rows):
        return torch.einsum("k,nkd->nd", torch.softmax(a, 0), x[rows]) @ head.T + b

    curves, best = [], (-1.0, -np.inf)
    for epoch in range(1, training.epochs + 1):
        losses = []
        for rows in torch.from_numpy(stages.order(clips, run, epoch)).split(training.batch_size):
            optimiser.zero_grad()
            loss = functional.cross_entropy(logits(rows), y[rows])
            loss.backward()
            optimiser.step()
            losses += [loss.item()] * len(rows)
        with torch.no_grad():
            out = logits(clips.validation)
        right = (out.argmax(1) == y[clips.validation]).double().mean().item()
        loss = functional.cross_entropy(out, y[clips.validation]).item()
        curves.append([np.mean(losses), right, loss])
        if (right, -loss) > best:
            best, kept = (right, -loss), [p.detach().clone().numpy() for p in (head, b, a)]
    names = ("head.weight", "head.bias", "layer_weights")
    return np.array(curves), dict(zip(names, kept, strict=True))


@pytest.mark.parametrize("name", ["baseline", "ws"])
def test_training_is_that_of_torch(corpus, found, name):
    approach = data.approach(name)
    results = {r.run: r for r in found[name]}
    for run, result in results.items():
        start = None if run.start is None else results[run.start].tensors
        curves, kept = reference(corpus, approach, run, start)
        # Both sum in float32, in another order; a few steps keep that small.
        np.testing.assert_allclose(result.curves, curves, rtol=1e-4, atol=1e-5)
        for tensor, values in result.tensors.items():
            np.testing.assert_allclose(values, kept[tensor], rtol=1e-3, atol=1e-5)


def test_every_run_of_the_plan_is_there(found):
    names = {(r.run.direction, r.run.stage, r.run.fraction, r.run.seed) for r in found["ws"]}
    assert len(names) == len(found["ws"]) == 2 * 2 * 2 * 2


def test_the_baseline_trains_the_head_alone(found):
    assert {frozenset(r.tensors) for r in found["baseline"]} == {
        frozenset({"head.weight", "head.bias"})
    }
    assert {r.parameters for r in found["baseline"]} == {2 * (DIM + 1)}
    assert {r.parameters for r in found["ws"]} == {2 * (DIM + 1) + LAYERS}


def test_layer_weights_find_the_layer_that_tells(corpus):
    long = train(corpus, "ws", training={"epochs": 40})["ws"]
    mean = np.mean([r.tensors["layer_weights"] for r in long if r.run.fraction == 1], axis=0)
    assert mean.argmax() == 2


def test_the_number_of_threads_changes_no_bit(corpus, found):
    again = train(corpus, "ws", threads=3)["ws"]
    for one, other in zip(found["ws"], again, strict=True):
        assert one.run == other.run
        assert (one.curves == other.curves).all()
        assert all((one.tensors[name] == other.tensors[name]).all() for name in one.tensors)


def test_saved_stages_reload_to_the_same_predictions(corpus, found, tmp_path):
    means, arranged = corpus
    path = tmp_path / "pooled.safetensors"
    checkpoints.write(path, tables.tensors(found), configuration={"a": 1})
    tensors, _ = checkpoints.read(path, configuration={"a": 1})
    for name, results in found.items():
        for result in (r for r in results if r.run.fraction == 1):
            prefix = f"{name}/{result.run.direction}/{result.run.stage}/{result.run.seed}/"
            own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            domain = arranged[result.run.domain]
            test = stages.clips_of(domain, result.run).test
            again = pooled.predict(means, domain.rows[test], own, layers=LAYERS)
            assert (again == result.predicted).all()


def test_means_that_are_not_finite_are_named(corpus):
    means, arranged = corpus
    broken = means.copy()
    broken[3, 1] = np.nan
    with pytest.raises(InputError, match="layers 2 contain NaN"):
        train((broken, arranged), "ws")


def test_a_loss_that_is_not_finite_ends_the_training(corpus):
    means, arranged = corpus
    with pytest.raises(InputError, match="loss is not finite in epoch 1; lower"):
        train((means * np.float32(1e30), arranged), "baseline")


def test_an_approach_inside_the_encoder_needs_more_than_means(corpus):
    with pytest.raises(ValueError, match="peft cannot be trained on clip means"):
        train(corpus, "peft")
