"""Two who write bars of one day at once: the slower is told, and no bar is lost, whoever imports what."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from unittest import mock

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from cift.data.catalog import Catalog
from cift.data.importers import import_binance, import_csv, import_databento
from cift.domain.instrument import Instrument
from cift.errors import CatalogError
from tests.data.dbn import header, ohlcv, write
from tests.data.market import DAY_NS, HOUR_NS, MONDAY_NS, QuickDisk

SYMBOL = "ESH6.GLBX"
GRID = Instrument(SYMBOL, tick_size="0.25", lot_size=1)
PRICES = (100.5, 101, 100, 100.25)
HOURS = [MONDAY_NS + n * HOUR_NS for n in range(48)]


def frame(opened: list[int]) -> pl.DataFrame:
    times = pl.Series(opened, dtype=pl.Int64)
    return pl.DataFrame(
        {
            "ts_open": times.cast(pl.Datetime("ns", "UTC")),
            "ts_event": (times + HOUR_NS).cast(pl.Datetime("ns", "UTC")),
            **{
                name: [float(price)] * len(opened) for name, price in zip(("open", "high", "low", "close"), PRICES, strict=True)
            },
            "volume": [5.0] * len(opened),
        }
    )


def from_rows(catalog: Catalog, folder: Path, opened: list[int]) -> None:
    catalog.write("bars", SYMBOL, frame(opened), GRID, spec="1h")


def from_csv(catalog: Catalog, folder: Path, opened: list[int]) -> None:
    lines = [f"{ts_ns},{','.join(map(str, PRICES))},5" for ts_ns in opened]
    (folder / "x.csv").write_text("\n".join(["time,open,high,low,close,volume", *lines]))
    import_csv(catalog, folder / "x.csv", schema="bars", spec="1h", symbol=SYMBOL, tick_size="0.25", lot_size=1)


def from_klines(catalog: Catalog, folder: Path, opened: list[int]) -> None:
    prices = ",".join(map(str, PRICES))
    lines = [f"{ts_ns // 10**6},{prices},5,{(ts_ns + HOUR_NS) // 10**6 - 1},502.5,4,1,10,0" for ts_ns in opened]
    (folder / "k.csv").write_text("\n".join(lines))
    import_binance(catalog, folder / "k.csv", symbol=SYMBOL, tick_size="0.25", lot_size=1)


def from_dbn(catalog: Catalog, folder: Path, opened: list[int]) -> None:
    path = write(folder / "x.dbn", header("ohlcv-1h"), *(ohlcv(ts_ns, PRICES, 5, 0x22) for ts_ns in opened))
    import_databento(catalog, path, tick_size="0.25")


WRITERS: list[Callable[[Catalog, Path, list[int]], None]] = [from_rows, from_csv, from_klines, from_dbn]
MINE, THEIRS = HOURS[10:16], HOURS[2:5]
CASES = {
    "a day that is there": (HOURS[6:8], MINE, THEIRS),
    "a day that nobody wrote yet": ([], MINE, THEIRS),
    "the day in which the bars end": (HOURS[30:32], HOURS[20:28], HOURS[40:44]),
    "the midnight": ([], HOURS[20:24], HOURS[24:30]),
}


@pytest.mark.parametrize("write_bars", WRITERS)
@pytest.mark.parametrize(("before", "mine", "theirs"), CASES.values(), ids=CASES)
def test_the_slower_of_two_writers_is_told_and_no_bar_is_lost(tmp_path, write_bars, before, mine, theirs):
    catalog, other = (Catalog(tmp_path / "catalog", disk=QuickDisk()) for _ in range(2))
    if before:
        from_rows(catalog, tmp_path, before)
    commit = Catalog.commit
    raced = []

    def slow(self, *given, **named):
        if self is catalog and not raced:
            # All is read and staged; now the other is faster.
            raced.append(from_rows(other, tmp_path, theirs))
        return commit(self, *given, **named)

    with (
        mock.patch.object(Catalog, "commit", slow),
        pytest.raises(CatalogError, match=r"on 2026-01-0\d was written by another"),
    ):
        write_bars(catalog, tmp_path, mine)
    assert raced
    columns = ["ts_open", "ts_event", "open", "high", "low", "close", "volume"]
    assert_frame_equal(catalog.bars(SYMBOL, "1h").select(columns), frame(sorted([*before, *theirs])))
    write_bars(catalog, tmp_path, mine)
    assert_frame_equal(catalog.bars(SYMBOL, "1h").select(columns), frame(sorted([*before, *theirs, *mine])))


def test_days_between_the_first_and_the_last_are_replaced_whoever_wrote_them(tmp_path):
    catalog, other = (Catalog(tmp_path / "catalog", disk=QuickDisk()) for _ in range(2))
    hours = [MONDAY_NS + n * HOUR_NS for n in range(70)]

    def slow():
        yield frame(hours[:20])
        from_rows(other, tmp_path, [MONDAY_NS + DAY_NS + 5 * HOUR_NS])
        yield frame(hours[20:])

    catalog.write("bars", SYMBOL, slow(), GRID, spec="1h")
    assert catalog.bars(SYMBOL, "1h")["ts_open"].to_physical().to_list() == hours


def test_what_goes_in_before_and_behind_is_of_one_writing(tmp_path):
    catalog, other = (Catalog(tmp_path / "catalog", disk=QuickDisk()) for _ in range(2))
    from_rows(catalog, tmp_path, [HOURS[2], HOURS[20]])

    def slow():
        yield frame(HOURS[10:11])
        other.delete(SYMBOL)
        from_rows(other, tmp_path, [HOURS[20], HOURS[21]])
        yield frame(HOURS[11:12])

    with pytest.raises(CatalogError):
        catalog.write("bars", SYMBOL, slow(), GRID, spec="1h")
    assert catalog.bars(SYMBOL, "1h")["ts_open"].to_physical().to_list() == HOURS[20:22]
