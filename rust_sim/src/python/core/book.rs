//! An order book by itself.

use pyo3::prelude::*;

use super::arguments::{Id, Most, PriceTicks, SideArgument};
use super::fills::{FillRow, Fills};
use super::order::{PyOrder, RestingOrder};
use crate::matching::{
    ANOMALIES, Event, FillReason, Input, MatchingEngine as Engine, OrderInput, RecordInput, RejectReason, Sink,
};
use crate::python::errors::raise;
use crate::python::words::reject_text;
use crate::types::{Family, Nanos, OrderId, Side, Ticks};

pub(super) fn refused(py: Python<'_>, what: &str, reason: RejectReason) -> PyErr {
    let class = if reason == RejectReason::UnknownOrder { "UnknownOrder" } else { "OrderError" };
    let advice = match reason {
        RejectReason::UnknownOrder => "; it never rested, is closed, or has another owner",
        RejectReason::DuplicateId => "; an order of this id rests already: pass another, or none",
        RejectReason::WouldTrade => "; choose a price that does not cross the book",
        _ => "",
    };
    raise(py, class, format!("{what} was refused: {}{advice}", reject_text(reason)))
}

/// The order book of one instrument: every order at its price, in the order of arrival. Prices are ticks, sizes lots.
///
/// An empty book; `MatchingEngine.book` and `build_order_book` give others. `len(book)` counts the orders that rest.
#[pyclass(module = "cift._sim")]
pub(crate) struct OrderBook {
    pub(super) engine: Engine,
    pub(super) events: Vec<Event>,
    /// The id that the next order without one gets.
    next_id: u64,
    pub(super) anomalies: [u64; ANOMALIES],
}

/// Refusals alone matter while a book is built.
#[derive(Default)]
pub(super) struct Refusals(pub(super) Option<RejectReason>);

impl Sink for Refusals {
    #[inline]
    fn event(&mut self, event: Event) {
        if let Event::Rejected { reason, .. } = event {
            self.0 = Some(reason);
        }
    }
}

impl OrderBook {
    pub(super) fn empty() -> Self {
        OrderBook { engine: Engine::new(), events: Vec::new(), next_id: 1, anomalies: [0; ANOMALIES] }
    }

    /// The id of an order, counted where it has none.
    #[inline]
    pub(super) fn id_of(&mut self, given: Option<u64>) -> u64 {
        let id = given.unwrap_or(self.next_id);
        self.next_id = self.next_id.max(id.saturating_add(1));
        id
    }

    #[inline]
    pub(super) fn send(&mut self, py: Python<'_>, order: &PyOrder) -> PyResult<Fills> {
        let id = self.id_of(order.id);
        let input = Input::Order(OrderInput::New(order.named(id)));
        self.engine.apply(Nanos(order.ts), &input, &mut self.events);
        self.fills_of(py, id, order.side, Nanos(order.ts), "the order")
    }

    /// What the events say about one order that was sent or changed.
    #[inline]
    pub(super) fn fills_of(
        &mut self,
        py: Python<'_>,
        order: u64,
        side: Side,
        ts: Nanos,
        what: &str,
    ) -> PyResult<Fills> {
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
    pub(super) fn record(&mut self, ts: i64, input: RecordInput) -> Fills {
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

    pub(super) fn __repr__(&self) -> String {
        let side = |best: Option<(i64, i64)>| best.map_or("none".to_owned(), |(price, qty)| format!("{qty} @ {price}"));
        format!("<order book of {}: bid {}, ask {}>", self.__len__(), side(self.best_bid()), side(self.best_ask()))
    }
}
