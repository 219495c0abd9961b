"""A teacher's answers: which are kept, and a call that continues where another stopped."""

import json

import pytest

from lavra.base.errors import ConfigError, InputError, LavraError
from lavra.base.types import Completion, FinishReason, SamplingConfig
from lavra.data.labelled.reading import read_samples
from lavra.distillation.answers import CANCELLED, CUT, EMPTY, REPEATED, AnswersConfig, write_answers
from lavra.remote.config import RemoteConfig
from lavra.remote.model import RemoteModel
from lavra.tasks.rewrite import REWRITE
from tests.generate.tiny import tiny_in_process
from tests.server.conftest import running, served

PROMPTS = [f"question {number}?" for number in range(10)]


class Teacher:
    """Answers, and fails, as the test sets it."""

    def __init__(self, say=lambda request, sample: f"answer to {request.prompt}", fail_after=None):
        self.say, self.fail_after, self.asked = say, fail_after, []

    def generate(self, requests):
        if self.fail_after is not None and len(self.asked) + len(requests) > self.fail_after:
            raise LavraError("the line is dead")
        self.asked += requests
        return [[self.completion(request, sample) for sample in range(request.n)] for request in requests]

    def completion(self, request, sample):
        said = self.say(request, sample)
        text, finish = said if isinstance(said, tuple) else (said, FinishReason.STOP)
        return Completion(text=text, finish_reason=finish, warnings=("odd",))

    def score(self, requests):
        raise AssertionError

    def submit(self, request):
        raise AssertionError


def rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def ask(teacher, path, prompts=PROMPTS, **settings):
    config = AnswersConfig(**{"batch_size": 3, **settings})
    return write_answers(teacher, prompts, path, config, teacher_name="wise")


def test_rows_name_author_method_and_time_and_the_readers_accept_them(tmp_path):
    told = []
    config = AnswersConfig(batch_size=4, max_tokens=7, stop=("\n",))
    report = write_answers(
        Teacher(), PROMPTS, tmp_path / "a.jsonl", config, teacher_name="wise", progress=lambda *now: told.append(now)
    )
    first = rows(tmp_path / "a.jsonl")[0]
    assert first.pop("date").endswith("+00:00")
    assert first == {
        "prompt": "question 0?",
        "completion": "answer to question 0?",
        "teacher": "wise",
        "sampling": {"max_tokens": 7},
        "finish_reason": "stop",
        "number": 0,
    }
    assert (report.num_kept, report.left_out, report.left_out_path, report.warnings) == (10, {}, None, {"odd": 10})
    assert told == [("answers", done, 10) for done in (4, 8, 10)]
    read = read_samples(tmp_path / "a.jsonl", REWRITE.form)
    assert [(one.source, one.target) for one in read.samples] == [(one, f"answer to {one}") for one in PROMPTS]
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_unusable_answers_are_left_out_counted_and_kept_apart(tmp_path):
    def say(request, sample):
        return {0: ("half", FinishReason.LENGTH), 1: " \n", 2: ("gone", FinishReason.CANCELLED)}.get(
            int(request.prompt.split()[1][:-1]), "same" if sample < 2 else "other"
        )

    report = ask(Teacher(say), tmp_path / "a.jsonl", samples=3, sampling=SamplingConfig(temperature=1.0, seed=5))
    assert report.num_kept == 7 * 2
    assert report.left_out == {CUT: 1, REPEATED: 2 + 2 + 2 + 7, EMPTY: 1, CANCELLED: 1}
    out = rows(report.left_out_path)
    assert len(out) == sum(report.left_out.values())
    assert {row["left_out"] for row in out} == set(report.left_out)
    assert not any("left_out" in row for row in rows(report.path))
    assert "left out: 1 (empty)" in report.lines()
    seeds = {row["number"]: row["sampling"]["seed"] for row in out}
    assert seeds == {number: 5 + number for number in range(10)}


@pytest.mark.parametrize("fail_after", [0, 3, 9])
@pytest.mark.parametrize("torn", [b"", b'{"prompt": "ques'])
def test_it_goes_on_where_it_broke_off(tmp_path, fail_after, torn):
    sampling = SamplingConfig(temperature=1.0)
    path = tmp_path / "a.jsonl"
    say = lambda request, sample: f"{request.prompt} {request.sampling.seed} {sample}"  # noqa: E731
    with pytest.raises(LavraError, match="dead"):
        ask(Teacher(say, fail_after), path, sampling=sampling, samples=2)
    assert not path.exists()
    with (tmp_path / "a.jsonl.part").open("ab") as file:
        file.write(torn)
    teacher = Teacher(say)
    report = ask(teacher, path, sampling=sampling, samples=2)
    assert (report.num_resumed, len(teacher.asked)) == (fail_after, 10 - fail_after)
    found = rows(path)
    assert [row["number"] for row in found] == [number for number in range(10) for _ in range(2)]
    assert len({row["sampling"]["seed"] - row["number"] for row in found}) == 1  # one seed was drawn, and kept


def test_half_a_prompts_answers_are_asked_for_again(tmp_path):
    hot = {"sampling": SamplingConfig(temperature=1.0, seed=0), "samples": 2}
    say = lambda request, sample: f"{sample}"  # noqa: E731
    with pytest.raises(LavraError):
        ask(Teacher(say, 3), tmp_path / "a.jsonl", **hot)
    part = tmp_path / "a.jsonl.part"
    part.write_text("".join(part.read_text().splitlines(keepends=True)[:-1]))
    teacher = Teacher(say)
    ask(teacher, tmp_path / "a.jsonl", **hot)
    assert [request.prompt for request in teacher.asked] == PROMPTS[2:]


def test_another_call_is_not_gone_on_with(tmp_path):
    path = tmp_path / "a.jsonl"
    with pytest.raises(LavraError):
        ask(Teacher(fail_after=3), path)
    with pytest.raises(InputError, match=r"other settings \(max_tokens\)"):
        ask(Teacher(), path, max_tokens=3)
    with pytest.raises(InputError, match="other prompts"):
        ask(Teacher(), path, prompts=PROMPTS[::-1])
    ask(Teacher(), path, batch_size=1)
    with pytest.raises(InputError, match="exists"):
        ask(Teacher(), path)
    with pytest.raises(InputError, match="no prompts"):
        ask(Teacher(), tmp_path / "b.jsonl", prompts=[])
    for settings, message in (
        ({"samples": 2}, "all would be the same"),
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            AnswersConfig(**settings)


def test_a_url_is_a_teacher_as_a_model_here_is(tmp_path):
    frame = lambda prompt: f"{prompt}\n"  # noqa: E731
    found = []
    config = AnswersConfig(max_tokens=6, stop=("e", "a", " "))
    with running([served("writer")]) as url, RemoteModel(RemoteConfig(url=f"{url}/v1", model="writer")) as remote:
        for name, teacher in (("here", tiny_in_process()), ("there", remote)):
            path = tmp_path / f"{name}.jsonl"
            report = write_answers(teacher, PROMPTS, path, config, teacher_name=name, frame=frame)
            assert report.num_kept + sum(report.left_out.values()) == 10
            found.append([(row["prompt"], row["completion"]) for row in rows(path)])
    assert found[0] == found[1]
