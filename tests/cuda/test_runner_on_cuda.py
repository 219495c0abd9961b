"""The torch runner on a GPU under the conformance suite; the reference is `transformers` on the CPU."""

import pytest
import torch

from lavra.engine.runners.fused import fuse
from lavra.quantize.modules import QuantizedMatrix
from lavra.quantize.scheme import SCHEMES
from lavra.quantize.swap import quantize_model
from tests.cuda.device import CPU, DEVICE, NEEDS_DEVICE, moved
from tests.engine.test_fused import logits, made
from tests.engine.test_torch_runner import BY_NAME, OnTorch
from tests.model.variants import ENCODER_DECODERS, ours_of, theirs

pytestmark = NEEDS_DEVICE
FAMILIES = ["llama-grouped", "mistral", "gpt2", "falcon-new", "falcon-alibi", "t5-v1.0", "t5-v1.1"]


class OnDevice(OnTorch):
    """The peer computes in float32 on the CPU; ours has the peer's weights, which its type represents exactly."""

    dtype = torch.float32
    tolerance = 2e-4

    @classmethod
    def open(cls, name, folder):
        variant = BY_NAME[name]
        cls.peer = theirs(variant).to(cls.dtype).float()
        cls.model = ours_of(cls.peer, folder, dtype=cls.dtype, device=DEVICE)
        cls.source = (5, 9, 30, 31, 7) if variant in ENCODER_DECODERS else None


class TestFloat32(OnDevice):
    @pytest.fixture(autouse=True, scope="class", params=FAMILIES)
    @classmethod
    def opened(cls, request, tmp_path_factory):
        cls.open(request.param, tmp_path_factory.mktemp("model"))


class TestBfloat16(OnDevice):
    """Logits of a deviation of several units, of two layers of eight bits' precision; T5's scores are not scaled."""

    dtype = torch.bfloat16

    @pytest.fixture(autouse=True, scope="class", params=["llama-grouped", "gpt2", "falcon-new", "t5-v1.1"])
    @classmethod
    def opened(cls, request, tmp_path_factory):
        cls.open(request.param, tmp_path_factory.mktemp("model"))
        cls.tolerance = 0.7 if cls.source else 0.25


class GroupedHeads(OnDevice):
    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def opened(cls, tmp_path_factory):
        cls.open("llama-grouped", tmp_path_factory.mktemp("model"))


class TestWithoutRoomForCopies(GroupedHeads):
    def make_runner(self, num_blocks, block_size):
        runner = super().make_runner(num_blocks, block_size)
        runner._resident._most = 0
        return runner


class TestBfloat16Cache(GroupedHeads):
    cache_type = "bf16"
    tolerance = 0.1


class TestInt8Cache(GroupedHeads):
    cache_type = "int8"
    tolerance = 0.25


class TestQuantized(GroupedHeads):
    """Weights of four bits differ from the original: they are compared with the same integers on the CPU."""

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def opened(cls, tmp_path_factory):
        cls.peer = ours_of(theirs(BY_NAME["llama-grouped"]), tmp_path_factory.mktemp("model"))
        quantize_model(cls.peer, SCHEMES["int4"])
        cls.model = moved(cls.peer)

    @torch.no_grad()
    def reference(self, tokens):
        return self.peer(torch.tensor([tokens]))[0].float().numpy()


@pytest.mark.parametrize("family", ["llama", "gpt2", "falcon", "bert", "t5"])
@pytest.mark.parametrize(("dtype", "share"), [(torch.float32, 2e-5), (torch.bfloat16, 0.1)])
def test_a_fused_twin_computes_the_same_as_its_model_and_as_the_cpu(family, dtype, share):
    model, ids = made(family, dtype), torch.arange(40).view(2, 20)
    exact = logits(moved(model, CPU, torch.float32), family, ids)
    there = moved(model)
    plain = logits(there, family, ids.to(DEVICE)).float().cpu()
    fused = logits(fuse(there), family, ids.to(DEVICE)).float().cpu()
    bound = share * float(exact.std())
    assert (plain - exact).abs().max() < bound
    assert (fused - exact).abs().max() < bound


@pytest.mark.parametrize("scheme", ["int8", "int8-dynamic", "int4"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "bert", "t5"])
def test_quantized_models_compute_what_they_do_on_the_cpu(family, scheme):
    model, ids = made(family), torch.arange(40).view(2, 20)
    quantize_model(model, SCHEMES[scheme])
    exact = logits(model, family, ids)
    found = logits(moved(model), family, ids.to(DEVICE)).cpu()
    # An input near the border between two integers may be rounded the other way, and all that follows moves with it.
    assert (found - exact).abs().max() < float(exact.std()) * (0.15 if scheme == "int8-dynamic" else 2e-5)


def test_products_of_rounded_inputs_are_exact():
    """Sums of integers do not depend on the order, so every bit is equal; 1,500 inputs are more than one block."""
    generator = torch.Generator().manual_seed(0)
    matrix = QuantizedMatrix.of(torch.randn(70, 1500, generator=generator), SCHEMES["int8-dynamic"])
    x = torch.randn(3, 9, 1500, generator=generator)
    assert torch.equal(moved(matrix).linear(x.to(DEVICE)).cpu(), matrix.linear(x))


@pytest.mark.parametrize("scheme", ["int8", "int4"])
def test_models_are_quantized_there_as_here(scheme):
    here, there = made("llama"), moved(made("llama"))
    for model in (here, there):
        quantize_model(model, SCHEMES[scheme])
    total = different = 0
    for name, tensor in here.state_dict().items():
        if name.endswith("packed"):
            total += tensor.numel()
            different += int((tensor != there.state_dict()[name].cpu()).sum())
    assert total > 0
    assert different <= total * (0 if scheme == "int8" else 1e-3)  # two scales may have equal errors, but for rounding
