"""Predictions of models with a head, against `transformers`' own pipelines and models on the same folders."""

import logging

import pytest
import torch
import transformers as hf
from hypothesis import given, settings
from hypothesis import strategies as st

import lavra
from lavra.base.errors import ContextLengthError, InputError
from lavra.base.predictions import (
    AnswerRequest,
    ChooseRequest,
    ClassifyRequest,
    RankRequest,
    TagRequest,
)
from lavra.engine.batching import BatchingPredictor
from lavra.tasks.answer import ANSWER
from lavra.tasks.classify import CLASSIFY
from lavra.tasks.tag import TAG
from lavra.testing.predictor import PredictorConformance
from tests.api.test_fill import random_folder
from tests.tasks.heads import LABELS, TAGS, head_folder, peer

TEXTS = ["She loved to play outside.", "def add(a, b):", "Once upon a time there was a little girl named Lily."]
PAIRS = [("She loved to play", "outside"), ("Once upon a time there was a girl", "Lily"), ("a", "b")]
KINDS = ("classify", "several", "number", "rerank", "ner", "qa", "choice")
FAMILIES = ("bert", "roberta", "llama", "gpt2")
ASKED = {
    "classify": [ClassifyRequest(text=text) for text in (*TEXTS, *PAIRS)],
    "ner": [TagRequest(text=text) for text in (*TEXTS, ("Lily", "loved", "it"), " ".join(TEXTS * 8))],
    "qa": [
        AnswerRequest(question="who", context=text * 9, allow_none=none) for text in TEXTS for none in (False, True)
    ],
    "choice": [ChooseRequest(text=text, choices=("outside", "inside the house", "a")) for text in TEXTS],
    "rerank": [RankRequest(query=text, texts=tuple(TEXTS)) for text in TEXTS],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = {}

    def folder(kind, family="bert"):
        if (kind, family) not in made:
            made[kind, family] = head_folder(kind, tmp_path_factory.mktemp(f"{kind}-{family}"), family)
        return made[kind, family]

    return folder


@pytest.fixture(scope="module")
def model(folder):
    made = {}

    def model(kind, family="bert"):
        if (kind, family) not in made:
            made[kind, family] = lavra.load(folder(kind, family))
        return made[kind, family]

    return model


class Conformance(PredictorConformance):
    kind = ""

    @pytest.fixture(autouse=True)
    def _model(self, model):
        self.predictor = model(self.kind).predictor
        yield
        if self.batched:
            self.worker.close()

    batched = False

    def make_predictor(self):
        if not self.batched:
            return self.predictor
        if not hasattr(self, "worker"):
            self.worker = BatchingPredictor(self.predictor)
        return self.worker

    def requests(self):
        return ASKED[self.kind]

    def other_request(self):
        return next(asked[0] for kind, asked in ASKED.items() if kind not in (self.kind, "rerank"))


SUITES = {
    f"Test{'Batched' if batched else ''}{kind.title()}": type(
        f"Test{'Batched' if batched else ''}{kind.title()}", (Conformance,), {"kind": kind, "batched": batched}
    )
    for kind in ASKED
    for batched in (False, True)
}
globals().update(SUITES)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["classify", "several"])
def test_the_pipeline_gives_the_same_scores(folder, model, kind, family):
    pipeline = hf.pipeline("text-classification", model=str(folder(kind, family)), top_k=None)
    function = "sigmoid" if kind == "several" else "softmax"
    told = [pipeline([text], function_to_apply=function)[0] for text in TEXTS]
    for scores, found in zip(told, model(kind, family).classify(TEXTS), strict=True):
        expected = {one["label"]: one["score"] for one in scores}
        assert found.scores == pytest.approx(expected, abs=1e-5)
        assert found.label == max(expected, key=expected.get)
        holding = {label for label, score in expected.items() if score > 0.5}
        assert set(found.labels) == (holding if kind == "several" else {found.label})


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_pairs_and_numbers_are_those_of_the_model(folder, model, family):
    other, tokenizer = peer("number", folder("number", family))
    found = model("number", family).classify([*TEXTS, *PAIRS])
    for text, one in zip([*TEXTS, *PAIRS], found, strict=True):
        parts = (text,) if isinstance(text, str) else text
        assert one.value == pytest.approx(float(other(**tokenizer(*parts, return_tensors="pt")).logits), abs=1e-4)
        assert (one.label, one.labels, dict(one.scores)) == ("", (), {})


