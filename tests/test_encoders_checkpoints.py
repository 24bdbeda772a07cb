"""Checkpoints with the released models' key names and layout, in small."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from encoder_models import CONVOLUTIONAL, LAYER_NORM, WHISPER, library_model, random_spec, waves
from safetensors.torch import save_file

from consonance.encoders import ModelSpec, load_encoder
from consonance.errors import InputError

PARAMETRISED = "encoder.pos_conv_embed.conv.parametrizations.weight.original"


def weights(name: str, *, old_names: bool) -> dict[str, torch.Tensor]:
    """The library's state dictionary, with weight-norm names as in the released files."""
    state = {k: v.clone() for k, v in library_model(name).state_dict().items()}
    if old_names:
        for number, old in ((0, "weight_g"), (1, "weight_v")):
            state[f"encoder.pos_conv_embed.conv.{old}"] = state.pop(f"{PARAMETRISED}{number}")
    return state


def write(
    folder: Path, config: dict, state: dict, file: str, preprocessor: dict | None
) -> ModelSpec:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    if preprocessor is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    if file.endswith(".safetensors"):
        save_file({k: v.contiguous() for k, v in state.items()}, folder / file)
    else:
        torch.save(state, folder / file)
    return spec(folder, config["model_type"])


def spec(folder: Path, model_type: str, **fields) -> ModelSpec:
    family = {"mert_model": "hubert"}.get(model_type, model_type)
    rate = 24000 if model_type == "mert_model" else 16000
    given = {"name": "m", "family": family, "source": "hub", "sampling_rate": rate}
    return ModelSpec(**(given | {"folder": folder} | fields))


PREPROCESSOR = {"do_normalize": True, "sampling_rate": 16000, "feature_size": 1}


def base_960h(folder: Path, change=lambda state: None) -> ModelSpec:
    """facebook/wav2vec2-base-960h: safetensors, prefix, CTC head, mask embedding."""
    state = {f"wav2vec2.{k}": v for k, v in weights("wav2vec2", old_names=True).items()}
    state |= {"lm_head.weight": torch.zeros(32, 32), "lm_head.bias": torch.zeros(32)}
    state["wav2vec2.masked_spec_embed"] = torch.zeros(32)
    change(state)
    config = CONVOLUTIONAL | {
        "model_type": "wav2vec2",
        "architectures": ["Wav2Vec2ForCTC"],
        "mask_time_prob": 0.05,
        "layerdrop": 0.1,
        "hidden_dropout": 0.1,
        "gradient_checkpointing": False,
        "transformers_version": "4.7.0.dev0",
    }
    return write(folder, config, state, "model.safetensors", PREPROCESSOR)


def base_pretrained(folder: Path) -> ModelSpec:
    """facebook/wav2vec2-base: a pickle, prefix, quantiser and projections."""
    state = {f"wav2vec2.{k}": v for k, v in weights("wav2vec2", old_names=True).items()}
    state |= {
        "wav2vec2.masked_spec_embed": torch.zeros(32),
        "quantizer.codevectors": torch.zeros(1, 4, 4),
        "quantizer.weight_proj.weight": torch.zeros(4, 16),
        "quantizer.weight_proj.bias": torch.zeros(4),
        "project_q.weight": torch.zeros(4, 4),
        "project_q.bias": torch.zeros(4),
        "project_hid.weight": torch.zeros(4, 32),
        "project_hid.bias": torch.zeros(4),
    }
    config = CONVOLUTIONAL | {"model_type": "wav2vec2", "architectures": ["Wav2Vec2ForPreTraining"]}
    return write(folder, config, state, "pytorch_model.bin", PREPROCESSOR)


def hubert_base(folder: Path) -> ModelSpec:
    """facebook/hubert-base-ls960: a pickle without prefix."""
    state = weights("hubert", old_names=True) | {"masked_spec_embed": torch.zeros(32)}
    config = CONVOLUTIONAL | {"model_type": "hubert", "architectures": ["HubertModel"]}
    return write(folder, config, state, "pytorch_model.bin", PREPROCESSOR | {"do_normalize": False})


