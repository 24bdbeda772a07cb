"""The methods section of a paper about a run, filled from its configuration.

Every number and every choice in the text comes from the configuration, the manifests or the
description of the models; the sentences only say what the workflow does with them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from consonance.adaptation import approaches
from consonance.adaptation.naming import control
from consonance.reporting import provenance
from consonance.reporting.document import Block, Heading, Paragraph

_SCHEMES = {
    "random": "over clips, stratified by emotion, so that a speaker occurs in every part",
    "speaker": "by speaker, so that no speaker occurs in two parts and each is in the same part in "
    "every domain",
}
_LEVELS = {
    "frames": "over all frames of a set",
    "clips": "over the mean vectors of the clips of a set",
}
_DESIGNS = {
    "unpaired": "all recordings of both domains, divided by their pooled standard deviation",
    "paired": "recordings matched by speaker, emotion, intensity, statement and repetition, "
    "divided by the standard deviation of the differences",
}
_EFFECTS = {"hedges": "Hedges' g", "cohen": "Cohen's d"}
_ALTERNATIVES = {"two-sided": "two-sided", "greater": "one-sided (positive correlation)"}
_CORRECTIONS = {"holm": "Holm's", "bh": "Benjamini and Hochberg's"}


def methods(
    config: Mapping[str, Any],
    *,
    manifests: Mapping[str, pd.DataFrame],
    models: Mapping[str, Mapping[str, Any]],
) -> list[Block]:
    """Returns the methods section.

    Args:
        config: the configuration.
        manifests: the whole manifest of each corpus, excluded clips too.
        models: what the rule that describes a model wrote, by model; a model that is missing is
            described by its configuration alone.

    Returns:
        A title, and a heading and a paragraph for each part that the configuration has.
    """
    parts = [
        ("Data", _data(config, manifests)),
        ("Encoders", _encoders(config, models)),
        ("Embeddings", _embeddings(config)),
        ("Splits", _splits(config)),
        ("Probes", _probes(config)),
        ("Two-stage adaptation", _adaptation(config)),
        ("Fréchet audio distance", _fad(config)),
        ("Other measures of likeness", _similarity(config)),
        ("Acoustic correlates", _acoustics(config)),
        ("Intervals and comparisons", _evidence(config)),
    ]
    blocks: list[Block] = [Heading("Methods", level=1)]
    for title, text in parts:
        if text:
            blocks += [Heading(title), Paragraph(text)]
    return blocks


def listed(items: Sequence[object]) -> str:
    """Returns "a", "a and b" or "a, b and c"."""
    words = [str(item) for item in items]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def counted(number: int, noun: str, plural: str = "") -> str:
    """Returns "1 clip" or "2 clips"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def per_cent(fraction: float) -> str:
    """Returns a fraction as per cent without needless decimals."""
    return f"{100 * fraction:.6g} %"


def _data(config: Mapping[str, Any], manifests: Mapping[str, pd.DataFrame]) -> str:
    experiment = config["experiment"]
    sentences = []
    for name in experiment["corpora"]:
        entry = config["corpora"][name]
        label = entry.get("label", name)
        cited = f" ({entry['citation']})" if "citation" in entry else ""
        origin = provenance.corpus_source(entry)
        linking = "," if entry["source"] == "synthetic" else " from"
        sentences.append(f"We used {label}{cited}{linking} {origin}.")
        if name in manifests:
            sentences.append(_counts(manifests[name], experiment["domains"]))
    emotions = experiment["emotions"]
    sentences.append(
        f"The domains compared are {listed(experiment['domains'])}; the "
        f"{counted(len(emotions), 'emotion')} are {listed(emotions)}."
    )
    if experiment["speakers_in_all_domains"]:
        sentences.append("Speakers without recordings in every domain were left out.")
    audio = config["audio"]
    low, high = audio["rate_range"]
    action = {
        "stop": "would have stopped the run",
        "exclude": "were excluded and are listed with the results",
    }[experiment["on_bad_audio"]]
    sentences.append(
        f"Recordings that are damaged, shorter than {audio['minimum_seconds']:g} s, silent (no "
        f"sample above {audio['silence_peak']:g} of full scale) or with a sampling rate outside "
        f"{low:,} to {high:,} Hz {action}."
    )
    return " ".join(sentences)


def _counts(manifest: pd.DataFrame, domains: Sequence[str]) -> str:
    kept = manifest[manifest["excluded"] == ""]
    by_domain = kept["domain"].value_counts()
    parts = [f"{by_domain.get(domain, 0):,} of {domain}" for domain in domains]
    hours = kept["duration"].sum() / 3600
    text = (
        f"It gave {counted(len(kept), 'clip')} ({listed(parts)}; {hours:.2f} hours) by "
        f"{counted(kept['speaker'].nunique(), 'speaker')}"
    )
    left_out = len(manifest) - len(kept)
    return f"{text}, after {left_out:,} were left out." if left_out else f"{text}."


