"""The cost of a training step, before one is run: operations, and bytes by their holder.

Operations are counted from the configuration: three matrix products (forward, and backward by input and by weight) a
matrix and token, 2 operations a product's element, plus attention's two products.  Bytes are not estimated by a
formula for each family: the very model is run once and the tensors that autograd keeps are added up.  A model
that is not built yet runs on *fake* tensors, which have shapes and no data (`training_memory`); a model in memory, with
its head and adapters, runs on a real batch (`module_memory`).  Where activations are recomputed, the backward pass is
run too, and the bytes alive at its worst moment count.
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
from lavra.model.build import Model, build_model
from lavra.model.config import Kind, ModelConfig
from lavra.model.loss import chunk_rows
from lavra.model.transformer import EncoderDecoder
from lavra.train.compile import checkpointed_activations
from lavra.train.config import Parallel, TrainConfig
from lavra.train.kept import noting_kept
from lavra.train.loop import block_matrices
from lavra.train.objective import AnyObjective, LossModule, autocast
from lavra.train.used_rows import only_used_rows

# Resident memory of a process that imported torch and lavra and has trained a very small model; and memory that
# torch.compile leaves in it (its workers are other processes).  Fitted to benchmarks/estimates.py on Linux x86-64.
PROCESS: Final = 450_000_000
COMPILER: Final = 150_000_000

# The share that a compiled block keeps for its backward pass, of the same block uncompiled: the compiler recomputes
# norms and rotations instead of storing them (fitted to benchmarks/estimates.py).
_KEPT_COMPILED: Final = 0.8

_SHARE: Final = 0.9  # share of the available memory; the rest belongs to the machine's other programs


def memory_limit(available: int) -> float:
    """Bytes that a run may take of the available bytes."""
    return available * _SHARE


@dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    """Bytes of a training process at its worst moment, by their holder.

    Attributes:
        process: Python, torch, and the compiler's remains; 0 where the calling process itself trains.
        weights: bytes of the whole model, with the copies that are trained in place of a table.
        gradients: bytes of the gradients of all trained parameters.
        optimizer: bytes of the optimizer's state.
        update: further needs of an optimizer step, for the largest group it updates at once.
        activations: kept by the forward pass for the backward one; recomputed ones at the backward's worst moment.
        loss: further tensors of the chunked cross-entropy: gradients, and one chunk of logits.
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
        return self.lasting + max(self.activations + self.loss, self.update)

    @property
    def lasting(self) -> int:
        """All bytes but those that a step takes and gives back."""
        return self.process + self.weights + self.training

    @property
    def training(self) -> int:
        """Bytes of gradients and optimizer state."""
        return self.gradients + self.optimizer

    def rows(self) -> list[tuple[str, int]]:
        """Every part by name, the total last."""
        return [*((part.name, getattr(self, part.name)) for part in fields(self)), ("total", self.total)]


def training_memory(
    config: ModelConfig, train: TrainConfig, batch: Batch, *, compiled: bool, device: torch.device | None = None
) -> MemoryEstimate:
    """Bytes that training will take at its worst moment, in one process without sharding.

    Args:
        config: configuration of the model.
        train: the run's settings.
        batch: a micro-batch of the run's shape; its content does not matter.
        compiled: whether blocks will be.
        device: the device; the CPU by default.
    """
    device = device or torch.device("cpu")
    with FakeTensorMode() as mode, device:
        model = build_model(config)
        fake = _fake(batch, mode).to(device)
        if train.activation_checkpointing:
            kept = _peak_bytes(model, train, fake)
        else:
            kept = round(_kept_bytes(model, train, fake) * (_KEPT_COMPILED if compiled else 1))
    return _estimate(
        model,
        train,
        process=PROCESS + COMPILER * compiled,
        weights=sum(parameter.nbytes for parameter in model.parameters()),
        activations=kept,
        loss=_loss_bytes(config, train, batch, device, compiled=compiled),
    )


