//! The deterministic core of CIFT Markets: everything that decides, as pure functions of numbered inputs.
#![warn(missing_docs)]

mod arena;
pub mod book;
mod id_map;
mod ladder;
pub mod matching;
#[cfg(feature = "python")]
mod python;
pub mod types;
