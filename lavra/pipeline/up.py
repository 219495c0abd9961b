"""`lavra up`: from text to a model that completes it, in one run of stages.

To add a stage, write it in a module of its own (a function that returns a `Stage`) and put it in `up_stages`; the
console, the report and the cache need not be told.  Training stages also get a row in `settings.SHARES`.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

import torch

from lavra import __version__
from lavra.base.device import find_compiler
from lavra.base.ports import Progress
from lavra.base.units import format_duration
from lavra.base.workspace import Workspace
from lavra.model.config import Kind
from lavra.model.families import DEFAULT_FAMILY
from lavra.pipeline.crew import Crew
from lavra.pipeline.plan import Plan
from lavra.pipeline.settings import UpConfig
from lavra.pipeline.stage import Stage, StageResult, run_stages, timings
from lavra.pipeline.stages.adapt import adapt_stage
from lavra.pipeline.stages.baselines import baselines_stage
from lavra.pipeline.stages.compress import compress_stage
from lavra.pipeline.stages.encoder import encoder_stage
from lavra.pipeline.stages.evaluate import evaluate_stage, load_verdict
from lavra.pipeline.stages.evaluate_holes import evaluate_holes_stage
from lavra.pipeline.stages.planning import plan_stage
from lavra.pipeline.stages.prepare import prepare_stages
from lavra.pipeline.stages.pretrain import pretrain_stage
from lavra.pipeline.teaching import instructions_stage
from lavra.report import Fact, Report, load_sections

REPORT_FILE = "report.html"


@dataclass(frozen=True, kw_only=True)
class UpResult:
    """What `up` made.

    Attributes:
        model: the model's folder.
        adapter: folder of what it was taught, over it; None where it was taught nothing.
        report: the report's file.
        verdict: what the model is good for, measured.
        stages: what became of each stage.
        compile_seconds: time spent compiling, outside the budget.
    """

    model: Path
    adapter: Path | None
    report: Path
    verdict: str
    stages: tuple[StageResult, ...]
    compile_seconds: float


def up_stages(
    config: UpConfig, progress: Progress, crew: Crew | None = None, *, allow_drift: bool = False
) -> list[Stage]:
    """Every stage, in order; those that train do so with the crew's help."""
    crew = crew or Crew()
    stages = [
        *prepare_stages(config, progress),
        plan_stage(config, progress, crew),
        pretrain_stage(config, progress, crew, allow_drift=allow_drift),
    ]
    if config.kind is Kind.DECODER:
        stages += [baselines_stage(progress), evaluate_stage(config, progress)]
    else:
        stages.append(evaluate_holes_stage(progress))
    taught = [instructions_stage(config, progress), adapt_stage(config, progress), encoder_stage(config, progress)]
    return [*stages, *taught, compress_stage(progress)]


def run_up(
    config: UpConfig, workspace: Workspace, progress: Progress, crew: Crew | None = None, *, allow_drift: bool = False
) -> UpResult:
    """Run the stages and write the report; the main process does, and dismisses the others at the end.

    Raises:
        LavraError: whatever a stage refuses; what earlier stages made is kept, and another run goes on from there.
    """
    crew = crew or Crew()
    name = "up" if config.family == DEFAULT_FAMILY else f"up-{config.family}"
    sections = workspace.folder("runs") / f"{name}-sections"
    try:
        results = run_stages(up_stages(config, progress, crew, allow_drift=allow_drift), workspace, sections=sections)
    finally:
        crew.dismiss()
    by_name = {result.stage: result for result in results}
    plan = Plan.load(by_name["plan"].folder)
    text = load_verdict(by_name["evaluate"].folder)
    report = workspace.path / (REPORT_FILE if name == "up" else f"report-{config.family}.html")
    compiling = {"plan": plan.compile_seconds, "pretrain": by_name["pretrain"].card.metrics["compile_seconds"]}
    _report(config, results, plan, text, sections, compile_seconds=sum(compiling.values())).write(report)
    return UpResult(
        model=by_name["pretrain"].folder,
        adapter=None if "skipped" in by_name["adapt"].card.metrics else by_name["adapt"].folder,
        report=report,
        verdict=text,
        stages=tuple(results),
        compile_seconds=sum(seconds for stage, seconds in compiling.items() if not by_name[stage].reused),
    )


def _report(
    config: UpConfig, results: list[StageResult], plan: Plan, text: str, sections: Path, *, compile_seconds: float
) -> Report:
    work = sum(result.work_seconds for result in results)
    facts = (
        Fact(
            label="Model",
            value=f"{plan.num_parameters / 1e6:.1f}M",
            unit="parameters",
            note=f"{config.family}, context {plan.sequence_length}",
        ),
        *_headline(results),
        Fact(label="Time", value=format_duration(work), note=f"{format_duration(compile_seconds)} of it compiling"),
    )
    return Report(
        title="A language model of your own making",
        summary=text,
        facts=facts,
        sections=(*load_sections(sections), timings(results)),
        versions=_versions(),
    )


def _headline(results: list[StageResult]) -> tuple[Fact, ...]:
    metrics = next(result.card.metrics for result in results if result.stage == "evaluate")
    if "bits_per_byte" in metrics:
        return (Fact(label="Held-out text", value=f"{metrics['bits_per_byte']:.3f}", unit="bits per byte"),)
    return (Fact(label="Hidden tokens", value=f"{metrics['nats_per_hole']['this model']:.3f}", unit="nats each"),)


def _versions() -> dict[str, str]:
    return {
        "lavra": __version__,
        "Python": platform.python_version(),
        "PyTorch": str(torch.__version__),
        "machine": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}",
        "threads": str(torch.get_num_threads()),
        "compiler": "none" if find_compiler() is None else "found, used by torch.compile",
    }
