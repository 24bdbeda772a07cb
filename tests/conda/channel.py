"""Builds a local conda channel from this machine's Python and the pip that environments pin.

    python channel.py FOLDER

It holds two packages, python and pip: everything else comes from pip.
"""

import asyncio
import hashlib
import json
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from pathlib import Path

import yaml
from rattler.index import index_fs

PLATFORM = "linux-64"
PROJECT = Path(__file__).resolve().parents[2]
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"


def pack(root: Path, folder: Path, name: str, version: str, depends: list[str]) -> None:
    """Writes the files below `root` as a conda package."""
    files = sorted(
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.is_file() or path.is_symlink()
    )
    paths = []
    for file in files:
        path = root / file
        entry = {"_path": file, "path_type": "softlink" if path.is_symlink() else "hardlink"}
        if not path.is_symlink():
            content = path.read_bytes()
            entry["sha256"] = hashlib.sha256(content).hexdigest()
            entry["size_in_bytes"] = len(content)
        paths.append(entry)
    index = {
        "name": name,
        "version": version,
        "build": "standin_0",
        "build_number": 0,
        "depends": depends,
        "subdir": PLATFORM,
        "arch": "x86_64",
        "platform": "linux",
    }
    info = root / "info"
    info.mkdir()
    (info / "index.json").write_text(json.dumps(index))
    (info / "paths.json").write_text(json.dumps({"paths": paths, "paths_version": 1}))
    (info / "files").write_text("\n".join(files) + "\n")
    archive = folder / f"{name}-{version}-standin_0.tar.bz2"
    with tarfile.open(archive, "w:bz2", compresslevel=1) as tar:
        for path in sorted(root.rglob("*")):
            if path.is_file() or path.is_symlink():
                tar.add(path, path.relative_to(root).as_posix())


def pack_python(folder: Path) -> None:
    """Packs the interpreter that runs this: its program, standard library and shared library."""
    library = Path(sysconfig.get_path("stdlib"))
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        unneeded = ("__pycache__", "site-packages", "dist-packages", "test", "idlelib", "*.a")
        shutil.copytree(
            library,
            root / f"lib/python{VERSION}",
            symlinks=True,
            ignore=shutil.ignore_patterns(*unneeded),
        )
        for shared in library.parent.glob(f"libpython{VERSION}.so*"):
            shutil.copy(shared, root / "lib", follow_symlinks=False)
        (root / "bin").mkdir()
        shutil.copy(Path(sys.executable).resolve(), root / f"bin/python{VERSION}")
        for link in ("python", "python3"):
            (root / "bin" / link).symlink_to(f"python{VERSION}")
        pack(root, folder, "python", sysconfig.get_config_var("py_version"), [])


def pack_pip(folder: Path, version: str) -> None:
    """Packs a released pip."""
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*command, "--dest", name, f"pip=={version}"], check=True)
        (wheel,) = Path(name).glob("*.whl")
        root = Path(name) / "root"
        zipfile.ZipFile(wheel).extractall(root / f"lib/python{VERSION}/site-packages")
        pack(root, folder, "pip", version, [f"python {VERSION}.*"])


def main() -> None:
    """Builds the channel for what the environment files ask for."""
    asked = set()
    for path in (PROJECT / "envs").glob("*.yaml"):
        asked |= set(yaml.safe_load(path.read_text(encoding="utf-8"))["dependencies"][:2])
    python, pip = sorted(asked, reverse=True)
    if python != f"python ={VERSION}":
        sys.exit(
            f"This is Python {VERSION}, but envs/*.yaml ask for '{python}': make .venv with that "
            "version (make PYTHON=...)."
        )
    channel = Path(sys.argv[1])
    folder = channel / PLATFORM
    folder.mkdir(parents=True)
    (channel / "noarch").mkdir()
    pack_python(folder)
    pack_pip(folder, pip.partition("=")[2])
    asyncio.run(index_fs(channel))
    for path in sorted(folder.glob("*.tar.bz2")):
        print(f"{path.name}: {path.stat().st_size / 1e6:.0f} MB")


main()
