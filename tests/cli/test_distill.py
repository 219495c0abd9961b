"""`lavra distill`: the student is saved whole and measured beside its teacher; errors come before training."""

import json
from dataclasses import replace

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file

from lavra.base.card import read_card
from lavra.base.errors import ResumeError
from lavra.cli.main import main
from lavra.distillation.head_cache import HeadCache
from lavra.model.checkpoint import load_checkpoint, save_checkpoint
from lavra.model.task_folder import load_task_model
from lavra.runs import finetune as finetuning
from lavra.runs.distill import distill_folder, prepare
from lavra.runs.distill_settings import DistillRunConfig
from lavra.tasks.classify import CLASSIFY
from lavra.tasks.learning.settings import FinetuneConfig
from lavra.tasks.table import task_named
from lavra.tokens.tokenizer import Tokenizer
from tests.runs.tasks import base_folder, rows, write

USUAL = ["--batch-size", "16", "--learning-rate", "3e-3", "--heldout-fraction", "0.2"]


def taught(folder, task, family="bert", epochs=6.0):
    """A finetuned teacher of two layers and its data."""
    data = write(folder / "data.jsonl", rows(task))
    config = FinetuneConfig(
        task=task_named(task), data=data, batch_size=16, learning_rate=3e-3, epochs=epochs, heldout_fraction=0.2
    )
    finetuning.finetune(
        finetuning.prepare(config, base_folder(folder / "base", family)), folder / "teacher", lambda *_: None
    )
    return folder / "teacher", data


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return taught(tmp_path_factory.mktemp("classifier"), "classify")


def test_a_student_of_half_the_layers_is_measured_beside_its_teacher(classifier, tmp_path, capsys):
    teacher, data = classifier
    out = tmp_path / "student"
    before = read_card(teacher)
    arguments = ["distill", str(teacher), "--task", "classify", "--data", str(data), "--out", str(out), *USUAL]
    assert (
        main([*arguments, "--epochs", "4", "--baseline", "2", "--json", "--hidden", "0.1", "--attention", "0.1"]) == 0
    )
    told = json.loads(capsys.readouterr().out)
    assert told["main"] == "accuracy"
    assert told["teacher"]["accuracy"] >= 0.9
    assert told["student"]["accuracy"] >= 0.9
    assert len(told["baselines"]) == 2
    assert told["baseline_spread"] is not None
    expected = (told["student"]["accuracy"] - told["majority"]) / (told["teacher"]["accuracy"] - told["majority"])
    assert told["kept"] == pytest.approx(expected)
    student = load_task_model(out)
    assert student.config.num_layers == 1
    assert student.task.labels == load_task_model(teacher).task.labels
    assert hf.AutoModelForSequenceClassification.from_pretrained(out).config.num_hidden_layers == 1
    card = read_card(out)
    assert card.parents == {"teacher": before.id}
    assert card.metrics["kept"] == told["kept"]
    assert card.config["layers"] == 1
    assert read_card(teacher) == before
    assert [path.name for path in tmp_path.iterdir()] == ["student"]  # no scratch folder is left


def test_the_table_says_what_was_asked_for(classifier, tmp_path, capsys):
    teacher, data = classifier
    arguments = ["distill", str(teacher), "--task", "classify", "--data", str(data), *USUAL]
    more = ["--steps", "3", "--layers", "2", "--learning-rate", "1e-6", "--out", str(tmp_path / "same")]
    assert main([*arguments, *more]) == 0
    shown = capsys.readouterr()
    assert f"begins as 2 of the 2 layers of {teacher}; 3 steps" in shown.err
    assert "always the most frequent label" in shown.out
    assert "without the teacher" not in shown.out
    assert "keeps 100.0%" in shown.out


