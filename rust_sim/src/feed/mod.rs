//! Recorded market data on its way into a run: columns become rows of integers, checked once, and a source holds the
//! few rows between the venue's present and the strategy's.

mod columns;
mod rows;
mod source;

pub use columns::{BadRow, LevelColumns, MboColumns, NO_TIME, QuoteColumns, RowProblem, TradeColumns};
pub use rows::{Action, Flow, LAST, MboRow, OUT_OF_SIGHT, QuoteRow, Row, RowSlice, SNAPSHOT, Schema, TradeRow};
pub use source::Source;
