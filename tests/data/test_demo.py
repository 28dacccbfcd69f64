"""The synthetic market: what real markets look like, and a demo day that is there at once and stays whole."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from cift._sim import Market
from cift.config import cache_folder
from cift.data import demo
from cift.data.catalog import Catalog
from cift.data.demo import MADE, demo_catalog, generate
from cift.data.manifest import FORMAT_VERSION
from cift.domain.instrument import Instrument
from cift.domain.schemas import CHUNK_DTYPES, LAST
from cift.errors import CatalogError, InvalidParameter, OffTickPrice

START_NS = 1_767_571_200 * 10**9 + demo.SESSION_START_NS
END_NS = 1_767_571_200 * 10**9 + demo.SESSION_END_NS
CENTS: dict[str, Any] = {"price_ticks": 10_000, "tick": (1, 100), "lot": (1, 1)}
Columns = dict[str, np.ndarray[Any, Any]]
Array = np.ndarray[Any, Any]


def market(seed: int, events: int) -> Market:
    return Market(seed=seed, events=events, start_ns=START_NS, end_ns=END_NS, **CENTS)


def all_rows(made: Market, rows: int = 100_000) -> dict[str, Columns]:
    """All three records of a market, whole."""
    pieces: dict[str, list[Columns]] = {schema: [] for schema in MADE}
    while (mbo := made.chunk(rows)) is not None:
        pieces["mbo"].append(mbo)
        pieces["quotes"].append(made.quotes())
        pieces["trades"].append(made.trades())
    return {
        schema: {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} for schema, parts in pieces.items()
    }


# ------------------------------------------------------------------ stylised facts
#
# Seeds 1 to 16 were measured; the bounds leave a quarter of room or more to the worst of them. Three are tested.

SEEDS = (1, 2, 3)


class Day:
    """A million events of one seed, and what one measures of them."""

    def __init__(self, seed: int) -> None:
        rows = all_rows(market(seed, 1_000_000))
        self.mbo, self.quotes, self.trades = rows["mbo"], rows["quotes"], rows["trades"]
        self.spread_ticks = np.rint((self.quotes["ask_price"] - self.quotes["bid_price"]) * 100)
        self.mid = (self.quotes["ask_price"] + self.quotes["bid_price"]) / 2

    def returns(self, seconds: int) -> Array:
        """Log returns of the mid price on a grid of time."""
        grid = np.arange(START_NS, END_NS, seconds * 10**9)
        return np.diff(np.log(self.mid[np.searchsorted(self.quotes["ts_event"], grid, side="right") - 1]))

    def volume(self, parts: int) -> Array:
        """Traded size in equal parts of the session."""
        edges = np.linspace(START_NS, END_NS, parts + 1)
        return np.histogram(self.trades["ts_event"], edges, weights=self.trades["size"])[0]

    def taker_signs(self) -> Array:
        """+1 or -1 for each event that traded."""
        return np.where(self.trades["aggressor"][self.trades["flags"] == LAST] == ord("B"), 1.0, -1.0)


day_of = functools.cache(Day)


@pytest.fixture(params=SEEDS, ids="seed {}".format)
def day(request: pytest.FixtureRequest) -> Day:
    return day_of(request.param)


def autocorrelation(values: Array, lag: int) -> float:
    centred = values - values.mean()
    return float((centred[:-lag] * centred[lag:]).mean() / (centred * centred).mean())


def kurtosis(values: Array) -> float:
    centred = values - values.mean()
    return float((centred**4).mean() / (centred**2).mean() ** 2)


def volatility_memory(day: Day) -> tuple[float, float, float]:
    """Autocorrelation of absolute 10 s returns at about 20 s, 100 s and 300 s.

    The U of the day would make neighbours alike on its own, so its known shape is divided out.
    """
    returns = np.abs(day.returns(10))
    x = np.linspace(-1, 1, len(returns))
    calm = returns / np.sqrt(0.55 + 1.35 * x**2)
    near, further, far = (
        float(np.mean([autocorrelation(calm, lag) for lag in lags])) for lags in (range(1, 4), range(8, 13), range(25, 36))
    )
    return near, further, far


def sign_memory(day: Day) -> tuple[float, float, float]:
    """Autocorrelation of the takers' signs at 1, 10 and 50 trades."""
    signs = day.taker_signs()
    return autocorrelation(signs, 1), autocorrelation(signs, 10), autocorrelation(signs, 50)


def test_returns_have_fat_tails_that_grow_thinner_with_the_horizon(day: Day) -> None:
    # Normal returns have 3, with a standard error of 0.1 for 2,339 of them and 0.6 for 77.
    assert kurtosis(day.returns(10)) > 8
    assert kurtosis(day.returns(300)) < kurtosis(day.returns(10)) / 1.5


