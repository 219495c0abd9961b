"""The weight-name tables are bijections, and each form undoes itself."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lavra.model.families.table import FAMILIES, family, preset
from lavra.model.weights import GroupedHeads, Stacked, Transposed
from tests.model.tables import to_ours, to_theirs
from tests.model.variants import ALL, theirs


@pytest.mark.parametrize("variant", ALL, ids=str)
def test_the_table_is_a_bijection_with_the_peers_state_dict(variant, opened):
    """Every parameter of ours once, every tensor of the peer once; both round trips are the identity."""
    peer = theirs(variant)
    model = opened(variant)
    table = family(model.config.family).table(model.config)
    mine, yours = dict(model.named_parameters()), dict(peer.named_parameters())
    named = [name for one in table for name in one.ours]
    assert len(named) == len(set(named))
    assert set(named) == set(mine)
    assert len({one.theirs for one in table}) == len(table)
    assert {one.theirs for one in table} == set(yours)
    there = to_theirs(table, mine)
    assert all(torch.equal(there[name], yours[name]) for name in yours)
    back = to_ours(table, there)
    assert all(torch.equal(back[name], mine[name]) for name in mine)


@pytest.mark.parametrize("name", FAMILIES)
@given(hidden=st.integers(1, 3), layers=st.integers(1, 3), heads=st.sampled_from([1, 2, 4]))
def test_tables_of_any_size_name_every_parameter_once(name, hidden, layers, heads):
    from lavra.model.build import new_model

    config = preset(name, vocab_size=7, hidden_size=64 * hidden, num_layers=layers, num_heads=heads, max_positions=5)
    with torch.device("meta"):
        parameters = dict(new_model(config).named_parameters())
    table = family(name).table(config)
    assert sorted(inner for one in table for inner in one.ours) == sorted(parameters)
    assert len({one.theirs for one in table}) == len(table)


def numbered(*shape):
    return torch.arange(torch.Size(shape).numel()).reshape(shape)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), st.booleans())
def test_fused_attention_comes_apart_and_together(groups, queries, head_dim, width, is_bias):
    rest = () if is_bias else (width,)
    form, fused = GroupedHeads(groups, queries, head_dim), numbered(groups * (queries + 2) * head_dim, *rest)
    query, key, value = form.split(fused)
    assert query.shape == (groups * queries * head_dim, *rest)
    assert key.shape == value.shape == (groups * head_dim, *rest)
    assert torch.equal(form.join([query, key, value], torch.cat), fused)
    # Written out: group g holds its queries, then its key, then its value.
    rows = fused.reshape(groups, queries + 2, head_dim, *rest)
    assert torch.equal(key.reshape(groups, head_dim, *rest)[-1], rows[-1, queries])
    assert torch.equal(query.reshape(groups, queries, head_dim, *rest)[-1, 0], rows[-1, 0])


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), st.booleans())
def test_stacks_come_apart_and_together(count, rows, columns, transposed):
    form = Stacked(count, transposed=transposed)
    theirs = numbered(columns, count * rows) if transposed else numbered(count * rows, columns)
    parts = form.split(theirs)
    assert [part.shape for part in parts] == [(rows, columns)] * count
    assert torch.equal(form.join(parts, torch.cat), theirs)


@given(st.integers(1, 5), st.integers(1, 5))
def test_transposes_undo_themselves(rows, columns):
    theirs = numbered(rows, columns)
    (ours,) = Transposed().split(theirs)
    assert ours.shape == (columns, rows)
    assert torch.equal(Transposed().join([ours], torch.cat), theirs)
