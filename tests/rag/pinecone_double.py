"""A double of Pinecone's data plane: the wire format of API 2026-07, its limits, and its delayed view of writes.

It holds vectors in memory and compares all of them.  It was written from the client's requests and the service's
documentation; it is not the service.
"""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

VERSION = "2026-07"
KEY = "key-of-the-double"


class RefusedError(Exception):
    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class Pinecone:
    """One index: namespaces of records.

    Attributes:
        late: number of requests that still see the state before the last write.
        failures: statuses of the next answers.
        requests: path and size of every request.
    """

    def __init__(self, dimension, metric="dotproduct"):
        self.dimension, self.metric = dimension, metric
        self.spaces, self.shown = {}, {}
        self.late, self.waiting, self.position, self.reconciled = 0, 0, 0, 0
        self.failures, self.requests = [], []
        self.lock = threading.Lock()

    def answer(self, path, body):
        routes = {
            "/vectors/upsert": self.upsert,
            "/vectors/delete": self.delete,
            "/query": self.query,
            "/vectors/fetch_by_metadata": self.fetch,
            "/describe_index_stats": self.stats,
        }
        if path not in routes:
            raise RefusedError(404, f"no such path {path}")
        return routes[path](body)

    def write(self):
        self.position += 1
        self.waiting = self.late
        if not self.late:
            self.show()
        return {"x-pinecone-lsn-committed": str(self.position)}

    def show(self):
        self.shown = {name: dict(space) for name, space in self.spaces.items()}
        self.reconciled = self.position

    def read(self):
        if self.waiting:
            self.waiting -= 1
            if not self.waiting:
                self.show()
        return {"x-pinecone-lsn-reconciled": str(self.reconciled)}

    def upsert(self, body):
        records = body["vectors"]
        if not 1 <= len(records) <= 1000:
            raise RefusedError(400, f"{len(records)} vectors; at most 1000")
        for record in records:
            check_record(record, self.dimension)
        space = self.spaces.setdefault(body.get("namespace", "__default__"), {})
        for record in records:
            space[record["id"]] = record
        return {"upsertedCount": len(records)}, self.write()

    def delete(self, body):
        if len(body["ids"]) > 1000:
            raise RefusedError(400, "at most 1000 ids")
        space = self.spaces.get(body.get("namespace", "__default__"), {})
        for id in body["ids"]:
            space.pop(id, None)
        return {}, self.write()

    def query(self, body):
        if not 1 <= body["topK"] <= 10_000:
            raise RefusedError(400, "topK is 1 to 10000")
        if len(body["vector"]) != self.dimension:
            raise RefusedError(400, "another dimension")
        headers, name = self.read(), body.get("namespace", "__default__")
        allowed = [one for one in self.shown.get(name, {}).values() if matches(one["metadata"], body.get("filter"))]
        values = np.array([one["values"] for one in allowed], dtype=np.float64).reshape(-1, self.dimension)
        scores = values @ np.array(body["vector"])
        order = np.argsort(-scores, kind="stable")[: body["topK"]]
        found = [{"id": allowed[place]["id"], "score": float(scores[place])} for place in order]
        return {"matches": found, "namespace": name, "usage": {"readUnits": 1}}, headers

    def fetch(self, body):
        if not body["filter"]:
            raise RefusedError(400, "empty filter")
        headers, name, start = self.read(), body.get("namespace", "__default__"), int(body.get("paginationToken", 0))
        found = [one for one in self.shown.get(name, {}).values() if matches(one["metadata"], body["filter"])]
        limit = body.get("limit", 100)
        answer = {"vectors": {one["id"]: one for one in found[start : start + limit]}, "namespace": name}
        if start + limit < len(found):
            answer["pagination"] = {"next": str(start + limit)}
        return answer, headers

    def stats(self, body):
        if body.get("filter"):
            raise RefusedError(400, "stats take no filter")
        spaces = {name: {"vectorCount": len(space)} for name, space in self.shown.items() if space}
        total = sum(len(space) for space in self.shown.values())
        stats = {"namespaces": spaces, "dimension": self.dimension, "metric": self.metric, "indexFullness": 0.0}
        return {**stats, "totalVectorCount": total, "vectorType": "dense"}, {}


def check_record(record, dimension):
    if len(record["values"]) != dimension:
        raise RefusedError(400, "another dimension")
    if not any(record["values"]):
        raise RefusedError(400, "a vector of zeros")
    metadata = record.get("metadata", {})
    if len(json.dumps(metadata, ensure_ascii=False).encode()) > 40_960:
        raise RefusedError(400, "metadata over 40 KB")
    for name, value in metadata.items():
        words = isinstance(value, list) and all(isinstance(word, str) for word in value)
        if name.startswith("$") or not (words or isinstance(value, str | int | float)):
            raise RefusedError(400, f"metadata {name}={value!r}")


def matches(metadata, condition):
    """Whether facts match one of Pinecone's filters; on a list, equality and `$in` match any of its words."""
    if not condition:
        return True
    return all(one_matches(metadata, name, value) for name, value in condition.items())


def one_matches(metadata, name, value):
    if name == "$and":
        return all(matches(metadata, one) for one in value)
    if name == "$or":
        return any(matches(metadata, one) for one in value)
    ((operator, wanted),) = value.items() if isinstance(value, dict) else (("$eq", value),)
    if operator == "$exists":
        return (name in metadata) == wanted
    words = metadata.get(name, [])
    words = words if isinstance(words, list) else [words]
    if operator in ("$eq", "$in"):
        wanted = wanted if isinstance(wanted, list) else [wanted]
        return any(word in wanted for word in words)
    if operator in ("$ne", "$nin"):
        return not one_matches(metadata, name, {"$in": wanted if isinstance(wanted, list) else [wanted]})
    if not isinstance(wanted, int | float):
        raise RefusedError(400, f"{operator} takes a number")
    compare = {"$gt": float.__gt__, "$gte": float.__ge__, "$lt": float.__lt__, "$lte": float.__le__}[operator]
    return any(isinstance(word, int | float) and compare(float(word), float(wanted)) for word in words)


@contextmanager
def serving(index):
    """Run the double on a free port; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16  # a whole answer at once, or each waits 40 ms for its headers to be acknowledged

        def do_POST(self):
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            with index.lock:
                index.requests.append((self.path, len(raw)))
                try:
                    self.check(raw)
                    body, headers = index.answer(self.path, json.loads(raw))
                    self.reply(200, body, headers)
                except RefusedError as refused:
                    body = {"code": refused.status, "message": str(refused), "details": []}
                    self.reply(refused.status, body, {})

        def check(self, raw):
            if index.failures:
                raise RefusedError(index.failures.pop(0), "not now")
            if self.headers["X-Pinecone-Api-Version"] != VERSION:
                raise RefusedError(400, f"version {self.headers['X-Pinecone-Api-Version']}")
            if self.headers["Api-Key"] != KEY:
                raise RefusedError(401, "Invalid API Key")
            if len(raw) > 2 * 1024 * 1024:
                raise RefusedError(413, "more than 2 MB")

        def reply(self, status, body, headers):
            data = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(data)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
