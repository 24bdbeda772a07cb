"""The encoder with what an approach adds to it: layer weights, gates, LoRA, adapters, a head.

At the start LoRA and adapters add nothing (their last matrices are 0). With gates of the function
"identity" the adapted encoder then computes exactly what the frozen one does; with "sigmoid" on
the "readout" every pooled state is exactly the frozen one times 1 / (1 + exp(-initial)); with
"sigmoid" on the "path" (arXiv 2402.11747) every block's input is scaled as well, so later
states are no plain multiples of the frozen ones.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn
from torch.nn import functional

from consonance.adaptation import stages
from consonance.adaptation.approaches import Adapter, Approach, Gate
from consonance.encoders import Encoder
from consonance.encoders.linear import Linear, linear
from consonance.errors import InputError

# What the families call a block's self-attention.
_ATTENTIONS = ("attention", "self_attn")


class AdaptedEncoder(nn.Module):
    """A frozen encoder, the trained parts of an approach, and a linear head.

    Args:
        encoder: taken over: its blocks get LoRA layers. Its own parameters stay frozen and it
            stays in evaluation mode (no dropout, no SpecAugment, no LayerDrop).
        approach: what is trained.
        n_classes: of the head.

    Attributes:
        trained: name to parameter of everything that is trained, and of nothing else. Names do
            not depend on other parts: head.weight (C, d), head.bias (C,), layer_weights (L,) before
            the softmax, gates (L, d) before the function, lora.<k>.<module>.A (r, in) and .B
            (out, r), adapters.<place>.<k>.<down|up>.<weight|bias> for block k from 0.

    Raises:
        InputError: a name of a linear layer that is in no block.
    """

    def __init__(self, encoder: Encoder, approach: Approach, *, n_classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.approach = approach
        blocks, dim, device = len(encoder.blocks), encoder.dim, encoder.device
        # What torch and peft draw from the global generator here, `reset` draws from the seed.
        with torch.random.fork_rng(devices=[]):
            self._build(blocks, dim, n_classes, device)
        if device.type == "cpu":
            for part in encoder.blocks.modules():
                if type(part) in (nn.Linear, Linear) and not part.weight.requires_grad:
                    part.__class__ = FrozenLinear
        self.eval()

    def _build(self, blocks: int, dim: int, n_classes: int, device: torch.device) -> None:
        """Makes head and parts."""
        approach = self.approach
        self.head = nn.Linear(dim, n_classes, device=device)
        self.trained: dict[str, nn.Parameter] = {
            "head.weight": self.head.weight,
            "head.bias": self.head.bias,
        }
        self._bounds: dict[str, float] = {}
        self.layer_weights = self.gates = None
        self.adapters = nn.ModuleDict()
        if "layer_weights" in approach.trains:
            self.layer_weights = nn.Parameter(torch.zeros(blocks, device=device))
            self.trained["layer_weights"] = self.layer_weights
        if approach.gate is not None:
            self.gates = nn.Parameter(torch.zeros(blocks, dim, device=device))
            self.trained["gates"] = self.gates
        if approach.lora is not None:
            self._add_lora()
        if approach.adapter is not None:
            self._add_adapters(approach.adapter)

    @property
    def n_layers(self) -> int:
        """Number of blocks, L."""
        return len(self.encoder.blocks)

    def reset(self, *, seed: int, initial_scale: float) -> None:
        """Brings every trained parameter to its start.

        Head: uniform in +-initial_scale / sqrt(d), as for clip means. Layer weights: 0, so that
        every layer counts alike. Gates: `initial`. LoRA's A and the adapters' down-projections:
        uniform in +-1 / sqrt(inputs), as torch.nn.Linear and peft do; B and the up-projections: 0.
        Each tensor is drawn from the seed and its name alone.
        """
        weight, bias = stages.initial_head(
            seed, n_classes=self.head.out_features, dim=self.head.in_features, scale=initial_scale
        )
        start = {"head.weight": weight, "head.bias": bias}
        for name, parameter in self.trained.items():
            if name in self._bounds:
                start[name] = stages.initial(seed, name, parameter.shape, bound=self._bounds[name])
            elif name == "gates":
                start[name] = np.full(parameter.shape, self.approach.gate.initial, np.float32)
            elif name not in start:
                start[name] = np.zeros(tuple(parameter.shape), np.float32)
        self.load(start)

    def tensors(self) -> dict[str, np.ndarray]:
        """Returns a copy of everything that is trained."""
        return {
            name: parameter.detach().cpu().numpy().copy()
            for name, parameter in self.trained.items()
        }

    def load(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Sets everything that is trained.

        Raises:
            InputError: tensors that are missing, left over, or of another shape, such as a head of
                other labels.
        """
        problems = [
            f"The checkpoint {'lacks' if name in self.trained else 'has an unknown'} tensor "
            f"'{name}'; it is of another approach."
            for name in sorted(set(self.trained) ^ set(tensors))
        ]
        problems += [
            f"The checkpoint's tensor '{name}' has shape {tuple(tensors[name].shape)}, but the "
            f"approach '{self.approach.name}' on model '{self.encoder.name}' needs "
            f"{tuple(parameter.shape)}; both stages need the same model, sizes and labels."
            for name, parameter in self.trained.items()
            if name in tensors and tuple(tensors[name].shape) != tuple(parameter.shape)
        ]
        if problems:
            raise InputError(problems)
        with torch.no_grad():
            for name, parameter in self.trained.items():
                parameter.copy_(torch.as_tensor(tensors[name]))

    def states(self, hidden: torch.Tensor, counts: Sequence[int]):
        """Yields what is pooled of layers 1 to L, (pieces, frames, d), with gradients.

        Args:
            hidden: (pieces, frames, d), state 0.
            counts: valid frames of every piece.
        """
        encoder, gate = self.encoder, self.approach.gate
        attention = encoder.attention_mask(counts, hidden.shape[1])
        factors = None if gate is None else gate_values(self.gates, gate)
        after = self.adapters["output"] if "output" in self.adapters else None  # noqa: SIM401
        for index in range(self.n_layers):
            hidden = encoder.run_block(index, hidden, attention)
            if after is not None:
                hidden = after[index](hidden)
            if gate is not None and gate.place == "path":
                hidden = hidden * factors[index]
            state = encoder.finish(hidden) if index == self.n_layers - 1 else hidden
            if gate is not None and gate.place == "readout":
                state = state * factors[index]
            yield state

    def forward(
        self, hidden: torch.Tensor, counts: Sequence[int], shares: torch.Tensor
    ) -> torch.Tensor:
        """Returns the logits (clips, classes): head(sum_k w_k mean_t state_k).

        Args:
            hidden: (pieces, frames, d), state 0.
            counts: valid frames of every piece.
            shares: (clips, pieces, frames), 1 / (frames of the clip) at its valid frames, else 0.
        """
        weights = self.shares_of_layers()
        pooled = 0
        for index, state in enumerate(self.states(hidden, counts)):
            # A product with the shares is the mean over a clip's valid frames, of all its pieces.
            pooled = pooled + weights[index] * _means(state.float(), shares)
        return self.head(pooled)

    def shares_of_layers(self) -> torch.Tensor:
        """Returns the (L,) weights of the layers; they sum to 1."""
        if self.layer_weights is None:
            return self.head.weight.new_full((self.n_layers,), 1 / self.n_layers)
        return torch.softmax(self.layer_weights, dim=0)

    def _add_lora(self) -> None:
        """Puts LoRA around the named linear layers of every block."""
        blocks, lora = self.encoder.blocks, self.approach.lora
        linears = [name for name, part in blocks.named_modules() if isinstance(part, nn.Linear)]
        wanted = {
            name: [full for full in linears if full.endswith(f".{name}")] for name in lora.modules
        }
        missing = [name for name, found in wanted.items() if not found]
        if missing:
            known = dict.fromkeys(name.partition(".")[2] for name in linears)
            raise InputError(
                f"lora.modules of approach '{self.approach.name}' names {', '.join(missing)}, "
                f"which matches no linear layer of model '{self.encoder.name}'; its blocks have "
                f"{', '.join(known)}."
            )
        targets = list(dict.fromkeys(full for found in wanted.values() for full in found))
        config = LoraConfig(
            r=lora.rank,
            lora_alpha=lora.alpha,
            target_modules=targets,
            lora_dropout=0.0,
            bias="none",
        )
        inject_adapter_in_model(config, blocks)
        for full in targets:
            layer = blocks.get_submodule(full)
            down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
            self.trained[f"lora.{full}.A"], self.trained[f"lora.{full}.B"] = down, up
            self._bounds[f"lora.{full}.A"] = 1 / math.sqrt(down.shape[1])

    def _add_adapters(self, sizes: Adapter) -> None:
        """Puts bottlenecks after the self-attention, or after the block."""
        dim, device = self.encoder.dim, self.encoder.device
        for place in sizes.places:
            self.adapters[place] = nn.ModuleList(
                Bottleneck(dim, sizes.width, scale=sizes.scale).to(device)
                for _ in self.encoder.blocks
            )
            for name, parameter in self.adapters[place].named_parameters():
                full = f"adapters.{place}.{name}"
                self.trained[full] = parameter
                if ".down." in name:
                    self._bounds[full] = 1 / math.sqrt(dim)
        if "attention" in sizes.places:
            for block, adapter in zip(self.encoder.blocks, self.adapters["attention"], strict=True):
                name = next(name for name in _ATTENTIONS if hasattr(block, name))

                def adapt(_, __, output, adapter=adapter):
                    return (adapter(output[0]), *output[1:])

                getattr(block, name).register_forward_hook(adapt)


