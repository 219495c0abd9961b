"""Milvus: the port's suite on milvus-lite in this process, and on its server over gRPC."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from lavra.base.errors import InputError
from lavra.rag.stores.config import StoreConfig, StoreKind
from lavra.rag.stores.errors import StoreError
from lavra.rag.stores.table import open_store
from tests.rag.stores.embedded import EmbeddedStore

pymilvus = pytest.importorskip("pymilvus", reason="pymilvus is not installed; it is of the extra `milvus`")
lite = pytest.importorskip("milvus_lite.server_manager", reason="milvus-lite is not installed; see the extra `milvus`")

pytestmark = pytest.mark.slow
LITE = StoreConfig(kind=StoreKind.MILVUS)


class TestMilvusLite(EmbeddedStore):
    config = LITE

    def close_store(self, store):
        store.close()
        lite.server_manager_instance.release_server(str(self.folder / "milvus.db"))

    @pytest.fixture(autouse=True)
    def _released(self, _folder):
        yield
        lite.server_manager_instance.release_server(str(self.folder / "milvus.db"))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of `milvus-lite server`: Milvus' protocol over gRPC, in another process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("milvus")
    command = [sys.executable, "-m", "milvus_lite.cmdline", "server", "--data-dir", str(folder)]
    process = subprocess.Popen([*command, "--host", "127.0.0.1", "--port", str(port)])
    try:
        wait_for(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def wait_for(port, process):
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail("milvus-lite server did not start")


class TestMilvusServer(EmbeddedStore):
    """The graph of a server: its recall is measured, as it is no exact search."""

    recall = 0.95

    @pytest.fixture(autouse=True)
    def _server(self, server):
        self.config = replace(LITE, uri=server, collection="suite")


def entries(count, dimension=8):
    vectors = np.random.default_rng(0).normal(size=(count, dimension)).astype(np.float32)
    return np.arange(count), vectors / np.linalg.norm(vectors, axis=1, keepdims=True), [{}] * count


def test_a_server_that_is_down_is_named_with_a_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr("lavra.rag.stores.milvus._SECONDS", 2.0)
    with pytest.raises(StoreError, match=r"Milvus at http://127.0.0.1:9: .*; check that the server runs"):
        open_store(replace(LITE, uri="http://127.0.0.1:9"), tmp_path, 8)


def test_another_metric_is_refused(server, tmp_path):
    client = pymilvus.MilvusClient(uri=server)
    client.create_collection("other_default", dimension=8, metric_type="L2", primary_field_name="id")
    with pytest.raises(InputError, match="compares by L2, not by inner product"):
        open_store(replace(LITE, uri=server, collection="other"), tmp_path, 8)


def test_a_folder_that_another_process_has_open(tmp_path):
    hold = (
        "import sys; from milvus_lite.server_manager import server_manager_instance as manager\n"
        "print(manager.start_and_get_uri(sys.argv[1]), flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", hold, str(tmp_path / "milvus.db")]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        other.stdout.readline()
        with pytest.raises(StoreError, match="another process may have it open: end it, or start `milvus-lite server`"):
            open_store(LITE, tmp_path, 8)
    finally:
        other.stdin.close()
        other.wait()
        other.stdout.close()


def test_more_results_than_milvus_gives(server, tmp_path):
    store = open_store(replace(LITE, uri=server, collection="limits"), tmp_path, 8)
    with pytest.raises(InputError, match="k=16385: Milvus gives at most 16384"):
        store.search(entries(1)[1], 16_385)
