"""`lavra.compress`: make a smaller model, with a card that records the loss in quality."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lavra.api.cache_card import measure_cache
from lavra.api.card_runner import open_card_runner
from lavra.api.find import find_folder
from lavra.api.load import load
from lavra.base.errors import InputError
from lavra.base.names import ModelNames
from lavra.base.ports import LanguageModel, Progress
from lavra.base.workspace import Workspace
from lavra.compression.card import QualityCard
from lavra.compression.config import TUNABLE, CompressConfig, Form, TargetName
from lavra.compression.folder import Inputs, compress_folder
from lavra.compression.onnx_folder import export_onnx_folder
from lavra.compression.texts import Texts, corpus_texts, heldout_texts, named_texts
from lavra.verbs.activity import activity
from lavra.verbs.destination import destination
from lavra.verbs.keywords import read_keywords, takes
from lavra.verbs.meter import progress_shown


@dataclass(frozen=True, kw_only=True)
class CompressedModel:
    """The result of a compression.

    Attributes:
        folder: folder of the smaller model, or of the card alone where the key-value cache is measured.
        card: saved bytes and loss in quality; None for ONNX, which loses nothing.
        heldout: the text it was measured on; None for ONNX.
        files: files of an ONNX export, by their names in the folder.

    Example:
        >>> made = lavra.compress("tiny", "fp16", text="heldout.txt", name="tiny-fp16", progress=False)
        >>> made.folder.name, made.card.holds
        ('tiny-fp16', True)
    """

    folder: Path
    card: QualityCard | None
    heldout: Texts | None = None
    files: tuple[str, ...] = ()


@takes(CompressConfig, without=("to",))
def compress(
    model: str | Path,
    to: TargetName | None = None,
    *,
    name: str | None = None,
    out: str | Path | None = None,
    replace: bool = False,
    workspace: str | Path | None = None,
    progress: bool | Progress = True,
    settings: CompressConfig | None = None,
    **fields: Any,
) -> CompressedModel:
    """Make a model smaller, measure the loss on held-out text, and refuse to save a model that loses too much.

    Args:
        model: a folder, a GGUF file, a name of the workspace, or an id of the Hugging Face hub.
        to: int8, int8-dynamic, int4, fp16, bf16, gguf:q8_0, gguf:q4_0, gguf:f16, gguf:f32, onnx, kv-int8 or kv-bf16.
        name: name of the new model in the workspace; the model's name and `to` unless given.
        out: folder to write instead of one in the workspace.
        replace: whether a model of that name is replaced.
        workspace: folder that holds all results of lavra; `LAVRA_WORKSPACE` or `./lavra-workspace` unless given.
        progress: whether progress is shown, or a function that is called with it.
        settings: all settings at once; settings given by name win over it.
        **fields: settings by name.

    Returns:
        The folder and its quality card.

    Raises:
        QualityError: the result misses its bars, and `allow_miss` is not set.
        InputError: the model does not exist, no held-out text is known, or the folder is taken.
        ConfigError: a setting is unknown or out of range.

    Example:
        >>> made = lavra.compress("tiny", "int8", text="heldout.txt", allow_miss=True, name="tiny-int8")
        >>> made.card.bytes < made.card.source_bytes
        True
    """
    given = fields if to is None else {**fields, "to": to}
    config = read_keywords(CompressConfig, settings, given)
    place = Workspace.open(workspace)
    source = find_folder(str(model), workspace=place, whole=True)
    kind, usual = usual_place(config, source, place)
    with (
        destination(place, kind, name=name, out=out, replace=replace, default_name=usual) as folder,
        progress_shown(progress) as shown,
    ):
        return compress_into(source, folder, config, place, shown)


def usual_place(config: CompressConfig, source: Path, workspace: Workspace) -> tuple[str, str]:
    """The default kind of folder in the workspace for a result, and its name in it.

    Args:
        config: the settings of the compression.
        source: the model's folder.
        workspace: workspace that may have a name for the model.
    """
    kind = "runs" if config.target.form is Form.CACHE else "models"  # a card alone is not a model
    return kind, f"{ModelNames(workspace).name_of(source)}-{config.to.replace(':', '-')}"


def compress_into(
    source: Path, out: Path, config: CompressConfig, workspace: Workspace, progress: Progress
) -> CompressedModel:
    """Compress one folder into another.

    Args:
        source: the model's folder.
        out: the folder to write; replaced.
        config: the settings.
        workspace: workspace whose corpora are known besides those of the model's own workspace.
        progress: called with the progress.

    Raises:
        QualityError: the result misses its bars, and `allow_miss` is not set.
        InputError: no held-out text is known.
    """
    if config.target.form is Form.ONNX:
        files = tuple(str(path.relative_to(out)) for path in export_onnx_folder(source, out))
        return CompressedModel(folder=out, card=None, files=files)
    workspaces = [workspace, Workspace.open(source.resolve().parent.parent)]
    activity.begin("reading the held-out text")
    heldout = heldout_texts(source, config.text, workspaces, config.heldout_tokens)
    if config.target.form is Form.CACHE:
        card = measure_cache(source, out, config, heldout, progress)
    else:
        calibration = _calibration(source, config, workspaces)
        inputs = Inputs(heldout=heldout, calibration=calibration, opener=_open, runner=open_card_runner)
        card = compress_folder(source, out, config, inputs, progress)
    return CompressedModel(folder=out, card=card, heldout=heldout)


def _open(folder: Path) -> LanguageModel:
    return load(folder, device="cpu").port


def _calibration(source: Path, config: CompressConfig, workspaces: list[Workspace]) -> Texts | None:
    if config.calibration is not None:
        if config.text is not None and config.calibration.resolve() == config.text.resolve():
            raise InputError(f"{config.text} is both `text` and `calibration`; what is measured must not be looked at")
        return named_texts(config.calibration)
    if config.to not in TUNABLE:  # eight bits hold their bars without
        return None
    return corpus_texts(source, workspaces, "train", config.calibration_tokens)
