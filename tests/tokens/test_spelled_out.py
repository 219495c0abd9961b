"""Special tokens written in a text are spelled out for every kind of model; nothing else changes."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from tokenizers import AddedToken, models, pre_tokenizers, processors
from tokenizers import Tokenizer as Library

from lavra.tokens.parts import Parts, SpecialTokens
from lavra.tokens.tokenizer import Tokenizer


def unigram() -> Library:
    """Special tokens among the pieces of the model, as in T5's."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((letter, -2.0) for letter in "▁<>/abspd"), ("▁ab", -1.0)]
    library = Library(models.Unigram(pieces, unk_id=2))
    library.pre_tokenizer = pre_tokenizers.Metaspace()
    library.add_special_tokens([AddedToken(token, normalized=False) for token in ("<pad>", "</s>", "<unk>")])
    library.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return library


def test_a_unigram_spells_its_special_pieces_out() -> None:
    tokenizer = Tokenizer(Parts(backend=unigram(), special=SpecialTokens(eos="</s>", pad="<pad>", unk="<unk>")))
    assert tokenizer.encode("ab</s>") == [tokenizer.id("▁ab"), 1]
    spelled = tokenizer.encode("ab</s><pad>", parse_special=False)
    assert [tokenizer.token(token) for token in spelled] == ["▁ab", *"</s><pad>"]
    for text in ("ab ab", "zz", ""):
        for add in (False, True):
            plain = tokenizer.encode(text, add_special_tokens=add)
            assert tokenizer.encode(text, add_special_tokens=add, parse_special=False) == plain
    assert tokenizer.encode("ab</s>", add_special_tokens=True, parse_special=False)[-1] == 1


def test_every_kind_spells_its_special_tokens_out(tokenizer: Tokenizer) -> None:
    for token in dict(tokenizer.special.items()).values():
        ids = tokenizer.spelling_backend.encode(f"x {token} y", add_special_tokens=False).ids
        assert not set(ids) & tokenizer.special_ids - {tokenizer.unk_id}
        assert ids == tokenizer.encode(f"x {token} y", parse_special=False)


def test_the_spelling_backend_takes_pairs_and_words(tokenizer: Tokenizer) -> None:
    pair = tokenizer.spelling_backend.encode("def f", "return x")
    assert pair.ids == tokenizer.backend.encode("def f", "return x").ids
    assert pair.type_ids == tokenizer.backend.encode("def f", "return x").type_ids
    words = tokenizer.spelling_backend.encode(["def", "f"], is_pretokenized=True, add_special_tokens=False)
    assert set(words.word_ids) == {0, 1}


@pytest.mark.data
def test_t5_spells_its_special_pieces_out(lavra_data: Path, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(gzip.decompress((lavra_data / "tokenizers" / "t5-small" / "tokenizer.json.gz").read_bytes()))
    tokenizer = Tokenizer.load(path)
    ids = tokenizer.encode("a </s> b<pad> <extra_id_0>", parse_special=False)
    assert not set(ids) & tokenizer.special_ids - {tokenizer.id("<unk>")}
    text = "The quick brown fox: naïve, 2 < 3."
    assert tokenizer.encode(text, parse_special=False) == tokenizer.encode(text)