class Bottleneck(nn.Module):
    """h + scale * U relu(D h + d) + u, over the last axis.

    Args:
        dim: of h.
        width: rows of D.
        scale: of what is added.
    """

    def __init__(self, dim: int, width: int, *, scale: float) -> None:
        super().__init__()
        self.down = nn.Linear(dim, width)
        self.up = nn.Linear(width, dim)
        self.scale = scale

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Adapts (..., dim)."""
        return hidden + self.scale * self.up(functional.relu(self.down(hidden)))


class FrozenLinear(Linear):
    """A linear layer that trains nothing, with the faster CPU product forwards and backwards."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Applies the layer over the last axis."""
        if not (torch.is_grad_enabled() and input.requires_grad):
            return linear(input, self.weight, self.bias)
        return _Frozen.apply(input, self.weight, self.bias, self._transposed())

    def _transposed(self) -> torch.Tensor:
        """Returns the weight's transpose, laid out once."""
        if "transposed" not in self.__dict__:
            self.__dict__["transposed"] = self.weight.detach().T.contiguous()
        return self.__dict__["transposed"]


class _Frozen(torch.autograd.Function):
    """x W^T + b whose only gradient is that of x."""

    @staticmethod
    def forward(ctx, input, weight, bias, transposed):
        ctx.transposed = transposed
        return linear(input, weight, bias)

    @staticmethod
    def backward(ctx, gradient):
        return linear(gradient.contiguous(), ctx.transposed, None), None, None, None


