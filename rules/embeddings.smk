localrules:
    download_model,


rule download_model:
    output:
        f"{RESOURCES}/models/{{model}}.json",
    log:
        f"{RESULTS}/logs/download_model/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/download_model/{{model}}.tsv"
    conda:
        "../envs/download.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=lasting(60),
    params:
        model=lambda wildcards: {
            key: settings("models", wildcards.model).get(key)
            for key in ("repository", "revision", "files", "sha256")
        },
        folder=lambda wildcards: PLAN.model_folder(wildcards.model),
        code=code("download_model.py"),
    script:
        "../workflow/scripts/download_model.py"


# A model is loaded once before any heavy work: what is wrong with it is said here.
rule describe_model:
    input:
        files=lambda wildcards: PLAN.model_files(wildcards.model),
    output:
        f"{RESULTS}/models/{{model}}.json",
    log:
        f"{RESULTS}/logs/describe_model/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/describe_model/{{model}}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=growing(NEEDS.describing),
        runtime=lasting(NEEDS.describing),
    params:
        model=lambda wildcards: PLAN.model_identity(wildcards.model),
        versions=lambda wildcards: PLAN.model_versions(wildcards.model),
        code=code("describe_model.py"),
    script:
        "../workflow/scripts/describe_model.py"


rule extract:
    input:
        audio=lambda wildcards: PLAN.audio(
            wildcards.corpus, wildcards.model, wildcards.shard
        ),
        wavs=lambda wildcards: PLAN.wavs(
            wildcards.corpus, wildcards.model, wildcards.shard
        ),
        model=f"{RESULTS}/models/{{model}}.json",
    output:
        means=f"{RESULTS}/{{corpus}}/embeddings/{{model}}/{{shard}}.means.npz",
        moments=f"{RESULTS}/{{corpus}}/embeddings/{{model}}/{{shard}}.moments.npz",
    log:
        f"{RESULTS}/logs/extract/{{corpus}}.{{model}}.{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/extract/{{corpus}}.{{model}}.{{shard}}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 4
    resources:
        mem_mb=growing(NEEDS.extraction),
        runtime=lasting(NEEDS.extraction),
        gpu=1 if settings("compute", "device") != "cpu" else 0,
    params:
        precision=settings("extraction", "precision"),
        window_seconds=settings("extraction", "window_seconds"),
        long_clips=settings("extraction", "long_clips"),
        code=code("extract.py"),
    script:
        "../workflow/scripts/extract.py"
