"""`lavra rate` from answers to results, without a page; and its refusals."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
from contextlib import contextmanager

import httpx2
import pytest

import lavra.server.rating.run as page
from lavra.cli.main import EXIT_ERROR, main
from lavra.evaluation.human.store import StudyStore
from tests.evaluation.human.small_study import judge_all
from tests.server.rating.serving import serving


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for model in ("small", "big"):
        rows = [{"prompt": f"P{number}", "completion": f"{model} says {number}"} for number in range(3)]
        (tmp_path / f"{model}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def new(*more):
    return main(["rate", "new", "a.study", "--answers", "small.jsonl", "big.jsonl", "--pairwise", *more])


def judged(files, *annotators):
    store = StudyStore(files / "a.study")
    for annotator in annotators:
        judge_all(store, annotator, rate=lambda item: 5 if item.model_a == "big" else 2)
    store.close()


def test_from_answers_to_results_and_files(files, capsys) -> None:
    assert new("--annotators", "2", "--scales", "fluency,factuality") == 0
    assert "6 answers to rate, 3 comparisons" in capsys.readouterr().out
    judged(files, 1, 2)
    assert main(["rate", "results", "a.study"]) == 0
    shown = capsys.readouterr()
    assert "big" in shown.out
    assert "Krippendorff" in shown.out
    assert main(["rate", "results", "a.study", "--json"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert {one["mean"] for one in results["ratings"] if one["model"] == "big"} == {5.0}
    assert results["agreement"][0]["alpha"] == 1.0
    assert results["ranking"]["strengths"][0]["name"] == "big"  # `attentive` votes for model_a, which sorts first
    for what, ending, rows in (("ratings", "csv", 12), ("votes", "jsonl", 6), ("preferences", "jsonl", 3)):
        assert main(["rate", "export", "a.study", "--what", what, "--out", f"{what}.{ending}"]) == 0
        assert f"{rows} {what}" in capsys.readouterr().out
    pair = json.loads((files / "preferences.jsonl").read_text().splitlines()[0])
    assert (pair["prompt"], pair["chosen"], pair["rejected"]) == ("P0", "big says 0", "small says 0")
    assert main(["rate", "import", "a.study", "ratings.csv"]) == EXIT_ERROR
    assert "has judged question" in capsys.readouterr().err
    (files / "new.csv").write_text((files / "ratings.csv").read_text().replace("annotator-", "elsewhere-"))
    assert main(["rate", "import", "a.study", "new.csv"]) == 0
    assert "12 judgements of elsewhere-1, elsewhere-2 were added" in capsys.readouterr().out


def test_links_are_the_owners_alone_and_new_ones_kill_the_old(files, capsys, monkeypatch) -> None:
    new("--annotators", "2")
    path = files / "a.study.links"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    old = json.loads(path.read_text())
    assert not [token for token in old.values() if token.encode() in (files / "a.study").read_bytes()]
    assert main(["rate", "links", "a.study"]) == 0
    fresh = json.loads(path.read_text())
    store = StudyStore(files / "a.study")
    assert [store.holder(old["annotator-1"]), store.holder(fresh["annotator-1"])] == [None, 1]
    store.close()
    capsys.readouterr()
    monkeypatch.setattr(page, "serve_study", lambda store, host, port, on_ready: on_ready(f"http://{host}:{port}"))
    assert main(["rate", "serve", "a.study", "--address", "http://box.local:9/"]) == 0
    said = capsys.readouterr()
    assert f"annotator-1  http://box.local:9/#{fresh['annotator-1']}" in said.out
    assert "plain HTTP" in said.err
    path.unlink()
    assert main(["rate", "serve", "a.study", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"url": "http://127.0.0.1:8010", "links": {}}


def test_a_closed_study_is_opened_again(files) -> None:
    new()
    for action, closed in (("close", True), ("reopen", False)):
        assert main(["rate", action, "a.study"]) == 0
        with serving(StudyStore(files / "a.study")) as url:
            token = json.loads((files / "a.study.links").read_text())["annotator-1"]
            answer = httpx2.get(f"{url}/api/study", headers={"Authorization": f"Bearer {token}"})
        assert answer.json()["closed"] is closed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["make", "b.study"], "unknown action 'make'"),
        (["new", "b.study"], "no answers are named"),
        (["new", "a.study", "--answers", "big.jsonl"], "a.study exists"),
        (["new", "b.study", "--answers", "none.jsonl"], "none.jsonl"),
        (["new", "b.study", "--answers", "big.jsonl", "--pairwise"], "all answers are of big"),
        (["new", "b.study", "--answers", "big.jsonl", "--models", "m"], "--models and --prompts belong together"),
        (["results", "b.study"], "there is no study b.study"),
        (["results", "a.study", "--port", "1"], "does not use --port"),
        (["results", "a.study", "more"], "takes the study alone"),
        (["export", "a.study"], "say --out FILE"),
        (["export", "a.study", "--out", "a.xlsx"], ".jsonl or .csv"),
        (["export", "a.study", "--what", "rating"], "did you mean 'ratings'"),
        (["import", "a.study"], "no file is named to import"),
        (["serve", "a.study", "--address", "box"], "--address is 'box'"),
    ],
)
def test_errors_are_refused_with_one_line(files, capsys, words, message) -> None:
    new()
    capsys.readouterr()
    assert main(["rate", *words]) == EXIT_ERROR
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_models_write_the_answers_now(files, capsys, lavra_data) -> None:
    (files / "prompts.jsonl").write_text('{"prompt": "Once upon a time"}\n{"prompt": "The dog", "reference": "R"}\n')
    model = lavra_data / "weights" / "stories260K" / "hf"
    words = ["--models", f"tiny={model}", "--prompts", "prompts.jsonl", "--max-tokens", "9", "--annotators", "1"]
    assert main(["rate", "new", "a.study", *words, "--answers", "small.jsonl"]) == 0
    said = capsys.readouterr()
    assert "5 answers to rate" in said.out
    assert "tiny has no chat template" in said.err
    assert "2 of 2 answers of tiny end at the limit of 9 tokens" in said.err
    store = StudyStore(files / "a.study")
    written = {item.prompt: item for item in store.items.values() if item.model_a == "tiny"}
    assert set(written) == {"Once upon a time", "The dog"}
    assert all(item.answer_a for item in written.values())
    assert written["The dog"].reference == "R"
    assert len({item.question_id for item in store.items.values() if not item.is_check}) == 5
    store.close()


@contextmanager
def served(study):
    """`lavra rate serve` in a separate process, stopped with the test; yields its output."""
    command = [sys.executable, "-m", "lavra", "rate", "serve", study, "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


@pytest.mark.slow
def test_judgements_outlive_a_killed_server_and_control_c_ends_it(files) -> None:
    assert new("--scales", "fluency") == 0
    judgement = {"ratings": {"fluency": 4}, "seconds": 1.0, "done": True}
    with served("a.study") as (process, said):
        token = next(iter(said["links"].values())).partition("#")[2]
        page = httpx2.Client(base_url=said["url"], headers={"Authorization": f"Bearer {token}"}, timeout=30)
        items = [page.get(f"/api/items/{place}").json() for place in range(1, 9)]
        place = next(item["place"] for item in items if item["kind"] == "rating")
        assert page.put(f"/api/items/{place}", json=judgement).status_code == 200
        process.kill()
    with served("a.study") as (process, said):
        page = httpx2.Client(base_url=said["url"], headers=page.headers, timeout=30)
        assert page.get(f"/api/items/{place}").json()["judgement"]["ratings"] == {"fluency": 4}
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) in (0, -signal.SIGINT)
        assert "Traceback" not in process.stderr.read()
