//! An order to be matched, and one that rests.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::arguments::{Id, Owner, PriceTicks, QtyLots, SelfTradeArgument, SideArgument, TifArgument, TsNs};
use crate::matching::{NewOrder, SelfTrade, TimeInForce};
use crate::python::errors::raise;
use crate::python::side::PySide;
use crate::python::words::{self_trade_text, tif_text};
use crate::types::{Lots, OrderId, OwnerId, Side, Ticks};

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
    pub(super) side: Side,
    price: Option<i64>,
    qty: i64,
    pub(super) ts: i64,
    pub(super) id: Option<u64>,
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
    pub(super) fn named(&self, id: u64) -> NewOrder {
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
    pub(super) fn new(
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
    pub(super) id: u64,
    /// Which way it trades.
    pub(super) side: PySide,
    /// Its price in ticks.
    pub(super) price_ticks: i64,
    /// What is left of it, in lots.
    pub(super) qty_lots: i64,
    /// Who sent it.
    pub(super) owner: u32,
    /// Whether it belongs to recorded history, which is not matched against itself.
    pub(super) is_record: bool,
}

#[pymethods]
impl RestingOrder {
    fn __repr__(&self) -> String {
        let family = if self.is_record { "recorded order" } else { "order" };
        format!("<{family} #{} {} {} lots at {} ticks>", self.id, self.side.text(), self.qty_lots, self.price_ticks)
    }
}
