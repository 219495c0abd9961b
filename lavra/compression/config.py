"""Settings of a compression, and the table of its targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final, Literal

from lavra.base.errors import ConfigError
from lavra.quantize.scheme import PackedLayout


class Form(Enum):
    """The kind of the made file."""

    QUANTIZED = "quantized"  # a model folder with packed integers
    SIXTEEN_BIT = "16-bit floats"  # a model folder like any other
    GGUF = "gguf"
    ONNX = "onnx"
    CACHE = "key-value cache"  # no file: the engine's cache of the model as it is


@dataclass(frozen=True, kw_only=True)
class Target:
    """A target of compression.

    Attributes:
        form: the kind of file.
        detail: name of the scheme, of the dtype, of the type of GGUF's matrices, or of the engine's cache.
    """

    form: Form
    detail: str = ""


TargetName = Literal[
    "int8", "int8-dynamic", "int4", "fp16", "bf16", "gguf:f32", "gguf:f16", "gguf:q8_0", "gguf:q4_0", "onnx",
    "kv-int8", "kv-bf16",
]  # fmt: skip

TARGETS: Final[Mapping[str, Target]] = {
    **{name: Target(form=Form.QUANTIZED, detail=name) for name in ("int8", "int8-dynamic", "int4")},
    "fp16": Target(form=Form.SIXTEEN_BIT, detail="float16"),
    "bf16": Target(form=Form.SIXTEEN_BIT, detail="bfloat16"),
    **{f"gguf:{kind}": Target(form=Form.GGUF, detail=kind) for kind in ("f32", "f16", "q8_0", "q4_0")},
    "onnx": Target(form=Form.ONNX),
    **{f"kv-{kind}": Target(form=Form.CACHE, detail=kind) for kind in ("int8", "bf16")},
}


TUNABLE: Final = ("int4", "gguf:q4_0")  # eight bits hold their bars as they are


@dataclass(frozen=True, kw_only=True)
class CompressConfig:
    """The settings of a compression and of its measurement.

    Attributes:
        to: target of the compression; kv-int8 and kv-bf16 leave the model as it is, and only the card is written.
        layout: interchange packs the layers that compressed-tensors can express, for other tools to open; native packs
            the embedding and head too, and only lavra opens it. By default interchange where it can express the model,
            else native.
        text: held-out text, a file or folder; for a model of this workspace, the held-out side of its corpus.
        calibration: text that the rounding uses, none of it held-out; for a model of this workspace, int4 takes
            some of its training text.
        heldout_tokens: tokens of held-out text that are measured; the card states the remaining error.
        calibration_tokens: tokens of calibration text that the rounding uses.
        tune_steps: after rounding int4, steps of learning from the original on calibration text; 0 is none.
        allow_miss: keep the result although it misses a bar of its quality card; the card then records the miss.

    Example:
        >>> lavra.CompressConfig(to="int8", heldout_tokens=0)
        Traceback (most recent call last):
            ...
        lavra.base.errors.ConfigError: heldout_tokens is 0; give 1 or more, usually tens of thousands
    """

    to: TargetName
    layout: PackedLayout | None = None
    text: Path | None = None
    calibration: Path | None = None
    heldout_tokens: int = 6_144
    calibration_tokens: int = 8_192
    tune_steps: int = 0
    allow_miss: bool = False

    def __post_init__(self) -> None:
        for name in ("heldout_tokens", "calibration_tokens"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; give 1 or more, usually tens of thousands")
        if self.calibration is not None and self.target.form is Form.CACHE:
            raise ConfigError(f"{self.to} uses no calibration text; leave `calibration` out")
        if self.tune_steps < 0:
            raise ConfigError(f"tune_steps is {self.tune_steps}; give 0 or more, usually 200")
        if self.tune_steps and self.to not in TUNABLE:
            raise ConfigError(
                f"tune_steps is {self.tune_steps}, and {self.to} is not tuned; {' and '.join(TUNABLE)} are"
            )

    @property
    def target(self) -> Target:
        """The target, from the table."""
        return TARGETS[self.to]
