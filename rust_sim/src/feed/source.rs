//! One stream of rows, from where the venue is to where the strategy is.

use super::columns::{BadRow, Conversion, LevelColumns, MboColumns, QuoteColumns, RowProblem, TradeColumns};
use super::rows::{Flow, MboRow, QuoteRow, Row, RowSlice, Schema, TradeRow};
use crate::grid::Grid;
use crate::instrument::Instrument;
use crate::types::Nanos;

/// One time-ordered stream of one instrument.
#[derive(Debug)]
pub struct Source {
    /// Index of the instrument.
    pub instrument: u16,
    /// What its rows are.
    pub schema: Schema,
    conversion: Conversion,
    rows: Rows,
    /// Rows dropped from the front so far.
    base: u64,
    /// Rows that have acted at the venue.
    pub(crate) acted: u64,
    /// Rows that have reached the strategy.
    pub(crate) delivered: u64,
    /// Rows that indicators have seen.
    pub(crate) looked: u64,
    /// No more rows will be pushed.
    pub(crate) ended: bool,
}

#[derive(Debug)]
enum Rows {
    Mbo(Vec<MboRow>),
    Quote(Vec<QuoteRow>),
    Trade(Vec<TradeRow>),
}

/// Appends `n` rows as `row` makes them, up to the first that cannot be used.
#[inline]
fn append<R>(rows: &mut Vec<R>, n: usize, mut row: impl FnMut(usize) -> Result<R, BadRow>) -> Result<(), BadRow> {
    rows.reserve(n);
    for i in 0..n {
        rows.push(row(i)?);
    }
    Ok(())
}

/// How many rows at the front satisfy `before`, which none behind them does. The end is looked for in steps that double:
/// it is mostly near.
fn gallop<R>(rows: &[R], before: impl Fn(&R) -> bool) -> usize {
    let (mut from, mut step) = (0, 1);
    while from + step <= rows.len() && before(&rows[from + step - 1]) {
        from += step;
        step *= 2;
    }
    let to = (from + step).min(rows.len());
    from + rows[from..to].partition_point(before)
}

