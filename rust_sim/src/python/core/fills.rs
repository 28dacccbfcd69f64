//! Fills: one, and those that an input led to.

use numpy::PyArray1;
use pyo3::exceptions::{PyIndexError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PySlice};

use super::arguments::{Id, PriceTicks, QtyLots, SideArgument, TsNs};
use crate::matching::{CancelReason, FillReason, Party, Trade};
use crate::python::errors::raise;
use crate::python::side::PySide;
use crate::python::words::{cancel_text, reason_text};
use crate::types::{Nanos, Side};

/// Who stood on the other side of a fill.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
enum Counter {
    Order,
    Record,
    Market,
}

/// One fill, from the view of one order.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FillRow {
    pub(super) price: i64,
    pub(super) qty: i64,
    pub(super) side: Side,
    reason: u8,
    counter: Counter,
    order: u64,
    counter_id: u64,
    ts: i64,
}

impl FillRow {
    pub(super) fn of(trade: &Trade, own: Party, other: Party, side: Side, reason: FillReason, ts: Nanos) -> Self {
        let order = match own {
            Party::Order { id, .. } | Party::Record(id) => id.0,
            Party::Market => 0,
        };
        let (counter, counter_id) = match other {
            Party::Order { id, .. } => (Counter::Order, id.0),
            Party::Record(id) => (Counter::Record, id.0),
            Party::Market => (Counter::Market, 0),
        };
        FillRow {
            price: trade.price.0,
            qty: trade.qty.0,
            side,
            reason: reason as u8,
            counter,
            order,
            counter_id,
            ts: ts.0,
        }
    }

    fn reason(&self) -> FillReason {
        match self.reason {
            2 => FillReason::Queue,
            3 => FillReason::Crossed,
            4 => FillReason::Swept,
            _ => FillReason::Took,
        }
    }
}

/// One fill of an order, in whole ticks and lots.
///
/// Args:
///     side: which way the order trades.
///     price_ticks: price in ticks.
///     qty_lots: size in lots, at least 1.
///     ts_ns: when, ns since the epoch.
///     order_id: the order that was filled.
///
/// Raises:
///     InvalidParameter: a number out of range or not whole, or an unknown side.
#[pyclass(name = "Fill", module = "cift._sim", frozen, eq, hash)]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PyFill {
    pub(super) row: FillRow,
}

#[pymethods]
impl PyFill {
    #[new]
    #[pyo3(
        signature = (*, side, price_ticks, qty_lots, ts_ns=TsNs(0), order_id=Id(0)),
        text_signature = "(*, side, price_ticks, qty_lots, ts_ns=0, order_id=0)"
    )]
    fn new(side: SideArgument, price_ticks: PriceTicks, qty_lots: QtyLots, ts_ns: TsNs, order_id: Id) -> Self {
        let row = FillRow {
            price: price_ticks.0,
            qty: qty_lots.0,
            side: side.0,
            reason: FillReason::Took as u8,
            counter: Counter::Market,
            order: order_id.0,
            counter_id: 0,
            ts: ts_ns.0,
        };
        PyFill { row }
    }

    /// The order that was filled.
    #[getter]
    fn order_id(&self) -> u64 {
        self.row.order
    }

    /// Which way that order trades.
    #[getter]
    fn side(&self) -> PySide {
        self.row.side.into()
    }

    /// Price in ticks.
    #[getter]
    fn price_ticks(&self) -> i64 {
        self.row.price
    }

    /// Size in lots.
    #[getter]
    fn qty_lots(&self) -> i64 {
        self.row.qty
    }

    /// When, ns since the epoch.
    #[getter]
    fn ts_ns(&self) -> i64 {
        self.row.ts
    }

    /// "took" (it arrived and took), "queue" (an execution reached its place), "crossed" (a recorded order came through its
    /// price) or "swept" (an execution at a worse price went through it).
    #[getter]
    fn reason(&self) -> &'static str {
        reason_text(self.row.reason())
    }

    /// Who stood on the other side: "order" (one that the engine matches), "record" (a recorded one) or "market" (history
    /// that names nobody).
    #[getter]
    fn counter(&self) -> &'static str {
        match self.row.counter {
            Counter::Order => "order",
            Counter::Record => "record",
            Counter::Market => "market",
        }
    }

    /// The id of the order on the other side; None where the record names nobody.
    #[getter]
    fn counter_id(&self) -> Option<u64> {
        (self.row.counter != Counter::Market).then_some(self.row.counter_id)
    }

    fn __repr__(&self) -> String {
        let FillRow { order, side, price, qty, .. } = self.row;
        format!("<fill of #{order}: {} {qty} lots at {price} ticks ({})>", PySide::from(side).text(), self.reason())
    }
}

/// The fills that one input led to, oldest first, and what became of the order that was sent.
///
/// A sequence of `Fill`: it has a length, takes indices and slices, and adds to another. The rows stay in the engine's own
/// form until they are looked at, so statistics over many fills make no Python objects.
///
/// Args:
///     fills: any iterable of `Fill`.
///
/// Raises:
///     InvalidParameter: where one of them is not a `Fill`.
#[pyclass(module = "cift._sim", frozen)]
pub(crate) struct Fills {
    pub(super) rows: Vec<FillRow>,
    /// The order that was sent or changed; None where the input was a record.
    pub(super) order: Option<u64>,
    pub(super) resting: i64,
    pub(super) cancelled: i64,
    pub(super) reason: Option<CancelReason>,
    pub(super) prevented: Vec<u64>,
}

