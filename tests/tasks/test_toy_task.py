"""A user's own task in one file: finetuned, predicted and served by the unchanged verbs."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import httpx2
import numpy as np
import pytest

import lavra
from lavra.base.errors import ConfigError
from lavra.base.predictions import Prediction
from lavra.base.tasks import HeadKind, Problem
from lavra.cli.main import main
from lavra.data.labelled.form import SampleForm
from lavra.data.labelled.layouts import TaskColumns, each
from lavra.data.labelled.samples import TextSample
from lavra.data.labelled.tables import lookup
from lavra.data.rows.texts import text_rows, unlabelled_text_rows
from lavra.model.task_files import task_in
from lavra.tasks import table
from lavra.tasks.predicting.headed import TextGroup
from lavra.tasks.scoring.scores import Scores
from lavra.tasks.spec import Asking, HeadSpec, TaskSpec
from lavra.testing.task import TaskConformance
from lavra.verbs import serving
from tests.runs.tasks import BAD, GOOD, base_folder, rows, write
from tests.server.conftest import running


@dataclass(frozen=True, kw_only=True)
class MoodRequest:
    text: str


@dataclass(frozen=True, kw_only=True)
class Mood:
    name: str


def predict(headed, requests):
    headed.require(MOOD)
    labels = headed.model.task.labels
    groups = [TextGroup(texts=[one.text], truncate=True, name=one.text) for one in requests]
    return [
        Prediction(value=Mood(name=labels[int(found.logits[0].argmax())]), num_tokens=found.num_tokens)
        for found in headed.read(groups)
    ]


def score(headed, samples):
    found = headed.logits(unlabelled_text_rows(samples, headed.form(truncate=True)))
    right = [
        headed.model.task.labels[int(one.argmax())] == sample.label for one, sample in zip(found, samples, strict=True)
    ]
    return Scores(main="right", values={"right": float(np.mean(right))}, num_samples=len(samples))


MOOD = TaskSpec(
    name="mood",
    aliases=("feeling",),
    summary="a text to a mood",
    form=SampleForm(
        name="mood",
        columns=TaskColumns(layouts=each("said", "utterance"), extras={"mood": ("mood",)}),
        prepare=lambda known: (
            lambda row: TextSample(
                text=lookup(row, known.columns["said"]),
                label=lookup(row, known.columns["mood"]) if "mood" in known.columns else None,
                place=row.place,
            )
        ),
    ),
    texts=lambda sample: (sample.text,),
    expected=lambda sample: sample.label,
    is_known=lambda sample: sample.label is not None,
    labels=lambda sample: () if sample.label is None else (sample.label,),
    tokens=32,
    learning_rate=5e-3,
    recipe="lavra.tasks.learning.recipes:headed_recipe",
    reads_back=("moods stand at their texts", "lavra.tasks.learning.read_back:look_at_labels"),
    head=HeadSpec(
        kind=HeadKind.SEQUENCE,
        rows=lambda samples, form, head: text_rows(samples, form, labels=head.labels, problem=Problem.SINGLE_LABEL),
        loss="lavra.tasks.learning.losses:class_loss",
        soft_loss="lavra.tasks.learning.soft_losses:soft_class_loss",
        predict=predict,
        score=score,
        guess="lavra.tasks.learning.guess:guess_label",
        num_answers="lavra.tasks.learning.guess:num_labels",
        labels=lambda samples: (tuple(sorted({sample.label for sample in samples})), None),
        has_names=True,
    ),
    asking=Asking(
        path="/v1/mood",
        request=MoodRequest,
        takes=frozenset(),
        read_request=lambda given, options: MoodRequest(text=given["said"]),
        write_request=lambda request: {"said": request.text},
        read_answer=lambda given: Mood(name=given["mood"]),
        write_answer=lambda found: {"mood": found.name},
        from_texts=lambda texts, options: [MoodRequest(text=text) for text in texts],
        from_sample=lambda sample, options: MoodRequest(text=sample.text),
        shown=lambda request, found: [(found.name, request.text)],
    ),
)


class TestMood(TaskConformance):
    spec = MOOD

    def samples(self):
        return [TextSample(text="a day"), TextSample(text="a day", label="glad")]

    def requests(self):
        return [MoodRequest(text="a day")]

    def values(self):
        return [Mood(name="glad")]


@pytest.fixture(scope="module", autouse=True)
def added():
    table.add_task(MOOD)
    yield
    del table._TABLE["mood"]


@pytest.fixture(scope="module", params=["bert", "llama"])
def folder(request, tmp_path_factory):
    work = tmp_path_factory.mktemp("mood")
    moods = {"yes": "glad", "no": "sad"}
    found = [{"utterance": row["text"], "mood": moods[row["label"]]} for row in rows("classify", 200)]
    base, data = base_folder(work / "base", request.param), write(work / "data.jsonl", found)
    arguments = ["finetune", str(base), "--task", "feeling", "--data", str(data), "--out", str(work / "made")]
    assert main([*arguments, "--batch-size", "8", "--epochs", "3", "--json"]) == 0
    return work / "made"


def test_it_is_learnt_and_its_folder_says_so(folder, caplog):
    metrics = json.loads((folder / "lavra.json").read_text())["metrics"]
    assert metrics["after"]["right"] > max(0.9, metrics["before"]["right"])
    assert task_in(folder).task == "mood"
    assert lavra.load(folder).predictor.task == "mood"
    assert "does not know" not in caplog.text


def test_texts_and_files_are_predicted(folder, tmp_path, capsys):
    assert main(["predict", str(folder), f"the {GOOD[0]} day", f"the {BAD[0]} day"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["glad", "sad"]
    data = write(tmp_path / "data.jsonl", [{"utterance": f"a {word} film", "mood": "glad"} for word in GOOD])
    assert main(["predict", str(folder), "--input", str(data)]) == 0
    said = capsys.readouterr()
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert [line["expected"] for line in lines] == ["glad"] * 4
    right = sum(line["mood"] == "glad" for line in lines) / 4
    assert f"{right:.4f}" in said.err


def test_it_is_served_at_its_own_path(folder):
    with running([serving.open_model(f"mine={folder}", serving.ServeSettings())]) as url:
        asked = {"input": [{"said": f"the {GOOD[1]} day"}, {"said": f"the {BAD[1]} day"}]}
        answer = httpx2.post(f"{url}/v1/mood", json=asked, timeout=60)
        assert answer.status_code == 200, answer.text
        assert [one["mood"] for one in answer.json()["data"]] == ["glad", "sad"]
        assert answer.json()["data"][0]["object"] == "mood"
        wrong = httpx2.post(f"{url}/v1/mood", json={"input": [{"said": "a"}, {"says": "a"}]}, timeout=60)
        assert wrong.status_code == 400
        assert "input 1 is none that mood reads" in wrong.json()["error"]["message"]
        other = httpx2.post(f"{url}/v1/classify", json={"input": "a day"}, timeout=60)
        assert other.status_code == 400
        assert "finetuned for 'mood'" in other.json()["error"]["message"]


def test_an_endpoint_that_is_taken_is_refused():
    asking = replace(MOOD.asking, path="/v1/tag")
    with pytest.raises(ConfigError, match="asked at /v1/tag, as 'tag' is"):
        table.add_task(replace(MOOD, name="other", saved_as="other", aliases=(), asking=asking))


def test_a_word_that_is_taken_is_refused():
    with pytest.raises(ConfigError, match="'ner', as 'tag' is"):
        table.add_task(TaskSpec(**{**vars(MOOD), "name": "names", "saved_as": "ner"}))
