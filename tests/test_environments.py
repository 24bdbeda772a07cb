"""The rules' environments, the project's own pins and the lock must agree."""

import re

import pytest
import yaml

PIN = re.compile(r"([A-Za-z0-9_.-]+)==([^\s;#]+)")


def pins(text):
    return {
        name.lower().replace("_", "-"): version
        for name, version in PIN.findall(re.sub(r"#.*", "", text))
    }


@pytest.fixture(scope="module")
def lock(project):
    return pins((project / "constraints.txt").read_text(encoding="utf-8"))


def test_requirements_are_exact_and_locked(project, lock):
    text = (project / "requirements.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    found = pins(text)
    assert len(found) == len(lines)
    assert {name: lock.get(name) for name in found} == found


def test_environments_pin_what_the_lock_pins(project, lock):
    paths = sorted((project / "envs").glob("*.yaml"))
    assert paths
    for path in paths:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert content["channels"] == ["conda-forge", "nodefaults"], path.name
        python, pip, section = content["dependencies"]
        assert (python, pip) == ("python =3.11", "pip"), path.name
        found = pins("\n".join(section["pip"]))
        assert len(found) == len(section["pip"]), path.name
        assert {name: lock.get(name) for name in found} == found, path.name


def test_every_environment_is_used(project):
    rules = "".join(path.read_text() for path in (project / "rules").glob("*.smk"))
    for path in (project / "envs").glob("*.yaml"):
        assert f"envs/{path.name}" in rules, path.name
