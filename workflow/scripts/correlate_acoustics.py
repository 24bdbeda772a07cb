"""Acoustic differences between the domains, and how they go with the distance between them."""

from consonance import correlates, files, jobs, manifest, properties, tables

with jobs.running(snakemake):
    choices = snakemake.params.acoustics
    chosen = properties.chosen(choices["properties"])
    names = [each.name for each in chosen]
    labels = {**snakemake.params.labels, **{each.name: each.label for each in chosen}}
    differences = correlates.differences(
        properties.property_values(tables.read(snakemake.input.functionals), names),
        manifest.kept(manifest.read_manifest(snakemake.input.manifest)),
        properties=names,
        units={each.name: each.unit for each in chosen},
        emotions=snakemake.params.emotions,
        domains=snakemake.params.domains,
        **{key: choices[key] for key in ("design", "effect", "confidence", "resamples", "seed")},
    )
    files.write_csv(differences, snakemake.output.differences)
    shown = correlates.forest_table(differences, properties=choices["shown"], labels=labels)
    files.write_csv(shown, snakemake.output.forest)

    distances = tables.read(snakemake.input.similarity)
    distances = distances[distances["measure"] == choices["measure"]]
    found = correlates.correlations(
        differences,
        distances[distances["emotion"].isin(snakemake.params.emotions)],
        **{key: choices[key] for key in ("alternative", "permutations", "seed", "correction")},
    )
    files.write_csv(found, snakemake.output.correlates)
    heatmap = correlates.heatmap_table(
        found, measure=choices["measure"], alpha=choices["alpha"]
    ).replace({"feature": labels})
    files.write_csv(heatmap, snakemake.output.heatmap)
    note = correlates.weakness(found, alpha=choices["alpha"])
    files.write_text(note + "\n", snakemake.output.weakness)
