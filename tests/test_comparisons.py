import numpy as np
import pandas as pd
import pytest
import worlds
from scipy import special, stats
from statsmodels.stats.contingency_tables import mcnemar

from consonance import comparisons, contrasts, intervals, resampling
from consonance import predictions as stored
from consonance.errors import InputError

EMOTIONS = worlds.EMOTIONS
SETTINGS = {
    "emotions": EMOTIONS,
    "metrics": ["accuracy"],
    "first_seed": 0,
    "level": 0.95,
    "draws": 300,
    "seed": 3,
    "min_clusters": 4,
}


def results(
    cells, *, layers=2, seeds=3, n_speakers=12, takes=6, rng=None, scheme_of_split=None, shared=1.0
):
    """Predictions of several (model, domain, scheme) with a logit per layer, and the manifest.

    Clips that are hard for one model are hard for all; matched recordings are alike by `shared`.
    """
    rng = rng or np.random.default_rng(0)
    domains = list(dict.fromkeys(domain for _, domain, _ in cells))
    manifest = worlds.manifest_of(n_speakers, takes=takes, domains=domains)
    material = pd.factorize(manifest["clip"].str.split("-", n=1).str[1])[0]
    hard = rng.normal(0, 1.5, material.max() + 1)[material] * shared
    hard = hard + rng.normal(0, 1.5, len(manifest)) * (1 - shared)
    parts = {}
    frames = []
    for (model, domain, scheme), logits in cells.items():
        if scheme not in parts:
            parts[scheme] = worlds.parts_of(manifest, scheme, seeds, rng)
        of_domain = (manifest["domain"] == domain).to_numpy()
        rate = special.expit(np.asarray(logits)[None, :, None] + hard)
        correct = rng.random((seeds, layers, len(manifest))) < rate
        tested = parts[scheme] & of_domain
        frames.append(worlds.table(correct, tested, manifest, model=model, scheme=scheme))
    scores = [
        worlds.scores_of(frame, domain=domain)
        for frame, (_, domain, _) in zip(frames, cells, strict=True)
    ]
    return pd.concat(frames), pd.concat(scores), manifest


def compared(cells, kinds, *, change=lambda frame: frame, **settings):
    names = {"layers", "seeds", "n_speakers", "takes", "rng", "shared"}
    made = {name: settings.pop(name) for name in list(settings) if name in names}
    predictions, scores, manifest = results(cells, **made)
    return comparisons.compare(
        change(predictions), scores, manifest, kinds=kinds, **(SETTINGS | settings)
    )


# Exact test ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", [(40, 12, 3, 9), (10, 0, 6, 1), (5, 0, 0, 5), (0, 7, 7, 0)])
def test_mcnemar_is_the_binomial_test_of_discordant_clips(table):
    both, only_a, only_b, neither = table
    a = np.repeat([True, True, False, False], table)
    b = np.repeat([True, False, True, False], table)
    difference, low, high, p = comparisons.mcnemar_exact(a, b, level=0.95)
    n = sum(table)
    assert difference == (only_a - only_b) / n
    assert p == pytest.approx(min(1, mcnemar([[both, only_a], [only_b, neither]]).pvalue))
    if only_a + only_b:
        test = stats.binomtest(only_a, only_a + only_b)
        assert p == pytest.approx(test.pvalue)
        exact = test.proportion_ci(0.95, "exact")
        scale = (only_a + only_b) / n
        assert (low, high) == pytest.approx(
            ((2 * exact.low - 1) * scale, (2 * exact.high - 1) * scale)
        )
    else:
        assert (low, high, p) == (0, 0, 1)


def test_interval_of_mcnemar_excludes_0_where_the_test_rejects():
    for only_a in range(12):
        for only_b in range(1, 12):
            a = np.repeat([True, False], [only_a, only_b])
            _, low, high, p = comparisons.mcnemar_exact(a, ~a, level=0.95)
            assert (p < 0.05) == (low > 0 or high < 0)


# Correction ---------------------------------------------------------------------------------------


