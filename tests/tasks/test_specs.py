"""Every spec is complete, its JSON round-trips, and it needs no torch before it computes."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lavra
import lavra.api.model as lavra_model
from lavra.base.config import from_mapping, to_mapping
from lavra.base.errors import ConfigError
from lavra.base.predictions import (
    AnswerRequest,
    ChooseRequest,
    Classification,
    ClassifyRequest,
    Entity,
    Ranked,
    RankRequest,
    SpanAnswer,
    Tagging,
    TagRequest,
)
from lavra.base.tasks import HeadKind
from lavra.data.labelled.samples import (
    ChatSample,
    ChoiceSample,
    LabelledAnswer,
    PairSample,
    QuestionSample,
    RewriteSample,
    TagSample,
    TextSample,
)
from lavra.model.task_config import HEADS
from lavra.tasks import table
from lavra.tasks.classify import CLASSIFY
from lavra.tasks.keys import sample_key
from lavra.tasks.learning.settings import FinetuneConfig
from lavra.tasks.spec import AskOptions
from lavra.tasks.table import all_tasks, asked_tasks, headed_tasks, task_named, task_of_head
from lavra.testing.task import TaskConformance

LAVRA = Path(lavra.__file__).parent
SPECS = tuple(spec for spec in all_tasks() if spec.name in table._TABLE)
OLDER_WORDS = {"ner": "tag", "qa": "answer", "choice": "choose", "text2text": "rewrite"}
NUMBERS = st.floats(0, 1)
TEXT = st.text(max_size=8)


CONVERSATION = ({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."})
SAMPLES = {
    "classify": [
        TextSample(text="a"),
        TextSample(text="a", pair="b", label=("x", "y")),
        TextSample(text="a", label=0.5),
    ],
    "tag": [TagSample(words=("a",)), TagSample(words=("a", "b"), tags=("O", "B-PER"))],
    "answer": [
        QuestionSample(name="1", question="who", context="she"),
        QuestionSample(name="2", question="who", context="she", answers=(LabelledAnswer(text="she", start=0),)),
    ],
    "choose": [ChoiceSample(text="a", choices=("b", "c")), ChoiceSample(text="a", choices=("b", "c"), label=1)],
    "rerank": [TextSample(text="a", pair="b"), TextSample(text="a", pair="b", label=1.0)],
    "embed": [PairSample(anchor="a", positive="b"), PairSample(anchor="a", positive="b", score=0.5)],
    "chat": [ChatSample(messages=CONVERSATION)],
    "rewrite": [RewriteSample(source="a"), RewriteSample(source="a", target="b")],
}
CHOSEN = Classification(label="1", labels=("1",), scores={"0": 0.25, "1": 0.75})
REQUESTS_AND_VALUES = {
    "classify": (
        [ClassifyRequest(text="a"), ClassifyRequest(text=("a", "b"), truncate=True)],
        [Classification(label="x", labels=("x",), scores={"x": 1.0}), Classification(value=2.0, truncated=True)],
    ),
    "tag": ([TagRequest(text="a b"), TagRequest(text=("a", "b"))], [Tagging(words=("a",), tags=("O",), entities=())]),
    "answer": (
        [AnswerRequest(question="q", context="c", allow_none=True)],
        [SpanAnswer(text="", start=0, end=0, score=0.0)],
    ),
    "choose": ([ChooseRequest(text="a", choices=("b", "c"), truncate=True)], [CHOSEN]),
    "rerank": ([RankRequest(query="q", texts=("a", "b"))], [(Ranked(index=1, score=0.5), Ranked(index=0, score=0.25))]),
}


class Conformance(TaskConformance):
    def samples(self):
        return SAMPLES[self.spec.name]

    def requests(self):
        return REQUESTS_AND_VALUES.get(self.spec.name, ((), ()))[0]

    def values(self):
        return REQUESTS_AND_VALUES.get(self.spec.name, ((), ()))[1]


globals().update(
    {f"Test{spec.name.title()}": type(f"Test{spec.name.title()}", (Conformance,), {"spec": spec}) for spec in SPECS}
)


@pytest.mark.parametrize("spec", SPECS, ids=repr)
def test_a_shipped_task_is_like_the_others(spec):
    assert spec.form.name == spec.name
    assert (spec.head is None) or (spec.writing is None)
    assert (spec.asking is not None) == (spec.head is not None)
    if spec.asking is not None:
        assert spec.asking.path == f"/v1/{spec.name}"
        assert spec.asking.takes <= {field.name for field in fields(AskOptions)}
        assert callable(getattr(lavra_model.TextModel, spec.name))
    if spec.head is not None:
        assert task_of_head(spec.saved_as, spec.head.kind) is spec
        assert all(task_named(name).head is not None for name in spec.head.also)


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ({"recipe": "lavra.tasks.learning.recipes:no_such"}, "test_every_reference_is_a_function"),
        ({"recipe": "lavra.tasks.learning.recipes"}, "test_every_reference_is_a_function"),
        ({"reads_back": ("rows", "lavra.tasks.learning.read_back")}, "test_every_reference_is_a_function"),
        ({"summary": ""}, "test_it_says_what_it_is"),
        ({"texts": lambda sample: (1,)}, "test_samples_have_texts_and_keys"),
        ({"read_request": lambda given, options: ClassifyRequest(text="other")}, "test_requests_go_both_ways"),
        ({"read_answer": lambda given: Classification(value=0.0)}, "test_answers_go_both_ways"),
        ({"older_fields": lambda found: {"truncated": 1}}, "test_answers_go_both_ways"),
        ({"path": "/classify"}, "test_an_endpoint_is_under_v1"),
    ],
)
def test_the_suite_finds_what_is_broken(change, broken):
    name = next(iter(change))
    part = CLASSIFY.asking if hasattr(CLASSIFY.asking, name) else None
    spec = replace(CLASSIFY, **change) if part is None else replace(CLASSIFY, asking=replace(part, **change))
    suite = Conformance()
    suite.spec = spec
    with pytest.raises((AssertionError, AttributeError)):
        getattr(suite, broken)()


def test_files_and_specs_agree_on_the_words_for_heads():
    """Model folders are read on a floor below the tasks, by a separate table."""
    assert {spec.saved_as: spec.head.kind for spec in SPECS if spec.head is not None} == dict(HEADS)


def test_every_kind_of_head_has_a_task():
    assert {spec.head.kind for spec in headed_tasks()} == set(HeadKind)
    assert task_of_head("mnli", HeadKind.SEQUENCE) is CLASSIFY


@pytest.mark.parametrize(("older", "name"), OLDER_WORDS.items())
def test_older_words_are_heard_and_kept_in_cards(older, name, tmp_path):
    config = from_mapping(FinetuneConfig, {"task": older, "data": str(tmp_path)})
    assert config.task is task_named(name) is task_named(older)
    assert to_mapping(config)["task"] == older
    assert from_mapping(FinetuneConfig, to_mapping(config)) == config


def test_an_unknown_word_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'classify'"):
        task_named("clasify")


def test_no_spec_loads_torch():
    names = [f"lavra.tasks.{spec.name}" for spec in SPECS]
    script = f"import sys, {', '.join(names)}, lavra.tasks.keys; print('torch' in sys.modules, 'numpy' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.split()[0] == "False"


# ---------------------------------------------------------------- JSON


SCORES = st.dictionaries(TEXT, NUMBERS, min_size=1, max_size=4)
ENTITIES = st.builds(Entity, label=TEXT, text=TEXT, start=st.integers(0, 9), end=st.integers(0, 9), score=NUMBERS)
REQUESTS = {
    "classify": st.builds(ClassifyRequest, text=TEXT | st.tuples(TEXT, TEXT), truncate=st.booleans()),
    "tag": st.builds(TagRequest, text=TEXT | st.lists(TEXT, max_size=4).map(tuple)),
    "answer": st.builds(AnswerRequest, question=TEXT, context=TEXT, allow_none=st.booleans()),
    "choose": st.builds(
        ChooseRequest, text=TEXT, choices=st.lists(TEXT, max_size=4).map(tuple), truncate=st.booleans()
    ),
    "rerank": st.builds(RankRequest, query=TEXT, texts=st.lists(TEXT, max_size=4).map(tuple), truncate=st.booleans()),
}


def chosen(scores):
    labels = [str(number) for number in range(len(scores))]
    best = max(labels, key=lambda label: scores[int(label)])
    return Classification(label=best, labels=(best,), scores=dict(zip(labels, scores, strict=True)))


VALUES = {
    "classify": st.builds(Classification, value=NUMBERS, truncated=st.booleans())
    | SCORES.map(lambda scores: Classification(label=max(scores), labels=tuple(scores), scores=scores)),
    "tag": st.builds(
        Tagging,
        words=st.lists(TEXT).map(tuple),
        tags=st.lists(TEXT).map(tuple),
        entities=st.lists(ENTITIES, max_size=3).map(tuple),
    ),
    "answer": st.builds(SpanAnswer, text=TEXT, start=st.integers(0, 9), end=st.integers(0, 9), score=NUMBERS),
    "choose": st.lists(NUMBERS, min_size=2, max_size=5).map(chosen),
    "rerank": st.lists(st.builds(Ranked, index=st.integers(0, 9), score=NUMBERS), max_size=4).map(tuple),
}


def test_every_asked_task_has_its_strategies():
    assert {spec.name for spec in SPECS if spec.asking is not None} == set(REQUESTS) == set(VALUES)


@given(st.data())
@pytest.mark.parametrize("name", REQUESTS)
def test_requests_and_answers_go_both_ways(name, data):
    asking = task_named(name).asking
    request, value = data.draw(REQUESTS[name]), data.draw(VALUES[name])
    options = AskOptions(**{one: getattr(request, one) for one in asking.takes})
    assert asking.read_request(asking.write_request(request), options) == request
    assert asking.read_answer(asking.write_answer(value)) == value
    assert set(asking.older_fields(value)) - set(asking.write_answer(value)) == set(asking.older_fields(value))


# ---------------------------------------------------------------- keys


@pytest.mark.parametrize(
    ("name", "sample", "same", "other"),
    [
        ("classify", TextSample(text="Olá  Mundo"), TextSample(text="OLA mundo"), TextSample(text="ola", pair="mundo")),
        ("classify", TextSample(text="a + b"), TextSample(text="A+B"), TextSample(text="a - b")),
        ("tag", TagSample(words=("a", "b")), TagSample(words=("A", "B")), TagSample(words=("a", "c"))),
        (
            "answer",
            QuestionSample(name="1", question="who", context="She."),
            QuestionSample(name="2", question="what", context="SHE."),
            QuestionSample(name="1", question="who", context="He."),
        ),
        (
            "embed",
            PairSample(anchor="a", positive="b"),
            PairSample(anchor="A", positive="c"),
            PairSample(anchor="b", positive="a"),
        ),
    ],
)
def test_equal_texts_in_other_forms_have_the_same_key(name, sample, same, other):
    task = task_named(name)
    assert sample_key(task, sample) == sample_key(task, same) != sample_key(task, other)


# ---------------------------------------------------------------- one home


# Modules that are about one task, and name it: all others ask the table.
ABOUT_ONE: dict[str, str] = {
    "server/heads.py": "the endpoints but for that of rerank.py",
    "server/rerank.py": "an endpoint whose form others have set",
    "doctor/training.py": "in-batch negatives: the loss of a sample depends on its company",
    "pipeline/student_model.py": "the stage of `up` that teaches answers",
    "pipeline/stages/adapt.py": "the stage of `up` that teaches answers",
    "pipeline/stages/encoder.py": "the stage of `up` that trains a sentence encoder",
    "runs/glue/finetuning.py": "every task of GLUE and SuperGLUE finetunes a head of classes",
    "cli/answers.py": "the verb that writes data for rewriting",
}
NAMES = {spec.name.upper() for spec in SPECS}


def test_no_other_module_names_a_task():
    found = set()
    for path in LAVRA.rglob("*.py"):
        place = path.relative_to(LAVRA).as_posix()
        if place.startswith("tasks/"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lavra.tasks.")
            for alias in node.names
        }
        if imported & NAMES:
            found.add(place)
    assert found == set(ABOUT_ONE)


def test_the_table_is_read_in_its_order():
    assert [spec.name for spec in SPECS] == [
        "classify",
        "tag",
        "answer",
        "choose",
        "rerank",
        "embed",
        "chat",
        "rewrite",
    ]
    assert all(spec in asked_tasks() for spec in headed_tasks())
    assert inspect.getdoc(table.add_task)
