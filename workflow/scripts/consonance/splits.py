"""Who is trained on, who chooses the epoch and who is tested: splits and actor folds as tables.

Two schemes. `random` is the paper's (arXiv 2409.17899, section V-A): the clips of a domain are
divided 60/20/20, stratified by emotion; the same actor is then on both sides. `speaker` divides
the actors, the same way in every domain, so that nobody tested was trained on, not even through
the other domain. In both, recordings with equal content lie in one part.

All draws are independent of the order of rows in the manifest and of each other: a further
seed, scheme, domain or emotion changes no other draw.
"""

import hashlib
from collections.abc import Hashable, Sequence
from fractions import Fraction

import numpy as np
import pandas as pd

from consonance.errors import InputError

PARTS = ("train", "validation", "test")
SCHEMES = ("random", "speaker")

# Whoever has the larger claim to a left-over clip, when remainders are equal: the test set first,
# which then gets the ceiling of its share, as in scikit-learn's train_test_split. This gives the
# paper's 607/202/203 of 1,012 clips.
_TIE_ORDER = (2, 1, 0)


def generator(seed: int, name: str) -> np.random.Generator:
    """Returns the random generator of one named draw.

    Args:
        seed: the seed of the experiment, 0 or larger.
        name: what is drawn; different names give independent streams from one seed.
    """
    digest = hashlib.sha256(name.encode("utf-8")).digest()
    return np.random.default_rng(np.random.SeedSequence([seed, int.from_bytes(digest[:8], "big")]))


def draw(
    manifest: pd.DataFrame,
    *,
    scheme: str,
    fractions: Sequence[float],
    seeds: Sequence[int],
) -> pd.DataFrame:
    """Divides the clips of every domain into train, validation and test, once per seed.

    `random`: the sizes of the parts in a domain are its number of clips times `fractions`, rounded
    by largest remainder (equal remainders: test, then validation, then train). Every emotion is
    divided in the same proportions to the nearest clip, and has at least one clip in each part
    from three clips on. The sizes are the same for every seed.

    `speaker`: the same with speakers in the place of clips and sex in the place of emotion (one
    stratum where the sex is unknown); the speakers of all domains are drawn together.

    Recordings with equal content (`duplicate_of`) lie in one part. Such a group draws its part at
    random with probabilities `fractions`, by its own name, hence the same part in every domain;
    the other clips are then divided so that the sizes come out as above. In `speaker`, speakers
    who share a recording are such a group.

    Args:
        manifest: the kept clips: clip, domain, emotion, speaker, sex, duplicate_of.
        scheme: "random" or "speaker".
        fractions: shares of train, validation and test; positive, with sum 1.
        seeds: one division for each.

    Returns:
        Columns seed, domain, clip, part; sorted by seed (as given), domain and clip.

    Raises:
        InputError: unknown scheme, impossible fractions, repeated or negative seeds, clips without
            an emotion or (speaker) a speaker, fewer than three speakers, or a part without one of
            the domain's emotions.
    """
    problems = []
    if scheme not in SCHEMES:
        problems.append(
            f"The split scheme {scheme!r} is unknown; choose one of {', '.join(SCHEMES)}."
        )
    shares = _exact(fractions)
    if shares is None:
        problems.append(
            f"The split fractions {list(fractions)} must be three positive numbers (train, "
            "validation, test) with sum 1."
        )
    if len(set(seeds)) != len(seeds) or not seeds or min(seeds) < 0:
        problems.append(
            f"The split seeds {list(seeds)} must be different whole numbers, 0 or larger, at "
            "least one."
        )
    clips = manifest.sort_values("clip", ignore_index=True)
    required = ("emotion", "speaker") if scheme == "speaker" else ("emotion",)
    problems += _unfilled(clips, required)
    if problems:
        raise InputError(problems)

    by_clip = {}
    if scheme == "random":
        groups = _groups(_roots(clips))
        for seed in seeds:
            part = pd.Series(-1, index=clips.index)
            for domain, rows in clips.groupby("domain"):
                part[rows.index] = _divide(
                    strata=rows["emotion"], groups=groups[rows.index], shares=shares,
                    seed=seed, scheme=scheme, name=f"{scheme}/{domain}",
                )  # fmt: skip
            by_clip[seed] = part
    else:
        speakers = _speaker_groups(clips)
        if speakers["group"].nunique() < len(PARTS):
            raise InputError(
                f"Speaker-disjoint splits need at least {len(PARTS)} speakers without recordings "
                f"in common; the manifest has {speakers['group'].nunique()}. Add speakers or leave "
                "the scheme 'speaker' out of the configuration."
            )
        for seed in seeds:
            part = _divide(
                strata=speakers["sex"], groups=_groups(speakers["group"]), shares=shares,
                seed=seed, scheme=scheme, name=scheme,
            )  # fmt: skip
            by_clip[seed] = clips["speaker"].map(part)

    tables = []
    for seed, part in by_clip.items():
        table = clips[["domain", "clip"]].assign(seed=seed, part=part.map(dict(enumerate(PARTS))))
        problems += _missing_emotions(table.assign(emotion=clips["emotion"]), scheme, seed)
        tables.append(table.sort_values(["domain", "clip"]))
    if problems:
        raise InputError(problems)
    return pd.concat(tables, ignore_index=True)[["seed", "domain", "clip", "part"]]


