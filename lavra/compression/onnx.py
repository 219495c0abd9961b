"""Export to ONNX (https://onnx.ai), the format ONNX Runtime and many others run: float32, any batch and length.

    decoder            model.onnx      input_ids, attention_mask -> logits
    encoder            model.onnx      input_ids, attention_mask -> hidden, and logits where there is a head
    encoder-decoder    encoder.onnx    input_ids, attention_mask -> hidden
                       decoder.onnx    input_ids, hidden, attention_mask -> logits

Whole sequences are computed: a cache between steps, which fast generation needs, is not in the file.
"""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from lavra.base.errors import ConfigError, MissingDependencyError
from lavra.model import Decoder, Encoder, EncoderDecoder, Model
from lavra.model.config import Positions

_NEEDED: Final = ("onnx", "onnxscript")
_EXAMPLE: Final = (2, 24, 17)  # batch, tokens, tokens of the decoder: no two alike, so that none is taken for another


class _DecoderFile(nn.Module):
    def __init__(self, model: Decoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, T) twice -> (B, T, V)."""
        out: Tensor = self.model(input_ids, attention_mask=attention_mask)
        return out


class _EncoderFile(nn.Module):
    def __init__(self, model: Encoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        """(B, T) twice -> (B, T, D), and (B, T, V) where there is a head."""
        hidden = self.model.hidden(input_ids, attention_mask=attention_mask)
        return (hidden,) if self.model.head is None else (hidden, self.model.logits(hidden))


class _SourceFile(nn.Module):
    def __init__(self, model: EncoderDecoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, S) twice -> (B, S, D)."""
        return self.model.encode(input_ids, attention_mask=attention_mask)


class _TargetFile(nn.Module):
    def __init__(self, model: EncoderDecoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, U), (B, S, D), (B, S) -> (B, U, V)."""
        return self.model.logits(self.model.decode(input_ids, hidden, attention_mask=attention_mask))


def check_onnx_libraries() -> None:
    """Refuse early when what writes the files is not installed.

    Raises:
        MissingDependencyError: naming the extra.
    """
    for package in _NEEDED:
        if importlib.util.find_spec(package) is None:
            raise MissingDependencyError(package, "exporting to ONNX", "onnx")


def export_onnx(model: Model, folder: Path) -> list[Path]:
    """Write a model as ONNX files.

    Args:
        model: in floats; it is exported as float32.
        folder: exists.

    Returns:
        The files: one, or two for an encoder-decoder.

    Raises:
        ConfigError: the model has a window over its latest tokens, or ALiBi.
        MissingDependencyError: `onnx` or `onnxscript` is not installed.
    """
    check_onnx_libraries()
    if any(window is not None for window in model.config.windows):
        raise ConfigError("a sliding window cannot be exported to ONNX for any length; keep the model as it is")
    if model.config.positions is Positions.ALIBI:
        raise ConfigError(
            "Falcon's ALiBi rounds a product to bfloat16, which ONNX Runtime does not have on a CPU; "
            "keep the model as it is"
        )
    model = model.float().eval()
    batch, time, said = _EXAMPLE
    ids, mask = _ids(batch, time, model), torch.ones(batch, time, dtype=torch.bool)
    mask[0, time - 3 :] = False  # so that no branch takes every token for a real one
    axes = {0: "batch", 1: "time"}
    if isinstance(model, EncoderDecoder):
        given = {"input_ids": ids, "attention_mask": mask}
        first = _export(_SourceFile(model), folder / "encoder.onnx", given, [axes, axes], ["hidden"])
        hidden = model.encode(ids, attention_mask=mask).detach()
        target = {"input_ids": _ids(batch, said, model), "hidden": hidden, "attention_mask": mask}
        shapes = [{0: "batch", 1: "target_time"}, axes, axes]
        return [first, _export(_TargetFile(model), folder / "decoder.onnx", target, shapes, ["logits"])]
    given = {"input_ids": ids, "attention_mask": mask}
    if isinstance(model, Decoder):
        return [_export(_DecoderFile(model), folder / "model.onnx", given, [axes, axes], ["logits"])]
    names = ["hidden"] if model.head is None else ["hidden", "logits"]
    return [_export(_EncoderFile(model), folder / "model.onnx", given, [axes, axes], names)]


def _ids(batch: int, time: int, model: Model) -> Tensor:
    return (torch.arange(batch * time) % model.config.vocab_size).view(batch, time)


def _export(
    module: nn.Module,
    path: Path,
    given: Mapping[str, Tensor],
    axes: Sequence[Mapping[int, str]],
    outputs: Sequence[str],
) -> Path:
    shapes: list[Any] = [dict.fromkeys(one, torch.export.Dim.DYNAMIC) for one in axes]
    noisy = logging.getLogger("torch.onnx")
    level = noisy.level
    noisy.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # the exporter warns of its own deprecations
            torch.onnx.export(
                module.eval(),
                tuple(given.values()),
                str(path),
                input_names=list(given),
                output_names=list(outputs),
                dynamic_shapes=tuple(shapes),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    finally:
        noisy.setLevel(level)
    return path
