"""Tests of what jobs ask for."""

import re
from types import SimpleNamespace

import pytest

from consonance import budget, planning

ONE = SimpleNamespace(corpus="ravdess", model="wav2vec2-base", shard="0-of-2", approach="peft")
METHODS = (
    "scanning",
    "drawing",
    "resampling",
    "functionals",
    "describing",
    "extraction",
    "distances",
    "similarity",
    "probing",
    "adapting_pooled",
    "adapting",
    "comparing",
)
LARGE = {"hidden_size": 1024, "num_hidden_layers": 24}


def asked(config, method, wildcards=ONE):
    return getattr(budget.Needs(config, planning.Plan(config)), method)(wildcards)


def larger(config):
    config["models"]["wav2vec2-base"].update(source="random", architecture=LARGE)
    return config


@pytest.mark.parametrize("method", METHODS)
def test_every_job_asks_for_enough_to_start(demo_config, method):
    tiny = SimpleNamespace(corpus="demo", model="tiny-mert", shard="0-of-2", approach="peft")
    need = asked(demo_config, method, tiny)
    assert need.memory >= budget.LEAST_MB
    assert need.minutes >= 10
    assert (need.memory, need.minutes) == (int(need.memory), int(need.minutes))


@pytest.mark.parametrize(
    ("method", "memory", "minutes"),
    # Peak memory (MB) and minutes of the whole run in benchmarks/README.md, with 1,056 clips.
    [
        ("scanning", 100, 13 / 60),
        ("extraction", 1800, 319 / 60),
        ("distances", 1100, 37 / 60),
        ("similarity", 1100, 118 / 60),
        ("probing", 400, 8 / 60),
        ("adapting_pooled", 480, 15 / 60),
    ],
)
def test_what_was_measured_fits_and_a_24_gb_machine_is_enough(
    default_config, method, memory, minutes
):
    default_config["corpora"]["ravdess"]["planned_clips"] = 1056
    need = asked(default_config, method)
    assert memory < need.memory < 24000
    assert 2 * minutes < need.minutes


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"describing"}))
def test_more_clips_ask_for_more(default_config, method):
    default_config["corpora"]["ravdess"]["planned_clips"] = 1000
    few = asked(default_config, method)
    default_config["corpora"]["ravdess"]["planned_clips"] = 1_000_000
    many = asked(default_config, method)
    per_shard = {"extraction"}
    assert (many.memory, many.minutes) > (few.memory, few.minutes) or method in per_shard


def test_training_for_longer_asks_for_more_time_up_to_a_day(default_config):
    peft = default_config["adaptation"]["approaches"]["peft"]
    times = []
    for epochs in (1, 2, 10_000_000):
        peft["training"] = {"epochs": epochs}
        times.append(asked(default_config, "adapting").minutes)
    assert times[0] < times[1] < times[2] == budget.DAY_MINUTES


def test_a_shard_asks_for_the_same_in_every_corpus(default_config):
    """Embedding is cut into shards: a larger corpus is more jobs, not larger ones."""
    few = asked(default_config, "extraction")
    default_config["corpora"]["ravdess"]["planned_clips"] = 10_000_000
    assert asked(default_config, "extraction") == few


@pytest.mark.parametrize("method", ["describing", "extraction", "distances", "probing"])
def test_a_larger_model_asks_for_more(default_config, method):
    base = asked(default_config, method)
    large = asked(larger(default_config), method)
    assert large.memory > base.memory
    assert large.minutes >= base.minutes


def test_longer_clips_and_slower_machines_take_longer(default_config):
    usual = asked(default_config, "extraction")
    default_config["corpora"]["ravdess"]["clip_seconds"] = 60
    longer = asked(default_config, "extraction")
    default_config["compute"]["audio_per_second"] = 3
    slower = asked(default_config, "extraction")
    assert usual.minutes < longer.minutes < slower.minutes


def test_a_gpu_job_leaves_memory_for_its_libraries(default_config):
    auto = asked(default_config, "extraction")
    default_config["compute"]["device"] = "cpu"
    assert auto.memory - asked(default_config, "extraction").memory >= budget.CUDA_MB


def test_parameters_are_near_those_of_real_models():
    # wav2vec 2.0 base and large of the library: 94.4 and 315.4 million.
    assert budget.BASE.parameters == pytest.approx(94.4e6, rel=0.02)
    assert budget.ModelSize(1024, 24).parameters == pytest.approx(315.4e6, rel=0.02)


def test_the_time_to_embed_is_that_of_the_machine():
    hours = budget.embedding_seconds(3600, budget.BASE.parameters, audio_per_second=10)
    assert hours == pytest.approx(360)


def test_rules_that_need_a_network_are_local(project):
    """Compute nodes often have none; whatever has the environment for downloads runs at home."""
    for path in (project / "rules").glob("*.smk"):
        text = path.read_text(encoding="utf-8")
        local = re.findall(r"^localrules:\n((?:    \w+,\n)+)", text, flags=re.MULTILINE)
        names = set(re.findall(r"\w+", " ".join(local)))
        for block in re.split(r"^rule ", text, flags=re.MULTILINE)[1:]:
            if "envs/download.yaml" in block:
                assert block.split(":", 1)[0] in names


def test_every_cost_that_follows_from_the_corpus_is_asked_for(project):
    rules = "".join(path.read_text() for path in sorted((project / "rules").glob("*.smk")))
    assert set(re.findall(r"growing\(NEEDS\.(\w+)\)", rules)) == set(METHODS)
    assert set(re.findall(r"lasting\(NEEDS\.(\w+)", rules)) == set(METHODS)
    fixed = [int(number) for number in re.findall(r"growing\((\d+)\)", rules)]
    assert min(fixed) >= budget.LEAST_MB
