"""Texts embedded a second by all-MiniLM-L6-v2, beside sentence-transformers and ONNX Runtime, on two threads.

Real passages of 20 to 900 characters, shuffled; lavra runs in float32, as the peers do, and in INT8.  The peers' batch
sizes are swept once, on texts sorted by length as sentence-transformers sorts them.  Then all sides take turns over the
same texts, and the median of the turns counts.

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
from packed_model import int8_encoder
from real_texts import distinct_passages
from result import Result, print_table
from sentence_transformers import SentenceTransformer

import lavra
from lavra.base.arrays import Float32s
from lavra.compression.onnx_folder import export_onnx_folder
from lavra.tokens.tokenizer import Tokenizer

BATCH_SIZES, SMOKE_SIZES = (8, 16, 32, 64, 128), (8, 32)
THREADS, TURNS, COSINE, COMPARED = 2, 3, 0.999, 256
BARS = {"sentence-transformers": 2.0, "ONNX Runtime": 1.3}
Embed = Callable[[Sequence[str], int], Float32s]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="few texts, two batch sizes, one turn")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    args = parser.parse_args()
    torch.set_num_threads(THREADS)
    texts = mixed_passages(64 if args.smoke else 1024)
    with tempfile.TemporaryDirectory() as scratch:
        ours = {"lavra": lavra.load(encoder_folder()), "lavra INT8": lavra.load(int8_encoder(Path(scratch) / "int8"))}
        peers = {"sentence-transformers": sentence_transformers(), "ONNX Runtime": onnx_runtime(Path(scratch))}
        tried = SMOKE_SIZES if args.smoke else BATCH_SIZES
        sizes = {name: best_size(embed, texts[: max(32, len(texts) // 8)], tried) for name, embed in peers.items()}
        seconds: dict[str, list[float]] = {name: [] for name in (*ours, *peers)}
        for _ in range(1 if args.smoke else TURNS):
            for name, model in ours.items():
                seconds[name].append(timed(lambda model=model: model.embed(texts)))  # type: ignore[misc]
            for name, embed in peers.items():
                seconds[name].append(timed(lambda name=name, embed=embed: embed(texts, sizes[name])))  # type: ignore[misc]
        theirs = [embed(texts[:COMPARED], 16) for embed in peers.values()]
        vectors = {name: model.embed(texts[:COMPARED]) for name, model in ours.items()}
        cosines = {name: min(float((own * one).sum(axis=1).min()) for one in theirs) for name, own in vectors.items()}
    speeds = {name: len(texts) / statistics.median(found) for name, found in seconds.items()}
    ratios = {name: {peer: speeds[name] / speeds[peer] for peer in peers} for name in ours}
    print_table(
        [
            ("", "texts a second", "least cosine", "batch", *(f"over {peer}" for peer in peers)),
            *(
                (
                    name,
                    f"{speeds[name]:.0f}",
                    f"{cosines[name]:.5f}",
                    "",
                    *(f"{one:.2f} ×" for one in ratios[name].values()),
                )
                for name in ours
            ),
            *((name, f"{speeds[name]:.0f}", "", str(sizes[name]), "", "") for name in peers),
        ]
    )
    if args.json:
        best = max((name for name in ours if cosines[name] >= COSINE), key=lambda name: speeds[name])
        worst = min(peers, key=lambda peer: ratios[best][peer] / BARS[peer])
        print(
            Result(
                claim=f"texts embedded a second by MiniLM, mixed lengths, cosine at least {COSINE}, on 2 threads",
                ours=speeds[best],
                peers={name: speeds[name] for name in peers},
                ratio=ratios[best][worst],
                bar=BARS[worst],
                holds=all(ratios[best][name] >= bar for name, bar in BARS.items()),
                packages=("sentence-transformers", "onnxruntime"),
                details={"best": best, "speeds": speeds, "cosines": cosines, "batch_sizes": sizes},
            ).line()
        )
    return 0


def mixed_passages(count: int) -> list[str]:
    """Passages of several lengths, most of them short: sentences, questions and paragraphs."""
    shares = {40: 0.4, 150: 0.35, 480: 0.25}
    drawn = [
        text
        for characters, share in shares.items()
        for text in distinct_passages(public_data(), characters, round(count * share) + 1)
    ]
    random.Random(0).shuffle(drawn)
    return drawn[:count]


def sentence_transformers() -> Embed:
    """The sentence-transformers library on the same folder."""
    model = SentenceTransformer(str(encoder_folder()), device="cpu")
    return lambda texts, size: np.asarray(model.encode(list(texts), batch_size=size, normalize_embeddings=True))


def onnx_runtime(scratch: Path) -> Embed:
    """The same model exported to ONNX; texts are padded to the longest of a batch."""
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


def best_size(embed: Embed, texts: Sequence[str], sizes: Sequence[int]) -> int:
    """The fastest batch size, after one pass that warms up."""
    embed(texts, sizes[0])
    return min(sizes, key=lambda size: timed(lambda: embed(texts, size)))


def timed(work: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    raise SystemExit(main())
