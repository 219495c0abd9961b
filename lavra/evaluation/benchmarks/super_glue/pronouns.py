"""The Winograd Schema Challenge's prompt: it marks the pronoun by asterisks and makes the tokenised text readable."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


def readable(text: str) -> str:
    """Tokenised text without the spaces before punctuation; lm-evaluation-harness' `general_detokenize`."""
    for spaced, plain in ((" n't", "n't"), (" )", ")"), ("( ", "("), ('" ', '"'), (' "', '"')):
        text = text.replace(spaced, plain)
    return re.sub(r" (['.,])", r"\1", text)


def default_doc_to_text(doc: Mapping[str, Any]) -> str:
    """The passage with its pronoun marked, and the question.  Indices of spans count words."""
    spans = doc["target"]
    pronoun, noun = spans["span2_text"], spans["span1_text"]
    before = " ".join(doc["text"].split()[: spans["span2_index"]])
    after = doc["text"][len(before) + len(pronoun) + 1 :]
    passage = readable(f"{before} *{pronoun}*{after}")
    question = f'In the passage above, does the pronoun "*{pronoun}*" refer to "*{noun}*"?'
    return f"Passage: {passage}\nQuestion: {question}\nAnswer:"
