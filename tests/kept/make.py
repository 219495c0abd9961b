"""The script that made the kept files, with the code of commit e01b9ba, the last before the packages were rearranged.

    git checkout e01b9ba, put the Python files of this folder there, and from the root of the project:
    OMP_NUM_THREADS=1 python -m tests.kept.make /tmp/kept

It is a record and not a tool: its imports are those of that commit, and no later code has to run it.  Files that later
code would make anew could not show that later code opens old ones.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from unittest import mock

import torch
from lavra.pipeline.distill_config import DistillRunConfig
from lavra.pipeline.distilling import distill_folder
from lavra.pipeline.distilling import prepare as prepare_distilling
from lavra.pipeline.finetuning.run import finetune, prepare
from lavra.pipeline.finetuning.settings import FinetuneConfig, Method
from tests.pipeline.finetuning.tasks import TEXTS, rows, write

from lavra.base.tasks import Task
from lavra.base.workspace import Workspace
from lavra.cli.main import main
from lavra.model.build import build_model
from lavra.model.checkpoint import save_checkpoint
from lavra.model.families.table import preset
from lavra.pipeline import planning
from lavra.pipeline.allowance import Allowance, ChosenSteps
from lavra.pipeline.objective import tokenizer_ids
from lavra.pipeline.settings import UpConfig
from lavra.pipeline.up import run_up
from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE
from lavra.tokens.config import TokenizerConfig
from lavra.tokens.train import train_tokenizer
from tests.kept.expected import (
    ANSWERS,
    ASKED,
    COMMANDS,
    EXPORTS,
    FAMILIES,
    MADE_AT,
    export_hash,
    machine,
    prompt_record,
    record,
    settings_hashed,
    up_settings,
)
from tests.kept.identities import identities

KINDS = {"several": "classify", "number": "classify", "pair": "classify"}
PROMPT = """name: sentiment
version: 1.0.0
purpose: Says whether a text is good or bad.
variables:
  - name: review
    description: the text
template: |
  {{ shots }}Text: {{ review }}
  Sentiment:
example_template: |
  Text: {{ review }}
  Sentiment: {{ expected }}
labels: [bad, good]
domain: "Sentiment:"
examples:
  - input: {review: a fine film}
    expected: good
  - input: {review: a sad day}
    expected: bad
generation: {max_tokens: 4, temperature: 0, stop: ["\\n"]}
"""
SHARP = 2.0  # weights of a fresh model are small, and all its logits nearly equal; these are not


class KilledError(Exception):
    """Raised to stop a run as a user would."""


class Counted:
    """Replaces a share of the time: ten steps, for any duration."""

    def __rmul__(self, _):
        return self

    def __truediv__(self, _):
        return 10.0


def lavra(*arguments: object) -> None:
    assert main([str(one) for one in arguments]) == 0, arguments


def quiet(*_: object) -> None:
    """A progress that shows nothing."""


def kill_at(stage: str, steps: int):
    def progress(step, done, *_):
        if step == stage and done == steps:
            raise KilledError

    return progress


def base(family: str, name: str = "", width: int = 16) -> None:
    size = 500 if family == "t5" else 320
    layers = 2 if family in ("bert", "gpt2") or name else 1  # those that students are made of
    words = train_tokenizer(TEXTS, TokenizerConfig.for_family(family, vocab_size=size))
    words = words.with_chat_template(DEFAULT_CHAT_TEMPLATE) if family == "llama" else words
    config = preset(
        family, vocab_size=words.vocab_size, hidden_size=width, num_layers=layers, num_heads=2, max_positions=64
    )
    ids = tokenizer_ids(config, words)
    if family == "roberta":
        ids["position_offset"] = words.pad_id + 1
    torch.manual_seed(0)
    model = build_model(replace(config, **ids))
    with torch.no_grad():
        for part in model.parameters():
            if part.ndim == 2:
                part.normal_(0.0, SHARP / part.shape[1] ** 0.5)
    folder = Path("families") / (name or family)
    save_checkpoint(model, folder)
    words.save(folder)


def text() -> None:
    """Two dozen little modules with documented functions, so that every stage of `up` has something to do."""
    draw = random.Random(0)
    verbs = [
        "read",
        "write",
        "count",
        "sort",
        "join",
        "split",
        "find",
        "drop",
        "copy",
        "check",
        "hash",
        "merge",
        "pack",
        "trim",
        "scale",
        "fold",
    ]
    nouns = [
        "rows",
        "words",
        "lines",
        "files",
        "names",
        "parts",
        "ids",
        "keys",
        "dates",
        "paths",
        "sums",
        "pages",
        "texts",
        "nodes",
        "marks",
        "bytes",
    ]
    Path("text").mkdir()
    for number in range(24):
        lines = [f'"""Tools for {draw.choice(nouns)} and {draw.choice(nouns)}, number {number}."""', ""]
        for verb in draw.sample(verbs, 8):
            noun, other, more = draw.sample(nouns, 3)
            lines += [
                f"def {verb}_{noun}({other}, {more}={draw.randint(1, 99)}):",
                f'    """{verb.title()} the {noun} of {other}, at most {more} times.',
                "",
                f"    The {draw.choice(nouns)} stay as they are, and the {draw.choice(nouns)} are {verb}ed once more.",
                '    """',
                f"    {noun} = [{other} + {draw.randint(1, 99)} for {other} in range({more})]",
                f"    return {draw.choice(['sum', 'len', 'max', 'sorted', 'set'])}({noun})",
                "",
            ]
        # Read by its extension as text, and parsed as Python by the stage that makes instructions.
        Path(f"text/module_{number:02d}.txt").write_text("\n".join(lines), encoding="utf-8")
    for path in Path("text").iterdir():
        os.utime(path, ns=(MADE_AT, MADE_AT))


