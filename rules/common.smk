import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

# Only the download scripts undo this: every other job runs without the Hub.
os.environ.update(HF_HUB_OFFLINE="1")

SCRIPTS = Path(workflow.basedir) / "workflow" / "scripts"
sys.path.insert(0, str(SCRIPTS))

from consonance import budget, configuration, planning
from consonance.adaptation import approaches, naming
from consonance.errors import InputError
from consonance.files import check_writable
from consonance.fingerprint import fingerprint
from consonance.reporting import entries

try:
    configuration.check(
        config, Path(workflow.basedir) / "workflow/schemas/config.schema.yaml"
    )
    PLAN = planning.Plan(config)
    APPROACHES = approaches.resolve(config["adaptation"])
    ADAPTED = approaches.read(APPROACHES)
    NEEDS = budget.Needs(config, PLAN)
except InputError as error:
    raise WorkflowError(str(error))


# Before any job, and not in a dry run: that reads a finished experiment anywhere.
onstart:
    try:
        for key in ("results", "resources"):
            check_writable(config[key], key=key)
    except InputError as error:
        raise WorkflowError(str(error))


RESULTS = config["results"]
RESOURCES = config["resources"]
CORPORA = config["experiment"]["corpora"]
MODELS = config["experiment"]["models"]
DOMAINS = config["experiment"]["domains"]
SCHEMES = config["splits"]["schemes"]
WEIGHTS = config["probes"]["class_weights"]
FORMATS = config["figures"]["formats"]
LEVELS = config["fad"]["levels"]
DIRECTIONS = naming.directions(DOMAINS)

# The probe sets of a corpus, in the order in which their files are given to a script.
PROBES = [
    dict(model=model, domain=domain, scheme=scheme)
    for model in MODELS
    for scheme in SCHEMES
    for domain in DOMAINS
]
WHOSE = [{key: probe[key] for key in ("model", "scheme")} for probe in PROBES]
# The report shows one file of a figure: the first of these formats that is made.
SHOWN = next(kind for kind in ("png", "svg", "pdf") if kind in FORMATS)


wildcard_constraints:
    corpus="|".join(CORPORA),
    model="|".join(MODELS),
    domain="|".join(DOMAINS),
    scheme="|".join(SCHEMES),
    level="|".join(LEVELS),
    weights="none|balanced",
    approach="|".join(APPROACHES),
    direction="|".join(DIRECTIONS),
    rate=r"\d+",
    shard=r"\d+-of-\d+",
    archive=r"[A-Za-z0-9_-]+",


def code(script):
    """What a script computes: changes with the script or a module it imports, not with comments."""
    return fingerprint(SCRIPTS / script, SCRIPTS)


def settings(*path):
    """A rule's parameter: the part of the configuration under these keys, as it stands."""
    value = config
    for key in path:
        value = value[key]
    return value


def resource(path):
    """A file of the workflow itself as an input, relative to where Snakemake runs."""
    return os.path.relpath(Path(workflow.basedir) / "workflow" / path)


def growing(megabytes):
    """Memory (MB) for a job, more with every attempt: a number, or a method of NEEDS."""
    if callable(megabytes):
        return lambda wildcards, attempt: megabytes(wildcards).memory * attempt
    return lambda wildcards, attempt: int(megabytes * attempt)


def lasting(minutes, most=None):
    """Run time (minutes) for a job, more with every attempt: a number, or a method of NEEDS.

    A job that goes on where it was cut short needs no more than `most`.
    """

    def asked(wildcards, attempt):
        first = minutes(wildcards).minutes if callable(minutes) else minutes
        return int(first * attempt if most is None else min(first * attempt, most))

    return asked


def shards(wildcards, pattern):
    """One file per shard of a corpus."""
    return expand(pattern, shard=PLAN.shards(wildcards.corpus), allow_missing=True)


def probes(kind, weights="none"):
    """One file per probe set of a corpus."""
    return [
        f"{RESULTS}/{{corpus}}/probes/{probe['model']}/"
        f"{probe['domain']}.{probe['scheme']}.{weights}.{kind}.csv"
        for probe in PROBES
    ]


def title(catalogue, name, wildcards=()):
    """What the report calls a result. One label only: see consonance.reporting.entries."""
    return {"Result": catalogue[name].label(dict(wildcards), PLAN.labels())}


def trained(approach):
    """An approach as a rule's parameter: without the models and schemes that it is for."""
    chosen = ("models", "schemes")
    return {k: v for k, v in APPROACHES[approach].items() if k not in chosen}


def pooled_approaches(wildcards):
    """The approaches of a model and scheme that clip means are enough for."""
    names = {"model": wildcards.model, "scheme": wildcards.scheme}
    return {
        name: trained(name)
        for name, approach in ADAPTED.items()
        if approach.pooled and approach.covers(**names)
    }


def adaptation_jobs(model, scheme):
    """The training jobs of a model and scheme: one for all of pooled means, one for each other."""
    covered = {n: a for n, a in ADAPTED.items() if a.covers(model=model, scheme=scheme)}
    pooled = ["pooled"] if any(each.pooled for each in covered.values()) else []
    others = [name for name, each in covered.items() if not each.pooled]
    return pooled + expand(
        "{direction}.{approach}", direction=DIRECTIONS, approach=others
    )


