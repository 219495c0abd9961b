"""`lavra predict`: texts as a table, files as lines of JSON with scores where labels are known, and refusals."""

import json

import pytest

import lavra
from lavra.api.native_headed import NativeHeadedModel
from lavra.cli.main import EXIT_ERROR, main
from lavra.data.labelled.samples import TextSample
from lavra.tasks.predicting.torch_headed import TorchHeadedModel
from lavra.tasks.scoring.heads import score_task
from tests.api.test_fill import random_folder
from tests.runs.tasks import rows, write
from tests.tasks.heads import LABELS, head_folder

KINDS = ("classify", "several", "number", "rerank", "ner", "qa", "choice")
LABELLED = ("label", "labels", "ner_tags", "answers", "answer", "score")
TEXTS = ["She loved to play outside.", "def add(a, b):"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {kind: str(head_folder(kind, tmp_path_factory.mktemp(kind))) for kind in KINDS}


@pytest.fixture
def predict(capsys):
    def predict(*arguments, status=0):
        assert main(["predict", *map(str, arguments)]) == status
        said = capsys.readouterr()
        return said.out, said.err

    return predict


def lines_of(text):
    return [json.loads(line) for line in text.splitlines()]


def labelled(tmp_path, labels=("yes", "no", "maybe")):
    return write(
        tmp_path / "data.jsonl",
        [{"text": f"{TEXTS[number % 2]} {number}", "label": labels[number % len(labels)]} for number in range(9)],
    )


def samples_of(kind):
    """Twelve samples whose labels the models know."""
    if kind == "ner":
        return [{"tokens": ["Lily", "loved", f"{number}"], "ner_tags": ["B-PER", "O", "O"]} for number in range(12)]
    labels = {"classify": {"label": "yes"}, "several": {"labels": ["yes", "no"]}}
    if kind in labels:
        return [{"text": f"{TEXTS[0]} {number}", **labels[kind]} for number in range(12)]
    return rows(kind, 12)


def test_texts_are_shown_in_a_table(predict, folders):
    found = lavra.load(folders["classify"]).classify(TEXTS)
    out, _ = predict(folders["classify"], *TEXTS)
    for line, text, one in zip(out.splitlines(), TEXTS, found, strict=True):
        assert line.startswith(one.label)
        assert text in line
        assert f"{one.label} {one.scores[one.label]:.3f}" in line
    out, _ = predict(folders["number"], *TEXTS)
    assert f"{lavra.load(folders['number']).classify(TEXTS[0]).value:.4f}" in out


def test_every_task_has_its_table(predict, folders):
    out, _ = predict(folders["ner"], "Lily loved the [red] house")
    for one in lavra.load(folders["ner"]).tag("Lily loved the [red] house").entities:
        assert one.text in out
    out, _ = predict(folders["qa"], "who", TEXTS[0])
    assert lavra.load(folders["qa"]).answer("who", TEXTS[0]).text in out
    out, _ = predict(folders["choice"], "a", "b", "c d")
    assert {line.split(maxsplit=1)[1].strip() for line in out.splitlines()} == {"b", "c d"}
    out, _ = predict(folders["rerank"], "who", *TEXTS)
    best = lavra.load(folders["rerank"]).rerank("who", TEXTS)[0]
    assert out.splitlines()[0].split(maxsplit=1)[1].strip() == TEXTS[best.index]
    out, _ = predict(folders["several"], *TEXTS)
    assert len(out.splitlines()) == 2


def test_json_and_pairs(predict, folders):
    out, _ = predict(folders["classify"], *TEXTS, "--pair", "--json")
    (told,) = json.loads(out)["predictions"]
    assert told["scores"] == pytest.approx(lavra.load(folders["classify"]).classify(tuple(TEXTS)).scores, abs=1e-6)
    out, _ = predict(folders["qa"], "who", TEXTS[0], "--json", "--allow-none")
    (told,) = json.loads(out)["predictions"]
    assert set(told) == {"text", "answer", "start", "end", "score"}
    assert told["answer"] == told["text"]  # the older field, beside the server's


def test_a_labelled_file_is_predicted_and_scored(predict, folders, tmp_path):
    path = labelled(tmp_path)
    out, said = predict(folders["classify"], "--input", path)
    told = lines_of(out)
    model = lavra.load(folders["classify"])
    found = model.classify([one["text"] for one in told])
    assert [one["line"] for one in told] == list(range(1, 10))
    assert [one["label"] for one in told] == [one.label for one in found]
    assert [one["expected"] for one in told] == [("yes", "no", "maybe")[number % 3] for number in range(9)]
    right = sum(one["label"] == one["expected"] for one in told) / 9
    assert f"{right:.4f}" in said
    assert "measured on 9 samples with labels" in said
    samples = [TextSample(text=one["text"], label=one["expected"]) for one in told]
    assert score_task(model.predictor.headed, samples).value == pytest.approx(right)


@pytest.mark.parametrize("kind", KINDS)
def test_every_task_reads_its_file(predict, folders, tmp_path, kind):
    path, out = write(tmp_path / "data.jsonl", samples_of(kind)), tmp_path / "out.jsonl"
    said, _ = predict(folders[kind], "--input", path, "--out", out, "--json")
    told = json.loads(said)
    assert (told["num_predictions"], told["scored_samples"], told["note"]) == (12, 12, "")
    assert told["scores"]["main"] in told["scores"]
    found = lines_of(out.read_text())
    assert len(found) == 12
    assert all("expected" in one and "warnings" not in one for one in found)


@pytest.mark.parametrize("kind", KINDS)
def test_a_labelled_file_costs_no_more_than_one_without_labels(predict, folders, tmp_path, kind, monkeypatch):
    costs = []

    def counted(logits):
        def count(self, rows):
            costs[-1] += sum(map(len, rows.encoded.ids))
            return logits(self, rows)

        return count

    for runner in (NativeHeadedModel, TorchHeadedModel):
        monkeypatch.setattr(runner, "logits", counted(runner.logits))
    labelled = samples_of(kind)
    bare = [{name: value for name, value in row.items() if name not in LABELLED} for row in labelled]
    for name, samples, scored in (("labelled", labelled, 12), ("bare", bare, 0)):
        costs.append(0)
        said, _ = predict(folders[kind], "--input", write(tmp_path / f"{name}.jsonl", samples), "--json")
        assert json.loads(said)["scored_samples"] == scored
    assert costs[0] == costs[1] > 0


def test_labels_are_not_needed(predict, folders, tmp_path):
    path = write(tmp_path / "data.jsonl", [{"text": text} for text in TEXTS])
    out, said = predict(folders["classify"], "--input", path)
    assert [one["label"] in LABELS for one in lines_of(out)] == [True, True]
    assert "no labels are there, so nothing is scored" in said
    assert not any("expected" in one for one in lines_of(out))


def test_labels_the_model_does_not_know_are_said(predict, folders, tmp_path):
    out, said = predict(folders["classify"], "--input", labelled(tmp_path, ("yes", "perhaps")))
    assert len(lines_of(out)) == 9
    assert "nothing is scored: label 'perhaps' is not the model's; known: maybe, no, yes" in said


@pytest.mark.parametrize("label", ["Maybe", "MAYBE", "mabye"])
def test_the_label_that_was_meant_is_named(predict, folders, tmp_path, label):
    _, said = predict(folders["classify"], "--input", labelled(tmp_path, ("yes", label)))
    assert f"nothing is scored: label {label!r} is not the model's; did you mean 'maybe'?" in said


def test_overlong_lines_are_named_or_cut_and_counted(predict, folders, tmp_path):
    path = write(tmp_path / "data.jsonl", [{"text": "a", "label": "yes"}, {"text": "a " * 100, "label": "no"}])
    _, said = predict(folders["classify"], "--input", path, status=EXIT_ERROR)
    assert f"{path}:2: the text is 102 tokens and a row holds 64" in said
    out, said = predict(folders["classify"], "--input", path, "--truncate")
    assert ["warnings" in one for one in lines_of(out)] == [False, True]
    assert "1 samples were cut or changed" in said
    _, said = predict(folders["classify"], "a " * 100, "--truncate")
    assert "102 tokens" in said


def test_a_file_that_is_there_is_not_overwritten_unasked(predict, folders, tmp_path):
    path, out = labelled(tmp_path), tmp_path / "out.jsonl"
    out.write_text("mine")
    _, said = predict(folders["classify"], "--input", path, "--out", out, status=EXIT_ERROR)
    assert "exists; choose another file, or say --replace" in said
    assert out.read_text() == "mine"
    said, _ = predict(folders["classify"], "--input", path, "--out", out, "--replace")
    assert f"saved {out}: 9 lines" in said


def test_troubles_of_the_file_are_reported(predict, folders, tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text('{"text": "a", "label": "yes"}\n{"text": "", "label": "no"}\n')
    out, said = predict(folders["classify"], "--input", path)
    assert len(lines_of(out)) == 1
    assert "2 samples read, 1 usable, 1 left out" in said


@pytest.mark.parametrize(
    ("kind", "arguments", "says"),
    [
        ("classify", [], "give texts, or a file with --input"),
        ("classify", ["a", "--input", "b.csv"], "not both"),
        ("classify", ["a", "--task", "ner"], "made for classify and --task is tag"),
        ("classify", ["a", "b", "--task", "rerank"], "this model has 3 labels"),
        ("classify", ["a", "--pair"], "1 texts are given and a pair has two"),
        ("classify", ["a", "--out", "b.jsonl"], "--out is for the lines of a file"),
        ("classify", ["a", "--columns", "text"], "write role=column"),
        ("qa", ["a"], "answer takes two, the question and the passage"),
        ("choice", ["a"], "choose takes the text and then the endings"),
        ("rerank", ["a"], "rerank takes the query"),
        ("ner", ["a", "b", "--task", "ner", "--pair"], "--pair is for classify"),
        ("classify", ["--input", "none.csv"], "none.csv"),
    ],
)
def test_unusable_inputs_are_refused(predict, folders, kind, arguments, says):
    _, said = predict(folders[kind], *arguments, status=EXIT_ERROR)
    assert says in said


def test_a_regression_of_pairs_ranks(predict, folders):
    out, _ = predict(folders["number"], "who", *TEXTS, "--task", "rerank", "--json")
    assert {one["index"] for one in json.loads(out)["predictions"][0]["ranked"]} == {0, 1}


def test_a_model_without_a_head(predict, tmp_path):
    random_folder("bert", tmp_path)
    _, said = predict(tmp_path, "a", status=EXIT_ERROR)
    assert "has no head of a task; make one with lavra finetune" in said
