"""`lavra generate`: prompts from three places, streamed text, one JSON object, notes on stderr."""

import argparse
import io
import json
from typing import ClassVar

import pytest

import lavra
from lavra.base.errors import ConfigError, InputError
from lavra.cli import generate as verb
from lavra.cli.arguments.generate import add_arguments
from lavra.model.checkpoint import save_checkpoint
from tests.generate.tiny import tiny_model, tiny_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    save_checkpoint(tiny_model(), path)
    tiny_tokenizer().save(path)
    return path


def run(*arguments):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return verb.run(parser.parse_args([str(argument) for argument in arguments]))


def test_the_text_goes_to_stdout_and_nothing_else(folder, capsys):
    assert run(folder, "The", "--max-tokens", 8) == 0
    captured = capsys.readouterr()
    assert captured.out == lavra.load(folder).generate("The", max_tokens=8).text + "\n"
    assert captured.err == ""


def test_notes_go_to_stderr(folder, capsys):
    assert run(folder, "The", "--temperature", 1, "--max-tokens", 3) == 0
    assert "note: no seed was given" in capsys.readouterr().err


def test_a_prompt_may_come_from_a_file_or_a_pipe(folder, tmp_path, monkeypatch, capsys):
    (tmp_path / "prompt.txt").write_text("The\n", encoding="utf-8")
    run(folder, "The", "--max-tokens", 6)
    expected = capsys.readouterr().out
    run(folder, "--file", tmp_path / "prompt.txt", "--max-tokens", 6)
    assert capsys.readouterr().out == expected
    monkeypatch.setattr("sys.stdin", io.StringIO("The\n"))
    run(folder, "--max-tokens", 6)
    assert capsys.readouterr().out == expected


def test_json_is_one_object_with_everything(folder, capsys):
    run(folder, "The", "--json", "--max-tokens", 5, "--n", 2, "--temperature", 1.5, "--seed", 7, "--stop", "zz")
    found = json.loads(capsys.readouterr().out)
    expected = lavra.load(folder).n_best("The", 2, max_tokens=5, temperature=1.5, seed=7, stop="zz")
    assert [one["text"] for one in found["completions"]] == [one.text for one in expected]
    assert found["completions"][0]["finish_reason"] == "length"
    assert found["completions"][0]["usage"]["completion_tokens"] == 5
    assert found["prompt"] == "The"


def test_several_are_numbered(folder, capsys):
    run(folder, "The", "--n", 2, "--num-beams", 2, "--max-tokens", 4)
    assert "--- 2 of 2\n" in capsys.readouterr().out


def test_settings_may_come_from_yaml_and_flags_win(folder, tmp_path, capsys):
    (tmp_path / "run.yaml").write_text("max_tokens: 3\nstop: [zz]\n")
    run(folder, "The", "--json", "--config", tmp_path / "run.yaml")
    assert json.loads(capsys.readouterr().out)["completions"][0]["usage"]["completion_tokens"] == 3
    run(folder, "The", "--json", "--config", tmp_path / "run.yaml", "--max-tokens", 4)
    assert json.loads(capsys.readouterr().out)["completions"][0]["usage"]["completion_tokens"] == 4


def test_mistakes_are_errors_of_ours(folder, tmp_path):
    with pytest.raises(InputError, match="keep one of the two"):
        run(folder, "The", "--file", tmp_path / "prompt.txt")
    with pytest.raises(InputError, match="cannot be read"):
        run(folder, "--file", tmp_path / "none.txt")
    with pytest.raises(InputError, match="neither a folder"):
        run("no-such-model", "The")
    with pytest.raises(ConfigError, match="temperature"):
        run(folder, "The", "--temperature", -1)
    with pytest.raises(InputError, match="no chat template"):
        run(folder, "The", "--chat")


def test_ctrl_c_keeps_what_was_written(folder, capsys, monkeypatch):
    class Interrupted:
        usual: ClassVar = {}

        def submit(self, request):
            yield from list(lavra.load(folder).submit(request))[:2]
            raise KeyboardInterrupt

    monkeypatch.setattr(verb, "load", lambda *_, **__: Interrupted())
    assert run(folder, "The", "--max-tokens", 5) == 130
    assert "Ctrl-C" in capsys.readouterr().err
