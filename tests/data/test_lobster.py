from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cift.data.catalog import Catalog
from cift.data.importers import Phantom, import_lobster
from cift.errors import CiftError, CorruptData, DataError, InvalidParameter, NoData, OffTickPrice, TimeOrder, UnknownName
from tests.data.market import QuickDisk

NAME = "ABC_2024-03-11_34200_57600_message_2.csv"
SYMBOL = "ABC.XNAS"

MESSAGES = """\
34200.000000001,1,11,100,1000100,1
34200.5,1,12,50,1000100,1
34200.500000002,4,11,40,1000100,1
34200.500000002,2,12,20,1000100,1
34201,5,0,7,1000150,-1
34202.1,3,11,60,1000100,1
34203,4,77,30,1000000,1
34204,3,78,10,1000300,-1
"""
BOOK = "1000200,10,1000100,100,1000300,20,1000000,40\n1000200,10,1000100,150,1000300,20,1000000,40\n"


def imported(folder: Path, messages: str = MESSAGES, book: str | None = BOOK, **options):
    path = folder / NAME
    path.write_text(messages)
    book_path = None
    if book is not None:
        book_path = folder / NAME.replace("message", "orderbook")
        book_path.write_text(book)
    catalog = Catalog(folder / "catalog")
    report = import_lobster(catalog, path, book_path, symbol=SYMBOL, **options)
    return catalog, report


def story(catalog: Catalog) -> list[str]:
    """Each record as `row: action side size@price #id flags`."""
    frame = pl.scan_parquet(catalog.path / "mbo").sort("sequence").collect()
    lines = []
    for record in frame.iter_rows(named=True):
        number = record["order_id"]
        name = f"s{number - 2**63}" if number >= 2**63 else str(number)
        price = "" if record["price"] is None else f"{record['size']:g}@{record['price']:g} "
        flags = "".join(letter for bit, letter in ((128, "L"), (32, "S"), (2, "g")) if record["flags"] & bit)
        lines.append(f"{record['venue_seq']}: {record['action']} {record['side']} {price}#{name} {flags}".rstrip())
    return lines


def test_messages_become_records(tmp_path):
    catalog, report = imported(tmp_path)
    assert story(catalog) == [
        "0: clear none #0 S",
        "0: add bid 40@100 #s0 S",
        "0: add ask 10@100.02 #s1 S",
        "0: add ask 20@100.03 #s2 SL".replace("SL", "LS"),
        "1: add bid 100@100.01 #11 L",
        "2: add bid 50@100.01 #12 L",
        "3: trade ask 40@100.01 #0",
        "3: fill bid 40@100.01 #11",
        "3: cancel bid 40@100.01 #11 L",
        "4: cancel bid 20@100.01 #12 L",
        "5: trade bid 7@100.015 #0 Lg",
        "6: cancel bid 60@100.01 #11 L",
        "7: trade ask 30@100 #0",
        "7: fill bid 30@100 #s0",
        "7: cancel bid 30@100 #s0 L",
        "8: cancel ask 10@100.03 #s2 L",
    ]
    assert report.rows_read == 8
    assert report.rows_written == 16
    assert report.counts["unknown_order"] == 2
    assert report.counts["off_grid_prints"] == 1
    assert "8 rows read" in repr(report)
    assert "<td>unknown_order</td>" in report._repr_html_()


def test_prints_off_the_increment_of_their_price_are_counted(tmp_path):
    steps = [("0.01", 1), ({0: "0.01", 50: "0.05"}, 2), ({0: "0.01", 500: "0.05"}, 1), ({"2100-01-01": "0.05"}, 1)]
    # The orders at 100.01 and 100.02 would be off a step of 0.05: only trades are in this file.
    messages = "34201,5,0,7,1000150,-1\n34202,5,0,7,1000100,-1\n34203,5,0,7,1000500,-1\n"
    for number, (increment, off) in enumerate(steps):
        folder = tmp_path / str(number)
        folder.mkdir()
        _, report = imported(folder, messages, None, price_increment=increment)
        assert report.counts["off_increment_prints"] == off


def test_times_are_exact_and_in_utc(tmp_path):
    # 11 March 2024 is the first Monday of daylight saving time: New York is four hours behind.
    catalog, _ = imported(tmp_path)
    frame = pl.scan_parquet(catalog.path / "mbo").sort("sequence").collect()
    first = frame["ts_event"].to_physical()[0]
    assert first == 1_710_163_800_000_000_001
    assert (frame["ts_event"].to_physical() - first).unique(maintain_order=True).to_list()[:3] == [0, 499_999_999, 500_000_001]


