"""The vendor's delivery of notebook 03: the same bytes each time, and the doctor finds what was planted and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from cift.data.delivery import QUOTE_FAULTS, TRADE_FAULTS, Delivery, deliver
from cift.data.doctor import Diagnosis, check

TRADES = {"ts_event": "TIME", "price": "PRICE", "size": "SIZE", "aggressor": "SIDE", "trade_id": "ID"}
QUOTES = {"ts_event": "TIME", "bid_price": "BID", "bid_size": "BIDSIZ", "ask_price": "ASK", "ask_size": "ASKSIZ"}
GRID: dict[str, Any] = {"symbol": "ACME.SIM", "tick_size": "0.01", "lot_size": 1, "time_unit": "us"}


def lines(diagnosis: Diagnosis) -> dict[str, list[int]]:
    """Where each kind was found, by line of the file."""
    return {row["kind"]: row["rows"] for row in diagnosis.frame.iter_rows(named=True)}


@pytest.mark.parametrize("seed", [7, 8, 9])
def test_the_doctor_finds_what_was_planted(tmp_path, seed):
    delivery = deliver(tmp_path, events=30_000, seed=seed)
    found = lines(check(delivery.trades, schema="trades", columns=TRADES, examples=99, **GRID))
    assert {kind: found.pop(kind) for kind in TRADE_FAULTS} == {kind: delivery.planted[kind] for kind in TRADE_FAULTS}
    assert set(found) <= {"silence"}
    found = lines(check(delivery.quotes, schema="quotes", columns=QUOTES, examples=99, **GRID))
    assert {kind: found.pop(kind) for kind in QUOTE_FAULTS} == {kind: delivery.planted[kind] for kind in QUOTE_FAULTS}
    assert set(found) == {"silence"}


def test_the_files_are_the_same_each_time(tmp_path):
    def bytes_of(delivery: Delivery) -> tuple[bytes, bytes]:
        return delivery.quotes.read_bytes(), delivery.trades.read_bytes()

    one, two = deliver(tmp_path / "one", events=30_000), deliver(tmp_path / "two", events=30_000)
    assert bytes_of(one) == bytes_of(two)
    assert bytes_of(deliver(tmp_path / "three", events=30_000, seed=8)) != bytes_of(one)
