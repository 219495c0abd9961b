"""Tokenizers in GGUF files, against llama.cpp's golden tokens, the models' own tokenizer.json, and transformers."""

import random

import gguf
import pytest
import tokenizers
from transformers import AutoTokenizer

from lavra.base.errors import CheckpointError
from lavra.base.gguf_file import read_gguf
from lavra.tokens.gguf_cuts import CUTS, cut_named, known_cuts, name_of_cut
from lavra.tokens.gguf_tokenizer import end_ids
from lavra.tokens.tokenizer import Tokenizer
from tests.model.smollm2 import FILE, needs_smollm2
from tests.tokens.test_real import golden, gpt2, unpack

PARTS = [
    "a", " ", "  ", "\n", "É", "é", "e\u0301", "ß", "中", "文", "😀", "'s", "1", "23", "1234567", "٣", "don't", "\t",
    ".", "def f(x):", "Ⅷ", "½", "हि", "\u200d", "العربية", "Hello", " World", "!", " the", "ing", "\r\n", "$", "<>",
    "^",
]  # fmt: skip


def varied(count):
    chance = random.Random(0)
    return ["".join(chance.choice(PARTS) for _ in range(chance.randrange(30))) for _ in range(count)]


def vocabulary(lavra_data, name):
    return lavra_data / "tokenizers" / "ggml-vocab" / f"ggml-vocab-{name}.gguf"


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("name", ["bert-bge", "falcon", "gpt-2", "llama-spm", "phi-3"])
def test_tokens_are_llama_cpps_golden_ones(name, lavra_data):
    cases = golden(lavra_data, name)
    tokenizer = Tokenizer.load(vocabulary(lavra_data, name))
    assert len(cases) > 40
    for text, ids in cases:
        assert tokenizer.encode(text) == ids, text


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize(("name", "own"), [("falcon", "falcon"), ("gpt-2", "gpt2"), ("llama-spm", "llama2")])
def test_tokens_are_those_of_the_models_own_tokenizer(name, own, lavra_data, tmp_path):
    ours = Tokenizer.load(vocabulary(lavra_data, name))
    original = gpt2(lavra_data) if own == "gpt2" else Tokenizer.load(unpack(lavra_data, own, tmp_path))
    texts = varied(3000)
    assert ours.encode_batch(texts) == original.encode_batch(texts)
    if own == "llama2":
        assert ours.encode_batch(texts, add_special_tokens=True) == [[1, *ids] for ids in original.encode_batch(texts)]


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("name", ["gpt-2", "llama-spm", "phi-3"])
def test_tokens_are_those_of_transformers_reading(name, lavra_data):
    """Where it knows the pre-tokenizer (none for Falcon), and without a leading space, which it cuts otherwise."""
    path = vocabulary(lavra_data, name)
    ours, theirs = Tokenizer.load(path), AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    for text in varied(1000):
        if not text[:1].isspace() or name == "gpt-2":
            assert ours.encode(text) == theirs(text, add_special_tokens=False)["input_ids"], text


@pytest.fixture(scope="module")
def smollm2():
    return Tokenizer.load(FILE)


@needs_smollm2
def test_smollm2_reads_what_its_own_tokenizer_reads(smollm2):
    """Golden ids of HuggingFaceTB/SmolLM2-135M-Instruct's tokenizer.json."""
    assert smollm2.encode("Hello world! 123") == [19556, 905, 17, 216, 33, 34, 35]
    assert smollm2.encode("Café déjà vu.") == [51, 1939, 2756, 32564, 90, 16739, 386, 101, 30]
    assert smollm2.encode("  multiple   spaces") == [216, 2701, 256, 5600]
    assert smollm2.encode("<|im_end|>") == [2]
    assert smollm2.encode("a", add_special_tokens=True) == smollm2.encode("a")
    assert (smollm2.vocab_size, smollm2.eos_id, smollm2.bos_id, smollm2.max_length) == (49_152, 2, 1, 8192)
    asked = smollm2.apply_chat_template([{"role": "user", "content": "Hi"}])
    assert asked.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")


@needs_smollm2
@pytest.mark.slow
def test_smollm2_differs_from_transformers_reading_in_numbers_alone(smollm2):
    """Its own tokenizer separates single digits (`Digits`), which transformers' reading of the file leaves out."""
    theirs = AutoTokenizer.from_pretrained(FILE.parent, gguf_file=FILE.name)
    own = theirs.backend_tokenizer
    steps = tokenizers.pre_tokenizers
    for text in varied(3000):
        if not any(letter.isnumeric() for letter in text):
            assert smollm2.encode(text) == theirs(text)["input_ids"]
    own.pre_tokenizer = steps.Sequence([steps.Digits(individual_digits=True), steps.ByteLevel(add_prefix_space=False)])
    for text in varied(3000):
        assert smollm2.encode(text) == own.encode(text).ids
        assert smollm2.decode(smollm2.encode(text)) == text


LETTERS = list(tokenizers.pre_tokenizers.ByteLevel.alphabet())


