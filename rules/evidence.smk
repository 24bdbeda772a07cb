rule estimate_intervals:
    input:
        manifest=f"{RESULTS}/{{corpus}}/manifest.csv",
        predictions=probes("predictions"),
    output:
        scores=f"{RESULTS}/{{corpus}}/tables/accuracy_intervals.csv",
        performance=f"{RESULTS}/{{corpus}}/tables/performance_intervals.csv",
    log:
        f"{RESULTS}/logs/estimate_intervals/{{corpus}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/estimate_intervals/{{corpus}}.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 1
    resources:
        mem_mb=growing(NEEDS.comparing),
        runtime=lasting(NEEDS.comparing),
    params:
        probes=WHOSE,
        emotions=settings("experiment", "emotions"),
        first_seed=settings("splits", "seeds")[0],
        evidence=EVIDENCE,
        code=code("estimate_intervals.py"),
    script:
        "../workflow/scripts/estimate_intervals.py"


rule compare_probes:
    input:
        manifest=f"{RESULTS}/{{corpus}}/manifest.csv",
        predictions=probes("predictions"),
        scores=probes("scores"),
    output:
        f"{RESULTS}/{{corpus}}/tables/comparisons.csv",
    log:
        f"{RESULTS}/logs/compare_probes/{{corpus}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare_probes/{{corpus}}.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 1
    resources:
        mem_mb=growing(NEEDS.comparing),
        runtime=lasting(NEEDS.comparing),
    params:
        probes=WHOSE,
        kinds=settings("evidence", "comparisons"),
        metrics=settings("evidence", "metrics"),
        emotions=settings("experiment", "emotions"),
        first_seed=settings("splits", "seeds")[0],
        evidence=EVIDENCE,
        code=code("compare_probes.py"),
    script:
        "../workflow/scripts/compare_probes.py"


rule measure_emotion_bias:
    input:
        **{weights: probes("predictions", weights) for weights in WEIGHTS},
        manifest=f"{RESULTS}/{{corpus}}/manifest.csv",
    output:
        spread=f"{RESULTS}/{{corpus}}/tables/emotion_spread.csv",
        comparisons=f"{RESULTS}/{{corpus}}/tables/probe_comparisons.csv",
    log:
        f"{RESULTS}/logs/measure_emotion_bias/{{corpus}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/measure_emotion_bias/{{corpus}}.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 1
    resources:
        mem_mb=growing(NEEDS.comparing),
        runtime=lasting(NEEDS.comparing),
    params:
        probes=WHOSE,
        weights=WEIGHTS,
        emotions=settings("experiment", "emotions"),
        permutations=settings("evidence", "permutations"),
        evidence=EVIDENCE,
        code=code("measure_emotion_bias.py"),
    script:
        "../workflow/scripts/measure_emotion_bias.py"


rule check_claims:
    input:
        manifest=f"{RESULTS}/{{corpus}}/manifest.csv",
        predictions=probes("predictions"),
        scores=probes("scores"),
        performance=f"{RESULTS}/{{corpus}}/tables/performance_intervals.csv",
        adaptation_scores=adaptation_files("scores"),
        adaptation=f"{RESULTS}/{{corpus}}/tables/adaptation_performance.csv",
        distances=f"{RESULTS}/{{corpus}}/tables/similarity.csv",
        replicates=f"{RESULTS}/{{corpus}}/tables/similarity_replicates.csv",
        published=resource("resources/published/2409.17899.csv"),
        claims=resource("resources/published/claims-2409.17899.yaml"),
    output:
        claims=f"{RESULTS}/{{corpus}}/tables/claims.csv",
        parts=f"{RESULTS}/{{corpus}}/tables/claim_parts.csv",
        claims_markdown=f"{RESULTS}/{{corpus}}/tables/claims.md",
        side_by_side=f"{RESULTS}/{{corpus}}/tables/side_by_side.csv",
        side_by_side_markdown=f"{RESULTS}/{{corpus}}/tables/side_by_side.md",
    log:
        f"{RESULTS}/logs/check_claims/{{corpus}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/check_claims/{{corpus}}.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 1
    resources:
        mem_mb=growing(NEEDS.comparing),
        runtime=lasting(NEEDS.comparing),
    params:
        probes=WHOSE,
        models=MODELS,
        labels=PLAN.labels(),
        digits=settings("figures", "table_digits"),
        domains=dict(zip(("speech", "song"), DOMAINS)),
        emotions=settings("experiment", "emotions"),
        schemes=SCHEMES,
        roles=PLAN.roles(),
        trained_on=PLAN.trained_on(),
        measures=settings("evidence", "claim_measures"),
        paper_models=lambda wildcards: PLAN.paper_models(wildcards.corpus),
        paper_scheme="random",
        fractions=settings("splits", "fractions"),
        evidence=EVIDENCE,
        code=code("check_claims.py"),
    script:
        "../workflow/scripts/check_claims.py"
