"""Bytes on a socket: limits of headers and of time, pipelining, disconnection, and input of proxies and old clients."""

import contextlib
import json
import socket
import time

import pytest

from tests.server.conftest import running, served

SECONDS = 0.4
ASK = json.dumps({"prompt": "Once upon a time", "max_tokens": 2, "temperature": 0}).encode()


@pytest.fixture(scope="module")
def address():
    model = served("writer")
    bounds = {"max_header_bytes": 2000, "max_headers": 20, "header_seconds": SECONDS, "body_seconds": SECONDS}
    with running([model], keep_alive_seconds=1, **bounds) as url:
        host, port = url.removeprefix("http://").split(":")
        yield host, int(port)
    model.engine.close()


def post(body=ASK, more="", length=None):
    size = len(body) if length is None else length
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{more}Content-Length: {size}"
    return f"{head}\r\n\r\n".encode() + body


def talk(address, *pieces, pause=0.0):
    """Send pieces; returns everything received until the server closed."""
    with socket.create_connection(address, timeout=10) as connection:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(pause)
        came = b""
        while piece := connection.recv(65536):
            came += piece
    return came


def error_of(came):
    head, _, body = came.partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower()
    return int(head.split()[1]), json.loads(body)["error"]


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"GET /health HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 3000 + b"\r\n\r\n", 431, "headers_too_large"),
        (b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431, "headers_too_large"),
        (b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"X: a\r\n" * 20 + b"\r\n", 431, "too_many_headers"),
        (b"nonsense\r\n\r\n", 400, "invalid_http"),
        (b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: a\r\n\r\n", 400, "invalid_http"),
        (
            b"POST /score HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
            400,
            "invalid_http",
        ),
    ],
)
def test_a_head_over_a_bound_is_refused(address, sent, status, code):
    found, error = error_of(talk(address, sent))
    assert (found, error["code"]) == (status, code)
    assert set(error) == {"message", "type", "param", "code"}


def test_a_header_without_an_end_is_refused_long_before_it_ends(address):
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nX: ")
        sent = 0
        with contextlib.suppress(OSError):  # a reset, or a broken pipe
            while sent < 10_000_000:
                sent += connection.send(b"a" * 1000)
                time.sleep(0.001)
        assert sent < 1_000_000


def test_headers_that_come_one_by_one_are_refused_in_time(address):
    began = time.monotonic()
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\n")
        came = b""
        connection.settimeout(0.05)
        while b"\r\n\r\n" not in came:
            assert time.monotonic() < began + 10 * SECONDS
            try:
                connection.sendall(b"X: a\r\n")
                came += connection.recv(65536)
            except TimeoutError:
                continue
    assert time.monotonic() - began > SECONDS * 0.8
    assert error_of(came)[0] == 408


def test_a_connection_that_sends_nothing_is_closed_without_a_word(address):
    began = time.monotonic()
    assert talk(address) == b""
    assert SECONDS * 0.8 < time.monotonic() - began < 10 * SECONDS


def test_a_body_that_never_ends_is_refused_in_time(address):
    status, error = error_of(talk(address, post(b"{", length=1000)))
    assert (status, error["code"]) == (408, "body_too_slow")


def test_a_refused_body_may_still_be_sent_so_that_the_refusal_is_read(address):
    """If it was sent, the connection stays open."""
    last = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    begun = post(b"", length=500_000, more="Expect: 100-continue\r\n").replace(b"/v1/completions", b"/nothing")
    came = talk(address, begun, b"a" * 250_000, b"a" * 250_000, last, pause=0.02)
    assert came.count(b"HTTP/1.1 404") == 1
    assert came.count(b"HTTP/1.1 200") == 1
    assert b"100 Continue" not in came


def test_expect_100_continue_is_answered_where_the_body_is_wanted(address):
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(post(b"", length=len(ASK), more="Expect: 100-continue\r\n"))
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.sendall(ASK)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")


def test_requests_in_one_piece_are_answered_in_order(address):
    health = b"GET /health HTTP/1.1\r\nHost: x\r\nX-Request-Id: %d\r\n\r\n"
    last = b"GET /ready HTTP/1.1\r\nHost: x\r\nX-Request-Id: last\r\nConnection: close\r\n\r\n"
    came = talk(address, health % 1 + post(more="X-Request-Id: 2\r\n") + health % 3 + last)
    assert came.count(b"HTTP/1.1 200") == 4
    places = [came.index(b"x-request-id: " + one) for one in (b"1", b"2", b"3", b"last")]
    assert places == sorted(places)


def test_a_client_that_offers_another_protocol_is_answered_in_this_one(address):
    """Java's client offers HTTP/2 with its first request."""
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(ASK), ASK)
    more = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n"
    with socket.create_connection(address, timeout=10) as connection:
        for sent in (
            post(more=more),
            post(more=more)
            .replace(b"Content-Length: %d" % len(ASK), b"Transfer-Encoding: chunked")
            .replace(ASK, chunked),
            b"GET /health HTTP/1.1\r\n" + more.encode() + b"\r\n",
        ):
            connection.sendall(sent[:-20])
            time.sleep(0.02)
            connection.sendall(sent[-20:])
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")


def test_leaving_in_the_middle_of_a_body_is_nothing_to_complain_of(address, caplog):
    for _ in range(3):
        with socket.create_connection(address, timeout=10) as connection:
            connection.sendall(post(b"{", length=1000))
            time.sleep(0.02)
    assert talk(address, b"GET /health HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200")
    assert not [record for record in caplog.records if record.name.startswith(("lavra", "asyncio"))]
