//! What ours took of recorded orders that history goes on showing in full.

use crate::types::Lots;

/// Slots whose sizes are kept together.
const STEP: usize = 64;

/// Taken sizes by the slot of the recorded order. The book's mark on the order says whether its entry counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Taken {
    /// Made where a slot is first taken from: slots are spread over the whole table, and few are ever taken from.
    sizes: Vec<Option<Box<[Lots; STEP]>>>,
    orders: usize,
    /// By side, the rank of the best price that holds a taken order; None after a change, until it is asked for.
    pub(super) front: Option<[i64; 2]>,
    /// Slots to give back at the next event of the record, some of which may have been left since; kept only where the
    /// engine refills.
    to_give_back: Vec<u32>,
}

impl Taken {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.orders == 0
    }

    pub(super) fn of(&self, slot: u32) -> Lots {
        let step = self.sizes.get(slot as usize / STEP).and_then(Option::as_ref);
        step.map_or(Lots::ZERO, |sizes| sizes[slot as usize % STEP])
    }

    pub(super) fn set(&mut self, slot: u32, qty: Lots) {
        let step = slot as usize / STEP;
        if step >= self.sizes.len() {
            self.sizes.resize_with(step + 1, Option::default);
        }
        self.sizes[step].get_or_insert_with(|| Box::new([Lots::ZERO; STEP]))[slot as usize % STEP] = qty;
    }

    /// An order that is taken from has another slot now.
    pub(super) fn moved(&mut self, from: u32, to: u32) {
        self.set(to, self.of(from));
        // Where anything is to be given back, all that is taken is. Nothing is taken from the slot that it left.
        if !self.to_give_back.is_empty() {
            self.to_give_back.push(to);
        }
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
