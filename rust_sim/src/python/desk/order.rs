//! An order of the strategy, as answers have told it.

use pyo3::prelude::*;
use pyo3::types::PyString;

use super::Shared;
use crate::instrument::Instrument;
use crate::order::Order;
use crate::python::side::PySide;
use crate::python::words::{end_text, status_text};

/// An order of the strategy as answers have told it, in natural units.
#[pyclass(module = "cift._sim", frozen, get_all)]
pub(crate) struct OrderUpdate {
    /// Its id: the count of the strategy's orders.
    id: u64,
    /// Symbol.
    symbol: Py<PyString>,
    /// Side.
    side: PySide,
    /// Limit price in currency; None for a market order.
    price: Option<f64>,
    /// Total size in units.
    size: f64,
    /// Size that has traded.
    filled: f64,
    /// Size still open.
    left: f64,
    /// sent, open, partially filled, replace sent, cancel sent, filled, cancelled or rejected.
    status: &'static str,
    /// Why it was cancelled or rejected.
    reason: Option<&'static str>,
    /// Size that stood ahead when it joined its queue; None while it is not known.
    ahead: Option<f64>,
    /// The label it was sent with.
    tag: Option<Py<PyString>>,
    /// When it was sent, nanoseconds since the epoch.
    ts_submitted: i64,
}

#[pymethods]
impl OrderUpdate {
    /// Whether nothing more can happen to it.
    #[getter]
    fn is_closed(&self) -> bool {
        matches!(self.status, "filled" | "cancelled" | "rejected")
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let price = self.price.map_or("market".to_owned(), |price| price.to_string());
        let (id, side, size, status) = (self.id, self.side.text(), self.size, self.status);
        format!("<order {id} {side} {size} {} at {price}: {status}, {} filled>", self.symbol.bind(py), self.filled)
    }
}

pub(crate) fn order_update(
    py: Python<'_>,
    order: &Order,
    shared: &Shared,
    instrument: &Instrument,
    symbol: &Py<PyString>,
) -> OrderUpdate {
    let (tick, lot) = (instrument.tick, instrument.lot);
    OrderUpdate {
        id: order.id.0,
        symbol: symbol.clone_ref(py),
        side: order.side.into(),
        price: order.limit.map(|price| tick.value(price.0)),
        size: lot.value(order.qty.0),
        filled: lot.value(order.filled.0),
        left: lot.value(order.open().0),
        status: status_text(order.state),
        reason: end_text(order.end),
        ahead: order.ahead.map(|ahead| lot.value(ahead.0)),
        tag: shared.tag_text(py, order.tag),
        ts_submitted: order.ts_submitted.0,
    }
}