def adaptation_files(table, root=f"{RESULTS}/{{corpus}}/adaptation"):
    """One file per training job of a corpus."""
    return [
        f"{root}/{model}/{scheme}.{job}.{table}.csv"
        for model in MODELS
        for scheme in SCHEMES
        for job in adaptation_jobs(model, scheme)
    ]


def adaptation_outputs(job):
    """The tables and the checkpoint of a training job, and its times, which never repeat."""
    where = f"{{corpus}}/adaptation/{{model}}/{{scheme}}.{job}"
    return {
        **{table: f"{RESULTS}/{where}.{table}.csv" for table in naming.TABLES},
        "checkpoint": f"{RESULTS}/{where}.safetensors",
        "times": f"{RESULTS}/benchmarks/{where}.times.csv",
    }


# What each figure of values by layer shows, and the part that has them.
LAYER_VALUES = {"layer_weights": "layer_weights", "gates": "gate"}


def models_adapted(scheme, part=None):
    """The models that are adapted under a scheme, by an approach that trains this part of them."""
    return [
        model
        for model in MODELS
        if any(
            (part is None or part in each.trains)
            and each.covers(model=model, scheme=scheme)
            for each in ADAPTED.values()
        )
    ]


def schemes_with(part):
    """The schemes under which an approach trains this part of a model."""
    return [scheme for scheme in SCHEMES if models_adapted(scheme, part)]


def adaptation_figures():
    """The figures of adaptation, of every model and scheme that is adapted."""
    covered = [(m, s) for m in MODELS for s in SCHEMES if adaptation_jobs(m, s)]
    each = [f"{model}.{scheme}" for model, scheme in covered]
    return [
        *expand("adaptation.{scheme}", scheme=dict.fromkeys(s for _, s in covered)),
        *expand("limited_data.{each}", each=each),
        *expand("learning_curves.{each}", each=each),
        *[
            f"adaptation_layers.{kind}.{scheme}"
            for kind, part in LAYER_VALUES.items()
            for scheme in schemes_with(part)
        ],
    ]


def figure(name):
    """The files of one figure, one per format; one of them is in the report."""
    entry, *_ = name.split(".")
    paths = expand(
        f"{RESULTS}/{{corpus}}/figures/{name}.{{format}}",
        format=FORMATS,
        allow_missing=True,
    )
    place = dict(
        caption=f"../workflow/report/{entry}.rst",
        category=entries.FIGURES[entry].category,
        subcategory="{corpus}",
        labels=lambda wildcards: title(entries.FIGURES, entry, wildcards.items()),
    )
    ending = f".{SHOWN}"
    return [report(p, **place) if p.endswith(ending) else p for p in paths]


def figures_and_tables():
    """The figures and the tables behind them."""
    figures = [
        *expand("accuracy_by_layer.{metric}", metric=["accuracy", "uar"]),
        *expand("accuracy_by_emotion.{scheme}", scheme=SCHEMES),
        *expand(
            "fad_by_layer.{level}.{scale}", level=LEVELS, scale=["raw", "relative"]
        ),
        *expand("fad_matrix.{model}.{level}", model=MODELS, level=LEVELS),
        *expand("emotion_spread.{scheme}", scheme=SCHEMES),
        *expand("similarity_by_layer.{model}", model=MODELS),
        "comparisons",
        "acoustic_differences",
        "acoustic_correlates",
        *adaptation_figures(),
    ]
    # The paper's numbers beside ours make a figure only where they can be compared.
    beside = [corpus for corpus in CORPORA if PLAN.paper_models(corpus)]
    return [
        *expand(
            f"{RESULTS}/{{corpus}}/tables/{{table}}.csv",
            corpus=CORPORA,
            table=["counts", *entries.TABLES],
        ),
        *expand(
            f"{RESULTS}/{{corpus}}/figures/{{figure}}.{{format}}",
            corpus=CORPORA,
            figure=figures,
            format=FORMATS,
        ),
        *expand(
            f"{RESULTS}/{{corpus}}/figures/side_by_side.{{format}}",
            corpus=beside,
            format=FORMATS,
        ),
    ]


def final_output():
    """Everything that the configured experiment is asked for."""
    return [
        *figures_and_tables(),
        *expand(
            f"{RESULTS}/{{corpus}}/report/{{table}}.html",
            corpus=CORPORA,
            table=entries.TABLES,
        ),
        *expand(f"{RESULTS}/report/{{page}}.html", page=entries.PAGES),
        f"{RESULTS}/summary.md",
        f"{RESULTS}/methods.md",
    ]


# What every figure needs besides its table; nothing here is a number that a figure shows.
FACE = dict(
    style={key: settings("figures", key) for key in ("dpi", "width", "font_size")},
    labels=PLAN.labels(),
    order=PLAN.order(),
)

# The choices that every statistic of the probes shares.
EVIDENCE = {
    key: settings("evidence", key) for key in ("level", "draws", "seed", "min_clusters")
}
