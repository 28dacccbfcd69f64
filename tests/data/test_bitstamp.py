from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cift.data.catalog import Catalog
from cift.data.importers import import_bitstamp
from cift.errors import CiftError, DataError, NoData, OffTickPrice, TimeOrder
from tests.data.market import QuickDisk
from tests.data.test_lobster import story

START_MS = 1_430_438_404_518


def order(kind: str, number: int, side: str, price: str, amount: str) -> str:
    body = {"price": price, "amount": amount, "datetime": "1430438404", "id": number, "order_type": int(side == "ask")}
    return f"order_{kind} {json.dumps(body)}"


def trade(price: float, amount: float) -> str:
    return f"trade {json.dumps({'price': price, 'amount': amount, 'id': 1})}"


def book(bids: dict[str, str], asks: dict[str, str]) -> str:
    return f"order_book {json.dumps({'bids': list(bids.items()), 'asks': list(asks.items())})}"


def log_of(*messages: str) -> str:
    return "".join(f"{START_MS + 10 * row} {message}\n" for row, message in enumerate(messages))


def imported(folder: Path, *messages: str):
    path = folder / "2015.log"
    path.write_text(log_of(*messages))
    catalog = Catalog(folder / "catalog")
    return catalog, import_bitstamp(catalog, path)


def test_orders_come_change_and_go(tmp_path):
    catalog, report = imported(
        tmp_path,
        order("created", 1, "bid", "236.47", "2.00000000"),
        order("changed", 1, "bid", "236.47", "1.50000000"),
        order("changed", 1, "bid", "236.40", "1.50000000"),
        order("deleted", 1, "bid", "236.40", "1.50000000"),
    )
    assert story(catalog) == [
        "0: clear none #0 LS",
        "1: add bid 2@236.47 #1 L",
        "2: cancel bid 0.5@236.47 #1 L",
        "3: modify bid 1.5@236.4 #1 L",
        "4: cancel bid 1.5@236.4 #1 L",
    ]
    assert catalog.ls()["first"].to_physical().to_list() == [START_MS * 10**6]
    assert report.counts["unforeseen_reductions"] == 1
    assert report.counts["repriced_orders"] == 1


def test_a_creation_that_crosses_is_trades_fills_and_an_add_of_the_rest(tmp_path):
    catalog, report = imported(
        tmp_path,
        order("created", 1, "ask", "100.00", "1.00000000"),
        order("created", 2, "ask", "100.00", "1.00000000"),
        order("created", 3, "ask", "99.00", "0.25000000"),
        order("created", 9, "bid", "100.50", "2.00000000"),
        order("deleted", 3, "ask", "99.00", "0.00000000"),
        order("changed", 9, "bid", "100.50", "1.75000000"),
        trade(99.0, 0.25),
        order("deleted", 1, "ask", "100.00", "0.00000000"),
        order("changed", 9, "bid", "100.50", "0.75000000"),
        trade(100.0, 1.0000000000000002),
        order("changed", 2, "ask", "100.00", "0.25000000"),
        order("deleted", 9, "bid", "100.50", "0.00000000"),
        trade(100.0, 0.75),
    )
    assert story(catalog)[4:] == [
        "4: trade bid 0.25@99 #9",
        "4: fill ask 0.25@99 #3",
        "4: cancel ask 0.25@99 #3",
        "4: trade bid 1@100 #9",
        "4: fill ask 1@100 #1",
        "4: cancel ask 1@100 #1",
        "4: trade bid 0.75@100 #9",
        "4: fill ask 0.75@100 #2",
        "4: cancel ask 0.75@100 #2 L",
    ]
    assert report.counts["trades_foreseen"] == 3
    assert "unforeseen_reductions" not in report.counts


def test_the_rest_of_a_crossing_order_is_added(tmp_path):
    catalog, _ = imported(
        tmp_path,
        order("created", 1, "ask", "100.00", "1.00000000"),
        order("created", 2, "bid", "100.00", "3.00000000"),
        order("changed", 2, "bid", "100.00", "2.00000000"),
    )
    assert story(catalog)[2:] == [
        "2: trade bid 1@100 #2",
        "2: fill ask 1@100 #1",
        "2: cancel ask 1@100 #1",
        "2: add bid 2@100 #2 L",
    ]


def test_an_order_repriced_across_the_book_is_matched_there(tmp_path):
    catalog, report = imported(
        tmp_path,
        order("created", 1, "bid", "99.00", "1.00000000"),
        order("created", 2, "ask", "101.00", "0.40000000"),
        order("changed", 2, "ask", "99.00", "0.40000000"),
        order("changed", 1, "bid", "99.00", "0.60000000"),
        order("deleted", 2, "ask", "99.00", "0.00000000"),
        trade(99.0, 0.4),
    )
    assert story(catalog)[3:] == [
        "3: cancel ask 0.4@101 #2",
        "3: trade ask 0.4@99 #2",
        "3: fill bid 0.4@99 #1",
        "3: cancel bid 0.4@99 #1 L",
    ]
    assert report.counts["trades_foreseen"] == 1


