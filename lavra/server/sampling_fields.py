"""Sampling parameters as fields of request models, made from their one definition (`SamplingConfig`).

Each protocol gets every parameter, with its bounds and its sentence; llama.cpp and Ollama, which is built on it,
have another name for one parameter, and write -1 for "keep all" and "draw a seed".
A parameter added to `SamplingConfig` becomes a field of all protocols without a change here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BaseModel, Field, create_model

from lavra.base.bounds import Parameter, parameters
from lavra.base.config import field_docs
from lavra.base.sampling import SAMPLING_NAMES
from lavra.base.types import SamplingConfig

_LLAMA_NAMES: Final = {"repetition_penalty": "repeat_penalty"}
_UNSET: Final = -1  # llama.cpp's value of an unset parameter, where the parameter counts things
_LLAMA_UNSET: Final = {"top_k": 0, "seed": None}
"""The meaning of -1, by parameter."""


def fields_of(cls: type, names: Mapping[str, str] | None = None, unset: Sequence[str] = ()) -> dict[str, Any]:
    """Optional fields for `pydantic.create_model`, one for each bounded field of a dataclass.

    Args:
        cls: the dataclass.
        names: another name of a field, by its own.
        unset: fields that may be -1 too.
    """
    docs = field_docs(cls)
    return {
        (names or {}).get(one.name, one.name): (
            Annotated[one.kind, _rule(one, or_unset=one.name in unset)] | None,
            Field(default=None, description=docs.get(one.name)),
        )
        for one in parameters(cls)
    }


def _rule(one: Parameter, *, or_unset: bool) -> Any:
    """Bounds as pydantic has them."""
    least = min(one.bounds.least, _UNSET) if or_unset else one.bounds.least
    rule: dict[str, Any] = {"gt" if one.bounds.above_least else "ge": least, "le": one.bounds.most}
    if one.kind is float:
        rule["allow_inf_nan"] = False
    return Field(**rule)


if TYPE_CHECKING:

    class SamplingFields(BaseModel):
        """An optional field for each sampling parameter."""

    class LlamaSamplingFields(BaseModel):
        """The same by the names of llama.cpp and Ollama."""

else:
    SamplingFields = create_model("SamplingFields", **fields_of(SamplingConfig))
    LlamaSamplingFields = create_model(
        "LlamaSamplingFields", **fields_of(SamplingConfig, _LLAMA_NAMES, tuple(_LLAMA_UNSET))
    )


def given_sampling(body: SamplingFields) -> dict[str, Any]:
    """The sampling parameters that a body with `SamplingFields` names."""
    return {name: value for name in SAMPLING_NAMES if (value := getattr(body, name)) is not None}


def given_llama_sampling(body: LlamaSamplingFields) -> dict[str, Any]:
    """The sampling parameters that a body with `LlamaSamplingFields` names, by their own names."""
    found = {name: getattr(body, _LLAMA_NAMES.get(name, name)) for name in SAMPLING_NAMES}
    unset = {name: value for name, value in _LLAMA_UNSET.items() if found[name] == _UNSET}
    return {name: value for name, value in (found | unset).items() if value is not None}


def llama_sampling(sampling: SamplingConfig) -> dict[str, Any]:
    """Sampling parameters by the names of llama.cpp, -1 where unset."""
    found = {_LLAMA_NAMES.get(name, name): getattr(sampling, name) for name in SAMPLING_NAMES}
    return {name: _UNSET if value is None else value for name, value in found.items()}
