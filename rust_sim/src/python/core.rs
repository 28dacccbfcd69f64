//! The matching engine in Python, by itself: orders, records, the book, and statistics of fills and returns.
//!
//! Everything is in whole ticks, lots and nanoseconds. What an input asks for and cannot have is an exception; what it
//! leads to is in the [`Fills`] that it returns.

use std::cell::Cell;

use numpy::{PyArray1, PyArrayMethods};
use pyo3::PyClass;
use pyo3::exceptions::{PyIndexError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::types::{PyDict, PyInt, PyList, PySlice};

use super::desk::{cancel_text, parse_self_trade, parse_tif, reject_text, tif_text};
use super::dispatch::reason_text;
use super::errors::raise;
use super::side::{PySide, side_of};
use crate::matching::{
    ANOMALIES, CancelReason, Event, FillReason, Input, MatchingEngine as Engine, NewOrder, OrderInput, Party,
    RecordInput, RejectReason, SelfTrade, Sink, TimeInForce, Trade,
};
use crate::stats;
use crate::types::{Family, Lots, MAX_LOTS, MAX_OWNERS, MAX_TICKS, Nanos, OrderId, OwnerId, Side, Ticks};

macro_rules! whole_number {
    ($(#[$doc:meta])* $name:ident($inner:ty), $label:literal, $range:expr) => {
        $(#[$doc])*
        struct $name($inner);

        impl<'a, 'py> FromPyObject<'a, 'py> for $name {
            type Error = PyErr;

            #[inline]
            fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
                match value.extract::<$inner>() {
                    Ok(number) if $range.contains(&number) => Ok($name(number)),
                    _ => Err(not_whole(value, $label, ($range.start() as &dyn std::fmt::Display, $range.end()))),
                }
            }
        }
    };
}

#[cold]
fn not_whole(
    value: Borrowed<'_, '_, PyAny>,
    name: &str,
    (low, high): (&dyn std::fmt::Display, &dyn std::fmt::Display),
) -> PyErr {
    let py = value.py();
    if value.is_instance_of::<PyInt>() {
        // The number itself may have more digits than Python is willing to print.
        return raise(
            py,
            "InvalidParameter",
            format!("{name} is out of range; pass a whole number from {low} to {high}"),
        );
    }
    let given = value.get_type().name().map_or("object".to_owned(), |name| name.to_string());
    let text = format!("{name} must be a whole number from {low} to {high}, not of type {given}");
    raise(py, "InvalidParameter", text)
}

whole_number!(
    /// A price argument.
    PriceTicks(i64), "price_ticks", (-MAX_TICKS..=MAX_TICKS)
);
whole_number!(
    /// A size argument.
    QtyLots(i64), "qty_lots", (1..=MAX_LOTS)
);
whole_number!(
    /// A time argument.
    TsNs(i64), "ts_ns", (i64::MIN..=i64::MAX)
);
whole_number!(
    /// An id argument.
    Id(u64), "id", (0..=u64::MAX)
);
whole_number!(
    /// An owner argument.
    Owner(u32), "owner", (0..=MAX_OWNERS - 1)
);
whole_number!(
    /// A count argument.
    Most(usize), "most", (0..=usize::MAX)
);

/// An argument given as `Side` or as text.
struct SideArgument(Side);

impl<'a, 'py> FromPyObject<'a, 'py> for SideArgument {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        side_of(&value).map(SideArgument)
    }
}

/// Text, or an error that says so; odd text, such as half a surrogate pair, is no text that names anything.
fn text_of<'a>(value: &'a Bound<'_, PyAny>, name: &str) -> PyResult<&'a str> {
    value.extract::<&str>().map_err(|_| {
        let given = value.get_type().name().map_or("object".to_owned(), |name| name.to_string());
        raise(value.py(), "InvalidParameter", format!("{name} must be text that names one, not of type {given}"))
    })
}

/// A time in force given as text.
struct TifArgument(TimeInForce);

impl<'a, 'py> FromPyObject<'a, 'py> for TifArgument {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        parse_tif(value.py(), text_of(&value, "tif")?).map(TifArgument)
    }
}

/// Self-trade prevention given as text, or None.
struct SelfTradeArgument(SelfTrade);

impl<'a, 'py> FromPyObject<'a, 'py> for SelfTradeArgument {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let text = if value.is_none() { None } else { Some(text_of(&value, "self_trade")?) };
        parse_self_trade(value.py(), text).map(SelfTradeArgument)
    }
}

fn self_trade_text(self_trade: SelfTrade) -> Option<&'static str> {
    match self_trade {
        SelfTrade::Allow => None,
        SelfTrade::CancelNewest => Some("cancel_newest"),
        SelfTrade::CancelOldest => Some("cancel_oldest"),
        SelfTrade::CancelBoth => Some("cancel_both"),
    }
}

