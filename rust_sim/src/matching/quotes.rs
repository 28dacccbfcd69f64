//! A record that shows sizes without names: the best price of each side, or every level.
//!
//! The displayed size is an anonymous order of the book, cut in two where one of ours joins its queue. Growth goes to
//! the back, prints take from the front, and other shrinkage is taken from behind ours first (the risk-averse queue
//! model: nobody who stood ahead is assumed to have left without need; hftbacktest documents it under that name).

use super::{Anomaly, Event, MatchingEngine, Party, Refill, Sink};
use crate::ladder::NIL;
use crate::node::Marks;
use crate::types::{Family, Lots, OrderId, OwnerId, Side, Ticks};

/// How much of the book such a record shows. What came last decides: a feed shows one or the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Depth {
    /// It names every order, or has not begun.
    #[default]
    None,
    /// The best price of each side.
    Best,
    /// Every level.
    Levels,
}

/// What the record shows of each side.
#[derive(Clone, Debug, Default)]
pub(super) struct Quotes {
    depth: Depth,
    /// Of a record of best prices.
    shown: [Option<Ticks>; 2],
    /// Whether a level that is no longer shown may have lost its last reason to stay.
    stale: [bool; 2],
}

impl Quotes {
    #[inline]
    pub(super) fn in_use(&self) -> bool {
        self.depth != Depth::None
    }

    /// Whether the record shows nothing at a price or behind it.
    #[inline]
    pub(super) fn ends_before(&self, side: Side, price: Ticks) -> bool {
        self.depth == Depth::Best && self.shown[side as usize].is_none_or(|best| side.rank(price) > side.rank(best))
    }

    #[inline]
    pub(super) fn shows(&self, side: Side, price: Ticks) -> bool {
        self.depth == Depth::Levels || self.shown[side as usize] == Some(price)
    }
}

impl MatchingEngine {
    /// One of ours came to rest. Where the record says nothing about its price, the first size shown stands ahead of
    /// it. A price better than the best shown is known to be empty.
    #[inline]
    pub(super) fn joined(&mut self, slot: u32, side: Side, price: Ticks) {
        let best = match self.quotes.depth {
            Depth::None => return,
            Depth::Best => self.quotes.shown[side as usize],
            Depth::Levels if self.displays(side, price) => return,
            Depth::Levels => self.book.best_recorded(side),
        };
        if best.is_none_or(|best| side.rank(price) > side.rank(best)) {
            self.book.mark_unseen(slot, true);
        }
    }

    /// One of ours is about to leave the level of a slot, or what they took there is displayed again. A level that is shown,
    /// or a better one, is settled by the next move of the best price in any case.
    #[inline]
    pub(super) fn mark_stale(&mut self, slot: u32) {
        if self.quotes.depth == Depth::Best {
            let side = self.book.node(slot).marks.side();
            self.quotes.stale[side as usize] |= self.quotes.ends_before(side, self.book.price_of(slot));
        }
    }

    /// Which records may be left out where a later quote follows before any order does, and none of ours rests: those in
    /// front of the ranks returned, by side, where ours have taken of displayed sizes. The later quote then leaves the same
    /// book. None where every record counts: ours have left traces that the next moves of the best price will wipe out.
    pub(crate) fn void_in_front_of(&mut self) -> Option<[i64; 2]> {
        let is_plain = |side: Side| {
            let level = self.quotes.shown[side as usize].and_then(|price| self.book.level_at(side, price));
            level.is_none_or(|level| level.count == 1 || self.has_taken(level.head))
        };
        let traces = self.quotes.stale != [false; 2] || !is_plain(Side::Buy) || !is_plain(Side::Sell);
        if traces || !self.places.is_empty() {
            return None;
        }
        if self.taken.is_empty() {
            return Some([i64::MAX; 2]);
        }
        if self.refill != Refill::Never {
            return None;
        }
        let front = match self.taken.front {
            Some(front) => front,
            None => *self.taken.front.insert([self.taken_front(Side::Buy), self.taken_front(Side::Sell)]),
        };
        Some(front)
    }

    fn has_taken(&self, head: u32) -> bool {
        self.book.walk(head).any(|slot| self.book.node(slot).marks.is_taken())
    }

    fn taken_front(&self, side: Side) -> i64 {
        let mut at = self.book.best_level(side);
        while let Some((rank, place)) = at {
            if self.has_taken(self.book.level(side, place).head) {
                return rank;
            }
            at = self.book.level_after(side, rank);
        }
        i64::MAX
    }

