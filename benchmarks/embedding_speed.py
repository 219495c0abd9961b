"""Texts embedded a second by all-MiniLM-L6-v2, beside sentence-transformers and ONNX Runtime, on two threads.

Real passages of 20 to 900 characters, shuffled.  The peers' batch sizes are swept once, texts sorted by length as
sentence-transformers does; then all take turns over the same texts, and the median of the turns counts.

    python benchmarks/embedding_speed.py [--smoke] [--json]
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
import torch
from labelled_tasks import encoder_folder, public_data
from real_texts import distinct_passages
from result import Result, print_table
from sentence_transformers import SentenceTransformer

import lavra
from lavra.base.arrays import Float32s
from lavra.compression.onnx_folder import export_onnx_folder
from lavra.tokens import Tokenizer

BATCH_SIZES = (8, 16, 32, 64, 128)
THREADS, TURNS, COSINE = 2, 3, 0.999
BARS = {"sentence-transformers": 2.0, "ONNX Runtime": 1.3}
Embed = Callable[[Sequence[str], int], Float32s]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="few texts, one turn")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    args = parser.parse_args()
    torch.set_num_threads(THREADS)
    texts = mixed_passages(128 if args.smoke else 1024)
    model = lavra.load(encoder_folder())
    with tempfile.TemporaryDirectory() as scratch:
        peers = {"sentence-transformers": sentence_transformers(), "ONNX Runtime": onnx_runtime(Path(scratch))}
        sizes = {name: best_size(embed, texts[: max(64, len(texts) // 8)]) for name, embed in peers.items()}
        seconds: dict[str, list[float]] = {name: [] for name in ("lavra", *peers)}
        for _ in range(1 if args.smoke else TURNS):
            seconds["lavra"].append(timed(lambda: model.embed(texts)))
            for name, embed in peers.items():
                seconds[name].append(timed(lambda name=name, embed=embed: embed(texts, sizes[name])))  # type: ignore[misc]
        ours = model.embed(texts[:64])
        cosine = min(float((ours * embed(texts[:64], 16)).sum(axis=1).min()) for embed in peers.values())
    speeds = {name: len(texts) / statistics.median(found) for name, found in seconds.items()}
    ratios = {name: speeds["lavra"] / speeds[name] for name in peers}
    print_table(
        [
            (f"{model.runner}, cosine {cosine:.5f}", "texts a second", "lavra is", "batch"),
            ("lavra", f"{speeds['lavra']:.0f}", "", ""),
            *((name, f"{speeds[name]:.0f}", f"{ratios[name]:.2f} ×", str(sizes[name])) for name in peers),
        ]
    )
    if args.json:
        worst = min(ratios, key=lambda name: ratios[name] / BARS[name])
        print(
            Result(
                claim=f"texts embedded a second by MiniLM, mixed lengths, cosine at least {COSINE}, on 2 threads",
                ours=speeds["lavra"],
                peers={name: speeds[name] for name in peers},
                ratio=ratios[worst],
                bar=BARS[worst],
                holds=cosine >= COSINE and all(ratios[name] >= bar for name, bar in BARS.items()),
                packages=("sentence-transformers", "onnxruntime"),
                details={"cosine": cosine, "batch_sizes": sizes, "runner": model.runner},
            ).line()
        )
    return 0


def mixed_passages(count: int) -> list[str]:
    """Passages of several lengths, most of them short, as sentences, questions and paragraphs are."""
    shares = {40: 0.4, 150: 0.35, 480: 0.25}
    drawn = [
        text
        for characters, share in shares.items()
        for text in distinct_passages(public_data(), characters, round(count * share) + 1)
    ]
    random.Random(0).shuffle(drawn)
    return drawn[:count]


def sentence_transformers() -> Embed:
    """The library itself on the same folder."""
    model = SentenceTransformer(str(encoder_folder()), device="cpu")
    return lambda texts, size: np.asarray(model.encode(list(texts), batch_size=size, normalize_embeddings=True))


def onnx_runtime(scratch: Path) -> Embed:
    """The same model exported, its texts padded to the longest of a batch."""
    (file,) = export_onnx_folder(encoder_folder(), scratch / "onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(str(file), options)
    backend = Tokenizer.load(encoder_folder()).backend

    def embed(texts: Sequence[str], size: int) -> Float32s:
        order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
        vectors = np.zeros((len(texts), 384), dtype=np.float32)
        for first in range(0, len(order), size):
            batch = order[first : first + size]
            ids = [one.ids for one in backend.encode_batch([texts[number] for number in batch])]
            width = max(map(len, ids))
            given = np.array([one + [0] * (width - len(one)) for one in ids], dtype=np.int64)
            mask = np.array([[1] * len(one) + [0] * (width - len(one)) for one in ids], dtype=np.int64)
            inputs = {"input_ids": given, "attention_mask": mask, "token_type_ids": np.zeros_like(given)}
            hidden = session.run(None, inputs)[0]
            pooled = (hidden * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
            vectors[batch] = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return vectors

    return embed


def best_size(embed: Embed, texts: Sequence[str]) -> int:
    """The batch size that is fastest, after one pass that warms up."""
    embed(texts, BATCH_SIZES[0])
    return min(BATCH_SIZES, key=lambda size: timed(lambda: embed(texts, size)))


def timed(work: Callable[[], object]) -> float:
    """Seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    raise SystemExit(main())
