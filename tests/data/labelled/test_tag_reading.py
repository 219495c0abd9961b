"""One odd tag or line changes nothing for the rest of a file: it is named with its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from seqeval.metrics.sequence_labeling import get_entities

from lavra.base.errors import InputError
from lavra.data.labelled.reading import read_samples
from lavra.data.labelled.samples import SampleSet, TagSample
from lavra.metrics.tag_schemes import spans
from lavra.tasks.tag import TAG

GOOD = ("B-PER", "I-PER", "O")


def read(path: Path, text: str, **options: Any) -> SampleSet:
    path.write_text(text, encoding="utf-8")
    return read_samples(path, TAG.form, **options)


def lines(path: Path, *sentences: tuple[str, ...]) -> SampleSet:
    rows = [{"tokens": [f"w{at}" for at in range(len(tags))], "tags": list(tags)} for tags in sentences]
    return read(path / "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def tagged(found: SampleSet) -> list[tuple[tuple[str, ...], Any]]:
    return [(one.words, one.tags) for one in found.samples if isinstance(one, TagSample)]


@pytest.mark.parametrize(
    ("odd", "meant"),
    [
        ("0", "O"),
        ("o", "O"),
        ("S-LOC", "B-LOC"),
        ("U-PER", "B-PER"),
        ("b-PER", "B-PER"),
        ("B_PER", "B-PER"),
        ("PER", "B-PER"),  # a type alone goes on or begins, as transformers reads it
        ("X", None),
        ("B-", None),
    ],
)
def test_an_odd_tag_is_named_and_read_where_it_can_be(tmp_path: Path, odd: str, meant: str | None) -> None:
    found = lines(tmp_path, *[GOOD] * 200, ("O", odd))
    assert found.fields["scheme"] == "BIO"
    assert [tags for _, tags in tagged(found)] == [GOOD] * 200 + ([] if meant is None else [("O", meant)])
    named = [one for one in found.issues if repr(odd) in one.what]
    assert [(one.place.line, one.dropped) for one in named] == [(201, meant is None)]
    assert meant is None or "it is read as" in named[0].what


def test_one_bio_tag_does_not_change_bilou(tmp_path: Path) -> None:
    found = lines(tmp_path, *[("B-PER", "L-PER", "U-LOC")] * 9, ("B-PER", "O"))
    assert found.fields["scheme"] == "BILOU, turned into BIO"
    assert tagged(found)[0][1] == ("B-PER", "I-PER", "B-LOC")


@pytest.mark.parametrize(
    ("tags", "meant", "scheme"),
    [
        (("B_PER", "I_PER", "O"), GOOD, "BIO, written B_X"),
        (("PER-B", "PER-I", "O"), GOOD, "BIO, written X-B"),
        (("B", "I", "O"), ("B-ENTITY", "I-ENTITY", "O"), "BIO, letters without a type, read as ENTITY"),
        (("PER", "PER", "O"), ("PER", "PER", "O"), "none, a run of one tag is one span"),
        (("NOUN", "VERB", "X"), ("NOUN", "VERB", "X"), "none"),
    ],
)
def test_other_spellings(tmp_path: Path, tags: tuple[str, ...], meant: tuple[str, ...], scheme: str) -> None:
    found = lines(tmp_path, *[tags] * 9)
    assert tagged(found)[0][1] == meant
    assert found.fields["scheme"] == scheme
    assert found.issues == ()


def test_types_without_letters_make_spans() -> None:
    """As the token-classification pipeline of transformers groups them: neighbours of one label are one entity."""
    assert list(spans(["PER", "PER", "O", "LOC", "PER"])) == [("PER", 0, 2), ("LOC", 3, 4), ("PER", 4, 5)]
    tags = ["U-A", "B-A", "I-A", "L-A", "U-A", "O", "S-B", "B-B", "E-B"]
    renamed = [tag.replace("U-", "S-").replace("L-", "E-") for tag in tags]
    assert list(spans(tags)) == [(kind, first, last + 1) for kind, first, last in get_entities(renamed)]


# ---------------------------------------------------------------- CoNLL

MULTICONER = (
    "\n# id a1b2-c3\tdomain=en\nana _ _ B-PER\nmora _ _ O\nem _ _ O\nlisboa _ _ B-LOC\n\n\n"
    "# id d4e5-f6\tdomain=en\nchove _ _ O\nhoje _ _ O\n\n"
)
CONLLU = """# sent_id = 1
# text = Vamos ao mar.
1\tVamos\tir\tVERB\t_\t_\t0\troot\t_\t_
2-3\tao\t_\t_\t_\t_\t_\t_\t_\t_
2\ta\ta\tADP\t_\t_\t4\tcase\t_\t_
3\to\to\tDET\t_\t_\t4\tdet\t_\t_
4\tmar\tmar\tNOUN\t_\t_\t1\tobl\t_\tSpaceAfter=No
4.1\tfoi\tser\tVERB\t_\t_\t_\t_\t0:x\t_
5\t.\t.\tPUNCT\t_\t_\t1\tpunct\t_\t_

"""
UNER = "# sent_id = a\n1\tAna\tB-PER\t-\t-\n2\tmora\tO\t-\t-\n\n# sent_id = b\n1\tLisboa\tB-LOC\t-\t-\n"


def test_comments_decide_nothing(tmp_path: Path) -> None:
    found = read(tmp_path / "a.conll", MULTICONER)
    expected = [(("ana", "mora", "em", "lisboa"), ("B-PER", "O", "O", "B-LOC")), (("chove", "hoje"), ("O", "O"))]
    assert tagged(found) == expected
    assert found.fields["comments"] == "2 lines passed over"
    assert found.issues == ()


@pytest.mark.parametrize("columns", [None, {"words": "2", "tags": "4"}])
@pytest.mark.parametrize("name", ["a.conll", "a.conllu"])
def test_ranges_and_empty_nodes_are_no_words(tmp_path: Path, columns: Any, name: str) -> None:
    found = read(tmp_path / name, CONLLU, columns=columns)
    assert tagged(found) == [(("Vamos", "a", "o", "mar", "."), ("VERB", "ADP", "DET", "NOUN", "PUNCT"))]
    assert found.fields["ranges"] == found.fields["empty nodes"] == "1 lines passed over"
    assert found.fields["columns"] == "words are column 2, tags column 4 of 10 (the first numbers the words)"


def test_the_column_of_spans_is_found_behind_numbers(tmp_path: Path) -> None:
    found = read(tmp_path / "a.iob2", UNER)
    assert tagged(found) == [(("Ana", "mora"), ("B-PER", "O")), (("Lisboa",), ("B-LOC",))]


def test_a_tag_is_named_at_its_own_line(tmp_path: Path) -> None:
    text = "# one\n" + "Ana B-PER\nmora O\n\n" * 9 + "Rui B-PER\n# a word, not\nri 0\n"
    found = read(tmp_path / "a.conll", text)
    assert tagged(found)[-1] == (("Rui", "ri"), ("B-PER", "O"))
    assert [one.place.line for one in found.issues] == [31]


def test_a_header_of_words_and_tags_is_no_sentence(tmp_path: Path) -> None:
    found = read(tmp_path / "a.tsv", "word\ttag\nAna\tB-PER\nmora\tO\n\nLisboa\tB-LOC\n")
    assert tagged(found)[0] == (("Ana", "mora"), ("B-PER", "O"))
    assert found.fields["header"] == "1 lines passed over"


def test_a_column_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"column 7 is named and the lines of .* have 2; .*--columns words=1 tags=2"):
        read(tmp_path / "a.conll", "Ana B-PER\n", columns={"words": "1", "tags": "7"})
