"""`POST /v1/fill-mask` on a server over a folder, against `transformers`' pipeline on the same folder."""

import re
import threading
import time

import httpx2
import pytest

from lavra.cli import serve
from lavra.server.served import ModelTable
from lavra.verbs import serving
from tests.api.test_fill import MODELS, peer, random_folder
from tests.server.conftest import running, served

TEXTS = ["She loved to {} outside.", "{}", "def {}(a, {}):\n    return", "Once {} a time there was a {} girl {} Lily."]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {family: random_folder(family, tmp_path_factory.mktemp(family)) for family in MODELS}


@pytest.fixture(scope="module")
def models(folders):
    return [serving.open_model(f"{family}={folder}", serving.ServeSettings()) for family, folder in folders.items()]


@pytest.fixture(scope="module")
def ask(models, tmp_path_factory):
    headless = random_folder("bert", tmp_path_factory.mktemp("headless"), head=False)
    others = [serving.open_model(f"headless={headless}", serving.ServeSettings()), served("writer")]
    with running([*models, *others]) as url, httpx2.Client(base_url=url, timeout=60) as client:

        def ask(**body):
            return client.post("/v1/fill-mask", json=body)

        ask.client = client
        yield ask


def masked(model, text):
    return text.replace("{}", model.tokenizer.token(model.tokenizer.mask_id))


@pytest.mark.parametrize("family", MODELS)
def test_it_says_what_the_pipeline_says(ask, folders, models, family):
    (model,) = [one for one in models if one.name == family]
    texts = [masked(model, text) for text in TEXTS]
    answer = ask(model=family, input=texts, top_k=4).json()
    pipeline = peer(folders[family])
    for number, (text, told) in enumerate(zip(texts, answer["data"], strict=True)):
        expected = pipeline(text, top_k=4)
        expected = expected if isinstance(expected[0], list) else [expected]
        assert (told["index"], told["object"]) == (number, "fill_mask")
        for ours, theirs in zip(told["masks"], expected, strict=True):
            assert [one.pop("score") for one in ours] == pytest.approx([one.pop("score") for one in theirs], rel=1e-4)
            assert ours == theirs  # token, token_str, sequence
    tokens = sum(len(pipeline.tokenizer(text)["input_ids"]) for text in texts)
    assert answer["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    assert (answer["model"], answer["warnings"]) == (family, [])


@pytest.mark.parametrize("family", MODELS)
def test_targets(ask, folders, models, family):
    (model,) = [one for one in models if one.name == family]
    text, words = masked(model, "a {} b"), [model.tokenizer.token(number) for number in (50, 70, 90)]
    (told,) = ask(model=family, input=text, targets=words, top_k=2).json()["data"]
    expected = peer(folders[family])(text, targets=words, top_k=2)
    assert [one["token"] for one in told["masks"][0]] == [one["token"] for one in expected]


def test_company_does_not_matter_and_is_had(ask, models):
    (model,) = [one for one in models if one.name == "bert"]
    texts = [masked(model, TEXTS[number % 4]) for number in range(16)]
    alone = [ask(model="bert", input=text).json()["data"][0]["masks"] for text in texts]
    before, found = model.filler.num_batches, [None] * len(texts)
    held, gate = model.filler._compute, threading.Event()

    def gated(requests):
        gate.wait()
        return held(requests)

    def one(number):
        found[number] = ask(model="bert", input=texts[number])

    model.filler._compute = gated
    try:
        threads = [threading.Thread(target=one, args=(number,)) for number in range(len(texts))]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 30
        while len(model.filler._waiting) < len(texts) - 8 and time.monotonic() < deadline:  # some are under way
            time.sleep(0.01)
        waiting = len(model.filler._waiting)
        gate.set()
        for thread in threads:
            thread.join()
    finally:
        gate.set()
        model.filler._compute = held
    assert waiting >= len(texts) - 8
    assert model.filler.num_batches - before < len(texts) / 2
    for expected, answer in zip(alone, found, strict=True):
        for ours, theirs in zip(answer.json()["data"][0]["masks"], expected, strict=True):
            assert [one["token"] for one in ours] == [one["token"] for one in theirs]
            assert [one["score"] for one in ours] == pytest.approx([one["score"] for one in theirs], abs=1e-5)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"input": "no gap here"}, r"input 0 has no gap to fill; write \[MASK\]"),
        ({"input": ["a [MASK]", "none"]}, "input 1 has no gap"),
        ({"input": "a [MASK] " * 60}, "context 64"),
        ({"input": "[MASK]", "top_k": 0}, "top_k"),
        ({"input": "[MASK]", "top_k": 1000}, r"top_k=1000 is outside 1\.\."),
        ({"input": ["[MASK] " * 20] * 20, "top_k": 100}, "400 gaps with 100 candidates each are 40000, over 10000"),
        ({"input": "[MASK]", "targets": []}, "targets"),
        ({"input": "[MASK]", "targets": ["two words"]}, "a gap holds one"),
        ({"input": "[MASK]", "model": "headless"}, "headless has no masked-token head"),
        ({"input": "[MASK]", "model": "writer"}, "writer has no masked-token head"),
        ({"input": []}, "input"),
        ({}, "input"),
    ],
)
def test_requests_without_an_answer_are_a_400_of_openais_shape(ask, body, says):
    answer = ask(**{"model": "bert", **body})
    assert answer.status_code == 400
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert re.search(says, answer.json()["error"]["message"])


def test_codes_and_warnings(ask):
    assert ask(model="bert", input="[MASK] " * 70).json()["error"]["code"] == "context_length_exceeded"
    assert ask(model="nobody", input="[MASK]").status_code == 404
    assert "did you mean 'top_k'" in ask(model="bert", input="[MASK]", topk=3).json()["warnings"][0]


def test_models_say_what_they_can(ask):
    data = {one["id"]: one for one in ask.client.get("/v1/models").json()["data"]}
    assert [(name, data[name]["embeds"], data[name]["fills_masks"]) for name in data] == [
        ("bert", True, True),
        ("roberta", True, True),
        ("headless", True, False),
        ("writer", False, False),
    ]
    refused = ask.client.post("/v1/completions", json={"model": "bert", "prompt": "a"}).json()
    assert "/v1/fill-mask" in refused["error"]["message"]


def test_the_command_says_what_an_encoder_can(models, capsys):
    serve.announce("http://here", ModelTable(models), as_json=False)
    assert "model    bert: embeddings, gaps filled" in capsys.readouterr().err
