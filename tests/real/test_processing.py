"""Real ticks joined, narrowed, exported and read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cift.data.catalog import Catalog
from cift.data.csv_files import read_csv, write_csv
from cift.data.importers import import_databento, import_lobster, import_taq
from cift.data.narrowing import narrow, widen
from cift.research import features as ft
from tests.data.market import QuickDisk
from tests.data.test_narrowing import same

STOCK = "XXX.XNYS"


@pytest.fixture(scope="module")
def catalog(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Quotes and prints of a stock, orders of another and of a future."""
    catalog = Catalog(tmp_path_factory.mktemp("real") / "catalog", disk=QuickDisk())
    import_taq(catalog, real_data / "taq/sampleQDataRaw.csv.zst", symbol=STOCK, exchange="N")
    import_taq(catalog, real_data / "taq/sampleTDataRaw.csv.zst", symbol=STOCK, exchange="N")
    import_databento(catalog, real_data / "databento/orderbooks_mbo_2024-05-08T00-00-00_2024-05-08T00-00-02.dbn.zst")
    import_databento(catalog, real_data / "databento/futures_mbp-1_2024-07-01T23-58_2024-07-02T00-02.dbn.zst")
    import_lobster(catalog, real_data / "lobster/AAPL_2012-06-21_34200_37800_message_50.csv.zst", symbol="AAPL.XNAS")
    return catalog


def test_each_print_of_a_stock_has_the_quote_before_it(catalog: Catalog) -> None:
    quotes, trades = (
        catalog.sql(f"select * from {name} where symbol = ? order by ts_event, sequence", [STOCK])
        for name in ("quotes", "trades")
    )
    made = ft.join_asof(trades, quotes, suffix="_quote", age=True)
    known = np.searchsorted(quotes["ts_event"].to_physical(), trades["ts_event"].to_physical(), side="left") - 1
    expected = [None if row < 0 else quotes["sequence"][int(row)] for row in known]
    assert made["sequence_quote"].to_list() == expected
    # Prints may lie between two cents.
    sides = made.select(ft.trade_sign("lee-ready", tick="0.0001")).to_series()
    assert sides.null_count() < 10
    assert 0.3 < (sides == 1).mean() < 0.7  # type: ignore[operator]


def test_real_tick_frames_are_half_as_large_or_less(catalog: Catalog) -> None:
    for schema in ("quotes", "trades", "mbo"):
        for symbol in catalog.symbols():
            frame = catalog.sql(f"select * exclude date from {schema} where symbol = ?", [symbol])
            if frame.height:
                small, report = narrow(frame)
                same(widen(small, report), frame)
                print(f"{symbol} {schema}: {report.rows:,} rows, {report.saved:.0%} smaller")
                assert report.saved >= 0.5


def test_a_real_day_is_exported_and_imported_with_its_content(catalog: Catalog, tmp_path: Path) -> None:
    for symbol in catalog.symbols():
        for schema, told in catalog.describe(symbol)["schemas"].items():
            file = tmp_path / f"{symbol}-{schema}.csv.zst"
            report = catalog.export(file, symbol=symbol, schema=schema)
            assert report.content_hash == told["content_hash"]
            copy = Catalog(tmp_path / "copy", disk=QuickDisk())
            instrument = catalog.instruments()[symbol]
            copy.write(schema, symbol, read_csv(file, schema), instrument, policies=dict.fromkeys(("duplicate",), "pass"))
            assert copy.describe(symbol)["schemas"][schema]["content_hash"] == told["content_hash"]


def test_a_file_of_the_vendor_goes_back_into_its_form(catalog: Catalog, tmp_path: Path) -> None:
    (symbol,) = (name for name in catalog.symbols() if name.endswith(".GLBX") and "mbo" in catalog.describe(name)["schemas"])
    schemas = catalog.describe(symbol)["schemas"]
    for schema, told in schemas.items():
        file = tmp_path / f"{schema}.dbn.zst"
        assert catalog.export(file, symbol=symbol, schema=schema).notes == ()
        copy = Catalog(tmp_path / schema, disk=QuickDisk())
        import_databento(copy, file, tick_size=catalog.instruments()[symbol].tick_size)
        assert copy.describe(symbol)["schemas"][schema]["content_hash"] == told["content_hash"]


def test_real_frames_go_through_csv(catalog: Catalog, tmp_path: Path) -> None:
    frame = catalog.sql("select * from quotes where symbol = ?", [STOCK])
    write_csv(frame, tmp_path / "x.csv")
    same(read_csv(tmp_path / "x.csv", frame.schema), frame)
    assert frame.schema["ts_event"] == pl.Datetime("ns", "UTC")
