"""Samples to be taught from, made of the text alone: instructions with answers, and pairs for retrieval.

Python source with docstrings says itself what it does (`samples.code`); any other text is asked how it goes on, what
stands under a heading, which paragraph a sentence is of, which word is missing and what sums it up (`samples.prose`).
Source code that says nothing of itself is continued, unless there is more that does: tables and lists teach less.

Nothing held out is learnt: samples to learn from are of training documents, samples to measure on of held-out ones,
and a held-out sample is left out (and counted) where its question or its answer is in training too, in whatever
letters and spaces.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from lavra.base.types import Document
from lavra.pipeline.definitions import read_definitions
from lavra.pipeline.samples.code import code_samples
from lavra.pipeline.samples.prose import prose_samples
from lavra.pipeline.samples.sample import CHOOSING, Instruction, Pair, Samples

ROOM: Final = 256  # UTF-8 bytes of question and answer, where no context says what has room

_Sample = TypeVar("_Sample")


@dataclass(kw_only=True)
class Account:
    """What became of the documents of one split.

    Attributes:
        documents: looked at.
        not_python: that do not parse as Python, or define nothing.
        passages: documents whose passages are asked about.
        definitions: with a docstring that says something.
        undocumented: without one; nothing is made of them.
        plain_code: source code without any.
        empty: documents of which nothing could be made.
        unread: documents not looked at, for the others are enough.
        repeated: samples whose question was there already.
        in_training: held-out samples left out because training has their question or their answer.
    """

    documents: int = 0
    not_python: int = 0
    passages: int = 0
    definitions: int = 0
    undocumented: int = 0
    plain_code: int = 0
    empty: int = 0
    unread: int = 0
    repeated: int = 0
    in_training: int = 0


@dataclass(frozen=True, kw_only=True)
class Made:
    """What was made of one split, in an order drawn at random, so that its first samples stand for all.

    Attributes:
        instructions: for the adapt stage.
        pairs: for the encoder.
        account: what else there was.
        continues_code: whether source code that says nothing of itself is among it.
    """

    instructions: tuple[Instruction, ...]
    pairs: tuple[Pair, ...]
    account: Account = field(default_factory=Account)
    continues_code: bool = False


def make_samples(documents: Iterable[Document], seed: int, *, room: int = ROOM, training: Made | None = None) -> Made:
    """Everything the documents of one split have to teach.

    Args:
        documents: of the split.
        seed: of what is asked and offered, and of the order.
        room: UTF-8 bytes of a question about prose and its answer.
        training: what was made of the training split, where this is the held-out one.
    """
    account = Account()
    told, plain = list[Samples](), list[Samples]()
    for document in documents:
        found, says_nothing = _samples_of(document, seed, room, account)
        (plain if says_nothing else told).append(found)
    continues = account.definitions < account.plain_code if training is None else training.continues_code
    account.passages += account.plain_code if continues else 0
    instructions: dict[tuple[str, str], Instruction] = {}
    pairs: dict[tuple[str, str], Pair] = {}
    for found in (*told, *(plain if continues else ())):
        for one in found.instructions:
            account.repeated += instructions.setdefault((one.kind, one.instruction), one) is not one
        for pair in found.pairs:
            account.repeated += pairs.setdefault((pair.kind, pair.anchor), pair) is not pair
    made = Made(
        instructions=_shuffled(instructions.values(), seed),
        pairs=_shuffled(pairs.values(), seed),
        account=account,
        continues_code=continues,
    )
    return made if training is None else _without(made, training)


def count_kinds(samples: Iterable[Instruction | Pair]) -> dict[str, int]:
    """Samples of each kind."""
    return dict(Counter(one.kind for one in samples))


def _samples_of(document: Document, seed: int, room: int, account: Account) -> tuple[Samples, bool]:
    """What a document gives, of its definitions where it has some, else of its passages; whether it is plain code."""
    definitions = read_definitions(document.text)
    account.documents += 1
    account.not_python += definitions is None
    if definitions is not None:
        account.definitions += len(definitions.found)
        account.undocumented += definitions.undocumented
    if definitions is not None and definitions.found:
        return code_samples(definitions.found, document, random.Random(f"{seed} {document.id}")), False
    is_code = definitions is not None or document.kind == "code"
    found = prose_samples(document, seed, room, is_code=is_code)
    account.plain_code += is_code
    account.passages += not is_code
    account.empty += not found.instructions and not found.pairs
    return found, is_code


def _shuffled(samples: Iterable[_Sample], seed: int) -> tuple[_Sample, ...]:
    order = list(samples)
    random.Random(seed).shuffle(order)
    return tuple(order)


def _without(made: Made, training: Made) -> Made:
    """What training has neither the question nor the answer of; a name or a word alone gives nothing away."""
    asked = {(one.kind, _key(one.question)) for one in training.instructions}
    answered = {(one.kind, _key(one.output)) for one in training.instructions if one.kind not in CHOOSING}
    kept = tuple(
        one
        for one in made.instructions
        if (one.kind, _key(one.question)) not in asked and (one.kind, _key(one.output)) not in answered
    )
    known = {_key(text) for pair in training.pairs for text in (pair.anchor, pair.positive)}
    pairs = tuple(pair for pair in made.pairs if known.isdisjoint((_key(pair.anchor), _key(pair.positive))))
    made.account.in_training = len(made.instructions) - len(kept) + len(made.pairs) - len(pairs)
    return replace(made, instructions=kept, pairs=pairs)


def _key(text: str) -> str:
    """What is the same text to a reader is one key."""
    return " ".join(text.casefold().split())
