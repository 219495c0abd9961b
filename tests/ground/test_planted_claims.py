"""Planted claims of the benchmark: each kind has the intended form, and a few of each are judged."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from lavra.ground.check import check_sentence

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.mark.data
def test_few_faithful_claims_are_accused_and_most_corrupted_ones_noticed(
    monkeypatch: pytest.MonkeyPatch, lavra_data: Path
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from claim_sources import read_paragraphs
    from corrupted_claims import CORRUPTED
    from faithful_claims import FAITHFUL
    from planted_claims import plant

    folder = lavra_data / "qa"
    claims = [
        *plant(read_paragraphs(folder / "xquad" / "xquad.en.json", portuguese=False)[:80], 4, 1),
        *plant(read_paragraphs(folder / "faquad" / "dataset.json", portuguese=True)[:80], 4, 1),
    ]
    assert all(claim.sentence in claim.evidence for claim in claims if claim.kind == "verbatim")
    assert not any(claim.sentence in claim.evidence for claim in claims if not claim.faithful)
    right = Counter(
        claim.kind for claim in claims if check_sentence(claim.sentence, [claim.evidence]).supported == claim.faithful
    )
    whole = Counter(claim.kind for claim in claims)
    assert sum(right[kind] for kind in FAITHFUL) >= 0.95 * sum(whole[kind] for kind in FAITHFUL)
    seen = [kind for kind in CORRUPTED if kind not in ("another verb", "opposite they do not know")]
    assert sum(right[kind] for kind in seen) >= 0.9 * sum(whole[kind] for kind in seen)
