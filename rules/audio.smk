rule resample:
    input:
        manifest=f"{RESULTS}/{{corpus}}/manifest.csv",
        folds=f"{RESULTS}/{{corpus}}/folds.csv",
    output:
        wavs=directory(f"{RESULTS}/{{corpus}}/audio/{{rate}}/{{shard}}"),
        table=f"{RESULTS}/{{corpus}}/audio/{{rate}}/{{shard}}.csv",
    log:
        f"{RESULTS}/logs/resample/{{corpus}}.{{rate}}.{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/resample/{{corpus}}.{{rate}}.{{shard}}.tsv"
    conda:
        "../envs/audio.yaml"
    threads: 2
    resources:
        mem_mb=growing(NEEDS.resampling),
        runtime=lasting(NEEDS.resampling),
    params:
        clips_per_shard=settings("extraction", "clips_per_shard"),
        code=code("resample.py"),
    script:
        "../workflow/scripts/resample.py"
