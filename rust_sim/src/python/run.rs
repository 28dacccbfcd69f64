//! One run: sources and venues are set up, chunks are pushed, the kernel is driven, and the results leave as columns.

use std::sync::{Arc, Mutex};

use numpy::PyReadonlyArray1;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use super::bar_stream::{BarStream, On};
use super::bars::BarBuilder;
use super::cell::{Cell, Line};
use super::checks::{self, Number};
use super::clock::Clock;
use super::columns::{array, fills_columns, orders_columns, pair_fills, symbols, trades_columns};
use super::desk::{Handle, Shared, half_ticks, money};
use super::dispatch::{Handlers, PyStrategy};
use super::errors::raise;
use super::side::PySide;
use crate::account::Money;
use crate::command::{Command, CommandKind};
use crate::desk::Desk;
use crate::feed::{BadRow, LevelColumns, MboColumns, QuoteColumns, RowProblem, Schema, Source, TradeColumns};
use crate::fees::Fees;
use crate::grid::{Band, Grid, Rules};
use crate::instrument::{Instrument, OffStep, Step};
use crate::journal::{self, Journal};
use crate::kernel::{Halt, Kernel, KernelError, Mark, Progress, Strategy, Wake, Wants};
use crate::latency::Latency;
use crate::market::Market;
use crate::matching::{ANOMALIES, Refill, SelfTrade, TimeInForce};
use crate::order::Order;
use crate::script::{Replay, Script};
use crate::simulation::{Alarm, Simulation};
use crate::stats::Pairing;
use crate::types::{Lots, Nanos, OrderId, Ticks};
use crate::venue::SimVenue;

/// Inputs between two looks at signals: a few milliseconds of work.
const INPUTS_BETWEEN_SIGNALS: u64 = 1 << 15;

type Column<'py, T> = PyReadonlyArray1<'py, T>;

/// An instrument of a run: symbol, tick as (num, den), lot as (num, den), price increment in ticks, money units of one
/// tick times one lot, and the index of its currency.
type InstrumentRow = (String, (i64, i64), (i64, i64), i64, i128, u16);

/// What orders of an instrument must keep to, beside an even price increment: the number of the instrument; the bands of its
/// price increment and of its size increment, each (since in ns, from, step), none where it is even; smallest and largest
/// order in lots; least value in money units; activation and expiry in ns.
type RulesRow = (Number, Vec<(i64, i64, i64)>, Vec<(i64, i64, i64)>, (i64, i64), i128, (i64, i64));

enum Decider {
    Python(Box<PyStrategy>),
    Replay(Replay),
    Script(Script),
    Nobody,
}

/// A strategy that asks for nothing.
struct Idle;

impl Strategy for Idle {
    fn wants(&self) -> Wants {
        Wants::default()
    }

    fn wake(&mut self, _desk: &mut Box<Desk>, _wake: Wake<'_>) -> Result<(), Halt> {
        Ok(())
    }
}

/// One simulated run.
#[pyclass(module = "cift._sim")]
pub(crate) struct Run {
    kernel: Kernel<Vec<u8>>,
    simulation: Simulation,
    instruments: Vec<Instrument>,
    rules: Vec<Rules>,
    shared: Arc<Shared>,
    decider: Decider,
    /// What indicators look at.
    clocks: Vec<Clock>,
    streams: Vec<BarStream>,
    /// The fills that were taken and have no exit yet, by instrument.
    pairings: Vec<Pairing>,
    /// `on_stop` has run.
    stopped: bool,
    /// The journal is closed and the desk is with the handles.
    finished: bool,
    open_at_end: Vec<Order>,
}

fn source_error(py: Python<'_>, symbol: &str, bad: &BadRow) -> PyErr {
    let BadRow { row, column, problem } = *bad;
    let place = format!("{symbol}: row {row} of the feed, column '{column}':");
    let (class, text) = match problem {
        RowProblem::Price(price, OffStep::Between(_)) => (
            "OffTickPrice",
            format!("price {price} is not on the instrument's price grid; check its tick_size and price_increment"),
        ),
        RowProblem::Price(price, _) => ("DataError", format!("price {price} is not a price")),
        RowProblem::Size(size) => (
            "OffLotSize",
            format!(
                "size {size} is not a whole number of lots, above 0 (of a level: or 0); check the instrument's lot_size"
            ),
        ),
        RowProblem::Action(code) => {
            ("DataError", format!("action {:?} is not one of A, C, M, T, F, R (of levels: S, R)", char::from(code)))
        }
        RowProblem::Side(code) => {
            ("DataError", format!("side {:?} is not one of B, A, N (of a level: B, A)", char::from(code)))
        }
        RowProblem::ReceivedEarly(event, received) => (
            "TimeOrder",
            format!(
                "received at {received}, before it happened at {event}: {} ns early. The receiving clock is behind; \
                 pass clock_offset= to the Backtest (a duration, or \"fit\")",
                event - received
            ),
        ),
        RowProblem::Lengths => {
            ("ShapeMismatch", "the columns of the chunk do not fit its schema, or differ in length".to_owned())
        }
    };
    raise(py, class, format!("{place} {text}"))
}

