//! Finds the exceptions of `cift.errors` by name, so that each error has one home.

use pyo3::prelude::*;

/// An exception of `cift.errors` with a message. Where the package cannot be imported, the import's own error.
pub(crate) fn raise(py: Python<'_>, class: &str, message: String) -> PyErr {
    let found = py.import("cift.errors").and_then(|module| module.getattr(class));
    match found.and_then(|class| class.call1((message,))) {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}
