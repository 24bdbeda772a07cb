"""Folders that are either whole or absent, as `files` does for single files."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from consonance import files
from consonance.errors import InputError


def holds_files(folder: str | os.PathLike[str]) -> bool:
    """Says whether anything but empty folders lies at or under `folder`."""
    folder = Path(folder)
    if folder.is_symlink() or folder.is_file():
        return True
    return folder.is_dir() and any(not p.is_dir() or p.is_symlink() for p in folder.rglob("*"))


@contextmanager
def building(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields an empty folder beside `folder` that takes its place if the block succeeds.

    What a killed run left there is cleared by the next one. On any error the temporary folder is
    removed.

    Args:
        folder: the folder to make; it may exist only if it holds no file (a workflow manager makes
            the folders of its outputs beforehand).

    Yields:
        The temporary folder.

    Raises:
        InputError: `folder` holds files already; nothing is overwritten.
    """
    folder = Path(folder)
    if holds_files(folder):
        raise InputError(
            f"{folder} holds files already and nothing is overwritten; remove it or choose another "
            "folder."
        )
    temporary = files.own_folder(folder, "building")
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if folder.is_dir():
            # Deepest first, and never `rmtree`: a file that appeared meanwhile stops this.
            for empty in sorted(folder.rglob("*"), reverse=True):
                empty.rmdir()
            folder.rmdir()
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