def gate_values(gates: torch.Tensor, gate: Gate) -> torch.Tensor:
    """Returns the factors of gates (L, d)."""
    return torch.sigmoid(gates) if gate.function == "sigmoid" else gates


def parameter_count(
    approach: Approach,
    *,
    n_layers: int,
    dim: int,
    n_classes: int,
    linear_shapes: Sequence[tuple[int, int]],
) -> dict[str, int]:
    """Returns the number of trained parameters in closed form.

    head C (d + 1), layer_weights L, gate L d, lora sum r (in + out), adapter L (2 d w + w + d) per
    place.

    Args:
        approach: what is trained.
        n_layers: L.
        dim: d.
        n_classes: C.
        linear_shapes: (in, out) of every linear layer that LoRA is put around, in all blocks.
    """
    counts = {"head": n_classes * (dim + 1)}
    if "layer_weights" in approach.trains:
        counts["layer_weights"] = n_layers
    if approach.gate is not None:
        counts["gate"] = n_layers * dim
    if approach.lora is not None:
        counts["lora"] = sum(approach.lora.rank * (i + o) for i, o in linear_shapes)
    if approach.adapter is not None:
        width, places = approach.adapter.width, len(approach.adapter.places)
        counts["adapter"] = n_layers * places * (2 * dim * width + width + dim)
    return counts


def _means(state: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """Returns sum_pt shares[c, p, t] state[p, t], (clips, d)."""
    return shares.flatten(1) @ state.flatten(0, 1)
