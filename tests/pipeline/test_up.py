"""`lavra up` as a whole on a little text: its artifacts, their reuse, Ctrl-C, and the report."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers

import lavra
from lavra.base.errors import ConfigError
from lavra.base.introduction import read_introduction
from lavra.base.workspace import Workspace
from lavra.cli import serve, up
from lavra.model.config import Kind
from lavra.pipeline.plan import Plan, TextSize, choose_shape
from lavra.pipeline.results import RESULT_FILE
from lavra.pipeline.settings import SHARES, UpConfig, shares
from lavra.pipeline.stage import SECTION_FILE
from lavra.pipeline.stages import planning
from lavra.pipeline.stages.planning import draft, read_at_most
from lavra.pipeline.up import run_up, up_stages
from lavra.rag.index.open import open_index
from lavra.text.corpus import Corpus
from lavra.train.config import Parallel
from tests.compression.quality import read_quality
from tests.pipeline.taught import fix_steps

NUM_FILES = 40
SHORT = 5.0  # of the run that several tests look at: enough to beat a guess


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some modules of the standard library: a little real code."""
    folder = tmp_path_factory.mktemp("text")
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:NUM_FILES]:
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def settings(text: Path, **changes) -> UpConfig:
    given = {"text": text, "budget": 10.0, "vocab_size": 512, "sequence_length": 64, "compile": "off", "num_samples": 2}
    return UpConfig(**{**given, **changes})


def silent(step: str, done: float, total: float | None = None, note: str = "") -> None:
    """A progress that shows nothing."""


@pytest.fixture(scope="module")
def made(text: Path, tmp_path_factory: pytest.TempPathFactory):
    workspace = Workspace.open(tmp_path_factory.mktemp("up") / "workspace")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lavra.pipeline.settings._LEAST_BUDGET", SHORT)
        patch.setattr("lavra.compression.folder._WRITTEN", 4)
        fix_steps(patch, 4)  # a stage without time is tried again, and would not be reused
        yield workspace, run_up(settings(text, heldout_fraction=0.2, budget=SHORT), workspace, silent)


def test_the_taught_adapter_is_served_beside_the_model(made, monkeypatch: pytest.MonkeyPatch):
    _, result = made
    adapt = next(stage for stage in result.stages if stage.stage == "adapt")
    assert result.adapter == (None if "skipped" in adapt.card.metrics else adapt.folder)
    served = []
    monkeypatch.setattr(
        serve, "serve_folders", lambda models, settings: served.append((models, settings.adapter, settings.index))
    )
    up._serve(replace(result, adapter=adapt.folder))
    up._serve(replace(result, adapter=None, index=None))
    up._serve(replace(result, adapter=adapt.folder), "mine")
    index = (f"documents={result.index}",)
    assert served == [
        ([str(result.model)], (str(adapt.folder),), index),
        ([str(result.model)], (), ()),
        ([f"mine={result.model}"], (f"mine-taught={adapt.folder}",), index),
    ]


def test_its_models_say_what_they_are_good_for_and_how_to_begin(made):
    _, result = made
    corpus = Corpus.open(next(stage.folder for stage in result.stages if stage.stage == "corpus"))
    heldout = [one.text for one in corpus.documents("heldout")]
    told = read_introduction(result.model)
    assert told.good_for == result.verdict
    assert 1 <= len(told.beginnings) <= 3
    assert all(any(words in text for text in heldout) for words in told.beginnings)
    if result.adapter is not None:
        assert "held-out questions cost" in read_introduction(result.adapter).good_for
        assert read_introduction(result.adapter).beginnings


def test_its_documents_can_be_asked(made, text: Path):
    _, result = made
    with open_index(result.index) as index:
        assert index.report().documents == NUM_FILES
        assert index.sources().keys() == {text.name}
    assert "Questions answered from the documents" in result.report.read_text(encoding="utf-8")


def test_it_ends_with_a_command_that_has_words_of_held_out_text(made, text: Path, capsys: pytest.CaptureFixture[str]):
    _, result = made
    corpus = Corpus.open(next(stage.folder for stage in result.stages if stage.stage == "corpus"))
    assert 8 <= len(result.beginning) <= 40
    assert any(result.beginning in one.text for one in corpus.documents("heldout"))
    for family, wanted in (
        ("llama", ["lavra", "generate", str(result.model), result.beginning]),
        ("bert", ["lavra", "serve", str(result.model)]),
    ):
        up._show(result, settings(text, family=family), None)
        *_, ask, last = capsys.readouterr().out.splitlines()
        assert shlex.split(last.removeprefix("next")) == wanted
        assert shlex.split(ask)[1:3] + shlex.split(ask)[4:] == ["lavra", "ask", "--index", str(result.index)]


