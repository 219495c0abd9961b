"""Samples of any text: each of its passages is question and answer in five ways, and a pair in three.

| kind | asked | answered | pair |
|---|---|---|---|
| `continue` | the beginning of a passage | how it goes on | `continue` |
| `section` | a heading | how its section begins | `heading` |
| `paragraph` | a sentence | its paragraph | `sentence` (the paragraph without it) |
| `cloze` | a sentence without a word, and three words | the word | |
| `summary` | a paragraph | its most central sentence | |

Nothing here knows a language but `asking`, which words the questions.  Source code that says nothing of itself is only
continued.
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


def prose_samples(document: Document, seed: int, room: int, *, is_code: bool) -> Samples:
    """Instructions and pairs of a document's passages.

    Args:
        document: any text.
        seed: of the sentences and words asked for.
        room: UTF-8 bytes of question and answer together, but for the words that ask.
        is_code: only continue it.
    """
    passages, locate, asking = Passages(document.text), place_in(document), asking_of(document.text)
    made = list(continuations(passages, locate, asking, room))
    if not is_code:
        runs = list(passages.runs_of_paragraphs(2 * room // 3))  # one and a sentence of it have room together
        made += sections(passages, runs, locate, asking)
        made += paragraphs(passages, runs, locate, asking, seed)
        made += gaps(passages, runs, locate, asking, seed)
        made += summaries(passages, runs, locate, asking)
    return Samples(
        instructions=tuple(one for one in made if isinstance(one, Instruction)),
        pairs=tuple(one for one in made if isinstance(one, Pair)),
    )
