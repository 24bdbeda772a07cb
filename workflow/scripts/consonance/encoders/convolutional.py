"""Encoders that start with convolutions over the waveform: wav2vec 2.0, HuBERT and their kin.

The library's front end takes a padded batch, and with `feat_extract_norm="group"` its first
normalisation takes its statistics over the padding too. Here the clips of a batch lie one after
the other on a single time axis, without padding: a frame's convolutions see its own clip only,
as every clip starts at a multiple of the total stride, and frames that straddle two clips are
dropped. The group norm follows a linear map of the waveform, so its mean and variance come
exactly from the mean and covariance of the clip's windows, and it is folded into the first
convolution's weights, clip by clip.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrize

from consonance.encoders.base import Encoder, ModelSpec, freeze
from consonance.encoders.linear import linear, speed_up

# Off whatever the files say: an encoder is frozen, and its result has no chance in it.
OVERRIDES = {
    "hidden_dropout": 0.0,
    "activation_dropout": 0.0,
    "attention_dropout": 0.0,
    "feat_proj_dropout": 0.0,
    "final_dropout": 0.0,
    "layerdrop": 0.0,
    "apply_spec_augment": False,
    # With both at 0 the library's model has no masked_spec_embed, which serves training alone.
    "mask_time_prob": 0.0,
    "mask_feature_prob": 0.0,
}
LEFT_OVER = (
    # Training-only and task-specific parameters, with or without the model's prefix.
    r"(wav2vec2\.|hubert\.)?masked_spec_embed$",
    r"lm_head\.",
    r"projector\.",
    r"classifier\.",
    r"layer_weights$",
)
# On the CPU a batch is padded to a multiple of this many frames (0.32 s at 50 frames a second).
# oneDNN compiles code for every new shape, and buffers of ever new sizes leave holes in the heap:
# with exact lengths memory grows clip by clip, and the compiling costs more than the padding.
GRAIN = 16


class ConvolutionalEncoder(Encoder):
    """wav2vec 2.0 and HuBERT models, with a group-norm or a layer-norm front end.

    Args:
        spec: the model's description.
        model: the library's `Wav2Vec2Model` or `HubertModel`; taken over by the encoder.
        normalise: whether clips are brought to zero mean and unit variance.
        device: where to compute.
        dtype: see `Encoder`.
        files: weight files, for the record.
    """

    def __init__(
        self,
        spec: ModelSpec,
        model: nn.Module,
        *,
        normalise: bool,
        device: torch.device | str,
        dtype: torch.dtype,
        files: Sequence = (),
    ) -> None:
        config = model.config
        super().__init__(
            spec,
            blocks=model.encoder.layers,
            dim=config.hidden_size,
            normalise=normalise,
            device=device,
            dtype=dtype,
            files=files,
        )
        self.convolutions = model.feature_extractor.conv_layers
        self.projection = model.feature_projection
        self.position = model.encoder.pos_conv_embed
        # A stable-layer-norm encoder normalises inside its blocks, and after the last one for
        # its heads only: the library's last state is the last block's output.
        self.norm = None if config.do_stable_layer_norm else model.encoder.layer_norm
        # The weight norm would be computed anew in every pass.
        if parametrize.is_parametrized(self.position.conv):
            parametrize.remove_parametrizations(self.position.conv, "weight")
        self.group_norm = config.feat_extract_norm == "group"
        self.eager = config._attn_implementation == "eager"
        self.kernels = list(config.conv_kernel)
        self.strides = list(config.conv_stride)
        self.samples_per_frame = int(np.prod(self.strides))
        self.maximum_samples = None
        self.grain = GRAIN if self.device.type == "cpu" else 1
        samples = 1
        for kernel, stride in zip(reversed(self.kernels), reversed(self.strides), strict=True):
            samples = (samples - 1) * stride + kernel
        self.minimum_samples = samples
        freeze(self)
        speed_up(self)
        self.to(self.device)
        self._position_weight = self.position.conv.weight[..., None].contiguous(
            memory_format=torch.channels_last
        )
        self._taps = [
            _taps(layer.conv, stride)
            for layer, stride in zip(self.convolutions, self.strides, strict=True)
        ]

    def frames(self, n_samples: int) -> int:
        """Returns the number of frames: n -> (n - kernel) // stride + 1, layer by layer."""
        return self._lengths(n_samples)[-1]

    def front_end(self, waves: Sequence[np.ndarray]) -> tuple[torch.Tensor, list[int]]:
        """Computes state 0; see `Encoder.front_end`. Frames after a clip's end are zero."""
        lengths = [self._lengths(len(wave)) for wave in waves]
        counts = [length[-1] for length in lengths]
        if min(counts) < 1:
            raise ValueError(f"{self.name} needs at least {self.minimum_samples} samples a clip.")
        features, starts = self._convolve(waves, lengths)
        hidden = self.projection(features)
        hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        width = -(-max(counts) // self.grain) * self.grain
        padded = hidden.new_zeros((len(waves), width, self.dim))
        for row, start, count in zip(padded, starts, counts, strict=True):
            row[:count] = hidden[start : start + count]
        hidden = padded.float() + self._positions(padded, counts)
        if self.norm is not None:
            hidden = self.norm(hidden)
        padding = ~self.frame_mask(counts, hidden.shape[1])
        return hidden.masked_fill_(padding[..., None], 0.0), counts

    def attention_mask(self, counts: Sequence[int], width: int) -> torch.Tensor | None:
        """Returns the blocks' mask; see `Encoder.attention_mask`."""
        if min(counts) == width:
            return None
        mask = self.frame_mask(counts, width)[:, None, None, :]
        if self.eager:
            lowest = torch.finfo(torch.float32).min
            return torch.zeros(mask.shape, device=mask.device).masked_fill_(~mask, lowest)
        return mask

    def _lengths(self, n_samples: int) -> list[int]:
        """Returns the valid length of every convolution's output."""
        lengths = []
        for kernel, stride in zip(self.kernels, self.strides, strict=True):
            n_samples = max((n_samples - kernel) // stride + 1, 0)
            lengths.append(n_samples)
        return lengths

    def _convolve(
        self, waves: Sequence[np.ndarray], lengths: Sequence[Sequence[int]]
    ) -> tuple[torch.Tensor, list[int]]:
        """Runs the convolutions; returns (frames, channels) and where each clip's frames start."""
        # Room for a clip's samples, rounded up so that the next one starts on a whole frame.
        room = self.samples_per_frame * self.grain
        slots = [-(-len(wave) // room) * self.grain for wave in waves]
        starts = [int(start) for start in np.cumsum([0, *slots[:-1]])]
        joined = np.zeros((sum(slots) * self.samples_per_frame, 1), dtype=np.float32)
        for wave, start in zip(waves, starts, strict=True):
            first = start * self.samples_per_frame
            joined[first : first + len(wave), 0] = wave
        hidden = torch.from_numpy(joined).to(self.device)
        clips = [
            (
                start * self.samples_per_frame // self.strides[0],
                slot * self.samples_per_frame // self.strides[0],
                length[0],
            )
            for start, slot, length in zip(starts, slots, lengths, strict=True)
        ]
        for index, layer in enumerate(self.convolutions):
            if index == 0 and self.group_norm:
                # Little work, and the waveform needs more digits than half precision has.
                with torch.autocast(self.device.type, enabled=False):
                    hidden = self._first_with_group_norm(hidden, clips)
            else:
                hidden = _convolve(hidden, *self._taps[index], self.strides[index])
                if not self.group_norm:
                    hidden = layer.layer_norm(hidden)
            hidden = layer.activation(hidden)
        return hidden, starts

    def _first_with_group_norm(
        self, wave: torch.Tensor, clips: Sequence[tuple[int, int, int]]
    ) -> torch.Tensor:
        """Runs the first convolution with its group norm folded into the weights of each clip.

        For y = W x + c over a clip's windows x with mean m and covariance C (both over its valid
        frames), the norm's statistics per channel are W m + c and diag(W C W^T).
        """
        layer = self.convolutions[0]
        norm, kernel, stride = layer.layer_norm, self.kernels[0], self.strides[0]
        # The clips' samples, with what the last windows lack.
        padded = functional.pad(wave[:, 0], (0, kernel))
        windows = padded.unfold(0, kernel, stride)[: len(wave) // stride].contiguous()
        weight = layer.conv.weight[:, 0, :].double()
        outputs = []
        for start, room, length in clips:
            valid = windows[start : start + length].double()
            mean = valid.mean(0)
            centred = valid - mean
            covariance = centred.T @ centred / length
            variance = ((weight @ covariance) * weight).sum(1)
            scale = norm.weight.double() / torch.sqrt(variance + norm.eps)
            shift = norm.bias.double() - scale * (weight @ mean)
            folded = (scale[:, None] * weight).float()
            outputs.append(linear(windows[start : start + room], folded, shift.float()))
        return torch.cat(outputs) if len(outputs) > 1 else outputs[0]

    def _positions(self, hidden: torch.Tensor, counts: Sequence[int]) -> torch.Tensor:
        """Runs the positional convolution, which sees zeros before and after every clip."""
        conv = self.position.conv
        if getattr(self.position, "batch_norm", None) is not None:
            hidden = self.position.batch_norm(hidden.transpose(1, 2)).transpose(1, 2)
            padding = ~self.frame_mask(counts, hidden.shape[1])
            hidden = hidden.masked_fill(padding[..., None], 0.0)
        # Channels last, as the data lies in memory (40 % faster than conv1d on the CPU).
        columns = hidden[:, :, None, :].permute(0, 3, 1, 2)
        columns = functional.conv2d(
            columns,
            self._position_weight,
            conv.bias,
            padding=(conv.padding[0], 0),
            groups=conv.groups,
        )
        columns = columns[:, :, : hidden.shape[1], 0]
        return self.position.activation(columns).transpose(1, 2).float()


def _taps(conv: nn.Conv1d, stride: int) -> tuple[list[torch.Tensor], torch.Tensor | None]:
    """Cuts a convolution's weight into matrices of at most `stride` taps each.

    Returns:
        Matrices (out, taps * in) that act on rows of `taps` neighbouring frames, and the bias.
    """
    weight = conv.weight.permute(0, 2, 1)
    kernel = weight.shape[1]
    parts = [
        weight[:, first : first + stride].flatten(1).contiguous()
        for first in range(0, kernel, stride)
    ]
    return parts, conv.bias


def _convolve(
    hidden: torch.Tensor, parts: Sequence[torch.Tensor], bias: torch.Tensor | None, stride: int
) -> torch.Tensor:
    """Convolves (frames, in) to (frames // stride, out); windows past the end see zeros.

    Args:
        hidden: (frames, in), frames a multiple of `stride`.
        parts: from `_taps`.
        bias: (out,) or None.
        stride: of the convolution.
    """
    channels = hidden.shape[1]
    rows = hidden.reshape(-1, stride * channels)
    total = linear(rows[:, : parts[0].shape[1]], parts[0], bias)
    for shift, part in enumerate(parts[1:], start=1):
        if shift < len(rows):
            total[:-shift] += linear(rows[shift:, : part.shape[1]], part, None)
    return total
