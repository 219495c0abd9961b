"""`lavra inspect-batch`: each token of a training batch, with its label and its weight in the loss."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import asdict

from lavra.cli.console import print_json
from lavra.cli.flags import read_settings, read_workspace
from lavra.data.pretraining.inspect import InspectedToken, Side, inspect_rows
from lavra.pipeline.objective import make_objective
from lavra.pipeline.settings import UpConfig
from lavra.pipeline.stage import run_stages
from lavra.pipeline.stages.prepare import open_tokens, prepare_stages
from lavra.tokens.tokenizer import Tokenizer
from lavra.verbs.meter import Unit, meter, stages_shown


def run(args: argparse.Namespace) -> int:
    """Prepare the missing data, make the batch, print it."""
    config = read_settings(UpConfig, args)
    with stages_shown(), meter(Unit.BYTES) as progress:
        results = run_stages(prepare_stages(config, progress), read_workspace(args))
    folders = {result.stage: result.folder for result in results}
    tokenizer = Tokenizer.load(folders["tokenizer"])
    batch = make_objective(
        config.kind,
        open_tokens(folders["tokens"], "train"),
        tokenizer,
        batch_size=max(1, args.rows),
        sequence_length=config.context,
        seed=config.seed,
        noise=config.noise,
    ).batches.batch(args.index)
    tokens = inspect_rows(batch, tokenizer)
    if args.json:
        print_json([_plain(token) for token in tokens])
    else:
        for line in _lines(tokens):
            print(line)
    return 0


def _plain(token: InspectedToken) -> dict[str, object]:
    return {**asdict(token), "side": token.side.value}


def _lines(tokens: Iterable[InspectedToken]) -> Iterator[str]:
    before: tuple[int, Side] | None = None
    for token in tokens:
        if (token.row, token.side) != before:
            before = token.row, token.side
            yield f"row {token.row}, {token.side.value}"
            yield f"{'position':>8} {'document':>8} {'weight':>6}  token -> label"
        label = f" -> {token.label!r}" if token.label else ""
        yield f"{token.position:>8} {token.segment:>8} {token.loss_weight:>6.0f}  {token.token!r}{label}"
