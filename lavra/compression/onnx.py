"""Export to ONNX (https://onnx.ai), the format of ONNX Runtime and many others: float32, any batch and length.

    decoder            model.onnx           input_ids, attention_mask -> logits
    encoder            model.onnx           input_ids, attention_mask, token_type_ids -> last_hidden_state,
                                            and logits where there is a head
    encoder-decoder    encoder_model.onnx   input_ids, attention_mask -> last_hidden_state
                       decoder_model.onnx   input_ids, encoder_hidden_states, encoder_attention_mask -> logits

Files, inputs and outputs have optimum's names (optimum-onnx, `onnxruntime/modeling*.py`), which
sentence-transformers' ONNX backend and transformers.js use too; all inputs are int64.  `token_type_ids` is an input
where the model has more than one type; optimum and transformers.js fill in zeros where a tokenizer gives none.

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
from lavra.model.build import Model
from lavra.model.config import Positions
from lavra.model.transformer import Decoder, Encoder, EncoderDecoder

_NEEDED: Final = ("onnx", "onnxscript")
_EXAMPLE: Final = (2, 24, 17)  # batch, tokens, decoder's tokens: all different, so that no axis is mistaken for another


class _DecoderFile(nn.Module):
    def __init__(self, model: Decoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, T) twice -> (B, T, V)."""
        out: Tensor = self.model(input_ids, attention_mask=attention_mask != 0)
        return out


class _EncoderFile(nn.Module):
    def __init__(self, model: Encoder) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """(B, T) each -> (B, T, D), and (B, T, V) where there is a head."""
        hidden = self.model.hidden(input_ids, attention_mask=attention_mask != 0, token_type_ids=token_type_ids)
        return (hidden,) if self.model.head is None else (hidden, self.model.logits(hidden))


class _SourceFile(nn.Module):
    def __init__(self, model: EncoderDecoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, S) twice -> (B, S, D)."""
        return self.model.encode(input_ids, attention_mask=attention_mask != 0)


class _TargetFile(nn.Module):
    def __init__(self, model: EncoderDecoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, encoder_hidden_states: Tensor, encoder_attention_mask: Tensor) -> Tensor:
        """(B, U), (B, S, D), (B, S) -> (B, U, V)."""
        mask = encoder_attention_mask != 0
        return self.model.logits(self.model.decode(input_ids, encoder_hidden_states, attention_mask=mask))


def check_onnx_libraries() -> None:
    """Refuse early when the packages that write the files are not installed.

    Raises:
        MissingDependencyError: a package is missing; the message names the extra.
    """
    for package in _NEEDED:
        if importlib.util.find_spec(package) is None:
            raise MissingDependencyError(package, "exporting to ONNX", "onnx")


def export_onnx(model: Model, folder: Path) -> list[Path]:
    """Write a model as ONNX files.

    Args:
        model: model in floats; it is exported as float32.
        folder: an existing folder.

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
    batch, time, length = _EXAMPLE
    ids, mask = _ids(batch, time, model), torch.ones(batch, time, dtype=torch.int64)
    mask[0, time - 3 :] = 0  # so that no traced branch assumes that every token is real
    given, axes = {"input_ids": ids, "attention_mask": mask}, {0: "batch", 1: "time"}
    if isinstance(model, EncoderDecoder):
        first = _export(_SourceFile(model), folder / "encoder_model.onnx", given, [axes, axes], ["last_hidden_state"])
        hidden = model.encode(ids, attention_mask=mask != 0).detach()
        target = {
            "input_ids": _ids(batch, length, model),
            "encoder_hidden_states": hidden,
            "encoder_attention_mask": mask,
        }
        shapes = [{0: "batch", 1: "target_time"}, axes, axes]
        return [first, _export(_TargetFile(model), folder / "decoder_model.onnx", target, shapes, ["logits"])]
    if isinstance(model, Decoder):
        return [_export(_DecoderFile(model), folder / "model.onnx", given, [axes, axes], ["logits"])]
    if model.config.num_token_types > 1:
        given["token_type_ids"] = ids % 2
    names = ["last_hidden_state"] if model.head is None else ["last_hidden_state", "logits"]
    return [_export(_EncoderFile(model), folder / "model.onnx", given, [axes] * len(given), names)]


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
