"""Readers and writers of market data: the Parquet catalog, importers, and frames as data views.

`cift.data.catalog.Catalog` stores ticks; `cift.data.frames` turns a frame into a view; `cift.data.importers` reads vendors'
files. Everything yields `cift.domain.chunk.Chunk`s through `cift.data.view.Feed`.
"""
