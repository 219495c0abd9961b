"""Tags in scripts without spaces: a tag for each character, tokens as in running text."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from lavra.data.batch import IGNORE
from lavra.data.labelled.reading import read_samples
from lavra.data.labelled.samples import TagSample
from lavra.data.labelled.word_cutting import cut_words
from lavra.data.rows.encoding import RowFormat
from lavra.data.rows.words import tag_rows, unlabelled_tag_rows
from lavra.tasks.tag import TAG
from lavra.tokens.config import TokenizerConfig
from lavra.tokens.tokenizer import Tokenizer
from lavra.tokens.train import train_tokenizer

LABELS = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
CHINESE = ["我住在北京市。", "李白写诗", "北京市很大", "我写诗, 在Lisboa。"]
THAI = ["ฉันอยู่กรุงเทพ", "กรุงเทพใหญ่มาก", "ฉันชอบกรุงเทพ", "น้ำที่กรุงเทพ"]
JAPANESE = ["東京タワーはすごい", "わたしは東京にいる", "アップルの東京"]


def words(text: str) -> list[str]:
    return [text[start:end] for start, end in cut_words(text)]


def sample(text: str, entities: list[tuple[int, int, str]] | None = None) -> TagSample:
    offsets = cut_words(text)
    tags = None
    if entities is not None:
        tags = tuple(
            next(
                (f"{'B' if first == start else 'I'}-{kind}" for start, end, kind in entities if start <= first < end),
                "O",
            )
            for first, _ in offsets
        )
    return TagSample(words=tuple(words(text)), tags=tags, offsets=tuple(offsets), text=text)


def unigram(texts: list[str], folder: Path) -> tuple[Tokenizer, tokenizers.Tokenizer]:
    """A tokenizer with tokens of several characters, like XLM-R's, opened by us and by its own library."""
    theirs = tokenizers.Tokenizer(tokenizers.models.Unigram())
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    theirs.decoder = tokenizers.decoders.Metaspace()
    trainer = tokenizers.trainers.UnigramTrainer(vocab_size=60, unk_token="<unk>", special_tokens=["<unk>", "<pad>"])
    theirs.train_from_iterator(texts * 20, trainer)
    theirs.save(str(folder / "tokenizer.json"))
    return Tokenizer.load(folder), theirs


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("我住在北京。", ["我", "住", "在", "北", "京", "。"]),
        ("在Apple公司5月", ["在", "Apple", "公", "司", "5", "月"]),
        ("東京タワー、すごい", ["東", "京", "タ", "ワ", "ー", "、", "す", "ご", "い"]),
        ("か\u3099き", ["か\u3099", "き"]),  # a combining voiced mark
        ("กรุงเทพ", ["ก", "รุ", "ง", "เ", "ท", "พ"]),
        ("ที่ ๒๕๖๓", ["ที่", "๒๕๖๓"]),
        ("ភ្នំពេញ", ["ភ្", "នំ", "ពេ", "ញ"]),
        ("서울에 산다", ["서울에", "산다"]),  # Korean has spaces
        ("cafe\u0301中é", ["cafe\u0301", "中", "é"]),
    ],
)
def test_letters_of_such_scripts_stand_alone_with_their_marks(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@given(st.text(st.sampled_from("ab1 ,京ーกุ\u0301か\u3099서\u200d"), max_size=15))
def test_no_unit_begins_with_a_mark_that_could_stand_on_one(text: str) -> None:
    found = cut_words(text)
    for start, _ in found:
        before = text[start - 1] if start else " "
        is_mark = unicodedata.category(text[start])[0] == "M"
        assert (
            not is_mark
            or not (before.isalnum() or unicodedata.category(before)[0] == "M")
            or (start - 1, start) in found
        )


def test_entities_in_code_points(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"text": "我住在北京。", "entities": [[3, 5, "LOC"]]}\n'
        '{"text": "ฉันอยู่กรุงเทพ", "entities": [[7, 14, "LOC"]]}\n'
        '{"text": "กุก", "entities": [[0, 1, "LOC"]]}\n',  # between a letter and its mark
        encoding="utf-8",
    )
    found = read_samples(path, TAG.form)
    assert [one.tags for one in found.samples if isinstance(one, TagSample)] == [
        ("O", "O", "O", "B-LOC", "I-LOC", "O"),
        ("O",) * 4 + ("B-LOC",) + ("I-LOC",) * 5,
    ]
    assert "cuts a word" in found.issues[0].what


