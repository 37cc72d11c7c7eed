"""assert_close: accepted values and messages."""

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.testing import assert_close


def test_close_values_pass():
    assert_close(tg.Variable([1.0, 2.0]), tg.Variable([1.0, 2.000001]))
    assert_close(tg.Variable([1.0]), np.ones(1, dtype=np.float32))
    assert_close([1.0, 2.0], [1.0, 2.0])
    assert_close(tg.Variable(1.0, requires_grad=True), 1.0)
    assert_close(tg.zeros((0, 3)), tg.zeros((0, 3)))
    assert_close(tg.Variable([float("inf")]), tg.Variable([float("inf")]))
    assert_close({"a": [tg.ones((2,)), tg.ones(())]}, {"a": (np.ones(2, np.float32), tg.ones(()))})
    assert_close(tg.Variable([1.0]), tg.Variable([1.1]), rtol=0.2, atol=0.0)


@pytest.mark.parametrize(
    ("actual", "expected", "message"),
    [
        ([[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0], [3.5, 5.0]], r"2 of 4 elements differ, most at \[1, 1\]: 4.0 against 5.0"),
        (tg.ones((2,)), tg.ones((1, 2)), r"the shapes differ: \(2,\) against \(1, 2\)"),
        (tg.ones((2,)), np.ones(2), "the dtypes differ: float32 against float64"),
        ([float("nan")], [float("nan")], "nan against nan"),
        ([float("inf")], [1.0], "inf against 1.0"),
        ([1.0], [float("inf")], "1.0 against inf"),
        ([float("inf")], [-float("inf")], "inf against -inf"),
        (tg.Variable([1, 2]), tg.Variable([1, 3]), "2 against 3"),
        ({"a": tg.ones(())}, {"b": tg.ones(())}, r"the keys differ: \['a'\] against \['b'\]"),
        ([tg.ones(())], [tg.ones(()), tg.ones(())], "the lengths differ: 1 against 2"),
        ({"a": [tg.ones(()), tg.zeros(())]}, {"a": [tg.ones(()), tg.ones(())]}, r"at \['a'\]\[1\]: 1 of 1"),
    ],
)
def test_differences_are_named(actual, expected, message):
    with pytest.raises(AssertionError, match=message):
        assert_close(actual, expected)


def test_options():
    nan = tg.Variable([float("nan")])
    assert_close(nan, nan, equal_nan=True)
    assert_close(tg.ones((2,)), np.ones(2), check_dtype=False)
    with pytest.raises(ValueError, match="both rtol and atol"):
        assert_close(nan, nan, rtol=1.0)
    with pytest.raises(AssertionError, match=r"^my words: 1 of 1"):
        assert_close([1.0], [2.0], msg="my words")


def test_many_differences_are_cut_short():
    with pytest.raises(AssertionError, match=r"(?s)8 of 8 .*\.\.\.") as caught:
        assert_close(tg.zeros((8,)), tg.ones((8,)))
    assert len(str(caught.value).splitlines()) == 7
