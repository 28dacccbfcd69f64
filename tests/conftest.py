"""What all tests share: real market data, hypothesis profiles, and the tests that only a night has time for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

REAL_FILES = (
    "lobster/AAPL_2012-06-21_34200_37800_message_50.csv.zst",
    "lobster/AAPL_2012-06-21_34200_37800_orderbook_level1.csv.zst",
    "lobster/AAPL_2012-06-21_first672_orderbook_50.csv.zst",
    "bitstamp2015/2015-05-01.log.xz",
    "fx/fxcm_eurusd_minute_20140507.zip",
    "fx/fxcm_eurusd_second_20140507.zip",
    "databento/esh4-glbx-mdp3-20231224.mbo.dbn.zst",
    "databento/orderbooks_mbo_2024-05-08T00-00-00_2024-05-08T00-00-02.dbn.zst",
    "databento/futures_mbp-1_2024-07-01T23-58_2024-07-02T00-02.dbn.zst",
    "taq/sampleQDataRaw.csv.zst",
    "fx/fxcm_eurusd_tick_20140507.zip",
    "binance/usdm_btcusdt_20240808.gz",
    "binance/cm_btcusd_perp_20240808.gz",
    "binance/cm_btcusd_perp_20240809.gz",
    "binance/spot_ethusdt_20240808.gz",
    "binance/spot_ethusdt_20240809.gz",
    "other/binance_btcusdt_depth_snap.csv",
    "other/binance_btcusdt_depth_update.csv",
    "other/bybit_xrpusdt_ob500.data.zip",
    "other/hyperliquid_btcusd_20250126.gz",
    "tardis/binance-futures_book_snapshot_5_BTCUSDT.csv",
    "tardis/binance-futures_book_snapshot_25_BTCUSDT.csv",
    "tardis/deribit_incremental_book_L2_BTC-PERPETUAL.csv",
)
REAL_DATA = Path(os.environ.get("CIFT_REAL_DATA") or Path(__file__).parents[2] / "shared" / "data")
IN_CI = os.environ.get("CI", "").lower() in ("1", "true")

_COMMON = {"deadline": None, "print_blob": True, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("dev", max_examples=50, **_COMMON)
settings.register_profile("ci", max_examples=100, **_COMMON)
settings.register_profile("nightly", max_examples=5_000, **_COMMON)


def missing_real_data() -> str | None:
    """One line about what is missing, or None."""
    for name in REAL_FILES:
        if not (REAL_DATA / name).is_file():
            return f"real data missing: {REAL_DATA / name} (set CIFT_REAL_DATA to the folder that holds it)"
    return None


def wants_nightly(config: pytest.Config) -> bool:
    """Whether the nightly tests were asked for, by `--nightly` or `-m nightly`."""
    return bool(config.getoption("--nightly")) or "nightly" in str(config.getoption("-m") or "")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--nightly", action="store_true", help="run the tests marked nightly too")


def pytest_configure(config: pytest.Config) -> None:
    name = os.environ.get("HYPOTHESIS_PROFILE") or ("nightly" if wants_nightly(config) else "ci" if IN_CI else "dev")
    settings.load_profile(name)


def pytest_report_header() -> str:
    return missing_real_data() or f"real data: {REAL_DATA}"


def pytest_sessionstart() -> None:
    missing = missing_real_data()
    if IN_CI and missing:
        pytest.exit(missing, returncode=1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if wants_nightly(config):
        return
    skip = pytest.mark.skip(reason="nightly; run with --nightly or -m nightly")
    for item in items:
        if item.get_closest_marker("nightly"):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real recordings; without it the test is skipped (in CI the session has failed already)."""
    missing = missing_real_data()
    if missing:
        pytest.skip(missing)
    return REAL_DATA
