"""Reading a model's files: configuration, preprocessing and weights, with every key accounted for.

Nothing here runs code that comes with a model, and no pickle is read beyond plain tensors.
"""

import pickle
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from transformers import PretrainedConfig

from consonance.encoders.base import ModelSpec
from consonance.errors import InputError
from consonance.files import read_json

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
# How many keys a message lists before it gives only their number.
LISTED_KEYS = 12
# Names of weight normalisation before and after torch 2.0's parametrisations.
WEIGHT_NORM = {
    "weight_g": "parametrizations.weight.original0",
    "weight_v": "parametrizations.weight.original1",
}


@dataclass(frozen=True, kw_only=True)
class KeyRules:
    """How a family's checkpoints name their tensors.

    Args:
        prefixes: what may stand before the encoder's own keys, first match wins; "" is no prefix.
        left_over: regular expressions for keys (as in the file) that are not the encoder's and
            may be left: heads, decoders, training-only parameters.
    """

    prefixes: Sequence[str]
    left_over: Sequence[str]


def read_config(spec: ModelSpec, model_types: Sequence[str]) -> dict[str, Any]:
    """Reads `config.json` and checks that it describes a model of the family.

    Raises:
        InputError: no such file, not JSON, or another `model_type`.
    """
    fields = _read_object(spec, "config.json")
    if fields is None:
        raise InputError(
            f"Model '{spec.name}': {spec.folder} has no config.json. Give the folder that holds "
            "config.json, the weights and preprocessor_config.json."
        )
    if fields.get("model_type") not in model_types:
        raise InputError(
            f"Model '{spec.name}': {spec.folder / 'config.json'} has model_type "
            f"'{fields.get('model_type')}', but family '{spec.family}' reads "
            f"{', '.join(model_types)}. Correct the model's family or its folder."
        )
    return fields


def build_config(
    spec: ModelSpec,
    config_class: type[PretrainedConfig],
    fields: Mapping[str, Any],
    overrides: Mapping[str, Any],
    *,
    attention: str,
) -> PretrainedConfig:
    """Builds the library's configuration from fields it knows.

    Args:
        spec: the model, for messages.
        config_class: the library's class.
        fields: from `config.json` (fields the class does not have are left out, as they belong
            to tasks or to other software) or from the configuration (then they are an error).
        overrides: fields that are set whatever the files say (dropout off and the like).
        attention: "sdpa" or "eager".

    Raises:
        InputError: an unknown field of a random model, or values the library refuses.
    """
    known = set(config_class().to_dict())
    if spec.source == "random" and (unknown := sorted(set(fields) - known)):
        raise InputError(
            f"Model '{spec.name}': architecture has unknown fields {', '.join(unknown)}; "
            f"{config_class.__name__} does not have them."
        )
    kept = {key: value for key, value in fields.items() if key in known} | dict(overrides)
    for key in ("dtype", "torch_dtype", "architectures", "transformers_version", "model_type"):
        kept.pop(key, None)
    try:
        config = config_class(**kept)
    except Exception as error:  # the library validates with several exception types
        raise InputError(
            f"Model '{spec.name}': its configuration is refused by {config_class.__name__}: {error}"
        ) from error
    config._attn_implementation = attention
    return config


def read_preprocessor(spec: ModelSpec) -> dict[str, Any]:
    """Reads `preprocessor_config.json` and checks the sampling rate against the spec.

    Returns:
        The file's fields; empty if there is no such file and the spec says what is needed.

    Raises:
        InputError: rates differ, or the file is missing and `spec.normalise` is None.
    """
    fields = _read_object(spec, "preprocessor_config.json")
    if fields is None:
        if spec.normalise is None:
            raise InputError(
                f"Model '{spec.name}': {spec.folder} has no preprocessor_config.json; add the "
                "file, or set normalise to true or false in the configuration."
            )
        return {}
    rate = fields.get("sampling_rate", spec.sampling_rate)
    if rate != spec.sampling_rate:
        raise InputError(
            f"Model '{spec.name}': the configuration says sampling_rate {spec.sampling_rate}, but "
            f"{spec.folder / 'preprocessor_config.json'} says {rate}. Correct the configuration."
        )
    return fields


def normalisation(spec: ModelSpec, preprocessor: Mapping[str, Any], *, default: bool) -> bool:
    """Returns whether clips are normalised: the spec's word, which must agree with the file's.

    Args:
        spec: the model.
        preprocessor: fields of `preprocessor_config.json`.
        default: the library's value if the file does not have `do_normalize`.

    Raises:
        InputError: the two disagree.
    """
    if not preprocessor:
        return bool(spec.normalise)
    stated = bool(preprocessor.get("do_normalize", default))
    if spec.normalise is not None and spec.normalise != stated:
        raise InputError(
            f"Model '{spec.name}': the configuration says normalise {spec.normalise}, but its "
            f"preprocessor_config.json says do_normalize {stated}. Remove the key normalise."
        )
    return stated


