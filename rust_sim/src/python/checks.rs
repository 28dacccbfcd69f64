//! What a run is given from Python, checked before it is used: an error says what was given and what was expected.

use std::fmt::Display;

use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;

use super::errors::raise;
use crate::feed::Schema;
use crate::instrument::Instrument;
use crate::latency::Latency;

/// A whole number that should name something: a source, an instrument, a line. Whether it does is for [`place`] to say.
#[derive(Clone, Copy)]
pub(super) struct Number(i128);

impl<'a, 'py> FromPyObject<'a, 'py> for Number {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        match value.extract::<i128>() {
            Ok(number) => Ok(Number(number)),
            // More digits than anything here has; the largest number names nothing either.
            Err(error) if error.is_instance_of::<PyOverflowError>(value.py()) => Ok(Number(i128::MAX)),
            Err(error) => Err(error),
        }
    }
}

impl From<u16> for Number {
    fn from(number: u16) -> Self {
        Number(number.into())
    }
}

impl From<u32> for Number {
    fn from(number: u32) -> Self {
        Number(number.into())
    }
}

fn invalid(py: Python<'_>, text: String) -> PyErr {
    raise(py, "InvalidParameter", text)
}

/// The place that a number names among `count`.
pub(super) fn place(py: Python<'_>, what: &str, number: impl Into<Number>, count: usize) -> PyResult<usize> {
    let Number(number) = number.into();
    match usize::try_from(number) {
        Ok(at) if at < count => Ok(at),
        _ => Err(invalid(py, format!("{what} {number} does not exist: the run has {count}, numbered from 0"))),
    }
}

/// As [`place`], of what a run has at most 65,535 of.
pub(super) fn short_place(py: Python<'_>, what: &str, number: impl Into<Number>, count: usize) -> PyResult<u16> {
    at_most_short(py, what, count)?;
    Ok(place(py, what, number, count)? as u16)
}

/// That things can be numbered with 16 bits.
pub(super) fn at_most_short(py: Python<'_>, what: &str, count: usize) -> PyResult<()> {
    if count <= usize::from(u16::MAX) {
        return Ok(());
    }
    Err(invalid(py, format!("{count} is too many for one run; pass at most {} of {what}", u16::MAX)))
}

/// The schema that a code stands for.
pub(super) fn schema(py: Python<'_>, code: Number) -> PyResult<Schema> {
    match code.0 {
        0 => Ok(Schema::Mbo),
        1 => Ok(Schema::Quotes),
        2 => Ok(Schema::Trades),
        3 => Ok(Schema::Mbp),
        other => {
            let codes = "0 for mbo, 1 for quotes, 2 for trades, 3 for mbp";
            Err(invalid(py, format!("schema code {other} is not known; pass {codes}")))
        }
    }
}

/// That a number is above 0.
pub(super) fn positive<T: Display + Default + PartialOrd>(py: Python<'_>, what: &str, number: T) -> PyResult<()> {
    if number > T::default() { Ok(()) } else { Err(invalid(py, format!("{what} must be above 0, not {number}"))) }
}

/// That an instrument has steps to count in, and one of the run's currencies.
pub(super) fn instrument(py: Python<'_>, symbol: &str, instrument: &Instrument, currencies: usize) -> PyResult<()> {
    let Instrument { tick, lot, unit, currency } = *instrument;
    let steps = [
        ("numerator of the tick", tick.num),
        ("denominator of the tick", tick.den),
        ("numerator of the lot", lot.num),
        ("denominator of the lot", lot.den),
    ];
    for (what, number) in steps {
        positive(py, &format!("{what} of {symbol}"), number)?;
    }
    positive(py, &format!("money units of one tick of one lot of {symbol}"), unit)?;
    place(py, &format!("currency of {symbol}:"), currency, currencies).map(drop)
}

/// That no message arrives before it is sent.
pub(super) fn latency(py: Python<'_>, latency: Latency) -> PyResult<()> {
    let legs = [("feed", latency.feed_ns), ("entry", latency.entry_ns), ("response", latency.response_ns)];
    match legs.into_iter().find(|(_, leg)| *leg < 0) {
        Some((name, leg)) => Err(invalid(py, format!("{name} latency must be 0 ns or more, not {leg}"))),
        None => Ok(()),
    }
}
