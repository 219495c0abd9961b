"""The training path is one graph that all layers share: nothing in it depends on the data or the layer's number."""

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from lavra.model.build import build_model
from lavra.model.families.table import preset
from tests.model.variants import VOCAB

SHAPE = {"vocab_size": VOCAB, "hidden_size": 64, "num_layers": 3, "num_heads": 4, "max_positions": 64}


@pytest.mark.parametrize("name", ["llama", "gpt2", "falcon", "bert"])
@pytest.mark.parametrize("packed", [False, True])
def test_hidden_states_are_one_graph(name, packed):
    torch._dynamo.reset()
    torch.manual_seed(0)
    model = build_model(preset(name, **SHAPE))
    counter = CompileCounter()
    compiled = torch.compile(model.hidden, backend=counter, fullgraph=True)
    ids = torch.randint(0, VOCAB, (2, 16))
    segments = torch.tensor([[1] * 5 + [2] * 11] * 2) if packed else None
    with torch.autocast("cpu", torch.bfloat16):
        expected, found = model.hidden(ids, segments=segments), compiled(ids, segments=segments)
        compiled(ids.flip(0), segments=segments)
    assert torch.equal(found, expected)
    assert counter.frame_count == 1


def test_layers_share_a_compiled_block():
    torch._dynamo.reset()
    model = build_model(preset("llama", **SHAPE))
    counter = CompileCounter()
    for block in model.blocks:
        block.compile(backend=counter, dynamic=False)
    ids = torch.randint(0, VOCAB, (2, 16))
    segments = torch.ones(2, 16, dtype=torch.int32)
    with torch.autocast("cpu", torch.bfloat16):
        for _ in range(2):
            model.hidden(ids, segments=segments).sum().backward()
    assert counter.frame_count == 1
