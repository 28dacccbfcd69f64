"""Tardis' books: changes of levels and pictures of the best ones."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cift.data.catalog import Catalog
from cift.data.importers import import_tardis, table_files
from cift.domain.schemas import LAST, OUT_OF_SIGHT, SNAPSHOT, SUSPECT
from cift.errors import DataError, NoData, NotSupported, TimeOrder
from tests.data.depth import apply, books, stored
from tests.data.market import MONDAY_NS

CHANGES = "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount\n"
MONDAY_US = MONDAY_NS // 1_000


def change(
    us: int, side: str, price: float, amount: float, *, snapshot: bool = False, late: int = 7, symbol: str = "XBT"
) -> str:
    told = "true" if snapshot else "false"
    return f"sim,{symbol},{MONDAY_US + us},{MONDAY_US + us + late},{told},{side},{price},{amount}\n"


def imported(folder: Path, text: str, **options: Any) -> Any:
    path = folder / "x.csv"
    path.write_text(text)
    catalog = Catalog(folder / "catalog")
    return catalog, import_tardis(catalog, path, **options)


def test_a_snapshot_clears_and_rows_of_one_message_are_an_event(tmp_path):
    catalog, report = imported(
        tmp_path,
        CHANGES
        + change(0, "bid", 9, 1)
        + change(1, "bid", 10, 1, snapshot=True)
        + change(1, "ask", 11, 2, snapshot=True)
        + change(2, "ask", 12, 3, snapshot=True)
        + change(3, "bid", 10, 0)
        + change(3, "bid", 9.5, 4)
        + change(3, "bid", 9.5, 5, late=8)
        + change(4, "bid", 1, 1, snapshot=True),
    )
    assert report.symbol == "XBT.SIM"
    assert (report.counts["snapshots"], report.counts["before_snapshot"], report.rows_read) == (2, 1, 8)
    assert [(flags, bids, asks) for _, flags, bids, asks in books(stored(catalog))] == [
        (LAST | SNAPSHOT, {10: 1}, {11: 2}),
        (LAST | SNAPSHOT, {10: 1}, {11: 2, 12: 3}),
        (LAST, {9.5: 4}, {11: 2, 12: 3}),
        (LAST, {9.5: 5}, {11: 2, 12: 3}),
        (LAST | SNAPSHOT, {1: 1}, {}),
    ]
    levels = stored(catalog)
    assert (levels["ts_event"].to_physical() - MONDAY_NS).to_list() == [1_000] * 3 + [2_000] + [3_000] * 3 + [4_000] * 2
    assert ((levels["ts_recv"] - levels["ts_event"]).dt.total_nanoseconds()).to_list() == [7_000] * 6 + [8_000] + [7_000] * 2


def test_blocks_of_every_size_give_the_same(tmp_path, monkeypatch):
    rng, text, ts = random.Random(5), [], 0
    book: tuple[dict, dict] = ({}, {})
    expected, key = [], None
    for _ in range(600):
        snapshot = rng.random() < (0.8 if key and key[1] else 0.05)
        ts += rng.random() < 0.4
        side, price, size = rng.randrange(2), float(rng.randrange(1, 9)), float(rng.randrange(3))
        if snapshot and not (key and key[1]):
            book = ({}, {})
        apply(book, side, price, size)
        if key == (ts, snapshot):
            expected.pop()
        key = (ts, snapshot)
        expected.append((snapshot, dict(book[0]), dict(book[1])))
        text.append(change(ts, ("bid", "ask")[side], price, size, snapshot=snapshot))
    start = next(at for at, one in enumerate(expected) if one[0])
    before = None
    for size in (300, 1_000, 1 << 22):
        monkeypatch.setattr(table_files, "BYTES_PER_BLOCK", size)
        folder = tmp_path / str(size)
        folder.mkdir()
        catalog, report = imported(folder, CHANGES + "".join(text))
        levels = stored(catalog)
        assert [(bool(flags & SNAPSHOT), bids, asks) for _, flags, bids, asks in books(levels)] == expected[start:]
        assert before is None or levels.equals(before)
        before = levels
        assert report.rows_read == 600


def test_without_a_snapshot_all_rows_are_suspect(tmp_path):
    catalog, report = imported(tmp_path, CHANGES + change(1, "bid", 10, 1) + change(2, "bid", 10, 2))
    assert stored(catalog)["flags"].to_list() == [LAST | SUSPECT] * 2
    assert any("no snapshot" in note for note in report.notes)


def test_times_that_go_back_wait_for_the_row_above(tmp_path):
    rows = change(0, "bid", 10, 1, snapshot=True) + change(9, "bid", 10, 2) + change(5, "bid", 10, 3)
    catalog, report = imported(tmp_path, CHANGES + rows)
    assert (stored(catalog)["ts_event"].to_physical() - MONDAY_NS).to_list() == [0, 0, 9_000, 9_000]
    assert report.counts["time_went_back"] == 1
    with pytest.raises(TimeOrder, match=r"x\.csv, row 5: ts_event goes back"):
        imported(tmp_path, CHANGES + rows + change(-61_000_000, "bid", 10, 4))


def picture(us: int, bids: list, asks: list, *, levels: int = 3, symbol: str = "XBT") -> str:
    cells = []
    for at in range(levels):
        for side in (asks, bids):
            cells += [str(cell) for cell in side[at]] if at < len(side) else ["", ""]
    return f"sim,{symbol},{MONDAY_US + us},{MONDAY_US + us + 7},{','.join(cells)}\n"


def shown(levels: int = 3) -> str:
    names = [f"{side}[{at}].{what}" for at in range(levels) for side in ("asks", "bids") for what in ("price", "amount")]
    return f"exchange,symbol,timestamp,local_timestamp,{','.join(names)}\n"


PICTURES = (
    shown()
    + picture(0, [(10, 1), (9, 2), (8, 3)], [(11, 1)])
    + picture(1, [(10, 1), (9, 2), (8, 3)], [(11, 1)])
    + picture(2, [(10.5, 1), (10, 1), (9, 4)], [(11, 1), (12, 2)])
    + picture(3, [(10, 1), (9, 4), (8, 3)], [])
)


def test_pictures_become_what_changed(tmp_path):
    catalog, report = imported(tmp_path, PICTURES)
    assert [(bids, asks) for *_, bids, asks in books(stored(catalog))] == [
        ({10: 1, 9: 2, 8: 3}, {11: 1}),
        ({10.5: 1, 10: 1, 9: 4}, {11: 1, 12: 2}),
        ({10: 1, 9: 4, 8: 3}, {}),
    ]
    assert report.counts["unchanged_books"] == 1
    assert (stored(catalog)["flags"] & SNAPSHOT > 0).to_list() == [True] * 5 + [False] * 8


def test_of_a_thin_book_nothing_is_out_of_sight(tmp_path):
    """The header tells how many levels there may be: three bids; two of them are all that stand."""
    pictures = (
        picture(0, [(10, 1), (9, 2)], []),
        picture(1, [(11, 1), (10, 1)], []),
        picture(2, [(12, 1), (11, 1), (10, 1)], []),
    )
    catalog, _ = imported(tmp_path, shown() + "".join(pictures))
    assert (stored(catalog)["flags"] & OUT_OF_SIGHT).sum() == 0
    pushed = picture(3, [(13, 1), (12, 1), (11, 1)], [])
    catalog, _ = imported(tmp_path, shown() + "".join((*pictures, pushed)))
    assert stored(catalog).filter(pl.col("flags") & OUT_OF_SIGHT > 0)["price"].to_list() == [10]


def test_one_symbol_of_several_is_asked_for(tmp_path):
    changes = CHANGES + change(0, "bid", 10, 1, snapshot=True) + change(0, "bid", 5, 1, snapshot=True, symbol="ETH")
    for text, row in ((changes, 3), (PICTURES + picture(4, [(1, 1)], [], symbol="ETH"), 6)):
        with pytest.raises(DataError, match=rf"x\.csv, row {row}: ETH after XBT; pick one by symbol="):
            imported(tmp_path, text)
        catalog, report = imported(tmp_path, text, symbol="ETH.SIM")
        assert catalog.symbols() == ["ETH.SIM"]
        assert report.counts["other_symbols"] == row - 2
        catalog.delete("ETH.SIM")
        with pytest.raises(NoData, match="no rows of XRP"):
            imported(tmp_path, text, symbol="XRP.SIM")


GOOD = CHANGES + change(0, "bid", 10, 1, snapshot=True)


@pytest.mark.parametrize(
    ("text", "kind", "told"),
    [
        (GOOD + change(1, "buy", 10, 1), DataError, "x.csv, row 3: side 'buy' is not bid or ask"),
        (GOOD + change(1, "", 10, 1), DataError, "x.csv, row 3: "),
        (GOOD + change(1, "bid", -10, 1), DataError, "x.csv, row 3: price is negative"),
        (GOOD + change(1, "bid", 10, -1), DataError, "x.csv, row 3: size is negative"),
        (GOOD + change(1, "bid", float("nan"), 1), DataError, "x.csv, row 3: price is not a number"),
        (GOOD + change(1, "bid", 10, float("inf")), DataError, "x.csv, row 3: size is infinite"),
        (GOOD + change(1, "bid", 10, 1).replace("false", "no"), DataError, "x.csv: "),
        (GOOD + change(1, "bid", 10, 1).replace("false", ""), DataError, "x.csv, row 3: no is_snapshot"),
        (GOOD + change(10**17, "bid", 10, 1), DataError, "x.csv, row 3: timestamp .* is out of range"),
        (GOOD + change(1, "bid", 10, 1).replace(str(MONDAY_US + 8), ""), DataError, "x.csv, row 3: no local_timestamp"),
        (GOOD + "sim,XBT\n", DataError, "x.csv: "),
        (CHANGES, NoData, "holds no rows"),
        (shown() + picture(0, [(10, -1)], []), DataError, "x.csv, row 2: size is negative"),
        (shown() + picture(0, [("x", 1)], []), DataError, "x.csv: "),
        (GOOD.replace("is_snapshot", "was_snapshot"), NotSupported, "incremental_book_L2 and book_snapshot_N are supported"),
        (PICTURES.replace("bids[1].amount", "bids[7].amount"), NotSupported, "are supported"),
    ],
)
def test_what_cannot_be_used_is_told(tmp_path, text, kind, told):
    with pytest.raises(kind, match=told):
        imported(tmp_path, text)
    assert Catalog(tmp_path / "catalog").symbols() == []


def test_an_empty_size_is_no_number(tmp_path):
    with pytest.raises(DataError, match=r"x\.csv, row 2: size is not a number"):
        imported(tmp_path, shown() + picture(0, [(10, "")], []))
