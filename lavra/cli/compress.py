"""`lavra compress`: make a smaller model, with a card that records the loss in quality."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lavra.api.find import find_folder
from lavra.base.files import folder_bytes
from lavra.base.shell import command
from lavra.base.types import Document
from lavra.base.units import format_size
from lavra.cli.console import print_json
from lavra.cli.flags import (
    read_destination,
    read_settings,
    read_workspace,
)
from lavra.cli.next_step import after_writing
from lavra.compression.card import QualityCard
from lavra.compression.config import CompressConfig, Form
from lavra.compression.texts import Texts
from lavra.model.config import Kind
from lavra.model.config_files import load_config
from lavra.pipeline.beginning import choose_beginning
from lavra.verbs.compress import CompressedModel, compress_into, usual_place
from lavra.verbs.meter import Unit, meter


def run(args: argparse.Namespace) -> int:
    """Compress, then show the card."""
    config = read_settings(CompressConfig, args)
    workspace = read_workspace(args)
    source = find_folder(args.model, workspace=workspace, whole=True)
    kind, usual = usual_place(config, source, workspace)
    out = read_destination(args, workspace, kind, default_name=usual)
    with meter(Unit.THINGS) as progress:
        made = compress_into(source, out, config, workspace, progress)
    if made.card is None or made.heldout is None:
        _show_files(made, as_json=args.json)
    elif args.json:
        print_json({"path": str(out), "card": made.card.as_mapping()})
    else:
        _show(made.card, out)
        if config.target.form is not Form.GGUF:  # an ONNX folder is for other programs
            print(f"next     {_next(config, source, out, made.heldout)}")
    return 0


def _show_files(made: CompressedModel, *, as_json: bool) -> None:
    if as_json:
        print_json({"path": str(made.folder), "files": list(made.files)})
    else:
        print(f"saved {made.folder} ({format_size(folder_bytes(made.folder))}): {', '.join(made.files)}")


def _next(config: CompressConfig, source: Path, out: Path, heldout: Texts) -> str:
    """The next command: measure the smaller model on the same text, or serve the same model with the smaller cache."""
    if config.target.form is Form.CACHE:
        return command("serve", source, "--cache-type", config.to.removeprefix("kv-"))
    documents = (Document(id=heldout.name, text=text) for text in heldout.documents())
    return after_writing(out, choose_beginning(documents), writes=load_config(source).kind is not Kind.ENCODER)


def _show(card: QualityCard, out: Path) -> None:
    table = Table("", "before", "after", "bar", box=None, pad_edge=False)
    for row in card.rows():
        table.add_row(*row)
    Console().print(table)
    print(f"\nmeasured on {card.comparison.num_tokens:,} positions of {card.text}; calibration: {card.calibration}")
    if card.reference:
        print(
            f"warning: the original had been rounded itself ({card.reference}): the figures say little of a model of "
            "full precision, and copying its blocks would have cost nothing"
        )
    if card.misses:
        print(f"misses its bars, which --allow-miss let pass: {'; '.join(card.misses)}")
    print(f"saved {out}")
