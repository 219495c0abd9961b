"""The arguments of `lavra serve`."""

from __future__ import annotations

import argparse

from lavra.cli.flags import add_json, add_settings
from lavra.verbs.settings.serve import ServeSettings

HELP = """Serve models over HTTP: OpenAI's endpoints, tokens and scores, Prometheus metrics, and a chat page at /.

--index adds an index that `lavra index` made: /v1/search, answers with citations under its name on
/v1/chat/completions, and a search page at /search. It needs no model.

Listens on this machine only unless --host says otherwise. Stops with Ctrl-C, after the running requests."""

EXAMPLES = """
lavra serve lavra-workspace/models/mine
lavra serve chat=models/mine embed=models/minilm --port 8080
LAVRA_API_KEYS=secret lavra serve models/mine --host 0.0.0.0
lavra serve models/base --chat-template chatml
lavra serve models/mine --traces http://127.0.0.1:4318
lavra serve --index docs
lavra serve --index handbook=indexes/docs SmolLM2-135M-Instruct.gguf --key-file keys.txt
lavra serve models/mine --adapter poems=adapters/poems --adapter letters=adapters/letters
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add models by place, everything else by flag; keys never on the command line, where others can read them."""
    parser.add_argument(
        "models",
        nargs="*",
        metavar="[NAME[,NAME]=]MODEL",
        help="folder of a model; NAME= before it names it, and NAME,OTHER= gives it several names",
    )
    add_json(parser)
    parser.add_argument(
        "--index",
        action="append",
        default=argparse.SUPPRESS,
        metavar="[NAME=]INDEX",
        help="an index by name or folder, which chat requests choose by its name; may be given several times",
    )
    parser.add_argument(
        "--adapter",
        action="append",
        default=argparse.SUPPRESS,
        metavar="NAME=FOLDER",
        help="an adapter over the model, which requests choose by its name; may be given several times",
    )
    add_settings(parser, ServeSettings, exclude=("api_keys", "key_groups", "adapter", "index"))
