"""Tiny invented files of GLUE and SuperGLUE in the benchmarks' own formats: a few rows of every task."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PASSAGE = "Ana Silva met Rui in Porto.\n@highlight\nRui is a baker"
ENTITIES = [{"start": 0, "end": 8}, {"start": 14, "end": 16}, {"start": 21, "end": 25}, {"start": 39, "end": 41}]


def write_glue(data: Path, count: int = 8) -> Path:
    """Write all tasks to a folder; each set has `count` lines."""
    tables = {
        "CoLA": (None, lambda n: ("gj04", str(n % 2), "*", f'The "cat {n} sat.')),
        "SST-2": (("sentence", "label"), lambda n: (f"a fine film {n} ", str(n % 2))),
        "MRPC": (
            ("Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"),
            lambda n: (str(n % 2), "1", "2", f"One {n}.", f"Two {n}."),
        ),
        "QQP": (
            ("id", "qid1", "qid2", "question1", "question2", "is_duplicate"),
            lambda n: ("0", "1", "2", f"Why {n}?", f"How {n}?", str(n % 2)),
        ),
        "STS-B": (
            ("index", "source1", "source2", "sentence1", "sentence2", "score"),
            lambda n: (str(n), "none", "none", f"A dog {n}.", f"A cat {n}.", str(n % 6)),
        ),
        "QNLI": (
            ("index", "question", "sentence", "label"),
            lambda n: (str(n), f"Who {n}?", f"Ana {n}.", ("entailment", "not_entailment")[n % 2]),
        ),
        "RTE": (
            ("index", "sentence1", "sentence2", "label"),
            lambda n: (str(n), f"Rain {n}.", f"Wet {n}.", ("entailment", "not_entailment")[n % 2]),
        ),
        "WNLI": (
            ("index", "sentence1", "sentence2", "label"),
            lambda n: (str(n), f"It {n}.", f"The {n}.", str(n % 2)),
        ),
    }
    for folder, (header, row) in tables.items():
        for name in ("train", "dev"):
            _write_table(data / "glue" / folder / f"{name}.tsv", header, [row(n) for n in range(count)])
    mnli = [("0", f"A {n}.", f"B {n}.", ("entailment", "neutral", "contradiction")[n % 3]) for n in range(count)]
    for name in ("train", "dev_matched", "dev_mismatched"):
        _write_table(data / "glue/MNLI" / f"{name}.tsv", ("index", "sentence1", "sentence2", "gold_label"), mnli)
    for folder, line in _super_glue().items():
        for name in ("train", "val"):
            _write_lines(data / "superglue" / folder / f"{name}.jsonl", [line(n) for n in range(count)])
    return data


def _super_glue() -> Mapping[str, Any]:
    return {
        "BoolQ": lambda n: {"question": f"is it {n}", "passage": f"It is {n}.", "label": n % 2 == 0},
        "CB": lambda n: {
            "premise": f"She said {n}.",
            "hypothesis": f"It is {n}.",
            "label": ("entailment", "contradiction", "neutral")[n % 3],
        },
        "COPA": lambda n: {
            "premise": f"The man {n} fell.",
            "choice1": "He slipped.",
            "choice2": "He sang.",
            "question": ("cause", "effect")[n % 2],
            "label": n % 2,
        },
        "MultiRC": lambda n: {
            "passage": {
                "text": f"Ana ate {n} figs.",
                "questions": [
                    {
                        "question": "Who ate?",
                        "answers": [{"text": "Ana", "label": 1}, {"text": "Rui", "label": 0}],
                    },
                    {"question": "What?", "answers": [{"text": "Figs", "label": 1}]},
                ],
            }
        },
        "ReCoRD": lambda n: {
            "passage": {"text": PASSAGE, "entities": ENTITIES},
            "qas": [{"query": "@placeholder bakes bread.", "answers": [{"text": "Rui"}]}],
        },
        "RTE": lambda n: {
            "premise": f"Rain {n}.",
            "hypothesis": f"Wet {n}.",
            "label": ("entailment", "not_entailment")[n % 2],
        },
        "WiC": lambda n: {
            "word": "bank",
            "sentence1": f"A bank {n}.",
            "sentence2": "The bank.",
            **{"start1": 2, "end1": 6, "start2": 4, "end2": 8},
            "label": n % 2 == 0,
        },
        "WSC": lambda n: {
            "text": f"Ana {n} saw Eva because she ran.",
            "target": {"span1_text": "Ana", "span1_index": 0, "span2_text": "she", "span2_index": 5},
            "label": n % 2 == 0,
        },
    }


def _write_table(path: Path, header: Sequence[str] | None, rows: Sequence[Sequence[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(row) for row in (*(() if header is None else (header,)), *rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_lines(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Write lines; BoolQ's development set is compressed, as a large one may be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    if path.parent.name == "BoolQ" and path.stem == "val":
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
