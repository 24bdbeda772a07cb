"""The HuBERT family (arXiv 2106.07447), and MERT (arXiv 2306.00107), which is a HuBERT at 24 kHz.

MERT's own loading code is not used: with the options that its released models have, it computes
what HuBERT computes. Options that would change the computation are refused.
"""

from collections.abc import Mapping
from typing import Any

import torch
from transformers import HubertConfig, HubertModel

from consonance.encoders import checkpoints
from consonance.encoders.base import Encoder, ModelSpec
from consonance.encoders.convolutional import LEFT_OVER, OVERRIDES, ConvolutionalEncoder
from consonance.errors import InputError

MODEL_TYPES = ("hubert", "mert_model")
KEYS = checkpoints.KeyRules(
    prefixes=("hubert.",),
    # Pre-training: the projection to cluster labels and their embeddings.
    left_over=(*LEFT_OVER, r"final_proj\.", r"label_embs_concat$", r"label_embeddings"),
)


def build(
    spec: ModelSpec, *, device: str | torch.device, dtype: torch.dtype, attention: str
) -> Encoder:
    """Builds a HuBERT or MERT encoder; see `consonance.encoders.load_encoder`."""
    if spec.source == "random":
        fields, normalise = dict(spec.architecture), bool(spec.normalise)
    else:
        fields = checkpoints.read_config(spec, MODEL_TYPES)
        _refuse_other_computations(spec, fields)
        normalise = checkpoints.normalisation(
            spec, checkpoints.read_preprocessor(spec), default=True
        )
    config = checkpoints.build_config(spec, HubertConfig, fields, OVERRIDES, attention=attention)
    model, files = checkpoints.build_model(spec, HubertModel, config, KEYS)
    return ConvolutionalEncoder(
        spec, model, normalise=normalise, device=device, dtype=dtype, files=files
    )


def _refuse_other_computations(spec: ModelSpec, fields: Mapping[str, Any]) -> None:
    """Raises `InputError` for MERT options that plain HuBERT does not compute."""
    changed = {
        "deepnorm": bool(fields.get("deepnorm", False)),
        "attention_relax": float(fields.get("attention_relax", -1.0)) > 0,
        "feature_extractor_cqt": bool(fields.get("feature_extractor_cqt", False)),
    }
    problems = [
        f"Model '{spec.name}': {spec.folder / 'config.json'} has {key} = {fields[key]}, which "
        "HuBERT does not compute; this model is not supported."
        for key, differs in changed.items()
        if differs
    ]
    if problems:
        raise InputError(problems)