def test_holm_within_families():
    table = pd.DataFrame(
        {"family": ["x", "x", "y", "x", "x"], "p": [0.01, 0.04, 0.04, 0.03, np.nan]}
    )
    found = comparisons.holm(table)
    np.testing.assert_allclose(found["p_holm"], [0.03, 0.06, 0.04, 0.06, np.nan])
    assert list(found["family_size"]) == [3, 3, 1, 3, 3]
    with pytest.raises(InputError, match="lack the column p"):
        comparisons.holm(table.drop(columns="p"))


# Type I error -------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["random", "speaker"])
def test_equal_models_differ_in_5_percent(scheme):
    # Two models of the same rate that share the difficulty of speakers and clips and have some of
    # their own. 1,200 worlds, each a layer: the standard error of 5 % is 0.6 %.
    rejected = []
    for repetition in range(3):
        rng = np.random.default_rng(repetition)
        manifest = worlds.manifest_of(23, takes=8)
        speaker = pd.factorize(manifest["speaker"])[0]
        tested = worlds.parts_of(manifest, scheme, 5, rng)
        shape = (400, len(manifest))
        shared = 1.5 + rng.normal(0, 0.6, (400, 23))[:, speaker] + rng.normal(0, 1, shape)
        frames = []
        for model in ("a", "b"):
            own = rng.normal(0, 0.3, (400, 23))[:, speaker] + rng.normal(0, 1, shape)
            seed = rng.normal(0, 0.1, (5, 400, 1))
            correct = rng.random((5, *shape)) < special.expit(shared + own + seed)
            frames.append(worlds.table(correct, tested, manifest, model=model, scheme=scheme))
        found = stored.arrange(pd.concat(frames), manifest, emotions=EMOTIONS)
        (a, b), seeds = resampling.draw_counts(
            list(found.values()), manifest, scheme=scheme, draws=300, rng=rng
        )
        difference = resampling.combine(
            a.accuracy() - b.accuracy(), seeds, groups=a.groups_all, effective=a.effective_all
        )
        rejected.append(resampling.student_interval(difference, level=0.95)[2] < 0.05)
    assert 0.02 <= np.mean(rejected) <= 0.08


def test_pairing_narrows_the_interval():
    # What is hard for one model is hard for the other, so the difference varies less than two
    # independent rates would.
    cells = {("a", "speech", "random"): (2.0, 2.0), ("b", "speech", "random"): (1.2, 1.2)}
    settings = {"seeds": 5, "n_speakers": 20, "takes": 10}
    found = compared(cells, ["models"], **settings)
    row = found.query("basis == 'seeds' and layers == 'chosen'").iloc[0]
    assert row["difference"] == pytest.approx(row["value_a"] - row["value_b"])
    predictions, _, manifest = results(cells, **settings)
    variance = 0.0
    for model, part in predictions.groupby("model"):
        table = intervals.accuracy_intervals(
            part, manifest, model=model, scheme="random", emotions=EMOTIONS, first_seed=0,
            level=0.95, draws=300, seed=1, min_clusters=2,
        )  # fmt: skip
        alone = table.query("basis == 'seeds' and layer == 2 and metric == 'accuracy'").iloc[0]
        variance += alone["value"] * (1 - alone["value"]) / alone["effective"]
    half = (row["high"] - row["low"]) / 2
    assert half < 0.85 * stats.norm.ppf(0.975) * np.sqrt(variance)


# Kinds --------------------------------------------------------------------------------------------


def test_models_are_compared_in_pairs():
    cells = {(model, "speech", "random"): (1.0, 1.0) for model in "abc"}
    found = compared(cells, ["models"], metrics=["accuracy", "uar"])
    pairs = found[["a", "b"]].drop_duplicates().to_numpy().tolist()
    assert pairs == [["a", "b"], ["a", "c"], ["b", "c"]]
    sizes = found.groupby("family")["family_size"].agg(["size", "first"])
    assert sizes.loc["models, accuracy, seeds"].tolist() == [6, 6]  # 3 pairs; mean and chosen
    assert sizes.loc["models, uar, seeds"].tolist() == [6, 6]
    assert sizes.loc["models, accuracy, first"].tolist() == [3, 3]  # McNemar: chosen only
    exact = found[found["method"] == "McNemar exact"]
    assert set(exact["layers"]) == {"chosen"}
    assert (found["p_holm"] >= found["p"]).all()
    assert found["comparison"].iloc[0] == "a - b (speech, random split, mean over layers)"


