"""How much memory and time a job asks for, from the clips it works on and the size of the model.

Rules ask for what these formulae say, and for more with every attempt. Each is a sum of what is
held in memory, or a measured time scaled by what it grows with. Unless a comment says otherwise,
constants come from the whole run in benchmarks/README.md: RAVDESS actors 01-12 (1,056 clips, 1.2
hours of audio), a base-size Wav2Vec 2.0, two cores. They are meant to be enough, not exact.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from consonance.adaptation import approaches

MB = 1e6
LEAST_MB = 1000  # what any job gets: the smallest peaked at 0.6 GB on SLURM
# On SLURM, two Snakemake processes stand beside the job's own and count too.
SNAKEMAKE_MB = 400
LEAST_MINUTES = 10
# Other machines are slower and busier than the one that was measured on: the same scan took 3 s on
# a quiet machine and 13 s on a busy one.
MEMORY_MARGIN = 1.25
TIME_MARGIN = 4

# The run that was measured.
MEASURED_CLIPS = 1056
MEASURED_PAIRS = 66  # of 12 domain-emotion sets
MEASURED_SEEDS = 5
MEASURED_EPOCHS = 500
MEASURED_PERMUTATIONS = 999
MEASURED_DRAWS = 2000
SCANNED_PER_SECOND = 400  # recordings
# Seconds of audio per second, on the demonstration's 352 voices of one second.
RESAMPLED_AUDIO = 230
FUNCTIONALS_AUDIO = 75
FAD_SECONDS = 37
SIMILARITY_SECONDS = 118
PROBE_SECONDS = 8
POOLED_SECONDS = 4.5  # 80 runs of one approach, in the run on real recordings
POOLED_EPOCHS = 300
DAY_MINUTES = 1440
COMPARISON_SECONDS = 200  # assumed: the comparisons of the whole run were not timed

# Memory (MB) of a process before it has any data.
STATISTICS_MB = 300
TORCH_MB = 450
# The CUDA libraries' share of the host's memory: assumed, since it was not measured.
CUDA_MB = 3000
WINDOW_MB_PER_SECOND = 15  # activations of one pass on a CPU: 0.44 GB for 30 s
# Activations that training keeps per second of audio, of a base-size model: assumed from some 20
# tensors a block, 50 frames/s.
TRAINED_MB_PER_SECOND = 40
# The input of the first block: 50 of Wav2Vec 2.0 and Whisper, 75 of MERT. Whisper's clips are all
# as long as its window (30 s), for which the attempts after the first leave room.
FRAMES_PER_SECOND = 75
# Manifest and splits of 100,000 clips took 0.15 GB (benchmarks/scale.py); a scan also holds what it
# found in each recording, assumed as large.
BYTES_PER_CLIP = 3000
FRAMES_PER_BUFFER = 2048  # extraction.BUFFER_FRAMES, which would import torch
FLOAT32, FLOAT64 = 4, 8
# (n, n) matrices of float64 beside one per state: six for a state's kernel, four states at once.
PAIR_MATRICES = 24
PREDICTION_BYTES = 300  # assumed: a row of predictions as text and in tables
START_SECONDS = 60  # imports, reading a model
CLIP_SECONDS = 4.1  # mean of RAVDESS, for a corpus that does not say its own


@dataclass(frozen=True)
class ModelSize:
    """What the cost of a model follows from.

    Attributes:
        dim: width of a state.
        blocks: number of transformer blocks.
    """

    dim: int
    blocks: int

    @property
    def states(self) -> int:
        """Number of states: blocks + 1."""
        return self.blocks + 1

    @property
    def parameters(self) -> float:
        """Number of parameters, about: 12 d^2 per block, and a front end of 9.4 million."""
        return 12 * self.blocks * self.dim**2 + 9.4e6

    def means_bytes(self, clips: int) -> float:
        """Returns the size of the means of so many clips in every state."""
        return clips * self.states * self.dim * FLOAT32


BASE = ModelSize(dim=768, blocks=12)


@dataclass(frozen=True)
class Need:
    """What a job asks for at its first attempt.

    Attributes:
        memory: MB.
        minutes: of run time.
    """

    memory: int
    minutes: int


def need(megabytes: float, seconds: float) -> Need:
    """Returns a job's need: measured memory and time with their margins, and never too little."""
    minutes = math.ceil((START_SECONDS + TIME_MARGIN * seconds) / 60)
    return Need(
        memory=max(LEAST_MB, math.ceil(MEMORY_MARGIN * (megabytes + SNAKEMAKE_MB))),
        minutes=max(LEAST_MINUTES, minutes),
    )


