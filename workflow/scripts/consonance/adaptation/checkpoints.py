"""Trained tensors on disk: safetensors whose header says, in JSON, where they come from.

The format has no checksum of its own, so the header holds one over tensors, configuration and
facts.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from consonance.errors import DamagedFileError, InputError
from consonance.files import replacing

_KEY = "consonance"


def write(
    path: Path | str,
    tensors: Mapping[str, np.ndarray],
    *,
    configuration: Mapping[str, Any],
    **facts: Any,
) -> None:
    """Writes a checkpoint; the file is whole or absent.

    Args:
        path: ends in .safetensors.
        tensors: name to array.
        configuration: everything that the tensors depend on; fit for JSON.
        **facts: whatever else belongs to them (epoch, scores); fit for JSON.
    """
    arrays = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    header = {
        "configuration": configuration,
        "facts": facts,
        "checksum": _checksum(arrays, configuration, facts),
    }
    with replacing(path) as temporary:
        # Through Python, so that a full disk is an `OSError` like any other.
        temporary.write_bytes(save(arrays, metadata={_KEY: _json(header)}))


def read(
    path: Path | str, *, configuration: Mapping[str, Any] | None = None
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Reads a checkpoint.

    Args:
        path: the file.
        configuration: if given, the checkpoint must have been made under it.

    Returns:
        tensors and facts; the facts include `configuration`.

    Raises:
        InputError: the file is missing, or was made under another configuration (what differs is
            named).
        DamagedFileError: its content is not what this workflow wrote.
    """
    path = Path(path)
    try:
        with safe_open(path, framework="numpy") as stream:
            header = json.loads((stream.metadata() or {})[_KEY])
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
        made_under, facts = header["configuration"], header["facts"]
        whole = header["checksum"] == _checksum(tensors, made_under, facts)
    except OSError as error:
        raise InputError(
            f"The checkpoint {path} cannot be read ({error.strerror or error})."
        ) from error
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DamagedFileError(path, f"no checkpoint of this workflow: {error}") from error
    if not whole:
        raise DamagedFileError(path, "its checksum does not fit its content")
    if configuration is not None and _json(configuration) != _json(made_under):
        differing = _differences(made_under, json.loads(_json(configuration)))
        raise InputError(
            f"The checkpoint {path} was made under another configuration (different: "
            f"{', '.join(differing)}). Put the old configuration back to go on with it, or remove "
            f"{path.parent} to start anew."
        )
    return tensors, {**facts, "configuration": made_under}


def _checksum(
    arrays: Mapping[str, np.ndarray], configuration: Mapping[str, Any], facts: Mapping[str, Any]
) -> str:
    """Returns the SHA-256 of all that a checkpoint holds."""
    whole = hashlib.sha256(_json([configuration, facts]).encode("utf-8"))
    for name, array in sorted(arrays.items()):
        whole.update(_json([name, str(array.dtype), array.shape]).encode("utf-8"))
        whole.update(array.tobytes())
    return whole.hexdigest()


def _differences(a: Any, b: Any, where: str = "") -> list[str]:
    """Returns the dotted keys in which two JSON values differ."""
    if isinstance(a, dict) and isinstance(b, dict):
        return [
            line
            for key in sorted({*a, *b})
            for line in _differences(a.get(key), b.get(key), f"{where}.{key}" if where else key)
        ]
    return [] if a == b else [where or "everything"]


def _json(content: Any) -> str:
    return json.dumps(content, sort_keys=True, allow_nan=False, ensure_ascii=False)
