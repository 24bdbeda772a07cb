"""Encoders against the library's plain models, one clip at a time."""

import numpy as np
import pytest
import torch
from encoder_models import CONVOLUTIONAL, MODELS, library_model, random_spec, waves
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Wav2Vec2FeatureExtractor, WhisperFeatureExtractor

from consonance.encoders import ModelSpec, load_encoder
from consonance.encoders.linear import Linear, linear
from consonance.errors import InputError

# A clip's states must be the same in every batch to 1e-5 of their largest value: float32 has
# 1.2e-7, and the layers' rounding adds up to some 1e-6.
TOLERANCE = 1e-5


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


def library_states(name: str, wave: np.ndarray) -> tuple[torch.Tensor, ...]:
    """The states as the library's feature extractor and model give them for one clip."""
    family, rate, normalise, *_ = MODELS[name]
    if family == "whisper":
        features = WhisperFeatureExtractor()(wave, sampling_rate=rate, return_tensors="pt")
        inputs = features.input_features
    else:
        extractor = Wav2Vec2FeatureExtractor(sampling_rate=rate, do_normalize=normalise)
        inputs = extractor(wave, sampling_rate=rate, return_tensors="pt").input_values
    with torch.no_grad():
        return library_model(name)(inputs, output_hidden_states=True).hidden_states


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", MODELS)
def test_states_in_a_batch_equal_the_library_one_clip_at_a_time(name, attention):
    encoder = load_encoder(random_spec(name), device="cpu", attention=attention)
    clips = waves(16000, 400, 9001, 31999, 16000, 725)
    states, counts = encoder.states([encoder.prepare(clip) for clip in clips])
    assert len(states) == encoder.n_states == len(encoder.blocks) + 1
    for index, clip in enumerate(clips):
        expected = library_states(name, clip)
        assert len(expected) == encoder.n_states
        count = counts[index]
        assert count == encoder.frames(len(clip))
        if encoder.family != "whisper":
            assert count == expected[0].shape[1]
        for state, library in zip(states, expected, strict=True):
            assert relative(state[index, :count], library[0, :count]) < TOLERANCE


@pytest.mark.parametrize("name", ["wav2vec2", "layer norm", "hubert"])
@settings(max_examples=8, deadline=None)
@given(lengths=st.lists(st.integers(400, 12000), min_size=2, max_size=5), seed=st.integers(0, 9))
def test_a_clip_does_not_depend_on_its_neighbours(name, lengths, seed):
    encoder = load_encoder(random_spec(name), device="cpu")
    clips = [encoder.prepare(wave) for wave in waves(*lengths, seed=seed)]
    together, counts = encoder.states(clips)
    for index, clip in enumerate(clips):
        alone, _ = encoder.states([clip])
        for a, b in zip(together, alone, strict=True):
            assert relative(a[index, : counts[index]], b[0, : counts[index]]) < TOLERANCE


def test_a_quiet_clip_is_scaled_by_its_own_variance():
    encoder = load_encoder(random_spec("wav2vec2"), device="cpu")
    loud, quiet = waves(8000)[0], waves(8000)[0] * 1e-2
    a, _ = encoder.states([encoder.prepare(loud)])
    b, _ = encoder.states([encoder.prepare(quiet)])
    # The constant 1e-7 beside a variance of 5e-7 leaves a difference; without the per-clip
    # scaling it would be far larger.
    assert relative(b[-1], a[-1]) < 0.1
    assert encoder.prepare(np.zeros(500, np.float32)).tolist() == [0.0] * 500


def test_frames_and_sizes():
    encoder = load_encoder(random_spec("wav2vec2"), device="cpu")
    assert encoder.minimum_samples == 400
    assert encoder.frames(399) == 0 and encoder.frames(400) == 1 and encoder.frames(720) == 2
    assert encoder.frames(16000) == 49
    assert encoder.frames_per_second == 50.0 and encoder.maximum_samples is None
    assert load_encoder(random_spec("mert"), device="cpu").frames_per_second == 75.0
    with pytest.raises(ValueError, match="400 samples"):
        encoder.states([np.zeros(399, np.float32)])
    whisper = load_encoder(random_spec("whisper"), device="cpu")
    assert whisper.frames(1) == 1 and whisper.frames(320) == 1 and whisper.frames(321) == 2
    assert whisper.frames_per_second == 50.0 and whisper.maximum_samples == 480000
    with pytest.raises(ValueError, match="480000 samples"):
        whisper.states([np.zeros(480001, np.float32)])


