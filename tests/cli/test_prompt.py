"""`lavra prompt` on a tiny real model: its text, its JSON, exit statuses and refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import lavra
from lavra.cli.main import EXIT_ERROR, main
from lavra.model.checkpoint import save_checkpoint
from lavra.prompts.prompt_file import read_prompt
from lavra.prompts.render import render
from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE
from tests.generate.tiny import tiny_model, tiny_tokenizer

FILE = """\
name: sentiment
version: 1.0.0
purpose: Says whether a review is good or bad.
variables:
  - {name: review, description: the review}
template: |
  {{ shots }}Review: {{ review }}
  Sentiment:
example_template: |
  Review: {{ review }}
  Sentiment: {{ expected }}
labels: [bad, good]
domain: "Sentiment:"
examples:
  - {input: {review: She loved Lily.}, expected: good}
  - {input: {review: He did not play.}, expected: bad}
  - {input: {review: A little girl.}, expected: good}
  - {input: {review: Outside there was nothing.}, expected: bad}
"""
CHAT = """\
name: chat
version: 1.0.0
purpose: Answers.
variables:
  - {name: count, type: int, description: how many}
  - {name: things, type: list, description: which, default: [a, b]}
messages:
  - {role: user, template: "{{ count }} of {{ things | join(', ') }}"}
generation: {max_tokens: 5}
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    save_checkpoint(tiny_model("llama", max_positions=128), path)
    tiny_tokenizer("llama").with_chat_template(DEFAULT_CHAT_TEMPLATE).save(path)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "sentiment.yaml"
    path.write_text(FILE, encoding="utf-8")
    return path


def run(*arguments: object) -> int:
    return main(["prompt", *map(str, arguments)])


