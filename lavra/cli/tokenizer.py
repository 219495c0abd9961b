"""`lavra tokenizer`: train a tokenizer on a corpus, and measure it on held-out text."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from lavra.base.card import write_card
from lavra.base.config import to_mapping
from lavra.base.errors import InputError
from lavra.base.files import atomic_folder
from lavra.base.workspace import Workspace
from lavra.cli.console import print_json, print_rows
from lavra.cli.flags import (
    read_destination,
    read_settings,
    read_workspace,
)
from lavra.text.corpus import Corpus
from lavra.tokens.config import TokenizerConfig
from lavra.tokens.roundtrip import RoundTripReport, check_round_trip
from lavra.tokens.tokenizer import Tokenizer
from lavra.tokens.train import train_tokenizer
from lavra.verbs.meter import Meter, Unit, meter

NUM_TRIED = 200  # held-out documents


def run(args: argparse.Namespace) -> int:
    """Train the tokenizer, save it, measure it on held-out text, and print the measures."""
    config = read_settings(TokenizerConfig, args)
    workspace = read_workspace(args)
    corpus = Corpus.open(args.corpus or _newest_corpus(workspace))
    out = read_destination(args, workspace, "tokenizers", default_name=f"{corpus.path.resolve().name}-{config.kind}")
    with meter(Unit.BYTES) as progress:
        tokenizer = train_tokenizer(_texts(corpus, progress), config)
    trial = _try(tokenizer, corpus)
    _save(tokenizer, out, corpus, config, trial)
    if args.json:
        print_json({"path": str(out), "vocab_size": tokenizer.vocab_size, **trial.metrics})
    else:
        _show(tokenizer, out, trial)
    return 0


@dataclass(frozen=True, kw_only=True)
class _Trial:
    """The measures of a tokenizer on held-out text.

    Attributes:
        num_bytes: number of UTF-8 bytes of the text.
        num_tokens: number of tokens of the text.
        round_trip: the text decoded from the tokens.
    """

    num_bytes: int
    num_tokens: int
    round_trip: RoundTripReport

    @property
    def metrics(self) -> dict[str, float]:
        """The measures, for the card and for scripts."""
        return {
            "heldout_bytes": self.num_bytes,
            "heldout_tokens": self.num_tokens,
            "bytes_per_token": round(self.num_bytes / max(1, self.num_tokens), 4),
            "texts_changed": self.round_trip.num_changed,
            "unknown_tokens": self.round_trip.unknown_tokens,
        }


def _newest_corpus(workspace: Workspace) -> Path:
    corpora = workspace.artifacts("corpora")
    if not corpora:
        raise InputError(f"there is no corpus in {workspace.path}; make one with `lavra corpus FOLDER`")
    return corpora[0]


def _texts(corpus: Corpus, progress: Meter) -> Iterator[str]:
    total, done = corpus.num_bytes("train"), 0
    for document in corpus.documents("train"):
        yield document.text
        done += len(document.text.encode())
        progress("read", done, total)


def _try(tokenizer: Tokenizer, corpus: Corpus) -> _Trial:
    texts = [document.text for document in islice(corpus.documents("heldout"), NUM_TRIED)]
    return _Trial(
        num_bytes=sum(len(text.encode()) for text in texts),
        num_tokens=sum(map(len, tokenizer.encode_batch(texts, parse_special=False))),
        round_trip=check_round_trip(tokenizer, texts),
    )


def _save(tokenizer: Tokenizer, out: Path, corpus: Corpus, config: TokenizerConfig, trial: _Trial) -> None:
    with atomic_folder(out) as folder:
        tokenizer.save(folder)
        write_card(
            folder,
            kind="tokenizer",
            parents={"corpus": corpus.id},
            config=to_mapping(config),
            metrics=trial.metrics,
        )


def _round_trip(report: RoundTripReport) -> str:
    is_exact = report.num_exact == report.num_texts
    return f"all {report.num_texts} documents come back exactly" if is_exact else str(report)


def _show(tokenizer: Tokenizer, out: Path, trial: _Trial) -> None:
    print_rows(
        [
            ("vocabulary", f"{tokenizer.vocab_size:,} tokens"),
            ("held-out text", f"{trial.num_bytes:,} bytes in {trial.num_tokens:,} tokens"),
            ("bytes per token", f"{trial.metrics['bytes_per_token']:.3f}"),
            ("round trip", _round_trip(trial.round_trip)),
        ]
    )
    for example in trial.round_trip.examples:
        print(f"  changed: {example}")
    print(f"\nsaved {out}")
