"""Whole sets of tensors through a table of weight names, in both directions; checkpoints convert tensor by tensor."""

import torch


def to_theirs(table, ours):
    """Our tensors under the peer's names and in the peer's forms."""
    return {one.theirs: one.form.join([ours[name] for name in one.ours], torch.cat) for one in table}


def to_ours(table, theirs):
    """The peer's tensors under our names and in our forms."""
    return {
        name: part for one in table for name, part in zip(one.ours, one.form.split(theirs[one.theirs]), strict=True)
    }
