"""Corrupted claims that grounding finds, and faithful claims that it rejects by mistake, by kind.

Claims are planted about the real paragraphs of XQuAD (English) and FaQuAD (Portuguese), see `planted_claims.py`, and
each is checked against its paragraph.  The baseline is K-Precision (Adlakha et al. 2023): the share of the claim's
words that the paragraph contains, at the best threshold for these claims.

    python benchmarks/grounding.py
    python benchmarks/grounding.py --head lavra-workspace/models/entailment    # an entailment head beside the rules
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from claim_sources import read_paragraphs
from corrupted_claims import CORRUPTED
from faithful_claims import FAITHFUL
from labelled_tasks import NOT_MEASURED, AbsentDataError, public_data
from planted_claims import Claim, plant
from result import Result, print_table

from lavra.api.load import load
from lavra.ground.check import check_sentence
from lavra.ground.config import GroundConfig
from lavra.ground.entailment import judge_head
from lavra.ground.words import language_of, read_words

MOST, MOST_SMOKE = 200, 12  # most claims of a kind and language
BAR = 1.15  # times the macro average of word overlap
THRESHOLDS = tuple(step / 100 for step in range(30, 101))


def planted(most: int, seed: int) -> list[Claim]:
    """Planted claims in both languages."""
    folder = public_data() / "qa"
    english = read_paragraphs(folder / "xquad" / "xquad.en.json", portuguese=False)
    portuguese = read_paragraphs(folder / "faquad" / "dataset.json", portuguese=True)
    return [*plant(english, most, seed), *plant(portuguese, most, seed)]


def overlap(claim: Claim) -> float:
    """Share of a claim's content words that its paragraph contains."""
    language = language_of(claim.evidence)
    words = [word.stem for word in read_words(claim.sentence, language) if not word.ties]
    known = {word.stem for word in read_words(claim.evidence, language)}
    return sum(word in known for word in words) / max(1, len(words))


def macro(right: Mapping[str, float]) -> float:
    """Average of two means: over faithful kinds and over corrupted kinds."""
    sides = [[right[kind] for kind in kinds if kind in right] for kinds in (FAITHFUL, CORRUPTED)]
    return sum(sum(side) / len(side) for side in sides) / len(sides)


def by_kind(claims: Sequence[Claim], supported: Sequence[bool]) -> dict[str, float]:
    """Share of rightly judged claims of each kind."""
    found: dict[str, list[bool]] = {}
    for claim, said in zip(claims, supported, strict=True):
        found.setdefault(claim.kind, []).append(said == claim.faithful)
    return {kind: sum(right) / len(right) for kind, right in found.items()}


def precision_and_recall(claims: Sequence[Claim], supported: Sequence[bool]) -> tuple[float, float]:
    """Precision and recall of the verdict `unsupported`; corrupted claims are the positives."""
    pairs = list(zip(claims, supported, strict=True))
    called = [claim for claim, said in pairs if not said]
    corrupted = [said for claim, said in pairs if not claim.faithful]
    return sum(not claim.faithful for claim in called) / max(1, len(called)), corrupted.count(False) / len(corrupted)


def best_overlap(claims: Sequence[Claim]) -> tuple[float, dict[str, float]]:
    """The threshold of word overlap with the best macro average, and its results by kind."""
    shares = [overlap(claim) for claim in claims]
    tried = {threshold: by_kind(claims, [share >= threshold for share in shares]) for threshold in THRESHOLDS}
    best = max(tried, key=lambda threshold: macro(tried[threshold]))
    return best, tried[best]


def checked(claims: Sequence[Claim], folder: Path | None) -> list[bool]:
    """Whether each claim is supported, by the rules and, where a folder is named, its entailment head.

    Raises:
        InputError: the folder has no head, or its card has no accuracy.
    """
    head, config = None, GroundConfig()
    if folder is not None:
        verdict = judge_head(folder)
        print(verdict)
        head, config = load(folder).predictor, GroundConfig(head_languages=tuple(verdict.languages))
    return [
        check_sentence(claim.sentence, [claim.evidence], entailment=head, config=config).supported for claim in claims
    ]


def table(claims: Sequence[Claim], columns: Mapping[str, Mapping[str, float]]) -> list[list[str]]:
    """A heading and a row for each kind: number of claims, and the share that each column judged rightly."""
    rows = [["kind", "claims", *columns]]
    for kind in (*FAITHFUL, *CORRUPTED):
        count = sum(claim.kind == kind for claim in claims)
        if count:
            rows.append(
                [kind, str(count), *(f"{right[kind]:.3f}" if kind in right else "-" for right in columns.values())]
            )
    return [*rows, ["macro average", str(len(claims)), *(f"{macro(right):.3f}" for right in columns.values())]]


def main() -> int:
    """Plant claims, check them, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="end with one JSON line")
    parser.add_argument("--smoke", action="store_true", help="few claims of each kind")
    parser.add_argument("--seed", type=int, default=0, help="seed of the claims")
    parser.add_argument("--head", type=Path, help="folder of an entailment head, measured beside the rules")
    args = parser.parse_args()
    try:
        claims = planted(MOST_SMOKE if args.smoke else MOST, args.seed)
    except AbsentDataError as error:
        print(error, file=sys.stderr)
        return NOT_MEASURED
    supported = checked(claims, None)
    ours = by_kind(claims, supported)
    threshold, peer = best_overlap(claims)
    columns = {"rules": ours, f"words >= {threshold:.2f}": peer}
    if args.head:
        columns["rules and head"] = by_kind(claims, checked(claims, args.head))
    for portuguese, language in ((False, "XQuAD, English"), (True, "FaQuAD, Portuguese")):
        some = [place for place, claim in enumerate(claims) if claim.portuguese == portuguese]
        columns[language] = by_kind([claims[place] for place in some], [supported[place] for place in some])
    print_table(table(claims, columns))
    precision, recall = precision_and_recall(claims, supported)
    print(f"unsupported: precision {precision:.3f}, recall {recall:.3f}")
    ratio = macro(ours) / macro(peer)
    if args.json:
        result = Result(
            claim="planted claims judged rightly (macro average of kinds), beside the share of words at its best",
            ours=macro(ours),
            peers={"word overlap": macro(peer)},
            ratio=ratio,
            bar=BAR,
            holds=ratio >= BAR,
            packages=("PyStemmer",),
            details={"precision": precision, "recall": recall, "by_kind": ours, "claims": len(claims)},
        )
        print(result.line())
    return 0


if __name__ == "__main__":
    sys.exit(main())
