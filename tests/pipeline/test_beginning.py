"""The beginning of a prompt from the user's own text: short, from the text, and quoted for the shell."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavra.base.shell import command
from lavra.base.types import Document
from lavra.cli.next_step import SOME_WORDS, after_samples, after_writing
from lavra.data.labelled.samples import ChatSample, PairSample, RewriteSample, Sample, TextSample
from lavra.pipeline.beginning import beginning_of, choose_beginning


def chosen(*texts: str) -> str:
    return choose_beginning(Document(id=str(number), text=text) for number, text in enumerate(texts))


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        (["I.\n\nUm título\n\n--Era uma vez um rei, disse ella. Fim."], "Era uma vez um"),
        (["15\nE enquanto eu estes canto, e a vós não posso."], "E enquanto eu estes"),
        (["D'água fria, disse ella.", "Era, uma vez."], "Era, uma vez"),
        (["D'água fria, disse ella."], "D'água fria, disse ella"),
        (["吾輩は猫である。名前はまだ無い。"], "吾輩は猫である。"),
        (["import os\n\ndef _hidden(a):\n    pass\n\ndef main(a, b):\n    pass\n"], "def main("),
        (["x" * 500], "x" * 40),
        ([], ""),
        ([" \n"], ""),
    ],
)
def test_a_beginning_is_the_first_words_of_a_sentence(texts: list[str], wanted: str) -> None:
    assert chosen(*texts) == wanted


@given(st.text(max_size=200))
def test_a_beginning_is_short_and_of_the_text(text: str) -> None:
    found = beginning_of(text)
    assert len(found) <= 40
    assert "".join(found.split()) in "".join(text.split())


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=30))
def test_a_command_is_read_by_a_shell_as_it_was_meant(words: str) -> None:
    assert shlex.split(command("generate", "a folder", words)) == ["lavra", "generate", "a folder", words]


def test_a_real_shell_reads_it_too() -> None:
    line = command("generate", Path("/a b"), "d'água $HOME `ls` !!")
    said = subprocess.run(["sh", "-c", f"printf '%s|' {line}"], capture_output=True, text=True, check=True).stdout
    assert said == "lavra|generate|/a b|d'água $HOME `ls` !!|"


def test_the_suggested_beginning_is_from_the_users_own_text() -> None:
    model = Path("m")
    assert after_writing(model, "Era uma", writes=True) == "lavra generate m 'Era uma'"
    assert after_writing(model, "", writes=True) == f"lavra generate m '{SOME_WORDS}'"
    assert after_writing(model, "Era uma", writes=False) == "lavra serve m"


@pytest.mark.parametrize(
    ("samples", "wanted"),
    [
        (
            [
                ChatSample(
                    messages=({"role": "user", "content": "Quem és tu? Diz."}, {"role": "assistant", "content": "Eu."})
                )
            ],
            "lavra generate m 'Quem és tu?' --chat",
        ),
        ([RewriteSample(source="Um texto longo.", target="Um.")], "lavra generate m 'Um texto longo'"),
        ([TextSample(text="Um filme muito bom, sim.")], "lavra predict m 'Um filme muito bom'"),
        ([PairSample(anchor="a", positive="b")], "lavra serve m"),
        ([], "lavra serve m"),
    ],
)
def test_a_taught_model_is_asked_what_a_held_out_sample_asks(samples: list[Sample], wanted: str) -> None:
    assert after_samples(Path("m"), samples) == wanted