def test_volatility_clusters(day: Day) -> None:
    near, further, far = volatility_memory(day)
    # The standard error of one correlation is 0.02, and less of a mean over neighbours.
    assert near > 0.13
    assert further > 0.06
    assert far > 0.02


def test_volatility_is_forgotten_more_slowly_than_by_an_exponential() -> None:
    near, further, far = np.mean([volatility_memory(day_of(seed)) for seed in SEEDS], axis=0)
    # From 2 to 10 steps it falls by `further / near`; from 10 to 30 an exponential would fall by the power of 2.5 of that.
    assert far > 1.5 * further * (further / near) ** 2.5


def test_returns_themselves_are_hardly_correlated(day: Day) -> None:
    returns = day.returns(10)
    assert all(abs(autocorrelation(returns, lag)) < 0.2 for lag in range(1, 11))


def test_signs_of_trades_cluster(day: Day) -> None:
    assert len(day.taker_signs()) > 20_000  # so the standard error is below 0.007
    one, ten, fifty = sign_memory(day)
    assert one > 0.08
    assert ten > 0.05
    assert fifty > 0.02


def test_signs_of_trades_are_forgotten_more_slowly_than_by_an_exponential() -> None:
    one, ten, fifty = np.mean([sign_memory(day_of(seed)) for seed in SEEDS], axis=0)
    assert fifty > 1.5 * one * (ten / one) ** (49 / 9)


def test_both_sides_take(day: Day) -> None:
    assert abs(day.taker_signs().mean()) < 0.15


