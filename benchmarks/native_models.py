"""The weights of a model in the format of each side of the native runner's benchmark."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from packed_model import packed_model

from lavra.compression.gguf import GgufOptions, export_gguf
from lavra.quantize.folder import load_model
from lavra.tokens.tokenizer import Tokenizer

PEERS_NEED = ("xllamacpp==2026.10.11549", "ctranslate2==4.8.5", "onnxruntime-genai==0.18.0", "onnx-ir")
GGUF_KINDS = {"int8": "q8_0", "int4": "q4_0", "bf16": "bf16"}
Model = tuple[Path, dict[str, Any]]  # a folder or file, and settings of a side


class NotInThisPrecisionError(ValueError):
    """A side does not have the precision."""


def lavra_model(model: Path, precision: str, scratch: Path) -> Model:
    """Weights for lavra: packed as by `lavra compress` without its card; floats stay, computed in bfloat16."""
    if precision == "bf16":
        return model, {"dtype": "bfloat16"}
    folder = packed_model(model, precision, scratch / f"lavra-{precision}")
    return folder, {"cache_type": "bf16" if precision == "int8" else "int8"}


def convert(side: str, model: Path, precision: str, scratch: Path, peers: Path) -> Model:
    """Weights for a peer.

    Raises:
        NotInThisPrecisionError: the peer does not have this precision here.
        CalledProcessError: its own converter failed.
    """
    if side == "llama.cpp":
        return _gguf(model, precision, scratch)
    if side == "ctranslate2" and precision == "int8":
        code = (
            "import sys, ctranslate2 as c;"
            "c.converters.TransformersConverter(sys.argv[1]).convert(sys.argv[2], quantization='int8', force=True)"
        )
        folder = scratch / "ctranslate2"
        _run(["-c", code, str(model), str(folder)], peers)
        return folder, {"type": "int8"}
    if side == "ort-genai" and precision == "int4":
        folder = scratch / "ort-genai"
        _run(
            [
                "-m",
                "onnxruntime_genai.models.builder",
                *("-m", str(model), "-o", str(folder), "-p", "int4", "-e", "cpu"),
            ],
            peers,
        )
        return folder, {}
    if side == "generate" and precision == "bf16":
        return model, {"type": "bfloat16"}
    raise NotInThisPrecisionError(f"not measured in {precision}")


def _gguf(model: Path, precision: str, scratch: Path) -> Model:
    path = scratch / f"{precision}.gguf"
    export_gguf(load_model(model)[0], Tokenizer.load(model), path, GgufOptions(kind=GGUF_KINDS[precision]))
    return path, {}


def _run(arguments: list[str], peers: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(peers)}
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError((done.stderr or done.stdout).strip())
