"""`lavra answers`: the teacher's answers are kept unchanged, and a student learns from the file."""

import json

import pytest

import lavra
from lavra.base.types import GenerateRequest
from lavra.cli.main import main
from lavra.runs.finetune import finetune, prepare
from lavra.tasks.learning.settings import FinetuneConfig
from lavra.tasks.rewrite import REWRITE
from tests.generate.tiny import tiny_in_process
from tests.runs.tasks import base_folder, rows, write
from tests.server.conftest import running, served

USUAL = {"batch_size": 16, "learning_rate": 3e-3, "heldout_fraction": 0.2, "separator": " "}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher")
    config = FinetuneConfig(task=REWRITE, data=write(folder / "data.jsonl", rows("text2text")), epochs=12.0, **USUAL)
    finetune(prepare(config, base_folder(folder / "base", "llama")), folder / "made", lambda *_: None)
    return folder / "made"


def asked(folder, count=60):
    """Prompts alone, each once, with the space between prompt and answer."""
    texts = dict.fromkeys(row["source"] + " " for row in rows("text2text", count, seed=5))
    return list(texts), write(folder / "prompts.jsonl", [{"prompt": text, "note": "not read"} for text in texts])


def answers(*arguments):
    return main(["answers", *map(str, arguments)])


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_student_learns_what_a_teacher_writes(teacher, tmp_path, capsys):
    prompts, data = asked(tmp_path)
    out = tmp_path / "answers.jsonl"
    assert answers(teacher, "--data", data, "--out", out, "--max-tokens", 12, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["prompts"] == len(prompts)
    assert told["kept"] + sum(told["left_out"].values()) == len(prompts)
    written = lines(out)
    assert len(written) == told["kept"] > len(prompts) / 2
    known = lavra.load(teacher)
    assert all(row["completion"] == known.generate(row["prompt"], max_tokens=12).text for row in written)
    config = FinetuneConfig(task=REWRITE, data=out, epochs=12.0, **{**USUAL, "separator": ""})
    result = finetune(
        prepare(config, base_folder(tmp_path / "base", "t5", seed=1)), tmp_path / "student", lambda *_: None
    )
    assert result.after.value < 0.5 * result.before.value


def test_a_url_says_what_the_model_behind_it_says(tmp_path):
    prompts, data = asked(tmp_path, 4)
    with running([served("writer")], response_cache=0) as url:
        out = tmp_path / "answers.jsonl"
        assert answers("writer", "--url", f"{url}/v1", "--data", data, "--out", out, "--max-tokens", 9) == 0
    told = {row["prompt"]: row for path in tmp_path.glob("answers*.jsonl") for row in lines(path)}
    assert sorted(told) == sorted(prompts)
    for prompt in prompts:
        assert told[prompt]["completion"] == written_alone(prompt)


def written_alone(prompt):
    ((found,),) = tiny_in_process().generate([GenerateRequest(prompt=prompt, max_tokens=9)])
    return found.text


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--system", "be brief"], "no url is given"),
        (["--url", "http://localhost:1/v1", "--device", "cpu"], "of a folder"),
        (["--samples", "2"], "temperature"),
        (["--columns", "prompt"], "role=column"),
    ],
)
def test_contradictory_flags_are_refused(teacher, tmp_path, capsys, more, words):
    _, data = asked(tmp_path, 4)
    assert answers(teacher, "--data", data, "--out", tmp_path / "answers.jsonl", *more) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "answers.jsonl").exists()
