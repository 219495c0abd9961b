"""The endpoints of models with heads, on a server over their folders, against the same models in Python."""

import re
import threading
import time

import httpx2
import pytest

import lavra
from lavra.cli import serve
from lavra.server.served import ModelTable
from lavra.verbs import serving
from tests.api.test_adapter import tuned
from tests.server.conftest import running, served
from tests.tasks.heads import LABELS, TAGS, head_folder

KINDS = ("classify", "several", "number", "rerank", "ner", "qa", "choice")
TEXTS = ["She loved to play outside.", "def add(a, b):", "Once upon a time there was a little girl named Lily."]
LONG = "a " * 100


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {kind: head_folder(kind, tmp_path_factory.mktemp(kind)) for kind in KINDS}


@pytest.fixture(scope="module")
def models(folders):
    return [serving.open_model(f"{kind}={folder}", serving.ServeSettings()) for kind, folder in folders.items()]


@pytest.fixture(scope="module")
def ask(models):
    with running([*models, served("writer")]) as url, httpx2.Client(base_url=url, timeout=60) as client:

        def ask(path, **body):
            return client.post(f"/v1/{path}", json=body)

        ask.client = client
        yield ask


@pytest.fixture(scope="module")
def python(folders):
    return {kind: lavra.load(folder) for kind, folder in folders.items()}


def data(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def test_classify(ask, python):
    found = data(ask("classify", model="classify", input=[*TEXTS, ["a", "b c"]]))
    expected = python["classify"].classify([*TEXTS, ("a", "b c")])
    assert [(one["object"], one["index"], one["truncated"]) for one in found] == [
        ("classify", index, False) for index in range(4)
    ]
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours["label"], ours["labels"]) == (theirs.label, list(theirs.labels))
        assert ours["scores"] == pytest.approx(theirs.scores, abs=1e-6)
    assert data(ask("classify", model="classify", input=TEXTS[0]))[0]["label"] == expected[0].label


def test_several_labels_and_numbers(ask, python):
    found = data(ask("classify", model="several", input=TEXTS))
    assert [one["labels"] for one in found] == [list(one.labels) for one in python["several"].classify(TEXTS)]
    found = data(ask("classify", model="number", input=TEXTS))
    assert [one["value"] for one in found] == pytest.approx(
        [one.value for one in python["number"].classify(TEXTS)], abs=1e-5
    )
    assert "label" not in found[0]


def test_tag(ask, python):
    found = data(ask("tag", model="ner", input=[*TEXTS, ["Lily", "loved", "it"]]))
    expected = python["ner"].tag([*TEXTS, ("Lily", "loved", "it")])
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours["words"], ours["tags"]) == (list(theirs.words), list(theirs.tags))
        assert [(one["label"], one["start"], one["end"], one["text"]) for one in ours["entities"]] == [
            (one.label, one.start, one.end, one.text) for one in theirs.entities
        ]
    assert any(one["entities"] for one in found)


def test_answer(ask, python):
    asked = [{"question": "who", "context": text} for text in TEXTS]
    expected = python["qa"].answer([("who", text) for text in TEXTS])
    found = data(ask("answer", model="qa", input=asked))
    assert [(one["text"], one["start"], one["end"]) for one in found] == [
        (one.text, one.start, one.end) for one in expected
    ]
    (one,) = data(ask("answer", model="qa", input=asked[0], allow_none=True))
    assert one["text"] == python["qa"].answer("who", TEXTS[0], allow_none=True).text


def test_choose(ask, python):
    choices = ["outside", "inside", "a b c"]
    found = data(ask("choose", model="choice", input=[{"text": text, "choices": choices} for text in TEXTS]))
    for ours, text in zip(found, TEXTS, strict=True):
        theirs = python["choice"].choose(text, choices)
        assert ours["choice"] == int(theirs.label)
        assert ours["scores"] == pytest.approx(list(theirs.scores.values()), abs=1e-6)


