"""Plain data for JSON: prompts that were rendered, counted, tested and compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lavra.prompts.answer import PromptAnswer
from lavra.prompts.budget import Fitted, LeftOutShot
from lavra.prompts.compare import PromptResult
from lavra.prompts.cost import Price
from lavra.prompts.expectations import ExampleResult
from lavra.prompts.inspection import Inspection
from lavra.prompts.prompt import Prompt


def rendered_record(prompt: Prompt, fitted: Fitted) -> dict[str, Any]:
    """The record of a rendered prompt, its shots, and the shots that did not fit."""
    rendered = fitted.rendered
    return {
        **_named(prompt),
        "text": None if rendered.turns else rendered.text,
        "messages": rendered.messages or None,
        "shots": [{"input": dict(shot.input), "answer": shot.shown} for shot in fitted.shots],
        "left_out": [_left_out(one) for one in fitted.left_out],
    }


def inspected_record(prompt: Prompt, found: Inspection, context: int | None, price: Price) -> dict[str, Any]:
    """The record of a prompt's tokens by part, and its cost."""
    return {
        **_named(prompt),
        "purpose": prompt.purpose,
        "unused_variables": list(prompt.unused),
        "num_examples": len(prompt.examples),
        "tokens": {
            "without_shots": found.num_plain,
            "variables": dict(found.variables),
            "shots": list(found.shots),
            "total": found.fitted.num_tokens,
            "answer_at_most": found.num_answer,
            "context": context,
            "left": found.num_left,
        },
        "left_out": [_left_out(one) for one in found.fitted.left_out],
        "cost_at_most": _cost(price, found.cost),
    }


def tested_record(prompt: Prompt, results: Sequence[ExampleResult]) -> dict[str, Any]:
    """The record of a prompt's examples and the model's answers."""
    return {
        **_named(prompt),
        "passed": sum(result.verdict.passed for result in results),
        "total": len(results),
        "tests": [_tested(result) for result in results],
    }


def compared_record(prompt: Prompt, result: PromptResult, price: Price) -> dict[str, Any]:
    """The record of a prompt on a labelled set, with every sample."""
    return {
        **_named(prompt),
        "num_samples": result.num_samples,
        "num_right": result.num_right,
        "accuracy": result.accuracy,
        "interval": list(result.interval),
        "macro_f1": result.macro_f1,
        "log_loss": result.log_loss,
        "mean_read": result.mean_read,
        "mean_written": result.mean_written,
        "cost": _cost(price, result.cost),
        "num_failed": result.num_failed,
        "failures": dict(result.failures),
        "num_no_label": result.num_no_label,
        "num_left_out": result.num_left_out,
        "num_met": result.num_met,
        "warnings": dict(result.warnings),
        "samples": [
            {"right": right, **_answered(answer)} for right, answer in zip(result.right, result.answers, strict=True)
        ],
    }


def _named(prompt: Prompt) -> dict[str, Any]:
    return {"name": prompt.name, "version": prompt.version, "fingerprint": prompt.fingerprint}


def _left_out(one: LeftOutShot) -> dict[str, Any]:
    return {"number": one.index + 1, "input": dict(one.example.input), "why": one.why}


def _cost(price: Price, amount: float) -> dict[str, Any]:
    return {"amount": amount, "currency": price.currency, "price_known": price.is_known}


def _tested(result: ExampleResult) -> dict[str, Any]:
    example = result.example
    return {
        "number": result.number,
        "input": dict(example.input),
        "expect": example.expect.value,
        "expected": example.expected,
        "passed": result.verdict.passed,
        "why": result.verdict.why,
        **_answered(result.answer),
    }


def _answered(answer: PromptAnswer) -> dict[str, Any]:
    return {
        "actual": answer.text,
        "failure": answer.failure or None,
        "probabilities": None if answer.probabilities is None else dict(answer.probabilities),
        "num_read": answer.num_read,
        "num_written": answer.num_written,
        "num_shots": answer.num_shots,
        "left_out": [_left_out(one) for one in answer.left_out],
    }
