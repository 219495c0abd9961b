"""The native runner under the conformance suite: every family and variant, with `transformers` as the reference."""

import pytest
import torch

from lavra.adapt.inject import activated
from lavra.api.torch_serving import engine_adapters
from lavra.base.errors import InputError
from lavra.base.native_library import native_library
from lavra.engine.runners.native import NativeRunner
from lavra.quantize.scheme import SCHEMES
from lavra.quantize.swap import quantize_model
from lavra.testing.runner import RunnerConformance
from tests.engine.adapted import adapted
from tests.engine.native_models import native_model
from tests.model.variants import DECODERS, ENCODER_DECODERS, VOCAB, ours_of, theirs

pytestmark = pytest.mark.skipif(native_library() is None, reason="the native library is not built here")
BY_NAME = {variant.name: variant for variant in [*DECODERS, *ENCODER_DECODERS]}
SERVED = sorted(set(BY_NAME) - {"llama-rope-dynamic"})


class OnNative(RunnerConformance):
    """Float32 sums in another order differ by about 1e-5."""

    vocab_size, block_size = VOCAB, 16
    cache_type = "model"
    model = peer = native = None

    def make_runner(self, num_blocks, block_size):
        assert block_size == NativeRunner.block_size
        return NativeRunner(self.native, num_blocks=num_blocks, cache_type=self.cache_type, threads=2)

    @torch.no_grad()
    def reference(self, tokens):
        ids = torch.tensor([tokens])
        if self.source is None:
            return self.peer(ids).logits[0].float().numpy()
        return self.peer(input_ids=torch.tensor([self.source]), decoder_input_ids=ids).logits[0].float().numpy()


class TestEveryVariant(OnNative):
    @pytest.fixture(autouse=True, scope="class", params=SERVED)
    @classmethod
    def opened(cls, request, tmp_path_factory):
        variant = BY_NAME[request.param]
        cls.peer = theirs(variant)
        cls.model = ours_of(cls.peer, tmp_path_factory.mktemp("model"))
        cls.native = native_model(cls.model)
        cls.source = (5, 9, 30, 31, 7) * 4 if variant in ENCODER_DECODERS else None


class AgainstItself(OnNative):
    """Against the text alone, in one pass: the bits are equal in every batch."""

    tolerance = 0.0
    scheme = half = None
    variant = "llama-grouped"

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def opened(cls, tmp_path_factory):
        cls.model = ours_of(theirs(BY_NAME[cls.variant]), tmp_path_factory.mktemp("model"))
        if cls.scheme:
            quantize_model(cls.model, SCHEMES[cls.scheme])
        cls.native = native_model(cls.model, half=bool(cls.half))

    def reference(self, tokens):
        return self.read(self.make_runner(64, 16), tokens, [], list(range(64)))


class TestFloat32(AgainstItself):
    pass


class TestBfloat16(AgainstItself):
    half = True


class TestInt8(AgainstItself):
    scheme = "int8"


class TestInt8Dynamic(AgainstItself):
    scheme = "int8-dynamic"


class TestT5(AgainstItself):
    variant, source = "t5-v1.1", (5, 9, 30, 31, 7) * 4


class TestInt4(AgainstItself):
    scheme = "int4"


class TestBfloat16Cache(AgainstItself):
    cache_type = "bf16"


class TestInt8Cache(AgainstItself):
    cache_type = "int8"


class TestWithAdapters(OnNative):
    """Adapters that it computes, side by side; every bit equals the adapter's alone."""

    vocab_size, tolerance, names, family = 320, 1e-3, ("lora", "wide", "prompt", "prefix"), "llama"

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def opened(cls):
        made = adapted(cls.family, names=cls.names)
        cls.model, cls.native = made.model, native_model(made.model)
        cls.adapters = {one.name: one.front.prompt for one in engine_adapters(made)}
        if cls.family == "t5":  # a soft prompt stands in front of the source, which the suite gives to all alike
            cls.adapters.pop("prompt")

    @torch.no_grad()
    def reference(self, tokens):
        ids = torch.tensor([tokens])
        given = (ids,) if self.source is None else (torch.tensor([self.source]), ids)
        return self.model(*given)[0].numpy()

    def adapted_reference(self, adapter, tokens):
        with activated(self.model, adapter):
            return self.reference(tokens)


class TestEncoderDecoderWithAdapters(TestWithAdapters):
    family, source = "t5", (5, 9, 30, 31, 7)


@pytest.mark.parametrize("name", ["dora", "ia3"])
def test_an_adapter_that_it_cannot_compute_is_refused(name):
    with pytest.raises(InputError, match=name):
        native_model(adapted(names=(name,)).model)
