//! From columns to rows: prices and sizes become integers, letters become words, and the two clocks run.

use super::rows::{Action, MboRow, QuoteRow, TradeRow};
use crate::grid::Grid;
use crate::instrument::{Instrument, OffStep};
use crate::types::{Lots, Nanos, OrderId, Side, Ticks};

/// A null `ts_recv`.
pub const NO_TIME: i64 = i64::MIN;

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

/// The columns of a chunk of levels.
#[derive(Clone, Copy, Debug)]
pub struct LevelColumns<'a> {
    /// Nanoseconds.
    pub ts_event: &'a [i64],
    /// Nanoseconds.
    pub ts_recv: &'a [i64],
    /// Letters S (the whole size of a level, zero: none) and R.
    pub action: &'a [u8],
    /// Letters B, A; of a clear any.
    pub side: &'a [u8],
    /// Currency.
    pub price: &'a [f64],
    /// Units.
    pub size: &'a [f64],
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

/// Makes rows of the columns of one source, first to last.
#[derive(Debug)]
pub(super) struct Conversion {
    feed_ns: i64,
    clock_offset_ns: i64,
    last_ts: i64,
    last_arrival: i64,
    off_tick_prints: u64,
    /// The grid of displayed prices.
    pub(super) grid: Grid,
}

impl Conversion {
    pub(super) fn new(feed_ns: i64, clock_offset_ns: i64) -> Self {
        Conversion {
            feed_ns,
            clock_offset_ns,
            last_ts: i64::MIN,
            last_arrival: i64::MIN,
            off_tick_prints: 0,
            grid: Grid::Even(1),
        }
    }

    /// The stamp that no later row will be before.
    pub(super) fn reached(&self) -> Nanos {
        Nanos(self.last_ts)
    }

    /// How many prints have a price between two ticks.
    pub(super) fn off_tick_prints(&self) -> u64 {
        self.off_tick_prints
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

    #[inline]
    pub(super) fn mbo_row(
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
            return Ok(MboRow::clear(ts, arrival, flags));
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
        if is_displayed && !self.grid.takes(Nanos(columns.ts_event[i]), price.0) {
            return Err(bad("price", RowProblem::Price(columns.price[i], OffStep::Between(price.0))));
        }
        let qty = match instrument.lot.count(columns.size[i]) {
            Ok(lots) if lots > 0 => Lots(lots),
            _ => return Err(bad("size", RowProblem::Size(columns.size[i]))),
        };
        Ok(MboRow { ts, arrival, price, qty, id, action, side, flags, past_nano })
    }

    #[inline]
    pub(super) fn level_row(
        &mut self,
        row: u64,
        i: usize,
        instrument: &Instrument,
        columns: &LevelColumns<'_>,
    ) -> Result<MboRow, BadRow> {
        let bad = |column, problem| BadRow { row, column, problem };
        let (ts, arrival) = self.times(row, columns.ts_event[i], columns.ts_recv[i])?;
        let flags = columns.flags[i];
        match columns.action[i] {
            b'S' => {}
            b'R' => return Ok(MboRow::clear(ts, arrival, flags)),
            letter => return Err(bad("action", RowProblem::Action(letter))),
        }
        let side = match side_of(columns.side[i]) {
            Ok(Some(side)) => Some(side),
            _ => return Err(bad("side", RowProblem::Side(columns.side[i]))),
        };
        let (price, size) = (columns.price[i], columns.size[i]);
        let price = match instrument.tick.count(price) {
            Ok(ticks) if self.grid.takes(Nanos(columns.ts_event[i]), ticks) => Ticks(ticks),
            Ok(ticks) => return Err(bad("price", RowProblem::Price(price, OffStep::Between(ticks)))),
            Err(off) => return Err(bad("price", RowProblem::Price(price, off))),
        };
        match instrument.lot.count(size) {
            Ok(lots) if lots >= 0 => {
                let (qty, id, action) = (Lots(lots), OrderId(0), Action::Set);
                Ok(MboRow { ts, arrival, price, qty, id, action, side, flags, past_nano: 0 })
            }
            _ => Err(bad("size", RowProblem::Size(size))),
        }
    }

    #[inline]
    pub(super) fn quote_row(
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
            if !self.grid.takes(Nanos(columns.ts_event[i]), ticks) {
                let problem = RowProblem::Price(price, OffStep::Between(ticks));
                return Err(BadRow { row, column: names.0, problem });
            }
            match instrument.lot.count(size) {
                Ok(lots) if lots > 0 => Ok((Ticks(ticks), Lots(lots))),
                _ => Err(BadRow { row, column: names.1, problem: RowProblem::Size(size) }),
            }
        };
        let (bid, bid_qty) = side(columns.bid_price[i], columns.bid_size[i], ("bid_price", "bid_size"))?;
        let (ask, ask_qty) = side(columns.ask_price[i], columns.ask_size[i], ("ask_price", "ask_size"))?;
        Ok(QuoteRow { ts, arrival, bid, bid_qty, ask, ask_qty })
    }

    #[inline]
    pub(super) fn trade_row(
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::Band;
    use crate::instrument::Step;

    const CENT: Instrument =
        Instrument { tick: Step { num: 1, den: 100 }, lot: Step { num: 1, den: 1 }, unit: 1, currency: 0 };

    fn on_a_table() -> Conversion {
        let bands = [
            Band { since_ns: 0, from: 0, step: 1 },
            Band { since_ns: 0, from: 100, step: 5 },
            Band { since_ns: 50, from: 0, step: 1 },
        ];
        Conversion { grid: Grid::banded(&bands).unwrap(), ..Conversion::new(0, 0) }
    }

    #[test]
    fn displayed_prices_lie_on_the_band_of_their_price_and_time_and_prints_need_not() {
        for (ts, price, is_on) in [(10, 0.99, true), (10, 1.05, true), (10, 1.04, false), (50, 1.04, true)] {
            let quote = QuoteColumns {
                ts_event: &[ts],
                ts_recv: &[NO_TIME],
                bid_price: &[0.01],
                bid_size: &[1.0],
                ask_price: &[price],
                ask_size: &[1.0],
            };
            let told = on_a_table().quote_row(7, 0, &CENT, &quote);
            let off = RowProblem::Price(price, OffStep::Between((price * 100.0).round() as i64));
            assert_eq!(told.err(), (!is_on).then_some(BadRow { row: 7, column: "ask_price", problem: off }));
            for (action, displayed) in [(b'A', true), (b'M', true), (b'C', false), (b'T', false)] {
                let mbo = MboColumns {
                    ts_event: &[ts],
                    ts_recv: &[NO_TIME],
                    action: &[action],
                    side: b"B",
                    price: &[price],
                    size: &[1.0],
                    order_id: &[1],
                    flags: &[LAST],
                };
                assert_eq!(on_a_table().mbo_row(0, 0, &CENT, &mbo).is_ok(), is_on || !displayed, "{ts} {price}");
            }
        }
    }

    const LAST: u8 = super::super::rows::LAST;
}
