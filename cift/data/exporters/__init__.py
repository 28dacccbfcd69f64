"""Exporters: each brings the schemas of `cift.domain.schemas` to a form that others read."""

from cift.data.exporters.catalogs import FORMATS, ExportReport, export

__all__ = ["FORMATS", "ExportReport", "export"]
