"""Tests of training inside the encoder: stages, interruptions, checkpoints, what is never seen."""

import adaptation_data as data
import numpy as np
import pytest
import torch
from encoder_models import random_spec

from consonance.adaptation import checkpoints, front_end, results, stages
from consonance.embeddings import read_means
from consonance.encoders import load_encoder
from consonance.errors import DamagedFileError, InputError
from consonance.extraction import extract_shard

PEFT = data.approach("peft")


class Interrupted(Exception):
    pass


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    return tmp_path_factory.mktemp("recordings")


@pytest.fixture(scope="module")
def finished(recordings, tmp_path_factory):
    """A trainer, the numbers of the clips that it saw with gradients, and its results."""
    trainer = data.trainer(tmp_path_factory.mktemp("whole"), recordings, PEFT, scheme="speaker")
    seen, batch = [], trainer.front_end.batch

    def spy(clips):
        seen.append((torch.is_grad_enabled(), [trainer.front_end.clips[c] for c in clips]))
        return batch(clips)

    trainer.front_end.batch = spy
    return trainer, seen, trainer.train(data.runs(PEFT))


def same(one, other):
    assert (one.curves == other.curves).all()
    assert one.best_epoch == other.best_epoch
    assert (one.predicted == other.predicted).all()
    assert set(one.tensors) == set(other.tensors)
    assert all((one.tensors[name] == other.tensors[name]).all() for name in one.tensors)


def test_stage_two_starts_from_every_tensor_of_stage_one(finished, recordings, tmp_path):
    _, _, (first, second) = finished
    assert second.run.start == first.run
    trainer = data.trainer(tmp_path, recordings, PEFT, scheme="speaker")
    starts = []
    epoch = trainer._epoch

    def spy(run, clips, number, optimiser, progress):
        if number == 1:
            # The optimiser is new: nothing is remembered of stage one.
            starts.append((trainer.model.tensors(), len(optimiser.state)))
        return epoch(run, clips, number, optimiser, progress)

    trainer._epoch = spy
    trainer.train(data.runs(PEFT))
    tensors, remembered = starts[1]
    assert remembered == 0
    assert set(tensors) == set(first.tensors) == set(trainer.model.trained)
    for name, values in tensors.items():
        assert (values == first.tensors[name]).all(), name
        assert (second.tensors[name] != values).any(), name


def test_test_clips_and_test_speakers_are_never_trained_on(finished):
    trainer, seen, found = finished
    trained = {clip for gradient, clips in seen if gradient for clip in clips}
    expected = set()
    for result in found:
        own = trainer.arranged[result.run.domain]
        clips = stages.clips_of(own, result.run)
        expected |= {own.clips[row] for row in clips.train}
        tested = {own.clips[row] for row in clips.test}
        speakers = {clip.split("-")[1] for clip in tested}
        assert not speakers & {clip.split("-")[1] for clip in trained}
    assert trained == expected


def test_test_clips_are_looked_at_once_after_training(finished):
    trainer, seen, found = finished
    for result in found:
        own = trainer.arranged[result.run.domain]
        test = {own.clips[row] for row in stages.clips_of(own, result.run).test}
        looked = [clip for _, clips in seen for clip in clips if clip in test]
        assert sorted(looked) == sorted(test)


def test_the_encoder_stays_as_it_was_and_in_evaluation_mode(finished):
    trainer, _, _ = finished
    assert not any(part.training for part in trainer.model.modules())
    fresh = load_encoder(random_spec("wav2vec2"), device="cpu").state_dict()
    kept = {
        name.replace(".base_layer", ""): values
        for name, values in trainer.model.encoder.state_dict().items()
        if "lora_" not in name
    }
    assert set(kept) == set(fresh)
    assert all(torch.equal(kept[name], fresh[name]) for name in fresh)


def test_saved_stages_reload_to_the_same_predictions(finished):
    trainer, _, found = finished
    for result in found:
        path = trainer.folder / f"{result.run.name}.safetensors"
        again = results.read(path, result.run, configuration=trainer.configuration)
        same(again, result)
        trainer.model.load(again.tensors)
        own = trainer.arranged[result.run.domain]
        test = stages.clips_of(own, result.run).test
        logits = trainer.predict(result.run.domain, test)
        assert (logits.argmax(1).numpy() == result.predicted).all()


@pytest.mark.parametrize(("stage", "epoch"), [(1, 2), (2, 1), (2, 3)])
def test_an_interrupted_run_goes_on_to_the_same_result(
    finished, recordings, tmp_path, stage, epoch
):
    trainer = data.trainer(tmp_path, recordings, PEFT, scheme="speaker")
    whole = trainer._epoch
    epochs = []

    def stop(run, clips, number, optimiser, progress):
        if (run.stage, number) == (stage, epoch):
            raise Interrupted
        return whole(run, clips, number, optimiser, progress)

    trainer._epoch = stop
    with pytest.raises(Interrupted):
        trainer.train(data.runs(PEFT))

    # Another process: a new encoder, a new optimiser, and another state of the generator.
    torch.manual_seed(123)
    trainer = data.trainer(tmp_path, recordings, PEFT, scheme="speaker")
    whole = trainer._epoch

    def count(run, clips, number, optimiser, progress):
        epochs.append((run.stage, number))
        return whole(run, clips, number, optimiser, progress)

    trainer._epoch = count
    for one, other in zip(trainer.train(data.runs(PEFT)), finished[2], strict=True):
        same(one, other)
    assert epochs[0] == (stage, epoch)
    assert not list(tmp_path.glob("*.partial*"))


