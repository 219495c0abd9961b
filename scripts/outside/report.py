"""What came of other projects' suites, the reasons of their failures, and the page that says so."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import yaml

BESIDE = Path(__file__).parent
LONGEST_MESSAGE = 300  # characters of a failure that reasons are looked up by


@dataclass(kw_only=True)
class Outcome:
    """What came of a suite.

    Attributes:
        suite: its name.
        version: of the project.
        passed: tests.
        skipped: tests.
        failures: "TEST: MESSAGE" of each failed test.
    """

    suite: str
    version: str
    passed: int = 0
    skipped: int = 0
    failures: list[str] = field(default_factory=list)


def read_junit(report: Path, suite: str, version: str) -> Outcome:
    """The outcome of a suite from a JUnit report."""
    outcome = Outcome(suite=suite, version=version)
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


def read_outcomes(file: Path) -> dict[str, Outcome]:
    """What came of suites before, by their names; nothing where there is no such file."""
    if not file.exists():
        return {}
    return {one["suite"]: Outcome(**one) for one in json.loads(file.read_text(encoding="utf-8"))}


def keep_outcome(file: Path, outcome: Outcome) -> None:
    """Keep what came of a suite beside the others."""
    kept = read_outcomes(file) | {outcome.suite: outcome}
    file.write_text(json.dumps([asdict(one) for one in kept.values()], indent=1), encoding="utf-8")


def explained(outcome: Outcome) -> list[tuple[str | None, str]]:
    """Each failure with the reason why it is not ours; `None` where it is."""
    known = yaml.safe_load((BESIDE / "reasons.yaml").read_text(encoding="utf-8"))
    mine = [(one["fits"], one["reason"]) for one in known if one["suite"] == outcome.suite]
    return [
        (next((reason for fits, reason in mine if re.search(fits, failure)), None), failure)
        for failure in outcome.failures
    ]


def as_json(outcome: Outcome) -> dict[str, object]:
    """What came of a suite, for programs."""
    return {
        "suite": outcome.suite,
        "version": outcome.version,
        "passed": outcome.passed,
        "skipped": outcome.skipped,
        "failed": [{"test": failure, "reason": reason} for reason, failure in explained(outcome)],
    }


def page(outcomes: Sequence[Outcome]) -> str:
    """docs/outside.md."""
    lines = [
        "# Other projects' tests",
        "",
        "Tests that others wrote, aimed at `lavra serve`. `python scripts/outside_suites.py --write` made this page.",
        "It takes checkouts by path, and copies nothing of them. A failure is ours unless a reason is named.",
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


def counted(outcome: Outcome) -> list[tuple[str, int]]:
    """Reasons and how many failures each explains; a failure of ours stands by itself."""
    found: dict[str, int] = {}
    for reason, failure in explained(outcome):
        name = reason or f"ours: `{failure.replace('|', '/').replace('`', '')}`"
        found[name] = found.get(name, 0) + 1
    return sorted(found.items(), key=lambda one: -one[1])
