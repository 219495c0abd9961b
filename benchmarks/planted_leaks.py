"""Planted leaks that the contamination check finds, and clean items that it reports by mistake, by kind.

Items of real benchmarks are halved at random.  One half is planted: each item's texts are written into the middle of a
document of a real corpus, verbatim, re-wrapped (other line breaks, spaces, case, punctuation and accents), or with a
share of the words changed (a third each: another word, a typo, left out).  The other half is clean: it is not in the
corpus.  Each kind of leak has its own corpus and index, so recall and precision are known for each.

    python benchmarks/planted_leaks.py --markdown leaks.md
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from planting import KINDS, Checked, Items, check, read_corpus, read_items
from result import Result, print_table

from lavra.evaluation.contamination.index import ORDER
from lavra.evaluation.contamination.overlap import SHARE, OverlapVerdict

BAR = 0.95  # recall of verbatim and re-wrapped leaks, short items included; precision of every kind
NOT_MEASURED = 77  # exit status where the data is absent
ANY = 1e-9  # threshold of the rule "one shared n-gram is enough"
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)
GPT_3 = 13  # words of an n-gram in GPT-3's rule, where one shared n-gram is enough


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Results for every kind of leak.

    Attributes:
        ours: results by kind, with n-grams of 8 words.
        gpt_3: results by kind, with n-grams of 13 words, where one shared n-gram is enough.
        bytes_per_word: bytes of our index for each word of the corpus.
    """

    ours: Mapping[str, Checked]
    gpt_3: Mapping[str, Checked]
    bytes_per_word: float


def find(corpus: Sequence[str], items: Items) -> Findings:
    """Plant every kind of leak and search for it."""
    ours = {kind: check(kind, corpus, items, ORDER) for kind in KINDS}
    return Findings(
        ours={kind: checked for kind, (checked, _) in ours.items()},
        gpt_3={kind: check(kind, corpus, items, GPT_3)[0] for kind in KINDS},
        bytes_per_word=ours["verbatim"][1],
    )


def rows(found: Findings) -> list[list[str]]:
    """Recall of each kind of leak, false alarms at each threshold, precision at ours, and the same for GPT-3's rule."""
    beside = f"one {GPT_3}-gram"
    table = [["leak", *(f"recall at {one}" for one in THRESHOLDS), f"precision at {SHARE}", f"{beside}: recall"]]
    for kind, one in found.ours.items():
        name = f"{float(kind.split()[0]):.0%} of words changed" if kind.endswith("edited") else kind
        figures = [*map(one.recall, THRESHOLDS), one.precision(SHARE), found.gpt_3[kind].recall(ANY)]
        table.append([name, *(f"{figure:.3f}" for figure in figures)])
    table.append(["clean items accused", *(f"{_mean_alarms(found.ours, at):.4f}" for at in THRESHOLDS), ""])
    table[-1].append(f"{_mean_alarms(found.gpt_3, ANY):.4f}")
    return table


def _mean_alarms(found: Mapping[str, Checked], threshold: float) -> float:
    return sum(one.false_alarms(threshold) for one in found.values()) / len(found)


def too_short(found: Findings) -> float:
    """Share of the items that have no n-gram; they count as not found."""
    one = found.ours["verbatim"]
    both = [*one.leaked, *one.clean]
    return sum(each.verdict() is OverlapVerdict.TOO_SHORT for each in both) / len(both)


def as_markdown(table: Sequence[Sequence[str]]) -> str:
    """The table in the documentation's Markdown."""
    lines = [f"| {' | '.join(row)} |" for row in table]
    return "\n".join([lines[0], "|---" * len(table[0]) + "|", *lines[1:]]) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="end with one JSON line")
    parser.add_argument("--smoke", action="store_true", help="fewer items and a smaller corpus")
    parser.add_argument("--markdown", type=Path, help="file for the table")
    args = parser.parse_args()
    if "LAVRA_DATA" not in os.environ:
        print("LAVRA_DATA is not set; it names the folder of real public data (CONTRIBUTING.md)", file=sys.stderr)
        return NOT_MEASURED
    data, draw = Path(os.environ["LAVRA_DATA"]), random.Random(0)
    items, corpus = read_items(data, 60 if args.smoke else 400, draw), read_corpus(data)
    found = find(corpus[::10] if args.smoke else corpus, items)
    if args.markdown:
        args.markdown.write_text(as_markdown(rows(found)), encoding="utf-8")
    if args.json:
        print(result(found).line())
        return 0
    print_table(rows(found))
    print(f"{sum(map(len, items.values()))} items, {too_short(found):.1%} of them too short to be looked up")
    print(f"{found.bytes_per_word:.2f} bytes of index a word of the corpus")
    return 0


def result(found: Findings) -> Result:
    """The claim: a leak with only its form changed is found, and a clean item is not reported."""
    recall = min(found.ours["verbatim"].recall(SHARE), found.ours["re-wrapped"].recall(SHARE))
    precision = min(one.precision(SHARE) for one in found.ours.values())
    return Result(
        claim="share of planted verbatim and re-wrapped benchmark items that the contamination check finds",
        ours=round(recall, 4),
        peers={"one 13-gram is enough": round(found.gpt_3["re-wrapped"].recall(ANY), 4)},
        ratio=round(recall, 4),
        bar=BAR,
        holds=min(recall, precision) >= BAR,
        packages=("numpy",),
        details={
            "precision": round(precision, 4),
            "recall": {kind: round(one.recall(SHARE), 4) for kind, one in found.ours.items()},
            "too short": round(too_short(found), 4),
            "bytes a word": round(found.bytes_per_word, 2),
        },
    )


if __name__ == "__main__":
    sys.exit(main())
