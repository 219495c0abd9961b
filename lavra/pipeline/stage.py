"""Stages and their runner: each stage makes one artifact, and none is made twice.

The key of a stage covers everything that can change its result: its name, its version, its settings, its inputs from
outside, and the identities of the artifacts it needs.
An artifact whose card carries the key is reused; any other is made again.
A stage that was skipped because the machine was slow for a moment runs again too.
Artifacts appear whole or not at all, so a crash costs one stage at most.
A stage that can resume gets a folder of its own that outlives the crash.

A stage computes and returns a typed result (`results`), kept beside its artifact.
Its section of the report is rendered from that result each time, so a reused stage has its section too.

Deliberately absent: parallel stages (each one uses the whole machine) and remote caches (the workspace is files).
"""

from __future__ import annotations

import logging
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from lavra.base.card import CARD_FILE, Card, read_card, write_card
from lavra.base.errors import ConfigError, InputError, LavraError, nearest
from lavra.base.events import emit
from lavra.base.files import atomic_folder, hash_file, hash_json
from lavra.base.workspace import FOLDERS, Workspace
from lavra.pipeline.results import RESULT_FILE, Skipped, card_metrics, read_result, write_result
from lavra.report.section import Section

SECTION_FILE: Final = "report-section.json"
"""The file of the section of an artifact made before results were kept; the report shows it unchanged."""

log = logging.getLogger(__name__)

Result = TypeVar("Result")
T = TypeVar("T")


@dataclass(kw_only=True)
class StageContext:
    """The folders that a stage works with.

    Attributes:
        folder: folder of the new artifact; it becomes the artifact when the stage returns.
        scratch: a folder that survives a kill, for a stage that can resume; `None` for other stages.
        parents: finished artifacts of the stages it needs, by name.
    """

    folder: Path
    scratch: Path | None
    parents: Mapping[str, Path]


@dataclass(frozen=True, kw_only=True)
class Stage(Generic[Result]):
    """A step of a pipeline.

    Attributes:
        name: lower-case words joined by dashes (`pretrain`).
        kind: kind of its artifact (`corpus`, `tokenizer`, `model`), also in the card.
        folder: workspace folder of the artifact (`corpora`, `models`, ...).
        version: number to raise by hand when the same settings come to give another result.
        run: does the work and returns its result, `Skipped` where there is no work, or None.
        needs: names of earlier stages whose artifacts it reads.
        config: its settings as plain data (`to_mapping`), without settings that do not change the result.
        inputs: fingerprints of its inputs from outside the workspace, by role (see `fingerprint`).
        resumable: whether it keeps its progress in `context.scratch`; its checkpoints are removed once
            the artifact exists.
        result: the type of its result, a frozen dataclass; None where it has no result.
        figures: the base class of its result whose fields are the card's metrics.  The runner adds `seconds`, unless
            they have it: a stage that resumed knows the time of all its sessions.
        section: renders its result for the report (see `shown`).
        note: a clause about its result for the line that says the stage is done or reused; empty for none.
    """

    name: str
    kind: str
    folder: str
    version: int
    run: Callable[[StageContext], Result]
    needs: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    resumable: bool = False
    result: type | None = None
    figures: type | None = None
    section: Callable[[Result], Section] | None = None
    note: Callable[[Result], str] | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", self.name):
            raise ConfigError(
                f"stage name {self.name!r} is not lower-case words joined by dashes; write one like 'my-stage'"
            )
        if self.folder not in FOLDERS:
            raise ConfigError(f"stage {self.name!r} wants the folder {self.folder!r}{nearest(self.folder, FOLDERS)}")
        if self.resumable and self.folder == "runs":
            raise ConfigError(
                f"stage {self.name!r} is resumable and keeps its progress in 'runs'; give it another folder"
            )

    def shown(self, section: Callable[[Result], Section]) -> Stage[Result]:
        """The stage with a section in the report."""
        return replace(self, section=section)


AnyStage = Stage[Any]


@dataclass(frozen=True, kw_only=True)
class StageOutcome:
    """The outcome of a stage.

    Attributes:
        stage: name of the stage.
        folder: the finished artifact.
        card: card of the artifact.
        reused: whether the artifact existed already.
        seconds: time of this run (the look-up, when reused).
        work_seconds: time of the work when the artifact was made, in all sessions where it was resumed.
        result: result of the stage; only its figures where no result file can be read.
        section: its section of the report.
    """

    stage: str
    folder: Path
    card: Card
    reused: bool
    seconds: float
    work_seconds: float
    result: object
    section: Section | None

    def result_as(self, kind: type[T]) -> T:
        """The result of the stage, as the type that the caller expects.

        Raises:
            TypeError: the result has another type.
        """
        if not isinstance(self.result, kind):
            raise TypeError(f"the result of stage {self.stage!r} is a {type(self.result).__name__}, no {kind.__name__}")
        return self.result