def test_a_student_may_begin_as_another_model(classifier, tmp_path, capsys):
    teacher, data = classifier
    base = teacher.parent / "base"
    arguments = ["distill", str(teacher), "--task", "classify", "--data", str(data), *USUAL, "--json"]
    # Both start as the base with a new head, and the rate is too low to change them.
    slow = ["--steps", "1", "--learning-rate", "1e-9", "--student", str(base), "--baseline", "1"]
    assert main([*arguments, *slow, "--out", str(tmp_path / "slow")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["untaught"] == told["student"] == told["baselines"][0]
    student = load_task_model(tmp_path / "slow")
    assert student.config.num_layers == 2  # all of what it began as
    # Adam's first step has the rate's size for any gradient, so nothing can differ by more.
    ours, its = student.backbone.state_dict(), load_checkpoint(base)[0].state_dict()
    assert all(torch.allclose(ours[name], its[name], atol=1e-7) for name in ours.keys() & its.keys())
    assert student.task == load_task_model(teacher).task
    fast = ["--epochs", "6", "--student", str(tmp_path / "slow"), "--layers", "1"]  # one with a head
    assert main([*arguments, *fast, "--out", str(tmp_path / "fast")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["student"]["accuracy"] > told["untaught"]["accuracy"]
    assert load_task_model(tmp_path / "fast").config.num_layers == 1


def test_rows_have_room_in_both(classifier, tmp_path, capsys):
    """A student of 16 positions reads the rows of its teacher of 96 positions: cut to 16, with a warning."""
    teacher, _ = classifier
    model, short = load_checkpoint(teacher.parent / "base")[0], tmp_path / "short"
    model.embedding.position.weight.data = model.embedding.position.weight.data[:16].clone()
    model.config = replace(model.config, max_positions=16)
    save_checkpoint(model, short)
    Tokenizer.load(teacher).save(short)
    longer = [{"text": f"good day {number} " * 20, "label": "yes"} for number in range(20)]
    long = write(tmp_path / "long.jsonl", [*rows("classify"), *longer])
    arguments = ["distill", str(teacher), "--task", "classify", "--data", str(long), *USUAL, "--steps", "2"]
    assert main([*arguments, "--student", str(short), "--out", str(tmp_path / "out"), "--seed", "3"]) == 0
    shown = capsys.readouterr()
    assert "a row holds 16" in shown.err
    assert f"begins as 2 of the 2 layers of {short}" in shown.err


def test_a_stopped_run_goes_on_with_its_student_only(classifier, tmp_path, monkeypatch):
    teacher, data = classifier
    base = teacher.parent / "base"
    asked = DistillRunConfig(task=CLASSIFY, data=data, student=base, batch_size=16, steps=9, save_every=2)

    def stop(stage, done, *_):
        if stage == "train" and done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distill_folder(prepare(asked, teacher), tmp_path / "out", stop)
    other = replace(asked, student=base_folder(tmp_path / "other", seed=8))
    with pytest.raises(ResumeError, match="began as another model"):
        distill_folder(prepare(other, teacher), tmp_path / "out", lambda *_: None)
    result = distill_folder(prepare(asked, teacher), tmp_path / "out", lambda *_: None)
    assert result.steps == 9
    assert read_card(result.folder).parents == {"teacher": read_card(teacher).id}


def test_the_baseline_may_begin_without_anything_of_the_teacher(classifier, tmp_path, capsys):
    teacher, data = classifier
    arguments = ["distill", str(teacher), "--task", "classify", "--data", str(data), *USUAL, "--json"]
    slow = ["--steps", "1", "--learning-rate", "1e-9", "--layers", "2", "--baseline", "1"]
    assert main([*arguments, *slow, "--out", str(tmp_path / "own")]) == 0
    own = json.loads(capsys.readouterr().out)
    assert own["baselines"][0] == own["teacher"]  # all of its layers
    base = str(teacher.parent / "base")
    assert main([*arguments, *slow, "--baseline-from", base, "--out", str(tmp_path / "base")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["baselines"][0]["accuracy"] < 0.8 < told["teacher"]["accuracy"]
    assert told["student"] == own["student"]


@pytest.mark.parametrize(("task", "family"), [("classify", "bert"), ("text2text", "llama")])
def test_a_cached_teacher_teaches_the_same(tmp_path, capsys, task, family):
    teacher, data = taught(tmp_path, task, family, epochs=1.0)
    arguments = ["distill", str(teacher), "--task", task, "--data", str(data), *USUAL, "--epochs", "2", "--json"]
    all_tokens = str(json.loads((teacher / "config.json").read_text())["vocab_size"])
    cached, told = ["--cache", str(tmp_path / "cache"), "--cache-top-k", all_tokens], []
    for name, more in (("live", []), ("written", cached), ("read", cached)):
        assert main([*arguments, *more, "--out", str(tmp_path / name)]) == 0
        told.append(json.loads(capsys.readouterr().out)["student"])
        if name == "written":
            times = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    assert told[1] == told[2]
    name = "accuracy" if task == "classify" else "nats_per_token"
    assert told[1][name] == pytest.approx(told[0][name], abs=1e-3)
    ours, theirs = (load_file(tmp_path / name / "model.safetensors") for name in ("live", "read"))
    apart = sum(float((one - theirs[name]).abs().sum()) for name, one in ours.items())
    assert apart / sum(one.numel() for one in ours.values()) < 1e-3  # a step is 3e-3
    if task == "classify":  # another seed holds out other samples: only the new ones are computed
        before = len(HeadCache(tmp_path / "cache"))
        for more in (cached, []):
            assert main([*arguments, *more, "--seed", "5", "--out", str(tmp_path / f"five{len(more)}")]) == 0
            told.append(json.loads(capsys.readouterr().out)["student"])
        assert before < len(HeadCache(tmp_path / "cache")) <= 160
        assert told[-1]["accuracy"] == pytest.approx(told[-2]["accuracy"], abs=1e-3)
    other = tmp_path / "other"
    other.mkdir()
    stranger, _ = taught(other, task, family, epochs=0.5)
    assert main(["distill", str(stranger), *arguments[2:], *cached, "--out", str(tmp_path / "out")]) == 2
    assert "was written for another teacher" in capsys.readouterr().err
    hotter = ["--temperature", "3", *cached, "--out", str(tmp_path / "out")]
    assert main([*arguments, *hotter]) == (0 if task == "classify" else 2)
    assert task == "classify" or "at temperature 2.0 and the run wants" in capsys.readouterr().err


def test_a_writer_teaches_a_writer(tmp_path, capsys):
    teacher, data = taught(tmp_path, "text2text", "llama", epochs=2.0)
    out = tmp_path / "student"
    arguments = ["distill", str(teacher), "--task", "text2text", "--data", str(data), "--out", str(out), *USUAL]
    assert main([*arguments, "--epochs", "2", "--share", "1", "--temperature", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["main"] == "nats_per_token"
    assert told["student"]["nats_per_token"] < told["untaught"]["nats_per_token"]
    assert told["majority"] is None
    assert told["kept"] is None
    assert load_checkpoint(out)[0].config.num_layers == 1


def test_mismatched_models_are_refused_before_training(classifier, tmp_path, capsys):
    teacher, data = classifier
    base, stranger = base_folder(tmp_path / "base"), base_folder(tmp_path / "stranger", "gpt2")
    double = write(tmp_path / "double.jsonl", [*rows("classify"), {"text": "", "label": "yes"}])
    other = write(
        tmp_path / "other.jsonl", [{"text": f"day {number}", "label": f"l{number % 2}"} for number in range(40)]
    )
    for folder, task, file, more, message in (
        (base, "classify", data, [], "finetune the teacher first"),
        (teacher, "ner", write(tmp_path / "ner.jsonl", rows("ner", 20)), [], "does classify and task is tag"),
        (teacher, "text2text", write(tmp_path / "w.jsonl", rows("text2text", 20)), [], "give a model that writes"),
        (teacher, "classify", other, [], "has the label 'l0', which"),
        (teacher, "embed", data, [], "nothing a student is taught"),
        (teacher, "classify", data, ["--layers", "3"], "3 layers are asked for"),
        (teacher, "classify", data, ["--share", "0"], "plain training"),
        (teacher, "classify", data, ["--baseline", "-1"], "baseline is -1"),
        (teacher, "classify", data, ["--hidden", "-1"], "hidden is -1"),
        (teacher, "classify", data, ["--student", str(stranger)], "have different tokenizers"),
        (teacher, "classify", data, ["--baseline-from", str(base)], "baseline is 0"),
        (teacher, "classify", double, ["--strict"], "strict is set"),
        (teacher, "classify", data, ["--cache", str(tmp_path), "--hidden", "1"], "not in a cache"),
        (teacher, "classify", data, ["--cache", str(base)], "lavra did not write it"),
    ):
        out = tmp_path / "out"
        arguments = ["distill", str(folder), "--task", task, "--data", str(file), "--out", str(out), *more]
        assert main(arguments) == 2
        assert message in capsys.readouterr().err
        assert not out.exists()
