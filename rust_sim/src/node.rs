//! An order as the book stores it: half a cache line.

use crate::ladder::NIL;
use crate::types::{Family, Lots, OrderId, OwnerId, Side};

/// What else an order carries: packed beside the links, so that a node is half a cache line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks(u32);

impl Marks {
    const INDEX: u32 = 0xF;
    const SELL: u32 = 1 << 4;
    const OURS: u32 = 1 << 5;
    const TAKEN: u32 = 1 << 6;
    const ANONYMOUS: u32 = 1 << 7;
    const POST_ONLY: u32 = 1 << 8;
    const PREVENTION_SHIFT: u32 = 9;
    const UNSEEN: u32 = 1 << 11;
    const OWNER_SHIFT: u32 = 12;

    pub(crate) fn new(side: Side, family: Family, owner: OwnerId) -> Self {
        let mut bits = owner.0 << Self::OWNER_SHIFT;
        if side == Side::Sell {
            bits |= Self::SELL;
        }
        if family == Family::Order {
            bits |= Self::OURS;
        }
        Marks(bits)
    }

    pub(crate) fn anonymous(self) -> Self {
        Marks(self.0 | Self::ANONYMOUS)
    }

    /// What a later modify must remember of the order: post-only, and the code of its self-trade prevention.
    pub(crate) fn with_rules(self, post_only: bool, prevention: u32) -> Self {
        Marks(self.0 | if post_only { Self::POST_ONLY } else { 0 } | (prevention & 3) << Self::PREVENTION_SHIFT)
    }

    /// Where in its block of the ladder the order's level lies.
    #[inline]
    pub(crate) fn index(self) -> u32 {
        self.0 & Self::INDEX
    }

    #[inline]
    pub(crate) fn with_index(self, index: u32) -> Self {
        Marks(self.0 & !Self::INDEX | index)
    }

    pub(crate) fn with_taken(self, taken: bool) -> Self {
        Marks(if taken { self.0 | Self::TAKEN } else { self.0 & !Self::TAKEN })
    }

    pub(crate) fn with_unseen(self, unseen: bool) -> Self {
        Marks(if unseen { self.0 | Self::UNSEEN } else { self.0 & !Self::UNSEEN })
    }

    #[inline]
    pub(crate) fn side(self) -> Side {
        if self.0 & Self::SELL == 0 { Side::Buy } else { Side::Sell }
    }

    #[inline]
    pub(crate) fn family(self) -> Family {
        if self.0 & Self::OURS == 0 { Family::Record } else { Family::Order }
    }

    #[inline]
    pub(crate) fn is_ours(self) -> bool {
        self.0 & Self::OURS != 0
    }

    #[inline]
    pub(crate) fn is_taken(self) -> bool {
        self.0 & Self::TAKEN != 0
    }

    #[inline]
    pub(crate) fn is_anonymous(self) -> bool {
        self.0 & Self::ANONYMOUS != 0
    }

    pub(crate) fn is_post_only(self) -> bool {
        self.0 & Self::POST_ONLY != 0
    }

    pub(crate) fn prevention(self) -> u32 {
        self.0 >> Self::PREVENTION_SHIFT & 3
    }

    /// Whether the record has yet to show the size at the price that the order joined.
    pub(crate) fn is_unseen(self) -> bool {
        self.0 & Self::UNSEEN != 0
    }

    #[inline]
    pub(crate) fn owner(self) -> OwnerId {
        OwnerId(self.0 >> Self::OWNER_SHIFT)
    }
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Node {
    pub(crate) id: OrderId,
    pub(crate) qty: Lots,
    pub(crate) prev: u32,
    pub(crate) next: u32,
    pub(crate) block: u32,
    pub(crate) marks: Marks,
}

impl Default for Node {
    fn default() -> Self {
        Node { id: OrderId(0), qty: Lots::ZERO, prev: NIL, next: NIL, block: NIL, marks: Marks::default() }
    }
}

impl Node {
    /// The id, and the family in which it is the only one.
    #[inline]
    pub(crate) fn name(&self) -> (OrderId, Family) {
        (self.id, self.marks.family())
    }
}
