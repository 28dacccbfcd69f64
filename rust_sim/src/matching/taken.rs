//! What ours took of recorded orders that history goes on showing in full.

use crate::arena::Arena;
use crate::types::Lots;

/// Sizes are kept in steps of 2 kB.
const SIZES_PER_STEP: usize = 256;

/// Taken sizes by the slot of the recorded order. The book's mark on the order says whether its entry counts.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    sizes: Arena<Lots, SIZES_PER_STEP>,
    orders: usize,
    /// By side, the rank of the best price that holds a taken order; None after a change, until it is asked for.
    pub(super) front: Option<[i64; 2]>,
    /// Slots to give back at the next event of the record; kept only where the engine refills.
    to_give_back: Vec<u32>,
}

impl Default for Taken {
    fn default() -> Self {
        Taken { sizes: Arena::new(), orders: 0, front: None, to_give_back: Vec::new() }
    }
}

impl Taken {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.orders == 0
    }

    pub(super) fn of(&self, slot: u32) -> Lots {
        *self.sizes.at(slot)
    }

    pub(super) fn set(&mut self, slot: u32, qty: Lots) {
        self.sizes.reach(slot);
        *self.sizes.at_mut(slot) = qty;
    }

    /// An order has another slot now.
    pub(super) fn moved(&mut self, from: u32, to: u32) {
        self.set(to, self.of(from));
        self.to_give_back.iter_mut().filter(|slot| **slot == from).for_each(|slot| *slot = to);
    }

    /// One more order, or one less, is taken from.
    pub(super) fn count(&mut self, more: bool) {
        self.front = None;
        if more {
            self.orders += 1;
        } else {
            self.orders -= 1;
        }
    }

    pub(super) fn remember(&mut self, slot: u32) {
        self.to_give_back.push(slot);
    }

    pub(super) fn next_to_give_back(&mut self) -> Option<u32> {
        self.to_give_back.pop()
    }

    pub(super) fn clear(&mut self) {
        self.orders = 0;
        self.front = None;
        self.to_give_back.clear();
    }
}
