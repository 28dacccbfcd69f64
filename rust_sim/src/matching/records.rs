//! Records: history applied as told, and what it does to the orders of ours that stand around it.

use super::{Anomaly, Event, FillReason, MatchingEngine, Party, RecordInput, Refill, Sink, Trade};
use crate::book::BookError;
use crate::ladder::NIL;
use crate::node::Marks;
use crate::types::{Family, Lots, OrderId, OwnerId, Side, Ticks};

/// A recorded move that may trade with ours: who comes, and how much of it is left.
struct Arrival {
    party: Party,
    /// The side of ours that it trades with.
    side: Side,
    left: Lots,
}

impl MatchingEngine {
    #[inline]
    pub(super) fn apply_record<S: Sink>(&mut self, input: &RecordInput, sink: &mut S) {
        self.end_snapshot(input);
        if self.refill == Refill::NextEvent {
            self.give_back(sink);
        }
        match *input {
            RecordInput::Add { id, side, price, qty, snapshot } => {
                self.record_add(id, side, price, qty, snapshot, sink);
            }
            RecordInput::Modify { id, side, price, qty } => self.record_modify(id, side, price, qty, sink),
            RecordInput::Reduce { id, qty } => {
                if let Some((slot, qty)) = self.part_of(id, qty, sink) {
                    self.reduce_slot(slot, qty);
                }
            }
            RecordInput::Fill { id, qty } => {
                if let Some((slot, qty)) = self.part_of(id, qty, sink) {
                    self.fill_before(slot, qty, sink);
                }
            }
            RecordInput::Execute { id, qty } => {
                if let Some((slot, qty)) = self.part_of(id, qty, sink) {
                    self.fill_before(slot, qty, sink);
                    self.reduce_slot(slot, qty);
                }
            }
            RecordInput::Print { aggressor, price, exact, qty } => {
                self.record_print(aggressor, price, exact, qty, sink);
            }
            RecordInput::Quote { side, best } => self.record_quote(side, best, sink),
            RecordInput::Level { side, price, qty } => self.record_level(side, price, qty, sink),
            RecordInput::OutOfSight { side, price } => self.record_out_of_sight(side, price),
            RecordInput::Clear => self.record_clear(),
        }
    }

    /// Makes available again what ours took, and lets ours that rest across it have it.
    fn give_back<S: Sink>(&mut self, sink: &mut S) {
        self.give_back_places();
        if self.taken.is_empty() {
            return;
        }
        while let Some(slot) = self.taken.next_to_give_back() {
            // A slot may have changed hands meanwhile: then it is marked for its new order, or not at all.
            self.set_taken(slot, Lots::ZERO);
        }
        for side in [Side::Buy, Side::Sell] {
            let mut at = self.book.best_level(side);
            while let Some((rank, place)) = at
                && self.book.ours(side.opposite()) > 0
            {
                let price = side.price_of_rank(rank);
                let reaches = self.book.best(side.opposite()).is_some_and(|(best, _)| side.accepts(price, best));
                if !reaches {
                    break;
                }
                let mut slot = self.book.level(side, place).head;
                while slot != NIL {
                    let node = *self.book.node(slot);
                    if !node.marks.is_ours() {
                        let party = if node.marks.is_anonymous() { Party::Market } else { Party::Record(node.id) };
                        let given = self.fill_crossed(party, side, price, self.displayed(slot, side, price), sink);
                        self.set_taken(slot, given);
                    }
                    slot = self.book.next(slot);
                }
                at = self.book.level_after(side, rank);
            }
        }
    }

    fn record_add<S: Sink>(&mut self, id: OrderId, side: Side, price: Ticks, qty: Lots, snapshot: bool, sink: &mut S) {
        if qty.0 <= 0 {
            return sink.event(Event::Anomaly(Anomaly::BadSize));
        }
        if !price.in_range() {
            return sink.event(Event::Anomaly(Anomaly::BadPrice));
        }
        let (before, taken) =
            if snapshot && !self.places.is_empty() { self.return_to_place(id, side, price) } else { (NIL, Lots::ZERO) };
        let marks = Marks::new(side, Family::Record, OwnerId(0));
        // At rest before it trades, so that what the book does not take trades with nobody.
        let slot = match self.book.add_before(before, id, marks, price, qty) {
            Ok(slot) => slot,
            Err(BookError::DuplicateId) => {
                sink.event(Event::Anomaly(Anomaly::DuplicateId));
                return self.record_modify(id, side, price, qty, sink);
            }
            Err(BookError::LevelOverflow) => return sink.event(Event::Anomaly(Anomaly::BadSize)),
        };
        let taken = taken.min(qty);
        let given = self.fill_crossed(Party::Record(id), side, price, Lots(qty.0 - taken.0), sink);
        let taken = Lots(taken.0 + given.0);
        if taken != Lots::ZERO {
            self.set_taken(slot, taken);
        }
    }

