"""A user's own family in this one file works everywhere: nothing in the package knows its name.

It computes the same as GPT-2, so `transformers` gives the reference logits, but its fields and tensors have other
names, and our tensor layout.
"""

from __future__ import annotations

import dataclasses
import json
import sysconfig
from pathlib import Path
from types import SimpleNamespace

import gguf
import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

import lavra
from lavra.adapt.inject import activate, add_adapter, eject, virtual_ids
from lavra.adapt.methods.lora import LoraConfig
from lavra.adapt.methods.prefix import PrefixConfig
from lavra.adapt.peft_read import load_adapter
from lavra.adapt.peft_write import save_adapter
from lavra.base.errors import CheckpointError, ConfigError
from lavra.base.ports import silent
from lavra.base.tasks import HeadKind
from lavra.base.workspace import Workspace
from lavra.compression.gguf import GgufOptions, export_gguf, load_gguf_weights
from lavra.model.build import build_model
from lavra.model.checkpoint import load_checkpoint, save_checkpoint
from lavra.model.config import Activation, Init, Kind, Layout, ModelConfig, Norm, Positions
from lavra.model.families.family import Family, Shape
from lavra.model.families.fields import Fields
from lavra.model.families.gguf_form import GgufForm
from lavra.model.families.head_forms import decoder_heads
from lavra.model.families.table import FAMILIES, add_family, family, family_names, preset
from lavra.model.heads import add_task_head
from lavra.model.task_config import TaskConfig
from lavra.model.task_files import task_in
from lavra.model.task_folder import load_task_model, save_task_model
from lavra.model.weights import WeightTable, both, each_layer, rule
from lavra.pipeline.settings import UpConfig
from lavra.pipeline.stage import run_stages
from lavra.pipeline.up import up_stages
from lavra.quantize.folder import load_model, save_quantized
from lavra.quantize.scheme import SCHEMES
from lavra.quantize.swap import quantize_model
from lavra.runs.finetune import finetune, prepare
from lavra.tasks.classify import CLASSIFY
from lavra.tasks.learning.settings import FinetuneConfig
from lavra.tokens.config import TokenizerConfig
from lavra.tokens.train import train_tokenizer
from lavra.train.loop import train
from tests.runs.tasks import base_folder, rows, write
from tests.train.tiny import next_token, settings, tiny_model

SIZES = {
    "rows": "vocab_size",
    "width": "hidden_size",
    "depth": "num_layers",
    "lanes": "num_heads",
    "length": "max_positions",
}
PARTS = {
    "norm_a": "attention_norm",
    "mix.ask": "attention.query",
    "mix.key": "attention.key",
    "mix.value": "attention.value",
    "mix.out": "attention.output",
    "norm_b": "feed_forward_norm",
    "think.up": "feed_forward.up",
    "think.down": "feed_forward.down",
}


def toy_config(*, model_type: str = "toy", **sizes: int) -> ModelConfig:
    return ModelConfig(
        family=model_type,
        kind=Kind.DECODER,
        num_kv_heads=sizes["num_heads"],
        head_dim=sizes["hidden_size"] // sizes["num_heads"],
        feed_forward_size=4 * sizes["hidden_size"],
        positions=Positions.LEARNED,
        norm=Norm.LAYER,
        norm_eps=1e-5,
        layout=Layout.PRE_NORM,
        activation=Activation.GELU_TANH,
        gated=False,
        attention_bias=True,
        attention_output_bias=True,
        feed_forward_bias=True,
        tie_embeddings=True,
        init=Init.SCALED_RESIDUAL,
        **sizes,
    )


def toy_read(fields: Fields, names: frozenset[str]) -> ModelConfig:
    return toy_config(model_type=fields.any("model_type"), **{ours: fields.integer(own) for own, ours in SIZES.items()})


def toy_write(config: ModelConfig) -> dict[str, int]:
    return {own: getattr(config, ours) for own, ours in SIZES.items()}


def toy_table(config: ModelConfig) -> WeightTable:
    layer = [
        one for own, ours in PARTS.items() for one in both(f"toy.floor.{{i}}.{own}", f"decoder.blocks.{{i}}.{ours}")
    ]
    return [
        rule("toy.words", "embedding.token.weight"),
        rule("toy.places", "embedding.position.weight"),
        *each_layer(layer, config.num_layers),
        *both("toy.roof", "decoder.norm"),
    ]


