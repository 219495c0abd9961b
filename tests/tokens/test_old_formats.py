"""Folders from before `tokenizer.json`: ids of `transformers`, and of SentencePiece itself."""

import json
import re
from pathlib import Path

import pytest
import sentencepiece
from transformers import AutoTokenizer

from lavra.base.errors import CheckpointError
from lavra.tokens.old_formats import _QWEN2_CUT
from lavra.tokens.sentencepiece import piece_backend, read_pieces
from lavra.tokens.tokenizer import Tokenizer
from tests.tokens.test_overrides import SAID

EXTRA = [
    "aaaaaaaaaaa",
    "a\tb\n c",
    "   ",
    "①ﬁ",
    "\ufeffbom",
    "x \u2581 y",
    "a\u0000b",
    "0123456789",
    "ｆｕｌｌ ｗｉｄｔｈ",
]
LLAMA = {"byte_fallback": True, "normalization_rule_name": "identity", "remove_extra_whitespaces": False}
MODELS = {
    "bpe-llama": ("bpe", {**LLAMA, "split_digits": True}),
    "bpe-nfkc": ("bpe", {}),
    "bpe-symbols": ("bpe", {**LLAMA, "user_defined_symbols": ["<sep>"], "add_dummy_prefix": False}),
    "unigram-bytes": ("unigram", {"byte_fallback": True}),
    "unigram-nfkc": ("unigram", {}),
    "unigram-t5": ("unigram", {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}),
}


@pytest.fixture(scope="module")
def texts(corpus) -> list[str]:
    lines = [line for text in corpus for line in text.splitlines()[:60]]
    return [text for text in [*SAID, *EXTRA, *lines] if "mask" not in text.lower()]  # read as a token by some


@pytest.fixture(scope="module")
def models(corpus, tmp_path_factory) -> dict[str, Path]:
    """Models that SentencePiece trained."""
    lines, found = [line for text in corpus for line in text.splitlines() if line.strip()][:1500], {}
    for name, (kind, options) in MODELS.items():
        path = tmp_path_factory.mktemp(name) / "made"
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines), model_prefix=str(path), vocab_size=700, model_type=kind,
            minloglevel=2, hard_vocab_limit=False, num_threads=1, **options,
        )  # fmt: skip
        found[name] = path.with_suffix(".model")
    return found


def folder_of(folder: Path, model_type: str, config: dict[str, object], **files: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_bytes(content)
    return folder


def same_ids(folder: Path, texts: list[str]) -> Tokenizer:
    ours, theirs = Tokenizer.load(folder), AutoTokenizer.from_pretrained(folder)
    assert ours.encode_batch(texts, add_special_tokens=True) == theirs(texts)["input_ids"]
    ours.save(folder / "again")
    again = Tokenizer.load(folder / "again")
    assert again.encode_batch(texts, add_special_tokens=True) == theirs(texts)["input_ids"]
    return ours


@pytest.mark.parametrize("name", MODELS)
def test_ids_and_texts_are_sentencepieces(models, texts, name) -> None:
    peer = sentencepiece.SentencePieceProcessor(model_file=str(models[name]))
    backend = piece_backend(read_pieces(models[name].read_bytes(), name))
    for text in [*texts, "a<sep>b" if "symbols" in name else ""]:
        ids = backend.encode(text, add_special_tokens=False).ids
        assert ids == peer.encode(text)
        if peer.unk_id() not in ids:
            assert backend.decode(ids) == peer.decode(ids)


def test_llamas_folder_has_sentencepieces_ids_behind_the_beginning_of_text(models, texts, tmp_path) -> None:
    peer = sentencepiece.SentencePieceProcessor(model_file=str(models["bpe-llama"]))
    data = models["bpe-llama"].read_bytes()
    for config in ({}, {"tokenizer_class": "LlamaTokenizer", "legacy": True}):
        ours = Tokenizer.load(folder_of(tmp_path / "t", "llama", config, tokenizer__model=data))
        assert (ours.unk_id, ours.bos_id, ours.eos_id) == (0, 1, 2)
        assert ours.encode_batch(texts, add_special_tokens=True) == [[1, *ids] for ids in peer.encode(texts)]
        assert ours.is_lossless
    plain = {"tokenizer_class": "LlamaTokenizer", "add_bos_token": False, "add_eos_token": True}
    ours = Tokenizer.load(folder_of(tmp_path / "t", "llama", plain, tokenizer__model=data))
    assert ours.encode_batch(texts, add_special_tokens=True) == [[*ids, 2] for ids in peer.encode(texts)]
    with_mark = {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "legacy": False}
    same_ids(folder_of(tmp_path / "t", "llama", with_mark, tokenizer__model=data), [*texts, "<s>a</s> b<s> c"])


def test_t5s_folder(models, texts, tmp_path) -> None:
    data = models["unigram-t5"].read_bytes()
    size = sentencepiece.SentencePieceProcessor(model_file=str(models["unigram-t5"])).vocab_size()
    for config in ({}, {"tokenizer_class": "T5Tokenizer", "extra_ids": 100, "eos_token": "</s>"}):
        folder = folder_of(tmp_path / "t", "t5", config, spiece__model=data)
        ours = same_ids(folder, [*texts, "The <extra_id_0> ran <extra_id_1>."])
        assert (ours.pad_id, ours.eos_id, ours.unk_id) == (0, 1, 2)
        assert (ours.id("<extra_id_0>"), ours.id("<extra_id_99>")) == (size + 99, size)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"tokenizer_class": "BertTokenizer", "do_lower_case": False},
        {"tokenizer_class": "BertTokenizerFast", "strip_accents": False, "tokenize_chinese_chars": False},
    ],
    ids=str,
)
def test_a_vocabulary_of_words(trained, texts, tmp_path, config) -> None:
    vocab = trained["wordpiece"].backend.get_vocab()
    words = "".join(f"{word}\n" for word in sorted(vocab, key=vocab.__getitem__))
    ours = same_ids(folder_of(tmp_path / "t", "bert", config, vocab__txt=words.encode()), [*texts, "a [MASK] b"])
    assert [ours.token(ours.encode("a", add_special_tokens=True)[at]) for at in (0, -1)] == ["[CLS]", "[SEP]"]
    assert (ours.pad_id, ours.mask_id) == (vocab["[PAD]"], vocab["[MASK]"])