def test_a_model_does_not_differ_from_itself():
    cells = {("a", "speech", "random"): (1.0, 2.0)}
    predictions, scores, manifest = results(cells)
    both = pd.concat([predictions, predictions.assign(model="b")])
    scores = pd.concat([scores, scores.assign(model="b")])
    found = comparisons.compare(both, scores, manifest, kinds=["models"], **SETTINGS)
    assert (found["difference"] == 0).all()
    assert (found["p"] == 1).all()
    assert (found[["low", "high"]] == 0).all().all()


def test_mcnemar_uses_the_clips_of_the_first_seed():
    cells = {("a", "speech", "random"): (1.5, 1.5), ("b", "speech", "random"): (0.5, 0.5)}
    predictions, scores, manifest = results(cells)
    found = comparisons.compare(predictions, scores, manifest, kinds=["models"], **SETTINGS)
    row = found[found["basis"] == "first"].iloc[0]
    # Layer 2 has the best validation accuracy in `worlds.scores_of`.
    part = predictions.query("seed == 0 and layer == 2")
    right = (part["emotion"] == part["predicted"]).to_numpy()
    a = pd.Series(right, index=part["clip"])[(part["model"] == "a").to_numpy()]
    b = pd.Series(right, index=part["clip"])[(part["model"] == "b").to_numpy()]
    expected = comparisons.mcnemar_exact(a.to_numpy(), b[a.index].to_numpy(), level=0.95)
    assert (row["difference"], row["low"], row["high"], row["p"]) == pytest.approx(expected)
    assert row["clips"] == len(a)


def test_layers_are_compared_with_the_one_chosen_on_validation():
    cells = {("a", "speech", "random"): (3.0, 0.0)}
    found = compared(cells, ["layers"]).query("basis == 'seeds'")
    # Validation says layer 2, though layer 1 is better on the test clips.
    assert found["b"].tolist() == ["1", "2"]
    assert found["comparison"].iloc[0] == "chosen - layer 1 (a, speech, random split)"
    assert found["high"].iloc[0] < 0
    same = found.iloc[1]
    assert (same["difference"], same["p"]) == (0, 1)


def test_domains_are_paired_by_matched_recordings():
    cells = {("a", "speech", "random"): (2.0, 2.0), ("a", "song", "random"): (1.0, 1.0)}
    settings = {"n_speakers": 12, "takes": 8, "seeds": 5}
    matched = compared(cells, ["domains"], **settings).query("basis == 'seeds'").iloc[0]
    assert (matched["a"], matched["b"], matched["model"]) == ("speech", "song", "a")
    assert matched["method"] == "bootstrap, paired by matched recording"
    # Without statements nothing is matched, and the interval is wider, as pairs vary together.
    predictions, scores, manifest = results(cells, **settings)
    found = comparisons.compare(
        predictions, scores, manifest.assign(statement=""), kinds=["domains"],
        **(SETTINGS | {"draws": 3000}),
    )  # fmt: skip
    apart = found.query("basis == 'seeds'").iloc[0]
    matched = comparisons.compare(
        predictions, scores, manifest, kinds=["domains"], **(SETTINGS | {"draws": 3000})
    ).query("basis == 'seeds'").iloc[0]  # fmt: skip
    assert matched["difference"] == apart["difference"]
    assert matched["high"] - matched["low"] < apart["high"] - apart["low"]
    exact = found[found["basis"] == "first"].iloc[0]
    assert "no matched recordings in common" in exact["reason"]
    assert np.isnan(exact["p"])