def test_rerank(ask, python):
    answer = ask("rerank", model="rerank", query="who", documents=[TEXTS[0], {"text": TEXTS[1]}, TEXTS[2]])
    expected = python["rerank"].rerank("who", TEXTS)
    results = answer.json()["results"]
    assert [one["index"] for one in results] == [one.index for one in expected]
    assert [one["relevance_score"] for one in results] == pytest.approx([one.score for one in expected], abs=1e-6)
    assert set(results[0]) == {"index", "relevance_score"}
    answer = ask("rerank", model="rerank", query="who", documents=TEXTS, top_n=2, return_documents=True)
    results = answer.json()["results"]
    assert [one["document"]["text"] for one in results] == [TEXTS[one.index] for one in expected[:2]]


def test_usage_counts_what_was_read(ask, models):
    (model,) = [one for one in models if one.name == "classify"]
    tokens = sum(len(model.tokenizer.encode(text, add_special_tokens=True)) for text in TEXTS)
    answer = ask("classify", model="classify", input=TEXTS).json()
    assert answer["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    assert (answer["model"], answer["object"], answer["warnings"]) == ("classify", "list", [])
    cut = ask("classify", model="classify", input=LONG, truncate=True).json()
    assert cut["usage"]["prompt_tokens"] == 64
    assert ask("rerank", model="rerank", query="a", documents=["b", "c"]).json()["usage"]["prompt_tokens"] == 10


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("classify", {"model": "classify", "input": ["b", LONG]}),
        ("choose", {"model": "choice", "input": {"text": "b", "choices": ["a", LONG]}}),
        ("rerank", {"model": "rerank", "query": "b", "documents": ["a", LONG]}),
    ],
)
def test_overlong_texts_are_a_400_with_both_lengths_or_are_cut_and_named(ask, path, body):
    refused = ask(path, **body)
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "context_length_exceeded"
    assert re.search(r" 1.*the text is 10\d tokens and a row holds 64", refused.json()["error"]["message"])
    answer = ask(path, **body, truncate=True)
    assert answer.status_code == 200
    (warning,) = answer.json()["warnings"]
    assert re.search(r" 1: the text is 10\d tokens and a row holds 64: cut", warning)
    if path == "classify":
        assert [one["truncated"] for one in answer.json()["data"]] == [False, True]


def test_long_texts_are_read_in_windows(ask):
    text = " ".join(["Lily loved"] * 100)
    answer = ask("tag", model="ner", input=text).json()
    assert (len(answer["data"][0]["tags"]), answer["warnings"]) == (200, [])
    assert answer["usage"]["prompt_tokens"] > 200
    answer = ask("answer", model="qa", input={"question": "who", "context": text}).json()
    assert text[answer["data"][0]["start"] : answer["data"][0]["end"]] == answer["data"][0]["text"] != ""


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("classify", {"input": []}, "input"),
        ("classify", {"input": [["a", "b", "c"]]}, "input"),
        ("classify", {"input": ["a"] * 2049}, "input"),
        ("classify", {"input": "a", "model": "ner"}, "finetuned for 'tag' and 'classify' is asked"),
        ("classify", {"input": "a", "model": "writer"}, "writer has no head for 'classify'; serve a model beside"),
        ("tag", {"input": "a", "model": "qa"}, "finetuned for 'answer'"),
        ("tag", {"input": ["a", " "], "model": "ner"}, "text 1 has no words"),
        ("tag", {"input": [[]], "model": "ner"}, "input"),
        ("answer", {"input": {"question": "a"}, "model": "qa"}, "context"),
        ("answer", {"input": {"question": LONG, "context": "a"}, "model": "qa"}, "leaves no room"),
        ("choose", {"input": {"text": "a", "choices": ["b"]}, "model": "choice"}, "choices"),
        ("choose", {"input": {"text": "a", "choices": ["b", "c"], "no": 1}, "model": "choice"}, "no"),
        ("rerank", {"query": "a", "documents": [], "model": "rerank"}, "documents"),
        ("rerank", {"query": "a", "documents": ["b"], "top_n": 0, "model": "rerank"}, "top_n"),
        ("rerank", {"query": "a", "documents": ["b"], "model": "classify"}, "this model has 3 labels"),
        ("completions", {"prompt": "a"}, "classify has a head for 'classify' and writes no text; ask /v1/classify"),
        ("chat/completions", {"messages": [{"role": "user", "content": "a"}], "model": "qa"}, ""),
        ("embeddings", {"input": "a"}, "classify embeds no texts"),
        ("fill-mask", {"input": "[MASK]"}, "classify has no masked-token head"),
    ],
)
def test_requests_without_an_answer_are_a_400_of_openais_shape(ask, path, body, says):
    answer = ask(path, **{"model": "classify", **body})
    assert answer.status_code == 400
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert re.search(says, answer.json()["error"]["message"])


