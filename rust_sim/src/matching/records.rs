//! Records: history applied as told, and what it does to the orders of ours that stand around it.

use super::{Anomaly, Event, FillReason, MatchingEngine, Party, RecordInput, Refill, Sink, Trade};
use crate::book::{BookError, Marks};
use crate::ladder::NIL;
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
        if !self.places.is_empty() && !matches!(input, RecordInput::Add { snapshot: true, .. }) {
            self.places.clear();
        }
        if self.refill == Refill::NextEvent && !self.taken.is_empty() {
            self.give_back();
        }
        match *input {
            RecordInput::Add { id, side, price, qty, snapshot } => {
                self.record_add(id, side, price, qty, snapshot, sink);
            }
            RecordInput::Reduce { id, qty } => self.record_reduce(id, qty, sink),
            RecordInput::Modify { id, side, price, qty } => self.record_modify(id, side, price, qty, sink),
            RecordInput::Fill { id, qty } => self.record_fill(id, qty, sink),
            RecordInput::Execute { id, qty } => {
                self.record_fill(id, qty, sink);
                self.record_reduce(id, qty, sink);
            }
            RecordInput::Print { aggressor, price, exact, qty } => {
                self.record_print(aggressor, price, exact, qty, sink);
            }
            RecordInput::Quote { side, best } => self.record_quote(side, best, sink),
            RecordInput::Clear => self.record_clear(),
        }
    }

    fn give_back(&mut self) {
        while let Some((slot, _)) = self.taken.pop_first() {
            self.book.mark_taken(slot, false);
        }
    }

    fn record_add<S: Sink>(
        &mut self,
        id: OrderId,
        side: Side,
        price: Ticks,
        qty: Lots,
        snapshot: bool,
        sink: &mut S,
    ) {
        if qty.0 <= 0 {
            return sink.event(Event::Anomaly(Anomaly::BadSize));
        }
        if !price.in_range() {
            return sink.event(Event::Anomaly(Anomaly::BadPrice));
        }
        let given = self.fill_crossed(Party::Record(id), side, price, qty, sink);
        let before = if snapshot && !self.places.is_empty() { self.place_kept(id, side, price) } else { NIL };
        let marks = Marks::new(side, Family::Record, OwnerId(0));
        match self.book.add_before(before, id, marks, price, qty) {
            Ok(slot) => {
                if given != Lots::ZERO {
                    self.set_taken(slot, given);
                }
            }
            Err(BookError::DuplicateId) => {
                sink.event(Event::Anomaly(Anomaly::DuplicateId));
                self.record_modify(id, side, price, qty, sink);
            }
            Err(BookError::LevelOverflow) => sink.event(Event::Anomaly(Anomaly::BadSize)),
        }
    }

    /// Where an id that is announced again after a clear stood: in front of one of ours, if that still rests there.
    fn place_kept(&mut self, id: OrderId, side: Side, price: Ticks) -> u32 {
        let Some(before) = self.places.remove(&id) else { return NIL };
        let same = self.book.node(before).marks.side() == side && self.book.price_of(before) == price;
        if same { before } else { NIL }
    }

    #[inline]
    fn record_reduce<S: Sink>(&mut self, id: OrderId, qty: Lots, sink: &mut S) {
        let Some(slot) = self.book.find(id, Family::Record) else {
            return sink.event(Event::Anomaly(Anomaly::UnknownOrder));
        };
        if qty.0 <= 0 {
            return sink.event(Event::Anomaly(Anomaly::BadSize));
        }
        if qty > self.book.node(slot).qty {
            sink.event(Event::Anomaly(Anomaly::TooLarge));
        }
        self.reduce_slot(slot, qty);
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
        self.remove(slot);
        self.record_add(id, side, price, qty, false, sink);
    }

    /// A recorded execution of `id` first fills ours that stand before it, at most by its size.
    fn record_fill<S: Sink>(&mut self, id: OrderId, qty: Lots, sink: &mut S) {
        let Some(maker) = self.book.find(id, Family::Record) else {
            return sink.event(Event::Anomaly(Anomaly::UnknownOrder));
        };
        if qty.0 <= 0 {
            return sink.event(Event::Anomaly(Anomaly::BadSize));
        }
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
    fn record_print<S: Sink>(
        &mut self,
        aggressor: Option<Side>,
        price: Ticks,
        exact: bool,
        qty: Lots,
        sink: &mut S,
    ) {
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
                self.print_at(&mut arrival, price, sink);
            }
        }
    }

    fn print_at<S: Sink>(&mut self, arrival: &mut Arrival, price: Ticks, sink: &mut S) {
        let Some(level) = self.book.level_at(arrival.side, price).copied() else { return };
        let mut slot = level.head;
        while slot != NIL && arrival.left != Lots::ZERO {
            let next = self.book.next(slot);
            let node = *self.book.node(slot);
            if node.marks.is_ours() {
                self.fill_ours(arrival, slot, price, FillReason::Queue, sink);
            } else if node.marks.is_anonymous() {
                let qty = arrival.left.min(node.qty);
                arrival.left.0 -= qty.0;
                self.reduce_slot(slot, qty);
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

    /// Drops every recorded order and remembers which of them stood ahead of ours.
    fn record_clear(&mut self) {
        self.places.clear();
        if self.book.ours(Side::Buy) + self.book.ours(Side::Sell) == 0 {
            return self.clear();
        }
        let mut recorded = Vec::new();
        for side in [Side::Buy, Side::Sell] {
            let mut at = self.book.best_level(side);
            while let Some((rank, place)) = at {
                let mut ahead: Vec<u32> = Vec::new();
                for slot in self.book.walk(self.book.level(side, place).head) {
                    if self.book.node(slot).marks.is_ours() {
                        for id in ahead.drain(..).map(|slot| self.book.node(slot).id) {
                            self.places.insert(id, slot);
                        }
                    } else {
                        ahead.push(slot);
                        recorded.push(slot);
                    }
                }
                at = self.book.level_after(side, rank);
            }
        }
        let places = std::mem::take(&mut self.places);
        for slot in recorded {
            self.remove(slot);
        }
        self.places = places;
        self.quotes.forget();
    }
}
