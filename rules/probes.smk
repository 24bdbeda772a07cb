rule train_probes:
    input:
        manifest=f"{RESULTS}/{{corpus}}/manifest.csv",
        splits=f"{RESULTS}/{{corpus}}/splits/{{scheme}}.csv",
        means=lambda wildcards: shards(
            wildcards, f"{RESULTS}/{{corpus}}/embeddings/{{model}}/{{shard}}.means.npz"
        ),
    output:
        predictions=f"{RESULTS}/{{corpus}}/probes/{{model}}/{{domain}}.{{scheme}}.{{weights}}.predictions.csv",
        scores=f"{RESULTS}/{{corpus}}/probes/{{model}}/{{domain}}.{{scheme}}.{{weights}}.scores.csv",
        confusion=f"{RESULTS}/{{corpus}}/probes/{{model}}/{{domain}}.{{scheme}}.{{weights}}.confusion.csv",
    log:
        f"{RESULTS}/logs/train_probes/{{corpus}}.{{model}}.{{domain}}.{{scheme}}.{{weights}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train_probes/{{corpus}}.{{model}}.{{domain}}.{{scheme}}.{{weights}}.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 2
    resources:
        mem_mb=growing(NEEDS.probing),
        runtime=lasting(NEEDS.probing),
    params:
        probes={
            key: value
            for key, value in settings("probes").items()
            if key != "class_weights"
        },
        emotions=settings("experiment", "emotions"),
        code=code("train_probes.py"),
    script:
        "../workflow/scripts/train_probes.py"


rule summarise_probes:
    input:
        scores=expand(
            f"{RESULTS}/{{corpus}}/probes/{{model}}/{{domain}}.{{scheme}}.none.scores.csv",
            model=MODELS,
            domain=DOMAINS,
            scheme=SCHEMES,
            allow_missing=True,
        ),
        published=resource("resources/published/2409.17899.csv"),
    output:
        summary=f"{RESULTS}/{{corpus}}/tables/probe_summary.csv",
        performance=f"{RESULTS}/{{corpus}}/tables/performance.csv",
        markdown=f"{RESULTS}/{{corpus}}/tables/performance.md",
        latex=f"{RESULTS}/{{corpus}}/tables/performance.tex",
    log:
        f"{RESULTS}/logs/summarise_probes/{{corpus}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/summarise_probes/{{corpus}}.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=lasting(10),
    params:
        band=settings("figures", "band"),
        digits=settings("figures", "table_digits"),
        labels=PLAN.labels(),
        first_seed=settings("splits", "seeds")[0],
        paper_models=lambda wildcards: PLAN.paper_models(wildcards.corpus),
        paper_scheme="random",
        code=code("summarise_probes.py"),
    script:
        "../workflow/scripts/summarise_probes.py"
