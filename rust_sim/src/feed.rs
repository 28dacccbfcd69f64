//! Recorded market data on its way into a run: columns become rows of integers, checked once, and a source holds the
//! few rows between the venue's present and the strategy's.

use crate::instrument::{Instrument, OffStep};
use crate::types::{Lots, Nanos, OrderId, Side, Ticks};

/// The last record of an event: venue, handlers and comparisons act there.
pub const LAST: u8 = 128;
/// Part of a snapshot.
pub const SNAPSHOT: u8 = 32;

/// The schemas that a source may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Schema {
    /// Every order.
    Mbo = 0,
    /// Best bid and ask.
    Quotes = 1,
    /// Prints.
    Trades = 2,
}

/// What a record of an order feed says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Action {
    /// A new order rests.
    Add,
    /// A size is taken away from an order.
    Cancel,
    /// An order has a new price and total size.
    Modify,
    /// A trade; the side is the aggressor's.
    Trade,
    /// The maker of the trade before.
    Fill,
    /// The book is void.
    Clear,
}

/// One row of an order feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MboRow {
    /// When it acts at the venue.
    pub ts: Nanos,
    /// When it reaches the strategy.
    pub arrival: Nanos,
    /// Price, rounded down to a tick.
    pub price: Ticks,
    /// Size.
    pub qty: Lots,
    /// The venue's id.
    pub id: OrderId,
    /// What happened.
    pub action: Action,
    /// Side, where there is one.
    pub side: Option<Side>,
    /// Flags.
    pub flags: u8,
    /// What the price of a print lies above its tick, in 1e-9 of the currency.
    pub past_nano: i64,
}

/// One row of best quotes. A missing side has size zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuoteRow {
    /// When it acts at the venue.
    pub ts: Nanos,
    /// When it reaches the strategy.
    pub arrival: Nanos,
    /// Best bid.
    pub bid: Ticks,
    /// Size there.
    pub bid_qty: Lots,
    /// Best ask.
    pub ask: Ticks,
    /// Size there.
    pub ask_qty: Lots,
}

/// One print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TradeRow {
    /// When it acts at the venue.
    pub ts: Nanos,
    /// When it reaches the strategy.
    pub arrival: Nanos,
    /// Price, rounded down to a tick.
    pub price: Ticks,
    /// Size.
    pub qty: Lots,
    /// Who took.
    pub aggressor: Option<Side>,
    /// What the price of a print lies above its tick, in 1e-9 of the currency.
    pub past_nano: i64,
}

/// Any row, where it is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row<'a> {
    /// Of an order feed.
    Mbo(&'a MboRow),
    /// Of quotes.
    Quote(&'a QuoteRow),
    /// Of prints.
    Trade(&'a TradeRow),
}

impl Row<'_> {
    /// Whether a quote or a print lies in front of a rank on each side; one that shows no price of a side lies nowhere.
    #[inline]
    pub(crate) fn is_in_front_of(self, ranks: [i64; 2]) -> bool {
        let [buy, sell] = ranks;
        match self {
            Row::Mbo(_) => false,
            Row::Quote(row) => {
                (buy == i64::MAX || row.bid_qty > Lots::ZERO && Side::Buy.rank(row.bid) < buy)
                    && (sell == i64::MAX || row.ask_qty > Lots::ZERO && Side::Sell.rank(row.ask) < sell)
            }
            Row::Trade(row) => Side::Buy.rank(row.price) < buy && Side::Sell.rank(row.price) < sell,
        }
    }
}

/// Rows of one source that follow each other, where they are held.
#[derive(Clone, Copy, Debug)]
pub enum RowSlice<'a> {
    /// Of an order feed.
    Mbo(&'a [MboRow]),
    /// Of quotes.
    Quote(&'a [QuoteRow]),
    /// Of prints.
    Trade(&'a [TradeRow]),
}

/// What becomes of a row that was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It was taken, and the next one may come.
    On,
    /// It was taken, and is the last one for now.
    Stop,
    /// It was not taken, and comes again.
    Back,
}

/// The columns of a chunk of an order feed, all of one length. A missing `ts_recv` is `i64::MIN`.
#[derive(Clone, Copy, Debug)]
pub struct MboColumns<'a> {
    /// Nanoseconds.
    pub ts_event: &'a [i64],
    /// Nanoseconds.
    pub ts_recv: &'a [i64],
    /// Letters A, C, M, T, F, R.
    pub action: &'a [u8],
    /// Letters B, A, N.
    pub side: &'a [u8],
    /// Currency.
    pub price: &'a [f64],
    /// Units.
    pub size: &'a [f64],
    /// Ids.
    pub order_id: &'a [u64],
    /// Flags.
    pub flags: &'a [u8],
}

/// The columns of a chunk of quotes.
#[derive(Clone, Copy, Debug)]
pub struct QuoteColumns<'a> {
    /// Nanoseconds.
    pub ts_event: &'a [i64],
    /// Nanoseconds.
    pub ts_recv: &'a [i64],
    /// Currency.
    pub bid_price: &'a [f64],
    /// Units.
    pub bid_size: &'a [f64],
    /// Currency.
    pub ask_price: &'a [f64],
    /// Units.
    pub ask_size: &'a [f64],
}

