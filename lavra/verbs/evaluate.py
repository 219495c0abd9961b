"""`lavra.evaluate`: a model's scores on benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lavra.api.model import TextModel
from lavra.base.errors import ConfigError
from lavra.base.ports import Progress
from lavra.base.workspace import Workspace
from lavra.evaluation.results import EvaluationResult
from lavra.verbs.evaluating import evaluate_model, open_chosen_tasks
from lavra.verbs.keywords import read_keywords, takes
from lavra.verbs.meter import progress_shown
from lavra.verbs.settings.evaluate import EvaluateConfig


@takes(EvaluateConfig, without=("tasks",))
def evaluate(
    model: str | Path | TextModel,
    tasks: str | Sequence[str] = (),
    *,
    workspace: str | Path | None = None,
    progress: bool | Progress = True,
    settings: EvaluateConfig | None = None,
    **fields: Any,
) -> EvaluationResult:
    """Score a model on benchmarks; each score has its number of items, standard error and interval.

    Answers are kept in a ledger of the workspace: a repeated call asks nothing twice.

    Args:
        model: a model that `load` returned, a folder, a GGUF file, a name of the workspace, a hub id, or a server URL.
        tasks: names of tasks, groups and tags (`lavra evaluate --list`), patterns such as `mmlu_*`, and YAML files.
        workspace: folder that holds all results of lavra; `LAVRA_WORKSPACE` or `./lavra-workspace` unless given.
        progress: whether progress is shown, or a function that is called with it.
        settings: all settings at once; settings given by name win over it.
        **fields: settings by name.

    Returns:
        Scores by task and by group, and doubts about them (`warnings`).

    Raises:
        InputError: the model or a task does not exist, or a task's data is missing.
        ConfigError: a setting is unknown or out of range, or no task is named.

    Example:
        >>> result = lavra.evaluate("tiny", "capitals.yaml", limit=4, progress=False)
        >>> result.tasks[0].task, result.tasks[0].num_items
        ('capitals', 4)
    """
    named = [tasks] if isinstance(tasks, str) else list(tasks)
    config = read_keywords(EvaluateConfig, settings, {**fields, "tasks": named} if named else fields)
    if not config.task_names():
        raise ConfigError('no task is named; give `tasks`, such as "arc_easy"')
    chosen = model if isinstance(model, TextModel) else str(model)
    with progress_shown(progress) as shown:
        result, _ = evaluate_model(chosen, open_chosen_tasks(config), config, Workspace.open(workspace), shown)
    return result
