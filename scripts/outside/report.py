"""Results of other projects' test suites, the reasons of their failures, and the page about them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import yaml

BESIDE = Path(__file__).parent
LONGEST_MESSAGE = 300  # characters of a failure that are matched with reasons


@dataclass(kw_only=True)
class SuiteResult:
    """Results of one suite.

    Attributes:
        suite: name of the suite.
        version: version of the project.
        passed: number of passed tests.
        skipped: number of skipped tests.
        failures: "TEST: MESSAGE" of each failed test.
    """

    suite: str
    version: str
    passed: int = 0
    skipped: int = 0
    failures: list[str] = field(default_factory=list)


def read_junit(report: Path, suite: str, version: str) -> SuiteResult:
    """Read results of a suite from a JUnit report."""
    outcome = SuiteResult(suite=suite, version=version)
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        wrong = [one for one in case if one.tag in ("failure", "error")]
        if wrong:
            lines = (wrong[0].get("message") or wrong[0].text or "").strip().splitlines() or [""]
            outcome.failures.append(f"{case.get('name')}: {lines[0][:LONGEST_MESSAGE]}")
        elif case.find("skipped") is not None:
            outcome.skipped += 1
        else:
            outcome.passed += 1
    return outcome


def read_outcomes(file: Path) -> dict[str, SuiteResult]:
    """Kept results by suite; empty where the file does not exist."""
    if not file.exists():
        return {}
    return {one["suite"]: SuiteResult(**one) for one in json.loads(file.read_text(encoding="utf-8"))}


def keep_outcome(file: Path, outcome: SuiteResult) -> None:
    """Keep a suite's results in the file beside those of others."""
    kept = read_outcomes(file) | {outcome.suite: outcome}
    file.write_text(json.dumps([asdict(one) for one in kept.values()], indent=1), encoding="utf-8")


def explained(outcome: SuiteResult) -> list[tuple[str | None, str]]:
    """Each failure with the reason why lavra is not at fault; `None` where it is."""
    known = yaml.safe_load((BESIDE / "reasons.yaml").read_text(encoding="utf-8"))
    mine = [(one["fits"], one["reason"]) for one in known if one["suite"] == outcome.suite]
    return [
        (next((reason for fits, reason in mine if re.search(fits, failure)), None), failure)
        for failure in outcome.failures
    ]


def as_json(outcome: SuiteResult) -> dict[str, object]:
    """Results of a suite as JSON."""
    return {
        "suite": outcome.suite,
        "version": outcome.version,
        "passed": outcome.passed,
        "skipped": outcome.skipped,
        "failed": [{"test": failure, "reason": reason} for reason, failure in explained(outcome)],
    }


def page(outcomes: Sequence[SuiteResult]) -> str:
    """Text of docs/outside.md."""
    lines = [
        "# Other projects' tests",
        "",
        "Other projects' suites, run against `lavra serve`. `python scripts/outside_suites.py --write` writes it.",
        "It reads checkouts by path and copies nothing of them. A failure counts as lavra's unless a reason is given.",
        "",
        "| suite | version | passed | skipped | failed | of those ours |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for one in outcomes:
        ours = sum(reason is None for reason, _ in explained(one))
        lines.append(f"| {one.suite} | {one.version} | {one.passed} | {one.skipped} | {len(one.failures)} | {ours} |")
    lines += ["", (BESIDE / "about.md").read_text(encoding="utf-8").rstrip()]
    for one in outcomes:
        if one.failures:
            lines += ["", f"## Failures of {one.suite}", "", "| tests | reason |", "|---:|---|"]
            lines += [f"| {count} | {reason} |" for reason, count in counted(one)]
    return "\n".join(lines) + "\n"


def counted(outcome: SuiteResult) -> list[tuple[str, int]]:
    """Reasons and the number of failures of each; lavra's own failures are listed one by one."""
    found: dict[str, int] = {}
    for reason, failure in explained(outcome):
        name = reason or f"ours: `{failure.replace('|', '/').replace('`', '')}`"
        found[name] = found.get(name, 0) + 1
    return sorted(found.items(), key=lambda one: -one[1])
