"""Adapters of methods that PEFT lacks, in the same two files: settings by our names, tensors by those of our modules.

Only lavra opens them.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from lavra.adapt.config import AdapterConfig
from lavra.adapt.methods.method import AdapterMethod
from lavra.adapt.peft_config import refuse_unread, whole_modules
from lavra.adapt.peft_content import AdapterContent, FillModules, TrainedAdapter, copy_stored
from lavra.base.convert import from_mapping, setting_fields, to_mapping
from lavra.base.errors import CheckpointError, ConfigError
from lavra.model.families.fields import Fields

_STEM = "base_model.model."
_ELSEWHERE = "modules_to_save"  # PEFT's field of this name has it


def write_own_form(adapter: TrainedAdapter) -> AdapterContent:
    """The content of the files: every setting, and every parameter."""
    fields = {name: value for name, value in to_mapping(adapter.config).items() if name != _ELSEWHERE}
    tensors: dict[str, Tensor] = {
        f"{place}.{leaf}": one for place, part in adapter.parts.items() for leaf, one in part.named_parameters()
    }
    return AdapterContent(fields=fields, tensors=tensors)


def read_own_form(
    method: AdapterMethod, fields: Fields, tensors: Mapping[str, Tensor]
) -> tuple[AdapterConfig, dict[str, dict[str, Tensor]], FillModules]:
    """Read an adapter of a method that PEFT lacks.

    Args:
        method: method of the adapter.
        fields: fields of `adapter_config.json`.
        tensors: tensors of the file.

    Returns:
        The configuration, tensors of modules trained whole by module, and a function that fills the other parts.

    Raises:
        CheckpointError: a setting is unknown, or its value is not valid.
    """
    whole = whole_modules(fields)
    config = _read_config(method, fields, whole)
    ours = {name.removeprefix(_STEM): tensor for name, tensor in tensors.items()}
    saved = {
        place: {name.removeprefix(f"{place}."): one for name, one in ours.items() if name.startswith(f"{place}.")}
        for place in whole
    }
    rest = {name: one for name, one in ours.items() if not name.startswith(tuple(f"{place}." for place in whole))}

    def fill(parts: dict[str, nn.Module]) -> None:
        wanted = {f"{place}.{leaf}": one for place, part in parts.items() for leaf, one in part.named_parameters()}
        if set(wanted) != set(rest):
            odd = sorted(set(wanted) ^ set(rest))
            raise CheckpointError(
                f"{fields.where}: {len(odd)} tensors are missing or unexpected, {odd[0]} among them; "
                "the adapter was made for another model"
            )
        for name, parameter in wanted.items():
            copy_stored(parameter, rest[name], name)

    return config, saved, fill


def _read_config(method: AdapterMethod, fields: Fields, whole: tuple[str, ...]) -> AdapterConfig:
    names = set(setting_fields(method.config)) - {_ELSEWHERE}
    refuse_unread(fields, names)
    given = {name: fields.any(name) for name in names & set(fields.raw)}
    try:
        return from_mapping(method.config, {**given, _ELSEWHERE: list(whole)})
    except ConfigError as error:
        raise CheckpointError(f"{fields.where}: {error}") from None