@pytest.mark.parametrize("texts", [CHINESE[:3], THAI, JAPANESE], ids=["zh", "th", "ja"])
def test_tokens_are_those_of_the_running_text(texts: list[str], tmp_path: Path) -> None:
    ours, theirs = unigram(texts, tmp_path)
    form = RowFormat(tokenizer=ours, max_tokens=64)
    for text in (text.strip("。") for text in texts):
        table = unlabelled_tag_rows([sample(text)], form)
        assert table.encoded.ids[0].tolist() == theirs.encode(text).ids
        assert table.issues == ()
    byte_level = train_tokenizer(texts, TokenizerConfig(kind="bpe", vocab_size=300))
    for text in (text.strip("。") for text in texts):
        table = unlabelled_tag_rows([sample(text)], RowFormat(tokenizer=byte_level, max_tokens=64))
        ids = byte_level.encode(f" {text}", add_special_tokens=False)
        assert [one for one in table.encoded.ids[0].tolist() if one not in byte_level.special_ids] == list(ids)


def test_a_token_of_several_characters_carries_the_tag_of_its_first(tmp_path: Path) -> None:
    ours, theirs = unigram(THAI, tmp_path)
    text = THAI[0]
    encoding = theirs.encode(text)
    assert any(end - start > 2 for start, end in encoding.offsets)
    one = sample(text, [(7, 14, "LOC")])
    table = tag_rows([one], RowFormat(tokenizer=ours, max_tokens=64), labels=LABELS)
    firsts = [next(at for at, (start, end) in enumerate(one.offsets) if end > first) for first, _ in encoding.offsets]
    learnt = {}  # by an independent walk over the library's own offsets: the first token that begins in a unit
    for token, unit in enumerate(firsts):
        learnt.setdefault(unit, token)
    expected = [IGNORE] * len(encoding.ids)
    for unit, token in learnt.items():
        expected[token] = LABELS.index((one.tags or ())[unit])
    assert table.token_targets is not None
    assert table.token_targets[0].tolist() == expected
    (values,) = table.by_word([row.tolist() for row in table.token_targets]).values()
    assert None not in values


def test_a_name_that_begins_within_a_token_is_named(tmp_path: Path) -> None:
    ours, theirs = unigram(THAI, tmp_path)
    start, end = max(theirs.encode(THAI[0]).offsets, key=lambda one: one[1] - one[0])
    inner = next(first for first, _ in cut_words(THAI[0]) if start < first < end)
    table = tag_rows([sample(THAI[0], [(inner, end, "LOC")])], RowFormat(tokenizer=ours, max_tokens=64), labels=LABELS)
    assert table.issues
    assert all("are in one token and have the tags" in one.what and not one.dropped for one in table.issues)


def test_one_unknown_character_does_not_hide_the_others() -> None:
    """WordPiece turns a whole word with an unknown character into one unknown token, and a run of kana is one word."""
    tokenizer = train_tokenizer(["あ い う え お", "あい", "うえ"], TokenizerConfig(kind="wordpiece", vocab_size=40))
    form = RowFormat(tokenizer=tokenizer, max_tokens=64)
    table = unlabelled_tag_rows([sample("あいんうえ")], form)
    ids = table.encoded.ids[0].tolist()
    assert tokenizer.num_unknown(ids) == 1
    assert table.words[0].tolist() == [0, 1, 2, 3, 4]


def test_lists_of_words_are_read_together_and_tagged_on_every_piece() -> None:
    tokenizer = train_tokenizer(CHINESE, TokenizerConfig(kind="wordpiece", vocab_size=80))
    form = RowFormat(tokenizer=tokenizer, max_tokens=64)
    listed = TagSample(words=("我", "住在", "北京市"), tags=("O", "O", "B-LOC"))
    ours = tag_rows([listed], form, labels=LABELS)
    cut = tag_rows([sample("我住在北京市", [(3, 6, "LOC")])], form, labels=LABELS)
    assert ours.encoded.ids[0].tolist() == cut.encoded.ids[0].tolist()
    assert ours.token_targets is not None
    assert cut.token_targets is not None
    assert ours.token_targets[0].tolist() == cut.token_targets[0].tolist()
