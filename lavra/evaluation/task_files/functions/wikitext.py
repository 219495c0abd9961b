"""WikiText (Merity et al. 2016), detokenised; words and bytes are those of the page before that."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

# Order matters: each of these is applied to what the ones before it left.
_FIRST = (
    ("s '", "s'"), (" @-@ ", "-"), (" @,@ ", ","), (" @.@ ", "."), (" : ", ": "), (" ; ", "; "), (" . ", ". "),
    (" ! ", "! "), (" ? ", "? "), (" , ", ", "),
)  # fmt: skip
_BRACKETS = (
    (r"\(\s*([^\)]*?)\s*\)", r"(\1)"),
    (r"\[\s*([^\]]*?)\s*\]", r"[\1]"),
    (r"{\s*([^}]*?)\s*}", r"{\1}"),
    (r"\"\s*([^\"]*?)\s*\"", r'"\1"'),
    (r"'\s*([^']*?)\s*'", r"'\1'"),
)
_LAST = (
    ("= = = =", "===="), ("= = =", "==="), ("= =", "=="), (" " + chr(176) + " ", chr(176)), (" \n", "\n"),
    ("\n ", "\n"), (" N ", " 1 "), (" 's", "'s"),
)  # fmt: skip


def wikitext_detokenizer(row: dict[str, Any]) -> str:
    """The page as people write."""
    text: str = row["page"]
    text = text.replace(*_FIRST[0])
    text = re.sub(r"/' [0-9]/", r"/'[0-9]/", text)
    for old, new in _FIRST[1:]:
        text = text.replace(old, new)
    for pattern, replacement in _BRACKETS:
        text = re.sub(pattern, replacement, text)
    for old, new in _LAST:
        text = text.replace(old, new)
    return text


def process_results(row: dict[str, Any], results: Sequence[float]) -> dict[str, tuple[float, int]]:
    """Log-likelihood beside the words and bytes of the original page."""
    (logprob,) = results
    words, num_bytes = len(re.split(r"\s+", row["page"])), len(row["page"].encode("utf-8"))
    return {
        "word_perplexity": (logprob, words),
        "byte_perplexity": (logprob, num_bytes),
        "bits_per_byte": (logprob, num_bytes),
    }
