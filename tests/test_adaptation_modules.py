"""Tests of the adapted encoder: what it computes at the start, and what of it is trained."""

import adaptation_data as data
import numpy as np
import pytest
import torch
from encoder_models import random_spec, waves
from torch.nn import functional

from consonance.adaptation import approaches, modules
from consonance.encoders import load_encoder
from consonance.errors import InputError

FAMILIES = ("wav2vec2", "layer norm", "hubert", "whisper")
IDENTITY = {"function": "identity", "initial": 1.0, "place": "path"}
SIZES = {"trains": list(approaches.PARTS), "learning_rate": 0.01, "fractions": [1.0]}


def adapted(family="wav2vec2", seed=0, **own):
    chosen = data.approach("peft", approaches={"peft": {**SIZES, **own}})
    encoder = load_encoder(random_spec(family), device="cpu")
    model = modules.AdaptedEncoder(encoder, chosen, n_classes=6)
    model.reset(seed=seed, initial_scale=1.0)
    return model


def inputs(encoder, *samples):
    with torch.no_grad():
        return encoder.front_end([encoder.prepare(w) for w in waves(*(samples or (4000, 5500)))])


def shares(counts, width):
    share = torch.zeros(len(counts), len(counts), width)
    for number, count in enumerate(counts):
        share[number, number, :count] = 1 / count
    return share


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("place", ["path", "readout"])
def test_at_the_start_the_states_are_those_of_the_frozen_encoder(family, place):
    model = adapted(
        family,
        gate=IDENTITY | {"place": place},
        adapter={"places": ["attention", "output"]},
        lora={"modules": ["q_proj", "k_proj", "v_proj", "out_proj"]},
    )
    frozen = load_encoder(random_spec(family), device="cpu")
    hidden, counts = inputs(frozen)
    with torch.no_grad():
        expected = list(frozen.run_blocks(hidden, counts))
        found = list(model.states(hidden, counts))
    assert len(found) == len(frozen.blocks)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("family", FAMILIES)
def test_with_a_sigmoid_on_the_readout_they_are_a_known_multiple(family):
    model = adapted(family, gate={"function": "sigmoid", "initial": 1.0, "place": "readout"})
    frozen = load_encoder(random_spec(family), device="cpu")
    hidden, counts = inputs(frozen)
    factor = torch.sigmoid(torch.ones(()))
    assert factor.item() == pytest.approx(0.731, abs=5e-4)
    with torch.no_grad():
        for one, other in zip(
            model.states(hidden, counts), frozen.run_blocks(hidden, counts), strict=True
        ):
            assert torch.equal(one, other * factor)


def test_the_first_state_on_the_path_is_a_known_multiple_too():
    model = adapted(gate={"function": "sigmoid", "initial": 1.0, "place": "path"})
    hidden, counts = inputs(model.encoder)
    frozen = load_encoder(random_spec("wav2vec2"), device="cpu")
    with torch.no_grad():
        first = next(model.states(hidden, counts))
        expected = next(frozen.run_blocks(hidden, counts))
    assert torch.equal(first, expected * torch.sigmoid(torch.ones(())))