def mert(folder: Path, **fields) -> ModelSpec:
    """m-a-p/MERT-v1-95M: HuBERT's keys under a model type of its own."""
    state = weights("mert", old_names=True) | {"masked_spec_embed": torch.zeros(32)}
    config = CONVOLUTIONAL | {
        "model_type": "mert_model",
        "architectures": ["MERTModel"],
        "auto_map": {"AutoModel": "modeling_MERT.MERTModel"},
        "deepnorm": False,
        "attention_relax": -1.0,
        "feature_extractor_cqt": False,
        "feature_extractor_cqt_bins": 336,
        "sample_rate": 24000,
    }
    preprocessor = PREPROCESSOR | {"sampling_rate": 24000}
    return write(folder, config | fields, state, "pytorch_model.bin", preprocessor)


def xls_r(folder: Path) -> ModelSpec:
    """facebook/wav2vec2-xls-r-300m: layer-norm front end, current weight-norm names."""
    state = {f"wav2vec2.{k}": v for k, v in weights("layer norm", old_names=False).items()}
    config = CONVOLUTIONAL | LAYER_NORM | {"model_type": "wav2vec2"}
    return write(folder, config, state, "model.safetensors", PREPROCESSOR)


def whisper(folder: Path) -> ModelSpec:
    """openai/whisper: float16, the encoder beside a decoder."""
    state = {
        f"model.encoder.{k}": v.half() for k, v in library_model("whisper").state_dict().items()
    }
    state |= {
        "model.decoder.embed_tokens.weight": torch.zeros(5, 32),
        "proj_out.weight": torch.zeros(5, 32),
    }
    config = WHISPER | {
        "model_type": "whisper",
        "architectures": ["WhisperForConditionalGeneration"],
    }
    preprocessor = {
        "feature_size": 80,
        "sampling_rate": 16000,
        "hop_length": 160,
        "chunk_length": 30,
        "n_fft": 400,
        "dither": 0.0,
        "feature_extractor_type": "WhisperFeatureExtractor",
    }
    return write(folder, config, state, "model.safetensors", preprocessor)


@pytest.mark.parametrize(
    ("make", "original"),
    [
        (base_960h, "wav2vec2"),
        (base_pretrained, "wav2vec2"),
        (hubert_base, "hubert"),
        (mert, "mert"),
        (xls_r, "layer norm"),
        (whisper, "whisper"),
    ],
)
def test_released_layouts_give_the_states_of_the_model_they_came_from(tmp_path, make, original):
    encoder = load_encoder(make(tmp_path / "model"), device="cpu")
    reference = load_encoder(random_spec(original), device="cpu")
    assert encoder.normalise == reference.normalise
    clips = [encoder.prepare(wave) for wave in waves(4000, 2000)]
    a, counts = encoder.states(clips)
    b, _ = reference.states(clips)
    # The float16 checkpoint is rounded to 11 bits; the others hold the same numbers.
    tolerance = 1e-2 if original == "whisper" else 1e-6
    for state, expected in zip(a, b, strict=True):
        for index, count in enumerate(counts):
            difference = (state[index, :count] - expected[index, :count]).abs().max()
            assert difference <= tolerance * expected.abs().max()
    assert all(p.dtype == torch.float32 for p in encoder.parameters())
    (digest,) = encoder.record()["sha256"].values()
    assert len(digest) == 64


def test_keys_that_are_missing_or_unexpected_are_named(tmp_path):
    def change(state):
        del state["wav2vec2.encoder.layers.1.attention.k_proj.weight"]
        del state["wav2vec2.encoder.pos_conv_embed.conv.weight_g"]
        state["wav2vec2.encoder.layers.3.attention.k_proj.weight"] = torch.zeros(32, 32)
        state["speaker_head.weight"] = torch.zeros(3)

    with pytest.raises(InputError) as caught:
        load_encoder(base_960h(tmp_path, change), device="cpu")
    unexpected, missing = caught.value.problems
    assert "missing" in missing and "encoder.layers.1.attention.k_proj.weight" in missing
    assert f"{PARAMETRISED}0" in missing
    assert "wav2vec2.encoder.layers.3.attention.k_proj.weight, speaker_head.weight" not in missing
    assert "speaker_head.weight" in unexpected and "layers.3.attention" in unexpected
    assert "lm_head" not in unexpected and str(tmp_path) in missing


