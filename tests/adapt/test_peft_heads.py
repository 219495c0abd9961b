"""Adapters with a task's head: PEFT's `modules_to_save`, in both directions."""

import peft
import pytest
import torch
import transformers as hf

from lavra.adapt.inject import add_adapter, virtual_ids
from lavra.adapt.methods.lora import LoraConfig
from lavra.adapt.methods.prompt import PromptConfig
from lavra.adapt.peft_read import load_adapter
from lavra.adapt.peft_write import save_adapter
from lavra.base.errors import CheckpointError
from lavra.model.task_folder import load_task_model
from tests.adapt.peers import ours, randomize
from tests.model.variants import VOCAB, scale_weights

CASES = {
    "bert": (hf.BertConfig, hf.AutoModelForSequenceClassification, "SEQ_CLS", ["query", "value"]),
    "roberta": (hf.RobertaConfig, hf.AutoModelForSequenceClassification, "SEQ_CLS", ["query", "value"]),
    "llama": (hf.LlamaConfig, hf.AutoModelForSequenceClassification, "SEQ_CLS", ["q_proj", "v_proj"]),
    "gpt2": (hf.GPT2Config, hf.AutoModelForSequenceClassification, "SEQ_CLS", ["c_attn"]),
    "falcon": (hf.FalconConfig, hf.AutoModelForSequenceClassification, "SEQ_CLS", ["query_key_value"]),
    "t5": (hf.T5Config, hf.AutoModelForSequenceClassification, "SEQ_CLS", ["q", "v"]),
    "qwen2-tags": (hf.Qwen2Config, hf.AutoModelForTokenClassification, "TOKEN_CLS", ["q_proj", "v_proj"]),
    "bert-tags": (hf.BertConfig, hf.AutoModelForTokenClassification, "TOKEN_CLS", ["query", "value"]),
    "bert-spans": (hf.BertConfig, hf.AutoModelForQuestionAnswering, "QUESTION_ANS", ["query", "value"]),
}


WHOLE = {"bert-spans": "qa_outputs", "t5": "classification_head", "falcon": "score", "qwen2-tags": "score"}


def headed(case, folder):
    config, auto, _, _ = CASES[case]
    sizes = {"vocab_size": VOCAB, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    labels = {} if case == "bert-spans" else {"num_labels": 3}
    torch.manual_seed(0)
    inner = {"d_ff": 48, "d_kv": 8} if case == "t5" else {"intermediate_size": 48, "max_position_embeddings": 64}
    ends = {"pad_token_id": 1, "eos_token_id": 3, "decoder_start_token_id": 1} if case == "t5" else {"pad_token_id": 1}
    shared = {"num_key_value_heads": 2} if case == "qwen2-tags" else {}
    made = auto.from_config(config(**sizes, **inner, **ends, **labels, **shared))
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            scale_weights(name, parameter)
    made.save_pretrained(folder)
    return folder


def given():
    ids = torch.randint(4, VOCAB, (3, 10), generator=torch.Generator().manual_seed(1))
    ids[:, -1] = 3  # T5's class reads where the text ends
    return ids


def theirs(model, ids):
    out = model(input_ids=ids, attention_mask=torch.ones_like(ids))
    return torch.stack((out.start_logits, out.end_logits), dim=-1) if "start_logits" in out else out.logits


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_a_head_goes_with_the_adapter_both_ways(case, tmp_path):
    _, auto, task, targets = CASES[case]
    base, ids = headed(case, tmp_path / "base"), given()
    whole = {"modules_to_save": [WHOLE[case]]} if case in WHOLE else {}
    peer = peft.get_peft_model(
        auto.from_pretrained(base), peft.LoraConfig(task_type=task, r=3, target_modules=targets, **whole)
    ).eval()
    randomize(peer)
    peer.save_pretrained(tmp_path / "theirs")
    model = load_task_model(base)
    plain = model(ids)
    load_adapter(model, tmp_path / "theirs", "x")
    expected = theirs(peer, ids)
    assert (model(ids) - expected).abs().max() < 1e-4
    assert (expected - plain).abs().max() > 0.05
    add_adapter(model, "mine", LoraConfig(rank=3, modules_to_save=("head",)))
    randomize(model)
    save_adapter(model, "mine", tmp_path / "mine")
    again = peft.PeftModel.from_pretrained(auto.from_pretrained(base), tmp_path / "mine").eval()
    assert (theirs(again, ids) - model(ids)).abs().max() < 1e-4
    load_adapter(model, tmp_path / "mine", "once-more")
    assert (theirs(again, ids) - model(ids)).abs().max() < 1e-4


@torch.no_grad()
def test_a_prompt_with_a_head(tmp_path):
    """A pooled prompt: the first token that BERT pools is then the first virtual token, as in PEFT."""
    base, ids = headed("bert", tmp_path / "base"), given()
    model = load_task_model(base)
    add_adapter(model, "x", PromptConfig(num_tokens=2, modules_to_save=("head",)))
    randomize(model)
    save_adapter(model, "x", tmp_path / "mine")
    auto = hf.AutoModelForSequenceClassification
    peer = peft.PeftModel.from_pretrained(auto.from_pretrained(base), tmp_path / "mine").eval()
    virtual = torch.tensor([virtual_ids(model, "x")]).expand(len(ids), -1)
    assert (theirs(peer, ids) - model(torch.cat((virtual, ids), dim=1))).abs().max() < 1e-4


def test_a_head_needs_a_model_that_has_one(tmp_path):
    base = headed("llama", tmp_path / "base")
    model = load_task_model(base)
    add_adapter(model, "x", LoraConfig(modules_to_save=("head",)))
    save_adapter(model, "x", tmp_path / "mine")
    lm = hf.LlamaForCausalLM(hf.AutoConfig.from_pretrained(base))
    lm.save_pretrained(tmp_path / "lm")
    with pytest.raises(CheckpointError, match=r"score.weight as a whole.*open the model with the head"):
        load_adapter(ours(tmp_path / "lm"), tmp_path / "mine")
