"""The folders of a teaching stage as the destination of a run, and the result where teaching is impossible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from lavra.base.errors import CheckpointError, InputError, TrainingError
from lavra.pipeline.results import Skipped
from lavra.pipeline.stage import StageContext
from lavra.runs.run import Artifact

Result = TypeVar("Result")


@dataclass(frozen=True)
class StageFolder:
    """A resumable stage's artifact and scratch folder.

    The runner of stages writes the card, renames the artifact into place, and only then removes the checkpoints.

    Attributes:
        context: context of the stage.
    """

    context: StageContext

    @property
    def scratch(self) -> Path:
        """The stage's folder that outlives a kill."""
        assert self.context.scratch is not None, "the stage is not resumable"
        return self.context.scratch

    def keep(self, artifact: Artifact) -> None:
        """Write the files; the result of the stage holds the rest."""
        artifact.write(self.context.folder)

    def sweep(self) -> None:
        """Do nothing: the artifact is not in place yet."""


def or_skipped(teach: Callable[[], Result]) -> Result | Skipped:
    """Run a teaching function; return its result, or the reason of its failure, so that `up` and its report continue.

    Args:
        teach: function to run; a loss that exploded (`TrainingError`) and unusable samples (`InputError`) are reasons;
            a full disk and a damaged model raise.
    """
    try:
        return teach()
    except TrainingError as error:
        if isinstance(error.__cause__, OSError):
            raise
        return Skipped(why=f"teaching was stopped: {_clause(error)}")
    except CheckpointError:
        raise
    except InputError as error:
        return Skipped(why=f"the samples cannot be taught: {_clause(error)}")


def _clause(error: Exception) -> str:
    return str(error).rstrip(".")