#[inline]
fn walk<'a, R>(
    rows: &'a [R],
    first: u64,
    times: impl Fn(&R) -> (Nanos, Nanos),
    any: impl Fn(&'a R) -> Row<'a>,
    before: impl Fn(Nanos, Nanos) -> bool,
    mut each: impl FnMut(u64, Row<'a>, Nanos) -> Flow,
) -> u64 {
    let mut number = first;
    for row in rows {
        let (ts, arrival) = times(row);
        if !before(ts, arrival) {
            break;
        }
        match each(number, any(row), arrival) {
            Flow::On => number += 1,
            Flow::Stop => return number + 1,
            Flow::Back => break,
        }
    }
    number
}

impl Source {
    /// An empty source. Rows without a time of receipt arrive `feed_ns` after they happened; times of receipt are
    /// corrected by `clock_offset_ns`.
    pub fn new(instrument: u16, schema: Schema, feed_ns: i64, clock_offset_ns: i64) -> Self {
        let rows = match schema {
            Schema::Mbo | Schema::Mbp => Rows::Mbo(Vec::new()),
            Schema::Quotes => Rows::Quote(Vec::new()),
            Schema::Trades => Rows::Trade(Vec::new()),
        };
        let conversion = Conversion::new(feed_ns, clock_offset_ns);
        Source { instrument, schema, conversion, rows, base: 0, acted: 0, delivered: 0, looked: 0, ended: false }
    }

    /// The same with displayed prices on a grid.
    pub fn on_grid(mut self, grid: Grid) -> Self {
        self.conversion.grid = grid;
        self
    }

    /// How many rows have been pushed since the start.
    #[inline]
    pub fn pushed(&self) -> u64 {
        let held = match &self.rows {
            Rows::Mbo(rows) => rows.len(),
            Rows::Quote(rows) => rows.len(),
            Rows::Trade(rows) => rows.len(),
        };
        self.base + held as u64
    }

    /// How many rows have reached the strategy.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// How many prints have a price between two ticks.
    pub fn off_tick_prints(&self) -> u64 {
        self.conversion.off_tick_prints()
    }

    /// The stamp that no later row will be before.
    pub(crate) fn reached(&self) -> Nanos {
        self.conversion.reached()
    }

    fn drop_delivered(&mut self) {
        let done = (self.delivered.min(self.acted).min(self.looked) - self.base) as usize;
        match &mut self.rows {
            Rows::Mbo(rows) => drop(rows.drain(..done)),
            Rows::Quote(rows) => drop(rows.drain(..done)),
            Rows::Trade(rows) => drop(rows.drain(..done)),
        }
        self.base += done as u64;
    }

    /// Converts and appends a chunk of an order feed.
    pub fn push_mbo(&mut self, instrument: &Instrument, columns: &MboColumns<'_>) -> Result<(), BadRow> {
        let n = columns.ts_event.len();
        let lengths = [
            columns.ts_recv.len(),
            columns.action.len(),
            columns.side.len(),
            columns.price.len(),
            columns.size.len(),
            columns.order_id.len(),
            columns.flags.len(),
        ];
        self.drop_delivered();
        let first = self.pushed();
        match &mut self.rows {
            Rows::Mbo(rows) if self.schema == Schema::Mbo && lengths.iter().all(|&length| length == n) => {
                append(rows, n, |i| self.conversion.mbo_row(first + i as u64, i, instrument, columns))
            }
            _ => Err(BadRow { row: first, column: "chunk", problem: RowProblem::Lengths }),
        }
    }

    /// Converts and appends a chunk of levels.
    pub fn push_levels(&mut self, instrument: &Instrument, columns: &LevelColumns<'_>) -> Result<(), BadRow> {
        let n = columns.ts_event.len();
        let lengths = [
            columns.ts_recv.len(),
            columns.action.len(),
            columns.side.len(),
            columns.price.len(),
            columns.size.len(),
            columns.flags.len(),
        ];
        self.drop_delivered();
        let first = self.pushed();
        match &mut self.rows {
            Rows::Mbo(rows) if self.schema == Schema::Mbp && lengths.iter().all(|&length| length == n) => {
                append(rows, n, |i| self.conversion.level_row(first + i as u64, i, instrument, columns))
            }
            _ => Err(BadRow { row: first, column: "chunk", problem: RowProblem::Lengths }),
        }
    }

    /// Converts and appends a chunk of quotes.
    pub fn push_quotes(&mut self, instrument: &Instrument, columns: &QuoteColumns<'_>) -> Result<(), BadRow> {
        let n = columns.ts_event.len();
        let lengths = [
            columns.ts_recv.len(),
            columns.bid_price.len(),
            columns.bid_size.len(),
            columns.ask_price.len(),
            columns.ask_size.len(),
        ];
        self.drop_delivered();
        let first = self.pushed();
        match &mut self.rows {
            Rows::Quote(rows) if lengths.iter().all(|&length| length == n) => {
                append(rows, n, |i| self.conversion.quote_row(first + i as u64, i, instrument, columns))
            }
            _ => Err(BadRow { row: first, column: "chunk", problem: RowProblem::Lengths }),
        }
    }

    /// Converts and appends a chunk of prints.
    pub fn push_trades(&mut self, instrument: &Instrument, columns: &TradeColumns<'_>) -> Result<(), BadRow> {
        let n = columns.ts_event.len();
        let lengths = [columns.ts_recv.len(), columns.price.len(), columns.size.len(), columns.aggressor.len()];
        self.drop_delivered();
        let first = self.pushed();
        match &mut self.rows {
            Rows::Trade(rows) if lengths.iter().all(|&length| length == n) => {
                append(rows, n, |i| self.conversion.trade_row(first + i as u64, i, instrument, columns))
            }
            _ => Err(BadRow { row: first, column: "chunk", problem: RowProblem::Lengths }),
        }
    }

    /// Calls `each` with the held rows from number `from` on, as long as `before` agrees to their times (at the venue,
    /// at the strategy) and `each` takes them. Returns the number of the first row that was not taken.
    #[inline]
    pub(crate) fn walk(
        &self,
        from: u64,
        before: impl Fn(Nanos, Nanos) -> bool,
        each: impl FnMut(u64, Row<'_>, Nanos) -> Flow,
    ) -> u64 {
        let first = (from - self.base) as usize;
        match &self.rows {
            Rows::Mbo(rows) => walk(&rows[first..], from, |row| (row.ts, row.arrival), Row::Mbo, before, each),
            Rows::Quote(rows) => walk(&rows[first..], from, |row| (row.ts, row.arrival), Row::Quote, before, each),
            Rows::Trade(rows) => walk(&rows[first..], from, |row| (row.ts, row.arrival), Row::Trade, before, each),
        }
    }

    /// The number of the first held row from `from` on whose times (at the venue, at the strategy) are not `before`.
    pub(crate) fn first_not(&self, from: u64, before: impl Fn(Nanos, Nanos) -> bool) -> u64 {
        let first = (from - self.base) as usize;
        let skipped = match &self.rows {
            Rows::Mbo(rows) => gallop(&rows[first..], |row| before(row.ts, row.arrival)),
            Rows::Quote(rows) => gallop(&rows[first..], |row| before(row.ts, row.arrival)),
            Rows::Trade(rows) => gallop(&rows[first..], |row| before(row.ts, row.arrival)),
        };
        from + skipped as u64
    }

    /// The held rows with numbers from `from` to before `to`.
    pub(crate) fn slice(&self, from: u64, to: u64) -> RowSlice<'_> {
        let range = (from - self.base) as usize..(to - self.base) as usize;
        match &self.rows {
            Rows::Mbo(rows) => RowSlice::Mbo(&rows[range]),
            Rows::Quote(rows) => RowSlice::Quote(&rows[range]),
            Rows::Trade(rows) => RowSlice::Trade(&rows[range]),
        }
    }

    /// A row that is held.
    #[inline]
    pub(crate) fn row(&self, number: u64) -> Row<'_> {
        let at = (number - self.base) as usize;
        match &self.rows {
            Rows::Mbo(rows) => Row::Mbo(&rows[at]),
            Rows::Quote(rows) => Row::Quote(&rows[at]),
            Rows::Trade(rows) => Row::Trade(&rows[at]),
        }
    }

    /// When a held row acts.
    #[inline]
    pub(crate) fn ts(&self, number: u64) -> Nanos {
        let at = (number - self.base) as usize;
        match &self.rows {
            Rows::Mbo(rows) => rows[at].ts,
            Rows::Quote(rows) => rows[at].ts,
            Rows::Trade(rows) => rows[at].ts,
        }
    }

    /// When a held row reaches the strategy.
    #[inline]
    pub(crate) fn arrival(&self, number: u64) -> Nanos {
        let at = (number - self.base) as usize;
        match &self.rows {
            Rows::Mbo(rows) => rows[at].arrival,
            Rows::Quote(rows) => rows[at].arrival,
            Rows::Trade(rows) => rows[at].arrival,
        }
    }
}