def embedding_seconds(audio_seconds: float, parameters: float, *, audio_per_second: float) -> float:
    """Returns how long a model takes to embed recordings.

    Args:
        audio_seconds: length of the recordings.
        parameters: of the model; time grows with them.
        audio_per_second: seconds of audio that a base-size model embeds in one second here.
    """
    return audio_seconds * parameters / BASE.parameters / audio_per_second


class Plan(Protocol):
    """What is asked of `planning.Plan`."""

    def clips(self, corpus: str) -> int:
        """Returns how many clips of a corpus are planned for."""

    def model_size(self, model: str) -> ModelSize:
        """Returns the size of a model."""


class Needs:
    """The needs of the jobs whose cost follows from corpus or model, by their wildcards.

    Args:
        config: a configuration that `configuration.check` has passed.
        plan: the plan of that configuration.
    """

    def __init__(self, config: Mapping[str, Any], plan: Plan) -> None:
        self._config = config
        self._plan = plan

    def scanning(self, wildcards: Any) -> Need:
        """Opens every recording of a corpus once, and keeps a row for each."""
        clips = self._plan.clips(wildcards.corpus)
        return need(_table(clips), clips / SCANNED_PER_SECOND)

    def drawing(self, wildcards: Any) -> Need:
        """Draws splits: a short row per clip and seed."""
        return need(2 * _table(self._plan.clips(wildcards.corpus)), 0)

    def resampling(self, wildcards: Any) -> Need:
        """Resamples one shard; the manifest of the whole corpus is read to find it."""
        seconds = self._shard_clips(wildcards) * self._clip_seconds(wildcards) / RESAMPLED_AUDIO
        return need(_table(self._plan.clips(wildcards.corpus)), seconds)

    def functionals(self, wildcards: Any) -> Need:
        """Measures the acoustic properties of every clip."""
        clips = self._plan.clips(wildcards.corpus)
        return need(_table(clips), clips * self._clip_seconds(wildcards) / FUNCTIONALS_AUDIO)

    def describing(self, wildcards: Any) -> Need:
        """Loads a model once: its weights, and the file they come from."""
        return need(TORCH_MB + _weights(self._plan.model_size(wildcards.model)), 0)

    def extraction(self, wildcards: Any) -> Need:
        """Embeds one shard.

        In memory: the weights, the buffer of frames and the scatter of one cell, the means of the
        shard's clips, and the activations of one window. The shard's frames are never all held.
        """
        size, clips = self._plan.model_size(wildcards.model), self._shard_clips(wildcards)
        buffers = size.states * size.dim * (FRAMES_PER_BUFFER * FLOAT32 + size.dim * FLOAT64)
        memory = TORCH_MB + _weights(size) + (buffers + size.means_bytes(clips)) / MB
        memory += WINDOW_MB_PER_SECOND * self._config["extraction"]["window_seconds"]
        if self._config["compute"]["device"] != "cpu":
            memory += CUDA_MB
        seconds = embedding_seconds(
            clips * self._clip_seconds(wildcards),
            size.parameters,
            audio_per_second=self._config["compute"]["audio_per_second"],
        )
        return need(memory, seconds)

    def distances(self, wildcards: Any) -> Need:
        """Measures the Fréchet distances between all sets of a model.

        Time grows with pairs of sets, states, and the cube of the dimensions.
        """
        size, sets = self._plan.model_size(wildcards.model), self._sets()
        seconds = FAD_SECONDS * (sets * (sets - 1) / 2) / MEASURED_PAIRS * _relative(size, power=3)
        return need(STATISTICS_MB + self._sets_megabytes(wildcards), seconds)

    def similarity(self, wildcards: Any) -> Need:
        """Measures likeness in all ways; memory and time grow with the square of the clips."""
        size, clips = self._plan.model_size(wildcards.model), self._plan.clips(wildcards.corpus)
        matrices = clips**2 * FLOAT64 * (size.states + PAIR_MATRICES) / MB
        seconds = SIMILARITY_SECONDS * (clips / MEASURED_CLIPS) ** 2 * _relative(size, power=1)
        seconds *= self._config["similarity"]["permutations"] / MEASURED_PERMUTATIONS
        return need(STATISTICS_MB + self._sets_megabytes(wildcards) + matrices, seconds)

    def probing(self, wildcards: Any) -> Need:
        """Trains the probes of one domain and scheme: every state and seed."""
        size, clips = self._plan.model_size(wildcards.model), self._plan.clips(wildcards.corpus)
        seconds = PROBE_SECONDS * clips / MEASURED_CLIPS * _relative(size, power=1)
        seconds *= len(self._config["splits"]["seeds"]) / MEASURED_SEEDS
        seconds *= self._config["probes"]["epochs"] / MEASURED_EPOCHS
        return need(_table(clips) + 3 * size.means_bytes(clips) / MB, seconds)

    def adapting_pooled(self, wildcards: Any) -> Need:
        """Trains everything that needs clip means only, of one model and scheme."""
        size, clips = self._plan.model_size(wildcards.model), self._plan.clips(wildcards.corpus)
        adaptation = self._config["adaptation"]
        # A control counts as an approach: twice as long, but one stage without shares.
        trained = len(adaptation["run"]) + len(adaptation["controls"])
        seconds = POOLED_SECONDS * clips / MEASURED_CLIPS * _relative(size, power=1)
        seconds *= len(self._config["splits"]["seeds"]) / MEASURED_SEEDS
        seconds *= adaptation["training"]["epochs"] / POOLED_EPOCHS * trained
        return need(_table(clips) + 3 * size.means_bytes(clips) / MB, seconds)

    def adapting(self, wildcards: Any) -> Need:
        """Trains an approach that changes the encoder.

        In memory: the input of the first block for every frame of the corpus, once, and the
        activations of a batch, of which training keeps those of every block. The time is that of
        all epochs, and at most a day: a job that is cut short goes on from its last epoch.
        """
        size = self._plan.model_size(wildcards.model)
        seconds = self._plan.clips(wildcards.corpus) * self._clip_seconds(wildcards)
        frames = seconds * FRAMES_PER_SECOND * size.dim * FLOAT32 / MB
        # On a GPU the activations are in its own memory.
        batch = self._config["adaptation"]["batch_seconds"]["cpu"]
        kept = TRAINED_MB_PER_SECOND * batch * _relative(size, power=1)
        memory = TORCH_MB + CUDA_MB + _weights(size) + frames + kept
        approach = approaches.read(approaches.resolve(self._config["adaptation"]))[
            wildcards.approach
        ]
        splits = self._config["splits"]
        shares = splits["fractions"]
        # A step runs forward and, at twice the cost, backward; validation runs forward.
        passes = 3 * shares["train"] * sum(approach.fractions) + shares["validation"]
        passes *= approach.training.epochs * len(approach.stages)
        passes *= len(splits["seeds"] if approach.seeds is None else approach.seeds)
        trained = embedding_seconds(
            passes * seconds / len(self._config["experiment"]["domains"]),
            size.parameters,
            audio_per_second=self._config["compute"]["audio_per_second"],
        )
        asked = need(memory, trained)
        return Need(memory=asked.memory, minutes=min(DAY_MINUTES, asked.minutes))

    def comparing(self, wildcards: Any) -> Need:
        """Compares the predictions of all probes: a row per test clip, state and seed."""
        splits, models = self._config["splits"], self._config["experiment"]["models"]
        clips = self._plan.clips(wildcards.corpus)
        tested = clips * splits["fractions"]["test"] * len(splits["seeds"]) * len(splits["schemes"])
        rows = tested * sum(self._plan.model_size(model).states for model in models)
        rows *= len(self._config["probes"]["class_weights"])
        draws = self._config["evidence"]["draws"] / MEASURED_DRAWS
        return need(
            _table(clips) + rows * PREDICTION_BYTES / MB,
            COMPARISON_SECONDS * clips / MEASURED_CLIPS * draws,
        )

    def _shard_clips(self, wildcards: Any) -> int:
        clips = self._plan.clips(wildcards.corpus)
        return min(clips, self._config["extraction"]["clips_per_shard"])

    def _clip_seconds(self, wildcards: Any) -> float:
        return self._config["corpora"][wildcards.corpus].get("clip_seconds", CLIP_SECONDS)

    def _sets(self) -> int:
        experiment = self._config["experiment"]
        return len(experiment["domains"]) * len(experiment["emotions"])

    def _sets_megabytes(self, wildcards: Any) -> float:
        """Returns the MB of one state's covariances by set and fold, twice, and of all means."""
        size, clips = self._plan.model_size(wildcards.model), self._plan.clips(wildcards.corpus)
        cells = self._sets() * self._config["fad"]["actor_folds"]
        return (2 * cells * size.dim**2 * FLOAT64 + 2.5 * size.means_bytes(clips)) / MB


def _table(clips: int) -> float:
    """Returns the MB of a process with a manifest of so many clips."""
    return STATISTICS_MB + clips * BYTES_PER_CLIP / MB


def _weights(size: ModelSize) -> float:
    """Returns the MB of a model's weights while they are loaded: the model's and the file's."""
    return 2 * FLOAT32 * size.parameters / MB


def _relative(size: ModelSize, *, power: int) -> float:
    """Returns the cost beside a base-size model's, by states and a power of the dimensions."""
    return size.states / BASE.states * (size.dim / BASE.dim) ** power