fn refused(py: Python<'_>, what: &str, reason: RejectReason) -> PyErr {
    let class = if reason == RejectReason::UnknownOrder { "UnknownOrder" } else { "OrderError" };
    let advice = match reason {
        RejectReason::UnknownOrder => "; it never rested, is closed, or has another owner",
        RejectReason::DuplicateId => "; an order of this id rests already: pass another, or none",
        RejectReason::WouldTrade => "; choose a price that does not cross the book",
        _ => "",
    };
    raise(py, class, format!("{what} was refused: {}{advice}", reject_text(reason)))
}

// -------------------------------------------------------------------------------------------------------------- orders

/// An order to be matched, in whole ticks and lots. It is a value: the engine keeps its own copy.
///
/// Args:
///     side: `Side.BUY` or `Side.SELL`, or their texts "buy" and "sell".
///     qty_lots: size, at least 1.
///     price_ticks: the worst price it accepts; None for a market order.
///     ts_ns: when it reaches the engine, ns since the epoch; it stamps the fills and decides nothing.
///     id: its name, not in use by an order that rests; None lets the engine count one.
///     owner: who sends it; self-trade prevention compares owners.
///     tif: "GTC" (what does not trade rests), "IOC" (is cancelled) or "FOK" (all of it trades at once, or nothing).
///     post_only: refuse the order rather than let it trade on arrival.
///     self_trade: what happens where it meets an order of its owner: None (they trade), "cancel_newest", "cancel_oldest"
///         or "cancel_both".
///
/// Raises:
///     InvalidParameter: a number out of range or not whole, or an unknown side.
///     UnknownName: an unknown `tif` or `self_trade`.
///     OrderError: post-only with a market order, IOC or FOK.
#[pyclass(name = "Order", module = "cift._sim", frozen, eq, hash)]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PyOrder {
    side: Side,
    price: Option<i64>,
    qty: i64,
    ts: i64,
    id: Option<u64>,
    owner: u32,
    tif: u8,
    post_only: bool,
    self_trade: u8,
}

impl PyOrder {
    fn tif(&self) -> TimeInForce {
        match self.tif {
            1 => TimeInForce::Ioc,
            2 => TimeInForce::Fok,
            _ => TimeInForce::Gtc,
        }
    }

    fn self_trade(&self) -> SelfTrade {
        match self.self_trade {
            1 => SelfTrade::CancelNewest,
            2 => SelfTrade::CancelOldest,
            3 => SelfTrade::CancelBoth,
            _ => SelfTrade::Allow,
        }
    }

    #[inline]
    fn named(&self, id: u64) -> NewOrder {
        NewOrder {
            id: OrderId(id),
            owner: OwnerId(self.owner),
            side: self.side,
            limit: self.price.map(Ticks),
            qty: Lots(self.qty),
            tif: self.tif(),
            post_only: self.post_only,
            self_trade: self.self_trade(),
        }
    }
}

#[pymethods]
impl PyOrder {
    #[new]
    #[pyo3(
        signature = (*, side, qty_lots, price_ticks=None, ts_ns=TsNs(0), id=None, owner=Owner(0), tif=TifArgument(TimeInForce::Gtc), post_only=false, self_trade=SelfTradeArgument(SelfTrade::Allow)),
        text_signature = "(*, side, qty_lots, price_ticks=None, ts_ns=0, id=None, owner=0, tif='GTC', post_only=False, self_trade=None)"
    )]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        side: SideArgument,
        qty_lots: QtyLots,
        price_ticks: Option<PriceTicks>,
        ts_ns: TsNs,
        id: Option<Id>,
        owner: Owner,
        tif: TifArgument,
        post_only: bool,
        self_trade: SelfTradeArgument,
    ) -> PyResult<Self> {
        let price = price_ticks.map(|price| price.0);
        let tif = tif.0;
        if post_only && (price.is_none() || tif != TimeInForce::Gtc) {
            return Err(raise(
                py,
                "OrderError",
                "post_only cannot go with a market order, IOC or FOK; pass price_ticks and tif=\"GTC\"".to_owned(),
            ));
        }
        Ok(PyOrder {
            side: side.0,
            price,
            qty: qty_lots.0,
            ts: ts_ns.0,
            id: id.map(|id| id.0),
            owner: owner.0,
            tif: tif as u8,
            post_only,
            self_trade: self_trade.0 as u8,
        })
    }

    /// Which way it trades.
    #[getter]
    fn side(&self) -> PySide {
        self.side.into()
    }

    /// The worst price it accepts, in ticks; None for a market order.
    #[getter]
    fn price_ticks(&self) -> Option<i64> {
        self.price
    }

    /// Its size in lots.
    #[getter]
    fn qty_lots(&self) -> i64 {
        self.qty
    }

    /// When it reaches the engine, ns since the epoch.
    #[getter]
    fn ts_ns(&self) -> i64 {
        self.ts
    }

    /// Its name; None where the engine shall count one.
    #[getter]
    fn id(&self) -> Option<u64> {
        self.id
    }

    /// Who sends it.
    #[getter]
    fn owner(&self) -> u32 {
        self.owner
    }

    /// "GTC", "IOC" or "FOK".
    #[getter(tif)]
    fn tif_name(&self) -> &'static str {
        tif_text(self.tif())
    }

    /// Whether it is refused rather than let trade on arrival.
    #[getter]
    fn post_only(&self) -> bool {
        self.post_only
    }

    /// What happens where it meets an order of its owner; None: they trade.
    #[getter(self_trade)]
    fn self_trade_name(&self) -> Option<&'static str> {
        self_trade_text(self.self_trade())
    }

    fn __repr__(&self) -> String {
        let price = self.price.map_or("market".to_owned(), |price| format!("{price} ticks"));
        let id = self.id.map_or(String::new(), |id| format!(" #{id}"));
        format!("<order{id} {} {} lots at {price} {}>", PySide::from(self.side).text(), self.qty, tif_text(self.tif()))
    }

    fn __getnewargs_ex__<'py>(&self, py: Python<'py>) -> PyResult<((), Bound<'py, PyDict>)> {
        let kwargs = PyDict::new(py);
        kwargs.set_item("side", PySide::from(self.side))?;
        kwargs.set_item("qty_lots", self.qty)?;
        kwargs.set_item("price_ticks", self.price)?;
        kwargs.set_item("ts_ns", self.ts)?;
        kwargs.set_item("id", self.id)?;
        kwargs.set_item("owner", self.owner)?;
        kwargs.set_item("tif", self.tif_name())?;
        kwargs.set_item("post_only", self.post_only)?;
        kwargs.set_item("self_trade", self.self_trade_name())?;
        Ok(((), kwargs))
    }
}

