"""llama.cpp opens our GGUF files and computes our numbers.

Slow, and only where llama-cpp-python is installed: it is distributed as sources (docs/compression.md has the command).
"""

import numpy as np
import pytest
import torch

import lavra
from lavra.compression.gguf import GgufOptions, export_gguf, load_gguf_weights
from lavra.metrics.bits import bits_per_byte
from lavra.model.build import build_model
from lavra.model.checkpoint import load_checkpoint
from lavra.model.families.table import preset
from lavra.tokens.config import TokenizerConfig
from lavra.tokens.tokenizer import Tokenizer
from lavra.tokens.train import train_tokenizer
from tests.model.variants import scale_weights

llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed: docs/compression.md says how")
pytestmark = pytest.mark.slow
FLOAT32 = 0  # of the cache: ggml_type
ASKED = 64


def engine(path, context, **options):
    return llama_cpp.Llama(
        str(path), n_ctx=context, n_threads=1, n_threads_batch=1, logits_all=True, verbose=False, type_k=FLOAT32,
        type_v=FLOAT32, **options,
    )  # fmt: skip


def their_logits(peer, ids):
    """(T, V) after each token of one text."""
    peer.reset()
    peer.eval(list(ids))
    return np.array(peer.scores[: len(ids)])


def their_greedy(peer, ids, count):
    peer.reset()
    peer.eval(list(ids))
    written = []
    for _ in range(count):
        written.append(int(np.argmax(peer.scores[peer.n_tokens - 1])))
        peer.eval(written[-1:])
    return written


def our_greedy(model, ids, count):
    cache, given, written = model.new_cache(1, len(ids) + count), torch.tensor([list(ids)]), []
    with torch.no_grad():
        while len(written) < count:
            given = model(given, cache=cache)[:, -1:].argmax(-1)
            written.append(int(given))
    return written


def exported(folder, kind, path):
    """Our model with the file's weights, its tokenizer, and llama.cpp with the file."""
    model, config = load_checkpoint(folder, dtype=torch.float32)
    tokenizer = Tokenizer.load(folder)
    export_gguf(model, tokenizer, path, GgufOptions(kind=kind))
    load_gguf_weights(model, path)
    return model, tokenizer, engine(path, config.max_positions)


@pytest.mark.data
@pytest.mark.parametrize("kind", ["f32", "f16"])
def test_greedy_tokens_are_ours(kind, stories, tmp_path):
    model, tokenizer, peer = exported(stories, kind, tmp_path / "x.gguf")
    for prompt in ("Once upon a time", "Lily had a big dog.", "The little boy went to the"):
        ids = tokenizer.encode(prompt, add_special_tokens=True)
        assert peer.tokenize(prompt.encode(), add_bos=True) == ids
        assert their_greedy(peer, ids, ASKED) == our_greedy(model, ids, ASKED)


@pytest.mark.data
@pytest.mark.parametrize(("kind", "bound"), [("f32", 1e-4), ("f16", 1e-3), ("q8_0", 0.005), ("q4_0", 0.01)])
def test_bits_per_byte_are_ours_at_the_same_precision(kind, bound, stories, story, tmp_path):
    model, tokenizer, peer = exported(stories, kind, tmp_path / "x.gguf")
    ids = tokenizer.encode(story, add_special_tokens=True)
    labels = torch.tensor(ids[1:])[:, None]
    with torch.no_grad():
        ours = model(torch.tensor([ids]))[0, :-1].log_softmax(-1).gather(1, labels)
    found = torch.from_numpy(their_logits(peer, ids)[:-1]).log_softmax(-1).gather(1, labels)
    bits = [bits_per_byte(-float(one.double().sum()), len(story.encode())) for one in (ours, found)]
    assert 0.1 < bits[0] < 3.0, "a trained model on text of its kind"
    assert bits[1] == pytest.approx(bits[0], rel=bound)


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "gpt2", "falcon"])
def test_every_decoder_computes_our_logits(family, story, tmp_path):
    """Weights far from zero, so that an exchanged matrix would show."""
    tokenizer = train_tokenizer([story], TokenizerConfig(kind="bpe", vocab_size=320))
    shape = {"vocab_size": 320, "hidden_size": 64, "num_layers": 2, "num_heads": 4, "max_positions": 64}
    model = build_model(preset(family, **shape)).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            scale_weights(name, parameter)
    export_gguf(model, tokenizer, tmp_path / "x.gguf", GgufOptions(kind="f32"))
    peer = engine(tmp_path / "x.gguf", 64)
    ids = tokenizer.encode(story, add_special_tokens=True)[: 32 if family == "mistral" else 48]
    assert peer.tokenize(story.encode(), add_bos=True)[: len(ids)] == ids
    with torch.no_grad():
        expected = model(torch.tensor([ids]))[0].numpy()
    # ggml takes GELU from a table in 16 bits, of its tanh form; Falcon's is exact.
    bound = {"gpt2": 0.02, "falcon": 0.03}.get(family, 1e-3)
    assert np.abs(their_logits(peer, ids) - expected).max() <= bound * expected.std()


@pytest.mark.parametrize(("kind", "least"), [("f32", 0.9999), ("f16", 0.9999), ("q8_0", 0.999), ("q4_0", 0.995)])
def test_bert_gives_our_embeddings_at_the_same_precision(kind, least, minilm, story, tmp_path):
    model, config = load_checkpoint(minilm)
    export_gguf(model, Tokenizer.load(minilm), tmp_path / "x.gguf", GgufOptions(kind=kind))
    peer = engine(tmp_path / "x.gguf", config.max_positions, embedding=True)
    texts = [story, "Compiladores são programas.", "def quicksort(items): return items", "Hello!"]
    ours = lavra.load(minilm)
    load_gguf_weights(ours.port.model, tmp_path / "x.gguf")
    expected = ours.embed(texts, normalize=True, truncate=True)
    found = np.array([peer.embed(text, normalize=True) for text in texts])
    assert (expected * found).sum(axis=1).min() >= least