    /// The slot of a recorded order, and how much of it a reduction or an execution can mean.
    #[inline]
    fn part_of<S: Sink>(&self, id: OrderId, qty: Lots, sink: &mut S) -> Option<(u32, Lots)> {
        let Some(slot) = self.book.find(id, Family::Record) else {
            sink.event(Event::Anomaly(Anomaly::UnknownOrder));
            return None;
        };
        if qty.0 <= 0 {
            sink.event(Event::Anomaly(Anomaly::BadSize));
            return None;
        }
        let has = self.book.node(slot).qty;
        if qty > has {
            sink.event(Event::Anomaly(Anomaly::TooLarge));
        }
        Some((slot, qty.min(has)))
    }

    /// Shrinks a recorded order; what ours took of it stays taken, as far as it is still there.
    #[inline]
    pub(super) fn reduce_slot(&mut self, slot: u32, qty: Lots) {
        let has = self.book.node(slot).qty;
        if qty >= has {
            self.remove(slot);
            return;
        }
        self.book.shrink(slot, qty);
        if self.book.node(slot).marks.is_taken() {
            self.set_taken(slot, self.taken_in(slot).min(Lots(has.0 - qty.0)));
        }
    }

    fn record_modify<S: Sink>(&mut self, id: OrderId, side: Side, price: Ticks, qty: Lots, sink: &mut S) {
        if qty.0 <= 0 {
            return sink.event(Event::Anomaly(Anomaly::BadSize));
        }
        let Some(slot) = self.book.find(id, Family::Record) else {
            sink.event(Event::Anomaly(Anomaly::UnknownOrder));
            return self.record_add(id, side, price, qty, false, sink);
        };
        let node = *self.book.node(slot);
        if node.marks.side() == side && self.book.price_of(slot) == price && qty <= node.qty {
            if qty < node.qty {
                self.reduce_slot(slot, Lots(node.qty.0 - qty.0));
            }
            return;
        }
        if !price.in_range() {
            return sink.event(Event::Anomaly(Anomaly::BadPrice));
        }
        let here = if self.book.price_of(slot) == price && node.marks.side() == side { node.qty.0 } else { 0 };
        let others = self.book.level_at(side, price).map_or(0, |level| level.qty - here);
        if others.checked_add(qty.0).is_none() {
            return sink.event(Event::Anomaly(Anomaly::BadSize));
        }
        self.remove(slot);
        self.record_add(id, side, price, qty, false, sink);
    }

    /// A recorded execution of the order in slot `maker` first fills ours that stand before it, at most by its size.
    #[inline]
    fn fill_before<S: Sink>(&mut self, maker: u32, qty: Lots, sink: &mut S) {
        let side = self.book.node(maker).marks.side();
        if self.book.ours(side) == 0 {
            return;
        }
        let price = self.book.price_of(maker);
        let mut arrival = Arrival { party: Party::Market, side, left: qty };
        self.fill_better(&mut arrival, price, FillReason::Swept, sink);
        let Some(level) = self.book.level_at(side, price).copied() else { return };
        if level.ours == 0 {
            return;
        }
        let mut slot = level.head;
        while slot != maker && slot != NIL && arrival.left != Lots::ZERO {
            let next = self.book.next(slot);
            if self.book.node(slot).marks.is_ours() {
                self.fill_ours(&mut arrival, slot, price, FillReason::Queue, sink);
            }
            slot = next;
        }
    }