def run_stages(stages: Sequence[AnyStage], workspace: Workspace, sections: Path | None = None) -> list[StageOutcome]:
    """Make, or find, the artifact of every stage, in order.

    Args:
        stages: stages in order; each needs only stages before it.
        workspace: folder of the artifacts; it is locked for the duration.
        sections: folder for the report sections of these stages, one `<n>-<stage>.json` each, reused or not;
            it is emptied first, and keeps the sections of finished stages even if a later stage fails.

    Emits `stage.start`, `stage.reused`, `stage.done` and `stage.failed` (`lavra.base.events`).

    Raises:
        ConfigError: two stages share a name, or one needs a stage that is not before it.
        InputError: another process is writing to the workspace.
        Exception: a stage raised it; artifacts finished before it stay.
    """
    _check_order(stages)
    outcomes: dict[str, StageOutcome] = {}
    with workspace.lock():
        if sections is not None:
            shutil.rmtree(sections, ignore_errors=True)
        for index, stage in enumerate(stages, start=1):
            outcome = _make_or_find(stage, workspace, outcomes, place={"index": index, "total": len(stages)})
            outcomes[stage.name] = outcome
            if sections is not None and outcome.section is not None:
                outcome.section.save(sections / f"{index:02d}-{stage.name}.json")
    return list(outcomes.values())


def stage_key(stage: AnyStage, parents: Mapping[str, str]) -> str:
    """The key: 16 hex digits of everything that can change the stage's result; `parents` are card ids by stage name."""
    return hash_json(
        {
            "stage": stage.name,
            "kind": stage.kind,
            "version": stage.version,
            "config": dict(stage.config),
            "inputs": dict(stage.inputs),
            "parents": dict(parents),
        }
    )


def fingerprint(path: Path, hashed: Callable[[Path], str] = hash_file) -> str:
    """16 hex digits of a file's or folder's content: names and bytes, not dates, so a copy counts as the same.

    Hidden files and `__pycache__` are left out, and so is a file that disappears before it is read.

    Args:
        path: path of the file or folder.
        hashed: returns the hash of a file; an empty hash leaves the file out.

    Raises:
        InputError: the path does not exist.
    """
    if path.is_file():
        return hashed(path)
    if not path.is_dir():
        raise InputError(f"{path} does not exist; name a file or a folder that does")
    files = (found for found in sorted(path.rglob("*")) if found.is_file())
    names = ((found.relative_to(path), found) for found in files)
    pairs = (
        [name.as_posix(), _hash_if_there(found, hashed)]
        for name, found in names
        if "__pycache__" not in name.parts and not any(part.startswith(".") for part in name.parts)
    )
    return hash_json([pair for pair in pairs if pair[1]])


def _hash_if_there(path: Path, hashed: Callable[[Path], str]) -> str:
    try:
        return hashed(path)
    except FileNotFoundError:  # someone is working in the folder
        return ""


# ---------------------------------------------------------------- one stage


def _make_or_find(
    stage: AnyStage, workspace: Workspace, done: Mapping[str, StageOutcome], place: Mapping[str, int]
) -> StageOutcome:
    parents = {name: done[name] for name in stage.needs}
    key = stage_key(stage, {name: outcome.card.id for name, outcome in parents.items()})
    folder = workspace.folder(stage.folder) / f"{stage.name}-{key[:8]}"
    _sweep(stage, folder.parent)
    emit("stage.start", stage=stage.name, key=key, **place)
    start = time.monotonic()
    found = _find(stage, key, folder)
    if found is not None:
        outcome = _outcome(stage, folder, *found, reused=True, start=start)
        emit("stage.reused", stage=stage.name, folder=str(folder), note=_note(stage, outcome.result), **place)
        return outcome
    try:
        made = _make(stage, key, folder, workspace, parents)
    except BaseException as error:
        emit("stage.failed", stage=stage.name, error=error, seconds=time.monotonic() - start, **place)
        raise
    outcome = _outcome(stage, folder, *made, reused=False, start=start)
    skipped = outcome.card.metrics.get("skipped", "")
    told = {"skipped": skipped, "note": _note(stage, outcome.result)}
    emit("stage.done", stage=stage.name, folder=str(folder), seconds=outcome.seconds, **told, **place)
    return outcome


def _find(stage: AnyStage, key: str, folder: Path) -> tuple[Card, object] | None:
    """Card and result of a finished, undamaged artifact with this key; a damaged one is named in a warning.

    Returns None too where the card marks the stage to be tried again.
    """
    if not folder.exists():
        return None
    try:
        card = read_card(folder)
        _check_artifact(folder, card, key)
        result = read_result(folder, card.metrics, stage.result, stage.figures)
    except (LavraError, ValueError, TypeError, AttributeError, OSError) as error:
        log.warning("%s cannot be reused and is made again: %s", folder, error)
        emit("stage.damaged", stage=stage.name, folder=str(folder), reason=str(error))
        return None
    return None if isinstance(result, Skipped) and result.again else (card, result)


