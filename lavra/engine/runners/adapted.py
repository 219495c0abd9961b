"""Adapters in a runner's twin: the runner itself chooses, for each pass, which adapter acts on which row.

A model's wrappers share one `Adapters`, which names the active adapter.  The runner's twin has its own: the original
model (an embedder, perhaps, in another thread) is not affected.

The base's products are computed once for all rows of a pass; the change by each adapter is computed for its rows
(Chen et al. 2023, "Punica", arXiv:2310.18547, without its kernel: one small product a layer and adapter).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from lavra.adapt.active import Adapters, Selection
from lavra.adapt.config import VirtualTokensConfig
from lavra.adapt.linear import AdaptedLinear, LinearAdapter
from lavra.adapt.prefix import PrefixStack
from lavra.adapt.soft_prompt import VirtualEmbedding
from lavra.adapt.trained_copy import TrainedCopies
from lavra.base.errors import InputError, nearest
from lavra.generate.virtual_tokens import NO_VIRTUAL_TOKENS, VirtualTokens
from lavra.model.transformer import EncoderDecoder


class AddedPart(nn.Module):
    """The change by adapters of one layer's outputs, which are a range of a larger product.

    Args:
        layer: the adapted layer.
        start: first channel of its outputs.
        stop: channel after the last.
    """

    def __init__(self, layer: AdaptedLinear, start: int, stop: int) -> None:
        super().__init__()
        self.adapters, self.state, self.start, self.stop = layer.adapters, layer.state, start, stop

    def forward(self, x: Tensor, out: Tensor) -> None:
        """(B, ..., K) inputs and (B, ..., N) outputs, whose range is changed in place."""
        own = out[..., self.start : self.stop]
        for selection in self.state.selections:
            acting = [cast(LinearAdapter, self.adapters[name]) for name in selection.names if name in self.adapters]
            if not acting:
                continue
            rows = selection.rows
            if rows is None:
                own.copy_(_changed(acting, x, own))
            else:
                own.index_copy_(0, rows, _changed(acting, x.index_select(0, rows), own.index_select(0, rows)))


def _changed(acting: Sequence[LinearAdapter], x: Tensor, own: Tensor) -> Tensor:
    y = own
    for adapter in acting:
        y = adapter.apply_to(x, y, own)
    return y


def joins(module: nn.Module | None) -> bool:
    """Whether a layer's product may be a range of a larger product: its inputs are the same with every adapter."""
    if not isinstance(module, AdaptedLinear):
        return type(module) is nn.Linear
    return type(module.base) is nn.Linear and not any(
        cast(LinearAdapter, one).prepares for one in module.adapters.values()
    )


class RowAdapters:
    """The adapters of a runner's twin, and the rows of a batch that each acts on.

    Args:
        twin: the runner's own twin; from now on this object sets the active adapters in it.
        device: device that computes.
    """

    def __init__(self, twin: nn.Module, device: torch.device) -> None:
        found = adapters_in(twin)
        merged = found is not None and bool(found.merged)
        self._state = None if found is None or merged else Adapters(configs=dict(found.configs))
        self._device = device
        if self._state is not None:
            for holder in _holders(twin):
                holder.state = self._state

    @property
    def names(self) -> tuple[str, ...]:
        """The names of adapters that rows may name; merged adapters are a part of the weights."""
        return () if self._state is None else tuple(self._state.configs)

    def check(self, names: Sequence[str | None]) -> None:
        """Refuse unknown names.

        Raises:
            InputError: a name is unknown; the message has the first such name.
        """
        unknown = next((name for name in names if name is not None and name not in self.names), None)
        if unknown is not None:
            known = nearest(unknown, self.names) if self.names else "; this runner has none"
            raise InputError(f"a row names the adapter {unknown!r}, and the runner has no adapter of that name{known}")

    def choose(self, names: Sequence[str | None]) -> None:
        """Set the adapter of each row of the next batch."""
        if self._state is None:
            return
        groups: dict[str, list[int]] = {}
        for number, name in enumerate(names):
            if name is not None:
                groups.setdefault(name, []).append(number)
        if len(groups) == 1 and None not in names:
            self._state.select(Selection(names=tuple(groups)))
            return
        self._state.select(
            *(Selection(names=(name,), rows=torch.tensor(rows, device=self._device)) for name, rows in groups.items())
        )


def adapters_in(model: nn.Module) -> Adapters | None:
    """The `Adapters` that a model's layers share, or None; the model may be a fused twin."""
    return next((holder.state for holder in _holders(model)), None)


def front_of(model: nn.Module, name: str) -> VirtualTokens:
    """The virtual tokens of an adapter, which stand before every text; empty for an adapter without virtual tokens.

    Those of a soft prompt stand before the text that T5 reads, those of a prefix before the text it writes, as in PEFT.
    """
    for module in model.modules():
        if isinstance(module, VirtualEmbedding) and name in module.ranges:
            ids = tuple(range(*module.ranges[name]))
            config = module.state.config(name)
            in_target = isinstance(config, VirtualTokensConfig) and config.in_target
            return (
                VirtualTokens(source=ids)
                if isinstance(model, EncoderDecoder) and not in_target
                else VirtualTokens(prompt=ids)
            )
    return NO_VIRTUAL_TOKENS


def weights_version(model: nn.Module, name: str) -> str:
    """16 hex digits that change when an adapter's weights or settings do."""
    state = adapters_in(model)
    assert state is not None
    digest = hashlib.sha256(repr(state.config(name)).encode())
    for holder in _holders(model):
        table = getattr(holder, "adapters", None)
        if isinstance(table, nn.ModuleDict) and name in table:
            for leaf, tensor in sorted(table[name].state_dict().items()):
                digest.update(f"{leaf} {tuple(tensor.shape)}".encode())
                digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


_Holder = AdaptedLinear | AddedPart | VirtualEmbedding | TrainedCopies | PrefixStack


def _holders(model: nn.Module) -> Iterator[_Holder]:
    for module in model.modules():
        if isinstance(module, AdaptedLinear | AddedPart | VirtualEmbedding | TrainedCopies | PrefixStack):
            yield module
