"""Importers: each brings one vendor's files to the schemas of `cift.domain.schemas`, and reports what it met."""

from cift.data.importers.binance import import_binance
from cift.data.importers.bitstamp import import_bitstamp
from cift.data.importers.bybit import import_bybit
from cift.data.importers.databento import import_databento
from cift.data.importers.definitions import import_definitions
from cift.data.importers.fx import import_lean, import_truefx
from cift.data.importers.hyperliquid import import_hyperliquid
from cift.data.importers.lobster import Phantom, import_lobster
from cift.data.importers.tables import import_csv, import_parquet
from cift.data.importers.taq import import_taq
from cift.data.importers.tardis import import_tardis
from cift.data.report import ImportReport

__all__ = [
    "ImportReport",
    "Phantom",
    "import_binance",
    "import_bitstamp",
    "import_bybit",
    "import_csv",
    "import_databento",
    "import_definitions",
    "import_hyperliquid",
    "import_lean",
    "import_lobster",
    "import_parquet",
    "import_taq",
    "import_tardis",
    "import_truefx",
]
