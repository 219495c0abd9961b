"""Run other projects' own tests against `lavra serve`, and write what came of them to docs/outside.md.

    python scripts/outside_suites.py --model MODEL --openai-python CHECKOUT --embedder ENCODER [--write]

MODEL is a folder of a model that chats (SmolLM2, say).  A checkout is another project's repository; nothing of it is
copied.  The suites run in an environment of their own (`scripts/outside/requirements.txt`); `--environment` keeps it.
OpenAI's tests ask models of given names and bound no answer, so `--small` names a small model that has those names.
A failure is ours unless `scripts/outside/reasons.yaml` says why it is not.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import yaml

ROOT = Path(__file__).resolve().parents[1]
BESIDE = Path(__file__).parent / "outside"
PAGE = ROOT / "docs" / "outside.md"
SUITES = ("openai-python", "langchain", "clients")
# The names that OpenAI's tests ask for.
WRITERS, EMBEDDER = ("gpt-5.4", "gpt-3.5-turbo-instruct", "gpt-4o-mini", "model"), "text-embedding-3-small"
OPENAI_TESTS = ("chat/test_completions.py", "test_completions.py", "test_embeddings.py", "test_models.py", "responses")


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


def main() -> int:
    """Run the suites, print what came of them, and write the page where that is asked for."""
    args = arguments()
    with tempfile.TemporaryDirectory() as scratch:
        python = environment(args.environment or Path(scratch) / "environment")
        found = [run_suite(suite, args, python, Path(scratch)) for suite in args.suite or SUITES]
    outcomes = [one for one in found if one is not None]
    print(json.dumps([as_json(one) for one in outcomes], indent=1))
    if args.write:
        PAGE.write_text(page(outcomes), encoding="utf-8")
    return int(any(reason is None for one in outcomes for reason, _ in explained(one)))


def arguments() -> argparse.Namespace:
    """Of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="folder of a model that chats")
    parser.add_argument("--small", type=Path, help="folder of a small model, for OpenAI's tests")
    parser.add_argument("--embedder", type=Path, help="folder of an encoder, for OpenAI's tests")
    parser.add_argument("--openai-python", type=Path, help="a checkout of openai/openai-python")
    parser.add_argument("--suite", action="append", choices=SUITES, help="only this one; may be given several times")
    parser.add_argument("--environment", type=Path, help="folder that keeps the environment of the suites")
    parser.add_argument("--write", action="store_true", help="write docs/outside.md")
    return parser.parse_args()


def environment(folder: Path) -> Path:
    """The interpreter of an environment with the suites' packages; made unless it is there."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", BESIDE / "requirements.txt"], check=True)
    return python


def run_suite(suite: str, args: argparse.Namespace, python: Path, scratch: Path) -> Outcome | None:
    """Run one suite; `None` where its checkout is not given."""
    if suite == "openai-python":
        if args.openai_python is None or args.embedder is None:
            print(f"{suite}: not run, no checkout or no embedder was given", file=sys.stderr)
            return None
        files = [f"tests/api_resources/{name}" for name in OPENAI_TESTS]
        models = [f"{name}={args.small or args.model}" for name in WRITERS] + [f"{EMBEDDER}={args.embedder}"]
        with serving(models) as url:
            # -n0: their addopts start many processes, and the model has one place to be.
            more = {"TEST_API_BASE_URL": f"{url}/v1", "PYTHONPATH": str(args.openai_python.resolve() / "src")}
            return tested(suite, python, ["-n0", *files], args.openai_python.resolve(), scratch, more)
    name = {"langchain": "langchain_suite.py", "clients": "client_calls.py"}[suite]
    with serving([f"served={args.model}"]) as url:
        more = {"LAVRA_URL": url, "LAVRA_MODEL": "served"}
        return tested(suite, python, ["--asyncio-mode=auto", str(BESIDE / name)], scratch, scratch, more)


@contextmanager
def serving(models: Sequence[str]) -> Iterator[str]:
    """`lavra serve` in a process of its own, on a free port; gives its URL."""
    command = [str(Path(sys.executable).with_name("lavra")), "serve", *models, "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            yield str(json.loads(line)["url"])
        finally:
            process.terminate()


def tested(
    suite: str, python: Path, files: Sequence[str], folder: Path, scratch: Path, variables: dict[str, str]
) -> Outcome:
    """Run pytest over files of a folder, and read its report."""
    report = scratch / f"{suite}.xml"
    command = [
        str(python),
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--timeout=300",
        f"--junitxml={report}",
        *files,
    ]
    subprocess.run(command, cwd=folder, env={**os.environ, **variables}, check=False, stdout=sys.stderr)
    outcome = Outcome(suite=suite, version=version_of(suite, python, folder))
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        wrong = [one for one in case if one.tag in ("failure", "error")]
        if wrong:
            first = (wrong[0].get("message") or "").splitlines() or [""]
            outcome.failures.append(f"{case.get('name')}: {first[0][:300]}")
        elif case.find("skipped") is not None:
            outcome.skipped += 1
        else:
            outcome.passed += 1
    return outcome


def version_of(suite: str, python: Path, folder: Path) -> str:
    """Of a checkout its package's, of the others those of the installed packages."""
    if suite == "openai-python":
        text = (folder / "src" / "openai" / "_version.py").read_text(encoding="utf-8")
        found = re.search(r'__version__ = "([^"]+)"', text)
        return found[1] if found else "unknown"
    names = {"langchain": ["langchain-tests", "langchain-openai"], "clients": CLIENTS}[suite]
    code = "import sys, importlib.metadata as m; print(', '.join(f'{n} {m.version(n)}' for n in sys.argv[1:]))"
    done = subprocess.run([python, "-c", code, *names], capture_output=True, text=True, check=True)
    return done.stdout.strip()


CLIENTS = ["openai", "litellm", "instructor", "pydantic-ai-slim", "anthropic", "ollama"]


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


if __name__ == "__main__":
    raise SystemExit(main())