    pub(super) fn record_quote<S: Sink>(&mut self, side: Side, best: Option<(Ticks, Lots)>, sink: &mut S) {
        self.show(Depth::Best);
        let Some((price, qty)) = best else {
            let old = self.quotes.shown[side as usize].take();
            return self.settle(side, old);
        };
        if qty.0 <= 0 {
            return sink.event(Event::Anomaly(Anomaly::BadSize));
        }
        if !price.in_range() {
            return sink.event(Event::Anomaly(Anomaly::BadPrice));
        }
        let old = self.quotes.shown[side as usize].replace(price);
        // The new size stands before the old one goes. The other way round, a side of one shown level would look for its next
        // best at each move of the price, and might find it far off, where ours once took.
        self.set_displayed(side, price, qty, sink);
        if old != Some(price) {
            self.settle(side, old);
        }
        self.cross(side, price, sink);
    }

    /// The record shows the whole size of a level; a size of 0: nothing stands there now.
    pub(super) fn record_level<S: Sink>(&mut self, side: Side, price: Ticks, qty: Lots, sink: &mut S) {
        if qty < Lots::ZERO {
            return sink.event(Event::Anomaly(Anomaly::BadSize));
        }
        if !price.in_range() {
            return sink.event(Event::Anomaly(Anomaly::BadPrice));
        }
        self.show(Depth::Levels);
        if qty == Lots::ZERO {
            return self.empty_level(side, price, false);
        }
        self.set_displayed(side, price, qty, sink);
        self.cross(side, price, sink);
    }

    /// What stands at a price is not told any more. What is shown there next stands ahead of ours, all of it.
    pub(super) fn record_out_of_sight(&mut self, side: Side, price: Ticks) {
        self.show(Depth::Levels);
        self.empty_level(side, price, true);
    }

    /// The displayed size at a price is gone. Ours there have seen their queue, which is empty but for them, or have it still to
    /// see.
    fn empty_level(&mut self, side: Side, price: Ticks, unseen: bool) {
        let mut slot = self.book.level_at(side, price).map_or(NIL, |level| level.head);
        while slot != NIL {
            let following = self.book.next(slot);
            let marks = self.book.node(slot).marks;
            if marks.is_anonymous() {
                self.remove(slot);
            } else if marks.is_ours() && marks.is_unseen() != unseen {
                self.book.mark_unseen(slot, unseen);
            }
            slot = following;
        }
    }

    /// A displayed size that reaches ours of the other side fills them.
    fn cross<S: Sink>(&mut self, side: Side, price: Ticks, sink: &mut S) {
        if self.book.ours(side.opposite()) > 0 {
            let free = self.displayed_at(side, price);
            let given = self.fill_crossed(Party::Market, side, price, free, sink);
            self.add_taken(side, price, given);
        }
    }

    /// Whether the record shows a size at a price.
    fn displays(&self, side: Side, price: Ticks) -> bool {
        self.book.level_at(side, price).is_some_and(|level| level.count > level.ours)
    }

    /// At the first record of its kind, all that ours know of their queues is still to come.
    fn show(&mut self, depth: Depth) {
        if self.quotes.depth == depth {
            return;
        }
        self.quotes = Quotes { depth, ..Quotes::default() };
        for side in [Side::Buy, Side::Sell] {
            let mut at = self.book.best_level(side);
            while let Some((rank, place)) = at {
                let mut slot = self.book.level(side, place).head;
                while slot != NIL {
                    if self.book.node(slot).marks.is_ours() {
                        self.book.mark_unseen(slot, true);
                    }
                    slot = self.book.next(slot);
                }
                at = self.book.level_after(side, rank);
            }
        }
    }

    /// The best price of a side has moved away from `old`. Sizes at prices better than the new one are gone from the record.
    /// Sizes at worse prices are no longer shown: they stay only as the queue around ours, and while ours have taken of them.
    fn settle(&mut self, side: Side, old: Option<Ticks>) {
        let end = self.quotes.shown[side as usize].map_or(i64::MAX, |price| side.rank(price));
        if let Some(old) = old {
            self.drop_unneeded(side, side.rank(old), end);
        }
        // Nothing was displayed before the old best, and levels behind both were settled when they went out of sight.
        let all = std::mem::take(&mut self.quotes.stale[side as usize]);
        let last = if all { i64::MAX } else { end };
        let mut at = self.book.best_level(side);
        while let Some((rank, _)) = at.filter(|&(rank, _)| rank < last) {
            if rank != end {
                self.drop_unneeded(side, rank, end);
            }
            at = self.book.level_after(side, rank);
        }
    }

