//! After a clear: where the recorded orders stood that a snapshot may announce again.

use std::collections::BTreeMap;

use super::{MatchingEngine, RecordInput};
use crate::ladder::NIL;
use crate::types::{Lots, OrderId, Side, Ticks};

/// What a recorded order leaves behind at a clear.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    side: Side,
    price: Ticks,
    /// What ours had taken of it.
    taken: Lots,
    /// Slot of the first of ours that stands behind it, or NIL.
    pub(super) before: u32,
}

/// The places by the venue's ids.
pub(super) type Places = BTreeMap<OrderId, Place>;

impl MatchingEngine {
    /// A snapshot ends with the first record that does not belong to one.
    #[inline]
    pub(super) fn end_snapshot(&mut self, input: &RecordInput) {
        if !self.places.is_empty() && !matches!(input, RecordInput::Add { snapshot: true, .. } | RecordInput::Clear) {
            self.places.clear();
        }
    }

    /// Drops every recorded order; those with a name may come back to their places.
    pub(super) fn record_clear(&mut self) {
        let mut recorded = Vec::new();
        for side in [Side::Buy, Side::Sell] {
            let mut at = self.book.best_level(side);
            while let Some((rank, place)) = at {
                let price = side.price_of_rank(rank);
                let mut before = NIL;
                let mut slot = self.book.level(side, place).tail;
                while slot != NIL {
                    let node = self.book.node(slot);
                    if node.marks.is_ours() {
                        before = slot;
                    } else {
                        recorded.push(slot);
                        if !node.marks.is_anonymous() {
                            let place = Place { side, price, taken: self.taken_in(slot), before };
                            self.places.insert(node.id, place);
                        }
                    }
                    slot = self.book.previous(slot);
                }
                at = self.book.level_after(side, rank);
            }
        }
        for slot in recorded {
            self.remove(slot);
        }
        self.quotes = super::quotes::Quotes::default();
    }

    /// What is left of an id that is announced again: the slot it stands in front of, and what ours had taken of it.
    pub(super) fn return_to_place(&mut self, id: OrderId, side: Side, price: Ticks) -> (u32, Lots) {
        match self.places.remove(&id) {
            Some(old) if old.side == side && old.price == price => (old.before, old.taken),
            _ => (NIL, Lots::ZERO),
        }
    }

    /// One of ours joined a queue: whoever is announced again at this price stood there before.
    pub(super) fn join_places(&mut self, slot: u32, side: Side, price: Ticks) {
        for place in self.places.values_mut() {
            if place.before == NIL && place.side == side && place.price == price {
                place.before = slot;
            }
        }
    }

    /// One of ours leaves its queue: the next of ours behind it marks the places in front of it.
    pub(super) fn leave_place(&mut self, slot: u32) {
        let mut heir = self.book.next(slot);
        while heir != NIL && !self.book.node(heir).marks.is_ours() {
            heir = self.book.next(heir);
        }
        for place in self.places.values_mut() {
            if place.before == slot {
                place.before = heir;
            }
        }
    }

    /// Sizes that ours took are there again, also those of orders that a snapshot has yet to announce.
    pub(super) fn give_back_places(&mut self) {
        for place in self.places.values_mut() {
            place.taken = Lots::ZERO;
        }
    }
}
