"""Embeddings and heads in an adapter's file: the model shares these matrices, so no adapter can have its own.

PEFT saves both whole wherever it assumes that they may have changed: after a resized vocabulary, with
`save_embedding_layers`, beside LoRA on one of them.  Copies of the base's own matrices are left out here.  Matrices
that were really trained are refused, with the command that makes an ordinary model of the adapter.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from lavra.adapt.layers import core_of
from lavra.adapt.peft_file import AdapterTensors
from lavra.adapt.peft_names import PeftNames
from lavra.base.errors import CheckpointError
from lavra.model.families.fields import Fields
from lavra.model.families.table import family

log = logging.getLogger(__name__)

_BASE: Final = ".base_layer"
_CLASSES: Final = {
    "SEQ_2_SEQ_LM": "AutoModelForSeq2SeqLM",
    "SEQ_CLS": "AutoModelForSequenceClassification",
    "TOKEN_CLS": "AutoModelForTokenClassification",
    "QUESTION_ANS": "AutoModelForQuestionAnswering",
    "FEATURE_EXTRACTION": "AutoModel",
}
_UNTIED: Final = (
    "h = b.get_output_embeddings()",
    "h.weight = torch.nn.Parameter(h.weight.detach().clone())",
    "b.config.tie_word_embeddings = False",
)
_TOKENS: Final = ".token_adapter."


def leave_out_copies(model: nn.Module, fields: Fields, names: PeftNames, parsed: AdapterTensors) -> AdapterTensors:
    """An adapter's tensors without copies of the model's embedding or head.

    Raises:
        CheckpointError: the adapter has an embedding or a head of its own, or LoRA on one of them.
    """
    matrices = _matrices(model, names)
    whole, ours = dict[str, Tensor](), dict[str, Tensor]()
    rows = [name for name in parsed.saved if _TOKENS in name]
    for name, tensor in parsed.saved.items():
        module, _, leaf = name.replace(_BASE, "").rpartition(".")
        (ours if leaf == "weight" and names.bare(module) in matrices else whole)[name] = tensor
    changed = {name: one for name, one in ours.items() if not _repeats(one, matrices[_module(names, name)])}
    updated = [name for name in parsed.layers if names.bare(name) in matrices]
    if changed or updated or rows:
        what = [f"LoRA on {name}" for name in updated] + [f"{name} trained or resized" for name in changed]
        what += [f"trained tokens of {name.partition(_TOKENS)[0]}" for name in rows]
        copied = len(ours) == 2 and torch.equal(*ours.values())  # PEFT itself ties trained tokens
        raise CheckpointError(
            f"{fields.where}: the adapter has {' and '.join(what)}, and lavra adapts no embeddings and no heads: "
            f"other layers share their matrix; {_merging(fields, model, changed, untie=not copied and not rows)}"
        )
    if ours:
        log.info("%s: %s equal the model's own and are left out", fields.where, ", ".join(sorted(ours)))
    return replace(parsed, saved=whole)


def _merging(fields: Fields, model: nn.Module, changed: Mapping[str, Tensor], *, untie: bool) -> str:
    """The command that makes an ordinary model of an adapter, with PEFT.

    A tied model is untied first where its two matrices would differ: merging changes them in place.
    """
    config, folder = core_of(model)[1].config, Path(fields.where).parent
    made = _CLASSES.get(str(fields.raw.get("task_type")), "AutoModelForCausalLM")
    base = fields.raw.get("base_model_name_or_path") or "BASE"
    rows = max((len(tensor) for tensor in changed.values()), default=config.vocab_size)
    steps = [
        "import torch, peft, transformers as t",
        f"b = t.{made}.from_pretrained('{base}')",
        *([] if rows == config.vocab_size else [f"b.resize_token_embeddings({rows}, mean_resizing=False)"]),
        *(_UNTIED if untie and config.tie_embeddings and config.has_head else []),
        f"peft.PeftModel.from_pretrained(b, '{folder}').merge_and_unload().save_pretrained('{folder}-merged')",
        f"t.AutoTokenizer.from_pretrained('{folder if _has_tokenizer(folder) else base}')"
        f".save_pretrained('{folder}-merged')",
    ]
    return f'merge it into the model with PEFT and open {folder}-merged: python -c "{"; ".join(steps)}"'


def _has_tokenizer(folder: Path) -> bool:
    return (folder / "tokenizer_config.json").exists()


def _matrices(model: nn.Module, names: PeftNames) -> dict[str, Tensor]:
    """Bare names of their modules -> the model's matrix."""
    _, core = core_of(model)
    source = family(core.config.family)
    head, embedding = source.tied
    known = {embedding, *(copy for copy, original in source.copies.items() if original == embedding)}
    table: Tensor = core.embedding.token.weight
    own = getattr(core.head, "weight", None) if core.head is not None else None
    matrices = dict.fromkeys(known, table) | {head: table if own is None else own}
    return {names.bare(name.removesuffix(".weight")): matrix for name, matrix in matrices.items()}


def _module(names: PeftNames, tensor: str) -> str:
    return names.bare(tensor.replace(_BASE, "").removesuffix(".weight"))


def _repeats(stored: Tensor, matrix: Tensor) -> bool:
    return stored.shape == matrix.shape and torch.equal(stored.to(matrix), matrix.detach())
