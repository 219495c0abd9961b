"""Tagged words: CoNLL files, lists, and entities given by positions in a text."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavra.base.errors import ConfigError, InputError
from lavra.data.labelled.entities import cut_words
from lavra.data.labelled.reading import read_samples
from lavra.data.labelled.samples import SampleSet, TagSample
from lavra.metrics.tag_schemes import spans
from lavra.tasks.tag import TAG


def read(path: Path, text: str, **options: Any) -> SampleSet:
    path.write_text(text, encoding="utf-8")
    return read_samples(path, TAG.form, **options)


def tagged(found: SampleSet) -> list[list[tuple[str, str]]]:
    return [list(zip(one.words, one.tags or (), strict=True)) for one in found.samples if isinstance(one, TagSample)]


def test_conll_sentences_and_their_lines(tmp_path: Path) -> None:
    text = "-DOCSTART- O\n\nAna B-PER\nSilva I-PER\n\n\nem O\nLisboa B-LOC"
    found = read(tmp_path / "a.conll", text)
    assert tagged(found) == [[("Ana", "B-PER"), ("Silva", "I-PER")], [("em", "O"), ("Lisboa", "B-LOC")]]
    assert [one.place.line for one in found.samples] == [3, 7]
    assert found.fields["document starts"] == "1 lines passed over"
    assert found.fields["scheme"] == "BIO"
    first = found.samples[0]
    assert isinstance(first, TagSample)
    assert [first.text[start:end] for start, end in first.offsets] == list(first.words)


def test_conll_columns_tabs_comments_and_words_with_odd_blanks(tmp_path: Path) -> None:
    text = "# id\tx\tb\tz\n10\u00a0000 km\tNUM\tO\nAna\tNOUN\tB-PER\n"
    found = read(tmp_path / "a.tsv", text)
    assert tagged(found) == [[("10\u00a0000 km", "O"), ("Ana", "B-PER")]]
    assert found.fields["comments"] == "1 lines passed over"
    found = read(tmp_path / "a.tsv", text, columns={"words": "1", "tags": "2"})
    assert tagged(found) == [[("10\u00a0000 km", "NUM"), ("Ana", "NOUN")]]
    assert found.fields["scheme"] == "none"
    assert tagged(read(tmp_path / "b.txt", "10\u00a0000  O\r\nAna  B-PER\r\n")) == [
        [("10\u00a0000", "O"), ("Ana", "B-PER")]
    ]
    with pytest.raises(ConfigError, match="roles are words and tags"):
        read(tmp_path / "a.tsv", text, columns={"text": "1"})
    with pytest.raises(InputError, match="number from 1"):
        read(tmp_path / "a.tsv", text, columns={"words": "word"})


def test_a_bad_line_leaves_out_its_sentence_and_is_named(tmp_path: Path) -> None:
    found = read(tmp_path / "a.conll", "Ana B-PER\nSilva\n\nRui B-PER\n\n# O\nx O\n")
    assert tagged(found) == [[("Rui", "B-PER")], [("#", "O"), ("x", "O")]]
    assert [(one.place.line, one.dropped) for one in found.issues] == [(2, True)]
    assert (found.num_read, found.num_dropped) == (3, 1)


def test_invalid_transitions_are_named_at_their_line_and_kept(tmp_path: Path) -> None:
    found = read(tmp_path / "a.conll", "Ana B-PER\n\nem O\nLisboa I-LOC\nRui B-PER\n")
    assert tagged(found)[1] == [("em", "O"), ("Lisboa", "B-LOC"), ("Rui", "B-PER")]
    assert [(str(one.place), one.dropped) for one in found.issues] == [(f"{tmp_path / 'a.conll'}:4", False)]
    assert "I-LOC of 'Lisboa' follows O" in found.issues[0].what


def test_other_schemes_become_bio_and_it_is_said(tmp_path: Path) -> None:
    found = read(tmp_path / "a.conll", "Ana U-PER\nem O\nSão B-LOC\nPaulo L-LOC\n")
    assert [tag for _, tag in tagged(found)[0]] == ["B-PER", "O", "B-LOC", "I-LOC"]
    assert found.fields["scheme"] == "BILOU, turned into BIO"


def jsonl(path: Path, *rows: dict[str, Any]) -> SampleSet:
    return read(path, "".join(json.dumps(row) + "\n" for row in rows))


def test_lists_of_words_and_tags(tmp_path: Path) -> None:
    found = jsonl(
        tmp_path / "a.jsonl",
        {"tokens": ["Ana", "canta"], "ner_tags": ["B-PER", "O"]},
        {"tokens": ["Ana"], "ner_tags": ["B-PER", "O"]},
        {"tokens": ["Ana"], "ner_tags": [1]},
        {"tokens": [], "ner_tags": []},
        {"tokens": ["Ana", " "], "ner_tags": ["O", "O"]},
        {"tokens": "Ana", "ner_tags": "O"},
    )
    assert tagged(found) == [[("Ana", "B-PER"), ("canta", "O")]]
    assert [one.place.line for one in found.issues] == [2, 3, 4, 5, 6]


TEXT = "A Ana Silva, de São Paulo."


@pytest.mark.parametrize(
    "entities",
    [
        [{"start": 2, "end": 11, "label": "PER"}, {"start": 16, "end": 25, "label": "LOC", "text": "São Paulo"}],
        [[16, 25, "LOC"], [2, 11, "PER"]],
        [{"start_offset": 2, "end_offset": 11, "type": "PER"}, {"start": 16, "end": 25, "entity_group": "LOC"}],
    ],
)
def test_entities_by_place_become_bio(tmp_path: Path, entities: list[Any]) -> None:
    found = jsonl(tmp_path / "a.jsonl", {"text": TEXT, "entities": entities})
    sample = found.samples[0]
    assert isinstance(sample, TagSample)
    assert sample.words == ("A", "Ana", "Silva", ",", "de", "São", "Paulo", ".")
    assert sample.tags == ("O", "B-PER", "I-PER", "O", "O", "B-LOC", "I-LOC", "O")
    assert found.issues == ()


@pytest.mark.parametrize(
    ("entity", "what"),
    [
        (
            {"start": 2, "end": 9, "label": "PER"},
            r"'Ana Sil' at 2-9 cuts a word; the words there are 'Ana Silva' at 2-11",
        ),
        ({"start": 2, "end": 11, "label": "PER", "text": "Ana"}, "where 'Ana Silva' stands; it stands at 2-5"),
        ({"start": 2, "end": 11, "label": "PER", "text": "Rui"}, "nowhere in the text"),
        ({"start": 2, "end": 99, "label": "PER"}, "outside the 26 characters"),
        ({"start": 5, "end": 5, "label": "PER"}, "is empty or outside"),
        ({"start": 2, "end": 11}, "lacks a start, an end or a label"),
        ({"start": "2", "end": 11, "label": "PER"}, "lacks a start"),
        ({"start": 15, "end": 16, "label": "PER"}, "blank"),
        ({"start": 22, "end": 25, "label": "LOC"}, "cuts a word"),
        ({"start": 20, "end": 25, "label": "LOC"}, "overlaps another"),
    ],
)
def test_an_entity_that_does_not_fit_leaves_the_sample_out(tmp_path: Path, entity: dict[str, Any], what: str) -> None:
    rows = {"text": TEXT, "entities": [{"start": 16, "end": 25, "label": "LOC"}, entity]}, {"text": "x", "entities": []}
    found = jsonl(tmp_path / "a.jsonl", *rows)
    assert len(found.samples) == 1
    assert found.issues[0].place.line == 1
    assert what in found.issues[0].what


def test_blanks_at_an_entitys_ends_are_cut_off_and_reported(tmp_path: Path) -> None:
    found = jsonl(tmp_path / "a.jsonl", {"text": TEXT, "entities": [{"start": 1, "end": 11, "label": "PER"}]})
    sample = found.samples[0]
    assert isinstance(sample, TagSample)
    assert list(spans(sample.tags or ())) == [("PER", 1, 3)]
    assert [one.dropped for one in found.issues] == [False]
    assert "' Ana Silva' has blanks at its ends" in found.issues[0].what


@given(st.text(st.sampled_from("aé9_ .,\n\u0301\u200d\u00ad\u4e2d🙂"), max_size=20))
def test_words_are_the_text_without_its_blanks(text: str) -> None:
    found = cut_words(text)
    assert all(start < end for start, end in found)
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(found))
    kept = "".join(text[start:end] for start, end in found)
    invisible = "\u200d\u00ad"  # joiners outside of words belong to none
    assert [c for c in kept if c not in invisible] == [c for c in text if not c.isspace() and c not in invisible]
    assert not any(character.isspace() for character in kept)


def test_words_are_runs_of_letters_digits_and_their_marks() -> None:
    text = "O art. 5º-A custa R$10,5: cafe\u0301!"
    words = [text[start:end] for start, end in cut_words(text)]
    assert words == ["O", "art", ".", "5º", "-", "A", "custa", "R", "$", "10", ",", "5", ":", "cafe\u0301", "!"]
