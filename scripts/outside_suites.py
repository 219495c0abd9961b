"""Run other projects' own tests against `lavra serve`, and write their results to docs/outside.md.

    python scripts/outside_suites.py --model MODEL --small STORIES --embedder ENCODER \
        --openai-python CHECKOUT --llama-cpp CHECKOUT [--write]

MODEL is the folder of a chat model (SmolLM2, say).  STORIES is a folder of stories260K, which llama.cpp's tests expect;
it also answers OpenAI's tests, which use models of given names and do not limit the length of answers.  A CHECKOUT is
another project's repository; nothing of it is copied.  The suites run in an environment of their own
(`scripts/outside/requirements.txt`, and an npm folder); `--environment` keeps it with the results of each suite, so
that suites may run one by one.  A suite without its checkout or model does not run.  A failure counts as lavra's unless
`scripts/outside/reasons.yaml` gives a reason.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from outside.report import BESIDE, SuiteResult, as_json, explained, keep_outcome, page, read_junit, read_outcomes

KEPT = "outcomes.json"  # in the environment's folder
ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "outside.md"
# Model names in OpenAI's tests.
WRITERS, EMBEDDER = ("gpt-5.4", "gpt-3.5-turbo-instruct", "gpt-4o-mini", "model"), "text-embedding-3-small"
OPENAI_TESTS = ("chat/test_completions.py", "test_completions.py", "test_embeddings.py", "test_models.py", "responses")
LLAMA_CPP_TESTS = (
    "basic", "chat_completion", "compat_anthropic", "compat_oai_responses", "completion", "ctx_shift", "embedding",
    "ignore_eos", "infill", "security", "template", "tokenize", "tool_call",
)  # fmt: skip
CLIENTS = ("openai", "litellm", "instructor", "pydantic-ai-slim", "anthropic", "ollama")
NODE_PACKAGES = ("openai@6.49.0", "ai@6.0.326", "@ai-sdk/openai-compatible@2.0.92", "zod@4.6.7")


@dataclass(frozen=True, kw_only=True)
class SuiteEnvironment:
    """Environment of the suites.

    Attributes:
        args: the parsed command line.
        folder: folder of the suites' environment.
        python: its Python interpreter.
        scratch: a folder that is deleted afterwards.
    """

    args: argparse.Namespace
    folder: Path
    python: Path
    scratch: Path


def main() -> int:
    """Run the suites, print the results, and write the page if requested."""
    args = arguments()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        folder = (args.environment or scratch / "environment").resolve()
        bench = SuiteEnvironment(args=args, folder=folder, python=environment(folder), scratch=scratch)
        for suite in args.suite or SUITES:
            outcome = SUITES[suite](bench)
            if outcome is not None:
                keep_outcome(folder / KEPT, outcome)
        kept = read_outcomes(folder / KEPT)
    outcomes = [kept[suite] for suite in SUITES if suite in kept]
    print(json.dumps([as_json(one) for one in outcomes], indent=1))
    if args.write:
        PAGE.write_text(page(outcomes), encoding="utf-8")
    return int(any(reason is None for one in outcomes for reason, _ in explained(one)))


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="folder of a chat model")
    parser.add_argument("--small", type=Path, help="folder of stories260K, for OpenAI's and llama.cpp's tests")
    parser.add_argument("--embedder", type=Path, help="folder of an encoder, for OpenAI's and llama.cpp's tests")
    parser.add_argument("--openai-python", type=Path, help="a checkout of openai/openai-python")
    parser.add_argument("--llama-cpp", type=Path, help="a checkout of ggml-org/llama.cpp")
    parser.add_argument("--suite", action="append", choices=list(SUITES), help="only this suite; may be repeated")
    parser.add_argument("--environment", type=Path, help="folder that keeps the environment of the suites")
    parser.add_argument("--write", action="store_true", help="write docs/outside.md")
    return parser.parse_args()


def environment(folder: Path) -> Path:
    """Python interpreter of an environment with the suites' packages; the environment is created if absent."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", BESIDE / "requirements.txt"], check=True)
    return python