def test_digits_beyond_the_nanosecond_are_rounded(tmp_path):
    messages = "34200.1234567891,1,1,1,100,1\n34200.123456789500,1,2,1,100,1\n34200.999999999999,1,3,1,100,1\n"
    catalog, report = imported(tmp_path, messages, None)
    frame = pl.scan_parquet(catalog.path / "mbo").sort("sequence").collect()
    ns = [value % 10**9 for value in frame["ts_event"].to_physical()]
    assert ns == [123_456_789, 123_456_789, 123_456_790, 0]
    assert report.counts["rounded_times"] == 3


def test_an_order_that_the_first_row_shows_may_go_with_the_first_message(tmp_path):
    catalog, _ = imported(tmp_path, "34200,3,5,30,1000100,1\n", "1000200,10,1000000,40\n")
    assert story(catalog)[1:] == [
        "0: add bid 30@100.01 #s0 S",
        "0: add bid 40@100 #s1 S",
        "0: add ask 10@100.02 #s2 LS",
        "1: cancel bid 30@100.01 #s0 L",
    ]


def test_halts_crosses_duplicates_and_empty_sizes(tmp_path):
    messages = (
        "34200,1,1,100,1000100,1\n34201,7,0,0,-1,-1\n34202,6,-1,500,1000100,-1\n34203,1,1,5,1000100,1\n"
        "34204,1,2,0,1000100,1\n34205,2,1,500,1000100,1\n34206,3,99,5,990000,1\n34207,4,98,5,990000,1\n"
    )
    catalog, report = imported(tmp_path, messages, None)
    assert story(catalog) == [
        "0: clear none #0 LS",
        "1: add bid 100@100.01 #1 L",
        "3: trade none 500@100.01 #0 L",
        "6: cancel bid 100@100.01 #1 L",
        "8: trade ask 5@99 #0 L",
    ]
    assert {row.row: row.reason for row in report.quarantine} == {
        2: "halt",
        4: "duplicate",
        5: "zero_size",
        7: "unknown_level",
        8: "unknown_level",
    }
    assert report.counts["quarantined"] == 5
    assert report.counts["more_than_rests"] == 1
    assert report.quarantined["text"][0] == "34201,7,0,0,-1,-1"


def test_a_named_phantom_goes_with_the_message_it_is_named_at(tmp_path):
    catalog, report = imported(tmp_path, phantoms=[Phantom(8, "bid", "100.01", 10), (8, "bid", 100, 10)])
    assert [line for line in story(catalog) if line.startswith("8:")] == [
        "8: cancel bid 10@100.01 #12 S",
        "8: cancel bid 10@100 #s0 S",
        "8: cancel ask 10@100.03 #s2 L",
    ]
    assert report.counts["phantom_cancels"] == 2
    for phantom in ((8, "bid", "100.01", 500), (9, "bid", "100.01", 1), (8, "both", "1", 1), (8, "bid", "0.00001", 1)):
        with pytest.raises(InvalidParameter, match="phantom"):
            imported(tmp_path, phantoms=[phantom])


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [(".gz", gzip.compress), (".xz", lzma.compress), (".zst", lambda data: pa.compress(data, "zstd", asbytes=True))],
)
def test_compressed_files_are_read_and_damaged_ones_refused(tmp_path, suffix, pack):
    path = tmp_path / (NAME + suffix)
    path.write_bytes(pack(MESSAGES.encode()))
    catalog = Catalog(tmp_path / "catalog")
    assert import_lobster(catalog, path, symbol=SYMBOL).rows_read == 8
    before = catalog.ticks(SYMBOL).feeds[0].content_hash
    path.write_bytes(pack(MESSAGES.encode() * 100)[:-20])
    with pytest.raises((CorruptData, TimeOrder), match=r"row"):
        import_lobster(catalog, path, symbol=SYMBOL)
    assert catalog.ticks(SYMBOL).feeds[0].content_hash == before


GOOD = "34200,1,1,100,1000100,1\n"