def module_memory(model: nn.Module, objective: AnyObjective, train: TrainConfig) -> MemoryEstimate:
    """Bytes that training a model will take in this process; one forward pass is done, and nothing changes.

    Args:
        model: the model to be trained, on its device.
        objective: the objective; its first batch is the largest, as with rows grouped by length.
        train: the run's settings.
    """
    stored, training, state = _storages(model), model.training, torch.random.get_rng_state()
    device, batch = next(model.parameters()).device, objective.batches.batch(0)
    model.train()  # dropout keeps its masks, and attention its weights
    with only_used_rows(model, objective, Parallel.NONE):
        stored |= _storages(model)
        with noting_kept(stored.values()) as kept, autocast(device, train.precision):
            LossModule(model, objective.loss)(batch.to(device))
        estimate = _estimate(
            model,
            train,
            process=0,
            weights=sum(tensor.untyped_storage().nbytes() for tensor in stored.values()),
            activations=kept.num_bytes,
            loss=_chunk_bytes(_vocabulary(model), train, batch, device) if isinstance(batch, Batch) else 0,
        )
    model.train(training)
    torch.random.set_rng_state(state)
    return estimate


def _estimate(
    model: nn.Module, train: TrainConfig, *, process: int, weights: int, activations: int, loss: int
) -> MemoryEstimate:
    """An estimate with gradients and the optimizer's state of all trained parameters."""
    trained = sum(parameter.nbytes for parameter in model.parameters() if parameter.requires_grad)
    muon, largest = _muon_bytes(model) if train.optimizer.kind == "muon" else (0, 0)
    return MemoryEstimate(
        process=process,
        weights=weights,
        gradients=trained,
        optimizer=2 * (trained - muon) + muon,  # AdamW's two moments, Muon's momentum
        update=4 * largest,  # float32 directions, twice while stacked, and the bf16 iterates
        activations=activations,
        loss=loss,
    )


def _vocabulary(model: Any) -> int:
    return len(model.head_weight)


def _storages(model: nn.Module) -> dict[int, Tensor]:
    return {tensor.untyped_storage()._cdata: tensor for tensor in (*model.parameters(), *model.buffers())}


def _kept_bytes(model: Model, train: TrainConfig, fake: Batch) -> int:
    """Bytes that autograd saves in one forward pass, each storage once, parameters left out."""
    with noting_kept(model.parameters()) as kept, autocast(fake.input_ids.device, train.precision):
        _hidden(model, fake)
        return kept.num_bytes


def _peak_bytes(model: Model, train: TrainConfig, fake: Batch) -> int:
    """Bytes alive at the worst moment of a forward and a backward pass, parameters and their gradients left out."""
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
    """Bytes in `lavra.model.loss`: the head and its gradient, the hidden states and theirs, one chunk's logits."""
    width = _width(train)
    head = config.vocab_size * config.hidden_size * (4 + width)
    chunk = _chunk_bytes(config.vocab_size, train, batch, device, compiled=compiled)
    return head + 2 * batch.num_targets * config.hidden_size * width + chunk


def _chunk_bytes(
    vocab_size: int, train: TrainConfig, batch: Batch, device: torch.device, *, compiled: bool = False
) -> int:
    """Bytes of one chunk of logits and of the tensors made from it."""
    rows = min(chunk_rows(vocab_size, device), batch.num_targets)
    # Compiled, scores and their gradient are made in one pass; else scores, exponentials and hits are kept by the way.
    return rows * vocab_size * (2 * _width(train) + (4 if compiled else 16))


def _width(train: TrainConfig) -> int:
    """Bytes of a number that a matrix product gives."""
    return 2 if train.precision == "bf16" else 4


def _muon_bytes(model: nn.Module) -> tuple[int, int]:
    """Bytes of the trained matrices Muon updates, and of its largest group of equal shapes."""
    names = block_matrices(model)
    groups: dict[torch.Size, int] = {}
    for name, parameter in model.named_parameters():
        if name in names and parameter.requires_grad:
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
