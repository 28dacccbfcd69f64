//! What leaves a run, as columns of numbers for data frames.

use numpy::{Element, PyArray1};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use super::desk::{Shared, average_price, half_ticks, money};
use super::errors::raise;
use super::side::PySide;
use super::words::{end_text, liquidity_text, reason_text, status_text, tif_text};
use crate::instrument::Instrument;
use crate::kernel::Fill;
use crate::order::Order;
use crate::stats::{Leg, Pairing, RoundTrip};
use crate::types::{Lots, Nanos};

/// A missing time, NumPy's NaT.
const NO_TIME: i64 = i64::MIN;

pub(crate) fn array<T: Element>(py: Python<'_>, values: impl Iterator<Item = T>) -> Bound<'_, PyArray1<T>> {
    PyArray1::from_vec(py, values.collect())
}

/// A column of few different texts: each is one Python object, however often it stands there.
fn texts<'py, 'a>(py: Python<'py>, values: impl Iterator<Item = Option<&'a str>>) -> PyResult<Bound<'py, PyList>> {
    let mut made: Vec<(&str, Bound<'py, PyAny>)> = Vec::new();
    let mut object = |value: Option<&'a str>| {
        let Some(text) = value else { return py.None().into_bound(py) };
        match made.iter().find(|(known, _)| std::ptr::eq(*known, text)) {
            Some((_, object)) => object.clone(),
            None => {
                let object = PyString::new(py, text).into_any();
                made.push((text, object.clone()));
                object
            }
        }
    };
    PyList::new(py, values.map(&mut object).collect::<Vec<_>>())
}

pub(crate) fn symbols<'py>(
    py: Python<'py>,
    names: &[String],
    of: impl Iterator<Item = u16>,
) -> PyResult<Bound<'py, PyList>> {
    texts(py, of.map(|at| Some(names[at as usize].as_str())))
}

fn or_nan(value: Option<f64>) -> f64 {
    value.unwrap_or(f64::NAN)
}

fn time(ts: Option<Nanos>) -> i64 {
    ts.map_or(NO_TIME, |ts| ts.0)
}

pub(crate) fn fills_columns<'py>(
    py: Python<'py>,
    fills: &[Fill],
    instruments: &[Instrument],
    names: &[String],
) -> PyResult<Bound<'py, PyDict>> {
    let of = |fill: &Fill| instruments[fill.instrument as usize];
    let columns = PyDict::new(py);
    columns.set_item("ts", array(py, fills.iter().map(|fill| fill.ts.0)))?;
    columns.set_item("symbol", symbols(py, names, fills.iter().map(|fill| fill.instrument))?)?;
    columns.set_item("order_id", array(py, fills.iter().map(|fill| fill.order.0 as i64)))?;
    columns.set_item("side", texts(py, fills.iter().map(|fill| Some(PySide::from(fill.side).text())))?)?;
    columns.set_item("price", array(py, fills.iter().map(|fill| of(fill).tick.value(fill.price.0))))?;
    columns.set_item("size", array(py, fills.iter().map(|fill| of(fill).lot.value(fill.qty.0))))?;
    columns.set_item("fee", array(py, fills.iter().map(|fill| money(fill.fee.0))))?;
    let liquidity = fills.iter().map(|fill| Some(liquidity_text(fill.reason)));
    columns.set_item("liquidity", texts(py, liquidity)?)?;
    columns.set_item("reason", texts(py, fills.iter().map(|fill| Some(reason_text(fill.reason))))?)?;
    let ahead = fills.iter().map(|fill| or_nan(fill.ahead.map(|ahead| of(fill).lot.value(ahead.0))));
    columns.set_item("ahead", array(py, ahead))?;
    columns.set_item("position", array(py, fills.iter().map(|fill| of(fill).lot.value(fill.position.0))))?;
    columns.set_item("cash", array(py, fills.iter().map(|fill| money(fill.cash.0))))?;
    let mid = |fill: &Fill| fill.mid_half_ticks.map(|halves| half_ticks(of(fill).tick, halves));
    columns.set_item("mid", array(py, fills.iter().map(|fill| or_nan(mid(fill)))))?;
    let average = fills.iter().map(|fill| or_nan(average_price(&of(fill), fill.position, fill.cost)));
    columns.set_item("average_price", array(py, average))?;
    columns.set_item("realised_pnl", array(py, fills.iter().map(|fill| money(fill.realised.0))))?;
    columns.set_item("fees", array(py, fills.iter().map(|fill| money(fill.fees_paid.0))))?;
    Ok(columns)
}

