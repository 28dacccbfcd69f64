//! Matching in one call: an order into a book, or a list of orders into a new one.

use pyo3::prelude::*;
use pyo3::types::PyList;

use super::book::{OrderBook, Refusals, refused};
use super::fills::Fills;
use super::lists::borrowed;
use super::order::PyOrder;
use crate::matching::{Input, OrderInput};
use crate::python::errors::raise;
use crate::types::Nanos;

/// Sends an order into a book: it trades by price, then time, and what is left rests or is cancelled as its `tif` says.
///
/// The book changes in place; `book.copy()` gives one to try things on.
///
/// Args:
///     book: the book.
///     order: the order.
///
/// Returns:
///     Its fills, with `order_id`, `resting_lots` and `cancelled_lots` of the order.
///
/// Raises:
///     OrderError: the engine refuses it: the id is in use, it is post-only and would trade, or the size at its price would
///         overflow. The book is as it was.
#[pyfunction]
pub(crate) fn match_order(
    py: Python<'_>,
    mut book: PyRefMut<'_, OrderBook>,
    order: &Bound<'_, PyOrder>,
) -> PyResult<Fills> {
    book.send(py, order.get())
}

/// Builds a book from orders, sent one after the other. Orders that cross trade on their way in, as at a venue.
///
/// Args:
///     orders: a list of `Order`.
///
/// Raises:
///     InvalidParameter: an element is not an `Order`.
///     OrderError: the engine refuses one; the message says which.
#[pyfunction]
pub(crate) fn build_order_book(py: Python<'_>, orders: &Bound<'_, PyAny>) -> PyResult<OrderBook> {
    let mut book = OrderBook::empty();
    let mut refusals = Refusals::default();
    let mut send = |at: usize, order: &PyOrder| {
        let id = book.id_of(order.id);
        let input = Input::Order(OrderInput::New(order.named(id)));
        book.engine.apply(Nanos(order.ts), &input, &mut refusals);
        match refusals.0 {
            None => Ok(()),
            Some(reason) => Err(refused(py, &format!("order #{id}, element {at} of the list,"), reason)),
        }
    };
    let not_an_order =
        |at: usize| raise(py, "InvalidParameter", format!("element {at} is not an Order; pass a list of Order"));
    if let Ok(list) = orders.cast_exact::<PyList>() {
        for (at, order) in borrowed::<PyOrder>(list).enumerate() {
            send(at, order.ok_or_else(|| not_an_order(at))?)?;
        }
    } else {
        for (at, order) in orders.try_iter()?.enumerate() {
            let order = order?;
            send(at, order.cast::<PyOrder>().map_err(|_| not_an_order(at))?.get())?;
        }
    }
    Ok(book)
}