def test_one_text_in_one_answer_out(model):
    classes = model("classify")
    assert classes.classify(TEXTS[0]) == classes.classify([TEXTS[0]])[0]
    assert classes.classify(PAIRS[0]) == classes.classify([PAIRS[0]])[0]
    assert model("ner").tag(TEXTS[0]) == model("ner").tag([TEXTS[0]])[0]
    assert model("qa").answer("who", TEXTS[2]) == model("qa").answer([("who", TEXTS[2])])[0]
    assert classes.classify([]) == []


@pytest.mark.parametrize("text", TEXTS)
def test_entities_are_those_of_the_pipeline(folder, model, text):
    pipeline = hf.pipeline("token-classification", model=str(folder("ner")), aggregation_strategy="first")
    expected, found = pipeline(text), model("ner").tag(text)
    told = [(one.label, one.start, one.end) for one in found.entities]
    assert told == [(one["entity_group"], one["start"], one["end"]) for one in expected]
    assert [one.score for one in found.entities] == pytest.approx([one["score"] for one in expected], abs=1e-5)
    assert all(text[one.start : one.end] == one.text for one in found.entities)
    assert set(found.tags) <= set(TAGS)
    assert len(found.tags) == len(found.words)


def test_a_chinese_text_has_a_tag_a_character_as_the_pipeline_has(tmp_path):
    texts = ["我住在北京市。", "李白写诗", "我写诗,在北京。"]
    folder = head_folder("ner", tmp_path, texts=texts)
    pipeline, ours = hf.pipeline("token-classification", model=str(folder), ignore_labels=[]), lavra.load(folder)
    for text in texts:
        found, expected = ours.tag(text), pipeline(text)
        assert list(zip(found.words, found.tags, strict=True)) == [(one["word"], one["entity"]) for one in expected]
        assert "".join(found.words) == text
        assert all(text[one.start : one.end] == one.text for one in found.entities)


@pytest.mark.parametrize("family", ["bert", "roberta"])
@torch.no_grad()
def test_the_answer_is_the_best_span_of_the_model(folder, model, family):
    """A naive search over every span that fits, in a passage that fits."""
    other, tokenizer = peer("qa", folder("qa", family))
    for context in TEXTS:
        row = tokenizer("who is it", context, return_tensors="pt", return_offsets_mapping=True)
        offsets, parts = row.pop("offset_mapping")[0].tolist(), row.sequence_ids(0)
        out = other(**row)
        starts, ends = out.start_logits[0].tolist(), out.end_logits[0].tolist()
        there = [place for place, part in enumerate(parts) if part == 1 and context[slice(*offsets[place])].strip()]
        spans = [(starts[a] + ends[b], a, b) for a in there for b in there if a <= b < a + 30]
        _, first, last = max(spans)
        found = model("qa", family).answer("who is it", context)
        assert (found.text, found.end) == (context[offsets[first][0] : offsets[last][1]].strip(), offsets[last][1])
        assert context[found.start : found.end] == found.text
        assert 0 < found.score <= 1


def test_no_answer_is_one_only_where_it_may_be(model):
    question = ("who is it", TEXTS[2])
    assert model("qa").answer([question])[0].text
    predictor = model("qa").predictor
    allowed, not_allowed = predictor.predict(
        [AnswerRequest(question="who is it", context=TEXTS[2], allow_none=none) for none in (True, False)]
    )
    assert not_allowed.value == model("qa").answer(*question)
    assert allowed.value == model("qa").answer(*question, allow_none=True)


