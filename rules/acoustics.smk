rule measure_acoustics:
    input:
        manifest=f"{RESULTS}/{{corpus}}/manifest.csv",
    output:
        f"{RESULTS}/{{corpus}}/acoustics/functionals.csv",
    log:
        f"{RESULTS}/logs/measure_acoustics/{{corpus}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/measure_acoustics/{{corpus}}.tsv"
    conda:
        "../envs/acoustics.yaml"
    threads: 2
    resources:
        mem_mb=growing(NEEDS.functionals),
        runtime=lasting(NEEDS.functionals),
    params:
        rate=settings("acoustics", "sampling_rate"),
        code=code("measure_acoustics.py"),
    script:
        "../workflow/scripts/measure_acoustics.py"


rule correlate_acoustics:
    input:
        manifest=f"{RESULTS}/{{corpus}}/manifest.csv",
        functionals=f"{RESULTS}/{{corpus}}/acoustics/functionals.csv",
        similarity=f"{RESULTS}/{{corpus}}/tables/similarity.csv",
    output:
        differences=f"{RESULTS}/{{corpus}}/tables/acoustic_differences.csv",
        correlates=f"{RESULTS}/{{corpus}}/tables/acoustic_correlates.csv",
        forest=f"{RESULTS}/{{corpus}}/acoustics/forest.csv",
        heatmap=f"{RESULTS}/{{corpus}}/acoustics/heatmap.csv",
        weakness=f"{RESULTS}/{{corpus}}/acoustics/weakness.txt",
    log:
        f"{RESULTS}/logs/correlate_acoustics/{{corpus}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/correlate_acoustics/{{corpus}}.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=lasting(60),
    params:
        domains=DOMAINS,
        emotions=settings("experiment", "emotions"),
        acoustics={
            key: value
            for key, value in settings("acoustics").items()
            if key != "sampling_rate"
        },
        labels=PLAN.labels(),
        code=code("correlate_acoustics.py"),
    script:
        "../workflow/scripts/correlate_acoustics.py"
