"""The ledger: its entries, its keys, one writer at a time, and files that are not ledgers."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from dataclasses import replace

import pytest

from lavra.base.errors import InputError
from lavra.evaluation.items import AnswerSettings, EvalItem, ItemScore, OutputType, Response, ScoredPair
from lavra.evaluation.ledger import Ledger, SampleKey, read_samples

ITEM = EvalItem(
    task="t",
    doc_id=3,
    document={"q": "?"},
    kind=OutputType.MULTIPLE_CHOICE,
    pairs=(ScoredPair(context="Q:", continuation=" a"), ScoredPair(context="Q:", continuation=" é")),
    choices=("a", "é"),
    gold=1,
    prompt_hash="ab",
)
RESPONSE = Response(
    logprobs=(-1.5, -0.1234567890123456789),
    greedy=(False, True),
    prompt_tokens=6,
    warnings=("one",),
    truncated_tokens=2,
)


def keyed(item=ITEM, **changed):
    return SampleKey(**{"model": "m", "task": "h", "item": item} | changed)


def scored(item=ITEM, response=RESPONSE):
    return ItemScore(item=item, response=response, values={("none", "acc"): 1.0})


def test_kept_entries_are_found_again_to_the_last_bit(tmp_path):
    with Ledger(tmp_path / "l.db") as ledger:
        ledger.add([keyed()], [scored()], 2.0)
    with Ledger(tmp_path / "l.db") as ledger:
        found = ledger.find([keyed().hash, "none such"])
    (row,) = found.values()
    assert row.response == RESPONSE
    assert row.seconds == 2.0
    assert row.asked["contexts"] == ["Q:"]
    assert row.asked["pairs"] == [[0, " a"], [0, " é"]]
    assert row.score["values"] == {"acc,none": 1.0}


@pytest.mark.parametrize(
    "other",
    [
        keyed(model="n"),
        keyed(task="i"),
        keyed(settings={"seed": 2}),
        keyed(replace(ITEM, prompt_hash="ac")),
        keyed(replace(ITEM, doc_id=4)),
        keyed(replace(ITEM, generation=AnswerSettings(temperature=0.5))),
    ],
)
def test_a_key_depends_on_all_that_decides_the_answer(other):
    assert other.hash != keyed().hash
    assert keyed().hash == keyed().hash


def test_more_keys_than_a_query_takes(tmp_path):
    keys = [keyed(replace(ITEM, doc_id=number)) for number in range(1200)]
    with Ledger(tmp_path / "l.db") as ledger:
        ledger.add(keys, [scored(key.item) for key in keys], 1.0)
        assert len(ledger.find([key.hash for key in keys])) == 1200


def test_a_sample_opens_down_to_prompt_and_answer(tmp_path):
    path = tmp_path / "l.db"
    with Ledger(path) as ledger:
        ledger.add([keyed(), keyed(model="n")], [scored(), scored()], 1.0)
    assert {row.model for row in read_samples(path, "t", 3)} == {"m", "n"}
    assert [row.model for row in read_samples(path, "t", 3, model="n")] == ["n"]
    with pytest.raises(InputError, match=r"no sample t#4; its tasks are: t"):
        read_samples(path, "t", 4)
    with pytest.raises(InputError, match="is not there"):
        read_samples(tmp_path / "other.db", "t", 3)


def test_a_second_evaluation_is_refused_while_the_first_one_writes(tmp_path):
    path = tmp_path / "l.db"
    code = f"from pathlib import Path; from lavra.evaluation.ledger import Ledger; Ledger(Path({str(path)!r}))"
    with Ledger(path):
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "is writing to" in other.stderr
        assert "name another ledger" in other.stderr
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unfinished_transaction_leaves_nothing(tmp_path):
    path = tmp_path / "l.db"
    broken = replace(scored(), values=_Failing())
    with Ledger(path) as ledger, pytest.raises(ZeroDivisionError):
        ledger.add([keyed(), keyed(model="n")], [scored(), broken], 1.0)
    with Ledger(path) as ledger:
        assert not ledger.find([keyed().hash])


class _Failing(dict):
    def items(self):
        raise ZeroDivisionError


def test_a_file_that_is_no_ledger_is_refused(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to be read as one" * 40, encoding="utf-8")
    with pytest.raises(InputError, match="is not a ledger"):
        Ledger(path)
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE mine (x)")
    with pytest.raises(InputError, match="version 0"):
        Ledger(other)