def test_the_model_is_one_transformers_opens_with_equal_logits(made):
    _, result = made
    ours = lavra.load(result.model)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(result.model)
    tokenizer = transformers.AutoTokenizer.from_pretrained(result.model)
    ids = tokenizer("import os\n\ndef walk(top):\n", return_tensors="pt").input_ids
    with torch.no_grad():
        logits = theirs(ids).logits[0].log_softmax(-1)
    wanted = logits[:-1].gather(-1, ids[0, 1:, None])[:, 0]
    scored = ours.score(tuple(ids[0].tolist())).logprobs
    assert torch.allclose(torch.tensor(scored[-len(wanted) :]), wanted, atol=2e-4)


def test_training_taught_it_something(made):
    _, result = made
    metrics = next(stage.card.metrics for stage in result.stages if stage.stage == "evaluate")
    # A uniform guess over 512 tokens of some two bytes costs over 4 bits a byte.
    assert metrics["bits_per_byte"] < 4.0
    assert set(metrics["ratios"]) == set(metrics["baselines"])
    assert len(metrics["baselines"]) == 5


def test_a_second_run_reuses_everything(made, text: Path):
    workspace, first = made
    again = run_up(settings(text, heldout_fraction=0.2, budget=SHORT), workspace, silent)
    assert all(stage.reused for stage in again.stages)
    assert again.model == first.model
    assert [stage.result for stage in again.stages] == [stage.result for stage in first.stages]
    assert [stage.section for stage in again.stages] == [stage.section for stage in first.stages]


def test_a_workspace_older_than_result_files_is_reused_in_full(made, text: Path, tmp_path: Path):
    """As the stages wrote it when they rendered their own sections: a section in each artifact, and no result."""
    workspace, first = made
    shutil.copytree(workspace.path, tmp_path / "w")
    for stage in first.stages:
        folder = tmp_path / "w" / stage.folder.relative_to(workspace.path)
        (folder / RESULT_FILE).unlink(missing_ok=True)
        if stage.section is not None:
            replace(stage.section, title=f"{stage.stage}, as it was written").save(folder / SECTION_FILE)
    again = run_up(settings(text, heldout_fraction=0.2, budget=SHORT), Workspace.open(tmp_path / "w"), silent)
    assert all(stage.reused for stage in again.stages)
    assert [stage.card.id for stage in again.stages] == [stage.card.id for stage in first.stages]
    assert (again.verdict, again.adapter is None) == (first.verdict, first.adapter is None)
    page = again.report.read_text(encoding="utf-8")
    assert all(f"{stage.stage}, as it was written" in page for stage in first.stages if stage.section is not None)
    bits = next(stage.card.metrics for stage in first.stages if stage.stage == "evaluate")["bits_per_byte"]
    assert f"{bits:.3f}" in page


def test_the_report_names_the_winner(made):
    _, result = made
    page = result.report.read_text(encoding="utf-8")
    metrics = next(stage.card.metrics for stage in result.stages if stage.stage == "evaluate")
    assert f"{metrics['bits_per_byte']:.3f}" in page
    for name, ratio in metrics["ratios"].items():
        assert name in page
        assert (f"{name}" in result.verdict.split("better than")[-1].split(";")[0]) == (ratio < 1)


def test_the_model_comes_in_eight_bits_too_with_its_card(made):
    _, result = made
    folder = next(stage.folder for stage in result.stages if stage.stage == "compress")
    card = read_quality(folder)
    assert card.matrix_ratio < 0.27
    assert f"{card.comparison.bits:.4f}" in result.report.read_text(encoding="utf-8")
    text = "import os\n\ndef walk(top):\n    return os.listdir(top)\n"
    before, after = lavra.load(result.model).score(text).logprobs, lavra.load(folder).score(text).logprobs
    changes = [abs(a - b) for a, b in zip(before, after, strict=True) if a is not None]
    assert 0 < sum(changes) / len(changes) < 0.1


