rule train_adaptation_pooled:
    input:
        manifest=f"{RESULTS}/{{corpus}}/manifest.csv",
        splits=f"{RESULTS}/{{corpus}}/splits/{{scheme}}.csv",
        means=lambda wildcards: shards(
            wildcards, f"{RESULTS}/{{corpus}}/embeddings/{{model}}/{{shard}}.means.npz"
        ),
    output:
        **adaptation_outputs("pooled"),
    log:
        f"{RESULTS}/logs/train_adaptation_pooled/{{corpus}}.{{model}}.{{scheme}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train_adaptation_pooled/{{corpus}}.{{model}}.{{scheme}}.tsv"
    conda:
        "../envs/adaptation.yaml"
    threads: 2
    resources:
        mem_mb=growing(NEEDS.adapting_pooled),
        runtime=lasting(NEEDS.adapting_pooled),
    params:
        approaches=pooled_approaches,
        domains=DOMAINS,
        emotions=settings("experiment", "emotions"),
        code=code("train_adaptation_pooled.py"),
    script:
        "../workflow/scripts/train_adaptation_pooled.py"


# An interrupted job goes on from what it left in `progress`, which no rule makes or removes.
rule train_adaptation_peft:
    input:
        manifest=f"{RESULTS}/{{corpus}}/manifest.csv",
        splits=f"{RESULTS}/{{corpus}}/splits/{{scheme}}.csv",
        audio=lambda wildcards: [
            PLAN.audio(wildcards.corpus, wildcards.model, shard)
            for shard in PLAN.shards(wildcards.corpus)
        ],
        wavs=lambda wildcards: [
            PLAN.wavs(wildcards.corpus, wildcards.model, shard)
            for shard in PLAN.shards(wildcards.corpus)
        ],
        model=f"{RESULTS}/models/{{model}}.json",
    output:
        **adaptation_outputs("{direction}.{approach}"),
    log:
        f"{RESULTS}/logs/train_adaptation_peft/{{corpus}}.{{model}}.{{scheme}}.{{direction}}.{{approach}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train_adaptation_peft/{{corpus}}.{{model}}.{{scheme}}.{{direction}}.{{approach}}.tsv"
    conda:
        "../envs/adaptation.yaml"
    threads: 4
    resources:
        mem_mb=growing(NEEDS.adapting),
        runtime=lasting(NEEDS.adapting, most=budget.DAY_MINUTES),
        gpu=1 if settings("compute", "device") != "cpu" else 0,
    params:
        approach=lambda wildcards: trained(wildcards.approach),
        domains=DOMAINS,
        emotions=settings("experiment", "emotions"),
        window_seconds=settings("extraction", "window_seconds"),
        precision=settings("adaptation", "precision"),
        progress=f"{RESULTS}/{{corpus}}/adaptation/{{model}}/{{scheme}}.{{direction}}.{{approach}}.unfinished",
        code=code("train_adaptation_peft.py"),
    script:
        "../workflow/scripts/train_adaptation_peft.py"


