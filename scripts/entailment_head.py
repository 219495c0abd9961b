"""An entailment head for grounding: pairs of ASSIN 2 and RTE, finetuning, and accuracy on held-out pairs for its card.

    LAVRA_DATA=data python scripts/entailment_head.py pairs pairs/            # training, validation and test files
    lavra finetune minilm-folder --task classify --data pairs/train.jsonl --heldout pairs/validation.jsonl \
        --max-tokens 128 --learning-rate 1e-4 --name entailment
    python scripts/entailment_head.py measure lavra-workspace/models/entailment pairs/

`measure` writes the balanced accuracy on ASSIN 2's test pairs (Portuguese) and RTE's development pairs (English) on the
head's card; `lavra.ground.entailment.judge_head` reads it there.  CommitmentBank's pairs (SuperGLUE) are measured and
printed too.  Contradictory and neutral pairs are both `not_entailment`.  No test pair is among the training pairs.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from lavra.api.load import load
from lavra.base.card import add_metrics
from lavra.base.errors import InputError
from lavra.base.predictions import ClassifyRequest
from lavra.ground.check import ENTAILMENT
from lavra.ground.entailment import METRIC, judge_head
from lavra.ground.words import Language

Pair = dict[str, str]

OTHER = "not_entailment"
TESTS = {"assin2-test": Language.PORTUGUESE, "rte-dev": Language.ENGLISH, "cb-dev": None}
"""Test files and the language whose balanced accuracy they decide; CommitmentBank is too small to decide anything."""
VALIDATION = 250  # pairs of RTE's training part that are kept for validation


def pair(premise: str, hypothesis: str, label: str) -> Pair:
    """A line of the files as JSON."""
    return {"premise": premise, "hypothesis": hypothesis, "label": ENTAILMENT if label == ENTAILMENT else OTHER}


def read_assin(path: Path) -> list[Pair]:
    """Pairs of ASSIN 2's XML."""
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    found = ElementTree.fromstring(text)
    return [pair(one.findtext("t", ""), one.findtext("h", ""), one.get("entailment", "").lower()) for one in found]


def read_rte(path: Path) -> list[Pair]:
    """Pairs of GLUE's table."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [pair(row["sentence1"], row["sentence2"], row["label"]) for row in rows]


def read_superglue(path: Path) -> list[Pair]:
    """Pairs of SuperGLUE's lines."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [pair(row["premise"], row["hypothesis"], row["label"]) for row in rows]


def write_pairs(folder: Path) -> None:
    """Write training, validation and test files.

    Raises:
        InputError: `LAVRA_DATA` names no folder.
    """
    data = Path(os.environ.get("LAVRA_DATA", ""))
    if not (data / "glue").is_dir():
        raise InputError(f"LAVRA_DATA is {str(data)!r}; it must name the folder of public data that has glue/assin")
    assin, rte = data / "glue" / "assin", read_rte(data / "glue" / "RTE" / "train.tsv")
    random.Random(0).shuffle(rte)
    train = [*read_assin(assin / "assin2-train-only.xml.gz"), *rte[VALIDATION:]]
    known = [(one["premise"], one["hypothesis"]) for one in train]
    validation = [*read_assin(assin / "assin2-dev.xml"), *rte[:VALIDATION]]
    files = {
        "train": train,
        "validation": [one for one in validation if (one["premise"], one["hypothesis"]) not in known],
        "assin2-test": read_assin(assin / "assin2-test.xml"),
        "rte-dev": read_rte(data / "glue" / "RTE" / "dev.tsv"),
        "cb-dev": read_superglue(data / "superglue" / "CB" / "val.jsonl"),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, pairs in files.items():
        lines = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in pairs)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
        print(f"{name}: {len(pairs):,} pairs, {sum(one['label'] == ENTAILMENT for one in pairs):,} entailed")


def balanced_accuracy(pairs: Sequence[Pair], said: Sequence[str]) -> float:
    """Mean of two shares: entailed pairs judged as entailed, and other pairs judged as others."""
    shares = []
    for label in (ENTAILMENT, OTHER):
        right = [answer == label for one, answer in zip(pairs, said, strict=True) if one["label"] == label]
        shares.append(sum(right) / len(right))
    return sum(shares) / len(shares)


def measure(head: Path, folder: Path) -> None:
    """Write balanced accuracy on each test file to the head's card.

    Raises:
        InputError: the folder has no head with the label `entailment`.
    """
    predictor = load(str(head)).predictor
    if predictor is None or ENTAILMENT not in predictor.labels:
        raise InputError(f"{head} has no head with the label {ENTAILMENT!r}; make one with lavra finetune")
    found = {}
    for name, language in TESTS.items():
        pairs = read_superglue(folder / f"{name}.jsonl")
        requests = [ClassifyRequest(text=(one["premise"], one["hypothesis"]), truncate=True) for one in pairs]
        score = balanced_accuracy(pairs, [answer.value.label for answer in predictor.predict(requests)])
        print(f"{name}: balanced accuracy {score:.4f} on {len(pairs):,} pairs")
        if language is not None:
            found[language.value] = score
    add_metrics(head, {METRIC: found})
    print(judge_head(head))


def main() -> int:
    """Write the pairs, or measure a head."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("pairs", help="write the files").add_argument("folder", type=Path)
    measuring = verbs.add_parser("measure", help="measure a head and note it on its card")
    measuring.add_argument("head", type=Path)
    measuring.add_argument("folder", type=Path, help="where `pairs` wrote the files")
    args = parser.parse_args()
    try:
        if args.verb == "pairs":
            write_pairs(args.folder)
        else:
            measure(args.head, args.folder)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
