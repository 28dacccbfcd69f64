"""Batches for a server: every row once, in order, and no two batches with rows of one time, which might arrive in any order."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cift.data.questdb.loading import _batches


@given(st.lists(st.lists(st.integers(0, 1), max_size=12), max_size=8), st.integers(1, 10))
def test_batches_are_cut_where_the_time_changes(steps: list[list[int]], rows: int) -> None:
    times = np.cumsum([step for piece in steps for step in piece], dtype=np.int64)
    pieces, at = [], 0
    for piece in steps:
        pieces.append({"ts_event": times[at : at + len(piece)], "sequence": np.arange(at, at + len(piece))})
        at += len(piece)
    made = list(_batches(iter(pieces), rows))
    assert [row for batch in made for row in batch["sequence"].tolist()] == list(range(len(times)))
    assert all(len(batch["ts_event"]) for batch in made)
    assert all(one["ts_event"][-1] < other["ts_event"][0] for one, other in pairwise(made))
    for batch in made[:-1]:
        # No longer than asked for, unless that many rows are of one time.
        assert len(batch["ts_event"]) <= rows or batch["ts_event"][0] == batch["ts_event"][-1]
