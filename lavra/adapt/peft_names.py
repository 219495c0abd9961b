"""The names PEFT gives to the layers and modules of a model of ours (those of its tensors are in `peft_file`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import nn

from lavra.adapt.layers import base_parameters, core_of, parameter_names, places, their_name
from lavra.adapt.places import LayerPlace
from lavra.base.errors import CheckpointError, ConfigError
from lavra.model.families.table import family


class PeftNames:
    """The names of one model, with the prefix of the base model or without, as a file may have them."""

    def __init__(self, model: nn.Module) -> None:
        path, core = core_of(model)
        own = family(core.config.family).prefix
        self._prefixes = tuple({prefix for prefix in (own, their_name(model, f"{own}x").removesuffix("x")) if prefix})
        self._core = path
        self._parameters = parameter_names(model)
        self.places = places(model)
        self._by_bare = {self.bare(place.theirs): place for place in self.places}
        self._ours = {self.bare(theirs): ours for ours, theirs in self._parameters.items()}
        self._own = base_parameters(model)
        self.theirs = sorted(
            {place.theirs for place in self.places} | {name.rpartition(".")[0] for name in self._parameters.values()}
        )

    def bare(self, name: str) -> str:
        """A name of theirs without the prefix of the base model."""
        for prefix in self._prefixes:
            if name.startswith(prefix):
                return name.removeprefix(prefix)
        return name

    def place(self, theirs: str) -> LayerPlace:
        """The place of one of their modules.

        Raises CheckpointError where this model has no such linear layer.
        """
        found = self._by_bare.get(self.bare(theirs))
        if found is None:
            raise CheckpointError(
                f"the adapter changes {theirs}, which is not a linear layer of this model "
                f"(such as {self.places[0].theirs}); open the model it was made for"
            )
        return found

    def our_parameter(self, theirs: str) -> str:
        """The parameter of ours for a parameter of theirs.

        Raises CheckpointError where the model has no such parameter.
        """
        found = self._ours.get(self.bare(theirs))
        if found is None:
            raise CheckpointError(
                f"the adapter has trained {theirs} as a whole, and this model has no such parameter by itself; "
                "open the model with the head the adapter was trained with, or merge the adapter into its model with "
                "PEFT (merge_and_unload, save_pretrained) and open that"
            )
        return found

    def their_parameter(self, ours: str) -> str:
        """The parameter of theirs for a parameter of ours; its own name outside the Transformer.

        Raises ConfigError for a parameter that is only a part of theirs.
        """
        if ours not in self._parameters and ours.startswith(f"{self._core}" if self._core else ""):
            raise ConfigError(
                f"{ours} is not a parameter of its own in a checkpoint of this family, so PEFT could not open it; "
                "adapt it instead of training it whole"
            )
        return self._parameters.get(ours, ours)

    def our_module(self, parameters: Iterable[str]) -> str:
        """The outermost module of ours that has these parameters and no others."""
        group = set(parameters)
        found = saved_modules(group)
        while outer := found.rpartition(".")[0]:
            if {name for name in self._own if name.startswith(f"{outer}.")} != group:
                break
            found = outer
        return found


def saved_modules(parameters: Iterable[str]) -> str:
    """The innermost module that holds all of these parameters."""
    owners = [name.split(".")[:-1] for name in parameters]
    shared: list[str] = []
    for parts in zip(*owners, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return ".".join(shared)


def shortest(wanted: Iterable[str], known: Sequence[str]) -> list[str]:
    """The shortest endings that name these modules and no other of the known modules."""
    names = set(wanted)
    for depth in range(1, 4):
        endings = {".".join(name.split(".")[-depth:]) for name in names}
        if {name for name in known if name.endswith(tuple(endings))} == names:
            return sorted(endings)
    return sorted(names)
