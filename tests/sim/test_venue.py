"""Settings of the simulated venue."""

from __future__ import annotations

import pytest

from cift.errors import InvalidParameter
from cift.sim.venue import Latency, Venue


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("250", "latency '250' is not a span of time; write it like '250us'"),
        (None, "latency None is not a span of time"),
        (-5, "latency -5 is negative"),
        ("9999999d", "latency '9999999d' is longer than"),
        (Latency(entry="250"), "entry '250' is not a span of time"),
        (Latency(feed=-1), "feed=-1.* is negative"),
    ],
)
def test_an_error_about_latency_names_the_argument_that_was_written(given: object, told: str) -> None:
    with pytest.raises(InvalidParameter, match=told):
        Venue(latency=given)  # type: ignore[arg-type]


def test_one_span_sets_entry_and_response() -> None:
    assert Venue(latency="250us").legs == Latency(entry=250_000, response=250_000)