impl Fills {
    pub(super) fn of(rows: Vec<FillRow>) -> Self {
        Fills { rows, order: None, resting: 0, cancelled: 0, reason: None, prevented: Vec::new() }
    }
}

#[pymethods]
impl Fills {
    #[new]
    #[pyo3(signature = (fills))]
    pub(super) fn new(fills: &Bound<'_, PyAny>) -> PyResult<Self> {
        let mut rows = Vec::new();
        for (at, fill) in fills.try_iter()?.enumerate() {
            rows.push(row_of(&fill?, at)?);
        }
        Ok(Fills::of(rows))
    }

    /// The order that was sent or changed; None where the fills come from a record, or from several inputs.
    #[getter]
    fn order_id(&self) -> Option<u64> {
        self.order
    }

    /// What of that order rests in the book now, in lots.
    #[getter]
    fn resting_lots(&self) -> i64 {
        self.resting
    }

    /// What of that order was cancelled instead of traded, in lots.
    #[getter]
    fn cancelled_lots(&self) -> i64 {
        self.cancelled
    }

    /// Why it was cancelled; None where nothing was.
    #[getter]
    fn cancel_reason(&self) -> Option<&'static str> {
        self.reason.map(cancel_text)
    }

    /// Ids of resting orders that self-trade prevention cancelled on the way.
    #[getter]
    fn prevented(&self) -> Vec<u64> {
        self.prevented.clone()
    }

    /// The sum of all sizes, in lots.
    #[getter]
    fn filled_lots(&self) -> i64 {
        self.rows.iter().fold(0_i64, |sum, row| sum.saturating_add(row.qty))
    }

    /// The fills as columns: a dict of NumPy arrays of one length: `order_id`, `counter_id` (uint64, 0 for none), `sign` (int8,
    /// +1 for a buy), `price_ticks`, `qty_lots` and `ts_ns` (int64).
    fn to_numpy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let columns = PyDict::new(py);
        let rows = || self.rows.iter();
        columns.set_item("order_id", PyArray1::from_iter(py, rows().map(|row| row.order)))?;
        columns.set_item("counter_id", PyArray1::from_iter(py, rows().map(|row| row.counter_id)))?;
        columns.set_item("sign", PyArray1::from_iter(py, rows().map(|row| row.side.sign() as i8)))?;
        columns.set_item("price_ticks", PyArray1::from_iter(py, rows().map(|row| row.price)))?;
        columns.set_item("qty_lots", PyArray1::from_iter(py, rows().map(|row| row.qty)))?;
        columns.set_item("ts_ns", PyArray1::from_iter(py, rows().map(|row| row.ts)))?;
        Ok(columns)
    }

    fn __len__(&self) -> usize {
        self.rows.len()
    }

    fn __getitem__<'py>(&self, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = index.py();
        if let Ok(slice) = index.cast::<PySlice>() {
            let indices = slice.indices(self.rows.len() as isize)?;
            let mut at = indices.start;
            let mut rows = Vec::with_capacity(indices.slicelength);
            for _ in 0..indices.slicelength {
                rows.push(self.rows[at as usize]);
                at += indices.step;
            }
            return Ok(Bound::new(py, Fills::of(rows))?.into_any());
        }
        let Ok(at) = index.extract::<isize>() else {
            return Err(PyTypeError::new_err("fills are indexed by whole numbers or slices"));
        };
        let from_start = if at < 0 { at.checked_add(self.rows.len() as isize) } else { Some(at) };
        let row = from_start.and_then(|at| usize::try_from(at).ok()).and_then(|at| self.rows.get(at));
        match row {
            Some(row) => Ok(Bound::new(py, PyFill { row: *row })?.into_any()),
            None => Err(PyIndexError::new_err(format!("fill {at} of {}", self.rows.len()))),
        }
    }

    fn __iter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        // SAFETY: the interpreter is attached and `slf` is alive; the call returns a new reference, or null with an exception.
        unsafe { Bound::from_owned_ptr_or_err(slf.py(), ffi::PySeqIter_New(slf.as_ptr())) }
    }

    fn __add__(&self, other: &Bound<'_, Fills>) -> Fills {
        Fills::of(self.rows.iter().chain(&other.get().rows).copied().collect())
    }

    fn __repr__(&self) -> String {
        let of = self.order.map_or(String::new(), |order| format!(" of order #{order}"));
        let rests = if self.resting > 0 { format!(", {} resting", self.resting) } else { String::new() };
        let gone = match self.reason {
            Some(reason) => format!(", {} cancelled ({})", self.cancelled, cancel_text(reason)),
            None => String::new(),
        };
        format!("<{} fills{of}: {} lots{rests}{gone}>", self.rows.len(), self.filled_lots())
    }
}

fn row_of(value: &Bound<'_, PyAny>, at: usize) -> PyResult<FillRow> {
    match value.cast::<PyFill>() {
        Ok(fill) => Ok(fill.get().row),
        Err(_) => Err(not_a_fill(value.py(), at)),
    }
}

#[cold]
pub(super) fn not_a_fill(py: Python<'_>, at: usize) -> PyErr {
    raise(py, "InvalidParameter", format!("element {at} is not a Fill; pass the Fills of an engine, or a list of Fill"))
}
