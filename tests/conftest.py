import copy
import os
from pathlib import Path

import hypothesis
import pytest
import yaml

# The tests, like every job but the downloads, run without the Hub.
os.environ["HF_HUB_OFFLINE"] = "1"

# How long an example takes says more about the machine's other work than about the code.
hypothesis.settings.register_profile("consonance", deadline=None)
hypothesis.settings.load_profile("consonance")

PROJECT = Path(__file__).resolve().parent.parent


def merged(base, changes):
    """Merges as Snakemake does: mappings key by key, everything else replaced."""
    result = copy.deepcopy(base)
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


@pytest.fixture(scope="session")
def project() -> Path:
    return PROJECT


@pytest.fixture
def default_config() -> dict:
    return yaml.safe_load((PROJECT / "config.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def demo_config(default_config) -> dict:
    changes = yaml.safe_load((PROJECT / "tests/demo/config.yaml").read_text(encoding="utf-8"))
    return merged(default_config, changes)
