"""The paper's published numbers beside ours, and its claims put to the test."""

from consonance import claims, files, jobs, manifest, predictions, published, side_by_side, tables
from consonance.adaptation.naming import WHOLE

with jobs.running(snakemake):
    params = snakemake.params
    distances = tables.read(snakemake.input.distances)
    replicates = tables.read(snakemake.input.replicates)
    adapted = tables.read_all(snakemake.input.adaptation_scores)
    accuracies = tables.read(snakemake.input.adaptation)
    checked = claims.check(
        claims.read(snakemake.input.claims),
        manifest=manifest.kept(manifest.read_manifest(snakemake.input.manifest)),
        emotions=params.emotions,
        domains=params.domains,
        models=params.models,
        roles=params.roles,
        trained_on=params.trained_on,
        paper_models=params.paper_models,
        predictions=predictions.gather(snakemake.input.predictions, params.probes),
        scores=tables.read_all(snakemake.input.scores),
        schemes=params.schemes,
        distances=distances[distances["measure"].isin(params.measures)],
        distance_replicates=replicates[replicates["measure"].isin(params.measures)],
        adaptation=adapted[adapted["fraction"] == WHOLE],
        test_to_train=params.fractions["test"] / params.fractions["train"],
        **params.evidence,
    )
    files.write_csv(checked.claims, snakemake.output.claims)
    files.write_csv(checked.parts, snakemake.output.parts)
    files.write_text(
        claims.markdown(checked, labels=params.labels), snakemake.output.claims_markdown
    )
    beside = side_by_side.side_by_side(
        published.read(snakemake.input.published),
        tables.read(snakemake.input.performance),
        paper_models=params.paper_models,
        paper_scheme=params.paper_scheme,
        adaptation=accuracies[
            (accuracies["fraction"] == WHOLE)
            & (accuracies["metric"] == "accuracy")
            & (accuracies["basis"] == "seeds")
        ],
    )
    files.write_csv(beside, snakemake.output.side_by_side)
    files.write_text(
        side_by_side.markdown(beside, labels=params.labels, digits=params.digits),
        snakemake.output.side_by_side_markdown,
    )
