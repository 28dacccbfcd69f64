//! The deterministic core of CIFT Markets: everything that decides, as pure functions of numbered inputs.
//!
//! [`kernel`] keeps orders, positions and money and wakes the strategy; [`simulation`] drives it in a backtest, with
//! one [`venue`] for each instrument around the [`matching`] engine. Nothing here does I/O or reads a clock.
#![warn(missing_docs)]

pub mod account;
pub mod answer;
mod arena;
pub mod bars;
pub mod book;
pub mod command;
pub mod desk;
pub mod feed;
pub mod fees;
mod front;
pub mod generator;
pub mod grid;
pub mod instrument;
pub mod journal;
pub mod kernel;
mod ladder;
pub mod latency;
pub mod market;
pub mod matching;
mod merge;
mod node;
pub mod order;
mod prefetch;
#[cfg(feature = "python")]
mod python;
pub mod script;
pub mod simulation;
pub mod stats;
mod table;
pub mod types;
pub mod venue;
