"""What an approach to adaptation trains: read from the configuration, checked, with all its sizes.

An approach is an entry of the configuration. It trains the linear head and any of four parts:

- layer_weights: softmax weights over the outputs of the blocks, instead of their plain mean.
- gate: one factor per block and dimension on the block's output.
- lora: low-rank additions to linear layers inside the blocks (arXiv 2106.09685).
- adapter: bottlenecks with a residual connection in the blocks (arXiv 1902.00751).

Full fine-tuning would be a further part that needs no sizes.
"""

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from consonance.adaptation.naming import TRAININGS, WHOLE, control
from consonance.errors import InputError

PARTS = ("layer_weights", "gate", "lora", "adapter")
# Parts that act on pooled states only: for these, clip means are enough.
POOLED_PARTS = frozenset({"layer_weights"})
GATE_FUNCTIONS = ("sigmoid", "identity")
GATE_PLACES = ("path", "readout")
ADAPTER_PLACES = ("attention", "output")
# Linear layers of a block, by family: what `lora.modules` may name.
_ATTENTION = ("q_proj", "k_proj", "v_proj", "out_proj")
LINEAR_LAYERS = {
    "wav2vec2": (*_ATTENTION, "intermediate_dense", "output_dense"),
    "hubert": (*_ATTENTION, "intermediate_dense", "output_dense"),
    "whisper": (*_ATTENTION, "fc1", "fc2"),
}

_SHARED = ("training", "gate", "lora", "adapter")
_KEYS = ("trains", "learning_rate", "seeds", "fractions", "models", "schemes", "stages", *_SHARED)


@dataclass(frozen=True)
class Training:
    """How the parameters are fitted: AdamW on the cross-entropy.

    Attributes:
        epochs: of each stage.
        batch_size: clips per step.
        learning_rate: AdamW's step size.
        weight_decay: AdamW's decay.
        betas: AdamW's decay of the running mean of the gradient and of its square.
        epsilon: AdamW's addend in the denominator.
        initial_scale: the head starts uniform in +-initial_scale / sqrt(dimensions).
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    betas: tuple[float, float]
    epsilon: float
    initial_scale: float


@dataclass(frozen=True)
class Gate:
    """A factor per block and dimension.

    Attributes:
        function: "sigmoid" (the factor is 1 / (1 + exp(-a))) or "identity" (it is a itself).
        initial: a at the start; 1 gives 0.731 under "sigmoid" and no change under "identity".
        place: "path", on what the next block receives as well, or "readout", only on what is
            pooled.
    """

    function: str
    initial: float
    place: str


@dataclass(frozen=True)
class Lora:
    """Low-rank additions W x + (alpha / rank) B A x; B starts at 0.

    Attributes:
        modules: names of linear layers in a block, such as q_proj.
        rank: of B A.
        alpha: numerator of the scaling.
    """

    modules: tuple[str, ...]
    rank: int
    alpha: float


@dataclass(frozen=True)
class Adapter:
    """Bottlenecks h + scale * U relu(D h + d) + u; U and u start at 0.

    Attributes:
        width: rows of D.
        scale: of what is added.
        places: "attention" (after the self-attention) and "output" (after the block).
    """

    width: int
    scale: float
    places: tuple[str, ...]


@dataclass(frozen=True)
class Approach:
    """One approach with everything that it depends on.

    Attributes:
        name: as in the configuration.
        trains: the parts trained beside the head, in the order of `PARTS`.
        training: how.
        fractions: shares of a stage's training clips, rising, the last one 1.
        gate: sizes, or None if it is not trained.
        lora: likewise.
        adapter: likewise.
        seeds: seeds to train with, or None for all.
        models: models to train, or None for all.
        schemes: split schemes to train under, or None for all.
        stages: that are trained; a control has only the first.
    """

    name: str
    trains: tuple[str, ...]
    training: Training
    fractions: tuple[float, ...]
    gate: Gate | None = None
    lora: Lora | None = None
    adapter: Adapter | None = None
    seeds: tuple[int, ...] | None = None
    models: tuple[str, ...] | None = None
    schemes: tuple[str, ...] | None = None
    stages: tuple[int, ...] = tuple(TRAININGS)

    @property
    def pooled(self) -> bool:
        """Whether clip means are enough to train it."""
        return POOLED_PARTS.issuperset(self.trains)

    def covers(self, *, model: str, scheme: str) -> bool:
        """Whether the approach is asked for with this model and split scheme."""
        return (self.models is None or model in self.models) and (
            self.schemes is None or scheme in self.schemes
        )


def resolve(settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Fills what an approach leaves open with what is said for all.

    Args:
        settings: the configuration's section `adaptation`: run and controls (names), fractions,
            training, gate, lora, adapter and approaches.

    Returns:
        name to plain mapping of every approach in `run`, each followed by its control if it has
        one, fit for a rule's parameter: an approach changes only if one of its own values does.
        Read it with `read`.

    Raises:
        InputError: `run` or `controls` names an approach that is not defined, or `run` has one with
            the name of another's control.
    """
    defined = settings["approaches"]
    problems = []
    for key in ("run", "controls"):
        for name in settings[key]:
            if name not in defined:
                near = difflib.get_close_matches(name, defined, n=1)
                advice = (
                    f"did you mean `{near[0]}`?" if near else f"known are {', '.join(defined)}."
                )
                problems.append(
                    f"adaptation.{key} names the approach `{name}`, which is not under "
                    f"adaptation.approaches; {advice}"
                )
    for name in settings["controls"]:
        if control(name) in settings["run"]:
            problems.append(
                f"adaptation.run has the approach `{control(name)}`, which is the name of the "
                f"control of `{name}`; give it another name."
            )
    if problems:
        raise InputError(problems)
    found = {}
    for name in settings["run"]:
        own = dict(defined[name])
        full = {"fractions": settings["fractions"], **own}
        full["training"] = {**settings["training"], **own.get("training", {})}
        for part in ("gate", "lora", "adapter"):
            full.pop(part, None)
            if part in own.get("trains", ()):
                full[part] = {**settings[part], **own.get(part, {})}
        found[name] = full
        if name in settings["controls"]:
            training = full["training"]
            epochs = len(TRAININGS) * training["epochs"]
            longer = {"fractions": [WHOLE], "training": {**training, "epochs": epochs}}
            found[control(name)] = {**full, **longer, "stages": [min(TRAININGS)]}
    return found


