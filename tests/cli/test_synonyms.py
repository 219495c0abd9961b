"""Other programs' words for flags lead to lavra's flag, in every verb."""

from __future__ import annotations

import importlib

import pytest

from lavra.cli.main import EXIT_ERROR, VERBS, main, verb_parser
from lavra.cli.synonyms import SYNONYMS, is_flag, meant

PARSERS = {name: verb_parser(name, importlib.import_module(verb.module)) for name, verb in VERBS.items()}
FLAGS = {name: set(parser._option_string_actions) for name, parser in PARSERS.items()}
EVERY_FLAG = set.union(*FLAGS.values())
WORDS = [word for one in SYNONYMS for word in one.words.split()]


def test_every_flag_of_the_table_is_a_flag_of_some_verb() -> None:
    targets = {flag for one in SYNONYMS for flag in one.flags.split()}
    assert not targets - EVERY_FLAG


def test_a_word_stands_once() -> None:
    assert len(WORDS) == len(set(WORDS))


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("up --lr 1", "here it is --learning-rate"),
        ("finetune --learning_rate 1", "write --learning-rate"),
        ("finetune --per_device_train_batch_size 8", "here it is --batch-size"),
        ("up --batch-size 8", "here it is --step-tokens"),
        ("serve --batch-size 8", "here it is --max-running"),
        ("up --epochs 3", "here it is --budget"),
        ("finetune --num-train-epochs 3", "here it is --epochs"),
        ("finetune --output_dir x", "here it is --out"),
        ("up --output x", "here it is --workspace"),
        ("generate -o x", "it prints to standard output: write `> FILE`"),
        ("generate --model x", "the model is given by place, as the first argument"),
        ("generate --max-new-tokens 3", "here it is --max-tokens"),
        ("up --max-length 3", "here it is --sequence-length"),
        ("finetune --max_seq_length 3", "here it is --max-tokens"),
        ("generate --max-length 3", "here it is --max-tokens"),
        ("generate --fp16", "here it is --dtype"),
        ("finetune --bf16", "here it is --precision"),
        ("up --fp16", "a model computes in the type it is stored in"),
        ("finetune --device cuda", "training runs on a GPU where torch finds one"),
        ("generate --gpu", "here it is --device"),
        ("compress --quantize int8", "here it is --to"),
        ("serve --load-in-8bit", "`lavra compress MODEL --to int8`"),
        ("up --num-gpus 2", "here it is --parallel"),
        ("serve --tensor-parallel-size 2", "one process computes on one device"),
        ("finetune --lora_r 8", "here it is --rank"),
        ("finetune --no-cuda", "CUDA_VISIBLE_DEVICES"),
        ("finetune --resume", "the same command again goes on from the last checkpoint"),
        ("chat --temp 1", "here it is --temperature"),
        ("corpus --input x", "what is read is given by place"),
        ("distill --zzzzzz", "`lavra distill --help` lists the flags"),
    ],
)
def test_common_synonyms_lead_to_the_flag(command: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = command.split()
    assert main(arguments) == EXIT_ERROR
    said = capsys.readouterr().err
    assert said.startswith(f"lavra: error: unknown flag {arguments[1]}; ")
    assert says in said


def test_flags_that_a_verb_has_are_never_explained_away() -> None:
    for flags in FLAGS.values():
        assert not [flag for flag in flags if is_flag(flag, flags)]
    assert not is_flag("-1", set())
    assert not is_flag("-", set())
    assert meant("--out", {"--out"}) == "write --out"
