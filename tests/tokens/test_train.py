"""Training: layouts, determinism, and equality with the library used directly."""

import json
import os
import subprocess
import sys

import pytest
from tokenizers import Regex, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as Library

from lavra.base.errors import ConfigError, InputError
from lavra.tokens.config import END_OF_TEXT, FIM_TOKENS, PATTERNS, TokenizerConfig
from lavra.tokens.train import train_tokenizer

# The pre-tokenizers of openai-community/gpt2 and meta-llama/Meta-Llama-3-8B, as their tokenizer.json have them.
GPT2_CUT = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
LLAMA3_PATTERN = (
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
    "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
)
LLAMA3_CUT = {
    "type": "Sequence",
    "pretokenizers": [
        {
            "type": "Split",
            "pattern": {"Regex": LLAMA3_PATTERN},
            "behavior": "Isolated",
            "invert": False,
        },
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
    ],
}


def definition(tokenizer):
    return json.loads(tokenizer.backend.to_str())


def test_patterns_are_the_published_ones(trained) -> None:
    assert definition(trained["gpt2-bpe"])["pre_tokenizer"] == GPT2_CUT
    assert definition(trained["llama3-bpe"])["pre_tokenizer"] == LLAMA3_CUT


def test_the_gpt2_pattern_written_out_is_the_one_the_library_knows(corpus, held_out) -> None:
    known = pre_tokenizers.ByteLevel(add_prefix_space=False)
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    ours = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(PATTERNS["gpt2"]), "isolated"), byte_level])
    for text in [*corpus, *held_out]:
        assert ours.pre_tokenize_str(text) == known.pre_tokenize_str(text)


def test_byte_level_merges_are_the_librarys(trained, corpus) -> None:
    peer = Library(models.BPE())
    peer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=1000, min_frequency=2, special_tokens=[END_OF_TEXT], initial_alphabet=alphabet, show_progress=False
    )
    peer.train_from_iterator(corpus, trainer)
    assert trained["gpt2-bpe"].backend.get_vocab() == peer.get_vocab()


def test_wordpiece_learns_the_pieces_the_librarys_trainer_learns(trained, corpus) -> None:
    """The files differ (theirs differs between runs), but the pieces serve as well on the same text."""
    peer = Library(models.WordPiece(unk_token="[UNK]"))
    peer.normalizer = trained["wordpiece"].backend.normalizer
    peer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    peer.train_from_iterator(
        corpus, trainers.WordPieceTrainer(vocab_size=1000, min_frequency=2, special_tokens=special, show_progress=False)
    )
    ours, theirs = set(trained["wordpiece"].backend.get_vocab()), set(peer.get_vocab())
    assert len(ours & theirs) / len(theirs) > 0.75
    num_ours = sum(map(len, trained["wordpiece"].encode_batch(corpus)))
    num_theirs = sum(len(peer.encode(text).ids) for text in corpus)
    assert 0.99 < num_ours / num_theirs < 1.01


def test_sizes_and_special_tokens(trained) -> None:
    assert {name: tokenizer.vocab_size for name, tokenizer in trained.items()} == dict.fromkeys(trained, 1000)
    assert [trained["llama3-bpe"].token(i) for i in range(4)] == [END_OF_TEXT, *FIM_TOKENS]
    t5 = trained["unigram"]
    assert [t5.token(i) for i in (0, 1, 2, 3, 258, 999, 900)] == [
        "<pad>", "</s>", "<unk>", "<0x00>", "<0xFF>", "<extra_id_0>", "<extra_id_99>",
    ]  # fmt: skip


def test_the_text_may_be_any_iterator(corpus) -> None:
    config = TokenizerConfig(vocab_size=400)
    assert train_tokenizer((text for text in corpus), config).fingerprint == train_tokenizer(corpus, config).fingerprint


_SCRIPT = """
import argparse, inspect, json
from lavra.tokens.config import TokenizerConfig
from lavra.tokens.train import train_tokenizer
texts = [inspect.getsource(argparse), inspect.getsource(json), "naïve café 北京 ∞ № é"]
for kind in ("bpe", "wordpiece", "unigram"):
    print(train_tokenizer(texts, TokenizerConfig(kind=kind, vocab_size=800)).fingerprint)
"""


