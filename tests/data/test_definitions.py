from __future__ import annotations

import json
from decimal import Decimal

import pytest

from cift.cli import main
from cift.data.catalog import Catalog
from cift.data.importers import import_databento, import_definitions
from cift.domain.instrument import Instrument
from cift.domain.moment import time_ns
from cift.errors import CatalogError, InvalidParameter, NoData, UnknownName
from tests.data.dbn import definition, header, mbo, write

ES = "ESH6.GLBX"
FUTURE = {
    "min_price_increment_amount": 125_000_000, "display_factor": 10_000_000, "exchange": "XCME", "currency": "USD",
    "activation": time_ns("2024-12-20T14:30Z", "")[0], "expiration": time_ns("2026-03-20T13:30Z", "")[0],
    "min_trade_vol": 1, "max_trade_vol": 3_000, "unit_of_measure": "IPNT", "unit_of_measure_qty": 50 * 10**9,
}  # fmt: skip


def defined(tmp_path, *parts, **options):
    catalog = Catalog(tmp_path / "catalog")
    return catalog, import_definitions(catalog, write(tmp_path / "d.dbn.zst", header("definition"), *parts), **options)


def test_a_future_is_known_without_rows(tmp_path):
    catalog, report = defined(tmp_path, definition(**FUTURE))
    assert catalog.instruments() == {
        ES: Instrument(
            ES, "0.25", 1, multiplier=50, calendar="CMES", activation="2024-12-20T14:30Z", expiry="2026-03-20T13:30Z",
            max_quantity=3_000,
        )
    }  # fmt: skip
    assert (report.rows_read, report.rows_written, report.notes, report.symbol) == (1, 1, (), ES)
    assert catalog.symbols() == []


@pytest.mark.parametrize(
    ("options", "multiplier"),
    [
        ({"min_price_increment_amount": 125_000_000, "display_factor": 10_000_000}, 50),
        # A tick of a quarter of a cent a bushel is 12.50: 5,000 bushels, not 5,000 times the price.
        ({"min_price_increment_amount": 12_500_000_000, "display_factor": 10**9, "unit_of_measure_qty": 5_000 * 10**9}, 50),
        ({"contract_multiplier": 100, **FUTURE}, 100),
        ({"min_price_increment_amount": 12_500_000, "display_factor": 10_000_000}, 5),
        # One third would not be exact.
        ({"min_price_increment_amount": 10**9, "display_factor": 3 * 10**9}, 1),
    ],
)
def test_the_multiplier_is_the_money_of_a_tick_by_the_tick(tmp_path, options, multiplier):
    catalog, _ = defined(tmp_path, definition(**options))
    assert catalog.instruments()[ES].multiplier == multiplier


def test_definitions_of_several_days_share_a_tick_and_the_last_expiry_counts(tmp_path):
    later = {**FUTURE, "expiration": time_ns("2026-03-19T13:30Z", "")[0]}
    catalog, report = defined(tmp_path, definition(tick=0.25, **FUTURE), definition(tick=0.1, **later))
    assert catalog.instruments()[ES].tick_size == Decimal("0.05")
    assert catalog.instruments()[ES].expiry == later["expiration"]
    assert report.counts == {"instruments": 1}


def test_what_has_no_tick_is_counted_and_left_out(tmp_path):
    catalog, report = defined(tmp_path, definition("MSFT", tick=0), definition(**FUTURE))
    assert list(catalog.instruments()) == [ES]
    assert report.counts == {"without_tick": 1, "instruments": 1}
    with pytest.raises(NoData, match="defines nothing with a tick"):
        defined(tmp_path, definition("MSFT", tick=0))


def test_one_of_several_is_picked(tmp_path):
    both = [definition(**FUTURE), definition("NQH6", **FUTURE)]
    catalog, _ = defined(tmp_path, *both, symbol="NQH6")
    assert list(catalog.instruments()) == ["NQH6.GLBX"]
    with pytest.raises(UnknownName, match="defines no CLH6"):
        defined(tmp_path, *both, symbol="CLH6")


def test_a_contract_of_unknown_worth_is_a_note(tmp_path):
    _, report = defined(tmp_path, definition(unit_of_measure="BBL", unit_of_measure_qty=1_000 * 10**9))
    assert report.notes == ("a contract of ESH6.GLBX is 1000 BBL; its money counts with multiplier 1",)


def test_definitions_first_and_rows_later_fit(tmp_path):
    catalog, _ = defined(tmp_path, definition(**FUTURE))
    known = catalog.instruments()[ES]
    report = import_databento(catalog, write(tmp_path / "x.dbn", header(), mbo("A B 5@100.25 128", 1)))
    assert (report.notes, catalog.instruments()) == ((), {ES: known})
    assert defined(tmp_path, definition(**FUTURE))[1].rows_written == 1
    with pytest.raises(CatalogError, match="holds for the instrument's life"):
        defined(tmp_path, definition(tick=0.5, **FUTURE))


def test_definitions_beside_rows_give_the_rules_too(tmp_path):
    told = write(tmp_path / "d.dbn", header("definition"), definition(**FUTURE))
    rows = write(tmp_path / "x.dbn", header(), mbo("A B 5@100.25 128", 1))
    catalog = Catalog(tmp_path / "catalog")
    import_databento(catalog, rows, definitions=told)
    assert catalog.instruments()[ES].to_dict()["expiry"] == "2026-03-20T13:30Z"
    assert catalog.instruments()[ES].multiplier == 50


def test_the_command_takes_definitions(tmp_path, monkeypatch, capsys):
    file = write(tmp_path / "d.dbn", header("definition"), definition(**FUTURE))
    monkeypatch.setattr("sys.argv", ["cift", "data", "import", "databento", str(file), "--to", str(tmp_path / "c"), "--json"])
    with pytest.raises(SystemExit) as left:
        main()
    assert not left.value.code
    assert json.loads(capsys.readouterr().out)["rows_written"] == 1
    assert Catalog(tmp_path / "c").instruments()[ES].multiplier == 50
    with pytest.raises(InvalidParameter, match="pass it with symbol= alone"):
        import_databento(Catalog(tmp_path / "c"), file, tick_size="0.25")


def test_another_schema_is_refused(tmp_path):
    with pytest.raises(InvalidParameter, match="holds mbo; a file of the schema definition was expected"):
        import_definitions(Catalog(tmp_path), write(tmp_path / "x.dbn", header()))
