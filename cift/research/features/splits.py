"""Train and test without overlap in time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cift.domain.duration import Duration, duration_ns
from cift.errors import DataError, InvalidParameter, NoData, TimeOrder
from cift.research.features.training import KNOWN_AT, times_ns

Train = Literal["around", "before"]
Rows = NDArray[np.int64]


class PurgedSplit:
    """Folds of time, each tested once; rows whose target overlaps the test in time are left out of the training.

    A row's target is made of what happens from its time to the time at which it is known. A row is trained on where that
    ends before the first row of the test, or where the row comes after the last target of the test is known and after
    the embargo on top. Rows of one time are never divided.

    Args:
        folds: how many, at least 2.
        embargo: how long after the last target of the test no row is trained on, for what is correlated across it: at least
            what the features look back.
        train: "around": before and after the test. "before": only before it, as in life; the first fold is then not tested.
        time, known_at: columns, as `training_frame` gives them.

    Raises:
        InvalidParameter: where an argument is none of these.

    Source: M. Lopez de Prado (2018), "Advances in Financial Machine Learning", chapter 7.4.

    Example:
        >>> import polars as pl
        >>> frame = pl.DataFrame({"ts_event": [0, 1, 2, 3, 4, 5], "known_at": [1, 2, 3, 4, 5, 6]})
        >>> [(train.tolist(), test.tolist()) for train, test in PurgedSplit(3).split(frame)]
        [([3, 4, 5], [0, 1]), ([0, 5], [2, 3]), ([0, 1, 2], [4, 5])]
    """

    def __init__(
        self,
        folds: int = 5,
        *,
        embargo: Duration = 0,
        train: Train = "around",
        time: str = "ts_event",
        known_at: str = KNOWN_AT,
    ) -> None:
        if isinstance(folds, bool) or not isinstance(folds, int) or folds < 2:
            raise InvalidParameter(f"folds must be a whole number of at least 2, not {folds!r}")
        if train not in get_args(Train):
            raise InvalidParameter(f"train must be 'around' or 'before', not {train!r}")
        self.embargo_ns = duration_ns(embargo, "embargo")
        if self.embargo_ns < 0:
            raise InvalidParameter(f"embargo must not be negative, not {embargo!r}")
        self.folds, self.train, self.time, self.known_at = folds, train, time, known_at

    def split(self, frame: pl.DataFrame) -> Iterator[tuple[Rows, Rows]]:
        """Row numbers to train on and to test, fold by fold; scikit-learn takes this iterator as `cv=`.

        Raises:
            TimeOrder: the rows are not in order of time. DataError: a time is missing, or a target is known before its row.
            NoData: there are fewer times than folds.
        """
        for name in (self.time, self.known_at):
            if name not in frame.columns:
                raise DataError(f"column {name!r} missing; `training_frame` makes it; found {', '.join(frame.columns)}")
        times, known = times_ns(frame[self.time]), times_ns(frame[self.known_at])
        if (times[1:] < times[:-1]).any():
            raise TimeOrder(f"{self.time} goes back; sort the frame by time first")
        if (known < times).any():
            raise DataError(f"row {int(np.flatnonzero(known < times)[0])}: its target is known before the row itself")
        edges = self._edges(times)
        rows = np.arange(len(times), dtype=np.int64)
        for start, stop in pairwise(edges):
            if self.train == "before" and start == 0:
                continue
            first, last = times[start], known[start:stop].max()
            trained = known < first
            if self.train == "around":
                trained |= times > last + self.embargo_ns
            yield rows[trained], rows[start:stop]

    def _edges(self, times: NDArray[np.int64]) -> list[int]:
        """Where folds begin and end: even numbers of rows, moved to where the time changes."""
        even = [len(times) * fold // self.folds for fold in range(1, self.folds)]
        edges = [0, *(int(np.searchsorted(times, times[at], side="left")) for at in even if at < len(times)), len(times)]
        if len(set(edges)) <= self.folds:
            raise NoData(f"{len(times)} rows of {len(np.unique(times))} times do not make {self.folds} folds; take fewer")
        return edges
