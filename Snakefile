from snakemake.utils import min_version

min_version("9.0")


configfile: "config.yaml"


report: "workflow/report/workflow.rst"


include: "rules/common.smk"
include: "rules/corpora.smk"
include: "rules/audio.smk"
include: "rules/embeddings.smk"
include: "rules/probes.smk"
include: "rules/fad.smk"
include: "rules/evidence.smk"
include: "rules/similarity.smk"
include: "rules/acoustics.smk"
include: "rules/adaptation.smk"
include: "rules/figures.smk"
include: "rules/report.smk"


rule all:
    input:
        final_output(),
