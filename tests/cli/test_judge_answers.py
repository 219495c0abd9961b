"""`lavra evaluate --judge`: its output, its files, and which settings exclude one another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lavra.base.errors import ConfigError
from lavra.cli.arguments.evaluate import EvaluateSettings
from lavra.cli.judge_answers import chat_layout, judge_answers
from lavra.evaluation.human.votes import read_votes
from lavra.evaluation.judging.judge import plain_text
from lavra.prompts.render import Rendered, RenderedTurn
from tests.evaluation.judging.judges import ScriptedJudge, first_shown, longer, parts


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Answers of two models to three prompts, and a person's votes on them."""
    for name, texts in (("a", ["1", "22", "333"]), ("b", ["4444", "5", "6"])):
        rows = [{"question_id": str(n), "prompt": f"p{n}", "completion": text} for n, text in enumerate(texts)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    votes = [
        {"question_id": str(n), "model_a": "b", "model_b": "a", "winner": winner, "judge": "ann"}
        for n, winner in enumerate(["model_a", "model_b", "model_b"])
    ]
    (tmp_path / "votes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in votes), encoding="utf-8")
    return tmp_path


def settings(files: Path, *names: str, **more: object) -> EvaluateSettings:
    answers = tuple(str(files / f"{name}.jsonl") for name in names)
    return EvaluateSettings(judge="judge", answers=answers, **more)  # type: ignore[arg-type]


def test_two_models_are_compared_and_everything_is_written(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = settings(
        files, "a", "b", human=files / "votes.jsonl", votes=files / "judged.jsonl", json=files / "report.json"
    )
    assert judge_answers(asked, ScriptedJudge(longer), "length", plain_text) == 0
    shown = capsys.readouterr()
    assert "agreement with 1 person on 3 items: Cohen's kappa 1.00" in shown.out
    assert "3 pairs, each in both orders; 0 changed their verdict with the order" in shown.out
    assert [vote.winner.value for vote in read_votes(files / "judged.jsonl")] == ["model_b", "model_a", "model_a"]
    report = json.loads((files / "report.json").read_text(encoding="utf-8"))
    assert report["agreement"]["kappa"] == 1.0
    assert report["num_pairs"] == 3


def test_a_judge_without_labels_and_with_a_favourite_place_is_warned_of(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judge_answers(settings(files, "a", "b"), ScriptedJudge(first_shown), "first", plain_text)
    shown = capsys.readouterr()
    assert "no human labels: how far people agree with this judge is unknown" in shown.err
    assert "the judge prefers a place: the answer shown first won 6 of 6 verdicts" in shown.err


def test_one_model_is_scored(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def by_length(prompt: str) -> str:
        return json.dumps({"reason": "length", "score": len(parts(prompt)["answer"])})

    judge_answers(settings(files, "a"), ScriptedJudge(by_length), "length", plain_text)
    assert "2.000" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="votes come from comparisons"):
        judge_answers(settings(files, "a", votes=files / "v.jsonl"), ScriptedJudge(by_length), "length", plain_text)


def test_settings_that_do_not_go_together_are_refused(files: Path) -> None:
    with pytest.raises(ConfigError, match="rubric is for a judge"):
        EvaluateSettings(rubric="quality")
    with pytest.raises(ConfigError, match="--answers"):
        EvaluateSettings(judge="judge")
    with pytest.raises(ConfigError, match="tasks are for a model; give one of the two"):
        settings(files, "a", tasks=("arc_easy",))


def test_prompts_go_through_the_chat_template() -> None:
    lay_out = chat_layout(
        lambda messages: "|".join(one["role"] + one["content"] for one in messages), lambda t: t.encode()
    )
    assert bytes(lay_out(Rendered(text="hi"))) == b"userhi"  # type: ignore[arg-type]
    turns = (RenderedTurn(role="system", content="s"), RenderedTurn(role="user", content="u"))
    assert bytes(lay_out(Rendered(turns=turns))) == b"systems|useru"  # type: ignore[arg-type]
    assert plain_text(Rendered(turns=turns)) == "s\n\nu"
