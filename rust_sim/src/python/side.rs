//! `Side`, the one that the whole package uses.

use pyo3::basic::CompareOp;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::errors::raise;
use crate::types::Side;

/// Which way an order trades. Equal to its text: `Side.BUY == "buy"`.
#[pyclass(name = "Side", module = "cift._sim", frozen, from_py_object)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum PySide {
    #[pyo3(name = "BUY")]
    Buy,
    #[pyo3(name = "SELL")]
    Sell,
}

impl PySide {
    pub(crate) fn text(self) -> &'static str {
        match self {
            PySide::Buy => "buy",
            PySide::Sell => "sell",
        }
    }
}

impl From<Side> for PySide {
    fn from(side: Side) -> Self {
        match side {
            Side::Buy => PySide::Buy,
            Side::Sell => PySide::Sell,
        }
    }
}

impl From<PySide> for Side {
    fn from(side: PySide) -> Self {
        match side {
            PySide::Buy => Side::Buy,
            PySide::Sell => Side::Sell,
        }
    }
}

/// A side given as `Side` or as text.
pub(crate) fn side_of(value: &Bound<'_, PyAny>) -> PyResult<Side> {
    if let Ok(side) = value.cast::<PySide>() {
        return Ok((*side.get()).into());
    }
    match value.extract::<&str>() {
        Ok("buy") => Ok(Side::Buy),
        Ok("sell") => Ok(Side::Sell),
        _ => Err(raise(
            value.py(),
            "InvalidParameter",
            format!("side {} is not one; pass Side.BUY or Side.SELL, or \"buy\" or \"sell\"", value.repr()?),
        )),
    }
}

#[pymethods]
impl PySide {
    /// The other side.
    #[getter]
    fn opposite(&self) -> PySide {
        Side::from(*self).opposite().into()
    }

    /// +1 for a buy, -1 for a sell.
    #[getter]
    fn sign(&self) -> i64 {
        Side::from(*self).sign()
    }

    fn __str__(&self) -> &'static str {
        self.text()
    }

    fn __repr__(&self) -> &'static str {
        match self {
            PySide::Buy => "Side.BUY",
            PySide::Sell => "Side.SELL",
        }
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        PyString::new(py, self.text()).hash()
    }

    fn __richcmp__(&self, other: &Bound<'_, PyAny>, op: CompareOp) -> PyResult<Py<PyAny>> {
        let py = other.py();
        let same = match other.cast::<PySide>() {
            Ok(side) => Some(*side.get() == *self),
            Err(_) => other.extract::<&str>().ok().map(|text| text == self.text()),
        };
        Ok(match (same, op) {
            (Some(same), CompareOp::Eq) => same.into_pyobject(py)?.to_owned().into_any().unbind(),
            (Some(same), CompareOp::Ne) => (!same).into_pyobject(py)?.to_owned().into_any().unbind(),
            _ => py.NotImplemented(),
        })
    }

    #[allow(clippy::type_complexity)]
    fn __reduce__(&self, py: Python<'_>) -> PyResult<(Py<PyAny>, (Py<PyAny>, &'static str))> {
        let getattr = py.import("builtins")?.getattr("getattr")?.unbind();
        let class = py.get_type::<PySide>().into_any().unbind();
        let name = match self {
            PySide::Buy => "BUY",
            PySide::Sell => "SELL",
        };
        Ok((getattr, (class, name)))
    }
}
