"""What every encoder family shares: the description of a model and the running of its blocks."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from consonance.errors import InputError
from consonance.files import sha256

SOURCES = ("hub", "folder", "random")


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """One model of the configuration.

    Args:
        name: the model's name in results.
        family: a name of `consonance.encoders.FAMILIES`.
        source: "hub" or "folder" (files in `folder`), or "random" (weights drawn from `seed`).
        sampling_rate: Hz; must agree with the files where there are any.
        normalise: whether each clip is brought to zero mean and unit variance; None means as
            `preprocessor_config.json` says.
        folder: where `config.json`, the weights and `preprocessor_config.json` lie.
        architecture: fields of the library's configuration that differ from its defaults
            (random models only).
        seed: of the random weights.
    """

    name: str
    family: str
    source: str
    sampling_rate: int
    normalise: bool | None = None
    folder: Path | None = None
    architecture: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None

    def __post_init__(self) -> None:
        problems = []
        if self.source not in SOURCES:
            problems.append(
                f"Model '{self.name}': source is '{self.source}'; use one of {', '.join(SOURCES)}."
            )
        elif self.source == "random":
            if self.seed is None:
                problems.append(f"Model '{self.name}': a random model needs a seed.")
            if self.normalise is None:
                problems.append(
                    f"Model '{self.name}': a random model has no preprocessor_config.json; set "
                    "normalise to true or false."
                )
        else:
            if self.folder is None:
                problems.append(f"Model '{self.name}': the folder with its files is not given.")
            if self.architecture:
                problems.append(
                    f"Model '{self.name}': its architecture comes from config.json; remove the key "
                    "architecture (it is for random models)."
                )
        if problems:
            raise InputError(problems)


class Encoder(nn.Module, ABC):
    """A frozen speech or music encoder whose every state can be read.

    State 0 is the input of the first transformer block; state k is the output of block k, as the
    library's `hidden_states[k]`. A clip's states do not depend on the other clips of its batch
    beyond floating-point noise.

    Args:
        spec: the model's description.
        blocks: the transformer blocks.
        dim: width of a state.
        normalise: whether clips are brought to zero mean and unit variance.
        device: where to compute.
        dtype: float32, or bfloat16 or float16: then matrix products run in that type, and
            normalisations and the states stay in float32 (torch's autocast).
        files: weight files, for the record.

    Attributes:
        blocks: `nn.ModuleList` of the library's transformer blocks.
        name: the model's name.
        family: the family's name.
        sampling_rate: Hz.
        dim: width of a state.
        minimum_samples: fewest samples that give one frame.
        maximum_samples: most samples of one pass, or None if there is no limit.
        samples_per_frame: samples between neighbouring frames.
    """

    minimum_samples: int
    maximum_samples: int | None
    samples_per_frame: int

    def __init__(
        self,
        spec: ModelSpec,
        *,
        blocks: nn.ModuleList,
        dim: int,
        normalise: bool,
        device: torch.device | str,
        dtype: torch.dtype,
        files: Sequence[Path] = (),
    ) -> None:
        super().__init__()
        self.spec = spec
        self.name = spec.name
        self.family = spec.family
        self.sampling_rate = spec.sampling_rate
        self.blocks = blocks
        self.dim = dim
        self.normalise = normalise
        self.device = torch.device(device)
        self.dtype = dtype
        self._files = tuple(files)

    @property
    def n_states(self) -> int:
        """Number of states: blocks + 1."""
        return len(self.blocks) + 1

    @property
    def frames_per_second(self) -> float:
        """Frames per second of audio."""
        return self.sampling_rate / self.samples_per_frame

    @abstractmethod
    def frames(self, n_samples: int) -> int:
        """Returns the number of valid frames of a clip of `n_samples` samples."""

    def prepare(self, wave: np.ndarray) -> np.ndarray:
        """Brings a whole clip to zero mean and unit variance, if the model expects it.

        x -> (x - mean(x)) / sqrt(var(x) + 1e-7), as the library's feature extractor does, with
        the moments taken in float64. A long recording is prepared as a whole, before it is cut.

        Args:
            wave: (n,) samples in [-1, 1] at `sampling_rate`.

        Returns:
            (n,) float32.
        """
        if not self.normalise:
            return np.ascontiguousarray(wave, dtype=np.float32)
        wave = np.asarray(wave, dtype=np.float64)
        return ((wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)).astype(np.float32)

    @abstractmethod
    def front_end(self, waves: Sequence[np.ndarray]) -> tuple[torch.Tensor, list[int]]:
        """Computes state 0: everything below the first block, which adaptation never trains.

        Args:
            waves: clips (or windows of clips) that went through `prepare`.

        Returns:
            hidden: (clips, frames, dim) float32 on the encoder's device; zero-padded after a
                clip's frames unless the family says otherwise.
            counts: valid frames of every clip.
        """

    @abstractmethod
    def attention_mask(self, counts: Sequence[int], width: int) -> torch.Tensor | None:
        """Returns the mask that the blocks take for clips of these frames padded to `width`.

        None where nothing is masked; else True where a frame may be attended to,
        (clips, 1, 1, width), or its additive form for `attention="eager"`.
        """

    def run_block(
        self, index: int, hidden: torch.Tensor, attention: torch.Tensor | None
    ) -> torch.Tensor:
        """Returns the output of `blocks[index]`, (clips, frames, dim)."""
        return self.blocks[index](hidden, attention_mask=attention)

    def finish(self, hidden: torch.Tensor) -> torch.Tensor:
        """Turns the last block's output into the last state (a layer norm in some families)."""
        return hidden

    def run_blocks(self, hidden: torch.Tensor, counts: Sequence[int]) -> Iterator[torch.Tensor]:
        """Yields states 1 to L from state 0; gradients flow if they are enabled.

        Args:
            hidden: (clips, frames, dim), state 0.
            counts: valid frames of every clip.
        """
        attention = self.attention_mask(counts, hidden.shape[1])
        for index in range(len(self.blocks)):
            hidden = self.run_block(index, hidden, attention)
            yield self.finish(hidden) if index == len(self.blocks) - 1 else hidden

    def states(self, waves: Sequence[np.ndarray]) -> tuple[list[torch.Tensor], list[int]]:
        """Computes all states of a batch of prepared clips, without gradients.

        Args:
            waves: clips (or windows of clips) that went through `prepare`.

        Returns:
            states: `n_states` tensors (clips, frames, dim), float32.
            counts: valid frames of every clip; what lies after them has no meaning.
        """
        with torch.inference_mode(), self.arithmetic():
            hidden, counts = self.front_end(waves)
            states = [hidden, *self.run_blocks(hidden, counts)]
        return states, counts

    def arithmetic(self) -> AbstractContextManager:
        """Context in which the encoder computes: true float32, or autocast to `dtype`.

        TensorFloat-32, which keeps 10 bits of mantissa, is off in it.
        """
        stack = ExitStack()
        if self.device.type == "cuda":
            stack.enter_context(torch.backends.cudnn.flags(deterministic=True, allow_tf32=False))
        if self.dtype != torch.float32:
            stack.enter_context(torch.autocast(self.device.type, dtype=self.dtype))
        return stack

    def frame_mask(self, counts: Sequence[int], width: int) -> torch.Tensor:
        """Returns a boolean mask (clips, width), True at the clips' valid frames."""
        ends = torch.as_tensor(counts, device=self.device)
        return torch.arange(width, device=self.device) < ends[:, None]

    def record(self) -> dict[str, Any]:
        """Describes what was run: source, sizes, and SHA-256 of the weights.

        For files, one digest per file; for random weights, one over all tensors in the order of
        their names.
        """
        if self._files:
            digests = {path.name: sha256(path) for path in self._files}
        else:
            digest = hashlib.sha256()
            for name, tensor in sorted(self.state_dict().items()):
                digest.update(name.encode())
                digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
            digests = {"random weights": digest.hexdigest()}
        return {
            "name": self.name,
            "family": self.family,
            "source": self.spec.source,
            "seed": self.spec.seed,
            "parameters": sum(p.numel() for p in self.parameters()),
            "states": self.n_states,
            "dim": self.dim,
            "sampling_rate": self.sampling_rate,
            "frames_per_second": self.frames_per_second,
            "normalise": self.normalise,
            "dtype": str(self.dtype).removeprefix("torch."),
            "sha256": digests,
        }


def freeze(module: nn.Module) -> None:
    """Puts a module into evaluation mode and stops gradients to its parameters."""
    module.eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