@pytest.mark.parametrize(
    ("kind", "model_type", "config"),
    [
        ("GPT2Tokenizer", "gpt2", {}),
        (None, "gpt2", {}),
        ("GPT2TokenizerFast", "gpt2", {"add_prefix_space": True}),
        ("RobertaTokenizer", "roberta", {}),
        (None, "roberta", {}),
        ("RobertaTokenizer", "roberta", {"add_prefix_space": True}),
        ("Qwen2Tokenizer", "qwen2", {}),
        (None, "qwen2", {}),
    ],
)
def test_a_vocabulary_and_merges(trained, texts, tmp_path, kind, model_type, config) -> None:
    definition = json.loads(trained["gpt2-bpe"].backend.to_str())["model"]
    vocab, merges = definition["vocab"], ["#version: 0.2", *(" ".join(pair) for pair in definition["merges"]), ""]
    if model_type == "roberta":
        for token in ("<s>", "<pad>", "</s>", "<unk>", "<mask>"):
            vocab[token] = len(vocab)
    stated = {**config, **({} if kind is None else {"tokenizer_class": kind})}
    files = {"vocab__json": json.dumps(vocab).encode(), "merges__txt": "\n".join(merges).encode()}
    if model_type == "gpt2":
        stated |= {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}
    ours = same_ids(folder_of(tmp_path / "t", model_type, stated, **files), [*texts, "a <s> <|endoftext|>b"])
    assert ours.is_lossless
    if model_type == "roberta":  # transformers 5 leaves the space that RoBERTa was trained to have within the mask
        assert ours.encode("a <mask>") == [*ours.encode("a"), ours.mask_id]


def test_qwen2s_cut_is_transformers_own() -> None:
    from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

    assert re.sub(r"\s", "", _QWEN2_CUT) == re.sub(r"\s", "", PRETOKENIZE_REGEX)


def test_the_frame_of_a_vocabulary_and_merges_is_the_configs(trained, texts, tmp_path) -> None:
    definition = json.loads(trained["gpt2-bpe"].backend.to_str())["model"]
    merges = "\n".join(" ".join(pair) for pair in definition["merges"]).encode()
    config = {"tokenizer_class": "GPT2Tokenizer", "bos_token": "<|endoftext|>", "add_bos_token": True}
    files = {"vocab__json": json.dumps(definition["vocab"]).encode(), "merges__txt": merges}
    ours = same_ids(folder_of(tmp_path / "t", "gpt2", config, **files), texts)
    assert ours.encode("a", add_special_tokens=True)[0] == ours.bos_id


# ---- refusals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "config", "message"),
    [
        ({"spiece__model": b""}, {"tokenizer_class": "AlbertTokenizer"}, "of a AlbertTokenizer.*convert it once"),
        ({"tokenizer__model": b"IQ== 0\nIg== 1\n"}, {}, "not a SentencePiece model"),
        ({"tokenizer__model": b""}, {}, "it has no pieces"),
        ({"vocab__txt": b"a\nb\n"}, {}, r"lacks \[UNK\], \[CLS\], \[SEP\]"),
        ({"vocab__json": b"{", "merges__txt": b""}, {}, "is damaged"),
        ({"vocab__json": b"[1]", "merges__txt": b""}, {}, "gives no id to each token"),
        ({"vocab__json": b'{"a": 0}', "merges__txt": b"a b c\n"}, {}, "line 1: 'a b c' is not a merge"),
        ({"vocab__json": b'{"a": 0}', "merges__txt": b"a b\n"}, {}, "do not belong together"),
        ({"vocab__json": b'{"a": 0}'}, {}, "holds vocab.json but no tokenizer.json"),
    ],
)
def test_other_files_than_a_tokenizer_are_refused(tmp_path, files, config, message) -> None:
    with pytest.raises(CheckpointError, match=message):
        Tokenizer.load(folder_of(tmp_path / "t", "unheard", config, **files))


@pytest.mark.parametrize("kept", [1, 100, 4000])
def test_a_file_that_was_cut_is_refused(models, tmp_path, kept) -> None:
    data = models["bpe-llama"].read_bytes()[:-kept]
    with pytest.raises(CheckpointError, match="not a SentencePiece model"):
        read_pieces(data, "tokenizer.model")


def test_words_and_characters_are_refused(corpus, tmp_path) -> None:
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus[0].splitlines()), model_prefix=str(tmp_path / "m"), vocab_size=60,
        model_type="char", minloglevel=2, hard_vocab_limit=False,
    )  # fmt: skip
    with pytest.raises(CheckpointError, match="of words or characters"):
        read_pieces((tmp_path / "m.model").read_bytes(), "m.model")
