"""Scores of whole corpora against sacrebleu's, on repeated random draws."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import sacrebleu

from lavra.evaluation.items import EvalItem, ItemScore, OutputType, Response
from lavra.evaluation.scoring import aggregate, aggregation, score_item
from lavra.evaluation.task_files.reading import read_task
from lavra.evaluation.task_files.task import EvalTask
from lavra.evaluation.task_files.yaml_file import RawFile

NAMES = ["bleu", "chrf", "chrf++", "ter"]
WORDS = ["the", "cat", "The", "hat", ",", ".", "sat", "não", "on", "1"]


def task() -> EvalTask:
    values = {
        "task": "made", "dataset_path": "json", "dataset_kwargs": {"data_files": "x"}, "test_split": "train",
        "doc_to_text": "q", "doc_to_target": "a", "metric_list": [{"metric": name} for name in NAMES],
    }  # fmt: skip
    return EvalTask(read_task(RawFile(path=Path("made.yaml"), values=values)), Path())


def scored(one: EvalTask, gold: Any, answer: str) -> ItemScore:
    item = EvalItem(task="made", doc_id=0, document={}, kind=OutputType.GENERATE_UNTIL, gold=gold)
    return score_item(one, item, Response(texts=(answer,)))


@pytest.mark.parametrize("num_references", [1, 3])
def test_corpora_score_as_sacrebleu_says(num_references: int) -> None:
    drawn, one = random.Random(num_references), task()

    def text() -> str:
        return " ".join(drawn.choices(WORDS, k=drawn.randint(0, 12)))

    gold = [tuple(text() for _ in range(num_references)) for _ in range(40)]
    answers = [text() for _ in gold]
    items = [
        scored(one, right if num_references > 1 else right[0], answer)
        for right, answer in zip(gold, answers, strict=True)
    ]
    streams = [list(stream) for stream in zip(*gold, strict=True)]
    found = aggregate(one, items)
    assert found == {
        ("none", "bleu"): sacrebleu.corpus_bleu(answers, streams).score,
        ("none", "chrf"): sacrebleu.corpus_chrf(answers, streams).score,
        ("none", "chrf++"): sacrebleu.corpus_chrf(answers, streams, word_order=2).score,
        ("none", "ter"): sacrebleu.corpus_ter(answers, streams).score,
    }
    again = [drawn.randrange(len(gold)) for _ in gold]
    redrawn = sacrebleu.corpus_bleu([answers[n] for n in again], [[stream[n] for n in again] for stream in streams])
    assert aggregation(one, "bleu")([items[n].values["none", "bleu"] for n in again]) == redrawn.score
