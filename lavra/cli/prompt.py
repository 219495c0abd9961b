"""`lavra prompt`: prompts as files, rendered, inspected, compared on a labelled set, and tested.

The result goes to standard output; warnings, and notes on texts that do not fit or are unused, to standard error.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from rich.console import Console
from rich.table import Table

from lavra.api.held_port import held_port
from lavra.api.load import load
from lavra.api.model import TextModel
from lavra.base.convert import default_of, setting_fields
from lavra.base.errors import ConfigError, nearest
from lavra.base.ports import Progress
from lavra.cli.arguments.prompt import PromptSettings
from lavra.cli.console import print_json, print_rows
from lavra.cli.flags import read_settings
from lavra.model.config import Kind
from lavra.prompts.answer import AnswerConfig, PromptAnswerer
from lavra.prompts.budget import Budget, LeftOutShot, fit_shots
from lavra.prompts.compare import PairResult, PromptComparison, compare
from lavra.prompts.cost import Price
from lavra.prompts.expectations import run_tests
from lavra.prompts.inspection import inspect_prompt
from lavra.prompts.layout import PromptLayout
from lavra.prompts.prompt import Prompt
from lavra.prompts.prompt_file import read_examples, read_prompt
from lavra.prompts.records import compared_record, inspected_record, rendered_record, tested_record
from lavra.prompts.shots import ShotConfig, ShotPool
from lavra.verbs.activity import activity
from lavra.verbs.meter import Unit, meter

T = TypeVar("T")


class Action(NamedTuple):
    """An action of `lavra prompt`."""

    run: Callable[[Sequence[str], PromptSettings, bool], int]
    unused: frozenset[str]
    many: bool = False


def run(args: argparse.Namespace) -> int:
    """Run the action; returns 1 if a test fails."""
    settings = read_settings(PromptSettings, args)
    if args.action not in ACTIONS:
        raise ConfigError(f"unknown action {args.action!r}{nearest(args.action, ACTIONS)}")
    action = ACTIONS[args.action]
    for name, setting in setting_fields(PromptSettings).items():
        if name in action.unused and getattr(settings, name) != default_of(setting):
            raise ConfigError(f"`lavra prompt {args.action}` does not use {name}; leave it out")
    if len(args.files) > 1 and not action.many:
        raise ConfigError(
            f"`lavra prompt {args.action}` takes one file, not {len(args.files)}; only compare takes more"
        )
    return action.run(args.files, settings, args.json)


# ---------------------------------------------------------------- shared by all actions


def _assigned(prompt: Prompt, var: Sequence[str]) -> dict[str, Any]:
    """The values of `--var name=value`, converted to the types of the variables."""
    known = {variable.name: variable for variable in prompt.variables}
    given: dict[str, Any] = {}
    for one in var:
        name, equals, text = one.partition("=")
        if not equals:
            raise ConfigError(f"--var {one!r} has no '='; write name=value")
        if name not in known:
            raise ConfigError(f"--var {one!r}: there is no variable {name!r}{nearest(name, known)}")
        if name in given:
            raise ConfigError(f"--var gives {name!r} twice; keep one of the two")
        given[name] = known[name].read(text)
    return given


def _open(settings: PromptSettings) -> tuple[TextModel, PromptLayout]:
    """The model, and the way a prompt is put to it."""
    if settings.model is None:
        raise ConfigError("no model is named; say --model FOLDER")
    activity.begin(f"opening {settings.model}")
    model = load(settings.model, dtype=settings.dtype, device=settings.device)
    port = held_port(model)
    assert model.tokenizer is not None
    encoding = port.encoding
    context = encoding.context if settings.context is None else settings.context
    if encoding.context is not None and context is not None and not 0 < context <= encoding.context:
        raise ConfigError(f"context={context} is outside 1..{encoding.context}, the model's own; lower it")
    frame = encoding.frame
    whole = port.config.kind is not Kind.DECODER  # an encoder also reads the text behind a gap
    return model, PromptLayout(
        tokenizer=model.tokenizer,
        num_special=len(frame.before) + (len(frame.after) if whole else 0),
        context=context,
        shares_context=encoding.decoder_start is None,
    )


def _pool(
    prompt: Prompt, settings: PromptSettings, model: TextModel | None, progress: Progress | None = None
) -> ShotPool | None:
    if not settings.shots:
        if settings.pool is not None:
            raise ConfigError("--pool is given and no shots are asked for; say --shots N")
        return None
    names = [variable.name for variable in prompt.variables]
    examples = prompt.examples if settings.pool is None else read_examples(settings.pool, names)
    pool = ShotPool(prompt, examples, _part(settings, ShotConfig), model and model.embedder, progress)
    if pool.num_unfit:
        _note(f"{pool.num_unfit} examples cannot be shots: only a part or a pattern of their answer is known")
    return pool


def _answerer(
    prompt: Prompt, settings: PromptSettings, model: TextModel, layout: PromptLayout, progress: Progress
) -> PromptAnswerer:
    pool = _pool(prompt, settings, model, progress)
    return PromptAnswerer(prompt, model.port, layout, pool=pool, config=_part(settings, AnswerConfig))


def _part(settings: PromptSettings, cls: type[T]) -> T:
    """The settings of a kind, from among all settings."""
    return cls(**{name: getattr(settings, name) for name in setting_fields(cls)})


def _note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)


def _note_counts(what: str, counts: Mapping[str, int]) -> None:
    for text, times in counts.items():
        _note(f"{what}{text}" + (f" ({times} times)" if times > 1 else ""))


def _note_left_out(left_out: Iterable[LeftOutShot]) -> None:
    for one in left_out:
        _note(f"shot {one.index + 1} was left out: {one.why}")


# ---------------------------------------------------------------- render and inspect


def _render(files: Sequence[str], settings: PromptSettings, as_json: bool) -> int:
    prompt = read_prompt(files[0])
    given = _assigned(prompt, settings.var)
    if settings.model is None and (settings.strict or settings.context is not None):
        raise ConfigError(
            "strict and context are about tokens, and no model is named to count them; say --model FOLDER"
        )
    if settings.model is None:
        pool = _pool(prompt, settings, None)
        shots = pool.choose(given) if pool else ()
        unbounded = Budget(context=None)
        fitted = fit_shots(prompt, given, shots, count=lambda _: 0, budget=unbounded, order=settings.order)
    else:
        with meter(Unit.THINGS) as progress:
            fitted = _answerer(prompt, settings, *_open(settings), progress).fit(given)
    if as_json:
        print_json({**rendered_record(prompt, fitted), "num_tokens": fitted.num_tokens if settings.model else None})
    else:
        print(fitted.rendered)
        _note_left_out(fitted.left_out)
    return 0


def _inspect(files: Sequence[str], settings: PromptSettings, as_json: bool) -> int:
    prompt = read_prompt(files[0])
    given = _assigned(prompt, settings.var)
    model, layout = _open(settings)
    if not given and prompt.examples:
        given = dict(prompt.examples[0].input)
        _note("no --var is given, so this is the prompt for the input of its first example")
    with meter(Unit.THINGS) as progress:
        answerer = _answerer(prompt, settings, model, layout, progress)
        found = inspect_prompt(answerer, layout, given, settings.price)
    if as_json:
        print_json(inspected_record(prompt, found, layout.context, settings.price))
        return 0
    variables = ", ".join(f"{name} {tokens}" for name, tokens in found.variables.items()) or "none"
    print_rows(
        [
            ("prompt", f"{prompt} ({prompt.fingerprint}): {prompt.purpose}"),
            ("without shots", f"{found.num_plain} tokens (values by themselves: {variables})"),
            *((f"shot {place}", f"{tokens} tokens") for place, tokens in enumerate(found.shots, start=1)),
            ("total", f"{found.fitted.num_tokens} tokens"),
            ("answer, at most", f"{found.num_answer} tokens"),
            ("context", "no bound" if layout.context is None else f"{layout.context} tokens, {found.num_left} left"),
            ("shots that fit", f"{len(found.fitted.kept)} of {settings.shots}"),
            ("cost, at most", settings.price.show(found.cost)),
        ]
    )
    _note_left_out(found.fitted.left_out)
    return 0


# ---------------------------------------------------------------- test


def _test(files: Sequence[str], settings: PromptSettings, as_json: bool) -> int:
    prompt = read_prompt(files[0])
    with meter(Unit.THINGS) as progress:
        answerer = _answerer(prompt, settings, *_open(settings), progress)
        results = run_tests(answerer, progress)
    passed = sum(result.verdict.passed for result in results)
    if as_json:
        print_json({**tested_record(prompt, results), "warnings": dict(answerer.warnings)})
    else:
        for result in results:
            shown = repr(result.answer.text) if result.verdict.passed else result.verdict.why
            print(f"{'pass' if result.verdict.passed else 'FAIL'}  example {result.number}: {shown}")
        print(f"{passed} of {len(results)} pass")
        for result in results:
            _note_left_out(result.answer.left_out)
        _note_counts("", answerer.warnings)
    return 0 if passed == len(results) else 1


# ---------------------------------------------------------------- compare


def _compare(files: Sequence[str], settings: PromptSettings, as_json: bool) -> int:
    prompts = [read_prompt(file) for file in files]
    if settings.data is None:
        raise ConfigError("no labelled set is named; say --data FILE")
    names = {variable.name for prompt in prompts for variable in prompt.variables}
    samples = read_examples(settings.data, names)
    model, layout = _open(settings)
    same = len({str(prompt) for prompt in prompts}) < len(prompts)
    titles = [f"{prompt} ({file})" if same else str(prompt) for prompt, file in zip(prompts, files, strict=True)]
    with meter(Unit.THINGS) as progress:
        answerers = [_answerer(prompt, settings, model, layout, progress) for prompt in prompts]
        found = compare(answerers, samples, titles=titles, price=settings.price, progress=progress)
    if as_json:
        results = [
            {"file": file, **compared_record(prompt, result, settings.price)}
            for prompt, file, result in zip(prompts, files, found.results, strict=True)
        ]
        print_json({"results": results, "pairs": [dataclasses.asdict(pair) for pair in found.pairs]})
    else:
        _show(found, settings.price)
    return 0


def _show(found: PromptComparison, price: Price) -> None:
    heads = ("prompt", "right", "accuracy, 95 %", "macro F1", "log-loss", "failed", "tokens read", "written", "cost")
    table = Table(*heads, box=None, pad_edge=False)
    for one in found.results:
        low, high = one.interval
        table.add_row(
            one.title,
            f"{one.num_right} of {one.num_samples}",
            f"{one.accuracy:.3f} ({low:.3f} to {high:.3f})",
            "" if one.macro_f1 is None else f"{one.macro_f1:.3f}",
            "" if one.log_loss is None else f"{one.log_loss:.3f}",
            str(one.num_failed),
            f"{one.mean_read:.1f}",
            f"{one.mean_written:.1f}",
            price.show(one.cost),
        )
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    for pair in found.pairs:
        print(_pair_line(pair, len(found.pairs)))
    for one in found.results:
        _note_counts(f"{one.title}: failed: ", one.failures)
        _note_counts(f"{one.title}: ", one.warnings)
        if one.num_no_label:
            _note(f"{one.title}: {one.num_no_label} answers are not among the labels, and count as wrong")
        if one.num_met:
            _note(f"{one.title}: {one.num_met} samples are also among the examples; no sample was its own shot")
        if one.num_left_out:
            _note(f"{one.title}: {one.num_left_out} shots did not fit and were left out")


def _pair_line(pair: PairResult, number: int) -> str:
    corrected = f", {pair.p_corrected:.3g} corrected for {number} pairs" if number > 1 else ""
    return (
        f"{pair.second} less {pair.first}: {pair.difference:+.3f} ({pair.only_second} right by the one alone, "
        f"{pair.only_first} by the other; p = {pair.p:.3g}{corrected}, McNemar exact)"
    )


_ANSWERS = frozenset({"answer", "scoring", "calibrate", "answer_seed"})
ACTIONS: Mapping[str, Action] = {
    "render": Action(_render, frozenset({"data", "price"}) | _ANSWERS),
    "inspect": Action(_inspect, frozenset({"data", "scoring", "calibrate", "answer_seed"})),
    "compare": Action(_compare, frozenset({"var"}), many=True),
    "test": Action(_test, frozenset({"data", "price", "var"})),
}
