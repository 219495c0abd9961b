"""A run of a recipe of a few numbers: what is measured when, what a stop costs, and what is left on disk."""

from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn

from lavra.base.card import read_card
from lavra.base.errors import ResumeError
from lavra.data.batch import Batch
from lavra.runs.run import Artifact, NewFolder, Run, carry_out, parent_ids, refuse_other_start
from lavra.tasks.learning.recipe import Lesson
from lavra.train import Objective, OptimizerConfig, ScheduleConfig, TrainConfig, checkpoint_folders, read_metrics

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
    """What a user or a power cut does to a run."""


class Tens:
    """Batch i asks for the number 10 + i % 4."""

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

    def lesson(self):
        objective = Objective(batches=Tens(), loss=away)
        return Lesson(rows=None, objective=objective, num_samples=4, batches_an_epoch=4, troubles=())


@dataclass
class Measuring:
    """Notes what a run asks for, in order."""

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
    """A run, and what it will have asked for."""
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
        lesson=recipe.lesson(),
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


def test_it_measures_trains_measures_and_saves_with_a_card(tmp_path):
    asked, recipe = [], Linear()
    start = {name: part.clone() for name, part in recipe.model.state_dict().items()}
    done = carry_out(made(recipe, asked=asked), NewFolder(tmp_path / "made"), quiet)
    assert [name for name, _ in asked] == ["before", "after"]
    assert asked[1] == ("after", False)  # in evaluation mode
    assert done.before == pytest.approx(float(sum(part.sum() for part in start.values())))
    assert done.after == pytest.approx(float(sum(part.sum() for part in weights(tmp_path / "made").values())))
    assert done.after != done.before
    card = read_card(tmp_path / "made")
    assert (card.kind, card.parents, card.config) == ("model", {"model": "0123456789abcdef"}, {"rate": 0.1})
    assert card.metrics == {"before": done.before, "after": done.after, "steps": STEPS}
    assert list(card.files) == ["weights.pt"]
    assert [path.name for path in tmp_path.iterdir()] == ["made"]  # no scratch folder is left


@pytest.mark.parametrize("step", [1, 3, 5, STEPS])
def test_a_stopped_run_goes_on_to_the_same_weights(tmp_path, step):
    carry_out(made(), NewFolder(tmp_path / "whole"), quiet)
    with pytest.raises(StoppedError):
        carry_out(made(), NewFolder(tmp_path / "made"), stop_at(step))
    assert not (tmp_path / "made").exists()
    done = carry_out(made(), NewFolder(tmp_path / "made"), quiet)
    assert done.train.resumed_from == (step - 1) // 3 * 3
    assert same(weights(tmp_path / "made"), weights(tmp_path / "whole"))
    assert done.before == read_card(tmp_path / "whole").metrics["before"]


def test_a_kill_while_saving_costs_no_step(tmp_path):
    """Trained, measured, and stopped in the middle of a file: the next session has nothing to train."""

    def half(folder):
        (folder / "weights.pt").write_bytes(b"half")
        raise StoppedError

    carry_out(made(), NewFolder(tmp_path / "whole"), quiet)
    with pytest.raises(StoppedError):
        carry_out(made(write=half), NewFolder(tmp_path / "made"), quiet)
    assert not (tmp_path / "made").exists()
    shown = []
    done = carry_out(made(), NewFolder(tmp_path / "made"), lambda part, *_: shown.append(part))
    assert done.train.resumed_from == STEPS
    assert "train" not in shown
    assert same(weights(tmp_path / "made"), weights(tmp_path / "whole"))
    assert read_card(tmp_path / "made").id == read_card(tmp_path / "whole").id


