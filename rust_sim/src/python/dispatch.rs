//! Wakes a Python strategy: the desk is lent to its handle while a handler runs.

use std::ptr;
use std::sync::Arc;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::cell::Line;
use super::desk::{Book, Handle, Shared, money, order_update};
use super::side::PySide;
use super::words::{liquidity_text, reason_text};
use crate::desk::Desk;
use crate::instrument::Instrument;
use crate::kernel::{Fill, Halt, Strategy, Wake, Wants};
use crate::types::{Lots, Ticks};

/// Best bid and ask at one moment, in natural units. A missing side has price NaN and size 0.
#[pyclass(module = "cift._sim", get_all)]
pub(crate) struct Quote {
    /// Symbol.
    symbol: Py<PyString>,
    /// When it arrived, nanoseconds since the epoch.
    ts: i64,
    /// Best bid in currency.
    bid_price: f64,
    /// Size there in units.
    bid_size: f64,
    /// Best ask in currency.
    ask_price: f64,
    /// Size there in units.
    ask_size: f64,
}

#[pymethods]
impl Quote {
    /// Half way between bid and ask.
    #[getter]
    fn mid(&self) -> f64 {
        (self.bid_price + self.ask_price) / 2.0
    }

    fn __repr__(&self) -> String {
        format!("<quote {} @ {} | {} @ {}>", self.bid_size, self.bid_price, self.ask_size, self.ask_price)
    }
}

/// A print of the market, in natural units.
#[pyclass(module = "cift._sim", get_all)]
pub(crate) struct TradeTick {
    /// Symbol.
    symbol: Py<PyString>,
    /// When it arrived, nanoseconds since the epoch.
    ts: i64,
    /// Price in currency.
    price: f64,
    /// Size in units.
    size: f64,
    /// Who took; None where the record does not say.
    aggressor: Option<PySide>,
}

#[pymethods]
impl TradeTick {
    fn __repr__(&self) -> String {
        let by = self.aggressor.map_or("", PySide::text);
        format!("<trade {} @ {} {by}>", self.size, self.price)
    }
}

/// A fill of an order of the strategy, in natural units.
#[pyclass(module = "cift._sim", frozen, get_all)]
pub(crate) struct FillUpdate {
    /// Symbol.
    symbol: Py<PyString>,
    /// When it happened at the venue, nanoseconds since the epoch.
    ts: i64,
    /// The order.
    order_id: u64,
    /// Side.
    side: PySide,
    /// Price in currency.
    price: f64,
    /// Size in units.
    size: f64,
    /// Fee in currency; negative for a rebate.
    fee: f64,
    /// "maker" or "taker".
    liquidity: &'static str,
    /// took, queue, crossed or swept.
    reason: &'static str,
    /// Size that stood ahead when the order joined its queue; None for a taker.
    ahead: Option<f64>,
    /// Position after it, in units.
    position: f64,
    /// Cash after it.
    cash: f64,
}

#[pymethods]
impl FillUpdate {
    fn __repr__(&self) -> String {
        format!(
            "<fill of order {}: {} {} @ {} ({})>",
            self.order_id,
            self.side.text(),
            self.size,
            self.price,
            self.reason
        )
    }
}

/// One instrument of the run, as Python objects.
struct Seat {
    instrument: Instrument,
    symbol: Py<PyString>,
    book: Py<Book>,
    quote: Option<Py<Quote>>,
    trade: Option<Py<TradeTick>>,
}

/// The handlers that a strategy may have, by place in [`Handlers`].
const NAMES: [&str; 8] = ["on_start", "on_trade", "on_quote", "on_book", "on_order", "on_fill", "on_timer", "on_stop"];
const START: usize = 0;
const TRADE: usize = 1;
const QUOTE: usize = 2;
const BOOK: usize = 3;
const ORDER: usize = 4;
const FILL: usize = 5;
const TIMER: usize = 6;
const STOP: usize = 7;

/// What is to be called.
#[derive(Clone, Copy)]
enum Handler {
    Named(usize),
    Condition(u32),
}

/// The handlers that a strategy has.
pub(crate) struct Handlers([Option<Py<PyAny>>; NAMES.len()]);

impl Handlers {
    /// Picks the handlers out of a dict by name.
    pub(crate) fn new(named: &Bound<'_, PyDict>) -> PyResult<Self> {
        let mut handlers = Handlers([const { None }; NAMES.len()]);
        for (slot, name) in handlers.0.iter_mut().zip(NAMES) {
            *slot = named.get_item(name)?.map(Bound::unbind);
        }
        Ok(handlers)
    }

    fn get(&self, which: usize) -> Option<&Py<PyAny>> {
        self.0[which].as_ref()
    }

