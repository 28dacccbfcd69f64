//! The strategy's desk in Python: verbs and views of one instrument, in natural units.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyString;

use super::errors::raise;
use super::side::PySide;
use crate::account::Money;
use crate::book::PriceLevel;
use crate::desk::{Desk, DeskError, Ticket};
use crate::instrument::{Instrument, OffStep};
use crate::matching::{CancelReason, RejectReason, SelfTrade, TimeInForce};
use crate::order::{Order, OrderEnd, OrderState};
use crate::types::{Family, Lots, Nanos, OrderId, Side, Ticks};

/// Money units to natural units.
pub(crate) fn money(amount: i128) -> f64 {
    amount as f64 / 1e18
}

/// What the handlers of one run share: the desk while a handler runs, and what gives its numbers their names.
pub(crate) struct Shared {
    pub(crate) desk: Mutex<Option<Box<Desk>>>,
    pub(crate) symbols: Vec<String>,
    pub(crate) tags: Mutex<Tags>,
}

/// The labels of orders: each distinct one is kept once, and has a number.
#[derive(Default)]
pub(crate) struct Tags {
    numbers: BTreeMap<String, u32>,
    texts: Vec<Py<PyString>>,
}

impl Tags {
    fn number(&mut self, py: Python<'_>, text: &str) -> u32 {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let number = self.texts.len() as u32;
        self.numbers.insert(text.to_owned(), number);
        self.texts.push(PyString::new(py, text).unbind());
        number
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn lend(&self, desk: Box<Desk>) {
        *lock(&self.desk) = Some(desk);
    }

    pub(crate) fn take_back(&self) -> Option<Box<Desk>> {
        lock(&self.desk).take()
    }

    pub(crate) fn tag_text(&self, py: Python<'_>, tag: Option<u32>) -> Option<Py<PyString>> {
        tag.and_then(|tag| lock(&self.tags).texts.get(tag as usize).map(|text| text.clone_ref(py)))
    }

    fn tag(&self, py: Python<'_>, text: &str) -> u32 {
        lock(&self.tags).number(py, text)
    }

    /// Runs `action` on the desk, which is there while a handler runs and after the run.
    fn with<T>(&self, py: Python<'_>, action: impl FnOnce(&mut Desk) -> PyResult<T>) -> PyResult<T> {
        match lock(&self.desk).as_deref_mut() {
            Some(desk) => action(desk),
            None => Err(raise(
                py,
                "CiftError",
                "verbs and views work inside a handler, while the simulation waits for it; not from another thread, \
                 and not before the run has begun"
                    .to_owned(),
            )),
        }
    }
}

pub(crate) fn reject_text(reason: RejectReason) -> &'static str {
    match reason {
        RejectReason::SizeOutOfRange => "size out of range",
        RejectReason::PriceOutOfRange => "price out of range",
        RejectReason::DuplicateId => "duplicate id",
        RejectReason::UnknownOrder => "unknown order",
        RejectReason::WouldTrade => "post-only order would have traded",
        RejectReason::PostOnlyConflict => "post-only conflicts with the order type",
        RejectReason::OwnerOutOfRange => "owner out of range",
        RejectReason::LevelOverflow => "total size at the price would overflow",
    }
}

pub(crate) fn cancel_text(reason: CancelReason) -> &'static str {
    match reason {
        CancelReason::Requested => "requested",
        CancelReason::Immediate => "immediate or cancel",
        CancelReason::FillOrKill => "fill or kill",
        CancelReason::NoLiquidity => "no liquidity",
        CancelReason::SelfTrade => "self-trade prevention",
        CancelReason::ModifiedAway => "modified to less than filled",
    }
}

pub(crate) fn end_text(end: OrderEnd) -> Option<&'static str> {
    match end {
        OrderEnd::None => None,
        OrderEnd::Rejected(reason) => Some(reject_text(reason)),
        OrderEnd::Cancelled(reason) => Some(cancel_text(reason)),
    }
}

pub(crate) fn status_text(state: OrderState) -> &'static str {
    match state {
        OrderState::PendingNew => "sent",
        OrderState::New => "open",
        OrderState::PartiallyFilled => "partially filled",
        OrderState::PendingReplace => "replace sent",
        OrderState::PendingCancel => "cancel sent",
        OrderState::Filled => "filled",
        OrderState::Canceled => "cancelled",
        OrderState::Rejected => "rejected",
    }
}

