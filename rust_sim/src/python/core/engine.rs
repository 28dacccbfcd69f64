//! The matching engine: orders that are matched, and records that are done as told.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::arguments::{Id, Owner, PriceTicks, QtyLots, SelfTradeArgument, SideArgument, TifArgument, TsNs};
use super::book::OrderBook;
use super::fills::Fills;
use super::order::PyOrder;
use crate::matching::{Input, OrderInput, RecordInput, SelfTrade, TimeInForce};
use crate::types::{Family, Lots, Nanos, OrderId, OwnerId, Side, Ticks};

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