@pytest.mark.parametrize("family", ["bert", "roberta"])
@torch.no_grad()
def test_choices_are_those_of_the_model(folder, model, family):
    other, tokenizer = peer("choice", folder("choice", family))
    choices = ["outside", "inside the house with Lily", "a"]
    row = tokenizer([TEXTS[0]] * 3, choices, return_tensors="pt", padding=True)
    logits = other(**{name: tensor[None] for name, tensor in row.items()}).logits[0]
    found = model("choice", family).choose(TEXTS[0], choices)
    assert list(found.scores.values()) == pytest.approx(logits.softmax(-1).tolist(), abs=1e-5)
    assert found.label == str(int(logits.argmax()))


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_ranks_are_those_of_the_model(folder, model, family):
    other, tokenizer = peer("rerank", folder("rerank", family))
    logits = [float(other(**tokenizer("who", text, return_tensors="pt")).logits) for text in TEXTS]
    found = model("rerank", family).rerank("who", TEXTS)
    assert [one.index for one in found] == sorted(range(3), key=lambda place: -logits[place])
    assert [one.score for one in found] == pytest.approx(
        torch.tensor(logits).sigmoid()[[one.index for one in found]].tolist(), abs=1e-5
    )
    assert model(("rerank"), family).rerank("who", []) == []


def test_overlong_texts_are_refused_with_both_lengths_or_cut_with_a_warning(model, caplog):
    long = "a " * 100
    with pytest.raises(ContextLengthError, match=r"text 1: the text is 102 tokens and a row holds 64; shorten it"):
        model("classify").classify(["b", long])
    with pytest.raises(ContextLengthError, match=r"document 1 of query 0: the text is 104 tokens"):
        model("rerank").rerank("b", ["b", long])
    with pytest.raises(ContextLengthError, match=r"choice 0 of text 0"):
        model("choice").choose("b", [long, "b"])
    with caplog.at_level(logging.WARNING, logger="lavra.api.model"):
        short, cut = model("classify").classify(["b", long], truncate=True)
        ranked = model("rerank").rerank("b", ["b", long], truncate=True)
    assert (short.truncated, cut.truncated, len(ranked)) == (False, True, 2)
    assert "text 1: the text is 102 tokens and a row holds 64: cut" in caplog.text
    assert "text 0: document 1: the text is 104 tokens and a row holds 64: cut" in caplog.text
    assert cut.scores == pytest.approx(model("classify").classify("a " * 62).scores)


def test_each_request_says_for_itself_whether_it_may_be_cut(model):
    predictor, long = model("classify").predictor, "a " * 100
    found = predictor.predict([ClassifyRequest(text=long, truncate=True), ClassifyRequest(text="b")])
    assert [one.num_tokens for one in found] == [64, 3]
    assert [len(one.warnings) for one in found] == [1, 0]
    with pytest.raises(ContextLengthError, match="text 1"):
        predictor.predict([ClassifyRequest(text=long, truncate=True), ClassifyRequest(text=long)])


def test_every_pair_without_a_separator_is_reported(model):
    predictor = model("classify", "gpt2").predictor
    found = predictor.predict([ClassifyRequest(text=text) for text in ("a", *PAIRS)])
    assert [len(one.warnings) for one in found] == [0, 1, 1, 1]
    assert "nothing between the texts of a pair" in found[1].warnings[0]


def test_a_word_without_tokens_is_outside_and_reported(model):
    predictor = model("ner").predictor
    (whole,) = predictor.predict([TagRequest(text=("\x00",))])
    assert whole.value.tags == ("O",)
    assert whole.warnings == ("the sentence has no tokens: every word is tagged O",)
    (part,) = predictor.predict([TagRequest(text=("a", "\x00", "b"))])
    assert part.value.tags[1] == "O"
    assert "has no tokens" in part.warnings[0]