    /// A print that names no maker fills ours at better prices, and at its own price where nothing recorded stands
    /// ahead. Anonymous sizes give way from the front.
    fn record_print<S: Sink>(&mut self, aggressor: Option<Side>, price: Ticks, exact: bool, qty: Lots, sink: &mut S) {
        if qty.0 <= 0 {
            return sink.event(Event::Anomaly(Anomaly::BadSize));
        }
        if !price.in_range() {
            return sink.event(Event::Anomaly(Anomaly::BadPrice));
        }
        for side in [Side::Buy, Side::Sell] {
            if aggressor == Some(side) {
                continue;
            }
            if self.book.ours(side) == 0 && !self.quotes.in_use() {
                continue;
            }
            let mut arrival = Arrival { party: Party::Market, side, left: qty };
            // An inexact price lies above its tick: what a buyer pays there reaches asks at the tick itself.
            let (better_than, at_price) = match (exact, side) {
                (true, _) => (price, true),
                (false, Side::Buy) => (price, false),
                (false, Side::Sell) => (Ticks(price.0 + 1), false),
            };
            self.fill_better(&mut arrival, better_than, FillReason::Swept, sink);
            if at_price {
                self.print_at(&mut arrival, price, qty, sink);
            }
        }
    }

    /// A print at its own price: it reaches as far as what better prices left of it, and takes all of its size from the
    /// anonymous sizes, whether ours were in its way or not, as a recorded maker shrinks by all of its execution.
    fn print_at<S: Sink>(&mut self, arrival: &mut Arrival, price: Ticks, qty: Lots, sink: &mut S) {
        let Some(level) = self.book.level_at(arrival.side, price).copied() else { return };
        let mut from_record = qty;
        let mut slot = level.head;
        while slot != NIL && (arrival.left != Lots::ZERO || from_record != Lots::ZERO) {
            let next = self.book.next(slot);
            let node = *self.book.node(slot);
            if node.marks.is_ours() {
                if arrival.left != Lots::ZERO {
                    self.fill_ours(arrival, slot, price, FillReason::Queue, sink);
                }
            } else if node.marks.is_anonymous() {
                arrival.left.0 -= arrival.left.min(node.qty).0;
                let cut = from_record.min(node.qty);
                from_record.0 -= cut.0;
                if cut != Lots::ZERO {
                    self.reduce_slot(slot, cut);
                }
            } else {
                return;
            }
            slot = next;
        }
    }

    /// A recorded order that arrives at or through the prices of ours fills them, up to its size; returns what it gave.
    #[inline]
    pub(super) fn fill_crossed<S: Sink>(
        &mut self,
        party: Party,
        side: Side,
        price: Ticks,
        qty: Lots,
        sink: &mut S,
    ) -> Lots {
        let ours = side.opposite();
        if self.book.ours(ours) == 0 {
            return Lots::ZERO;
        }
        let mut arrival = Arrival { party, side: ours, left: qty };
        let beyond = ours.price_of_rank(ours.rank(price) + 1);
        self.fill_better(&mut arrival, beyond, FillReason::Crossed, sink);
        Lots(qty.0 - arrival.left.0)
    }

    /// Fills ours at prices strictly better than `price`, best first.
    fn fill_better<S: Sink>(&mut self, arrival: &mut Arrival, price: Ticks, reason: FillReason, sink: &mut S) {
        let side = arrival.side;
        if self.book.ours(side) == 0 {
            return;
        }
        let end = side.rank(price);
        let mut at = self.book.best_level(side);
        while let Some((rank, place)) = at {
            if rank >= end || arrival.left == Lots::ZERO {
                return;
            }
            let level = *self.book.level(side, place);
            if level.ours > 0 {
                let level_price = side.price_of_rank(rank);
                let mut slot = level.head;
                while slot != NIL && arrival.left != Lots::ZERO {
                    let next = self.book.next(slot);
                    if self.book.node(slot).marks.is_ours() {
                        self.fill_ours(arrival, slot, level_price, reason, sink);
                    }
                    slot = next;
                }
            }
            at = self.book.level_after(side, rank);
        }
    }

    fn fill_ours<S: Sink>(&mut self, arrival: &mut Arrival, slot: u32, price: Ticks, reason: FillReason, sink: &mut S) {
        let maker = *self.book.node(slot);
        let qty = arrival.left.min(maker.qty);
        arrival.left.0 -= qty.0;
        let left = Lots(maker.qty.0 - qty.0);
        if left == Lots::ZERO {
            self.remove(slot);
        } else {
            self.book.shrink(slot, qty);
        }
        sink.event(Event::Trade(Trade {
            taker: arrival.party,
            maker: Party::Order { id: maker.id, owner: maker.marks.owner(), left },
            side: maker.marks.side().opposite(),
            price,
            qty,
            reason,
        }));
    }
}