    /// Drops the displayed sizes of a level that is not the shown one, where nothing keeps them.
    #[inline]
    fn drop_unneeded(&mut self, side: Side, rank: i64, end: i64) {
        let Some(&level) = self.book.level_at(side, side.price_of_rank(rank)) else { return };
        if rank > end && (level.ours > 0 || self.has_taken(level.head)) {
            return;
        }
        let mut slot = level.head;
        while slot != NIL {
            let following = self.book.next(slot);
            if self.book.node(slot).marks.is_anonymous() {
                self.remove(slot);
            }
            slot = following;
        }
    }

    /// Makes the recorded size at a price what the record shows.
    fn set_displayed<S: Sink>(&mut self, side: Side, price: Ticks, qty: Lots, sink: &mut S) {
        let level = self.book.level_at(side, price).copied().unwrap_or_default();
        if level.ours == 0 && level.count == 1 {
            // Most quotes: the one displayed size, and nobody of ours in its queue.
            self.resize(level.head, qty, sink);
            return;
        }
        let mut recorded = Lots::ZERO;
        let mut unseen = NIL;
        let mut slot = level.head;
        while slot != NIL {
            let node = *self.book.node(slot);
            if !node.marks.is_ours() {
                recorded.0 += node.qty.0;
            } else if node.marks.is_unseen() {
                unseen = if unseen == NIL { slot } else { unseen };
                self.book.mark_unseen(slot, false);
            }
            slot = self.book.next(slot);
        }
        if qty > recorded {
            self.grow(unseen, level.tail, side, price, Lots(qty.0 - recorded.0), sink);
        } else {
            self.shrink_from_behind(level.tail, Lots(recorded.0 - qty.0));
        }
    }

    /// New size joins the queue: behind all, or in front of the first of ours that had not seen its queue.
    fn grow<S: Sink>(&mut self, unseen: u32, tail: u32, side: Side, price: Ticks, by: Lots, sink: &mut S) {
        let last = if unseen == NIL { tail } else { self.book.previous(unseen) };
        let grown = if last != NIL && self.book.node(last).marks.is_anonymous() {
            self.book.enlarge(last, by)
        } else {
            let marks = Marks::new(side, Family::Record, OwnerId(0)).anonymous();
            self.book.add_before(unseen, OrderId(0), marks, price, by).map(|_| ())
        };
        if grown.is_err() {
            sink.event(Event::Anomaly(Anomaly::BadSize));
        }
    }

    fn resize<S: Sink>(&mut self, slot: u32, qty: Lots, sink: &mut S) {
        let has = self.book.node(slot).qty;
        if qty < has {
            self.reduce_slot(slot, Lots(has.0 - qty.0));
        } else if qty > has && self.book.enlarge(slot, Lots(qty.0 - has.0)).is_err() {
            sink.event(Event::Anomaly(Anomaly::BadSize));
        }
    }

    /// Risk-averse: what left stood behind ours, as far as anything did.
    fn shrink_from_behind(&mut self, tail: u32, mut by: Lots) {
        let mut slot = tail;
        while by != Lots::ZERO && slot != NIL {
            let node = *self.book.node(slot);
            let before = self.book.previous(slot);
            if !node.marks.is_ours() {
                let cut = by.min(node.qty);
                by.0 -= cut.0;
                self.reduce_slot(slot, cut);
            }
            slot = before;
        }
    }

    /// What the record displays at a price and ours have not taken.
    fn displayed_at(&self, side: Side, price: Ticks) -> Lots {
        let head = self.book.level_at(side, price).map_or(NIL, |level| level.head);
        let recorded = self.book.walk(head).filter(|&slot| !self.book.node(slot).marks.is_ours());
        Lots(recorded.map(|slot| self.displayed(slot, side, price).0).sum())
    }

    /// Marks what a crossing quote gave to ours as taken, oldest segment first.
    fn add_taken(&mut self, side: Side, price: Ticks, mut given: Lots) {
        let head = self.book.level_at(side, price).map_or(NIL, |level| level.head);
        let mut slot = head;
        while slot != NIL && given != Lots::ZERO {
            let node = *self.book.node(slot);
            if !node.marks.is_ours() {
                let taken = self.taken_in(slot);
                let more = given.min(Lots(node.qty.0 - taken.0));
                given.0 -= more.0;
                self.set_taken(slot, Lots(taken.0 + more.0));
            }
            slot = self.book.next(slot);
        }
    }
}