/// An order that rests in a book.
#[pyclass(module = "cift._sim", frozen, get_all, eq)]
#[derive(Clone, PartialEq)]
pub(crate) struct RestingOrder {
    /// Its name, within its family.
    id: u64,
    /// Which way it trades.
    side: PySide,
    /// Its price in ticks.
    price_ticks: i64,
    /// What is left of it, in lots.
    qty_lots: i64,
    /// Who sent it.
    owner: u32,
    /// Whether it belongs to recorded history, which is not matched against itself.
    is_record: bool,
}

#[pymethods]
impl RestingOrder {
    fn __repr__(&self) -> String {
        let family = if self.is_record { "recorded order" } else { "order" };
        format!("<{family} #{} {} {} lots at {} ticks>", self.id, self.side.text(), self.qty_lots, self.price_ticks)
    }
}

// --------------------------------------------------------------------------------------------------------------- fills

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
struct FillRow {
    price: i64,
    qty: i64,
    side: Side,
    reason: u8,
    counter: Counter,
    order: u64,
    counter_id: u64,
    ts: i64,
}

impl FillRow {
    fn of(trade: &Trade, own: Party, other: Party, side: Side, reason: FillReason, ts: Nanos) -> Self {
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
    row: FillRow,
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
    rows: Vec<FillRow>,
    /// The order that was sent or changed; None where the input was a record.
    order: Option<u64>,
    resting: i64,
    cancelled: i64,
    reason: Option<CancelReason>,
    prevented: Vec<u64>,
}

impl Fills {
    fn of(rows: Vec<FillRow>) -> Self {
        Fills { rows, order: None, resting: 0, cancelled: 0, reason: None, prevented: Vec::new() }
    }
}

#[pymethods]
impl Fills {
    #[new]
    #[pyo3(signature = (fills))]
    fn new(fills: &Bound<'_, PyAny>) -> PyResult<Self> {
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
fn not_a_fill(py: Python<'_>, at: usize) -> PyErr {
    raise(py, "InvalidParameter", format!("element {at} is not a Fill; pass the Fills of an engine, or a list of Fill"))
}

// ---------------------------------------------------------------------------------------------------------------- book

/// The order book of one instrument: every order at its price, in the order of arrival. Prices are ticks, sizes lots.
///
/// An empty book; `MatchingEngine.book` and `build_order_book` give others. `len(book)` counts the orders that rest.
#[pyclass(module = "cift._sim")]
pub(crate) struct OrderBook {
    engine: Engine,
    events: Vec<Event>,
    /// The id that the next order without one gets.
    next_id: u64,
    anomalies: [u64; ANOMALIES],
}

/// Refusals alone matter while a book is built.
#[derive(Default)]
struct Refusals(Option<RejectReason>);

impl Sink for Refusals {
    #[inline]
    fn event(&mut self, event: Event) {
        if let Event::Rejected { reason, .. } = event {
            self.0 = Some(reason);
        }
    }
}

impl OrderBook {
    fn empty() -> Self {
        OrderBook { engine: Engine::new(), events: Vec::new(), next_id: 1, anomalies: [0; ANOMALIES] }
    }

    /// The id of an order, counted where it has none.
    #[inline]
    fn id_of(&mut self, given: Option<u64>) -> u64 {
        let id = given.unwrap_or(self.next_id);
        self.next_id = self.next_id.max(id.saturating_add(1));
        id
    }

    #[inline]
    fn send(&mut self, py: Python<'_>, order: &PyOrder) -> PyResult<Fills> {
        let id = self.id_of(order.id);
        let input = Input::Order(OrderInput::New(order.named(id)));
        self.engine.apply(Nanos(order.ts), &input, &mut self.events);
        self.fills_of(py, id, order.side, Nanos(order.ts), "the order")
    }

    /// What the events say about one order that was sent or changed.
    #[inline]
    fn fills_of(&mut self, py: Python<'_>, order: u64, side: Side, ts: Nanos, what: &str) -> PyResult<Fills> {
        let mut fills = Fills { order: Some(order), ..Fills::of(Vec::new()) };
        let mut refusal = None;
        for event in self.events.drain(..) {
            match event {
                Event::Trade(trade) => {
                    fills.rows.push(FillRow::of(&trade, trade.taker, trade.maker, side, FillReason::Took, ts));
                }
                Event::Rested { qty, .. } => fills.resting = qty.0,
                Event::Modified { qty, kept_place: true, .. } => fills.resting = qty.0,
                Event::Cancelled { id, qty, reason, .. } if id.0 == order => {
                    fills.cancelled = qty.0;
                    fills.reason = Some(reason);
                }
                Event::Cancelled { id, .. } => fills.prevented.push(id.0),
                Event::Rejected { reason, .. } => refusal = Some(reason),
                Event::Accepted { .. } | Event::Modified { .. } | Event::Anomaly(_) => {}
            }
        }
        match refusal {
            None => Ok(fills),
            Some(reason) => Err(refused(py, &format!("{what} #{order}"), reason)),
        }
    }

    /// Applies a record; the fills are those of the orders that it met.
    fn record(&mut self, ts: i64, input: RecordInput) -> Fills {
        self.engine.apply(Nanos(ts), &Input::Record(input), &mut self.events);
        let mut rows = Vec::new();
        for event in self.events.drain(..) {
            match event {
                Event::Trade(trade) => {
                    let side = trade.side.opposite();
                    rows.push(FillRow::of(&trade, trade.maker, trade.taker, side, trade.reason, Nanos(ts)));
                }
                Event::Anomaly(anomaly) => self.anomalies[anomaly as usize] += 1,
                _ => {}
            }
        }
        Fills::of(rows)
    }
}

#[pymethods]
impl OrderBook {
    #[new]
    fn new() -> Self {
        OrderBook::empty()
    }

    /// The highest bid as (price_ticks, qty_lots); None where nobody bids.
    #[getter]
    fn best_bid(&self) -> Option<(i64, i64)> {
        self.engine.book().best(Side::Buy).map(|(price, qty)| (price.0, qty.0))
    }

    /// The lowest ask as (price_ticks, qty_lots); None where nobody asks.
    #[getter]
    fn best_ask(&self) -> Option<(i64, i64)> {
        self.engine.book().best(Side::Sell).map(|(price, qty)| (price.0, qty.0))
    }

    /// The levels of a side, best first: a list of at most `most` tuples (price_ticks, qty_lots, number of orders).
    #[pyo3(signature = (side, most=Most(10)), text_signature = "($self, side, most=10)")]
    fn depth(&self, side: SideArgument, most: Most) -> Vec<(i64, i64, u32)> {
        self.engine.book().depth(side.0).take(most.0).map(|level| (level.price.0, level.qty.0, level.orders)).collect()
    }

    /// The orders at a price, oldest first.
    fn queue(&self, side: SideArgument, price_ticks: PriceTicks) -> Vec<RestingOrder> {
        let orders = self.engine.book().queue(side.0, Ticks(price_ticks.0));
        orders
            .map(|order| RestingOrder {
                id: order.id.0,
                side: order.side.into(),
                price_ticks: order.price.0,
                qty_lots: order.qty.0,
                owner: order.owner.0,
                is_record: order.family == Family::Record,
            })
            .collect()
    }

    /// The size that stands ahead of an order at its price, in lots: what must trade or leave before it is reached. `record`
    /// names a recorded order, whose ids are a space of their own.
    ///
    /// Raises:
    ///     UnknownOrder: where no such order rests.
    #[pyo3(signature = (id, *, record=false))]
    fn ahead_of(&self, py: Python<'_>, id: Id, record: bool) -> PyResult<i64> {
        let family = if record { Family::Record } else { Family::Order };
        match self.engine.book().ahead_of(OrderId(id.0), family) {
            Some(ahead) => Ok(ahead.0),
            None => {
                let recorded = if record { "recorded " } else { "" };
                Err(raise(py, "UnknownOrder", format!("no {recorded}order #{} rests in the book", id.0)))
            }
        }
    }

    /// A book of its own with the same orders.
    fn copy(&self) -> Self {
        OrderBook { engine: self.engine.clone(), events: Vec::new(), ..*self }
    }

    fn __len__(&self) -> usize {
        self.engine.book().len()
    }

    fn __repr__(&self) -> String {
        let side = |best: Option<(i64, i64)>| best.map_or("none".to_owned(), |(price, qty)| format!("{qty} @ {price}"));
        format!("<order book of {}: bid {}, ask {}>", self.__len__(), side(self.best_bid()), side(self.best_ask()))
    }
}

// -------------------------------------------------------------------------------------------------------------- engine

/// Matches orders by price, then time. Prices are ticks, sizes lots, times ns since the epoch.
///
/// Two families of input share the book. *Orders* (`submit`, `modify`, `cancel`) are matched. *Records* (`record_add` and
/// the other `record_` methods) are history, done as told and never matched against each other: with orders of your own in
/// the same queues, a recorded execution fills those that stand before the recorded maker, and a recorded order that
/// crosses them fills them up to its size. Ids of the two families are separate.
///
/// An input that is refused raises and leaves the book as it was; what an input leads to is in the `Fills` it returns. A
/// record that does not fit the book is applied as far as it makes sense, and counted in `anomalies`.
#[pyclass(module = "cift._sim", frozen)]
pub(crate) struct MatchingEngine {
    book: Py<OrderBook>,
}

#[pymethods]
impl MatchingEngine {
    #[new]
    fn new(py: Python<'_>) -> PyResult<Self> {
        Ok(MatchingEngine { book: Py::new(py, OrderBook::empty())? })
    }

    /// The book that this engine works on: not a copy, it moves with every input.
    #[getter]
    fn book(&self, py: Python<'_>) -> Py<OrderBook> {
        self.book.clone_ref(py)
    }

    /// Records that did not fit the book, by kind: "unknown order", "duplicate id", "size too large", "bad size", "bad price".
    #[getter]
    fn anomalies<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let names = ["unknown order", "duplicate id", "size too large", "bad size", "bad price"];
        let counts = PyDict::new(py);
        for (name, count) in names.into_iter().zip(self.book.borrow(py).anomalies) {
            counts.set_item(name, count)?;
        }
        Ok(counts)
    }

    /// Sends an order: it trades as far as it can, and then rests or is cancelled as `tif` says. The arguments are those of
    /// `Order`.
    ///
    /// Returns:
    ///     Its fills, with `order_id`, `resting_lots` and `cancelled_lots` of the order.
    ///
    /// Raises:
    ///     InvalidParameter, UnknownName: an argument that no order can have.
    ///     OrderError: the engine refuses it: the id is in use, it is post-only and would trade, post-only conflicts with the
    ///         order type, or the size at its price would overflow.
    #[pyo3(
        signature = (*, side, qty_lots, price_ticks=None, ts_ns=TsNs(0), id=None, owner=Owner(0), tif=TifArgument(TimeInForce::Gtc), post_only=false, self_trade=SelfTradeArgument(SelfTrade::Allow)),
        text_signature = "($self, *, side, qty_lots, price_ticks=None, ts_ns=0, id=None, owner=0, tif='GTC', post_only=False, self_trade=None)"
    )]
    #[allow(clippy::too_many_arguments)]
    fn submit(
        &self,
        py: Python<'_>,
        side: SideArgument,
        qty_lots: QtyLots,
        price_ticks: Option<PriceTicks>,
        ts_ns: TsNs,
        id: Option<Id>,
        owner: Owner,
        tif: TifArgument,
        post_only: bool,
        self_trade: SelfTradeArgument,
    ) -> PyResult<Fills> {
        let order = PyOrder::new(py, side, qty_lots, price_ticks, ts_ns, id, owner, tif, post_only, self_trade)?;
        self.book.borrow_mut(py).send(py, &order)
    }

