"""The runner's promises, and a naive rule for the stages that must run again."""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lavra.base.card import read_card, write_card
from lavra.base.errors import ConfigError, InputError
from lavra.base.events import subscribed
from lavra.base.workspace import Workspace
from lavra.pipeline import stage as stage_module
from lavra.pipeline.results import RESULT_FILE, Skipped
from lavra.pipeline.sections.timings import timings_section
from lavra.pipeline.stage import SECTION_FILE, Stage, StageContext, fingerprint, run_stages
from lavra.report.page import load_sections
from lavra.report.section import Section


@dataclass(frozen=True, kw_only=True)
class SaidFigures:
    """The card's figures: the length of the text."""

    length: int


@dataclass(frozen=True, kw_only=True)
class Said(SaidFigures):
    """A speaker and a text."""

    name: str
    says: str


def said_section(result: Said) -> Section:
    return Section(title=result.name.title(), summary=f"{result.name} says {result.says}.")


def writer(name: str, says: str = "", ran: list[str] | None = None) -> Callable[[StageContext], Said]:
    """Work that writes its input and its text, so that a wrong reuse shows in the content."""

    def run(context: StageContext) -> Said:
        if ran is not None:
            ran.append(name)
        below = [f"{parent}({(folder / 'out.txt').read_text()})" for parent, folder in context.parents.items()]
        (context.folder / "out.txt").write_text(f"{name}:{says}:{'+'.join(below)}")
        return Said(length=len(says), name=name, says=says)

    return run


def make(
    name: str, says: str = "a", *, needs: tuple[str, ...] = (), version: int = 1, ran: list[str] | None = None
) -> Stage[Said]:
    return Stage(
        name=name,
        kind="text",
        folder="corpora",
        version=version,
        needs=needs,
        config={"says": says},
        run=writer(name, says, ran),
        result=Said,
        figures=SaidFigures,
        section=said_section,
    )


def chain(ran: list[str], **says: str) -> list[Stage[Said]]:
    """corpus -> tokenizer -> model, corpus -> model, and a note without inputs."""
    return [
        make("corpus", says.get("corpus", "c"), ran=ran),
        make("tokenizer", says.get("tokenizer", "t"), needs=("corpus",), ran=ran),
        make("note", says.get("note", "n"), ran=ran),
        make("model", says.get("model", "m"), needs=("tokenizer", "corpus"), ran=ran),
    ]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.open(tmp_path / "w")


def test_a_second_run_reuses_everything(workspace: Workspace, tmp_path: Path) -> None:
    ran: list[str] = []
    first = run_stages(chain(ran), workspace, tmp_path / "sections")
    assert ran == ["corpus", "tokenizer", "note", "model"]
    before = load_sections(tmp_path / "sections")
    second = run_stages(chain(ran), workspace, tmp_path / "sections")
    assert ran == ["corpus", "tokenizer", "note", "model"]
    assert [r.reused for r in second] == [True] * 4
    assert [r.card.id for r in first] == [r.card.id for r in second]
    assert load_sections(tmp_path / "sections") == before  # a reused stage still has its say
    assert [section.title for section in before] == ["Corpus", "Tokenizer", "Note", "Model"]
    assert sorted(path.name for path in (tmp_path / "sections").iterdir()) == [
        "01-corpus.json",
        "02-tokenizer.json",
        "03-note.json",
        "04-model.json",
    ]


def test_a_reused_stage_returns_the_same_result(workspace: Workspace) -> None:
    (made,) = run_stages([make("corpus", "abc")], workspace)
    (again,) = run_stages([make("corpus", "abc")], workspace)
    assert again.reused
    assert made.result == again.result == Said(length=3, name="corpus", says="abc")
    assert again.result_as(Said).says == "abc"
    assert again.card.metrics["length"] == 3
    assert "says" not in again.card.metrics
    with pytest.raises(TypeError, match="the result of stage 'corpus' is a Said, no Skipped"):
        again.result_as(Skipped)


def test_sections_are_rendered_from_the_result_each_time(workspace: Workspace, tmp_path: Path) -> None:
    """A stage that ran without a section, or with another, has today's section in today's report."""
    run_stages([dataclasses.replace(make("corpus"), section=None)], workspace)
    (again,) = run_stages([make("corpus").shown(said_section)], workspace, tmp_path / "sections")
    assert again.reused
    assert load_sections(tmp_path / "sections") == (said_section(Said(length=1, name="corpus", says="a")),)
    (other,) = run_stages([make("corpus").shown(lambda said: Section(title="T", summary=said.says))], workspace)
    assert other.section == Section(title="T", summary="a")


