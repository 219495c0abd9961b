"""Rows against transformers' own tokenizers: ids, token types, cutting; and their report."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from lavra.base.errors import ConfigError, InputError
from lavra.data.labelled.samples import Place
from lavra.data.rows.encoding import RowFormat, encode_rows
from lavra.data.rows.padding import mask_rows, pad_rows
from lavra.tokens.parts import Parts
from lavra.tokens.tokenizer import Tokenizer

TEXTS = ["def parse(self):", "a", "Não há razão [SEP] nem </s> memória <|endoftext|> [MASK]", "x = {1: 2}\n" * 9]
PAIRS = [("What is it?", "It is a parser, and a long one: " * 6), ("short", "also short"), ("[CLS] a", "b [SEP]")]


def places(count: int) -> list[Place]:
    return [Place(file="train.jsonl", line=line) for line in range(1, count + 1)]


def reference(theirs, text, **options):
    texts = (text,) if isinstance(text, str) else text
    found = theirs(*texts, split_special_tokens=True, return_token_type_ids=True, **options)
    return found["input_ids"], found["token_type_ids"]


@pytest.mark.parametrize("max_tokens", [512, 20, 9])
def test_rows_are_those_of_transformers(pair, max_tokens: int) -> None:
    form = RowFormat(tokenizer=pair.ours, max_tokens=max_tokens, num_token_types=2)
    texts = [*TEXTS, *PAIRS]
    rows = encode_rows(texts, places(len(texts)), form)
    assert rows.sources == tuple(range(len(texts)))
    for text, ids, types in zip(texts, rows.ids, rows.types, strict=True):
        wanted = reference(pair.theirs, text, truncation="longest_first", max_length=max_tokens)
        assert (ids.tolist(), types.tolist()) == wanted
    long = [index for index, text in enumerate(texts) if len(reference(pair.theirs, text)[0]) > max_tokens]
    cut = [issue for issue in rows.issues if "cut" in issue.what]
    assert [issue.place.line - 1 for issue in cut] == long
    assert not any(issue.dropped for issue in rows.issues)
    assert long or max_tokens == 512


def test_special_tokens_in_texts_are_spelled_out(pair) -> None:
    form = RowFormat(tokenizer=pair.ours, max_tokens=512)
    special = [token for _, token in pair.ours.special.items()]
    plain, written = encode_rows(["x y", f"x {' '.join(special)} y"], places(2), form).ids
    count = [int(np.isin(row, list(pair.ours.special_ids)).sum()) for row in (plain, written)]
    assert count == [form.frame_tokens(pairs=False)] * 2


def test_long_texts_are_dropped_or_refused(pair) -> None:
    drop = RowFormat(tokenizer=pair.ours, max_tokens=20, on_long="drop")
    rows = encode_rows(TEXTS, places(4), drop)
    assert rows.sources == (0, 1)
    assert [(issue.place.line, issue.dropped) for issue in rows.issues] == [(3, True), (4, True)]
    refuse = RowFormat(tokenizer=pair.ours, max_tokens=20, on_long="refuse")
    with pytest.raises(InputError, match=r"train\.jsonl:3: the text is \d+ tokens and a row holds 20"):
        encode_rows(TEXTS, places(4), refuse)
    assert len(encode_rows(TEXTS[:2], places(2), refuse)) == 2


def test_a_row_without_tokens_is_left_out(pairs) -> None:
    unframed = tokenizers.Tokenizer.from_str(pairs["gpt2"].ours.backend.to_str())
    unframed.post_processor = tokenizers.processors.ByteLevel()
    rows = encode_rows(["", "a"], places(2), RowFormat(tokenizer=Tokenizer(Parts(backend=unframed)), max_tokens=8))
    assert rows.sources == (1,)
    assert [(issue.place.line, issue.dropped) for issue in rows.issues] == [(1, True)]
    framed = encode_rows(["", "a"], places(2), RowFormat(tokenizer=pairs["bert"].ours, max_tokens=8))
    assert framed.sources == (0, 1)


def test_joined_pairs_are_reported_once(pairs) -> None:
    for name, wanted in (("gpt2", 1), ("bert", 0), ("roberta", 0), ("t5", 0)):
        rows = encode_rows(PAIRS, places(3), RowFormat(tokenizer=pairs[name].ours, max_tokens=512))
        assert len(rows.issues) == wanted, name


def test_token_types_are_the_models(pairs) -> None:
    bert = pairs["bert"].ours
    assert encode_rows(PAIRS, places(3), RowFormat(tokenizer=bert, max_tokens=99, num_token_types=1)).types is None
    assert encode_rows(PAIRS, places(3), RowFormat(tokenizer=bert, max_tokens=99)).types is None
    three = RowFormat(tokenizer=bert, max_tokens=99, num_token_types=3)
    assert max(int(row.max()) for row in encode_rows(PAIRS, places(3), three).types) == 1


def test_settings_without_sense_are_refused(pairs) -> None:
    bert = pairs["bert"].ours
    with pytest.raises(ConfigError, match="on_long is 'crop'; did you mean 'drop'"):
        RowFormat(tokenizer=bert, max_tokens=8, on_long="crop")
    with pytest.raises(ConfigError, match="max_tokens is 2 and"):
        RowFormat(tokenizer=bert, max_tokens=2)
    with pytest.raises(ConfigError, match="multiple is 0"):
        RowFormat(tokenizer=bert, max_tokens=8, multiple=0)
    with pytest.raises(ConfigError, match=r"max_tokens is 4 and.*at least 5"):
        encode_rows(PAIRS, places(3), RowFormat(tokenizer=bert, max_tokens=4))


def test_samples_without_text_are_named(pairs) -> None:
    form = RowFormat(tokenizer=pairs["bert"].ours, max_tokens=8)
    with pytest.raises(InputError, match=r"train\.jsonl:2: .*U\+D800 at character 1"):
        encode_rows(["fine", ("a", "b\ud800")], places(2), form)


@given(lengths=st.lists(st.integers(1, 30), min_size=1, max_size=6), multiple=st.sampled_from([1, 8]))
def test_padding_shows_every_token_and_nothing_else(pairs, lengths: list[int], multiple: int) -> None:
    form = RowFormat(tokenizer=pairs["bert"].ours, max_tokens=30, multiple=multiple)
    rows = [np.arange(1, length + 1) for length in lengths]
    width = form.width(max(lengths))
    assert max(lengths) <= width <= min(30, max(lengths) + multiple - 1)
    assert width % multiple == 0 or width == 30
    ids, mask = pad_rows(rows, -7, width), mask_rows(rows, width)
    assert ids.shape == mask.shape == (len(rows), width)
    assert [row[keep].tolist() for row, keep in zip(ids, mask, strict=True)] == [row.tolist() for row in rows]
    assert bool((ids[~mask] == -7).all())


@pytest.mark.data
@pytest.mark.parametrize("name", ["roberta-base", "t5-small"])
def test_rows_of_published_tokenizers(lavra_data: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(gzip.decompress((lavra_data / "tokenizers" / name / "tokenizer.json.gz").read_bytes()))
    theirs = PreTrainedTokenizerFast(tokenizer_file=str(path))
    form = RowFormat(tokenizer=Tokenizer.load(path), max_tokens=24, num_token_types=2)
    # transformers leaves T5's </s> in texts a special token even so, for it is a piece of the model too
    texts = [text.replace("</s>", "") if isinstance(text, str) else text for text in [*TEXTS, *PAIRS]]
    rows = encode_rows(texts, places(len(texts)), form)
    for text, ids, types in zip(texts, rows.ids, rows.types, strict=True):
        wanted = reference(theirs, text, truncation="longest_first", max_length=24)
        assert (ids.tolist(), types.tolist()) == wanted
