"""The workflow as Snakemake runs it: to the end, and again after each kind of change."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from workspace import change, copy_project, digests, snakemake

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]


def planned(folder: Path) -> set[str]:
    """Returns the rules that a run would run."""
    said = snakemake(folder, "--dry-run")
    return set(re.findall(r"^(?:local)?rule (\w+):", said, flags=re.MULTILINE)) - {"all"}


@pytest.fixture(scope="module")
def finished(project, tmp_path_factory) -> Path:
    """A copy of the project in which the small demonstration has run."""
    folder = tmp_path_factory.mktemp("project")
    copy_project(project, folder)
    snakemake(folder)
    return folder


@pytest.fixture
def workspace(finished):
    """The finished run; what a test changes in it is put back."""
    sources = [finished / "changes.yaml", *finished.glob("workflow/scripts/**/*.py")]
    before = {path: path.read_bytes() for path in sources if path.exists()}
    yield finished
    for path in sources:
        if path not in before:
            path.unlink(missing_ok=True)
        elif path.read_bytes() != before[path]:
            path.write_bytes(before[path])


def edit(folder: Path, module: str, old: str, new: str) -> None:
    path = folder / "workflow/scripts/consonance" / module
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{module} no longer contains {old!r}: choose another edit"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


ADAPTATION_PLOTS = {
    "plot_adaptation_results",
    "plot_adaptation_layers",
    "plot_learning_curves",
    "plot_limited_data",
}
PLOTS = {
    "plot_accuracy_by_layer",
    "plot_accuracy_by_emotion",
    "plot_fad_by_layer",
    "plot_fad_matrix",
    "plot_comparisons",
    "plot_emotion_spread",
    "plot_similarity_by_layer",
    "plot_acoustic_differences",
    "plot_acoustic_correlates",
    *ADAPTATION_PLOTS,
}
# What says something about the run as a whole follows whatever is made anew.
PAGES = {"list_run_times"}
# Pages that cite the configuration.
CITING = {"write_configuration", "write_summary", "write_methods", "list_licences"}
# What is made from the probes.
FROM_PROBES = {
    "train_probes",
    "summarise_probes",
    "estimate_intervals",
    "compare_probes",
    "measure_emotion_bias",
    "check_claims",
    "plot_accuracy_by_layer",
    "plot_accuracy_by_emotion",
    "plot_comparisons",
    "plot_emotion_spread",
    "render_table",
    "write_summary",
}


def test_everything_is_there_and_nothing_is_left_to_do(workspace):
    assert planned(workspace) == set()
    figures = {path.name for path in (workspace / "results/demo/figures").iterdir()}
    assert "accuracy_by_layer.accuracy.png" in figures
    assert "fad_matrix.tiny-mert.frames.png" in figures
    partial = [path for path in workspace.rglob("*.partial")]
    assert partial == []


def test_touched_files_and_comments_rerun_nothing(workspace):
    for path in workspace.rglob("*"):
        inside = path.relative_to(workspace).parts[0]
        if path.is_file() and inside in {"workflow", "rules", "config.yaml", "Snakefile"}:
            path.touch()
    for path in (workspace / "results/demo").glob("*.csv"):
        path.touch()
    edit(workspace, "probes.py", "\nimport ", "\n# A comment.\nimport ")
    assert planned(workspace) == set()


def test_a_figure_setting_reruns_the_figures(workspace):
    change(workspace, {"figures": {"dpi": 61}})
    # The configuration is written into the report, so pages that cite it follow.
    assert planned(workspace) - CITING == PLOTS | PAGES


def test_a_changed_plot_module_reruns_the_figures(workspace):
    module = workspace / "workflow/scripts/consonance/plots/__init__.py"
    module.write_text(module.read_text() + "\nCHANGED = True\n")
    assert planned(workspace) == PLOTS | PAGES


def test_a_changed_probe_reruns_the_probes_and_what_follows(workspace):
    module = workspace / "workflow/scripts/consonance/probes.py"
    module.write_text(module.read_text() + "\nCHANGED = True\n")
    assert planned(workspace) == FROM_PROBES | PAGES


def test_another_size_of_one_approach_leaves_the_others_alone(workspace):
    change(workspace, {"adaptation": {"lora": {"rank": 3}}})
    follows = {"train_adaptation_peft", "summarise_adaptation", "check_claims", "render_table"}
    assert planned(workspace) == follows | ADAPTATION_PLOTS | CITING | PAGES


def test_another_choice_of_models_for_an_approach_trains_only_the_new_ones(workspace):
    both = {"peft": {"models": ["tiny-wav2vec2", "tiny-mert"]}}
    change(workspace, {"adaptation": {"approaches": both}})
    said = snakemake(workspace, "--dry-run")
    trained = re.findall(r"rule train_adaptation_(\w+):.*?model=([\w-]+)", said, flags=re.DOTALL)
    assert set(trained) == {("peft", "tiny-mert")}


def test_another_seed_of_one_model_reruns_only_what_depends_on_it(workspace):
    change(workspace, {"models": {"tiny-mert": {"seed": 99}}})
    said = snakemake(workspace, "--dry-run")
    assert "tiny-mert" in said
    heavy = re.findall(
        r"rule (extract|train_probes|measure_fad|describe_model):.*?wildcards: (.*?)\n",
        said,
        flags=re.DOTALL,
    )
    assert {name for name, _ in heavy} == {
        "extract",
        "train_probes",
        "measure_fad",
        "describe_model",
    }
    assert all("model=tiny-mert" in wildcards for _, wildcards in heavy)
    assert "scan_corpus" not in planned(workspace)
    assert "resample" not in planned(workspace)


def test_the_report_is_one_file_with_every_result(workspace):
    snakemake(workspace, "--report", "report.html")
    page = (workspace / "report.html").read_text(encoding="utf-8")
    assert "accuracy_by_layer.accuracy.png" in page
    assert "Summary of this run" in page
    assert "Synthetic recordings and random weights: not a finding" in page


def test_results_repeat_to_the_byte(workspace):
    before = digests(workspace)
    assert len(before) > 50
    snakemake(workspace, "--forceall")
    assert digests(workspace) == before


def test_every_rule_has_what_every_rule_needs(project):
    """Each script rule carries its own script's fingerprint, a log, a benchmark, an environment."""
    rules = 0
    for path in sorted((project / "rules").glob("*.smk")):
        for block in re.split(r"^rule ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            name = block.split(":", 1)[0]
            rules += 1
            (script,) = re.findall(r'script:\s+"\.\./workflow/scripts/(\w+\.py)"', block)
            assert f'code=code("{script}")' in block, name
            for key in ("log:", "benchmark:", "conda:", "threads:", "mem_mb=", "runtime="):
                assert key in block, f"rule {name} lacks {key}"
            assert (project / "workflow/scripts" / script).is_file(), script
            (environment,) = re.findall(r'"\.\./envs/(\w+\.yaml)"', block)
            assert (project / "envs" / environment).is_file(), environment
    scripts = {path.name for path in (project / "workflow/scripts").glob("*.py")}
    assert rules == len(scripts)


def test_the_papers_experiment_is_planned_without_its_data(project, tmp_path):
    """The default configuration plans under 250 jobs although nothing has been downloaded."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--dry-run", "--snakefile"]
    command += [str(project / "Snakefile"), "--directory", str(tmp_path)]
    shutil.copy(project / "config.yaml", tmp_path)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (total,) = re.findall(r"^total\s+(\d+)", done.stdout + done.stderr, flags=re.MULTILINE)[-1:]
    assert 30 < int(total) < 250


def test_a_wrong_configuration_stops_before_anything(project, tmp_path):
    (tmp_path / "mine.yaml").write_text("probes: {epoch: 3}\nextraction: {precision: int8}\n")
    shutil.copy(project / "config.yaml", tmp_path)
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--dry-run", "--snakefile"]
    command += [str(project / "Snakefile"), "--directory", str(tmp_path), "--configfile"]
    done = subprocess.run(
        [*command, str(tmp_path / "mine.yaml")], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "2 problems" in said
    assert "did you mean `epochs`?" in said
    assert "extraction.precision" in said
