"""The configuration as a whole: checked at once, with every problem named."""

import difflib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from consonance.adaptation import approaches
from consonance.errors import InputError

_FRACTION_TOLERANCE = 1e-9  # three decimal fractions need not sum to 1 in binary


def _where(error: ValidationError) -> str:
    return ".".join(str(step) for step in error.absolute_path) or "the top level"


def _unknown_keys(error: ValidationError) -> list[str]:
    known = list(error.schema.get("properties", {}))
    sentences = []
    for key in sorted(set(error.instance) - set(known)):
        near = difflib.get_close_matches(key, known, n=1)
        advice = f"did you mean `{near[0]}`?" if near else f"known keys are {', '.join(known)}."
        sentences.append(
            f"The configuration has an unknown key `{key}` in {_where(error)}; {advice}"
        )
    return sentences


def _sentences(error: ValidationError) -> list[str]:
    if error.validator == "additionalProperties" and error.schema["additionalProperties"] is False:
        return _unknown_keys(error)
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        return [f"The configuration lacks the key `{key}` in {_where(error)}." for key in missing]
    return [f"The configuration's {_where(error)} is not valid: {error.message}."]


def check(config: Mapping[str, Any], schema_path: Path) -> None:
    """Checks a configuration against the schema and against itself.

    Args:
        config: the merged configuration.
        schema_path: a JSON schema (draft 2020-12) in YAML.

    Raises:
        InputError: with one sentence for every unknown key, missing key, wrong value, name that is
            selected but not defined, and pair of keys that contradict each other.
    """
    schema = yaml.safe_load(schema_path.read_text(encoding="utf-8"))
    errors = sorted(
        Draft202012Validator(schema).iter_errors(config),
        key=lambda error: [str(step) for step in error.absolute_path],
    )
    problems = list(dict.fromkeys(line for error in errors for line in _sentences(error)))
    if not problems:
        problems = [*_experiment_problems(config), *_model_problems(config)]
        problems += [*_corpus_problems(config), *_value_problems(config)]
        problems += _adaptation_problems(config)
    if problems:
        raise InputError(problems)


def _experiment_problems(config: Mapping[str, Any]) -> list[str]:
    problems = []
    for kind in ("corpora", "models"):
        for name in config["experiment"][kind]:
            if name not in config[kind]:
                near = difflib.get_close_matches(name, config[kind], n=1)
                advice = f"did you mean `{near[0]}`?" if near else f"define it under `{kind}`."
                problems.append(
                    f"experiment.{kind} names `{name}`, which is not under `{kind}`; {advice}"
                )
    return problems


def _model_problems(config: Mapping[str, Any]) -> list[str]:
    needed = {
        "hub": ("repository", "revision", "files"),
        "folder": ("folder",),
        "random": ("architecture", "seed", "normalise"),
    }
    problems = []
    for name in config["experiment"]["models"]:
        model = config["models"].get(name, {})
        for key in needed.get(model.get("source"), ()):
            if key not in model:
                problems.append(
                    f"models.{name} has source `{model['source']}` and therefore needs the key "
                    f"`{key}`."
                )
        stray = sorted(set(model.get("sha256", {})) - set(model.get("files", [])))
        if model.get("source") == "hub" and stray:
            problems.append(
                f"models.{name}.sha256 names {', '.join(stray)}, which models.{name}.files does "
                "not list."
            )
    return problems


def _corpus_problems(config: Mapping[str, Any]) -> list[str]:
    needed = {
        "download": ("archives", "planned_clips"),
        "synthetic": ("synthetic", "planned_clips"),
        "folder": ("path",),
    }
    problems = []
    for name in config["experiment"]["corpora"]:
        corpus = config["corpora"].get(name)
        if corpus is None:
            continue
        for key in needed[corpus["source"]]:
            if key not in corpus:
                problems.append(
                    f"corpora.{name} has source `{corpus['source']}` and therefore needs the key "
                    f"`{key}`."
                )
        if corpus["source"] == "folder" and not Path(corpus.get("path", "")).exists():
            problems.append(
                f"corpora.{name}.path is {corpus['path']}, which does not exist; give the folder "
                "(or, for adapter `table`, the CSV file) that holds the recordings."
            )
        if corpus["source"] != "folder" and corpus["adapter"] == "table":
            problems.append(f"corpora.{name} has adapter `table`, which needs source `folder`.")
    return problems


def _value_problems(config: Mapping[str, Any]) -> list[str]:
    problems = []
    total = math.fsum(config["splits"]["fractions"].values())
    if abs(total - 1) > _FRACTION_TOLERANCE:
        problems.append(f"splits.fractions must sum to 1, but sum to {total:g}.")
    low, high = config["audio"]["rate_range"]
    if low > high:
        problems.append(f"audio.rate_range must rise, but is [{low}, {high}].")
    return problems


def _adaptation_problems(config: Mapping[str, Any]) -> list[str]:
    section = config["adaptation"]
    try:
        chosen = approaches.read(approaches.resolve(section))
    except InputError as error:
        return list(error.problems)
    known = {"models": list(config["models"]), "seeds": config["splits"]["seeds"]}
    problems = []
    for name, approach in chosen.items():
        for key, values in known.items():
            for value in getattr(approach, key) or ():
                if value not in values:
                    problems.append(
                        f"adaptation.approaches.{name}.{key} names {value}, which is not among "
                        f"{'the keys of models' if key == 'models' else 'splits.seeds'}; known are "
                        f"{', '.join(map(str, values))}."
                    )
        for model in config["experiment"]["models"]:
            if model not in config["models"]:
                continue  # said elsewhere
            if not any(approach.covers(model=model, scheme=s) for s in config["splits"]["schemes"]):
                continue
            layers = approaches.LINEAR_LAYERS[config["models"][model]["family"]]
            for module in approach.lora.modules if approach.lora else ():
                if module.split(".")[-1] not in layers:
                    problems.append(
                        f"adaptation.lora.modules of approach {name} names {module}, which matches "
                        f"no linear layer of model {model}; its blocks have {', '.join(layers)}."
                    )
    return problems