def data() -> None:
    Path("data").mkdir()
    for kind in (*(task.value for task in Task), "several", "number", "pair"):
        write(Path("data") / f"{kind}.jsonl", rows(kind, 24))
    draw = random.Random(1)
    words = TEXTS[0].split()
    sentences = (" ".join(draw.choices(words, k=10)) + "." for _ in range(300))
    Path("data/heldout.txt").write_text("\n".join(sentences) + "\n", encoding="utf-8")


def heads() -> None:
    small = ["--steps", 6, "--batch-size", 8, "--learning-rate", "0.02"]
    wanted = [("bert", kind) for kind in ASKED]
    wanted += [("llama", kind) for kind in ("classify", "several", "ner", "qa", "choice", "rerank")]
    wanted += [("t5", kind) for kind in ("classify", "ner", "choice")]
    wanted += [("roberta", "classify"), ("gpt2", "classify"), ("falcon", "ner"), ("mistral", "qa"), ("qwen2", "choice")]
    for family, kind in wanted:
        task, out = KINDS.get(kind, kind), f"heads/{family}-{kind}"
        lavra("finetune", f"families/{family}", "--task", task, "--data", f"data/{kind}.jsonl", "--out", out, *small)
    lavra("finetune", "families/bert", "--task", "embed", "--data", "data/embed.jsonl", "--out", "encoder", *small)


def adapters() -> None:
    made = [(method.value, "llama", "chat") for method in Method if method is not Method.FULL]
    made += [("lora", "bert", "classify"), ("houlsby", "bert", "ner"), ("lora", "t5", "text2text")]
    made += [("prompt", "bert", "embed"), ("prefix", "llama", "rerank"), ("ia3", "falcon", "text2text")]
    for method, family, task in made:
        small = ["--method", method, "--rank", 2, "--bottleneck", 4, "--virtual-tokens", 3]
        small += [
            "--steps",
            6,
            "--batch-size",
            8,
            "--learning-rate",
            "0.05",
            "--out",
            f"adapters/{family}-{task}-{method}",
        ]
        lavra("finetune", f"families/{family}", "--task", task, "--data", f"data/{task}.jsonl", *small)


def quantized() -> None:
    for to in ("int8", "int8-dynamic", "int4"):
        for layout in ("native", "interchange"):
            where = ["--text", "data/heldout.txt", "--allow-miss", "--out", f"quantized/{to}-{layout}"]
            lavra("compress", "families/llama-wide", "--to", to, "--layout", layout, *where)
    lavra(
        "compress",
        "families/bert",
        "--to",
        "int8",
        "--text",
        "data/heldout.txt",
        "--allow-miss",
        "--out",
        "quantized/bert-int8",
    )
    lavra(
        "compress",
        "families/t5",
        "--to",
        "int4",
        "--text",
        "data/heldout.txt",
        "--allow-miss",
        "--out",
        "quantized/t5-int4",
    )


