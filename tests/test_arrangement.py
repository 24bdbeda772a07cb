import numpy as np
import pandas as pd
import pytest

from consonance import arrangement, splits
from consonance.errors import InputError

LABELS = ["neutral", "calm", "happy", "sad", "angry"]


def manifest_and_splits():
    rows = [
        {"clip": f"{domain}{number:02d}", "domain": domain, "emotion": LABELS[number % 5]}
        for domain in ("speech", "song")
        for number in range(30)
    ]
    manifest = pd.DataFrame(rows).assign(
        speaker=lambda frame: frame["clip"].str[-1], sex="", duplicate_of=""
    )
    table = splits.draw(manifest, scheme="random", fractions=(0.6, 0.2, 0.2), seeds=[4, 2])
    return manifest, table


def test_arrange():
    manifest, table = manifest_and_splits()
    clips = manifest["clip"].tolist()[::-1]
    got = arrangement.arrange(clips, manifest, table, domain="song", labels=LABELS)
    assert got.clips == [f"song{number:02d}" for number in range(30)]
    assert [clips[row] for row in got.rows] == got.clips
    assert got.emotions.tolist() == [number % 5 for number in range(30)]
    assert got.seeds == [4, 2]
    assert got.parts.dtype == np.int8
    part = table[(table["seed"] == 2) & (table["domain"] == "song")].set_index("clip")["part"]
    assert [splits.PARTS[p] for p in got.parts[1]] == part[got.clips].tolist()


def test_arrange_names_what_is_missing():
    manifest, table = manifest_and_splits()
    with pytest.raises(InputError, match="no clip of the domain 'opera'"):
        arrangement.arrange([], manifest, table, domain="opera", labels=LABELS)
    with pytest.raises(InputError) as caught:
        arrangement.arrange(
            manifest["clip"].tolist()[:-1],
            manifest,
            table.drop(table.index[table["clip"] == "song03"][0]),
            domain="song",
            labels=LABELS[:-1],
        )
    first, second, third = caught.value.problems
    assert "1 clips of song do not have exactly one part" in first
    assert "'song03'" in first
    assert "1 clips of the splits of song have no embedding, the first is 'song29'" in second
    assert "6 clips of the splits of song have an emotion other than" in third