/// The columns of a chunk of prints.
#[derive(Clone, Copy, Debug)]
pub struct TradeColumns<'a> {
    /// Nanoseconds.
    pub ts_event: &'a [i64],
    /// Nanoseconds.
    pub ts_recv: &'a [i64],
    /// Currency.
    pub price: &'a [f64],
    /// Units.
    pub size: &'a [f64],
    /// Letters B, A, N.
    pub aggressor: &'a [u8],
}

/// What is wrong with a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RowProblem {
    /// A price that no order can have.
    Price(f64, OffStep),
    /// A size that is not whole lots, or not positive where it must be.
    Size(f64),
    /// An unknown letter in `action`.
    Action(u8),
    /// An unknown letter in a side column.
    Side(u8),
    /// Received before it happened.
    ReceivedEarly(i64, i64),
    /// Columns of different lengths.
    Lengths,
}

/// A row that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BadRow {
    /// Its number in the source, from 0.
    pub row: u64,
    /// The column it is about.
    pub column: &'static str,
    /// What is wrong.
    pub problem: RowProblem,
}

/// A null `ts_recv`.
pub const NO_TIME: i64 = i64::MIN;

/// One time-ordered stream of one instrument.
#[derive(Debug)]
pub struct Source {
    /// Index of the instrument.
    pub instrument: u16,
    /// What its rows are.
    pub schema: Schema,
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
    feed_ns: i64,
    clock_offset_ns: i64,
    last_ts: i64,
    last_arrival: i64,
    /// Prints whose price no tick can carry, counted.
    off_tick_prints: u64,
}

#[derive(Debug)]
enum Rows {
    Mbo(Vec<MboRow>),
    Quote(Vec<QuoteRow>),
    Trade(Vec<TradeRow>),
}

