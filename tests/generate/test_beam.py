"""Beam search against transformers' own, on tiny random models."""

import pytest
import torch

from lavra.api.native_port import NativePort
from lavra.base.native_library import native_library
from lavra.base.types import FinishReason, GenerateRequest
from lavra.generate.in_process import InProcessModel
from lavra.model.checkpoint import save_checkpoint
from tests.engine.native_models import native_model
from tests.generate.tiny import tiny_in_process, tiny_model

transformers = pytest.importorskip("transformers")
NATIVE = pytest.mark.skipif(native_library() is None, reason="the native library is not built here")


def peer_of(family, seed, tmp_path):
    save_checkpoint(tiny_model(family, seed), tmp_path)
    cls = transformers.AutoModelForSeq2SeqLM if family == "t5" else transformers.AutoModelForCausalLM
    return cls.from_pretrained(tmp_path).eval()


@pytest.mark.parametrize("runner", ["torch", pytest.param("native", marks=NATIVE)])
@pytest.mark.parametrize("family", ["llama", "t5"])
@pytest.mark.parametrize(
    ("num_beams", "length_penalty", "num_ends", "seed"),
    [(2, 1.0, 0, 0), (3, 0.0, 40, 1), (4, 1.0, 40, 2), (4, 2.0, 20, 3), (5, -1.0, 40, 4)],
)
def test_beams_equal_transformers(family, num_beams, length_penalty, num_ends, seed, runner, tmp_path):
    """Many end tokens, so that beams of a random model end early."""
    peer, base = peer_of(family, seed, tmp_path), tiny_in_process(family, seed)
    model = InProcessModel(base.model, base.config, base.tokenizer)
    if runner == "native":
        model = NativePort(native_model(base.model), base.tokenizer)
    ends = sorted({*model.stop_ids, *range(7, 7 + num_ends)})
    model.stop_ids = frozenset(ends)
    prompt = "She loved to play"
    read = model.encoding.source_ids(prompt) if family == "t5" else model.encoding.prompt_ids(prompt)
    start = model.encoding.decoder_start
    expected = peer.generate(
        torch.tensor([read]),
        attention_mask=torch.ones(1, len(read), dtype=torch.int64),
        num_beams=num_beams,
        num_return_sequences=num_beams,
        max_new_tokens=12,
        length_penalty=length_penalty,
        do_sample=False,
        early_stopping=False,
        eos_token_id=ends,
        pad_token_id=0 if start is None else start,
        decoder_start_token_id=start,
        output_scores=True,
        return_dict_in_generate=True,
    )
    skip = 1 if family == "t5" else len(read)
    request = GenerateRequest(
        prompt=prompt, max_tokens=12, num_beams=num_beams, n=num_beams, length_penalty=length_penalty
    )
    (found,) = model.generate([request])
    for completion, ids, score in zip(
        found, expected.sequences[:, skip:].tolist(), expected.sequences_scores.tolist(), strict=True
    ):
        assert list(completion.tokens) == ids[: len(completion.tokens)]
        assert sum(completion.logprobs) / len(completion.tokens) ** length_penalty == pytest.approx(
            score, abs=1e-4, rel=1e-5
        )


def test_one_wide_search_finds_the_best_text_of_all(tmp_path):
    """With as many beams as texts of two tokens, beam search is exhaustive search."""
    model = tiny_in_process()
    allowed = 12
    small = InProcessModel(model.model, model.config, model.tokenizer)
    small.num_tokens = allowed
    (found,) = small.generate(
        [GenerateRequest(prompt="The", max_tokens=2, num_beams=allowed * allowed, length_penalty=0.0)]
    )
    prompt = model.encoding.prompt_ids("The")
    pairs = [(a, b) for a in range(allowed) for b in range(allowed)]
    with torch.inference_mode():
        logprobs = model.model(torch.tensor([[*prompt, *pair] for pair in pairs])).log_softmax(-1)
    totals = [
        (logprobs[row, len(prompt) - 1, a] + logprobs[row, len(prompt), b]).item()
        for row, (a, b) in enumerate(pairs)
        if a not in model.stop_ids
    ]
    assert sum(found[0].logprobs) >= max(totals) - 1e-4


def test_stop_strings_end_beams():
    model = tiny_in_process()
    free = model.generate([GenerateRequest(prompt="The", max_tokens=10, num_beams=3)])[0][0]
    stop = free.text[2:4]
    # Without a penalty for length a text that ends early is likelier than any that goes on.
    request = GenerateRequest(prompt="The", max_tokens=10, num_beams=3, n=3, stop=(stop,), length_penalty=0.0)
    (found,) = model.generate([request])
    assert all(stop not in completion.text for completion in found)
    assert any(completion.finish_reason is FinishReason.STOP for completion in found)


def test_n_best_come_best_first():
    (found,) = tiny_in_process().generate([GenerateRequest(prompt="The", max_tokens=8, num_beams=4, n=4)])
    means = [sum(completion.logprobs) / len(completion.tokens) for completion in found]
    assert means == sorted(means, reverse=True)
    assert len({completion.tokens for completion in found}) == 4
