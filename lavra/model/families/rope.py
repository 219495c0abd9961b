"""Rotary settings in `config.json`: `rope_parameters` (transformers 5), `rope_theta` with `rope_scaling` (before).

Both are read; both are written, because older readers and other runtimes know the second only and transformers 5
accepts it beside the first.
"""

from __future__ import annotations

from typing import Any

from lavra.base.errors import CheckpointError
from lavra.model.config import ModelConfig, RopeConfig, RopeScaling, Scaling
from lavra.model.families.fields import Fields

_KNOWN = {
    Scaling.LINEAR: {"factor"},
    Scaling.DYNAMIC: {"factor"},
    Scaling.LLAMA3: {"factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor"},
    Scaling.YARN: {
        "factor",
        "original_max_position_embeddings",
        "attention_factor",
        "beta_fast",
        "beta_slow",
        "mscale",
        "mscale_all_dim",
        "truncate",
    },
}

# YaRN's own; written only when a model has others.
_BETA_FAST, _BETA_SLOW = 32.0, 1.0


def read_rope(fields: Fields, *, max_positions: int, default_theta: float = 10_000.0) -> RopeConfig:
    """The rotary settings of a checkpoint.

    Raises CheckpointError for a scaling, or a setting of one, that is not supported.
    """
    theta = fields.number("rope_theta", default_theta)
    scaling = fields.any("rope_scaling")
    given = dict(fields.any("rope_parameters", {}) if scaling is None else scaling)
    fields.any("rope_parameters")
    partial = fields.any("partial_rotary_factor", given.pop("partial_rotary_factor", 1.0))
    if partial != 1.0:
        raise CheckpointError(f"{fields.where}: partial_rotary_factor is {partial}; lavra turns whole heads (1.0) only")
    theta = float(given.pop("rope_theta", theta))
    old, new = given.pop("type", "default"), given.pop("rope_type", None)
    kind = new or old
    if kind == "default":
        _refuse_unknown(fields, given, set())
        return RopeConfig(theta=theta)
    return RopeConfig(theta=theta, scaling=_read_scaling(fields, kind, given, max_positions))


def _read_scaling(fields: Fields, kind: str, given: dict[str, Any], max_positions: int) -> RopeScaling:
    try:
        scaling = Scaling(kind)
    except ValueError:
        supported = ", ".join(["default", *(known.value for known in Scaling)])
        raise CheckpointError(f"{fields.where}: rope type {kind!r} is not supported; supported: {supported}") from None
    original = None
    if scaling in (Scaling.LLAMA3, Scaling.YARN):
        outside = fields.any("original_max_position_embeddings")
        original = int(outside or given.get("original_max_position_embeddings") or max_positions)
    _refuse_unknown(fields, given, _KNOWN[scaling])
    factor = given.get("factor")
    if factor is None and scaling is Scaling.YARN and original is not None:
        factor = max_positions / original
    if factor is None:
        raise CheckpointError(f"{fields.where}: rope type {kind!r} has no factor; add it to rope_parameters")
    return RopeScaling(
        kind=scaling,
        factor=float(factor),
        original_max_positions=original,
        low_freq_factor=given.get("low_freq_factor"),
        high_freq_factor=given.get("high_freq_factor"),
        attention_factor=given.get("attention_factor"),
        beta_fast=given.get("beta_fast") or _BETA_FAST,
        beta_slow=given.get("beta_slow") or _BETA_SLOW,
        mscale=given.get("mscale"),
        mscale_all_dim=given.get("mscale_all_dim"),
        truncate=given.get("truncate", True),
    )


def _refuse_unknown(fields: Fields, given: dict[str, Any], known: set[str]) -> None:
    # A dynamic rope's original length was never used by transformers; several hub checkpoints carry it.
    unknown = sorted(name for name in given if name not in known and given[name] is not None)
    if unknown:
        raise CheckpointError(
            f"{fields.where}: rope settings {', '.join(unknown)} are not supported with this rope type; "
            "remove them if they are unused"
        )


def write_rope(config: ModelConfig) -> dict[str, Any]:
    """`rope_parameters`, and the older `rope_theta` and `rope_scaling`."""
    assert config.rope is not None
    theta, scaling = config.rope.theta, config.rope.scaling
    if scaling is None:
        return {
            "rope_theta": theta,
            "rope_scaling": None,
            "rope_parameters": {"rope_type": "default", "rope_theta": theta},
        }
    names = {
        "factor": scaling.factor,
        "original_max_position_embeddings": scaling.original_max_positions,
        "low_freq_factor": scaling.low_freq_factor,
        "high_freq_factor": scaling.high_freq_factor,
        "attention_factor": scaling.attention_factor,
        "beta_fast": None if scaling.beta_fast == _BETA_FAST else scaling.beta_fast,
        "beta_slow": None if scaling.beta_slow == _BETA_SLOW else scaling.beta_slow,
        "mscale": scaling.mscale,
        "mscale_all_dim": scaling.mscale_all_dim,
        "truncate": None if scaling.truncate else False,
    }
    known = _KNOWN[scaling.kind]
    settings = {
        "rope_type": scaling.kind.value,
        **{name: value for name, value in names.items() if name in known and value is not None},
    }
    return {"rope_theta": theta, "rope_scaling": settings, "rope_parameters": {**settings, "rope_theta": theta}}
