"""The arguments of `lavra doctor`."""

from __future__ import annotations

import argparse

from lavra.base.config import add_flags
from lavra.base.convert import setting_names
from lavra.base.errors import ConfigError
from lavra.cli.flags import add_json, add_settings, add_workspace, read_settings
from lavra.pipeline.settings import UpConfig
from lavra.tasks.learning.settings import FinetuneConfig

HELP = """Check a run before it is made. Ends with status 1 when a check fails.

Without MODEL, a run of `lavra up`, whose settings it takes: the machine, the tokenizer, memory and time, and that
packing, accumulation and resuming do what they promise, on a small copy of the very model that would be trained.

With MODEL, a run of `lavra finetune`, whose settings it takes, defaults included (`lavra finetune --help`): the data
(what is left out or cut, rare labels, what is in both halves), rows read back from their tokens (labels, tags, answers,
what is learnt of conversations), the loss before training, memory and time, and that padding, packing, accumulation,
gradients and resuming do what they promise, on the model and the data themselves. Nothing is kept of it."""

EXAMPLES = """
lavra doctor
lavra doctor --text ~/texts --budget 30m
lavra doctor --family t5 --json
lavra doctor minilm-folder --task classify --data reviews.csv
lavra doctor lavra-workspace/models/mine --task chat --data chats.jsonl --method lora --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments: the settings of both verbs, each flag once."""
    parser.add_argument("model", nargs="?", help="folder or hub id of the model that is to be finetuned")
    add_settings(parser, UpConfig)
    finetuning = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    add_flags(finetuning, FinetuneConfig, exclude=setting_names(UpConfig))
    for group in finetuning._action_groups:
        group.title = f"{group.title}, with MODEL"
    parser._add_container_actions(finetuning)
    add_workspace(parser)
    add_json(parser)
    parser.set_defaults(settings_reader=read_either)


def read_either(args: argparse.Namespace) -> UpConfig | FinetuneConfig:
    """The settings of the checked run.

    Raises:
        ConfigError: a setting belongs to the other kind of run, or does not fit.
    """
    if args.model is None:
        _refuse(args, UpConfig, "is a setting of `lavra finetune`: name the model first, as `lavra doctor MODEL`")
        return read_settings(UpConfig, args)
    _refuse(args, FinetuneConfig, "is a setting of `lavra up`: leave it out, or leave MODEL out")
    return read_settings(FinetuneConfig, args)


def _refuse(args: argparse.Namespace, cls: type, why: str) -> None:
    """Raise an error for settings that the run does not use, instead of ignoring them."""
    others = {*setting_names(UpConfig), *setting_names(FinetuneConfig)} - {*setting_names(cls)}
    for name in vars(args):
        if name.partition(".")[0] in others:
            raise ConfigError(f"--{name.replace('_', '-')} {why}")