    /// Takes an order out of the book and returns the size that was open, in lots.
    ///
    /// Raises:
    ///     UnknownOrder: where no order of this id and owner rests.
    #[pyo3(signature = (id, *, ts_ns=TsNs(0), owner=Owner(0)), text_signature = "($self, id, *, ts_ns=0, owner=0)")]
    fn cancel(&self, py: Python<'_>, id: Id, ts_ns: TsNs, owner: Owner) -> PyResult<i64> {
        let mut book = self.book.borrow_mut(py);
        let book = &mut *book;
        let input = OrderInput::Cancel { id: OrderId(id.0), owner: OwnerId(owner.0) };
        book.engine.apply(Nanos(ts_ns.0), &Input::Order(input), &mut book.events);
        let fills = book.fills_of(py, id.0, Side::Buy, Nanos(ts_ns.0), "the cancel of order")?;
        Ok(fills.cancelled)
    }

    /// Changes an order. `qty_lots` is what shall be open from now on. A smaller size at the same price keeps its place in the
    /// queue; anything else goes to the back, and may trade on its way there.
    ///
    /// Raises:
    ///     UnknownOrder: where no order of this id and owner rests.
    ///     OrderError: where it is post-only and would trade, or the size at its price would overflow.
    #[pyo3(
        signature = (id, *, price_ticks, qty_lots, ts_ns=TsNs(0), owner=Owner(0)),
        text_signature = "($self, id, *, price_ticks, qty_lots, ts_ns=0, owner=0)"
    )]
    fn modify(
        &self,
        py: Python<'_>,
        id: Id,
        price_ticks: PriceTicks,
        qty_lots: QtyLots,
        ts_ns: TsNs,
        owner: Owner,
    ) -> PyResult<Fills> {
        let mut book = self.book.borrow_mut(py);
        let book = &mut *book;
        let order = OrderId(id.0);
        let side = book.engine.book().get(order, Family::Order).map_or(Side::Buy, |order| order.side);
        let (price, qty) = (Ticks(price_ticks.0), Lots(qty_lots.0));
        let input = OrderInput::Modify { id: order, owner: OwnerId(owner.0), price, qty };
        book.engine.apply(Nanos(ts_ns.0), &Input::Order(input), &mut book.events);
        book.fills_of(py, id.0, side, Nanos(ts_ns.0), "the change of order")
    }

    /// A recorded order came to rest. `snapshot`: it is announced again after a clear, rather than new.
    ///
    /// Returns:
    ///     Fills of orders whose prices it crosses, up to its size; it still rests in full.
    #[pyo3(
        signature = (id, *, side, price_ticks, qty_lots, ts_ns=TsNs(0), snapshot=false),
        text_signature = "($self, id, *, side, price_ticks, qty_lots, ts_ns=0, snapshot=False)"
    )]
    #[allow(clippy::too_many_arguments)]
    fn record_add(
        &self,
        py: Python<'_>,
        id: Id,
        side: SideArgument,
        price_ticks: PriceTicks,
        qty_lots: QtyLots,
        ts_ns: TsNs,
        snapshot: bool,
    ) -> Fills {
        let (id, price, qty) = (OrderId(id.0), Ticks(price_ticks.0), Lots(qty_lots.0));
        self.book.borrow_mut(py).record(ts_ns.0, RecordInput::Add { id, side: side.0, price, qty, snapshot })
    }

    /// A size of a recorded order, or all of it, left without trading.
    #[pyo3(signature = (id, *, qty_lots, ts_ns=TsNs(0)), text_signature = "($self, id, *, qty_lots, ts_ns=0)")]
    fn record_reduce(&self, py: Python<'_>, id: Id, qty_lots: QtyLots, ts_ns: TsNs) -> Fills {
        let input = RecordInput::Reduce { id: OrderId(id.0), qty: Lots(qty_lots.0) };
        self.book.borrow_mut(py).record(ts_ns.0, input)
    }

    /// A recorded order got a new price and total size. `side` serves where it was never announced: it is then taken as new.
    #[pyo3(
        signature = (id, *, side, price_ticks, qty_lots, ts_ns=TsNs(0)),
        text_signature = "($self, id, *, side, price_ticks, qty_lots, ts_ns=0)"
    )]
    fn record_modify(
        &self,
        py: Python<'_>,
        id: Id,
        side: SideArgument,
        price_ticks: PriceTicks,
        qty_lots: QtyLots,
        ts_ns: TsNs,
    ) -> Fills {
        let (id, price, qty) = (OrderId(id.0), Ticks(price_ticks.0), Lots(qty_lots.0));
        self.book.borrow_mut(py).record(ts_ns.0, RecordInput::Modify { id, side: side.0, price, qty })
    }

    /// A recorded order was executed and shrinks by that size. Orders at better prices, and those ahead of it at its price,
    /// are filled first, at most by the same size.
    #[pyo3(signature = (id, *, qty_lots, ts_ns=TsNs(0)), text_signature = "($self, id, *, qty_lots, ts_ns=0)")]
    fn record_execute(&self, py: Python<'_>, id: Id, qty_lots: QtyLots, ts_ns: TsNs) -> Fills {
        let input = RecordInput::Execute { id: OrderId(id.0), qty: Lots(qty_lots.0) };
        self.book.borrow_mut(py).record(ts_ns.0, input)
    }

    /// A trade that names no maker: hidden, or of a feed without orders. It fills orders at better prices, and at its own
    /// price only where nothing recorded stands ahead. `aggressor` is the side that took; None where the record does not say.
    #[pyo3(
        signature = (*, price_ticks, qty_lots, aggressor=None, ts_ns=TsNs(0)),
        text_signature = "($self, *, price_ticks, qty_lots, aggressor=None, ts_ns=0)"
    )]
    fn record_print(
        &self,
        py: Python<'_>,
        price_ticks: PriceTicks,
        qty_lots: QtyLots,
        aggressor: Option<SideArgument>,
        ts_ns: TsNs,
    ) -> Fills {
        let (price, qty) = (Ticks(price_ticks.0), Lots(qty_lots.0));
        let aggressor = aggressor.map(|side| side.0);
        self.book.borrow_mut(py).record(ts_ns.0, RecordInput::Print { aggressor, price, exact: true, qty })
    }

    /// All recorded orders are void; those announced again with `snapshot=True` keep their place. Orders stay.
    #[pyo3(signature = (*, ts_ns=TsNs(0)), text_signature = "($self, *, ts_ns=0)")]
    fn record_clear(&self, py: Python<'_>, ts_ns: TsNs) -> Fills {
        self.book.borrow_mut(py).record(ts_ns.0, RecordInput::Clear)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        format!("<matching engine over {}>", self.book.borrow(py).__repr__())
    }
}

