"""What a training step costs, before one is run: operations, and bytes by what holds them.

Operations are counted from the configuration: three matrix products (forward, and backward by input and by weight) a
matrix and token, 2 operations a product's element, plus attention's two products.  Bytes are not estimated by a
formula for each family: the very model is run once on *fake* tensors, which have shapes and no data, and what
autograd keeps for the backward pass is added up; where activations are recomputed, the backward pass is run too, and
what is alive at its worst moment counts.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, fields
from typing import Any, Final

import torch
from torch import Tensor, UntypedStorage, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lavra.data.batch import Batch
from lavra.model import EncoderDecoder, Model, ModelConfig, build_model
from lavra.model.config import Kind
from lavra.model.loss import chunk_rows
from lavra.train.compile import checkpointed_activations
from lavra.train.config import TrainConfig
from lavra.train.kept import noting_kept
from lavra.train.loop import block_matrices
from lavra.train.objective import autocast

# Resident memory of a process that imported torch and lavra and has trained a very small model; and what torch.compile
# leaves in it (its workers are processes of their own).  Fitted to benchmarks/estimates.py on Linux x86-64.
PROCESS: Final = 450_000_000
COMPILER: Final = 150_000_000

# What a compiled block keeps for its backward pass, of what the same block keeps uncompiled: the compiler recomputes
# norms and rotations instead of storing them (fitted to benchmarks/estimates.py).
_KEPT_COMPILED: Final = 0.8


@dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    """Bytes of a training process at its worst moment, by what holds them.

    Attributes:
        process: Python, torch, and what the compiler leaves behind.
        weights: parameters, float32.
        gradients: of all of them.
        optimizer: its state.
        update: what an optimizer step needs besides, for the largest group it updates at once.
        activations: what the forward pass keeps for the backward one; recomputed ones at the backward's worst moment.
        loss: the chunked cross-entropy's gradients and one chunk of logits.
    """

    process: int
    weights: int
    gradients: int
    optimizer: int
    update: int
    activations: int
    loss: int

    @property
    def total(self) -> int:
        """At the worst moment: activations are gone when the optimizer needs its room."""
        lasting = self.process + self.weights + self.gradients + self.optimizer
        return lasting + max(self.activations + self.loss, self.update)

    def rows(self) -> list[tuple[str, int]]:
        """Every part by name, the total last."""
        return [*((part.name, getattr(self, part.name)) for part in fields(self)), ("total", self.total)]


def training_memory(
    config: ModelConfig, train: TrainConfig, batch: Batch, *, compiled: bool, device: torch.device | None = None
) -> MemoryEstimate:
    """Bytes that training will take at its worst moment, in one process without sharding.

    Args:
        config: of the model.
        train: the run's settings.
        batch: a micro-batch of the run's shape; what is in it does not matter.
        compiled: whether blocks will be.
        device: where; the CPU by default.
    """
    device = device or torch.device("cpu")
    with FakeTensorMode() as mode, device:
        model = build_model(config)
        fake = _fake(batch, mode).to(device)
        if train.activation_checkpointing:
            kept = _peak_bytes(model, train, fake)
        else:
            kept = round(_kept_bytes(model, train, fake) * (_KEPT_COMPILED if compiled else 1))
    weights = sum(parameter.nbytes for parameter in model.parameters())
    muon, largest = _muon_bytes(model) if train.optimizer.kind == "muon" else (0, 0)
    return MemoryEstimate(
        process=PROCESS + COMPILER * compiled,
        weights=weights,
        gradients=weights,
        optimizer=2 * (weights - muon) + muon,
        update=4 * largest,  # float32 directions, twice while stacked, and the bf16 iterates
        activations=kept,
        loss=_loss_bytes(config, train, batch, device, compiled=compiled),
    )


def _kept_bytes(model: Model, train: TrainConfig, fake: Batch) -> int:
    """What autograd saves in one forward pass, each storage once, parameters left out."""
    with noting_kept(model.parameters()) as kept, autocast(fake.input_ids.device, train.precision):
        _hidden(model, fake)
        return kept.num_bytes


def _peak_bytes(model: Model, train: TrainConfig, fake: Batch) -> int:
    """What is alive at the worst moment of a forward and a backward pass, parameters and their gradients left out."""
    live = _LiveBytes(model)
    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(live.leave_out_gradient)  # type: ignore[no-untyped-call]
    with live, checkpointed_activations(model, train.activation_checkpointing):
        with autocast(fake.input_ids.device, train.precision):
            hidden = _hidden(model, fake)
        hidden.backward(torch.empty_like(hidden))  # type: ignore[no-untyped-call]
    return live.peak


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds a storage's bytes when an operation first returns it, and takes them off when nothing holds it any more."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._known: dict[int, weakref.ref[UntypedStorage] | None] = {
            parameter.untyped_storage()._cdata: None for parameter in model.parameters()
        }

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self._count(leaf.untyped_storage())
        return out

    def leave_out_gradient(self, parameter: Tensor) -> None:
        """Gradients that have come to stay are counted by themselves."""
        assert parameter.grad is not None
        storage = parameter.grad.untyped_storage()
        if self._known.get(storage._cdata) is not None:
            self._known[storage._cdata] = None
            self.now -= storage.nbytes()

    def _count(self, storage: UntypedStorage) -> None:
        number, size = storage._cdata, storage.nbytes()
        if number in self._known:
            return

        def gone(_: object) -> None:
            self.now -= size
            del self._known[number]

        self._known[number] = weakref.ref(storage, gone)
        self.now += size
        self.peak = max(self.peak, self.now)


def _fake(batch: Batch, mode: FakeTensorMode) -> Batch:
    tensors = {
        part.name: mode.from_tensor(value)
        for part in fields(batch)
        if isinstance(value := getattr(batch, part.name), Tensor)
    }
    return Batch(sample_ids=batch.sample_ids, **tensors)


def _hidden(model: Any, batch: Batch) -> Tensor:
    if isinstance(model, EncoderDecoder):
        encoded = model.encode(batch.input_ids, segments=batch.segments)
        assert batch.decoder_input_ids is not None
        return model.decode(
            batch.decoder_input_ids, encoded, segments=batch.segments, decoder_segments=batch.decoder_segments
        )
    hidden: Tensor = model.hidden(batch.input_ids, positions=batch.positions, segments=batch.segments)
    return hidden


def _loss_bytes(config: ModelConfig, train: TrainConfig, batch: Batch, device: torch.device, *, compiled: bool) -> int:
    """As `lavra.model.loss` holds them: the head and its gradient, the hidden states and theirs, one chunk's logits."""
    width = 2 if train.precision == "bf16" else 4
    rows = min(chunk_rows(config.vocab_size, device), batch.num_targets)
    head = config.vocab_size * config.hidden_size * (4 + width)
    # Compiled, scores and their gradient are made in one pass; else scores, exponentials and hits are kept by the way.
    chunk = rows * config.vocab_size * (2 * width + (4 if compiled else 16))
    return head + 2 * batch.num_targets * config.hidden_size * width + chunk