def test_a_trade_that_was_not_foreseen_is_a_print_that_names_no_maker(tmp_path):
    catalog, report = imported(tmp_path, trade(99.5, 0.5), trade(236.61000000000001, 1.7885566900000001))
    assert story(catalog)[1:] == ["1: trade none 0.5@99.5 #0 L", "2: trade none 1.78856@236.61 #0 L"]
    assert report.counts["trades_unforeseen"] == 2


def test_a_pushed_book_puts_right_what_it_shows(tmp_path):
    catalog, report = imported(
        tmp_path,
        order("created", 1, "bid", "99.00", "1.00000000"),
        order("created", 2, "bid", "98.00", "1.00000000"),
        order("created", 3, "bid", "97.00", "1.00000000"),
        book({"99.00": "1.00000000", "98.50": "2.00000000", "98.00": "0.25000000"}, {"101.00": "3.00000000"}),
        book({"99.00": "1.00000000", "98.50": "2.00000000", "98.00": "0.25000000"}, {"101.00": "3.00000000"}),
        order("deleted", 77, "bid", "98.50", "2.00000000"),
        book({"99.00": "1.00000000", "98.00": "0.25000000"}, {"101.00": "3.00000000"}),
        book({"98.00": "0.25000000"}, {"101.00": "3.00000000"}),
        book({"99.00": "1.00000000", "98.00": "0.25000000"}, {"101.00": "3.00000000"}),
        order("deleted", 1, "bid", "99.00", "1.00000000"),
    )
    assert story(catalog)[4:] == [
        "4: cancel bid 0.75@98 #2 S",
        "4: add bid 2@98.5 #s0 S",
        "4: add ask 3@101 #s1 LS",
        "7: cancel bid 2@98.5 #s0 LS",
        "8: cancel bid 1@99 #1 LS",
        "9: add bid 1@99 #1 LS",
        "10: cancel bid 1@99 #1 L",
    ]
    # Order 77 is newer than any created: it was deleted before it was created, and is not in the book.
    assert report.counts["books_reproduced"] == 1


def test_an_order_from_before_the_log_leaves_through_the_anonymous_one(tmp_path):
    catalog, report = imported(
        tmp_path,
        order("created", 100, "bid", "90.00", "1.00000000"),
        book({"98.50": "2.00000000"}, {}),
        order("deleted", 77, "bid", "98.50", "1.50000000"),
        order("deleted", 78, "bid", "98.50", "1.50000000"),
        book({}, {}),
    )
    assert story(catalog)[2:] == ["2: add bid 2@98.5 #s0 LS", "3: cancel bid 1.5@98.5 #s0 L", "4: cancel bid 0.5@98.5 #s0 L"]
    assert [(row.row, row.reason) for row in report.quarantine] == [(4, "unknown_level")]


def test_an_order_deleted_before_it_is_created_never_rests(tmp_path):
    catalog, report = imported(
        tmp_path,
        order("created", 1, "bid", "99.00", "1.00000000"),
        order("deleted", 5, "bid", "98.00", "1.00000000"),
        order("created", 5, "bid", "98.00", "1.00000000"),
        order("created", 1, "bid", "99.00", "1.00000000"),
        order("created", 6, "bid", "99.00", "0.00000000"),
        order("changed", 50, "bid", "99.00", "0.50000000"),
        book({"99.00": "1.00000000"}, {"98.00": "1.00000000"}),
    )
    assert story(catalog)[1:] == ["1: add bid 1@99 #1 L"]
    assert [(row.row, row.reason) for row in report.quarantine] == [
        (3, "deleted_before_created"),
        (4, "duplicate"),
        (5, "zero_size"),
        (6, "unknown_level"),
        (7, "crossed_book"),
    ]


