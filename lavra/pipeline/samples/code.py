"""Samples of documented Python source: each definition is question and answer at once.

| kind | asked | answered |
|---|---|---|
| `describe` | its signature | the first paragraph of its docstring |
| `signature` | that paragraph | the signature |
| `complete` | signature and docstring | the body |
| `choose` | the paragraph's first sentence, and three signatures of the document | the name of the right one |

The first three are an instruction-style pass over the text (Wei et al. 2022, arXiv:2109.01652, in small);
the fourth is answered by reading, so it has a known chance of one in three.  Pairs for a sentence encoder are
`signature` (signature and paragraph) and `question` (first sentence; signature and the rest of the docstring).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from lavra.base.types import Document
from lavra.pipeline.definitions import CodeDefinition
from lavra.pipeline.samples.sample import NUM_CHOICES, Instruction, Pair, Samples, with_offer


def code_samples(found: Sequence[CodeDefinition], document: Document, draw: random.Random) -> Samples:
    """Make instructions and pairs from a document's definitions.

    Args:
        found: definitions of the document.
        document: document of the definitions.
        draw: random generator for the choice of signatures.
    """
    return Samples(
        instructions=tuple(_instructions(found, document, draw)),
        pairs=tuple(_pairs(found, document)),
    )


def _instructions(found: Sequence[CodeDefinition], document: Document, draw: random.Random) -> Iterator[Instruction]:
    for one in found:
        source = f"{document.source or document.id}:{one.line}"
        yield Instruction("describe", f"What does this do?\n\n{one.signature}", one.description, source)
        yield Instruction("signature", f"Write the signature. {one.description}", one.signature, source)
        if one.body:
            head = f'{one.signature}:\n    """{one.description}"""'
            yield Instruction("complete", f"Complete this function.\n\n{head}", one.body, source)
        offered = _offered(one, found, draw)
        if offered:
            asked = with_offer(f"Which one is this? {one.question}", offered)
            yield Instruction("choose", asked, one.name, source)


def _offered(one: CodeDefinition, found: Sequence[CodeDefinition], draw: random.Random) -> list[str]:
    """The definition's signature among signatures of other names; empty where the document has too few."""
    others = {other.name: other for other in found if other.name != one.name and other.question != one.question}
    if len(others) < NUM_CHOICES - 1:
        return []
    offered = [one.signature, *(others[name].signature for name in draw.sample(sorted(others), NUM_CHOICES - 1))]
    draw.shuffle(offered)
    return offered


def _pairs(found: Sequence[CodeDefinition], document: Document) -> Iterator[Pair]:
    for one in found:
        source = f"{document.source or document.id}:{one.line}"
        yield Pair("signature", one.signature, one.description, source)
        more = " ".join(f"{one.description[len(one.question) :]} {one.rest}".split())
        if more:
            yield Pair("question", one.question, f"{one.signature} {more}", source)
