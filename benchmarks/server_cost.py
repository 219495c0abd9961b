"""What the server adds to the engine: process time a streamed token, and throughput at 16 streams.

A server in a process of its own, one thread for arithmetic, and a small model.  16 clients on raw sockets ask for
streams at once and read them to their end.  Process time less the runner's, over the tokens streamed, is what
everything but the model costs: HTTP, JSON, scheduling, sampling, text.  The same requests are given to the engine
without a server, in the same process, in turns with the others.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from random_model import make_model
from result import Result, print_table

from lavra.api.load import load
from lavra.api.serving import start_engine
from lavra.base.types import GenerateRequest
from lavra.server import ModelTable, ServeConfig, ServedModel, build_app
from lavra.server.run import Server, open_socket

STREAMS = 16
BAR_MICROSECONDS = 60.0
BAR_THROUGHPUT = 0.95


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="short streams, one turn")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--serve", metavar="FOLDER", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        return serve_folder(Path(args.serve))
    tokens, turns = (32, 1) if args.smoke else (256, 5)
    with tempfile.TemporaryDirectory() as name:
        figures = measure(Path(name), tokens, turns)
    show(figures)
    if args.json:
        print(as_result(figures).line())
    return 0


def measure(folder: Path, tokens: int, turns: int) -> dict[str, float]:
    """Turns of both ways, after one that warms up."""
    make_model(folder, 64, 2)
    command = [sys.executable, __file__, "--serve", str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as process:
        into, out = process.stdin, process.stdout
        assert into is not None
        assert out is not None
        address = json.loads(out.readline())["address"]
        costs, served, direct = [], [], []

        def tell(what: str) -> dict[str, float]:
            print(what, file=into, flush=True)
            answer: dict[str, float] = json.loads(out.readline())
            return answer

        for turn in range(turns + 1):
            before = tell("stats")
            seconds = stream_all(tuple(address), tokens)
            after = tell("stats")
            direct_seconds = tell(f"direct {tokens}")["seconds"]
            if turn:
                spent = after["process"] - before["process"] - (after["runner"] - before["runner"])
                costs.append(spent / (STREAMS * tokens) * 1e6)
                served.append(STREAMS * tokens / seconds)
                direct.append(STREAMS * tokens / direct_seconds)
        print("stop", file=into, flush=True)
    return {
        "microseconds": statistics.median(costs),
        "served": statistics.median(served),
        "direct": statistics.median(direct),
    }


def stream_all(address: tuple[str, int], tokens: int) -> float:
    """Seconds until every one of 16 raw-socket clients has its stream."""
    threads = [threading.Thread(target=read_stream, args=(address, tokens, number)) for number in range(STREAMS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


def read_stream(address: tuple[str, int], tokens: int, number: int) -> None:
    """One client: a request written by hand, its answer read and thrown away."""
    prompt = list(range(300 + number, 316 + number))
    body = json.dumps({"prompt": prompt, "max_tokens": tokens, "temperature": 0, "stream": True}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    with socket.create_connection(address) as connection:
        connection.sendall(f"{head}\r\nConnection: close\r\n\r\n".encode() + body)
        received = b""
        while piece := connection.recv(65536):
            received = received[-64:] + piece
    assert b"[DONE]" in received, received


def serve_folder(folder: Path) -> int:
    """The server's process: listens, and answers questions about itself on its standard input."""
    model = load(folder)
    assert model.tokenizer is not None
    engine = start_engine(model)
    runner_seconds = watch_runner(engine)
    config = ServeConfig(port=0, response_cache=0)
    app = build_app(ModelTable([ServedModel(name="m", tokenizer=model.tokenizer, engine=engine)]), config)
    listening = open_socket(config)
    server = Server(app, config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    print(json.dumps({"address": listening.getsockname()}), flush=True)
    for line in sys.stdin:
        asked = line.split()
        if asked[0] == "stop":
            break
        if asked[0] == "stats":
            found: dict[str, Any] = {"process": time.process_time(), "runner": runner_seconds[0]}
        else:
            requests = [
                GenerateRequest(prompt=tuple(range(300 + number, 316 + number)), max_tokens=int(asked[1]))
                for number in range(STREAMS)
            ]
            began = time.perf_counter()
            engine.generate(requests)
            found = {"seconds": time.perf_counter() - began}
        print(json.dumps(found), flush=True)
    server.should_exit = True
    thread.join()
    return 0


def watch_runner(engine: Any) -> list[float]:
    """The processor's time in the runner, added up in the one place of a list: wall time would count waiting too."""
    spent, forward = [0.0], engine._passes.runner.forward

    def timed(batch: Any) -> Any:
        began = time.thread_time()
        logits = forward(batch)
        spent[0] += time.thread_time() - began
        return logits

    engine._passes.runner.forward = timed
    return spent


def show(figures: dict[str, float]) -> None:
    """The three figures."""
    print_table(
        [
            ("16 streams", "figure"),
            ("process time a token, less the runner's", f"{figures['microseconds']:.0f} µs"),
            ("tokens/s through the server", f"{figures['served']:,.0f}"),
            ("tokens/s of the engine alone", f"{figures['direct']:,.0f}"),
        ]
    )


def as_result(figures: dict[str, float]) -> Result:
    """Both bars."""
    share = figures["served"] / figures["direct"]
    return Result(
        claim="process time of the server a streamed token, without the runner's, in microseconds",
        ours=round(figures["microseconds"], 1),
        peers={},
        ratio=round(figures["microseconds"] / BAR_MICROSECONDS, 3),
        bar=1.0,
        better="lower",
        steady=round(1 / share, 4),
        packages=("fastapi", "uvicorn"),
        holds=figures["microseconds"] <= BAR_MICROSECONDS and share >= BAR_THROUGHPUT,
        details={"throughput_share": round(share, 3), "tokens_per_second": round(figures["served"], 1)},
    )


if __name__ == "__main__":
    raise SystemExit(main())