def test_log_mel_equals_the_library():
    encoder = load_encoder(random_spec("whisper"), device="cpu")
    clips = waves(48000, 1, 480000)
    expected = WhisperFeatureExtractor()(clips, sampling_rate=16000, return_tensors="pt")
    # The sums of the mel filters may be taken in another order: 1e-5 of levels near 1.
    torch.testing.assert_close(
        encoder.log_mel(clips), expected.input_features, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("name", ["wav2vec2", "whisper"])
def test_front_end_and_blocks_together_are_the_states(name):
    encoder = load_encoder(random_spec(name), device="cpu")
    clips = [encoder.prepare(wave) for wave in waves(4000, 2500)]
    states, counts = encoder.states(clips)
    hidden, again = encoder.front_end(clips)
    assert again == counts
    torch.testing.assert_close(hidden, states[0], rtol=0, atol=0)
    for a, b in zip(encoder.run_blocks(hidden, counts), states[1:], strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_gradients_reach_what_is_added_to_the_blocks_and_nothing_else():
    encoder = load_encoder(random_spec("wav2vec2"), device="cpu")
    assert not encoder.training and not any(p.requires_grad for p in encoder.parameters())
    hidden, counts = encoder.front_end([encoder.prepare(w) for w in waves(4000, 2500)])
    gate = torch.ones(32, requires_grad=True)
    *_, last = encoder.run_blocks(hidden * gate, counts)
    last.sum().backward()
    assert gate.grad is not None and torch.isfinite(gate.grad).all()
    assert all(p.grad is None for p in encoder.parameters())
    assert isinstance(encoder.blocks[0].attention.q_proj, torch.nn.Linear)


def test_random_weights_depend_on_the_seed_and_leave_the_global_generator_alone():
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    first = load_encoder(random_spec("wav2vec2"), device="cpu")
    assert torch.equal(torch.rand(3), expected)
    again = load_encoder(random_spec("wav2vec2"), device="cpu")
    other = load_encoder(random_spec("wav2vec2", seed=4), device="cpu")
    assert first.record() == again.record()
    assert first.record()["sha256"] != other.record()["sha256"]
    assert (
        first.record()["parameters"]
        == sum(p.numel() for p in library_model("wav2vec2").parameters()) - 16
    )  # the weight norm's 16 lengths are folded into the weight


def test_bfloat16_is_near_float32_and_gives_float32():
    exact = load_encoder(random_spec("wav2vec2"), device="cpu")
    rough = load_encoder(random_spec("wav2vec2"), device="cpu", dtype=torch.bfloat16)
    clips = [exact.prepare(wave) for wave in waves(8000, 5000)]
    a, b = exact.states(clips)[0], rough.states(clips)[0]
    assert all(state.dtype == torch.float32 for state in b)
    # 8 bits of mantissa through a dozen layers; and it must not be float32 in disguise.
    assert 1e-4 < relative(b[-1], a[-1]) < 0.1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"family": "mockingjay"}, "family 'mockingjay' is unknown; use one of hubert, wav2vec2"),
        ({"architecture": {"hiden_size": 3}}, "unknown fields hiden_size"),
        ({"architecture": CONVOLUTIONAL | {"feat_extract_norm": "batch"}}, "batch"),
        ({"architecture": CONVOLUTIONAL | {"num_attention_heads": 5}}, "num_heads"),
        ({"seed": None}, "needs a seed"),
        ({"normalise": None}, "set normalise"),
        ({"source": "cloud"}, "source is 'cloud'"),
        ({"source": "folder"}, "folder with its files is not given"),
    ],
)
def test_wrong_descriptions(fields, message):
    good = {
        "name": "m",
        "family": "wav2vec2",
        "source": "random",
        "sampling_rate": 16000,
        "normalise": True,
        "architecture": CONVOLUTIONAL,
        "seed": 1,
    }
    with pytest.raises(InputError, match=message):
        load_encoder(ModelSpec(**(good | fields)), device="cpu")


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(0, 9), inner=st.integers(1, 40), outer=st.integers(1, 40))
def test_linear_is_a_matrix_product(rows, inner, outer):
    rng = np.random.default_rng(rows + 10 * inner + 400 * outer)
    x, weight, bias = (
        torch.from_numpy(rng.standard_normal(shape).astype(np.float32))
        for shape in ((2, rows, inner), (outer, inner), (outer,))
    )
    expected = x.double() @ weight.double().T + bias.double()
    # Sums of at most 40 products of standard normal numbers in float32.
    torch.testing.assert_close(linear(x, weight, bias).double(), expected, rtol=1e-4, atol=1e-5)
    layer = torch.nn.Linear(inner, outer)
    values = layer(x)
    layer.__class__ = Linear
    torch.testing.assert_close(layer(x), values, rtol=1e-4, atol=1e-5)
