"""`lavra evaluate`: other outputs of scores than the terminal, and GLUE scored twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lavra.base.card import read_card, write_card
from lavra.cli.main import EXIT_ERROR, main
from lavra.evaluation.result_file import read_evaluation
from tests.runs.glue_made import write_glue
from tests.runs.tasks import base_folder

TASK = """
task: films
dataset_path: json
dataset_kwargs: {data_files: {test: films.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "the film was"
doc_to_choice: choices
doc_to_target: answer
metric_list: [{metric: acc}]
metadata: {version: 1.0}
"""

Evaluate = Callable[..., tuple[str, str]]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two models, one of them lavra's own, and a task."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LAVRA_DATA", raising=False)
    base_folder(tmp_path / "theirs", "llama", seed=1)
    write_card(base_folder(tmp_path / "ours", "llama"), kind="model", parents={}, config={})
    rows = [{"choices": ["good", "bad", "sad"], "answer": number % 3} for number in range(12)]
    (tmp_path / "films.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "films.yaml").write_text(TASK)
    return tmp_path


@pytest.fixture
def evaluate(capsys: pytest.CaptureFixture[str]) -> Evaluate:
    def evaluate(*arguments: object, status: int = 0) -> tuple[str, str]:
        assert main(["evaluate", *map(str, arguments)]) == status
        said = capsys.readouterr()
        return said.out, said.err

    return evaluate


def test_the_report_and_the_card_hold_the_scores(place: Path, evaluate: Evaluate) -> None:
    _, told = evaluate("ours", "--tasks", "films.yaml", "--data", ".", "--report", "out/page.html")
    assert "report: out/page.html" in told
    assert "card: ours/README.md" in told
    assert "12 answered wrong; the first" in (place / "out" / "page.html").read_text()
    score = read_evaluation(place / "ours" / "evaluation.json").tasks[0].metrics[0]
    assert read_card(place / "ours").metrics["evaluation"]["scores"]["films"]["acc"]["value"] == score.value
    assert "## What this model can and cannot do" in (place / "ours" / "README.md").read_text()


def test_a_folder_of_others_is_left_alone_unless_asked(place: Path, evaluate: Evaluate) -> None:
    evaluate("theirs", "--tasks", "films.yaml", "--data", ".")
    assert not (place / "theirs" / "README.md").exists()
    evaluate("theirs", "--tasks", "films.yaml", "--data", ".", "--card", "on")
    assert (place / "theirs" / "README.md").exists()
    evaluate("ours", "--tasks", "films.yaml", "--data", ".", "--card", "off")
    assert not (place / "ours" / "README.md").exists()


def test_scores_in_its_folder_do_not_make_it_another_model(place: Path, evaluate: Evaluate) -> None:
    evaluate("ours", "--tasks", "films.yaml", "--data", ".", "--json", "first.json")
    evaluate("ours", "--tasks", "films.yaml", "--data", ".", "--json", "second.json")
    assert read_evaluation(place / "ours" / "evaluation.json").tasks[0].cost.from_ledger == 12


def test_a_comparison_stands_in_the_report(place: Path, evaluate: Evaluate) -> None:
    evaluate("ours", "--compare", "theirs", "--tasks", "films.yaml", "--data", ".", "--report", "page.html")
    page = (place / "page.html").read_text()
    assert "theirs beside ours" in page
    assert "cannot tell with 12 items" in page


def test_finetuning_needs_data_a_folder_and_tasks_of_glue(place: Path, evaluate: Evaluate) -> None:
    for arguments, says in (
        (["ours", "--tasks", "glue"], "--finetune reads the benchmarks' own files"),
        (["http://127.0.0.1:9/v1", "--tasks", "glue", "--data", "."], "is a URL, whose weights are not here"),
        (["ours", "--tasks", "cola,films", "--data", "."], "'films' is not finetuned for"),
        (["ours", "--tasks", "cola", "--data", ".", "--limit", "0.5"], "give a whole number of items"),
        (["ours", "--tasks", "cola", "--data", ".", "--finetune-rows", "0"], "most_rows is 0"),
    ):
        _, told = evaluate(*arguments, "--finetune", status=EXIT_ERROR)
        assert says in told


@pytest.mark.slow
@pytest.mark.parametrize("family", ["llama", "bert"])
def test_glue_is_scored_twice_in_one_table(place: Path, evaluate: Evaluate, family: str) -> None:
    data = write_glue(place / "data")
    base_folder(place / "model", family)
    files = ["--json", "out.json", "--markdown", "out.md", "--report", "out.html"]
    out, _ = evaluate("model", "--tasks", "sst2,cb,wic", "--finetune", "--data", data, "--limit", 6, *files)
    rows = {line.split("|")[1].strip(): line.split("|") for line in (place / "out.md").read_text().splitlines()[2:]}
    assert list(rows) == ["sst2", "cb", "wic"]
    for name, line in rows.items():
        assert name in out
        assert "n=6" in line[2]
        assert ("n=6" in line[3]) == (family == "llama")
        assert ("not asked" in line[3]) == (family == "bert")
    layout = json.loads((place / "out.json").read_text())
    assert layout["results"]["sst2"]["accuracy,none"] is not None
    assert (layout["prompted"] is None) == (family == "bert")
    assert "Both ways" in (place / "out.html").read_text()


@pytest.mark.slow
def test_scores_of_heads_are_shown_though_asking_fails_and_stand_on_the_card(place: Path, evaluate: Evaluate) -> None:
    data = write_glue(place / "data")
    base_folder(place / "model", "llama")
    (place / "no-ledger").write_text("a text\n" * 1000)  # so that asking fails
    told = ["--ledger", "no-ledger", "--card", "on"]
    out, _ = evaluate("model", "--tasks", "sst2", "--finetune", "--data", data, "--limit", 6, *told)
    assert "accuracy" in out
    assert "not asked" in out
    known = json.loads((place / "model" / "evaluation.json").read_text())
    assert "sst2 (finetuned)" in json.dumps(known)
