"""The tokenizer against the underlying library, and against the promise of each of its properties."""

import subprocess
import sys

import numpy as np
import pytest
import tokenizers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lavra.base.errors import InputError
from lavra.tokens.config import END_OF_TEXT, FIM_TOKENS
from lavra.tokens.definition import BYTE_OF
from lavra.tokens.parts import Parts, SpecialTokens
from lavra.tokens.tokenizer import Tokenizer

ANY_TEXT = st.text(st.characters(exclude_categories=("Cs",)))
SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


def test_byte_alphabet_is_the_librarys() -> None:
    assert set(BYTE_OF) == set(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    spelled = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str("é\n ~")
    assert bytes(BYTE_OF[char] for piece, _ in spelled for char in piece) == "é\n ~".encode()


def test_ids_are_the_librarys_for_one_for_many_and_as_arrays(tokenizer: Tokenizer, held_out: list[str]) -> None:
    for add_special in (False, True):
        peer = tokenizers.Tokenizer.from_str(tokenizer.backend.to_str())
        expected = [peer.encode(text, add_special_tokens=add_special).ids for text in held_out]
        assert [tokenizer.encode(text, add_special_tokens=add_special) for text in held_out] == expected
        assert tokenizer.encode_batch(held_out, add_special_tokens=add_special) == expected
        arrays = tokenizer.encode_to_array(held_out, add_special_tokens=add_special)
        assert [array.tolist() for array in arrays] == expected
        assert {array.dtype for array in arrays} == {np.dtype(np.uint16)}


@pytest.mark.parametrize("name", ["gpt2-bpe", "llama3-bpe"])
@SHARED
@given(text=ANY_TEXT)
def test_byte_level_round_trip_is_exact(trained: dict[str, Tokenizer], name: str, text: str) -> None:
    tokenizer = trained[name]
    assert tokenizer.is_lossless
    assert tokenizer.normalizer == ""
    assert tokenizer.decode(tokenizer.encode(text)) == text


@SHARED
@given(text=ANY_TEXT)
def test_byte_fallback_round_trip_is_exact_but_for_the_space_mark(trained: dict[str, Tokenizer], text: str) -> None:
    tokenizer = trained["unigram"]
    assert tokenizer.is_lossless
    assert tokenizer.normalizer == "U+2581 is read as a space"
    assert tokenizer.decode(tokenizer.encode(text)) == text.replace("\u2581", " ")
    assert tokenizer.num_unknown(tokenizer.encode(text)) == 0


@pytest.mark.parametrize("name", ["gpt2-bpe", "llama3-bpe", "unigram"])
@SHARED
@given(text=ANY_TEXT)
def test_bytes_of_tokens_joined_are_the_text(trained: dict[str, Tokenizer], name: str, text: str) -> None:
    tokenizer = trained[name]
    ids = tokenizer.encode(text)
    assert b"".join(map(tokenizer.token_bytes, ids)) == tokenizer.decode(ids).encode()


@pytest.mark.parametrize("name", ["gpt2-bpe", "unigram"])
@pytest.mark.parametrize("added", ["<tool>", "a tool", "<｜begin▁of▁text｜>", "é"])
def test_bytes_of_an_added_token_are_what_it_decodes_to(trained: dict[str, Tokenizer], name: str, added: str) -> None:
    backend = tokenizers.Tokenizer.from_str(trained[name].backend.to_str())
    backend.add_tokens([tokenizers.AddedToken(added, normalized=False)])
    tokenizer = Tokenizer(Parts(backend=backend, special=trained[name].special))
    token = tokenizer.id(added)
    assert tokenizer.token_bytes(token).decode(errors="replace") == tokenizer.decode([token])


def test_bytes_of_a_word_and_of_a_special_token(trained: dict[str, Tokenizer]) -> None:
    tokenizer = trained["wordpiece"]
    assert tokenizer.token_bytes(tokenizer.encode("return")[0]) == b"return"
    assert tokenizer.token_bytes(tokenizer.cls_id) == b"[CLS]"
    with pytest.raises(InputError, match="no token has id"):
        tokenizer.token_bytes(10**6)


@pytest.mark.parametrize(
    "text", ["<0x41>", "a <0x0A> b", "</s><pad>", "<extra_id_7>", "<unk>", "[CLS] [MASK]", END_OF_TEXT]
)
def test_text_that_looks_like_a_token_can_be_spelled_out(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text, parse_special=False)
    assert not set(ids) & tokenizer.special_ids
    if tokenizer.is_lossless:
        assert tokenizer.decode(ids) == text


def test_special_tokens_in_text_are_read_unless_asked_otherwise(trained: dict[str, Tokenizer]) -> None:
    tokenizer = trained["llama3-bpe"]
    text = f"a{FIM_TOKENS[1]}b"
    assert tokenizer.encode(text)[1] == tokenizer.id(FIM_TOKENS[1])
    assert len(tokenizer.encode(text, parse_special=False)) > 3
    assert tokenizer.encode(text)[1] == tokenizer.id(FIM_TOKENS[1])  # the switch is not a state
    assert tokenizer.decode(tokenizer.encode(text), skip_special_tokens=True) == "ab"


@pytest.mark.parametrize("surrogate", ["\ud800", "x\udfff", "\udc80\udc81"])
def test_lone_surrogates_are_refused_by_name(tokenizer: Tokenizer, surrogate: str) -> None:
    with pytest.raises(InputError, match=r"text 1 is not valid Unicode: lone surrogate U\+D"):
        tokenizer.encode_batch(["fine", surrogate])
    with pytest.raises(InputError, match="lone surrogate"):
        tokenizer.encode(surrogate, parse_special=False)


def test_input_that_is_not_text_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match="text 1 is of type bytes"):
        tokenizer.encode_batch(["a", b"b"])  # type: ignore[list-item]
    with pytest.raises(InputError, match="text 0 is of type int"):
        tokenizer.encode(3)  # type: ignore[arg-type]


