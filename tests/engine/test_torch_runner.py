"""The torch runner under the conformance suite: every family and variant, with `transformers` as the reference."""

import numpy as np
import pytest
import torch

from lavra.base.errors import ConfigError, InputError
from lavra.base.ports import ForwardBatch
from lavra.engine.runners.torch import TorchRunner
from lavra.quantize.scheme import SCHEMES
from lavra.quantize.swap import quantize_model
from lavra.testing.runner import RunnerConformance
from tests.model.variants import DECODERS, ENCODER_DECODERS, VOCAB, ours_of, theirs

BY_NAME = {variant.name: variant for variant in [*DECODERS, *ENCODER_DECODERS]}
SERVED = sorted(set(BY_NAME) - {"llama-rope-dynamic"})
QUICK = {"llama-grouped", "llama-rope-yarn", "mistral", "qwen2", "gpt2", "falcon-7b", "falcon-alibi", "t5-v1.1"}


class OnTorch(RunnerConformance):
    """Logits of these models have a deviation of several units; float32 sums in another order differ by about 1e-5."""

    vocab_size = VOCAB
    cache_type = "model"
    model = peer = None

    def make_runner(self, num_blocks, block_size):
        return TorchRunner(
            self.model, self.model.config, num_blocks=num_blocks, block_size=block_size, cache_type=self.cache_type
        )

    @torch.no_grad()
    def reference(self, tokens):
        ids = torch.tensor([tokens])
        if self.source is None:
            return self.peer(ids).logits[0].float().numpy()
        return self.peer(input_ids=torch.tensor([self.source]), decoder_input_ids=ids).logits[0].float().numpy()


class TestEveryVariant(OnTorch):
    @pytest.fixture(
        autouse=True,
        scope="class",
        params=[pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in SERVED],
    )
    @classmethod
    def opened(cls, request, tmp_path_factory):
        variant = BY_NAME[request.param]
        cls.peer = theirs(variant)
        cls.model = ours_of(cls.peer, tmp_path_factory.mktemp("model"))
        cls.source = (5, 9, 30, 31, 7) if variant in ENCODER_DECODERS else None


class AgainstItself(OnTorch):
    """Intended changes of numbers are compared with the same model without an engine."""

    change = staticmethod(lambda model: None)

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def opened(cls, tmp_path_factory):
        cls.model = ours_of(theirs(BY_NAME["llama-grouped"]), tmp_path_factory.mktemp("model"))
        cls.change(cls.model)

    @torch.no_grad()
    def reference(self, tokens):
        return self.model(torch.tensor([tokens]))[0].float().numpy()


class TestQuantized(AgainstItself):
    change = staticmethod(lambda model: quantize_model(model, SCHEMES["int4"]))


class TestWithoutRoomForCopies(AgainstItself):
    """Rows are gathered from their blocks for each token, where copies would take more memory than the blocks."""

    def make_runner(self, num_blocks, block_size):
        runner = super().make_runner(num_blocks, block_size)
        runner._resident._most = 0
        return runner


class TestBfloat16Cache(AgainstItself):
    """Keys and values lose 16 bits each: logits of a deviation of 3 move by some hundredths."""

    cache_type = "bf16"
    tolerance = 0.1


class TestInt8Cache(AgainstItself):
    cache_type = "int8"
    tolerance = 0.25


def test_a_rounded_cache_really_rounds(tmp_path):
    model = ours_of(theirs(BY_NAME["llama"]), tmp_path)

    def logits(cache_type):
        suite = OnTorch()
        suite.model, suite.cache_type = model, cache_type
        return suite.read(suite.make_runner(8, 4), suite.text(0, 20), [9], list(range(8)))

    exact = logits("model")
    assert 0 < abs(logits("bf16") - exact).max() < abs(logits("int8") - exact).max() < exact.std()


@pytest.mark.parametrize("cache_type", ["model", "bf16", "int8"])
def test_copies_hold_what_the_blocks_hold(tmp_path, cache_type):
    """Rows come, go, fork and are preempted; with and without copies, every bit is the same."""
    suite = OnTorch()
    suite.model, suite.cache_type = ours_of(theirs(BY_NAME["mistral"]), tmp_path), cache_type
    plain, copying = suite.make_runner(64, 4), suite.make_runner(64, 4)
    plain._resident._most = 0
    rng = np.random.default_rng(0)
    texts = {number: suite.text(number, 3) for number in range(6)}
    blocks = {number: list(range(number * 10, number * 10 + 10)) for number in texts}
    done = dict.fromkeys(texts, 0)
    for step in range(120):
        rows = []
        for number in rng.permutation(6)[: rng.integers(1, 7)].tolist():
            if done[number] > 30 or rng.random() < 0.02:  # ended, and the next text takes its blocks
                done[number], texts[number] = 0, suite.text(1000 * step + number, 3)
            count = len(texts[number]) - done[number] if done[number] == 0 else 1
            if len(texts[number]) < done[number] + count:
                texts[number] += suite.text(77 * step + number, 1)
            tokens = texts[number][done[number] : done[number] + count]
            rows.append(suite.row(tokens, done[number], blocks[number], 1))
            done[number] += count
        copies = ()
        if step % 17 == 5:  # the last text goes on as the first one did
            texts[5], done[5] = texts[0], done[0]
            copies = tuple(zip(blocks[0], blocks[5], strict=True))
            rows = [row for row in rows if row.blocks[0] not in (blocks[0][0], blocks[5][0])]
            if not rows:
                continue
        batch = ForwardBatch(rows=tuple(rows), copies=copies)
        assert np.array_equal(plain.forward(batch), copying.forward(batch))


def test_unservable_models_are_refused(tmp_path):
    model = ours_of(theirs(BY_NAME["llama-rope-dynamic"]), tmp_path)
    with pytest.raises(InputError, match="dynamic rope scaling"):
        TorchRunner(model, model.config, num_blocks=4)
    model = ours_of(theirs(BY_NAME["llama"]), tmp_path / "llama")
    with pytest.raises(ConfigError, match="known: model, bf16, int8"):
        TorchRunner(model, model.config, num_blocks=4, cache_type="int4")


def test_many_sources_are_encoded_again_when_they_are_needed(tmp_path):
    peer = theirs(BY_NAME["t5-v1.0"])
    suite = OnTorch()
    suite.peer, suite.model = peer, ours_of(peer, tmp_path)
    runner, tokens = suite.make_runner(8, 4), suite.text(3, 6)
    for number in range(70):
        suite.source = (4 + number, 9)
        suite.read(runner, tokens[:3], [], [0])
    suite.source = (4, 9)
    found = suite.read(runner, tokens, [3], [0, 1])
    suite.same(found, suite.reference(tokens))
