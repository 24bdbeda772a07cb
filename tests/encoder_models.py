"""Tiny models of every family, shared by the tests of encoders and extraction."""

import numpy as np
import torch
from transformers import (
    HubertConfig,
    HubertModel,
    Wav2Vec2Config,
    Wav2Vec2Model,
    WhisperConfig,
)
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from consonance.encoders import ModelSpec

CONVOLUTIONAL = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "conv_dim": [16, 16, 16, 16, 16, 16, 16],
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
LAYER_NORM = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
WHISPER = {
    "d_model": 32,
    "encoder_layers": 2,
    "encoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "num_mel_bins": 80,
}

# name: family, sampling rate, normalise, architecture, the library's configuration and model
MODELS = {
    "wav2vec2": ("wav2vec2", 16000, True, CONVOLUTIONAL, Wav2Vec2Config, Wav2Vec2Model),
    "layer norm": (
        "wav2vec2",
        16000,
        True,
        CONVOLUTIONAL | LAYER_NORM,
        Wav2Vec2Config,
        Wav2Vec2Model,
    ),
    "hubert": ("hubert", 16000, False, CONVOLUTIONAL, HubertConfig, HubertModel),
    "mert": ("hubert", 24000, True, CONVOLUTIONAL, HubertConfig, HubertModel),
    "hubert batch norm": (
        "hubert",
        16000,
        True,
        CONVOLUTIONAL | {"conv_pos_batch_norm": True, "feat_proj_layer_norm": False},
        HubertConfig,
        HubertModel,
    ),
    "whisper": ("whisper", 16000, False, WHISPER, WhisperConfig, WhisperEncoder),
}


def random_spec(name: str, seed: int = 3) -> ModelSpec:
    """Describes one of `MODELS` with random weights."""
    family, rate, normalise, architecture, _, _ = MODELS[name]
    return ModelSpec(
        name=name,
        family=family,
        source="random",
        sampling_rate=rate,
        normalise=normalise,
        architecture=architecture,
        seed=seed,
    )


def library_model(name: str, seed: int = 3) -> torch.nn.Module:
    """Builds the library's own model of `MODELS`, with the same weights as `random_spec`."""
    _, _, _, architecture, config_class, model_class = MODELS[name]
    fields = dict(architecture)
    if config_class is not WhisperConfig:
        fields |= {"mask_time_prob": 0.0, "layerdrop": 0.0}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return model_class(config_class(**fields)).eval()


def waves(*samples: int, seed: int = 0) -> list[np.ndarray]:
    """Draws noisy tones of these lengths and of different levels."""
    rng = np.random.default_rng(seed)
    result = []
    for index, n in enumerate(samples):
        tone = np.sin(np.arange(n) * (0.05 + 0.02 * index))
        level = 10.0 ** (-index % 4)
        result.append((level * 0.1 * (tone + 0.3 * rng.standard_normal(n))).astype(np.float32))
    return result
