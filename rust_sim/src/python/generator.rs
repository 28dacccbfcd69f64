//! The synthetic market as columns of arrays.

use numpy::{Element, PyArray1};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::errors::raise;
use crate::generator::{self, MarketConfig, MboColumns, QuoteColumns, TradeColumns, code};
use crate::instrument::Step;
use crate::types::{Nanos, Side, Ticks};

/// Price in ticks, size in lots, id.
type Resting = (i64, i64, u64);

/// A seeded synthetic market, made while it is read.
///
/// Args:
///     seed: equal seeds give equal markets, on every machine.
///     events: records of `mbo` after those of the opening book.
///     start_ns: time of the opening book, ns since the epoch, UTC.
///     end_ns: end of the session; every event is before it.
///     price_ticks: about where the price opens, in ticks, at least 1000.
///     tick: the price step as (numerator, denominator), (1, 100) for a cent.
///     lot: the size step likewise.
///
/// Raises:
///     InvalidParameter: where one of them is out of range.
#[pyclass(module = "cift._sim", name = "Market")]
pub(crate) struct SyntheticMarket {
    market: generator::Market,
    mbo: MboColumns,
    quotes: QuoteColumns,
    trades: TradeColumns,
    tick: Step,
    lot: Step,
}

#[pymethods]
impl SyntheticMarket {
    #[new]
    #[pyo3(signature = (*, seed, events, start_ns, end_ns, price_ticks, tick, lot))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        seed: u64,
        events: u64,
        start_ns: i64,
        end_ns: i64,
        price_ticks: i64,
        tick: (i64, i64),
        lot: (i64, i64),
    ) -> PyResult<Self> {
        for (name, (num, den)) in [("tick", tick), ("lot", lot)] {
            if num <= 0 || den <= 0 {
                let message = format!("{name} must be a fraction of two positive numbers, not ({num}, {den})");
                return Err(raise(py, "InvalidParameter", message));
            }
        }
        let config =
            MarketConfig { seed, events, start: Nanos(start_ns), end: Nanos(end_ns), price: Ticks(price_ticks) };
        let market =
            generator::Market::new(config).map_err(|error| raise(py, "InvalidParameter", error.to_string()))?;
        Ok(SyntheticMarket {
            market,
            mbo: MboColumns::default(),
            quotes: QuoteColumns::default(),
            trades: TradeColumns::default(),
            tick: Step { num: tick.0, den: tick.1 },
            lot: Step { num: lot.0, den: lot.1 },
        })
    }

    /// The next whole events as columns of `mbo` with `venue_seq`: at least `rows` rows unless the market ends first, and at
    /// most one event more. None after the end.
    ///
    /// Raises:
    ///     InvalidParameter: where `rows` is 0.
    fn chunk<'py>(&mut self, py: Python<'py>, rows: usize) -> PyResult<Option<Bound<'py, PyDict>>> {
        if rows == 0 {
            return Err(raise(py, "InvalidParameter", "rows of a chunk must be at least 1, not 0".to_owned()));
        }
        let SyntheticMarket { market, mbo, quotes, trades, .. } = self;
        if !py.detach(|| market.next_chunk(rows, mbo, quotes, trades)) {
            return Ok(None);
        }
        let (tick, lot) = (self.tick, self.lot);
        let mbo = std::mem::take(&mut self.mbo);
        let price = |(&ticks, &action): (&i64, &u8)| if action == code::CLEAR { f64::NAN } else { tick.value(ticks) };
        let prices: Vec<f64> = mbo.price_ticks.iter().zip(&mbo.action).map(price).collect();
        let columns = PyDict::new(py);
        put(&columns, "ts_event", mbo.ts_event)?;
        put(&columns, "ts_recv", mbo.ts_recv)?;
        put(&columns, "action", mbo.action)?;
        put(&columns, "side", mbo.side)?;
        put(&columns, "price", prices)?;
        put(&columns, "size", values(lot, &mbo.size_lots))?;
        put(&columns, "order_id", mbo.order_id)?;
        put(&columns, "flags", mbo.flags)?;
        put(&columns, "sequence", mbo.sequence)?;
        put(&columns, "venue_seq", mbo.venue_seq)?;
        Ok(Some(columns))
    }

    /// The columns of `quotes` for the events of the last chunk; empty at a second call.
    fn quotes<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let quotes = std::mem::take(&mut self.quotes);
        let prices = |ticks: &[i64], lots: &[i64]| -> Vec<f64> {
            let price = |(&ticks, &lots)| if lots == 0 { f64::NAN } else { self.tick.value(ticks) };
            ticks.iter().zip(lots).map(price).collect()
        };
        let columns = PyDict::new(py);
        put(&columns, "ts_event", quotes.ts_event)?;
        put(&columns, "ts_recv", quotes.ts_recv)?;
        put(&columns, "bid_price", prices(&quotes.bid_ticks, &quotes.bid_lots))?;
        put(&columns, "bid_size", values(self.lot, &quotes.bid_lots))?;
        put(&columns, "ask_price", prices(&quotes.ask_ticks, &quotes.ask_lots))?;
        put(&columns, "ask_size", values(self.lot, &quotes.ask_lots))?;
        put(&columns, "flags", quotes.flags)?;
        put(&columns, "sequence", quotes.sequence)?;
        put(&columns, "venue_seq", quotes.venue_seq)?;
        Ok(columns)
    }

    /// The columns of `trades` for the events of the last chunk; empty at a second call.
    fn trades<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let trades = std::mem::take(&mut self.trades);
        let columns = PyDict::new(py);
        put(&columns, "ts_event", trades.ts_event)?;
        put(&columns, "ts_recv", trades.ts_recv)?;
        put(&columns, "price", values(self.tick, &trades.price_ticks))?;
        put(&columns, "size", values(self.lot, &trades.size_lots))?;
        put(&columns, "aggressor", trades.aggressor)?;
        put(&columns, "trade_id", trades.trade_id)?;
        put(&columns, "flags", trades.flags)?;
        put(&columns, "sequence", trades.sequence)?;
        put(&columns, "venue_seq", trades.venue_seq)?;
        Ok(columns)
    }

    /// The best bid and ask after the last chunk, in ticks; None where a side is empty.
    #[getter]
    fn touch_ticks(&self) -> (Option<i64>, Option<i64>) {
        let best = |side| self.market.book().best(side).map(|(price, _)| price.0);
        (best(Side::Buy), best(Side::Sell))
    }

    /// The book after the last chunk: for each side, best first, then oldest first, (price in ticks, size in lots, id).
    fn resting(&self) -> (Vec<Resting>, Vec<Resting>) {
        let orders =
            |side| self.market.book().orders(side).map(|order| (order.price.0, order.qty.0, order.id.0)).collect();
        (orders(Side::Buy), orders(Side::Sell))
    }
}

fn put<T: Element>(columns: &Bound<'_, PyDict>, name: &str, values: Vec<T>) -> PyResult<()> {
    columns.set_item(name, PyArray1::from_vec(columns.py(), values))
}

fn values(step: Step, steps: &[i64]) -> Vec<f64> {
    steps.iter().map(|&steps| step.value(steps)).collect()
}
