"""`lavra compress`: a smaller model with a card that says what it cost."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lavra.api.cache_card import measure_cache
from lavra.api.card_runner import open_card_runner
from lavra.api.find import find_folder
from lavra.api.load import load
from lavra.base.errors import InputError
from lavra.base.files import folder_bytes
from lavra.base.names import ModelNames
from lavra.base.ports import LanguageModel
from lavra.base.types import Document
from lavra.base.units import format_size
from lavra.base.workspace import Workspace
from lavra.cli.activity import activity
from lavra.cli.console import Unit, meter, print_json
from lavra.cli.flags import (
    read_destination,
    read_settings,
    read_workspace,
)
from lavra.cli.next_step import after_writing, command
from lavra.compression.card import QualityCard
from lavra.compression.config import TUNABLE, CompressConfig, Form
from lavra.compression.folder import Inputs, compress_folder
from lavra.compression.onnx_folder import export_onnx_folder
from lavra.compression.texts import Texts, corpus_texts, heldout_texts, named_texts
from lavra.model.config import Kind
from lavra.model.config_files import load_config
from lavra.pipeline.beginning import choose_beginning


def run(args: argparse.Namespace) -> int:
    """Compress, then show the card."""
    config = read_settings(CompressConfig, args)
    workspace = read_workspace(args)
    source = find_folder(args.model, workspace=workspace, whole=True)
    name = f"{ModelNames(workspace).name_of(source)}-{config.to.replace(':', '-')}"
    kept_in = "runs" if config.target.form is Form.CACHE else "models"  # a card alone is no model
    out = read_destination(args, workspace, kept_in, default_name=name)
    if config.target.form is Form.ONNX:
        files = [str(path.relative_to(out)) for path in export_onnx_folder(source, out)]
        if args.json:
            print_json({"path": str(out), "files": files})
        else:
            print(f"saved {out} ({format_size(folder_bytes(out))}): {', '.join(files)}")
        return 0
    workspaces = [workspace, Workspace.open(source.resolve().parent.parent)]
    activity.begin("reading the held-out text")
    heldout = heldout_texts(source, config.text, workspaces, config.heldout_tokens)
    with meter(Unit.THINGS) as progress:
        if config.target.form is Form.CACHE:
            card = measure_cache(source, out, config, heldout, progress)
        else:
            calibration = _calibration(source, config, workspaces)
            inputs = Inputs(heldout=heldout, calibration=calibration, opener=_open, runner=open_card_runner)
            card = compress_folder(source, out, config, inputs, progress)
    if args.json:
        print_json({"path": str(out), "card": card.as_mapping()})
    else:
        _show(card, out)
        if config.target.form is not Form.GGUF:  # that one is for other programs
            print(f"next     {_next(config, source, out, heldout)}")
    return 0


def _next(config: CompressConfig, source: Path, out: Path, heldout: Texts) -> str:
    """The smaller model goes on with what it was measured on; a cache is served with the model as it is."""
    if config.target.form is Form.CACHE:
        return command("serve", source, "--cache-type", config.to.removeprefix("kv-"))
    documents = (Document(id=heldout.name, text=text) for text in heldout.documents())
    return after_writing(out, choose_beginning(documents), writes=load_config(source).kind is not Kind.ENCODER)


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
    if card.reference:
        print(
            f"warning: the original had been rounded itself ({card.reference}): the figures say little of a model of "
            "full precision, and copying its blocks would have cost nothing"
        )
    if card.misses:
        print(f"misses its bars, which --allow-miss let pass: {'; '.join(card.misses)}")
    print(f"saved {out}")
