"""What `lavra serve` takes."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from lavra.api.cache_config import ServingCacheConfig
from lavra.cli.flags import add_json, add_settings
from lavra.engine.config import EngineConfig
from lavra.server.config import ServeConfig

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


@dataclass(frozen=True, kw_only=True)
class ServeSettings(ServeConfig, EngineConfig, ServingCacheConfig):
    """Settings of `lavra serve`: the server's, the engine's and the cache's.

    Attributes:
        key_file: file with one API key a line, and behind a space the groups whose documents it reads in an index
            (`KEY group,group`; `*` for all); LAVRA_API_KEYS, separated by commas, is read too.
        index: indexes that are served beside the models, each a model name of its own.
        answer_model: model that may write the indexes' answers, as `lavra ask --model` takes it; the first served one
            unless given, and `none` always quotes.
        adapter: adapters over the one model that is served, each a model name of its own.
        chat_template: how the one model that is served is talked to, instead of its own template: a Jinja file, or
            alpaca, chatml, gemma, lavra, llama-2, llama-3, mistral, phi-3, vicuna or zephyr.
        draft: folder of a smaller model with the same tokenizer, which guesses the next tokens.
        draft_tokens: tokens it guesses at once.
        dtype: float32, bfloat16 or float16; unless given what computes fastest here: float32 on a CPU, the
            checkpoint's own elsewhere.
        expand: hold compressed and half-precision weights in the form that computes fastest; --no-expand keeps
            them as they are stored, smaller and slower.
        device: cpu, cuda, cuda:1, ...; the best there is unless given.
    """

    key_file: Path | None = None
    index: tuple[str, ...] = ()
    answer_model: str | None = None
    adapter: tuple[str, ...] = ()
    chat_template: str | None = None
    draft: str | None = None
    draft_tokens: int = 4
    dtype: str | None = None
    device: str | None = None
    expand: bool = True

    def __post_init__(self) -> None:
        for part in (ServeConfig, EngineConfig, ServingCacheConfig):
            part.__post_init__(self)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Models by place, everything else by flag; keys never on the command line, where others can read them."""
    parser.add_argument(
        "models",
        nargs="*",
        metavar="[NAME[,NAME]=]MODEL",
        help="folder of a model, under a name of its own, and others that it answers to",
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
