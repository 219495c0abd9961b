"""A copy of a tokenizer that spells out special tokens written in a text.

The library's own switch keeps added tokens from being found in a text.  A Unigram model with `</s>` among its pieces,
as T5's, finds them once more by itself, so in its copy those pieces are renamed to what no text holds; their ids, and
all others, stay as they are.
"""

from __future__ import annotations

import json

import tokenizers

_NO_TEXT = "\ufdd2"  # one of Unicode's noncharacters


def spelling_copy(backend: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
    """The copy; what post-processors put around a text is as before."""
    raw = json.loads(backend.to_str())
    if raw["model"]["type"] == "Unigram":
        special = {token["content"] for token in raw["added_tokens"] if token["special"]}
        for place, piece in enumerate(raw["model"]["vocab"]):
            if piece[0] in special:
                piece[0] = f"{_NO_TEXT}{place}"
    copy = tokenizers.Tokenizer.from_str(json.dumps(raw))
    copy.encode_special_tokens = True
    return copy
