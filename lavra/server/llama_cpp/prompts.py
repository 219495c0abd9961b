"""Prompts and biases in the forms that llama.cpp's clients write: texts and token ids in a row, texts for tokens."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal

from lavra.base.errors import InputError
from lavra.server.llama_cpp.schemas import BiasedToken, NativeBody, NativeCompletionBody, OnePrompt, PromptObject
from lavra.server.schemas import MOST_BIASES
from lavra.server.served import ServedModel

NEVER: Final = -1000.0  # added to a logit; `False` in a request


def is_several(body: NativeCompletionBody) -> bool:
    """Whether `prompt` is a list of prompts: one without a token id on its first level."""
    return isinstance(body.prompt, list) and not any(isinstance(one, int) for one in body.prompt)


def prompts_of(body: NativeCompletionBody) -> list[OnePrompt]:
    """The prompts of a request."""
    found: list[Any] = body.prompt if isinstance(body.prompt, list) and is_several(body) else [body.prompt]
    return found


def ids_of(model: ServedModel, prompt: OnePrompt) -> tuple[int, ...]:
    """The token ids of a prompt; a text at its beginning has the special tokens in front that the model expects."""
    if isinstance(prompt, PromptObject):
        prompt = prompt.prompt_string
    if isinstance(prompt, str):
        prompt = [prompt]
    first, *rest = prompt
    ids = list(model.writer().encoding.prompt_ids(first)) if isinstance(first, str) else [first]
    for part in rest:
        ids += model.tokenizer.encode(part) if isinstance(part, str) else [part]
    return tuple(ids)


def bias_by_token(model: ServedModel, body: NativeBody) -> dict[str, float] | None:
    """`logit_bias` by token id, as OpenAI's protocol has it; a text's bias is that of each of its tokens.

    Raises:
        InputError: there are too many.
    """
    if body.logit_bias is None:
        return None
    found: dict[str, float] = {}
    for token, bias in _biased(body.logit_bias):
        value = NEVER if bias is False else float(bias)
        ids = model.tokenizer.encode(token) if isinstance(token, str) and not token.isdecimal() else [token]
        found |= {str(one): value for one in ids}
    if len(found) > MOST_BIASES:
        raise InputError(f"logit_bias names {len(found)} tokens and at most {MOST_BIASES} are read; leave some out")
    return found


def _biased(given: dict[str, float | Literal[False]] | list[BiasedToken]) -> Iterable[BiasedToken]:
    return given.items() if isinstance(given, dict) else given
