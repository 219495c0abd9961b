"""`lavra compress`: a smaller model with a card that says what it cost."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lavra.api.cache_card import measure_cache
from lavra.api.load import find_folder, load
from lavra.base.errors import InputError
from lavra.base.files import folder_bytes
from lavra.base.names import ModelNames
from lavra.base.ports import LanguageModel
from lavra.base.units import format_size
from lavra.base.workspace import Workspace
from lavra.cli.console import Unit, meter, print_json
from lavra.cli.flags import (
    add_destination,
    add_json,
    add_settings,
    add_workspace,
    read_destination,
    read_settings,
    read_workspace,
)
from lavra.compression.card import QualityCard
from lavra.compression.config import TUNABLE, CompressConfig, Form
from lavra.compression.folder import Inputs, compress_folder
from lavra.compression.onnx_folder import export_onnx_folder
from lavra.compression.texts import Texts, corpus_texts, heldout_texts, named_texts

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
    """The verb's arguments."""
    parser.add_argument("model", help="folder of an unquantized model, or its id on the Hugging Face hub")
    add_destination(parser, "model")
    add_workspace(parser)
    add_json(parser)
    add_settings(parser, CompressConfig)


def run(args: argparse.Namespace) -> int:
    """Compress, then show the card."""
    config = read_settings(CompressConfig, args)
    workspace = read_workspace(args)
    source = find_folder(args.model, workspace=workspace, whole=True)
    name = f"{ModelNames(workspace).name_of(source)}-{config.to.replace(':', '-')}"
    kept_in = "runs" if config.target.form is Form.CACHE else "models"  # a card alone is no model
    out = read_destination(args, workspace, kept_in, default_name=name)
    if config.target.form is Form.ONNX:
        files = export_onnx_folder(source, out)
        if args.json:
            print_json({"path": str(out), "files": [path.name for path in files]})
        else:
            print(f"saved {out} ({format_size(folder_bytes(out))}): {', '.join(path.name for path in files)}")
        return 0
    workspaces = [workspace, Workspace.open(source.resolve().parent.parent)]
    heldout = heldout_texts(source, config.text, workspaces, config.heldout_tokens)
    with meter(Unit.THINGS) as progress:
        if config.target.form is Form.CACHE:
            card = measure_cache(source, out, config, heldout, progress)
        else:
            calibration = _calibration(source, config, workspaces)
            inputs = Inputs(heldout=heldout, calibration=calibration, opener=_open)
            card = compress_folder(source, out, config, inputs, progress)
    if args.json:
        print_json({"path": str(out), "card": card.as_mapping()})
    else:
        _show(card, out)
    return 0


def _open(folder: Path) -> LanguageModel:
    return load(folder, device="cpu").port


def _calibration(source: Path, config: CompressConfig, workspaces: list[Workspace]) -> Texts | None:
    if config.calibration is not None:
        if config.text is not None and config.calibration.resolve() == config.text.resolve():
            raise InputError(f"{config.text} is both --text and --calibration; what is measured must not be looked at")
        return named_texts(config.calibration)
    if config.to not in TUNABLE:  # eight bits hold their bars without
        return None
    return corpus_texts(source, workspaces, "train", config.calibration_tokens)


def _show(card: QualityCard, out: Path) -> None:
    table = Table("", "before", "after", "bar", box=None, pad_edge=False)
    for row in card.rows():
        table.add_row(*row)
    Console().print(table)
    print(f"\nmeasured on {card.comparison.num_tokens:,} positions of {card.text}; calibration: {card.calibration}")
    if card.misses:
        print(f"misses its bars, which --allow-miss let pass: {'; '.join(card.misses)}")
    print(f"saved {out}")