// ----------------------------------------------------------------------------------------------------------- functions

/// Sends an order into a book: it trades by price, then time, and what is left rests or is cancelled as its `tif` says.
///
/// The book changes in place; `book.copy()` gives one to try things on.
///
/// Args:
///     book: the book.
///     order: the order.
///
/// Returns:
///     Its fills, with `order_id`, `resting_lots` and `cancelled_lots` of the order.
///
/// Raises:
///     OrderError: the engine refuses it: the id is in use, it is post-only and would trade, or the size at its price would
///         overflow. The book is as it was.
#[pyfunction]
pub(crate) fn match_order(
    py: Python<'_>,
    mut book: PyRefMut<'_, OrderBook>,
    order: &Bound<'_, PyOrder>,
) -> PyResult<Fills> {
    book.send(py, order.get())
}

/// Builds a book from orders, sent one after the other. Orders that cross trade on their way in, as at a venue.
///
/// Args:
///     orders: a list of `Order`.
///
/// Raises:
///     InvalidParameter: an element is not an `Order`.
///     OrderError: the engine refuses one; the message says which.
#[pyfunction]
pub(crate) fn build_order_book(py: Python<'_>, orders: &Bound<'_, PyAny>) -> PyResult<OrderBook> {
    let mut book = OrderBook::empty();
    let mut refusals = Refusals::default();
    let mut send = |at: usize, order: &PyOrder| {
        let id = book.id_of(order.id);
        let input = Input::Order(OrderInput::New(order.named(id)));
        book.engine.apply(Nanos(order.ts), &input, &mut refusals);
        match refusals.0 {
            None => Ok(()),
            Some(reason) => Err(refused(py, &format!("order #{id}, element {at} of the list,"), reason)),
        }
    };
    let not_an_order =
        |at: usize| raise(py, "InvalidParameter", format!("element {at} is not an Order; pass a list of Order"));
    if let Ok(list) = orders.cast_exact::<PyList>() {
        for (at, order) in borrowed::<PyOrder>(list).enumerate() {
            send(at, order.ok_or_else(|| not_an_order(at))?)?;
        }
    } else {
        for (at, order) in orders.try_iter()?.enumerate() {
            let order = order?;
            send(at, order.cast::<PyOrder>().map_err(|_| not_an_order(at))?.get())?;
        }
    }
    Ok(book)
}

