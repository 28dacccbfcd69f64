"""Importers: each brings one vendor's files to the schemas of `cift.domain.schemas`, and reports what it met."""

from cift.data.importers.bitstamp import import_bitstamp
from cift.data.importers.databento import import_databento
from cift.data.importers.lobster import Phantom, import_lobster
from cift.data.report import ImportReport

__all__ = ["ImportReport", "Phantom", "import_bitstamp", "import_databento", "import_lobster"]
