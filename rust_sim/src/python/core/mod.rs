//! The matching engine in Python, by itself: orders, records, the book, and statistics of fills and returns.
//!
//! Everything is in whole ticks, lots and nanoseconds. What an input asks for and cannot have is an exception; what it
//! leads to is in the [`Fills`] that it returns.

mod arguments;
mod book;
mod engine;
mod fills;
mod lists;
mod matching;
mod order;
mod statistics;

pub(crate) use book::OrderBook;
pub(crate) use engine::MatchingEngine;
pub(crate) use fills::{Fills, PyFill};
pub(crate) use matching::{build_order_book, match_order};
pub(crate) use order::{PyOrder, RestingOrder};
pub(crate) use statistics::{PyPositionStats, calculate_position_stats, calculate_sharpe};
