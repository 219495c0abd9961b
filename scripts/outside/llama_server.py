"""Translate llama-server's options and start `lavra serve`; llama.cpp's tests start this script as their server.

LAVRA_STORIES, LAVRA_ENCODER and LAVRA_RANKER name the folders of their model of stories, encoder and ranker.  Some
defaults are options of llama-server and files of lavra's model folder (temperature, tokens to write, length of the
context).  So each server gets a folder of links with two files of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

# Templates with different names: llama-server's name and ours.
TEMPLATES = {"llama2": "llama-2", "llama3": "llama-3", "mistral-v1": "mistral", "phi3": "phi-3"}
# Model names in the tests: llama-server accepts any name, lavra only the names of its models.
ASKED = (
    "codellama70b",
    "davinci-002",
    "gpt-3.5-turbo",
    "gpt-3.5-turbo-instruct",
    "gpt-4.1",
    "test",
    "text-embedding-3-small",
)
OURS = {"alpaca", "chatml", "gemma", "llama-2", "llama-3", "mistral", "phi-3", "vicuna", "zephyr"}


def main() -> None:
    """Replace this process by `lavra serve`."""
    args, others = arguments().parse_known_args()
    print(f"not translated: {' '.join(others)}", file=sys.stderr)
    if args.api_key:
        os.environ["LAVRA_API_KEYS"] = args.api_key
    command = [sys.executable, "-m", "lavra", "serve", f"{','.join(names(args))}={folder(args)}"]
    command += ["--host", args.host, "--port", str(args.port), "--max-running", str(args.parallel)]
    if args.cors_origins:
        command += ["--cors-origins", *args.cors_origins.split(",")]
    if args.chat_template_file or args.chat_template:
        command += ["--chat-template", args.chat_template_file or template(args.chat_template)]
    os.execv(sys.executable, command)


def arguments() -> argparse.ArgumentParser:
    """The llama-server options that lavra has, as lavra's options."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("--host", "--api-key", "--alias", "--cors-origins", "--chat-template", "--chat-template-file"):
        parser.add_argument(name)
    for name in ("--port", "--ctx-size", "--n-predict"):
        parser.add_argument(name, type=int)
    parser.add_argument("--parallel", type=int, default=1)
    parser.add_argument("--temp", type=float)
    for name in ("--embedding", "--reranking", "--kv-unified"):
        parser.add_argument(name, action="store_true")
    return parser


def names(args: argparse.Namespace) -> list[str]:
    """The model's names; of several, the alphabetically first counts, as with llama-server."""
    return list(dict.fromkeys([*sorted((args.alias or "served").split(",")), *ASKED]))


def folder(args: argparse.Namespace) -> Path:
    """A folder of links to the model's files, with llama-server's defaults."""
    kind = "RANKER" if args.reranking else "ENCODER" if args.embedding else "STORIES"
    source = Path(os.environ[f"LAVRA_{kind}"])
    made = Path(tempfile.mkdtemp())
    for file in source.iterdir():
        if file.name not in ("config.json", "generation_config.json"):
            (made / file.name).symlink_to(file.resolve())
    write(made / "config.json", with_context(read(source / "config.json"), args))
    if kind == "STORIES":
        usual = {"temperature": args.temp, "max_new_tokens": args.n_predict, "do_sample": True}
        given = {name: value for name, value in usual.items() if value not in (None, -1)}
        write(made / "generation_config.json", read(source / "generation_config.json") | given)
    return made


def with_context(config: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """The model's configuration with the context of one slot, which may be longer than the trained one."""
    if args.ctx_size is None or args.embedding or args.reranking:
        return config
    return config | {"max_position_embeddings": args.ctx_size if args.kv_unified else args.ctx_size // args.parallel}


def template(given: str) -> str:
    """The name of a chat template in lavra, or a file with the given template text."""
    name = TEMPLATES.get(given, given)
    if name in OURS:
        return name
    file = Path(tempfile.mkdtemp()) / "template.jinja"
    file.write_text(given, encoding="utf-8")
    return str(file)


def read(file: Path) -> dict[str, Any]:
    """The JSON object in a file; empty where the file does not exist."""
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}


def write(file: Path, value: dict[str, Any]) -> None:
    """Write an object as JSON."""
    file.write_text(json.dumps(value), encoding="utf-8")


if __name__ == "__main__":
    main()