def test_ids_outside_the_vocabulary_are_errors_not_silence(tokenizer: Tokenizer) -> None:
    size = tokenizer.vocab_size
    for ids in ([size], [0, -1], np.array([1, size + 7])):
        with pytest.raises(InputError, match="outside this vocabulary"):
            tokenizer.decode(ids)
    with pytest.raises(InputError, match=f"no token has id {size}"):
        tokenizer.token(size)
    assert tokenizer.id("no such token") is None


def test_token_and_id_are_inverse(tokenizer: Tokenizer) -> None:
    tokens = [tokenizer.token(index) for index in range(tokenizer.vocab_size)]
    assert [tokenizer.id(token) for token in tokens] == list(range(tokenizer.vocab_size))


def test_arrays_decode_as_lists_do(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("def f(x): return x")
    assert tokenizer.decode(np.array(ids, dtype=np.uint16)) == tokenizer.decode(ids)


def test_roles(trained: dict[str, Tokenizer]) -> None:
    bpe, bert, t5 = trained["llama3-bpe"], trained["wordpiece"], trained["unigram"]
    assert bpe.bos_id == bpe.eos_id == bpe.pad_id == bpe.id(END_OF_TEXT) == 0
    assert (bpe.unk_id, bpe.mask_id, bpe.cls_id, bpe.sep_id, bpe.sentinel_ids) == (None, None, None, None, [])
    assert bpe.special_ids == {bpe.id(token) for token in (END_OF_TEXT, *FIM_TOKENS)}
    assert trained["gpt2-bpe"].special_ids == {0}
    assert (bert.pad_id, bert.unk_id, bert.cls_id, bert.sep_id, bert.mask_id) == (0, 1, 2, 3, 4)
    assert (bert.bos_id, bert.eos_id) == (None, None)
    assert (t5.pad_id, t5.eos_id, t5.unk_id) == (0, 1, 2)
    assert t5.sentinel_ids == list(range(t5.vocab_size - 1, t5.vocab_size - 101, -1))  # as in T5's own vocabulary


def test_special_tokens_around_a_text(trained: dict[str, Tokenizer]) -> None:
    def frame(name: str) -> tuple[int, int]:
        tokenizer = trained[name]
        plain = tokenizer.encode("hello world")
        framed = tokenizer.encode("hello world", add_special_tokens=True)
        begin = next(i for i in range(3) if framed[i : i + len(plain)] == plain)
        return begin, len(framed) - len(plain) - begin

    assert {name: frame(name) for name in trained} == {
        "gpt2-bpe": (1, 0),
        "llama3-bpe": (1, 0),
        "wordpiece": (1, 1),
        "unigram": (0, 1),
    }


def test_unknowns_are_counted(trained: dict[str, Tokenizer]) -> None:
    bert = trained["wordpiece"]
    ids = bert.encode("import ﷽ and ᚠᚢ")
    assert bert.num_unknown(ids) == ids.count(bert.unk_id) == 2
    assert bert.num_unknown(np.array(ids)) == 2
    assert bert.unknown_spans("import ﷽ and ᚠᚢ") == [(7, 8), (13, 15)]
    assert trained["gpt2-bpe"].num_unknown([0, 1, 2]) == 0
    assert trained["gpt2-bpe"].unknown_spans("ᚠᚢ") == []


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("wordpiece", "return tokenization, ok", ["return", "tokenization", ",", "ok"]),
        ("gpt2-bpe", "return tokenization, ok", ["return", " tokenization", ",", " ok"]),
        ("gpt2-bpe", "naïve_x12 façade", ["naïve", "_", "x", "12", " façade"]),
        ("unigram", "return tokenization, ok", ["return", " tokenization", ",", " ok"]),
    ],
)
def test_word_starts(trained: dict[str, Tokenizer], name: str, text: str, words: list[str]) -> None:
    tokenizer = trained[name]
    ids = tokenizer.encode(text)
    groups: list[list[int]] = []
    for token_id, start in zip(ids, tokenizer.word_starts(ids), strict=True):
        if start:
            groups.append([])
        groups[-1].append(token_id)
    found = [tokenizer.decode(group) for group in groups]
    assert found == words
    assert any(len(group) > 1 for group in groups)


