"""WikiText as pages: cuts the file at the titles of articles, and makes the tokenised text readable.

The cut and the readable text are the same as in lm-evaluation-harness (`EleutherAI/wikitext_document_level`,
`preprocess_wikitext`), so that word perplexities are comparable.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

PLAIN = (
    (" @-@ ", "-"), (" @,@ ", ","), (" @.@ ", "."),
    (" : ", ": "), (" ; ", "; "), (" . ", ". "), (" ! ", "! "), (" ? ", "? "), (" , ", ", "),
)  # fmt: skip
PAIRED = (
    (r"\(\s*([^\)]*?)\s*\)", r"(\1)"), (r"\[\s*([^\]]*?)\s*\]", r"[\1]"), (r"{\s*([^}]*?)\s*}", r"{\1}"),
    (r"\"\s*([^\"]*?)\s*\"", r'"\1"'), (r"'\s*([^']*?)\s*'", r"'\1'"),
)  # fmt: skip
LAST = (
    ("= = = =", "===="), ("= = =", "==="), ("= =", "=="), (" \u00b0 ", "\u00b0"),
    (" \n", "\n"), ("\n ", "\n"), (" N ", " 1 "), (" 's", "'s"),
)  # fmt: skip


def is_title(line: str) -> bool:
    """Whether a line is the title of an article, not of a section (`= = … = =`)."""
    line = line.replace("= = =", "===").replace("= =", "==").strip()
    return line.startswith("= ") and line.endswith(" =")


def page_rows(files: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    """Make a row of each article (`page`) in whole files (`text`)."""
    pages: list[list[str]] = [[]]
    for file in files:
        for line in file["text"].split("\n"):
            if is_title(line):
                pages.append([])
            pages[-1].append(line)
    return [{"page": page} for page in map("\n".join, pages) if page.strip()]


def process_docs(dataset: Any) -> Any:
    """The same; lm-evaluation-harness holds rows in a `datasets.Dataset`, lavra in a list."""
    rows = page_rows(list(dataset))
    return rows if isinstance(dataset, list) else type(dataset).from_list(rows)


def wikitext_detokenizer(doc: Mapping[str, str]) -> str:
    """A page without the spaces of its tokenisation."""
    text = re.sub(r"/' [0-9]/", r"/'[0-9]/", doc["page"].replace("s '", "s'"))
    for spaced, plain in PLAIN:
        text = text.replace(spaced, plain)
    for pattern, plain in PAIRED:
        text = re.sub(pattern, plain, text)
    for spaced, plain in LAST:
        text = text.replace(spaced, plain)
    return text


def process_results(doc: Mapping[str, str], results: Sequence[float]) -> dict[str, tuple[float, int]]:
    """The page's log-likelihood beside its words and bytes *before* the spaces were removed."""
    (loglikelihood,) = results
    num_words = len(re.split(r"\s+", doc["page"]))
    num_bytes = len(doc["page"].encode("utf-8"))
    return {
        "word_perplexity": (loglikelihood, num_words),
        "byte_perplexity": (loglikelihood, num_bytes),
        "bits_per_byte": (loglikelihood, num_bytes),
    }