@pytest.mark.parametrize(
    ("messages", "error", "message"),
    [
        ("", NoData, "no messages"),
        ("time,type,id,size,price,direction\n", DataError, "row 1: 'time,type"),
        (GOOD + "34199,1,2,100,1000100,1\n", TimeOrder, "row 2: time 34199"),
        (GOOD + "34200,1,2,100,1000150,1\n", OffTickPrice, "row 2: price 100.015 of an order"),
        (GOOD + "34200,1,2,-100,1000100,1\n", DataError, "row 2: size -100"),
        (GOOD + "34200,1,2,100,0,1\n", DataError, "row 2: price 0"),
        (GOOD + "34200,1,2,100,-5,1\n", DataError, "row 2: price -5"),
        (GOOD + "34200,1,-2,100,1000100,1\n", DataError, "row 2: order id -2"),
        (GOOD + "34200,1,2,100,1000100,0\n", DataError, "row 2: direction 0"),
        (GOOD + "34200,8,2,100,1000100,1\n", DataError, "row 2: '34200,8"),
        (GOOD + "86400,1,2,100,1000100,1\n", DataError, "row 2: time 86400 is past midnight"),
        (GOOD + "34200,1,2,1e3,1000100,1\n", DataError, "row 2: '34200,1,2,1e3"),
        (GOOD + "34200,2,1,10,1000200,1\n", DataError, "row 2: order 1 rests at 1000100"),
        (GOOD + "\x00\xff\n", DataError, "row 2"),
        (GOOD + "1" * 2_000_000, DataError, "row 2"),
        (GOOD + "\n" + GOOD, DataError, "row 2: ''"),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_stored(tmp_path, messages, error, message):
    with pytest.raises(error, match=message) as caught:
        imported(tmp_path, messages, None)
    assert NAME in str(caught.value)
    assert Catalog(tmp_path / "catalog").symbols() == []


@pytest.mark.parametrize(
    ("book", "message"),
    [
        ("1,2,3\n", "3 columns"),
        ("a,b,c,d\n", "is not a row of whole numbers"),
        ("1000200,10,1000200,5\n", "not above"),
        ("1000200,-1,1000100,5\n", "must be positive"),
        ("1000200,1,1000100,100,1000100,1,1000000,5\n", "best price outwards"),
        ("1000200,10,1000100,10\n", "wrong order book file"),
        ("", "0, ''|not a row"),
    ],
)
def test_a_bad_order_book_file_is_refused(tmp_path, book, message):
    with pytest.raises(DataError, match=message):
        imported(tmp_path, MESSAGES, book)


def test_the_day_comes_from_the_name_or_is_stated(tmp_path):
    path = tmp_path / "messages.csv"
    path.write_text(MESSAGES)
    catalog = Catalog(tmp_path / "catalog")
    with pytest.raises(InvalidParameter, match="pass date="):
        import_lobster(catalog, path, symbol=SYMBOL)
    with pytest.raises(InvalidParameter, match="2024-99-99"):
        import_lobster(catalog, path, symbol=SYMBOL, date="2024-99-99")
    import_lobster(catalog, path, symbol=SYMBOL, date="2024-03-08")
    assert str(catalog.ls()["first"][0]).startswith("2024-03-08 14:30:00")
    with pytest.raises(DataError, match="does not exist"):
        import_lobster(catalog, tmp_path / "nothing_2024-03-08.csv", symbol=SYMBOL)


line = st.sampled_from(MESSAGES.splitlines())
noise = st.text(alphabet="0123456789,.-e\n\r\x00 aN", max_size=12)


@st.composite
def mutated_lines(draw: st.DrawFn) -> bytes:
    """Messages with pieces cut out, put in, or swapped."""
    text = "\n".join(draw(st.lists(line, max_size=6))) + "\n"
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(noise) + text[at + draw(st.integers(0, 5)) :]
    return text.encode()


@given(
    data=st.one_of(st.binary(max_size=200), mutated_lines()), book=st.one_of(st.none(), st.binary(max_size=60), mutated_lines())
)
def test_no_bytes_upset_the_importer(tmp_path_factory, data, book):
    folder = tmp_path_factory.mktemp("fuzz")
    path, book_path = folder / NAME, folder / "book.csv"
    path.write_bytes(data)
    if book is not None:
        book_path.write_bytes(book)
    catalog = Catalog(folder / "catalog", disk=QuickDisk())
    try:
        report = import_lobster(catalog, path, None if book is None else book_path, symbol=SYMBOL)
    except CiftError:
        assert not list((folder / "catalog").glob("mbo/**/*.parquet"))
        assert catalog.instruments() == {}
        assert catalog.symbols() == []
    else:
        assert catalog.ls()["rows"].sum() == report.rows_written


def test_a_misspelt_calendar_is_refused_before_the_file_is_read(tmp_path):
    catalog = Catalog(tmp_path / "catalog")
    with pytest.raises(UnknownName, match="did you mean 'XNYS'"):
        import_lobster(catalog, tmp_path / NAME, symbol=SYMBOL, calendar="XNSY")
    assert not (catalog.path / "mbo").exists()