    fn has(&self, which: usize) -> bool {
        self.0[which].is_some()
    }
}

/// A strategy written in Python.
pub(crate) struct PyStrategy {
    pub(crate) shared: Arc<Shared>,
    handlers: Handlers,
    /// Takes the desk's place while it is lent.
    spare: Box<Desk>,
    seats: Vec<Seat>,
    /// What `when` calls, by number of the condition.
    pub(crate) conditions: Vec<Py<PyAny>>,
    pub(crate) lines: Vec<Line>,
    /// What a handler raised.
    pub(crate) error: Option<PyErr>,
}

/// Calls a Python function with at most one argument, without building a tuple for it.
fn call(py: Python<'_>, function: &Py<PyAny>, argument: *mut ffi::PyObject) -> PyResult<()> {
    let none = ptr::null_mut::<ffi::PyObject>();
    // SAFETY: the interpreter is attached, `function` is alive, and the list of arguments ends with a null pointer.
    let result = unsafe { ffi::PyObject_CallFunctionObjArgs(function.as_ptr(), argument, none) };
    // SAFETY: the call returned a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, result) }.map(drop)
}

/// Whether nobody but the caller holds an object, so that it can be used again for the next event.
fn is_unshared<T>(object: &Py<T>) -> bool {
    // SAFETY: the caller is attached to the interpreter, and the pointer is that of a live object.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) == 1 }
}

impl PyStrategy {
    pub(crate) fn new(
        py: Python<'_>,
        shared: Arc<Shared>,
        handlers: Handlers,
        handles: &[Py<Handle>],
        instruments: &[Instrument],
    ) -> Self {
        let seat = |(handle, instrument): (&Py<Handle>, &Instrument)| Seat {
            instrument: *instrument,
            symbol: handle.get().symbol_text(py),
            book: handle.get().view(py),
            quote: None,
            trade: None,
        };
        let seats = handles.iter().zip(instruments).map(seat).collect();
        PyStrategy {
            shared,
            handlers,
            spare: Box::default(),
            seats,
            conditions: Vec::new(),
            lines: Vec::new(),
            error: None,
        }
    }

    /// Whether some handler runs at nearly every row, so that the interpreter is better kept.
    pub(crate) fn is_dense(&self) -> bool {
        [TRADE, QUOTE, BOOK].into_iter().any(|which| self.handlers.has(which))
    }

    fn quote(seat: &mut Seat, py: Python<'_>, desk: &Desk, at: u16) -> PyResult<Py<Quote>> {
        let market = &desk.markets[at as usize];
        let (tick, lot) = (seat.instrument.tick, seat.instrument.lot);
        let side = |touch: Option<(Ticks, Lots)>| {
            touch.map_or((f64::NAN, 0.0), |(price, qty)| (tick.value(price.0), lot.value(qty.0)))
        };
        let ((bid_price, bid_size), (ask_price, ask_size)) = (side(market.bid), side(market.ask));
        let ts = desk.now.0;
        match seat.quote.as_ref().filter(|quote| is_unshared(quote)) {
            Some(quote) => {
                let mut fields = quote.borrow_mut(py);
                fields.ts = ts;
                fields.bid_price = bid_price;
                fields.bid_size = bid_size;
                fields.ask_price = ask_price;
                fields.ask_size = ask_size;
            }
            None => {
                let symbol = seat.symbol.clone_ref(py);
                let quote = Quote { symbol, ts, bid_price, bid_size, ask_price, ask_size };
                seat.quote = Some(Py::new(py, quote)?);
            }
        }
        // Taken out for the call, so that it counts one reference while nobody else has kept it.
        seat.quote.take().ok_or_else(|| pyo3::exceptions::PyRuntimeError::new_err("a quote was not made"))
    }

    fn trade(seat: &mut Seat, py: Python<'_>, desk: &Desk, at: u16) -> PyResult<Option<Py<TradeTick>>> {
        let Some(print) = desk.markets[at as usize].last else { return Ok(None) };
        let price = seat.instrument.tick.value_past(print.price.0, print.past_nano);
        let size = seat.instrument.lot.value(print.qty.0);
        let aggressor = print.aggressor.map(PySide::from);
        let ts = desk.now.0;
        match seat.trade.as_ref().filter(|trade| is_unshared(trade)) {
            Some(trade) => {
                let mut fields = trade.borrow_mut(py);
                fields.ts = ts;
                fields.price = price;
                fields.size = size;
                fields.aggressor = aggressor;
            }
            None => {
                let symbol = seat.symbol.clone_ref(py);
                seat.trade = Some(Py::new(py, TradeTick { symbol, ts, price, size, aggressor })?);
            }
        }
        Ok(seat.trade.take())
    }

