"""`lavra generate` says so when a model writes nothing."""

import pytest

import lavra
from lavra.cli.main import main
from lavra.model.checkpoint import save_checkpoint
from tests.generate.tiny import tiny_model, tiny_tokenizer


@pytest.fixture
def folder(tmp_path):
    save_checkpoint(tiny_model(), tmp_path / "tiny")
    tiny_tokenizer().save(tmp_path / "tiny")
    return tmp_path / "tiny"


@pytest.mark.parametrize("several", [False, True])
def test_a_text_without_characters_is_explained(folder, several, capsys):
    begun = next(character for character in lavra.load(folder).generate("Lily", max_tokens=8).text if character.strip())
    more = ["--n", "2", "--temperature", "0.001"] if several else []
    assert main(["generate", str(folder), "Lily", "--max-tokens", "8", "--stop", begun, *more]) == 0
    shown = capsys.readouterr()
    assert "note: the model wrote" in shown.err
    assert "ended by stop); try --temperature 0.8 or a longer prompt" in shown.err
    assert main(["generate", str(folder), "Lily", "--max-tokens", "8"]) == 0
    assert "the model wrote" not in capsys.readouterr().err
