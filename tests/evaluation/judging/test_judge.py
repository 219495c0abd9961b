"""Judges with known verdicts: both orders, unreadable verdicts, refusals, and their prompts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lavra.base.errors import ConfigError, InputError
from lavra.base.types import ConstraintKind
from lavra.evaluation.human.answers import ModelAnswer
from lavra.evaluation.human.votes import Winner, read_votes, write_votes
from lavra.evaluation.judging.judge import ModelJudge
from lavra.evaluation.judging.labels import label_of_vote
from lavra.evaluation.judging.mt_bench import read_chat_answers, read_judge_prompt, read_questions
from lavra.evaluation.judging.pairs import pairs_of
from lavra.evaluation.judging.report import pair_report, score_report, votes_of_judge
from lavra.evaluation.judging.rubric import open_rubric, rubric_of
from lavra.evaluation.judging.verdicts import read_preference, read_reason, read_score
from lavra.prompts.prompt import Prompt
from lavra.prompts.variables import Variable
from tests.evaluation.judging.judges import ScriptedJudge, first_shown, longer, parts


def answers(model: str, *texts: str) -> list[ModelAnswer]:
    return [
        ModelAnswer(model=model, question_id=str(number), prompt=f"question {number}", answer=text)
        for number, text in enumerate(texts)
    ]


SHORT, LONG = answers("short", "x", "xx", "same"), answers("long", "xxxxx", "xxxxxx", "emas")


def test_both_orders_agree_where_the_judge_looks_at_the_answers() -> None:
    model = ScriptedJudge(longer)
    judge = ModelJudge(model, open_rubric("preference"))
    judged = judge.compare(pairs_of([*SHORT, *LONG])[0])
    assert [one.winner for one in judged] == [Winner.MODEL_A, Winner.MODEL_A, Winner.TIE]
    assert all(one.first.model == "long" for one in judged)
    assert all(one.agrees for one in judged)
    assert len(model.requests) == 6
    shown = [parts(str(request.prompt)) for request in model.requests]
    assert (shown[0]["answer_a"], shown[0]["answer_b"]) == ("xxxxx", "x")
    assert (shown[1]["answer_a"], shown[1]["answer_b"]) == ("x", "xxxxx")
    report = pair_report("length", judge.rubric, judged, None)
    assert report.num_disagreeing == report.num_unreadable == 0
    assert report.first_shown is not None
    assert (report.first_shown.wins, report.first_shown.decided) == (2, 4)
    assert report.ranking is not None
    assert [(one.name, one.wins, one.ties) for one in report.ranking.strengths] == [("long", 2, 1), ("short", 0, 1)]


def test_a_judge_that_prefers_a_place_ties_everywhere_and_is_found_out() -> None:
    judge = ModelJudge(ScriptedJudge(first_shown), open_rubric("preference"))
    many = [answers(name, *[f"{name} {n}" for n in range(9)]) for name in ("a", "b")]
    judged = judge.compare(pairs_of([*many[0], *many[1]])[0])
    assert {one.winner for one in judged} == {Winner.TIE}
    report = pair_report("first", judge.rubric, judged, None)
    assert report.num_disagreeing == 9
    assert report.first_shown is not None
    assert (report.first_shown.wins, report.first_shown.decided) == (18, 18)
    assert any("prefers a place" in note for note in report.notes)


def test_a_pair_with_one_unreadable_verdict_has_none() -> None:
    def moody(prompt: str) -> str:
        return longer(prompt) if parts(prompt)["answer_a"] > parts(prompt)["answer_b"] else "I cannot say."

    judge = ModelJudge(ScriptedJudge(moody), open_rubric("preference"))
    judged = judge.compare(pairs_of([*SHORT, *LONG])[0])
    assert [one.winner for one in judged] == [None] * 3
    report = pair_report("moody", judge.rubric, judged, None)
    assert report.num_unreadable == 3
    assert report.ranking is None
    assert votes_of_judge("moody", judged) == []


def test_scores_by_model_with_what_could_not_be_read() -> None:
    def by_length(prompt: str) -> str:
        text = parts(prompt)["answer"]
        return "no idea" if text == "same" else json.dumps({"reason": "r", "score": len(text)})

    judge = ModelJudge(ScriptedJudge(by_length), open_rubric("quality"))
    report = score_report("length", judge.rubric, judge.rate([*SHORT, *LONG]), None)
    by_name = {one.model: one for one in report.scores}
    assert (by_name["short"].mean, by_name["short"].num_scored, by_name["short"].num_unreadable) == (1.5, 2, 1)
    assert (by_name["long"].mean, by_name["long"].num_unreadable) == (4.5, 1)  # six is not on the scale
    assert report.notes == ("no human labels: how far people agree with this judge is unknown",)


def test_the_form_is_asked_for_where_the_model_takes_it_and_left_out_with_a_note_elsewhere() -> None:
    held = ScriptedJudge(longer)
    ModelJudge(held, open_rubric("preference")).compare(pairs_of([*SHORT, *LONG])[0])
    constraint = held.requests[0].constraint
    assert constraint is not None
    assert constraint.kind is ConstraintKind.JSON_SCHEMA
    assert list(json.loads(constraint.text)["properties"]) == ["reason", "winner"]
    loose = ScriptedJudge(longer, constrained=False)
    judge = ModelJudge(loose, open_rubric("preference"))
    assert judge.compare(pairs_of([*SHORT, *LONG])[0])[0].winner is Winner.MODEL_A
    assert loose.requests[0].constraint is None
    assert len(judge.notes) == 1


def test_an_answer_that_is_too_long_is_refused_alone() -> None:
    model = ScriptedJudge(lambda prompt: '{"reason": "", "score": 3}', context=2_000)
    judge = ModelJudge(model, open_rubric("quality"))
    judged = judge.rate([*SHORT, *answers("huge", "x" * 3_000)])
    assert [one.score for one in judged] == [3, 3, 3, None]
    report = score_report("short-sighted", judge.rubric, judged, None)
    assert [(one.model, one.num_refused, one.num_unreadable) for one in report.scores] == [
        ("huge", 1, 0),
        ("short", 0, 0),
    ]


def test_votes_of_a_judge_are_read_as_peoples_are(tmp_path: Path) -> None:
    judge = ModelJudge(ScriptedJudge(longer), open_rubric("preference"))
    votes = votes_of_judge("length", judge.compare(pairs_of([*SHORT, *LONG])[0]))
    write_votes(tmp_path / "votes.jsonl", votes)
    assert read_votes(tmp_path / "votes.jsonl") == votes
    assert [label_of_vote(vote) for vote in votes] == [0, 0, 2]


def test_pairs_that_cannot_be_compared_are_counted() -> None:
    pairs, notes = pairs_of([*SHORT, *answers("other", "y", "xx")])
    assert [first.question_id for first, _ in pairs] == ["0"]
    assert len(notes) == 2
    with pytest.raises(InputError, match="1 models"):
        pairs_of(SHORT)


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ('{"reason": "good", "score": 4}', 4),
        ('Well. {"score": "4"} Done.', 4),
        ('{"score": 4.0}', 4),
        ("Rating: [[4]]", 4),
        ("As [[rating]] I give [[4]], yes [[4]].", 4),
        ('{"reason": "in braces {", "score": 4}', 4),
        ("{not json} [[4]]", 4),
        ("4", None),
        ("I would say four out of five.", None),
        ("Rating: [[4]] or [[5]]", None),
        ('{"score": 4} {"score": 5}', None),
        ('{"score": 4.5}', None),
        ("[[4.5]]", None),
        ('{"score": 6}', None),
        ('{"score": 0}', None),
        ('{"score": true}', None),
        ('{"score": null}', None),
        ('{"points": 4}', None),
        ('{"score": 4', None),
        ("", None),
        ("{" * 5_000, None),
    ],
)
def test_scores_are_read_and_never_guessed(text: str, score: int | None) -> None:
    assert read_score(text, 1, 5) == score


@pytest.mark.parametrize(
    ("text", "winner"),
    [
        ('{"winner": "A"}', "A"),
        ('{"winner": "tie"}', "tie"),
        ("Verdict: [[B]]", "B"),
        ("[[C]]", "tie"),
        ("A is better", None),
        ("[[A]] … no, [[B]]", None),
        ('{"winner": "both"}', None),
        ("[[D]]", None),
    ],
)
def test_preferences_are_read_and_never_guessed(text: str, winner: str | None) -> None:
    assert read_preference(text) == winner


def test_the_reason_is_the_objects_or_the_text() -> None:
    assert read_reason('{"reason": "clear", "score": 4}') == "clear"
    assert read_reason(" Well. [[4]] ") == "Well. [[4]]"


def _prompt(*names: str, labels: tuple[str, ...] = ()) -> Prompt:
    template = " ".join(f"{{{{ {name} }}}}" for name in names)
    variables = tuple(Variable(name=name, description=name) for name in names)
    return Prompt(name="p", version="1.0.0", purpose="x", variables=variables, template=template, labels=labels)


def test_invalid_rubrics_are_refused_with_a_message() -> None:
    assert (rubric_of(_prompt("question", "answer", labels=("0", "1", "2"))).lowest) == 0
    for prompt, message in [
        (_prompt("question"), "a rubric has question and answer"),
        (_prompt("question", "answer", labels=("good", "bad")), "scores are whole numbers"),
        (_prompt("question", "answer", labels=("1", "3")), "leave none out"),
        (_prompt("question", "answer_a", "answer_b", labels=("A", "B")), "write A, B and tie"),
    ]:
        with pytest.raises(ConfigError, match=message):
            rubric_of(prompt)
    with pytest.raises(ConfigError, match="neither a rubric"):
        open_rubric("qualty")
    with pytest.raises(InputError, match="compares two answers"):
        ModelJudge(ScriptedJudge(longer), open_rubric("preference")).rate(SHORT)


@pytest.mark.data
def test_mt_bench(lavra_data: Path) -> None:
    folder = lavra_data / "benchmarks" / "mt_bench"
    questions = read_questions(folder / "question.jsonl")
    assert len(questions) == 80
    assert all(len(one.turns) == 2 for one in questions)
    assert {one.category for one in questions if one.reference} >= {"math", "reasoning", "coding"}
    given = read_chat_answers(folder / "gpt-4.jsonl", questions)
    assert len(given) == 30
    assert {one.model for one in given} == {"gpt-4"}
    assert {one.question_id: one.prompt for one in given}["101"] == questions[20].turns[0]
    assert all(one.answer for one in given)
    with pytest.raises(InputError, match="no question '101'"):
        read_chat_answers(folder / "gpt-4.jsonl", questions[:20])
    single = read_judge_prompt(folder / "judge_prompts.jsonl", "single-v1")
    assert (single.lowest, single.highest, single.constraint) == (1, 10, None)
    judge = ModelJudge(ScriptedJudge(lambda prompt: "Rating: [[7]]"), single)
    asked = answers("m", "I { like } {{ braces }}")
    assert judge.rate(asked)[0].score == 7
    written = str(judge._model.requests[0].prompt)  # type: ignore[attr-defined]
    original = json.loads((folder / "judge_prompts.jsonl").read_text(encoding="utf-8").splitlines()[4])
    assert original["name"] == "single-v1"
    assert written.endswith(original["prompt_template"].format(question="question 0", answer=asked[0].answer))
    pair = read_judge_prompt(folder / "judge_prompts.jsonl", "pair-math-v1")
    assert pair.is_pairwise
    assert pair.takes_reference
    with pytest.raises(InputError, match="two turns"):
        read_judge_prompt(folder / "judge_prompts.jsonl", "pair-v2-multi-turn")
    with pytest.raises(InputError, match="did you mean 'single-v1'"):
        read_judge_prompt(folder / "judge_prompts.jsonl", "single-v2")
