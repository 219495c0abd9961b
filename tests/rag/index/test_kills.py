"""An update killed at any moment loses nothing committed, and readers beside a writer see nothing partial."""

import os
import random
import signal
import time
import traceback

import pytest

from lavra.base.errors import InputError
from lavra.rag.index import embedding, reading, update
from lavra.rag.index.open import open_index
from lavra.rag.index.schema import connect_reader, connect_writer
from tests.rag.index.toys import content, toy_encoder, write
from tests.rag.index.toys import update as update_toy

STATES = [
    {f"{number}.txt": f"lagoon number {number}\n\nthe red harbour {number % 3}\n" for number in range(8)},
    {f"{number}.txt": f"lagoon number {number}\n\nthe blue harbour {number % 4}\n" for number in range(3, 11)},
]


def in_child(work):
    """Run a function in a separate process; returns its exit status, negative after a signal."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return child


def status_of(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_at(statement, work):
    """Do some work in a process that is killed before its n-th SQL statement; returns whether it came that far."""

    def counting(folder):
        connection, left = connect_writer(folder), [statement]

        def count(_):
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)

        connection.set_trace_callback(count)
        return connection

    def patched():
        update.connect_writer = counting
        reading._COMMIT_DOCUMENTS, embedding._BATCH = 2, 3
        work()

    status = status_of(in_child(patched))
    assert status in (0, -signal.SIGKILL)
    return status != 0


def embedded_contents(index):
    connection = connect_reader(index)
    try:
        return connection.execute("SELECT count(*) FROM vectors").fetchone()[0]
    finally:
        connection.close()


def check_kills(folder, statements):
    """Build the second state over the first, killed at each of several statements."""
    encoder = toy_encoder()
    docs = folder / "docs"
    docs.mkdir()
    wanted = []
    for number, state in enumerate(STATES):
        update_toy(folder / f"fresh{number}", write(docs, state), encoder)
        wanted.append(content(folder / f"fresh{number}", encoder))
    for statement in statements:
        index = folder / f"index{statement}"
        update_toy(index, write(docs, STATES[0]), encoder)
        write(docs, STATES[1])
        if not killed_at(statement, lambda index=index: update_toy(index, docs, toy_encoder())):
            return
        assert content(index, encoder) in wanted, statement
        before = embedded_contents(index)
        asked = toy_encoder()
        update_toy(index, docs, asked)
        assert content(index, encoder) == wanted[1], statement
        assert before + len(asked._embedder.asked) >= embedded_contents(index)  # nothing was embedded twice


def test_an_update_killed_at_any_statement_loses_nothing(tmp_path):
    check_kills(tmp_path, random.Random(0).sample(range(5, 250), 6))


@pytest.mark.slow
def test_an_update_killed_at_every_statement_loses_nothing(tmp_path):
    check_kills(tmp_path, range(0, 2000, 3))


def test_a_first_update_that_is_killed_goes_on(tmp_path):
    encoder = toy_encoder()
    (tmp_path / "docs").mkdir()
    docs = write(tmp_path / "docs", STATES[0])
    assert killed_at(90, lambda: update_toy(tmp_path / "index", docs, toy_encoder()))
    with pytest.raises(InputError, match="never finished"):
        open_index(tmp_path / "index")
    update_toy(tmp_path / "index", docs, encoder)
    update_toy(tmp_path / "fresh", docs, encoder)
    assert content(tmp_path / "index", encoder) == content(tmp_path / "fresh", encoder)


def epoch_of(index, encoder):
    """The state that a reader sees, after reading all of it."""
    table = index.table
    texts = {name: table.document_text(name) for name in table.documents()}
    epochs = {text.split()[1] for text in texts.values()}
    assert len(epochs) == 1, f"documents of several updates: {texts}"
    epoch = epochs.pop()
    ids = table.ids().tolist()
    assert all(chunk.text.split()[1] == epoch for chunk in table.chunks(ids))
    near, _ = index.store.search(encoder.embed([texts["docs/0.txt"].strip()]), len(ids))
    assert sorted(near[0].tolist()) == ids, "the store has other chunks"
    found, _ = index.postings.search(f"epoch{epoch}", len(ids) + 5)
    assert sorted(found.tolist()) == ids, "the words are of other chunks"
    return int(epoch)


def read_on(folder, until):
    encoder, seen = toy_encoder(), set()
    with open_index(folder) as index:
        while time.monotonic() < until:
            seen.add(epoch_of(index, encoder))
            if not index.refresh():
                time.sleep(0.002)
    assert len(seen) > 1


def test_four_readers_beside_a_writer_see_whole_updates_alone(tmp_path):
    (tmp_path / "docs").mkdir()

    def state(epoch):
        return write(tmp_path / "docs", {f"{n}.txt": f"{n} {epoch} epoch{epoch}\n" for n in range(epoch % 3 + 2)})

    encoder = toy_encoder()
    update_toy(tmp_path / "index", state(0), encoder)
    until = time.monotonic() + 2.0
    readers = [in_child(lambda: read_on(tmp_path / "index", until)) for _ in range(4)]
    epoch = 0
    while time.monotonic() < until:
        epoch += 1
        update_toy(tmp_path / "index", state(epoch), encoder)
    assert [status_of(reader) for reader in readers] == [0, 0, 0, 0]
    update_toy(tmp_path / "index", state(epoch), encoder)
    with open_index(tmp_path / "index") as index:
        assert epoch_of(index, encoder) == epoch
