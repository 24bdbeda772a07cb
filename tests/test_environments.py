"""The rules' environments, the project's own pins, the lock and the code must agree."""

import re
from pathlib import Path

import environments
import pytest
import yaml
from environments import pins

PROJECT = Path(__file__).resolve().parent.parent
FILES = sorted((PROJECT / "envs").glob("*.yaml"))
SCRIPTS = environments.scripts_by_environment(PROJECT)
PYTHON = "3.11"
# The pinned pip that makes the environments; the containers have their own.
ENTRIES = [f"python ={PYTHON}", "pip =25.3"]


@pytest.fixture(scope="module")
def lock(project):
    return pins((project / "constraints.txt").read_text(encoding="utf-8"))


def test_requirements_are_exact_and_locked(project, lock):
    text = (project / "requirements.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    found = pins(text)
    assert len(found) == len(lines)
    assert {name: lock.get(name) for name in found} == found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_environment_has_the_shape_that_can_be_checked(path):
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert content["name"] == f"consonance-{path.stem}"
    assert content["channels"] == ["conda-forge", "nodefaults"]
    entries, found = environments.read_environment(path)
    assert entries == ENTRIES
    assert len(found) == len(content["dependencies"][-1]["pip"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_environment_pins_what_the_project_pins(path, project, lock):
    own = pins((project / "requirements.txt").read_text(encoding="utf-8"))
    _, found = environments.read_environment(path)
    assert {name: own.get(name) for name in found} == found
    assert {name: lock.get(name) for name in found} == found


def test_every_script_has_an_environment_and_every_environment_a_script(project):
    assert sorted(SCRIPTS) == [path.stem for path in FILES]
    used = {script for scripts in SCRIPTS.values() for script in scripts}
    assert used == set((project / "workflow/scripts").glob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_environment_has_what_its_scripts_import_and_nothing_else(path):
    _, found = environments.read_environment(path)
    assert environments.distributions(SCRIPTS[path.stem]) == set(found)


def test_imports_are_found_at_any_depth(tmp_path):
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack/__init__.py").touch()
    (tmp_path / "pack/late.py").write_text(
        "import os, json\nfrom . import other\n\ndef f():\n    import yaml\n    return yaml\n"
    )
    (tmp_path / "pack/other.py").write_text("from scipy import stats\n")
    script = tmp_path / "script.py"
    script.write_text("import pack.late\nimport numpy as np\n")
    assert environments.statements([script]) == [
        "from scipy import stats",
        "import numpy as np",
        "import yaml",
    ]
    assert environments.distributions([script]) == {"numpy", "pyyaml", "scipy"}


@pytest.mark.parametrize("name", ["Dockerfile", "apptainer.def"])
def test_container_takes_its_pins_from_the_same_files(project, name):
    text = (project / name).read_text(encoding="utf-8")
    assert "-r requirements.txt -c constraints.txt" in re.sub(r"\S*/(?=\w+\.txt)", "", text)
    assert pins(text) == {}
    assert f"python:{PYTHON}-" in text
