//! The three records that one market writes, as columns of integers.

/// The codes of the columns `action` and `side`, and the bits of `flags`: the same as in `cift.domain.schemas`.
pub mod code {
    /// An order came to rest.
    pub const ADD: u8 = b'A';
    /// Part of an order, or all of it, left the book.
    pub const CANCEL: u8 = b'C';
    /// An order got a new price and total size.
    pub const MODIFY: u8 = b'M';
    /// An aggressor traded.
    pub const TRADE: u8 = b'T';
    /// A resting order was executed.
    pub const FILL: u8 = b'F';
    /// All orders are void.
    pub const CLEAR: u8 = b'R';
    /// A bid, or a buying aggressor.
    pub const BID: u8 = b'B';
    /// An ask, or a selling aggressor.
    pub const ASK: u8 = b'A';
    /// No side.
    pub const NONE: u8 = b'N';
    /// The last record of an event.
    pub const LAST: u8 = 128;
    /// Part of the opening book.
    pub const SNAPSHOT: u8 = 32;
}

/// One record of market by order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MboRow {
    /// One of [`code`].
    pub action: u8,
    /// One of [`code`].
    pub side: u8,
    /// Price; 0 and without meaning for a clear.
    pub price_ticks: i64,
    /// Size.
    pub size_lots: i64,
    /// The order; 0 for a trade and a clear, which name none.
    pub order_id: u64,
    /// Bits of [`code`].
    pub flags: u8,
}

/// When an event happened, when it was received, and its number at the venue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Time at the venue, ns since the epoch.
    pub ts_event: i64,
    /// Time of arrival, ns since the epoch; never before `ts_event`, and never falling.
    pub ts_recv: i64,
    /// The event's number, shared by all its records.
    pub venue_seq: i64,
}

macro_rules! columns {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            /// Time at the venue, ns since the epoch.
            pub ts_event: Vec<i64>,
            /// Time of arrival, ns since the epoch.
            pub ts_recv: Vec<i64>,
            $($(#[$field_doc])* pub $field: Vec<$kind>,)*
            /// Bits of [`code`].
            pub flags: Vec<u8>,
            /// Gapless from 0.
            pub sequence: Vec<i64>,
            /// The number of the event that the row is part of.
            pub venue_seq: Vec<i64>,
        }

        impl $name {
            /// How many rows there are.
            pub fn len(&self) -> usize {
                self.sequence.len()
            }

            /// Whether there are none.
            pub fn is_empty(&self) -> bool {
                self.sequence.is_empty()
            }

            /// Forgets the rows; the memory stays.
            pub fn clear(&mut self) {
                self.ts_event.clear();
                self.ts_recv.clear();
                $(self.$field.clear();)*
                self.flags.clear();
                self.sequence.clear();
                self.venue_seq.clear();
            }

            #[inline]
            fn stamp(&mut self, stamp: Stamp, flags: u8, sequence: i64) {
                self.ts_event.push(stamp.ts_event);
                self.ts_recv.push(stamp.ts_recv);
                self.flags.push(flags);
                self.sequence.push(sequence);
                self.venue_seq.push(stamp.venue_seq);
            }
        }
    };
}

columns! {
    /// Market by order: what happened to each order.
    MboColumns {
        /// One of [`code`].
        action: u8,
        /// One of [`code`].
        side: u8,
        /// Price; 0 and without meaning for a clear.
        price_ticks: i64,
        /// Size.
        size_lots: i64,
        /// The order; 0 for a trade and a clear.
        order_id: u64,
    }
}

columns! {
    /// The best prices after each event that changed one of them or its size.
    QuoteColumns {
        /// Best bid; 0 and without meaning where `bid_lots` is 0.
        bid_ticks: i64,
        /// Size at the best bid; 0 where no bid rests.
        bid_lots: i64,
        /// Best ask; 0 and without meaning where `ask_lots` is 0.
        ask_ticks: i64,
        /// Size at the best ask; 0 where no ask rests.
        ask_lots: i64,
    }
}

columns! {
    /// The prints: one for each price at which an aggressor traded.
    TradeColumns {
        /// Price.
        price_ticks: i64,
        /// Size.
        size_lots: i64,
        /// The side that took: one of [`code`].
        aggressor: u8,
        /// Unique over symbols' days.
        trade_id: u64,
    }
}

impl MboColumns {
    #[inline]
    pub(super) fn push(&mut self, stamp: Stamp, row: &MboRow, sequence: i64) {
        self.stamp(stamp, row.flags, sequence);
        self.action.push(row.action);
        self.side.push(row.side);
        self.price_ticks.push(row.price_ticks);
        self.size_lots.push(row.size_lots);
        self.order_id.push(row.order_id);
    }
}

/// The best prices of a book with their sizes; a missing side is (0, 0).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Touch {
    pub(super) bid: (i64, i64),
    pub(super) ask: (i64, i64),
}

impl QuoteColumns {
    #[inline]
    pub(super) fn push(&mut self, stamp: Stamp, touch: Touch, sequence: i64) {
        self.stamp(stamp, code::LAST, sequence);
        self.bid_ticks.push(touch.bid.0);
        self.bid_lots.push(touch.bid.1);
        self.ask_ticks.push(touch.ask.0);
        self.ask_lots.push(touch.ask.1);
    }
}

impl TradeColumns {
    #[inline]
    pub(super) fn push(&mut self, stamp: Stamp, row: &MboRow, trade_id: u64, flags: u8, sequence: i64) {
        self.stamp(stamp, flags, sequence);
        self.price_ticks.push(row.price_ticks);
        self.size_lots.push(row.size_lots);
        self.aggressor.push(row.side);
        self.trade_id.push(trade_id);
    }
}