def toy_preset(shape: Shape) -> ModelConfig:
    return toy_config(**vars(shape))


TOY = Family(
    model_type="toy",
    architectures=("ToyModel",),
    read=toy_read,
    write=toy_write,
    architecture=lambda config: "ToyModel",
    table=toy_table,
    prefix="toy.",
    tied=("toy.head", "toy.words"),
    preset=toy_preset,
    tokenizer="bpe",
    heads=decoder_heads("Toy", "toy.", tags="tags"),
    gguf=GgufForm(architecture="gpt2", fused=True),
)
BARE = dataclasses.replace(
    TOY,
    model_type="bare-toy",
    preset=lambda shape: toy_config(model_type="bare-toy", **vars(shape)),
    heads={},
    gguf=None,
)
IDS = torch.randint(0, 96, (2, 12), generator=torch.Generator().manual_seed(3))
LABELS = ("no", "maybe", "yes")


@pytest.fixture(scope="module", autouse=True)
def families():
    add_family(f"{__name__}:TOY")
    add_family(f"{__name__}:BARE")


def fresh(name="toy", **changes):
    sizes = {"vocab_size": 96, "hidden_size": 64, "num_layers": 2, "num_heads": 4, "max_positions": 64, **changes}
    torch.manual_seed(0)
    return build_model(preset(name, **sizes)).eval()


def losses(objective, model, steps=20):
    """Loss for each target at each step, from the loop that trains every model."""
    found = []
    watch = SimpleNamespace(
        on_step=lambda step, metrics: found.append(metrics["loss"]),
        on_eval=lambda step, metrics: False,
        on_save=lambda step, folder: None,
        on_end=lambda summary: None,
    )
    train(model, objective, settings(steps), hooks=[watch])
    return found


def peer_tensors(peer):
    """A GPT-2's tensors under the toy's names, by hand: its matrices are (in, out), and three of them are joined."""
    state, width = peer.state_dict(), peer.config.n_embd
    found = {"toy.words": state["transformer.wte.weight"], "toy.places": state["transformer.wpe.weight"]}
    names = {"ln_1": "norm_a", "ln_2": "norm_b"}
    names |= {"attn.c_proj": "mix.out", "mlp.c_fc": "think.up", "mlp.c_proj": "think.down"}
    for layer in range(peer.config.n_layer):
        theirs, own = f"transformer.h.{layer}.", f"toy.floor.{layer}."
        for name, mine in names.items():
            weight = state[f"{theirs}{name}.weight"]
            found |= {f"{own}{mine}.weight": weight.t(), f"{own}{mine}.bias": state[f"{theirs}{name}.bias"]}
        for place, mine in enumerate(("ask", "key", "value")):
            columns = slice(place * width, (place + 1) * width)
            found[f"{own}mix.{mine}.weight"] = state[f"{theirs}attn.c_attn.weight"][:, columns].T
            found[f"{own}mix.{mine}.bias"] = state[f"{theirs}attn.c_attn.bias"][columns]
    for leaf in ("weight", "bias"):
        found[f"toy.roof.{leaf}"] = state[f"transformer.ln_f.{leaf}"]
    return {name: tensor.clone().contiguous() for name, tensor in found.items()}


@pytest.fixture
def foreign(tmp_path):
    """A folder of the toy that lavra did not write, and its reference logits."""
    torch.manual_seed(1)
    peer = hf.GPT2LMHeadModel(hf.GPT2Config(vocab_size=96, n_embd=64, n_layer=2, n_head=4, n_positions=64)).eval()
    with torch.no_grad():
        for parameter in peer.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, 0.2)
        expected = peer(IDS).logits
    folder = tmp_path / "foreign"
    folder.mkdir()
    fields = {"rows": 96, "width": 64, "depth": 2, "lanes": 4, "length": 64}
    (folder / "config.json").write_text(json.dumps({"model_type": "toy", "architectures": ["ToyModel"], **fields}))
    save_file(peer_tensors(peer), folder / "model.safetensors")
    return folder, expected


