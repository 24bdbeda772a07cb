"""eGeMAPS functionals of every kept recording."""

from consonance import acoustics, files, jobs, manifest

with jobs.running(snakemake):
    table = acoustics.functionals(
        manifest.kept(manifest.read_manifest(snakemake.input.manifest)),
        rate=snakemake.params.rate,
        threads=snakemake.threads,
    )
    files.write_csv(table, snakemake.output[0])
