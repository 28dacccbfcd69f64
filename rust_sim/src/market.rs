//! The market as a strategy sees it: the record in the order of its arrival, without the strategy's own orders.

use crate::book::{Book, PriceLevel};
use crate::feed::{Action, LAST, MboRow, OUT_OF_SIGHT, QuoteRow, Row, RowSlice, SNAPSHOT, TradeRow};
use crate::matching::{Event, Input, MatchingEngine, RecordInput, Sink};
use crate::types::{Lots, Nanos, Side, Ticks};

/// A price and the size there.
pub type Touch = Option<(Ticks, Lots)>;

/// The last print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Print {
    /// Price, rounded down to a tick.
    pub price: Ticks,
    /// What it lies above that tick, in 1e-9 of the currency.
    pub past_nano: i64,
    /// Size.
    pub qty: Lots,
    /// Who took.
    pub aggressor: Option<Side>,
}

/// What one row changed for the strategy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// A print.
    pub trade: bool,
    /// The best price or size of a side.
    pub quote: bool,
    /// An event of the book has ended.
    pub book: bool,
}

/// The view of one instrument.
#[derive(Clone, Debug, Default)]
pub struct Market {
    /// Every order or level, where the feed shows more than the best prices.
    deep: Option<Box<MatchingEngine>>,
    /// Best bid.
    pub bid: Touch,
    /// Best ask.
    pub ask: Touch,
    /// Last print.
    pub last: Option<Print>,
    /// Rows of best prices so far.
    pub quote_rows: u64,
    /// Rows of prints so far.
    pub trade_rows: u64,
}

/// Anomalies are counted once, at the venue; the view applies the same record in the same way.
struct Ignore;

impl Sink for Ignore {
    #[inline]
    fn event(&mut self, _event: Event) {}
}

/// What a row of an order feed or of levels asks of a book; None for trades and fills, which leave it alone.
#[inline]
pub(crate) fn book_input(row: &MboRow) -> Option<RecordInput> {
    let &MboRow { id, price, qty, .. } = row;
    match row.action {
        Action::Add => {
            row.side.map(|side| RecordInput::Add { id, side, price, qty, snapshot: row.flags & SNAPSHOT != 0 })
        }
        Action::Cancel => Some(RecordInput::Reduce { id, qty }),
        Action::Modify => row.side.map(|side| RecordInput::Modify { id, side, price, qty }),
        Action::Set if row.flags & OUT_OF_SIGHT != 0 && qty == Lots::ZERO => {
            row.side.map(|side| RecordInput::OutOfSight { side, price })
        }
        Action::Set => row.side.map(|side| RecordInput::Level { side, price, qty }),
        Action::Clear => Some(RecordInput::Clear),
        Action::Trade | Action::Fill => None,
    }
}

impl QuoteRow {
    /// What the row shows of a side.
    #[inline]
    pub(crate) fn touch(&self, side: Side) -> Touch {
        let (price, qty) = match side {
            Side::Buy => (self.bid, self.bid_qty),
            Side::Sell => (self.ask, self.ask_qty),
        };
        (qty > Lots::ZERO).then_some((price, qty))
    }
}

impl TradeRow {
    #[inline]
    pub(crate) fn print(&self) -> Print {
        let &TradeRow { price, past_nano, qty, aggressor, .. } = self;
        Print { price, past_nano, qty, aggressor }
    }
}

impl Market {
    /// A view of a feed that shows every order or level.
    pub fn deep() -> Self {
        Market { deep: Some(Box::default()), ..Market::default() }
    }

    /// What an order of a side would trade at: the best price of the other side, or the last print.
    pub fn price_for(&self, side: Side) -> Option<Ticks> {
        self.touch(side.opposite()).map(|(price, _)| price).or(self.last.map(|print| print.price))
    }

    /// Applies one row.
    #[inline]
    pub fn apply(&mut self, row: Row<'_>) -> Changed {
        let mut changed = Changed::default();
        match row {
            Row::Mbo(row) => {
                if let Some(deep) = self.deep.as_mut()
                    && let Some(input) = book_input(row)
                {
                    deep.apply(Nanos(0), &Input::Record(input), &mut Ignore);
                }
                if row.action == Action::Trade {
                    let &MboRow { price, past_nano, qty, side, .. } = row;
                    self.last = Some(Print { price, past_nano, qty, aggressor: side });
                    changed.trade = true;
                }
                if row.flags & LAST != 0 {
                    changed.book = true;
                    changed.quote = self.refresh_touch();
                }
            }
            Row::Quote(row) => {
                self.bid = row.touch(Side::Buy);
                self.ask = row.touch(Side::Sell);
                changed.quote = true;
                changed.book = true;
            }
            Row::Trade(row) => {
                self.last = Some(row.print());
                changed.trade = true;
            }
        }
        self.quote_rows += u64::from(changed.quote);
        self.trade_rows += u64::from(changed.trade);
        changed
    }

    /// Applies rows that nobody is woken for. Of quotes and of prints only the last can be seen afterwards.
    pub fn apply_all(&mut self, rows: RowSlice<'_>) {
        match rows {
            RowSlice::Mbo(rows) => rows.iter().for_each(|row| _ = self.apply(Row::Mbo(row))),
            RowSlice::Quote(rows) => {
                if let Some((last, before)) = rows.split_last() {
                    self.quote_rows += before.len() as u64;
                    self.apply(Row::Quote(last));
                }
            }
            RowSlice::Trade(rows) => {
                if let Some((last, before)) = rows.split_last() {
                    self.trade_rows += before.len() as u64;
                    self.apply(Row::Trade(last));
                }
            }
        }
    }

    #[inline]
    fn refresh_touch(&mut self) -> bool {
        let Some(deep) = self.deep.as_ref() else { return false };
        let (bid, ask) = (deep.book().best(Side::Buy), deep.book().best(Side::Sell));
        let changed = bid != self.bid || ask != self.ask;
        self.bid = bid;
        self.ask = ask;
        changed
    }

    /// The best price of a side and the size there.
    pub fn touch(&self, side: Side) -> Touch {
        match side {
            Side::Buy => self.bid,
            Side::Sell => self.ask,
        }
    }

    /// The price that positions are marked at, in half ticks: the mid, or the last print where a side is empty, rounded
    /// down to a tick.
    #[inline]
    pub fn mark_half_ticks(&self) -> Option<i64> {
        match (self.bid, self.ask) {
            (Some((bid, _)), Some((ask, _))) => Some(bid.0 + ask.0),
            _ => self.last.map(|print| print.price.0 * 2),
        }
    }

    /// Every order or level of the feed, where it shows them.
    pub fn book(&self) -> Option<&Book> {
        self.deep.as_ref().map(|deep| deep.book())
    }

    /// The levels of a side, best first, at most `most`.
    pub fn depth(&self, side: Side, most: usize) -> Vec<PriceLevel> {
        match self.book() {
            Some(book) => book.depth(side).take(most).collect(),
            None => self
                .touch(side)
                .into_iter()
                .take(most)
                .map(|(price, qty)| PriceLevel { price, qty, orders: 1 })
                .collect(),
        }
    }
}
