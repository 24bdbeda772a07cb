"""Draws the parts of one scheme for every seed."""

from consonance import files, jobs, manifest, splits

with jobs.running(snakemake):
    clips = manifest.kept(manifest.read_manifest(snakemake.input.manifest))
    fractions = [snakemake.params.fractions[part] for part in splits.PARTS]
    table = splits.draw(
        clips,
        scheme=snakemake.wildcards.scheme,
        fractions=fractions,
        seeds=snakemake.params.seeds,
    )
    files.write_csv(table, snakemake.output[0])
