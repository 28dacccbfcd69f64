//! Bars as columns of arrays.

use numpy::PyReadonlyArray1;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::columns::array;
use super::errors::raise;
use super::run::slice;
use crate::bars::{Bar, BarError, Builder, Piece, Points, Price, Rule, Weight, nearest, price_of};
use crate::instrument::Step;
use crate::types::Nanos;

type Column<'py, T> = PyReadonlyArray1<'py, T>;

/// Makes bars of rows that are pushed in order of time.
///
/// Args:
///     rule: "time", "sum", "imbalance", "runs" or "renko".
///     weight: what a sum, an imbalance or a run is of: "count", "lots" or "value".
///     threshold: length in ns, ticks of a brick, or what the weight is compared with.
///     scale: what one tick-lot, and 1e-9 of the currency times one lot, weigh where the weight is "value".
///     tick: the price step as (numerator, denominator), (1, 100) for a cent.
///     lot: the size step likewise.
///     sessions: pairs of open and close in ns, in order; empty: the market never closes.
///
/// Raises:
///     InvalidParameter: where one of them is out of range.
#[derive(Clone)]
#[pyclass(module = "cift._sim", name = "BarBuilder")]
pub(crate) struct BarBuilder {
    pub(super) builder: Builder,
    tick: Step,
    lot: Step,
    rows: usize,
}

#[pymethods]
impl BarBuilder {
    #[new]
    #[pyo3(signature = (*, rule, weight, threshold, scale, tick, lot, sessions))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        rule: &str,
        weight: &str,
        threshold: i128,
        scale: (i128, i128),
        tick: (i64, i64),
        lot: (i64, i64),
        sessions: Vec<(i64, i64)>,
    ) -> PyResult<Self> {
        let invalid = |text: String| Err(raise(py, "InvalidParameter", text));
        if threshold <= 0 {
            return invalid(format!("the threshold of a bar must be above 0, not {threshold}"));
        }
        if tick.0 <= 0 || tick.1 <= 0 || lot.0 <= 0 || lot.1 <= 0 {
            return invalid("tick and lot must be fractions of two positive numbers".to_owned());
        }
        let ordered = |pair: &[(i64, i64)]| pair[0].1 <= pair[1].0;
        if sessions.iter().any(|(open, close)| open >= close) || !sessions.windows(2).all(ordered) {
            return invalid("sessions must be pairs of open and close, in order and apart".to_owned());
        }
        let weight = match weight {
            "count" => Weight::Count,
            "lots" => Weight::Lots,
            "value" => Weight::Value(scale.0, scale.1),
            other => return invalid(format!("weight {other:?} is not one of count, lots, value")),
        };
        let long = i64::try_from(threshold).unwrap_or(i64::MAX);
        let rule = match rule {
            "time" => Rule::Time(long),
            "sum" => Rule::Sum(weight, threshold),
            "imbalance" => Rule::Imbalance(weight, threshold),
            "runs" => Rule::Runs(weight, threshold),
            "renko" => Rule::Renko(long),
            other => return invalid(format!("rule {other:?} is not one of time, sum, imbalance, runs, renko")),
        };
        let (tick, lot) = (Step { num: tick.0, den: tick.1 }, Step { num: lot.0, den: lot.1 });
        Ok(BarBuilder { builder: Builder::new(rule, sessions), tick, lot, rows: 0 })
    }

    /// Takes prints, or quotes of one price with sizes of 0, and returns the bars that they end, as columns.
    ///
    /// Raises:
    ///     DataError: for a price or size that is none. ShapeMismatch: where the columns differ in length.
    ///     TimeOrder: where time goes back. MoneyError: where a bar holds more than can be counted.
    fn push_points<'py>(
        &mut self,
        py: Python<'py>,
        ts: Column<'py, i64>,
        price: Column<'py, f64>,
        size: Column<'py, f64>,
        aggressor: Column<'py, u8>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let points = Points {
            ts: slice(py, "ts", &ts)?,
            price: slice(py, "price", &price)?,
            size: slice(py, "size", &size)?,
            aggressor: slice(py, "aggressor", &aggressor)?,
        };
        let rows = points.ts.len();
        if [points.price.len(), points.size.len(), points.aggressor.len()] != [rows; 3] {
            return Err(raise(py, "ShapeMismatch", "the columns of a chunk differ in length".to_owned()));
        }
        let BarBuilder { builder, tick, lot, rows: before } = self;
        let mut bars = Vec::new();
        let steps = (*tick, *lot);
        let pushed = py.detach(|| builder.push_points(points, steps, *before, |bar| bars.push(bar)));
        pushed.map_err(|error| failed(py, error))?;
        *before += rows;
        self.columns(py, &bars)
    }

    /// Takes smaller bars, whose value is that of their vwap times their volume, and returns the bars that they end.
    ///
    /// Raises: as `push_points`.
    #[allow(clippy::too_many_arguments)]
    fn push_bars<'py>(
        &mut self,
        py: Python<'py>,
        ts_open: Column<'py, i64>,
        ts_event: Column<'py, i64>,
        open: Column<'py, f64>,
        high: Column<'py, f64>,
        low: Column<'py, f64>,
        close: Column<'py, f64>,
        volume: Column<'py, f64>,
        count: Column<'py, i64>,
        vwap: Column<'py, f64>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let (ts_open, ts_event, count) = (ts_open.as_array(), ts_event.as_array(), count.as_array());
        let floats = [open, high, low, close, volume, vwap];
        let floats = floats.each_ref().map(PyReadonlyArray1::as_array);
        let rows = ts_open.len();
        if ts_event.len() != rows || count.len() != rows || floats.iter().any(|column| column.len() != rows) {
            return Err(raise(py, "ShapeMismatch", "the columns of a chunk differ in length".to_owned()));
        }
        let [open, high, low, close, volume, vwap] = floats;
        let BarBuilder { builder, tick, lot, rows: before } = self;
        let mut bars = Vec::new();
        for i in 0..rows {
            let row = *before + i;
            let price = |name: &str, value: f64| price_of(value, *tick).ok_or_else(|| bad(py, row, name, value));
            let lots = lot.count(volume[i]).ok().filter(|&lots| lots >= 0);
            let lots = lots.ok_or_else(|| bad(py, row, "volume", volume[i]))?;
            // The value of a bar is a whole number of tick-lots, or of 1e-9 of the currency times a lot where a print lay
            // between two ticks; both are found again from the float that is nearest to their quotient.
            let value = if lots == 0 { 0.0 } else { vwap[i] * lots as f64 * tick.den as f64 / tick.num as f64 };
            let (ticks_lots, nano_lots) = if (value - value.round()).abs() < 1e-3_f64.max(value * 1e-12) {
                (value.round() as i128, 0)
            } else {
                (0, (vwap[i] * lots as f64 * 1e9).round() as i128)
            };
            let bar = Bar {
                opened: Nanos(ts_open[i]),
                closed: Nanos(ts_event[i]),
                open: price("open", open[i])?,
                high: price("high", high[i])?,
                low: price("low", low[i])?,
                close: price("close", close[i])?,
                lots,
                count: u64::try_from(count[i]).map_err(|_| bad(py, row, "count", count[i] as f64))?,
                ticks_lots,
                nano_lots,
            };
            builder.push(&Piece { bar, aggressor: None }, |bar| bars.push(bar)).map_err(|error| failed(py, error))?;
        }
        *before += rows;
        self.columns(py, &bars)
    }

    /// The bar that is not finished yet, as columns of one row or none.
    fn unfinished<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.columns(py, self.builder.unfinished().as_slice())
    }

    /// Rows that came while the market was closed, and are in no bar.
    #[getter]
    fn outside(&self) -> u64 {
        self.builder.outside
    }
}

