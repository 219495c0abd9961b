"""`lavra evaluate --judge`: a model scores answers or compares them, and people's agreement stands beside it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lavra.base.config import to_mapping
from lavra.base.errors import ConfigError
from lavra.base.files import write_text
from lavra.base.ports import LanguageModel
from lavra.cli.arguments.evaluate import EvaluateSettings
from lavra.evaluation.human.answers import ModelAnswer, read_answers
from lavra.evaluation.human.votes import write_votes
from lavra.evaluation.judging.judge import JudgedPair, ModelJudge, PromptForm, plain_text
from lavra.evaluation.judging.labels import read_labels
from lavra.evaluation.judging.mt_bench import read_chat_answers, read_judge_prompt, read_questions
from lavra.evaluation.judging.pairs import pairs_of
from lavra.evaluation.judging.report import JudgeReport, pair_report, score_report, votes_of_judge
from lavra.evaluation.judging.rubric import Rubric, open_rubric
from lavra.prompts.render import Rendered
from lavra.verbs.meter import meter


def judge_answers(settings: EvaluateSettings, model: LanguageModel, name: str, layout: PromptForm) -> int:
    """Ask the judge, count its votes or scores, and print them.

    Args:
        settings: the answers to judge, and the way of judging.
        model: the judge.
        name: name of the judge.
        layout: the way a prompt is put to the judge.
    """
    answers = _answers(settings)
    rubric = chosen_rubric(settings, answers)
    labels = None if settings.human is None else read_labels(settings.human, rubric)
    judge = ModelJudge(model, rubric, layout=layout)
    if not rubric.is_pairwise:
        with meter() as progress:
            judged = judge.rate(answers, progress)
        _finish(score_report(name, rubric, judged, labels, judge.notes), settings, ())
        return 0
    pairs, left_out = pairs_of(answers)
    with meter() as progress:
        compared = judge.compare(pairs, progress)
    _finish(pair_report(name, rubric, compared, labels, [*left_out, *judge.notes]), settings, compared)
    return 0


def _answers(settings: EvaluateSettings) -> list[ModelAnswer]:
    if settings.questions is None:
        return read_answers(settings.answers)
    questions = read_questions(settings.questions)
    return [one for name in settings.answers for one in read_chat_answers(Path(name), questions)]


def chosen_rubric(settings: EvaluateSettings, answers: Sequence[ModelAnswer]) -> Rubric:
    """The named rubric, or lavra's for one model or for several.

    Raises:
        ConfigError: no rubric has that name, or votes are wanted of a rubric that gives scores.
    """
    file, sign, prompt = settings.rubric.rpartition("#")
    if sign and Path(file).suffix == ".jsonl":
        rubric = read_judge_prompt(Path(file), prompt)
    else:
        several = len({one.model for one in answers}) > 1
        rubric = open_rubric(settings.rubric or ("preference" if several else "quality"))
    if settings.votes is not None and not rubric.is_pairwise:
        raise ConfigError(f"votes come from comparisons, and {rubric.prompt} scores one answer; take another rubric")
    return rubric


def chat_layout(render: Callable[..., str], encode: Callable[[str], Sequence[int]]) -> PromptForm:
    """Prompts by a model's chat template, as ids, which contain its special tokens.

    Args:
        render: the chat template.
        encode: ids of its text.
    """

    def lay_out(rendered: Rendered) -> tuple[int, ...]:
        return tuple(encode(render(rendered.messages or [{"role": "user", "content": plain_text(rendered)}])))

    return lay_out


def _finish(report: JudgeReport, settings: EvaluateSettings, compared: Sequence[JudgedPair]) -> None:
    if settings.votes is not None:
        write_votes(settings.votes, votes_of_judge(report.judge, compared))
    if settings.json is not None:
        write_text(settings.json, json.dumps(to_mapping(report), indent=2, ensure_ascii=False, default=str) + "\n")
    print(f"{report.judge} by the rubric {report.rubric}; {report.agreement}")
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(_score_table(report) if report.scores else _preference_table(report))
    if report.num_pairs:
        print(_about_pairs(report))
    for note in report.notes:
        print(f"note: {note}", file=sys.stderr)


def _score_table(report: JudgeReport) -> Table:
    table = Table("model", "mean score", "95 % interval", "answers", "no verdict", "refused", box=None, pad_edge=False)
    for one in report.scores:
        mean = "unscored" if one.mean is None else f"{one.mean:.3f}"
        counts = (f"{number:,}" for number in (one.num_scored, one.num_unreadable, one.num_refused))
        table.add_row(*map(Text, (one.model, mean, str(one.interval or ""), *counts)))
    return table


def _preference_table(report: JudgeReport) -> Table:
    table = Table("model", "strength", "95 % interval", "wins", "losses", "ties", box=None, pad_edge=False)
    for one in report.ranking.strengths if report.ranking else ():
        counts = (f"{number:,}" for number in (one.wins, one.losses, one.ties))
        table.add_row(*map(Text, (one.name, f"{one.value:+.3f}", str(one.interval), *counts)))
    return table


def _about_pairs(report: JudgeReport) -> str:
    parts = [
        f"{report.num_pairs:,} pairs, each in both orders",
        f"{report.num_disagreeing:,} changed their verdict with the order",
        f"{report.num_unreadable:,} without a verdict",
        f"{report.num_refused:,} refused",
    ]
    if report.first_shown is not None:
        first = report.first_shown
        parts.append(
            f"the answer shown first won {first.wins:,} of {first.decided:,} decided verdicts {first.interval}"
        )
    return "; ".join(parts)
