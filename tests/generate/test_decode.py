"""The decoding loop on a scripted model over bytes: stop strings, UTF-8, ends, rows that leave."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lavra.base.types import FinishReason, GenerateRequest, SamplingConfig
from lavra.generate.completion_builder import CompletionBuilder
from lavra.generate.decode import decode
from lavra.generate.planned_request import PlannedRequest
from lavra.tokens.definition import BYTE_OF
from tests.generate.tiny import tiny_tokenizer

TOKENIZER = tiny_tokenizer()
VOCAB = TOKENIZER.vocab_size
BYTE_TOKEN = {byte: TOKENIZER.id(character) for character, byte in BYTE_OF.items()}
EOS = TOKENIZER.eos_id


class ScriptedState:
    """A model that writes given tokens, and checks that the loop reports each of them."""

    def __init__(self, scripts):
        self.scripts = [list(script) for script in scripts]
        self.step = 0
        self.widths = []

    def logits(self):
        rows = torch.full((len(self.scripts), VOCAB), -20.0)
        for row, script in enumerate(self.scripts):
            rows[row, script[self.step] if self.step < len(script) else EOS] = 20.0
        return rows

    def advance(self, tokens):
        assert tokens.tolist() == [script[self.step] for script in self.scripts]
        self.widths.append(len(tokens))
        self.step += 1
        return self.logits()

    def select(self, rows):
        self.scripts = [self.scripts[row] for row in rows]


def plan(stop=(), max_tokens=1000):
    request = GenerateRequest(prompt=(EOS,), stop=stop, max_tokens=max_tokens)
    return PlannedRequest(
        request=request,
        prompt=(EOS,),
        source=None,
        max_tokens=max_tokens,
        sampling=SamplingConfig(),
        truncated_tokens=0,
        warnings=(),
    )


def run(scripts, plans, cancelled=lambda: False):
    """All deltas of each row, and the state."""
    state = ScriptedState(scripts)
    builders = [CompletionBuilder(one, 0, TOKENIZER, frozenset({EOS})) for one in plans]
    deltas = {id(builder): [] for builder in builders}
    for builder, delta in decode(state, state.logits(), builders, cancelled=cancelled):
        deltas[id(builder)].append(delta)
    return [deltas[id(builder)] for builder in builders], state


def to_tokens(text):
    return [BYTE_TOKEN[byte] for byte in text.encode()]


def cut(text, stops):
    """The text before the first complete stop string (the longest of those), and whether there is one."""
    places = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text]
    return (text[: min(places)[1]], True) if places else (text, False)


texts = st.text(alphabet=st.sampled_from("ab€é🍎n\n "), min_size=1, max_size=30)


@settings(max_examples=150, deadline=None)
@given(texts, st.lists(st.text(alphabet=st.sampled_from("ab€🍎 "), min_size=1, max_size=3), max_size=3))
def test_the_text_ends_before_the_first_stop_string(text, stops):
    ((*_, last),), _ = run([to_tokens(text)], [plan(tuple(stops))])
    expected, stopped = cut(text, stops)
    assert last.completion.text == expected
    assert last.completion.finish_reason is FinishReason.STOP
    consumed = TOKENIZER.decode([token for token in last.completion.tokens if token != EOS])
    if stopped:
        assert last.completion.stop_string in stops
        assert consumed == expected + last.completion.stop_string  # not one token further
    else:
        assert last.completion.stop_string is None
        assert consumed == text
        assert last.completion.tokens[-1] == EOS


@settings(max_examples=100, deadline=None)
@given(
    texts, st.lists(st.text(alphabet=st.sampled_from("ab€🍎 "), min_size=1, max_size=3), max_size=2), st.integers(1, 40)
)
def test_pieces_are_whole_characters_and_add_up(text, stops, max_tokens):
    (deltas,), _ = run([to_tokens(text)], [plan(tuple(stops), max_tokens)])
    completion = deltas[-1].completion
    assert "".join(delta.text for delta in deltas) == completion.text
    assert sum((delta.tokens for delta in deltas), ()) == completion.tokens
    for delta in deltas[:-1]:
        assert "\ufffd" not in delta.text
        assert delta.completion is None
    if completion.finish_reason is FinishReason.LENGTH:
        assert len(completion.tokens) == max_tokens


@settings(max_examples=50, deadline=None)
@given(st.lists(texts, min_size=1, max_size=5))
def test_rows_of_a_batch_are_written_as_alone_and_leave_when_done(several):
    together, state = run([to_tokens(text) for text in several], [plan() for _ in several])
    for text, deltas in zip(several, together, strict=True):
        assert deltas[-1].completion.text == text
    lengths = [len(text.encode()) for text in several]
    assert state.widths == [sum(length > step for length in lengths) for step in range(max(lengths))]


def test_half_a_character_at_the_end_is_marked_not_lost():
    (deltas,), _ = run([to_tokens("a€")], [plan(max_tokens=3)])
    assert [delta.text for delta in deltas] == ["a", "", "\ufffd"]
    assert deltas[-1].completion.finish_reason is FinishReason.LENGTH


def test_a_stop_string_found_in_half_a_character_is_the_reason():
    (deltas,), _ = run([to_tokens("a€")], [plan(("\ufffd",), max_tokens=3)])
    assert deltas[-1].completion.text == "a"
    assert deltas[-1].completion.finish_reason is FinishReason.STOP


def test_a_held_back_beginning_of_a_stop_string_is_given_at_the_end():
    (deltas,), _ = run([to_tokens("xab")], [plan(("abc",), max_tokens=3)])
    assert [delta.text for delta in deltas] == ["x", "", "ab"]


def test_special_tokens_are_not_text():
    (deltas,), _ = run([to_tokens("ok")], [plan()])
    assert deltas[-1].completion.text == "ok"
    assert deltas[-1].completion.usage.completion_tokens == 3


@pytest.mark.parametrize("after", [0, 1, 3])
def test_cancelling_ends_every_row_with_what_it_has(after):
    steps = iter([False] * after + [True])
    together, _ = run([to_tokens("abcdef"), to_tokens("b")], [plan(), plan()], cancelled=lambda: next(steps))
    first = together[0][-1].completion
    assert first.finish_reason is FinishReason.CANCELLED
    assert first.text == "abcdef"[:after]
    assert len(together[0]) == after + 1
    second = together[1][-1].completion
    assert second.finish_reason is (FinishReason.STOP if after > 1 else FinishReason.CANCELLED)
