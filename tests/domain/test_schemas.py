from __future__ import annotations

import subprocess
import sys

import pytest

from cift.domain import schemas
from cift.errors import UnknownName


@pytest.mark.parametrize("name", schemas.SCHEMAS)
def test_a_file_holds_the_columns_of_a_chunk_and_the_venues_sequence(name):
    arrow = schemas.arrow_schema(name)
    assert arrow.names == [*schemas.CHUNK_DTYPES[name], *(["venue_seq"] if name != "bars" else [])]
    for column, codes in schemas.WORD_CODES.items():
        if column in arrow.names:
            assert str(arrow.field(column).type) == "dictionary<values=string, indices=int8, ordered=0>"
            assert len(set(codes.values())) == len(codes)


def test_only_a_clear_may_lack_a_price():
    assert schemas.mbo().field("price").nullable
    assert schemas.mbp().field("price").nullable
    assert not schemas.trades().field("price").nullable
    assert schemas.quotes().field("bid_price").nullable


def test_a_bar_may_lack_what_not_every_vendor_tells():
    lacking = [field.name for field in schemas.bars() if field.nullable]
    assert lacking == ["count", "vwap"]


def test_an_unknown_schema_lists_the_known_ones():
    with pytest.raises(UnknownName, match="mbo, mbp, quotes, trades, bars"):
        schemas.arrow_schema("ohlcv")


def test_the_domain_is_cheap_to_import():
    code = (
        "import sys, cift.domain.instrument, cift.domain.schemas, cift.domain.chunk;"
        "print([name for name in ('numpy', 'pyarrow', 'polars', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
