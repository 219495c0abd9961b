"""The arguments of `lavra compress`."""

from __future__ import annotations

import argparse

from lavra.cli.flags import (
    add_destination,
    add_json,
    add_settings,
    add_workspace,
)
from lavra.compression.config import CompressConfig

HELP = """Make a model smaller, measure what that cost on held-out text, and refuse to save what costs too much.

A model that lavra trained knows its held-out and its training text; for others name some with --text, and for int4 and
gguf:q4_0 more with --calibration. The quality card is quality.json in the new folder; kv-int8 and kv-bf16 write
only that, for the model served with --cache-type int8 or bf16."""

EXAMPLES = """
lavra compress lavra-workspace/models/mine --to int4
lavra compress stories --to int4 --text heldout.txt --calibration more.txt --tune-steps 200 --out stories-int4
lavra compress llama-folder --to int8 --layout interchange --text heldout.txt --out llama-int8
lavra compress lavra-workspace/models/mine --to gguf:q8_0 --out mine-gguf
lavra compress minilm-folder --to onnx --out minilm-onnx
lavra compress lavra-workspace/models/mine --to kv-int8
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("model", help="folder, GGUF file or name of an unquantized model, or its id on the hub")
    add_destination(parser, "model")
    add_workspace(parser)
    add_json(parser)
    add_settings(parser, CompressConfig)
