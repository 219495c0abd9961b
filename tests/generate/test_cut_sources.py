"""A source longer than the encoder's context: its newest tokens are read, and usage counts every cut token."""

import pytest

from lavra.base.types import GenerateRequest
from lavra.generate.planned_request import plan_request
from lavra.generate.prompt_encoding import PromptEncoding, special_frame
from tests.generate.tiny import tiny_tokenizer

CONTEXT, SOURCE = 16, 7


def encoding():
    tokenizer = tiny_tokenizer("t5")
    return PromptEncoding(
        tokenizer=tokenizer,
        frame=special_frame(tokenizer),
        context=CONTEXT,
        source_context=SOURCE,
        decoder_start=0,
        vocab_size=tokenizer.vocab_size,
    )


@pytest.mark.parametrize("length", [SOURCE + 1, 5 * SOURCE])
def test_the_newest_tokens_of_a_source_are_read(length):
    ids = tuple(range(200, 200 + length))
    plan = plan_request(GenerateRequest(prompt=ids, max_tokens=5, truncate_prompt=True), encoding())
    assert plan.source == ids[-SOURCE:]
    assert plan.truncated_tokens == length - SOURCE
    assert plan.num_prompt_tokens == SOURCE + 1
    assert f"the {length - SOURCE} oldest tokens of the prompt were dropped" in plan.warnings[0]


def test_cut_tokens_of_source_and_prompt_are_added_up():
    given = "She loved to play outside. " * 3
    place = encoding()
    length, prompt = len(place.source_ids(given)), tuple(range(200, 225))
    request = GenerateRequest(prompt=prompt, given=given, max_tokens=4, truncate_prompt=True)
    plan = plan_request(request, place)
    assert plan.source == tuple(place.source_ids(given)[-SOURCE:])
    assert plan.prompt == (0, *prompt[-11:])  # the token every text starts with, and room for four
    assert plan.truncated_tokens == (length - SOURCE) + (1 + len(prompt) - 12)