    /// Calls a handler while its handles have the desk.
    #[allow(clippy::borrowed_box)]
    #[inline]
    fn call_with_desk(
        &mut self,
        py: Python<'_>,
        desk: &mut Box<Desk>,
        handler: Handler,
        argument: *mut ffi::PyObject,
    ) -> PyResult<()> {
        let function = match handler {
            Handler::Named(which) => self.handlers.get(which),
            Handler::Condition(number) => self.conditions.get(number as usize),
        };
        let Some(function) = function else { return Ok(()) };
        self.shared.lend(std::mem::replace(desk, std::mem::take(&mut self.spare)));
        let result = call(py, function, argument);
        if let Some(lent) = self.shared.take_back() {
            self.spare = std::mem::replace(desk, lent);
        }
        result
    }

    #[allow(clippy::borrowed_box)]
    fn wake_python(&mut self, py: Python<'_>, desk: &mut Box<Desk>, wake: Wake<'_>) -> PyResult<()> {
        // What the handler gets is built before the desk is lent.
        let nothing = ptr::null_mut();
        match wake {
            Wake::Start => self.call_with_desk(py, desk, Handler::Named(START), nothing),
            Wake::Stop => self.call_with_desk(py, desk, Handler::Named(STOP), nothing),
            Wake::Trade(at) => {
                let Some(trade) = Self::trade(&mut self.seats[at as usize], py, desk, at)? else { return Ok(()) };
                let result = self.call_with_desk(py, desk, Handler::Named(TRADE), trade.as_ptr());
                self.seats[at as usize].trade = Some(trade);
                result
            }
            Wake::Quote(at) => {
                let quote = Self::quote(&mut self.seats[at as usize], py, desk, at)?;
                let result = self.call_with_desk(py, desk, Handler::Named(QUOTE), quote.as_ptr());
                self.seats[at as usize].quote = Some(quote);
                result
            }
            Wake::Book(at) => {
                let book = self.seats[at as usize].book.as_ptr();
                self.call_with_desk(py, desk, Handler::Named(BOOK), book)
            }
            Wake::When(condition) => self.call_with_desk(py, desk, Handler::Condition(condition), nothing),
            Wake::Order(order) => {
                let seat = &self.seats[order.instrument as usize];
                let update = order_update(py, order, &self.shared, &seat.instrument, &seat.symbol);
                let update = Py::new(py, update)?;
                self.call_with_desk(py, desk, Handler::Named(ORDER), update.as_ptr())
            }
            Wake::Fill(fill) => {
                let update = Py::new(py, fill_update(py, fill, &self.seats[fill.instrument as usize]))?;
                self.call_with_desk(py, desk, Handler::Named(FILL), update.as_ptr())
            }
            Wake::Timer(timer) => {
                let timer = timer.into_pyobject(py)?;
                self.call_with_desk(py, desk, Handler::Named(TIMER), timer.as_ptr())
            }
            Wake::Alarm(_) => Ok(()),
        }
    }
}

fn fill_update(py: Python<'_>, fill: &Fill, seat: &Seat) -> FillUpdate {
    let (tick, lot) = (seat.instrument.tick, seat.instrument.lot);
    FillUpdate {
        symbol: seat.symbol.clone_ref(py),
        ts: fill.ts.0,
        order_id: fill.order.0,
        side: fill.side.into(),
        price: tick.value(fill.price.0),
        size: lot.value(fill.qty.0),
        fee: money(fill.fee.0),
        liquidity: liquidity_text(fill.reason),
        reason: reason_text(fill.reason),
        ahead: fill.ahead.map(|ahead| lot.value(ahead.0)),
        position: lot.value(fill.position.0),
        cash: money(fill.cash.0),
    }
}

impl Strategy for PyStrategy {
    fn wants(&self) -> Wants {
        Wants {
            trades: self.handlers.has(TRADE),
            quotes: self.handlers.has(QUOTE),
            books: self.handlers.has(BOOK),
            orders: self.handlers.has(ORDER),
            fills: self.handlers.has(FILL),
        }
    }

    #[inline]
    fn wake(&mut self, desk: &mut Box<Desk>, wake: Wake<'_>) -> Result<(), Halt> {
        for line in &self.lines {
            let market = &desk.markets[line.instrument as usize];
            line.show(if line.on_prints { market.trade_rows } else { market.quote_rows });
        }
        Python::attach(|py| {
            self.wake_python(py, desk, wake).map_err(|error| {
                let halt = Halt(error.to_string());
                self.error = Some(error);
                halt
            })
        })
    }
}
