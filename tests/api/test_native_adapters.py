"""Folders of adapters in the native runner: the same answers as torch from the same files, without torch."""

import copy
import json
import subprocess
import sys

import numpy as np
import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import lavra
from lavra.adapt.inject import add_adapter
from lavra.adapt.methods.bottleneck import BottleneckConfig
from lavra.adapt.peft_file import TENSOR_FILE
from lavra.adapt.peft_write import save_adapter
from lavra.api.adapted_model import open_with_adapters
from lavra.api.serving import start_engine
from lavra.base.card import read_card, write_card
from lavra.base.errors import CheckpointError, InputError
from lavra.base.native_library import native_library
from lavra.base.types import GenerateRequest
from lavra.model.checkpoint import load_checkpoint, save_checkpoint
from lavra.quantize.folder import save_quantized
from lavra.quantize.scheme import SCHEMES
from lavra.quantize.swap import quantize_model
from tests.adapt.peers import randomize
from tests.engine.adapted import adapted
from tests.generate.tiny import tiny_in_process

pytestmark = pytest.mark.skipif(native_library() is None, reason="the native library is not built here")
FAMILIES = ("llama", "t5", *(pytest.param(name, marks=pytest.mark.slow) for name in ("gpt2", "falcon")))
NAMES = ("lora", "wide", "prompt", "prefix")
FOLDED = ("dora", "ia3")
TEXT = "Once upon a time"


def made(root, family, names=(*NAMES, *FOLDED)):
    """A base and its adapters, saved by lavra."""
    plain = tiny_in_process(family)
    save_checkpoint(plain.model, root / "base")
    plain.tokenizer.save(root / "base")
    model = adapted(family, names=names).model
    for name in names:
        save_adapter(model, name, root / name, base=str(root / "base"))
    return root


