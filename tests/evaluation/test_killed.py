"""An evaluation killed by the system at any moment continues to the identical result, and repeats no request."""

from __future__ import annotations

import json
import os
import random
import signal
import time

import pytest

from lavra.evaluation.layouts import harness_layout
from lavra.evaluation.ledger import Ledger
from lavra.evaluation.run import EvaluationSettings, ModelIdentity, evaluate
from lavra.evaluation.task_files.opening import open_tasks
from tests.evaluation.toy import CHOICES, WRITING, ToyScorer, rows, write_task

pytestmark = pytest.mark.slow

BATCH = 8
MOST_KILLS = 60


class Noting(ToyScorer):
    """Logs each answer in one write before the evaluation receives it."""

    def __init__(self, file):
        super().__init__()
        self.file = file

    def note(self):
        time.sleep(0.004)
        lines = "".join(json.dumps(one) + "\n" for one in self.asked)
        os.write(self.file, lines.encode())
        self.asked.clear()

    def score(self, requests):
        found = super().score(requests)
        self.note()
        return found

    def generate(self, requests):
        found = super().generate(requests)
        self.note()
        return found


def work(folder):
    """The whole evaluation, in a separate process that may be killed."""
    file = os.open(folder / "asked.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with Ledger(folder / "ledger.db") as ledger:
        result = evaluate(
            Noting(file),
            open_tasks(["choosing", "writing"], folders=[folder], with_shipped=False).tasks,
            EvaluationSettings(batch=BATCH, resamples=20),
            identity=ModelIdentity(name="toy", hash="t"),
            ledger=ledger,
        )
    (folder / "result.json").write_text(json.dumps(harness_layout(result)), encoding="utf-8")


def start(folder):
    child = os.fork()
    if child:
        return child
    try:
        work(folder)
        os._exit(0)
    finally:
        os._exit(1)


def timeless(path):
    """A result without times and without the ledger's counts."""
    layout = json.loads(path.read_text(encoding="utf-8"))
    for place in (layout, layout["lavra"]):
        for name in ("total_evaluation_time_seconds", "seconds", "peak_memory"):
            place.pop(name, None)
    for task in layout["lavra"]["tasks"]:
        for name in ("seconds", "from_ledger"):
            task["cost"].pop(name)
    return layout


def test_a_killed_evaluation_goes_on_to_the_identical_result(tmp_path):
    write_task(tmp_path, "choosing", CHOICES, rows(130))
    write_task(tmp_path, "writing", WRITING, rows(40))
    began = time.monotonic()
    assert os.waitpid(start(tmp_path), 0)[1] == 0
    usual = time.monotonic() - began  # so that a faster machine is killed as often
    whole = timeless(tmp_path / "result.json")
    number = len((tmp_path / "asked.jsonl").read_text(encoding="utf-8").splitlines())
    assert number == 2 * 130 + 40
    for name in ("result.json", "asked.jsonl", "ledger.db", "ledger.db-wal", "ledger.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)

    draw = random.Random(0)
    kills, status = 0, None
    while status != 0:
        child = start(tmp_path)
        if kills < MOST_KILLS:
            time.sleep(draw.uniform(0, usual / 8))
            os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        kills += status == signal.SIGKILL
    assert kills >= 20
    assert timeless(tmp_path / "result.json") == whole
    asked = (tmp_path / "asked.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(set(asked)) == number
    assert len(asked) <= number + kills * 2 * BATCH  # the chunk under way when the signal came, and nothing else
