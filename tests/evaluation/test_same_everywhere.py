"""One model from its folder, through the engine and behind a URL: the same code computes the same scores."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request

import pytest

from lavra.cli.main import main
from lavra.server.run import free_port
from tests.evaluation.toy import CHOICES, ROLLING, WRITING, write_task

pytestmark = [pytest.mark.slow, pytest.mark.data]

TEXT = "Once upon a time there was a little girl named Lily. She went to the park with her mom and saw a big dog. "


@pytest.fixture(scope="module")
def server(lavra_data):
    """The address of `lavra serve` on a tiny model, and the model's folder."""
    folder = lavra_data / "weights/stories260K/hf"
    port = free_port("127.0.0.1", 8811)
    process = subprocess.Popen([sys.executable, "-m", "lavra", "serve", str(folder), "--port", str(port)])
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{url}/v1/models", timeout=2)
                break
            except OSError:
                time.sleep(0.2)
        yield f"{url}/v1", folder
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """Tasks of three kinds; one document is longer than the model's 512 tokens."""
    folder = tmp_path_factory.mktemp("tasks")
    told = [
        {"q": TEXT + f"She said: I have {one}", "choices": ["dogs", "a cat", "the park"], "gold": one % 3}
        for one in range(12)
    ]
    long = [{"q": TEXT * 20}, {"q": TEXT}]
    files = [
        write_task(folder, "choosing", {**CHOICES, "metric_list": [{"metric": "acc"}]}, told),
        write_task(folder, "writing", WRITING, told[:4]),
        write_task(folder, "reading", ROLLING, long),
    ]
    return [str(file) for file in files]


def samples(tmp_path, names, *arguments):
    """Log-likelihoods and texts of all items, by task."""
    folder = tmp_path / "samples"
    options = ["--log-samples", str(folder), "--ledger", str(tmp_path / "l.db"), "--resamples", "5"]
    assert main(["evaluate", *arguments, "--tasks", *names, *options]) == 0
    found = {}
    for path in folder.rglob("*.jsonl"):
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        found[path.stem.removeprefix("samples_")] = [line["resps"] for line in lines]
    return found


def numbers(answers):
    return [float(logprob) for item in answers for ((logprob, _),) in item]


def test_folder_engine_and_url_agree_item_by_item(server, names, tmp_path):
    url, folder = server
    by_folder = samples(tmp_path / "a", names, str(folder))
    by_engine = samples(tmp_path / "b", names, str(folder), "--engine")
    by_url = samples(tmp_path / "c", names, url, "--tokenizer", str(folder), "--context", "512")
    assert by_folder.keys() == by_engine.keys() == by_url.keys() == {"choosing", "writing", "reading"}
    for other in (by_engine, by_url):
        assert numbers(other["choosing"]) == pytest.approx(numbers(by_folder["choosing"]), abs=1e-3)
        assert other["writing"] == by_folder["writing"]
    assert numbers(by_engine["reading"]) == pytest.approx(numbers(by_folder["reading"]), abs=1e-2)
    # a server reads one token less at a time, so that the windows of the long document differ
    assert numbers(by_url["reading"]) == pytest.approx(numbers(by_folder["reading"]), rel=1e-2)
    assert numbers(by_url["reading"])[1] == pytest.approx(numbers(by_folder["reading"])[1], abs=1e-3)


def test_without_a_tokenizer_a_url_gives_the_same_scores_where_texts_fit(server, names, tmp_path):
    url, folder = server
    by_folder = samples(tmp_path / "a", names[:2], str(folder))
    by_url = samples(tmp_path / "b", names[:2], url)
    assert numbers(by_url["choosing"]) == pytest.approx(numbers(by_folder["choosing"]), abs=1e-3)
    assert by_url["writing"] == by_folder["writing"]
