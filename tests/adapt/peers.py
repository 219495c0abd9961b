"""Tiny models of every family, adapted by PEFT with weights that change the logits."""

import dataclasses

import peft
import torch

from lavra.model.checkpoint import load_checkpoint
from tests.model.variants import ALL, inputs, save_theirs, theirs

VARIANTS = {variant.name: variant for variant in ALL}
FAMILIES = ["llama-grouped", "qwen2", "gpt2", "falcon-new", "falcon-7b", "bert", "roberta", "t5-v1.1"]
TARGETS = {
    "llama": ["q_proj", "v_proj", "down_proj"],
    "qwen2": ["q_proj", "k_proj", "o_proj", "up_proj"],
    "gpt2": ["c_attn", "c_proj"],
    "falcon": ["query_key_value", "dense", "dense_4h_to_h"],
    "bert": ["query", "value", "dense"],
    "roberta": ["key", "output.dense"],
    "t5": ["q", "v", "wo"],
}
TASKS = {"bert": "FEATURE_EXTRACTION", "roberta": "FEATURE_EXTRACTION", "t5": "SEQ_2_SEQ_LM"}


def family_of(name):
    return VARIANTS[name].config().model_type


def base_folder(name, folder):
    return save_theirs(theirs(VARIANTS[name]), folder)


def ours(folder):
    return load_checkpoint(folder)[0]


def their_model(folder, name):
    return VARIANTS[name].model.from_pretrained(folder).eval()


def randomize(module, scale=0.2):
    """Give adapters random weights that make a difference, unlike their initial ones."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                drawn = torch.randn(parameter.shape, generator=generator) * scale
                keeps = any(part in name for part in ("ia3_", "magnitude", "factors"))
                parameter.copy_(parameter + drawn if keeps else drawn)


def adapted_by_peft(base, name, config, folder):
    """A model of `transformers` with a random adapter, saved by PEFT; returns its logits too."""
    model = peft.get_peft_model(their_model(base, name), config).eval()
    model.requires_grad_(False)
    for parameter_name, parameter in model.named_parameters():
        parameter.requires_grad_(any(part in parameter_name for part in ("lora_", "ia3_", "prompt_encoder")))
    randomize(model)
    model.save_pretrained(folder)
    return model


@torch.no_grad()
def logits(model, ids):
    out = model(**ids)
    return out if isinstance(out, torch.Tensor) else out.logits


def ids_for(model, **settings):
    return inputs(model, time=12, **settings)


def changed(config, **settings):
    return dataclasses.replace(config, **settings)
