"""Wrong calls of the native library, one line of JSON each: `{"call": NAME, "error": MESSAGE}`.

`test_interface.py` runs this in a separate process, because a crash would end the tests too.  The name is printed
before the call, so that the last line names the crashed call.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from ctypes import POINTER, byref, c_int32, cast
from pathlib import Path

import numpy as np

from lavra.base.native_library import NativeBatch, NativeConfig, NativeLibrary, NativeRow, NativeTensor
from tests.native.doors import TYPES, Work

HUGE = 2**31 - 1
Numbers = tuple[int, ...] | None  # None: a null pointer
F32, F16, BF16, INT8, INT4 = range(5)
SIZES = {
    **{"vocab_size": 5, "hidden_size": 8, "num_layers": 1, "num_heads": 2, "num_kv_heads": 1, "head_dim": 4},
    **{"feed_forward_size": 8, "max_positions": 40, "has_head": 1, "tie_embeddings": 1, "norm": 1, "positions": 0},
    **{"norm_eps": 1e-5, "attention_scale": 0.5, "head_scale": 1.0, "rotary_factor": 1.0},
}
MATRICES = {
    "embedding.token.weight": (5, 8),
    "decoder.blocks.0.attention.query.weight": (8, 8),
    "decoder.blocks.0.attention.key.weight": (4, 8),
    "decoder.blocks.0.attention.value.weight": (4, 8),
    "decoder.blocks.0.attention.output.weight": (8, 8),
    "decoder.blocks.0.feed_forward.up.weight": (8, 8),
    "decoder.blocks.0.feed_forward.down.weight": (8, 8),
}
VECTORS = {
    "embedding.position.weight": (40, 8),
    "decoder.blocks.0.attention_norm.weight": (1, 8),
    "decoder.blocks.0.feed_forward_norm.weight": (1, 8),
}


class Calls:
    """Calls of the library, and the arrays that stay alive while they point into them."""

    def __init__(self, library: NativeLibrary) -> None:
        self.of, self.isa = library.functions, library.isa.encode()
        for name, types in TYPES.items():
            getattr(self.of, name).argtypes = types
        self.kept: list[object] = []

    def keep(self, array: np.ndarray) -> int:
        self.kept.append(array)
        return int(array.ctypes.data)

    def refused(self, name: str, function: str, *arguments: object, pointer: bool = False) -> None:
        """Make a call that has to fail, and print its error; "" if it succeeded."""
        self.say(call=name)
        result = getattr(self.of, function)(*arguments)
        failed = not result if pointer else result != 0
        self.say(call=name, error=self.of.lavra_error().decode() if failed else "")

    def attends(self, name: str, given: Mapping[str, object]) -> None:
        """Refused attention, for 2 heads of 8 channels of 2 tokens."""
        room = self.keep(np.zeros(64, dtype=np.float32))
        self.refused(f"attend {name}", "lavra_attend", self.isa, byref(Work(**given)), *(room,) * 4)

    def say(self, **line: str) -> None:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()

    def tensor(self, rows: int = 5, columns: int = 8, **changes: object) -> NativeTensor:
        data = np.zeros((max(rows, 1), max(columns, 1)), dtype=np.float32)
        given = NativeTensor(type=F32, rows=rows, columns=columns, data=self.keep(data), num_bytes=data.nbytes)
        for name, value in changes.items():
            setattr(given, name, value)
        return given

    def packed(self, bits: int = 8, rows: int = 5, columns: int = 64, **changes: object) -> NativeTensor:
        data = np.zeros((rows, columns * bits // 8), dtype=np.uint8)
        scales = np.zeros((rows, columns // 32), dtype=np.uint16)
        given = NativeTensor(type=INT8 if bits == 8 else INT4, rows=rows, columns=columns, group=32)
        given.data, given.num_bytes = self.keep(data), data.nbytes
        given.scales, given.num_scale_bytes = self.keep(scales), scales.nbytes
        for name, value in changes.items():
            setattr(given, name, value)
        return given

    def config(self, **changes: object) -> NativeConfig:
        return NativeConfig(**{**SIZES, **changes})

    def model(self, *, filled: bool = True, **changes: object) -> int:
        model = self.of.lavra_model_new(byref(self.config(**changes)), self.isa, F32)
        if filled:
            for name, (rows, columns) in {**MATRICES, **VECTORS}.items():
                assert self.of.lavra_model_set(model, name.encode(), byref(self.tensor(rows, columns))) == 0, name
            assert self.of.lavra_model_finish(model) == 0, self.of.lavra_error()
        return int(model)

    def row(self, tokens: Numbers = (1, 2, 3), blocks: Numbers = (0, 1), **changes: object) -> NativeRow:
        given = NativeRow(num_tokens=3, num_blocks=2, num_logits=1, adapter=-1, source=-1)
        if tokens is not None:
            given.tokens, given.num_tokens = self.keep(np.array(tokens, dtype=np.int32)), len(tokens)
        if blocks is not None:
            given.blocks, given.num_blocks = self.keep(np.array(blocks, dtype=np.int32)), len(blocks)
        for name, value in changes.items():
            setattr(given, name, value)
        return given


def wrong_configs(calls: Calls) -> None:
    """Every number of a configuration, negative and huge; a switch (0 or 1) may have any value."""
    switches = {name for name, *_ in NativeConfig._fields_ if name.startswith(("has_", "gated", "final", "tie"))}
    switches |= {"embedding_norm", "head_transform", "scale_by_layer", "attention_bias", "attention_output_bias"}
    switches |= {"feed_forward_bias", "head_bias", "relative_buckets", "relative_distance"}
    for name, kind, *_ in NativeConfig._fields_:
        if kind is c_int32 and name not in switches:
            for value in (-1, -HUGE - 1, HUGE):
                config = calls.config(**{name: value})
                calls.refused(f"config {name} {value}", "lavra_model_new", byref(config), calls.isa, F32, pointer=True)
    for change in ({"positions": 1}, {"positions": 3}, {"num_heads": 3, "num_kv_heads": 2}):
        calls.refused(
            f"config {change}", "lavra_model_new", byref(calls.config(**change)), calls.isa, F32, pointer=True
        )
    relative = calls.config(positions=2, relative_buckets=-1, relative_distance=8)
    calls.refused("config buckets", "lavra_model_new", byref(relative), calls.isa, F32, pointer=True)
    calls.refused("config null", "lavra_model_new", None, calls.isa, F32, pointer=True)
    calls.refused("isa unknown", "lavra_model_new", byref(calls.config()), b"sse9", F32, pointer=True)
    calls.refused("precision 9", "lavra_model_new", byref(calls.config()), calls.isa, 9, pointer=True)


def wrong_tensors(calls: Calls) -> None:
    """Tensors of a model: names, shapes, bytes, groups."""
    model = calls.model(filled=False)
    name = b"embedding.token.weight"
    for label, tensor in {
        "rows -1": calls.tensor(rows=-1),
        "rows huge": calls.tensor(rows=5, num_bytes=2**63),
        "columns": calls.tensor(columns=9),
        "columns huge": NativeTensor(type=F32, rows=HUGE, columns=HUGE, data=8, num_bytes=4),
        "type -1": calls.tensor(type=-1),
        "type 5": calls.tensor(type=5),
        "bytes short": calls.tensor(num_bytes=159),
        "bytes long": calls.tensor(num_bytes=161),
        "data null": calls.tensor(data=None),
        "group -8": calls.tensor(type=INT8, group=-8),
        "group 7": calls.tensor(type=INT8, group=7),
        "group huge": calls.tensor(type=INT8, group=HUGE - 7),
        "group 16": calls.packed(columns=8, group=16, num_bytes=80, num_scale_bytes=10),
        "scales null": calls.tensor(type=INT8, num_bytes=40),
        "scales short": calls.packed(columns=8, group=0, num_bytes=40, num_scale_bytes=8),
    }.items():
        calls.refused(f"tensor {label}", "lavra_model_set", model, name, byref(tensor))
    calls.refused("tensor unknown", "lavra_model_set", model, b"no.such", byref(calls.tensor()))
    calls.refused("tensor null", "lavra_model_set", model, name, None)
    calls.refused("tensor name null", "lavra_model_set", model, None, byref(calls.tensor()))
    calls.refused("tensor model null", "lavra_model_set", None, name, byref(calls.tensor()))
    calls.refused("finish null", "lavra_model_finish", None)
    calls.refused("finish incomplete", "lavra_model_finish", model)
    calls.refused("runner incomplete", "lavra_runner_new", model, 4, 0, 1, pointer=True)
    assert calls.of.lavra_model_set(model, name, byref(calls.tensor())) == 0
    calls.refused("tensor twice", "lavra_model_set", model, name, byref(calls.tensor()))
    calls.of.lavra_model_free(model)
    calls.of.lavra_model_free(None)


def wrong_runners(calls: Calls, model: int) -> None:
    """Blocks, kinds of caches, numbers of threads."""
    for label, arguments in {
        "model null": (None, 4, 0, 1),
        "blocks 0": (model, 0, 0, 1),
        "blocks -1": (model, -1, 0, 1),
        "cache 3": (model, 4, 3, 1),
        "cache -1": (model, 4, -1, 1),
        "threads 0": (model, 4, 0, 0),
        "threads huge": (model, 4, 0, HUGE),
    }.items():
        calls.refused(f"runner {label}", "lavra_runner_new", *arguments, pointer=True)


def wrong_rows(calls: Calls) -> Iterator[tuple[str, NativeRow]]:
    """Rows of a batch; there are four blocks, and forty positions."""
    yield "tokens null", calls.row(tokens=None)
    yield "blocks null", calls.row(blocks=None)
    yield "tokens none", calls.row(num_tokens=0)
    yield "tokens -1", calls.row(num_tokens=-1)
    yield "tokens huge", calls.row(num_tokens=HUGE)
    yield "token -1", calls.row((1, -1))
    yield "token 5", calls.row((5,))
    yield "token huge", calls.row((HUGE,))
    yield "block 4", calls.row(blocks=(0, 4))
    yield "block -1", calls.row(blocks=(-1,))
    yield "block huge", calls.row(blocks=(HUGE,))
    yield "blocks -1", calls.row(num_blocks=-1)
    yield "blocks none", calls.row(num_blocks=0)
    yield "start -1", calls.row(start=-1)
    yield "start beyond blocks", calls.row(start=30)
    yield "start huge", calls.row(start=HUGE)
    yield "positions", calls.row(blocks=(0, 1, 2), start=38)
    yield "logits -1", calls.row(num_logits=-1)
    yield "logits 4", calls.row(num_logits=4)
    yield "adapter 0", calls.row(adapter=0)
    yield "adapter -2", calls.row(adapter=-2)
    yield "source 0", calls.row(source=0)
    types = np.array([0, 1, 0], dtype=np.int32)
    yield "types", calls.row(types=calls.keep(types))


def wrong_batches(calls: Calls, model: int) -> None:
    """Batches of a runner, and calls that only encoders take."""
    runner = calls.of.lavra_runner_new(model, 4, 0, 2)
    room = np.zeros(64, dtype=np.float32)

    to = calls.keep(room)

    def forward(
        label: str, given: list[NativeRow], floats: int = 5, logits: int | None = to, **changes: object
    ) -> None:
        array = (NativeRow * max(len(given), 1))(*given)
        batch = NativeBatch(rows=cast(array, POINTER(NativeRow)), num_rows=len(given))
        for name, value in changes.items():
            setattr(batch, name, value)
        calls.refused(f"batch {label}", "lavra_runner_forward", runner, byref(batch), logits, floats)

    for label, row in wrong_rows(calls):
        forward(label, [row])
        forward(f"second {label}", [calls.row(blocks=(3,)), row], 10)
    good = calls.row()
    copies = calls.keep(np.array([0, 4], dtype=np.int32))
    forward("empty", [])
    forward("rows -1", [good], num_rows=-1)
    forward("rows null", [good], rows=POINTER(NativeRow)())
    forward("copies null", [good], num_copies=1)
    forward("copies -1", [good], num_copies=-1, copies=copies)
    forward("copies huge", [good], num_copies=HUGE)
    forward("copy of block 4", [good], num_copies=1, copies=copies)
    forward("logits null", [good], logits=None)
    forward("room short", [good], 4)
    forward("room long", [good], 6)
    calls.refused("forward null", "lavra_runner_forward", None, None, None, 0)
    calls.refused("batch null", "lavra_runner_forward", runner, None, None, 0)
    calls.refused("encode room short", "lavra_runner_encode", runner, byref(good), 1, calls.keep(room), 23)
    calls.refused("logits of none", "lavra_runner_logits", runner, calls.keep(room), 0, calls.keep(room), 0)
    calls.refused("logits of -1", "lavra_runner_logits", runner, calls.keep(room), -1, calls.keep(room), 5)
    calls.refused("logits room", "lavra_runner_logits", runner, calls.keep(room), 1, calls.keep(room), 4)
    calls.refused("source of a decoder", "lavra_runner_forget", runner, 0)
    calls.refused("source null", "lavra_runner_forget", None, 0)
    calls.refused("logits null", "lavra_runner_logits", runner, None, 1, None, 5)
    calls.of.lavra_runner_free(runner)
    calls.of.lavra_runner_free(None)


def wrong_adapters(calls: Calls, model: int) -> None:
    """Low-rank changes and virtual tokens."""
    name = b"decoder.blocks.0.attention.query.weight"
    number = calls.of.lavra_model_adapter(model)
    down, up = calls.tensor(2, 8), calls.tensor(8, 2)
    for label, arguments in {
        "number": (number + 1, name, down, up),
        "number -1": (-1, name, down, up),
        "name": (number, b"no.such", down, up),
        "vector": (number, b"decoder.blocks.0.attention_norm.weight", down, up),
        "rank": (number, name, calls.tensor(3, 8), up),
        "rank 0": (number, name, calls.tensor(0, 8), calls.tensor(8, 0)),
        "bytes": (number, name, calls.tensor(2, 8, num_bytes=60), up),
        "integers": (number, name, calls.packed(rows=2, columns=32), up),
    }.items():
        given, asked, low, high = arguments
        calls.refused(f"adapter {label}", "lavra_model_adapt", model, given, asked, byref(low), byref(high), 1.0)
    calls.refused("adapter null", "lavra_model_adapt", model, number, name, None, byref(up), 1.0)
    calls.refused("virtual columns", "lavra_model_virtual", model, byref(calls.tensor(2, 7)))
    calls.refused("virtual rows", "lavra_model_virtual", model, byref(calls.tensor(-2, 8)))
    calls.refused("virtual bytes", "lavra_model_virtual", model, byref(calls.tensor(2, 8, num_bytes=4)))
    calls.refused("virtual null", "lavra_model_virtual", model, None)
    calls.refused("prefix columns", "lavra_model_prefix", model, byref(calls.tensor(2, 5)))
    calls.refused("prefix rows", "lavra_model_prefix", model, byref(calls.tensor(3, 4)))
    calls.refused("prefix bytes", "lavra_model_prefix", model, byref(calls.tensor(2, 4, num_bytes=4)))
    calls.refused("prefix null", "lavra_model_prefix", model, None)


def wrong_products(calls: Calls) -> None:
    """`lavra_linear`."""
    room = calls.keep(np.zeros(4096, dtype=np.float32))
    good = calls.tensor()
    for label, tensor, precision, x, count, out in [
        ("tensor null", None, F32, room, 1, room),
        ("type 5", calls.tensor(type=5), F32, room, 1, room),
        ("rows 0", calls.tensor(rows=0), F32, room, 1, room),
        ("rows -1", calls.tensor(rows=-1), F32, room, 1, room),
        ("columns huge", calls.tensor(columns=8, num_bytes=2**40), F32, room, 1, room),
        ("bytes", calls.tensor(num_bytes=4), F32, room, 1, room),
        ("data null", calls.tensor(data=None), F32, room, 1, room),
        ("scales null", calls.packed(scales=None), F32, room, 1, room),
        ("scales short", calls.packed(4, num_scale_bytes=2), F32, room, 1, room),
        ("m 0", good, F32, room, 0, room),
        ("m -1", good, F32, room, -1, room),
        ("precision 7", good, 7, room, 1, room),
        ("inputs null", good, F32, None, 1, room),
        ("outputs null", good, F32, room, 1, None),
    ]:
        given = None if tensor is None else byref(tensor)
        calls.refused(f"linear {label}", "lavra_linear", calls.isa, given, precision, x, count, out)
    calls.refused("linear isa", "lavra_linear", b"sse9", byref(good), F32, room, 1, room)


def wrong_kernels(calls: Calls) -> None:
    """Kernels on their own (lavra_kernel_doors.h)."""
    room = calls.keep(np.zeros(4096, dtype=np.float32))
    good = {"num_heads": 2, "num_kv_heads": 1, "channels": 8, "count": 2, "num_keys": 2, "causal": 1, "num_blocks": 1}
    good |= {"block_limit": 3, "tokens_at_once": 2, "scale": 1.0, "blocks": calls.keep(np.array([2], dtype=np.int32))}
    for name in ("cache", "num_heads", "num_kv_heads", "channels", "start", "count", "num_keys", "window"):
        for value in (-1, HUGE):
            calls.attends(f"{name} {value}", good | {name: value})
    for change in (
        {"num_heads": 3, "num_kv_heads": 2},
        {"num_keys": 1},
        {"num_keys": 17, "count": 17},
        {"num_blocks": 0},
        {"num_blocks": HUGE},
        {"block_limit": 2},
        {"block_limit": HUGE},
        {"tokens_at_once": 0},
        {"chunks_at_once": -1},
        {"blocks": None},
        {"bias": room, "bias_stride": 1, "bias_zero": 0},
        {"bias": room, "bias_stride": 2, "bias_zero": 2},
        {"bias": room, "bias_stride": HUGE, "bias_zero": -HUGE},
    ):
        calls.attends(str(change), good | change)
    attend = (byref(Work(**good)), room, room, room, room)
    for number in range(len(attend)):
        given = [None if one == number else value for one, value in enumerate(attend)]
        calls.refused(f"attend null {number}", "lavra_attend", calls.isa, *given)
    calls.refused("attend isa", "lavra_attend", b"sse9", *attend)
    for label, norm, x, weight, size, out in [
        ("norm 2", 2, room, room, 8, room),
        ("size 0", 0, room, room, 0, room),
        ("size -1", 1, room, room, -1, room),
        ("input null", 1, None, room, 8, room),
        ("weight null", 1, room, None, 8, room),
        ("room null", 0, room, room, 8, None),
    ]:
        calls.refused(f"normalize {label}", "lavra_normalize", calls.isa, norm, x, weight, None, 1e-5, size, out)
    for label, activation, x, size in [("4", 4, room, 8), ("size -1", 0, room, -1), ("null", 0, None, 8)]:
        calls.refused(f"activate {label}", "lavra_activate", calls.isa, activation, x, None, size)
    for label, head, angles, channels in [("odd", room, room, 3), ("-2", room, room, -2), ("null", None, room, 2)]:
        calls.refused(f"rotate {label}", "lavra_rotate", calls.isa, head, angles, angles, channels)
    calls.refused("rotate cosines null", "lavra_rotate", calls.isa, room, None, room, 2)


def main() -> None:
    calls = Calls(NativeLibrary(Path(sys.argv[1])))
    wrong_configs(calls)
    wrong_tensors(calls)
    model = calls.model()
    wrong_runners(calls, model)
    wrong_batches(calls, model)
    wrong_adapters(calls, model)
    wrong_products(calls)
    wrong_kernels(calls)
    calls.of.lavra_model_free(model)


if __name__ == "__main__":
    main()
