"""Makes the demonstration corpus."""

from consonance import jobs, synthesis

with jobs.running(snakemake):
    synthesis.synthesise_corpus(snakemake.output[0], **snakemake.params.voices)
