//! Orders that the engine matches: ours in a simulation, everybody's on the exchange service.

use super::{
    CancelReason, Event, FillReason, MatchingEngine, NewOrder, OrderInput, Party, RejectReason, SelfTrade, Sink,
    TimeInForce, Trade,
};
use crate::ladder::NIL;
use crate::node::Marks;
use crate::table::Vacancy;
use crate::types::{Family, Lots, MAX_OWNERS, OrderId, OwnerId, Side, Ticks};

/// An order on its way through the book.
struct Taker {
    id: OrderId,
    owner: OwnerId,
    side: Side,
    /// The last rank of the other side that it accepts.
    last: i64,
    left: Lots,
    self_trade: SelfTrade,
    /// It met one of its owner's, which ends its way.
    stopped: bool,
}

impl Taker {
    fn meets_its_owner(&self, marks: Marks) -> bool {
        self.self_trade != SelfTrade::Allow && marks.owner() == self.owner
    }
}

impl MatchingEngine {
    #[inline]
    pub(super) fn apply_order<S: Sink>(&mut self, input: &OrderInput, sink: &mut S) {
        match *input {
            OrderInput::New(ref order) => self.submit(order, sink),
            OrderInput::Cancel { id, owner } => self.cancel(id, owner, sink),
            OrderInput::Modify { id, owner, price, qty } => self.modify(id, owner, price, qty, sink),
        }
    }

    fn submit<S: Sink>(&mut self, order: &NewOrder, sink: &mut S) {
        let &NewOrder { id, owner, side, limit, qty, tif, post_only, self_trade } = order;
        let vacancy = match self.check(order) {
            Ok(vacancy) => vacancy,
            Err(reason) => return sink.event(Event::Rejected { id, owner, reason }),
        };
        let last = limit.map_or(i64::MAX, |price| side.opposite().rank(price));
        let mut taker = Taker { id, owner, side, last, left: qty, self_trade, stopped: false };
        let may_trade = self.may_trade(side, last);
        if post_only && may_trade && self.available(&taker, Lots(1)) > Lots::ZERO {
            return sink.event(Event::Rejected { id, owner, reason: RejectReason::WouldTrade });
        }
        sink.event(Event::Accepted { id, owner });
        if tif == TimeInForce::Fok && self.available(&taker, qty) < qty {
            return sink.event(Event::Cancelled { id, owner, qty, reason: CancelReason::FillOrKill });
        }
        if may_trade {
            self.match_taker(&mut taker, sink);
        }
        if taker.left == Lots::ZERO {
            return;
        }
        match (taker.stopped, limit, tif) {
            (false, Some(price), TimeInForce::Gtc) => self.rest(vacancy, &taker, price, post_only, sink),
            (stopped, limit, _) => {
                let reason = match (stopped, limit) {
                    (true, _) => CancelReason::SelfTrade,
                    (false, None) => CancelReason::NoLiquidity,
                    (false, Some(_)) => CancelReason::Immediate,
                };
                sink.event(Event::Cancelled { id, owner, qty: taker.left, reason });
            }
        }
    }

    /// Why an order is refused, or else where it may rest.
    #[inline]
    fn check(&self, order: &NewOrder) -> Result<Vacancy, RejectReason> {
        if !order.qty.in_range() {
            return Err(RejectReason::SizeOutOfRange);
        }
        if order.limit.is_some_and(|price| !price.in_range()) {
            return Err(RejectReason::PriceOutOfRange);
        }
        if order.owner.0 >= MAX_OWNERS {
            return Err(RejectReason::OwnerOutOfRange);
        }
        if order.post_only && (order.limit.is_none() || order.tif != TimeInForce::Gtc) {
            return Err(RejectReason::PostOnlyConflict);
        }
        let vacancy = self.book.vacancy(order.id, Family::Order).ok_or(RejectReason::DuplicateId)?;
        // What is left of the order must fit the level where it would rest.
        match order.limit {
            Some(price) if order.tif == TimeInForce::Gtc && !self.book.has_room(order.side, price, order.qty) => {
                Err(RejectReason::LevelOverflow)
            }
            _ => Ok(vacancy),
        }
    }

    /// Whether the best opposite price is one that a taker accepts. A cheap no for most resting orders.
    #[inline]
    fn may_trade(&self, side: Side, last: i64) -> bool {
        self.book.best_level(side.opposite()).is_some_and(|(rank, _)| rank <= last)
    }