def test_a_checkpoint_of_another_configuration_is_refused(recordings, tmp_path):
    made_under = {"approach": {"lora": {"rank": 2}}, "model": "a"}
    data.trainer(tmp_path, recordings, PEFT, configuration=made_under).train(data.runs(PEFT))
    changed = {"approach": {"lora": {"rank": 4}}, "model": "a"}
    trainer = data.trainer(tmp_path, recordings, PEFT, configuration=changed)
    with pytest.raises(InputError, match=r"another configuration \(different: approach.lora.rank"):
        trainer.train(data.runs(PEFT))


def test_a_loss_that_is_not_finite_leaves_nothing_half_written(recordings, tmp_path):
    wild = {"trains": ["lora", "adapter"], "learning_rate": 1e30, "fractions": [1.0]}
    chosen = data.approach("peft", approaches={"peft": wild})
    trainer = data.trainer(tmp_path / "progress", recordings, chosen)
    with pytest.raises(InputError, match="stage 1, seed 0: the loss is not finite in epoch"):
        trainer.train(data.runs(chosen))
    assert not list(tmp_path.rglob("*.safetensors"))


def test_the_groups_of_a_batch_change_rounding_only(recordings, tmp_path):
    found = [
        data.trainer(tmp_path / name, recordings, PEFT, batch_seconds=seconds).train(
            data.runs(PEFT)[:1]
        )[0]
        for name, seconds in (("alone", 0.0), ("together", 100.0))
    ]
    # Adam divides by the size of the gradient, which magnifies rounding where that is tiny.
    np.testing.assert_allclose(found[0].curves, found[1].curves, rtol=1e-3, atol=1e-4)


def test_groups_hold_every_clip_once_within_their_size(recordings, tmp_path):
    cache = data.trainer(tmp_path, recordings, PEFT).front_end
    clips = np.arange(len(cache.clips))[::-1]
    most = 3 * cache.rows.max()
    groups = cache.by_length(clips, most_rows=most)
    assert sorted(np.concatenate(groups)) == sorted(clips)
    assert all(len(group) * cache.rows[group].max() <= most for group in groups)
    assert len(groups) < len(clips)
    lengths = [cache.rows[clip] for group in groups for clip in group]
    assert lengths == sorted(lengths)


@pytest.mark.parametrize("family", ["wav2vec2", "whisper"])
def test_pooling_is_that_of_extraction_windows_included(recordings, tmp_path, family):
    table = data.manifest(speakers=2, repetitions=1)
    paths = data.write_clips(tmp_path, table)
    encoder = load_encoder(random_spec(family), device="cpu")
    window = 0.11  # seconds; some clips are longer, some are not
    rows = data.recordings_of(table, paths).assign(fold=0)
    extract_shard(
        rows, encoder, means_path=tmp_path / "means.npz", moments_path=tmp_path / "moments.npz",
        batch_seconds=0, window_seconds=window, long_clips="window", threads=1,
    )  # fmt: skip
    clips, means, _ = read_means(tmp_path / "means.npz")
    cache = front_end.compute(rows, encoder, window_seconds=window, batch_seconds=1)
    assert {len(own) for own in cache.pieces} == {1, 2}
    batch = cache.batch(range(len(clips)))
    with torch.no_grad():
        states = list(encoder.run_blocks(batch.hidden, batch.counts))
    for layer, state in enumerate([batch.hidden, *states]):
        found = torch.einsum("cpt,ptd->cd", batch.shares, state)
        # Means in float32 here and in float64 there, and other batches.
        np.testing.assert_allclose(found, means[:, layer], rtol=1e-3, atol=1e-5)


def exhausted(most, inner):
    """Wraps what takes a list first: more than `most` of them exhaust a GPU's memory."""
    sizes = []

    def limited(items, *others):
        sizes.append(len(items))
        if len(items) > most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return inner(items, *others)

    return limited, sizes


def test_training_goes_on_in_halves_where_memory_ends(finished, recordings, tmp_path, caplog):
    _, _, whole = finished
    trainer = data.trainer(tmp_path, recordings, PEFT, scheme="speaker", batch_seconds=5)
    trainer._logits, sizes = exhausted(2, trainer._logits)
    backward, failures = torch.Tensor.backward, iter([True])

    def fails_once(loss, *others):
        backward(loss, *others)
        if next(failures, False):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "backward", fails_once)
        found = trainer.train(data.runs(PEFT))
    assert max(sizes) > 2 and sizes[-1] == 1
    assert "The GPU's memory does not suffice; going on with batches of" in caplog.text
    for one, other in zip(found, whole, strict=True):
        # Other groups, so other rounding; three epochs of AdamW let it grow.
        np.testing.assert_allclose(one.curves, other.curves, rtol=1e-4)
        assert (one.predicted == other.predicted).all()


