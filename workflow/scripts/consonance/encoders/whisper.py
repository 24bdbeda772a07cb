"""The encoder of Whisper (arXiv 2212.04356).

The model always sees 30 s: 3,000 log-mel frames, 1,500 encoder frames. A shorter clip is padded
with silence, which its frames attend to, as in training; only the frames that hold the clip are
valid. A longer clip must be cut.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import WhisperConfig, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from consonance.encoders import checkpoints
from consonance.encoders.base import Encoder, ModelSpec, freeze
from consonance.encoders.linear import speed_up
from consonance.errors import InputError

MODEL_TYPES = ("whisper",)
KEYS = checkpoints.KeyRules(
    prefixes=("model.encoder.", "encoder."),
    left_over=(r"(model\.)?decoder\.", r"proj_out\."),
)
OVERRIDES = {
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "encoder_layerdrop": 0.0,
    "apply_spec_augment": False,
}
FRAMES_PER_SECOND = 50  # of the encoder, at the library's default hop of 10 ms and stride of 2
# What the feature extractor reads from preprocessor_config.json.
FEATURES = ("feature_size", "sampling_rate", "hop_length", "chunk_length", "n_fft", "dither")


class Whisper(Encoder):
    """Whisper's encoder.

    Args:
        spec: the model's description.
        model: the library's `WhisperEncoder`; taken over by the encoder.
        extractor: the library's feature extractor, for its sizes and mel filters.
        normalise: whether clips are brought to zero mean and unit variance.
        device: where to compute.
        dtype: see `Encoder`.
        files: weight files, for the record.
    """

    def __init__(
        self,
        spec: ModelSpec,
        model: WhisperEncoder,
        extractor: WhisperFeatureExtractor,
        *,
        normalise: bool,
        device: torch.device | str,
        dtype: torch.dtype,
        files: Sequence = (),
    ) -> None:
        super().__init__(
            spec,
            blocks=model.layers,
            dim=model.config.d_model,
            normalise=normalise,
            device=device,
            dtype=dtype,
            files=files,
        )
        self.conv1, self.conv2 = model.conv1, model.conv2
        self.positions = nn.Parameter(model.embed_positions.weight.detach().clone())
        self.layer_norm = model.layer_norm
        self.n_fft = extractor.n_fft
        self.hop = extractor.hop_length
        self.samples_per_frame = self.hop * self.conv2.stride[0]
        self.minimum_samples = 1
        self.maximum_samples = extractor.n_samples
        filters = torch.from_numpy(extractor.mel_filters).float()
        self.register_buffer("mel_filters", filters.T.contiguous(), persistent=False)
        self.register_buffer("window", torch.hann_window(self.n_fft), persistent=False)
        freeze(self)
        speed_up(self)
        self.to(self.device)

    def frames(self, n_samples: int) -> int:
        """Returns the number of frames that hold some of the clip, ceil(duration * 50)."""
        return -(-n_samples // self.samples_per_frame)

    def front_end(self, waves: Sequence[np.ndarray]) -> tuple[torch.Tensor, list[int]]:
        """Computes state 0, (clips, 1500, dim); what follows a clip's frames is its silence."""
        longest = max(len(wave) for wave in waves)
        if longest > self.maximum_samples:
            raise ValueError(f"{self.name} takes at most {self.maximum_samples} samples a clip.")
        features = self.log_mel(waves)
        hidden = functional.gelu(self.conv1(features))
        hidden = functional.gelu(self.conv2(hidden)).permute(0, 2, 1).float()
        return hidden + self.positions, [self.frames(len(wave)) for wave in waves]

    def log_mel(self, waves: Sequence[np.ndarray]) -> torch.Tensor:
        """Computes the input features of the paper, section 2.2, as the library does.

        log10 of the mel spectrum of the clip followed by zeros up to 30 s, no lower than 8 below
        the clip's maximum, then (x + 4) / 4.

        Args:
            waves: prepared clips of at most 30 s.

        Returns:
            (clips, mel bands, 3000) float32.
        """
        padded = np.zeros((len(waves), self.maximum_samples), dtype=np.float32)
        for row, wave in zip(padded, waves, strict=True):
            row[: len(wave)] = wave
        samples = torch.from_numpy(padded).to(self.device)
        with torch.autocast(self.device.type, enabled=False):
            spectrum = torch.stft(
                samples, self.n_fft, self.hop, window=self.window, return_complex=True
            )
            power = (spectrum[..., :-1].abs() ** 2).contiguous()
            levels = (self.mel_filters @ power).clamp(min=1e-10).log10()
            levels = torch.maximum(levels, levels.amax(dim=(1, 2), keepdim=True) - 8.0)
            return (levels + 4.0) / 4.0

    def attention_mask(self, counts: Sequence[int], width: int) -> torch.Tensor | None:
        """Returns None: the silence after a clip is part of the model's input."""
        return None

    def finish(self, hidden: torch.Tensor) -> torch.Tensor:
        """Applies the final layer norm, which the library's last state includes."""
        return self.layer_norm(hidden)


def build(
    spec: ModelSpec, *, device: str | torch.device, dtype: torch.dtype, attention: str
) -> Encoder:
    """Builds a Whisper encoder; see `consonance.encoders.load_encoder`."""
    if spec.source == "random":
        fields, preprocessor = dict(spec.architecture), {}
        normalise = bool(spec.normalise)
    else:
        fields = checkpoints.read_config(spec, MODEL_TYPES)
        preprocessor = checkpoints.read_preprocessor(spec)
        normalise = checkpoints.normalisation(spec, preprocessor, default=False)
    config = checkpoints.build_config(spec, WhisperConfig, fields, OVERRIDES, attention=attention)
    extractor = _extractor(spec, config, preprocessor)
    model, files = checkpoints.build_model(spec, WhisperEncoder, config, KEYS)
    return Whisper(
        spec, model, extractor, normalise=normalise, device=device, dtype=dtype, files=files
    )


def _extractor(
    spec: ModelSpec, config: WhisperConfig, preprocessor: Mapping[str, Any]
) -> WhisperFeatureExtractor:
    """Builds the library's feature extractor and checks it against the model.

    Raises:
        InputError: other mel bands or another length than the model takes, or random dither.
    """
    sizes = {"feature_size": config.num_mel_bins, "sampling_rate": spec.sampling_rate}
    sizes |= {key: preprocessor[key] for key in FEATURES if key in preprocessor}
    if spec.source == "random":  # no preprocessing to agree with: as long as the model's input
        sizes["chunk_length"] = config.max_source_positions // FRAMES_PER_SECOND
    extractor = WhisperFeatureExtractor(**sizes)
    problems = []
    if extractor.feature_size != config.num_mel_bins:
        problems.append(
            f"Model '{spec.name}': preprocessor_config.json has feature_size "
            f"{extractor.feature_size}, but config.json has num_mel_bins {config.num_mel_bins}."
        )
    frames = 2 * config.max_source_positions
    if extractor.n_samples != frames * extractor.hop_length:
        problems.append(
            f"Model '{spec.name}': the model takes {frames} mel frames (twice "
            f"max_source_positions), but the preprocessing gives {extractor.nb_max_frames}."
        )
    if extractor.dither:
        problems.append(
            f"Model '{spec.name}': preprocessor_config.json asks for dither, which is random; "
            "set it to 0."
        )
    if problems:
        raise InputError(problems)
    return extractor
