"""Files that are either whole or absent: every write goes to a temporary name first."""

import glob
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from consonance.errors import InputError


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path beside `path` that takes its place if the block succeeds.

    The temporary name ends in the same suffix, so that libraries that choose a format by suffix
    work. Its contents are flushed to disk before the rename. On any error the temporary file is
    removed and `path` is left as it was.

    Args:
        path: the file to write; its folder is made if it does not exist.

    Yields:
        The temporary path, not existing yet.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = own_folder(path, "partial")
    folder.mkdir()
    try:
        temporary = folder / path.name
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_writable(folder: str | os.PathLike[str], *, key: str) -> None:
    """Raises `InputError` if nothing can be written into a folder, or the folder not be made.

    Args:
        folder: which.
        key: the key of the configuration that names it.
    """
    path = Path(folder).absolute()
    there = next(parent for parent in (path, *path.parents) if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise InputError(
            f"The folder `{key}` of the configuration is {folder}, but nothing can be written into "
            f"{there}. Make it writable, or choose another folder, for example with "
            f"`--config {key}=FOLDER`."
        )


def own_folder(path: str | os.PathLike[str], ending: str) -> Path:
    """Returns a folder beside `path`, not existing yet, that no other process works in.

    What killed processes of this machine left for the same path is removed, so that it does not
    pile up. A process that still runs keeps its folder: where Snakemake alone was killed, its jobs
    go on and must not get in the way of those that a new run starts.

    Args:
        path: what is being made.
        ending: the last part of the folder's name, which says what it is.
    """
    path = Path(path)
    host = socket.gethostname()
    prefix = f".{path.name}.{host}."
    for left in path.parent.glob(f"{glob.escape(prefix)}*.{ending}"):
        writer = left.name.removeprefix(prefix).removesuffix(f".{ending}")
        if writer.isdigit() and not _is_running(int(writer)):
            shutil.rmtree(left, ignore_errors=True)
    own = path.parent / f"{prefix}{os.getpid()}.{ending}"
    shutil.rmtree(own, ignore_errors=True)
    return own


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def write_csv(frame: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Writes a table as CSV: no index, full precision, the same bytes for the same table."""
    with replacing(path) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n")


def write_json(content: Any, path: str | os.PathLike[str]) -> None:
    """Writes JSON with sorted keys; NaN and infinity are refused (`ValueError`)."""
    with replacing(path) as temporary:
        text = json.dumps(content, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Reads a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def write_text(text: str, path: str | os.PathLike[str]) -> None:
    """Writes a UTF-8 text file."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_npz(arrays: Mapping[str, np.ndarray], path: str | os.PathLike[str]) -> None:
    """Writes arrays to an uncompressed `.npz` without pickles; each member carries a CRC."""
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)


def sha256(path: str | os.PathLike[str]) -> str:
    """Returns the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