def openai_python(bench: SuiteEnvironment) -> SuiteResult | None:
    """OpenAI's own tests of its client."""
    args = bench.args
    if args.openai_python is None or args.embedder is None:
        return not_run("openai-python", "--openai-python and --embedder")
    checkout = args.openai_python.resolve()
    files = [f"tests/api_resources/{name}" for name in OPENAI_TESTS]
    models = [f"{name}={args.small or args.model}" for name in WRITERS] + [f"{EMBEDDER}={args.embedder}"]
    version = re.search(r'__version__ = "([^"]+)"', (checkout / "src/openai/_version.py").read_text(encoding="utf-8"))
    with serving(models) as url:
        # -n0: their addopts start many processes, but there is only one server.
        more = {"TEST_API_BASE_URL": f"{url}/v1", "PYTHONPATH": str(checkout / "src")}
        found = version[1] if version else "unknown"
        return tested("openai-python", found, bench, ["-n0", *files], checkout, more)


def llama_cpp(bench: SuiteEnvironment) -> SuiteResult | None:
    """llama.cpp's tests of its server, with `lavra serve` in its place; each test starts its own server."""
    args = bench.args
    if None in (args.llama_cpp, args.small, args.embedder):
        return not_run("llama.cpp", "--llama-cpp, --small and --embedder")
    checkout = args.llama_cpp.resolve()
    folder = checkout / "tools" / "server" / "tests"
    program = bench.scratch / "llama-server"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} {BESIDE}/llama_server.py "$@"\n')
    program.chmod(0o755)
    more = {
        "LLAMA_SERVER_BIN_PATH": str(program),
        "LAVRA_STORIES": str(args.small.resolve()),
        "LAVRA_ENCODER": str(args.embedder.resolve()),
        "PYTHONPATH": f"{BESIDE}:{folder}",
        "TMPDIR": str(bench.scratch),
    }
    files = [f"unit/test_{name}.py" for name in LLAMA_CPP_TESTS]
    options = ["-p", "llama_cpp_plugin", "-m", "not slow", "--timeout-method=thread"]
    return tested("llama.cpp", llama_cpp_version(checkout), bench, [*options, *files], folder, more)


def llama_cpp_version(checkout: Path) -> str:
    """Version of a checkout of llama.cpp."""
    text = (checkout / "CMakeLists.txt").read_text(encoding="utf-8")
    return ".".join(re.findall(r"set\(LLAMA_VERSION_(?:MAJOR|MINOR|PATCH) +(\d+)\)", text)) or "unknown"


def langchain(bench: SuiteEnvironment) -> SuiteResult:
    """LangChain's standard tests of a chat model."""
    return asked("langchain", bench, BESIDE / "langchain_suite.py", ["langchain-tests", "langchain-openai"])


def clients(bench: SuiteEnvironment) -> SuiteResult:
    """A few calls from Python clients."""
    return asked("clients", bench, BESIDE / "client_calls.py", CLIENTS)


def asked(suite: str, bench: SuiteEnvironment, file: Path, packages: Sequence[str]) -> SuiteResult:
    """Run a file of tests that call a served model."""
    with serving([f"served={bench.args.model}"]) as url:
        more = {"LAVRA_URL": url, "LAVRA_MODEL": "served"}
        return tested(
            suite, installed(bench.python, packages), bench, ["--asyncio-mode=auto", str(file)], bench.scratch, more
        )