pub(crate) fn tif_text(tif: TimeInForce) -> &'static str {
    match tif {
        TimeInForce::Gtc => "GTC",
        TimeInForce::Ioc => "IOC",
        TimeInForce::Fok => "FOK",
    }
}

pub(crate) fn parse_tif(py: Python<'_>, text: &str) -> PyResult<TimeInForce> {
    match text {
        "GTC" => Ok(TimeInForce::Gtc),
        "IOC" => Ok(TimeInForce::Ioc),
        "FOK" => Ok(TimeInForce::Fok),
        other => Err(raise(
            py,
            "UnknownName",
            format!("tif {other:?} is not known; supported are \"GTC\", \"IOC\" and \"FOK\""),
        )),
    }
}

pub(crate) fn parse_self_trade(py: Python<'_>, text: Option<&str>) -> PyResult<SelfTrade> {
    match text {
        None => Ok(SelfTrade::Allow),
        Some("cancel_newest") => Ok(SelfTrade::CancelNewest),
        Some("cancel_oldest") => Ok(SelfTrade::CancelOldest),
        Some("cancel_both") => Ok(SelfTrade::CancelBoth),
        Some(other) => Err(raise(
            py,
            "UnknownName",
            format!(
                "self_trade {other:?} is not known; supported are None, \"cancel_newest\", \"cancel_oldest\" and \
                 \"cancel_both\""
            ),
        )),
    }
}

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

/// The verbs and views of one instrument.
#[pyclass(module = "cift._sim", frozen)]
pub(crate) struct Handle {
    shared: Arc<Shared>,
    at: u16,
    instrument: Instrument,
    book: Py<Book>,
    symbol: Py<PyString>,
}

impl Handle {
    pub(crate) fn new(py: Python<'_>, shared: Arc<Shared>, at: u16, instrument: Instrument) -> PyResult<Self> {
        let symbol = PyString::new(py, &shared.symbols[at as usize]).unbind();
        let book = Py::new(py, Book { shared: shared.clone(), at, instrument, symbol: symbol.clone_ref(py) })?;
        Ok(Handle { shared, at, instrument, book, symbol })
    }

    pub(crate) fn view(&self, py: Python<'_>) -> Py<Book> {
        self.book.clone_ref(py)
    }

    pub(crate) fn symbol_text(&self, py: Python<'_>) -> Py<PyString> {
        self.symbol.clone_ref(py)
    }

    fn name(&self) -> &str {
        &self.shared.symbols[self.at as usize]
    }

    fn lots(&self, py: Python<'_>, size: f64) -> PyResult<Lots> {
        match self.instrument.lot.count(size) {
            Ok(lots) => Ok(Lots(lots)),
            Err(_) => {
                let lot = self.instrument.lot.value(1);
                let name = self.name();
                let text = format!("size {size} is not a whole number of {name}'s lots of {lot}; round it first");
                Err(raise(py, "OffLotSize", text))
            }
        }
    }

    /// A positive size.
    fn order_lots(&self, py: Python<'_>, size: f64) -> PyResult<Lots> {
        let lots = self.lots(py, size)?;
        if lots.in_range() {
            return Ok(lots);
        }
        let text = format!("size {size} cannot be sent; a size is positive, and buy or sell gives the direction");
        Err(raise(py, "OrderError", text))
    }

