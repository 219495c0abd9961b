"""Filled gaps of texts, against the pipeline of `transformers`."""

import math

import pytest
import torch
import transformers

import lavra
from lavra.api.fill import fill_mask, mask_filler, target_id
from lavra.api.torch_fill import TorchMaskFiller
from lavra.base.errors import ConfigError, ContextLengthError, InputError
from lavra.base.native_library import native_library
from lavra.base.ports import MaskFiller
from lavra.base.types import FillRequest
from lavra.model.families import table as families
from lavra.testing.mask_filler import MaskFillerConformance
from lavra.tokens.config import TokenizerConfig
from lavra.tokens.train import train_tokenizer
from tests.generate.tiny import TEXTS, tiny_in_process

MODELS = {
    "bert": (transformers.BertConfig, transformers.BertForMaskedLM, {}),
    "roberta": (
        transformers.RobertaConfig,
        transformers.RobertaForMaskedLM,
        {"type_vocab_size": 1, "max_position_embeddings": 66},
    ),
}


def random_folder(family, folder, *, spare=0, head=True):
    """A random model saved by `transformers`, with a trained tokenizer and unused rows of the embedding."""
    size = {"bert": 120, "roberta": 300}[family]
    tokenizer = train_tokenizer(TEXTS, TokenizerConfig(kind=families.family(family).tokenizer, vocab_size=size))
    config, model, settings = MODELS[family]
    sizes = {
        "vocab_size": tokenizer.vocab_size + spare,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 96,
        "max_position_embeddings": 64,
        "pad_token_id": tokenizer.pad_id,
    }
    torch.manual_seed(0)
    made = model(config(**{**sizes, **settings})).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.dim() >= 2:
                parameter.normal_(std=0.15)  # logits far from flat
    (made if head else getattr(made, family)).save_pretrained(folder)
    tokenizer.save(folder)
    return folder


