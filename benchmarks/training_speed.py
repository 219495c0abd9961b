"""Training throughput beside the Hugging Face Trainer's: the same model, weights, data, optimizer and tokens per step.

A 13.8M-parameter LLaMA (d 384, 6 layers, 6 heads, vocabulary 8,192, T 256, batch 16) is trained by AdamW on packed rows
of the standard library's source.  lavra runs as `lavra pretrain` does without flags (bf16 where it is faster, compiled
where there is a compiler, documents separated by masks and positions); the Trainer has no document masks and runs in
its configurations that suit the machine, including its best and its default.  All take turns of a few steps, so that
all meet the same load of the machine, and seconds for each step are medians.  The same code compares losses on held-out
documents in float32.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from jobs import LavraJob, Rows, TrainerJob
from lavra_side import own_choice
from result import Result, print_table
from stdlib_tokens import prepare
from turns import Program, Timing, race

from lavra.base.device import matrix_peak
from lavra.data.pretraining.dataset import TokenDataset
from lavra.model.build import build_model
from lavra.model.checkpoint import load_checkpoint, save_checkpoint
from lavra.model.families.table import preset
from lavra.model.score import score_sequences
from lavra.model.transformer import Decoder, num_parameters
from lavra.tokens.tokenizer import Tokenizer
from lavra.train.config import OptimizerConfig, TrainConfig
from lavra.train.schedule import ScheduleConfig

BEST_BAR, DEFAULT_BAR, LOSS_BAR = 1.3, 3.5, 0.02
BATCH_SIZE, SEQUENCE_LENGTH, VOCAB_SIZE, HIDDEN_SIZE, NUM_LAYERS, NUM_HEADS = 16, 256, 8192, 384, 6, 6
OPTIMIZER = OptimizerConfig(kind="adamw", learning_rate=1e-3, weight_decay=0.1, beta1=0.9, beta2=0.95)
SCHEDULE = ScheduleConfig(kind="cosine", warmup=0.05, final=0.1)
SMOKE_BATCH_SIZE = 2
SPEED_STEPS = 40  # steps of configurations without compilation: only their speed is needed
STEPS_PER_TURN = 5
HELDOUT_TOKENS, SMOKE_HELDOUT_TOKENS = 40_000, 4_000

OURS, DEFAULT = "lavra", "Trainer"
Peers = Mapping[str, Mapping[str, Any]]
WITH_BF16: Peers = {
    DEFAULT: {"bf16": False, "compile": False},
    "Trainer bf16": {"bf16": True, "compile": False},
    "Trainer bf16 compile": {"bf16": True, "compile": True},
    "Trainer bf16 compile eager": {"bf16": True, "compile": True, "attention": "eager"},
}
# For processors where bf16 products are not faster, or a hundred times slower (AVX2 without more).
WITHOUT_BF16: Peers = {
    DEFAULT: {"bf16": False, "compile": False},
    "Trainer compile": {"bf16": False, "compile": True},
    "Trainer compile eager": {"bf16": False, "compile": True, "attention": "eager"},
}


@dataclass(frozen=True, kw_only=True)
class SideResult:
    """Results of one side.

    Attributes:
        step_tokens: tokens in a step.
        timing: times of its steps.
        loss: mean nats for each token of held-out documents; absent where training stopped early.
    """

    step_tokens: int
    timing: Timing
    loss: float | None

    @property
    def speed(self) -> float:
        """Tokens a second."""
        return self.step_tokens / self.timing.usual


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, help="optimizer steps (default 200; 8 with --smoke)")
    parser.add_argument(
        "--smoke", action="store_true", help="8 steps of 2 rows of a little text, both sides uncompiled"
    )
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    args = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    steps = args.steps or (8 if args.smoke else 200)
    peers = configurations(smoke=args.smoke)
    with tempfile.TemporaryDirectory() as name:
        finishes, peak = measure(Path(name), steps, peers, SMOKE_BATCH_SIZE if args.smoke else BATCH_SIZE)
    result = as_result(finishes, peak, steps)
    show(finishes, peak, result)
    if args.json:
        print(result.line())
    return 0


def configurations(*, smoke: bool) -> Peers:
    """The Trainer's configurations that suit this machine; for a small run, only the fastest uncompiled one."""
    known = WITH_BF16 if own_choice() == "bf16" else WITHOUT_BF16
    uncompiled = [name for name, settings in known.items() if not settings["compile"]]
    return {uncompiled[-1]: known[uncompiled[-1]]} if smoke else known