    /// Puts what is left of a taker into the book. That its id is free and its level has room was checked before.
    #[inline]
    fn rest<S: Sink>(&mut self, vacancy: Vacancy, taker: &Taker, price: Ticks, post_only: bool, sink: &mut S) {
        let &Taker { id, owner, side, left: qty, self_trade, .. } = taker;
        let marks = Marks::new(side, Family::Order, owner).with_rules(post_only, self_trade as u32);
        match self.book.add_new(Some(vacancy), NIL, id, marks, price, qty) {
            Ok((slot, ahead)) => {
                self.joined(slot, side, price);
                if !self.places.is_empty() {
                    self.join_places(slot, side, price);
                }
                sink.event(Event::Rested { id, owner, price, qty, ahead });
            }
            Err(_) => sink.event(Event::Rejected { id, owner, reason: RejectReason::LevelOverflow }),
        }
    }

    /// The size that a taker could trade now, counted up to `wanted`.
    fn available(&self, taker: &Taker, wanted: Lots) -> Lots {
        let side = taker.side.opposite();
        let mut found = Lots::ZERO;
        let mut at = self.book.best_level(side);
        while let Some((rank, place)) = at {
            if rank > taker.last {
                break;
            }
            let price = side.price_of_rank(rank);
            let level = self.book.level(side, place);
            let plain = taker.self_trade == SelfTrade::Allow && self.taken.is_empty() && !self.quotes.in_use();
            if plain || level.count == level.ours && taker.self_trade == SelfTrade::Allow {
                found.0 = found.0.saturating_add(level.qty);
            } else {
                for slot in self.book.walk(level.head) {
                    let node = self.book.node(slot);
                    if !node.marks.is_ours() {
                        found.0 = found.0.saturating_add(self.displayed(slot, side, price).0);
                    } else if !taker.meets_its_owner(node.marks) {
                        found.0 = found.0.saturating_add(node.qty.0);
                    } else if taker.self_trade != SelfTrade::CancelOldest {
                        return found.min(wanted);
                    }
                    if found >= wanted {
                        return wanted;
                    }
                }
            }
            if found >= wanted {
                return wanted;
            }
            at = self.book.level_after(side, rank);
        }
        found
    }

    /// What a taker of ours may take of a recorded order.
    #[inline]
    pub(super) fn displayed(&self, slot: u32, side: Side, price: Ticks) -> Lots {
        let node = self.book.node(slot);
        if node.marks.is_anonymous() && !self.quotes.shows(side, price) {
            return Lots::ZERO;
        }
        Lots(node.qty.0 - self.taken_in(slot).0)
    }

    /// Trades a taker through the book, best price first, then oldest first.
    fn match_taker<S: Sink>(&mut self, taker: &mut Taker, sink: &mut S) {
        let side = taker.side.opposite();
        let mut at = self.book.best_level(side);
        while let Some((rank, place)) = at {
            if taker.left == Lots::ZERO || rank > taker.last {
                return;
            }
            let price = side.price_of_rank(rank);
            // Behind the last price shown there is nothing to take but ours.
            if self.quotes.ends_before(side, price) && self.book.ours(side) == 0 {
                return;
            }
            let mut slot = self.book.level(side, place).head;
            let mut emptied = true;
            while slot != NIL {
                if taker.left == Lots::ZERO {
                    return;
                }
                let next = self.book.next(slot);
                self.book.prefetch(next);
                if !self.book.node(slot).marks.is_ours() {
                    emptied = false;
                    self.take_from_record(taker, slot, price, sink);
                } else if !taker.meets_its_owner(self.book.node(slot).marks) {
                    self.trade_with(taker, slot, price, sink);
                } else if self.meet_own(taker, slot, sink) {
                    return;
                }
                slot = next;
            }
            at = if emptied { self.book.best_level(side) } else { self.book.level_after(side, rank) };
        }
    }

    /// Trades with a resting order of the matched family.
    #[inline]
    fn trade_with<S: Sink>(&mut self, taker: &mut Taker, slot: u32, price: Ticks, sink: &mut S) {
        let maker = *self.book.node(slot);
        let qty = taker.left.min(maker.qty);
        // `qty` is the smaller of the two, so neither subtraction can wrap.
        taker.left.0 -= qty.0;
        let left = Lots(maker.qty.0 - qty.0);
        if left == Lots::ZERO {
            self.remove(slot);
        } else {
            self.book.shrink(slot, qty);
        }
        sink.event(Event::Trade(Trade {
            taker: Party::Order { id: taker.id, owner: taker.owner, left: taker.left },
            maker: Party::Order { id: maker.id, owner: maker.marks.owner(), left },
            side: taker.side,
            price,
            qty,
            reason: FillReason::Queue,
        }));
    }

