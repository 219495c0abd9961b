"""Memory and time that `lavra doctor` estimates before training, beside the measured ones: within 20 %.

Five configurations: decoders of two sizes, an encoder and an encoder-decoder, compiled or not, with and without
activation checkpointing.  Each is trained in a separate process, whose peak resident memory the system reports.  The
time is estimated here from the first few steps, as the plan does, and measured over the following steps.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from corpus_memory import peak_gb
from lavra_side import own_choice
from result import Result, print_table
from stdlib_tokens import prepare

from lavra.data.pretraining.dataset import TokenDataset, write_tokens
from lavra.model.build import build_model
from lavra.model.families import table as families
from lavra.model.families.table import preset
from lavra.pipeline.objective import make_objective
from lavra.text.corpus import Corpus
from lavra.tokens.config import TokenizerConfig
from lavra.tokens.tokenizer import Tokenizer
from lavra.tokens.train import train_tokenizer
from lavra.train.config import TrainConfig
from lavra.train.estimate import training_memory
from lavra.train.hooks import CallbackHook
from lavra.train.loop import train

BAR = 1.2  # estimated / measured, or measured / estimated
TRIAL_STEPS = 4  # as many as lavra's plan times
VOCAB_SIZE = 4096


@dataclass(frozen=True, kw_only=True)
class Case:
    """A measured configuration.

    Attributes:
        family: family of the model.
        hidden_size: D.
        num_layers: L.
        rows: rows in a batch.
        sequence_length: T.
        compile: `on` or `off`.
        checkpointing: whether activations are recomputed.
    """

    family: str
    hidden_size: int
    num_layers: int
    rows: int
    sequence_length: int
    compile: str = "off"
    checkpointing: bool = False


CASES: Mapping[str, Case] = {
    "llama 128x4": Case(family="llama", hidden_size=128, num_layers=4, rows=16, sequence_length=256, compile="on"),
    "llama 384x6": Case(family="llama", hidden_size=384, num_layers=6, rows=8, sequence_length=512, compile="on"),
    "gpt2 384x6 checkpointed": Case(
        family="gpt2", hidden_size=384, num_layers=6, rows=8, sequence_length=512, checkpointing=True
    ),
    "bert 256x6": Case(family="bert", hidden_size=256, num_layers=6, rows=16, sequence_length=256, compile="on"),
    "t5 256x4": Case(family="t5", hidden_size=256, num_layers=4, rows=16, sequence_length=256),
}
SMOKE = {"llama 128x4": replace(CASES["llama 128x4"], rows=8, compile="off")}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--smoke", action="store_true", help="the smallest configuration alone, uncompiled, on a little text"
    )
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--case", nargs=2, metavar=("CASE", "FOLDER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        print(json.dumps(measure(Case(**json.loads(args.case[0])), Path(args.case[1]))))
        return 0
    with tempfile.TemporaryDirectory() as name:
        cases = SMOKE if args.smoke else CASES
        figures = {case: run(settings, Path(name), small=args.smoke) for case, settings in cases.items()}
    show(figures)
    if args.json:
        print(as_result(figures).line())
    return 0


def run(case: Case, folder: Path, *, small: bool) -> dict[str, float]:
    """Measure one configuration: text and tokens are made here, training runs in a separate process."""
    prepare_family(folder / case.family, case.family, small=small)
    command = [sys.executable, __file__, "--case", json.dumps(asdict(case)), str(folder / case.family)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def prepare_family(folder: Path, family: str, *, small: bool) -> None:
    """Write tokens and tokenizer of a family, once."""
    if folder.exists():
        return
    prepare(folder, VOCAB_SIZE, small=small).save(folder / "tokenizer")
    if family not in ("bert", "t5"):
        return
    corpus = Corpus.open(folder / "corpus")
    texts = (document.text for document in corpus.documents("train"))
    tokenizer = train_tokenizer(texts, TokenizerConfig(kind=families.family(family).tokenizer, vocab_size=VOCAB_SIZE))
    tokenizer.save(folder / "tokenizer")
    write_tokens(folder / "train", corpus.documents("train"), tokenizer)


def measure(case: Case, folder: Path) -> dict[str, float]:
    """Estimate, train, compare; the process does nothing else."""
    tokenizer = Tokenizer.load(folder / "tokenizer")
    config = preset(
        case.family,
        vocab_size=VOCAB_SIZE,
        hidden_size=case.hidden_size,
        num_layers=case.num_layers,
        num_heads=case.hidden_size // 64,
        max_positions=case.sequence_length,
    )
    objective = make_objective(
        config.kind,
        TokenDataset.open(folder / "train"),
        tokenizer,
        batch_size=case.rows,
        sequence_length=case.sequence_length,
        seed=0,
    )
    settings = TrainConfig(
        num_steps=4 * TRIAL_STEPS,
        precision=own_choice(),
        compile=case.compile,  # type: ignore[arg-type]
        activation_checkpointing=case.checkpointing,
    )
    batch = objective.batches.batch(0)
    expected = training_memory(config, settings, batch, compiled=case.compile == "on")
    torch.manual_seed(0)
    times: list[float] = []
    hook = CallbackHook(lambda step, metrics: times.append(metrics["seconds"]))
    began = time.perf_counter()
    train(build_model(config), objective, settings, hooks=[hook])
    usual = statistics.median(times[1:TRIAL_STEPS])
    later = times[TRIAL_STEPS:]
    return {
        "estimated_gb": expected.total / 1e9,
        "measured_gb": peak_gb(),
        "memory_ratio": expected.total / 1e9 / peak_gb(),
        "estimated_seconds": usual * len(later),
        "measured_seconds": sum(later),
        "time_ratio": usual * len(later) / sum(later),
        "seconds": time.perf_counter() - began,
        **{f"{part}_gb": size / 1e9 for part, size in asdict(expected).items()},
    }


def show(figures: Mapping[str, Mapping[str, float]]) -> None:
    heading = ["", "memory said", "measured", "ratio", "time said", "measured", "ratio"]
    rows = [
        [
            name,
            f"{found['estimated_gb']:.2f} GB",
            f"{found['measured_gb']:.2f} GB",
            f"{found['memory_ratio']:.2f}",
            f"{found['estimated_seconds']:.1f} s",
            f"{found['measured_seconds']:.1f} s",
            f"{found['time_ratio']:.2f}",
        ]
        for name, found in figures.items()
    ]
    print_table([heading, *rows])


def as_result(figures: Mapping[str, Mapping[str, float]]) -> Result:
    """The ratio of the estimate that is furthest off, too high or too low."""
    off = {
        f"{name} {what}": max(found[f"{what}_ratio"], 1 / found[f"{what}_ratio"])
        for name, found in figures.items()
        for what in ("memory", "time")
    }
    worst = max(off, key=lambda name: off[name])
    return Result(
        claim=f"doctor's memory and time within 20 % of what training takes (worst of {len(off)}: {worst})",
        ours=round(off[worst], 4),
        peers={},
        ratio=round(off[worst], 4),
        bar=BAR,
        better="lower",
        holds=off[worst] <= BAR,
        packages=("torch",),
        details={"cases": {name: {k: round(v, 4) for k, v in found.items()} for name, found in figures.items()}},
    )


if __name__ == "__main__":
    sys.exit(main())
