"""A run of a recipe of a few numbers: measurements, the cost of a stop, and files on disk."""

from dataclasses import replace

import pytest
from torch import nn

from lavra.base.card import read_card
from lavra.base.errors import OtherRunError, ResumeError
from lavra.runs.run import NewFolder, carry_out, carry_out_into, parent_ids, refuse_other_start
from lavra.train.checkpoint import checkpoint_folders
from lavra.train.hooks import read_metrics
from tests.runs.toy import STEPS, TRAIN, Linear, StoppedError, Tens, away, made, quiet, same, stop_at, weights


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
    """Trained, measured, and stopped in the middle of writing a file: the next session has nothing to train."""

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


@pytest.mark.parametrize("other", ["settings", "start"])
def test_replacing_deletes_a_stopped_run_that_is_another(tmp_path, other, caplog):
    """The model is that of a run into an empty folder."""

    def wanted():
        return made(Linear(seed=1)) if other == "start" else made(train=replace(TRAIN, num_steps=9))

    carry_out(wanted(), NewFolder(tmp_path / "whole"), quiet)
    with pytest.raises(StoppedError):
        carry_out(made(), NewFolder(tmp_path / "made"), stop_at(5))
    with pytest.raises(OtherRunError, match="or set `replace`, which deletes the stopped run"):
        carry_out_into(wanted(), tmp_path / "made", quiet)
    assert carry_out_into(wanted(), tmp_path / "made", quiet, replace=True).train.resumed_from == 0
    assert "that stopped run is deleted" in caplog.text
    assert same(weights(tmp_path / "made"), weights(tmp_path / "whole"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "whole"]


def test_replacing_goes_on_with_the_same_run(tmp_path, caplog):
    with pytest.raises(StoppedError):
        carry_out_into(made(), tmp_path / "made", stop_at(5), replace=True)
    assert carry_out_into(made(), tmp_path / "made", quiet, replace=True).train.resumed_from == 3
    assert "deleted" not in caplog.text


def test_a_start_without_checkpoints_binds_no_later_run(tmp_path):
    refuse_other_start(tmp_path / "scratch", nn.Linear(3, 1))
    refuse_other_start(tmp_path / "scratch", nn.Linear(3, 1))  # other weights, and nothing to go on with


def test_a_scratch_folder_without_its_note_goes_on(tmp_path):
    """Such a folder remains of a stage of `lavra up` that stopped before runs wrote notes."""
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


class Taught:
    """A teacher's training task: another module is trained with another objective, and its end is noted."""

    def __init__(self, noted):
        self.noted, self.student = noted, nn.Linear(3, 1)
        self.objective = Linear().training_task().objective

    def __enter__(self):
        self.noted.append("opened")
        return self

    def __exit__(self, *_):
        self.noted.append("closed")


@pytest.mark.parametrize("stopped", [False, True])
def test_a_teacher_is_there_while_it_trains_and_no_longer(tmp_path, stopped):
    noted, recipe = [], Linear()
    start = {name: part.clone() for name, part in recipe.model.state_dict().items()}
    training_task = Taught(noted)
    first = {name: part.clone() for name, part in training_task.student.state_dict().items()}
    run = made(recipe, asked=noted, teacher=lambda: training_task)
    if stopped:
        with pytest.raises(StoppedError):
            carry_out(run, NewFolder(tmp_path / "made"), stop_at(2))
    else:
        carry_out(run, NewFolder(tmp_path / "made"), quiet)
    assert [one if isinstance(one, str) else one[0] for one in noted] == [
        "before",
        "opened",
        "closed",
        *([] if stopped else ["after"]),
    ]
    assert not same(training_task.student.state_dict(), first)
    assert same(recipe.model.state_dict(), start)


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
