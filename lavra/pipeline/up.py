"""`lavra up`: from text to a model that completes it, in one run of stages.

To add a stage, write it in `stages/` (a function that returns a `Stage`), its section in `sections/`, and put both on a
line of `up_stages`; the console and the cache need no change.
Training stages also get a row in `settings.SHARES`.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from lavra.base.device import find_compiler
from lavra.base.ports import Progress
from lavra.base.units import format_duration
from lavra.base.version import VERSION
from lavra.base.workspace import Workspace
from lavra.evaluation.model_card import write_model_card
from lavra.model.config import Kind
from lavra.model.families.table import DEFAULT_FAMILY
from lavra.pipeline.beginning import choose_beginning
from lavra.pipeline.index_encoders import Encoders
from lavra.pipeline.introducing import introduce_model, introduce_taught
from lavra.pipeline.plan import Plan
from lavra.pipeline.results import Skipped
from lavra.pipeline.sections.adapt import adapt_section
from lavra.pipeline.sections.benchmarks import up_benchmarks_section
from lavra.pipeline.sections.compress import compress_section
from lavra.pipeline.sections.corpus import corpus_section
from lavra.pipeline.sections.encoder import encoder_section
from lavra.pipeline.sections.evaluate import bits_fact, evaluate_section
from lavra.pipeline.sections.evaluate_holes import evaluate_holes_section, nats_fact
from lavra.pipeline.sections.index import index_section
from lavra.pipeline.sections.instructions import instructions_section
from lavra.pipeline.sections.plan import plan_section
from lavra.pipeline.sections.pretrain import pretrain_section
from lavra.pipeline.sections.start import continue_section, start_plan_section
from lavra.pipeline.sections.timings import timings_section
from lavra.pipeline.sections.tokenizer import tokenizer_section
from lavra.pipeline.settings import UpConfig
from lavra.pipeline.stage import AnyStage, StageOutcome, run_stages
from lavra.pipeline.stages.adapt import AdaptFigures, adapt_stage
from lavra.pipeline.stages.baselines import baselines_stage
from lavra.pipeline.stages.benchmarks import BenchmarksResult, benchmarks_stage
from lavra.pipeline.stages.compress import compress_stage
from lavra.pipeline.stages.encoder import encoder_stage
from lavra.pipeline.stages.evaluate import EvaluateFigures, evaluate_stage, load_verdict
from lavra.pipeline.stages.evaluate_holes import EvaluateHolesFigures, evaluate_holes_stage
from lavra.pipeline.stages.index import index_stage
from lavra.pipeline.stages.instructions import instructions_stage
from lavra.pipeline.stages.planning import PlanResult, plan_stage
from lavra.pipeline.stages.prepare import corpus_stage, tokenizer_stage, tokens_stage
from lavra.pipeline.stages.pretrain import PretrainFigures, pretrain_stage
from lavra.pipeline.stages.start import StartPlanResult, continue_stage, given_tokenizer_stage, start_plan_stage
from lavra.pipeline.start import Start, find_start, settled
from lavra.pipeline.training_samples import TrainingSamples
from lavra.pipeline.worker_group import WorkerGroup
from lavra.report.page import Report, load_sections
from lavra.report.section import Fact
from lavra.text.corpus import Corpus


@dataclass(frozen=True, kw_only=True)
class UpResult:
    """The result of `up`.

    Attributes:
        model: the model's folder.
        adapter: folder of the adapter that answers; None where the model was not taught.
        index: the index of the documents; None where there is no index.
        report: the report's file.
        verdict: the tasks that the model is good for, by measurement.
        beginning: a few words of held-out text, for the model to continue; empty where the text has none.
        stages: the outcome of each stage.
        compile_seconds: time spent compiling, outside the budget.

    Example:
        >>> result = lavra.up("texts", budget="10s", hidden_size=64, num_layers=1)  # slow: 40 s
        >>> result.report.name
        'report.html'
    """

    model: Path
    adapter: Path | None
    index: Path | None
    report: Path
    verdict: str
    beginning: str
    stages: tuple[StageOutcome, ...]
    compile_seconds: float


def up_stages(
    config: UpConfig,
    progress: Progress,
    workers: WorkerGroup | None = None,
    *,
    start: Start | None = None,
    allow_drift: bool = False,
    encoders: Encoders | None = None,
) -> list[AnyStage]:
    """Every stage with its section, in order; stages that train a fresh model use all processes of the group."""
    return [
        corpus_stage(config, progress).shown(corpus_section),
        *(
            _fresh(config, progress, workers or WorkerGroup(), allow_drift)
            if start is None
            else _on(config, start, progress, allow_drift)
        ),
        *_evaluate_stages(config, progress),
        adapt_stage(config, progress).shown(adapt_section),
        encoder_stage(config, progress).shown(encoder_section),
        compress_stage(config, progress).shown(compress_section),
        index_stage(config, encoders, progress).shown(index_section),
    ]


def _fresh(config: UpConfig, progress: Progress, workers: WorkerGroup, allow_drift: bool) -> list[AnyStage]:
    """The stages that train a fresh model."""
    return [
        tokenizer_stage(config, progress).shown(tokenizer_section),
        tokens_stage(config, progress),
        instructions_stage(config, progress).shown(instructions_section),
        plan_stage(config, progress, workers).shown(plan_section),
        pretrain_stage(config, progress, workers, allow_drift=allow_drift).shown(pretrain_section),
    ]


def _on(config: UpConfig, start: Start, progress: Progress, allow_drift: bool) -> list[AnyStage]:
    """The stages that train an existing model."""
    return [
        given_tokenizer_stage(start).shown(tokenizer_section),
        tokens_stage(config, progress),
        instructions_stage(config, progress).shown(instructions_section),
        start_plan_stage(config, start, progress).shown(start_plan_section),
        continue_stage(config, start, progress, allow_drift=allow_drift).shown(continue_section),
    ]


def _evaluate_stages(config: UpConfig, progress: Progress) -> list[AnyStage]:
    if config.kind is Kind.DECODER:
        return [
            baselines_stage(progress),
            evaluate_stage(config, progress).shown(evaluate_section),
            benchmarks_stage(config, progress).shown(up_benchmarks_section),
        ]
    return [evaluate_holes_stage(progress).shown(evaluate_holes_section)]


def run_up(
    config: UpConfig,
    workspace: Workspace,
    progress: Progress,
    workers: WorkerGroup | None = None,
    *,
    allow_drift: bool = False,
    encoders: Encoders | None = None,
) -> UpResult:
    """Run the stages and write the report, in the main process; dismiss the other processes at the end.

    Args:
        config: settings of the run.
        workspace: folder of all artifacts.
        progress: shows the progress.
        workers: the processes that train together.
        allow_drift: whether a run may resume on a changed machine.
        encoders: encoders that the index may use; without them it searches words alone.

    Raises:
        LavraError: a stage refuses its input; artifacts of earlier stages stay, and another run continues from there.
    """
    workers, start = workers or WorkerGroup(), find_start(config, workspace)
    config = settled(config, start)
    name = _report_name(config, start)
    sections = workspace.folder("runs") / f"{name}-sections"
    try:
        outcomes = run_stages(
            up_stages(config, progress, workers, start=start, allow_drift=allow_drift, encoders=encoders),
            workspace,
            sections=sections,
        )
    finally:
        workers.dismiss()
    by_name = {outcome.stage: outcome for outcome in outcomes}
    plan, pretrain = Plan.load(by_name["plan"].folder), by_name["pretrain"]
    verdict = _verdict(by_name["evaluate"])
    benchmarks = by_name["benchmarks"].result if "benchmarks" in by_name else None
    if isinstance(benchmarks, BenchmarksResult):
        write_model_card(pretrain.folder, benchmarks.evaluation)
    _introduce(by_name, verdict)
    report = workspace.path / f"report{name.removeprefix('up')}.html"
    compiling = {"plan": plan.compile_seconds, "pretrain": pretrain.result_as(PretrainFigures).compile_seconds}
    facts = (
        _model_fact(config, plan),
        _headline(by_name["evaluate"]),
        _time_fact(outcomes, sum(compiling.values())),
    )
    _report(verdict, facts, by_name, sections).write(report)
    return UpResult(
        model=pretrain.folder,
        adapter=_made(by_name["adapt"]),
        index=_made(by_name["index"]),
        report=report,
        verdict=verdict,
        beginning=choose_beginning(Corpus.open(by_name["corpus"].folder).documents("heldout")),
        stages=tuple(outcomes),
        compile_seconds=sum(seconds for stage, seconds in compiling.items() if not by_name[stage].reused),
    )


def _introduce(by_name: Mapping[str, StageOutcome], verdict: str) -> None:
    """Write the introductions of the models into their cards."""
    heldout = Corpus.open(by_name["corpus"].folder).documents("heldout")
    introduce_model(by_name["pretrain"].folder, verdict, heldout)
    if not isinstance(by_name["adapt"].result, Skipped):
        questions = TrainingSamples.open(by_name["instructions"].folder).instructions("heldout")
        introduce_taught(by_name["adapt"].folder, by_name["adapt"].result_as(AdaptFigures), questions)


def _made(outcome: StageOutcome) -> Path | None:
    """The folder of a stage that was not skipped."""
    return None if isinstance(outcome.result, Skipped) else outcome.folder


def _report_name(config: UpConfig, start: Start | None) -> str:
    """The name of the report: runs in one workspace that make different models have separate reports."""
    made_of = [] if config.family == DEFAULT_FAMILY else [config.family]
    return "-".join(["up", *made_of, *([] if start is None else ["start", start.folder.name])])


def _model_fact(config: UpConfig, plan: Plan) -> Fact:
    return Fact(
        label="Model",
        value=f"{plan.num_parameters / 1e6:.1f}M",
        unit="parameters",
        note=f"{config.family}, context {plan.sequence_length}",
    )


def _verdict(evaluate: StageOutcome) -> str:
    if isinstance(evaluate.result, Skipped):
        return f"What the model is good for was not measured: {evaluate.result.why}."
    return load_verdict(evaluate.folder)


def _headline(evaluate: StageOutcome) -> Fact:
    if isinstance(evaluate.result, Skipped):
        return Fact(label="Held-out text", value="not measured")
    if isinstance(evaluate.result, EvaluateHolesFigures):
        return nats_fact(evaluate.result)
    return bits_fact(evaluate.result_as(EvaluateFigures))


def _time_fact(outcomes: Sequence[StageOutcome], compile_seconds: float) -> Fact:
    work = sum(outcome.work_seconds for outcome in outcomes)
    return Fact(
        label="Time",
        value=format_duration(work),
        note=f"in all stages, {format_duration(compile_seconds)} of it compiling",
    )


def _report(verdict: str, facts: tuple[Fact, ...], outcomes: Mapping[str, StageOutcome], sections: Path) -> Report:
    planned = outcomes["plan"].result
    given = (planned.shares, planned.budget) if isinstance(planned, PlanResult | StartPlanResult) else ()
    return Report(
        title="A language model of your own making",
        summary=verdict,
        facts=facts,
        sections=(*load_sections(sections), timings_section(list(outcomes.values()), *given)),
        versions=_versions(),
    )


def _versions() -> dict[str, str]:
    return {
        "lavra": VERSION,
        "Python": platform.python_version(),
        "PyTorch": str(torch.__version__),
        "machine": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}",
        "threads": str(torch.get_num_threads()),
        "compiler": "none" if find_compiler() is None else "found, used by torch.compile",
    }
