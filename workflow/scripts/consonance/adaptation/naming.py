"""The names that rules, tables and figures of adaptation share; needs nothing else."""

from collections.abc import Sequence

KEYS = ("corpus", "model", "scheme", "approach", "direction", "stage", "fraction", "domain", "seed")
"""What tells one run from another in every table; stage and fraction (of the stage's training
clips) are numbers, domain is the one that the stage trains on and is tested on."""

TABLES = ("predictions", "scores", "curves", "weights", "gates", "runs")
"""The tables that a training job writes, beside the times, which differ from run to run."""

TRAININGS = {1: "direct", 2: "two-stage"}
"""What a stage is to the domain that it trains on."""

STAGE_QUESTION = "two-stage against direct"
APPROACH_QUESTION = "approaches"
LENGTH_QUESTION = "two-stage against direct for as many epochs"
"""What the paired comparisons ask."""

WHOLE = 1.0
"""The fraction of a run on all training clips."""


def control(approach: str) -> str:
    """Returns the name of an approach's control, which trains for both stages' epochs in one."""
    return f"{approach}-long"


def directions(domains: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Returns name to (source, target) of both ways between two domains; {} for one domain."""
    return {f"{a}-to-{b}": (a, b) for a in domains for b in domains if a != b}