def measure(folder: Path, steps: int, peers: Peers, batch_size: int) -> tuple[dict[str, SideResult], float]:
    """Run every configuration; returns each side's results, and the machine's matrix peak in lavra's precision."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "inductor")  # compile times of a first run, for everyone
    tokenizer = prepare(folder, VOCAB_SIZE, small=batch_size == SMOKE_BATCH_SIZE)
    start = folder / "start"
    save_start(start, tokenizer)
    rows = Rows(tokens=folder / "train", batch_size=batch_size, sequence_length=SEQUENCE_LENGTH)
    dtype = torch.bfloat16 if own_choice() == "bf16" else torch.float32
    peak = matrix_peak(dtype)
    programs = {name: peer(settings, start, folder / name, rows, steps) for name, settings in peers.items()}
    uncompiled = not any(settings["compile"] for settings in peers.values())
    raced = race({**programs, OURS: ours(start, folder / OURS, rows, steps, "off" if uncompiled else "auto")})
    peak = max(peak, matrix_peak(dtype))
    heldout = TokenDataset.open(folder / "heldout")
    most = HELDOUT_TOKENS if batch_size == BATCH_SIZE else SMOKE_HELDOUT_TOKENS
    finishes = {
        name: SideResult(
            step_tokens=batch_size * SEQUENCE_LENGTH,
            timing=timing,
            loss=heldout_loss(folder / name, heldout, most) if len(timing.seconds) == steps else None,
        )
        for name, (timing, _) in raced.items()
    }
    return finishes, peak


def save_start(folder: Path, tokenizer: Tokenizer) -> None:
    """Write the initial weights, which every side loads."""
    torch.manual_seed(0)
    shape = {"hidden_size": HIDDEN_SIZE, "num_layers": NUM_LAYERS, "num_heads": NUM_HEADS}
    model = build_model(preset("llama", vocab_size=VOCAB_SIZE, max_positions=SEQUENCE_LENGTH, **shape))
    assert tokenizer.vocab_size <= VOCAB_SIZE
    print(f"LLaMA with {num_parameters(model):,} parameters")
    save_checkpoint(model, folder)


def ours(start: Path, out: Path, rows: Rows, steps: int, compile_: Literal["auto", "off"]) -> Program:
    """Our job without flags, but with the peer's optimizer."""
    config = TrainConfig(
        num_steps=steps, optimizer=OPTIMIZER, schedule=SCHEDULE, precision=own_choice(), compile=compile_
    )
    job = LavraJob(model=start, out=out, rows=rows, train=config)
    return Program(entry="lavra_side:train_job", job=job, steps_per_turn=STEPS_PER_TURN)


def peer(settings: Mapping[str, Any], start: Path, out: Path, rows: Rows, steps: int) -> Program:
    """Job of one configuration of the Trainer."""
    job = TrainerJob(
        model=start,
        out=out,
        rows=rows,
        num_steps=steps,
        stop_after=None if settings["compile"] else min(steps, SPEED_STEPS),
        optimizer=OPTIMIZER,
        schedule=SCHEDULE,
        **settings,
    )
    return Program(entry="trainer_side:train_job", job=job, steps_per_turn=STEPS_PER_TURN)