    /// Takes from a recorded order what is not taken yet. The record goes on showing it in full.
    fn take_from_record<S: Sink>(&mut self, taker: &mut Taker, slot: u32, price: Ticks, sink: &mut S) {
        let qty = taker.left.min(self.displayed(slot, taker.side.opposite(), price));
        if qty == Lots::ZERO {
            return;
        }
        taker.left.0 -= qty.0;
        self.set_taken(slot, Lots(self.taken_in(slot).0 + qty.0));
        let node = self.book.node(slot);
        let maker = if node.marks.is_anonymous() { Party::Market } else { Party::Record(node.id) };
        sink.event(Event::Trade(Trade {
            taker: Party::Order { id: taker.id, owner: taker.owner, left: taker.left },
            maker,
            side: taker.side,
            price,
            qty,
            reason: FillReason::Took,
        }));
    }

    /// Self-trade prevention; returns whether the taker's way ends here.
    fn meet_own<S: Sink>(&mut self, taker: &mut Taker, slot: u32, sink: &mut S) -> bool {
        let cancels_oldest = matches!(taker.self_trade, SelfTrade::CancelOldest | SelfTrade::CancelBoth);
        if cancels_oldest {
            let node = *self.book.node(slot);
            self.remove(slot);
            let (id, owner, qty) = (node.id, node.marks.owner(), node.qty);
            sink.event(Event::Cancelled { id, owner, qty, reason: CancelReason::SelfTrade });
        }
        taker.stopped = taker.self_trade != SelfTrade::CancelOldest;
        taker.stopped
    }

    fn find_of(&self, id: OrderId, owner: OwnerId) -> Option<u32> {
        self.book.find(id, Family::Order).filter(|&slot| self.book.node(slot).marks.owner() == owner)
    }

    #[inline]
    fn cancel<S: Sink>(&mut self, id: OrderId, owner: OwnerId, sink: &mut S) {
        let Some(slot) = self.find_of(id, owner) else {
            return sink.event(Event::Rejected { id, owner, reason: RejectReason::UnknownOrder });
        };
        let qty = self.book.node(slot).qty;
        self.remove(slot);
        sink.event(Event::Cancelled { id, owner, qty, reason: CancelReason::Requested });
    }

    fn modify<S: Sink>(&mut self, id: OrderId, owner: OwnerId, price: Ticks, qty: Lots, sink: &mut S) {
        let Some(slot) = self.find_of(id, owner) else {
            return sink.event(Event::Rejected { id, owner, reason: RejectReason::UnknownOrder });
        };
        if !qty.in_range() {
            return sink.event(Event::Rejected { id, owner, reason: RejectReason::SizeOutOfRange });
        }
        if !price.in_range() {
            return sink.event(Event::Rejected { id, owner, reason: RejectReason::PriceOutOfRange });
        }
        let node = *self.book.node(slot);
        let stays = self.book.price_of(slot) == price;
        if stays && qty < node.qty {
            self.book.shrink(slot, Lots(node.qty.0 - qty.0));
            return sink.event(Event::Modified { id, owner, price, qty, kept_place: true });
        }
        let side = node.marks.side();
        let own = if stays { node.qty.0 } else { 0 };
        let room = self.book.level_at(side, price).map_or(Some(qty.0), |level| (level.qty - own).checked_add(qty.0));
        if room.is_none() {
            return sink.event(Event::Rejected { id, owner, reason: RejectReason::LevelOverflow });
        }
        let post_only = node.marks.is_post_only();
        let self_trade = SelfTrade::from_code(node.marks.prevention());
        let last = side.opposite().rank(price);
        let mut taker = Taker { id, owner, side, last, left: qty, self_trade, stopped: false };
        if post_only && self.may_trade(side, last) && self.available(&taker, Lots(1)) > Lots::ZERO {
            return sink.event(Event::Rejected { id, owner, reason: RejectReason::WouldTrade });
        }
        self.remove(slot);
        sink.event(Event::Modified { id, owner, price, qty, kept_place: false });
        if self.may_trade(side, last) {
            self.match_taker(&mut taker, sink);
        }
        if taker.left == Lots::ZERO {
            return;
        }
        if taker.stopped {
            return sink.event(Event::Cancelled { id, owner, qty: taker.left, reason: CancelReason::SelfTrade });
        }
        // It has just left, so its name is free.
        match self.book.vacancy(id, Family::Order) {
            Some(vacancy) => self.rest(vacancy, &taker, price, post_only, sink),
            None => sink.event(Event::Rejected { id, owner, reason: RejectReason::DuplicateId }),
        }
    }
}