def write(path, *, kind="gpt2", tokens=None, kinds=None, **values):
    """A file with a tokenizer and no model, by llama.cpp's own writer."""
    writer = gguf.GGUFWriter(str(path), "llama")
    tokens = [*sorted(LETTERS), "ab", "<s>", "<|x|>", "[PAD259]"] if tokens is None else tokens
    writer.add_tokenizer_model(kind)
    if tokens:
        writer.add_token_list(tokens)
        writer.add_token_types(kinds or [1] * 257 + [3, 4, 5][: len(tokens) - 257])
    for key, value in values.items():
        add = {bool: writer.add_bool, int: writer.add_uint32, str: writer.add_string, list: writer.add_array}
        name = key if key.startswith("chat_template") else f"ggml.{key}"
        add[type(value)](f"tokenizer.{name}", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("name", known_cuts())
def test_each_cut_opens_and_is_named_as_it_was(name, tmp_path):
    path = write(tmp_path / "x.gguf", pre=name, merges=["a b"], bos_token_id=257, eos_token_id=257)
    tokenizer = Tokenizer.load(path)
    assert "ab" in [tokenizer.token(number) for number in tokenizer.encode("ab")]
    assert tokenizer.decode(tokenizer.encode("Ação 12345, don't\n\n x")) == "Ação 12345, don't\n\n x"
    cut = cut_named(name)
    assert cut_named(name_of_cut(cut.steps)).steps == cut.steps
    assert (tokenizer.encode("ab", add_special_tokens=True)[0] == 257) == cut.begins


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [  # by hand, from the regular expressions of llama.cpp's llama-vocab.cpp
        ("gpt-2", "it's 1234 x", ["it", "'s", " 1234", " x"]),
        ("smollm", "it's 1234 x", ["it", "'s", " ", "1", "2", "3", "4", " x"]),
        ("llama-bpe", "IT'S 1234 x", ["IT", "'S", " ", "123", "4", " x"]),
        ("qwen2", "IT'S 1234 x", ["IT", "'S", " ", "1", "2", "3", "4", " x"]),
        ("tekken", "camelCase 12", ["camel", "Case", " ", "1", "2"]),
        ("gpt-4o", "camelCase's 1234", ["camel", "Case's", " ", "123", "4"]),
        ("falcon", "a--b 1234", ["a", "--", "b", " ", "123", "4"]),
    ],
)
def test_a_text_is_cut_into_these_words(name, text, words, tmp_path):
    path = write(tmp_path / "x.gguf", pre=name, merges=["a b"])
    found = Tokenizer.load(path).backend.pre_tokenizer.pre_tokenize_str(text)
    assert [text[start:end] for _, (start, end) in found] == words


def test_every_name_is_of_one_cut():
    names = [name for cut in CUTS for name in cut.names]
    assert len(names) == len(set(names))


def test_special_tokens_flags_and_templates(tmp_path):
    path = write(
        tmp_path / "x.gguf", pre="gpt-2", merges=["a b"], bos_token_id=257, eos_token_id=257, add_bos_token=True,
        add_eos_token=True, chat_template="usual", **{"chat_template.tool_use": "tools"},
    )  # fmt: skip
    tokenizer = Tokenizer.load(path)
    assert tokenizer.encode("a<|x|><s>", add_special_tokens=True) == [257, tokenizer.id("a"), 258, 257, 257]
    assert tokenizer.special_ids == {257}  # a user's own token is not a special one
    assert tokenizer.id("[PAD259]") is None  # it only fills a row of the embedding
    assert tokenizer.vocab_size == 259
    assert tokenizer.chat_template == "usual"
    assert tokenizer.template_for([{}]) == "tools"


def test_a_turn_ends_as_the_template_writes_it(tmp_path):
    tokens = [*sorted(LETTERS), "ab", "<|endoftext|>", "<|im_end|>", "<|eot_id|>"]
    path = write(tmp_path / "x.gguf", tokens=tokens, kinds=[1] * 257 + [3, 3, 3], pre="gpt-2", merges=["a b"],
                 eos_token_id=257, chat_template="{{ messages }}<|im_end|>")  # fmt: skip
    assert end_ids(read_gguf(path)) == [257, 258]
    assert end_ids(read_gguf(write(tmp_path / "y.gguf", pre="gpt-2", eos_token_id=257, eot_token_id=258))) == [257, 258]


def test_a_cased_wordpiece_vocabulary_is_not_lowercased(tmp_path):
    tokens = ["[UNK]", "[CLS]", "[SEP]", "\u2581Ana", "\u2581ana", "s"]
    path = write(tmp_path / "x.gguf", kind="bert", tokens=tokens, kinds=[3, 3, 3, 1, 1, 1], cls_token_id=1,
                 seperator_token_id=2, unknown_token_id=0)  # fmt: skip
    tokenizer = Tokenizer.load(path)
    assert tokenizer.encode("Anas ana", add_special_tokens=True) == [1, 3, 5, 4, 2]
    assert tokenizer.token(5) == "##s"


def test_a_file_that_does_not_say_how_to_cut_is_opened_with_a_warning(tmp_path, caplog):
    Tokenizer.load(write(tmp_path / "x.gguf", pre="default", merges=["a b"]))
    assert "does not say how its tokenizer cuts text" in caplog.text


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "t5"}, "tokenizer of kind 't5'; lavra reads gpt2, llama, bert"),
        (
            {"pre": "kimi-k2", "merges": ["a b"]},
            "called 'kimi-k2', which lavra does not know; it knows codeshell",
        ),
        ({"pre": "gpt-2"}, "without its merges"),
        ({"tokens": []}, "no tokenizer in it"),
        ({"pre": "gpt-2", "merges": ["a b"], "bos_token_id": 999}, "token 999 of 260 as a special one"),
        ({"kind": "llama"}, "260 tokens and 0 scores"),
    ],
)
def test_unreadable_tokenizers_are_refused_with_a_message(values, message, tmp_path):
    with pytest.raises(CheckpointError, match=message):
        Tokenizer.load(write(tmp_path / "x.gguf", **values))
