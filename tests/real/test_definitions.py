"""The vendor's own definitions, against what the exchange says of these contracts."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from cift.data.catalog import Catalog
from cift.data.importers import import_definitions
from cift.errors import NoData


@pytest.mark.parametrize(
    ("file", "symbol", "tick", "multiplier", "expiry"),
    [
        ("databento/futures_definition.dbn.zst", "ESU4.GLBX", "0.25", 50, "2024-09-20T13:30Z"),
        ("databento/futures_definition.dbn.zst", "NQU4.GLBX", "0.25", 20, "2024-09-20T13:30Z"),
        ("databento/orderbooks_definition.dbn.zst", "ESM4.GLBX", "0.25", 50, "2024-06-21T13:30Z"),
        ("databento/fixtures/test_data.definition.futures_contract.dbn.zst", "ESU6.GLBX", "0.25", 50, "2026-09-18T13:30Z"),
    ],
)
def test_a_future_of_the_exchange_is_what_the_exchange_says(
    real_data: Path, tmp_path: Path, file: str, symbol: str, tick: str, multiplier: int, expiry: str
) -> None:
    catalog = Catalog(tmp_path)
    report = import_definitions(catalog, real_data / file, symbol=symbol)
    found = catalog.instruments()[symbol]
    assert report.notes == ()
    assert (found.tick_size, found.multiplier, found.currency, found.calendar) == (Decimal(tick), multiplier, "USD", "CMES")
    assert found.to_dict()["expiry"] == expiry


@pytest.mark.parametrize("kind", ["equity", "option"])
def test_what_the_vendor_gives_no_tick_of_is_not_made_up(real_data: Path, tmp_path: Path, kind: str) -> None:
    with pytest.raises(NoData, match="nothing with a tick"):
        import_definitions(Catalog(tmp_path), real_data / f"databento/fixtures/test_data.definition.{kind}.dbn.zst")


@pytest.mark.parametrize(("kind", "written"), [("futures_spread", 1), ("option_spread", 1)])
def test_spreads_have_the_rules_that_are_told(real_data: Path, tmp_path: Path, kind: str, written: int) -> None:
    report = import_definitions(Catalog(tmp_path), real_data / f"databento/fixtures/test_data.definition.{kind}.dbn.zst")
    assert report.rows_written == written
