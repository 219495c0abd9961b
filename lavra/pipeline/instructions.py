"""Training samples made from the text alone: instructions with answers, and pairs for retrieval.

Python source gives samples from its docstrings (`samples.code`).
Any other text gives questions on its continuation, the text under a heading, the paragraph of a sentence, a missing
word and a summary (`samples.prose`).
Source code without docstrings gives continuations, unless documented code gives more: tables and lists teach less.

Held-out text is never learnt: training samples come from training documents, held-out samples from held-out documents.
A held-out sample is left out (and counted) where its question or its answer is in training too, whatever its case
and spaces.
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

_MAX_BYTES: Final = 256  # UTF-8 bytes of question and answer, where no context sets the limit

_Sample = TypeVar("_Sample")


@dataclass(kw_only=True)
class Account:
    """Counts of the documents of one split, by outcome.

    Attributes:
        documents: documents read.
        not_python: documents that do not parse as Python, or define no function or class.
        passages: documents whose passages give samples.
        definitions: definitions with a usable docstring.
        undocumented: definitions without a usable docstring; they give no samples.
        plain_code: documents of source code without a usable docstring.
        empty: documents that give no samples.
        unread: documents not read, because the others are enough.
        repeated: samples left out because their question is already present.
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
class SplitSamples:
    """The samples of one split, in random order, so the first samples represent all.

    Attributes:
        instructions: instructions for the adapt stage.
        pairs: pairs for the encoder.
        account: counts of the documents, by outcome.
        continues_code: whether the samples hold continuations of undocumented source code.
    """

    instructions: tuple[Instruction, ...]
    pairs: tuple[Pair, ...]
    account: Account = field(default_factory=Account)
    continues_code: bool = False


def make_samples(
    documents: Iterable[Document], seed: int, *, max_bytes: int = _MAX_BYTES, training: SplitSamples | None = None
) -> SplitSamples:
    """Make all samples of the documents of one split.

    Args:
        documents: documents of the split.
        seed: seed of the questions, the choices and the order.
        max_bytes: UTF-8 bytes of a question about prose and its answer.
        training: samples of the training split, where this split is the held-out one.
    """
    account = Account()
    described, plain = list[Samples](), list[Samples]()
    for document in documents:
        found, says_nothing = _samples_of(document, seed, max_bytes, account)
        (plain if says_nothing else described).append(found)
    continues = account.definitions < account.plain_code if training is None else training.continues_code
    account.passages += account.plain_code if continues else 0
    instructions: dict[tuple[str, str], Instruction] = {}
    pairs: dict[tuple[str, str], Pair] = {}
    for found in (*described, *(plain if continues else ())):
        for one in found.instructions:
            account.repeated += instructions.setdefault((one.kind, one.instruction), one) is not one
        for pair in found.pairs:
            account.repeated += pairs.setdefault((pair.kind, pair.anchor), pair) is not pair
    made = SplitSamples(
        instructions=_shuffled(instructions.values(), seed),
        pairs=_shuffled(pairs.values(), seed),
        account=account,
        continues_code=continues,
    )
    return made if training is None else _without(made, training)


def count_kinds(samples: Iterable[Instruction | Pair]) -> dict[str, int]:
    """Samples of each kind."""
    return dict(Counter(one.kind for one in samples))


def _samples_of(document: Document, seed: int, max_bytes: int, account: Account) -> tuple[Samples, bool]:
    """The samples of a document, and whether it is undocumented code.

    Definitions give the samples where there are any, else passages do.
    """
    definitions = read_definitions(document.text)
    account.documents += 1
    account.not_python += definitions is None
    if definitions is not None:
        account.definitions += len(definitions.found)
        account.undocumented += definitions.undocumented
    if definitions is not None and definitions.found:
        return code_samples(definitions.found, document, random.Random(f"{seed} {document.id}")), False
    is_code = definitions is not None or document.kind == "code"
    found = prose_samples(document, seed, max_bytes, is_code=is_code)
    account.plain_code += is_code
    account.passages += not is_code
    account.empty += not found.instructions and not found.pairs
    return found, is_code


def _shuffled(samples: Iterable[_Sample], seed: int) -> tuple[_Sample, ...]:
    order = list(samples)
    random.Random(seed).shuffle(order)
    return tuple(order)


def _without(made: SplitSamples, training: SplitSamples) -> SplitSamples:
    """The samples whose question and answer are both absent from training.

    An answer that is a single name or word may repeat: it reveals nothing.
    """
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
    """A key that is equal for texts that differ only in case and spaces."""
    return " ".join(text.casefold().split())