def _encoders(config: Mapping[str, Any], models: Mapping[str, Mapping[str, Any]]) -> str:
    sentences = []
    for name in config["experiment"]["models"]:
        entry = config["models"][name]
        cited = f" ({entry['citation']})" if "citation" in entry else ""
        text = f"{entry.get('label', name)}{cited}: {provenance.model_source(entry)}"
        if entry["source"] == "hub":
            text += f" at revision {entry['revision']}"
        if name in models:
            record = models[name]
            text += (
                f"; {record['states'] - 1} layers of {record['dim']} dimensions, "
                f"{record['parameters'] / 1e6:,.1f} million parameters, "
                f"{record['frames_per_second']:g} frames/s"
            )
        sentences.append(f"{text}; audio at {entry['sampling_rate']:,} Hz.")
    return (
        "The encoders were frozen. "
        + " ".join(sentences)
        + " Layer k is the output of block k; layer 0 is the input of the first block."
    )


def _embeddings(config: Mapping[str, Any]) -> str:
    extraction = config["extraction"]
    long = {
        "window": "were cut into windows of that length, whose frames were pooled",
        "refuse": "were refused",
    }[extraction["long_clips"]]
    return (
        "Recordings were mixed down to mono and resampled with soxr at its highest quality to the "
        "rate of each encoder; their level was not changed beyond what the encoder's own "
        "normalisation does. Each clip is represented, at every layer, by the mean of its frames; "
        "padding counts for nothing. Encoders ran in "
        f"{extraction['precision']}; recordings longer than {extraction['window_seconds']:g} s "
        f"{long}."
    )


def _splits(config: Mapping[str, Any]) -> str:
    splits = config["splits"]
    fractions = splits["fractions"]
    schemes = "; and ".join(f"{name}: {_SCHEMES[name]}" for name in splits["schemes"])
    return (
        f"Clips were split into {per_cent(fractions['train'])} for training, "
        f"{per_cent(fractions['validation'])} for validation and {per_cent(fractions['test'])} for "
        f"testing ({schemes}), with {counted(len(splits['seeds']), 'seed')} "
        f"({listed(splits['seeds'])}). Recordings with equal samples were kept in one part."
    )


def _probes(config: Mapping[str, Any]) -> str:
    probes = config["probes"]
    scaling = {
        True: "after scaling every feature to mean 0 and variance 1 on the training clips",
        False: "without scaling of the features",
    }[probes["standardise"]]
    weighing = {
        "none": "every clip weighing the same",
        "balanced": "in a second set of probes, every emotion weighing the same",
    }
    weights = "; ".join(weighing[name] for name in probes["class_weights"])
    return (
        "For each layer, domain, split and seed a linear classifier was trained on the clips' mean "
        f"vectors {scaling}, with cross-entropy ({weights}) and AdamW (learning rate "
        f"{probes['learning_rate']:g}, betas {listed(probes['betas'])}, epsilon "
        f"{probes['epsilon']:g}, weight decay {probes['weight_decay']:g}) in batches of "
        f"{probes['batch_size']} for {counted(probes['epochs'], 'epoch')}. The epoch with the best "
        "validation accuracy (then the lowest validation loss, then the earliest) was tested once. "
        "We report accuracy, unweighted average recall (UAR) and the recall of each emotion."
    )


def _adaptation(config: Mapping[str, Any]) -> str:
    if "adaptation" not in config:
        return ""
    adaptation = config["adaptation"]
    chosen = approaches.read(approaches.resolve(adaptation))
    first, second = config["experiment"]["domains"]
    shares = [per_cent(share) for share in adaptation["fractions"] if share < 1]
    limited = (
        f" Direct training and stage two were repeated with {listed(shares)} of the training "
        "clips, drawn per emotion, smaller shares being parts of larger ones."
        if shares
        else ""
    )
    controls = [name for name in adaptation["controls"] if name in adaptation["run"]]
    controlled = (
        f" Two stages have twice the epochs of one; as controls, {listed(controls)} were also "
        "trained directly for the epochs of both stages together."
        if controls
        else ""
    )
    described = " ".join(
        _approach(name, each, adaptation["fractions"])
        for name, each in chosen.items()
        if name not in [control(known) for known in controls]
    )
    return (
        f"In both directions ({first} to {second}, {second} to {first}), stage one was trained and "
        "tested on the first domain; stage two started from every trained tensor of the best epoch "
        "of stage one, with a new optimiser, and was trained and tested on the second. The encoder "
        "stayed frozen, in evaluation mode; a linear classifier saw the outputs of its blocks, "
        f"averaged over frames and then over blocks. {described} Loss, choice of the epoch and "
        f"splits are as for the probes.{limited}{controlled}"
    )


