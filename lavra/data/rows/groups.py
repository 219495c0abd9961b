"""Several texts a sample, in rows one after the other: choices, or an anchor and the texts compared with it.

A sample one of whose texts is left out is left out whole: a question without its right ending teaches nothing true.
"""

from __future__ import annotations

from collections.abc import Sequence

from lavra.data.labelled.samples import Place
from lavra.data.rows.batches import TaskRows
from lavra.data.rows.encoding import RowFormat, Text, encode_rows


def grouped_rows(
    groups: Sequence[Sequence[Text]], numbers: Sequence[int], places: Sequence[Place], form: RowFormat
) -> TaskRows:
    """A table of samples without labels.

    Args:
        groups: the texts of each sample.
        numbers: number of each sample among those given to the caller.
        places: the place of each sample in its file.
        form: the format of the rows.

    Raises:
        InputError, ConfigError: as `encode_rows`.
    """
    texts = [text for group in groups for text in group]
    owners = [owner for owner, group in enumerate(groups) for _ in group]
    encoded = encode_rows(texts, [places[owner] for owner in owners], form)
    rows: list[list[int]] = [[] for _ in groups]
    for row, source in enumerate(encoded.sources):
        rows[owners[source]].append(row)
    whole = [owner for owner, group in enumerate(groups) if len(rows[owner]) == len(group)]
    kept = [row for owner in whole for row in rows[owner]]
    return TaskRows(
        encoded=encoded.kept(kept, [encoded.sources[row] for row in kept]),
        form=form,
        names=tuple(str(places[owner]) for owner in whole),
        sources=tuple(numbers[owner] for owner in whole),
        groups=tuple(len(groups[owner]) for owner in whole),
        issues=encoded.issues,
    )