def test_windows_are_counted_as_they_are_read(model):
    text = " ".join(["Lily loved"] * 60)
    (found,) = model("ner").predictor.predict([TagRequest(text=text)])
    assert len(found.value.tags) == 120
    assert found.num_tokens > 122


@pytest.mark.parametrize(
    ("kind", "ask", "says"),
    [
        ("classify", lambda model: model.tag("a"), r"finetuned for 'classify' and 'tag' is asked"),
        ("classify", lambda model: model.rerank("a", ["b"]), "this model has 3 labels, and a reranker has one output"),
        ("ner", lambda model: model.classify("a"), "--task classify"),
        ("qa", lambda model: model.choose("a", ["b", "c"]), "finetuned for 'answer' and 'choose'"),
        ("choice", lambda model: model.choose("a", ["b"]), "text 0 has 1 choices; give at least two"),
        ("qa", lambda model: model.answer("a"), "a question and its passage"),
        ("qa", lambda model: model.answer("a " * 100, "b"), "question 0 leaves no room"),
        ("ner", lambda model: model.tag("  "), "text 0 has no words"),
        ("classify", lambda model: model.classify(7), "text 0 is 7; give a str, or a tuple of two"),
        ("classify", lambda model: model.generate("a"), "writes no text; use classify"),
        ("ner", lambda model: model.score("a"), "scores no texts; use tag"),
        ("qa", lambda model: next(model.stream("a")), "writes no text; use answer"),
        ("rerank", lambda model: model.chat([{"role": "user", "content": "a"}]), "chat template"),
        ("rerank", lambda model: model.embed(["a"]), "embeds"),
        ("rerank", lambda model: model.fill_mask("[MASK]"), "fill_mask"),
    ],
)
def test_tasks_other_than_the_heads_are_refused(model, kind, ask, says):
    with pytest.raises(InputError, match=says):
        ask(model(kind))


def test_a_language_model_has_no_head(tmp_path):
    random_folder("bert", tmp_path)
    with pytest.raises(InputError, match="no head of a task; load one that lavra finetune"):
        lavra.load(tmp_path).classify("a")


@pytest.mark.parametrize(
    ("kind", "task", "labels"),
    [("classify", CLASSIFY, LABELS), ("ner", TAG, TAGS), ("number", CLASSIFY, ()), ("qa", ANSWER, ())],
)
def test_it_says_what_it_is_for(model, kind, task, labels):
    assert (model(kind).predictor.task, model(kind).predictor.labels) == (task.name, labels)


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_model_predicts_the_same(model, tmp_path, kind):
    one = model(kind)
    one.save(tmp_path / "made")
    requests = ASKED[{"several": "classify", "number": "classify"}.get(kind, kind)]
    again = lavra.load(tmp_path / "made", dtype="float32", device="cpu")
    assert again.predictor.predict(requests) == one.predictor.predict(requests)
    assert again.predictor.labels == one.predictor.labels
    other, _ = peer(kind, tmp_path / "made")
    assert set(one.predictor.labels) <= set(other.config.id2label.values())


def test_bfloat16_stays_near(folder, model):
    rough = lavra.load(folder("classify"), dtype="bfloat16").classify(TEXTS)
    for one, exact in zip(rough, model("classify").classify(TEXTS), strict=True):
        assert one.scores == pytest.approx(exact.scores, abs=0.1)
        assert one.scores != exact.scores


@settings(max_examples=20, deadline=None)
@given(
    texts=st.lists(
        st.text(max_size=60).filter(lambda text: not any("\ud800" <= c <= "\udfff" for c in text)), max_size=6
    )
)
def test_any_text_has_a_label(model_of_classes, texts):
    for found in model_of_classes.classify(texts, truncate=True):
        assert sum(found.scores.values()) == pytest.approx(1)
        assert found.label in LABELS


@pytest.fixture(scope="module")
def model_of_classes(model):
    return model("classify")
