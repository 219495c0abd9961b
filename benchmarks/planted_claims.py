"""Claims planted about real paragraphs: some say what a paragraph says, others are corrupted in one known way.

Each kind is a small rule over a sentence of XQuAD's or FaQuAD's paragraphs.  Faithful kinds keep what is said (the same
words, another order, other words, other units); corrupted kinds change it (a number, a name, a negation, an opposite, a
verb, who does what to whom, another paragraph).  The rules and their word lists are this module's own, so that what
`lavra.ground` knows is not what it is measured with; opposites that both know are a kind of their own.

Deliberately absent: corruptions that a person would not see as such; a rule that does not apply to a sentence says so.
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
        kind: of the rule that made it.
        faithful: whether its evidence says so.
        sentence: the claim.
        evidence: the paragraph it is checked against.
        portuguese: its language; English otherwise.
    """

    kind: str
    faithful: bool
    sentence: str
    evidence: str
    portuguese: bool


def plant(paragraphs: Sequence[Paragraph], most: int, seed: int) -> list[Claim]:
    """At most so many claims of each kind, of sentences drawn by a seed."""
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