def test_unknown_fields_are_named_or_under_strict_refused(ask, folders):
    warnings = ask("classify", model="classify", input="a", truncat=True).json()["warnings"]
    assert warnings == ["unknown field truncat; did you mean 'truncate'?; it had no effect"]
    assert ask("classify", model="nobody", input="a").status_code == 404
    model = serving.open_model(str(folders["classify"]), serving.ServeSettings())
    with running([model], strict=True) as url, httpx2.Client(base_url=url, timeout=60) as client:
        refused = client.post("/v1/classify", json={"input": "a", "truncat": True})
    assert refused.status_code == 400
    assert "unknown field truncat" in refused.json()["error"]["message"]


def test_models_say_their_task_and_labels(ask):
    told = {one["id"]: one for one in ask.client.get("/v1/models").json()["data"]}
    assert (told["classify"]["task"], told["classify"]["labels"]) == ("classify", list(LABELS))
    assert (told["ner"]["task"], told["ner"]["labels"]) == ("ner", list(TAGS))
    assert (told["qa"]["task"], told["qa"]["labels"]) == ("qa", [])
    assert (told["writer"]["task"], told["writer"]["labels"], told["writer"]["writes"]) == (None, [], True)
    assert not any(told["classify"][name] for name in ("writes", "embeds", "fills_masks", "chats"))


def test_the_command_says_what_a_head_is_asked(models, capsys):
    serve.announce("http://here", ModelTable(models), as_json=False)
    said = capsys.readouterr().err
    assert "model    classify: /v1/classify, labels no, maybe, yes" in said
    assert re.search(r"^model    qa: /v1/answer; runner (native|torch), weights float32, .*B$", said, re.MULTILINE)


def test_company_does_not_matter_and_is_had(ask, models):
    """Requests gather behind a held gate, and few batches answer them all; a refused request fails alone."""
    (model,) = [one for one in models if one.name == "classify"]
    worker, texts = model.predictor, [TEXTS[number % 3] * (1 + number % 2) for number in range(12)]
    alone = [data(ask("classify", model="classify", input=text))[0]["scores"] for text in texts]
    before, held, gate, found = worker.num_batches, worker._compute, threading.Event(), [None] * 13

    def gated(requests):
        gate.wait()
        return held(requests)

    def one(number):
        found[number] = ask("classify", model="classify", input=[*texts, LONG][number])

    worker._compute = gated
    try:
        threads = [threading.Thread(target=one, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 30
        while len(worker._waiting) < 8 and time.monotonic() < deadline:  # some are under way
            time.sleep(0.01)
        waiting = len(worker._waiting)
        late = threading.Thread(target=one, args=(12,))
        late.start()
        gate.set()
        for thread in (*threads, late):
            thread.join()
    finally:
        gate.set()
        worker._compute = held
    assert waiting >= 8
    assert worker.num_batches - before <= 12
    for expected, answer in zip(alone, found[:12], strict=True):
        assert data(answer)[0]["scores"] == pytest.approx(expected, abs=1e-5)
    assert "text 0: the text is 102 tokens" in found[12].json()["error"]["message"]


def test_a_finetuned_adapter_is_served_with_its_head(tmp_path):
    tuned(tmp_path, "classify")
    model = serving.open_model(str(tmp_path / "made"), serving.ServeSettings())
    with running([model]) as url, httpx2.Client(base_url=url, timeout=60) as client:
        found = data(client.post("/v1/classify", json={"input": ["the film was good", "a sad day"]}))
        (told,) = client.get("/v1/models").json()["data"]
    expected = lavra.load(tmp_path / "made").classify(["the film was good", "a sad day"])
    assert [one["scores"] for one in found] == [pytest.approx(one.scores, abs=1e-6) for one in expected]
    assert (told["task"], set(told["labels"])) == ("classify", {"yes", "no"})