def build_model(
    spec: ModelSpec, model_class: type[nn.Module], config: PretrainedConfig, rules: KeyRules
) -> tuple[nn.Module, list[Path]]:
    """Makes the library's model, in float32, with random weights or those of the folder.

    Random weights depend on the seed and the configuration only; the global random state is
    neither read nor changed.

    Returns:
        The model, and the files its weights came from.

    Raises:
        InputError: sizes that do not go together; see also `load_weights`.
    """
    with torch.random.fork_rng(devices=[]):
        if spec.source == "random":
            torch.manual_seed(spec.seed)
        try:
            model = model_class(config)
        except ValueError as error:
            raise InputError(f"Model '{spec.name}' cannot be built: {error}") from error
    if spec.source == "random":
        return model, []
    return model, [load_weights(spec, model, rules)]


def load_weights(spec: ModelSpec, model: nn.Module, rules: KeyRules) -> Path:
    """Loads the folder's weights into `model`, as float32; every key must be accounted for.

    Returns:
        The file that was read.

    Raises:
        InputError: no readable file; keys missing, unexpected or given twice; other shapes.
    """
    assert spec.folder is not None
    path = next((spec.folder / n for n in WEIGHT_FILES if (spec.folder / n).is_file()), None)
    if path is None:
        raise InputError(
            f"Model '{spec.name}': {spec.folder} has no weights; one of "
            f"{' or '.join(WEIGHT_FILES)} is needed."
        )
    expected = model.state_dict()
    found, problems = _map_keys(_read_tensors(spec, path), set(expected), rules)
    missing = sorted(set(expected) - set(found))
    if missing:
        problems.append(f"weights are missing: {_listed(missing)}")
    shapes = [
        f"{key} {tuple(tensor.shape)} instead of {tuple(expected[key].shape)}"
        for key, tensor in sorted(found.items())
        if key in expected and tensor.shape != expected[key].shape
    ]
    if shapes:
        problems.append(f"weights have other shapes than config.json says: {_listed(shapes)}")
    if problems:
        raise InputError(
            [
                f"Model '{spec.name}', {path}: {problem}. The file does not fit config.json and "
                f"family '{spec.family}'; download it again or correct the family."
                for problem in problems
            ]
        )
    model.load_state_dict({key: tensor.float() for key, tensor in found.items()})
    return path


def _map_keys(
    tensors: Mapping[str, torch.Tensor], expected: set[str], rules: KeyRules
) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Renames a checkpoint's keys to the model's; returns them and the problems met."""
    prefix = next(
        p for p in (*rules.prefixes, "") if p == "" or any(k.startswith(p) for k in tensors)
    )
    left_over = [re.compile(pattern) for pattern in rules.left_over]
    found: dict[str, torch.Tensor] = {}
    unexpected, twice = [], []
    for key, tensor in tensors.items():
        name = _current_name(key.removeprefix(prefix), expected)
        if key.startswith(prefix) and name in expected:
            if name in found:
                twice.append(key)
            found[name] = tensor
        elif not any(pattern.match(key) for pattern in left_over):
            unexpected.append(key)
    problems = []
    if unexpected:
        problems.append(f"weights are unexpected: {_listed(sorted(unexpected))}")
    if twice:
        problems.append(f"weights are given under two names: {_listed(sorted(twice))}")
    return found, problems


def _current_name(key: str, expected: set[str]) -> str:
    """Translates a weight-normalisation name to the one the model has."""
    for old, new in WEIGHT_NORM.items():
        for given, wanted in ((old, new), (new, old)):
            if key.endswith(f".{given}"):
                renamed = key.removesuffix(given) + wanted
                if renamed in expected:
                    return renamed
    return key


def _read_tensors(spec: ModelSpec, path: Path) -> dict[str, torch.Tensor]:
    """Reads a safetensors file, or a pickle restricted to tensors."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"Model '{spec.name}': {path} cannot be read as weights ({reason}). It may be "
            "incomplete; download it again."
        ) from error
    if not isinstance(tensors, dict) or not all(
        isinstance(tensor, torch.Tensor) for tensor in tensors.values()
    ):
        raise InputError(
            f"Model '{spec.name}': {path} is not a table of weights; it must hold a state "
            "dictionary of tensors and nothing else."
        )
    return tensors


def _read_object(spec: ModelSpec, name: str) -> dict[str, Any] | None:
    """Reads a JSON object of the model's folder; None if there is no such file."""
    assert spec.folder is not None
    path = spec.folder / name
    if not path.is_file():
        return None
    try:
        fields = read_json(path)
    except ValueError as error:
        raise InputError(f"Model '{spec.name}': {path} is not valid JSON ({error}).") from error
    if not isinstance(fields, dict):
        raise InputError(f"Model '{spec.name}': {path} does not hold a JSON object.")
    return fields


def _listed(keys: Sequence[str]) -> str:
    """Joins keys for a message, the first dozen and how many more."""
    text = ", ".join(keys[:LISTED_KEYS])
    more = len(keys) - LISTED_KEYS
    return f"{text} and {more} more" if more > 0 else text
