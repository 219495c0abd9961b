"""Kept responses against a naive list: never over a limit, the oldest dropped first, each tenant's own only."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from lavra.base.errors import OverloadedError
from lavra.server.config import ServeConfig
from lavra.server.responses.store import KeptResponse, ResponseStore

MOST, MOST_BYTES, TENANT_MOST, TENANT_BYTES = 6, 6000, 4, 4000
# Tenant, size, and the number of an earlier response to delete instead, if any.
STEPS = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from([10, 700, 1900]), st.sampled_from([None, None, 0, 2])), max_size=25
)


def store_of(**bounds):
    named = {
        "stored_responses": MOST,
        "stored_response_bytes": MOST_BYTES,
        "tenant_responses": TENANT_MOST,
        "tenant_response_bytes": TENANT_BYTES,
        **bounds,
    }
    return ResponseStore(ServeConfig(**named))


def ended(identity, tenant, size=10, **more):
    response = KeptResponse(id=identity, tenant=tenant, items=(), answer="x" * size, background=False, **more)
    response.log.end()
    return response


def over(kept, most, most_bytes):
    return len(kept) > most or sum(one.num_bytes for one in kept) > most_bytes


@given(steps=STEPS)
@settings(max_examples=40, deadline=None)
def test_bounds(steps):
    store, naive, everything = store_of(), [], []
    for number, (tenant, size, deleted) in enumerate(steps):
        if deleted is not None:
            if deleted < len(naive):
                store.delete(naive.pop(deleted))
        else:
            added = ended(f"resp_{number}", tenant, size)
            everything.append(added)
            store.add(added)
            naive.append(added)
            while over([one for one in naive if one.tenant == tenant], TENANT_MOST, TENANT_BYTES):
                naive.remove(next(one for one in naive if one.tenant == tenant))
            while over(naive, MOST, MOST_BYTES):
                naive.pop(0)
        for one in everything:
            assert (store.find(one.tenant, one.id) is one) == (one in naive)
            assert store.find("ab".replace(one.tenant, ""), one.id) is None


def test_a_response_over_the_bound_is_not_kept_and_drops_no_other():
    store = store_of()
    store.add(ended("resp_1", "a"))
    store.add(ended("resp_2", "a", TENANT_BYTES))
    assert store.find("a", "resp_1") is not None
    with pytest.raises(HTTPException, match="no response 'resp_2' is kept here"):
        store.get("a", "resp_2")


def test_unfinished_responses_stay_until_the_store_is_full():
    store = store_of(tenant_responses=2)
    running = [KeptResponse(id=f"resp_{number}", tenant="a", items=(), background=True) for number in range(2)]
    for one in running:
        store.add(one)
    with pytest.raises(OverloadedError, match="wait for them"):
        store.add(KeptResponse(id="resp_3", tenant="a", items=(), background=True))
    assert [store.find("a", one.id) for one in running] == running
    assert store.find("a", "resp_3") is None
    store.add(ended("resp_4", "b"))
    running[0].log.append("x" * TENANT_BYTES)
    with pytest.raises(OverloadedError):
        store.weigh(running[0])
    assert store.find("a", "resp_0") is None
    running[1].log.end()
    store.add(ended("resp_5", "a"))
    store.add(ended("resp_6", "a"))
    assert store.find("a", "resp_1") is None