GOOD = order("created", 1, "bid", "99.00", "1.00000000")


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", NoData, "no messages"),
        (log_of(GOOD) + f"{START_MS - 1} {GOOD}\n", TimeOrder, "row 2: time"),
        (log_of(GOOD, GOOD.replace("99.00", "99.005")), OffTickPrice, "row 2: price 99.005"),
        (log_of(GOOD, GOOD.replace("1.00000000", "1.000000005")), OffTickPrice, "row 2: amount"),
        (log_of(GOOD, GOOD.replace("99.00", "-99.00")), DataError, "row 2: price -99.00"),
        (log_of(GOOD, GOOD.replace("99.00", "NaN")), DataError, "row 2: price NaN"),
        (log_of(GOOD, GOOD.replace("99.00", "Infinity")), DataError, "row 2: price Infinity"),
        (log_of(GOOD, GOOD.replace("99.00", "1e999999")), DataError, "row 2: price 1E.999999"),
        (log_of(GOOD, GOOD.replace("1.00000000", "-1")), DataError, "row 2: amount -1"),
        (log_of(GOOD, GOOD.replace('"order_type": 0', '"order_type": 2')), DataError, "row 2: order_type 2"),
        (log_of(GOOD, GOOD.replace('"id": 1', '"id": -1')), DataError, "of order -1"),
        (log_of(GOOD, "order_created {}"), DataError, "row 2: '{}' is no order_created"),
        (log_of(GOOD, "order_created " + "[" * 100_000), DataError, "row 2"),
        (log_of(GOOD, "quote {}"), DataError, "row 2: .* is not a message"),
        (log_of(GOOD) + f"17 {GOOD}\n", DataError, "row 2: time 17"),
        (log_of(GOOD) + "nothing\n", DataError, "row 2: 'nothing'"),
        (log_of(GOOD, book({"99.00": "0"}, {})), DataError, "row 2: the pushed book"),
        (log_of(GOOD, order("changed", 1, "ask", "99.00", "0.5")), DataError, "row 2: order 1 changes sides"),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_stored(tmp_path, text, error, message):
    path = tmp_path / "2015.log"
    path.write_text(text)
    catalog = Catalog(tmp_path / "catalog")
    with pytest.raises(error, match=message) as caught:
        import_bitstamp(catalog, path)
    assert "2015.log" in str(caught.value)
    assert catalog.symbols() == []


messages = st.one_of(
    st.builds(
        order,
        st.sampled_from(["created", "changed", "deleted"]),
        st.integers(1, 6),
        st.sampled_from(["bid", "ask"]),
        st.sampled_from(["99.00", "99.01", "99.02"]),
        st.sampled_from(["0.00000000", "0.50000000", "1.00000000"]),
    ),
    st.builds(trade, st.sampled_from([99.0, 99.01]), st.sampled_from([0.5, 1.0])),
    st.builds(
        book,
        st.dictionaries(st.sampled_from(["98.99", "99.00"]), st.sampled_from(["0.50000000", "2.00000000"])),
        st.dictionaries(st.sampled_from(["99.01", "99.02"]), st.sampled_from(["0.50000000", "2.00000000"])),
    ),
)


def assert_book_is_sound(catalog: Catalog) -> None:
    """No record takes what is not there, and the book is never crossed."""
    orders: dict[str, tuple[str, float, float]] = {}
    for record in story(catalog):
        _, action, side, *rest = record.split(" ")
        if action in ("clear", "trade"):
            continue
        size, price = map(float, rest[0].split("@"))
        name = rest[1]
        if action == "add":
            assert name not in orders
            orders[name] = (side, price, size)
        elif action == "modify":
            assert orders[name][0] == side
            orders[name] = (side, price, size)
        elif action == "fill":
            assert orders[name][2] >= size
        else:
            assert orders[name][:2] == (side, price)
            left = orders.pop(name)[2] - size
            assert left >= 0
            if left:
                orders[name] = (side, price, left)
        if record.endswith(" L"):
            bids = [price for held, price, _ in orders.values() if held == "bid"]
            asks = [price for held, price, _ in orders.values() if held == "ask"]
            assert not bids or not asks or max(bids) < min(asks)


@given(log=st.lists(messages, min_size=1, max_size=25))
def test_any_log_gives_a_sound_book(tmp_path_factory, log):
    folder = tmp_path_factory.mktemp("log")
    try:
        catalog, _ = imported(folder, *log)
    except DataError as error:
        refusal = str(error)
    else:
        assert_book_is_sound(catalog)
        return
    assert "changes sides" in refusal


@st.composite
def mutated_logs(draw: st.DrawFn) -> bytes:
    text = log_of(*draw(st.lists(messages, max_size=6)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        text = (
            text[:at] + draw(st.text(alphabet='0123456789,.-e{}[]" \n\x00N', max_size=8)) + text[at + draw(st.integers(0, 5)) :]
        )
    return text.encode()


@given(data=st.one_of(st.binary(max_size=200), mutated_logs()))
def test_no_bytes_upset_the_importer(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "x.log").write_bytes(data)
    catalog = Catalog(folder / "catalog", disk=QuickDisk())
    try:
        import_bitstamp(catalog, folder / "x.log")
    except CiftError:
        assert not list((folder / "catalog").glob("mbo/**/*.parquet"))
        assert catalog.symbols() == []
