"""Scores in a model's folder: read by Hugging Face's own reader, merged by task, no more digits than measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from lavra.base.card import read_card, write_card
from lavra.base.errors import InputError
from lavra.base.files import hash_file
from lavra.evaluation.model_card import hash_without_scores, merged, section_in_words, with_scores, write_model_card
from lavra.evaluation.result_file import read_evaluation
from lavra.evaluation.results import EvaluationResult
from tests.evaluation.results_made import made_result, metric, task


def one_task(name: str, value: float, model_hash: str = "m") -> EvaluationResult:
    return EvaluationResult(model="m", model_hash=model_hash, tasks=(task(name, metric("acc", value, chance=0.25)),))


def test_hugging_faces_reader_finds_every_score(tmp_path: Path) -> None:
    write_model_card(tmp_path, made_result())
    found = {
        (one.dataset_type, one.metric_type): one for one in ModelCard.load(tmp_path / "README.md").data.eval_results
    }
    scored = {
        (task.task, one.name): one.value
        for task in made_result().tasks
        for one in task.metrics
        if one.value is not None
    }
    assert {key: one.metric_value for key, one in found.items()} == scored
    assert found["gsm8k", "exact_match"].metric_name == "exact_match (5 shots, 200 items)"


def test_the_card_says_what_the_model_can_and_cannot_do() -> None:
    said = section_in_words(made_result())
    can, cannot, measured, missing = (
        said.split(f"**{heading}**")[1].split("**")[0]
        for heading in ("It can", "It cannot", "Measured, and not judged", "Not measured")
    )
    assert "arc_easy: acc 0.620" in can
    assert "mmlu: acc 0.245" in cannot
    assert "gsm8k: exact_match 0.000" in cannot
    assert "never right" in cannot
    assert "wikitext" in measured
    assert "humaneval: 200 items: code is not run without a sandbox" in missing
    assert "Nothing is known beyond these tasks." in said
    assert "mmlu_law" in said.split("| task |")[1]  # a task of a group stands in the table
    assert "by luck" not in said


def test_many_tasks_come_with_a_word_on_luck() -> None:
    tasks = tuple(task(f"t{number}", metric("acc", 0.4, chance=0.25)) for number in range(80))
    assert "about 2 would lie above guessing by luck" in section_in_words(
        EvaluationResult(model="m", model_hash="", tasks=tasks)
    )


def test_a_later_evaluation_replaces_its_own_tasks_only(tmp_path: Path) -> None:
    write_model_card(tmp_path, one_task("a", 0.5))
    write_model_card(tmp_path, one_task("b", 0.6))
    whole = write_model_card(tmp_path, one_task("a", 0.7))
    assert {one.task: one.metrics[0].value for one in whole.tasks} == {"a": 0.7, "b": 0.6}
    assert read_evaluation(tmp_path / "evaluation.json") == whole
    readme = (tmp_path / "README.md").read_text()
    assert readme.count("## What this model can and cannot do") == 1
    assert len(ModelCard.load(tmp_path / "README.md").data.eval_results) == 2


def test_scores_of_other_weights_are_dropped() -> None:
    found = merged(one_task("a", 0.5), one_task("b", 0.6, model_hash="other"))
    assert [one.task for one in found.tasks] == ["b"]


def test_prompts_and_failures_do_not_go_into_the_folder() -> None:
    found = merged(None, made_result())
    assert not any(one.failures or one.prompt for one in found.tasks)
    assert found.tasks[0].num_failures == 76


def test_lavras_own_card_keeps_its_identity(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    before = write_card(tmp_path, kind="model", parents={}, config={"a": 1}, metrics={"seconds": 2.0})
    write_model_card(tmp_path, made_result())
    after = read_card(tmp_path)
    assert (after.id, after.created, after.metrics["seconds"]) == (before.id, before.created, 2.0)
    found = after.metrics["evaluation"]
    assert found["scores"]["arc_easy"]["acc"] == {
        "value": 0.62,
        "interval": [0.57, 0.67],
        "items": 200,
        "guessing": 0.25,
    }
    assert len(found["abilities"]["It can"]) == 1


def test_scores_do_not_change_the_hash_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    write_card(tmp_path, kind="model", parents={}, config={"a": 1.5}, metrics={"seconds": 0.1 + 0.2, "é": "ç"})
    before = {path.name: hash_without_scores(path) for path in sorted(tmp_path.iterdir())}
    assert before["lavra.json"] == hash_file(tmp_path / "lavra.json")
    write_model_card(tmp_path, made_result())
    after = {path.name: hash_without_scores(path) for path in sorted(tmp_path.iterdir())}
    assert {name: known for name, known in after.items() if known} == before
    assert set(after) - set(before) == {"README.md", "evaluation.json"}


WRITTEN = """---
license: mit
language: [pt]
model-index:
- name: mine
  results:
  - task: {type: text-generation}
    dataset: {name: other, type: other}
    metrics: [{type: acc, value: 0.9}]
---
# Mine

Words of mine.
"""


def test_text_written_by_people_stays(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(WRITTEN)
    for value in (0.5, 0.6):
        write_model_card(tmp_path, one_task("a", value))
    card = ModelCard.load(tmp_path / "README.md")
    assert (card.data.license, card.data.language, card.data.model_name) == ("mit", ["pt"], "mine")
    assert [(one.dataset_type, one.metric_value) for one in card.data.eval_results] == [("other", 0.9), ("a", 0.6)]
    assert card.content.count("Words of mine.") == 1
    assert "## What this model can and cannot do" in card.content


@pytest.mark.parametrize(
    ("text", "says"),
    [("---\nlicense: mit\n", "has no end"), ("---\na: [1\n---\n", "is not YAML"), ("---\n- a\n---\n", "is a list")],
)
def test_a_readme_that_cannot_be_read_is_left_alone(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "README.md"
    path.write_text(text)
    with pytest.raises(InputError, match=says):
        write_model_card(tmp_path, made_result())
    assert path.read_text() == text
    assert not (tmp_path / "evaluation.json").exists()


def test_names_are_no_markup() -> None:
    odd = replace(made_result(), groups=(), tasks=(task("a|b <i>", metric("acc", 0.6, chance=0.25)),))
    card = with_scores(None, odd, name="m")
    assert "a\\|b &lt;i>" in card
