//! The Python face of the core: the only module that knows PyO3.

use pyo3::prelude::*;

#[pymodule]
fn _sim(_module: &Bound<'_, PyModule>) -> PyResult<()> {
    Ok(())
}
