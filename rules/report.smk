localrules:
    write_configuration,


# What the pages of the report are about, as a result in itself: they change when it does.
rule write_configuration:
    output:
        f"{RESULTS}/report/configuration.json",
    log:
        f"{RESULTS}/logs/write_configuration.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_configuration/all.tsv"
    conda:
        "../envs/audio.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=lasting(5),
    params:
        config=PLAN.portable(),
        code=code("write_configuration.py"),
    script:
        "../workflow/scripts/write_configuration.py"


rule render_table:
    input:
        f"{RESULTS}/{{corpus}}/tables/{{table}}.csv",
    output:
        report(
            f"{RESULTS}/{{corpus}}/report/{{table}}.html",
            caption="../workflow/report/table.rst",
            category=lambda wildcards: entries.TABLES[wildcards.table].category,
            subcategory="{corpus}",
            labels=lambda wildcards: title(entries.TABLES, wildcards.table, wildcards),
        ),
    log:
        f"{RESULTS}/logs/render_table/{{corpus}}.{{table}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/render_table/{{corpus}}.{{table}}.tsv"
    wildcard_constraints:
        table="|".join(entries.TABLES),
    conda:
        "../envs/statistics.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=lasting(10),
    params:
        labels=PLAN.labels(),
        most_rows=settings("figures", "table_rows"),
        notice=lambda wildcards: PLAN.notice(wildcards.corpus),
        code=code("render_table.py"),
    script:
        "../workflow/scripts/render_table.py"


rule write_summary:
    input:
        **{
            table: expand(f"{RESULTS}/{{corpus}}/tables/{table}.csv", corpus=CORPORA)
            for table in PLAN.summarised()
        },
        config=f"{RESULTS}/report/configuration.json",
        manifests=expand(f"{RESULTS}/{{corpus}}/manifest.csv", corpus=CORPORA),
    output:
        html=report(
            f"{RESULTS}/report/summary.html",
            caption="../workflow/report/summary.rst",
            category=entries.PAGES["summary"].category,
            subcategory=entries.WHOLE_RUN,
            labels=title(entries.PAGES, "summary"),
        ),
        markdown=f"{RESULTS}/summary.md",
    log:
        f"{RESULTS}/logs/write_summary.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_summary/all.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=lasting(10),
    params:
        tables=PLAN.summarised(),
        labels=PLAN.labels(),
        notices={corpus: PLAN.notice(corpus) for corpus in CORPORA},
        alpha=1 - settings("evidence", "level"),
        code=code("write_summary.py"),
    script:
        "../workflow/scripts/write_summary.py"


rule write_methods:
    input:
        config=f"{RESULTS}/report/configuration.json",
        manifests=expand(f"{RESULTS}/{{corpus}}/manifest.csv", corpus=CORPORA),
        models=expand(f"{RESULTS}/models/{{model}}.json", model=MODELS),
    output:
        html=report(
            f"{RESULTS}/report/methods.html",
            caption="../workflow/report/methods.rst",
            category=entries.PAGES["methods"].category,
            subcategory=entries.WHOLE_RUN,
            labels=title(entries.PAGES, "methods"),
        ),
        markdown=f"{RESULTS}/methods.md",
    log:
        f"{RESULTS}/logs/write_methods.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_methods/all.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=lasting(10),
    params:
        code=code("write_methods.py"),
    script:
        "../workflow/scripts/write_methods.py"


rule list_licences:
    input:
        config=f"{RESULTS}/report/configuration.json",
        citation=resource("../CITATION.cff"),
    output:
        report(
            f"{RESULTS}/report/licences.html",
            caption="../workflow/report/licences.rst",
            category=entries.PAGES["licences"].category,
            subcategory=entries.WHOLE_RUN,
            labels=title(entries.PAGES, "licences"),
        ),
    log:
        f"{RESULTS}/logs/list_licences.log",
    benchmark:
        f"{RESULTS}/benchmarks/list_licences/all.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=lasting(10),
    params:
        most_rows=settings("figures", "table_rows"),
        code=code("list_licences.py"),
    script:
        "../workflow/scripts/list_licences.py"


# These two say what happened in this run and on this machine, so they differ between runs.
rule list_run_times:
    input:
        f"{RESULTS}/summary.md",
        figures_and_tables(),
    output:
        report(
            f"{RESULTS}/report/run_times.html",
            caption="../workflow/report/run_times.rst",
            category=entries.PAGES["run_times"].category,
            subcategory=entries.WHOLE_RUN,
            labels=title(entries.PAGES, "run_times"),
        ),
    log:
        f"{RESULTS}/logs/list_run_times.log",
    benchmark:
        f"{RESULTS}/benchmarks/list_run_times/all.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=lasting(10),
    params:
        benchmarks=f"{RESULTS}/benchmarks",
        most_rows=settings("figures", "table_rows"),
        code=code("list_run_times.py"),
    script:
        "../workflow/scripts/list_run_times.py"


rule list_versions:
    input:
        environments=[
            resource(f"../envs/{path.name}")
            for path in sorted(Path(workflow.basedir, "envs").glob("*.yaml"))
        ],
    output:
        report(
            f"{RESULTS}/report/versions.html",
            caption="../workflow/report/versions.rst",
            category=entries.PAGES["versions"].category,
            subcategory=entries.WHOLE_RUN,
            labels=title(entries.PAGES, "versions"),
        ),
    log:
        f"{RESULTS}/logs/list_versions.log",
    benchmark:
        f"{RESULTS}/benchmarks/list_versions/all.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=lasting(10),
    params:
        packages=settings("figures", "versions"),
        most_rows=settings("figures", "table_rows"),
        code=code("list_versions.py"),
    script:
        "../workflow/scripts/list_versions.py"
