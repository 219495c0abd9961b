"""ONNX Runtime computes our logits for every batch size and length."""

import importlib.util

import numpy as np
import pytest
import torch
import transformers as hf

import lavra.compression.onnx as module
from lavra.base.errors import ConfigError, MissingDependencyError
from lavra.compression.onnx import export_onnx
from lavra.compression.onnx_folder import export_onnx_folder
from lavra.model.transformer import Encoder, EncoderDecoder
from tests.model.variants import ALL, VOCAB, ours_of, theirs

runtime = pytest.importorskip("onnxruntime", reason="the extra test is not installed")
pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
FAST = "gpt2"
SLOW = ("llama-grouped", "llama-rope-dynamic", "llama-rope-yarn", "qwen2", "falcon-7b", "falcon-new", "bert", "roberta",
        "t5-v1.0", "t5-v1.1")  # fmt: skip


def rows(batch, time, seed=0):
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, VOCAB, (batch, time), generator=draw)
    mask = torch.ones(batch, time, dtype=torch.int64)
    mask[-1, (time + 1) // 2 :] = 0
    return ids, mask


def computed(files, model, ids, mask, said, types):
    """ONNX Runtime's outputs by name, for a tokenizer output of `transformers`: int64 throughout."""
    sessions = [runtime.InferenceSession(str(path)) for path in files]
    given = {"input_ids": ids.numpy(), "attention_mask": mask.numpy()}
    if isinstance(model, EncoderDecoder):
        hidden = sessions[0].run(["last_hidden_state"], given)[0]
        given = {"input_ids": said.numpy(), "encoder_hidden_states": hidden, "encoder_attention_mask": mask.numpy()}
    elif types is not None:
        given["token_type_ids"] = types.numpy()
    assert [one.name for one in sessions[-1].get_inputs()] == list(given)
    assert {one.type for one in sessions[-1].get_inputs()} <= {"tensor(int64)", "tensor(float)"}
    names = [output.name for output in sessions[-1].get_outputs()]
    return dict(zip(names, sessions[-1].run(None, given), strict=True))


@pytest.mark.parametrize("name", [FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_logits_equal_ours(name, tmp_path):
    model = ours_of(theirs(next(one for one in ALL if one.name == name)), tmp_path)
    files = export_onnx(model, tmp_path)
    for batch, time in ((1, 1), (3, 7), (2, 40)):
        ids, mask = rows(batch, time)
        said = rows(batch, max(1, time - 3), seed=1)[0]
        types = ids % 2 if model.config.num_token_types > 1 else None
        extra = {} if types is None else {"token_type_ids": types}
        found = computed(files, model, ids, mask, said, types)
        with torch.no_grad():
            args = (ids, said) if isinstance(model, EncoderDecoder) else (ids,)
            expected = model(*args, attention_mask=mask != 0, **extra).numpy()
        whole = isinstance(model, EncoderDecoder)
        real = np.ones(expected.shape[:2], dtype=bool) if whole else mask.numpy() != 0
        assert np.abs(found["logits"] - expected)[real].max() <= 1e-4 * expected.std()
        if isinstance(model, Encoder):
            with torch.no_grad():
                hidden = model.hidden(ids, attention_mask=mask != 0, **extra).numpy()
            assert np.abs(found["last_hidden_state"] - hidden)[real].max() <= 1e-4 * hidden.std()


@pytest.mark.slow
def test_a_folder_is_laid_out_as_other_tools_expect(minilm, tmp_path):
    """onnx/model.onnx, and `transformers`' files beside it; the tokenizer's output is the model's input."""
    out = tmp_path / "out"
    files = export_onnx_folder(minilm, out)
    assert [str(path.relative_to(out)) for path in files] == ["onnx/model.onnx"]
    assert {"config.json", "tokenizer.json", "lavra.json", "modules.json"} <= {path.name for path in out.iterdir()}
    assert hf.AutoConfig.from_pretrained(out).model_type == "bert"
    given = hf.AutoTokenizer.from_pretrained(out)(["a cat", "the dog sleeps here"], padding=True, return_tensors="pt")
    session = runtime.InferenceSession(str(files[0]))
    given = {"token_type_ids": torch.zeros_like(given["input_ids"]), **given}  # as optimum does without them
    names = [one.name for one in session.get_inputs()]
    assert names == ["input_ids", "attention_mask", "token_type_ids"]
    found = session.run(["last_hidden_state"], {name: given[name].numpy() for name in names})[0]
    with torch.no_grad():
        expected = hf.AutoModel.from_pretrained(minilm)(**given).last_hidden_state.numpy()
    real = given["attention_mask"].numpy() != 0
    assert np.abs(found - expected)[real].max() <= 1e-4 * expected.std()


@pytest.mark.parametrize(("name", "message"), [("mistral", "sliding window"), ("falcon-alibi", "ALiBi")])
def test_models_without_an_export_are_refused(name, message, tmp_path):
    model = ours_of(theirs(next(one for one in ALL if one.name == name)), tmp_path)
    with pytest.raises(ConfigError, match=message):
        export_onnx(model, tmp_path)


def test_without_the_packages_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"lavra\[onnx\]"):
        module.check_onnx_libraries()