@pytest.mark.parametrize("family", ["wav2vec2", "whisper"])
@pytest.mark.parametrize(
    "trains",
    [["lora"], ["adapter"], ["gate"], ["layer_weights"], [], list(approaches.PARTS)],
    ids=lambda parts: "+".join(parts) or "head",
)
def test_only_what_is_meant_has_a_gradient_and_changes(family, trains):
    model = adapted(family, trains=trains, adapter={"places": ["attention", "output"]})
    before = {name: value.clone() for name, value in model.state_dict().items()}
    meant = {id(parameter) for parameter in model.trained.values()}
    assert {id(p) for p in model.parameters() if p.requires_grad} == meant
    optimiser = torch.optim.AdamW(model.trained.values(), lr=0.1)
    hidden, counts = inputs(model.encoder)
    for _ in range(2):  # the first step moves what starts at 0, and then the rest has a gradient
        loss = functional.cross_entropy(
            model(hidden, counts, shares(counts, hidden.shape[1])), torch.tensor([0, 1])
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    names = {id(p): name for name, p in model.named_parameters()}
    for parameter in model.parameters():
        moved = not torch.equal(parameter, before[names[id(parameter)]])
        assert moved == (id(parameter) in meant), names[id(parameter)]
        assert (parameter.grad is not None) == (id(parameter) in meant)
    assert not any(part.training for part in model.modules())


def test_their_number_is_the_closed_form():
    places = ["attention", "output"]
    model = adapted(
        lora={"modules": ["q_proj", "intermediate_dense"], "rank": 3},
        adapter={"width": 5, "places": places},
    )
    dim, layers, inner = 32, 3, 48
    counts = modules.parameter_count(
        model.approach,
        n_layers=layers,
        dim=dim,
        n_classes=6,
        linear_shapes=[(dim, dim), (dim, inner)] * layers,
    )
    assert counts == {
        "head": 6 * 33,
        "layer_weights": 3,
        "gate": 96,
        "lora": 3 * (3 * 64 + 3 * 80),
        "adapter": 2 * 3 * (2 * 32 * 5 + 5 + 32),
    }
    assert sum(counts.values()) == sum(p.numel() for p in model.trained.values())


def test_at_base_size_they_are_the_numbers_of_the_source():
    chosen = data.approach(
        "peft", lora={"modules": ["q_proj", "k_proj", "v_proj", "out_proj"], "rank": 8},
        adapter={"width": 64},
    )  # fmt: skip
    assert modules.parameter_count(
        chosen, n_layers=12, dim=768, n_classes=6, linear_shapes=[(768, 768)] * 48
    ) == {
        "head": 4614,
        "layer_weights": 12,
        "gate": 9216,
        "lora": 589824,
        "adapter": 1189632,
    }


def test_lora_adds_what_its_scaling_says():
    model = adapted(trains=["lora"], lora={"modules": ["fc1"], "rank": 4, "alpha": 2.0}, seed=1,
                    family="whisper")  # fmt: skip
    layer = model.encoder.blocks[0].fc1
    with torch.no_grad():
        model.trained["lora.0.fc1.B"].copy_(torch.randn(48, 4))
        x = torch.randn(3, 32)
        a, b = model.trained["lora.0.fc1.A"], model.trained["lora.0.fc1.B"]
        expected = layer.base_layer(x) + 2.0 / 4 * x @ a.T @ b.T
        # Two float32 products in another order.
        torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-5)


def test_the_seed_decides_and_parts_do_not_change_each_other():
    whole, alone = adapted(seed=2), adapted(seed=2, trains=["lora"])
    for name, values in alone.tensors().items():
        assert (values == whole.tensors()[name]).all()
    other = adapted(seed=3).tensors()
    assert (other["head.weight"] != whole.tensors()["head.weight"]).any()
    state = torch.get_rng_state()
    adapted(seed=2)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_clip_is_pooled_over_its_own_frames(family):
    model = adapted(family, seed=1)
    with torch.no_grad():
        for parameter in model.trained.values():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator()))
        hidden, counts = inputs(model.encoder, 4000, 9000)
        both = model(hidden, counts, shares(counts, hidden.shape[1]))
        for number, samples in enumerate((4000, 9000)):
            wave = model.encoder.prepare(waves(4000, 9000)[number])
            one, count = model.encoder.front_end([wave])
            alone = model(one, count, shares(count, one.shape[1]))
            assert samples == len(wave)
            # A batch changes the order of float32 sums only.
            torch.testing.assert_close(both[number : number + 1], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["wav2vec2", "hubert", "mert", "whisper"])
def test_the_linear_layers_of_a_family_are_those_of_its_blocks(family):
    spec = random_spec(family)
    block = load_encoder(spec, device="cpu").blocks[0]
    linears = [
        name.split(".")[-1]
        for name, part in block.named_modules()
        if isinstance(part, torch.nn.Linear)
    ]
    assert sorted(approaches.LINEAR_LAYERS[spec.family]) == sorted(linears)


def test_a_layer_name_that_matches_nothing_is_refused():
    with pytest.raises(InputError, match=r"names query, which matches no linear layer.*q_proj"):
        adapted(lora={"modules": ["q_proj", "query"]})


def test_tensors_of_another_head_or_approach_are_refused():
    model = adapted()
    tensors = model.tensors()
    fewer = tensors | {"head.weight": tensors["head.weight"][:5]}
    with pytest.raises(InputError, match=r"'head.weight' has shape \(5, 32\).*\(6, 32\)"):
        model.load(fewer)
    del tensors["gates"]
    with pytest.raises(InputError, match="lacks tensor 'gates'"):
        model.load(tensors)


def test_the_frozen_product_has_the_gradient_of_the_plain_one():
    plain = torch.nn.Linear(7, 5).requires_grad_(False)
    frozen = modules.FrozenLinear(7, 5).requires_grad_(False)
    frozen.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 7, requires_grad=True)
    gradient = torch.randn(2, 3, 5)
    (expected,) = torch.autograd.grad(plain(x), x, gradient)
    (found,) = torch.autograd.grad(frozen(x), x, gradient)
    # Another library sums in another order.
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert np.isfinite(found.numpy()).all()
