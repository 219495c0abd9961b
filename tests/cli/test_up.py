"""What `lavra up` prints at its end: a question to ask, and the time that the report shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lavra.base.card import Card
from lavra.cli.up import _show
from lavra.pipeline.sections.timings import timings_section
from lavra.pipeline.settings import UpConfig
from lavra.pipeline.stage import StageOutcome
from lavra.pipeline.stages.index import IndexResult, ShownAnswer
from lavra.pipeline.up import UpResult, _time_fact


def outcome(*questions: str, seconds: float, work_seconds: float, reused: bool = False) -> StageOutcome:
    index = IndexResult(
        documents=3,
        chunks=3,
        encoder="",
        asked=3,
        answered=3,
        right_document=3,
        skipped={},
        words_found=None,
        pairs=0,
        trials=(),
        why="",
        examples=tuple(ShownAnswer(question=one, answer="", sources=()) for one in questions),
        seconds=1.0,
    )
    return StageOutcome(
        stage="index",
        folder=Path("w/indexes/index-0"),
        card=Card(kind="index"),
        reused=reused,
        seconds=seconds,
        work_seconds=work_seconds,
        result=index,
        section=None,
    )


def shown(stage: StageOutcome, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """The printed lines, by label."""
    result = UpResult(
        model=Path("w/models/m"),
        adapter=None,
        index=stage.folder,
        report=Path("w/report.html"),
        verdict="Good.",
        beginning="The",
        stages=(stage,),
        compile_seconds=12.0,
    )
    _show(result, UpConfig(budget=60.0), None)
    lines = capsys.readouterr().out.splitlines()
    return {line[:9].strip(): line[9:] for line in lines}


def test_a_question_is_suggested_where_one_was_answered_and_else_words_to_look_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stage = outcome("Churchill imagine certain", "What is honey?", seconds=1, work_seconds=1)
    assert shown(stage, capsys)["ask"].startswith("lavra ask 'What is honey?' --index ")
    lines = shown(outcome("Churchill imagine certain", seconds=1, work_seconds=1), capsys)
    assert lines["look for"].startswith("lavra ask 'Churchill imagine certain' --index ")
    assert "ask" not in lines
    assert shown(outcome(seconds=1, work_seconds=1), capsys)["ask"].startswith("lavra ask 'your question' --index ")


def test_the_terminal_and_the_report_show_one_time_and_what_the_budget_is_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stage = outcome(seconds=145, work_seconds=145)
    assert shown(stage, capsys)["time"] == (
        "2m 25s in all stages, of which 12s compiling; the budget of 1m is for training alone"
    )
    assert _time_fact([stage], 12.0).value == "2m 25s"
    summary = timings_section([stage], {"pretrain": 1.0}, 60.0).summary
    assert summary.startswith("This run took 2m 25s;")
    assert "The budget of 1m is for the training stages alone." in summary
    again = replace(stage, reused=True, seconds=1.0)
    assert shown(again, capsys)["time"].startswith("1s in all stages (the work behind all stages took 2m 25s), ")
