//! Statistics of fills and of returns.

use std::cell::Cell;

use numpy::{PyArray1, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::fills::{FillRow, Fills, PyFill, not_a_fill};
use super::lists::borrowed;
use crate::python::errors::raise;
use crate::stats;

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
