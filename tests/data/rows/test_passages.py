"""Windows against `prepare_train_features` of Hugging Face's run_qa.py, rewritten here step by step."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lavra.base.errors import ConfigError, InputError
from lavra.data.labelled.samples import LabelledAnswer, Place, QuestionSample
from lavra.data.rows.encoding import RowFormat
from lavra.data.rows.passages import WindowConfig, question_rows, unlabelled_question_rows

CONTEXT = (
    "The parser was written by Ana in Lisbon, and  the arguments are kept in a dictionary.\nNão há memória sem razão. "
) * 3


def sample(answer: str | None, question: str = "Who wrote it?", context: str = CONTEXT, at: int = 0, line: int = 1):
    answers = () if answer is None else (LabelledAnswer(text=answer, start=context.index(answer, at)),)
    return QuestionSample(name=f"q{line}", question=question, context=context, answers=answers, place=Place(line=line))


def encoded(pair, one: QuestionSample, max_tokens: int, overlap: int):
    return pair.theirs(
        one.question,
        one.context,
        truncation="only_second",
        max_length=max_tokens,
        stride=overlap,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        return_token_type_ids=True,
        split_special_tokens=True,
    )


def run_qa(found, window: int, answer: LabelledAnswer | None, context: str) -> tuple[int, int]:
    """The label of a window as run_qa.py computes it; offsets without white space at the ends."""
    parts = found.sequence_ids(window)
    offsets = []
    for start, stop in found["offset_mapping"][window]:
        while start < stop and context[start].isspace():
            start += 1
        while start < stop and context[stop - 1].isspace():
            stop -= 1
        offsets.append((start, stop))
    if answer is None:
        return 0, 0
    start, stop = answer.start, answer.start + len(answer.text)
    first = 0
    while parts[first] != 1:
        first += 1
    last = len(parts) - 1
    while parts[last] != 1:
        last -= 1
    if not (offsets[first][0] <= start and offsets[last][1] >= stop):
        return 0, 0
    while first < len(offsets) and parts[first] == 1 and offsets[first][0] <= start:
        first += 1
    while parts[last] == 1 and offsets[last][1] >= stop:
        last -= 1
    return first - 1, last + 1


@pytest.mark.parametrize(("max_tokens", "overlap"), [(400, 10), (64, 16), (48, 0)])
@pytest.mark.parametrize("answer", ["Ana", "Lisbon, and  the", "dictionary.\nNão há", "The", None])
def test_windows_are_those_of_run_qa(pair, answer: str | None, max_tokens: int, overlap: int) -> None:
    one = sample(answer, at=100 if answer in {"Ana", "The"} else 0)
    form = RowFormat(tokenizer=pair.ours, max_tokens=max_tokens, num_token_types=2)
    table = question_rows([one], form, config=WindowConfig(overlap=overlap))
    found = encoded(pair, one, max_tokens, overlap)
    if answer is not None and not len(table):  # cut in two by the windows
        assert not any(any(run_qa(found, i, one.answers[0], CONTEXT)) for i in range(len(found["input_ids"])))
        assert overlap == 0
        assert any(issue.dropped for issue in table.issues)
        return
    assert [row.tolist() for row in table.encoded.ids] == found["input_ids"]
    assert [row.tolist() for row in table.encoded.types] == found["token_type_ids"]
    wanted = [run_qa(found, i, one.answers[0] if one.answers else None, CONTEXT) for i in range(len(table))]
    assert table.targets.tolist() == [list(pair) for pair in wanted]
    assert len(table) > 1 or max_tokens == 400
    batch = table.batch([0])
    assert (batch.num_targets, batch.labels.tolist()) == (2, [list(wanted[0])])
    for row in range(len(table)):
        for place, part in enumerate(found.sequence_ids(row)):
            assert (table.characters(row, place) is None) == (part != 1)


@given(start=st.integers(0, len(CONTEXT) - 1), length=st.integers(1, 20))
@example(start=208, length=1)  # a character of two bytes, a token each
def test_the_labelled_tokens_cover_the_answer(pairs, start: int, length: int) -> None:
    text = CONTEXT[start : start + length]
    one = QuestionSample(
        name="q", question="Which?", context=CONTEXT, answers=(LabelledAnswer(text=text, start=start),)
    )
    form = RowFormat(tokenizer=pairs["roberta"].ours, max_tokens=64)
    for without, exact in (("keep", False), ("drop", True)):
        table = question_rows([one], form, config=WindowConfig(overlap=32, without_answer=without))
        holding = [row for row in range(len(table)) if table.targets[row].any()]
        assert holding or not text.strip() or table.issues
        assert not exact or len(holding) == len(table)
        for row in holding:
            first, last = table.targets[row].tolist()
            begin, finish = table.characters(row, first)[0], table.characters(row, last)[1]
            assert text.strip() in CONTEXT[begin:finish] or not text.strip()
            assert first <= last


def test_windows_without_the_answer_are_kept_or_counted(pairs) -> None:
    form = RowFormat(tokenizer=pairs["bert"].ours, max_tokens=48)
    samples = [sample("Ana"), sample(None, line=2)]
    kept = question_rows(samples, form, config=WindowConfig(overlap=8))
    dropped = question_rows(samples, form, config=WindowConfig(overlap=8, without_answer="drop"))
    num_windows = len(kept.rows_of[0])
    assert num_windows > 2
    assert [targets.any() for targets in kept.targets] == [True] + [False] * (len(kept) - 1)
    assert dropped.num_without_answer == num_windows - 1
    assert (len(dropped.rows_of[0]), len(dropped.rows_of[1])) == (1, len(kept.rows_of[1]))
    assert len(dropped.targets) == len(dropped) == len(dropped.encoded) == len(dropped.spans)


def test_an_answer_longer_than_a_window_is_left_out(pairs) -> None:
    form = RowFormat(tokenizer=pairs["bert"].ours, max_tokens=32)
    table = question_rows([sample(CONTEXT[:150]), sample("Ana", line=2)], form)
    assert set(table.sources) == {1}
    assert [(issue.place.line, issue.dropped) for issue in table.issues] == [(1, True)]


def test_a_question_without_room_for_its_passage_is_left_out(pairs) -> None:
    form = RowFormat(tokenizer=pairs["bert"].ours, max_tokens=32)
    long = sample("Ana", question="why " * 40)
    table = question_rows([long, sample("Ana", line=2)], form)
    assert set(table.sources) == {1}
    assert "nothing of the passage fits" in table.issues[0].what
    empty = QuestionSample(name="e", question="Who?", context="", answers=())
    assert question_rows([empty], form).issues[0].dropped
    with pytest.raises(InputError, match="sample 1: the question has"):
        question_rows([long], RowFormat(tokenizer=pairs["bert"].ours, max_tokens=32, on_long="refuse"))


def test_long_passages_are_dropped_or_refused_where_asked(pairs) -> None:
    drop = RowFormat(tokenizer=pairs["bert"].ours, max_tokens=48, on_long="drop")
    table = question_rows([sample("Ana"), sample("short", context="a short one", line=2)], drop)
    assert (table.sources, [issue.dropped for issue in table.issues]) == ((1,), [True])
    with pytest.raises(InputError, match=r"need . rows of 48"):
        question_rows([sample("Ana")], RowFormat(tokenizer=pairs["bert"].ours, max_tokens=48, on_long="refuse"))


def test_answers_not_known_are_left_out_for_learning_only(pairs) -> None:
    form = RowFormat(tokenizer=pairs["bert"].ours, max_tokens=400)
    unknown = QuestionSample(name="u", question="Who?", context=CONTEXT)
    table = question_rows([unknown, sample("Ana", line=2)], form)
    assert (table.sources, len(table.issues)) == ((1,), 1)
    assert unlabelled_question_rows([unknown], form).sources == (0,)


def test_overlong_samples_are_refused(pairs) -> None:
    form = RowFormat(tokenizer=pairs["bert"].ours, max_tokens=48)
    wrong = QuestionSample(name="q", question="?", context="abc", answers=(LabelledAnswer(text="bc", start=0),))
    with pytest.raises(InputError, match="the answer 'bc' is not at character 0 of the passage, where 'ab' stands"):
        question_rows([wrong], form)
    with pytest.raises(InputError, match="sample 1: the text is not valid Unicode"):
        unlabelled_question_rows([sample(None, question="\ud800")], form)
    with pytest.raises(ConfigError, match="overlap is 44 and a row has room for 45"):
        unlabelled_question_rows([sample(None)], form, config=WindowConfig(overlap=44))
    with pytest.raises(ConfigError, match="without_answer is 'leave'"):
        WindowConfig(without_answer="leave")


def test_nothing_between_question_and_passage_is_reported(pairs) -> None:
    table = question_rows([sample("Ana")], RowFormat(tokenizer=pairs["gpt2"].ours, max_tokens=400))
    assert [issue.dropped for issue in table.issues] == [False]
