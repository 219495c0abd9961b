"""The round-trip report: every difference between a text and its decoded tokens is explained."""

import pytest
import tokenizers

from lavra.tokens.parts import Parts, SpecialTokens
from lavra.tokens.roundtrip import check_round_trip
from lavra.tokens.tokenizer import Tokenizer


def test_byte_level_is_exact(trained, corpus, held_out) -> None:
    texts = [*corpus, *held_out, "a<|endoftext|>b"]
    for name in ("gpt2-bpe", "llama3-bpe"):
        report = check_round_trip(trained[name], texts)
        assert (report.num_texts, report.num_exact, report.ok) == (len(texts), len(texts), True)
        assert report.num_characters == sum(map(len, texts))


def test_byte_fallback_is_exact_but_for_the_space_mark(trained, corpus) -> None:
    report = check_round_trip(trained["unigram"], [*corpus, "\u2581x \u2581"])
    assert (report.num_exact, report.num_normalised, report.num_changed) == (len(corpus), 1, 0)
    assert report.normalizer == "U+2581 is read as a space"


def test_wordpiece_is_normalised_and_unknowns_are_counted(trained, corpus) -> None:
    texts = [*corpus, "one ﷽ two ᚠᚢᚱ, three", "x" * 101, "plain"]
    report = check_round_trip(trained["wordpiece"], texts)
    assert report.ok
    assert report.num_exact == 1
    assert report.num_unknown == 2
    assert report.unknown_tokens == 3
    assert report.unknown_characters == 1 + 3 + 101
    assert "2 with unknowns (3 tokens, 105 characters" in str(report)


@pytest.fixture
def lying():
    """A tokenizer that drops unknown text and does not declare it."""
    backend = tokenizers.Tokenizer(tokenizers.models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]))
    backend.decoder = tokenizers.decoders.Fuse()
    return Tokenizer(Parts(backend=backend))


def test_an_unaccounted_difference_is_found_and_shown(lying) -> None:
    report = check_round_trip(lying, ["abab", "abxab", "q"])
    assert not report.ok
    assert (report.num_exact, report.num_changed) == (1, 2)
    assert report.examples[0] == "at character 2: 'abxab' came back as 'abab'"


def test_a_decoder_that_cleans_up_is_stated(trained) -> None:
    """The published BERTs' decoder joins punctuation to the word before it; ours does not."""
    ours, texts = trained["wordpiece"], ["do not , ever .", "plain"]
    assert check_round_trip(ours, texts).num_exact == 2
    theirs = tokenizers.Tokenizer.from_str(ours.backend.to_str())
    theirs.decoder = tokenizers.decoders.WordPiece(cleanup=True)
    cleaned = Tokenizer(Parts(backend=theirs, special=SpecialTokens(unk="[UNK]")))
    report = check_round_trip(cleaned, texts)
    assert (report.num_exact, report.num_normalised, report.ok) == (1, 1, True)
    assert "spaces before punctuation removed when decoding" in report.normalizer