def test_a_clip_that_does_not_fit_alone_is_an_error(recordings, tmp_path):
    trainer = data.trainer(tmp_path, recordings, PEFT)
    trainer._logits, _ = exhausted(0, trainer._logits)
    with pytest.raises(InputError, match="do not fit into the GPU's memory with model 'wav2vec2'"):
        trainer.train(data.runs(PEFT))


def test_state_0_is_computed_in_halves_where_memory_ends(tmp_path, monkeypatch, caplog):
    rows = data.recordings_of(*written(tmp_path))
    encoder = load_encoder(random_spec("wav2vec2"), device="cpu")
    whole = front_end.compute(rows, encoder, window_seconds=30, batch_seconds=1)
    limited, sizes = exhausted(2, encoder.front_end)
    monkeypatch.setattr(encoder, "front_end", limited)
    halved = front_end.compute(rows, encoder, window_seconds=30, batch_seconds=1)
    assert max(sizes) > 2 and "memory does not suffice" in caplog.text
    assert halved.pieces == whole.pieces
    # Batches of another size round differently.
    torch.testing.assert_close(halved.flat, whole.flat, rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(encoder, "front_end", exhausted(0, encoder.front_end)[0])
    with pytest.raises(InputError, match="do not fit into the GPU's memory"):
        front_end.compute(rows, encoder, window_seconds=30, batch_seconds=1)


def written(folder):
    """Returns the manifest of a few clips, and where they are."""
    table = data.manifest(speakers=2, repetitions=1)
    return table, data.write_clips(folder, table)


def test_a_damaged_checkpoint_is_named(tmp_path):
    path = tmp_path / "a.safetensors"
    checkpoints.write(path, {"x": np.ones(3, np.float32)}, configuration={"a": 1}, epoch=2)
    tensors, facts = checkpoints.read(path, configuration={"a": 1})
    assert tensors["x"].tolist() == [1, 1, 1]
    assert facts == {"epoch": 2, "configuration": {"a": 1}}
    path.write_bytes(path.read_bytes()[:-6])
    with pytest.raises(InputError, match="no checkpoint of this workflow"):
        checkpoints.read(path)


def test_an_altered_checkpoint_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    checkpoints.write(path, {"x": np.ones(3, np.float32)}, configuration={"seed": 1})
    text = path.read_bytes()
    path.write_bytes(text.replace(rb"\"seed\":1".replace(b":", b": "), rb"\"seed\": 2"))
    assert path.read_bytes() != text
    with pytest.raises(InputError, match="its checksum does not fit"):
        checkpoints.read(path)


def test_what_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        checkpoints.write(
            tmp_path / "a.safetensors", {"x": np.ones(3)}, configuration={"a": float("nan")}
        )
    assert not list(tmp_path.iterdir())


def test_a_recording_of_another_rate_is_named(tmp_path):
    table = data.manifest(speakers=1, repetitions=1)
    paths = data.write_clips(tmp_path, table, rate=8000)
    encoder = load_encoder(random_spec("wav2vec2"), device="cpu")
    with pytest.raises(InputError, match="at 8000 Hz, but model"):
        rows = data.recordings_of(table, paths)
        front_end.compute(rows, encoder, window_seconds=30, batch_seconds=1)


def test_a_changed_byte_of_a_checkpoint_is_noticed(tmp_path):
    path = tmp_path / "a.safetensors"
    checkpoints.write(path, {"x": np.ones(300, np.float32)}, configuration={"a": 1}, epoch=2)
    whole = path.read_bytes()
    for place in (len(whole) - 7, whole.index(b"epoch") + 9, 3):
        content = bytearray(whole)
        content[place] ^= 1
        path.write_bytes(content)
        with pytest.raises(DamagedFileError, match=r"a\.safetensors is damaged"):
            checkpoints.read(path)


@pytest.mark.parametrize("stage", [1, 2])
def test_damaged_progress_is_trained_anew_to_the_same_result(
    finished, recordings, tmp_path, caplog, stage
):
    trainer = data.trainer(tmp_path, recordings, PEFT, scheme="speaker")
    whole, runs = trainer._epoch, data.runs(PEFT)

    def stop(run, clips, number, optimiser, progress):
        if (run.stage, number) == (stage, 2):
            raise Interrupted
        return whole(run, clips, number, optimiser, progress)

    trainer._epoch = stop
    with pytest.raises(Interrupted):
        trainer.train(runs)
    damaged = sorted(tmp_path.glob("*.safetensors"))
    assert len(damaged) == stage  # one unfinished run, and in stage two the finished stage one
    for path in damaged:
        content = bytearray(path.read_bytes())
        content[-5] ^= 1
        path.write_bytes(content)
    trainer = data.trainer(tmp_path, recordings, PEFT, scheme="speaker")
    with caplog.at_level("WARNING"):
        found = trainer.train(runs)
    for one, other in zip(found, finished[2], strict=True):
        same(one, other)
    said = [line for line in caplog.messages if "It was deleted, and what it held is" in line]
    assert len(said) == stage
