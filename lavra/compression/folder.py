"""From a model folder to a smaller folder with its quality card: the work of `lavra compress`.

The smaller folder is written, opened again and measured before it appears under its name; where it costs more than its
bars allow, it does not appear at all.  It is measured as `lavra.load` computes it, with expanded weights.  The
inputs of `int8-dynamic`, which lavra does not round but other tools do, are rounded here too.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch

from lavra.adapt.embedding_folder import keep_embedding_config, read_embedding_config
from lavra.base.card import write_card
from lavra.base.errors import ConfigError, InputError
from lavra.base.files import atomic_folder, folder_bytes, read_json
from lavra.base.gguf_file import is_gguf
from lavra.base.ports import LanguageModel, Progress, Runner, silent
from lavra.base.types import GenerateRequest
from lavra.compression.answers import num_blocks, runner_answers
from lavra.compression.calibrate import Calibrator
from lavra.compression.card import BARS, QUALITY_FILE, QualityCard, write_quality
from lavra.compression.config import CompressConfig, Form
from lavra.compression.gguf import GGUF_FILE, GgufOptions, export_gguf, load_gguf_weights
from lavra.compression.measure import Comparison, compare_answers, compare_models
from lavra.compression.memory import peak_memory
from lavra.compression.packed_source import open_original, packed_matrices
from lavra.compression.provenance import rounded_reference
from lavra.compression.samples import QualitySample, sample_text
from lavra.compression.texts import Texts
from lavra.compression.tune import TuneConfig, tune
from lavra.model.build import Model
from lavra.model.checkpoint import DTYPES, load_checkpoint, save_checkpoint
from lavra.model.lineage import model_parents, source_facts
from lavra.model.transformer import Encoder
from lavra.quantize.expand import open_model
from lavra.quantize.folder import load_model, save_quantized
from lavra.quantize.interchange import check_layout
from lavra.quantize.scheme import PackedLayout, Scheme, scheme_named
from lavra.quantize.swap import quantize_model, quantized_matrices, quantized_ratio
from lavra.tokens.tokenizer import Tokenizer

log = logging.getLogger(__name__)

_FEWEST: Final = 256  # positions; a card of fewer would show chance
_READ: Final = 256  # tokens read while memory is watched
_WRITTEN: Final = 48  # tokens written while time is taken, twice; the better time counts
_TIMES: Final = 2

OpenModel = Callable[[Path], LanguageModel]
OpenRunner = Callable[[Path, int], Runner | None]
"""A function that opens the runner of a folder, with this many blocks; None where another runner serves it."""

_BLOCK: Final = 16  # tokens in a block of such runners


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The other inputs of a compression besides the model.

    Attributes:
        heldout: text to measure on.
        calibration: text for rounding; `None` rounds without text.
        opener: function that opens a folder as a `LanguageModel`, to time it; `None` leaves that row out.
        runner: function that opens the folder's runner, which may round inputs too: the card is then of its logits.
    """

    heldout: Texts
    calibration: Texts | None = None
    opener: OpenModel | None = None
    runner: OpenRunner | None = None


@dataclass(frozen=True, kw_only=True)
class _Made:
    """A compressed model in a folder: the model, opened again, and the facts of its making."""

    model: Model
    ratio: float
    layout: str = ""
    calibration: str = "none"


def compress_folder(
    source: Path, out: Path, config: CompressConfig, inputs: Inputs, progress: Progress | None = None
) -> QualityCard:
    """Make a smaller folder of a model, measure it, and write its card beside it.

    Args:
        source: folder of an unquantized model; a packed folder for the GGUF target that takes its integers as they are.
        out: folder to write; appears whole or not at all; an existing folder is replaced.
        config: settings of the compression.
        inputs: text to measure on and to calibrate with, and functions that open folders.
        progress: called with the current step and its progress.

    Raises:
        QualityError: the result costs more than its bars allow, and `allow_miss` is off.
        InputError: there is too little held-out text, or the result would replace the model.
        MissingDependencyError: the target needs a package that is not installed.
    """
    tell = progress or silent
    if out.resolve() == source.resolve():
        raise InputError(f"{out} is the model itself, and would be replaced; name another folder with `out`")
    model, tokenizer = open_original(source, config.to), Tokenizer.load(source)
    sample = heldout_sample(model, tokenizer, inputs.heldout, config.heldout_tokens)
    with atomic_folder(out) as work:
        made = _make(source, work, config, inputs, tell)
        card = _card(source, work, model, made, config, inputs, sample, tell)
        card.check()
        write_quality(card, work)
        write_identity(source, work, config, card)
    return card