def test_the_plan_is_fixed_before_training(made):
    _, result = made
    plan = Plan.load(next(stage.folder for stage in result.stages if stage.stage == "plan"))
    model = next(stage.card.metrics for stage in result.stages if stage.stage == "pretrain")
    assert model["steps"] == plan.train.num_steps
    assert plan.hidden_size % 64 == 0
    assert plan.seconds == pytest.approx(SHORT * SHARES["pretrain"])


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("answers", [True, False])
@pytest.mark.parametrize("vectors", [True, False])
def test_shares_add_up_to_the_whole_budget_for_any_choice_of_stages(
    kind: Kind, answers: bool, vectors: bool, text: Path
):
    given = shares(kind, teaches_answers=answers, teaches_vectors=vectors)
    assert sum(given.values()) == pytest.approx(1.0)
    assert all(share > 0 for share in given.values())
    names = {stage.name for stage in up_stages(settings(text), silent)}
    assert set(given) <= names  # no share of a stage that does not exist
    assert ("adapt" in given) == (answers and kind is not Kind.ENCODER)
    assert ("encoder" in given) == vectors
    if not answers and not vectors:
        assert given["pretrain"] == pytest.approx(1.0 - SHARES["compress"] - SHARES["benchmarks"])


def test_bad_settings_are_refused(text: Path):
    with pytest.raises(ConfigError, match="did you mean 'llama'"):
        UpConfig(family="lama")
    with pytest.raises(ConfigError, match="budget is 1s"):
        UpConfig(budget=1.0)
    with pytest.raises(ConfigError, match="multiple of 64"):
        UpConfig(sequence_length=100)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"family": "bert", "fim_rate": 0.5}, "fill-in-the-middle is for decoders"),
        ({"whole_words": True}, "only masked-token models"),
        ({"mask_share": 0.3}, "only masked-token models"),
        ({"family": "bert", "mask_share": 1.5}, "mask_share is 1.5; it must lie between 0 and 1"),
    ],
)
def test_noise_a_family_does_not_know_is_refused(text: Path, tmp_path: Path, changes, message):
    with pytest.raises(ConfigError, match=message):
        run_up(settings(text, **changes), Workspace.open(tmp_path / "w"), silent)


def test_step_tokens_are_whole_rows_or_refused():
    with pytest.raises(ConfigError, match=r"step_tokens is 100, not a multiple of 128 .* give 128"):
        draft(UpConfig(step_tokens=100, sequence_length=64, accumulation=2), 10.0, torch.device("cpu"))
    plan = draft(UpConfig(step_tokens=768, sequence_length=64, accumulation=2), 10.0, torch.device("cpu"), 3)
    assert plan.batch_size * plan.train.accumulation * 3 * 64 == 768


@pytest.mark.slow
def test_a_plan_is_of_its_familys_kind(monkeypatch):
    monkeypatch.setattr(planning, "matrix_peak", lambda dtype, device: 180e9)
    device, minutes = torch.device("cpu"), 480.0
    llama, bert, t5 = (draft(UpConfig(family=family), minutes, device) for family in ("llama", "bert", "t5"))
    shapes = [(plan.hidden_size, plan.num_layers, plan.num_heads) for plan in (llama, bert, t5)]
    assert shapes == [(128, 3, 2), (64, 4, 2), (64, 2, 2)]  # only hidden tokens teach; T5 has two stacks
    assert bert.train.optimizer.learning_rate > llama.train.optimizer.learning_rate
    assert bert.train.optimizer.embedding_learning_rate < bert.train.optimizer.learning_rate
    given = draft(UpConfig(family="bert", learning_rate=0.002), minutes, device)
    assert given.train.optimizer.learning_rate == 0.002
    assert given.train.optimizer.embedding_learning_rate is None


def test_a_run_that_compiling_would_eat_is_not_compiled() -> None:
    cpu, small = torch.device("cpu"), {"sequence_length": 64, "hidden_size": 64, "num_layers": 1}
    chosen = {seconds: draft(UpConfig(**small), seconds, cpu).train.compile for seconds in (24.0, 119.0, 120.0, 192.0)}
    assert chosen == {24.0: "off", 119.0: "off", 120.0: "auto", 192.0: "auto"}
    assert draft(UpConfig(**small, compile="on"), 24.0, cpu).train.compile == "on"
    assert draft(UpConfig(**small, compile="off"), 192.0, cpu).train.compile == "off"


