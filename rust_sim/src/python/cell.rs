//! The present value of an indicator, as a strategy reads it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// A float that the kernel sets and a handler reads.
#[pyclass(module = "cift._sim", subclass, frozen)]
pub(crate) struct Cell {
    pub(crate) bits: Arc<AtomicU64>,
}

impl Cell {
    fn now(&self) -> f64 {
        f64::from_bits(self.bits.load(Ordering::Relaxed))
    }
}

#[pymethods]
impl Cell {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Cell { bits: Arc::new(AtomicU64::new(f64::NAN.to_bits())) }
    }

    /// The value at the present row; NaN until the indicator is ready.
    #[getter]
    fn value(&self) -> f64 {
        self.now()
    }

    /// Whether the indicator has seen enough rows to have a value.
    #[getter]
    fn ready(&self) -> bool {
        !self.now().is_nan()
    }
}

/// The values of one indicator over the rows that were looked at, and the cell that shows the present one.
pub(crate) struct Line {
    pub(crate) cell: Arc<AtomicU64>,
    pub(crate) instrument: u16,
    /// Whether it moves with prints; else with best prices.
    pub(crate) on_prints: bool,
    /// Row of the first value held.
    base: u64,
    values: Vec<f64>,
}

impl Line {
    pub(crate) fn new(cell: Arc<AtomicU64>, instrument: u16, on_prints: bool) -> Self {
        Line { cell, instrument, on_prints, base: 0, values: Vec::new() }
    }

    /// Appends values; those of rows before `reached` are not needed any more.
    pub(crate) fn append(&mut self, values: &[f64], reached: u64) {
        let done = (reached.saturating_sub(1).saturating_sub(self.base) as usize).min(self.values.len());
        self.values.drain(..done);
        self.base += done as u64;
        self.values.extend_from_slice(values);
    }

    /// Shows the value of the row that arrived last; `rows` have arrived.
    #[inline]
    pub(crate) fn show(&self, rows: u64) {
        let at = rows.wrapping_sub(1).wrapping_sub(self.base) as usize;
        let value = self.values.get(at).copied().unwrap_or(f64::NAN);
        self.cell.store(value.to_bits(), Ordering::Relaxed);
    }
}
