"""The wav2vec 2.0 family (arXiv 2006.11477), XLS-R included."""

import torch
from transformers import Wav2Vec2Config, Wav2Vec2Model

from consonance.encoders import checkpoints
from consonance.encoders.base import Encoder, ModelSpec
from consonance.encoders.convolutional import LEFT_OVER, OVERRIDES, ConvolutionalEncoder

MODEL_TYPES = ("wav2vec2",)
KEYS = checkpoints.KeyRules(
    prefixes=("wav2vec2.",),
    # Pre-training: the quantiser and its projections. The adapter follows the last block.
    left_over=(
        *LEFT_OVER,
        r"quantizer\.",
        r"project_q\.",
        r"project_hid\.",
        r"(wav2vec2\.)?adapter\.",
    ),
)


def build(
    spec: ModelSpec, *, device: str | torch.device, dtype: torch.dtype, attention: str
) -> Encoder:
    """Builds a wav2vec 2.0 encoder; see `consonance.encoders.load_encoder`."""
    if spec.source == "random":
        fields, normalise = dict(spec.architecture), bool(spec.normalise)
    else:
        fields = checkpoints.read_config(spec, MODEL_TYPES)
        normalise = checkpoints.normalisation(
            spec, checkpoints.read_preprocessor(spec), default=True
        )
    overrides = OVERRIDES | {"add_adapter": False}
    config = checkpoints.build_config(spec, Wav2Vec2Config, fields, overrides, attention=attention)
    model, files = checkpoints.build_model(spec, Wav2Vec2Model, config, KEYS)
    return ConvolutionalEncoder(
        spec, model, normalise=normalise, device=device, dtype=dtype, files=files
    )