    fn ticks(&self, py: Python<'_>, price: f64, rounding: Option<&str>) -> PyResult<Ticks> {
        let grid = self.instrument.increment_ticks;
        let counted = self.instrument.tick.count(price);
        let (below, exact) = match counted {
            Ok(ticks) => (ticks.div_euclid(grid) * grid, ticks % grid == 0),
            Err(OffStep::Between(below)) => (below.div_euclid(grid) * grid, false),
            Err(_) => {
                return Err(raise(py, "OffTickPrice", format!("price {price} is not a price; pass a finite number")));
            }
        };
        if exact {
            return Ok(Ticks(below));
        }
        let middle = self.instrument.tick.value(below) + self.instrument.tick.value(grid) / 2.0;
        match rounding {
            Some("down") => Ok(Ticks(below)),
            Some("up") => Ok(Ticks(below + grid)),
            Some("nearest") => Ok(Ticks(if price < middle { below } else { below + grid })),
            Some(other) => Err(raise(
                py,
                "UnknownName",
                format!("rounding {other:?} is not known; supported are \"down\", \"up\" and \"nearest\""),
            )),
            None => Err(raise(
                py,
                "OffTickPrice",
                format!(
                    "price {price} is not on {}'s price increment {}; round it first, or pass rounding='down'",
                    self.name(),
                    self.instrument.tick.value(grid)
                ),
            )),
        }
    }

    fn refused(&self, py: Python<'_>, error: DeskError, order: Option<u64>) -> PyErr {
        let (class, text) = match (error, order) {
            (DeskError::UnknownOrder, Some(order)) => {
                ("UnknownOrder", format!("order {order} is not open: it was never sent, or is closed; see open_orders"))
            }
            (DeskError::BeingCancelled, Some(order)) => {
                ("OrderError", format!("order {order} cannot be modified: a cancel of it is on its way"))
            }
            (DeskError::Price, Some(order)) => (
                "OrderError",
                format!("order {order} cannot take that price: it is a market order, or the price is off"),
            ),
            (other, _) => ("OrderError", other.to_string()),
        };
        raise(py, class, text)
    }

    /// The size of an order given as units, as value, or as a fraction of equity.
    fn sized(
        &self,
        py: Python<'_>,
        side: Side,
        given: (Option<f64>, Option<f64>, Option<f64>),
        limit: Option<Ticks>,
    ) -> PyResult<Lots> {
        let (size, value, fraction) = given;
        match (size, value, fraction) {
            (Some(size), None, None) => self.order_lots(py, size),
            (None, Some(value), None) => self.lots_for_value(py, side, value, limit),
            (None, None, Some(fraction)) => {
                let equity = self.equity(py)?;
                self.lots_for_value(py, side, equity * fraction, limit)
            }
            _ => Err(raise(
                py,
                "InvalidParameter",
                "give the size of an order as exactly one of size (units), value= (currency) or fraction= (of equity)"
                    .to_owned(),
            )),
        }
    }

