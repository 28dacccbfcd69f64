//! The book that a strategy sees.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyString;

use super::{Shared, half_ticks};
use crate::book::{PriceLevel, RestingOrder};
use crate::instrument::Instrument;
use crate::python::side::side_of;
use crate::types::{Family, Lots, OrderId, Side, Ticks};

/// The book of one instrument as it arrived, without the strategy's own orders.
#[pyclass(module = "cift._sim", frozen)]
pub(crate) struct Book {
    pub(super) shared: Arc<Shared>,
    pub(super) at: u16,
    pub(super) instrument: Instrument,
    pub(super) symbol: Py<PyString>,
}

/// Price, size and number of orders of a level.
type LevelRow = (f64, f64, u32);

impl Book {
    fn touch<T>(&self, py: Python<'_>, side: Side, of: impl FnOnce(Ticks, Lots) -> T) -> PyResult<Option<T>> {
        self.shared.with(py, |desk| Ok(desk.markets[self.at as usize].touch(side).map(|(price, qty)| of(price, qty))))
    }

    fn both<T>(&self, py: Python<'_>, of: impl FnOnce((Ticks, Lots), (Ticks, Lots)) -> T) -> PyResult<Option<T>> {
        self.shared.with(py, |desk| {
            let market = &desk.markets[self.at as usize];
            Ok(market.bid.zip(market.ask).map(|(bid, ask)| of(bid, ask)))
        })
    }
}

#[pymethods]
impl Book {
    /// The symbol.
    #[getter]
    fn symbol(&self, py: Python<'_>) -> Py<PyString> {
        self.symbol.clone_ref(py)
    }

    /// Best bid price; None where the side is empty.
    #[getter]
    fn bid(&self, py: Python<'_>) -> PyResult<Option<f64>> {
        self.touch(py, Side::Buy, |price, _| self.instrument.tick.value(price.0))
    }

    /// Best ask price; None where the side is empty.
    #[getter]
    fn ask(&self, py: Python<'_>) -> PyResult<Option<f64>> {
        self.touch(py, Side::Sell, |price, _| self.instrument.tick.value(price.0))
    }

    /// Size at the best bid; None where the side is empty.
    #[getter]
    fn bid_size(&self, py: Python<'_>) -> PyResult<Option<f64>> {
        self.touch(py, Side::Buy, |_, qty| self.instrument.lot.value(qty.0))
    }

    /// Size at the best ask; None where the side is empty.
    #[getter]
    fn ask_size(&self, py: Python<'_>) -> PyResult<Option<f64>> {
        self.touch(py, Side::Sell, |_, qty| self.instrument.lot.value(qty.0))
    }

    /// Half way between best bid and best ask; None where a side is empty.
    #[getter]
    fn mid(&self, py: Python<'_>) -> PyResult<Option<f64>> {
        let tick = self.instrument.tick;
        self.both(py, |bid, ask| half_ticks(tick, bid.0.0 + ask.0.0))
    }

    /// Best ask less best bid; None where a side is empty.
    #[getter]
    fn spread(&self, py: Python<'_>) -> PyResult<Option<f64>> {
        self.both(py, |bid, ask| self.instrument.tick.value(ask.0.0 - bid.0.0))
    }

    /// The levels of a side, best first: a list of (price, size, orders). Where the feed names no orders, they count as one.
    #[pyo3(signature = (side, most=10))]
    fn depth(&self, py: Python<'_>, side: &Bound<'_, PyAny>, most: usize) -> PyResult<Vec<LevelRow>> {
        let side = side_of(side)?;
        let (tick, lot) = (self.instrument.tick, self.instrument.lot);
        let row = |level: PriceLevel| (tick.value(level.price.0), lot.value(level.qty.0), level.orders);
        self.shared.with(py, |desk| Ok(desk.markets[self.at as usize].depth(side, most).into_iter().map(row).collect()))
    }

    /// The orders at a price, oldest first: a list of (order id, size). Empty where the feed names no orders.
    fn queue(&self, py: Python<'_>, side: &Bound<'_, PyAny>, price: f64) -> PyResult<Vec<(u64, f64)>> {
        let side = side_of(side)?;
        let Ok(ticks) = self.instrument.tick.count(price) else { return Ok(Vec::new()) };
        let lot = self.instrument.lot;
        self.shared.with(py, |desk| {
            let Some(book) = desk.markets[self.at as usize].book() else { return Ok(Vec::new()) };
            let is_named = |order: &RestingOrder| order.family == Family::Record && order.id != OrderId(0);
            let orders = book.queue(side, Ticks(ticks)).filter(is_named);
            Ok(orders.map(|order| (order.id.0, lot.value(order.qty.0))).collect())
        })
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let side =
            |touch: Option<(f64, f64)>| touch.map_or("none".to_owned(), |(price, size)| format!("{size} @ {price}"));
        let (tick, lot) = (self.instrument.tick, self.instrument.lot);
        let bid = side(self.touch(py, Side::Buy, |price, qty| (tick.value(price.0), lot.value(qty.0)))?);
        let ask = side(self.touch(py, Side::Sell, |price, qty| (tick.value(price.0), lot.value(qty.0)))?);
        Ok(format!("<book {}: bid {bid}, ask {ask}>", self.shared.symbols[self.at as usize]))
    }
}
