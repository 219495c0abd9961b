"""The training loop trains an adapter and nothing else, and resumes after a stop."""

from dataclasses import replace

import pytest
import torch

from lavra.adapt.inject import add_adapter, count_parameters, virtual_ids
from lavra.adapt.methods.bottleneck import BottleneckConfig
from lavra.adapt.methods.ia3 import IA3Config
from lavra.adapt.methods.lora import LoraConfig
from lavra.adapt.methods.prefix import PrefixConfig
from lavra.adapt.methods.prompt import PromptConfig
from lavra.base.errors import ResumeError
from lavra.data.batch import IGNORE
from lavra.quantize.scheme import SCHEMES
from lavra.quantize.swap import quantize_model
from lavra.train.config import TrainConfig
from lavra.train.loop import train
from lavra.train.objective import Objective, token_loss
from tests.train.tiny import FLAT, PLAIN_ADAMW, Ragged, ragged, tiny_model

STEPS = 24
OPTIMIZER = replace(PLAIN_ADAMW, learning_rate=2e-2, weight_decay=0.0)


def config(steps):
    return TrainConfig(
        num_steps=steps, save_every=2, keep_checkpoints=5, compile="off", optimizer=OPTIMIZER, schedule=FLAT
    )


def adapted(method, scheme=None, seed=0):
    model = tiny_model(seed=seed)
    if scheme:
        quantize_model(model, SCHEMES[scheme])
    torch.manual_seed(1)
    add_adapter(model, "x", method)
    return model


class Prompted(Ragged):
    """The same batches with virtual tokens in front."""

    def __init__(self, virtual, **shape):
        super().__init__(**shape)
        self.virtual = torch.tensor([virtual])

    def batch(self, index):
        made = super().batch(index)
        front = self.virtual.expand(len(made.labels), -1)
        ids = torch.cat((front, made.input_ids), dim=1)
        return replace(
            made,
            input_ids=ids,
            labels=torch.cat((torch.full_like(front, IGNORE), made.labels), dim=1),
            positions=torch.arange(ids.shape[1]).expand(ids.shape),
            segments=torch.ones(ids.shape, dtype=torch.int32),
        )


class Watch:
    def __init__(self, last=None):
        self.losses, self.last = [], last

    def on_step(self, step, metrics):
        self.losses.append(metrics["loss"])
        if step == self.last:
            raise KeyboardInterrupt

    def on_eval(self, step, metrics):
        return False

    def on_save(self, step, folder):
        pass

    def on_end(self, summary):
        pass


@torch.no_grad()
def nats(model, batches):
    """Mean nats for each target over all batches."""
    found = [(token_loss(model.eval(), batch), batch.num_targets) for batch in map(batches.batch, range(STEPS))]
    return float(sum(loss for loss, _ in found)) / sum(number for _, number in found)


def test_a_resumed_adapter_is_the_uninterrupted_one(tmp_path):
    method = LoraConfig(dropout=0.1)
    straight, stopped, again = adapted(method), adapted(method), adapted(method)
    base = {name: one.clone() for name, one in straight.state_dict().items() if "adapters" not in name}
    train(straight, ragged(), config(6), folder=tmp_path / "straight")
    with pytest.raises(KeyboardInterrupt):
        train(stopped, ragged(), config(6), folder=tmp_path / "stopped", hooks=[Watch(last=5)])
    assert train(again, ragged(), config(6), folder=tmp_path / "stopped").resumed_from == 4
    trained = {name: one for name, one in straight.named_parameters() if one.requires_grad}
    assert sum(one.numel() for one in trained.values()) == count_parameters(straight).trainable
    others = dict(again.named_parameters())
    assert all(torch.equal(one, others[name]) for name, one in trained.items())
    assert all(torch.equal(one, base[name]) for name, one in straight.state_dict().items() if name in base)


@pytest.mark.parametrize("scheme", [None, "int8"])
def test_an_adapter_is_not_resumed_over_another_base(tmp_path, scheme):
    """A checkpoint has no base weights, and integer weights are no parameters; only the settings differ."""
    with pytest.raises(KeyboardInterrupt):
        train(adapted(LoraConfig(), scheme), ragged(), config(4), folder=tmp_path, hooks=[Watch(last=2)])
    with pytest.raises(ResumeError, match="frozen_weights"):
        train(adapted(LoraConfig(), scheme, seed=5), ragged(), config(4), folder=tmp_path)
    assert train(adapted(LoraConfig(), scheme), ragged(), config(4), folder=tmp_path).resumed_from == 2


@pytest.mark.parametrize(
    ("method", "scheme"),
    [
        (LoraConfig(targets="all-linear"), "int4"),
        (LoraConfig(dora=True), "int8-dynamic"),
        (IA3Config(), None),
        (BottleneckConfig(size=8), None),
        (PromptConfig(num_tokens=4), None),
        (PrefixConfig(num_tokens=4), "int8"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_the_loss_falls(method, scheme):
    model = adapted(method, scheme)
    if isinstance(method, PromptConfig | PrefixConfig):
        batches = Prompted(virtual_ids(model, "x"), batch_size=4, length=1)
    else:
        batches = Ragged(batch_size=4, length=1)
    before = nats(model, batches)
    train(model, Objective(batches=batches, loss=token_loss), config(STEPS))
    least = 0.002 if isinstance(method, IA3Config) else 0.02  # scales of a random model's channels change little
    assert nats(model, batches) < before - least
