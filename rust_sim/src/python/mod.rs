//! The Python face of the core: the only module that knows PyO3.

mod bar_stream;
mod bars;
mod cell;
mod checks;
mod clock;
mod columns;
mod core;
mod desk;
mod dispatch;
mod errors;
mod generator;
mod run;
mod side;
mod words;

use pyo3::prelude::*;

#[pymodule]
fn _sim(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<bars::BarBuilder>()?;
    module.add_class::<cell::Cell>()?;
    module.add_class::<core::Fills>()?;
    module.add_class::<core::MatchingEngine>()?;
    module.add_class::<core::OrderBook>()?;
    module.add_class::<core::PyFill>()?;
    module.add_class::<core::PyOrder>()?;
    module.add_class::<core::PyPositionStats>()?;
    module.add_class::<core::RestingOrder>()?;
    module.add_function(wrap_pyfunction!(core::build_order_book, module)?)?;
    module.add_function(wrap_pyfunction!(core::calculate_position_stats, module)?)?;
    module.add_function(wrap_pyfunction!(core::calculate_sharpe, module)?)?;
    module.add_function(wrap_pyfunction!(core::match_order, module)?)?;
    module.add_class::<desk::Book>()?;
    module.add_class::<desk::Handle>()?;
    module.add_class::<desk::OrderUpdate>()?;
    module.add_class::<dispatch::FillUpdate>()?;
    module.add_class::<dispatch::Quote>()?;
    module.add_class::<dispatch::TradeTick>()?;
    module.add_class::<generator::SyntheticMarket>()?;
    module.add_class::<run::Run>()?;
    module.add_class::<side::PySide>()?;
    module.add("ENGINE_HASH", env!("CIFT_ENGINE_HASH"))?;
    Ok(())
}
