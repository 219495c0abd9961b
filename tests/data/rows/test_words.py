"""Tags on word pieces, against transformers' `is_split_into_words`, and windows that lose no word."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import tokenizers
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from transformers import GPT2Tokenizer, RobertaTokenizer

from lavra.base.errors import ConfigError, InputError
from lavra.data.batch import IGNORE
from lavra.data.labelled.samples import Place, TagSample
from lavra.data.rows.batches import RowBatches
from lavra.data.rows.encoding import RowFormat
from lavra.data.rows.order import OrderConfig
from lavra.data.rows.words import TagConfig, tag_rows, unlabelled_tag_rows
from lavra.tokens.tokenizer import Tokenizer

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
WORDS = ("Frédéric", "Chopin-like", "parse_args()", "was", "born", "in", "[SEP]", "Żelazowa", "x", ".")
TAGS = ("B-PER", "I-PER", "O", "O", "O", "O", "O", "B-LOC", "I-LOC", "O")


def sample(words, tags=None, line: int = 1) -> TagSample:
    return TagSample(words=tuple(words), tags=None if tags is None else tuple(tags), place=Place(line=line))


def references(pair):
    """transformers' tokenizers of the same folders; byte-level ones with a space before each word."""
    if "ByteLevel" not in pair.ours.definition.decoders:
        return pair.theirs
    theirs = type(pair.theirs)(tokenizer_object=Tokenizer.load(pair.theirs.name_or_path).backend)
    theirs.backend_tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=True)
    return theirs


@pytest.mark.parametrize("sub_words", ["first", "all"])
def test_pieces_and_tags_are_those_of_run_ner(pair, sub_words: str) -> None:
    table = tag_rows(
        [sample(WORDS, TAGS)],
        RowFormat(tokenizer=pair.ours, max_tokens=256, num_token_types=2),
        labels=LABELS,
        config=TagConfig(sub_words=sub_words),
    )
    theirs = references(pair)(list(WORDS), is_split_into_words=True, split_special_tokens=True)
    assert table.encoded.ids[0].tolist() == theirs["input_ids"]
    wanted, before = [], None
    for word in theirs.word_ids():
        if word is None:
            wanted.append(IGNORE)
        elif word != before:
            wanted.append(LABELS.index(TAGS[word]))
        elif sub_words == "all":
            wanted.append(LABELS.index(TAGS[word].replace("B-", "I-")))
        else:
            wanted.append(IGNORE)
        before = word
    batch = table.batch([0])
    assert batch.labels[0, : len(wanted)].tolist() == wanted
    assert batch.num_targets == sum(label != IGNORE for label in wanted)
    assert bool((batch.labels[0, len(wanted) :] == IGNORE).all())
    assert len(wanted) > len(WORDS) + 2
    assert batch.token_type_ids.sum() == 0


def test_byte_level_words_are_those_of_gpt2_with_a_prefix_space(pairs) -> None:
    backend = pairs["gpt2"].ours.backend
    model = json.loads(backend.to_str())["model"]
    theirs = GPT2Tokenizer(
        vocab=model["vocab"], merges=[tuple(merge) for merge in model["merges"]], add_prefix_space=True
    )
    table = unlabelled_tag_rows([sample(WORDS)], RowFormat(tokenizer=pairs["gpt2"].ours, max_tokens=256))
    ids = theirs(list(WORDS), is_split_into_words=True)["input_ids"]
    assert table.encoded.ids[0].tolist() == [pairs["gpt2"].ours.bos_id, *ids]


words = st.lists(st.sampled_from(["a", "parse", "argument_parser", "x" * 9, "\u200b", "é"]), min_size=1, max_size=30)


@given(sentences=st.lists(words, min_size=1, max_size=3), max_tokens=st.integers(8, 40), overlap=st.integers(0, 4))
def test_no_word_is_lost_and_none_is_learnt_twice(pairs, sentences, max_tokens: int, overlap: int) -> None:
    samples = [
        sample(words, [LABELS[i % 5] for i in range(len(words))], line) for line, words in enumerate(sentences, 1)
    ]
    form = RowFormat(tokenizer=pairs["bert"].ours, max_tokens=max_tokens)
    assume(any(word != "\u200b" for words in sentences for word in words))
    table = tag_rows(samples, form, labels=LABELS, config=TagConfig(overlap=overlap))
    assert max(len(row) for row in table.encoded.ids) <= max_tokens
    kept = {number: [word for word in words if word != "\u200b"] for number, words in enumerate(sentences)}
    total = sum(len(words) for words in kept.values())
    for sub_words in ("first", "all"):
        batches = RowBatches(
            tag_rows(samples, form, labels=LABELS, config=TagConfig(overlap=overlap, sub_words=sub_words)),
            OrderConfig(batch_size=2),
        )
        targets = sum(batches.batch(step).num_targets for step in range(len(batches)))
        assert targets == total if sub_words == "first" else targets >= total
    # The prediction at a word's first piece is the word's tag.
    rows = [targets.tolist() for targets in table.token_targets]
    by_word = table.by_word(rows)
    for number, words in enumerate(sentences):
        if kept[number]:
            assert by_word[number] == [None if word == "\u200b" else i % 5 for i, word in enumerate(words)]
        else:
            assert number not in by_word
    lost = sum(words.count("\u200b") for number, words in enumerate(sentences) if kept[number])
    assert sum("has no tokens, so" in issue.what for issue in table.issues) == lost
    assert sum(issue.dropped for issue in table.issues) == sum(not words for words in kept.values())


