"""Real public data: every file is read, with its makers' counts and its known faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lavra.data.labelled.labels import label_set, tag_set
from lavra.data.labelled.reading import read_samples
from lavra.data.labelled.samples import ChatSample, QuestionSample, TagSample, TextSample
from lavra.data.labelled.splits import find_splits
from lavra.metrics.tag_schemes import spans
from lavra.tasks.answer import ANSWER
from lavra.tasks.chat import CHAT
from lavra.tasks.classify import CLASSIFY
from lavra.tasks.embed import EMBED
from lavra.tasks.tag import TAG

pytestmark = pytest.mark.data

COLA: dict[str, Any] = {"columns": {"text": "4", "label": "2"}, "header": False}  # it has no header
GLUE = [
    ("CoLA/train.tsv", 8551, "0 1", COLA),
    ("CoLA/dev.tsv", 1043, "0 1", COLA),
    ("QNLI/dev.tsv.gz", 5463, "entailment not_entailment", {}),
    ("RTE/train.tsv", 2490, "entailment not_entailment", {}),
    ("RTE/dev.tsv", 277, "entailment not_entailment", {}),
    ("RTE/test.tsv", 3000, "", {}),
    ("SST-2/train.tsv.gz", 67349, "0 1", {}),
    ("SST-2/dev.tsv", 872, "0 1", {}),
    ("SST-2/test.tsv", 1821, "", {}),
    ("WNLI/train.tsv", 635, "0 1", {}),
    ("WNLI/dev.tsv", 71, "0 1", {}),
]


@pytest.mark.parametrize(("name", "count", "labels", "options"), GLUE, ids=[row[0] for row in GLUE])
def test_glue(lavra_data: Path, name: str, count: int, labels: str, options: dict[str, Any]) -> None:
    found = read_samples(lavra_data / "glue" / name, CLASSIFY.form, **options)
    assert (found.num_read, len(found.samples), found.issues) == (count, count, ())
    if labels:
        assert label_set(found.samples).names == tuple(labels.split())
        assert all(isinstance(one, TextSample) and one.label is not None for one in found.samples)
    else:
        assert all(isinstance(one, TextSample) and one.label is None for one in found.samples)
    is_pair = name.split("/")[0] in ("QNLI", "RTE", "WNLI")
    assert all(isinstance(one, TextSample) and (one.pair is not None) == is_pair for one in found.samples)


def test_quotation_marks_of_rte_are_text(lavra_data: Path) -> None:
    """70 cells of RTE's training file begin with a quotation mark; read as CSV they would swallow following rows."""
    found = read_samples(lavra_data / "glue/RTE/train.tsv", CLASSIFY.form)
    both = [text for one in found.samples if isinstance(one, TextSample) for text in (one.text, one.pair or "")]
    assert sum(text.startswith('"') for text in both) >= 70
    assert found.samples[-1].place.line == 2491


@pytest.mark.parametrize(("split", "count"), [("train", 1000), ("dev", 375)])
def test_similarity_is_a_number(lavra_data: Path, split: str, count: int) -> None:
    found = read_samples(lavra_data / f"glue/STS-B-open/{split}.tsv", CLASSIFY.form)
    assert (len(found.samples), found.issues, found.fields["problem"]) == (count, (), "regression")
    assert all(isinstance(one, TextSample) and 0.0 <= float(str(one.label)) <= 5.0 for one in found.samples)
    assert len(read_samples(lavra_data / f"glue/STS-B-open/{split}.tsv", EMBED.form).samples) == count


@pytest.mark.parametrize(
    ("name", "sentences", "words", "entities"),
    [("train.conll.gz", 7827, 229277, 8894), ("dev.conll", 1176, 41166, 1818), ("test.conll", 1389, 47630, 1536)],
)
def test_lener_br(lavra_data: Path, name: str, sentences: int, words: int, entities: int) -> None:
    found = read_samples(lavra_data / "ner/lener-br" / name, TAG.form)
    tagged = [one for one in found.samples if isinstance(one, TagSample)]
    assert (len(tagged), sum(len(one.words) for one in tagged)) == (sentences, words)
    assert found.fields["scheme"] == "BIO"
    assert found.issues == ()
    assert len(tag_set(tagged)) == 13
    # B- tags of the file, counted apart (grep -c ' B-').
    assert sum(len(list(spans(one.tags or ()))) for one in tagged) == entities


@pytest.mark.parametrize(
    ("name", "count", "wrong"),
    [
        ("faquad/dataset.json", 900, 33),
        ("faquad/train.json", 837, 30),
        ("faquad/dev.json", 63, 4),
        ("xquad/xquad.en.json", 1190, 0),
    ],
)
def test_questions(lavra_data: Path, name: str, count: int, wrong: int) -> None:
    """Some FaQuAD answers are not at their given position; each is named, and every question keeps another answer."""
    found = read_samples(lavra_data / "qa" / name, ANSWER.form)
    assert (found.num_read, len(found.samples)) == (count, count)
    assert [one.dropped for one in found.issues] == [False] * wrong
    for one in found.samples:
        assert isinstance(one, QuestionSample)
        assert one.answers
        assert all(one.context[answer.start :].startswith(answer.text) for answer in one.answers)


CHATS = [
    ("llamafactory/alpaca_en_demo.json", 999, 999),
    ("llamafactory/identity.json", 91, 91),
    ("llamafactory/dpo_en_demo.json.gz", 300, 300),
    ("llamafactory/glaive_toolcall_en_demo.json", 300, 300),
    ("llamafactory/kto_en_demo.json", 300, 150),  # half are answers people did not want
    ("llamafactory/reason_tool_use_demo_50.jsonl", 50, 50),
    ("self-instruct/seed_tasks.jsonl", 175, 175),
    ("self-instruct/user_oriented_instructions.jsonl", 252, 252),
    ("dolly_hhrlhf_small/dolly_hhrlhf_train_small.jsonl", 1000, 1000),
]


@pytest.mark.parametrize(("name", "read", "usable"), CHATS, ids=[row[0] for row in CHATS])
def test_conversations(lavra_data: Path, name: str, read: int, usable: int) -> None:
    found = read_samples(lavra_data / "instruct" / name, CHAT.form)
    assert (found.num_read, len(found.samples)) == (read, usable)
    assert sum(one.dropped for one in found.issues) == read - usable
    for one in found.samples:
        assert isinstance(one, ChatSample)
        assert one.messages[-1]["role"] == "assistant"


def test_tool_calls_of_public_data(lavra_data: Path) -> None:
    found = read_samples(lavra_data / "instruct/llamafactory/glaive_toolcall_en_demo.json", CHAT.form)
    chats = [one for one in found.samples if isinstance(one, ChatSample)]
    assert sum(len(message.get("tool_calls", ())) for one in chats for message in one.messages) == 211
    assert sum(one.tools is None for one in chats) == 109


@pytest.mark.parametrize(("folder", "splits"), [("glue/RTE", 3), ("glue/CoLA", 2), ("ner/lener-br", 3)])
def test_folders_have_their_splits(lavra_data: Path, folder: str, splits: int) -> None:
    found = find_splits(lavra_data / folder)
    assert sum(map(len, (found.train, found.validation, found.test))) == splits
    assert found.other == ()