@pytest.fixture(scope="module", params=list(MODELS))
def folder(request, tmp_path_factory):
    return random_folder(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(params=["torch", "native"])
def runner(request):
    if request.param == "native" and native_library() is None:
        pytest.skip("the native library is not built here")
    return request.param


@pytest.fixture
def model(folder, runner):
    return lavra.load(folder, runner=runner)


def peer(folder):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return transformers.pipeline("fill-mask", model=str(folder), tokenizer=tokenizer)


def as_peer(found):
    return [(one.token, one.logprob) for one in found]


class TestConformance(MaskFillerConformance):
    """Both kinds of tokenizer; a model with unused rows, which are no tokens, is below."""

    @pytest.fixture(autouse=True)
    def _model(self, model):
        self.filler, tokenizer = mask_filler(model.port), model.tokenizer
        self.num_tokens, self.mask = tokenizer.vocab_size, tokenizer.token(tokenizer.mask_id)
        self.words = [(word, target_id(tokenizer, word)) for word in ("a", "b", "d")]

    def make_filler(self):
        return self.filler


def test_the_pipeline_says_the_same(folder, model):
    pipeline = peer(folder)
    mask = model.tokenizer.token(model.tokenizer.mask_id)
    (found,) = model.fill_mask(f"She loved to {mask} outside.", top_k=7)
    expected = pipeline(f"She loved to {mask} outside.", top_k=7)
    assert [one.token for one in found] == [one["token"] for one in expected]
    assert [math.exp(one.logprob) for one in found] == pytest.approx([one["score"] for one in expected], rel=1e-4)
    assert [one.text for one in found] == [one["token_str"].strip() for one in expected]


def test_targets_as_the_pipeline_scores_them(folder, model):
    pipeline = peer(folder)
    mask = model.tokenizer.token(model.tokenizer.mask_id)
    words = [model.tokenizer.token(number) for number in (60, 40, 80, 60)]
    (found,) = model.fill_mask(f"a {mask} c", targets=words)
    expected = pipeline(f"a {mask} c", targets=words)
    assert len(found) == 3  # each once
    assert [one.token for one in found] == [one["token"] for one in expected]
    assert [math.exp(one.logprob) for one in found] == pytest.approx([one["score"] for one in expected], rel=1e-4)
    assert len(model.fill_mask(f"a {mask} c", targets=words, top_k=2)[0]) == 2


@pytest.mark.parametrize("family", MODELS)
def test_rows_to_spare_are_no_candidates(family, runner, tmp_path):
    model = lavra.load(random_folder(family, tmp_path, spare=9), runner=runner)
    mask, size = model.tokenizer.token(model.tokenizer.mask_id), model.tokenizer.vocab_size
    (found,) = model.fill_mask(mask, top_k=size)
    assert {one.token for one in found} == set(range(size))
    for top_k in (0, size + 1):
        with pytest.raises(ConfigError, match=rf"top_k={top_k} is outside 1\.\.{size}"):
            model.fill_mask(mask, top_k=top_k)


def test_a_batch_says_what_each_text_alone_says(model, monkeypatch):
    monkeypatch.setattr("lavra.api.fill.LOGITS_BYTES", 4000)  # the gaps of a text in several parts
    mask = model.tokenizer.token(model.tokenizer.mask_id)
    texts = [
        f"{mask}",
        f"She {mask} to play {mask} .",
        f"a {mask} b " * 8,
        f"def add(a, {mask}):",
        "x" + f" {mask}" * 9,
    ]
    filler = TorchMaskFiller(model.port, batch_size=3) if model.runner == "torch" else mask_filler(model.port)
    assert isinstance(filler, MaskFiller)
    together = filler.fill([FillRequest(text=text, top_k=4) for text in texts])
    monkeypatch.undo()
    for text, gaps in zip(texts, together, strict=True):
        alone = model.fill_mask(text, top_k=4)
        assert [[token for token, _ in gap] for gap in gaps] == [[one.token for one in gap] for gap in alone]
        for gap, expected in zip(gaps, alone, strict=True):
            assert [logprob for _, logprob in gap] == pytest.approx([one.logprob for one in expected], abs=1e-5)
    assert filler.fill([]) == []


def test_ids_are_used_as_they_are(model):
    text = f"She {model.tokenizer.token(model.tokenizer.mask_id)}"
    filler = mask_filler(model.port)
    ids = tuple(model.tokenizer.encode(text, add_special_tokens=True))
    assert filler.fill([FillRequest(text=ids)]) == filler.fill([FillRequest(text=text)])
    with pytest.raises(InputError, match="outside the vocabulary"):
        filler.fill([FillRequest(text=(*ids, 10_000))])


def test_texts_that_cannot_be_filled_give_the_reason(model):
    mask = model.tokenizer.token(model.tokenizer.mask_id)
    with pytest.raises(InputError, match="no gap to fill"):
        model.fill_mask("no gap")
    with pytest.raises(ContextLengthError, match="context 64"):
        model.fill_mask(f"a {mask} " * 60)
    with pytest.raises(InputError, match="a gap holds one"):
        model.fill_mask(mask, targets=["two words"])
    with pytest.raises(InputError, match="surrogate"):
        model.fill_mask(mask, targets=["\ud800"])


def test_an_unknown_word_is_no_target():
    tokenizer = tiny_in_process("bert").tokenizer
    assert tokenizer.encode("漢") == [tokenizer.unk_id]
    with pytest.raises(InputError, match="not in the vocabulary"):
        target_id(tokenizer, "漢")
    assert target_id(tokenizer, tokenizer.token(50)) == 50


def test_only_an_encoder_with_its_head_fills_gaps(tmp_path, runner):
    headless = lavra.load(random_folder("bert", tmp_path, head=False), runner=runner)
    assert mask_filler(headless.port) is None
    with pytest.raises(InputError, match="no masked-token head"):
        headless.fill_mask("a [MASK]")
    with pytest.raises(InputError, match="no language-model head"):
        headless.score("a")
    assert mask_filler(tiny_in_process()) is None
    with pytest.raises(InputError, match="left to right"):
        fill_mask(tiny_in_process(), "a [MASK]")
    assert isinstance(mask_filler(tiny_in_process("bert")), TorchMaskFiller)
