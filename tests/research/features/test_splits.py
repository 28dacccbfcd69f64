"""Purged folds beside a look at every pair of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cift.errors import DataError, InvalidParameter, NoData, TimeOrder
from cift.research import features as ft

SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)), min_size=1, max_size=60).map(
    lambda rows: sorted((start, start + span) for start, span in rows)
)


def frame_of(spans: list[tuple[int, int]]) -> pl.DataFrame:
    return pl.DataFrame(spans, schema={"ts_event": pl.Int64, "known_at": pl.Int64}, orient="row")


@given(spans=SPANS, folds=st.integers(2, 6), embargo=st.integers(0, 9), train=st.sampled_from(["around", "before"]))
def test_no_row_is_trained_on_that_overlaps_the_test(spans: Any, folds: int, embargo: int, train: Any) -> None:
    frame = frame_of(spans)
    try:
        pairs = list(ft.PurgedSplit(folds, embargo=embargo, train=train).split(frame))
    except NoData:
        assert len({start for start, _ in spans}) < 2 * folds  # too few times for so many folds
        return
    tested = [row for _, test in pairs for row in test.tolist()]
    assert tested == list(range(tested[0], len(spans)))
    assert len(pairs) == (folds if train == "around" else folds - 1)
    for trained, test in pairs:
        first, last = spans[test[0]][0], max(spans[row][1] for row in test)
        expected = []
        for row, (start, end) in enumerate(spans):
            before, after = end < first, start > last + embargo
            if before or (after and train == "around"):
                expected.append(row)
        assert trained.tolist() == expected
        # What the source asks for: no train label shares a moment with a test label.
        assert not any(spans[a][0] <= spans[b][1] and spans[b][0] <= spans[a][1] for a in trained for b in test)
        assert {spans[row][0] for row in test}.isdisjoint(spans[row][0] for row in range(len(spans)) if row not in set(test))


def test_a_training_frame_is_split_as_it_comes() -> None:
    times = pl.Series(np.arange(100) * 10**9).cast(pl.Datetime("ns", "UTC"))
    frame = pl.DataFrame({"ts_event": times, "mid": np.arange(100.0) + 1})
    made = ft.training_frame(frame, features=["mid"], target="mid", horizon="5s")
    (train, test), *rest = ft.PurgedSplit(4, embargo="10s").split(made)
    assert test.tolist() == list(range(23))
    assert train[0] == 22 + 5 + 10 + 1
    assert len(rest) == 3


@pytest.mark.parametrize(
    "make",
    [
        lambda: ft.PurgedSplit(1),
        lambda: ft.PurgedSplit(True),
        lambda: ft.PurgedSplit(2.0),  # type: ignore[arg-type]
        lambda: ft.PurgedSplit(3, embargo=-1),
        lambda: ft.PurgedSplit(3, embargo="soon"),
        lambda: ft.PurgedSplit(3, train="after"),  # type: ignore[arg-type]
    ],
)
def test_an_argument_out_of_range_is_refused(make: Any) -> None:
    with pytest.raises(InvalidParameter):
        make()


def test_a_frame_that_cannot_be_split_is_refused() -> None:
    split = ft.PurgedSplit(2)
    with pytest.raises(DataError, match="'known_at' missing"):
        next(split.split(pl.DataFrame({"ts_event": [1, 2]})))
    with pytest.raises(TimeOrder):
        next(split.split(frame_of([(2, 3), (1, 2)])))
    with pytest.raises(DataError, match="row 1: its target is known before"):
        next(split.split(frame_of([(1, 2), (2, 1)])))
    with pytest.raises(NoData, match="2 rows of 1 times"):
        next(split.split(frame_of([(1, 2), (1, 2)])))
    with pytest.raises(NoData):
        next(split.split(frame_of([])))