def folds(manifest: pd.DataFrame, *, n_folds: int, seed: int) -> pd.DataFrame:
    """Deals the speakers of all domains into folds of equal size, each sex evenly where known.

    Args:
        manifest: the kept clips: clip, speaker, sex.
        n_folds: number of folds, at least 2.
        seed: of the shuffle.

    Returns:
        Columns speaker, fold (0 to `n_folds` - 1), sorted by speaker. Fold sizes, and the numbers
        of each sex in them, differ by one at most.

    Raises:
        InputError: clips without a speaker, fewer than 2 folds or fewer speakers than folds.
    """
    problems = _unfilled(manifest, ("speaker",))
    if n_folds < 2:
        problems.append(f"The number of folds is {n_folds}; it must be at least 2.")
    if problems:
        raise InputError(problems)
    sexes = _sexes(manifest)
    if len(sexes) < n_folds:
        raise InputError(
            f"{n_folds} folds need at least {n_folds} speakers; the manifest has {len(sexes)}. "
            f"Set fad.actor_folds to {len(sexes)} or fewer, at least 2."
        )
    # Dealing one sex after the other, without starting again at fold 0, evens out both counts.
    dealt = [
        speaker
        for sex, members in sexes.groupby(sexes)
        for speaker in generator(seed, f"folds/{sex}").permutation(members.index.to_numpy())
    ]
    table = pd.DataFrame({"speaker": dealt, "fold": np.arange(len(dealt)) % n_folds})
    return table.sort_values("speaker", ignore_index=True)


def allocate(counts: Sequence[int], shares: Sequence[Fraction]) -> np.ndarray:
    """Divides strata into parts so that both the parts and the strata come out in proportion.

    The parts' sizes are the total times `shares` by largest remainder. Each stratum is divided by
    largest remainder too; where the sum over strata then misses a part's size, single items are
    moved between two parts in the stratum where this is nearest to the exact shares (equal: the
    first stratum). A part gets at least one item overall, and one of each stratum of at least as
    many items as parts.

    Args:
        counts: (strata,) number of items in each stratum.
        shares: (parts,) exact fractions with sum 1.

    Returns:
        (strata, parts) int64; row sums are `counts`.
    """
    table = np.array([_largest_remainder(count, shares) for count in counts], dtype=np.int64)
    sizes = np.array(_largest_remainder(sum(counts), shares))
    least = np.array([count >= len(shares) for count in counts], dtype=np.int64)
    while (surplus := table.sum(axis=0) - sizes).any():
        source, target = int(surplus.argmax()), int(surplus.argmin())
        able = [s for s in range(len(counts)) if table[s, source] > least[s]]
        if not able:  # only with a handful of items; the sums stay off by one
            break
        excess = [
            (table[s, source] - counts[s] * shares[source])
            - (table[s, target] - counts[s] * shares[target])
            for s in able
        ]
        chosen = able[excess.index(max(excess))]
        table[chosen, source] -= 1
        table[chosen, target] += 1
    return table


def _largest_remainder(count: int, shares: Sequence[Fraction]) -> list[int]:
    """Rounds `count` x `shares` to whole numbers with sum `count`, none 0 if that can be."""
    exact = [count * share for share in shares]
    whole = [int(value) for value in exact]
    ranking = sorted(_TIE_ORDER, key=lambda part: whole[part] - exact[part])
    for part in ranking[: count - sum(whole)]:
        whole[part] += 1
    if count >= len(shares):
        while 0 in whole:
            whole[whole.index(max(whole))] -= 1
            whole[whole.index(0)] += 1
    return whole


