"""No text that a user gives becomes part of a command: 200 strings through every field, and symbols that look like commands."""

from __future__ import annotations

import time
from itertools import product
from typing import Any

import pytest

import cift
from cift.data.catalog import Catalog
from cift.data.questdb.texts import KnownSymbol, identifier, literal, span
from cift.errors import CiftError, InvalidParameter, UnknownName
from tests.data.market import QuickDisk, make
from tests.servers.questdb_server import QuestDBServer
from tests.servers.test_questdb import catalog_of

COMMANDS = (
    "drop table trades", "truncate table trades", "delete from trades", "update trades set price = 0",
    "insert into trades (ts_event, symbol, sequence) values (0, 'x', 0)", "create table pwned (a int)",
    "alter table trades drop partition where ts_event > 0", "rename table trades to pwned",
    "alter table trades add column pwned int", "backup table trades",
)  # fmt: skip
FRAMES = (
    "'; {}; --", '"; {}; --', "{}", "x' or 1=1; {} --", "x') ; {} ; --", "x\\'; {}; --", "''; {}; --", "x'/*{}*/", "$1; {}",
    "%s; {}", "%27; {}; --", "x' union all select '{}", "x\n; {}\n", "x\x00'; {}; --", "trades; {}", '" from trades; {}; --',
    "{{}}'; {}; --", "\uff07; {}; --", "1m; {}", "2026-01-05'; {}; --",
)  # fmt: skip
STRINGS = [frame.format(command) for frame, command in product(FRAMES, COMMANDS)]


def held(server: Any) -> dict[str, tuple[tuple[str, ...], int]]:
    """Columns and number of rows of every table."""
    with server.server.open() as transport:
        names = [row[0] for row in transport.ask("select table_name from tables() order by table_name")]
        return {
            name: (
                tuple(transport.export(f'select * from "{name}" limit 0').column_names),
                transport.ask(f'select count() from "{name}"')[0][0],
            )
            for name in names
            if not name.startswith(("sys.", "telemetry", "_"))
        }


def raised(call: Any, text: str) -> Exception | None:
    try:
        call(text)
    except Exception as error:
        return error
    return None


def test_200_strings_through_every_field_execute_nothing(questdb: QuestDBServer, tmp_path: Any) -> None:
    assert len(STRINGS) == len(set(STRINGS)) == 200
    catalog = catalog_of(tmp_path, "SAFE.SIM", 50)
    server = questdb.client()
    server.load(catalog)
    before = held(server)
    fields: dict[str, Any] = {
        "symbol": lambda text: server.ticks(text),
        "symbols": lambda text: server.ticks(["SAFE.SIM", text]),
        "start": lambda text: server.ticks("SAFE.SIM", text),
        "end": lambda text: server.ticks("SAFE.SIM", "2026-01-05", text),
        "level": lambda text: server.ticks("SAFE.SIM", level=text),
        "session": lambda text: server.ticks("SAFE.SIM", session=("09:30", "16:00", text)),
        "table": lambda text: server.ticks("SAFE.SIM", table=text),
        "their column": lambda text: server.ticks("SAFE.SIM", table="trades", columns={text: "price"}),
        "our column": lambda text: server.ticks("SAFE.SIM", table="trades", columns={"price": text}),
        "symbol of a table": lambda text: server.ticks(text, table="trades"),
        "symbol of bars": lambda text: server.ohlcv(text),
        "every": lambda text: server.ohlcv("SAFE.SIM", every=text),
        "symbol of the latest": lambda text: server.latest(text),
        "schema of the latest": lambda text: server.latest("SAFE.SIM", schema=text),
        "symbol of asof": lambda text: server.asof(text),
        "symbol of a frame": lambda text: server.frame("trades", text),
        "schema of a frame": lambda text: server.frame(text, "SAFE.SIM"),
        "column of a frame": lambda text: server.frame("trades", "SAFE.SIM", columns=["price", text]),
        "symbol to load": lambda text: server.load(catalog, text),
        "way of loading": lambda text: server.load(catalog, by=text),
        "address": lambda text: cift.QuestDB(text),
    }
    for text in STRINGS:
        for name, call in fields.items():
            assert isinstance(raised(call, text), CiftError), f"{name} took {text!r}"
    assert held(server) == before
    for level in ("L3", "L1"):
        ours, theirs = (source.ticks("SAFE.SIM", level=level) for source in (server, catalog))
        assert [feed.content_hash for feed in ours.feeds] == [feed.content_hash for feed in theirs.feeds]