def heldout_loss(folder: Path, heldout: TokenDataset, most: int) -> float:
    """Mean nats for each token of held-out documents, read in windows of one row's length."""
    model, _ = load_checkpoint(folder, dtype=torch.float32)
    assert isinstance(model, Decoder)
    texts, left = [], most
    for index in range(heldout.num_documents):
        if left > 0:
            texts.append(torch.from_numpy(heldout.document(index).astype("int64"))[:left])
            left -= len(texts[-1])
    scored = score_sequences(model, texts, window=SEQUENCE_LENGTH, stride=SEQUENCE_LENGTH)
    return float(torch.cat(scored).double().mean())


def flops_per_token() -> int:
    """6 for each weight of a product and 12 L D T for attention (Chowdhery et al. 2022, appendix B), training."""
    matrices = NUM_LAYERS * (4 * HIDDEN_SIZE**2 + 3 * HIDDEN_SIZE * 1024) + VOCAB_SIZE * HIDDEN_SIZE
    return 6 * matrices + 12 * NUM_LAYERS * HIDDEN_SIZE * SEQUENCE_LENGTH


def as_result(finishes: Mapping[str, SideResult], peak: float, steps: int) -> Result:
    """The claim's verdict: against the best and the default configuration, and the losses beside each other."""
    mine, peers = finishes[OURS], {name: finish for name, finish in finishes.items() if name != OURS}
    best = max(peers, key=lambda name: peers[name].speed)
    ratio = mine.speed / peers[best].speed
    to_default = mine.speed / peers[DEFAULT].speed if DEFAULT in peers else None
    assert mine.loss is not None
    loss = peers[best].loss
    difference = None if loss is None else mine.loss - loss
    return Result(
        claim=f"training throughput, tokens/s, 13.8M LLaMA (best peer here: {best}; {steps} steps)",
        ours=round(mine.speed, 1),
        peers={name: round(finish.speed, 1) for name, finish in peers.items()},
        ratio=round(ratio, 4),
        bar=BEST_BAR,
        holds=ratio >= BEST_BAR
        and (to_default is None or to_default >= DEFAULT_BAR)
        and difference is not None
        and abs(difference) <= LOSS_BAR,
        packages=("torch", "transformers", "accelerate"),
        details={
            "ratio_to_default": None if to_default is None else round(to_default, 4),
            "bar_to_default": DEFAULT_BAR,
            "heldout_loss": {name: finish.loss for name, finish in finishes.items()},
            "heldout_loss_difference": difference,
            "bar_loss_difference": LOSS_BAR,
            "compile_seconds": {name: round(finish.timing.extra, 1) for name, finish in finishes.items()},
            "precision": own_choice(),
            "matrix_peak_gflops": round(peak / 1e9, 1),
            "peak_share": {
                name: round(finish.speed * flops_per_token() / peak, 4) for name, finish in finishes.items()
            },
            "threads": torch.get_num_threads(),
        },
    )


def show(finishes: Mapping[str, SideResult], peak: float, result: Result) -> None:
    heading = ["", "tokens/s", "of matrix peak", "first steps", "held-out loss", "steps"]
    rows = [
        [
            name,
            f"{finish.speed:,.0f}",
            f"{result.details['peak_share'][name]:.1%}",
            f"+{finish.timing.extra:.1f} s",
            "-" if finish.loss is None else f"{finish.loss:.4f}",
            str(len(finish.timing.seconds)),
        ]
        for name, finish in finishes.items()
    ]
    print_table([heading, *rows])
    print(f"{own_choice()} matrix peak {peak / 1e9:.0f} GFLOP/s on {torch.get_num_threads()} threads")
    print(f"ratio to the fastest peer {result.ratio:.3f} (bar {BEST_BAR})", end="")
    to_default, difference = result.details["ratio_to_default"], result.details["heldout_loss_difference"]
    print("" if to_default is None else f", to the default {to_default:.3f} (bar {DEFAULT_BAR})")
    if difference is not None:
        print(f"held-out loss, ours - the fastest peer's: {difference:+.4f} nats a token (bar ±{LOSS_BAR})")


if __name__ == "__main__":
    sys.exit(main())