def _muon_bytes(model: nn.Module) -> tuple[int, int]:
    """Bytes of the matrices Muon updates, and of its largest group of equal shapes."""
    names = block_matrices(model)
    groups: dict[torch.Size, int] = {}
    for name, parameter in model.named_parameters():
        if name in names:
            groups[parameter.shape] = groups.get(parameter.shape, 0) + parameter.nbytes
    return sum(groups.values()), max(groups.values(), default=0)


def training_flops(config: ModelConfig, batch: Batch) -> float:
    """Floating-point operations of one micro-batch, forward and backward.

    Masked-out halves of attention are counted as the work they would be, as is usual (Chowdhery et al. 2022,
    appendix B).
    """
    B, T = batch.input_ids.shape
    forward = config.num_layers * _block(config, B, T, T)
    if config.kind is Kind.ENCODER_DECODER:
        assert batch.decoder_input_ids is not None
        assert config.num_decoder_layers is not None
        U = batch.decoder_input_ids.shape[1]
        forward += config.num_decoder_layers * (_block(config, B, U, U) + _attention(config, B, U, T))
    head = 2.0 * batch.num_targets * config.vocab_size * config.hidden_size
    if config.head_transform:
        head += 2.0 * batch.num_targets * config.hidden_size**2
    return 3 * (forward + head)


def _block(config: ModelConfig, rows: int, queries: int, keys: int) -> float:
    matrices = 3 if config.gated else 2
    feed_forward = 2.0 * rows * queries * matrices * config.hidden_size * config.feed_forward_size
    return feed_forward + _attention(config, rows, queries, keys)


def _attention(config: ModelConfig, rows: int, queries: int, keys: int) -> float:
    wide, narrow = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
    projections = 2.0 * rows * config.hidden_size * 2 * (wide * queries + narrow * keys)
    return projections + 2.0 * rows * 2 * wide * queries * keys
