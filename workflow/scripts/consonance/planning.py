"""What the configuration implies before anything is computed: paths, shards, names, notices."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from consonance import corpora
from consonance.adaptation import approaches, naming
from consonance.budget import BASE, ModelSize
from consonance.files import read_json

# The encoders of arXiv 2409.17899 (section III-B) by the repository of their weights.
PAPER_REPOSITORIES = {
    "facebook/wav2vec2-base-960h": "wav2vec2-base-960h",
    "facebook/hubert-base-ls960": "hubert-base-ls960",
    "m-a-p/MERT-v1-95M": "mert-v1-95m",
}
PAPER_EMOTIONS = {"neutral", "calm", "happy", "sad", "angry", "fearful"}
PAPER_ROLES = {
    "facebook/wav2vec2-base-960h": "w2v2",
    "facebook/hubert-base-ls960": "hubert",
    "m-a-p/MERT-v1-95M": "mert",
}
_WEIGHTS = ("config.json", "preprocessor_config.json", "model.safetensors", "pytorch_model.bin")


class Plan:
    """The layout of one configured experiment.

    Args:
        config: a configuration that `configuration.check` has passed.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self._clips: dict[str, int] = {}

    # Corpora ------------------------------------------------------------------------------------

    def root(self, corpus: str) -> str:
        """Returns where the recordings of a corpus are, or will be."""
        entry = self._config["corpora"][corpus]
        resources = self._config["resources"]
        return {
            "folder": entry.get("path"),
            "download": f"{resources}/recordings/{corpus}",
            "synthetic": f"{resources}/synthetic/{corpus}",
        }[entry["source"]]

    def recordings(self, corpus: str) -> list[str]:
        """Returns the inputs of a scan: the user's files, or the folders that rules will make."""
        entry = self._config["corpora"][corpus]
        root = self.root(corpus)
        if entry["source"] == "download":
            return [f"{root}/{archive}" for archive in entry["archives"]]
        if entry["source"] == "synthetic":
            return [root]
        return [str(path) for path in corpora.list_audio_files(entry["adapter"], Path(root))]

    def clips(self, corpus: str) -> int:
        """Returns how many clips of a corpus are planned for: counted if it is there."""
        if corpus not in self._clips:
            entry = self._config["corpora"][corpus]
            if entry["source"] == "folder":
                chosen = ("emotions", "domains", "speakers_in_all_domains")
                self._clips[corpus] = corpora.expected_clips(
                    entry["adapter"],
                    Path(entry["path"]),
                    **{key: self._config["experiment"][key] for key in chosen},
                )
            else:
                self._clips[corpus] = entry["planned_clips"]
        return self._clips[corpus]

    def shards(self, corpus: str) -> list[str]:
        """Returns the names of a corpus's shards, such as `0-of-2`."""
        count = max(1, -(-self.clips(corpus) // self._config["extraction"]["clips_per_shard"]))
        return [f"{index}-of-{count}" for index in range(count)]

    # Models -------------------------------------------------------------------------------------

    def model_files(self, model: str) -> list[str]:
        """Returns the files that a model's weights come from, as rule inputs."""
        entry = self._config["models"][model]
        if entry["source"] == "hub":
            return [f"{self._config['resources']}/models/{model}.json"]
        if entry["source"] == "folder":
            folder = Path(entry["folder"])
            return [str(folder / name) for name in _WEIGHTS if (folder / name).exists()]
        return []

    def model_folder(self, model: str) -> str | None:
        """Returns the folder with a model's files; None for random weights.

        A download's folder is named by its revision, so that two revisions never mix.
        """
        entry = self._config["models"][model]
        if entry["source"] == "hub":
            return f"{self._config['resources']}/models/{model}@{entry['revision'][:12]}"
        return entry.get("folder") if entry["source"] == "folder" else None

    def model_identity(self, model: str) -> dict[str, Any]:
        """Returns what the states of a model depend on, as a rule parameter."""
        entry = self._config["models"][model]
        keys = {
            "hub": (),
            "folder": (),
            "random": ("architecture", "seed"),
        }[entry["source"]]
        identity = {key: entry[key] for key in ("family", "source", "sampling_rate", *keys)}
        return {
            "name": model,
            "folder": self.model_folder(model),
            "normalise": entry.get("normalise"),
            **identity,
        }

    def model_versions(self, model: str) -> list[list[int]]:
        """Returns size and date of the files of a model in the user's own folder.

        As a rule parameter they show another file under the same name, of whatever date; Snakemake
        itself sees newer files only.
        """
        if self._config["models"][model]["source"] != "folder":
            return []
        stats = [Path(path).stat() for path in self.model_files(model)]
        return [[stat.st_size, stat.st_mtime_ns] for stat in stats]

    def model_size(self, model: str) -> ModelSize:
        """Returns the size that a model's jobs are planned for.

        It is read from `architecture`, or from the `config.json` of the model's folder; a base-size
        model is planned for while that is not there yet, or says nothing.
        """
        folder = self.model_folder(model)
        fields = self._config["models"][model].get("architecture", {})
        if folder is not None:
            try:
                fields = read_json(Path(folder) / "config.json")
            except (OSError, ValueError):
                # Not there yet, or unusable, which the rule describe_model says.
                return BASE
        return ModelSize(
            dim=fields.get("hidden_size", fields.get("d_model", BASE.dim)),
            blocks=fields.get("num_hidden_layers", fields.get("encoder_layers", BASE.blocks)),
        )

    def audio(self, corpus: str, model: str, shard: str) -> str:
        """Returns the table of a shard's resampled clips at the model's sampling rate."""
        return f"{self.wavs(corpus, model, shard)}.csv"

    def wavs(self, corpus: str, model: str, shard: str) -> str:
        """Returns the folder of a shard's resampled clips at the model's sampling rate."""
        rate = self._config["models"][model]["sampling_rate"]
        return f"{self._config['results']}/{corpus}/audio/{rate}/{shard}"

    # What figures and tables say ------------------------------------------------------------

    def labels(self) -> dict[str, str]:
        """Returns display names of models, and of whatever `figures.labels` names."""
        models = self._config["experiment"]["models"]
        names = {model: self._config["models"][model].get("label", model) for model in models}
        return {**names, **self._config["figures"]["labels"]}

    def summarised(self) -> list[str]:
        """Returns the tables that the summary is written from."""
        return [
            "performance_intervals",
            "adaptation_comparisons",
            "fad_ranking",
            "similarity",
            "claims",
            "side_by_side",
            "acoustic_correlates",
        ]

    def portable(self) -> dict[str, Any]:
        """Returns the configuration of what is chosen, without the folders of one machine."""
        chosen = {key: value for key, value in self._config.items() if key not in ("compute",)}
        for kind, local in (("corpora", "path"), ("models", "folder")):
            chosen[kind] = {
                name: {
                    key: value for key, value in self._config[kind][name].items() if key != local
                }
                for name in self._config["experiment"][kind]
            }
        return chosen

    def order(self) -> dict[str, list[str]]:
        """Returns the order in which figures and tables name things: the configuration's."""
        experiment = self._config["experiment"]
        return {
            "model": list(experiment["models"]),
            "domain": list(experiment["domains"]),
            "emotion": list(experiment["emotions"]),
            "scheme": list(self._config["splits"]["schemes"]),
            "approach": list(approaches.resolve(self._config["adaptation"])),
            "training": list(naming.TRAININGS.values()),
            "direction": list(naming.directions(experiment["domains"])),
        }

    def notice(self, corpus: str, *shown: str) -> str:
        """Returns what a figure must say on its face: synthetic data, random weights, or ''.

        Args:
            corpus: whose recordings it shows.
            *shown: the models that it shows; all if none is given.
        """
        parts = self._synthetic(corpus)
        models = shown or self._models()
        random = [name for name in models if self._config["models"][name]["source"] == "random"]
        if len(random) == len(models):
            parts.append("random weights")
        elif random:
            parts.append(f"random weights in {', '.join(self.labels()[name] for name in random)}")
        return _not_a_finding(parts)

    def corpus_notice(self, corpus: str) -> str:
        """Returns the notice of a figure that shows recordings and no model: '' if real."""
        return _not_a_finding(self._synthetic(corpus))

    def _synthetic(self, corpus: str) -> list[str]:
        synthetic = self._config["corpora"][corpus]["source"] == "synthetic"
        return ["Synthetic recordings"] if synthetic else []

    def roles(self) -> dict[str, str]:
        """Returns which configured model plays which part in the paper: w2v2, hubert, mert."""
        named = {name: self._config["models"][name] for name in self._models()}
        return {
            PAPER_ROLES[entry["repository"]]: name
            for name, entry in named.items()
            if entry["source"] == "hub" and entry.get("repository") in PAPER_ROLES
        }

    def trained_on(self) -> dict[str, str]:
        """Returns what each model was trained on, speech or music, where the configuration says."""
        named = {name: self._config["models"][name] for name in self._models()}
        return {name: entry["trained_on"] for name, entry in named.items() if "trained_on" in entry}

    def _models(self) -> list[str]:
        return self._config["experiment"]["models"]

    def paper_models(self, corpus: str) -> dict[str, str]:
        """Returns which configured models are the paper's, by the paper's name.

        Empty unless the corpus is the full RAVDESS release with the paper's emotions and domains.
        """
        entry = self._config["corpora"][corpus]
        experiment = self._config["experiment"]
        papers_data = (
            entry["adapter"] == "ravdess"
            and entry["source"] != "synthetic"
            and entry.get("expect_full_release", False)
            and set(experiment["emotions"])
            == {"neutral", "calm", "happy", "sad", "angry", "fearful"}
            and set(experiment["domains"]) == {"speech", "song"}
            and experiment["speakers_in_all_domains"]
        )
        if not papers_data:
            return {}
        models = {name: self._config["models"][name] for name in experiment["models"]}
        return {
            name: PAPER_REPOSITORIES[entry["repository"]]
            for name, entry in models.items()
            if entry["source"] == "hub" and entry["repository"] in PAPER_REPOSITORIES
        }


def _not_a_finding(parts: list[str]) -> str:
    text = " and ".join(parts)
    return f"{text[0].upper()}{text[1:]}: not a finding" if parts else ""
