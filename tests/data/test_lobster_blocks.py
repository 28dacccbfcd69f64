"""LOBSTER's messages many at a time: whatever a file holds, the outcome is that of message by message."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from cift.data.importers import lobster_blocks, lobster_replay, records, text
from cift.data.importers.lobster_blocks import Block, read
from cift.data.importers.lobster_replay import Replay
from cift.data.importers.records import ASK, BID
from cift.domain.instrument import Instrument
from cift.errors import CiftError, TimeOrder

MIDNIGHT_NS = 1_710_129_600_000_000_000
NAME = "ABC.csv"
SEED = {(BID, 1_000_000): 400, (BID, 999_900): 50, (ASK, 1_000_500): 300, (ASK, 1_001_000): 100}
PRICES = {BID: (1_000_000, 999_900, 999_500), ASK: (1_000_500, 1_001_000, 1_002_000)}


class Market:
    """Messages that follow from each other, and some that do not."""

    def __init__(self, draw: Any) -> None:
        self.draw, self.ns, self.next_id = draw, 0, 10
        self.lines: list[str] = []
        self.orders: dict[int, list[int]] = {}
        self.gone: list[int] = []

    def pick(self, *options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def say(self, kind: Any, order_id: Any, size: Any, price: Any, side: Any, more: str = "", time: str | None = None) -> None:
        self.ns += self.pick(0, 1, 1_000, 999_999_999)
        seconds, decimals = divmod(self.ns, 10**9)
        direction = {BID: 1, ASK: -1}.get(side, side)
        self.lines.append(f"{time or f'{34_200 + seconds}.{decimals:09d}'},{kind},{order_id},{size},{price},{direction}{more}")

    def add(self) -> None:
        side = self.pick(BID, ASK)
        price, size = self.pick(*PRICES[side]), 10 * self.pick(1, 2, 30)
        if self.gone and self.pick(True, False, False, False):
            order_id = self.gone.pop()
        else:
            self.next_id = order_id = self.next_id + self.pick(1, 1_000)
        self.orders[order_id] = [side, price, size]
        self.say(1, order_id, size, price, side)

    def take(self, more: str = "") -> None:
        if not self.orders:
            self.add()
            return
        order_id = self.pick(*self.orders)
        side, price, left = self.orders[order_id]
        kind = self.pick(2, 3, 4)
        size = left if kind == 3 else self.pick(left, 10)
        self.say(kind, order_id, size, price, side, more)
        self.orders[order_id][2] = left - size
        if left <= size:
            del self.orders[order_id]
            self.gone.append(order_id)

    def ordinary(self) -> None:
        step = self.pick(self.add, self.add, self.take, self.take, self.take, self.print_hidden)
        step()

    def print_hidden(self) -> None:
        self.say(5, self.pick(0, 7), 10, self.pick(1_000_000, 1_000_100, 1_000_150), self.pick(BID, ASK))

    def unusual(self) -> None:
        """Rows that do not end an import, most of them."""
        side = self.pick(BID, ASK)
        known = self.pick(*self.orders) if self.orders else 1
        known_side, known_price, left = self.orders.get(known, (side, PRICES[side][0], 10))
        what = self.pick(
            "cross", "halt", "empty", "unknown", "twice", "other size", "too much", "noise", "rounded", "returned", "leading zero",
            "negative zero", "crlf", "whole second",
        )  # fmt: skip
        if what == "cross":
            self.say(6, self.pick(-1, 0, known), 500, 1_000_100, self.pick(0, 1, -1))
        elif what == "halt":
            self.say(7, self.pick(0, known), 0, self.pick(-1, 0, 1), -1, time=self.pick(None, "34200.5", "99999"))
        elif what == "empty":
            self.say(self.pick(1, 2, 3, 4, 5), known, 0, known_price, known_side)
        elif what == "unknown":
            self.say(self.pick(2, 3, 4), self.pick(3, 4, 5), self.pick(10, 500), self.pick(*PRICES[side], 10_000), side)
        elif what == "twice":
            self.say(1, known, 20, *self.pick((known_price, known_side), (PRICES[side][0], side)))
            self.orders.pop(known, None)
        elif what == "other size":
            self.say(3, known, left + 10, known_price, known_side)
            self.orders.pop(known, None)
        elif what == "too much":
            self.say(self.pick(2, 4), known, left + 10, known_price, known_side)
            self.orders.pop(known, None)
        elif what in ("noise", "rounded"):
            self.take()
            time, _, rest = self.lines[-1].partition(",")
            more = self.pick("000000003", "4999999", "5", "500000000", "0") if what == "noise" else "9"
            self.lines[-1] = f"{time}{more},{rest}"
            self.ns += 1
        elif what == "returned":
            self.say(2, known, 10, known_price, known_side, "\r")
        elif what == "leading zero":
            self.say(5, "00", "0010", "01000000", 1)
        elif what == "negative zero":
            self.say(5, "-0", 10, 1_000_000, 1)
        elif what == "crlf":
            self.take("\r")
        elif what == "whole second":
            self.ns = (self.ns // 10**9 + 1) * 10**9
            self.say(5, 0, 10, 1_000_000, 1, time=f"{34_200 + self.ns // 10**9}{self.pick('', '.0')}")


ODD_IDS = (
    "+9",
    " 9",
    "0x9",
    '"9"',
    "",
    "nan",
    "9,9",
    "\N{ARABIC-INDIC DIGIT NINE}",
    "-9",
    "-0",
    2**63,
    2**63 - 1,
    10**19,
    ":9",
    "000",
)
ODD_SIZES = ("0" * 12 + "1", "1e1", "10.0", "-10", 0, 15, 2**31 - 8, 2**31 + 2, "999999999999", "9" * 13, "010")
ODD_PRICES = (0, -20_000, 1_000_050, 9_999_999_900, 10_000_000_000, "1000000\r", "999999990000", "9" * 13, "01000000", "0" * 13)
ODD_DIRECTIONS = (
    0,
    "01",
    "-0",
    2,
    -2,
    "1 ",
    "1,x",
    "1,",
    "1,x,y",
    "1," + "x" * 64,
    "1," + "x" * 65,
    "1,\x00",
    "1\r",
    "1\r\r",
    "",
)
ODD_KINDS = (0, 7, 8, 9, "01", "1.0", "-1", "")
ODD_TIMES = (
    *("34199", "86400", "86400.5", "86399.9999999999", "999999", "1000000", ".5", "34300.", "-34300.5", "34300.-5", "3e4"),
    *("34300.1.2", "34300." + "1" * 18, "34300." + "1" * 19, "0034300.5", "034300.5", "34300.5 "),
    *("34300.1234567895", "34300.1234567894999"),
)
ODD_LINES = (
    *("", "\r", "x", ",", "34200,1", "\x00", "34300.5 ,1,9,10,1000000,1", "#" * 300, "time,type,id,size,price,direction"),
    *(f"34300.5,{kind},{name},10,1000000,1" for name in ODD_IDS for kind in (1, 5, 6)),
    *(f"34300.5,{kind},9,{size},1000000,1" for size in ODD_SIZES for kind in (1, 5, 6)),
    *(f"34300.5,{kind},9,10,{price},1" for price in ODD_PRICES for kind in (1, 5, 6)),
    *(f"34300.5,{kind},9,10,1000000,{direction}" for direction in ODD_DIRECTIONS for kind in (1, 4, 5, 6)),
    *(f"34300.5,{kind},9,10,1000000,1" for kind in ODD_KINDS),
    *(f"{time},{kind},9,10,1000000,1" for time in ODD_TIMES for kind in (1, 5, 7)),
)
"""Lines that end an import, or that have to be looked at; and some that are fine."""


@st.composite
def files(draw: st.DrawFn) -> bytes:
    market = Market(draw)
    oddness = draw(st.sampled_from((0, 1, 4)))
    for number in draw(st.lists(st.integers(0, 9), min_size=1, max_size=40)):
        if number < oddness:
            market.unusual()
        else:
            market.ordinary()
    if draw(st.booleans()):
        market.lines.insert(draw(st.integers(0, len(market.lines))), draw(st.sampled_from(ODD_LINES)))
    if draw(st.sampled_from((True, False, False))):
        market.lines = [line + draw(st.sampled_from((",", ",x", ",XNAS", ",-"))) for line in market.lines]
    return ("\n".join(market.lines) + draw(st.sampled_from(("\n", "", "\r\n")))).encode()


@contextmanager
def settings_of(**values: Any) -> Iterator[None]:
    homes = {"BYTES_PER_READ": text, "ROWS_PER_BATCH": records, "BY_HAND_MAX": lobster_blocks, "read": lobster_replay}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setattr(homes[name], name, value)
        yield


def outcome(path: Path, bytes_min: int, phantoms: Any, policies: Any, seed: Any, grid: Any) -> dict[str, Any]:
    """All that an import of a file leaves, batch by batch, and the error that ended it."""
    instrument = Instrument("ABC.XNAS", calendar="XNYS", **{"tick_size": "0.01", "lot_size": 1, **grid})
    replay = Replay(NAME, MIDNIGHT_NS, instrument, seed, {row: list(gone) for row, gone in phantoms.items()}, policies)
    batches, error = [], None
    try:
        for batch in replay.batches(text.line_blocks(path, bytes_min)):
            columns = {name: (column.dtype.str, column.tolist()) for name, column in batch.items()}
            # Sums are made block by block; what is counted first stands first at any time.
            batches.append((columns, list(replay.tally.counts)))
    except CiftError as caught:
        error = (type(caught), str(caught))
    left = {} if error else {
        "counts": list(replay.tally.counts.items()), "notes": list(replay.notes()), "rows": replay.row,
        "resting": list(replay.resting.items()), "phantoms": replay.phantoms, "written": replay.records.rows_taken,
    }  # fmt: skip
    quarantine = replay.tally.quarantine
    return {"batches": repr(batches), "error": error, "quarantine": quarantine, **left}  # repr: a NaN equals itself


POLICIES = st.sampled_from((
    None, {"duplicate": "pass"}, {"duplicate": "flag", "zero_price": "pass"}, {"negative_price": "pass", "duplicate": "reject"}
))  # fmt: skip
GRIDS = st.sampled_from((
    {}, {"lot_size": 10}, {"lot_size": "0.00000001"}, {"tick_size": "0.005", "price_increment": "0.01"},
    {"price_increment": {0: "0.01", 100: "0.05"}}, {"tick_size": "0.00000000001"}, {"tick_size": "0.00001"},
))  # fmt: skip
PHANTOM = st.tuples(st.just(BID), st.sampled_from(PRICES[BID]), st.sampled_from((10, 30)))
PHANTOMS = st.dictionaries(st.integers(1, 40), st.lists(PHANTOM, max_size=1), max_size=2)


@given(
    data=files(),
    bytes_per_read=st.sampled_from((20, 100, 10_000)),
    bytes_min=st.sampled_from((1, 150, 600, 10_000)),
    rows_per_batch=st.sampled_from((1, 3, 10, 65_536)),
    by_hand_max=st.sampled_from((0.0, 1 / 3, 1.0, 1.0)),
    phantoms=st.one_of(st.just({}), st.just({}), PHANTOMS),
    policies=POLICIES,
    seed=st.sampled_from((None, SEED)),
    grid=GRIDS,
)
def test_many_at_a_time_is_one_by_one(
    tmp_path_factory: pytest.TempPathFactory,
    data: bytes,
    bytes_per_read: int,
    bytes_min: int,
    rows_per_batch: int,
    by_hand_max: float,
    phantoms: Any,
    policies: Any,
    seed: Any,
    grid: Any,
) -> None:
    path = tmp_path_factory.mktemp("lobster") / NAME
    path.write_bytes(data)
    with settings_of(ROWS_PER_BATCH=rows_per_batch, read=lambda block: None):
        expected = outcome(path, 1, phantoms, policies, seed, grid)
    with settings_of(ROWS_PER_BATCH=rows_per_batch, BYTES_PER_READ=bytes_per_read, BY_HAND_MAX=by_hand_max):
        got = outcome(path, bytes_min, phantoms, policies, seed, grid)
    event("ends early" if expected["error"] else "read to its end")
    for name, value in expected.items():
        assert got[name] == value, name


def told(rows: str) -> list[str]:
    """Messages a second apart: type, id, size, and of another level than 100 on the bid the price and direction."""
    lines = []
    for second, row in enumerate(rows.split(), start=34_200):
        kind, order_id, size, *level = row.split(",")
        price, direction = level or ("1000000", "1")
        lines.append(f"{second}.5,{kind},{order_id},{size},{price},{direction}")
    return lines


LIVES = {
    "announced twice alike": "1,8,30 1,9,30 1,9,30 3,9,30",
    "announced twice, the second is smaller": "1,8,30 1,9,30 1,9,10 3,9,10",
    "announced twice, taken from between": "1,8,30 1,9,30 2,9,10 1,9,30 4,9,30",
    "announced twice, at another price": "1,8,30 1,9,30 1,9,30,1000100,1 3,9,30,1000100,1",
    "announced again when it was gone": "1,8,30 1,9,30 3,9,30 1,9,20 4,9,20",
    "gone, then reduced": "1,8,30 1,9,30 2,9,30 2,9,10",
    "gone, then executed": "1,8,30 1,9,30 4,9,30 4,9,30",
    "gone, then deleted": "1,8,30 1,9,30 3,9,30 3,9,30",
    "gone, then twice known": "1,8,30 1,9,30 3,9,30 2,9,10 1,9,10",
    "deleted with less than rests": "1,8,30 1,9,30 3,9,20",
    "deleted with more than rests": "1,8,30 1,9,30 3,9,40",
    "deleted with less, then reduced": "1,8,30 1,9,30 3,9,20 2,9,10",
    "reduced by more than rests": "1,8,30 1,9,30 2,9,40",
    "executed by more than rests": "1,8,30 1,9,30 2,9,10 4,9,30",
    "reduced at another price": "1,8,30 1,9,30 2,9,10,1000100,1",
    "reduced on the other side": "1,8,30 1,9,30 2,9,10,1000000,-1",
    "reduced at another price, not at once": "1,8,30 1,9,30 2,9,10 2,9,10,999900,1",
    "never announced": "1,8,30 2,9,10 4,9,10 3,9,10",
    "never announced, then announced": "1,8,30 2,9,10 1,9,30 3,9,30",
    "never announced, first of all": "4,9,10 1,8,30",
    "nothing but halts": "7,0,0 7,0,0",
    "a halt first": "7,0,0 1,9,30 3,9,30",
    "reduced until the last": "1,8,30 1,9,30 2,9,10 4,9,10 3,9,10",
    "one that stays and one that goes": "1,8,30 1,9,30,1000100,-1 4,8,10 3,9,30,1000100,-1 5,0,10 2,8,10",
    "prints on steps": "1,8,30,400000,1 5,0,10,400100,1 5,0,10,1000100,1 5,0,10,1000500,-1 5,0,10,1000150,-1",
    "from a level of the book": "1,8,30 2,7,100 4,7,300 3,7,10 3,6,50,999900,1",
    "halts, crosses and nothing": "1,8,30 7,0,0 6,-1,500,1000100,-1 1,9,0 2,8,0 5,0,0 3,8,30",
}
TIMES = {
    "back": "34202 34201",
    "back after a halt": "34202 34203h 34201",
    "back at a halt, which counts for nothing": "34202 34201h 34202",
    "back at a size of nothing, which counts for nothing": "34202 34201n 34202",
    "far ahead at a halt and at a size of nothing": "34202 99999h 34203 86399n 34204",
    "back by what rounding leaves": "34202.0000000015 34202.000000001",
    "equal by what rounding leaves": "34202.0000000014 34202.000000001",
    "back behind one on its own": "34202 34203u 34202",
    "back to one on its own": "34204 34203u 34205",
}


GOING_BACK = {
    "back",
    "back after a halt",
    "back by what rounding leaves",
    "back behind one on its own",
    "back to one on its own",
}


def assert_same(
    path: Path, lines: list[str], seed: Any = None, grid: Any = None, phantoms: Any = None, policies: Any = None
) -> tuple[type[CiftError], str] | None:
    """In blocks of any size, with everything but the ordinary taken by hand, a file is what it is message by message.

    Returns:
        The error that it ends with.
    """
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())
    case = (phantoms or {}, policies, seed, grid or {})
    with settings_of(ROWS_PER_BATCH=4, read=lambda block: None):
        expected = outcome(path, 1, *case)
    for bytes_min in (1, 60, 1 << 20):
        with settings_of(ROWS_PER_BATCH=4, BYTES_PER_READ=20, BY_HAND_MAX=1.0):
            got = outcome(path, bytes_min, *case)
        for name, value in expected.items():
            assert got[name] == value, (name, lines)
    error: tuple[type[CiftError], str] | None = expected["error"]
    return error


@pytest.mark.parametrize(
    "grid", [{}, {"price_increment": {0: "0.01", 100: "0.05"}}, {"price_increment": "0.05"}, {"lot_size": 10}]
)
@pytest.mark.parametrize("life", LIVES)
def test_a_life_of_an_order(tmp_path: Path, life: str, grid: Any) -> None:
    for seed in (None, SEED):
        for policies in (None, {"duplicate": "pass"}):
            assert_same(tmp_path / NAME, told(LIVES[life]), seed, grid, policies=policies)


@pytest.mark.parametrize("times", TIMES)
def test_times_that_go_back(tmp_path: Path, times: str) -> None:
    lines = ["34200,1,8,300,1000000,1"]
    for number, time in enumerate(TIMES[times].split(), start=9):
        of_kind = {"h": "7,0,0,-1,-1", "n": f"1,{number},0,1000000,1", "u": "2,7,10,1000000,1"}
        lines.append(f"{time.rstrip('hnu')},{of_kind.get(time[-1], f'1,{number},30,1000000,1')}")
    error = assert_same(tmp_path / NAME, [*lines, "34210,3,8,300,1000000,1"], SEED)
    assert (error and error[0]) == (TimeOrder if times in GOING_BACK else None)


@pytest.mark.parametrize("grid", [{}, {"tick_size": "0.005", "lot_size": 10}, {"tick_size": "0.00000000001"}])
def test_odd_lines(tmp_path: Path, grid: Any) -> None:
    for line in ODD_LINES:
        for policies in (None, {"zero_price": "pass", "negative_price": "pass"}):
            lines = ["34200,1,8,500,1000000,1", "34201,2,8,10,1000000,1", line, "40000,3,8,490,1000000,1"]
            assert_same(tmp_path / NAME, lines, None, grid, policies=policies)


def test_phantoms_are_taken_from_the_oldest_wherever_blocks_end(tmp_path: Path) -> None:
    lines = told("1,8,30 1,9,30 2,7,10 1,10,30 2,8,10 1,11,30 3,9,30 2,6,10 1,12,30 1,13,30")
    for row in range(1, len(lines) + 2):
        assert_same(tmp_path / NAME, lines, SEED, phantoms={row: [(BID, 1_000_000, 70)]})
        assert_same(tmp_path / NAME, lines, None, phantoms={row: [(BID, 1_000_000, 20)]})


def ordinary_lines(count: int) -> list[str]:
    """Orders that are added, shrink, and are deleted or executed, some at once and some 300 messages later; and hidden prints."""
    draw = np.random.default_rng(3)
    waiting: list[tuple[int, int, str]] = []
    lines: list[str] = []
    number = 0
    while len(lines) < count:
        number += 1
        size, side = int(draw.integers(2, 500)), int(draw.choice((1, -1)))
        level = f"{1_000_000 + 100 * int(draw.integers(0, 20))},{side}"
        order_id = int(draw.integers(1, 2**62))
        lines += [f"1,{order_id},{size},{level}", f"2,{order_id},1,{level}"]
        waiting.append((number + int(draw.integers(0, 300)), order_id, f"{size - 1},{level}"))
        for _, gone, rest in [one for one in waiting if one[0] <= number]:
            lines.append(f"{draw.choice((3, 4))},{gone},{rest}")
        waiting = [one for one in waiting if one[0] > number]
        if number % 10 == 0:
            lines.append(f"5,0,10,{level}")
    return [f"{34_200 + row / 1_000:.9f},{line}" for row, line in enumerate(lines[:count])]


def by_hand(
    monkeypatch: pytest.MonkeyPatch, path: Path, lines: list[str], end: str = "\n", **grid: Any
) -> list[list[int] | None]:
    """Rows, counted from 1, that were taken by hand in each block; None: all of them."""
    path.write_text("".join(line + end for line in lines), newline="")
    seen: list[list[int] | None] = []

    def sort_out(*given: Any) -> Block | None:
        block = lobster_blocks.sort_out(*given)
        seen.append(None if block is None else [block.before + row + 1 for row, _ in block.by_hand])
        return block

    monkeypatch.setattr(lobster_replay, "sort_out", sort_out)
    got = outcome(path, 1, {}, None, None, grid)
    monkeypatch.undo()
    assert got["error"] is None
    with settings_of(read=lambda block: None):
        assert got == outcome(path, 1, {}, None, None, grid)
    return seen


@pytest.mark.parametrize(("more", "end"), [("", "\n"), (",", "\n"), (",XNAS", "\r\n")])
def test_of_an_ordinary_file_only_the_first_message_is_taken_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str, end: str
) -> None:
    lines = [line + more for line in ordinary_lines(20_000)]
    names = [line.split(",")[2] for line in lines]
    first = [row + 1 for row, name in enumerate(names) if name == names[0]]
    blocks = by_hand(monkeypatch, tmp_path / NAME, lines, end)
    assert blocks[0] == first
    assert len(blocks) >= 3
    assert blocks[1:] == [[]] * (len(blocks) - 1)


@pytest.mark.parametrize(
    "line",
    [
        "34201.500000000,6,-1,500,1000100,-1",
        "34201.500000000,7,0,0,-1,-1",
        "34201.500000000,5,0,10,1000150,1",
        "34201.500000000,2,5,10,1000100,1",
        "34201.500000000,1,5,0,1000100,1",
    ],
)
def test_one_message_that_is_not_ordinary_is_taken_by_hand_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    lines = ordinary_lines(3_000)
    at = next(row for row, other in enumerate(lines) if other > line)
    seen = by_hand(monkeypatch, tmp_path / NAME, [*lines[:at], line, *lines[at:]])
    expected = by_hand(monkeypatch, tmp_path / NAME, lines)[0]
    assert expected is not None
    assert seen == [sorted([at + 1, *(row + (row > at) for row in expected)])]


def test_rounded_times_are_ordinary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = by_hand(monkeypatch, tmp_path / NAME, ordinary_lines(3_000))
    for more in ("", ",.12345678901234"):
        lines = [line.replace(",", "004999,", 1) + more for line in ordinary_lines(3_000)]
        assert by_hand(monkeypatch, tmp_path / NAME, lines) == expected


def test_where_much_is_not_ordinary_or_the_grid_is_too_fine_all_is_taken_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f"{34_200 + row}.5,5,0,10,1000150,1" for row in range(50)]
    assert by_hand(monkeypatch, tmp_path / NAME, lines) == [None]
    assert by_hand(monkeypatch, tmp_path / NAME, lines, tick_size="0.00000000001") == []


@given(st.lists(st.tuples(st.integers(0, 999_999), st.text("0123456789", max_size=18)), min_size=1, max_size=20))
def test_times_are_exact(times: list[tuple[int, str]]) -> None:
    texts = [f"{seconds}.{decimals}" if decimals else str(seconds) for seconds, decimals in times]
    messages = read("".join(f"{text},1,1,1,1,1\n" for text in texts).encode())
    assert messages is not None
    # Half a nanosecond is rounded up.
    assert messages.ns.tolist() == [int(Fraction(text) * 10**9 + Fraction(1, 2)) for text in texts]
    assert messages.rounded.tolist() == [len(decimals) > 9 for _, decimals in times]
