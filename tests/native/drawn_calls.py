"""Calls of the native library drawn by another process: a line of JSON in, a line of JSON out.

`test_drawn_calls.py` runs this in a separate process, because a wrong call that is not refused may crash it.  Every
answer is a list with the error of each call, `""` for success, or the computed values.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from ctypes import POINTER, byref, c_void_p, cast
from pathlib import Path
from typing import Any

import numpy as np

from lavra.base.native_library import (
    NativeBatch,
    NativeChoice,
    NativeConfig,
    NativeLibrary,
    NativeRow,
    NativeSampling,
    NativeTensor,
)
from tests.native.wrong_calls import F32, SIZES, Calls

MOST = 1 << 16  # numbers of a tensor that is filled; larger ones are left out
SHAPE = re.compile(r"the model needs \((\d+), (\d+)\)")
MISSING = re.compile(r"tensors are missing: (.*)")


class DrawnCalls(Calls):
    """Calls by the name of their drawn input."""

    def answer(self, asked: dict[str, Any]) -> Any:
        """Make the calls of one line."""
        self.kept.clear()
        return getattr(self, asked.pop("call"))(**asked)

    def error(self, status: object, *, failed: bool) -> str:
        """Error of a call."""
        del status
        return (self.of.lavra_error().decode() or "no reason") if failed else ""

    # ---- configurations -------------------------------------------------------------------------------------

    def configured(self, config: dict[str, Any], precision: int) -> list[str]:
        """A model of any configuration: created, given the tensors that its own errors name, and run."""
        arrays = {name: np.linspace(1, 0.1, 2048, dtype=np.float32) for name in ("rotary", "slopes")}
        arrays["windows"] = np.full(2048, 5, dtype=np.int32)
        pointers = {name: self.keep(array) for name, array in arrays.items()}
        known = {name for name, *_ in NativeConfig._fields_}
        given = NativeConfig(
            **{name: value for name, value in {**SIZES, **pointers, **config}.items() if name in known}
        )
        model = self.of.lavra_model_new(byref(given), self.isa, precision)
        if not model:
            return [self.error(None, failed=True)]
        try:
            return ["", *self._run(model, given)] if self._filled(model) else ["", "too large"]
        finally:
            self.of.lavra_model_free(model)

    def _filled(self, model: int) -> bool:
        """Give a model the tensors that it reports as absent; returns whether few enough were absent."""
        while self.of.lavra_model_finish(model):
            found = MISSING.search(self.of.lavra_error().decode())
            assert found, self.of.lavra_error()
            for name in found[1].removesuffix(", ...").split(", "):
                if not self._fill(model, name):
                    return False
        return True

    def _fill(self, model: int, name: str) -> bool:
        self.of.lavra_model_set(model, name.encode(), byref(self.tensor(1 << 24, 1, data=8, num_bytes=0, sized=False)))
        needed = SHAPE.search(self.of.lavra_error().decode())
        rows, columns = (int(number) for number in needed.groups()) if needed else (1 << 24, 1)
        if rows * columns > MOST:
            return False
        values = np.random.default_rng(rows).normal(size=(rows, columns)).astype(np.float32) / 4
        tensor = self.tensor(rows, columns, data=self.keep(values), num_bytes=values.nbytes, sized=False)
        assert self.of.lavra_model_set(model, name.encode(), byref(tensor)) == 0, self.of.lavra_error()
        return True

    def tensor(self, rows: int = 5, columns: int = 8, *, sized: bool = True, **changes: object) -> NativeTensor:
        """As `Calls.tensor`; a tensor with given data gets no made data."""
        if sized:
            return super().tensor(rows, columns, **changes)
        return NativeTensor(type=F32, rows=rows, columns=columns, **changes)

    def _run(self, model: int, config: NativeConfig) -> list[str]:
        runner = self.of.lavra_runner_new(model, 4, 0, 2)
        if not runner:
            return [self.error(None, failed=True)]
        row, size = self.row((0, 0, 0), (3, 1)), 3 * config.hidden_size
        hidden, logits = np.zeros(size, dtype=np.float32), np.zeros(config.vocab_size, dtype=np.float32)
        encode, forward = self.of.lavra_runner_encode, self.of.lavra_runner_forward
        errors = [self.error(None, failed=encode(runner, byref(row), 1, self.keep(hidden), size) != 0)]
        source = self.of.lavra_runner_source(runner, byref(row))
        errors.append(self.error(None, failed=source < 0))
        row.source = source
        batch = NativeBatch(rows=cast(byref(row), POINTER(NativeRow)), num_rows=1)
        errors.append(self.error(None, failed=forward(runner, byref(batch), self.keep(logits), logits.size) != 0))
        self.of.lavra_runner_free(runner)
        return errors

    # ---- tensors --------------------------------------------------------------------------------------------

    def tensors(self, given: Sequence[dict[str, Any]]) -> list[str]:
        """Tensors of one model."""
        model = self.model(filled=False)
        answers = [self._set(model, **one) for one in given]
        self.of.lavra_model_free(model)
        return answers

    def _set(self, model: int, name: str, **fields: Any) -> str:
        tensor = NativeTensor(**{key: value for key, value in fields.items() if key not in ("data", "scales")})
        for key, size in (("data", "num_bytes"), ("scales", "num_scale_bytes")):
            if fields[key]:  # as long as it is said to be, where that is not absurd
                setattr(tensor, key, self.keep(np.zeros(min(fields[size], 1 << 16), dtype=np.uint8)))
        return self.error(None, failed=self.of.lavra_model_set(model, name.encode(), byref(tensor)) != 0)

    # ---- batches --------------------------------------------------------------------------------------------

    def batches(self, cache: int, given: Sequence[dict[str, Any]]) -> list[Any]:
        """Batches of one runner of four blocks: the error of each, or its logits."""
        model = self.model()
        runner = self.of.lavra_runner_new(model, 4, cache, 2)
        answers = [self._forward(runner, **one) for one in given]
        self.of.lavra_runner_free(runner)
        self.of.lavra_model_free(model)
        return answers

    def _forward(self, runner: int, rows: Sequence[dict[str, Any]], copies: Sequence[int], floats: int | None) -> Any:
        array = (NativeRow * max(len(rows), 1))(*(self._row(**one) for one in rows))
        wanted = 5 * sum(max(0, min(one.num_logits, 64)) for one in array[: len(rows)])
        logits = np.zeros(max(wanted if floats is None else floats, 1), dtype=np.float32)
        size = wanted if floats is None else floats
        batch = NativeBatch(rows=cast(array, POINTER(NativeRow)), num_rows=len(rows), num_copies=len(copies) // 2)
        batch.copies = self.keep(np.array(copies, dtype=np.int32)) if copies else None
        failed = self.of.lavra_runner_forward(runner, byref(batch), self.keep(logits), size) != 0
        return self.error(None, failed=failed) if failed else logits[:size].tolist()

    def _row(
        self, tokens: list[int] | None, blocks: list[int] | None, types: list[int] | None, **fields: int
    ) -> NativeRow:
        row = NativeRow(**fields)
        for name, values in (("tokens", tokens), ("blocks", blocks), ("types", types)):
            if values is not None:
                setattr(row, name, self.keep(np.array(values, dtype=np.int32)))
        return row

    # ---- choices --------------------------------------------------------------------------------------------

    def choices(self, logits: list[float], most_top: int, **fields: Any) -> list[Any]:
        """The token of one row of logits, or the error."""
        lists = {
            "seen": np.int32,
            "counts": np.int32,
            "bias_ids": np.int32,
            "biases": np.float32,
            "forbidden": np.int32,
        }
        row = NativeSampling(**{name: value for name, value in fields.items() if name not in (*lists, "uniforms")})
        for name, kind in lists.items():
            setattr(row, name, self.keep(np.array(fields[name], dtype=kind)))
        row.uniforms = self.keep(np.array(fields["uniforms"]))
        values, choice = np.array(logits, dtype=np.float32), NativeChoice()
        ids, logprobs = np.full(max(most_top, 1), -1, dtype=np.int32), np.zeros(max(most_top, 1), dtype=np.float32)
        rows = (c_void_p * 1)(cast(byref(row), c_void_p))
        room = (self.keep(ids), self.keep(logprobs)) if most_top > 0 else (None, None)
        failed = self.of.lavra_sample(
            self.isa,
            None,
            self.keep(values),
            1,
            values.size,
            cast(rows, c_void_p),
            cast(byref(choice), c_void_p),
            most_top,
            *room,
        )
        if failed:
            return [self.error(None, failed=True)]
        return ["", choice.token, choice.refused, ids.tolist()]


def main() -> None:
    calls = DrawnCalls(NativeLibrary(Path(sys.argv[1])))
    for line in sys.stdin:
        sys.stdout.write(json.dumps(calls.answer(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