@torch.no_grad()
def test_a_folder_opens_and_is_saved_as_it_was(foreign, tmp_path):
    folder, expected = foreign
    model, config = load_checkpoint(folder)
    assert config.family == "toy"
    assert expected.std() > 1
    torch.testing.assert_close(model(IDS), expected, atol=1e-4 * float(expected.std()), rtol=0)
    save_checkpoint(model, tmp_path / "ours")
    before, after = (load_file(one / "model.safetensors") for one in (folder, tmp_path / "ours"))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    fields = json.loads((tmp_path / "ours" / "config.json").read_text())
    assert fields.items() >= {"model_type": "toy", "width": 64, "depth": 2, "lanes": 4}.items()


def test_it_is_pretrained_and_opens_again(tmp_path):
    model = tiny_model("toy")
    found = losses(next_token(tmp_path), model)
    assert found[-1] < found[0] - 0.3
    save_checkpoint(model.eval(), tmp_path / "made")
    again, _ = load_checkpoint(tmp_path / "made")
    assert torch.equal(again(IDS), model(IDS))
    assert not torch.equal(again(IDS), tiny_model("toy").eval()(IDS))


def test_it_is_finetuned_and_predicts(tmp_path):
    data = write(tmp_path / "data.jsonl", rows("classify", 160))
    config = FinetuneConfig(
        task=CLASSIFY, data=data, batch_size=16, learning_rate=3e-3, epochs=10.0, heldout_fraction=0.2
    )
    result = finetune(prepare(config, base_folder(tmp_path / "base", "toy")), tmp_path / "made", silent)
    assert result.before.value < 0.7 < 0.8 <= result.after.value
    fields = json.loads((tmp_path / "made" / "config.json").read_text())
    assert fields["architectures"] == ["ToyForSequenceClassification"]
    found = lavra.load(tmp_path / "made").classify(["the film was great", "the day was awful"])
    assert [one.label for one in found] == ["yes", "no"]


@pytest.mark.slow
def test_the_stages_of_up_make_one_from_text(tmp_path):
    """Its tokenizer, its shape, its memory in a separate process, its INT8 folder: all by name alone."""
    (tmp_path / "text").mkdir()
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:15]:
        (tmp_path / "text" / path.name).write_bytes(path.read_bytes())
    given = UpConfig(
        text=tmp_path / "text",
        family="toy",
        budget=10.0,
        vocab_size=512,
        sequence_length=64,
        heldout_fraction=0.2,
        compile="off",
    )
    wanted = ("corpus", "tokenizer", "tokens", "instructions", "plan", "pretrain", "compress")
    stages = [stage for stage in up_stages(given, silent) if stage.name in wanted]
    *_, pretrained, compressed = run_stages(stages, Workspace.open(tmp_path / "workspace"))
    assert json.loads((pretrained.folder / "config.json").read_text())["model_type"] == "toy"
    for folder in (pretrained.folder, compressed.folder):
        assert lavra.load(folder).generate("def ", max_tokens=4).usage.completion_tokens == 4


@pytest.mark.parametrize("kind", HeadKind, ids=lambda kind: kind.value)
def test_every_head_is_saved_under_the_familys_names(kind, tmp_path):
    model = add_task_head(fresh(), TaskConfig.of(kind, LABELS)).eval()
    save_task_model(model, tmp_path)
    names = set(load_file(tmp_path / "model.safetensors"))
    head = {HeadKind.TOKEN: "tags", HeadKind.SPAN: "qa_outputs"}.get(kind, "score")
    assert {name for name in names if not name.startswith("toy.")} <= {f"{head}.weight", f"{head}.bias"}
    assert torch.equal(load_task_model(tmp_path)(IDS), model(IDS))


