"""Soft prompts: token ids behind the vocabulary whose embeddings are learned (Lester et al. 2021, arXiv:2104.08691).

    ids            0 ... V-1 | V ... V+m-1 | V+m ... V+m+n-1
    embedding      the model's | first prompt | second prompt

The token embedding is wrapped so that it knows the new ids; a caller puts a prompt's ids in front of a text.  For
all modules behind the embedding they are ordinary tokens: positions, masks, packing and caches of keys and values
need no change, and rows of one batch may begin with different prompts.  An id is never given out twice.

A prefix (`prefix`) has such ids too; its tokens have no embedding, since no layer reads their hidden states.
"""

from __future__ import annotations

import logging
import math
from typing import cast

import torch
from torch import Tensor, nn

from lavra.adapt.active import Adapters
from lavra.adapt.layers import core_of
from lavra.adapt.methods.prompt import PromptConfig, PromptInit, read_prompt
from lavra.adapt.peft_config import virtual_fields
from lavra.adapt.peft_content import AdapterContent, FillModules, StoredAdapter, TrainedAdapter, copy_stored
from lavra.adapt.peft_file import PROMPT
from lavra.adapt.prefix import Prefix
from lavra.base.errors import ConfigError, InputError
from lavra.model.transformer import Transformer
from lavra.quantize.modules import QuantizedEmbedding, QuantizedMatrix

log = logging.getLogger(__name__)


class SoftPrompt(nn.Module):
    """(n, D) learned embeddings."""

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.rows = nn.Parameter(rows.detach().to(torch.float32, copy=True).contiguous())

    @property
    def num_tokens(self) -> int:
        """Number of virtual tokens."""
        return self.rows.shape[0]


class VirtualEmbedding(nn.Module):
    """The module (B, T) ids -> (B, T, D) in the place of the token embedding.

    Attributes:
        base: the model's embedding.
        adapters: prompts and prefixes, by name.
        state: acting adapters, shared by the whole model.
        ranges: name -> (first id, id behind the last); the ids of a removed adapter stay taken.
    """

    def __init__(self, base: nn.Embedding | QuantizedEmbedding, state: Adapters) -> None:
        super().__init__()
        self.base, self.adapters, self.state = base, nn.ModuleDict(), state
        self.training = base.training
        self.vocab_size = base.weight.shape[0]
        self.ranges: dict[str, tuple[int, int]] = {}
        self._next = self.vocab_size

    def add(self, name: str, prompt: SoftPrompt | Prefix) -> None:
        """Give a prompt or a prefix the next ids."""
        self.adapters[name] = prompt
        self.ranges[name] = (self._next, self._next + prompt.num_tokens)
        self._next += prompt.num_tokens

    def remove(self, name: str) -> None:
        """Remove a prompt or a prefix; its ids become unknown."""
        del self.adapters[name], self.ranges[name]

    def forward(self, ids: Tensor) -> Tensor:
        """Embed ids (B, T) -> (B, T, D), and leave the places of a prefix's tokens for a stack behind it.

        Raises InputError for an unknown id.
        """
        self.state.prefix_places = None
        virtual = ids >= self.vocab_size
        if not bool(virtual.any()):
            found: Tensor = self.base(ids)
            return found
        x: Tensor = self.base(torch.where(virtual, 0, ids))
        owned = ~virtual
        places = torch.full_like(ids, -1)
        before = 0  # rows of the prefixes so far
        for name, (start, stop) in self.ranges.items():
            inside = (ids >= start) & (ids < stop)
            owned = owned | inside
            prompt = self.adapters[name]
            if isinstance(prompt, SoftPrompt):
                rows = prompt.rows[torch.where(inside, ids - start, 0)].to(x.dtype)  # (B, T, D)
                x = torch.where(inside[..., None], rows, x)
            else:
                x = torch.where(inside[..., None], 0.0, x)
                places = torch.where(inside, ids - start + before, places)
                before += stop - start
        if not bool(owned.all()):
            raise InputError(
                f"token {int(ids[~owned][0])} is neither of the vocabulary's {self.vocab_size} nor of a prompt; "
                "virtual_ids gives a prompt's tokens"
            )
        self.state.prefix_places = places if before and bool((places >= 0).any()) else None
        return x

    def prefixes(self) -> list[Prefix]:
        """The prefixes, in the order of their ids."""
        return [found for name in self.ranges if isinstance(found := self.adapters[name], Prefix)]

    @property
    def weight(self) -> Tensor:
        """The matrix (V, D) of the model's embedding, which a tied head shares."""
        return self.base.weight

    @property
    def matrix(self) -> QuantizedMatrix:
        """The matrix of a quantized embedding, for a tied head."""
        return cast(QuantizedEmbedding, self.base).matrix


def fresh_prompt(config: PromptConfig, core: Transformer, base: nn.Embedding | QuantizedEmbedding) -> SoftPrompt:
    """A prompt before training.

    Args:
        config: configuration of the prompt.
        core: the model; not used.
        base: the model's token embedding.

    Raises:
        InputError: an initial token is not in the vocabulary.
        ConfigError: the initial text is not in tokens yet.
    """
    return SoftPrompt(_first_rows(config, base))


@torch.no_grad()
def _first_rows(config: PromptConfig, base: nn.Embedding | QuantizedEmbedding) -> Tensor:
    """The initial rows (n, D)."""
    if config.text is not None:
        raise ConfigError(f"text is {config.text!r}; give tokens: `with_tokenizer` makes tokens of it")
    weight = base.weight
    vocab_size, channels = weight.shape
    if config.init_ids:
        if not all(0 <= token < vocab_size for token in config.init_ids):
            raise InputError(
                f"init_ids has tokens outside 0..{vocab_size - 1}; take them from the model's own tokenizer"
            )
        repeats = math.ceil(config.num_tokens / len(config.init_ids))
        ids = torch.tensor((config.init_ids * repeats)[: config.num_tokens], device=weight.device)
    elif config.init is PromptInit.VOCABULARY:
        ids = torch.randint(vocab_size, (config.num_tokens,)).to(weight.device)
    else:
        return torch.randn(config.num_tokens, channels).to(weight.device)
    rows: Tensor = base(ids)
    return rows.float()


def read_prompt_rows(stored: StoredAdapter) -> tuple[PromptConfig, FillModules]:
    """The configuration of a stored prompt, and a function that fills its part.

    Raises:
        CheckpointError: the tensor is missing or of the wrong shape, or a setting cannot be honoured.
    """
    config, rows = read_prompt(stored.fields, stored.saved), stored.prompt()
    if len(rows) == 2 * config.num_tokens:
        log.info("%s: rows for T5's decoder are left out; PEFT does not read them either", stored.fields.where)
        rows = rows[: config.num_tokens]

    def fill(parts: dict[str, nn.Module]) -> None:
        (part,) = parts.values()
        copy_stored(cast(SoftPrompt, part).rows, rows, PROMPT)

    return config, fill


def write_prompt_rows(adapter: TrainedAdapter) -> AdapterContent:
    """The prompt in PEFT's form, without its initial settings."""
    (part,) = adapter.parts.values()
    prompt, config = cast(SoftPrompt, part), core_of(adapter.model)[1].config
    fields = {
        **virtual_fields(
            prompt.num_tokens, token_dim=config.hidden_size, heads=config.num_heads, layers=config.num_layers
        ),
        "num_transformer_submodules": 1,  # PEFT keeps rows for T5's decoder as well, and never reads them
        "prompt_tuning_init": "RANDOM",
    }
    return AdapterContent(fields=fields, tensors={PROMPT: prompt.rows})