def test_training_is_deterministic_across_processes_and_threads() -> None:
    outputs = {
        subprocess.run(
            [sys.executable, "-c", _SCRIPT],
            env={
                **os.environ,
                "RAYON_NUM_THREADS": threads,
                "TOKENIZERS_PARALLELISM": "true",
                "PYTHONHASHSEED": threads,
            },
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2", "1")
    }
    assert len(outputs) == 1
    assert len(set(outputs.pop().split())) == 3


def test_options(corpus) -> None:
    uncased = train_tokenizer(corpus, TokenizerConfig(kind="wordpiece", vocab_size=600, lowercase=True))
    assert uncased.encode("Não RETURN") == uncased.encode("nao return")
    assert "lower case" in uncased.normalizer
    nfkc = train_tokenizer(corpus, TokenizerConfig(kind="unigram", vocab_size=600, normalizer="nfkc", num_sentinels=3))
    assert nfkc.decode(nfkc.encode("ﬁn ²")) == "fin 2"
    assert nfkc.normalizer == "Unicode NFKC; U+2581 is read as a space"
    assert nfkc.sentinel_ids == [599, 598, 597]


def test_an_alphabet_too_large_gives_way_and_is_counted() -> None:
    many = "".join(map(chr, range(0x4E00, 0x4E00 + 2000)))
    texts = [many, many[:50] * 20, "the cat sat on the mat " * 50]
    t5 = train_tokenizer(texts, TokenizerConfig(kind="unigram", vocab_size=600))
    assert 500 < t5.vocab_size <= 600
    assert t5.decode(t5.encode(many)) == many
    bert = train_tokenizer(texts, TokenizerConfig(kind="wordpiece", vocab_size=600))
    assert bert.vocab_size <= 600
    assert bert.num_unknown(bert.encode(many[:50])) == 0  # the frequent ones were kept
    assert bert.num_unknown(bert.encode(many)) > 1000


def test_a_small_corpus_gives_fewer_tokens_and_says_so(caplog) -> None:
    tokenizer = train_tokenizer(["abc abc abc"], TokenizerConfig(vocab_size=5000))
    assert 257 < tokenizer.vocab_size < 270
    assert f"gives {tokenizer.vocab_size} tokens, not the 5000 asked for" in caplog.text


@pytest.mark.parametrize("kind", ["bpe", "wordpiece", "unigram"])
def test_no_text_and_bad_text_are_errors(kind) -> None:
    config = TokenizerConfig(kind=kind, vocab_size=1000)
    with pytest.raises(InputError, match="0 texts with 0 characters"):
        train_tokenizer([], config)
    with pytest.raises(InputError, match=r"text 1 is not valid Unicode: lone surrogate U\+D800 at character 3"):
        train_tokenizer(["fine", "abc\ud800"], config)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "bpee"}, "kind is 'bpee'; did you mean 'bpe'"),
        ({"pattern": "llama"}, "did you mean 'llama3'"),
        ({"vocab_size": 100}, "vocab_size is 100, but bpe needs at least 258"),
        ({"kind": "unigram", "vocab_size": 300}, "unigram needs at least 470"),
        ({"kind": "wordpiece", "fim": True}, "fim is for kind 'bpe'"),
        ({"lowercase": True}, "lowercase is for kind 'wordpiece'"),
        ({"normalizer": "nfkc"}, "normalizer is for kind 'unigram'"),
        ({"min_frequency": 0}, "min_frequency is 0, but must be at least 1"),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(ConfigError, match=message):
        TokenizerConfig(**settings)


@pytest.mark.parametrize("settings", [{"kind": "unigram", "vocab_size": 470}, {"kind": "bpe", "vocab_size": 258}])
def test_the_least_size_allowed_works(settings, corpus) -> None:
    tokenizer = train_tokenizer(corpus, TokenizerConfig(**settings))
    assert tokenizer.vocab_size == settings["vocab_size"]
    assert tokenizer.decode(tokenizer.encode(corpus[1])) == corpus[1]
