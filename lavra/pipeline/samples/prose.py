"""Samples of any text: each passage gives questions and answers of five kinds, and pairs of three.

| kind | asked | answered | pair |
|---|---|---|---|
| `continue` | the beginning of a passage | its continuation | `continue` |
| `section` | a heading | the beginning of its section | `heading` |
| `paragraph` | a sentence | its paragraph | `sentence` (the paragraph without it) |
| `cloze` | a sentence without a word, and three words | the word | |
| `summary` | a paragraph | its most central sentence | |

Only `asking`, which words the questions, depends on the language.
Undocumented source code gives only continuations.
"""

from __future__ import annotations

from lavra.base.types import Document
from lavra.pipeline.samples.asking import asking_of
from lavra.pipeline.samples.cloze import gaps
from lavra.pipeline.samples.continuation import continuations
from lavra.pipeline.samples.heading import sections
from lavra.pipeline.samples.paragraph import paragraphs
from lavra.pipeline.samples.passages import Passages
from lavra.pipeline.samples.sample import Instruction, Pair, Samples, place_in
from lavra.pipeline.samples.summary import summaries


def prose_samples(document: Document, seed: int, max_bytes: int, *, is_code: bool) -> Samples:
    """Make instructions and pairs from a document's passages.

    Args:
        document: any text.
        seed: seed of the choice of sentences and words.
        max_bytes: UTF-8 bytes of question and answer together, without the words of the phrasing.
        is_code: make continuations only.
    """
    passages, locate, asking = Passages(document.text), place_in(document), asking_of(document.text)
    made = list(continuations(passages, locate, asking, max_bytes))
    if not is_code:
        runs = list(passages.runs_of_paragraphs(2 * max_bytes // 3))  # a paragraph and a sentence of it fit together
        made += sections(passages, runs, locate, asking)
        made += paragraphs(passages, runs, locate, asking, seed)
        made += gaps(passages, runs, locate, asking, seed)
        made += summaries(passages, runs, locate, asking)
    return Samples(
        instructions=tuple(one for one in made if isinstance(one, Instruction)),
        pairs=tuple(one for one in made if isinstance(one, Pair)),
    )
