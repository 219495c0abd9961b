"""From a model folder to a folder of ONNX files, with the configuration and the tokenizer beside them.

The files are in `onnx/`, where sentence-transformers and transformers.js look; optimum looks in every folder.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import torch

from lavra.adapt.embedding_folder import keep_embedding_config
from lavra.base.card import write_card
from lavra.base.files import atomic_folder
from lavra.compression.onnx import check_onnx_libraries, export_onnx
from lavra.model.checkpoint import load_checkpoint
from lavra.model.config_files import write_config
from lavra.model.lineage import model_parents
from lavra.tokens.tokenizer import Tokenizer

_SUBFOLDER: Final = "onnx"


def export_onnx_folder(source: Path, out: Path) -> list[Path]:
    """Write the ONNX files of a model; there is no quality card, because the numbers are the same float32 numbers.

    Args:
        source: folder of an unquantized model.
        out: folder to write; appears whole or not at all; an existing folder is replaced.

    Returns:
        The files.

    Raises:
        ConfigError: the model cannot be exported.
        MissingDependencyError: a package of the extra is not installed.
    """
    check_onnx_libraries()
    model, config = load_checkpoint(source, dtype=torch.float32)
    with atomic_folder(out) as work:
        (work / _SUBFOLDER).mkdir()
        names = [path.relative_to(work) for path in export_onnx(model, work / _SUBFOLDER)]
        # The files have no cache: optimum refuses to run them where the configuration promises a cache.
        write_config(replace(config, dtype="float32"), work, {"use_cache": False})
        Tokenizer.load(source).save(work)
        keep_embedding_config(source, work)
        write_card(work, kind="onnx", parents=model_parents(source), config={"family": config.family})
    return [out / name for name in names]
