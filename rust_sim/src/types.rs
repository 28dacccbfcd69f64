//! Units and names that every other module speaks in.

use std::fmt;

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

unit!(
    /// A price in whole ticks of its instrument. Zero and negative prices are prices.
    Ticks(i64)
);
unit!(
    /// A size in whole lots of its instrument.
    Lots(i64)
);
unit!(
    /// Nanoseconds since the epoch, UTC.
    Nanos(i64)
);
unit!(
    /// The name of an order. The venue's own ids and ours live in separate spaces, see [`Family`].
    OrderId(u64)
);
unit!(
    /// Who sent an order. Self-trade prevention compares owners.
    OwnerId(u32)
);

/// Prices beyond this many ticks from zero are refused.
pub const MAX_TICKS: i64 = 1 << 53;
/// Orders larger than this many lots are refused.
pub const MAX_LOTS: i64 = 1 << 53;
/// Owners are numbered below this.
pub const MAX_OWNERS: u32 = 1 << 20;

impl Ticks {
    /// Whether the price is one that an order may carry.
    pub fn in_range(self) -> bool {
        (-MAX_TICKS..=MAX_TICKS).contains(&self.0)
    }
}

impl Lots {
    /// Nothing at all.
    pub const ZERO: Lots = Lots(0);

    /// Whether the size is one that an order may carry.
    pub fn in_range(self) -> bool {
        (1..=MAX_LOTS).contains(&self.0)
    }

    /// The smaller of two sizes.
    pub fn min(self, other: Lots) -> Lots {
        Lots(self.0.min(other.0))
    }
}

/// Which side of the book an order stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Side {
    /// Wants to buy; the best price is the highest.
    Buy = 0,
    /// Wants to sell; the best price is the lowest.
    Sell = 1,
}

impl Side {
    /// The side that trades against this one.
    #[inline]
    pub fn opposite(self) -> Side {
        match self {
            Side::Buy => Side::Sell,
            Side::Sell => Side::Buy,
        }
    }

    /// +1 for a buy, -1 for a sell.
    #[inline]
    pub fn sign(self) -> i64 {
        1 - 2 * (self as i64)
    }

    /// The rank of a price on this side: the smaller, the better. One rule then serves both sides.
    #[inline]
    pub fn rank(self, price: Ticks) -> i64 {
        // A product rather than a turn: nobody foresees the side of the next order.
        price.0 * -self.sign()
    }

    /// The price of a rank: the inverse of [`Side::rank`].
    #[inline]
    pub fn price_of_rank(self, rank: i64) -> Ticks {
        Ticks(rank * -self.sign())
    }

    /// Whether an order of this side with limit `limit` may trade at `price`.
    #[inline]
    pub fn accepts(self, limit: Ticks, price: Ticks) -> bool {
        match self {
            Side::Buy => price <= limit,
            Side::Sell => price >= limit,
        }
    }
}

/// The two kinds of participants that share one book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Family {
    /// History: moves as recorded, never matched against itself.
    Record = 0,
    /// An order that the engine matches: ours in a simulation, everybody's on the exchange service.
    Order = 1,
}