def test_a_symbol_with_a_quote_is_found_in_an_index_too(questdb: QuestDBServer) -> None:
    server = questdb.client()
    with server.server.open() as transport:
        transport.ask(
            "create table indexed (ts timestamp, symbol symbol index, price double, size double) timestamp(ts) partition by day"
        )
        transport.ask("insert into indexed values ('2026-01-05T12:00:00.000001Z', %s, 1.5, 2)", ("O'N\"EIL.SIM",))
        deadline = time.monotonic() + 10
        while transport.ask("select count() from indexed") != [(1,)] and time.monotonic() < deadline:
            time.sleep(0.02)
    view = server.ticks("O'N\"EIL.SIM", table="indexed")
    assert [chunk.columns["price"].tolist() for chunk in view.feeds[0].chunks(None)] == [[1.5]]


@pytest.mark.parametrize("by", ["ilp", "parquet"])
def test_symbols_that_look_like_commands_are_symbols(questdb: QuestDBServer, tmp_path: Any, by: str) -> None:
    server = questdb.client()
    symbols = [f"{by} {text}"[:100] for text in STRINGS[::23] if text.isprintable()]
    assert len(symbols) >= 6
    catalog = Catalog(tmp_path, disk=QuickDisk())
    for number, symbol in enumerate(symbols):
        instrument = cift.Instrument(symbol, "0.01", 1, currency="U'; drop table trades; --"[:20])
        catalog.write("trades", symbol, make("trades", 20 + number, number), instrument)
    server.load(catalog, by=by)
    for symbol in symbols:
        theirs = catalog.ticks(symbol).feeds[0]
        for feed in (server.ticks(symbol).feeds[0], server.ticks(symbol, table="trades").feeds[0]):
            assert feed.content_hash == theirs.content_hash
            assert feed.instrument == theirs.instrument
        assert server.ohlcv(symbol, every="1d")["count"].sum() == len(server_rows(server, symbol))
        assert server.latest(symbol, schema="trades")["symbol"].to_list() == [symbol]


def server_rows(server: Any, symbol: str) -> list[Any]:
    with server.server.open() as transport:
        return list(transport.ask("select sequence from trades where symbol = %s", (symbol,)))


def test_literals_are_made_of_numbers_and_known_symbols_only() -> None:
    assert literal(-5) == "-5"
    assert literal(KnownSymbol("O'Neil''s")) == "'O''Neil''''s'"
    wrong: list[Any] = ["AAPL", "1", 1.5, True, None, 2**63, b"x", ["x"]]
    for value in wrong:
        with pytest.raises(TypeError, match="no literal"):
            literal(value)


def test_identifiers_are_on_the_servers_list() -> None:
    assert identifier("trades", ["trades", "quotes"]) == '"trades"'
    with pytest.raises(UnknownName, match="did you mean trades"):
        identifier("trade", ["trades", "quotes"])
    with pytest.raises(UnknownName, match="there are quotes, trades"):
        identifier('x"; drop table trades', ["trades", "quotes"])


@pytest.mark.parametrize(("every", "text"), [("1m", "1m"), ("90s", "90s"), ("1d", "1d"), ("250us", "250U"), (1, "1n")])
def test_a_span_is_a_number_and_a_letter(every: Any, text: str) -> None:
    assert span(every) == text


@pytest.mark.parametrize("every", ["0s", "-1m", "1m; drop table trades", "", "m", 1.5])
def test_a_span_that_is_none_is_refused(every: Any) -> None:
    with pytest.raises(InvalidParameter, match="every"):
        span(every)