pub(super) fn slice<'a, T: numpy::Element>(py: Python<'_>, name: &str, column: &'a Column<'_, T>) -> PyResult<&'a [T]> {
    column.as_slice().map_err(|_| {
        raise(py, "ShapeMismatch", format!("column {name} is not contiguous; pass np.ascontiguousarray(column)"))
    })
}

/// What orders of each instrument must keep to, from its even price increment and what was said beside.
fn rules_of(
    py: Python<'_>,
    symbols: &[String],
    increments: impl Iterator<Item = i64>,
    rows: Vec<RulesRow>,
) -> PyResult<Vec<Rules>> {
    let mut rules = Vec::with_capacity(symbols.len());
    for (symbol, increment) in symbols.iter().zip(increments) {
        checks::positive(py, &format!("price increment in ticks of {symbol}"), increment)?;
        rules.push(Rules { prices: Grid::Even(increment), ..Rules::NONE });
    }
    for (number, prices, sizes, quantities, min_value, times) in rows {
        let at = checks::place(py, "instrument", number, symbols.len())?;
        let grid = |bands: &[(i64, i64, i64)], otherwise: &Grid| {
            if bands.is_empty() {
                return Ok(otherwise.clone());
            }
            let bands: Vec<Band> = bands.iter().map(|&(since_ns, from, step)| Band { since_ns, from, step }).collect();
            let wrong = |error| raise(py, "InvalidParameter", format!("the steps of {}: {error}", symbols[at]));
            Grid::banded(&bands).map_err(wrong)
        };
        rules[at] = Rules {
            prices: grid(&prices, &rules[at].prices)?,
            sizes: grid(&sizes, &Grid::Even(1))?,
            min_qty: Lots(quantities.0),
            max_qty: Lots(quantities.1),
            min_value,
            activation: Nanos(times.0),
            expiry: Nanos(times.1),
        };
    }
    Ok(rules)
}

fn currency_money(amounts: Vec<i128>) -> Vec<Money> {
    amounts.into_iter().map(Money).collect()
}

