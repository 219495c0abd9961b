"""Agreement against scikit-learn, Krippendorff's own figures, and his definition pair by pair."""

from __future__ import annotations

import itertools
import math

import krippendorff
import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from lavra.base.errors import ConfigError, InputError
from lavra.metrics.agreement import Difference, cohen_kappa, krippendorff_alpha

SKLEARN = {Difference.NOMINAL: None, Difference.LINEAR: "linear", Difference.QUADRATIC: "quadratic"}
DISTANCE = {
    Difference.NOMINAL: lambda a, b: float(a != b),
    Difference.LINEAR: lambda a, b: abs(a - b),
    Difference.QUADRATIC: lambda a, b: (a - b) ** 2,
}
NAN = math.nan
# Krippendorff (2011), C: four observers, twelve units, missing data.
PUBLISHED = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
)


@pytest.mark.parametrize("difference", SKLEARN)
@given(rated=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=30))
def test_kappa_is_sklearns(difference: Difference, rated: list[tuple[int, int]]) -> None:
    first, second = np.array(rated, dtype=np.int64).T
    found = cohen_kappa(first, second, difference=difference)
    if len({*first.tolist(), *second.tolist()}) == 1:
        assert math.isnan(found)
        return
    labels = list(range(5))
    theirs = sklearn.metrics.cohen_kappa_score(first, second, labels=labels, weights=SKLEARN[difference])
    assert found == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize(
    ("difference", "alpha"), [(Difference.NOMINAL, 0.743), (Difference.ORDINAL, 0.815), (Difference.QUADRATIC, 0.849)]
)
def test_alpha_is_krippendorffs(difference: Difference, alpha: float) -> None:
    assert krippendorff_alpha(PUBLISHED, difference=difference) == pytest.approx(alpha, abs=0.0005)


def by_definition(ratings: np.ndarray, difference: Difference) -> float:
    """1 - Do / De over every pair of values."""
    distance = DISTANCE[difference]
    units = [[value for value in unit if not math.isnan(value)] for unit in ratings.T.tolist()]
    units = [unit for unit in units if len(unit) > 1]
    values = [value for unit in units for value in unit]
    observed = sum(sum(distance(*pair) for pair in itertools.permutations(unit, 2)) / (len(unit) - 1) for unit in units)
    expected = sum(distance(*pair) for pair in itertools.permutations(values, 2)) / (len(values) - 1)
    return 1 - observed / expected if expected else math.nan


cells = st.sampled_from([0.0, 1.0, 2.0, 5.0, NAN])
tables = st.tuples(st.integers(2, 4), st.integers(1, 6)).flatmap(
    lambda size: st.lists(st.lists(cells, min_size=size[1], max_size=size[1]), min_size=size[0], max_size=size[0])
)


@pytest.mark.parametrize("difference", DISTANCE)
@given(table=tables)
def test_alpha_is_its_definition(difference: Difference, table: list[list[float]]) -> None:
    ratings = np.array(table)
    if ((~np.isnan(ratings)).sum(axis=0) < 2).all():
        with pytest.raises(InputError, match="no unit was judged by two"):
            krippendorff_alpha(ratings, difference=difference)
        return
    found = krippendorff_alpha(ratings, difference=difference)
    assert found == pytest.approx(by_definition(ratings, difference), abs=1e-9, nan_ok=True)


@pytest.mark.parametrize(
    ("difference", "level"),
    [(Difference.NOMINAL, "nominal"), (Difference.ORDINAL, "ordinal"), (Difference.QUADRATIC, "interval")],
)
@given(table=tables)
def test_alpha_is_the_krippendorff_packages(difference: Difference, level: str, table: list[list[float]]) -> None:
    ratings = np.array(table)
    paired = ratings[:, (~np.isnan(ratings)).sum(axis=0) >= 2]
    if len(np.unique(paired[~np.isnan(paired)])) < 2:  # the package refuses what has one value only, or none
        return
    theirs = krippendorff.alpha(reliability_data=ratings, level_of_measurement=level)
    assert krippendorff_alpha(ratings, difference=difference) == pytest.approx(theirs, abs=1e-9)


def test_kappa_has_no_ordinal_difference() -> None:
    with pytest.raises(ConfigError, match="say linear or quadratic"):
        cohen_kappa(np.array([0, 1]), np.array([0, 1]), difference=Difference.ORDINAL)


def test_raters_of_different_units_are_refused() -> None:
    with pytest.raises(InputError, match="judged 2 and 1 units"):
        cohen_kappa(np.array([0, 1]), np.array([0]))
    with pytest.raises(InputError, match="a class is -1"):
        cohen_kappa(np.array([0, -1]), np.array([0, 1]))
