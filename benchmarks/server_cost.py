"""The server's cost beside the engine: process time for each streamed token, and throughput at 16 streams.

The server is a separate process with one thread for arithmetic.  16 clients on raw sockets request streams at once and
read them to their end.  The process time without the runner's, divided by the streamed tokens, is the cost of
everything but the model: HTTP, JSON, scheduling, sampling, text.  The engine gets the same requests without a server,
in the same process; the two take turns.  Prompts differ in length: rows of equal length are faster to compute, no
server meets them, and they would count against the server.

The torch runner computes, as in the first recorded figures.  The native runner is several times faster on models as
small as these, so the same server would be a larger share.

Two models: one of 13.8M parameters, whose weights drive everything else out of the caches at every pass, and one of a
million, whose passes take 2 ms, so that every delay of the engine shows.
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
from lavra.server.app import build_app
from lavra.server.config import ServeConfig
from lavra.server.conversation.prompt import chat_prompt
from lavra.server.run import Server, open_socket
from lavra.server.schemas import ChatBody
from lavra.server.served import ModelTable, ServedModel
from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE

STREAMS = 16
SIZES = {"13.8M": (384, 6), "1M": (64, 2)}  # width and layers
BAR_MICROSECONDS = 60.0
BAR_THROUGHPUT = 0.90


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="the small model, short streams, one turn")
    parser.add_argument("--chat", action="store_true", help="ask for chat completions")
    parser.add_argument("--turns", type=int, help="turns of each model (default 5)")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--serve", metavar="FOLDER", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        return serve_folder(Path(args.serve))
    tokens, turns = (32, 1) if args.smoke else (256, args.turns or 5)
    found: dict[str, dict[str, float]] = {}
    for name, size in SIZES.items():
        if not args.smoke or name == "1M":
            with tempfile.TemporaryDirectory() as folder:
                make_model(Path(folder), *size)
                found[name] = measure(Path(folder), tokens, turns, chat=args.chat)
    show(found)
    if args.json:
        print(as_result(found).line())
    return 0


def measure(folder: Path, tokens: int, turns: int, *, chat: bool) -> dict[str, float]:
    """Turns of both sides, after one turn that warms up."""
    command = [sys.executable, __file__, "--serve", str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as process:
        into, out = process.stdin, process.stdout
        assert into is not None
        assert out is not None
        address = json.loads(out.readline())["address"]
        costs, served, shares = [], [], []

        def tell(what: str) -> dict[str, float]:
            print(what, file=into, flush=True)
            answer: dict[str, float] = json.loads(out.readline())
            return answer

        for turn in range(turns + 1):
            before = tell("stats")
            seconds = stream_all(tuple(address), tokens, chat)
            after = tell("stats")
            direct_seconds = tell(f"{'chat' if chat else 'text'} {tokens}")["seconds"]
            if turn:
                spent = after["process"] - before["process"] - (after["runner"] - before["runner"])
                costs.append(spent / (STREAMS * tokens) * 1e6)
                served.append(STREAMS * tokens / seconds)
                shares.append(direct_seconds / seconds)
        print("stop", file=into, flush=True)
    return {
        "microseconds": statistics.median(costs),
        "served": statistics.median(served),
        "share": statistics.median(shares),
    }


def stream_all(address: tuple[str, int], tokens: int, chat: bool) -> float:
    """Seconds until all 16 clients have their stream."""
    threads = [threading.Thread(target=read_stream, args=(address, tokens, number, chat)) for number in range(STREAMS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


def prompt_of(number: int) -> list[int]:
    """16 ids for the first prompt, two more for each later one."""
    return list(range(300 + number, 316 + 3 * number))


def conversation_of(number: int) -> list[dict[str, str]]:
    """A question, longer for each client."""
    return [{"role": "user", "content": "What is this? " * (1 + number)}]


def read_stream(address: tuple[str, int], tokens: int, number: int, chat: bool) -> None:
    """Send a client's raw request, read the answer and drop it."""
    asked = {"messages": conversation_of(number)} if chat else {"prompt": prompt_of(number)}
    body = json.dumps({**asked, "max_tokens": tokens, "temperature": 0, "stream": True}).encode()
    path = "/v1/chat/completions" if chat else "/v1/completions"
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    with socket.create_connection(address) as connection:
        connection.sendall(f"{head}\r\nConnection: close\r\n\r\n".encode() + body)
        received = b""
        while piece := connection.recv(65536):
            received = received[-64:] + piece
    assert b"[DONE]" in received, received


def serve_folder(folder: Path) -> int:
    """The server's process: listens, and answers questions about itself on its standard input."""
    model = load(folder, runner="torch")
    assert model.tokenizer is not None
    tokenizer = model.tokenizer.with_chat_template(DEFAULT_CHAT_TEMPLATE)
    engine = start_engine(model)
    runner_seconds = watch_runner(engine)
    config = ServeConfig(port=0, response_cache=0)
    served = ServedModel(name="m", tokenizer=tokenizer, engine=engine)
    app = build_app(ModelTable([served]), config)
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
            requests = engine_requests(served, int(asked[1]), chat=asked[0] == "chat")
            began = time.perf_counter()
            engine.generate(requests)
            found = {"seconds": time.perf_counter() - began}
        print(json.dumps(found), flush=True)
    server.should_exit = True
    thread.join()
    return 0


def engine_requests(model: ServedModel, tokens: int, *, chat: bool) -> list[GenerateRequest]:
    """The clients' requests, as the server hands them to the engine."""
    prompts = [
        chat_prompt(model, ChatBody.model_validate({"messages": conversation_of(number)}), None).tokens
        if chat
        else prompt_of(number)
        for number in range(STREAMS)
    ]
    return [GenerateRequest(prompt=tuple(prompt), max_tokens=tokens, logprobs=False) for prompt in prompts]


def watch_runner(engine: Any) -> list[float]:
    """CPU time of the runner, added up in a list's only element: wall time would also count waiting."""
    spent, forward = [0.0], engine._passes.runner.forward

    def timed(batch: Any) -> Any:
        began = time.thread_time()
        logits = forward(batch)
        spent[0] += time.thread_time() - began
        return logits

    engine._passes.runner.forward = timed
    return spent


def show(found: dict[str, dict[str, float]]) -> None:
    """Print the three figures of each model."""
    print_table(
        [
            ("16 streams", *found),
            (
                "process time a token, less the runner's",
                *(f"{figures['microseconds']:.0f} µs" for figures in found.values()),
            ),
            ("tokens/s through the server", *(f"{figures['served']:,.0f}" for figures in found.values())),
            ("of the engine's alone", *(f"{figures['share']:.3f}" for figures in found.values())),
        ]
    )


def as_result(found: dict[str, dict[str, float]]) -> Result:
    """Both bars for the larger model; figures of the smaller model stand beside them."""
    judged = found.get("13.8M", found["1M"])
    microseconds, share = judged["microseconds"], judged["share"]
    return Result(
        claim="process time of the server a streamed token, without the runner's, in microseconds",
        ours=round(microseconds, 1),
        peers={},
        ratio=round(microseconds / BAR_MICROSECONDS, 3),
        bar=1.0,
        better="lower",
        steady=round(1 / share, 4),
        packages=("fastapi", "uvicorn"),
        holds=microseconds <= BAR_MICROSECONDS and share >= BAR_THROUGHPUT,
        details={
            "throughput_share": round(share, 3),
            "models": {name: {key: round(value, 3) for key, value in one.items()} for name, one in found.items()},
        },
    )


if __name__ == "__main__":
    raise SystemExit(main())
