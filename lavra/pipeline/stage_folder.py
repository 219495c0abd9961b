"""The folders of a stage, as the destination of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lavra.pipeline.stage import StageContext
from lavra.runs.run import Artifact


@dataclass(frozen=True)
class StageFolder:
    """A resumable stage's artifact and scratch folder.

    The runner of stages writes the card, renames the artifact into place, and only then removes the checkpoints.

    Attributes:
        context: of the stage.
    """

    context: StageContext

    @property
    def scratch(self) -> Path:
        """The stage's folder that outlives a kill."""
        assert self.context.scratch is not None, "the stage is not resumable"
        return self.context.scratch

    def keep(self, artifact: Artifact) -> None:
        """Write the files; what the stage returns says the rest."""
        artifact.write(self.context.folder)

    def sweep(self) -> None:
        """Nothing: the artifact is not in place yet."""