def test_render_prints_the_prompt_and_nothing_else(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("render", file, "--var", "review=A = B.") == 0
    captured = capsys.readouterr()
    assert captured.out == "Review: A = B.\nSentiment:\n"
    assert captured.err == ""


def test_render_with_shots_is_the_librarys(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("render", file, "--var", "review=x", "--shots", 2, "--select", "balanced", "--seed", 4, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    answers = [shot["answer"] for shot in found["shots"]]
    assert sorted(answers) == ["bad", "good"]
    prompt = read_prompt(file)
    shots = [one for shot in found["shots"] for one in prompt.examples if one.input == shot["input"]]
    assert found["text"] == render(prompt, {"review": "x"}, shots).text
    assert (found["fingerprint"], found["num_tokens"]) == (prompt.fingerprint, None)


def test_variables_are_read_as_their_types(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "chat.yaml"
    path.write_text(CHAT, encoding="utf-8")
    assert run("render", path, "--var", "count=3", "--var", "things=[x, y]", "--json") == 0
    assert json.loads(capsys.readouterr().out)["messages"] == [{"role": "user", "content": "3 of x, y"}]
    assert run("render", path, "--var", "count=3") == 0
    assert capsys.readouterr().out == "[user]\n3 of a, b\n"
    assert run("render", path, "--var", "count=three") == EXIT_ERROR
    assert "variable 'count': 'three' is not a whole number" in capsys.readouterr().err


def test_nearest_by_the_models_own_vectors(model: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--var", "review=She loved Lily!", "--shots", 4, "--select", "nearest")
    assert run("render", file, "--model", model, *arguments, "--json") == 0
    shots = json.loads(capsys.readouterr().out)["shots"]
    texts = [shot["input"]["review"] for shot in shots]
    opened = lavra.load(model)
    query, *vectors = opened.embed(["She loved Lily!", *texts])
    similar = [float(query @ vector) for vector in vectors]
    assert similar == sorted(similar)  # the nearest stands last
    assert run("render", file, *arguments) == EXIT_ERROR
    assert "select=nearest needs a model that embeds" in capsys.readouterr().err


def test_shots_from_a_pool(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pool = tmp_path / "pool.jsonl"
    pool.write_text('{"review": "from the pool", "label": "good"}\n', encoding="utf-8")
    assert run("render", file, "--var", "review=x", "--pool", pool, "--shots", 1) == 0
    assert "Review: from the pool\nSentiment: good\n\n" in capsys.readouterr().out
    assert run("render", file, "--var", "review=x", "--pool", pool) == EXIT_ERROR
    assert "say --shots N" in capsys.readouterr().err


def test_inspect_counts_tokens_and_money(model: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    price = ("--price.input", 2, "--price.output", 4, "--price.currency", "EUR")
    assert run("inspect", file, "--model", model, "--var", "review=x", "--shots", 1, *price, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    tokens = found["tokens"]
    assert tokens["without_shots"] + sum(tokens["shots"]) == tokens["total"]
    assert tokens["left"] == 128 - tokens["answer_at_most"] - tokens["total"]
    assert found["cost_at_most"]["amount"] == pytest.approx((2 * tokens["total"] + 4 * tokens["answer_at_most"]) / 1e6)
    assert found["cost_at_most"]["currency"] == "EUR"


def test_inspect_says_what_does_not_fit(model: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("inspect", file, "--model", model, "--shots", 3, "--context", 64) == 0
    captured = capsys.readouterr()
    assert "0 (no price was given)" in captured.out
    assert "shots that fit" in captured.out
    assert "was left out: with it the prompt has" in captured.err
    assert "for the input of its first example" in captured.err
    assert run("inspect", file, "--model", model, "--shots", 3, "--context", 64, "--strict") == EXIT_ERROR
    assert "does not fit" in capsys.readouterr().err
    assert run("inspect", file, "--model", model, "--context", 4096) == EXIT_ERROR
    assert "outside 1..128" in capsys.readouterr().err


def test_a_failing_test_ends_with_1_and_passing_ones_with_0(
    model: Path, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("test", file, "--model", model, "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert found["total"] == 4
    assert found["passed"] == sum(one["actual"] == one["expected"] for one in found["tests"]) < 4
    assert run("test", file, "--model", model) == 1
    out = capsys.readouterr().out
    assert out.count("pass  example") == found["passed"]
    assert out.count("FAIL  example") == 4 - found["passed"]
    assert f"{found['passed']} of 4 pass" in out
    text = FILE.partition("examples:")[0] + "examples:\n"  # the same prompt, with the model's own answers expected
    for one in found["tests"]:
        text += f"  - {json.dumps({'input': one['input'], 'expected': one['actual']})}\n"
    passing = tmp_path / "passing.yaml"
    passing.write_text(text, encoding="utf-8")
    assert run("test", passing, "--model", model) == 0
    assert "4 of 4 pass" in capsys.readouterr().out


def test_written_answers_are_those_of_generate(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = lavra.load(model).chat([{"role": "user", "content": "3 of a, b"}], max_tokens=5).text
    path = tmp_path / "chat.yaml"
    path.write_text(
        CHAT + f"examples:\n  - {json.dumps({'input': {'count': 3}, 'expected': said})}\n", encoding="utf-8"
    )
    assert run("test", path, "--model", model) == 0
    assert "1 of 1 pass" in capsys.readouterr().out


def test_compare(model: Path, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(FILE.replace("Review:", "Text:").replace("1.0.0", "1.1.0"), encoding="utf-8")
    data = tmp_path / "set.jsonl"
    rows = [
        {"review": "Maçãs.", "label": "good"},
        {"review": "She.", "label": "bad"},
        {"review": "y " * 99, "label": "bad"},
    ]
    data.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    settings = ("--data", data, "--model", model, "--shots", 1, "--select", "balanced", "--calibrate")
    assert run("compare", file, other, *settings, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [(one["version"], one["num_samples"]) for one in found["results"]] == [("1.0.0", 3), ("1.1.0", 3)]
    for one in found["results"]:
        assert one["num_failed"] == 1  # the third is over the context
        assert "over the" in next(iter(one["failures"]))
        assert one["accuracy"] == sum(sample["right"] for sample in one["samples"]) / 3
        assert sum(one["samples"][0]["probabilities"].values()) == pytest.approx(1.0)
    assert len(found["pairs"]) == 1
    assert run("compare", file, other, *settings) == 0
    captured = capsys.readouterr()
    assert "sentiment@1.1.0 less sentiment@1.0.0" in captured.out
    assert "sentiment@1.0.0: failed: sentiment@1.0.0 has" in captured.err
    assert run("compare", file, file, *settings) == 0
    assert f"sentiment@1.0.0 ({file})" in capsys.readouterr().out.replace("\n", "")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("rendr", "FILE"), "unknown action 'rendr'; did you mean 'render'?"),
        (("render", "FILE", "FILE"), "takes one file, not 2"),
        (("render", "FILE"), "variable 'review' has no value; it is: the review"),
        (("render", "FILE", "--var", "review"), "has no '='; write name=value"),
        (("render", "FILE", "--var", "reviw=x"), "there is no variable 'reviw'; did you mean 'review'?"),
        (("render", "FILE", "--var", "review=x", "--var", "review=y"), "gives 'review' twice"),
        (("render", "FILE", "--var", "review=x", "--calibrate"), "`lavra prompt render` does not use calibrate"),
        (("render", "FILE", "--var", "review=x", "--strict"), "no model is named to count them"),
        (("render", "FILE", "--var", "review=x", "--shots", "9"), "shots=9 is over the 4 examples there are"),
        (("inspect", "FILE"), "no model is named; say --model FOLDER"),
        (("test", "FILE", "--model", "x", "--price.input", "1", "--price.output", "1"), "does not use price"),
        (("test", "FILE", "--var", "review=x"), "does not use var"),
        (("compare", "FILE"), "no labelled set is named; say --data FILE"),
        (("render", "none.yaml"), "none.yaml: cannot be read"),
    ],
)
def test_mistakes_are_one_line(
    file: Path, arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*(file if one == "FILE" else one for one in arguments)) == EXIT_ERROR
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("lavra: error: ")
    assert says in captured.err


def test_unused_variables_are_named_on_stderr(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(FILE.replace("variables:\n", "variables:\n  - {name: tone, description: x, default: y}\n"))
    assert run("render", file, "--var", "review=x") == 0
    assert "no template names 'tone'" in capsys.readouterr().err
