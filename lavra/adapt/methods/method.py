"""The description of a method of adapting a model: its settings, its usual rate, and its parts.

The command line reads settings of every method before torch is loaded, so a method of lavra's names its torch parts by
lazy reference (`module:name`).  A method that a program adds may hold the functions themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lavra.adapt.config import AdapterConfig
from lavra.base.lazy import Reference


@dataclass(frozen=True, kw_only=True)
class PeftCodec:
    """The form of a method's adapters in PEFT's files.

    Attributes:
        kind: the `peft_type`.
        read: `lavra.adapt.peft_content.StoredAdapter` -> the configuration, and a function that fills the fresh parts.
        write: `lavra.adapt.peft_content.TrainedAdapter` -> `AdapterContent`.
    """

    kind: str
    read: Reference
    write: Reference


@dataclass(frozen=True, kw_only=True)
class AdapterMethod:
    """A method of adapting a model.

    Attributes:
        name: name of the method.
        starts: word -> its initial settings.  All are of one class; where there are several words, the fields in
            which their initial settings differ show the word of given settings.
        learning_rate: a peak rate that served small models well (docs/finetune.md); it is higher for methods with
            fewer parameters.
        on_layers: for a method that changes linear layers: (config, layers by name, all names each layer answers to) ->
            a fresh `LinearAdapter` for each layer it changes, by the layer's name.
        in_front: for a method that puts virtual tokens in front of every text: (config, the Transformer, its token
            embedding) -> a fresh `SoftPrompt` or `Prefix`.
        peft: form in PEFT's files; `None` where PEFT lacks the method, whose adapters are then stored in lavra's form.
    """

    name: str
    starts: Mapping[str, AdapterConfig]
    learning_rate: float
    on_layers: Reference | None = None
    in_front: Reference | None = None
    peft: PeftCodec | None = None

    @property
    def config(self) -> type[AdapterConfig]:
        """The class of the method's settings."""
        return type(next(iter(self.starts.values())))

    @property
    def kind(self) -> str:
        """The `peft_type` of the method's adapters; for a method that PEFT lacks, it begins with `LAVRA_`."""
        return f"LAVRA_{self.name.upper()}" if self.peft is None else self.peft.kind

    def word_of(self, config: AdapterConfig) -> str:
        """The word of given settings of this method; the first word where no word fits."""
        telling = [name for name in vars(config) if len({repr(getattr(one, name)) for one in self.starts.values()}) > 1]
        like = (
            word
            for word, start in self.starts.items()
            if all(getattr(start, name) == getattr(config, name) for name in telling)
        )
        return next(like, next(iter(self.starts)))