/// The elements of a list of frozen objects, without a new reference for each; None for one of another class. The caller
/// runs no Python code while it iterates.
#[inline]
fn borrowed<'a, T>(list: &'a Bound<'_, PyList>) -> impl Iterator<Item = Option<&'a T>> + Clone
where
    T: PyClass<Frozen = True> + Sync,
{
    let class = T::type_object_raw(list.py());
    (0..list.len() as ffi::Py_ssize_t).map(move |at| {
        // SAFETY: the interpreter is attached, `list` is a list, and `at` is below its length, which cannot change: the
        // caller runs no Python code, and every change of a list needs some. So the pointer is that of a live object that
        // the list keeps alive.
        let element = unsafe { ffi::PyList_GetItem(list.as_ptr(), at) };
        // SAFETY: the object is alive.
        if unsafe { ffi::Py_TYPE(element) } != class {
            return None;
        }
        // SAFETY: the class was compared, and classes here have no subclasses. A frozen object may be read through a shared
        // reference, and the list, which lives for `'a`, keeps it.
        Some(unsafe { &*std::ptr::from_ref(Borrowed::from_ptr(list.py(), element).cast_unchecked::<T>().get()) })
    })
}

/// What a list of fills adds up to, in ticks and lots.
#[pyclass(name = "PositionStats", module = "cift._sim", frozen, get_all, eq)]
#[derive(Clone, PartialEq)]
pub(crate) struct PyPositionStats {
    /// Net size in lots; negative when short.
    position_lots: i64,
    /// Size bought, in lots.
    bought_lots: i64,
    /// Size sold, in lots.
    sold_lots: i64,
    /// Mean price of what is open, in ticks; None when flat.
    average_price_ticks: Option<f64>,
    /// Mean price of all purchases, in ticks; None without any.
    average_buy_ticks: Option<f64>,
    /// Mean price of all sales, in ticks; None without any.
    average_sell_ticks: Option<f64>,
    /// Profit of what is closed, in ticks times lots, at average cost, before fees.
    realised_ticks_lots: i64,
    /// Fills counted.
    fills: usize,
    /// The largest long position on the way, in lots.
    longest_lots: i64,
    /// The largest short position on the way, in lots: negative.
    shortest_lots: i64,
}

