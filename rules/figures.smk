rule plot_accuracy_by_layer:
    input:
        table=f"{RESULTS}/{{corpus}}/tables/probe_summary.csv",
    output:
        figure("accuracy_by_layer.{metric}"),
    log:
        f"{RESULTS}/logs/plot_accuracy_by_layer/{{corpus}}.{{metric}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_accuracy_by_layer/{{corpus}}.{{metric}}.tsv"
    wildcard_constraints:
        metric="accuracy|uar",
    conda:
        "../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=lasting(10),
    params:
        face=FACE,
        chance=1 / len(settings("experiment", "emotions")),
        notice=lambda wildcards: PLAN.notice(wildcards.corpus),
        code=code("plot_accuracy_by_layer.py"),
    script:
        "../workflow/scripts/plot_accuracy_by_layer.py"


rule plot_accuracy_by_emotion:
    input:
        table=f"{RESULTS}/{{corpus}}/tables/probe_summary.csv",
    output:
        figure("accuracy_by_emotion.{scheme}"),
    log:
        f"{RESULTS}/logs/plot_accuracy_by_emotion/{{corpus}}.{{scheme}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_accuracy_by_emotion/{{corpus}}.{{scheme}}.tsv"
    conda:
        "../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=lasting(10),
    params:
        face=FACE,
        chance=1 / len(settings("experiment", "emotions")),
        notice=lambda wildcards: PLAN.notice(wildcards.corpus),
        code=code("plot_accuracy_by_emotion.py"),
    script:
        "../workflow/scripts/plot_accuracy_by_emotion.py"


rule plot_fad_by_layer:
    input:
        table=f"{RESULTS}/{{corpus}}/tables/fad_summary.csv",
    output:
        figure("fad_by_layer.{level}.{scale}"),
    log:
        f"{RESULTS}/logs/plot_fad_by_layer/{{corpus}}.{{level}}.{{scale}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_fad_by_layer/{{corpus}}.{{level}}.{{scale}}.tsv"
    wildcard_constraints:
        scale="raw|relative",
    conda:
        "../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=lasting(10),
    params:
        face=FACE,
        notice=lambda wildcards: PLAN.notice(wildcards.corpus),
        code=code("plot_fad_by_layer.py"),
    script:
        "../workflow/scripts/plot_fad_by_layer.py"


rule plot_fad_matrix:
    input:
        table=f"{RESULTS}/{{corpus}}/tables/fad_matrix.csv",
    output:
        figure("fad_matrix.{model}.{level}"),
    log:
        f"{RESULTS}/logs/plot_fad_matrix/{{corpus}}.{{model}}.{{level}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_fad_matrix/{{corpus}}.{{model}}.{{level}}.tsv"
    conda:
        "../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=lasting(10),
    params:
        face=FACE,
        layers=settings("figures", "matrix_layers"),
        notice=lambda wildcards: PLAN.notice(wildcards.corpus, wildcards.model),
        code=code("plot_fad_matrix.py"),
    script:
        "../workflow/scripts/plot_fad_matrix.py"


rule plot_comparisons:
    input:
        table=f"{RESULTS}/{{corpus}}/tables/comparisons.csv",
    output:
        figure("comparisons"),
    log:
        f"{RESULTS}/logs/plot_comparisons/{{corpus}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_comparisons/{{corpus}}.tsv"
    conda:
        "../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=lasting(10),
    params:
        face=FACE,
        level=settings("evidence", "level"),
        notice=lambda wildcards: PLAN.notice(wildcards.corpus),
        code=code("plot_comparisons.py"),
    script:
        "../workflow/scripts/plot_comparisons.py"


rule plot_emotion_spread:
    input:
        table=f"{RESULTS}/{{corpus}}/tables/emotion_spread.csv",
    output:
        figure("emotion_spread.{scheme}"),
    log:
        f"{RESULTS}/logs/plot_emotion_spread/{{corpus}}.{{scheme}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_emotion_spread/{{corpus}}.{{scheme}}.tsv"
    conda:
        "../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=lasting(10),
    params:
        face=FACE,
        notice=lambda wildcards: PLAN.notice(wildcards.corpus),
        code=code("plot_emotion_spread.py"),
    script:
        "../workflow/scripts/plot_emotion_spread.py"


rule plot_similarity_by_layer:
    input:
        table=f"{RESULTS}/{{corpus}}/tables/similarity.csv",
    output:
        figure("similarity_by_layer.{model}"),
    log:
        f"{RESULTS}/logs/plot_similarity_by_layer/{{corpus}}.{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_similarity_by_layer/{{corpus}}.{{model}}.tsv"
    conda:
        "../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=lasting(10),
    params:
        face=FACE,
        measures=settings("similarity", "shown"),
        notice=lambda wildcards: PLAN.notice(wildcards.corpus, wildcards.model),
        code=code("plot_similarity_by_layer.py"),
    script:
        "../workflow/scripts/plot_similarity_by_layer.py"


rule plot_acoustic_differences:
    input:
        table=f"{RESULTS}/{{corpus}}/acoustics/forest.csv",
    output:
        figure("acoustic_differences"),
    log:
        f"{RESULTS}/logs/plot_acoustic_differences/{{corpus}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_acoustic_differences/{{corpus}}.tsv"
    conda:
        "../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=lasting(10),
    params:
        face=FACE,
        domains=DOMAINS,
        # Nothing random is in these: encoders have no part in them.
        notice=lambda wildcards: PLAN.corpus_notice(wildcards.corpus),
        code=code("plot_acoustic_differences.py"),
    script:
        "../workflow/scripts/plot_acoustic_differences.py"


rule plot_acoustic_correlates:
    input:
        table=f"{RESULTS}/{{corpus}}/acoustics/heatmap.csv",
        weakness=f"{RESULTS}/{{corpus}}/acoustics/weakness.txt",
    output:
        figure("acoustic_correlates"),
    log:
        f"{RESULTS}/logs/plot_acoustic_correlates/{{corpus}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_acoustic_correlates/{{corpus}}.tsv"
    conda:
        "../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=lasting(10),
    params:
        face=FACE,
        notice=lambda wildcards: PLAN.notice(wildcards.corpus),
        code=code("plot_acoustic_correlates.py"),
    script:
        "../workflow/scripts/plot_acoustic_correlates.py"


rule plot_side_by_side:
    input:
        table=f"{RESULTS}/{{corpus}}/tables/side_by_side.csv",
    output:
        figure("side_by_side"),
    log:
        f"{RESULTS}/logs/plot_side_by_side/{{corpus}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_side_by_side/{{corpus}}.tsv"
    conda:
        "../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=lasting(10),
    params:
        face=FACE,
        notice=lambda wildcards: PLAN.notice(wildcards.corpus),
        code=code("plot_side_by_side.py"),
    script:
        "../workflow/scripts/plot_side_by_side.py"