def test_mcnemar_across_domains_counts_pairs():
    cells = {("a", "speech", "speaker"): (2.0, 2.0), ("a", "song", "speaker"): (1.0, 1.0)}
    found = compared(cells, ["domains"])
    exact = found[found["basis"] == "first"].iloc[0]
    assert exact["clips"] == 2 * 4 * 6  # two test speakers, all their pairs
    assert found["method"].iloc[0] == "bootstrap, paired by speaker"


def test_schemes_are_compared_on_clips_tested_in_both():
    cells = {("a", "speech", "random"): (2.0, 2.0), ("a", "speech", "speaker"): (1.0, 1.0)}
    found = compared(cells, ["schemes"], seeds=5)
    row = found.iloc[0]
    assert (row["a"], row["b"], row["scheme"]) == ("random", "speaker", "")
    assert row["method"] == "bootstrap, paired on clips tested in both"
    assert row["unit"] == "speaker"
    predictions, *_ = results(cells, seeds=5)
    of_scheme = predictions.groupby("scheme")["clip"].agg(set)
    assert row["clips"] == len(of_scheme["random"] & of_scheme["speaker"])


def test_schemes_without_clips_in_common_use_all():
    cells = {("a", "speech", "random"): (2.0, 2.0), ("a", "speech", "speaker"): (1.0, 1.0)}
    found = compared(cells, ["schemes"], seeds=1, takes=2, min_clusters=2)
    row = found.iloc[0]
    assert row["method"] == "bootstrap, all test clips, paired by speaker"
    assert np.isfinite(row["p"])


# Bad input ----------------------------------------------------------------------------------------


def test_few_speakers_leave_the_rest_standing():
    cells = {
        (model, "speech", scheme): (1.0, 1.0) for model in "ab" for scheme in ("random", "speaker")
    }
    found = compared(cells, ["models"], n_speakers=5, min_clusters=5)
    few = found.query("scheme == 'speaker' and basis == 'seeds'")
    assert few["difference"].notna().all()
    assert few["p"].isna().all()
    assert few["reason"].str.contains("over speakers needs at least 5").all()
    rest = found.query("scheme == 'random'")
    assert rest["p"].notna().all()
    assert (rest.query("basis == 'seeds'")["family_size"] == 2).all()


def test_results_of_different_splits_are_refused():
    cells = {(model, "speech", "random"): (1.0, 1.0) for model in "ab"}

    def without_a_clip(frame):
        clip = frame.loc[frame["model"] == "b", "clip"].iloc[0]
        return frame[(frame["model"] == "a") | (frame["clip"] != clip)]

    with pytest.raises(InputError, match="b and a were tested on different clips"):
        compared(cells, ["models"], change=without_a_clip)


def test_scores_of_other_seeds_are_refused():
    cells = {("a", "speech", "random"): (1.0, 1.0)}
    predictions, scores, manifest = results(cells)
    with pytest.raises(InputError, match="no validation accuracy for seed 2"):
        comparisons.compare(
            predictions, scores[scores["seed"] < 2], manifest, kinds=["layers"], **SETTINGS
        )


def test_unknown_kinds_and_metrics_are_named_together():
    cells = {("a", "speech", "random"): (1.0, 1.0)}
    with pytest.raises(InputError) as error:
        compared(cells, ["colours"], metrics=["f1"], level=2, draws=0)
    assert len(error.value.problems) == 4


def test_a_figure_shows_the_layers_chosen_on_validation():
    row = {
        "kind": "domains",
        "metric": "accuracy",
        "basis": "seeds",
        "layers": "chosen",
        "a": "speech",
        "b": "song",
        "model": "m",
        "domain": "",
        "scheme": "random",
        "difference": 0.1,
        "low": 0.05,
        "high": 0.15,
        "p_holm": 0.01,
    }
    table = pd.DataFrame(
        [row, row | {"layers": "mean"}, row | {"metric": "uar"}, row | {"p_holm": 0.2}]
    )
    found = contrasts.forest_table(table, labels={"speech": "Speech", "m": "M"}, level=0.95)
    assert found["label"].tolist() == ["Speech less song (M, random)"] * 2
    assert found["significant"].tolist() == [True, False]
    assert found["group"].unique().tolist() == ["Between domains"]
