"""Recordings that overlap: what is remembered of them, and that together they are the market that each saw a part of."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cift.data.catalog import Catalog
from cift.data.importers import import_binance, import_bybit, import_hyperliquid
from cift.data.importers.overlap import KEPT_MAX, KEPT_MIN, About, Message, Met, Numbers, joined
from cift.domain.schemas import NO_TIME_NS
from tests.data import test_bybit_hyperliquid as others
from tests.data.depth import MONDAY_MS, diff, snapshot, stored, ticker, trade
from tests.data.market import QuickDisk

S = 10**9


def test_what_was_met_is_remembered_for_a_minute_however_much_comes():
    met, count = Met(), 4 * KEPT_MIN
    assert not any(met.again(at, at * 60 * S // count) for at in range(count))
    assert all(met.again(at, 60 * S) for at in range(count))


def test_the_last_that_were_met_are_remembered_however_long_ago():
    met = Met()
    assert not any(met.again(at, at * 3_600 * S) for at in range(KEPT_MIN))
    assert all(met.again(at, KEPT_MIN * 3_600 * S) for at in range(KEPT_MIN))


def test_what_was_met_long_ago_is_forgotten():
    met = Met()
    for at in range(4 * KEPT_MIN):
        met.again(at, at * S)
    assert len(met) < 3 * KEPT_MIN


@given(numbers=st.lists(st.integers(5, 40), max_size=60), first=st.just(5))
def test_numbers_that_never_came_are_counted(numbers, first):
    followed, met = Numbers(), set()
    for number in (first, *numbers):
        assert followed.again(number, 0) == (number in met)
        met.add(number)
    absent = [number for number in range(first, max(met)) if number not in met]
    places = sum(number - 1 not in absent for number in absent)
    assert followed.missing() == (len(absent), places)


def test_holes_beyond_those_that_are_kept_are_counted_too():
    followed = Numbers()
    for number in range(0, 4 * KEPT_MIN, 2):
        followed.again(number, 0)
    assert followed.missing() == (2 * KEPT_MIN - 1, 2 * KEPT_MIN - 1)


Texts = list[tuple[int, str]]
"""A recording: milliseconds and line of each message."""


def binance(rng: random.Random, times: Sequence[int], *, futures: bool) -> tuple[Texts, Callable[[int], str]]:
    texts, ids, trades, quotes = [], [0], [100], [10]
    book: dict[float, float] = {9.0: 1.0}
    shown: dict[int, tuple[int, dict[float, float]]] = {}
    for at, ms in enumerate(times):
        kind = rng.choice(("depth", "ticker", "trade")) if at else "depth"
        if kind == "depth":
            first, price = ids[0] + 1, float(rng.randrange(1, 9))
            ids[0] = first + rng.randrange(3)
            book = {**book, price: float(at + 1)}
            text = diff(first, ids[0], {price: float(at + 1)}, {}, ms=ms, previous=first - 1 if futures else None)
        elif kind == "ticker":
            quotes[0] += rng.randrange(1, 4)
            text = ticker(quotes[0], 10, 11, ms=ms, stamped=futures)
        else:
            trades[0] += 1
            text = trade(trades[0], 10, ms=ms, sold=bool(rng.randrange(2)))
        texts.append((ms, text))
        shown[at] = (ids[0], book)
    texts.insert(1, (times[0], snapshot(shown[0][0], shown[0][1], {}, ms=times[0])))
    # Another recording asks for the book itself, and is told one that the first one's book contains.
    return texts, lambda at: snapshot(*shown[max(0, at - 2)], {}, ms=texts[at][0])


def bybit(rng: random.Random, times: Sequence[int]) -> tuple[Texts, Callable[[int], str]]:
    texts: Texts = [(times[0], others.book("snapshot", 10, {"9": "1"}, {}, ms=times[0]))]
    number, book, told = 10, {"9": "1"}, {0: (10, {"9": "1"}, times[0])}
    for at, ms in enumerate(times[1:], 1):
        if rng.randrange(2):
            number += 1
            book = {**book, str(rng.randrange(1, 9)): str(at)}
            texts.append((ms, others.book("delta", number, book, {}, ms=ms)))
        else:
            texts.append((ms, others.printed(*(f"{at}-{one}" for one in range(rng.randrange(1, 3))), T=MONDAY_MS + ms)))
        told[at] = (number, book, ms)
    # A new connection is told the book first, which the other one's contains.
    return texts, lambda at: others.book("snapshot", *told[at - 1][:2], {}, ms=told[at - 1][2])


def hyperliquid(rng: random.Random, times: Sequence[int]) -> tuple[Texts, Callable[[int], str]]:
    texts: Texts = []
    told: list[tuple[Any, ...]] = []
    for at, ms in enumerate(times):
        # There is one picture of a block.
        if rng.randrange(2) and all(ms != before for before, _ in texts):
            texts.append((ms, others.picture({str(rng.randrange(1, 9)): str(at + 1)}, {}, ms=ms)))
        else:
            told.append((rng.randrange(10**9), "B", "9", "1", ms))
            texts.append((ms, others.prints(told[-1])))
    # A new connection tells the last trades once more.
    return texts, lambda at: others.prints(*[one for one in told if one[4] < texts[at][0]][-5:])


MARKETS: dict[str, tuple[Callable[..., Any], Callable[..., Any], dict[str, Any]]] = {
    "Binance's futures": (import_binance, binance, {"futures": True}),
    "Binance's spot": (import_binance, binance, {"futures": False}),
    "Bybit": (import_bybit, bybit, {}),
    "Hyperliquid": (import_hyperliquid, hyperliquid, {}),
}


def imported(read: Callable[..., Any], files: Sequence[Sequence[str]]) -> tuple[dict[str, pl.DataFrame], Any]:
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{at}.log" for at in range(len(files))]
        for path, texts in zip(paths, files, strict=True):
            path.write_text("".join(texts))
        catalog = Catalog(Path(folder) / "catalog", disk=QuickDisk())
        report = read(catalog, paths, tick_size="0.01", lot_size="0.001")
        return {schema: stored(catalog, schema) for schema in ("mbp", "quotes", "trades") if schema in report.counts}, report


def parts(
    texts: Texts, rng: random.Random, count: int, begin: Callable[[int], str], *, all_lose: bool = True
) -> list[list[str]]:
    """Recordings of parts of a market, which overlap by less than a minute; what one lost there another one has.

    Args:
        begin: what a recording is told first, by the place where it begins.
        all_lose: each loses something, not one of them alone.
    """
    # Where a recording begins with best quotes that tell no time, nothing says when that is.
    timed = [at for at in range(2, len(texts) - 1) if '"T"' in texts[at][1] or '"B"' not in texts[at][1]]
    cuts = sorted(rng.sample(timed, count - 1))
    ends = [*cuts, len(texts)]
    starts = [0]
    for before, cut in zip((0, *cuts), cuts, strict=False):
        near = [at for at in timed if before <= at <= cut and texts[cut][0] - texts[at][0] < 25_000]
        starts.append(rng.choice(near))
    has = [set(range(start, end)) for start, end in zip(starts, ends, strict=True)]
    losing = has if all_lose else [rng.choice(has)]
    for at in range(2, len(texts)):
        having = sum(at in one for one in has)
        lose = [one for one in losing if at in one]
        for one in rng.sample(lose, rng.randint(0, min(len(lose), having - 1))):
            one.remove(at)
    files = [[texts[at][1] for at in sorted(one)] for one in has]
    return [files[0], *([begin(start), *file] for start, file in zip(starts[1:], files[1:], strict=True))]


@pytest.mark.parametrize("name", MARKETS)
@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), count=st.integers(2, 3), steps=st.sampled_from([(0, 1), (0, 400), (100, 1_000)]))
def test_recordings_that_overlap_are_the_market(name, seed, count, steps):
    read, made, options = MARKETS[name]
    rng, ms, times = random.Random(seed), 1_000, []
    # Where the venue does not number its messages, nothing orders those of one time of which each recording lost another.
    least = 0 if made is binance else 1
    for _ in range(40):
        ms += max(rng.randint(*steps), least)
        times.append(ms)
    texts, begin = made(rng, times, **options)
    whole, _ = imported(read, [[text for _, text in texts]])
    # Best quotes of spot have the time of the message before them, which must not be lost where the quote is told; and nothing
    # tells the order of messages of two streams that each recording lost one of within a few ms.
    all_lose = made is not binance or (options["futures"] and steps[0] > 0)
    joined, report = imported(read, parts(texts, rng, count, begin, all_lose=all_lose))
    assert joined.keys() == whole.keys()
    for schema, rows in whole.items():
        # The message that tells the time of such a quote may be one that was lost where the files begin to overlap.
        untold = ("ts_event", "sequence") if name == "Binance's spot" and schema == "quotes" else ()
        assert joined[schema].drop(untold).equals(rows.drop(untold)), (schema, rows, joined[schema])
    assert not {"time_went_back", "gaps", "trade_gaps"} & {*report.counts}


def test_recordings_that_follow_one_another_are_read_file_after_file():
    # Numbers of two symbols have nothing to do with one another, and a venue may begin its own anew.
    def message(source: str, row: int, number: int) -> Message:
        about = About(row * 10**9, (("book", source, row),), "book", number)
        return Message(source, row, b"", NO_TIME_NS, about, row * 10**9)

    first = [message("a", row, 9_000 + row) for row in range(3)]
    second = [message("b", row, row) for row in range(3, 6)]
    assert joined(first, second) == ([*first, *second], [])


def test_what_has_no_time_is_not_remembered_for_ever():
    met = Met()
    for number in range(3 * KEPT_MAX):
        assert not met.again(number, NO_TIME_NS)
    assert len(met) <= 2 * KEPT_MAX
    assert met.again(3 * KEPT_MAX - 1, NO_TIME_NS)
