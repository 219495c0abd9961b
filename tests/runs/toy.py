"""A recipe of a few numbers, and its runs, which tests make, stop and compare."""

from dataclasses import dataclass

import torch
from torch import nn

from lavra.data.batch import Batch, FixedShape
from lavra.runs.run import Artifact, Run
from lavra.tasks.learning.recipe import TrainingTask
from lavra.train.config import OptimizerConfig, TrainConfig
from lavra.train.objective import Objective
from lavra.train.schedule import ScheduleConfig

STEPS = 7
TRAIN = TrainConfig(
    num_steps=STEPS,
    compile="off",
    save_every=3,
    keep_checkpoints=1,
    optimizer=OptimizerConfig(kind="adamw", learning_rate=0.1),
    schedule=ScheduleConfig(kind="wsd", warmup=0.0, decay=0.5),
)


class StoppedError(Exception):
    """Raised to stop a run as a user or a power cut would."""


class Tens(FixedShape):
    """Batch i requests the number 10 + i % 4."""

    dropped_per_epoch = 0

    def __len__(self):
        return 4

    def batch(self, index):
        one = torch.full((1, 1), 10 + index % 4)
        return Batch(input_ids=one, labels=one, positions=one, segments=one.int(), sample_ids=(f"s{index}",))


def away(model, batch):
    return ((model(torch.ones(1, 3)) - batch.labels) ** 2).sum()


class Linear:
    """The recipe: three weights and a bias; its score is their sum."""

    def __init__(self, seed=0):
        torch.manual_seed(seed)
        self.model = nn.Linear(3, 1)

    def module(self):
        return self.model

    def training_task(self):
        objective = Objective(batches=Tens(), loss=away)
        return TrainingTask(rows=None, objective=objective, num_samples=4, batches_an_epoch=4, issues=())


@dataclass
class Measuring:
    """Notes a run's calls in order."""

    asked: list
    recipe: Linear

    def before(self):
        self.asked.append(("before", self.recipe.model.training))
        return self.total()

    def after(self):
        self.asked.append(("after", self.recipe.model.training))
        return self.total()

    def total(self):
        return float(sum(part.detach().sum() for part in self.recipe.model.parameters()))

    def evaluate(self):
        return {"total": self.total()}


def made(recipe=None, train=TRAIN, asked=None, write=None, **more):
    """A run, and the list of its future calls."""
    recipe = recipe or Linear()
    measuring = Measuring([] if asked is None else asked, recipe)

    def write_weights(folder):
        torch.save(recipe.model.state_dict(), folder / "weights.pt")

    def artifact(done):
        return Artifact(
            kind="model",
            write=write or write_weights,
            parents={"model": "0123456789abcdef"},
            config={"rate": 0.1},
            metrics={"before": done.before, "after": done.after, "steps": done.train.steps},
        )

    return Run(
        recipe=recipe,
        training_task=recipe.training_task(),
        train=train,
        before=measuring.before,
        after=measuring.after,
        artifact=artifact,
        **more,
    )


def quiet(*_):
    pass


def stop_at(step):
    def show(part, done, *_):
        if part == "train" and done == step:
            raise StoppedError

    return show


def weights(folder):
    return torch.load(folder / "weights.pt", weights_only=True)


def same(ours, theirs):
    return all(torch.equal(one, theirs[name]) for name, one in ours.items())