#[pymethods]
impl PyPositionStats {
    fn __repr__(&self) -> String {
        format!(
            "<position of {} lots after {} fills: {} bought, {} sold, {} ticks x lots realised>",
            self.position_lots, self.fills, self.bought_lots, self.sold_lots, self.realised_ticks_lots
        )
    }
}

/// Adds up fills: net position, mean prices and realised profit at average cost.
///
/// The cost share of a partial close is rounded half to even to whole ticks times lots; the remainder stays with the
/// position, so nothing is lost.
///
/// Args:
///     fills: `Fills`, or a list of `Fill`, oldest first.
///
/// Raises:
///     InvalidParameter: an element is not a `Fill`.
///     MoneyError: a sum that 64 bits cannot hold.
#[pyfunction]
pub(crate) fn calculate_position_stats(py: Python<'_>, fills: &Bound<'_, PyAny>) -> PyResult<PyPositionStats> {
    let of = |row: &FillRow| (row.side, row.price, row.qty);
    let stats = if let Ok(fills) = fills.cast::<Fills>() {
        stats::position_stats(fills.get().rows.iter().map(of))
    } else if let Ok(list) = fills.cast_exact::<PyList>() {
        let foreign = Cell::new(None);
        let rows = borrowed::<PyFill>(list).enumerate().map_while(|(at, fill)| match fill {
            Some(fill) => Some(of(&fill.row)),
            None => {
                foreign.set(Some(at));
                None
            }
        });
        let stats = stats::position_stats(rows);
        if let Some(at) = foreign.get() {
            return Err(not_a_fill(py, at));
        }
        stats
    } else {
        let rows = Fills::new(fills)?.rows;
        stats::position_stats(rows.iter().map(of))
    };
    let Some(stats) = stats else {
        return Err(raise(py, "MoneyError", "the fills add up to more than 64 bits can hold".to_owned()));
    };
    Ok(PyPositionStats {
        position_lots: stats.position,
        bought_lots: stats.bought,
        sold_lots: stats.sold,
        average_price_ticks: stats.average_price,
        average_buy_ticks: stats.average_buy,
        average_sell_ticks: stats.average_sell,
        realised_ticks_lots: stats.realised,
        fills: stats.fills,
        longest_lots: stats.longest,
        shortest_lots: stats.shortest,
    })
}