pub(crate) fn orders_columns<'py>(
    py: Python<'py>,
    orders: &[&Order],
    instruments: &[Instrument],
    shared: &Shared,
) -> PyResult<Bound<'py, PyDict>> {
    let of = |order: &Order| instruments[order.instrument as usize];
    let rows = || orders.iter().copied();
    let columns = PyDict::new(py);
    columns.set_item("order_id", array(py, rows().map(|order| order.id.0 as i64)))?;
    columns.set_item("symbol", symbols(py, &shared.symbols, rows().map(|order| order.instrument))?)?;
    columns.set_item("side", texts(py, rows().map(|order| Some(PySide::from(order.side).text())))?)?;
    let kind = |order: &Order| Some(if order.limit.is_some() { "limit" } else { "market" });
    columns.set_item("kind", texts(py, rows().map(kind))?)?;
    columns.set_item("tif", texts(py, rows().map(|order| Some(tif_text(order.tif))))?)?;
    let limit = |order: &Order| or_nan(order.limit.map(|price| of(order).tick.value(price.0)));
    columns.set_item("price", array(py, rows().map(limit)))?;
    columns.set_item("size", array(py, rows().map(|order| of(order).lot.value(order.qty.0))))?;
    columns.set_item("filled", array(py, rows().map(|order| of(order).lot.value(order.filled.0))))?;
    let average = |order: &Order| {
        let tick = of(order).tick;
        let mean = order.filled_ticks_lots as f64 / order.filled.0 as f64;
        if order.filled == Lots::ZERO { f64::NAN } else { mean * tick.num as f64 / tick.den as f64 }
    };
    columns.set_item("average_price", array(py, rows().map(average)))?;
    let status = |order: &Order| if order.state.is_closed() { status_text(order.state) } else { "open" };
    columns.set_item("status", texts(py, rows().map(|order| Some(status(order))))?)?;
    columns.set_item("reason", texts(py, rows().map(|order| end_text(order.end)))?)?;
    let tags: Vec<_> = rows().map(|order| shared.tag_text(py, order.tag)).collect();
    columns.set_item("tag", PyList::new(py, tags)?)?;
    columns.set_item("ts_submitted", array(py, rows().map(|order| order.ts_submitted.0)))?;
    columns.set_item("ts_accepted", array(py, rows().map(|order| time(order.ts_accepted))))?;
    columns.set_item("ts_closed", array(py, rows().map(|order| time(order.ts_closed))))?;
    Ok(columns)
}

/// Pairs fills, and returns what they closed, each with its instrument, in the order of the exits.
pub(crate) fn pair_fills(
    py: Python<'_>,
    fills: &[Fill],
    instruments: &[Instrument],
    pairings: &mut [Pairing],
) -> PyResult<Vec<(u16, RoundTrip)>> {
    let mut trips = Vec::new();
    for fill in fills {
        let &Fill { ts, instrument: at, order, side, price, qty, fee, .. } = fill;
        let leg = Leg { ts, order, side, price, qty, fee: fee.0 };
        pairings[at as usize]
            .fill(&instruments[at as usize], &leg, |trip| trips.push((at, trip)))
            .map_err(|error| raise(py, "MoneyError", error.to_string()))?;
    }
    Ok(trips)
}

pub(crate) fn trades_columns<'py>(
    py: Python<'py>,
    trips: &[(u16, RoundTrip)],
    instruments: &[Instrument],
    names: &[String],
) -> PyResult<Bound<'py, PyDict>> {
    let of = |at: &u16| instruments[*at as usize];
    let columns = PyDict::new(py);
    columns.set_item("symbol", symbols(py, names, trips.iter().map(|(at, _)| *at))?)?;
    columns.set_item("size", array(py, trips.iter().map(|(at, trip)| of(at).lot.value(trip.qty.0))))?;
    columns.set_item("entry_ts", array(py, trips.iter().map(|(_, trip)| trip.entry.ts.0)))?;
    columns.set_item("exit_ts", array(py, trips.iter().map(|(_, trip)| time(trip.exit.map(|exit| exit.ts)))))?;
    let entry_price = trips.iter().map(|(at, trip)| of(at).tick.value(trip.entry.price.0));
    columns.set_item("entry_price", array(py, entry_price))?;
    let exit_price = |at: &u16, trip: &RoundTrip| or_nan(trip.exit.map(|exit| of(at).tick.value(exit.price.0)));
    columns.set_item("exit_price", array(py, trips.iter().map(|(at, trip)| exit_price(at, trip))))?;
    columns.set_item("profit", array(py, trips.iter().map(|(_, trip)| or_nan(trip.profit.map(money)))))?;
    columns.set_item("fees", array(py, trips.iter().map(|(_, trip)| money(trip.fees))))?;
    columns.set_item("entry_order", array(py, trips.iter().map(|(_, trip)| trip.entry.order.0 as i64)))?;
    let exit_order = |trip: &RoundTrip| trip.exit.map_or(-1, |exit| exit.order.0 as i64);
    columns.set_item("exit_order", array(py, trips.iter().map(|(_, trip)| exit_order(trip))))?;
    columns.set_item("is_open", array(py, trips.iter().map(|(_, trip)| trip.exit.is_none())))?;
    Ok(columns)
}