def test_a_kill_before_sweeping_leaves_a_whole_artifact(tmp_path):
    class Unswept(NewFolder):
        def sweep(self):
            raise StoppedError

    with pytest.raises(StoppedError):
        carry_out(made(), Unswept(tmp_path / "made"), quiet)
    first = read_card(tmp_path / "made")
    carry_out(made(), NewFolder(tmp_path / "made"), quiet)
    assert read_card(tmp_path / "made").id == first.id
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_another_start_is_refused_and_leaves_the_stopped_run_alone(tmp_path):
    folder = NewFolder(tmp_path / "made")
    with pytest.raises(StoppedError):
        carry_out(made(), folder, stop_at(5))
    asked = []
    with pytest.raises(ResumeError, match="began as another model"):
        carry_out(made(Linear(seed=1), asked=asked), folder, quiet)
    assert asked == []  # before anything is measured
    assert carry_out(made(), folder, quiet).train.resumed_from == 3


def test_other_settings_are_refused(tmp_path):
    folder = NewFolder(tmp_path / "made")
    with pytest.raises(StoppedError):
        carry_out(made(), folder, stop_at(5))
    with pytest.raises(ResumeError, match="other settings"):
        carry_out(made(train=replace(TRAIN, num_steps=9)), folder, quiet)


def test_a_start_without_checkpoints_binds_nobody(tmp_path):
    refuse_other_start(tmp_path / "scratch", nn.Linear(3, 1))
    refuse_other_start(tmp_path / "scratch", nn.Linear(3, 1))  # other weights, and nothing to go on with


def test_a_scratch_folder_without_its_note_goes_on(tmp_path):
    """Such as a stage of `lavra up` left that was stopped before runs wrote one."""
    folder = NewFolder(tmp_path / "made")
    with pytest.raises(StoppedError):
        carry_out(made(), folder, stop_at(5))
    (folder.scratch / "start.txt").unlink()
    assert carry_out(made(), folder, quiet).train.resumed_from == 3


def test_checkpoints_come_by_step_and_metrics_line_by_line(tmp_path):
    folder, seen = NewFolder(tmp_path / "made"), []
    assert folder.scratch == tmp_path / ".made-training"

    class Watch:
        def on_step(self, step, metrics):
            seen.append(step)

        def on_eval(self, step, metrics):
            return False

        def on_save(self, step, path):
            rows = read_metrics(folder.scratch / "metrics.jsonl")
            assert [row["step"] for row in rows] == list(range(step))
            names = [one.name for one in checkpoint_folders(folder.scratch / "checkpoints")]
            assert names == [f"step-{step:08d}"]
            seen.append(f"saved {step}")

        def on_end(self, summary):
            seen.append("end")

    carry_out(made(), folder, quiet, hooks=[Watch()])
    assert seen == [0, 1, 2, "saved 3", 3, 4, 5, "saved 6", 6, f"saved {STEPS}", "end"]


def test_progress_names_each_part(tmp_path):
    shown = []
    run = made(part="teach")
    carry_out(run, NewFolder(tmp_path / "made"), lambda *call: shown.append(call))
    losses = [note for part, *_, note in shown[1:-1]]
    assert shown[0] == ("score before", 0, None)
    assert shown[-1] == ("score after", 0, None)
    assert [call[:3] for call in shown[1:-1]] == [("teach", step, STEPS) for step in range(1, STEPS + 1)]
    assert all(note.startswith("loss ") for note in losses)
    assert losses[0] == f"loss {away(Linear().model, Tens().batch(0)).item():.3f}"


def test_evaluating_without_improvement_stops_it(tmp_path):
    recipe, watched = Linear(), replace(TRAIN, num_steps=50, eval_every=1, patience=2)
    run = made(recipe, watched, evaluate=lambda: {"always": 1.0})
    done = carry_out(run, NewFolder(tmp_path / "made"), quiet)
    assert done.train.stopped_early
    assert done.train.steps == 3  # the first is the best
    assert read_card(tmp_path / "made").metrics["steps"] == 3


def test_parents_are_those_that_have_a_card(tmp_path):
    carry_out(made(), NewFolder(tmp_path / "made"), quiet)
    (tmp_path / "plain").mkdir()
    found = parent_ids({"teacher": tmp_path / "made", "student": tmp_path / "plain", "other": None})
    assert found == {"teacher": read_card(tmp_path / "made").id}