def _check_artifact(folder: Path, card: Card, key: str) -> None:
    found = card.config.get("stage", {}).get("key")
    if found != key:
        raise InputError(f"its card carries the key {found}, not {key}")
    for name, claimed in card.files.items():
        path = folder / name
        if not path.is_file():
            raise InputError(f"{name} is missing")
        if hash_file(path) != claimed:
            raise InputError(f"{name} is not what its card says")
    if (folder / SECTION_FILE).exists():
        Section.load(folder / SECTION_FILE)


def _make(
    stage: AnyStage, key: str, folder: Path, workspace: Workspace, parents: Mapping[str, StageOutcome]
) -> tuple[Card, object]:
    scratch = None
    if stage.resumable:
        scratch = workspace.folder("runs") / folder.name
        scratch.mkdir(exist_ok=True)
    with atomic_folder(folder) as work:
        context = StageContext(
            folder=work, scratch=scratch, parents={name: outcome.folder for name, outcome in parents.items()}
        )
        start = time.monotonic()
        result = stage.run(context)
        metrics = card_metrics(result, stage.figures)
        metrics.setdefault("seconds", round(time.monotonic() - start, 3))  # a resumed stage knows better
        write_result(work, result)
        ids = {name: outcome.card.id for name, outcome in parents.items()}
        card = _write_stage_card(stage, key, work, metrics, ids)
    if scratch is not None:  # the artifact is in place; the choices of the stage and its metrics stay
        shutil.rmtree(scratch / "checkpoints", ignore_errors=True)
    return card, result


def _write_stage_card(
    stage: AnyStage, key: str, work: Path, metrics: Mapping[str, Any], parents: Mapping[str, str]
) -> Card:
    """Write the card: the stage's own card, if it wrote one, updated with the runner's fields."""
    own = read_card(work) if (work / CARD_FILE).exists() else Card(kind=stage.kind)
    if own.kind != stage.kind:
        raise ConfigError(
            f"stage {stage.name!r} says it makes a {stage.kind!r}, but wrote a {own.kind!r}; make them agree"
        )
    identity = {
        "name": stage.name,
        "version": stage.version,
        "key": key,
        "config": dict(stage.config),
        "inputs": dict(stage.inputs),
    }
    return write_card(
        work,
        kind=stage.kind,
        parents={**own.parents, **parents},
        config={**own.config, "stage": identity},
        metrics={**own.metrics, **metrics},
        ignore=(RESULT_FILE,),  # it holds times, and an artifact made twice must have the same identity
    )


def _outcome(stage: AnyStage, folder: Path, card: Card, result: object, *, reused: bool, start: float) -> StageOutcome:
    seconds = time.monotonic() - start
    work = float(card.metrics.get("seconds", seconds))
    return StageOutcome(
        stage=stage.name,
        folder=folder,
        card=card,
        reused=reused,
        seconds=seconds,
        work_seconds=work if reused else max(work, seconds),
        result=result,
        section=_section(stage, folder, result),
    )


def _section(stage: AnyStage, folder: Path, result: object) -> Section | None:
    """The section of a result; for an artifact older than result files, the section saved with it."""
    if (folder / SECTION_FILE).exists():
        return Section.load(folder / SECTION_FILE)
    if stage.section is None or stage.result is None or not isinstance(result, (stage.result, Skipped)):
        return None
    return stage.section(result)


def _note(stage: AnyStage, result: object) -> str:
    """The stage's note on its result; empty where it has none, or where the result has an earlier form."""
    if stage.note is None or stage.result is None or not isinstance(result, stage.result):
        return ""
    return stage.note(result)


def _check_order(stages: Sequence[AnyStage]) -> None:
    earlier: list[str] = []
    for stage in stages:
        if stage.name in earlier:
            raise ConfigError(f"two stages are called {stage.name!r}; rename one")
        for need in stage.needs:
            if need not in earlier:
                raise ConfigError(
                    f"stage {stage.name!r} needs {need!r}, which is not before it{nearest(need, earlier)}"
                )
        earlier.append(stage.name)


def _sweep(stage: AnyStage, folder: Path) -> None:
    """Remove half-written folders of a killed run of this stage, whatever their key (this process holds the lock)."""
    for leftover in folder.glob(f".*tmp-{stage.name}-*"):
        log.info("removing %s, left by a run that was killed", leftover)
        shutil.rmtree(leftover, ignore_errors=True)