@pytest.fixture(scope="module", params=FAMILIES)
def folders(request, tmp_path_factory):
    return made(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return made(tmp_path_factory.mktemp("llama"), "llama")


@pytest.mark.parametrize("name", [*NAMES, *FOLDED])
def test_it_says_what_torch_says(folders, name):
    native, reference = lavra.load(folders / name), lavra.load(folders / name, runner="torch")
    assert (native.runner, reference.runner) == ("native", "torch")
    found, expected = (one.generate(TEXT, max_tokens=10) for one in (native, reference))
    assert found.tokens == expected.tokens
    assert found.logprobs == pytest.approx(expected.logprobs, abs=2e-4)
    given = {"given": "The cat"} if folders.name.startswith("t5") else {}
    scores = [one.score(TEXT, **given).logprobs for one in (native, reference)]
    assert scores[0][1:] == pytest.approx(scores[1][1:], abs=5e-4)
    assert scores[0][1:] != pytest.approx(lavra.load(folders / "base").score(TEXT, **given).logprobs[1:], abs=1e-2)
    texts = [TEXT, "a", "She loved to play outside."]
    assert native.embed(texts) == pytest.approx(reference.embed(texts), abs=1e-5)
    assert native.embed(texts, pooling="last") == pytest.approx(reference.embed(texts, pooling="last"), abs=1e-5)


def test_a_decoder_embeds_as_with_torch(folders):
    native, reference = lavra.load(folders / "base"), lavra.load(folders / "base", runner="torch")
    texts = [TEXT, "a", "She loved to play outside. " * 3]
    for pooling in ("mean", "last", "cls"):
        found = native.embed(texts, pooling=pooling)
        assert found == pytest.approx(reference.embed(texts, pooling=pooling), abs=1e-5)
        assert np.array_equal(found, np.concatenate([native.embed([text], pooling=pooling) for text in texts]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_peft_wrote_it_in_halves(llama, tmp_path, dtype):
    """With different ranks and scales for some layers, as PEFT computes them."""
    settings = {"rank_pattern": {"layers.1.self_attn.q_proj": 5}, "alpha_pattern": {"k_proj": 3}, "use_rslora": True}
    config = peft.LoraConfig(task_type="CAUSAL_LM", r=3, target_modules=["q_proj", "k_proj", "up_proj"], **settings)
    model = peft.get_peft_model(_theirs(llama / "base"), config).eval()
    randomize(model)
    model.save_pretrained(tmp_path / "made")
    halves = {name: one.to(dtype) for name, one in load_file(tmp_path / "made" / TENSOR_FILE).items()}
    save_file(halves, tmp_path / "made" / TENSOR_FILE)
    reference = peft.PeftModel.from_pretrained(_theirs(llama / "base"), tmp_path / "made").eval()
    native = lavra.load(tmp_path / "made", base=llama / "base", runner="native")
    ids = tuple(native.port.encoding.prompt_ids(TEXT))
    with torch.no_grad():
        rows = reference(torch.tensor([ids])).logits[0].log_softmax(-1)
    wanted = [rows[place - 1, token].item() for place, token in enumerate(ids) if place]
    assert native.score(ids).logprobs[1:] == pytest.approx(wanted, abs=1e-3)


def _theirs(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(folder).eval()


def test_several_streams_and_engines_meet_the_adapter(llama):
    native = lavra.load(llama / "prefix")
    expected = lavra.load(llama / "prefix", runner="torch").generate([TEXT, "a"], max_tokens=6)
    assert [one.tokens for one in native.generate([TEXT, "a"], max_tokens=6)] == [one.tokens for one in expected]
    with start_engine(native) as engine:
        assert engine.usual_adapter == "default"
        found = engine.generate([GenerateRequest(prompt=TEXT, max_tokens=6)])[0][0]
    assert found.tokens == expected[0].tokens
    with pytest.raises(InputError, match="virtual tokens a draft model does not read"):
        start_engine(lavra.load(llama / "base"), draft=native)


@pytest.fixture
def small(llama, tmp_path):
    """The base in integers."""
    model, _ = load_checkpoint(llama / "base")
    quantize_model(model, SCHEMES["int8"])
    save_quantized(model, tmp_path / "small")
    tiny_in_process().tokenizer.save(tmp_path / "small")
    return tmp_path / "small"


def test_over_integers_the_adapter_stays_float(llama, small):
    opened = lavra.load(llama / "wide", base=small)
    assert (opened.runner, opened.held.stored) == ("native", "int8")
    assert opened.score(TEXT).logprobs[1:] == pytest.approx(
        lavra.load(llama / "wide").score(TEXT).logprobs[1:], abs=0.3
    )


def test_adapters_the_runner_lacks_go_to_torch_with_a_message(llama, small, tmp_path, caplog):
    caplog.set_level("INFO")
    model = copy.deepcopy(tiny_in_process().model)
    add_adapter(model, "pfeiffer", BottleneckConfig.pfeiffer())
    save_adapter(model, "pfeiffer", tmp_path / "pfeiffer", base=str(llama / "base"))
    for folder, base, reason in (
        (tmp_path / "pfeiffer", None, "the adapter is of the kind LAVRA_BOTTLENECK"),
        (llama / "dora", small, "the adapter is folded into float weights, and these are packed"),
    ):
        assert lavra.load(folder, base=base).runner == "torch"
        assert reason in caplog.text
        with pytest.raises(InputError, match=f"the native runner does not compute .*: {reason}"):
            lavra.load(folder, base=base, runner="native")
    assert open_with_adapters(llama / "base", {"one": llama / "lora", "two": llama / "dora"}).runner == "torch"
    assert "adapter 'two' is DoRA or IA3" in caplog.text


def test_halves_are_widened_where_an_adapter_is_folded_into_them(llama, tmp_path):
    half = copy.deepcopy(tiny_in_process().model).to(torch.bfloat16)
    save_checkpoint(half, tmp_path)
    tiny_in_process().tokenizer.save(tmp_path)
    assert lavra.load(llama / "lora", base=tmp_path).held.held == "bfloat16"
    native, reference = (lavra.load(llama / "dora", base=tmp_path, runner=name) for name in ("native", "torch"))
    assert (native.held.stored, native.held.held) == ("bfloat16", "float32")
    assert native.score(TEXT).logprobs[1:] == pytest.approx(reference.score(TEXT).logprobs[1:], abs=5e-4)


def test_an_adapter_of_another_model_is_refused(llama, tmp_path):
    shapes = tmp_path / "shapes"
    save_adapter(adapted("llama", names=("lora",)).model, "lora", shapes, base=str(llama / "base"))
    tensors = load_file(shapes / TENSOR_FILE)
    name = next(one for one in tensors if "lora_B" in one)
    save_file({**tensors, name: tensors[name][:-1].contiguous()}, shapes / TENSOR_FILE)
    with pytest.raises(CheckpointError, match="the adapter was made for another model"):
        lavra.load(shapes)
    config = json.loads((shapes / "adapter_config.json").read_text())
    (shapes / "adapter_config.json").write_text(json.dumps({**config, "r": 4}))
    save_file(tensors, shapes / TENSOR_FILE)
    with pytest.raises(CheckpointError, match="has rank 4 there and 3 in its tensors"):
        lavra.load(shapes)
    for other in ("t5", "gpt2"):
        model = made(tmp_path / other, other, ("lora",))
        with pytest.raises(CheckpointError, match="not a linear layer of this model"):
            lavra.load(llama / "lora", base=model / "base")
    (shapes / TENSOR_FILE).write_bytes((llama / "lora" / TENSOR_FILE).read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="truncated"):
        lavra.load(shapes)
    with pytest.raises(InputError, match="is not an adapter; leave base out"):
        lavra.load(llama / "base", base=llama / "base")


def test_an_adapter_that_was_trained_to_embed_pools_as_it_was_trained(llama, tmp_path):
    save_adapter(adapted("llama", names=("lora",)).model, "lora", tmp_path, base=str(llama / "base"))
    write_card(tmp_path, kind="adapter", parents={}, config={"task": "embed", "embed": {"pooling": "last"}})
    native, reference = lavra.load(tmp_path), lavra.load(tmp_path, runner="torch")
    assert native.embedder.config == reference.embedder.config
    assert native.embed([TEXT]) == pytest.approx(reference.embed([TEXT]), abs=1e-5)
    assert native.embed([TEXT]) == pytest.approx(native.embed([TEXT], pooling="last"), abs=1e-6)


def test_saved_it_opens_again(llama, tmp_path):
    lavra.load(llama / "prompt").save(tmp_path / "copy")
    assert (tmp_path / "copy" / "tokenizer.json").exists()
    assert read_card(tmp_path / "copy").kind == "adapter"
    found, expected = (lavra.load(one).score(TEXT) for one in (tmp_path / "copy", llama / "prompt"))
    assert found == expected


PROGRAM = """
import sys, lavra
from lavra.api.adapted_model import open_with_adapters
from lavra.api.adapted_model import open_with_adapters
from lavra.api.serving import start_engine
from lavra.base.types import GenerateRequest
folder, copy, *names = sys.argv[1:]
for name in names:
    model = lavra.load(f"{folder}/{name}")
    model.generate("The", max_tokens=3), model.score("The cat"), model.embed(["a", "b"])
    model.generate("The", max_tokens=3, num_beams=2), model.save(copy)
model = open_with_adapters(f"{folder}/base", {name: f"{folder}/{name}" for name in names})
with start_engine(model) as engine:
    engine.generate([GenerateRequest(prompt="a", max_tokens=2, adapter=name) for name in names])
print(*[name for name in ("torch", "transformers", "peft") if name in sys.modules])
"""


@pytest.mark.slow
def test_no_torch_is_in_the_process(llama, tmp_path):
    command = [sys.executable, "-c", PROGRAM, str(llama), str(tmp_path / "copy"), *NAMES]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout.split() == []
