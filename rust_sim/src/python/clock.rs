//! What indicators read ahead of the strategy, as columns of numbers.

use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::desk::half_ticks;
use crate::instrument::Instrument;
use crate::simulation::{Observation, Observed};

/// How many rows are noted before their columns are filled: few enough that they are still in the nearest cache.
const BLOCK: usize = 256;

/// What an indicator may read of a row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    BidPrice,
    BidSize,
    AskPrice,
    AskSize,
    Mid,
    Spread,
    Price,
    Size,
}

const FIELDS: [(&str, Field); 8] = [
    ("bid_price", Field::BidPrice),
    ("bid_size", Field::BidSize),
    ("ask_price", Field::AskPrice),
    ("ask_size", Field::AskSize),
    ("mid", Field::Mid),
    ("spread", Field::Spread),
    ("price", Field::Price),
    ("size", Field::Size),
];

impl Field {
    /// NaN where the row does not have it; a side without orders has size 0.
    #[inline]
    fn of(self, instrument: &Instrument, seen: &Observation) -> f64 {
        let (tick, lot) = (instrument.tick, instrument.lot);
        let found = match (self, *seen) {
            (Field::BidPrice, Observation::Touch(bid, _)) => bid.map(|(price, _)| tick.value(price.0)),
            (Field::AskPrice, Observation::Touch(_, ask)) => ask.map(|(price, _)| tick.value(price.0)),
            (Field::BidSize, Observation::Touch(bid, _)) => Some(bid.map_or(0.0, |(_, qty)| lot.value(qty.0))),
            (Field::AskSize, Observation::Touch(_, ask)) => Some(ask.map_or(0.0, |(_, qty)| lot.value(qty.0))),
            (Field::Mid, Observation::Touch(bid, ask)) => {
                bid.zip(ask).map(|(bid, ask)| half_ticks(tick, bid.0.0 + ask.0.0))
            }
            (Field::Spread, Observation::Touch(bid, ask)) => {
                bid.zip(ask).map(|(bid, ask)| tick.value(ask.0.0 - bid.0.0))
            }
            (Field::Price, Observation::Print(print)) => Some(tick.value_past(print.price.0, print.past_nano)),
            (Field::Size, Observation::Print(print)) => Some(lot.value(print.qty.0)),
            _ => None,
        };
        found.unwrap_or(f64::NAN)
    }
}

/// What indicators read of one instrument: of its best prices, or of its prints. Its columns hold the rows that were
/// looked at last.
pub(crate) struct Clock {
    pub(crate) instrument: u16,
    pub(crate) on_prints: bool,
    steps: Instrument,
    /// Rows that are not in the columns yet. They go there block by block and column by column: row by row, every
    /// division of every column would be waited for.
    noted: Vec<Observation>,
    columns: Vec<(&'static str, Field, Vec<f64>)>,
    /// Where the rows stand in their source, and in the common order of arrivals; None where nobody asks.
    places: Option<(Vec<u16>, Vec<u64>)>,
    order: Option<Vec<i64>>,
}

impl Clock {
    /// A clock of the named columns; None where a name is not known.
    pub(crate) fn new(
        (instrument, steps): (u16, Instrument),
        on_prints: bool,
        names: &[String],
        places: bool,
        order: bool,
    ) -> Option<Self> {
        let column = |wanted: &String| {
            FIELDS.iter().find(|(name, _)| name == wanted).map(|&(name, field)| (name, field, Vec::new()))
        };
        Some(Clock {
            instrument,
            on_prints,
            steps,
            noted: Vec::with_capacity(BLOCK),
            columns: names.iter().map(column).collect::<Option<_>>()?,
            places: places.then(Default::default),
            order: order.then(Vec::new),
        })
    }

    /// Makes room for rows to come.
    pub(crate) fn reserve(&mut self, rows: usize) {
        self.columns.iter_mut().for_each(|(_, _, values)| values.reserve_exact(rows));
        if let Some((sources, numbers)) = &mut self.places {
            sources.reserve_exact(rows);
            numbers.reserve_exact(rows);
        }
    }

    /// Notes what was seen, where it is for this clock.
    #[inline]
    pub(crate) fn push(&mut self, seen: &Observed, order: i64) {
        if seen.instrument != self.instrument || matches!(seen.what, Observation::Print(_)) != self.on_prints {
            return;
        }
        if self.noted.len() == BLOCK {
            self.fill_columns();
        }
        self.noted.push(seen.what);
        if let Some((sources, numbers)) = &mut self.places {
            sources.push(seen.source);
            numbers.push(seen.row);
        }
        if let Some(orders) = &mut self.order {
            orders.push(order);
        }
    }

    fn fill_columns(&mut self) {
        let Clock { steps, noted, columns, .. } = self;
        for (_, field, values) in columns {
            values.extend(noted.iter().map(|seen| field.of(steps, seen)));
        }
        noted.clear();
    }

    /// Hands out what was noted, and begins anew.
    pub(crate) fn take<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.fill_columns();
        let dict = PyDict::new(py);
        for (name, _, values) in &mut self.columns {
            dict.set_item(*name, PyArray1::from_vec(py, std::mem::take(values)))?;
        }
        if let Some((sources, numbers)) = &mut self.places {
            dict.set_item("source", PyArray1::from_vec(py, std::mem::take(sources)))?;
            dict.set_item("row", PyArray1::from_vec(py, std::mem::take(numbers)))?;
        }
        if let Some(orders) = &mut self.order {
            dict.set_item("order", PyArray1::from_vec(py, std::mem::take(orders)))?;
        }
        Ok(dict)
    }
}
