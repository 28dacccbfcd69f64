//! Arguments of the engine's functions: whole numbers in their ranges, sides and words, or an error that says what to pass.

use pyo3::prelude::*;
use pyo3::types::PyInt;

use crate::matching::{SelfTrade, TimeInForce};
use crate::python::errors::raise;
use crate::python::side::side_of;
use crate::python::words::{parse_self_trade, parse_tif};
use crate::types::{MAX_LOTS, MAX_OWNERS, MAX_TICKS, Side};

macro_rules! whole_number {
    ($(#[$doc:meta])* $name:ident($inner:ty), $label:literal, $range:expr) => {
        $(#[$doc])*
        pub(super) struct $name(pub(super) $inner);

        impl<'a, 'py> FromPyObject<'a, 'py> for $name {
            type Error = PyErr;

            #[inline]
            fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
                match value.extract::<$inner>() {
                    Ok(number) if $range.contains(&number) => Ok($name(number)),
                    _ => Err(not_whole(value, $label, ($range.start() as &dyn std::fmt::Display, $range.end()))),
                }
            }
        }
    };
}

#[cold]
fn not_whole(
    value: Borrowed<'_, '_, PyAny>,
    name: &str,
    (low, high): (&dyn std::fmt::Display, &dyn std::fmt::Display),
) -> PyErr {
    let py = value.py();
    if value.is_instance_of::<PyInt>() {
        // The number itself may have more digits than Python is willing to print.
        return raise(
            py,
            "InvalidParameter",
            format!("{name} is out of range; pass a whole number from {low} to {high}"),
        );
    }
    let given = value.get_type().name().map_or("object".to_owned(), |name| name.to_string());
    let text = format!("{name} must be a whole number from {low} to {high}, not of type {given}");
    raise(py, "InvalidParameter", text)
}

whole_number!(
    /// A price argument.
    PriceTicks(i64), "price_ticks", (-MAX_TICKS..=MAX_TICKS)
);
whole_number!(
    /// A size argument.
    QtyLots(i64), "qty_lots", (1..=MAX_LOTS)
);
whole_number!(
    /// A time argument.
    TsNs(i64), "ts_ns", (i64::MIN..=i64::MAX)
);
whole_number!(
    /// An id argument.
    Id(u64), "id", (0..=u64::MAX)
);
whole_number!(
    /// An owner argument.
    Owner(u32), "owner", (0..=MAX_OWNERS - 1)
);
whole_number!(
    /// A count argument.
    Most(usize), "most", (0..=usize::MAX)
);

/// An argument given as `Side` or as text.
pub(super) struct SideArgument(pub(super) Side);

impl<'a, 'py> FromPyObject<'a, 'py> for SideArgument {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        side_of(&value).map(SideArgument)
    }
}

/// Text, or an error that says so; odd text, such as half a surrogate pair, is no text that names anything.
fn text_of<'a>(value: &'a Bound<'_, PyAny>, name: &str) -> PyResult<&'a str> {
    value.extract::<&str>().map_err(|_| {
        let given = value.get_type().name().map_or("object".to_owned(), |name| name.to_string());
        raise(value.py(), "InvalidParameter", format!("{name} must be text that names one, not of type {given}"))
    })
}

/// A time in force given as text.
pub(super) struct TifArgument(pub(super) TimeInForce);

impl<'a, 'py> FromPyObject<'a, 'py> for TifArgument {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        parse_tif(value.py(), text_of(&value, "tif")?).map(TifArgument)
    }
}

/// Self-trade prevention given as text, or None.
pub(super) struct SelfTradeArgument(pub(super) SelfTrade);

impl<'a, 'py> FromPyObject<'a, 'py> for SelfTradeArgument {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let text = if value.is_none() { None } else { Some(text_of(&value, "self_trade")?) };
        parse_self_trade(value.py(), text).map(SelfTradeArgument)
    }
}