@pytest.mark.parametrize("name", ["gpt2-bpe", "wordpiece"])
def test_word_starts_are_the_pre_tokenizers_borders_on_ascii(
    trained: dict[str, Tokenizer], name: str, corpus: list[str]
) -> None:
    """Compared with the cuts of the pre-tokenizer itself, on prose and code without contractions."""
    tokenizer = trained[name]
    text = corpus[0][:20_000].replace("'", "")
    encoding = tokenizer.backend.encode(text, add_special_tokens=False)
    pieces = {start for _, (start, _) in tokenizer.backend.pre_tokenizer.pre_tokenize_str(text)}
    starts = tokenizer.word_starts(encoding.ids)
    expected = [begin in pieces for begin, _ in encoding.offsets]
    # white space runs may be cut within a piece, and there our words are finer; nowhere are they coarser
    for ours, theirs, token_id in zip(starts, expected, encoding.ids, strict=True):
        assert ours or not theirs
        assert theirs or not ours or tokenizer.decode([token_id]).isspace()


def test_special_tokens_are_words_by_themselves(trained: dict[str, Tokenizer]) -> None:
    bert = trained["wordpiece"]
    assert bert.word_starts(bert.encode("to", add_special_tokens=True)) == [True, True, True]


def test_truncation_and_padding_of_a_file_are_not_applied(trained: dict[str, Tokenizer]) -> None:
    raw = tokenizers.Tokenizer.from_str(trained["gpt2-bpe"].backend.to_str())
    raw.enable_truncation(max_length=4)
    raw.enable_padding(length=4)
    tokenizer = Tokenizer(Parts(backend=raw, special=SpecialTokens(eos=END_OF_TEXT)))
    assert len(tokenizer.encode("one two three four five six seven")) > 4
    assert len(tokenizer.encode("x")) == 1


def test_an_incomplete_byte_alphabet_is_not_called_lossless() -> None:
    model = tokenizers.models.BPE({"a": 0, "b": 1}, [])
    raw = tokenizers.Tokenizer(model)
    raw.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = tokenizers.decoders.ByteLevel()
    tokenizer = Tokenizer(Parts(backend=raw))
    assert not tokenizer.is_lossless
    assert tokenizer.decode(tokenizer.encode("abc")) == "ab"  # which is why


def test_fingerprint_tells_tokenizers_apart(trained: dict[str, Tokenizer]) -> None:
    assert len({tokenizer.fingerprint for tokenizer in trained.values()}) == len(trained)


def test_importing_it_does_not_import_torch() -> None:
    code = "import sys, lavra.tokens; assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
