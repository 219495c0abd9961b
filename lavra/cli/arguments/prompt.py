"""The arguments of `lavra prompt`."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

from lavra.cli.flags import add_json, add_settings
from lavra.prompts.answer import Answering
from lavra.prompts.calibrate import LabelScoring
from lavra.prompts.cost import Price
from lavra.prompts.shots import ShotConfig

HELP = """Prompts as files: `render` fills one in, `inspect` says where its tokens go, `compare` holds several against a
labelled set (JSON lines: the variables by name, and `expected` or `label`), `test` puts its own examples to a model and
ends with status 1 when one fails."""

EXAMPLES = """
lavra prompt render sentiment.yaml --var review="A fine film." --shots 4 --select balanced
lavra prompt inspect sentiment.yaml --model lavra-workspace/models/mine --shots 8 --price.input 0.15 --price.output 0.6
lavra prompt compare v1.yaml v2.yaml --data reviews.jsonl --model gpt2-folder --shots 4 --calibrate
lavra prompt test sentiment.yaml --model gpt2-folder --shots 4 --select nearest --json
"""


@dataclass(frozen=True, kw_only=True)
class PromptSettings(ShotConfig):
    """Settings of `lavra prompt`, beside those of shots; a setting that the action does not use is refused.

    Attributes:
        var: values of variables, as name=value; repeat the flag for each.
        pool: choose shots from this file of JSON lines instead of the prompt's own examples.
        model: folder, GGUF file or name of the model, or its id on the Hugging Face hub.
        context: most tokens of prompt and answer; the model's own unless given.
        strict: a shot that does not fit is an error.
        data: the labelled set, one JSON object a line.
        answer: write, or score (choose the likeliest label); score where the prompt has labels unless given.
        scoring: score of a label: sum (its log-probability), mean (that of a token) or pmi (less that after a domain).
        calibrate: divide by the probabilities that the labels have for inputs without content.
        answer_seed: seed of drawn answers, where the prompt has a temperature.
        price: price of tokens.
        dtype: float32, bfloat16 or float16; float32 on a CPU and the checkpoint's own elsewhere unless given.
        device: cpu, cuda, cuda:1, ...; the best there is unless given.
    """

    var: tuple[str, ...] = ()
    pool: Path | None = None
    model: str | None = None
    context: int | None = None
    strict: bool = False
    data: Path | None = None
    answer: Answering | None = None
    scoring: LabelScoring = LabelScoring.SUM
    calibrate: bool = False
    answer_seed: int = 0
    price: Price = field(default_factory=Price)
    dtype: str | None = None
    device: str | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the action and the files by place, everything else by flag."""
    parser.add_argument("action", help="render, inspect, compare or test")
    parser.add_argument("files", nargs="+", metavar="FILE", help="a prompt, as YAML; for compare several")
    parser.add_argument(
        "--var", action="append", default=argparse.SUPPRESS, metavar="NAME=VALUE", help="a variable; repeat it for each"
    )
    add_json(parser)
    add_settings(parser, PromptSettings, exclude=("var",))