def _approach(name: str, approach: approaches.Approach, shares: Sequence[float]) -> str:
    """Describes what one approach trains and how."""
    parts = ["the classifier"]
    if "layer_weights" in approach.trains:
        parts.append("softmax weights of the blocks, equal at the start")
    if gate := approach.gate:
        parts.append(
            f"a gate per block and dimension ({gate.function}, starting at {gate.initial:g}, on "
            f"the {gate.place})"
        )
    if lora := approach.lora:
        parts.append(
            f"LoRA of rank {lora.rank} and alpha {lora.alpha:g} on {listed(lora.modules)} of every "
            "block"
        )
    if adapter := approach.adapter:
        parts.append(
            f"bottleneck adapters of width {adapter.width} (ReLU, residual, scale "
            f"{adapter.scale:g}; {listed(adapter.places)})"
        )
    training = approach.training
    limits = ""
    for key, words in (("models", "models"), ("schemes", "splits"), ("seeds", "seeds")):
        chosen = getattr(approach, key)
        if chosen is not None:
            limits += f"; {words} {listed(chosen)} only"
    if any(share < 1 for share in shares) and approach.fractions == (1,):
        limits += "; all training clips only"
    return (
        f"{name}: {listed(parts)}; AdamW with learning rate {training.learning_rate:g} and weight "
        f"decay {training.weight_decay:g}, batches of {training.batch_size}, "
        f"{counted(training.epochs, 'epoch')} a stage{limits}."
    )


def _fad(config: Mapping[str, Any]) -> str:
    fad = config["fad"]
    levels = listed([f"{_LEVELS[level]} ({level})" for level in fad["levels"]])
    return (
        "The Fréchet audio distance between two sets is |m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a "
        f"S_b)^1/2) with means m and covariances S (divisor n - 1), taken {levels}, for each "
        "emotion and for all together, at every layer. Its scale-free version is divided by tr(S_a "
        f"+ S_b). Frames were summed up in {fad['actor_folds']} folds of speakers (seed "
        f"{fad['actor_fold_seed']})."
    )


def _similarity(config: Mapping[str, Any]) -> str:
    if "similarity" not in config:
        return ""
    similarity = config["similarity"]
    interval = {
        "jackknife": "a jackknife over folds of speakers",
        "bootstrap": f"a bootstrap over speakers ({similarity['bootstrap_draws']:,} draws)",
    }[similarity["interval"]]
    return (
        "FAD grows as sets get smaller, so it is given beside the plain value: at equal numbers of "
        f"clips (mean of {counted(similarity['draws'], 'sub-sample')} without replacement, "
        "balanced over speakers); between halves of the speakers, with the distance between halves "
        f"of one domain as its floor ({counted(similarity['splits'], 'split')}); less the mean of "
        "its null; and extrapolated to unlimited clips, quadratic in 1/n, from "
        f"{listed([per_cent(share) for share in similarity['fractions']])} of the clips. The null "
        f"exchanges domain labels within speakers ("
        f"{counted(similarity['permutations'], 'permutation')}; "
        f"{similarity['pooled_permutations']:,} for all emotions together). The kernel distance is "
        "the "
        "unbiased squared maximum mean discrepancy with a Gaussian kernel of the median distance "
        f"(times {similarity['kernel_scale']:g}); alignment (CKA) and cosine compare recordings "
        f"that share {listed(similarity['pair_by'])}, with a null that shuffles partners within "
        f"speakers. {per_cent(similarity['level'])} intervals come from {interval} (seed "
        f"{similarity['seed']})."
    )


def _evidence(config: Mapping[str, Any]) -> str:
    if "evidence" not in config:
        return ""
    evidence = config["evidence"]
    return (
        f"{per_cent(evidence['level'])} intervals of scores rest on "
        f"{counted(evidence['draws'], 'bootstrap draw')} of test clips (random split) or speakers "
        "(speaker split), to which the variance between seeds is added; they are not given for "
        f"fewer than {evidence['min_clusters']} of them. In pairs, "
        f"{listed(evidence['comparisons'])} were compared on the same test clips in "
        f"{listed(evidence['metrics'])}: by the bootstrap over all seeds, and by McNemar's exact "
        "test for the first; p values are corrected by Holm's method within each family. The "
        "spread of recalls over emotions is compared with "
        f"{counted(evidence['permutations'], 'permutation')} of the labels (seed "
        f"{evidence['seed']}). Claims about distances are tested on "
        f"{listed(evidence['claim_measures'])}."
    )


def _acoustics(config: Mapping[str, Any]) -> str:
    if "acoustics" not in config:
        return ""
    acoustics = config["acoustics"]
    rate = acoustics["sampling_rate"]
    at = "at the recordings' sampling rate" if rate is None else f"at {rate:,} Hz"
    bootstrap = (
        f"{per_cent(acoustics['confidence'])} intervals are bias-corrected and accelerated, from "
        f"{acoustics['resamples']:,} bootstrap draws of whole speakers (seed {acoustics['seed']})"
    )
    return (
        f"The eGeMAPS v02 functionals were computed with openSMILE {at} from the recordings. For "
        f"each emotion and {len(acoustics['properties'])} properties, the difference between "
        f"{listed(config['experiment']['domains'])} is given as "
        f"{_EFFECTS[acoustics['effect']]} over {_DESIGNS[acoustics['design']]}; {bootstrap}. The "
        "size of the difference was correlated over emotions with the distance (Spearman), with a "
        f"{_ALTERNATIVES[acoustics['alternative']]} permutation p value over all orders of the "
        f"emotions (at most {acoustics['permutations']:,}, else as many drawn) and "
        f"{_CORRECTIONS[acoustics['correction']]} correction over the properties of a layer."
    )
