//! What a recorded market consists of, in integers.

use crate::types::{Lots, Nanos, OrderId, Side, Ticks};

/// The last record of an event: venue, handlers and comparisons act there.
pub const LAST: u8 = 128;
/// Part of a snapshot.
pub const SNAPSHOT: u8 = 32;

/// Of a level: it left what the feed shows, and what stands there is not known.
pub const OUT_OF_SIGHT: u8 = 16;

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
    /// Every level.
    Mbp = 3,
}

impl Schema {
    /// Whether it shows more of a book than the best prices.
    pub fn is_deep(self) -> bool {
        matches!(self, Schema::Mbo | Schema::Mbp)
    }
}

/// What a record of an order feed or of levels says.
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
    /// The whole size of a level; zero: none.
    Set,
}

/// One row of an order feed, or of levels, which have no id.
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

impl MboRow {
    /// The book is void.
    pub(super) fn clear(ts: Nanos, arrival: Nanos, flags: u8) -> Self {
        let (price, qty, id) = (Ticks(0), Lots::ZERO, OrderId(0));
        MboRow { ts, arrival, price, qty, id, action: Action::Clear, side: None, flags, past_nano: 0 }
    }
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
    /// When it acts at the venue.
    #[inline]
    pub fn ts(&self) -> Nanos {
        match self {
            Row::Mbo(row) => row.ts,
            Row::Quote(row) => row.ts,
            Row::Trade(row) => row.ts,
        }
    }

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
