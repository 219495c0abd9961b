"""Samples to be taught from, made of Python sources alone: instructions with answers, and pairs for retrieval.

Each documented function or class (`definitions`) says itself what it does, so it is question and answer at once:

| kind | asked | answered |
|---|---|---|
| `describe` | its signature | the first paragraph of its docstring |
| `signature` | that paragraph | the signature |
| `complete` | signature and docstring | the body |
| `choose` | the paragraph's first sentence, and three signatures of the document | the name of the right one |

The first three are an instruction-style pass over what the text holds (Wei et al. 2022, arXiv:2109.01652, in small);
the fourth is answered by reading, so it has a known chance of one in three.  Pairs for a sentence encoder are
`signature` (signature and paragraph) and `question` (first sentence; signature and what else the docstring says).

Nothing held out is learnt: samples to learn from are of training documents, samples to measure on of held-out ones,
and a held-out sample is left out (and counted) where its question or its answer is in training too.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, TypeVar

from lavra.base.types import Document
from lavra.pipeline.definitions import CodeDefinition, read_definitions

InstructionKind = Literal["describe", "signature", "complete", "choose"]
PairKind = Literal["signature", "question"]
KINDS: Final[tuple[InstructionKind, ...]] = ("describe", "signature", "complete", "choose")
PAIR_KINDS: Final[tuple[PairKind, ...]] = ("signature", "question")
NUM_CHOICES: Final = 3

_Sample = TypeVar("_Sample")


class Instruction(NamedTuple):
    """One thing asked and answered.

    Attributes:
        kind: `describe`, `signature`, `complete` or `choose`.
        instruction: what is asked.
        output: the answer.
        source: where it is from: document and line.
    """

    kind: str
    instruction: str
    output: str
    source: str


class Pair(NamedTuple):
    """Two texts that belong together.

    Attributes:
        kind: `signature` or `question`.
        anchor: what is looked with.
        positive: what it is to find.
        source: where it is from: document and line.
    """

    kind: str
    anchor: str
    positive: str
    source: str


@dataclass(kw_only=True)
class Account:
    """What became of the documents of one split.

    Attributes:
        documents: looked at.
        not_python: that do not parse as Python, or define nothing.
        definitions: with a docstring that says something.
        undocumented: without one; nothing is made of them.
        repeated: samples whose question was there already.
        in_training: held-out samples left out because training has their question or their answer.
    """

    documents: int = 0
    not_python: int = 0
    definitions: int = 0
    undocumented: int = 0
    repeated: int = 0
    in_training: int = 0


@dataclass(frozen=True, kw_only=True)
class Made:
    """What was made of one split, in an order drawn at random, so that its first samples stand for all.

    Attributes:
        instructions: for the adapt stage.
        pairs: for the encoder.
        account: what else there was.
    """

    instructions: tuple[Instruction, ...]
    pairs: tuple[Pair, ...]
    account: Account = field(default_factory=Account)


def make_samples(documents: Iterable[Document], seed: int, *, training: Made | None = None) -> Made:
    """Everything the documents of one split have to teach.

    Args:
        documents: of the split.
        seed: of the choices offered and the order.
        training: what was made of the training split, where this is the held-out one.
    """
    account = Account()
    instructions: dict[tuple[str, str], Instruction] = {}
    pairs: dict[tuple[str, str], Pair] = {}
    for document in documents:
        account.documents += 1
        found = read_definitions(document.text)
        if found is None:
            account.not_python += 1
            continue
        account.definitions += len(found.found)
        account.undocumented += found.undocumented
        draw = random.Random(f"{seed} {document.id}")
        for one in _instructions(found.found, document, draw):
            account.repeated += instructions.setdefault((one.kind, one.instruction), one) is not one
        for pair in _pairs(found.found, document):
            account.repeated += pairs.setdefault((pair.kind, pair.anchor), pair) is not pair
    made = Made(
        instructions=_shuffled(instructions.values(), seed),
        pairs=_shuffled(pairs.values(), seed),
        account=account,
    )
    return made if training is None else _without(made, training)


def count_kinds(samples: Iterable[Instruction | Pair]) -> dict[str, int]:
    """Samples of each kind."""
    return dict(Counter(one.kind for one in samples))


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
            choices = "\n".join(f"- {signature}" for signature in offered)
            yield Instruction("choose", f"Which one is this? {one.question}\n\n{choices}", one.name, source)


def _offered(one: CodeDefinition, found: Sequence[CodeDefinition], draw: random.Random) -> list[str]:
    """The definition's signature among those of others, of other names; empty where the document has too few."""
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


def _shuffled(samples: Iterable[_Sample], seed: int) -> tuple[_Sample, ...]:
    order = list(samples)
    random.Random(seed).shuffle(order)
    return tuple(order)


def _without(made: Made, training: Made) -> Made:
    """What training has neither the question nor the answer of; a name alone gives nothing away."""
    asked = {(one.kind, _question(one)) for one in training.instructions}
    answered = {(one.kind, one.output) for one in training.instructions if one.kind != "choose"}
    kept = tuple(
        one
        for one in made.instructions
        if (one.kind, _question(one)) not in asked and (one.kind, one.output) not in answered
    )
    known = {text for pair in training.pairs for text in (pair.anchor, pair.positive)}
    pairs = tuple(pair for pair in made.pairs if known.isdisjoint((pair.anchor, pair.positive)))
    made.account.in_training = len(made.instructions) - len(kept) + len(made.pairs) - len(pairs)
    return Made(instructions=kept, pairs=pairs, account=made.account)


def _question(one: Instruction) -> str:
    """What is asked, without the choices offered, which another document would not offer."""
    return one.instruction.partition("\n\n")[0] if one.kind == "choose" else one.instruction