/// The Sharpe ratio of periodic returns over a riskless rate of zero, annualised.
///
/// Mean over standard deviation of the sample (n - 1), times the square root of the periods in a year. NaN is no
/// observation. The sums run in a fixed order, so every machine gives the same number.
///
/// Args:
///     returns: returns as fractions: a one-dimensional float64 array (read in place), or anything that NumPy makes one of.
///     periods_per_year: how many of these periods make a year: 252 for trading days, 365 for days.
///
/// Returns:
///     The ratio; None with fewer than two observations, or where all are equal.
///
/// Raises:
///     InvalidParameter: returns that are not numbers, or periods that are not positive.
///     ShapeMismatch: returns of more than one dimension.
///
/// Source: Sharpe (1994), "The Sharpe Ratio", Journal of Portfolio Management 21(1).
#[pyfunction]
pub(crate) fn calculate_sharpe(
    returns: &Bound<'_, PyAny>,
    periods_per_year: &Bound<'_, PyAny>,
) -> PyResult<Option<f64>> {
    let py = returns.py();
    let periods = match periods_per_year.extract::<f64>() {
        Ok(periods) if periods > 0.0 && periods.is_finite() => periods,
        _ => {
            let text = "periods_per_year must be a positive, finite number, such as 252".to_owned();
            return Err(raise(py, "InvalidParameter", text));
        }
    };
    if let Ok(array) = returns.cast::<PyArray1<f64>>() {
        return Ok(sharpe_of(array, periods));
    }
    if returns.is_exact_instance_of::<PyList>()
        && let Ok(values) = returns.extract::<Vec<f64>>()
    {
        return Ok(stats::sharpe(&values, periods));
    }
    let options = PyDict::new(py);
    options.set_item("dtype", "float64")?;
    let array = py
        .import("numpy")?
        .getattr("asarray")?
        .call((returns,), Some(&options))
        .map_err(|error| raise(py, "InvalidParameter", format!("returns must be numbers: {}", error.value(py))))?;
    match array.cast::<PyArray1<f64>>() {
        Ok(array) => Ok(sharpe_of(array, periods)),
        Err(_) => {
            Err(raise(py, "ShapeMismatch", "returns must have one dimension; pass one series at a time".to_owned()))
        }
    }
}

fn sharpe_of(array: &Bound<'_, PyArray1<f64>>, periods: f64) -> Option<f64> {
    let array = array.readonly();
    match array.as_slice() {
        Ok(values) => stats::sharpe(values, periods),
        Err(_) => stats::sharpe(&array.as_array().to_vec(), periods),
    }
}
