"""Prompts at the edges of the context: the longest that fits, the shortest that does not, and truncation."""

from __future__ import annotations

import pytest

from lavra.base.errors import ContextLengthError
from lavra.base.types import GenerateRequest
from lavra.generate.planned_request import plan_request
from lavra.generate.prompt_encoding import PromptEncoding, special_frame
from tests.generate.tiny import tiny_in_process, tiny_tokenizer

CONTEXT = 16


def encoding(*, decoder_start=None, source_context=None):
    tokenizer = tiny_tokenizer()
    return PromptEncoding(
        tokenizer=tokenizer,
        frame=special_frame(tokenizer),
        context=CONTEXT,
        source_context=source_context,
        decoder_start=decoder_start,
        vocab_size=tokenizer.vocab_size,
    )


def ids(count):
    """Ids that are not special."""
    return tuple(range(20, 20 + count))


@pytest.mark.parametrize("length", range(1, CONTEXT + 3))
def test_a_prompt_fits_where_it_leaves_room_for_one_token(length):
    request = GenerateRequest(prompt=ids(length), max_tokens=5)
    if length >= CONTEXT:
        with pytest.raises(ContextLengthError, match=f"{length} tokens and the model's context {CONTEXT}"):
            plan_request(request, encoding())
        return
    plan = plan_request(request, encoding())
    assert plan.prompt == request.prompt
    assert plan.truncated_tokens == 0
    assert plan.max_tokens == min(5, CONTEXT - length)
    assert any("max_tokens was lowered" in warning for warning in plan.warnings) == (length + 5 > CONTEXT)


@pytest.mark.parametrize("length", [CONTEXT - 1, CONTEXT, CONTEXT + 1, 5 * CONTEXT])
@pytest.mark.parametrize("max_tokens", [1, 5, CONTEXT // 2, CONTEXT, 10 * CONTEXT])
def test_truncation_makes_room_for_the_completion_up_to_half_the_context(length, max_tokens):
    request = GenerateRequest(prompt=ids(length), max_tokens=max_tokens, truncate_prompt=True)
    plan = plan_request(request, encoding())
    if length < CONTEXT:
        assert plan.prompt == request.prompt
        return
    kept = CONTEXT - min(max_tokens, CONTEXT // 2)
    assert plan.prompt == request.prompt[-kept:]
    assert plan.truncated_tokens == length - kept
    assert plan.max_tokens == min(max_tokens, CONTEXT - kept)


@pytest.mark.parametrize("length", [6, 7, 8])
def test_a_source_may_fill_the_encoders_whole_context(length):
    """The decoder writes in its own context, so the source may fill the encoder's."""
    request = GenerateRequest(prompt=ids(length), max_tokens=5)
    place = encoding(decoder_start=0, source_context=7)
    if length > 7:
        with pytest.raises(ContextLengthError, match="8 tokens and the model's context 7"):
            plan_request(request, place)
        return
    plan = plan_request(request, place)
    assert (plan.source, plan.prompt, plan.max_tokens) == (request.prompt, (0,), 5)


def test_the_longest_prompt_gets_its_one_token():
    model = tiny_in_process()  # a context of 64
    ((completion,),) = model.generate([GenerateRequest(prompt=ids(63), max_tokens=9)])
    assert len(completion.tokens) == 1
    with pytest.raises(ContextLengthError, match="64 tokens and the model's context 64"):
        model.generate([GenerateRequest(prompt=ids(64), max_tokens=9)])
