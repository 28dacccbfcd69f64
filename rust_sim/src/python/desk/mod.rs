//! The strategy's desk in Python: verbs and views of one instrument, in natural units.

mod book;
mod handle;
mod order;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyString;

pub(crate) use book::Book;
pub(crate) use handle::Handle;
pub(crate) use order::{OrderUpdate, order_update};

use super::errors::raise;
use crate::account::Money;
use crate::desk::Desk;
use crate::instrument::{Instrument, Step};
use crate::types::Lots;

/// Money units to natural units: the float nearest to the decimal where that has 15 digits and at most 9 places.
pub(crate) fn money(amount: i128) -> f64 {
    let near = amount as f64 / 1e18;
    // An amount is no float, so the division above rounds a second time. A number of steps below 2^53 is one.
    const STEPS: [(f64, i128); 3] = [(1e9, 10_i128.pow(9)), (1e5, 10_i128.pow(13)), (1e2, 10_i128.pow(16))];
    for (steps_per_one, units_per_step) in STEPS {
        let guess = i128::from((near * steps_per_one) as i64);
        let off = (amount - guess * units_per_step) as f64 / units_per_step as f64;
        let steps = guess + off.round() as i128;
        if steps.abs() < 1 << 53 && steps * units_per_step == amount {
            return steps as f64 / steps_per_one;
        }
    }
    near
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

/// Mean price of an open position.
pub(crate) fn average_price(instrument: &Instrument, qty: Lots, cost: Money) -> Option<f64> {
    let per_tick = instrument.unit as f64 * qty.0 as f64;
    (qty != Lots::ZERO).then(|| cost.0 as f64 / per_tick * instrument.tick.num as f64 / instrument.tick.den as f64)
}

/// A price in half ticks, by one division.
pub(crate) fn half_ticks(tick: Step, halves: i64) -> f64 {
    (halves as f64 * tick.num as f64) / (2.0 * tick.den as f64)
}