#[pymethods]
impl Run {
    /// Sets up a run. `sources` are (instrument, schema code, clock offset in ns); `latency` is (feed, entry,
    /// response) in ns; `fees` is (maker rate, taker rate) in 1e-12 of value and (per lot, per fill) in money units;
    /// `cash` is one amount in money units for each currency. The strategy is told of nothing that arrives before
    /// `start_ns`; rows before it build the market that it finds. `rules` says of some instruments what orders must keep to:
    /// (instrument, bands of the price increment, bands of the size increment, (smallest, largest) order in lots, least value
    /// in money units, (activation, expiry) in ns), each band (since in ns, from, step).
    ///
    /// Raises:
    ///     InvalidParameter: a number that names nothing, a step or period that is not above 0, a latency below 0.
    #[new]
    #[pyo3(signature = (*, instruments, sources, latency, fees, cash, refill_next_event, equity_every_ns, start_ns=None, rules=None, header))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        instruments: Vec<InstrumentRow>,
        sources: Vec<(Number, Number, i64)>,
        latency: (i64, i64, i64),
        fees: (i64, i64, i128, i128),
        cash: Vec<i128>,
        refill_next_event: bool,
        equity_every_ns: i64,
        start_ns: Option<i64>,
        rules: Option<Vec<RulesRow>>,
        header: &str,
    ) -> PyResult<Self> {
        checks::at_most_short(py, "instruments", instruments.len())?;
        checks::at_most_short(py, "sources", sources.len())?;
        checks::positive(py, "equity_every_ns", equity_every_ns)?;
        let symbols: Vec<String> = instruments.iter().map(|row| row.0.clone()).collect();
        let rules = rules_of(py, &symbols, instruments.iter().map(|row| row.3), rules.unwrap_or_default())?;
        let instruments: Vec<Instrument> = instruments
            .into_iter()
            .map(|(_, tick, lot, _, unit, currency)| Instrument {
                tick: Step { num: tick.0, den: tick.1 },
                lot: Step { num: lot.0, den: lot.1 },
                unit,
                currency,
            })
            .collect();
        for (symbol, instrument) in symbols.iter().zip(&instruments) {
            checks::instrument(py, symbol, instrument, cash.len())?;
        }
        let latency = Latency { feed_ns: latency.0, entry_ns: latency.1, response_ns: latency.2 };
        checks::latency(py, latency)?;
        let source = |(instrument, code, offset)| {
            let instrument = checks::short_place(py, "instrument", instrument, instruments.len())?;
            let source = Source::new(instrument, checks::schema(py, code)?, latency.feed_ns, offset);
            Ok(source.on_grid(rules[instrument as usize].prices.clone()))
        };
        let sources: Vec<Source> = sources.into_iter().map(source).collect::<PyResult<_>>()?;
        let is_deep = |at: usize| sources.iter().any(|it| it.instrument as usize == at && it.schema.is_deep());
        let market = |at| if is_deep(at) { Market::deep() } else { Market::default() };
        let markets: Vec<Market> = (0..instruments.len()).map(market).collect();
        let refill = if refill_next_event { Refill::NextEvent } else { Refill::Never };
        let venues = rules.iter().map(|rules| SimVenue::new(refill).expiring(rules.expiry)).collect();
        let count = sources.len();
        let mut simulation = Simulation::new(sources, venues, &markets, latency);
        let mut desk = Desk::new(instruments.clone(), markets, currency_money(cash));
        desk.rules.clone_from(&rules);
        let fees = Fees { maker_rate: fees.0, taker_rate: fees.1, per_lot: Money(fees.2), per_fill: Money(fees.3) };
        let journal = Journal::new(Vec::new(), count, header);
        let mut kernel = Kernel::new(desk, journal, fees, count, equity_every_ns);
        if let Some(start) = start_ns.map(Nanos) {
            simulation.look_from(start);
            kernel.start_at(start);
        }
        let shared = Shared { desk: Mutex::new(None), symbols, tags: Mutex::default() };
        let shared = Arc::new(shared);
        Ok(Run {
            kernel,
            simulation,
            pairings: vec![Pairing::default(); instruments.len()],
            instruments,
            rules,
            shared,
            decider: Decider::Nobody,
            clocks: Vec::new(),
            streams: Vec::new(),
            stopped: false,
            finished: false,
            open_at_end: Vec::new(),
        })
    }

    /// Makes the handle of each instrument and returns them in order.
    fn handles(&self, py: Python<'_>) -> PyResult<Vec<Py<Handle>>> {
        let make = |(at, instrument): (usize, &Instrument)| {
            Py::new(py, Handle::new(py, self.shared.clone(), at as u16, *instrument, self.rules[at].clone())?)
        };
        self.instruments.iter().enumerate().map(make).collect()
    }

    /// Gives the decisions to a Python strategy: its handlers by name, the callbacks of its conditions, and its
    /// indicators as (cell, instrument, whether it moves on prints).
    fn set_strategy(
        &mut self,
        py: Python<'_>,
        handlers: &Bound<'_, PyDict>,
        conditions: Vec<Py<PyAny>>,
        lines: Vec<(Py<Cell>, u16, bool)>,
        handles: Vec<Py<Handle>>,
    ) -> PyResult<()> {
        let count = self.instruments.len();
        if handles.len() != count {
            let text = format!("{} handles were given for {count} instruments; pass those of handles()", handles.len());
            return Err(raise(py, "ShapeMismatch", text));
        }
        for line in &lines {
            checks::place(py, "instrument", line.1, count)?;
        }
        let handlers = Handlers::new(handlers)?;
        let mut strategy = PyStrategy::new(py, self.shared.clone(), handlers, &handles, &self.instruments);
        strategy.conditions = conditions;
        strategy.lines = lines
            .into_iter()
            .map(|(cell, instrument, on_prints)| Line::new(cell.get().bits.clone(), instrument, on_prints))
            .collect();
        self.decider = Decider::Python(Box::new(strategy));
        Ok(())
    }

    /// Repeats the commands of a journal instead of asking a strategy.
    fn set_replay(&mut self, py: Python<'_>, bytes: &[u8]) -> PyResult<()> {
        let commands = journal::read(bytes).and_then(|records| journal::commands(&records));
        let commands = commands.map_err(|error| raise(py, "JournalError", error.to_string()))?;
        let count = self.instruments.len();
        if let Some((_, command)) = commands.iter().find(|(_, command)| usize::from(command.instrument) >= count) {
            let text = format!("the journal names instrument {}, of another run: this has {count}", command.instrument);
            return Err(raise(py, "JournalError", text));
        }
        self.decider = Decider::Replay(Replay::new(commands));
        Ok(())
    }

    /// Sends orders when the venue comes to given rows, before those rows act and without latency. Each step is
    /// (source, row, kind, order, side, limit in ticks or None, lots): kind "submit", "cancel" or "modify" (new total
    /// size at an unchanged price).
    #[allow(clippy::type_complexity)]
    fn set_script(
        &mut self,
        py: Python<'_>,
        steps: Vec<(Number, u64, String, u64, PySide, Option<i64>, i64)>,
    ) -> PyResult<()> {
        let mut commands: Vec<Vec<Command>> = Vec::new();
        let mut alarms = Vec::new();
        for (source, row, kind, order, side, limit, lots) in steps {
            let (source, instrument) = self.source(py, source)?;
            let kind = match kind.as_str() {
                "submit" => CommandKind::Submit,
                "cancel" => CommandKind::Cancel,
                "modify" => CommandKind::Modify,
                other => return Err(raise(py, "UnknownName", format!("script step {other:?} is not known"))),
            };
            alarms.push(Alarm { source, row, alarm: commands.len() as u64 });
            commands.push(vec![Command {
                kind,
                side: side.into(),
                tif: if limit.is_some() { TimeInForce::Gtc } else { TimeInForce::Ioc },
                self_trade: SelfTrade::Allow,
                has_limit: limit.is_some(),
                post_only: false,
                instrument,
                order: OrderId(order),
                price: Ticks(limit.unwrap_or(0)),
                qty: Lots(lots),
                at_ns: 0,
            }]);
        }
        self.simulation.set_alarms(alarms);
        self.decider = Decider::Script(Script::new(commands));
        Ok(())
    }

    /// Says what indicators read: for each clock its instrument, whether it moves on prints (else on best prices), and
    /// the names of its columns. With `places` the rows tell where they stand in their source, with `order` also where in
    /// the common order of arrivals. Rows that no clock reads are dropped as soon as they are delivered.
    #[pyo3(signature = (clocks, *, places=false, order=false))]
    fn look_at(
        &mut self,
        py: Python<'_>,
        clocks: Vec<(u16, bool, Vec<String>)>,
        places: bool,
        order: bool,
    ) -> PyResult<()> {
        let unknown = |names: &[String]| raise(py, "UnknownName", format!("no column of {names:?} may be looked at"));
        let make = |(number, on_prints, names): &(u16, bool, Vec<String>)| {
            let instrument = (*number, self.instruments[*number as usize]);
            Clock::new(instrument, *on_prints, names, places, order).ok_or_else(|| unknown(names))
        };
        for clock in &clocks {
            checks::place(py, "instrument", clock.0, self.instruments.len())?;
        }
        self.clocks = clocks.iter().map(make).collect::<PyResult<_>>()?;
        self.simulation.look_at(|source| {
            let reads = |instrument: u16, on_prints: bool| {
                let moves = match source.schema {
                    Schema::Mbo => true,
                    Schema::Trades => on_prints,
                    Schema::Mbp | Schema::Quotes => !on_prints,
                };
                instrument == source.instrument && moves
            };
            self.clocks.iter().any(|clock| reads(clock.instrument, clock.on_prints))
                || self.streams.iter().any(|stream| reads(stream.instrument, stream.on.is_of_prints()))
        });
        Ok(())
    }

    /// Makes bars of what reaches the strategy; called before `look_at`.
    ///
    /// Args:
    ///     instrument: its number.
    ///     on: "price" of prints, or "bid", "ask" or "mid" of best prices.
    ///     builder: a builder that has taken nothing; for "mid" its tick is half the instrument's.
    ///     start_ns: what happened before is in no bar.
    #[pyo3(signature = (instrument, on, builder, start_ns=None))]
    fn add_bars(
        &mut self,
        py: Python<'_>,
        instrument: Number,
        on: &str,
        builder: PyRef<'_, BarBuilder>,
        start_ns: Option<i64>,
    ) -> PyResult<()> {
        let instrument = checks::short_place(py, "instrument", instrument, self.instruments.len())?;
        let unknown = || raise(py, "UnknownName", format!("on={on:?} is not one of price, bid, ask, mid"));
        let on = On::named(on).ok_or_else(unknown)?;
        let start = Nanos(start_ns.unwrap_or(i64::MIN));
        self.streams.push(BarStream::new(instrument, on, builder.clone(), start));
        Ok(())
    }

    /// Appends a chunk of an order feed to a source.
    #[allow(clippy::too_many_arguments)]
    fn push_mbo(
        &mut self,
        py: Python<'_>,
        source: Number,
        ts_event: Column<'_, i64>,
        ts_recv: Column<'_, i64>,
        action: Column<'_, u8>,
        side: Column<'_, u8>,
        price: Column<'_, f64>,
        size: Column<'_, f64>,
        order_id: Column<'_, u64>,
        flags: Column<'_, u8>,
    ) -> PyResult<()> {
        let columns = MboColumns {
            ts_event: slice(py, "ts_event", &ts_event)?,
            ts_recv: slice(py, "ts_recv", &ts_recv)?,
            action: slice(py, "action", &action)?,
            side: slice(py, "side", &side)?,
            price: slice(py, "price", &price)?,
            size: slice(py, "size", &size)?,
            order_id: slice(py, "order_id", &order_id)?,
            flags: slice(py, "flags", &flags)?,
        };
        let (source, at) = self.source(py, source).map(|(source, at)| (source, at as usize))?;
        let instrument = self.instruments[at];
        let pushed = self.simulation.push(source, |source| source.push_mbo(&instrument, &columns));
        pushed.map_err(|bad| source_error(py, &self.shared.symbols[at], &bad))
    }

    /// Appends a chunk of levels to a source.
    #[allow(clippy::too_many_arguments)]
    fn push_levels(
        &mut self,
        py: Python<'_>,
        source: Number,
        ts_event: Column<'_, i64>,
        ts_recv: Column<'_, i64>,
        action: Column<'_, u8>,
        side: Column<'_, u8>,
        price: Column<'_, f64>,
        size: Column<'_, f64>,
        flags: Column<'_, u8>,
    ) -> PyResult<()> {
        let columns = LevelColumns {
            ts_event: slice(py, "ts_event", &ts_event)?,
            ts_recv: slice(py, "ts_recv", &ts_recv)?,
            action: slice(py, "action", &action)?,
            side: slice(py, "side", &side)?,
            price: slice(py, "price", &price)?,
            size: slice(py, "size", &size)?,
            flags: slice(py, "flags", &flags)?,
        };
        let (source, at) = self.source(py, source).map(|(source, at)| (source, at as usize))?;
        let instrument = self.instruments[at];
        let pushed = self.simulation.push(source, |source| source.push_levels(&instrument, &columns));
        pushed.map_err(|bad| source_error(py, &self.shared.symbols[at], &bad))
    }

    /// Appends a chunk of quotes to a source.
    #[allow(clippy::too_many_arguments)]
    fn push_quotes(
        &mut self,
        py: Python<'_>,
        source: Number,
        ts_event: Column<'_, i64>,
        ts_recv: Column<'_, i64>,
        bid_price: Column<'_, f64>,
        bid_size: Column<'_, f64>,
        ask_price: Column<'_, f64>,
        ask_size: Column<'_, f64>,
    ) -> PyResult<()> {
        let columns = QuoteColumns {
            ts_event: slice(py, "ts_event", &ts_event)?,
            ts_recv: slice(py, "ts_recv", &ts_recv)?,
            bid_price: slice(py, "bid_price", &bid_price)?,
            bid_size: slice(py, "bid_size", &bid_size)?,
            ask_price: slice(py, "ask_price", &ask_price)?,
            ask_size: slice(py, "ask_size", &ask_size)?,
        };
        let (source, at) = self.source(py, source).map(|(source, at)| (source, at as usize))?;
        let instrument = self.instruments[at];
        let pushed = self.simulation.push(source, |source| source.push_quotes(&instrument, &columns));
        pushed.map_err(|bad| source_error(py, &self.shared.symbols[at], &bad))
    }

    /// Appends a chunk of prints to a source.
    #[allow(clippy::too_many_arguments)]
    fn push_trades(
        &mut self,
        py: Python<'_>,
        source: Number,
        ts_event: Column<'_, i64>,
        ts_recv: Column<'_, i64>,
        price: Column<'_, f64>,
        size: Column<'_, f64>,
        aggressor: Column<'_, u8>,
    ) -> PyResult<()> {
        let columns = TradeColumns {
            ts_event: slice(py, "ts_event", &ts_event)?,
            ts_recv: slice(py, "ts_recv", &ts_recv)?,
            price: slice(py, "price", &price)?,
            size: slice(py, "size", &size)?,
            aggressor: slice(py, "aggressor", &aggressor)?,
        };
        let (source, at) = self.source(py, source).map(|(source, at)| (source, at as usize))?;
        let instrument = self.instruments[at];
        let pushed = self.simulation.push(source, |source| source.push_trades(&instrument, &columns));
        pushed.map_err(|bad| source_error(py, &self.shared.symbols[at], &bad))
    }

    /// Says that no more rows come from a source.
    fn end_source(&mut self, py: Python<'_>, source: Number) -> PyResult<()> {
        self.simulation.end(self.source(py, source)?.0);
        Ok(())
    }

    /// What will reach the strategy, as far as the rows pushed so far settle it: for each clock of `look_at` a dict of
    /// columns. `source` and `row` are there with `places`, `order` with `order`.
    fn look_ahead<'py>(&mut self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let Run { clocks, streams, simulation, .. } = self;
        let unseen = simulation.unseen();
        clocks.iter_mut().for_each(|clock| clock.reserve(unseen));
        let mut order = 0;
        simulation.look_ahead(|seen| {
            clocks.iter_mut().for_each(|clock| clock.push(&seen, order));
            streams.iter_mut().for_each(|stream| stream.push(&seen));
            order += 1;
        });
        clocks.iter_mut().map(|clock| clock.take(py)).collect()
    }

    /// The bars that the rows which `look_ahead` told last have ended: for each stream of `add_bars` a dict of columns. `source`
    /// and `row` say at which row's arrival a bar was known, `place` how many rows of its kind were told before; `rows` is how
    /// many were told in all.
    ///
    /// Raises:
    ///     MoneyError: where a bar holds more than can be counted. DataError: a move of too many bricks.
    fn look_ahead_bars<'py>(&mut self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        self.streams.iter_mut().map(|stream| stream.take(py)).collect()
    }

    /// Appends values of an indicator for the rows that `look_ahead` told last.
    fn set_values(&mut self, py: Python<'_>, line: Number, values: Column<'_, f64>) -> PyResult<()> {
        self.not_finished(py)?;
        let values = slice(py, "values", &values)?;
        let lines = if let Decider::Python(strategy) = &mut self.decider { &mut strategy.lines[..] } else { &mut [] };
        let at = checks::place(py, "line", line, lines.len())?;
        let line = &mut lines[at];
        let market = &self.kernel.desk.markets[line.instrument as usize];
        line.append(values, if line.on_prints { market.trade_rows } else { market.quote_rows });
        Ok(())
    }

    /// Registers the rows of a source at which conditions turn true, in order.
    fn add_edges(
        &mut self,
        py: Python<'_>,
        source: Number,
        rows: Column<'_, u64>,
        conditions: Column<'_, u32>,
    ) -> PyResult<()> {
        let (source, _) = self.source(py, source)?;
        let (rows, conditions) = (slice(py, "rows", &rows)?, slice(py, "conditions", &conditions)?);
        if rows.len() != conditions.len() {
            let text =
                format!("{} rows were given with {} conditions; pass one for each", rows.len(), conditions.len());
            return Err(raise(py, "ShapeMismatch", text));
        }
        if let Some(pair) = rows.windows(2).find(|pair| pair[1] < pair[0]) {
            let text = format!("row {} comes after row {}; pass rows in order", pair[1], pair[0]);
            return Err(raise(py, "InvalidParameter", text));
        }
        let known = if let Decider::Python(strategy) = &self.decider { strategy.conditions.len() } else { 0 };
        if let Some(&last) = conditions.iter().max() {
            checks::place(py, "condition", last, known)?;
        }
        self.kernel.add_edges(source, rows.iter().copied().zip(conditions.iter().copied()));
        Ok(())
    }

    /// Runs until a source needs rows, and returns its number; None when the run is over. `on_start` is woken when the first
    /// row or timer is due, at its time. Signals are looked at every
    /// few milliseconds; the interpreter is released where no handler runs at nearly every row.
    fn advance(&mut self, py: Python<'_>) -> PyResult<Option<u16>> {
        self.not_finished(py)?;
        loop {
            match self.slice(py) {
                Ok(Progress::Paused) => py.check_signals()?,
                Ok(Progress::NeedsData(source)) => return Ok(Some(source)),
                Ok(Progress::Ended) if self.stopped => return Ok(None),
                Ok(Progress::Ended) => self.stop(py)?,
                Err(error) => return Err(self.kernel_error(py, error)),
            }
        }
    }

    /// Whether something reached the strategy: a row or a timer, at its start or later.
    #[getter]
    fn has_begun(&self) -> bool {
        self.kernel.has_begun()
    }

    /// Ends the run: the journal is closed, and views work on what the strategy saw last.
    fn finish(&mut self, py: Python<'_>) -> PyResult<()> {
        if self.finished {
            return Ok(());
        }
        self.finished = true;
        let now = self.kernel.desk.now;
        self.simulation.catch_up_with_strategy(now);
        if self.kernel.has_begun() {
            self.kernel.sample(now).map_err(|error| raise(py, "MoneyError", error.to_string()))?;
        }
        self.kernel.journal.end();
        let desk = std::mem::take(&mut self.kernel.desk);
        self.open_at_end = desk.open_orders().copied().collect();
        self.shared.lend(desk);
        Ok(())
    }

    /// BLAKE3 over all commands, order events, fills and accounts, in hex.
    #[getter]
    fn digest(&self) -> String {
        self.kernel.journal.digest()
    }

    /// Inputs taken so far.
    #[getter]
    fn inputs(&self) -> u64 {
        self.kernel.journal.inputs()
    }

    /// The journal, but for what was taken.
    fn journal<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.kernel.journal.storage())
    }

    /// How much is held that `take_fills`, `take_orders` and `take_journal` would give: fills, closed orders, bytes.
    fn held(&self) -> (usize, usize, usize) {
        (self.kernel.fills.len(), self.kernel.closed.len(), self.kernel.journal.storage().len())
    }

    /// Hands over the fills so far and the entries and exits that they closed, as columns, and forgets them.
    fn take_fills<'py>(&mut self, py: Python<'py>) -> PyResult<(Bound<'py, PyDict>, Bound<'py, PyDict>)> {
        let fills = std::mem::take(&mut self.kernel.fills);
        let trips = pair_fills(py, &fills, &self.instruments, &mut self.pairings)?;
        let names = &self.shared.symbols;
        let trades = trades_columns(py, &trips, &self.instruments, names)?;
        Ok((fills_columns(py, &fills, &self.instruments, names)?, trades))
    }

    /// Hands over the orders that are closed, in the order of their ends, as columns, and forgets them.
    fn take_orders<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let closed = std::mem::take(&mut self.kernel.closed);
        orders_columns(py, &closed.iter().collect::<Vec<_>>(), &self.instruments, &self.shared)
    }

    /// Hands over the journal so far, and forgets it.
    fn take_journal<'py>(&mut self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &std::mem::take(self.kernel.journal.storage_mut()))
    }

    /// Rows delivered so far, per source.
    fn rows_delivered(&self) -> Vec<u64> {
        self.simulation.sources().iter().map(Source::delivered).collect()
    }

    /// Records that did not fit the book, summed over instruments: unknown order, duplicate id, too large, bad size,
    /// bad price.
    fn anomalies(&self) -> Vec<u64> {
        let mut sums = vec![0; ANOMALIES];
        for venue in self.simulation.venues() {
            for (sum, count) in sums.iter_mut().zip(venue.anomalies()) {
                *sum += count;
            }
        }
        sums
    }

    /// Prints whose price lies between two ticks.
    fn off_tick_prints(&self) -> u64 {
        self.simulation.sources().iter().map(Source::off_tick_prints).sum()
    }

    /// All fills that were not taken, as columns.
    fn fills<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        fills_columns(py, &self.kernel.fills, &self.instruments, &self.shared.symbols)
    }

    /// All orders that were not taken, in the order of their ids, as columns.
    fn orders<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        // Those of the desk while it is here, and later what was open when it went to the handles.
        let open = self.kernel.desk.open_orders().chain(&self.open_at_end);
        let mut orders: Vec<&Order> = self.kernel.closed.iter().chain(open).collect();
        orders.sort_unstable_by_key(|order| order.id.0);
        orders_columns(py, &orders, &self.instruments, &self.shared)
    }

    /// Equity, cash and open profit over time, as columns.
    fn equity<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let equity = &self.kernel.equity;
        let columns = PyDict::new(py);
        columns.set_item("ts", array(py, equity.iter().map(|sample| sample.ts.0)))?;
        columns.set_item("equity", array(py, equity.iter().map(|sample| money(sample.equity_doubled) / 2.0)))?;
        columns.set_item("cash", array(py, equity.iter().map(|sample| money(sample.cash.0))))?;
        let unrealised = equity.iter().map(|sample| money(sample.unrealised_doubled) / 2.0);
        columns.set_item("unrealised", array(py, unrealised))?;
        Ok(columns)
    }

    /// Entries and exits paired first in, first out, as columns, but for those that were taken. Open positions have no exit
    /// and come last.
    fn trades<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let mut pairings = self.pairings.clone();
        let mut trips = pair_fills(py, &self.kernel.fills, &self.instruments, &mut pairings)?;
        for (at, pairing) in pairings.iter().enumerate() {
            trips.extend(pairing.open().map(|trip| (at as u16, trip)));
        }
        trades_columns(py, &trips, &self.instruments, &self.shared.symbols)
    }

    /// What each instrument was marked at, once per period and at the end, as columns.
    fn marks<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let marks = &self.kernel.marks;
        let price = |mark: &Mark| half_ticks(self.instruments[mark.instrument as usize].tick, mark.half_ticks);
        let columns = PyDict::new(py);
        columns.set_item("ts", array(py, marks.iter().map(|mark| mark.ts.0)))?;
        columns.set_item("symbol", symbols(py, &self.shared.symbols, marks.iter().map(|mark| mark.instrument))?)?;
        columns.set_item("price", array(py, marks.iter().map(price)))?;
        Ok(columns)
    }
}

