"""ONNX Runtime computes our logits, whatever the batch and the length."""

import importlib.util

import numpy as np
import pytest
import torch

import lavra.compression.onnx as module
from lavra.base.errors import ConfigError, MissingDependencyError
from lavra.compression.onnx import export_onnx
from lavra.compression.onnx_folder import export_onnx_folder
from lavra.model import Encoder, EncoderDecoder
from tests.model.variants import ALL, VOCAB, ours_of, theirs

runtime = pytest.importorskip("onnxruntime", reason="the extra test is not installed")
pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
FAST = "gpt2"
SLOW = ("llama-grouped", "llama-rope-dynamic", "llama-rope-yarn", "qwen2", "falcon-7b", "falcon-new", "bert", "roberta",
        "t5-v1.0", "t5-v1.1")  # fmt: skip


def rows(batch, time, seed=0):
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, VOCAB, (batch, time), generator=draw)
    mask = torch.ones(batch, time, dtype=torch.bool)
    mask[-1, (time + 1) // 2 :] = False
    return ids, mask


def computed(files, model, ids, mask, said):
    """ONNX Runtime's answers by name."""
    sessions = [runtime.InferenceSession(str(path)) for path in files]
    given = {"input_ids": ids.numpy(), "attention_mask": mask.numpy()}
    if isinstance(model, EncoderDecoder):
        given["hidden"] = sessions[0].run(["hidden"], given)[0]
        given["input_ids"] = said.numpy()
    names = [output.name for output in sessions[-1].get_outputs()]
    return dict(zip(names, sessions[-1].run(None, given), strict=True))


@pytest.mark.parametrize("name", [FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_logits_equal_ours(name, tmp_path):
    model = ours_of(theirs(next(one for one in ALL if one.name == name)), tmp_path)
    files = export_onnx(model, tmp_path)
    for batch, time in ((1, 1), (3, 7), (2, 40)):
        ids, mask = rows(batch, time)
        said = rows(batch, max(1, time - 3), seed=1)[0]
        found = computed(files, model, ids, mask, said)
        with torch.no_grad():
            args = (ids, said) if isinstance(model, EncoderDecoder) else (ids,)
            expected = model(*args, attention_mask=mask).numpy()
        real = np.ones(expected.shape[:2], dtype=bool) if isinstance(model, EncoderDecoder) else mask.numpy()
        assert np.abs(found["logits"] - expected)[real].max() <= 1e-4 * expected.std()
        if isinstance(model, Encoder):
            with torch.no_grad():
                hidden = model.hidden(ids, attention_mask=mask).numpy()
            assert np.abs(found["hidden"] - hidden)[real].max() <= 1e-4 * hidden.std()


@pytest.mark.slow
def test_a_folder_has_the_tokenizer_and_a_card(minilm, tmp_path):
    files = export_onnx_folder(minilm, tmp_path / "out")
    assert [path.name for path in files] == ["model.onnx"]
    assert {"tokenizer.json", "lavra.json", "modules.json"} <= {path.name for path in (tmp_path / "out").iterdir()}
    session = runtime.InferenceSession(str(files[0]))
    assert [output.name for output in session.get_outputs()] == ["hidden"]


@pytest.mark.parametrize(("name", "message"), [("mistral", "sliding window"), ("falcon-alibi", "ALiBi")])
def test_what_cannot_be_exported_is_refused(name, message, tmp_path):
    model = ours_of(theirs(next(one for one in ALL if one.name == name)), tmp_path)
    with pytest.raises(ConfigError, match=message):
        export_onnx(model, tmp_path)


def test_without_the_packages_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"lavra\[onnx\]"):
        module.check_onnx_libraries()
