"""Models as the workflow knows them: described once, and loaded only if they are still the same."""

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from consonance import budget, encoders
from consonance.errors import InputError
from consonance.files import sha256

logger = logging.getLogger(__name__)

# Change what a model computes without a change of its weights.
SETTINGS_FILES = ("config.json", "preprocessor_config.json")


def specify(entry: Mapping[str, Any]) -> encoders.ModelSpec:
    """Returns the specification that an entry of the configuration or a record holds.

    Args:
        entry: the fields of `encoders.ModelSpec`, the folder as text.
    """
    folder = entry["folder"]
    return encoders.ModelSpec(**{**entry, "folder": None if folder is None else Path(folder)})


def describe(spec: encoders.ModelSpec) -> dict[str, Any]:
    """Loads a model on the CPU and writes down what it is.

    Args:
        spec: the model.

    Returns:
        `Encoder.record()` (sizes, rates, SHA-256 of the weights and of the files that say how they
        are used), and under `spec` what `load` needs to build it again. Fit for JSON.

    Raises:
        InputError: the model cannot be loaded as its family expects.
    """
    record = encoders.load_encoder(spec, device="cpu").record()
    logger.info(
        "%s: %d parameters, %d states of %d dimensions, %g frames per second.",
        spec.name,
        record["parameters"],
        record["states"],
        record["dim"],
        record["frames_per_second"],
    )
    if spec.folder is not None:
        present = [name for name in SETTINGS_FILES if (spec.folder / name).is_file()]
        record["sha256"] |= {name: sha256(spec.folder / name) for name in present}
    keys = ("name", "family", "source", "sampling_rate", "normalise", "seed")
    again = {key: getattr(spec, key) for key in keys}
    again["folder"] = None if spec.folder is None else str(spec.folder)
    again["architecture"] = dict(spec.architecture)
    return {**record, "spec": again}


def load(record: Mapping[str, Any], *, device: str, precision: str) -> encoders.Encoder:
    """Loads the model that a record describes.

    Args:
        record: what `describe` returned.
        device: "cpu" or "cuda".
        precision: a name in `encoders.DTYPES`.

    Raises:
        InputError: a file has changed since the model was described.
    """
    spec = specify(record["spec"])
    if spec.folder is not None:
        changed = [
            name
            for name, digest in record["sha256"].items()
            if not (spec.folder / name).is_file() or sha256(spec.folder / name) != digest
        ]
        if changed:
            raise InputError(
                f"The model {record['name']} is not the one that was described: "
                f"{', '.join(changed)} in {spec.folder} changed since. Run the workflow again "
                "from the rule describe_model (`--forcerun describe_model`), or put the old files "
                "back."
            )
    return encoders.load_encoder(spec, device=device, dtype=encoders.DTYPES[precision])


def choose_device(wanted: str) -> str:
    """Returns "cuda" or "cpu".

    Args:
        wanted: `auto` takes a GPU if PyTorch sees one; `cpu`; `cuda`.

    Raises:
        InputError: `cuda` is wanted and there is none.
    """
    if wanted == "cpu":
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        raise InputError(
            "compute.device is `cuda`, but PyTorch finds no GPU here; ask for one, install the "
            "CUDA build of PyTorch, or set compute.device to `auto` or `cpu`."
        )
    logger.warning("There is no GPU: this job runs on the CPU and takes longer.")
    return "cpu"


def cpu_notice(
    wanted: str, device: str, *, audio_seconds: float, parameters: int, audio_per_second: float
) -> str:
    """Returns what to say when a job takes the CPU for want of a GPU; '' if it does not.

    Args:
        wanted: `compute.device`.
        device: what `choose_device` chose.
        audio_seconds: length of the recordings that the job embeds.
        parameters: of the model.
        audio_per_second: `compute.audio_per_second`.
    """
    if wanted != "auto" or device != "cpu":
        return ""
    seconds = budget.embedding_seconds(audio_seconds, parameters, audio_per_second=audio_per_second)
    return (
        f"There is no GPU, so this job runs on the CPU: about {math.ceil(seconds / 60):,} min "
        f"for {math.ceil(audio_seconds / 60):,} min of audio (compute.audio_per_second is "
        f"{audio_per_second:g}). Set compute.device to `cpu` to do so without this warning."
    )
