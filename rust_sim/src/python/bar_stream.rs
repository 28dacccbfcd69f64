//! Bars of what reaches a strategy, made ahead of it row by row, by the builder that makes them of columns.

use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::bars::{BarBuilder, failed};
use crate::bars::{Bar, BarError, Piece, Price};
use crate::market::Touch;
use crate::simulation::{Observation, Observed};
use crate::types::Nanos;

/// Which price bars are made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum On {
    /// Of prints.
    Price,
    /// The best bid.
    Bid,
    /// The best ask.
    Ask,
    /// Half way between both, in half ticks.
    Mid,
}

impl On {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "price" => On::Price,
            "bid" => On::Bid,
            "ask" => On::Ask,
            "mid" => On::Mid,
            _ => return None,
        })
    }

    /// Whether rows of prints move it; else those of best prices.
    pub(crate) fn is_of_prints(self) -> bool {
        self == On::Price
    }

    /// What a row adds to a bar; None where it shows no such price.
    fn piece(self, ts: Nanos, seen: &Observation) -> Option<Piece> {
        let quoted = |ticks: i64| Some(Piece::point(ts, Price { ticks, past_nano: 0 }, 0, None));
        let of = |touch: Touch| touch.and_then(|(price, _)| quoted(price.0));
        match (self, *seen) {
            (On::Price, Observation::Print(print)) => {
                let price = Price { ticks: print.price.0, past_nano: print.past_nano };
                Some(Piece::point(ts, price, print.qty.0, print.aggressor))
            }
            (On::Bid, Observation::Touch(bid, _)) => of(bid),
            (On::Ask, Observation::Touch(_, ask)) => of(ask),
            (On::Mid, Observation::Touch(bid, ask)) => {
                bid.zip(ask).and_then(|((bid, _), (ask, _))| quoted(bid.0 + ask.0))
            }
            _ => None,
        }
    }
}

/// The bars of one instrument by one rule, and the rows at whose arrival each was known.
pub(crate) struct BarStream {
    pub(crate) instrument: u16,
    pub(crate) on: On,
    made: BarBuilder,
    /// Rows that happened before this are in no bar.
    start: Nanos,
    bars: Vec<Bar>,
    /// Of each bar: the source and number of the row that ended it, and how many rows of its kind were looked at before.
    sources: Vec<u16>,
    numbers: Vec<u64>,
    places: Vec<i64>,
    rows: i64,
    failed: Option<BarError>,
}

impl BarStream {
    pub(crate) fn new(instrument: u16, on: On, made: BarBuilder, start: Nanos) -> Self {
        BarStream {
            instrument,
            on,
            made,
            start,
            bars: Vec::new(),
            sources: Vec::new(),
            numbers: Vec::new(),
            places: Vec::new(),
            rows: 0,
            failed: None,
        }
    }

    /// Takes what was seen, where it is of this instrument and kind.
    pub(crate) fn push(&mut self, seen: &Observed) {
        if seen.instrument != self.instrument || matches!(seen.what, Observation::Print(_)) != self.on.is_of_prints() {
            return;
        }
        let place = self.rows;
        self.rows += 1;
        if seen.ts < self.start || self.failed.is_some() {
            return;
        }
        let Some(piece) = self.on.piece(seen.ts, &seen.what) else { return };
        let BarStream { made, bars, sources, numbers, places, .. } = self;
        let emit = |bar| {
            bars.push(bar);
            sources.push(seen.source);
            numbers.push(seen.row);
            places.push(place);
        };
        self.failed = made.builder.push(&piece, emit).err();
    }

    /// Hands out the bars, and begins anew.
    pub(crate) fn take<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        if let Some(error) = self.failed.take() {
            return Err(failed(py, error));
        }
        let columns = self.made.columns(py, &std::mem::take(&mut self.bars))?;
        columns.set_item("source", PyArray1::from_vec(py, std::mem::take(&mut self.sources)))?;
        columns.set_item("row", PyArray1::from_vec(py, std::mem::take(&mut self.numbers)))?;
        columns.set_item("place", PyArray1::from_vec(py, std::mem::take(&mut self.places)))?;
        columns.set_item("rows", std::mem::take(&mut self.rows))?;
        Ok(columns)
    }
}
