"""Kernels of the native library without matrix products, one by one (native/include/lavra_kernel_doors.h)."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_char_p, c_float, c_int, c_int32, c_void_p

import numpy as np

from lavra.base.native_library import native_library

CACHES = ("f32", "bf16", "int8")
NORMS = ("layer", "rms")
ACTIVATIONS = ("relu", "gelu", "gelu_tanh", "silu")


class Work(ctypes.Structure):
    """`lavra_attention`."""

    _fields_ = [
        *((name, c_int32) for name in ("cache", "num_heads", "num_kv_heads", "channels", "start", "count", "num_keys")),
        *((name, c_int32) for name in ("causal", "window", "num_blocks", "block_limit")),
        *((name, c_int32) for name in ("tokens_at_once", "chunks_at_once")),
        ("scale", c_float),
        *((name, c_int32) for name in ("bias_zero", "bias_stride")),
        *((name, c_void_p) for name in ("blocks", "slopes", "bias")),
    ]


TYPES = {
    "lavra_attend": (c_char_p, POINTER(Work), c_void_p, c_void_p, c_void_p, c_void_p),
    "lavra_normalize": (c_char_p, c_int32, c_void_p, c_void_p, c_void_p, c_float, c_int32, c_void_p),
    "lavra_activate": (c_char_p, c_int32, c_void_p, c_void_p, c_int32),
    "lavra_rotate": (c_char_p, c_void_p, c_void_p, c_void_p, c_int32),
}


def isas():
    """Instruction sets of the library on this processor; empty without a library."""
    library = native_library()
    return library.isas if library is not None else ()


def attend(
    isa,
    queries,
    keys,
    values,
    *,
    blocks,
    start=0,
    cache="f32",
    causal=True,
    window=0,
    scale=None,
    slopes=None,
    bias=None,
    bias_zero=0,
    tokens_at_once=64,
    chunks_at_once=0,
):
    """(T, H, C) queries at positions from `start`, (S, K, C) keys and values at positions from 0 -> (T, H, C)."""
    count, heads, channels = queries.shape
    num_keys, kv_heads, _ = keys.shape
    blocks = np.asarray(blocks, np.int32)
    work = Work(
        cache=CACHES.index(cache),
        num_heads=heads,
        num_kv_heads=kv_heads,
        channels=channels,
        start=start,
        count=count,
        num_keys=num_keys,
        causal=causal,
        window=window,
        num_blocks=len(blocks),
        block_limit=int(blocks.max()) + 1,
        tokens_at_once=tokens_at_once,
        chunks_at_once=chunks_at_once,
        scale=channels**-0.5 if scale is None else scale,
        bias_zero=bias_zero,
        bias_stride=0 if bias is None else bias.shape[1],
        blocks=blocks.ctypes.data,
        slopes=_address(slopes),
        bias=_address(bias),
    )
    out = np.full_like(queries, np.nan)
    _call("lavra_attend", isa, work, *(_address(one) for one in (queries, keys, values, out)))
    return out


def normalize(isa, norm, x, weight, bias=None, eps=1e-5):
    """The norm of one (D,) row."""
    out = np.full_like(x, np.nan)
    addresses = [_address(one) for one in (x, weight, bias)]
    _call("lavra_normalize", isa, NORMS.index(norm), *addresses, eps, len(x), _address(out))
    return out


def activate(isa, activation, x, up=None):
    """activation(x), times `up`."""
    out = x.copy()
    _call("lavra_activate", isa, ACTIVATIONS.index(activation), _address(out), _address(up), len(x))
    return out


def rotate(isa, head, cosines, sines):
    """One (C,) head rotated by (C / 2) angles."""
    out = head.copy()
    _call("lavra_rotate", isa, *(_address(one) for one in (out, cosines, sines)), len(head))
    return out


def _address(array):
    assert array is None or (array.dtype == np.float32 and array.flags.c_contiguous)
    return None if array is None else array.ctypes.data


def _call(name, isa, *arguments):
    function = getattr(native_library().functions, name)
    function.restype, function.argtypes = c_int, TYPES[name]
    assert function(isa.encode(), *arguments) == 0, isa