def _exact(fractions: Sequence[float]) -> list[Fraction] | None:
    """Reads the fractions as the decimals they are written as (0.2 is 1/5), or None."""
    # Rounding of decimals like 0.333333 in the configuration.
    tolerance = 1e-6
    if len(fractions) != len(PARTS) or not all(0 < f < 1 for f in fractions):
        return None
    exact = [Fraction(str(fraction)) for fraction in fractions]
    if abs(sum(exact) - 1) > tolerance:
        return None
    return [fraction / sum(exact) for fraction in exact]


def _divide(
    *,
    strata: pd.Series,
    groups: pd.Series,
    shares: list[Fraction],
    seed: int,
    scheme: str,
    name: str,
) -> pd.Series:
    """Draws a part (0, 1, 2) for every item, keeping groups together.

    Args:
        strata: item -> stratum, in a fixed order of items.
        groups: item -> name of its group, "" for an item of its own.
        shares: of the parts.
        seed: of the experiment.
        scheme: names the draws of groups, which are the same everywhere in the scheme.
        name: names the draws of the other items.
    """
    part = pd.Series(-1, index=strata.index)
    together = groups != ""
    for group in groups[together].unique():
        rng = generator(seed, f"{scheme}/group/{group}")
        part[groups == group] = rng.choice(len(shares), p=[float(share) for share in shares])

    labels = sorted(strata.unique())
    wanted = allocate([int((strata == label).sum()) for label in labels], shares)
    for label, sizes in zip(labels, wanted, strict=True):
        members = strata == label
        placed = np.bincount(part[members & together], minlength=len(shares))
        alone = strata.index[members & ~together]
        room = _fit(sizes - placed, len(alone))
        order = generator(seed, f"{name}/stratum/{label}").permutation(len(alone))
        part[alone[order]] = np.repeat(np.arange(len(shares)), room)
    return part


def _fit(room: np.ndarray, count: int) -> np.ndarray:
    """Makes non-negative sizes with sum `count` of the room left, taking from the largest."""
    room = np.maximum(room, 0)
    while room.sum() > count:
        room[room.argmax()] -= 1
    return room


def _roots(clips: pd.DataFrame) -> pd.Series:
    """Returns, for each clip, the clip it is a copy of, or itself."""
    return clips["duplicate_of"].where(clips["duplicate_of"] != "", clips["clip"])


def _groups(roots: pd.Series) -> pd.Series:
    """Returns the roots that occur more than once; "" for the others."""
    return roots.where(roots.duplicated(keep=False), "")


def _speaker_groups(clips: pd.DataFrame) -> pd.DataFrame:
    """Returns sex and group of every speaker; speakers who share a recording are one group."""
    sexes = _sexes(clips)
    group = {speaker: speaker for speaker in sexes.index}
    roots = _groups(_roots(clips))
    for _, sharing in clips[roots != ""].groupby(roots)["speaker"]:
        names = {group[speaker] for speaker in sharing}
        if len(names) > 1:
            group = {s: min(names) if g in names else g for s, g in group.items()}
    return pd.DataFrame({"sex": sexes, "group": pd.Series(group)})


def _sexes(clips: pd.DataFrame) -> pd.Series:
    """Returns speaker -> sex, sorted by speaker; "" where unknown or contradictory."""
    sexes = clips.groupby("speaker")["sex"].unique()
    return sexes.map(lambda values: values[0] if len(values) == 1 else "").rename("sex")


def _unfilled(clips: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """Returns a sentence for each column that is empty in some clips."""
    problems = []
    for column in columns:
        empty = clips.loc[clips[column] == "", "clip"]
        if len(empty):
            problems.append(
                f"{len(empty)} clips have no {column} in the manifest, the first is "
                f"'{empty.min()}'; fill in the column '{column}' or exclude them."
            )
    return problems


def _missing_emotions(table: pd.DataFrame, scheme: str, seed: int) -> list[str]:
    """Returns a sentence for each part that lacks an emotion of its domain."""
    problems = []
    for domain, rows in table.groupby("domain"):
        counts = pd.crosstab(rows["emotion"], rows["part"]).reindex(columns=PARTS, fill_value=0)
        for part in PARTS:
            absent: list[Hashable] = list(counts.index[counts[part] == 0])
            if absent:
                problems.append(
                    f"With scheme '{scheme}' and seed {seed} the {part} part of {domain} has no "
                    f"clip of: {', '.join(map(str, absent))}. Add clips or speakers, take the "
                    "emotion out of the configuration, or choose another seed."
                )
    return problems
