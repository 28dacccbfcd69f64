"""Tables of vendors: what is known of each sample is what its import finds."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import cift
from cift.data.importers import import_csv, import_lean, import_parquet, import_taq, import_tardis, import_truefx
from cift.domain.schemas import SUSPECT
from cift.errors import NotSupported


def stored(catalog: cift.Catalog, schema: str) -> pl.DataFrame:
    return pl.scan_parquet(Path(catalog.path) / schema).sort("ts_event", "sequence").collect()


def test_taq_quotes_of_new_york_in_regular_hours(real_data: Path, tmp_path: Path) -> None:
    catalog = cift.Catalog(tmp_path)
    report = import_taq(catalog, real_data / "taq/sampleQDataRaw.csv.zst", symbol="XXX.XNYS", exchange="N")
    assert report.rows_read == 131_401
    quotes = stored(catalog, "quotes")
    assert len(quotes) == report.rows_written == 94_420
    assert quotes.filter((pl.col("bid_price") > 0) & (pl.col("ask_price") > 0))["ts_event"].n_unique() == 46_564
    assert (quotes["bid_size"] % 100 == 0).all()


def test_taq_trades_beside_their_quotes(real_data: Path, tmp_path: Path) -> None:
    catalog = cift.Catalog(tmp_path)
    import_taq(catalog, real_data / "taq/sampleQDataRaw.csv.zst", symbol="XXX.XNYS", exchange="N")
    report = import_taq(catalog, real_data / "taq/sampleTDataRaw.csv.zst", symbol="XXX.XNYS", exchange="N")
    assert report.rows_read == 77_263
    raw = pl.read_csv((real_data / "taq/sampleTDataRaw.csv.zst").read_bytes(), infer_schema_length=None)
    time = pl.from_epoch("ts_us", time_unit="us").dt.replace_time_zone("UTC").dt.convert_time_zone("America/New_York").dt.time()
    kept = raw.filter(
        (pl.col("EX") == "N")
        & (pl.col("CORR") == 0)
        & time.is_between(pl.time(9, 30), pl.time(16), closed="left")  # New York's regular hours
    )
    trades = stored(catalog, "trades")
    assert trades["price"].to_list() == kept["PRICE"].to_list()
    assert trades["size"].to_list() == kept["SIZE"].to_list()

    class Follow(cift.Strategy):
        def on_trade(self, trade: Any) -> None:
            if not self.open_orders:
                self.target(100 if self.position <= 0 else -100)

    result = cift.Backtest(catalog.ticks("XXX.XNYS", "2018-01-02"), Follow).run(progress=False)
    assert len(result.fills) > 100


def test_lean_ticks_pass_locked_and_crossed_with_a_flag(real_data: Path, tmp_path: Path) -> None:
    catalog = cift.Catalog(tmp_path)
    report = import_lean(catalog, real_data / "fx/fxcm_eurusd_tick_20140507.zip", symbol="EURUSD.FXCM")
    assert report.rows_read == report.rows_written == 89_504
    quotes = stored(catalog, "quotes")
    touching = (pl.col("bid_price") >= pl.col("ask_price")).alias("touching")
    assert quotes.select(touching)["touching"].sum() == report.counts["locked_quote"] + report.counts["crossed_quote"]
    assert quotes.select((touching == ((pl.col("flags") & SUSPECT) > 0)).all()).item()
    assert str(quotes["ts_event"][0]) == "2014-05-07 00:00:01.014000+00:00"


@pytest.mark.parametrize(("period", "count"), [("second", 24_050), ("minute", 1_428)])
def test_bars_of_lean_ticks_are_those_of_another_engine(real_data: Path, tmp_path: Path, period: str, count: int) -> None:
    catalog = cift.Catalog(tmp_path)
    import_lean(catalog, real_data / "fx/fxcm_eurusd_tick_20140507.zip", symbol="EURUSD.FXCM")
    sides = [
        getattr(pl.col(f"{side}_price"), figure)().alias(f"{side}_{figure}")
        for side in ("bid", "ask")
        for figure in ("first", "max", "min", "last")
    ]
    start = pl.col("ts_event").dt.truncate(f"1{period[0]}")
    built = stored(catalog, "quotes").group_by(start, maintain_order=True).agg(sides)
    with zipfile.ZipFile(real_data / f"fx/fxcm_eurusd_{period}_20140507.zip") as archive:
        told = pl.read_csv(archive.read(archive.namelist()[0]), has_header=False)
    ms = ((built["ts_event"] - built["ts_event"].dt.truncate("1d")).dt.total_milliseconds()).to_list()
    assert len(told) == count
    assert ms == told[told.columns[0]].to_list()
    prices = [name for name in told.columns[1:] if told[name].dtype == pl.Float64]
    assert built.drop("ts_event").rows() == told.select(prices).rows()


LEAN_BARS = ["ms", *(f"{side}_{name}" for side in ("bid", "ask") for name in ("open", "high", "low", "close", "size"))]


@pytest.mark.parametrize("side", ["bid", "ask"])
@pytest.mark.parametrize(("period", "spec", "count"), [("second", "1s", 24_050), ("minute", "1m", 1_428)])
def test_bars_of_another_engine_in_the_catalog_are_ours(
    real_data: Path, tmp_path: Path, period: str, spec: str, count: int, side: str
) -> None:
    catalog = cift.Catalog(tmp_path)
    import_lean(catalog, real_data / "fx/fxcm_eurusd_tick_20140507.zip", symbol="EURUSD.FXCM")
    names = ("open", "high", "low", "close")
    report = import_csv(
        catalog,
        real_data / f"fx/fxcm_eurusd_{period}_20140507.zip",
        schema="bars",
        spec=spec,
        stamp="open",
        symbol="EURUSD.FXCM",
        names=LEAN_BARS,
        columns={"ts_open": "ms", "volume": f"{side}_size"} | {name: f"{side}_{name}" for name in names},
        time_unit="ms",
        date="2014-05-07",
    )
    assert report.rows_written == count
    theirs, ours = catalog.bars("EURUSD.FXCM", spec), catalog.ticks("EURUSD.FXCM").bars(spec, on=side)
    columns = ["ts_open", "ts_event", *names, "volume"]
    assert theirs.select(columns).equals(ours.select(columns))


def test_a_file_of_bars_says_how_it_is_imported(real_data: Path, tmp_path: Path) -> None:
    with pytest.raises(NotSupported, match="holds bars of bid and ask; import one side with import_csv"):
        import_lean(cift.Catalog(tmp_path), real_data / "fx/fxcm_eurusd_minute_20140507.zip", symbol="EURUSD.FXCM")


def test_truefx(real_data: Path, tmp_path: Path) -> None:
    catalog = cift.Catalog(tmp_path)
    report = import_truefx(catalog, real_data / "other/truefx_usdjpy_ticks.csv", symbol="USDJPY.TRUEFX")
    assert report.rows_written == 1_000
    assert stored(catalog, "quotes").select("bid_price", "ask_price").row(-1) == (86.836, 86.854)


@pytest.mark.parametrize(
    ("name", "schema", "symbol"),
    [
        ("bitmex_trades_XBTUSD.csv", "trades", "XBTUSD.BITMEX"),
        ("huobi-dm-swap_quotes_BTC-USD.csv", "quotes", "BTC-USD.HUOBI-DM-SWAP"),
    ],
)
def test_tardis(real_data: Path, tmp_path: Path, name: str, schema: str, symbol: str) -> None:
    catalog = cift.Catalog(tmp_path)
    report = import_tardis(catalog, real_data / "tardis" / name)
    assert (report.symbol, report.rows_written) == (symbol, 10)
    raw = pl.read_csv(real_data / "tardis" / name)
    assert (stored(catalog, schema)["ts_recv"].to_physical() // 1_000).to_list() == raw["local_timestamp"].to_list()


def test_parquet_with_a_column_map(real_data: Path, tmp_path: Path) -> None:
    catalog = cift.Catalog(tmp_path)
    for name, schema, columns in (
        ("binance_btcusdt_quotes.parquet", "quotes", {"bid_price": "bid", "ask_price": "ask"}),
        ("binance_btcusdt_trades.parquet", "trades", {"size": "quantity"}),
    ):
        path = real_data / "other" / name
        given = {"schema": schema, "symbol": "BTCUSDT.BINANCE", "columns": columns}
        report = import_parquet(catalog, path, **given, tick_size="0.01", lot_size="0.000001")
        raw = pl.read_parquet(path)
        assert report.rows_written == len(raw)
        frame = stored(catalog, schema)
        for ours, theirs in columns.items():
            assert frame[ours].to_list() == raw[theirs].cast(pl.Float64).to_list()
        # The same rows as CSV are the same records.
        raw.write_csv(tmp_path / "x.csv")
        other = cift.Catalog(tmp_path / f"csv-{schema}")
        import_csv(other, tmp_path / "x.csv", **given, tick_size="0.01", lot_size="0.000001")
        assert stored(other, schema).drop("symbol").equals(frame.drop("symbol"))
