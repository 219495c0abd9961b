"""Tokenizer training and encoding cost at most 10 % more than calling the `tokenizers` library directly.

On the Python standard library's source, for each of the three kinds: `train_tokenizer` against the library's own
trainer with the same settings, and `Tokenizer.encode_batch` against the library's fastest batch call with the same
definition.  Runs alternate and medians are compared.  Seconds are CPU seconds of the process on one thread, because
other load of the machine disturbs them least.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import sys
import sysconfig
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("RAYON_NUM_THREADS", "1")  # before the library starts its threads

import tokenizers
from tokenizers import Regex, models, normalizers, pre_tokenizers, trainers

from lavra.tokens.config import PATTERNS, TokenizerConfig
from lavra.tokens.tokenizer import Tokenizer
from lavra.tokens.train import train_tokenizer
from lavra.tokens.wordpiece import SPECIAL

BAR = 1.10
CASES = {
    "bpe": TokenizerConfig(kind="bpe", vocab_size=8192),
    "bpe-llama3": TokenizerConfig(kind="bpe", vocab_size=8192, pattern="llama3"),
    "wordpiece": TokenizerConfig(kind="wordpiece", vocab_size=8192),
    "unigram": TokenizerConfig(kind="unigram", vocab_size=8192),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="runs of each side, alternating (default 5)")
    parser.add_argument("--mb", type=float, default=8.0, help="megabytes of source (default 8)")
    parser.add_argument("--smoke", action="store_true", help="an eighth of a megabyte, one run")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    args = parser.parse_args()
    texts = source(0.125 if args.smoke else args.mb)
    figures = {name: measure(name, texts, 1 if args.smoke else args.runs) for name in CASES}
    if args.json:
        print(json.dumps(as_result(figures, texts)))
    return 0


def source(megabytes: float) -> list[str]:
    """Modules of the standard library without its tests, up to a size."""
    texts, left = [], megabytes * 1e6
    for path in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py")):
        if left > 0 and not {"site-packages", "test", "tests"} & set(path.parts):
            texts.append(path.read_text(encoding="utf-8", errors="replace"))
            left -= path.stat().st_size
    return texts


def measure(name: str, texts: list[str], runs: int) -> dict[str, tuple[float, float]]:
    """(ours, peer) in seconds, for training and for encoding."""
    tokenizer = train_tokenizer(texts, CASES[name])
    twin = tokenizers.Tokenizer.from_str(tokenizer.backend.to_str())
    check_equal(tokenizer, twin, texts[:20])
    figures = {
        "train": alternate(lambda: train_tokenizer(texts, CASES[name]), lambda: train_directly(name, texts), runs),
        "encode": alternate(
            lambda: tokenizer.encode_batch(texts),
            lambda: [encoding.ids for encoding in twin.encode_batch_fast(texts, add_special_tokens=False)],
            runs,
        ),
    }
    for work, (ours, peer) in figures.items():
        print(f"{name:12}{work:8}ours {ours:7.3f} s   tokenizers {peer:7.3f} s   ratio {ours / peer:.3f}", flush=True)
    return figures


def check_equal(tokenizer: Tokenizer, twin: tokenizers.Tokenizer, texts: list[str]) -> None:
    """Check that both sides do the same work."""
    assert tokenizer.encode_batch(texts) == [twin.encode(text, add_special_tokens=False).ids for text in texts]


def alternate(ours: Callable[[], Any], peer: Callable[[], Any], runs: int) -> tuple[float, float]:
    """Medians of alternating runs, after one run of each that warms up; the side that goes first alternates."""
    sides = {"ours": ours, "peer": peer}
    seconds: dict[str, list[float]] = {"ours": [], "peer": []}
    for run in range(runs + 1):
        for side in sorted(sides, reverse=bool(run % 2)):
            taken = clock(sides[side])
            if run:
                seconds[side].append(taken)
    return statistics.median(seconds["ours"]), statistics.median(seconds["peer"])


def clock(work: Callable[[], Any]) -> float:
    gc.collect()
    start = time.process_time()
    work()
    return time.process_time() - start


# ---- the peer: the same with the library alone ---------------------------------------------------


def train_directly(name: str, texts: list[str]) -> tokenizers.Tokenizer:
    """Train a tokenizer of a case with the library's own trainer."""
    config = CASES[name]
    backend, trainer = {"bpe": direct_bpe, "wordpiece": direct_wordpiece, "unigram": direct_unigram}[config.kind](
        config
    )
    backend.train_from_iterator(texts, trainer)
    return backend


def direct_bpe(config: TokenizerConfig) -> tuple[tokenizers.Tokenizer, Any]:
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if config.pattern != "gpt2":
        cut = pre_tokenizers.Split(Regex(PATTERNS[config.pattern]), "isolated")
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        backend.pre_tokenizer = pre_tokenizers.Sequence([cut, byte_level])
    return backend, trainers.BpeTrainer(
        vocab_size=config.vocab_size,
        min_frequency=config.min_frequency,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )


def direct_wordpiece(config: TokenizerConfig) -> tuple[tokenizers.Tokenizer, Any]:
    backend = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=config.lowercase)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return backend, trainers.WordPieceTrainer(
        vocab_size=config.vocab_size,
        min_frequency=config.min_frequency,
        special_tokens=list(SPECIAL),
        show_progress=False,
    )


def direct_unigram(config: TokenizerConfig) -> tuple[tokenizers.Tokenizer, Any]:
    backend = tokenizers.Tokenizer(models.Unigram())
    cut = pre_tokenizers.Split(Regex(PATTERNS[config.pattern]), "isolated")
    spaces = pre_tokenizers.Metaspace(prepend_scheme="never", split=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([cut, spaces])
    return backend, trainers.UnigramTrainer(
        vocab_size=config.vocab_size - 256 - config.num_sentinels,
        special_tokens=["<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        show_progress=False,
    )


# ---- the result ---------------------------------------------------------------------------------------------


def as_result(figures: dict[str, dict[str, tuple[float, float]]], texts: list[str]) -> dict[str, Any]:
    """The line for `run_all`; the ratio is the worst of all kinds, for training and encoding."""
    flat = {f"{name} {work}": pair for name, works in figures.items() for work, pair in works.items()}
    ratios = {name: ours / peer for name, (ours, peer) in flat.items()}
    worst = max(ratios, key=ratios.__getitem__)
    return {
        "claim": f"tokenizer training and encoding within 10 % of `tokenizers` (worst: {worst}; CPU seconds)",
        "ours": round(flat[worst][0], 4),
        "peers": {"tokenizers": round(flat[worst][1], 4)},
        "ratio": round(ratios[worst], 4),
        "bar": BAR,
        "better": "lower",
        "holds": ratios[worst] <= BAR,
        "ratios": {name: round(ratio, 4) for name, ratio in ratios.items()},
        "megabytes": round(sum(len(text.encode()) for text in texts) / 1e6, 2),
        "machine": {"system": platform.system(), "cpu": platform.machine(), "cores": os.cpu_count()},
        "versions": {"python": platform.python_version(), "tokenizers": version("tokenizers")},
    }


if __name__ == "__main__":
    sys.exit(main())
