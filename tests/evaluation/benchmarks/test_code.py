"""HumanEval and MBPP: their own solutions pass, broken ones fail, and lm-evaluation-harness reads the same files."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from lavra.base.types import Completion, GenerateRequest
from lavra.evaluation.items import Response, Unscored
from lavra.evaluation.run import ModelIdentity, evaluate
from lavra.evaluation.sandbox.choose import NoSandboxError, find_sandbox
from lavra.evaluation.sandbox.report import ProgramEnd
from lavra.evaluation.sandbox.run import Sandbox
from lavra.evaluation.scoring import score_item
from lavra.evaluation.task_files.opening import open_tasks
from lavra.evaluation.task_files.task import EvalTask

# Their own tests fail in any Python 3.11: the order of a set, the size of a tuple.
BROKEN_MBPP = {341, 596, 642}


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    try:
        return find_sandbox()
    except NoSandboxError as error:
        pytest.skip(str(error))


class Author:
    """Writes the same text each time, and counts its calls."""

    def __init__(self, text: str) -> None:
        self.text, self.asked = text, 0

    def score(self, requests: Sequence[object]) -> list[Any]:
        raise AssertionError("a task that is written asks for no log-probabilities")

    def generate(self, requests: Sequence[GenerateRequest]) -> list[list[Completion]]:
        self.asked += len(requests)
        return [[Completion(text=self.text)] * request.n for request in requests]

    def submit(self, request: GenerateRequest) -> Any:
        raise AssertionError("a task is not streamed")


@pytest.fixture
def small(tmp_path: Path) -> EvalTask:
    """HumanEval's file with two problems, in the original format."""
    rows = [
        {
            "task_id": f"Made/{n}",
            "prompt": f"def double{n}(x):\n",
            "entry_point": f"double{n}",
            "canonical_solution": "    return 2 * x\n",
            "test": "def check(candidate):\n    assert candidate(3) == 6\n    assert candidate(0) == 0\n",
        }
        for n in range(2)
    ]
    folder = tmp_path / "code" / "humaneval"
    folder.mkdir(parents=True)
    (folder / "HumanEval.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    file = tmp_path / "humaneval" / "small.yaml"
    file.parent.mkdir()
    shipped = open_tasks(["humaneval"], data=tmp_path).tasks[0].file.path
    file.write_text(shipped.read_text(encoding="utf-8").replace(".jsonl.gz", ".jsonl"), encoding="utf-8")
    return open_tasks([str(file)], data=tmp_path).tasks[0]


def test_a_program_is_scored_by_its_tests(small: EvalTask, sandbox: Sandbox) -> None:
    author = Author("    return 2 * x\n")
    result = evaluate(author, [small], identity=ModelIdentity(name="author", hash="1"), sandbox=sandbox)
    (task,) = result.tasks
    assert [(one.name, one.value) for one in task.metrics] == [("pass@1", 1.0)]
    assert "2 of 2 programs passed" in task.warnings
    wrong = Author("    open('/etc/passwd')\n    return 2 + x\n")
    (task,) = evaluate(wrong, [small], identity=ModelIdentity(name="wrong", hash="2"), sandbox=sandbox).tasks
    assert task.metrics[0].value == 0.0
    assert "0 of 2 programs passed; 2: a test failed" in task.warnings
    assert "programs tried to read a file outside (2)" in task.warnings


def test_without_a_sandbox_nothing_is_asked_and_nothing_is_scored(small: EvalTask) -> None:
    author = Author("    return 2 * x\n")
    (task,) = evaluate(author, [small], identity=ModelIdentity(name="author", hash="1")).tasks
    assert author.asked == 0
    assert task.unscored == {Unscored.NO_SANDBOX.value: 2}
    assert [one.value for one in task.metrics] == [None]


def test_several_answers_give_the_unbiased_estimate(small: EvalTask, sandbox: Sandbox) -> None:
    item = small.item(0)
    right, wrong = "    return 2 * x\n", "    return 3 * x\n"
    score = score_item(small, item, Response(texts=(right, wrong, wrong, wrong)), sandbox=sandbox)
    assert score.values == {("create_test", "pass@1"): 0.25}
    assert [report.outcome for report in score.programs] == [ProgramEnd.PASSED] + [ProgramEnd.FAILED] * 3


# ---------------------------------------------------------------- the real files


def opened(name: str, lavra_data: Path) -> EvalTask:
    return open_tasks([name], data=lavra_data).tasks[0]


def solutions(task: EvalTask, body: str) -> list[tuple[Any, Response]]:
    """Items and the data's answers; a given body follows each."""
    found = []
    for number in range(task.num_documents):
        row = task.documents[number]
        answer = row["canonical_solution"] if "canonical_solution" in row else row["code"]
        found.append((task.item(number), Response(texts=(answer + body.format(**row),))))
    return found


def passed(task: EvalTask, answered: list[tuple[Any, Response]], sandbox: Sandbox) -> list[float]:
    with ThreadPoolExecutor() as pool:
        scores = list(pool.map(lambda one: score_item(task, *one, sandbox=sandbox), answered))
    return [value for score in scores for value in score.values.values()]


@pytest.mark.data
@pytest.mark.slow
def test_solutions_of_humaneval_pass_and_spoilt_ones_fail(lavra_data: Path, sandbox: Sandbox) -> None:
    task = opened("humaneval", lavra_data)
    assert passed(task, solutions(task, ""), sandbox) == [1.0] * 164
    spoilt = "\n\n{entry_point} = lambda *values, **named: object()\n"
    assert passed(task, solutions(task, spoilt)[::4], sandbox) == [0.0] * 41
    leaving = "\n\nimport sys; sys.exit(0)\n"
    assert passed(task, solutions(task, leaving)[::8], sandbox) == [0.0] * 21


@pytest.mark.data
@pytest.mark.slow
def test_solutions_of_mbpp_pass_but_for_those_whose_tests_are_wrong(lavra_data: Path, sandbox: Sandbox) -> None:
    task = opened("mbpp", lavra_data)
    rows = [row["task_id"] for row in task.documents]
    assert rows == list(range(11, 511))
    values = passed(task, solutions(task, ""), sandbox)
    assert {row for row, value in zip(rows, values, strict=True) if not value} == BROKEN_MBPP & set(rows)


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("name", ["humaneval", "humaneval_64", "humaneval_instruct", "mbpp", "mbpp_instruct"])
def test_the_harness_reads_the_shipped_files(
    name: str, lavra_data: Path, monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox
) -> None:
    tasks = pytest.importorskip("lm_eval.tasks")
    monkeypatch.chdir(lavra_data)
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")
    ours = opened(name, lavra_data)
    manager = tasks.TaskManager(include_path=str(ours.file.path.parent), include_defaults=False)
    loaded = manager.load([name])
    theirs = loaded["tasks"][name]
    theirs.build_all_requests(limit=None, rank=0, world_size=1)
    assert len(theirs.instances) == ours.num_documents
    assert {instance.repeats for instance in theirs.instances} == {ours.file.repeats}
    prompts = {instance.doc_id: instance.args[0] for instance in theirs.instances}
    for number in range(ours.num_documents):
        assert ours.item(number).prompt == prompts[number]
    settings = theirs.instances[0].args[1]
    generation = ours.item(0).generation
    assert generation is not None
    assert tuple(settings["until"]) == generation.until
    assert theirs.config.unsafe_code is True


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("name", ["humaneval", "mbpp"])
def test_the_harness_gives_the_same_scores(
    name: str, lavra_data: Path, monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox
) -> None:
    programs = importlib.import_module(f"lavra.evaluation.benchmarks.{name}.programs")
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")
    task = opened(name, lavra_data)
    for item, response in [*solutions(task, "")[:2], *solutions(task, "\n1 / 0\n")[2:4]]:
        own = list(score_item(task, item, response, sandbox=sandbox).values.values())
        made = task.pipelines[0].apply(response.texts, item.document).value
        if name == "humaneval":
            theirs = list(programs.pass_at_k([item.gold], [made], [1]).values())
        else:
            theirs = [programs.pass_at_1([item.gold], [made])]
        assert own == theirs


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize(("name", "metric"), [("humaneval", "pass@1,create_test"), ("mbpp", "pass_at_1,none")])
def test_the_harness_runs_the_shipped_files_to_their_score(
    name: str, metric: str, lavra_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm_eval = pytest.importorskip("lm_eval")
    model = pytest.importorskip("lm_eval.api.model")
    manager = pytest.importorskip("lm_eval.tasks")
    monkeypatch.chdir(lavra_data)
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")

    class Knowing(model.LM):  # type: ignore[name-defined, misc]
        """Answers every second question with the data's own solution, the others with nonsense."""

        def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
            right = [request.doc.get("canonical_solution") or request.doc.get("code") for request in requests]
            return [text if request.doc_id % 2 else "?" for text, request in zip(right, requests, strict=True)]

        def loglikelihood(self, requests: Sequence[Any]) -> Any:
            raise NotImplementedError

        def loglikelihood_rolling(self, requests: Sequence[Any]) -> Any:
            raise NotImplementedError

    folder = opened(name, lavra_data).file.path.parent
    found = lm_eval.simple_evaluate(
        model=Knowing(),
        tasks=[name],
        limit=4,
        task_manager=manager.TaskManager(include_path=str(folder), include_defaults=False),
        confirm_run_unsafe_code=True,
        bootstrap_iters=0,
    )
    assert found["results"][name][metric] == 0.5


@pytest.mark.parametrize("name", ["humaneval", "humaneval_64", "humaneval_instruct", "mbpp", "mbpp_instruct"])
def test_questions_and_settings_are_the_harness_own(name: str, tmp_path: Path) -> None:
    found = find_spec("lm_eval")
    if found is None or found.origin is None:
        pytest.skip("lm-eval is not installed")
    folder = Path(found.origin).parent / "tasks" / name.partition("_")[0]
    theirs = _plain_yaml(folder / f"{name}.yaml")
    ours = _plain_yaml(open_tasks([name], data=tmp_path).tasks[0].file.path)
    for key in ("doc_to_text", "gen_prefix", "generation_kwargs", "num_fewshot", "repeats", "target_delimiter"):
        assert ours.get(key) == theirs.get(key), key


def _plain_yaml(path: Path) -> dict[str, Any]:
    """A task file with its includes; functions become their names."""

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!function", lambda loader, node: node.value)
    values: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=Loader)
    included = values.pop("include", None)
    return {**(_plain_yaml(path.parent / included) if included else {}), **values}
