import numpy as np
import pytest
import torch
from transformers import Wav2Vec2Config, Wav2Vec2Model

from consonance import encoders, files, models
from consonance.errors import InputError

TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": [8] * 7,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}


@pytest.fixture
def spec():
    return encoders.ModelSpec(
        name="tiny",
        family="wav2vec2",
        source="random",
        sampling_rate=16000,
        normalise=True,
        architecture=TINY,
        seed=0,
    )


def test_a_record_is_enough_to_load_the_same_model(spec):
    record = models.describe(spec)
    assert (record["states"], record["dim"], record["frames_per_second"]) == (3, 16, 50.0)
    wave = np.sin(np.arange(4000) / 9).astype(np.float32)
    one = encoders.load_encoder(spec, device="cpu")
    two = models.load(record, device="cpu", precision="float32")
    states = [encoder.states([encoder.prepare(wave)])[0][-1] for encoder in (one, two)]
    assert torch.equal(*states)


def test_a_swapped_file_is_noticed(spec, tmp_path):
    record = models.describe(spec)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"other")
    record["spec"].update(source="folder", folder=str(tmp_path), architecture={})
    record["sha256"] = {"model.safetensors": "0" * 64}
    with pytest.raises(InputError, match=r"model\.safetensors in .* changed since"):
        models.load(record, device="cpu", precision="float32")


def test_a_folder_may_be_text(tmp_path):
    entry = {
        "name": "mine",
        "family": "whisper",
        "source": "folder",
        "sampling_rate": 16000,
        "normalise": None,
        "folder": str(tmp_path),
    }
    with pytest.raises(InputError, match=r"config\.json"):
        models.describe(models.specify(entry))


def test_a_gpu_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert models.choose_device("auto") == "cpu"
    assert models.choose_device("cpu") == "cpu"
    with pytest.raises(InputError, match=r"compute\.device is `cuda`"):
        models.choose_device("cuda")


def test_a_gpu_is_taken_when_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert models.choose_device("auto") == "cuda"
    assert models.choose_device("cpu") == "cpu"


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
def test_a_swapped_setting_is_noticed_too(tmp_path, name):
    Wav2Vec2Model(Wav2Vec2Config(**TINY)).save_pretrained(tmp_path)
    files.write_json(
        {"sampling_rate": 16000, "do_normalize": True}, tmp_path / "preprocessor_config.json"
    )
    record = models.describe(
        encoders.ModelSpec(
            name="mine", family="wav2vec2", source="folder", sampling_rate=16000, folder=tmp_path
        )
    )
    models.load(record, device="cpu", precision="float32")
    (tmp_path / name).write_text((tmp_path / name).read_text() + "\n")
    with pytest.raises(InputError, match=f"{name} in .* changed since.*--forcerun describe_model"):
        models.load(record, device="cpu", precision="float32")


def test_the_estimate_of_a_job_without_a_gpu():
    job = {"audio_seconds": 7200.0, "parameters": 94_400_000, "audio_per_second": 12.0}
    said = models.cpu_notice("auto", "cpu", **job)
    assert "There is no GPU" in said and "about 11 min for 120 min of audio" in said
    assert models.cpu_notice("cpu", "cpu", **job) == ""
    assert models.cpu_notice("auto", "cuda", **job) == ""