impl Run {
    /// The source that a number names, and its instrument.
    fn source(&self, py: Python<'_>, number: Number) -> PyResult<(u16, u16)> {
        let sources = self.simulation.sources();
        let at = checks::short_place(py, "source", number, sources.len())?;
        Ok((at, sources[at as usize].instrument))
    }

    /// After the end the desk is with the handles.
    fn not_finished(&self, py: Python<'_>) -> PyResult<()> {
        if self.finished {
            return Err(raise(py, "CiftError", "the run is finished; make another one".to_owned()));
        }
        Ok(())
    }

    fn slice(&mut self, py: Python<'_>) -> Result<Progress, KernelError> {
        let Run { kernel, simulation, decider, .. } = self;
        let most = INPUTS_BETWEEN_SIGNALS;
        match decider {
            Decider::Python(strategy) if strategy.is_dense() => kernel.run(simulation, strategy.as_mut(), most),
            Decider::Python(strategy) => py.detach(|| kernel.run(simulation, strategy.as_mut(), most)),
            Decider::Replay(replay) => py.detach(|| kernel.run(simulation, replay, most)),
            Decider::Script(script) => py.detach(|| kernel.run(simulation, script, most)),
            Decider::Nobody => py.detach(|| kernel.run(simulation, &mut Idle, most)),
        }
    }

    fn stop(&mut self, py: Python<'_>) -> PyResult<()> {
        self.stopped = true;
        let Run { kernel, simulation, decider, .. } = self;
        let result = match decider {
            Decider::Python(strategy) => kernel.stop(simulation, strategy.as_mut()),
            Decider::Replay(replay) => kernel.stop(simulation, replay),
            Decider::Script(script) => kernel.stop(simulation, script),
            Decider::Nobody => Ok(()),
        };
        result.map_err(|error| self.kernel_error(py, error))
    }

    /// What a handler raised comes out as it was; the kernel's own errors get their class.
    fn kernel_error(&mut self, py: Python<'_>, error: KernelError) -> PyErr {
        if let Decider::Python(strategy) = &mut self.decider
            && let Some(raised) = strategy.error.take()
        {
            return raised;
        }
        let class = match error {
            KernelError::Money(_) => "MoneyError",
            KernelError::Transition { .. } | KernelError::Overfilled { .. } | KernelError::UnknownOrder(_) => {
                "InvalidTransition"
            }
            KernelError::Halted(_) => "JournalError",
        };
        raise(py, class, error.to_string())
    }
}