def read(resolved: Mapping[str, Mapping[str, Any]]) -> dict[str, Approach]:
    """Checks approaches and makes them values.

    Args:
        resolved: from `resolve`.

    Returns:
        name to approach, in the order given.

    Raises:
        InputError: with a sentence for every unknown part or key, and every size, rate, seed or
            share that cannot be.
    """
    problems: list[str] = []
    found = {}
    for name, entry in resolved.items():
        where = f"adaptation.approaches.{name}"
        wrong = _problems(where, entry)
        problems += wrong
        if wrong:
            continue
        training = entry["training"]
        trains = tuple(part for part in PARTS if part in entry["trains"])
        gate, lora, adapter = (entry.get(part) for part in ("gate", "lora", "adapter"))
        found[name] = Approach(
            name=name,
            trains=trains,
            training=Training(
                epochs=training["epochs"],
                batch_size=training["batch_size"],
                learning_rate=entry["learning_rate"],
                weight_decay=training["weight_decay"],
                betas=tuple(training["betas"]),
                epsilon=training["epsilon"],
                initial_scale=training["initial_scale"],
            ),
            fractions=tuple(sorted(entry["fractions"])),
            gate=Gate(**gate) if gate else None,
            lora=Lora(tuple(lora["modules"]), lora["rank"], lora["alpha"]) if lora else None,
            adapter=Adapter(adapter["width"], adapter["scale"], tuple(adapter["places"]))
            if adapter
            else None,
            stages=tuple(entry.get("stages", TRAININGS)),
            **{
                key: None if entry.get(key) is None else tuple(entry[key])
                for key in ("seeds", "models", "schemes")
            },
        )
    if problems:
        raise InputError(problems)
    return found


def _problems(where: str, entry: Mapping[str, Any]) -> list[str]:
    """Returns a sentence for everything in one approach that cannot be."""
    problems = [
        f"{where} has an unknown key `{key}`; known keys are {', '.join(_KEYS)}."
        for key in entry
        if key not in _KEYS
    ]
    problems += [
        f"{where} lacks the key `{key}`." for key in ("trains", "learning_rate") if key not in entry
    ]
    if problems:
        return problems
    for part in entry["trains"]:
        if part not in PARTS:
            near = difflib.get_close_matches(part, PARTS, n=1)
            advice = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(PARTS)}."
            problems.append(f"{where}.trains names the part `{part}`, which is unknown; {advice}")
    training = entry["training"]
    counts = {"training.epochs": training["epochs"], "training.batch_size": training["batch_size"]}
    above = {"learning_rate": entry["learning_rate"], "training.epsilon": training["epsilon"]}
    least = {
        "training.weight_decay": training["weight_decay"],
        "training.initial_scale": training["initial_scale"],
    }
    if lora := entry.get("lora"):
        counts["lora.rank"] = lora["rank"]
        above["lora.alpha"] = lora["alpha"]
        problems += _names(f"{where}.lora.modules", lora["modules"], None)
    if adapter := entry.get("adapter"):
        counts["adapter.width"] = adapter["width"]
        above["adapter.scale"] = adapter["scale"]
        problems += _names(f"{where}.adapter.places", adapter["places"], ADAPTER_PLACES)
    if gate := entry.get("gate"):
        problems += _names(f"{where}.gate.function", [gate["function"]], GATE_FUNCTIONS)
        problems += _names(f"{where}.gate.place", [gate["place"]], GATE_PLACES)
        if not math.isfinite(gate["initial"]):
            problems.append(f"{where}.gate.initial is {gate['initial']}; it must be finite.")
    problems += [
        f"{where}.{key} is {value}; it must be a whole number of at least 1."
        for key, value in counts.items()
        if isinstance(value, bool) or not isinstance(value, int) or value < 1
    ]
    problems += [
        f"{where}.{key} is {value}; it must be a finite number above 0."
        for key, value in above.items()
        if not 0 < value < math.inf
    ]
    problems += [
        f"{where}.{key} is {value}; it must be a finite number of at least 0."
        for key, value in least.items()
        if not 0 <= value < math.inf
    ]
    betas = training["betas"]
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        problems.append(f"{where}.training.betas is {list(betas)}; two numbers from 0 to below 1.")
    shares = list(entry["fractions"])
    if len(set(shares)) != len(shares) or 1 not in shares or not all(0 < s <= 1 for s in shares):
        problems.append(
            f"{where}.fractions is {shares}; it must be different shares above 0 and up to 1, "
            "and 1 must be among them, because stage two starts from all of stage one's clips."
        )
    return problems


def _names(where: str, given: Sequence[str], known: Sequence[str] | None) -> list[str]:
    """Returns a sentence if names are missing, repeated or unknown."""
    if not given or len(set(given)) != len(given):
        return [f"{where} is {list(given)}; name at least one, each once."]
    return [
        f"{where} is `{name}`; choose from {', '.join(known)}."
        for name in given
        if known is not None and name not in known
    ]
