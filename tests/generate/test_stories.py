"""Real weights: stories260K writes the same text as its author's own C program."""

import re

import pytest

import lavra


@pytest.mark.data
def test_greedy_text_equals_the_golden_text(lavra_data):
    folder = lavra_data / "weights" / "stories260K"
    golden = re.search(r"-t 0\.0\n(.*?)\n```", (folder / "stories260K.md").read_text(encoding="utf-8"), re.DOTALL)
    expected = golden.group(1)
    model = lavra.load(folder / "hf")
    completion = model.generate("", max_tokens=260)
    assert len(expected) > 500
    assert completion.text.startswith(expected)
    assert "".join(delta.text for delta in model.stream("", max_tokens=260)) == completion.text


@pytest.mark.data
def test_the_first_word_keeps_its_space(lavra_data):
    """SentencePiece-style decoders drop the first space of a text, but a completion does not begin a text."""
    model = lavra.load(lavra_data / "weights" / "stories260K" / "hf")
    assert model.generate("Once upon a time, there", max_tokens=8).text.startswith(" was a little")
    assert next(iter(model.stream("Once upon a time, there", max_tokens=8))).text.startswith(" ")


@pytest.mark.data
def test_scores_equal_transformers(lavra_data):
    transformers = pytest.importorskip("transformers")
    folder = lavra_data / "weights" / "stories260K" / "hf"
    peer = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    text = "Once upon a time, there was a little girl named Lily."
    ids = transformers.AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt").input_ids
    logprobs = lavra.load(folder).score(text).logprobs
    assert -sum(logprobs) / len(logprobs) == pytest.approx(peer(ids, labels=ids).loss.item(), abs=1e-4)
