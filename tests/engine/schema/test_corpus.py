"""An enforced schema accepts exactly the values that satisfy it; any other schema is refused with a reason."""

from collections import Counter

import pytest

from tests.engine.schema.corpus import CASES, faults

CATEGORIES = list(dict.fromkeys(case["category"] for case in CASES))


def wrong(category, draws):
    """Faults of one category by keyword."""
    found = {case["keyword"]: faults(case, draws) for case in CASES if case["category"] == category}
    return {keyword: one for keyword, one in found.items() if one}


@pytest.mark.parametrize("category", CATEGORIES)
def test_schemas_are_enforced_or_refused(category):
    assert wrong(category, draws=1) == {}


def test_there_are_enough_of_each_kind():
    counts = Counter(case["expected"] for case in CASES)
    assert counts["enforced"] >= 200
    assert counts["refused"] >= 50
    assert len({case["category"] for case in CASES}) == 8


@pytest.mark.slow
@pytest.mark.parametrize("category", CATEGORIES)
def test_many_texts_drawn_through_the_mask_are_valid(category):
    assert wrong(category, draws=40) == {}