def test_events_come_in_bursts(day: Day) -> None:
    times = np.unique(day.mbo["ts_event"])
    gaps = np.diff(times[np.searchsorted(times, (START_NS + END_NS) // 2) :][:50_000])
    assert gaps.std() / gaps.mean() > 1.2  # 1 where events are independent


def test_volume_has_the_shape_of_a_u() -> None:
    # Storms make any one day ragged: the mean of four days shows the U.
    volume = np.mean([(v := day_of(seed).volume(13)) / v.sum() for seed in (*SEEDS, 4)], axis=0)
    edges, middle = volume[[0, 1, 11, 12]].mean(), volume[5:8].mean()
    assert edges > 1.7 * middle
    assert volume[:3].mean() > volume[3:6].mean() > 0.9 * volume[5:8].mean()
    assert volume[10:].mean() > volume[7:10].mean() > 0.9 * volume[5:8].mean()


def test_the_spread_is_a_few_ticks(day: Day) -> None:
    lasts = np.diff(day.quotes["ts_event"])
    assert 1.0 < np.average(day.spread_ticks[:-1], weights=lasts) < 3
    assert np.percentile(day.spread_ticks, 99) <= 12
    assert day.spread_ticks.min() >= 1


def test_some_thousand_orders_rest() -> None:
    made = market(1, 100_000)
    while made.chunk(10_000) is not None:
        bids, asks = made.resting()
        assert 1_000 < len(bids) + len(asks) < 5_000


def test_the_price_moves_and_does_not_run_away(day: Day) -> None:
    ticks = day.mid * 100
    assert 60 < ticks.max() - ticks.min() < 2_000
    assert np.count_nonzero(np.diff(ticks)) > 20_000
    # A price that follows itself, or returns to where it was, has a variance that grows faster or slower than time.
    short, long = ticks[::20], ticks[::500]
    assert 0.5 < np.diff(long).var() / np.diff(short).var() / 25 < 2


@pytest.mark.nightly
def test_a_price_stays_in_its_range_over_months() -> None:
    made = market(8, 50_000_000)
    low, high = np.inf, -np.inf
    while made.chunk(1_000_000) is not None:
        quotes = made.quotes()
        low, high = min(low, quotes["bid_price"].min()), max(high, quotes["ask_price"].max())
    assert low > 50
    assert high < 200


# ------------------------------------------------------------------ rows


def test_columns_are_those_of_a_chunk_and_chunks_do_not_matter() -> None:
    whole = all_rows(market(5, 20_000))
    for kind in MADE:
        dtypes = CHUNK_DTYPES[kind]
        assert {name: str(array.dtype) for name, array in whole[kind].items()} == {**dtypes, "venue_seq": "int64"}
    for rows in (1, 7, 1_000):
        cut = all_rows(market(5, 20_000), rows)
        for schema, columns in whole.items():
            assert all(np.array_equal(columns[name], cut[schema][name], equal_nan=True) for name in columns)


def test_quotes_and_trades_belong_to_the_last_chunk() -> None:
    made = market(5, 20_000)
    mbo = made.chunk(10_000)
    assert mbo is not None
    trades = made.trades()
    assert len(trades["price"]) == np.count_nonzero(mbo["action"] == ord("T"))
    assert set(made.quotes()["venue_seq"]) <= set(mbo["venue_seq"])
    assert len(made.quotes()["venue_seq"]) == 0


def test_prices_and_sizes_are_the_floats_of_their_decimals(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    generate(catalog, "COIN.SIM", "2026-01-05", 5_000, 1, price="640.0", tick_size="0.1", lot_size="0.001")
    view = catalog.ticks("COIN.SIM", "2026-01-05")
    coin = view.feeds[0].instrument
    (chunk,) = view.feeds[0].chunks(None)
    prices = chunk.columns["price"][1:]
    assert all(price == coin.price(coin.to_ticks(float(price))) for price in np.unique(prices))
    assert all(size == coin.size(coin.to_lots(float(size))) for size in np.unique(chunk.columns["size"]))
    assert 600 < prices[0] < 680


def test_a_market_that_cannot_be_made_says_why() -> None:
    good: dict[str, Any] = {"seed": 1, "events": 10, "start_ns": START_NS, "end_ns": END_NS, **CENTS}
    cases: list[tuple[dict[str, Any], str]] = [
        ({"end_ns": START_NS}, "end after it begins"),
        ({"price_ticks": 12}, "between 1000 and"),
        ({"tick": (0, 100)}, "tick must be a fraction of two positive numbers"),
    ]
    for wrong, words in cases:
        with pytest.raises(InvalidParameter, match=words):
            Market(**{**good, **wrong})
    with pytest.raises(InvalidParameter, match="at least 1"):
        Market(**good).chunk(0)


# ------------------------------------------------------------------ days in a catalog


def test_a_day_is_three_records_of_one_market(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    made = generate(catalog, "ABC.SIM", "2026-03-02", 20_000, 3)
    assert [manifest.schema for manifest in made.manifests] == list(MADE)
    assert catalog.verify() == 3
    (best,) = catalog.ticks("ABC.SIM", "2026-03-02", level="L1").feeds[0].chunks(None)
    assert made.close == pytest.approx((best.columns["bid_price"][-1] + best.columns["ask_price"][-1]) / 2)
    only = generate(Catalog(tmp_path / "mbo"), "ABC.SIM", "2026-03-02", 20_000, 3, schemas=["mbo"])
    assert [manifest.content_hash for manifest in only.manifests] == [made.manifests[0].content_hash]


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        ({"date": "2026-01-05T09:00"}, InvalidParameter, "must be a day"),
        ({"events": -1}, InvalidParameter, "0 or more"),
        ({"seed": -1}, InvalidParameter, "between 0 and"),
        ({"schemas": []}, InvalidParameter, "at least one of"),
        ({"price": "100.005"}, OffTickPrice, "whole number of ticks"),
    ],
)
def test_a_day_that_cannot_be_made_says_why(tmp_path: Path, wrong: dict[str, Any], error: type[Exception], words: str) -> None:
    good: dict[str, Any] = {"symbol": "ABC.SIM", "date": "2026-01-05", "events": 10, "seed": 1}
    with pytest.raises(error, match=words):
        generate(Catalog(tmp_path), **{**good, **wrong})
    assert Catalog(tmp_path).symbols() == []


# ------------------------------------------------------------------ the demo catalog

FOLDER = f"demo-{demo.GENERATOR_VERSION}-{FORMAT_VERSION}"

DEMO_HASHES = {
    "mbo": "7998f921cf7d4da9",
    "quotes": "05c945da51256106",
    "trades": "404112c9e65dec4f",
}
"""Of row values, the same on every machine. Where they change, `GENERATOR_VERSION` must rise."""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("CIFT_CACHE", str(folder))
    return folder


def hashes(catalog: Catalog) -> dict[str, str]:
    """Hash of the rows of each schema, apart from how the catalog hashes them."""
    found: dict[str, str] = {}
    for level in ("L3", "L1"):
        for feed in catalog.ticks("DEMO.SIM", "2026-01-05", level=level).feeds:
            (chunk,) = feed.chunks(None)
            columns = (np.ascontiguousarray(chunk.columns[name]) for name in CHUNK_DTYPES[feed.schema])
            found[feed.schema] = hashlib.sha256(b"".join(column.tobytes() for column in columns)).hexdigest()[:16]
    return found


def test_the_demo_market_is_made_once_and_silently(cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    first = demo_catalog()
    stamps = {path: path.stat().st_mtime_ns for path in first.path.rglob("*") if path.is_file()}
    second = demo_catalog()
    assert first.path == second.path == cache / FOLDER
    assert stamps == {path: path.stat().st_mtime_ns for path in second.path.rglob("*") if path.is_file()}
    assert capfd.readouterr() == ("", "")
    view = second.ticks("DEMO.SIM", "2026-01-05")
    assert (view.level, view.calendar, view.symbols) == ("L3", "24/7", ("DEMO.SIM",))
    rows = second.describe("DEMO.SIM")["schemas"]["mbo"]["rows"]
    assert 200_000 < rows < 205_000
    assert hashes(second) == DEMO_HASHES


@pytest.mark.parametrize("damage", ["flip", "file", "manifest", "instruments", "folder"])
def test_a_damaged_demo_market_is_made_anew(cache: Path, damage: str) -> None:
    place = demo_catalog().path
    (file,) = place.glob("mbo/**/*.parquet")
    if damage == "flip":
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    elif damage == "file":
        file.unlink()
    elif damage == "manifest":
        next(place.glob("_cift/manifests/trades/**/*.json")).write_text("{}")
    elif damage == "instruments":
        (place / "instruments.json").unlink()
    else:
        for path in sorted(place.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        place.rmdir()
        place.write_text("not a folder")
    again = demo_catalog()
    assert again.verify() == 3
    assert hashes(again) == DEMO_HASHES
    assert sorted(path.name for path in cache.iterdir()) == [FOLDER, f"{FOLDER}.lock"]


def test_what_a_killed_process_left_is_removed(cache: Path) -> None:
    left_over = cache / f"{FOLDER}.0badcafe.tmp" / "mbo"
    left_over.mkdir(parents=True)
    demo_catalog()
    assert sorted(path.name for path in cache.iterdir()) == [FOLDER, f"{FOLDER}.lock"]


def test_processes_that_start_at_once_share_one_market(cache: Path) -> None:
    code = "from cift.data.demo import demo_catalog; print(demo_catalog().verify())"
    runs = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [run.communicate()[0].strip() for run in runs] == ["3", "3", "3"]
    assert sorted(path.name for path in cache.iterdir()) == [FOLDER, f"{FOLDER}.lock"]


def test_a_cache_that_cannot_be_written_says_what_to_do(cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    with pytest.raises(CatalogError, match="set CIFT_CACHE to a folder that can be written"):
        demo_catalog()


def test_a_folder_of_ones_own_keeps_what_it_holds(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    generate(catalog, "ABC.SIM", "2026-01-05", 100, 1)
    assert demo_catalog(tmp_path).symbols() == ["ABC.SIM", "DEMO.SIM"]
    assert demo_catalog(str(tmp_path)).instruments()["DEMO.SIM"] == Instrument("DEMO.SIM", "0.01", 1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("platform", "variables", "folder"),
    [
        ("linux", {"XDG_CACHE_HOME": "/var/cache/me"}, "/var/cache/me/cift"),
        ("linux", {"XDG_CACHE_HOME": "not/absolute"}, "/home/me/.cache/cift"),
        ("linux", {}, "/home/me/.cache/cift"),
        ("darwin", {"XDG_CACHE_HOME": "/var/cache/me"}, "/home/me/Library/Caches/cift"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/cift/Cache"),
        ("win32", {}, "/home/me/AppData/Local/cift/Cache"),
        ("linux", {"CIFT_CACHE": "/elsewhere"}, "/elsewhere"),
    ],
)
def test_the_cache_follows_the_platform(
    monkeypatch: pytest.MonkeyPatch, platform: str, variables: dict[str, str], folder: str
) -> None:
    for name in ("CIFT_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: Path("/home/me"))
    assert cache_folder() == Path(folder)


# ------------------------------------------------------------------ datasets/make.py


@pytest.fixture(scope="module")
def make_script() -> ModuleType:
    path = Path(__file__).parents[2] / "datasets" / "make.py"
    spec = importlib.util.spec_from_file_location("datasets_make", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_data_sets_are_the_same_at_every_run(
    make_script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = []
    for name in ("one", "two"):
        make_script.main(["--out", str(tmp_path / name), "--events", "3000", "--symbols", "ALFA.SIM", "COIN.SIM"])
        printed.append(capsys.readouterr().out.splitlines())
    assert printed[0][:-1] == printed[1][:-1]
    assert len(printed[0]) == 2 * 2 * 3 + 1
    assert len({line.split()[-1] for line in printed[0][:-1]}) == 12


def test_the_second_day_opens_where_the_first_one_closed(make_script: ModuleType, tmp_path: Path) -> None:
    make_script.make(tmp_path, 50_000, ["BRAVO.SIM"])
    mids = []
    for chunk in Catalog(tmp_path).ticks("BRAVO.SIM", level="L1").feeds[0].chunks(None):
        mids.append((chunk.columns["bid_price"] + chunk.columns["ask_price"]) / 2)
        times = chunk.columns["ts_event"]
    (mid,) = mids
    overnight = int(np.argmax(np.diff(times)))
    # A night is as long as the warm-up of the book: some ten ticks of a quarter.
    assert abs(mid[overnight + 1] - mid[overnight]) < 100 * 0.25
