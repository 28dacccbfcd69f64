//! A record that shows only the best price of each side: sizes without names.
//!
//! The displayed size is an anonymous order of the book, cut in two where one of ours joins its queue. Growth goes to
//! the back, prints take from the front, and other shrinkage is taken from behind ours first (the risk-averse queue
//! model: nobody who stood ahead is assumed to have left without need; hftbacktest documents it under that name).

use std::collections::BTreeSet;

use super::{Anomaly, Event, MatchingEngine, Party, Sink};
use crate::book::Marks;
use crate::ladder::NIL;
use crate::types::{Family, Lots, OrderId, OwnerId, Side, Ticks};

/// What the record shows of each side.
#[derive(Clone, Debug, Default)]
pub(super) struct Quotes {
    used: bool,
    shown: [Option<Ticks>; 2],
    /// Levels where one of ours rests and whose size the record has not shown since it joined.
    unseen: BTreeSet<(u8, i64)>,
}

impl Quotes {
    #[inline]
    pub(super) fn in_use(&self) -> bool {
        self.used
    }

    #[inline]
    pub(super) fn shows(&self, side: Side, price: Ticks) -> bool {
        self.shown[side as usize] == Some(price)
    }

    pub(super) fn forget(&mut self) {
        self.shown = [None; 2];
    }
}

impl MatchingEngine {
    /// One of ours came to rest. Where the record shows no size at its price, the first size shown stands ahead of it.
    #[inline]
    pub(super) fn joined(&mut self, side: Side, price: Ticks) {
        if !self.quotes.used {
            return;
        }
        let inside = self.quotes.shown[side as usize].is_some_and(|best| side.rank(price) < side.rank(best));
        let recorded = self.book.level_at(side, price).is_some_and(|level| level.count > level.ours);
        if !inside && !recorded {
            self.quotes.unseen.insert((side as u8, side.rank(price)));
        }
    }

    pub(super) fn record_quote<S: Sink>(&mut self, side: Side, best: Option<(Ticks, Lots)>, sink: &mut S) {
        self.quotes.used = true;
        let shown = self.quotes.shown[side as usize];
        let Some((price, qty)) = best else {
            self.hide(side, None);
            return;
        };
        if qty.0 <= 0 {
            return sink.event(Event::Anomaly(Anomaly::BadSize));
        }
        if !price.in_range() {
            return sink.event(Event::Anomaly(Anomaly::BadPrice));
        }
        let given = self.fill_crossed(Party::Market, side, price, qty, sink);
        if shown != Some(price) {
            self.hide(side, Some(price));
            self.quotes.shown[side as usize] = Some(price);
        }
        self.set_displayed(side, price, qty, sink);
        if given != Lots::ZERO {
            self.add_taken(side, price, given);
        }
    }

    /// The best price left a level. Its size stays only as the queue around ours; every size at a price better than the
    /// new best is gone from the record.
    fn hide(&mut self, side: Side, next: Option<Ticks>) {
        let Some(old) = self.quotes.shown[side as usize].take() else { return };
        let end = next.map_or(i64::MAX, |price| side.rank(price));
        let mut at = self.book.best_level(side);
        while let Some((rank, place)) = at {
            let is_old = rank == side.rank(old);
            if rank >= end && !is_old && rank > side.rank(old) {
                break;
            }
            let level = *self.book.level(side, place);
            let gone = rank < end || level.ours == 0;
            if gone && level.count > level.ours && (rank < end || is_old) {
                let mut slot = level.head;
                while slot != NIL {
                    let following = self.book.next(slot);
                    if self.book.node(slot).marks.is_anonymous() {
                        self.remove(slot);
                    }
                    slot = following;
                }
            }
            at = self.book.level_after(side, rank);
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
        let recorded = self.recorded_at(level.head);
        if qty > recorded {
            let first_seen =
                !self.quotes.unseen.is_empty() && self.quotes.unseen.remove(&(side as u8, side.rank(price)));
            let growth = Lots(qty.0 - recorded.0);
            if first_seen {
                self.put(level.head, side, price, growth, sink);
            } else if level.tail != NIL && self.book.node(level.tail).marks.is_anonymous() {
                if self.book.enlarge(level.tail, growth).is_err() {
                    sink.event(Event::Anomaly(Anomaly::BadSize));
                }
            } else {
                self.put(NIL, side, price, growth, sink);
            }
        } else {
            self.shrink_from_behind(level.head, Lots(recorded.0 - qty.0));
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

    fn put<S: Sink>(&mut self, before: u32, side: Side, price: Ticks, qty: Lots, sink: &mut S) {
        let marks = Marks::new(side, Family::Record, OwnerId(0)).anonymous();
        if self.book.add_before(before, OrderId(0), marks, price, qty).is_err() {
            sink.event(Event::Anomaly(Anomaly::BadSize));
        }
    }

    fn recorded_at(&self, head: u32) -> Lots {
        let recorded = self.book.walk(head).map(|slot| self.book.node(slot));
        Lots(recorded.filter(|node| !node.marks.is_ours()).map(|node| node.qty.0).sum())
    }

    fn shrink_from_behind(&mut self, head: u32, mut by: Lots) {
        let mut segments: Vec<u32> =
            self.book.walk(head).filter(|&slot| !self.book.node(slot).marks.is_ours()).collect();
        while by != Lots::ZERO
            && let Some(slot) = segments.pop()
        {
            let cut = by.min(self.book.node(slot).qty);
            by.0 -= cut.0;
            self.reduce_slot(slot, cut);
        }
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
