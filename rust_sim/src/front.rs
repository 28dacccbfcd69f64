//! The orders that a taker meets first, loaded before one comes.
//!
//! A taker walks a queue from order to order, and in a large book each lies in far memory: a wait for each fill. So a
//! cursor on each side goes ahead of the takers, one order at a command, and what it names is on its way meanwhile. A cursor
//! is a hint: where it is wrong, time is lost and nothing else.

use crate::ladder::{Ladder, NIL};
use crate::table::Table;

/// How many orders are kept near: more than nearly every taker meets.
const AHEAD: u32 = 16;

/// How far the orders of a side are loaded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Front {
    /// The best rank when the walk began, and the one where it stands.
    best: i64,
    rank: i64,
    /// The order loaded last, or NIL.
    slot: u32,
    /// How many stood before it when it was reached, less those that left from the very front since.
    depth: u32,
}

impl Default for Front {
    fn default() -> Self {
        Front { best: 0, rank: 0, slot: NIL, depth: 0 }
    }
}

impl Front {
    /// Starts to load one order more.
    #[inline]
    pub(crate) fn advance(&mut self, ladder: &Ladder, nodes: &Table) {
        let Some((best, place)) = ladder.best() else { return };
        if self.slot == NIL || self.best != best {
            *self = Front { best, rank: best, slot: ladder.level(place).head, depth: 0 };
        } else if self.depth == AHEAD {
            return;
        } else {
            let next = nodes.at(self.slot).next;
            if next != NIL {
                self.slot = next;
            } else if let Some((rank, place)) = ladder.after(self.rank) {
                (self.slot, self.rank) = (ladder.level(place).head, rank);
            } else {
                return;
            }
            self.depth += 1;
        }
        nodes.prefetch(self.slot);
    }

    /// An order leaves; `before` stands in front of it, if any does. `is_first`: no order of its side stood before it.
    #[inline]
    pub(crate) fn left(&mut self, slot: u32, before: u32, is_first: bool) {
        self.depth = self.depth.saturating_sub(u32::from(is_first));
        if slot == self.slot {
            self.slot = before;
        }
    }
}