def test_windows_overlap_and_speak_where_they_see_most(pairs) -> None:
    form = RowFormat(tokenizer=pairs["bert"].ours, max_tokens=12)  # ten single-piece words a window
    table = unlabelled_tag_rows([sample("abcdefghijklmnopqrst")], form, config=TagConfig(overlap=4))
    cls, sep = form.tokenizer.cls_id, form.tokenizer.sep_id
    shown = [form.tokenizer.decode(row[1:-1]).replace(" ", "") for row in table.encoded.ids]
    assert shown == ["abcdefghij", "ghijklmnop", "mnopqrst"]
    assert all(row[0] == cls and row[-1] == sep for row in table.encoded.ids)
    assert [words.tolist() for words in table.words] == [[*range(8)], [*range(8, 14)], [*range(14, 20)]]


def test_a_word_longer_than_a_row_keeps_its_first_pieces(pairs) -> None:
    form = RowFormat(tokenizer=pairs["bert"].ours, max_tokens=5)
    long = "a9" * 20
    table = tag_rows([sample(["in", long, "x"], ["O", "B-LOC", "O"])], form, labels=LABELS)
    assert table.by_word([row.tolist() for row in table.token_targets])[0] == [0, 3, 0]
    assert len(table.issues) == 1
    assert "word 2" in table.issues[0].what
    assert "its end is cut" in table.issues[0].what


def test_predictions_with_classes_come_back_whole(pairs) -> None:
    form = RowFormat(tokenizer=pairs["t5"].ours, max_tokens=16)
    table = unlabelled_tag_rows([sample(WORDS), sample(["one"])], form)
    logits = [torch.randn(20, 5) for _ in table.encoded.ids]
    by_word = table.by_word(logits)
    assert [len(values) for values in by_word.values()] == [10, 1]
    assert torch.equal(by_word[1][0], logits[-1][int(table.pieces[-1][0])])


def test_long_sentences_are_dropped_or_refused_where_asked(pairs) -> None:
    samples = [sample(["x"], ["O"]), sample(["x"] * 30, ["O"] * 30, line=2)]
    drop = tag_rows(samples, RowFormat(tokenizer=pairs["bert"].ours, max_tokens=16, on_long="drop"), labels=LABELS)
    assert (drop.sources, [issue.dropped for issue in drop.issues]) == ((0,), [True])
    with pytest.raises(InputError, match="sample 2: the sentence is 30 tokens"):
        tag_rows(samples, RowFormat(tokenizer=pairs["bert"].ours, max_tokens=16, on_long="refuse"), labels=LABELS)


def test_overlong_samples_are_refused(pairs) -> None:
    form = RowFormat(tokenizer=pairs["bert"].ours, max_tokens=16)
    with pytest.raises(InputError, match=r"tag 'B-PERS'.*did you mean 'B-PER'"):
        tag_rows([sample(["x"], ["B-PERS"])], form, labels=LABELS)
    with pytest.raises(InputError, match="2 words and 1 tags"):
        tag_rows([sample(["x", "y"], ["O"])], form, labels=LABELS)
    with pytest.raises(InputError, match="word 2 is not valid Unicode"):
        unlabelled_tag_rows([sample(["x", "\ud800"])], form)
    with pytest.raises(ConfigError, match="overlap is 14"):
        unlabelled_tag_rows([sample(["x"])], form, config=TagConfig(overlap=14))
    with pytest.raises(ConfigError, match="at least two"):
        tag_rows([], form, labels=("O", "O"))
    with pytest.raises(ConfigError, match="'E-LOC' marks the end"):
        tag_rows([], form, labels=("O", "B-LOC", "E-LOC"), config=TagConfig(sub_words="all"))
    with pytest.raises(ConfigError, match="sub_words is 'every'"):
        TagConfig(sub_words="every")


def test_sentences_without_tags_are_left_out_for_learning_only(pairs) -> None:
    form = RowFormat(tokenizer=pairs["bert"].ours, max_tokens=16)
    table = tag_rows([sample(["x"]), sample(["y"], ["O"], line=2)], form, labels=LABELS)
    assert (table.sources, [issue.place.line for issue in table.issues]) == ((1,), [1])
    assert np.all(table.token_targets[0] == [IGNORE, 0, IGNORE])


@pytest.mark.data
def test_words_of_a_published_tokenizer(lavra_data: Path, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(gzip.decompress((lavra_data / "tokenizers" / "roberta-base" / "tokenizer.json.gz").read_bytes()))
    model = json.loads(path.read_text())["model"]
    merges = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in model["merges"]]
    theirs = RobertaTokenizer(vocab=model["vocab"], merges=merges, add_prefix_space=True)
    found = theirs(list(WORDS), is_split_into_words=True)
    table = unlabelled_tag_rows([sample(WORDS)], RowFormat(tokenizer=Tokenizer.load(path), max_tokens=256))
    assert table.encoded.ids[0].tolist() == found["input_ids"]
    firsts = [found.word_ids().index(word) for word in range(len(WORDS))]
    assert table.pieces[0].tolist() == firsts