/// Appends `n` rows as `row` makes them, up to the first that cannot be used.
#[inline]
fn convert<R>(
    mut rows: Vec<R>,
    n: usize,
    mut row: impl FnMut(usize) -> Result<R, BadRow>,
) -> (Vec<R>, Result<(), BadRow>) {
    rows.reserve(n);
    for i in 0..n {
        match row(i) {
            Ok(row) => rows.push(row),
            Err(bad) => return (rows, Err(bad)),
        }
    }
    (rows, Ok(()))
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

/// What a letter of `action` means. A table, since a branch on a letter that nothing predicts costs more than the rest.
const ACTIONS: [Option<Action>; 256] = {
    let mut actions = [None; 256];
    actions[b'A' as usize] = Some(Action::Add);
    actions[b'C' as usize] = Some(Action::Cancel);
    actions[b'M' as usize] = Some(Action::Modify);
    actions[b'T' as usize] = Some(Action::Trade);
    actions[b'F' as usize] = Some(Action::Fill);
    actions[b'R' as usize] = Some(Action::Clear);
    actions
};

/// What a letter of a side column means.
const SIDES: [Option<Option<Side>>; 256] = {
    let mut sides = [None; 256];
    sides[b'B' as usize] = Some(Some(Side::Buy));
    sides[b'A' as usize] = Some(Some(Side::Sell));
    sides[b'N' as usize] = Some(None);
    sides
};

#[inline]
fn side_of(letter: u8) -> Result<Option<Side>, RowProblem> {
    SIDES[letter as usize].ok_or(RowProblem::Side(letter))
}

impl Source {
    /// An empty source. Rows without a time of receipt arrive `feed_ns` after they happened; times of receipt are
    /// corrected by `clock_offset_ns`.
    pub fn new(instrument: u16, schema: Schema, feed_ns: i64, clock_offset_ns: i64) -> Self {
        let rows = match schema {
            Schema::Mbo => Rows::Mbo(Vec::new()),
            Schema::Quotes => Rows::Quote(Vec::new()),
            Schema::Trades => Rows::Trade(Vec::new()),
        };
        Source {
            instrument,
            schema,
            rows,
            base: 0,
            acted: 0,
            delivered: 0,
            looked: 0,
            ended: false,
            feed_ns,
            clock_offset_ns,
            last_ts: i64::MIN,
            last_arrival: i64::MIN,
            off_tick_prints: 0,
        }
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
        self.off_tick_prints
    }

    /// The stamp that no later row will be before.
    pub(crate) fn reached(&self) -> Nanos {
        Nanos(self.last_ts)
    }

    /// The running time at the venue and at the strategy for the next row.
    #[inline]
    fn times(&mut self, row: u64, ts_event: i64, ts_recv: i64) -> Result<(Nanos, Nanos), BadRow> {
        let received = if ts_recv == NO_TIME {
            ts_event.saturating_add(self.feed_ns)
        } else {
            let corrected = ts_recv.saturating_add(self.clock_offset_ns);
            if corrected < ts_event {
                let problem = RowProblem::ReceivedEarly(ts_event, corrected);
                return Err(BadRow { row, column: "ts_recv", problem });
            }
            corrected
        };
        self.last_ts = self.last_ts.max(ts_event);
        self.last_arrival = self.last_arrival.max(received).max(self.last_ts);
        Ok((Nanos(self.last_ts), Nanos(self.last_arrival)))
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
        if lengths.iter().any(|&length| length != n) {
            return Err(BadRow { row: self.pushed(), column: "chunk", problem: RowProblem::Lengths });
        }
        self.drop_delivered();
        let first = self.pushed();
        let rows = match &mut self.rows {
            Rows::Mbo(rows) => std::mem::take(rows),
            _ => return Err(BadRow { row: first, column: "schema", problem: RowProblem::Lengths }),
        };
        let (rows, result) = convert(rows, n, |i| self.mbo_row(first + i as u64, i, instrument, columns));
        self.rows = Rows::Mbo(rows);
        result
    }

    #[inline]
    fn mbo_row(
        &mut self,
        row: u64,
        i: usize,
        instrument: &Instrument,
        columns: &MboColumns<'_>,
    ) -> Result<MboRow, BadRow> {
        let bad = |column, problem| BadRow { row, column, problem };
        let (ts, arrival) = self.times(row, columns.ts_event[i], columns.ts_recv[i])?;
        let letter = columns.action[i];
        let action = ACTIONS[letter as usize].ok_or_else(|| bad("action", RowProblem::Action(letter)))?;
        let side = side_of(columns.side[i]).map_err(|problem| bad("side", problem))?;
        let (flags, id) = (columns.flags[i], OrderId(columns.order_id[i]));
        if action == Action::Clear {
            let (price, qty) = (Ticks(0), Lots::ZERO);
            return Ok(MboRow { ts, arrival, price, qty, id, action, side, flags, past_nano: 0 });
        }
        let price = columns.price[i];
        let (price, past_nano) = match instrument.tick.count(price) {
            Ok(ticks) => (Ticks(ticks), 0),
            Err(OffStep::Between(below)) if action == Action::Trade => {
                self.off_tick_prints += 1;
                (Ticks(below), instrument.tick.past_nano(price, below))
            }
            Err(off) => return Err(bad("price", RowProblem::Price(price, off))),
        };
        let is_displayed = matches!(action, Action::Add | Action::Modify);
        if is_displayed && instrument.increment_ticks != 1 && price.0 % instrument.increment_ticks != 0 {
            return Err(bad("price", RowProblem::Price(columns.price[i], OffStep::Between(price.0))));
        }
        let qty = match instrument.lot.count(columns.size[i]) {
            Ok(lots) if lots > 0 => Lots(lots),
            _ => return Err(bad("size", RowProblem::Size(columns.size[i]))),
        };
        Ok(MboRow { ts, arrival, price, qty, id, action, side, flags, past_nano })
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
        let rows = match &mut self.rows {
            Rows::Quote(rows) if lengths.iter().all(|&length| length == n) => std::mem::take(rows),
            _ => return Err(BadRow { row: first, column: "chunk", problem: RowProblem::Lengths }),
        };
        let (rows, result) = convert(rows, n, |i| self.quote_row(first + i as u64, i, instrument, columns));
        self.rows = Rows::Quote(rows);
        result
    }

    #[inline]
    fn quote_row(
        &mut self,
        row: u64,
        i: usize,
        instrument: &Instrument,
        columns: &QuoteColumns<'_>,
    ) -> Result<QuoteRow, BadRow> {
        let (ts, arrival) = self.times(row, columns.ts_event[i], columns.ts_recv[i])?;
        let side = |price: f64, size: f64, names: (&'static str, &'static str)| {
            if size == 0.0 {
                return Ok((Ticks(0), Lots::ZERO));
            }
            let ticks = instrument.tick.count(price).map_err(|off| BadRow {
                row,
                column: names.0,
                problem: RowProblem::Price(price, off),
            })?;
            match instrument.lot.count(size) {
                Ok(lots) if lots > 0 => Ok((Ticks(ticks), Lots(lots))),
                _ => Err(BadRow { row, column: names.1, problem: RowProblem::Size(size) }),
            }
        };
        let (bid, bid_qty) = side(columns.bid_price[i], columns.bid_size[i], ("bid_price", "bid_size"))?;
        let (ask, ask_qty) = side(columns.ask_price[i], columns.ask_size[i], ("ask_price", "ask_size"))?;
        Ok(QuoteRow { ts, arrival, bid, bid_qty, ask, ask_qty })
    }

    /// Converts and appends a chunk of prints.
    pub fn push_trades(&mut self, instrument: &Instrument, columns: &TradeColumns<'_>) -> Result<(), BadRow> {
        let n = columns.ts_event.len();
        let lengths = [columns.ts_recv.len(), columns.price.len(), columns.size.len(), columns.aggressor.len()];
        self.drop_delivered();
        let first = self.pushed();
        let rows = match &mut self.rows {
            Rows::Trade(rows) if lengths.iter().all(|&length| length == n) => std::mem::take(rows),
            _ => return Err(BadRow { row: first, column: "chunk", problem: RowProblem::Lengths }),
        };
        let (rows, result) = convert(rows, n, |i| self.trade_row(first + i as u64, i, instrument, columns));
        self.rows = Rows::Trade(rows);
        result
    }

    #[inline]
    fn trade_row(
        &mut self,
        row: u64,
        i: usize,
        instrument: &Instrument,
        columns: &TradeColumns<'_>,
    ) -> Result<TradeRow, BadRow> {
        let (ts, arrival) = self.times(row, columns.ts_event[i], columns.ts_recv[i])?;
        let aggressor =
            side_of(columns.aggressor[i]).map_err(|problem| BadRow { row, column: "aggressor", problem })?;
        let (price, past_nano) = match instrument.tick.count(columns.price[i]) {
            Ok(ticks) => (Ticks(ticks), 0),
            Err(OffStep::Between(below)) => {
                self.off_tick_prints += 1;
                (Ticks(below), instrument.tick.past_nano(columns.price[i], below))
            }
            Err(off) => {
                return Err(BadRow { row, column: "price", problem: RowProblem::Price(columns.price[i], off) });
            }
        };
        match instrument.lot.count(columns.size[i]) {
            Ok(lots) if lots > 0 => Ok(TradeRow { ts, arrival, price, qty: Lots(lots), aggressor, past_nano }),
            _ => Err(BadRow { row, column: "size", problem: RowProblem::Size(columns.size[i]) }),
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