def heldout_sample(model: Model, tokenizer: Tokenizer, heldout: Texts, max_tokens: int) -> QualitySample:
    """The sample that a card is measured on.

    Raises:
        InputError: there is too little text.
    """
    sample = sample_text(model, tokenizer, heldout.documents(), max_tokens=max_tokens)
    if sample.num_tokens < _FEWEST:
        raise InputError(
            f"{heldout.name} asks for {sample.num_tokens} tokens; a quality card needs {_FEWEST} or more: "
            "give more held-out text"
        )
    return sample


def _make(source: Path, work: Path, config: CompressConfig, inputs: Inputs, progress: Progress) -> _Made:
    target = config.target
    if target.form is Form.GGUF:
        return _export_gguf(source, work, config, inputs, progress)
    if target.form is Form.SIXTEEN_BIT:
        model, _ = load_checkpoint(source, dtype=DTYPES[target.detail])
        save_checkpoint(model, work)
        made = _Made(model=model, ratio=0.5)
    else:
        made = _quantized(source, target.detail, config, inputs, progress)
        save_quantized(made.model, work)
    Tokenizer.load(source).save(work)
    keep_embedding_config(source, work)
    dynamic = target.form is Form.QUANTIZED and scheme_named(target.detail).rounds_inputs
    opened = load_model(work)[0] if dynamic else open_model(work, device=torch.device("cpu"))[0]
    return replace(made, model=opened)


def _quantized(source: Path, name: str, config: CompressConfig, inputs: Inputs, progress: Progress) -> _Made:
    """A quantized model that is not saved yet, and the name of its calibration text."""
    looks = inputs.calibration is not None
    model, stored = load_checkpoint(source, dtype=torch.float32 if looks or config.tune_steps else None)
    scheme, calibration = scheme_named(name), "none"
    layout = _layout(model, scheme, config.layout)
    if inputs.calibration is None:
        if config.tune_steps:
            raise InputError(f"tune_steps is {config.tune_steps}, and there is no text to learn on; give `calibration`")
        quantize_model(model, scheme, layout=layout)
    else:
        text = inputs.calibration.documents()
        sample = sample_text(
            model, Tokenizer.load(source), text, max_tokens=config.calibration_tokens, seed=1, overlap=False
        )
        make = Calibrator(model, sample.batches, progress=progress)
        quantize_model(model, scheme, layout=layout, make=make)
        calibration = f"{sample.num_tokens} positions of {inputs.calibration.name}"
        if config.tune_steps:
            teacher, _ = load_checkpoint(source, dtype=torch.float32)
            tune(model, teacher, sample.batches, TuneConfig(steps=config.tune_steps), progress)
            calibration += f", {config.tune_steps} steps of tuning"
        for parameter in model.parameters():  # parameters that are not packed go back to their stored type
            parameter.data = parameter.data.to(DTYPES[stored.dtype])
    return _Made(model=model, ratio=quantized_ratio(model), layout=layout.value, calibration=calibration)


def _layout(model: Model, scheme: Scheme, chosen: PackedLayout | None) -> PackedLayout:
    """The layout that was asked for; else the layout that other tools open, where it can express the model.

    Raises:
        ConfigError: the layout asked for cannot express the model.
    """
    if chosen is PackedLayout.NATIVE:
        return chosen
    try:
        check_layout(model, scheme)
    except ConfigError as reason:
        if chosen is not None:
            raise
        log.warning("the folder has lavra's own layout, which only lavra opens: %s", reason)
        return PackedLayout.NATIVE
    return PackedLayout.INTERCHANGE


