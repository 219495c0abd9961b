"""Ends of sentences: rules of each script, and a treebank with sentences divided by people."""

from __future__ import annotations

import gzip
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavra.text.sentences import sentence_spans


def sentences(text: str) -> list[str]:
    return [text[one.start : one.end] for one in sentence_spans(text)]


@pytest.mark.parametrize(
    "wanted",
    [
        ["Era a Sra. Ana, com D. Fuas.", "Sim!", "«Oh!» disse ella.", "Foi-se...", "Pois é?"],
        ["It is 3.5 m. long.", "He (Mr. X) left.)", "No end here"],
        ["Он пришёл.", "Что дальше?"],
        ["هذا كتاب.", "هل تقرأ؟", "نعم"],
        ["這是一句。", "這是兩句！", "「三句？」", "完"],
        ["यह पहला वाक्य है।", "यह दूसरा है।"],
        ["ሰላም ነው።", "እንዴት ነህ፧", "ደህና"],
        ["นี่คือประโยคแรก", "นี่คือประโยคที่สอง Python 3"],
    ],
)
def test_each_script_ends_sentences_its_own_way(wanted: list[str]) -> None:
    assert sentences(" ".join(wanted)) == wanted
    assert sentences("\n\t " + "  \n".join(wanted) + " ") == wanted


def test_marks_of_scripts_without_spaces_need_none() -> None:
    assert sentences("吾輩は猫である。名前はまだ無い。「どこで？」") == [
        "吾輩は猫である。",
        "名前はまだ無い。",
        "「どこで？」",
    ]
    assert sentences("वह गया।वह आया।") == ["वह गया।", "वह आया।"]


@given(st.text(alphabet='ab A.!?…。।\u0e01»" \n3', max_size=60), st.integers(0, 10), st.integers(0, 60))
def test_sentences_hold_all_of_the_text_but_white_space(text: str, start: int, end: int) -> None:
    found = sentence_spans(text, start, min(end, len(text)))
    assert "".join(text[one.start : one.end] for one in found).split() or not text[start:end].strip()
    joined = "".join("".join(text[one.start : one.end].split()) for one in found)
    assert joined == "".join(text[start:end].split())
    assert all(one.end <= other.start for one, other in pairwise(found))


def test_a_treebank_is_cut_where_people_cut_it(lavra_data: Path) -> None:
    path = lavra_data / "lm" / "ud_pt_bosque" / "pt_bosque-ud-test.conllu.gz"
    known = re.findall(r"^# text = (.*)$", gzip.decompress(path.read_bytes()).decode(), re.MULTILINE)
    ends, text = set(), ""
    for sentence in known:
        text += sentence
        ends.add(len(text))
        text += " "
    found = {one.end for one in sentence_spans(text)}
    assert len(found & ends) / len(found) > 0.98
    assert len(found & ends) / len(ends) > 0.87  # one in nine is a headline, which ends with a word
