rule measure_similarity:
    input:
        manifest=f"{RESULTS}/{{corpus}}/manifest.csv",
        folds=f"{RESULTS}/{{corpus}}/folds.csv",
        means=lambda wildcards: shards(
            wildcards, f"{RESULTS}/{{corpus}}/embeddings/{{model}}/{{shard}}.means.npz"
        ),
        moments=lambda wildcards: shards(
            wildcards,
            f"{RESULTS}/{{corpus}}/embeddings/{{model}}/{{shard}}.moments.npz",
        ),
    output:
        table=f"{RESULTS}/{{corpus}}/similarity/{{model}}.csv",
        replicates=f"{RESULTS}/{{corpus}}/similarity/{{model}}.replicates.csv",
    log:
        f"{RESULTS}/logs/measure_similarity/{{corpus}}.{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/measure_similarity/{{corpus}}.{{model}}.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 4
    resources:
        mem_mb=growing(NEEDS.similarity),
        runtime=lasting(NEEDS.similarity),
    params:
        domains=DOMAINS,
        emotions=settings("experiment", "emotions"),
        settings={
            key: value
            for key, value in settings("similarity").items()
            if key not in ("pair_by", "shown")
        },
        pair_by=settings("similarity", "pair_by"),
        code=code("measure_similarity.py"),
    script:
        "../workflow/scripts/measure_similarity.py"


rule gather_similarity:
    input:
        tables=expand(
            f"{RESULTS}/{{corpus}}/similarity/{{model}}.csv",
            model=MODELS,
            allow_missing=True,
        ),
        replicates=expand(
            f"{RESULTS}/{{corpus}}/similarity/{{model}}.replicates.csv",
            model=MODELS,
            allow_missing=True,
        ),
    output:
        table=f"{RESULTS}/{{corpus}}/tables/similarity.csv",
        replicates=f"{RESULTS}/{{corpus}}/tables/similarity_replicates.csv",
    log:
        f"{RESULTS}/logs/gather_similarity/{{corpus}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/gather_similarity/{{corpus}}.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=lasting(10),
    params:
        code=code("gather_similarity.py"),
    script:
        "../workflow/scripts/gather_similarity.py"