def test_a_head_without_an_encoder_is_all_missing(tmp_path):
    state = {"lm_head.weight": torch.zeros(2, 2)}
    one = write(
        tmp_path,
        CONVOLUTIONAL | {"model_type": "wav2vec2"},
        state,
        "pytorch_model.bin",
        PREPROCESSOR,
    )
    with pytest.raises(InputError, match=r"weights are missing: .* and \d+ more"):
        load_encoder(one, device="cpu")


def test_other_shapes_and_twice_given_keys_are_named(tmp_path):
    def reshape(state):
        state["wav2vec2.feature_projection.projection.weight"] = torch.zeros(31, 16)

    with pytest.raises(InputError, match=r"projection.weight \(31, 16\) instead of \(32, 16\)"):
        load_encoder(base_960h(tmp_path / "a", reshape), device="cpu")

    def double(state):
        key = "wav2vec2.encoder.pos_conv_embed.conv."
        state[f"{key}parametrizations.weight.original0"] = state[f"{key}weight_g"].clone()

    with pytest.raises(InputError, match="two names"):
        load_encoder(base_960h(tmp_path / "b", double), device="cpu")


@pytest.mark.parametrize(
    ("field", "value"),
    [("deepnorm", True), ("attention_relax", 32.0), ("feature_extractor_cqt", True)],
)
def test_options_of_mert_that_hubert_does_not_compute_are_refused(tmp_path, field, value):
    with pytest.raises(InputError, match=f"{field} = {value}"):
        load_encoder(mert(tmp_path, **{field: value}), device="cpu")


def test_rates_and_normalisation_must_agree_with_the_files(tmp_path):
    base_960h(tmp_path)
    with pytest.raises(InputError, match=r"sampling_rate 24000.*says 16000"):
        load_encoder(spec(tmp_path, "wav2vec2", sampling_rate=24000), device="cpu")
    with pytest.raises(InputError, match=r"normalise False.*do_normalize True"):
        load_encoder(spec(tmp_path, "wav2vec2", normalise=False), device="cpu")
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(InputError, match=r"has no preprocessor_config\.json"):
        load_encoder(spec(tmp_path, "wav2vec2"), device="cpu")
    assert not load_encoder(spec(tmp_path, "wav2vec2", normalise=False), device="cpu").normalise


def test_whisper_preprocessing_must_fit_the_model(tmp_path):
    whisper(tmp_path)
    path = tmp_path / "preprocessor_config.json"
    fields = json.loads(path.read_text())
    path.write_text(json.dumps(fields | {"feature_size": 128, "chunk_length": 20, "dither": 1e-4}))
    with pytest.raises(InputError) as caught:
        load_encoder(spec(tmp_path, "whisper"), device="cpu")
    assert len(caught.value.problems) == 3


def test_files_that_are_missing_or_broken(tmp_path):
    with pytest.raises(InputError, match=r"has no config\.json"):
        load_encoder(spec(tmp_path, "wav2vec2"), device="cpu")
    base_960h(tmp_path)
    with pytest.raises(
        InputError, match=r"model_type 'wav2vec2', but family 'hubert' reads hubert"
    ):
        load_encoder(spec(tmp_path, "hubert"), device="cpu")
    weights_file = tmp_path / "model.safetensors"
    weights_file.write_bytes(weights_file.read_bytes()[:-100])
    with pytest.raises(InputError, match="cannot be read as weights"):
        load_encoder(spec(tmp_path, "wav2vec2"), device="cpu")
    weights_file.unlink()
    with pytest.raises(InputError, match=r"has no weights; one of model.safetensors or pytorch"):
        load_encoder(spec(tmp_path, "wav2vec2"), device="cpu")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        load_encoder(spec(tmp_path, "wav2vec2"), device="cpu")


def test_a_pickle_with_more_than_tensors_is_refused(tmp_path):
    one = hubert_base(tmp_path)
    torch.save({"weight": np.random.default_rng}, tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match="cannot be read as weights"):
        load_encoder(one, device="cpu")
    torch.save(["not", "a", "table"], tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match="not a table of weights"):
        load_encoder(one, device="cpu")
