import pytest

from consonance import configuration
from consonance.errors import InputError


@pytest.fixture
def schema(project):
    return project / "workflow/schemas/config.schema.yaml"


def problems(config, schema):
    with pytest.raises(InputError) as caught:
        configuration.check(config, schema)
    return caught.value.problems


def test_the_default_and_the_demonstration_are_valid(default_config, demo_config, schema):
    configuration.check(default_config, schema)
    configuration.check(demo_config, schema)


def test_a_misspelt_key_is_named_with_the_likely_one(default_config, schema):
    default_config["probes"]["lerning_rate"] = 1
    assert problems(default_config, schema) == [
        "The configuration has an unknown key `lerning_rate` in probes; did you mean "
        "`learning_rate`?"
    ]


def test_all_problems_are_named_at_once(default_config, schema):
    default_config["probes"]["epochs"] = 0
    del default_config["fad"]["levels"]
    default_config["figures"]["formats"] = ["gif"]
    found = problems(default_config, schema)
    assert len(found) == 3
    assert any("fad" in line and "`levels`" in line for line in found)
    assert any("probes.epochs" in line and "minimum" in line for line in found)
    assert any("figures.formats.0" in line and "gif" in line for line in found)


def test_a_name_that_is_not_defined(default_config, schema):
    default_config["experiment"]["models"] = ["hubert-base-ls96", "nonsense"]
    default_config["experiment"]["corpora"] = ["iemocap"]
    assert problems(default_config, schema) == [
        "experiment.corpora names `iemocap`, which is not under `corpora`; define it under "
        "`corpora`.",
        "experiment.models names `hubert-base-ls96`, which is not under `models`; did you mean "
        "`hubert-base-ls960`?",
        "experiment.models names `nonsense`, which is not under `models`; define it under "
        "`models`.",
    ]


def test_a_branch_is_not_a_revision(default_config, schema):
    default_config["models"]["wav2vec2-base"]["revision"] = "main"
    (line,) = problems(default_config, schema)
    assert "models.wav2vec2-base.revision" in line


@pytest.mark.parametrize(
    ("source", "keys"), [("folder", ["folder"]), ("random", ["architecture", "seed", "normalise"])]
)
def test_a_source_needs_its_keys(default_config, schema, source, keys):
    default_config["models"]["wav2vec2-base"]["source"] = source
    found = problems(default_config, schema)
    assert [line.split("`")[3] for line in found] == keys


def test_a_folder_that_does_not_exist(default_config, schema, tmp_path):
    missing = str(tmp_path / "nowhere")
    default_config["corpora"]["ravdess"].update(source="folder", path=missing)
    (line,) = problems(default_config, schema)
    assert "corpora.ravdess.path" in line
    assert missing in line


def test_a_table_must_lie_in_a_folder(default_config, schema):
    default_config["corpora"]["ravdess"]["adapter"] = "table"
    (line,) = problems(default_config, schema)
    assert "adapter `table`" in line


def test_fractions_must_sum_to_one(default_config, schema):
    default_config["splits"]["fractions"]["train"] = 0.7
    assert problems(default_config, schema) == ["splits.fractions must sum to 1, but sum to 1.1."]


def test_checksums_must_be_of_listed_files(default_config, schema):
    default_config["models"]["wav2vec2-base"]["files"] = ["config.json", "model.safetensors"]
    (line,) = problems(default_config, schema)
    assert "pytorch_model.bin" in line


def test_an_approach_that_cannot_be(default_config, schema):
    adaptation = default_config["adaptation"]
    adaptation["run"] = ["baseline", "peft", "pefft"]
    assert problems(default_config, schema) == [
        "adaptation.run names the approach `pefft`, which is not under adaptation.approaches; "
        "did you mean `peft`?"
    ]
    adaptation["run"] = ["baseline", "peft"]
    adaptation["approaches"]["peft"] |= {"seeds": [0, 7], "models": ["mert"]}
    assert problems(default_config, schema) == [
        "adaptation.approaches.peft.models names mert, which is not among the keys of models; "
        "known are wav2vec2-base-960h, hubert-base-ls960, mert-v1-95m, wav2vec2-base.",
        "adaptation.approaches.peft.seeds names 7, which is not among splits.seeds; known are "
        "0, 1, 2, 3, 4.",
    ]


def test_modules_that_a_model_lacks_are_named_before_anything_runs(default_config, schema):
    default_config["experiment"]["models"] = ["wav2vec2-base", "hubert-base-ls960"]
    peft = default_config["adaptation"]["approaches"]["peft"]
    peft["lora"] = {"modules": ["q_projj", "attention.v_proj"]}
    peft["models"] = ["wav2vec2-base"]
    assert problems(default_config, schema) == [
        "adaptation.lora.modules of approach peft names q_projj, which matches no linear layer of "
        "model wav2vec2-base; its blocks have q_proj, k_proj, v_proj, out_proj, "
        "intermediate_dense, output_dense."
    ]


def test_sizes_of_an_approach_that_cannot_be(default_config, schema):
    adaptation = default_config["adaptation"]
    adaptation["lora"]["rank"] = 0
    adaptation["approaches"]["peft"]["adapter"] = {"width": 0}
    adaptation["fractions"] = [0.5]
    found = problems(default_config, schema)
    assert len(found) == 3
    for key in ("adaptation.lora.rank", "adaptation.approaches.peft.adapter.width", "fractions"):
        assert any(key in line for line in found), key
