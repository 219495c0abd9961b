"""A tokenizer that spells out special tokens written in a text, over the vocabulary of another.

The library's own switch keeps added tokens from being found in a text.  It is a state that all threads share, so it is
set on a second tokenizer, which holds the same parts: a vocabulary of 49,152 tokens takes 16 MB, and is there once.

A Unigram model with `</s>` among its pieces, as T5's, finds them once more by itself, so it is copied with those pieces
renamed to strings that no text holds; their ids, and all others, stay as they are.
"""

from __future__ import annotations

import json

import tokenizers

_NO_TEXT = "\ufdd2"  # one of Unicode's noncharacters


def spelling_twin(backend: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
    """The second tokenizer; post-processors put the same tokens around a text as before."""
    unigram = isinstance(backend.model, tokenizers.models.Unigram)
    twin = _renamed(backend) if unigram else _sharing(backend)
    twin.encode_special_tokens = True
    return twin


def _sharing(backend: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
    """Another tokenizer of the same parts; `backend.model` is the vocabulary itself, not a copy."""
    made = tokenizers.Tokenizer(backend.model)
    for part in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
        if getattr(backend, part) is not None:  # the library takes no None
            setattr(made, part, getattr(backend, part))
    for _, token in sorted(backend.get_added_tokens_decoder().items()):  # in this order they get the same ids
        add = made.add_special_tokens if token.special else made.add_tokens
        add([token])
    return made


def _renamed(backend: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
    raw = json.loads(backend.to_str())
    special = {token["content"] for token in raw["added_tokens"] if token["special"]}
    for place, piece in enumerate(raw["model"]["vocab"]):
        if piece[0] in special:
            piece[0] = f"{_NO_TEXT}{place}"
    return tokenizers.Tokenizer.from_str(json.dumps(raw))
