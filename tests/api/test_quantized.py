"""`lavra.load` opens quantized folders like any other folder."""

import shutil

import numpy as np
import pytest

import lavra
from lavra.model.checkpoint import load_checkpoint
from lavra.quantize.folder import save_quantized
from lavra.quantize.scheme import SCHEMES
from lavra.quantize.swap import quantize_model


@pytest.mark.data
def test_a_quantized_story_teller_still_tells_stories(lavra_data, tmp_path):
    source = lavra_data / "weights" / "stories260K" / "hf"
    floats = lavra.load(source)
    text = "Once upon a time, there was a little girl named Lily. She liked to play in the park."
    before = np.array(floats.score(text).logprobs[1:], dtype=float)
    for name, bound in (("int8", 0.05), ("int8-dynamic", 0.05), ("int4", 0.5)):
        model, _ = load_checkpoint(source)
        quantize_model(model, SCHEMES[name])
        save_quantized(model, tmp_path / name)
        for path in source.glob("tokenizer*"):
            shutil.copy(path, tmp_path / name)
        small = lavra.load(tmp_path / name)
        after = np.array(small.score(text).logprobs[1:], dtype=float)
        assert not np.array_equal(after, before)
        assert np.abs(after - before).mean() <= bound, name  # nats a token
        assert small.generate("Once upon a time", max_tokens=8).text.startswith(", there was")
        again = lavra.load(small.save(tmp_path / f"{name}-again"))
        assert again.score(text).logprobs == small.score(text).logprobs