    fn lots_for_value(&self, py: Python<'_>, side: Side, value: f64, limit: Option<Ticks>) -> PyResult<Lots> {
        let market = self.shared.with(py, |desk| {
            let market = &desk.markets[self.at as usize];
            Ok(market.touch(side.opposite()).map(|(price, _)| price).or(market.last.map(|print| print.price)))
        })?;
        let unit = limit.or(market).map(|price| money(self.instrument.unit) * price.0.abs() as f64);
        match unit {
            Some(unit) if unit > 0.0 && value.is_finite() && value >= unit => Ok(Lots((value / unit) as i64)),
            Some(unit) if unit > 0.0 => Err(raise(
                py,
                "OrderError",
                format!("a value of {value} does not buy one lot of {}, which costs {unit}", self.name()),
            )),
            _ => Err(raise(
                py,
                "OrderError",
                format!("{} has no price yet to turn a value into a size; give the size in units", self.name()),
            )),
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn send(
        &self,
        py: Python<'_>,
        side: Side,
        given: (Option<f64>, Option<f64>, Option<f64>),
        limit: Option<f64>,
        tif: Option<&str>,
        post_only: bool,
        self_trade: Option<&str>,
        rounding: Option<&str>,
        tag: Option<&str>,
    ) -> PyResult<u64> {
        let limit = limit.map(|price| self.ticks(py, price, rounding)).transpose()?;
        let qty = self.sized(py, side, given, limit)?;
        let tif = match (tif, limit) {
            (Some(tif), _) => parse_tif(py, tif)?,
            (None, Some(_)) => TimeInForce::Gtc,
            (None, None) => TimeInForce::Ioc,
        };
        let ticket = Ticket {
            instrument: self.at,
            side,
            qty,
            limit,
            tif,
            post_only,
            self_trade: parse_self_trade(py, self_trade)?,
            tag: tag.map(|tag| self.shared.tag(py, tag)),
        };
        self.shared.with(py, |desk| match desk.submit(&ticket) {
            Ok(id) => Ok(id.0),
            Err(error) => Err(self.refused(py, error, None)),
        })
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

#[pymethods]
impl Handle {
    /// The symbol.
    #[getter]
    fn symbol(&self, py: Python<'_>) -> Py<PyString> {
        self.symbol_text(py)
    }

    /// Sends a buy order and returns its id.
    #[pyo3(signature = (size=None, *, limit=None, value=None, fraction=None, tif=None, post_only=false, self_trade=None, rounding=None, tag=None))]
    #[allow(clippy::too_many_arguments)]
    fn buy(
        &self,
        py: Python<'_>,
        size: Option<f64>,
        limit: Option<f64>,
        value: Option<f64>,
        fraction: Option<f64>,
        tif: Option<&str>,
        post_only: bool,
        self_trade: Option<&str>,
        rounding: Option<&str>,
        tag: Option<&str>,
    ) -> PyResult<u64> {
        self.send(py, Side::Buy, (size, value, fraction), limit, tif, post_only, self_trade, rounding, tag)
    }

    /// Sends a sell order and returns its id.
    #[pyo3(signature = (size=None, *, limit=None, value=None, fraction=None, tif=None, post_only=false, self_trade=None, rounding=None, tag=None))]
    #[allow(clippy::too_many_arguments)]
    fn sell(
        &self,
        py: Python<'_>,
        size: Option<f64>,
        limit: Option<f64>,
        value: Option<f64>,
        fraction: Option<f64>,
        tif: Option<&str>,
        post_only: bool,
        self_trade: Option<&str>,
        rounding: Option<&str>,
        tag: Option<&str>,
    ) -> PyResult<u64> {
        self.send(py, Side::Sell, (size, value, fraction), limit, tif, post_only, self_trade, rounding, tag)
    }

    /// Sends the market order that brings position and open orders together to `size`; None where nothing is missing.
    #[pyo3(signature = (size, *, tag=None))]
    fn target(&self, py: Python<'_>, size: f64, tag: Option<&str>) -> PyResult<Option<u64>> {
        let target = self.lots(py, size)?;
        let tag = tag.map(|tag| self.shared.tag(py, tag));
        self.shared.with(py, |desk| match desk.target(self.at, target, tag) {
            Ok(id) => Ok(id.map(|id| id.0)),
            Err(error) => Err(self.refused(py, error, None)),
        })
    }

    /// Cancels every open order, then sends the market order that closes the position; None where it is flat, or will be by
    /// market orders that are on their way.
    #[pyo3(signature = (*, tag=None))]
    fn close(&self, py: Python<'_>, tag: Option<&str>) -> PyResult<Option<u64>> {
        let tag = tag.map(|tag| self.shared.tag(py, tag));
        self.shared
            .with(py, |desk| desk.close(self.at, tag).map_err(|error| self.refused(py, error, None)))
            .map(|id| id.map(|id| id.0))
    }

    /// Cancels an order.
    fn cancel(&self, py: Python<'_>, order: u64) -> PyResult<()> {
        self.shared.with(py, |desk| desk.cancel(OrderId(order)).map_err(|error| self.refused(py, error, Some(order))))
    }

    /// Changes an order: `size` is its new total size, filled part included.
    #[pyo3(signature = (order, *, price=None, size=None, rounding=None))]
    fn modify(
        &self,
        py: Python<'_>,
        order: u64,
        price: Option<f64>,
        size: Option<f64>,
        rounding: Option<&str>,
    ) -> PyResult<()> {
        let price = price.map(|price| self.ticks(py, price, rounding)).transpose()?;
        let qty = size.map(|size| self.order_lots(py, size)).transpose()?;
        self.shared.with(py, |desk| {
            desk.modify(OrderId(order), price, qty).map_err(|error| self.refused(py, error, Some(order)))
        })
    }

    /// Asks for `on_timer` at a time in nanoseconds since the epoch, and returns the timer's number.
    fn set_timer(&self, py: Python<'_>, at_ns: i64) -> PyResult<u64> {
        self.shared.with(py, |desk| Ok(desk.set_timer(Nanos(at_ns))))
    }

    /// The position as answers have told it, in units; negative when short.
    #[getter]
    fn position(&self, py: Python<'_>) -> PyResult<f64> {
        self.shared.with(py, |desk| Ok(self.instrument.lot.value(desk.positions[self.at as usize].qty.0)))
    }

    /// Mean price of the open position; None when flat.
    #[getter]
    fn average_price(&self, py: Python<'_>) -> PyResult<Option<f64>> {
        self.shared.with(py, |desk| {
            let position = &desk.positions[self.at as usize];
            Ok(average_price(&self.instrument, position.qty, position.cost))
        })
    }

    /// Cash in the instrument's currency, as answers have told it.
    #[getter]
    fn cash(&self, py: Python<'_>) -> PyResult<f64> {
        self.shared.with(py, |desk| Ok(money(desk.cash[self.instrument.currency as usize].0)))
    }

    /// Cash plus all positions at the mid, or at the last print where a side of the book is empty.
    #[getter]
    fn equity(&self, py: Python<'_>) -> PyResult<f64> {
        self.shared.with(py, |desk| match desk.equity() {
            Ok(doubled) => Ok(money(doubled) / 2.0),
            Err(error) => Err(raise(py, "MoneyError", error.to_string())),
        })
    }

    /// The book as it arrived.
    #[getter]
    fn book(&self, py: Python<'_>) -> Py<Book> {
        self.view(py)
    }

    /// Open orders, oldest first; those sent and unanswered included.
    #[getter]
    fn open_orders(&self, py: Python<'_>) -> PyResult<Vec<OrderUpdate>> {
        self.shared.with(py, |desk| {
            let mine = desk.open_orders().filter(|order| order.instrument == self.at);
            Ok(mine.map(|order| order_update(py, order, &self.shared, &self.instrument, &self.symbol)).collect())
        })
    }

    /// Kernel time in nanoseconds since the epoch.
    #[getter]
    fn now(&self, py: Python<'_>) -> PyResult<i64> {
        self.shared.with(py, |desk| Ok(desk.now.0))
    }
}

/// Mean price of an open position.
pub(crate) fn average_price(instrument: &Instrument, qty: Lots, cost: Money) -> Option<f64> {
    let per_tick = instrument.unit as f64 * qty.0 as f64;
    (qty != Lots::ZERO).then(|| cost.0 as f64 / per_tick * instrument.tick.num as f64 / instrument.tick.den as f64)
}

/// The book of one instrument as it arrived, without the strategy's own orders.
#[pyclass(module = "cift._sim", frozen)]
pub(crate) struct Book {
    shared: Arc<Shared>,
    at: u16,
    instrument: Instrument,
    symbol: Py<PyString>,
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

    /// The levels of a side, best first: a list of (price, size, orders).
    #[pyo3(signature = (side, most=10))]
    fn depth(&self, py: Python<'_>, side: &Bound<'_, PyAny>, most: usize) -> PyResult<Vec<LevelRow>> {
        let side = super::side::side_of(side)?;
        let (tick, lot) = (self.instrument.tick, self.instrument.lot);
        let row = |level: PriceLevel| (tick.value(level.price.0), lot.value(level.qty.0), level.orders);
        self.shared.with(py, |desk| Ok(desk.markets[self.at as usize].depth(side, most).into_iter().map(row).collect()))
    }

    /// The orders at a price, oldest first: a list of (order id, size). Empty where the feed names no orders.
    fn queue(&self, py: Python<'_>, side: &Bound<'_, PyAny>, price: f64) -> PyResult<Vec<(u64, f64)>> {
        let side = super::side::side_of(side)?;
        let Ok(ticks) = self.instrument.tick.count(price) else { return Ok(Vec::new()) };
        let lot = self.instrument.lot;
        self.shared.with(py, |desk| {
            let Some(book) = desk.markets[self.at as usize].book() else { return Ok(Vec::new()) };
            let orders = book.queue(side, Ticks(ticks)).filter(|order| order.family == Family::Record);
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

/// A price in half ticks, by one division.
pub(crate) fn half_ticks(tick: crate::instrument::Step, halves: i64) -> f64 {
    (halves as f64 * tick.num as f64) / (2.0 * tick.den as f64)
}