def node(bench: SuiteEnvironment) -> SuiteResult | None:
    """A few calls from JavaScript clients."""
    if bench.args.embedder is None or shutil.which("npm") is None:
        return not_run("node", "--embedder and npm")
    folder = bench.folder / "node"
    if not (folder / "node_modules").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--silent", "--prefix", folder, *NODE_PACKAGES], check=True)
    script = Path(shutil.copy(BESIDE / "node_calls.mjs", folder))  # Node looks for packages beside a script
    report = bench.scratch / "node.xml"
    reporting = ["--test-reporter=junit", f"--test-reporter-destination={report}"]
    with serving([f"served={bench.args.model}", f"encoder={bench.args.embedder}"]) as url:
        more = {"LAVRA_URL": url, "LAVRA_MODEL": "served", "LAVRA_EMBEDDER": "encoder"}
        command = ["node", "--test", *reporting, str(script)]
        subprocess.run(command, env={**os.environ, **more}, check=False, stdout=sys.stderr)
    names = [one.rpartition("@")[0] for one in NODE_PACKAGES[:-1]]
    versions = [json.loads((folder / "node_modules" / one / "package.json").read_text())["version"] for one in names]
    told = ", ".join(f"{name} {version}" for name, version in zip(names, versions, strict=True))
    return read_junit(report, "node", told)


def schemathesis(bench: SuiteEnvironment) -> SuiteResult | None:
    """Requests made from the server's own description, with schemathesis's checks."""
    program = Path(sys.executable).with_name("schemathesis")
    if None in (bench.args.small, bench.args.embedder) or not program.exists():
        return not_run("schemathesis", "--small, --embedder and schemathesis itself")
    reports = bench.scratch / "schemathesis"
    with serving([f"writer={bench.args.small}", f"encoder={bench.args.embedder}"]) as url:
        command = [str(program), "run", f"{url}/openapi.json", "--checks", "all", "--seed", "1"]
        command += ["--request-timeout", "60"]  # an answer may be as long as the context
        command += ["--exclude-checks", "positive_data_acceptance,negative_data_rejection"]
        command += ["--phases", "coverage"]  # bounds of every field, wrong methods; tests/server sends random requests
        command += ["--report", "junit", "--report-dir", str(reports)]
        done = subprocess.run(command, cwd=bench.scratch, check=False, capture_output=True, text=True)
    print(done.stdout, file=sys.stderr)
    requests = re.search(r"(\d[\d,]*) generated", done.stdout)
    told = f"{installed(Path(sys.executable), ['schemathesis'])}, {requests[1] if requests else '?'} requests"
    return read_junit(next(reports.glob("*.xml")), "schemathesis", told)


SUITES: Mapping[str, Callable[[SuiteEnvironment], SuiteResult | None]] = {
    "openai-python": openai_python,
    "llama.cpp": llama_cpp,
    "langchain": langchain,
    "clients": clients,
    "node": node,
    "schemathesis": schemathesis,
}


def not_run(suite: str, wanted: str) -> SuiteResult | None:
    """Print why a suite does not run; returns `None`."""
    print(f"{suite}: not run; it wants {wanted}", file=sys.stderr)
    return None


@contextmanager
def serving(models: Sequence[str]) -> Iterator[str]:
    """Run `lavra serve` in a separate process on a free port; yields its URL."""
    command = [str(Path(sys.executable).with_name("lavra")), "serve", *models, "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            yield str(json.loads(line)["url"])
        finally:
            process.terminate()


def tested(
    suite: str, version: str, bench: SuiteEnvironment, files: Sequence[str], folder: Path, variables: Mapping[str, str]
) -> SuiteResult:
    """Run pytest on files of a folder, and read its report."""
    report = bench.scratch / f"{suite}.xml"
    options = ["-q", "-p", "no:cacheprovider", "--timeout=300", f"--junitxml={report}"]
    command = [str(bench.python), "-m", "pytest", *options, *files]
    subprocess.run(command, cwd=folder, env={**os.environ, **variables}, check=False, stdout=sys.stderr)
    return read_junit(report, suite, version)


def installed(python: Path, packages: Sequence[str]) -> str:
    """Packages of an environment and their versions."""
    code = "import sys, importlib.metadata as m; print(', '.join(f'{n} {m.version(n)}' for n in sys.argv[1:]))"
    done = subprocess.run([python, "-c", code, *packages], capture_output=True, text=True, check=True)
    return done.stdout.strip()


if __name__ == "__main__":
    raise SystemExit(main())
