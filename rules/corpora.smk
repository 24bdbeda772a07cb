localrules:
    download_archive,
    unpack_archive,
    draw_folds,
    draw_splits,


rule download_archive:
    output:
        f"{RESOURCES}/archives/{{corpus}}/{{archive}}.zip",
    log:
        f"{RESULTS}/logs/download_archive/{{corpus}}.{{archive}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/download_archive/{{corpus}}.{{archive}}.tsv"
    conda:
        "../envs/download.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=lasting(120),
    params:
        archive=lambda wildcards: settings("corpora", wildcards.corpus, "archives")[
            wildcards.archive
        ],
        folder=lambda wildcards: settings("corpora", wildcards.corpus).get("path"),
        code=code("download_archive.py"),
    script:
        "../workflow/scripts/download_archive.py"


rule unpack_archive:
    input:
        f"{RESOURCES}/archives/{{corpus}}/{{archive}}.zip",
    output:
        directory(f"{RESOURCES}/recordings/{{corpus}}/{{archive}}"),
    log:
        f"{RESULTS}/logs/unpack_archive/{{corpus}}.{{archive}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/unpack_archive/{{corpus}}.{{archive}}.tsv"
    conda:
        "../envs/download.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=lasting(30),
    params:
        limits=settings("downloads"),
        code=code("unpack_archive.py"),
    script:
        "../workflow/scripts/unpack_archive.py"


rule synthesise_corpus:
    output:
        directory(f"{RESOURCES}/synthetic/{{corpus}}"),
    log:
        f"{RESULTS}/logs/synthesise_corpus/{{corpus}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/synthesise_corpus/{{corpus}}.tsv"
    conda:
        "../envs/audio.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=lasting(15),
    params:
        voices=lambda wildcards: settings("corpora", wildcards.corpus, "synthetic"),
        code=code("synthesise_corpus.py"),
    script:
        "../workflow/scripts/synthesise_corpus.py"


rule scan_corpus:
    input:
        recordings=lambda wildcards: PLAN.recordings(wildcards.corpus),
        schema=resource("schemas/manifest.schema.yaml"),
    output:
        manifest=f"{RESULTS}/{{corpus}}/manifest.csv",
        exclusions=f"{RESULTS}/{{corpus}}/tables/exclusions.csv",
        counts=f"{RESULTS}/{{corpus}}/tables/counts.csv",
    log:
        f"{RESULTS}/logs/scan_corpus/{{corpus}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/scan_corpus/{{corpus}}.tsv"
    conda:
        "../envs/audio.yaml"
    threads: 4
    resources:
        mem_mb=growing(NEEDS.scanning),
        runtime=lasting(NEEDS.scanning),
    params:
        root=lambda wildcards: PLAN.root(wildcards.corpus),
        adapter=lambda wildcards: settings("corpora", wildcards.corpus, "adapter"),
        expect_full_release=lambda wildcards: settings(
            "corpora", wildcards.corpus
        ).get("expect_full_release", False),
        audio=settings("audio"),
        experiment={
            key: settings("experiment", key)
            for key in (
                "domains",
                "emotions",
                "speakers_in_all_domains",
                "on_bad_audio",
            )
        },
        code=code("scan_corpus.py"),
    script:
        "../workflow/scripts/scan_corpus.py"


rule draw_splits:
    input:
        manifest=f"{RESULTS}/{{corpus}}/manifest.csv",
    output:
        f"{RESULTS}/{{corpus}}/splits/{{scheme}}.csv",
    log:
        f"{RESULTS}/logs/draw_splits/{{corpus}}.{{scheme}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_splits/{{corpus}}.{{scheme}}.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 1
    resources:
        mem_mb=growing(NEEDS.drawing),
        runtime=lasting(NEEDS.drawing),
    params:
        fractions=settings("splits", "fractions"),
        seeds=settings("splits", "seeds"),
        code=code("draw_splits.py"),
    script:
        "../workflow/scripts/draw_splits.py"


rule draw_folds:
    input:
        manifest=f"{RESULTS}/{{corpus}}/manifest.csv",
    output:
        f"{RESULTS}/{{corpus}}/folds.csv",
    log:
        f"{RESULTS}/logs/draw_folds/{{corpus}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_folds/{{corpus}}.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 1
    resources:
        mem_mb=growing(NEEDS.drawing),
        runtime=lasting(NEEDS.drawing),
    params:
        folds=settings("fad", "actor_folds"),
        seed=settings("fad", "actor_fold_seed"),
        code=code("draw_folds.py"),
    script:
        "../workflow/scripts/draw_folds.py"
