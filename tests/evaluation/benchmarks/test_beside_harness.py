"""Shipped benchmarks in lm-evaluation-harness: each runs unchanged, with the requests of the harness' own task."""

from __future__ import annotations

import json
import logging
import random
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lavra.evaluation.items import EvalItem, OutputType, Response
from lavra.evaluation.scoring import aggregate, score_item
from lavra.evaluation.task_files.functions.table import BENCHMARKS
from lavra.evaluation.task_files.opening import open_tasks
from lavra.evaluation.task_files.task import EvalTask

pytestmark = pytest.mark.slow
MADE = Path(__file__).parent / "made"
ROWS = 40


def names(verified: str) -> list[str]:
    """Tasks whose file says `verified: true`, or `false`; files are not parsed while tests are collected."""
    texts = [path.read_text("utf-8") for path in BENCHMARKS.glob("*/*.yaml")]
    tasks = [re.search(r"^task: (\S+)$", text, re.MULTILINE) for text in texts if f"  verified: {verified}\n" in text]
    return sorted(task.group(1) for task in tasks if task)


VERIFIED, UNVERIFIED = names("true"), names("false")


@pytest.fixture(scope="module")
def harness() -> Iterator[Any]:
    logging.disable(logging.WARNING)
    from lm_eval.tasks import TaskManager

    yield TaskManager(include_path=str(BENCHMARKS), include_defaults=False)
    logging.disable(logging.NOTSET)


def ours(name: str, data: Path) -> EvalTask:
    return open_tasks([name], data=data).tasks[0]


def some_rows(name: str, number: int, *, first_only: bool = False) -> list[int]:
    """The first row, the last, and some between them; or the first ones."""
    if first_only:
        return list(range(min(number, ROWS)))
    return sorted({0, number - 1, *random.Random(name).sample(range(number), min(number, ROWS))})


def asked(item: EvalItem) -> list[tuple[Any, ...]]:
    """Requests to a model, in the form of the harness' requests."""
    if item.generation is not None:
        return [(item.prompt, item.generation.until)]
    if item.kind is OutputType.LOGLIKELIHOOD_ROLLING:
        return [(item.pairs[0].continuation,)]
    return [(pair.context, pair.continuation) for pair in item.pairs]


