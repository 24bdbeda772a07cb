rule measure_fad:
    input:
        manifest=f"{RESULTS}/{{corpus}}/manifest.csv",
        means=lambda wildcards: shards(
            wildcards, f"{RESULTS}/{{corpus}}/embeddings/{{model}}/{{shard}}.means.npz"
        ),
        moments=lambda wildcards: shards(
            wildcards,
            f"{RESULTS}/{{corpus}}/embeddings/{{model}}/{{shard}}.moments.npz",
        ),
    output:
        fad=f"{RESULTS}/{{corpus}}/fad/{{model}}.csv",
        skipped=f"{RESULTS}/{{corpus}}/fad/{{model}}.skipped.csv",
    log:
        f"{RESULTS}/logs/measure_fad/{{corpus}}.{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/measure_fad/{{corpus}}.{{model}}.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 2
    resources:
        mem_mb=growing(NEEDS.distances),
        runtime=lasting(NEEDS.distances),
    params:
        levels=settings("fad", "levels"),
        domains=settings("experiment", "domains"),
        emotions=settings("experiment", "emotions"),
        code=code("measure_fad.py"),
    script:
        "../workflow/scripts/measure_fad.py"


rule summarise_fad:
    input:
        fad=expand(
            f"{RESULTS}/{{corpus}}/fad/{{model}}.csv", model=MODELS, allow_missing=True
        ),
    output:
        summary=f"{RESULTS}/{{corpus}}/tables/fad_summary.csv",
        ranking=f"{RESULTS}/{{corpus}}/tables/fad_ranking.csv",
        markdown=f"{RESULTS}/{{corpus}}/tables/fad_ranking.md",
        latex=f"{RESULTS}/{{corpus}}/tables/fad_ranking.tex",
        matrix=f"{RESULTS}/{{corpus}}/tables/fad_matrix.csv",
    log:
        f"{RESULTS}/logs/summarise_fad/{{corpus}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/summarise_fad/{{corpus}}.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=lasting(10),
    params:
        domains=settings("experiment", "domains"),
        labels=PLAN.labels(),
        code=code("summarise_fad.py"),
    script:
        "../workflow/scripts/summarise_fad.py"
