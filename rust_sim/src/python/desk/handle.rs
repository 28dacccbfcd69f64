//! The verbs and views of one instrument.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyString;

use super::{Book, OrderUpdate, Shared, average_price, money, order_update};
use crate::desk::{DeskError, Ticket};
use crate::grid::{Against, Grid, Rules};
use crate::instrument::{Instrument, OffStep};
use crate::matching::TimeInForce;
use crate::python::errors::raise;
use crate::python::words::{parse_self_trade, parse_tif};
use crate::types::{Lots, Nanos, OrderId, Side, Ticks};

/// The verbs and views of one instrument.
#[pyclass(module = "cift._sim", frozen)]
pub(crate) struct Handle {
    shared: Arc<Shared>,
    at: u16,
    instrument: Instrument,
    rules: Rules,
    book: Py<Book>,
    symbol: Py<PyString>,
}

impl Handle {
    pub(crate) fn new(
        py: Python<'_>,
        shared: Arc<Shared>,
        at: u16,
        instrument: Instrument,
        rules: Rules,
    ) -> PyResult<Self> {
        let symbol = PyString::new(py, &shared.symbols[at as usize]).unbind();
        let book = Py::new(py, Book { shared: shared.clone(), at, instrument, symbol: symbol.clone_ref(py) })?;
        Ok(Handle { shared, at, instrument, rules, book, symbol })
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
        let (floor, exact) = match self.instrument.tick.count(price) {
            Ok(ticks) => (ticks, true),
            Err(OffStep::Between(below)) => (below, false),
            Err(_) => {
                return Err(raise(py, "OffTickPrice", format!("price {price} is not a price; pass a finite number")));
            }
        };
        let grid = &self.rules.prices;
        let now = if let Grid::Banded(_) = grid { Nanos(self.now(py)?) } else { Nanos(0) };
        let (below, above, is_on) = grid.around(now, floor, exact);
        if is_on {
            return Ok(Ticks(below));
        }
        let middle = self.instrument.tick.value(below) + self.instrument.tick.value(above - below) / 2.0;
        match rounding {
            Some("down") => Ok(Ticks(below)),
            Some("up") => Ok(Ticks(above)),
            Some("nearest") => Ok(Ticks(if price < middle { below } else { above })),
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
                    self.instrument.tick.value(above - below)
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
            (DeskError::Rule(against), _) => ("OrderError", self.against(against)),
            (other, _) => ("OrderError", other.to_string()),
        };
        raise(py, class, text)
    }

    /// What an order did against the instrument's rules, as a sentence.
    fn against(&self, against: Against) -> String {
        let (name, rules, lot) = (self.name(), &self.rules, self.instrument.lot);
        match against {
            Against::SizeStep => format!("the size is not on {name}'s size_increment; round it first"),
            Against::TooSmall => {
                format!(
                    "the size is below {name}'s min_quantity of {}; send more, or nothing",
                    lot.value(rules.min_qty.0)
                )
            }
            Against::TooLarge => {
                format!("the size is above {name}'s max_quantity of {}; send several", lot.value(rules.max_qty.0))
            }
            Against::Value => {
                format!("the order is worth less than {name}'s min_notional of {}; send more", money(rules.min_value))
            }
            Against::NotYet => format!("{name} does not trade yet; its activation is later"),
            Against::Expired => format!("{name} has expired and takes no more orders; trade another contract"),
        }
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
            (None, Some(value), None) => {
                let amount = decimal(value, 18).filter(|&amount| amount > 0);
                let amount = amount.ok_or_else(|| self.unusable(py, "value", value))?;
                self.lots_for_value(py, side, amount, value, limit)
            }
            (None, None, Some(fraction)) => {
                let doubled = self
                    .shared
                    .with(py, |desk| desk.equity().map_err(|error| raise(py, "MoneyError", error.to_string())))?;
                let amount = decimal(fraction, 9)
                    .filter(|&billionths| billionths > 0)
                    .and_then(|billionths| doubled.checked_mul(billionths))
                    .map(|doubled| doubled / 2_000_000_000);
                let amount = amount.ok_or_else(|| self.unusable(py, "fraction", fraction))?;
                self.lots_for_value(py, side, amount, money(amount), limit)
            }
            _ => Err(raise(
                py,
                "InvalidParameter",
                "give the size of an order as exactly one of size (units), value= (currency) or fraction= (of equity)"
                    .to_owned(),
            )),
        }
    }

    fn unusable(&self, py: Python<'_>, name: &str, given: f64) -> PyErr {
        raise(py, "OrderError", format!("{name}={given} must be a positive amount that the account can hold"))
    }

    /// How many whole lots an amount of money buys; `shown` is the amount as the message says it.
    fn lots_for_value(
        &self,
        py: Python<'_>,
        side: Side,
        amount: i128,
        shown: f64,
        limit: Option<Ticks>,
    ) -> PyResult<Lots> {
        let market = self.shared.with(py, |desk| Ok(desk.markets[self.at as usize].price_for(side)))?;
        let lot = limit.or(market).and_then(|price| self.instrument.unit.checked_mul(i128::from(price.0.abs())));
        match lot {
            Some(lot) if lot > 0 && amount >= lot => {
                let lots = i64::try_from(amount / lot).unwrap_or(i64::MAX);
                let step = self.rules.sizes.step(Nanos(self.now(py)?), lots);
                Ok(Lots(if lots < step { lots } else { lots / step * step }))
            }
            Some(lot) if lot > 0 => Err(raise(
                py,
                "OrderError",
                format!("a value of {shown} does not buy one lot of {}, which costs {}", self.name(), money(lot)),
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

/// The decimal that a float is written as, in units of 10^-`digits`; digits beyond are cut off. None where it is not finite,
/// or does not fit.
fn decimal(value: f64, digits: u32) -> Option<i128> {
    if !value.is_finite() {
        return None;
    }
    let text = value.abs().to_string();
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let part = &part[..part.len().min(digits as usize)];
    let scale = 10_i128.pow(digits - part.len() as u32);
    let number: i128 = format!("{whole}{part}").parse().ok()?;
    let scaled = number.checked_mul(scale)?;
    Some(if value < 0.0 { -scaled } else { scaled })
}
