"""Planted claims about real paragraphs: faithful ones, and ones corrupted in a known way.

Each kind is a small rule over a sentence of XQuAD's or FaQuAD's paragraphs.  Faithful kinds keep the meaning (the same
words, another order, other words, other units); corrupted kinds change it (a number, a name, a negation, an opposite, a
verb, subject and object, another paragraph).  The rules and their word lists belong to this module, so that
`lavra.ground` is not measured with its own lists; opposites that both know are a separate kind.

Deliberately absent: corruptions that a person would not recognise.  A rule that does not apply to a sentence returns
`None`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from claim_sources import Paragraph
from corrupted_claims import CORRUPTED
from faithful_claims import FAITHFUL


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A planted claim.

    Attributes:
        kind: kind of the rule that made it.
        faithful: whether its evidence supports it.
        sentence: text of the claim.
        evidence: the paragraph that it is checked against.
        portuguese: whether it is Portuguese; English otherwise.
    """

    kind: str
    faithful: bool
    sentence: str
    evidence: str
    portuguese: bool


def plant(paragraphs: Sequence[Paragraph], most: int, seed: int) -> list[Claim]:
    """At most `most` claims of each kind, from sentences drawn by a seed."""
    found = []
    for faithful, rules in ((True, FAITHFUL), (False, CORRUPTED)):
        for kind, rule in rules.items():
            draw = random.Random(f"{seed} {kind}")
            sources = [(one, paragraph) for paragraph in paragraphs for one in paragraph.sentences]
            draw.shuffle(sources)
            made = (
                Claim(
                    kind=kind,
                    faithful=faithful,
                    sentence=claim,
                    evidence=paragraph.text,
                    portuguese=paragraph.portuguese,
                )
                for sentence, paragraph in sources
                if (claim := rule(sentence, paragraph, paragraphs, draw)) is not None
            )
            found += [claim for claim, _ in zip(made, range(most), strict=False)]
    return found
