"""Counted tokens are the tokens that the model reads: against the usage of real models."""

from __future__ import annotations

import pytest

from lavra.base.errors import InputError
from lavra.base.types import GenerateRequest, ScoreRequest
from lavra.model.transformer import Decoder
from lavra.prompts.layout import PromptLayout
from lavra.prompts.render import Rendered, RenderedTurn, render
from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE
from tests.generate.tiny import tiny_in_process
from tests.prompts.fakes import LAYOUT, conversation, example, sentiment


def layout_of(model, **rest) -> PromptLayout:
    frame = model.encoding.frame
    behind = 0 if isinstance(model.model, Decoder) else len(frame.after)
    return PromptLayout(tokenizer=model.tokenizer, num_special=len(frame.before) + behind, **rest)


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_tokens_of_a_text_are_those_the_model_reads(family: str) -> None:
    model = tiny_in_process(family, max_positions=256)
    rendered = render(sentiment(), {"review": "She loved Lily."}, [example("Once upon a time", "good")])
    layout = layout_of(model)
    ((completion,),) = model.generate([GenerateRequest(prompt=layout.prompt(rendered), max_tokens=1)])
    start = 1 if family == "t5" else 0  # the id a decoder starts from is not part of the source
    assert layout.num_tokens(rendered) == completion.usage.prompt_tokens - start


def test_a_conversation_goes_through_the_chat_template() -> None:
    model = tiny_in_process("llama", max_positions=256)
    tokenizer = model.tokenizer.with_chat_template(DEFAULT_CHAT_TEMPLATE)
    layout = PromptLayout(tokenizer=tokenizer, num_special=7)
    rendered = render(conversation(), {"review": "She loved Lily."}, [example("Once", "good")])
    ids = tuple(tokenizer.encode(tokenizer.apply_chat_template(rendered.messages)))
    assert layout.prompt(rendered) == ids
    assert layout.num_tokens(rendered) == len(ids)  # a conversation carries its own special tokens
    ((completion,),) = model.generate([GenerateRequest(prompt=ids, max_tokens=1)])
    assert completion.usage.prompt_tokens == len(ids)
    with pytest.raises(InputError, match="no chat template"):
        PromptLayout(tokenizer=model.tokenizer).num_tokens(rendered)


def test_continuations() -> None:
    assert LAYOUT.continuation(Rendered(text="ab"), " c") == (ScoreRequest(text=" c", given="ab"), None)
    request, last = LAYOUT.continuation(Rendered(turns=(RenderedTurn(role="user", content="ab"),)), "cd")
    assert request == ScoreRequest(text=tuple(map(ord, "<user>ab<assistant>cd")))
    assert last == 2


def test_the_answers_room() -> None:
    layout = PromptLayout(tokenizer=LAYOUT.tokenizer, context=100)
    assert layout.budget(30, strict=True).max_prompt_tokens == 70
    apart = PromptLayout(tokenizer=LAYOUT.tokenizer, context=100, shares_context=False)
    assert apart.budget(300).max_prompt_tokens == 100
    assert LAYOUT.budget(30).max_prompt_tokens is None
