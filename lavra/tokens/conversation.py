"""A conversation as token ids: training, serving and export read the text of a chat template here.

The template writes the special tokens itself, so they are read as such and none are added around the text.  Where a
tokenizer begins every text with its beginning-of-text token, a conversation begins with exactly one, too: the template
must write it (`{{ bos_token }}`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tokenizers

from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE
from lavra.tokens.tokenizer import Tokenizer


def conversation_ids(
    tokenizer: Tokenizer,
    messages: Sequence[Mapping[str, Any]],
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
    add_generation_prompt: bool = True,
    variables: Mapping[str, Any] | None = None,
) -> list[int]:
    """Token ids of a conversation, as its model reads it; arguments as in `Tokenizer.apply_chat_template`.

    Raises:
        InputError: there is no template, it is malformed, or it refuses the conversation.
    """
    text = tokenizer.apply_chat_template(
        messages, tools=tools, add_generation_prompt=add_generation_prompt, variables=variables
    )
    return rendered_ids(tokenizer, text)


def rendered_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """Token ids of a text that a chat template wrote.

    Raises:
        InputError: the text is not valid Unicode.
    """
    return tokenizer.encode(text, add_special_tokens=False, parse_special=True)


def rendered_encodings(tokenizer: Tokenizer, texts: Sequence[str]) -> list[tokenizers.Encoding]:
    """Token ids of several such texts, with the characters of each token."""
    return tokenizer.backend.encode_batch(texts, add_special_tokens=False)


def begins_texts(tokenizer: Tokenizer) -> bool:
    """Whether the tokenizer puts its beginning-of-text token in front of every text."""
    plain, framed = tokenizer.encode("a"), tokenizer.encode("a", add_special_tokens=True)
    return framed[:1] == [tokenizer.bos_id] != plain[:1]


def wrong_beginning(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """The fault of the beginning of a text's ids; empty where it begins once.

    A tokenizer that begins texts with its beginning-of-text token wants exactly one; another wants one at most.
    """
    bos, count = tokenizer.bos_id, 0
    if bos is None:
        return ""
    while count < len(ids) and ids[count] == bos:
        count += 1
    if count > 1:
        return f"the beginning-of-text token {tokenizer.token(bos)!r} stands {count} times in front, and 1 is right"
    if count == 0 and begins_texts(tokenizer):
        return f"the beginning-of-text token {tokenizer.token(bos)!r} is missing in front, and 1 is right"
    return ""


def with_template(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer as conversations are learnt and served with it: with lavra's plain template where it has none."""
    if tokenizer.chat_template is not None:
        return tokenizer
    return tokenizer.with_chat_template(DEFAULT_CHAT_TEMPLATE)