def test_an_artifact_older_than_result_files_keeps_its_section_and_its_figures(workspace: Workspace) -> None:
    """As the runner wrote them: numbers in the card, the section beside it, and no result file."""
    (made,) = run_stages([make("corpus", "abc")], workspace)
    saved = Section(title="Old", summary="As it was written then.")
    (made.folder / RESULT_FILE).unlink()
    saved.save(made.folder / SECTION_FILE)
    (again,) = run_stages([make("corpus", "abc")], workspace)
    assert again.reused
    assert again.card.id == made.card.id
    assert again.section == saved
    assert again.result == SaidFigures(length=3)


@pytest.mark.parametrize("content", ["{", "[]", '{"length": 3}', '{"length": 3, "name": "n", "says": "s", "more": 1}'])
def test_a_result_of_an_earlier_form_costs_the_section_and_not_the_artifact(
    workspace: Workspace, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    (made,) = run_stages([make("corpus", "abc")], workspace)
    (made.folder / RESULT_FILE).write_text(content)
    with caplog.at_level(logging.WARNING):
        (again,) = run_stages([make("corpus", "abc")], workspace)
    assert again.reused
    assert again.section is None
    assert again.result == SaidFigures(length=3)
    assert f"{made.folder / RESULT_FILE} cannot be read" in caplog.text


def test_a_skipped_stage_says_why_when_it_is_reused_too(workspace: Workspace) -> None:
    def skip(context: StageContext) -> Said | Skipped:
        return Skipped(why="there is nothing")

    def section(result: Said | Skipped) -> Section:
        return Section(title="s", summary=result.why if isinstance(result, Skipped) else result.says)

    stage = dataclasses.replace(make("corpus"), run=skip).shown(section)
    for reused in (False, True):
        (outcome,) = run_stages([stage], workspace)
        assert outcome.reused is reused
        assert outcome.result == Skipped(why="there is nothing")
        assert outcome.section == Section(title="s", summary="there is nothing")
        assert outcome.card.metrics["skipped"] == "there is nothing"


def test_a_stage_that_was_skipped_for_the_moment_runs_again_next_time(workspace: Workspace) -> None:
    """It is skipped twice, for the moment or for good; stages before and after it do not run because of it."""
    ran: list[str] = []

    def skipping(again: bool) -> Callable[[StageContext], Said | Skipped]:
        def run(context: StageContext) -> Said | Skipped:
            ran.append("note")
            return Skipped(why="the machine was busy", again=again)

        return run

    def stages(run: Callable[[StageContext], Said | Skipped]) -> list[Stage[Any]]:
        return [make("corpus", ran=ran), dataclasses.replace(make("note", needs=("corpus",)), run=run, section=None)]

    for _ in range(2):
        *_, outcome = run_stages(stages(skipping(True)), workspace)
        assert outcome.result == Skipped(why="the machine was busy", again=True)
        assert not outcome.reused
    assert ran == ["corpus", "note", "note"]
    *_, outcome = run_stages(stages(writer("note", "n", ran)), workspace)
    assert outcome.result == Said(length=1, name="note", says="n")
    *_, outcome = run_stages(stages(writer("note", "n", ran)), workspace)
    assert outcome.reused
    assert ran == ["corpus", "note", "note", "note"]


def test_a_section_that_cannot_be_rendered_makes_nothing_again(workspace: Workspace) -> None:
    """An artifact takes hours to make; a mistake in its section does not damage it."""

    def broken(result: Said) -> Section:
        raise ValueError("a mistake in the section")

    run_stages([make("corpus")], workspace)
    ran: list[str] = []
    with pytest.raises(ValueError, match="a mistake in the section"):
        run_stages([make("corpus", ran=ran).shown(broken)], workspace)
    assert ran == []


def test_a_changed_setting_reruns_that_stage_and_its_dependents_only(workspace: Workspace) -> None:
    run_stages(chain([]), workspace)
    ran: list[str] = []
    results = run_stages(chain(ran, tokenizer="other"), workspace)
    assert ran == ["tokenizer", "model"]
    assert "tokenizer:other" in (results[-1].folder / "out.txt").read_text()
    ran.clear()
    run_stages(chain(ran), workspace)  # the earlier artifacts are still there
    assert ran == []


def test_measurements_and_messages_are_no_part_of_an_artifacts_identity(tmp_path: Path) -> None:
    """Two equal runs take different times; artifacts made from either are the same."""

    def taking(seconds: int) -> Callable[[StageContext], Said]:
        def run(context: StageContext) -> Said:
            (context.folder / "out.txt").write_text("the same")
            return Said(length=seconds, name="corpus", says=f"It took {seconds} s.")

        return run

    stages = [dataclasses.replace(make("corpus"), run=taking(seconds)) for seconds in (1, 2)]
    made = [run_stages([stage], Workspace.open(tmp_path / str(place)))[0] for place, stage in enumerate(stages)]
    assert made[0].section != made[1].section
    assert made[0].card.id == made[1].card.id


def test_an_artifact_of_another_key_is_not_reused_though_the_folders_are_named_alike(workspace: Workspace) -> None:
    """A folder's name has only half of the key."""
    ran: list[str] = []
    made = run_stages([make("corpus", ran=ran)], workspace)[0]
    key = made.card.config["stage"]["key"]
    other = {**made.card.config, "stage": {**made.card.config["stage"], "key": key[:8] + "0" * 8}}
    write_card(made.folder, kind="text", parents={}, config=other, ignore=(RESULT_FILE,))
    again = run_stages([make("corpus", ran=ran)], workspace)[0]
    assert ran == ["corpus", "corpus"]
    assert (again.folder, again.reused) == (made.folder, False)


def test_a_raised_version_reruns_that_stage_and_its_dependents_only(workspace: Workspace) -> None:
    run_stages(chain([]), workspace)
    ran: list[str] = []
    stages = chain(ran)
    stages[1] = dataclasses.replace(stages[1], version=2)
    run_stages(stages, workspace)
    assert ran == ["tokenizer", "model"]


def test_changed_input_reruns(workspace: Workspace, tmp_path: Path) -> None:
    source = tmp_path / "text"
    source.mkdir()
    (source / "a.txt").write_text("one")
    ran: list[str] = []
    stage = dataclasses.replace(make("corpus", ran=ran), inputs={"text": fingerprint(source)})
    run_stages([stage], workspace)
    os.utime(source / "a.txt", (1, 1))
    (source / ".hidden").write_text("x")
    assert fingerprint(source) == stage.inputs["text"]  # dates and hidden files do not count
    (source / "a.txt").rename(source / "b.txt")
    assert fingerprint(source) != stage.inputs["text"]  # names do
    (source / "b.txt").rename(source / "a.txt")
    (source / "a.txt").write_text("two")
    run_stages([dataclasses.replace(stage, inputs={"text": fingerprint(source)})], workspace)
    assert ran == ["corpus", "corpus"]
    with pytest.raises(InputError, match="does not exist"):
        fingerprint(tmp_path / "absent")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(
        st.tuples(st.sampled_from(["corpus", "tokenizer", "note", "model"]), st.sampled_from("ab")), max_size=5
    )
)
def test_the_stages_that_run_are_those_of_a_naive_rule(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, str]]
) -> None:
    """Naive rule: a stage runs when its settings together with all settings above it are new."""
    workspace = Workspace.open(tmp_path_factory.mktemp("w"))
    above = {
        "corpus": ("corpus",),
        "tokenizer": ("corpus", "tokenizer"),
        "note": ("note",),
        "model": ("corpus", "tokenizer", "model"),
    }
    says = dict.fromkeys(above, "a")
    seen: set[tuple[object, ...]] = set()
    for name, text in [("corpus", "a"), *changes]:
        says[name] = text
        states = {stage: (stage, *(says[name] for name in names)) for stage, names in above.items()}
        expected = [stage for stage in ("corpus", "tokenizer", "note", "model") if states[stage] not in seen]
        seen |= set(states.values())
        ran: list[str] = []
        results = run_stages(chain(ran, **says), workspace)
        assert ran == expected
        content = {r.stage: (r.folder / "out.txt").read_text() for r in results}
        tokenizer = f"tokenizer:{says['tokenizer']}:corpus(corpus:{says['corpus']}:)"
        assert content["model"] == f"model:{says['model']}:tokenizer({tokenizer})+corpus(corpus:{says['corpus']}:)"


