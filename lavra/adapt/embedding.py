"""A model whose output is one vector a text: a sentence encoder (Reimers & Gurevych 2019, arXiv:1908.10084, §3).

    texts ─▶ backbone ─▶ hidden (B, T, D) ─▶ pooled (B, D) ─▶ scaled to length 1

The backbone is one of the three models of `lavra.model.transformer`; of an encoder-decoder the encoder reads.  Its
other parts have no use here: an encoder's masked-token head is dropped, so that it is saved as a `BertModel`, and
the parts a family's folder cannot do without (a decoder's head, T5's decoder, a pooler) stay as they are, untrained.

Losses are in `embedding_losses`, the folder is written by `lavra.adapt.embedding_folder`.  Deliberately absent: dense
layers behind the pooling, and vectors that are weighted sums of layers.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from lavra.base.errors import ConfigError
from lavra.model.build import Model
from lavra.model.config import ModelConfig
from lavra.model.pooled_rows import pool
from lavra.model.pooling import Pooling
from lavra.model.transformer import Decoder, Encoder, EncoderDecoder


class EmbeddingModel(nn.Module):
    """A backbone, a pooling, and a scaling.

    Args:
        backbone: a loaded or fresh model; it is used, not copied, and loses its masked-token head. Parameters that
            have no part in the vector no longer require gradients.
        pooling: pooling of hidden states to a vector.
        normalize: whether vectors are scaled to length 1.

    Raises:
        ConfigError: a decoder is to be pooled by its first token, which has read no other token.
    """

    def __init__(self, backbone: Model, *, pooling: Pooling = Pooling.MEAN, normalize: bool = True) -> None:
        super().__init__()
        if isinstance(backbone, Decoder) and pooling is Pooling.CLS:
            raise ConfigError(
                "pooling is 'cls' and in a decoder the first token reads no other token; use 'mean' or 'last'"
            )
        self.backbone = backbone
        self.pooling, self.normalize = pooling, normalize
        _set_aside(backbone)
        self.train(backbone.training)

    @property
    def config(self) -> ModelConfig:
        """Configuration of the backbone."""
        return self.backbone.config

    def forward(
        self, input_ids: Tensor, *, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """Compute the vectors of texts.

        Args:
            input_ids: (B, T); padding, if any, is on the right.
            attention_mask: (B, T) True on real tokens, at least one in each row; None when all are real.
            token_type_ids: (B, T) for families that have them.

        Returns:
            (B, D) float32.
        """
        hidden = self._hidden(input_ids, attention_mask, token_type_ids).float()
        mask = input_ids.new_ones(input_ids.shape).bool() if attention_mask is None else attention_mask
        pooled = pool(hidden, mask, self.pooling)
        return nn.functional.normalize(pooled) if self.normalize else pooled

    def _hidden(self, input_ids: Tensor, attention_mask: Tensor | None, token_type_ids: Tensor | None) -> Tensor:
        model = self.backbone
        if isinstance(model, Encoder):
            return model.hidden(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        if isinstance(model, EncoderDecoder):
            return model.encode(input_ids, attention_mask=attention_mask)
        return model.hidden(input_ids, attention_mask=attention_mask)


def _set_aside(model: Model) -> None:
    """Drop the head that a folder does not need, and freeze the parts that no gradient reaches."""
    unused: list[nn.Module | None] = [model.head]
    if isinstance(model, Encoder):
        model.head = None
        model.config = replace(model.config, has_head=False, head_bias=False, head_transform=False)
        unused = [model.pooler]
    if isinstance(model, EncoderDecoder):
        unused.append(model.decoder)
    for module in unused:
        if module is not None:
            module.requires_grad_(False)
