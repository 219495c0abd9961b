"""Tiny models with several adapters at once, and each adapter's output alone, computed plainly."""

import copy
import dataclasses

import torch

from lavra.adapt.inject import activate, activated, add_adapter, virtual_ids
from lavra.adapt.methods.ia3 import IA3Config
from lavra.adapt.methods.lora import LoraConfig
from lavra.adapt.methods.prefix import PrefixConfig
from lavra.adapt.methods.prompt import PromptConfig
from lavra.api.torch_serving import engine_adapters
from lavra.engine.config import EngineConfig
from lavra.engine.engine import Engine
from lavra.engine.runners.torch import TorchRunner
from lavra.generate.in_process import InProcessModel
from tests.adapt.peers import randomize
from tests.generate.tiny import tiny_in_process

CONFIGS = {
    "lora": LoraConfig(rank=3),
    "wide": LoraConfig(rank=2, targets="all-linear"),
    "dora": LoraConfig(rank=2, dora=True, targets=("key", "up")),
    "ia3": IA3Config(),
    "prompt": PromptConfig(num_tokens=5),
    "prefix": PrefixConfig(num_tokens=6),
}
VIRTUAL = {"prompt": 5, "prefix": 6}


def adapted(family="llama", names=tuple(CONFIGS)):
    """A model in this process with these adapters, all inactive."""
    plain = tiny_in_process(family)
    model = copy.deepcopy(plain.model)
    for name in names:
        torch.manual_seed(list(CONFIGS).index(name))  # prompts start at tokens drawn at random
        add_adapter(model, name, CONFIGS[name])
        randomize(model, 0.3)
    activate(model)
    return InProcessModel(model, plain.config, plain.tokenizer)


def engine_over(model, *, num_blocks=64, block_size=4, draft=None, usual_adapter=None, **settings):
    runner = TorchRunner(model.model, model.config, num_blocks=num_blocks, block_size=block_size)
    return Engine(
        runner,
        model.encoding,
        stop_ids=model.stop_ids,
        config=EngineConfig(**settings),
        root="base",
        draft=draft,
        adapters=engine_adapters(model),
        usual_adapter=usual_adapter,
    )


@torch.no_grad()
def logits_alone(model, adapter, tokens, source=None):
    """(T, V) logits of a text under one adapter, without a cache and without the virtual tokens' rows."""
    front = list(virtual_ids(model.model, adapter)) if adapter in VIRTUAL else []
    with activated(model.model, *([] if adapter is None else [adapter])):
        if source is None:
            return model.model(torch.tensor([[*front, *tokens]]))[0, len(front) :]
        before, inside = ([], front) if adapter == "prefix" else (front, [])
        ids = torch.tensor([[*before, *source]]), torch.tensor([[*inside, *tokens]])
        return model.model(*ids)[0, len(inside) :]


def written_alone(model, request):
    """Greedy tokens of a request up to the end of the text, one whole pass over the model for each token."""
    encoding = model.encoding
    read = list(request.prompt) if isinstance(request.prompt, tuple) else encoding.prompt_ids(request.prompt)
    source = None
    if encoding.decoder_start is not None:
        source = list(request.prompt) if isinstance(request.prompt, tuple) else encoding.source_ids(request.prompt)
        read = [encoding.decoder_start]
    first = len(read)
    while len(read) - first < request.max_tokens and (len(read) == first or read[-1] not in model.stop_ids):
        logits = logits_alone(model, request.adapter, read, source)[-1]
        read.append(int(logits[: model.num_tokens].argmax()))
    return tuple(read[first:])


def without_adapter(request):
    return dataclasses.replace(request, adapter=None)