def test_little_text_is_read_eight_times_at_most_by_a_larger_model():
    """4 minutes of a machine of 180 GFLOP/s and 265,000 tokens: more time enlarges the model up to a limit."""
    text, much = TextSize(265_000, 4096), TextSize(50_000_000, 4096)
    operations = 180e9 * 0.6 * 204
    assert choose_shape(operations, much) == choose_shape(operations)
    larger = choose_shape(operations, text)
    assert (larger.hidden_size, larger.num_layers) == (128, 4)
    assert choose_shape(operations * 1000, text) == choose_shape(operations * 100, text)  # 8 parameters a token

    plan = draft(UpConfig(compile="off"), 204.0, torch.device("cpu"), 1, text)
    step = plan.batch_size * plan.sequence_length
    planned = replace(plan, seconds_per_step=0.1, train=replace(plan.train, num_steps=20 * 265_000 // step))
    ended, said = read_at_most(planned, Kind.DECODER, 265_000, 1)
    assert 8 * 265_000 <= ended.train.num_steps * step < 8 * 265_000 + step
    assert "which makes a model worse" in said[0]
    assert "stay unused" in said[0]
    assert read_at_most(planned, Kind.DECODER, 265_000 * 3, 1) == (planned, ())
    assert read_at_most(planned, Kind.ENCODER, 265_000, 1)[0] == planned


def test_an_encoder_hides_more_in_training_by_default():
    assert UpConfig(family="bert").noise.mask_share == 0.4
    assert UpConfig(family="bert", mask_share=0.15).noise.mask_share == 0.15
    assert UpConfig().noise.mask_share is None


@pytest.mark.slow
@pytest.mark.parametrize("family", ["bert", "t5", "gpt2", "falcon"])
def test_other_families_end_to_end(family: str, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lavra.pipeline.settings._LEAST_BUDGET", SHORT)
    # T5's tokenizer carries bytes, sentinels and an alphabet: 512 entries would leave it nothing to learn.
    config = settings(text, family=family, vocab_size=1024, heldout_fraction=0.2, budget=SHORT)
    result = run_up(config, Workspace.open(tmp_path / "w"), silent)
    assert transformers.AutoModel.from_pretrained(result.model).config.model_type == family
    assert result.verdict in result.report.read_text(encoding="utf-8").replace("&#39;", "'")


def interrupted_in_training(command, workspace: Path) -> tuple[str, int]:
    """Run, and send SIGINT after a few steps; returns the output and the status."""
    running = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 240
    while sum(path.read_text().count("\n") for path in (workspace / "runs").glob("pretrain-*/metrics.jsonl")) < 5:
        assert running.poll() is None, running.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=120)
    return errors, running.returncode


@pytest.mark.slow
def test_interrupted_training_goes_on(text: Path, tmp_path: Path):
    """SIGINT in the middle of training saves the step; the next run resumes from that step."""
    workspace = tmp_path / "w"
    command = [sys.executable, "-m", "lavra", "up", "--text", str(text), "--workspace", str(workspace), "--json"]
    command += ["--budget", "30s", "--vocab-size", "512", "--sequence-length", "64", "--compile", "off"]
    errors, status = interrupted_in_training(command, workspace)
    assert status == 130
    found = re.search(r"interrupted: step (\d+) of \d+ is saved in .*checkpoints; run the same command again", errors)
    assert found, errors
    saved = int(found[1])
    kept = sorted((workspace / "runs").glob("pretrain-*/checkpoints/step-*"))
    assert kept[-1].name == f"step-{saved:08d}"
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ})
    stages = json.loads(done.stdout)["stages"]
    assert stages["tokenizer"]["reused"]
    assert not stages["pretrain"]["reused"]
    rows = next((workspace / "runs").glob("pretrain-*/metrics.jsonl")).open()
    steps = [row["step"] for row in map(json.loads, rows) if "loss" in row]
    assert steps == list(range(stages["pretrain"]["metrics"]["steps"]))  # each step was done once


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_processes_make_one_model(text: Path, tmp_path: Path, parallel: str):
    """torchrun starts two; one writes the workspace and the result, and a second run finds everything there."""
    workspace = tmp_path / "w"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "lavra"]
    command += ["pretrain", "--parallel", parallel, "--text", str(text), "--workspace", str(workspace), "--json"]
    command += ["--budget", "10s", "--vocab-size", "512", "--sequence-length", "64", "--compile", "off"]
    command += ["--heldout-fraction", "0.2", "--tensorboard", str(tmp_path / "board")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    first = json.loads(done.stdout)
    plan = Plan.load(next((workspace / "runs").glob("plan-*")))
    assert plan.train.parallel is Parallel(parallel)
    assert first["stages"]["pretrain"]["metrics"]["steps"] == plan.train.num_steps
    # The evaluation of sharded weights equals that of the saved model.
    assert transformers.AutoModelForCausalLM.from_pretrained(first["model"]).num_parameters() == plan.num_parameters
    assert first["stages"]["evaluate"]["metrics"]["bits_per_byte"] < 4.5
    assert list((tmp_path / "board").iterdir())
    again = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    # A stage that had no time (two processes share one machine) is tried again, and may have time now.
    made = [name for name, stage in first["stages"].items() if "skipped" not in stage["metrics"]]
    assert {"corpus", "tokens", "pretrain", "evaluate"} <= set(made)
    reused = [name for name, stage in json.loads(again.stdout)["stages"].items() if stage["reused"]]
    assert set(made) <= set(reused)