def asked_there(task: Any, document: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    shots = task.config.num_fewshot or 0
    context = task.fewshot_context(document, shots, gen_prefix=task.doc_to_prefix(document))
    made = task.construct_requests(doc=document, ctx=context, metadata=(task.config.task, 0, 1))
    if task.OUTPUT_TYPE != "generate_until":
        return [tuple(one.args) for one in (made if isinstance(made, list) else [made])]
    prompt, settings = made.args
    return [(prompt, (settings["until"],) if isinstance(settings["until"], str) else tuple(settings["until"]))]


def check_alike(harness: Any, name: str, data: Path) -> None:
    task, theirs = ours(name, data), harness.load([name])["tasks"][name]
    theirs.set_fewshot_seed(1234)
    documents = list(theirs.eval_docs)
    assert len(documents) == task.num_documents
    drawn = task.num_shots > 0 and task.file.shots.sampler == "default"  # from one stream, row by row
    for doc_id in some_rows(name, len(documents), first_only=drawn):
        item, document = task.item(doc_id), documents[doc_id]
        assert asked(item) == asked_there(theirs, document)
        gold = theirs.doc_to_text(document) if theirs.multiple_input else theirs.doc_to_target(document)
        if item.kind is OutputType.MULTIPLE_CHOICE and isinstance(gold, str):
            gold = theirs.doc_to_choice(document).index(gold)
        assert item.gold == (tuple(gold) if isinstance(gold, list) else gold)


@pytest.mark.data
@pytest.mark.parametrize("name", VERIFIED)
def test_real_rows_are_asked_alike(harness: Any, lavra_data: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(lavra_data)
    check_alike(harness, name, lavra_data)


@pytest.mark.parametrize("name", UNVERIFIED)
def test_made_rows_are_asked_alike(harness: Any, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(MADE)
    check_alike(harness, name, MADE)


# ---------------------------------------------------------------- beside the harness' own tasks

Row = Mapping[str, Any]
Made = Callable[[Row], dict[str, Any]]


def columns(*names: str, **renamed: str) -> Made:
    """A row of the harness' dataset from one of ours: some columns kept, some renamed (new=old)."""
    return lambda row: {**{name: row[name] for name in names}, **{new: row[old] for new, old in renamed.items()}}


def entailment(*names: str) -> Made:
    labels = ["entailment", "contradiction", "neutral"]
    return lambda row: columns(*names)(row) | {"label": labels.index(row["label"].replace("not_entailment", labels[1]))}


def inference(row: Row) -> dict[str, Any]:
    label = ["entailment", "neutral", "contradiction"].index(row["gold_label"])
    return {"premise": row["sentence1"], "hypothesis": row["sentence2"], "label": label}


def with_number(*names: str) -> Made:
    return lambda row: columns(*names)(row) | {"label": int(row["label"])}


def cause(row: Row) -> dict[str, Any]:
    premise, connector = row["query"].rsplit(", ", 1)
    first, second = (choice[0].upper() + choice[1:] for choice in row["choices"])
    kind = {"because": "cause", "therefore": "effect"}[connector]
    return {"premise": premise + ".", "choice1": first, "choice2": second, "question": kind, "label": row["gold"]}


def schema(row: Row) -> dict[str, Any]:
    return {"text": row["text"], "label": int(row["label"]), **row["target"]}


def science(row: Row) -> dict[str, Any]:
    choices = {"text": row["choices"], "label": ["A", "B", "C", "D"]}
    question = row["query"].removeprefix("Question: ")
    return {"question": question, "question_stem": row["query"], "choices": choices, "answerKey": "ABCD"[row["gold"]]}


def situation(row: Row) -> dict[str, Any]:
    context, rest = row["query"].removeprefix("Context: ").split("\nQuestion: ")
    question, rest = rest.split("\nChoices:\nA. ")
    first, second = rest.removesuffix("\nAnswer:").split("\nB. ")
    both = {"answerA": first, "answerB": second, "answerC": "is not in this copy"}
    return {"context": context, "question": question, **both, "label": str(row["gold"] + 1)}


def gap(row: Row) -> dict[str, Any]:
    first, second = row["context_options"]
    before = first[: next(at for at in range(len(first)) if first[at] != second[at : at + 1])]
    first, second = first.removeprefix(before), second.removeprefix(before)
    return {
        "sentence": f"{before}_ {row['continuation']}",
        "option1": first,
        "option2": second,
        "answer": str(row["gold"] + 1),
    }


def trivia(row: Row) -> dict[str, Any]:
    question = row["context"].removeprefix("Question: ").removesuffix("\nAnswer:")
    return {"question": question, "answer": {"aliases": row["aliases"]}}


def exam(row: Row) -> dict[str, Any]:
    choices = [row[f"choice{number}"] for number in range(4)]
    return {"question": row["question"], "choices": choices, "answer": row["answer"]}


OWN: dict[str, tuple[str, Made]] = {
    "cola": ("glue/cola/default.yaml", columns("sentence", "label")),
    "sst2": ("glue/sst2/default.yaml", columns("sentence", "label")),
    "mrpc": ("glue/mrpc/default.yaml", columns("sentence1", "sentence2", "label")),
    "qqp": ("glue/qqp/default.yaml", columns("question1", "question2", label="is_duplicate")),
    "mnli": ("glue/mnli/default.yaml", inference),
    "mnli_mismatch": ("glue/mnli/mismatch.yaml", inference),
    "qnli": ("glue/qnli/default.yaml", entailment("question", "sentence")),
    "rte": ("glue/rte/default.yaml", entailment("sentence1", "sentence2")),
    "wnli": ("glue/wnli/default.yaml", columns("sentence1", "sentence2", "label")),
    "boolq": ("super_glue/boolq/default.yaml", with_number("passage", "question")),
    "cb": ("super_glue/cb/default.yaml", entailment("premise", "hypothesis")),
    "copa": ("super_glue/copa/default.yaml", cause),
    "multirc": ("super_glue/multirc/default.yaml", columns("paragraph", "question", "answer", "label")),
    "record": ("super_glue/record/default.yaml", columns("passage", "query", "entities", "answers")),
    "sglue_rte": ("super_glue/rte/default.yaml", entailment("premise", "hypothesis")),
    "wic": ("super_glue/wic/default.yaml", with_number("word", "sentence1", "sentence2", "start1", "end1")),
    "wsc": ("super_glue/wsc/default.yaml", schema),
    "hellaswag": ("hellaswag/hellaswag.yaml", columns("activity_label", "ctx_a", "ctx_b", "endings", "label")),
    "arc_easy": ("arc/arc_easy.yaml", science),
    "arc_challenge": ("arc/arc_challenge.yaml", science),
    "openbookqa": ("openbookqa/openbookqa.yaml", science),
    "piqa": ("piqa/piqa.yaml", columns("goal", "sol1", "sol2", "label")),
    "social_iqa": ("siqa/siqa.yaml", situation),
    "winogrande": ("winogrande/default.yaml", gap),
    "lambada_openai": ("lambada/lambada_openai.yaml", lambda row: {"text": f"{row['context']} {row['continuation']}"}),
    "triviaqa": ("triviaqa/default.yaml", trivia),
    "gsm8k": ("gsm8k/gsm8k.yaml", columns("question", "answer")),
    "wikitext": ("wikitext/wikitext.yaml", columns("page")),
    "truthfulqa_mc1": ("truthfulqa/truthfulqa_mc1.yaml", columns("question", "mc1_targets", "mc2_targets")),
    "truthfulqa_mc2": ("truthfulqa/truthfulqa_mc2.yaml", columns("question", "mc1_targets", "mc2_targets")),
    "truthfulqa_gen": (
        "truthfulqa/truthfulqa_gen.yaml",
        columns("question", "correct_answers", "incorrect_answers"),
    ),
    "mmlu_anatomy": ("mmlu/default/mmlu_anatomy.yaml", exam),
    "mmlu_college_mathematics": ("mmlu/default/mmlu_college_mathematics.yaml", exam),
    "bbh_cot_fewshot_boolean_expressions": ("bbh/cot_fewshot/boolean_expressions.yaml", columns("input", "target")),
    "bbh_cot_fewshot_formal_fallacies": ("bbh/cot_fewshot/formal_fallacies.yaml", columns("input", "target")),
    "bbh_cot_fewshot_snarks": ("bbh/cot_fewshot/snarks.yaml", columns("input", "target")),
    "flores_en-pt": (
        "portuguese_bench/flores_pt/flores_en-pt.yaml",
        columns("sentence_eng_Latn", "sentence_por_Latn"),
    ),
    "assin2_rte": ("portuguese_bench/assin2_rte.yaml", columns("premise", "hypothesis", "entailment_judgment")),
    "assin2_sts": ("portuguese_bench/assin2_sts.yaml", columns("premise", "hypothesis", "relatedness_score")),
}
LACKS_A_CHOICE = {"social_iqa"}
TURNS_GOLD = {"multirc"}


def theirs_on(path: str, rows: list[dict[str, Any]], folder: Path) -> Any:
    """The harness' own task over given rows."""
    import lm_eval.tasks
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    config = load_yaml(Path(lm_eval.tasks.__file__).parent / path)
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    splits = {config.get(key) for key in ("training_split", "validation_split", "test_split", "fewshot_split")}
    files = dict.fromkeys(sorted(splits - {None}), str(file))
    config |= {"dataset_path": "json", "dataset_name": None, "dataset_kwargs": {"data_files": files}}
    return ConfigurableTask(config=config)


@pytest.mark.data
@pytest.mark.parametrize("name", OWN)
def test_prompts_are_those_of_its_own_task(
    harness: Any, lavra_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for gone in ("transformers.data.metrics", "transformers.data.metrics.squad_metrics"):
        monkeypatch.setitem(sys.modules, gone, ModuleType(gone))  # ReCoRD's file imports what transformers 5 has not
    path, made = OWN[name]
    task = ours(name, MADE if name in UNVERIFIED else lavra_data)
    task.num_shots = 3 if name.startswith("bbh") else 0
    numbers = some_rows(name, task.num_documents)
    theirs = theirs_on(path, [made(task.documents[number]) for number in numbers], tmp_path)
    theirs.set_config("num_fewshot", task.num_shots)
    documents = list(theirs.eval_docs)
    for number, document in zip(numbers, documents, strict=True):
        item, wanted = task.item(number), asked_there(theirs, document)
        assert asked(item) == (wanted[:-1] if name in LACKS_A_CHOICE else wanted)
        if isinstance(item.gold, int):
            gold = theirs.doc_to_text(document) if theirs.multiple_input else theirs.doc_to_target(document)
            gold = item.gold if isinstance(gold, str) and not gold.isdigit() else int(gold)
            assert item.gold == (1 - gold if name in TURNS_GOLD else gold)
    metrics = {metric.name for metric in task.metrics}
    assert set(theirs.aggregation()) - metrics == set(), "a metric of its own task is missing"
    assert task.file.generation_kwargs.get("until") == (theirs.config.generation_kwargs or {}).get("until")


# ---------------------------------------------------------------- scores

SCORED = (
    "arc_easy", "assin2_rte", "assin2_sts", "bbh_cot_fewshot_date_understanding", "bigbench_dyck_languages", "cb",
    "cola", "faquad", "flores_en-pt", "gsm8k", "lambada_openai", "lener_br", "multirc", "record", "samsum", "stsb",
    "triviaqa", "truthfulqa_gen", "truthfulqa_mc2", "wikitext", "winogrande",
)  # fmt: skip


def answered(drawn: random.Random, item: EvalItem, instances: list[Any]) -> Response:
    """An artificial answer for both sides: the right one, one near it, or another."""
    if item.generation is not None:
        gold = item.gold[0] if isinstance(item.gold, tuple) else str(item.gold)
        answers = [gold, f" {gold[: len(gold) // 2]}", "3,5", "the answer is (B).", "a b c", gold.upper()]
        instances[0].resps = [drawn.choice(answers)]
        return Response(texts=tuple(instances[0].resps))
    logprobs = tuple(-9 * drawn.random() for _ in instances)
    greedy = tuple(drawn.random() < 0.5 for _ in instances)
    for instance, logprob, is_greedy in zip(instances, logprobs, greedy, strict=True):
        rolling = item.kind is OutputType.LOGLIKELIHOOD_ROLLING
        instance.resps = [logprob if rolling else (logprob, is_greedy)]
    return Response(logprobs=logprobs, greedy=greedy)


@pytest.mark.data
@pytest.mark.parametrize("name", SCORED)
def test_made_up_answers_score_alike(
    harness: Any, lavra_data: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(lavra_data)
    task, theirs = ours(name, lavra_data), harness.load([name])["tasks"][name]
    theirs.set_fewshot_seed(1234)
    theirs.build_all_requests(limit=ROWS)
    drawn, rows, scores, values = random.Random(name), defaultdict(list), [], defaultdict(list)
    for instance in theirs.instances:
        rows[instance.doc_id].append(instance)
    for doc_id, instances in rows.items():
        item = task.item(doc_id)
        scores.append(score_item(task, item, answered(drawn, item, instances)))
    theirs.apply_filters()
    for instances in rows.values():
        for pipeline in instances[0].filtered_resps:
            made = [instance.filtered_resps[pipeline] for instance in instances]
            for metric, value in theirs.process_results(instances[0].doc, made).items():
                values[pipeline, metric].append(value)
    found = aggregate(task, scores)
    assert set(found) == set(values)
    for key, of_items in values.items():
        assert found[key] == pytest.approx(theirs.aggregation()[key[1]](of_items), rel=1e-9, abs=1e-12), key
