import os

import pytest

from consonance import planning
from consonance.budget import BASE, ModelSize
from consonance.errors import InputError


def test_shards_of_a_corpus_that_is_not_there_yet(default_config):
    plan = planning.Plan(default_config)
    assert plan.shards("ravdess") == ["0-of-2", "1-of-2"]  # 2,024 clips, 1,024 a shard


def test_shards_of_a_folder_are_counted(default_config, tmp_path):
    rows = ["path,emotion,domain,speaker"]
    rows += [f"{domain}{n}.wav,sad,{domain},s1" for domain in ("speech", "song") for n in range(5)]
    rows += ["other.wav,surprised,speech,s1"]
    table = tmp_path / "mine.csv"
    table.write_text("\n".join(rows) + "\n")
    default_config["corpora"]["mine"] = {
        "adapter": "table",
        "source": "folder",
        "path": str(table),
    }
    default_config["extraction"]["clips_per_shard"] = 4
    assert planning.Plan(default_config).shards("mine") == ["0-of-3", "1-of-3", "2-of-3"]


def test_inputs_of_a_scan(default_config, demo_config, tmp_path):
    assert planning.Plan(default_config).recordings("ravdess") == [
        "resources/recordings/ravdess/Audio_Speech_Actors_01-24",
        "resources/recordings/ravdess/Audio_Song_Actors_01-24",
    ]
    assert planning.Plan(demo_config).recordings("demo") == [
        "results/demo/resources/synthetic/demo"
    ]
    actor = tmp_path / "Audio_Speech_Actors_01-24/Actor_01"
    actor.mkdir(parents=True)
    (tmp_path / "Audio_Song_Actors_01-24").mkdir()
    (actor / "03-01-01-01-01-01-01.wav").touch()
    default_config["corpora"]["ravdess"].update(source="folder", path=str(tmp_path))
    assert planning.Plan(default_config).recordings("ravdess") == [
        str(actor / "03-01-01-01-01-01-01.wav")
    ]


def test_a_missing_corpus_is_said_while_planning(default_config, tmp_path):
    default_config["corpora"]["ravdess"].update(source="folder", path=str(tmp_path / "no"))
    with pytest.raises(InputError, match="no"):
        planning.Plan(default_config).shards("ravdess")


def test_models_with_one_rate_share_their_audio(default_config):
    plan = planning.Plan(default_config)
    assert plan.audio("ravdess", "hubert-base-ls960", "0-of-2") == (
        "results/ravdess/audio/16000/0-of-2.csv"
    )
    assert plan.wavs("ravdess", "wav2vec2-base", "0-of-2") == "results/ravdess/audio/16000/0-of-2"
    assert plan.wavs("ravdess", "mert-v1-95m", "0-of-2") == "results/ravdess/audio/24000/0-of-2"


def test_two_revisions_never_share_a_folder(default_config):
    plan = planning.Plan(default_config)
    before = plan.model_identity("wav2vec2-base")
    assert before["folder"] == "resources/models/wav2vec2-base@0b5b8e868dd8"
    default_config["models"]["wav2vec2-base"]["revision"] = "f" * 40
    assert planning.Plan(default_config).model_identity("wav2vec2-base") != before


def test_a_label_is_not_part_of_a_models_identity(default_config):
    before = planning.Plan(default_config).model_identity("wav2vec2-base")
    default_config["models"]["wav2vec2-base"]["label"] = "another"
    assert planning.Plan(default_config).model_identity("wav2vec2-base") == before


def test_the_files_of_a_model_in_a_folder(default_config, tmp_path):
    for name in ("config.json", "model.safetensors", "vocab.json"):
        (tmp_path / name).touch()
    default_config["models"]["wav2vec2-base"].update(source="folder", folder=str(tmp_path))
    assert planning.Plan(default_config).model_files("wav2vec2-base") == [
        str(tmp_path / "config.json"),
        str(tmp_path / "model.safetensors"),
    ]


def test_notices(default_config, demo_config):
    assert planning.Plan(default_config).notice("ravdess") == ""
    assert planning.Plan(demo_config).notice("demo") == (
        "Synthetic recordings and random weights: not a finding"
    )
    default_config["models"]["wav2vec2-base"]["source"] = "random"
    assert planning.Plan(default_config).notice("ravdess") == (
        "Random weights in Wav2Vec 2.0 (base): not a finding"
    )


def test_a_figure_of_one_model_speaks_for_that_model(default_config):
    default_config["models"]["wav2vec2-base"]["source"] = "random"
    plan = planning.Plan(default_config)
    assert plan.notice("ravdess", "hubert-base-ls960") == ""
    assert plan.notice("ravdess", "wav2vec2-base") == "Random weights: not a finding"
    assert plan.notice("ravdess", "hubert-base-ls960", "wav2vec2-base") == (
        "Random weights in Wav2Vec 2.0 (base): not a finding"
    )
    assert plan.corpus_notice("ravdess") == ""


def test_what_a_report_cites_holds_no_folder(default_config, tmp_path):
    default_config["corpora"]["ravdess"].update(source="folder", path=str(tmp_path))
    default_config["models"]["wav2vec2-base"].update(source="folder", folder=str(tmp_path))
    assert str(tmp_path) not in str(planning.Plan(default_config).portable())


def test_the_papers_models_need_the_papers_data(default_config, demo_config):
    plan = planning.Plan(default_config)
    assert plan.paper_models("ravdess") == {
        "wav2vec2-base-960h": "wav2vec2-base-960h",
        "hubert-base-ls960": "hubert-base-ls960",
        "mert-v1-95m": "mert-v1-95m",
    }
    assert planning.Plan(demo_config).paper_models("demo") == {}
    default_config["corpora"]["ravdess"]["expect_full_release"] = False
    assert planning.Plan(default_config).paper_models("ravdess") == {}


def test_figures_name_things_in_the_order_of_the_configuration(default_config):
    order = planning.Plan(default_config).order()
    assert order["model"] == default_config["experiment"]["models"]
    assert order["approach"] == ["baseline", "baseline-long", "ws", "ws-long", "peft"]
    assert order["training"] == ["direct", "two-stage"]
    assert order["direction"] == ["speech-to-song", "song-to-speech"]


def test_the_size_of_a_model_comes_from_its_files_once_they_are_there(default_config, tmp_path):
    default_config["resources"] = str(tmp_path)
    plan = planning.Plan(default_config)
    assert plan.model_size("wav2vec2-base") == BASE
    folder = tmp_path / "models/wav2vec2-base@0b5b8e868dd8"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"hidden_size": 1024, "num_hidden_layers": 24}')
    assert plan.model_size("wav2vec2-base") == ModelSize(1024, 24)
    (folder / "config.json").write_text("no JSON")
    assert plan.model_size("wav2vec2-base") == BASE


def test_the_size_of_a_random_model_is_its_architecture(demo_config):
    plan = planning.Plan(demo_config)
    assert plan.model_size("tiny-mert") == ModelSize(32, 12)
    assert plan.model_size("tiny-whisper") == ModelSize(32, 12)


def test_another_file_under_the_same_name_is_another_version(default_config, tmp_path):
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"one")
    os.utime(weights, (1000, 1000))
    default_config["models"]["wav2vec2-base"].update(source="folder", folder=str(tmp_path))
    plan = planning.Plan(default_config)
    before = plan.model_versions("wav2vec2-base")
    weights.write_bytes(b"two")
    os.utime(weights, (500, 500))
    assert plan.model_versions("wav2vec2-base") != before
    assert plan.model_versions("mert-v1-95m") == []
