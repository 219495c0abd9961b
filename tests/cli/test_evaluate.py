"""`lavra evaluate` from the command line: tables, files, samples, comparisons, and errors of one line."""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest

from lavra.cli import evaluate as verb
from lavra.cli.main import main
from lavra.evaluation.asking import PromptTokens
from lavra.evaluation.result_file import read_evaluation, write_evaluation
from lavra.evaluation.results import EvaluationResult
from lavra.evaluation.run import ModelIdentity
from lavra.evaluation.task_files.prompting import ChatSettings
from lavra.verbs import evaluating
from tests.evaluation.toy import CHOICES, WRITING, ToyScorer, rows, write_task


class Contrary(ToyScorer):
    """Another model, with the opposite preferences of the toy."""

    def _score(self, request):
        score = super()._score(request)
        return type(score)(
            tokens=score.tokens,
            logprobs=tuple(-3.02 - one for one in score.logprobs),
            num_bytes=score.num_bytes,
            greedy=score.greedy,
        )


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run the verb with toy models: `toy`, `other` and `deaf`, which gives no log-probabilities."""
    models = {"toy": ToyScorer(), "other": Contrary(), "deaf": ToyScorer(has_logprobs=False)}

    @contextmanager
    def opened(name, settings, workspace=None):
        identity = ModelIdentity(name=name, hash=name)
        tokens = PromptTokens(encode=lambda text: list(map(ord, text)))
        yield evaluating.EvaluatedModel(port=models[name], identity=identity, tokens=tokens, chat=ChatSettings())

    monkeypatch.setattr(evaluating, "open_evaluated", opened)
    monkeypatch.setattr(verb, "open_evaluated", opened)
    monkeypatch.setenv("LAVRA_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.delenv("LAVRA_DATA", raising=False)
    write_task(tmp_path, "choosing", CHOICES, rows(20))
    write_task(tmp_path, "writing", WRITING, rows(4))

    def call(*arguments, status=0):
        found = main(["evaluate", *map(str, arguments), "--card", "off"])
        said = capsys.readouterr()
        assert found == status, said.err
        return said

    call.models, call.folder = models, tmp_path
    return call


def test_a_table_and_the_files_that_are_named(run):
    out, table, samples = run.folder / "out.json", run.folder / "out.md", run.folder / "samples"
    said = run(
        "toy", "--tasks", "choosing,writing", "--include", run.folder, "--limit", 10, "--resamples", 10,
        "--json", out, "--markdown", table, "--log-samples", samples,
    )  # fmt: skip
    assert "choosing  acc" in said.out
    assert "note: the contamination is unknown" in said.err  # a word, not the flag --contamination
    layout = json.loads(out.read_text(encoding="utf-8"))
    assert layout["n-samples"]["choosing"] == {"original": 20, "effective": 10}
    assert layout["config"]["limit"] == 10
    assert "| choosing | 1.0 | none | 0 | acc |" in table.read_text(encoding="utf-8")
    lines = (samples / "toy" / "samples_writing.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["doc_id"] for line in lines] == [0, 1, 2, 3]


def test_answers_are_kept_in_the_workspace_and_one_is_shown(run):
    tasks = ("--tasks", run.folder / "choosing.yaml", "--resamples", 5)
    run("toy", *tasks)
    asked = len(run.models["toy"].asked)
    run("toy", *tasks)
    assert len(run.models["toy"].asked) == asked
    shown = run("--show", "choosing#3").out
    assert "choosing#3, model toy" in shown
    assert "how much is 3" in shown
    assert "right: 1" in shown
    assert "has no sample choosing#99" in run("--show", "choosing#99", status=2).err
    assert "write TASK#NUMBER" in run("--show", "choosing", status=2).err


def test_models_are_compared_on_the_same_items(run):
    out = run.folder / "out.json"
    said = run(
        "toy", "--compare", "other", "--tasks", "choosing", "--include", run.folder, "--resamples", 5, "--json", out
    )
    assert "other beside toy, on the same items" in said.out
    (comparison,) = json.loads(out.read_text(encoding="utf-8"))["comparisons"]
    (task,) = comparison["tasks"]
    assert task["num_items"] == 20
    assert task["difference"] == pytest.approx(task["second"] - task["first"])
    assert (run.folder / "out-2.json").is_file()


def test_a_model_without_log_probabilities_is_unscored_and_not_at_chance(run):
    said = run("deaf", "--tasks", "choosing", "--include", run.folder)
    assert "unscored" in said.out
    assert "20 items unscored: the model gives no log-probabilities of a prompt" in said.err


def test_chosen_items(run):
    out = run.folder / "out.json"
    choice = '{"choosing": [2, 5]}'
    run("toy", "--tasks", "choosing", "--include", run.folder, "--samples", choice, "--resamples", 5, "--json", out)
    assert json.loads(out.read_text(encoding="utf-8"))["n-samples"]["choosing"]["effective"] == 2


def test_tasks_are_listed(run):
    out = run("--list", "--include", run.folder).out
    assert "choosing" in out
    assert "mmlu" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no model is named"),
        (("toy",), "no task is named"),
        (("toy", "--tasks", "chosing"), "did you mean 'choosing'"),
        (("toy", "--tasks", "choosing", "--limit", "0"), "--limit is 0"),
        (("toy", "--compare", "toy", "--tasks", "choosing"), "names a model twice"),
        (("toy", "--tasks", "choosing", "--samples", "[1]"), "--samples"),
        (("toy", "--tasks", "choosing", "--samples", '{"choosing": [99]}'), r"99 is outside 0..19"),
        (("toy", "--tasks", "choosing", "--data", "not/there"), "is not a folder"),
        (("toy", "--tasks", "choosing", "--context", "9"), "the tokenizer that counts them"),
        (("toy", "--tasks", "choosing", "--num-fewshot", "-1"), "--num-fewshot is -1"),
    ],
)
def test_a_mistake_is_one_line_with_its_remedy(run, arguments, message):
    include = ("--include", run.folder) if arguments else ()
    said = run(*arguments, *include, status=2)
    assert message in said.err
    assert "Traceback" not in said.err


def test_a_result_is_read_back_as_it_was_written(run):
    out = run.folder / "out.json"
    run("toy", "--tasks", "choosing,writing", "--include", run.folder, "--resamples", 5, "--json", out)
    result = read_evaluation(out)
    assert isinstance(result, EvaluationResult)
    write_evaluation(run.folder / "evaluation.json", result)
    assert read_evaluation(run.folder / "evaluation.json") == result