rule summarise_adaptation:
    input:
        **{table: adaptation_files(table) for table in naming.TABLES},
        times=adaptation_files("times", f"{RESULTS}/benchmarks/{{corpus}}/adaptation"),
        manifest=f"{RESULTS}/{{corpus}}/manifest.csv",
        models=expand(f"{RESULTS}/models/{{model}}.json", model=MODELS),
        published=resource("resources/published/2409.17899.csv"),
    output:
        performance=f"{RESULTS}/{{corpus}}/tables/adaptation_performance.csv",
        table=f"{RESULTS}/{{corpus}}/tables/adaptation.csv",
        markdown=f"{RESULTS}/{{corpus}}/tables/adaptation.md",
        latex=f"{RESULTS}/{{corpus}}/tables/adaptation.tex",
        comparisons=f"{RESULTS}/{{corpus}}/tables/adaptation_comparisons.csv",
        curves=f"{RESULTS}/{{corpus}}/tables/adaptation_curves.csv",
        weights=f"{RESULTS}/{{corpus}}/tables/adaptation_layer_weights.csv",
        gates=f"{RESULTS}/{{corpus}}/tables/adaptation_gates.csv",
        sizes=f"{RESULTS}/{{corpus}}/tables/adaptation_sizes.csv",
        times=f"{RESULTS}/benchmarks/{{corpus}}/adaptation_times.csv",
    log:
        f"{RESULTS}/logs/summarise_adaptation/{{corpus}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/summarise_adaptation/{{corpus}}.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=lasting(60),
    params:
        emotions=settings("experiment", "emotions"),
        evidence=EVIDENCE,
        metrics=settings("evidence", "metrics"),
        controls=settings("adaptation", "controls"),
        band=settings("figures", "band"),
        digits=settings("figures", "table_digits"),
        labels=PLAN.labels(),
        first_seed=settings("splits", "seeds")[0],
        paper_models=lambda wildcards: PLAN.paper_models(wildcards.corpus),
        paper_scheme="random",
        code=code("summarise_adaptation.py"),
    script:
        "../workflow/scripts/summarise_adaptation.py"


rule plot_adaptation_results:
    input:
        table=f"{RESULTS}/{{corpus}}/tables/adaptation_performance.csv",
    output:
        figure("adaptation.{scheme}"),
    log:
        f"{RESULTS}/logs/plot_adaptation_results/{{corpus}}.{{scheme}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_adaptation_results/{{corpus}}.{{scheme}}.tsv"
    conda:
        "../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=lasting(10),
    params:
        face=FACE,
        notice=lambda wildcards: PLAN.notice(
            wildcards.corpus, *models_adapted(wildcards.scheme)
        ),
        code=code("plot_adaptation_results.py"),
    script:
        "../workflow/scripts/plot_adaptation_results.py"


rule plot_limited_data:
    input:
        table=f"{RESULTS}/{{corpus}}/tables/adaptation_performance.csv",
    output:
        figure("limited_data.{model}.{scheme}"),
    log:
        f"{RESULTS}/logs/plot_limited_data/{{corpus}}.{{model}}.{{scheme}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_limited_data/{{corpus}}.{{model}}.{{scheme}}.tsv"
    conda:
        "../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=lasting(10),
    params:
        face=FACE,
        notice=lambda wildcards: PLAN.notice(wildcards.corpus, wildcards.model),
        code=code("plot_limited_data.py"),
    script:
        "../workflow/scripts/plot_limited_data.py"


rule plot_learning_curves:
    input:
        table=f"{RESULTS}/{{corpus}}/tables/adaptation_curves.csv",
    output:
        figure("learning_curves.{model}.{scheme}"),
    log:
        f"{RESULTS}/logs/plot_learning_curves/{{corpus}}.{{model}}.{{scheme}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_learning_curves/{{corpus}}.{{model}}.{{scheme}}.tsv"
    conda:
        "../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=lasting(10),
    params:
        face=FACE,
        notice=lambda wildcards: PLAN.notice(wildcards.corpus, wildcards.model),
        code=code("plot_learning_curves.py"),
    script:
        "../workflow/scripts/plot_learning_curves.py"


rule plot_adaptation_layers:
    input:
        table=f"{RESULTS}/{{corpus}}/tables/adaptation_{{kind}}.csv",
    output:
        figure("adaptation_layers.{kind}.{scheme}"),
    log:
        f"{RESULTS}/logs/plot_adaptation_layers/{{corpus}}.{{kind}}.{{scheme}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_adaptation_layers/{{corpus}}.{{kind}}.{{scheme}}.tsv"
    wildcard_constraints:
        kind="|".join(LAYER_VALUES),
    conda:
        "../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=lasting(10),
    params:
        face=FACE,
        notice=lambda wildcards: PLAN.notice(
            wildcards.corpus,
            *models_adapted(wildcards.scheme, LAYER_VALUES[wildcards.kind]),
        ),
        code=code("plot_adaptation_layers.py"),
    script:
        "../workflow/scripts/plot_adaptation_layers.py"
