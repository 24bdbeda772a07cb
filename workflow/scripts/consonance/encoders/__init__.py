"""Encoders: the pretrained models whose states the workflow reads, one family per module."""

import torch

from consonance.encoders import hubert, wav2vec2, whisper
from consonance.encoders.base import Encoder, ModelSpec
from consonance.errors import InputError

__all__ = ["DTYPES", "FAMILIES", "Encoder", "ModelSpec", "load_encoder"]

FAMILIES = {
    "wav2vec2": wav2vec2.build,
    "hubert": hubert.build,
    "whisper": whisper.build,
}
"""Families by name; each builds an `Encoder` from a `ModelSpec`."""

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""Names of the arithmetic a configuration may ask for."""


def load_encoder(
    spec: ModelSpec,
    *,
    device: str | torch.device,
    dtype: torch.dtype = torch.float32,
    attention: str = "sdpa",
) -> Encoder:
    """Builds an encoder with its weights, frozen, in evaluation mode, on a device.

    Weights are held in float32; `dtype` is the type of the matrix products.

    Args:
        spec: what to load.
        device: "cpu", "cuda" or a torch device.
        dtype: float32, bfloat16 or float16.
        attention: "sdpa" (fused) or "eager" (plain matrix products).

    Returns:
        The encoder.

    Raises:
        InputError: an unknown family, files that are missing, broken or do not fit, or a
            configuration that would need code the library does not have.
    """
    if spec.family not in FAMILIES:
        raise InputError(
            f"Model '{spec.name}': family '{spec.family}' is unknown; use one of "
            f"{', '.join(sorted(FAMILIES))}."
        )
    return FAMILIES[spec.family](spec, device=device, dtype=dtype, attention=attention)