def _export_gguf(source: Path, work: Path, config: CompressConfig, inputs: Inputs, progress: Progress) -> _Made:
    kind, calibration = config.target.detail, "none"
    model, matrices = open_original(source, config.to), packed_matrices(source)
    rest = "float16" if matrices is None else model.config.dtype
    if kind == "q4_0" and matrices is None:  # of the form of our int4, so that it can be rounded as well
        small = _quantized(source, "int4", replace(config, layout=PackedLayout.NATIVE), inputs, progress)
        matrices = {name.removesuffix(".matrix"): matrix for name, matrix in quantized_matrices(small.model)}
        calibration = small.calibration
        model.load_state_dict(dict(small.model.named_parameters()), strict=False)  # tuning moves norms and biases too
    options = GgufOptions(kind=kind, pooling=_pooling(source), rounded=matrices, rest=rest)
    ratio = export_gguf(model, Tokenizer.load(source), work / GGUF_FILE, options)
    load_gguf_weights(model, work / GGUF_FILE)
    return _Made(model=model, ratio=ratio, calibration=calibration)


def _pooling(source: Path) -> str:
    """The pooling of a sentence-transformers folder; the mean where the folder sets none."""
    if is_gguf(source):
        return read_embedding_config(source).pooling.value
    path = source / "1_Pooling" / "config.json"
    if not path.exists():
        return "mean"
    modes = [str(name) for name, value in read_json(path).items() if name.startswith("pooling_mode_") and value is True]
    known = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    return known.get(modes[0], modes[0]) if modes else "mean"


def _card(
    source: Path,
    work: Path,
    model: Model,
    made: _Made,
    config: CompressConfig,
    inputs: Inputs,
    sample: QualitySample,
    progress: Progress,
) -> QualityCard:
    opens = config.target.form is not Form.GGUF  # lavra writes that format and does not run it
    packed = config.target.form is Form.QUANTIZED and not isinstance(model, Encoder)
    runner = inputs.runner if packed else None
    comparison = _compared((source, work), (model, made.model), runner, sample, progress)
    progress("measure memory and speed", 0, None)
    read = min(_READ, model.config.max_positions)
    opener = inputs.opener if opens and not isinstance(model, Encoder) else None
    return QualityCard(
        target=config.to,
        layout=made.layout,
        family=model.config.family,
        calibration=made.calibration,
        text=inputs.heldout.name,
        reference=rounded_reference(source, model),
        source_bytes=folder_bytes(source),
        bytes=folder_bytes(work),
        matrix_ratio=made.ratio,
        source_peak_bytes=peak_memory(source, read) if opens else None,
        peak_bytes=peak_memory(work, read) if opens else None,
        source_written_per_second=None if opener is None else written_per_second(opener(source), inputs.heldout),
        written_per_second=None if opener is None else written_per_second(opener(work), inputs.heldout),
        comparison=comparison,
        bars=BARS[config.to],
        allowed_miss=config.allow_miss,
    )


def _compared(
    folders: tuple[Path, Path],
    models: tuple[Model, Model],
    opener: OpenRunner | None,
    sample: QualitySample,
    progress: Progress,
) -> Comparison:
    """Compare by the runners that will compute both folders, where an opener has them; else by the models' modules."""
    most = num_blocks(sample, _BLOCK)
    runners = [] if opener is None else [opener(folder, most) for folder in folders]
    found = [one for one in runners if one is not None]
    try:
        if len(found) == len(folders):
            return compare_answers(runner_answers(found, sample), sample, progress)
    finally:
        for one in found:
            one.close()
    return compare_models(*models, sample, progress)


def written_per_second(port: LanguageModel, heldout: Texts) -> float:
    """Tokens of one greedy completion a second, its prompt included; the best of three."""
    prompt, best = next(heldout.documents())[:_READ], 0.0
    for _ in range(_TIMES):
        began = time.perf_counter()
        (found,) = port.generate([GenerateRequest(prompt=prompt, max_tokens=_WRITTEN, truncate_prompt=True)])[0]
        best = max(best, len(found.tokens) / (time.perf_counter() - began))
    return best


def write_identity(source: Path, work: Path, config: CompressConfig, card: QualityCard, kind: str = "model") -> None:
    """Write `lavra.json`: the parents and the settings of a folder."""
    made = {
        "compress": {"to": config.to, "layout": card.layout, "calibration": card.calibration},
        **source_facts(source),
    }
    found = card.comparison
    metrics = {"bits": found.bits, "bits_increase": found.bits_increase, "mean_kl": found.mean_kl, "holds": card.holds}
    ignore = (QUALITY_FILE,)  # speeds vary from run to run, the artifact does not
    write_card(work, kind=kind, parents=model_parents(source), config=made, metrics=metrics, ignore=ignore)