impl BarBuilder {
    pub(super) fn columns<'py>(&self, py: Python<'py>, bars: &[Bar]) -> PyResult<Bound<'py, PyDict>> {
        let BarBuilder { tick, lot, .. } = *self;
        let price = |price: Price| tick.value_past(price.ticks, price.past_nano);
        let columns = PyDict::new(py);
        columns.set_item("ts_open", array(py, bars.iter().map(|bar| bar.opened.0)))?;
        columns.set_item("ts_event", array(py, bars.iter().map(|bar| bar.closed.0)))?;
        columns.set_item("open", array(py, bars.iter().map(|bar| price(bar.open))))?;
        columns.set_item("high", array(py, bars.iter().map(|bar| price(bar.high))))?;
        columns.set_item("low", array(py, bars.iter().map(|bar| price(bar.low))))?;
        columns.set_item("close", array(py, bars.iter().map(|bar| price(bar.close))))?;
        columns.set_item("volume", array(py, bars.iter().map(|bar| lot.value(bar.lots))))?;
        columns.set_item("count", array(py, bars.iter().map(|bar| bar.count as i64)))?;
        let vwaps: Option<Vec<f64>> = bars.iter().map(|bar| vwap(bar, tick)).collect();
        let closed = bars.first().map_or(Nanos(0), |bar| bar.closed);
        let vwaps = vwaps.ok_or_else(|| failed(py, BarError::TooLarge(closed)))?;
        columns.set_item("vwap", array(py, vwaps.into_iter()))?;
        Ok(columns)
    }
}

/// Value by volume, divided once; NaN where nothing traded, None where the numbers are too large.
fn vwap(bar: &Bar, tick: Step) -> Option<f64> {
    const NANO: i128 = 1_000_000_000;
    let (num, den, lots) = (i128::from(tick.num), i128::from(tick.den), i128::from(bar.lots));
    if lots == 0 {
        return Some(f64::NAN);
    }
    let whole = bar.ticks_lots.checked_mul(num)?;
    if bar.nano_lots == 0 {
        return Some(nearest(whole, den.checked_mul(lots)?));
    }
    let value = whole.checked_mul(NANO)?.checked_add(bar.nano_lots.checked_mul(den)?)?;
    Some(nearest(value, den.checked_mul(lots)?.checked_mul(NANO)?))
}

fn bad(py: Python<'_>, row: usize, column: &str, value: f64) -> PyErr {
    raise(py, "DataError", format!("row {row}, column '{column}': {value} cannot be counted in the instrument's steps"))
}

pub(super) fn failed(py: Python<'_>, error: BarError) -> PyErr {
    let class = match error {
        BarError::TimeOrder(..) => "TimeOrder",
        BarError::TooLarge(_) => "MoneyError",
        BarError::Bricks(..) | BarError::Price(..) | BarError::Size(..) => "DataError",
    };
    raise(py, class, error.to_string())
}
