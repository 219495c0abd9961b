"""Train only the rows of an embedding that a run's texts use; the others have no gradient and take no memory.

A vocabulary has 30,000 to 250,000 tokens and a few thousand labelled samples use a tenth of them, but gradient and
optimizer state would be as large as the whole table: half of a small encoder's numbers, two thirds of a multilingual
one's.  AdamW leaves a row without gradients as it is but for weight decay, which is spared it here; the rows in use
learn the same numbers as without it.

Deliberately absent: models that write.  Their head reads every row of the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from lavra.model.config import ModelConfig
from lavra.model.embedding import Embedding
from lavra.train.config import Parallel
from lavra.train.objective import AnyObjective

_ABSENT = -1


class UsedRows(nn.Embedding):
    """(B, T) token ids -> (B, T, D): a few rows of a table, to be trained; the others stay as they are.

    Args:
        table: all rows.
        used: (U,) numbers of the trained rows, rising.
    """

    place: Tensor

    def __init__(self, table: nn.Embedding, used: Tensor) -> None:
        used = used.to(table.weight.device)
        super().__init__(len(used), table.embedding_dim, _weight=table.weight.detach()[used])
        self._table = (table,)  # in a tuple, so that it is not part of this module: not trained, not saved
        self._used = used
        place = torch.full((table.num_embeddings,), _ABSENT, device=self._used.device)
        place[self._used] = torch.arange(len(used), device=self._used.device)
        self.register_buffer("place", place, persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        """Rows in use; while nothing is learnt, any row.

        Raises:
            IndexError: a text that is learnt from has a token that is not among those in use (on a CPU).
        """
        places = self.place[input]
        if self.training:
            return functional.embedding(places, self.weight)
        whole = functional.embedding(input, self._table[0].weight.detach())
        own = functional.embedding(places.clamp(min=0), self.weight)
        return torch.where((places == _ABSENT)[..., None], whole, own)

    @torch.no_grad()
    def put_back(self) -> nn.Embedding:
        """The table, with the learnt rows."""
        self._table[0].weight[self._used] = self.weight
        return self._table[0]


@contextmanager
def only_used_rows(model: nn.Module, objective: AnyObjective, parallel: Parallel) -> Iterator[None]:
    """A block in which a model with a task's head, or of sentences, trains the rows of its embedding that texts use.

    Afterwards the model is the same object, with the learnt rows.  Nothing changes where the model writes, where the
    embedding is frozen or wrapped, and where processes share the work.

    Args:
        model: in training.
        objective: the objective with all its rows, whose tokens are known.
        parallel: the way in which processes share the work.
    """
    narrowed: list[tuple[Embedding, UsedRows]] = []
    used = objective.batches.used_ids if parallel is Parallel.NONE else None
    for embedding, ids in () if used is None else _trained_tables(model, used):
        assert isinstance(embedding.token, nn.Embedding)
        rows = UsedRows(embedding.token, ids)
        narrowed.append((embedding, rows))
        embedding.token = rows
    try:
        yield
    finally:
        for embedding, rows in narrowed:
            embedding.token = rows.put_back()


def _trained_tables(model: nn.Module, used: frozenset[int]) -> Iterator[tuple[Embedding, Tensor]]:
    """Embeddings that are trained whole, and the rows of each that are used."""
    for module in model.modules():
        config = getattr(module, "config", None)
        embedding = getattr(module, "embedding", None)
        if not isinstance(config, ModelConfig) or not isinstance(embedding, Embedding):
            continue
        if type(embedding.token) is nn.Embedding and embedding.token.weight.requires_grad:
            own = {config.pad_id, config.bos_id, config.decoder_start_id, *config.eos_ids} - {None}  # a model's own
            yield embedding, torch.tensor(sorted(used | own))