@pytest.mark.parametrize("damage", ["edit card", "drop card", "cut file", "drop file", "break json", "break section"])
def test_a_damaged_artifact_is_made_again_with_a_warning(
    workspace: Workspace, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    ran: list[str] = []
    folder = run_stages(chain(ran), workspace)[0].folder
    ran.clear()
    card = folder / "lavra.json"
    {
        "edit card": lambda: card.write_text(card.read_text().replace('"says": "c"', '"says": "d"')),
        "drop card": card.unlink,
        "cut file": lambda: (folder / "out.txt").write_text(""),
        "drop file": (folder / "out.txt").unlink,
        "break json": lambda: card.write_text("{"),
        "break section": lambda: (folder / SECTION_FILE).write_text("{}"),
    }[damage]()
    with caplog.at_level(logging.WARNING):
        results = run_stages(chain(ran), workspace)
    assert ran == ["corpus"]  # remade equal, so nothing below it runs
    assert f"{folder} cannot be reused and is made again" in caplog.text
    assert (results[0].folder / "out.txt").read_text() == "corpus:c:"


def test_a_failing_stage_leaves_nothing_half_written_and_what_was_before_it(
    workspace: Workspace, tmp_path: Path
) -> None:
    ran: list[str] = []

    def fails(context: StageContext) -> Said:
        (context.folder / "half.txt").write_text("half")
        raise OSError(28, "No space left on device")

    stages = chain(ran)
    broken = dataclasses.replace(stages[1], run=fails)
    events: list[tuple[str, str]] = []
    with (
        subscribed(lambda name, fields: events.append((name, fields["stage"]))),
        pytest.raises(OSError, match=r"the disk is full: more than 4 B are needed, .* are free"),
    ):
        run_stages([stages[0], broken, *stages[2:]], workspace, tmp_path / "sections")
    assert events == [
        ("stage.start", "corpus"),
        ("stage.done", "corpus"),
        ("stage.start", "tokenizer"),
        ("stage.failed", "tokenizer"),
    ]
    assert [path.name for path in workspace.corpora.iterdir()] == [
        path.name for path in workspace.corpora.glob("corpus-*")
    ]
    assert [section.title for section in load_sections(tmp_path / "sections")] == ["Corpus"]
    ran.clear()
    run_stages(stages, workspace)
    assert ran == ["tokenizer", "note", "model"]


KILLED = """
import os, signal, sys
from pathlib import Path
from lavra.base.workspace import Workspace
from lavra.pipeline.stage import Stage, run_stages

def run(context):
    (context.folder / "half.txt").write_text("half")
    count = context.scratch / "count.txt"
    count.write_text(str(int(count.read_text()) + 1) if count.exists() else "1")
    if int(count.read_text()) < 3:
        os.kill(os.getpid(), signal.SIGKILL)
    (context.folder / "out.txt").write_text(count.read_text())

stage = Stage(name="train", kind="model", folder="models", version=1, run=run, resumable=True)
print(run_stages([stage], Workspace.open(Path(sys.argv[1])))[0].folder)
"""


def test_a_killed_stage_resumes_from_its_scratch_and_its_leftovers_are_swept(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    for _ in range(2):
        assert subprocess.run(command, capture_output=True, timeout=60).returncode == -signal.SIGKILL
        assert [path.name[:10] for path in (tmp_path / "models").iterdir()] == [".tmp-train"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    folder = Path(done.stdout.strip())
    assert (folder / "out.txt").read_text() == "3"
    assert list((tmp_path / "models").iterdir()) == [folder]
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [folder.name]


def test_leftovers_of_other_keys_are_swept_and_other_artifacts_are_not(workspace: Workspace) -> None:
    corpora = workspace.folder("corpora")
    for name in (
        ".tmp-corpus-0badf00d-x",
        ".tmp-.tmp-corpus-0badf00d-x-y",
        ".old-.tmp-corpus-0badf00d-x",
        ".tmp-mine",
        "corpus-mine",
    ):
        (corpora / name).mkdir()
    run_stages([make("corpus")], workspace)
    left = {path.name for path in corpora.iterdir()}
    assert {".tmp-mine", "corpus-mine"} < left
    assert len(left) == 3


@dataclass(frozen=True, kw_only=True)
class Sessions:
    """Duration of all sessions of a resumed stage."""

    seconds: float


def test_a_stage_may_write_its_own_card_and_the_runner_adds_to_it(workspace: Workspace) -> None:
    def run(context: StageContext) -> Sessions:
        (context.folder / "a.txt").write_text("a")
        write_card(
            context.folder, kind="corpus", parents={"raw": "0123"}, config={"min_length": 3}, metrics={"kept": 7}
        )
        return Sessions(seconds=12.5)

    stage = Stage(name="corpus", kind="corpus", folder="corpora", version=1, run=run, result=Sessions, figures=Sessions)
    result = run_stages([stage], workspace)[0]
    card = read_card(result.folder)
    assert card.parents == {"raw": "0123"}
    assert card.config["min_length"] == 3
    assert card.metrics == {"kept": 7, "seconds": 12.5}
    assert result.work_seconds == 12.5
    assert run_stages([stage], workspace)[0].reused
    with pytest.raises(ConfigError, match="says it makes a 'model', but wrote a 'corpus'"):
        run_stages([dataclasses.replace(stage, kind="model")], workspace)


def test_impossible_pipelines_are_refused(workspace: Workspace) -> None:
    with pytest.raises(ConfigError, match="two stages are called 'a'"):
        run_stages([make("a"), make("a")], workspace)
    with pytest.raises(ConfigError, match="needs 'corpsu', which is not before it; did you mean 'corpus'"):
        run_stages([make("corpus"), make("model", needs=("corpsu",))], workspace)
    with pytest.raises(ConfigError, match="not lower-case words"):
        make("../escape")
    with pytest.raises(ConfigError, match="did you mean 'models'"):
        dataclasses.replace(make("a"), folder="model")
    with pytest.raises(ConfigError, match="give it another folder"):
        dataclasses.replace(make("a"), folder="runs", resumable=True)


def test_a_busy_workspace_is_refused(workspace: Workspace) -> None:
    with workspace.lock(), pytest.raises(InputError, match="is writing to"):
        run_stages([make("a")], workspace)


def test_timings_tell_what_was_reused(workspace: Workspace) -> None:
    results = run_stages([make("a")], workspace)
    again = run_stages([make("a"), make("b")], workspace)
    assert "0 of 1 stages were reused" in timings_section(results).summary
    assert "1 of 2 stages were reused" in timings_section(again).summary
    assert [row[:2] for row in timings_section(again).blocks[0].rows] == [("a", "reused"), ("b", "made")]  # type: ignore[union-attr]


def test_timings_tell_what_was_left_of_the_budget(workspace: Workspace) -> None:
    def skip(context: StageContext) -> Said | Skipped:
        return Skipped(why="the machine was busy", again=True)

    stages = [make("a"), dataclasses.replace(make("b"), run=skip, section=None), make("c")]
    section = timings_section(run_stages(stages, workspace), {"a": 0.7, "b": 0.3}, 60.0)
    assert "30% of the budget was left unused: b did not run" in section.summary
    (table,) = section.blocks
    assert [row[1] for row in table.rows] == ["made", "skipped", "made"]  # type: ignore[union-attr]
    assert [row[3] for row in table.rows] == ["42s", "18s", ""]  # type: ignore[union-attr]
    all_ran = timings_section(run_stages(stages[:1], workspace), {"a": 1.0}, 60.0)
    assert "unused" not in all_ran.summary


def test_the_example_in_the_docs_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/pipeline.md shows how to add a stage; its example must be true."""
    page = (Path(__file__).parents[2] / "docs" / "pipeline.md").read_text(encoding="utf-8")
    example = page.split("```python\n")[1].split("```")[0]
    assert sum(bool(line.strip()) for line in example.splitlines()) <= 21
    monkeypatch.chdir(tmp_path)
    shutil.copy(__file__, tmp_path / "text.txt")
    names: dict[str, Any] = {}
    exec(compile(example, "docs/pipeline.md", "exec"), names)
    results: Mapping[str, Any] = {result.stage: result for result in names["results"]}
    counted = max(len(line) for line in Path(__file__).read_text(encoding="utf-8").splitlines())
    assert results["longest"].result.characters == counted
    assert results["longest"].section.summary == f"It has {counted} characters."


def test_a_file_that_vanishes_while_its_folder_is_looked_at_is_left_out(tmp_path, monkeypatch):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(name)
    hash_file = stage_module.hash_file

    def remove_then_hash(path):
        if path.name == "b.txt":
            path.unlink()
        return hash_file(path)

    monkeypatch.setattr(stage_module, "hash_file", remove_then_hash)
    found = fingerprint(tmp_path)
    assert found == fingerprint(tmp_path)  # now there is one