@pytest.mark.parametrize(
    ("method", "name"),
    [
        (LoraConfig(rank=4, targets=("mix.ask", "up")), "base_model.model.toy.floor.1.mix.ask.lora_A.weight"),
        (PrefixConfig(num_tokens=3), "prompt_embeddings"),
    ],
    ids=["lora", "prefix"],
)
@torch.no_grad()
def test_an_adapter_has_the_checkpoints_names(method, name, tmp_path):
    model = fresh()
    plain = model(IDS)
    add_adapter(model, "x", method)
    for path, parameter in model.named_parameters():
        if "adapters" in path:
            parameter.normal_(0.0, 0.3)
    activate(model, "x")
    save_adapter(model, "x", tmp_path)
    assert name in load_file(tmp_path / "adapter_model.safetensors")
    again = fresh()
    load_adapter(again, tmp_path, name="x")
    activate(again, "x")
    front = virtual_ids(again, "x") if isinstance(method, PrefixConfig) else ()
    ids = torch.cat((torch.tensor([front] * 2, dtype=torch.int64), IDS), dim=1)
    found = again(ids)[:, len(front) :]
    assert torch.equal(found, model(ids)[:, len(front) :])
    assert not torch.allclose(found, plain)
    eject(again)
    assert torch.equal(again(IDS), plain)


@pytest.mark.parametrize("scheme", ["int8", "int4"])
@torch.no_grad()
def test_a_quantized_folder_opens_again(scheme, tmp_path):
    model = fresh()
    quantize_model(model, SCHEMES[scheme])
    save_quantized(model, tmp_path)
    again, _ = load_model(tmp_path)
    assert torch.equal(again(IDS), model(IDS))


def test_llama_cpp_gets_it_under_the_name_the_family_gives(tmp_path):
    model, tokenizer = fresh(vocab_size=300), train_tokenizer(["toys and words"] * 9, TokenizerConfig(vocab_size=280))
    export_gguf(model, tokenizer, tmp_path / "toy.gguf", GgufOptions(kind="f32"))
    reader = gguf.GGUFReader(str(tmp_path / "toy.gguf"))
    assert reader.fields["general.architecture"].contents() == "gpt2"
    assert "blk.1.attn_qkv.weight" in {one.name for one in reader.tensors}
    again = fresh(vocab_size=300)
    torch.nn.init.zeros_(again.embedding.token.weight)
    load_gguf_weights(again, tmp_path / "toy.gguf")
    assert torch.equal(again(IDS), model(IDS))


def test_a_family_without_heads_opens_and_refuses_one_by_name(tmp_path):
    model = fresh("bare-toy")
    save_checkpoint(model, tmp_path / "made")
    assert task_in(tmp_path / "made") is None
    assert torch.equal(load_checkpoint(tmp_path / "made")[0](IDS), model(IDS))
    with pytest.raises(ConfigError, match=r"bare-toy has no sequence head; families with one: gpt2, .*, toy$"):
        add_task_head(model, TaskConfig.of(HeadKind.SEQUENCE, LABELS))
    with pytest.raises(CheckpointError, match="no head of a task"):
        load_task_model(tmp_path / "made")


def test_a_family_llama_cpp_does_not_have_is_refused_by_name(tmp_path):
    tokenizer = train_tokenizer(["toys and words"] * 9, TokenizerConfig(vocab_size=280))
    with pytest.raises(ConfigError, match=r"bare-toy cannot be exported to GGUF, as gpt2, .*, toy can"):
        export_gguf(fresh("bare-toy", vocab_size=300), tokenizer, tmp_path / "x.gguf", GgufOptions(kind="f32"))


TAKEN = dataclasses.replace(TOY, model_type="gpt2")
AGAIN = dataclasses.replace(TOY)


def test_a_name_belongs_to_one_family():
    add_family(f"{__name__}:TOY")
    assert family("toy") is TOY
    assert family_names() == (*FAMILIES, "toy", "bare-toy")
    for attribute, name in (("TAKEN", "gpt2"), ("AGAIN", "toy")):
        with pytest.raises(ConfigError, match=f"{attribute} has the model_type '{name}' of another family"):
            add_family(f"{__name__}:{attribute}")


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("no_such_module:TOY", "no family at 'no_such_module:TOY'"),
        (f"{__name__}:TOYS", "no family at"),
        (__name__, "no family at"),
        (f"{__name__}:SIZES", "SIZES is a dict"),
    ],
)
def test_a_place_without_a_family_is_refused(place, message):
    with pytest.raises(ConfigError, match=f"{message}.*give module:NAME"):
        add_family(place)