def stopped(run, *arguments) -> None:
    try:
        run(*arguments, kill_at("train", 7))
    except KilledError:
        return
    raise AssertionError("it ran to its end")


def stopped_runs() -> None:
    """Killed in step 7; the checkpoint is from step 6."""
    small = {"steps": 10, "batch_size": 8, "save_every": 3, "learning_rate": 0.01}
    whole = FinetuneConfig(task=Task.CLASSIFY, data=Path("data/classify.jsonl"), **small)
    stopped(finetune, prepare(whole, Path("heads/bert-classify")), Path("stopped/finetune"))
    lora = FinetuneConfig(
        task=Task.CHAT, data=Path("data/chat.jsonl"), method=Method.LORA, rank=2, dropout=0.1, **small
    )
    stopped(finetune, prepare(lora, Path("families/llama")), Path("stopped/finetune-lora"))
    distilling = DistillRunConfig(task=Task.CLASSIFY, data=Path("data/classify.jsonl"), hidden=1.0, **small)
    stopped(distill_folder, prepare_distilling(distilling, Path("heads/bert-classify")), Path("stopped/distill"))


def caches() -> None:
    small = ["--steps", 4, "--batch-size", 8, "--learning-rate", 0.01]
    for name, teacher, task in (("head", "heads/bert-classify", "classify"), ("text", "families/gpt2", "text2text")):
        out, known = f"students/{name}", ["--task", task, "--data", f"data/{task}.jsonl", "--cache", f"caches/{name}"]
        lavra("distill", teacher, *known, *small, "--cache-top-k", 8, "--out", out)


def answers() -> None:
    """A teacher's answers, and the file of a run that stopped after eight."""

    def progress(step, done, *_):
        if done >= 8:
            raise KilledError

    @contextmanager
    def meter(*_):
        yield progress

    lavra(*ANSWERS.split(), "--out", "answers/whole.jsonl")
    with mock.patch("lavra.cli.answers.meter", meter), suppress(KilledError):
        lavra(*ANSWERS.split(), "--out", "answers/stopped.jsonl")


def prompt() -> None:
    Path("prompts").mkdir()
    Path("prompts/sentiment.yaml").write_text(PROMPT, encoding="utf-8")


def workspace(family: str) -> None:
    """Every stage of `up` with a fixed number of steps; killed once in training, so that a checkpoint is left."""
    config, here = UpConfig(text=Path("text"), **up_settings(family)), Workspace.open("workspace")
    with (
        mock.patch.object(planning, "_MARGIN", Counted()),
        mock.patch.object(planning, "_SECONDS_BETWEEN_SAVES", 0),
        mock.patch.object(planning, "bf16_pays", return_value=False),
        mock.patch.object(Allowance, "choose", return_value=ChosenSteps(steps=4, measured=8)),
    ):
        try:
            run_up(config, here, kill_at("train", 7))
        except KilledError:
            (scratch,) = (path for path in here.runs.glob("pretrain-*") if list(path.glob("checkpoints/step-*")))
            if family == "llama":
                shutil.copytree(scratch, Path("stopped/pretrain") / scratch.name)
        run_up(config, here, quiet)


def made(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.chdir(folder)
    data()
    text()
    for family in FAMILIES:
        base(family)
    base("llama", "llama-wide", 32)  # interchange folders keep whole groups of 32
    heads()
    adapters()
    quantized()
    stopped_runs()
    caches()
    answers()
    prompt()
    for family in ("llama", "bert"):
        workspace(family)
    sweep()
    numbers_and_identities()


def sweep() -> None:
    """Keep the last checkpoint of each run, and delete locks and reports."""
    for folder in Path("stopped").rglob("checkpoints"):
        for older in sorted(folder.iterdir())[:-1]:
            shutil.rmtree(older)
    for path in (*Path().rglob(".lock"), *Path().rglob("report*.html")):
        path.unlink()


def numbers_and_identities() -> None:
    Path("machine.json").write_text(json.dumps(machine(), indent=2) + "\n", encoding="utf-8")
    record(Path())
    found = {"settings": {name: settings_hashed(name) for name in COMMANDS}, **identities(Path("text"))}
    found |= {"exports": {to: export_hash(to) for to in EXPORTS}, "prompt": prompt_record(Path())}
    Path("identities.json").write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    shutil.rmtree("made")


if __name__ == "__main__":
    made(Path(sys.argv[1]))
