//! The judge of the fast engine: the same rules, written apart from it, slow and obvious.
//!
//! One list holds every order in the order of arrival, so time priority is the position in the list and price priority
//! is a scan over it. Nothing is indexed, cached or linked.

use cift_sim::matching::{
    Anomaly, CancelReason, Event, FillReason, Input, NewOrder, OrderInput, Party, RecordInput, Refill, RejectReason,
    SelfTrade, TimeInForce, Trade,
};
use cift_sim::types::{Lots, MAX_OWNERS, OrderId, OwnerId, Side, Ticks};

/// What a row of the list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An order that is matched.
    Ours,
    /// An order of history, with a name.
    Named,
    /// A piece of a level of which only the total is shown.
    Segment,
    /// A named order that a clear made void: it marks the place to which the order returns when announced again.
    Ghost,
}

/// One order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub kind: Kind,
    pub id: OrderId,
    pub owner: OwnerId,
    pub side: Side,
    pub price: Ticks,
    pub qty: i64,
    /// What ours took of it, while history still shows it.
    pub taken: i64,
    post_only: bool,
    self_trade: SelfTrade,
    /// Whether the feed has shown this price since the order joined it.
    seen: bool,
}

impl Row {
    pub fn is_recorded(&self) -> bool {
        matches!(self.kind, Kind::Named | Kind::Segment)
    }

    fn recorded(id: OrderId, side: Side, price: Ticks, qty: i64, kind: Kind) -> Row {
        Row {
            kind,
            id,
            owner: OwnerId(0),
            side,
            price,
            qty,
            taken: 0,
            post_only: false,
            self_trade: SelfTrade::Allow,
            seen: true,
        }
    }
}

/// Whether `a` is a better price than `b` for an order that stands on `side`.
pub fn better(side: Side, a: Ticks, b: Ticks) -> bool {
    match side {
        Side::Buy => a > b,
        Side::Sell => a < b,
    }
}

/// The price that accepts every other.
fn worst(side: Side) -> Ticks {
    match side {
        Side::Buy => Ticks(i64::MAX),
        Side::Sell => Ticks(i64::MIN),
    }
}

/// The naive book with both families of input.
#[derive(Clone, Debug, Default)]
pub struct NaiveEngine {
    /// All orders, the oldest first.
    pub rows: Vec<Row>,
    refill: Refill,
    /// Of a record of best prices.
    shown: [Option<Ticks>; 2],
    /// Whether the record shows every level.
    levels: bool,
}

impl NaiveEngine {
    pub fn with_refill(refill: Refill) -> Self {
        NaiveEngine { refill, ..NaiveEngine::default() }
    }

    pub fn apply(&mut self, input: &Input, out: &mut Vec<Event>) {
        match input {
            Input::Order(OrderInput::New(order)) => self.new_order(order, out),
            Input::Order(OrderInput::Cancel { id, owner }) => self.cancel(*id, *owner, out),
            Input::Order(OrderInput::Modify { id, owner, price, qty }) => self.modify(*id, *owner, *price, *qty, out),
            Input::Record(record) => self.record(record, out),
        }
    }

    /// The orders of a side by price, then by time. What ours took of each stands beside it.
    pub fn side(&self, side: Side) -> Vec<Row> {
        let mut rows: Vec<Row> =
            self.rows.iter().filter(|r| r.side == side && r.kind != Kind::Ghost).copied().collect();
        rows.sort_by_key(|r| side.rank(r.price)); // stable: time stays as it is within a price
        rows
    }

    /// A recorded row that is not all taken and that one of ours rests across: there must be none.
    pub fn crossed_by_ours(&self) -> Option<Row> {
        let across = |r: &Row, o: &Row| o.kind == Kind::Ours && o.side != r.side && o.side.accepts(o.price, r.price);
        let free = self.rows.iter().filter(|r| r.is_recorded() && self.available(r) > 0);
        free.copied().find(|r| self.rows.iter().any(|o| across(r, o)))
    }

    // ------------------------------------------------------------------------------------------------ orders

    fn find_ours(&self, id: OrderId) -> Option<usize> {
        self.rows.iter().position(|r| r.kind == Kind::Ours && r.id == id)
    }

    fn find_named(&self, id: OrderId) -> Option<usize> {
        self.rows.iter().position(|r| r.kind == Kind::Named && r.id == id)
    }

    /// What an aggressor of ours can get of a row. A segment at a price that is not shown now is only a memory.
    fn available(&self, row: &Row) -> i64 {
        match row.kind {
            Kind::Ours => row.qty,
            Kind::Named => row.qty - row.taken,
            Kind::Segment if self.levels || self.shown[row.side as usize] == Some(row.price) => row.qty - row.taken,
            Kind::Segment | Kind::Ghost => 0,
        }
    }

    fn size_at(&self, side: Side, price: Ticks) -> i64 {
        self.rows.iter().filter(|r| r.side == side && r.price == price && r.kind != Kind::Ghost).map(|r| r.qty).sum()
    }

    /// The best, then oldest order of the other side that `accepted` prices allow and that has something to give.
    fn next_maker(&self, side: Side, limit: Option<Ticks>, passed_over: &[usize]) -> Option<usize> {
        let mut best: Option<usize> = None;
        for (i, row) in self.rows.iter().enumerate() {
            let can = row.side != side
                && self.available(row) > 0
                && limit.is_none_or(|limit| side.accepts(limit, row.price))
                && !passed_over.contains(&i);
            if can && best.is_none_or(|b| better(row.side, row.price, self.rows[b].price)) {
                best = Some(i);
            }
        }
        best
    }

    /// Whether an order at its price would trade `qty` at least, without touching anything.
    fn could_trade(&self, order: &Row, qty: i64) -> bool {
        let mut left = qty;
        let mut passed_over = Vec::new();
        while left > 0 {
            let Some(i) = self.next_maker(order.side, Some(order.price), &passed_over) else { return false };
            let maker = self.rows[i];
            passed_over.push(i);
            if maker.kind == Kind::Ours && maker.owner == order.owner {
                match order.self_trade {
                    SelfTrade::Allow => {}
                    SelfTrade::CancelOldest => continue,
                    SelfTrade::CancelNewest | SelfTrade::CancelBoth => return false,
                }
            }
            left -= left.min(self.available(&maker));
        }
        true
    }

    fn new_order(&mut self, order: &NewOrder, out: &mut Vec<Event>) {
        let reject = |reason| Event::Rejected { id: order.id, owner: order.owner, reason };
        if !order.qty.in_range() {
            return out.push(reject(RejectReason::SizeOutOfRange));
        }
        if order.limit.is_some_and(|limit| !limit.in_range()) {
            return out.push(reject(RejectReason::PriceOutOfRange));
        }
        if order.owner.0 >= MAX_OWNERS {
            return out.push(reject(RejectReason::OwnerOutOfRange));
        }
        if order.post_only && (order.limit.is_none() || order.tif != TimeInForce::Gtc) {
            return out.push(reject(RejectReason::PostOnlyConflict));
        }
        if self.find_ours(order.id).is_some() {
            return out.push(reject(RejectReason::DuplicateId));
        }
        if let Some(limit) = order.limit
            && order.tif == TimeInForce::Gtc
            && self.size_at(order.side, limit).checked_add(order.qty.0).is_none()
        {
            return out.push(reject(RejectReason::LevelOverflow));
        }
        let mut taker = Row {
            kind: Kind::Ours,
            id: order.id,
            owner: order.owner,
            side: order.side,
            price: order.limit.unwrap_or(Ticks(0)),
            qty: order.qty.0,
            taken: 0,
            post_only: order.post_only,
            self_trade: order.self_trade,
            seen: false,
        };
        if order.post_only && self.could_trade(&taker, 1) {
            return out.push(reject(RejectReason::WouldTrade));
        }
        out.push(Event::Accepted { id: order.id, owner: order.owner });
        let gone = |qty, reason| Event::Cancelled { id: order.id, owner: order.owner, qty: Lots(qty), reason };
        if order.tif == TimeInForce::Fok
            && !self.could_trade(&Row { price: order.limit.unwrap_or(worst(order.side)), ..taker }, taker.qty)
        {
            return out.push(gone(taker.qty, CancelReason::FillOrKill));
        }
        if !self.take(&mut taker, order.limit, out) || taker.qty == 0 {
            return;
        }
        match (order.limit, order.tif) {
            (None, _) => out.push(gone(taker.qty, CancelReason::NoLiquidity)),
            (_, TimeInForce::Ioc) => out.push(gone(taker.qty, CancelReason::Immediate)),
            _ => self.rest(taker, out),
        }
    }

    /// Trades `taker` as far as it goes. False: self-trade prevention ended it.
    fn take(&mut self, taker: &mut Row, limit: Option<Ticks>, out: &mut Vec<Event>) -> bool {
        while taker.qty > 0 {
            let Some(i) = self.next_maker(taker.side, limit, &[]) else { break };
            let maker = self.rows[i];
            let cancelled = |row: &Row| Event::Cancelled {
                id: row.id,
                owner: row.owner,
                qty: Lots(row.qty),
                reason: CancelReason::SelfTrade,
            };
            if maker.kind == Kind::Ours && maker.owner == taker.owner && taker.self_trade != SelfTrade::Allow {
                if taker.self_trade != SelfTrade::CancelNewest {
                    self.rows.remove(i);
                    out.push(cancelled(&maker));
                }
                if taker.self_trade == SelfTrade::CancelOldest {
                    continue;
                }
                out.push(cancelled(taker));
                return false;
            }
            let qty = taker.qty.min(self.available(&maker));
            taker.qty -= qty;
            let (party, reason) = match maker.kind {
                Kind::Ours => {
                    self.rows[i].qty -= qty;
                    (Party::Order { id: maker.id, owner: maker.owner, left: Lots(maker.qty - qty) }, FillReason::Queue)
                }
                Kind::Named => (Party::Record(maker.id), FillReason::Took),
                Kind::Segment | Kind::Ghost => (Party::Market, FillReason::Took),
            };
            if maker.is_recorded() {
                self.rows[i].taken += qty;
            } else if self.rows[i].qty == 0 {
                self.rows.remove(i);
            }
            out.push(Event::Trade(Trade {
                taker: Party::Order { id: taker.id, owner: taker.owner, left: Lots(taker.qty) },
                maker: party,
                side: taker.side,
                price: maker.price,
                qty: Lots(qty),
                reason,
            }));
        }
        true
    }

    fn rest(&mut self, mut order: Row, out: &mut Vec<Event>) {
        out.push(Event::Rested {
            id: order.id,
            owner: order.owner,
            price: order.price,
            qty: Lots(order.qty),
            ahead: Lots(self.size_at(order.side, order.price)),
        });
        // A price better than the best shown is known to be empty; about a worse one the feed says nothing.
        let displayed = |r: &&Row| r.kind == Kind::Segment && r.side == order.side;
        let best = match self.levels {
            true => self.rows.iter().filter(displayed).map(|r| r.price).min_by_key(|price| order.side.rank(*price)),
            false => self.shown[order.side as usize],
        };
        order.seen = best.is_some_and(|best| !better(order.side, best, order.price))
            || self.levels && self.rows.iter().filter(displayed).any(|r| r.price == order.price);
        self.rows.push(order);
    }

    fn cancel(&mut self, id: OrderId, owner: OwnerId, out: &mut Vec<Event>) {
        match self.find_ours(id) {
            Some(i) if self.rows[i].owner == owner => {
                let row = self.rows.remove(i);
                out.push(Event::Cancelled { id, owner, qty: Lots(row.qty), reason: CancelReason::Requested });
            }
            _ => out.push(Event::Rejected { id, owner, reason: RejectReason::UnknownOrder }),
        }
    }

    fn modify(&mut self, id: OrderId, owner: OwnerId, price: Ticks, qty: Lots, out: &mut Vec<Event>) {
        let reject = |reason| Event::Rejected { id, owner, reason };
        let Some(i) = self.find_ours(id).filter(|&i| self.rows[i].owner == owner) else {
            return out.push(reject(RejectReason::UnknownOrder));
        };
        let old = self.rows[i];
        if !qty.in_range() {
            return out.push(reject(RejectReason::SizeOutOfRange));
        }
        if !price.in_range() {
            return out.push(reject(RejectReason::PriceOutOfRange));
        }
        if price == old.price && qty.0 < old.qty {
            self.rows[i].qty = qty.0;
            return out.push(Event::Modified { id, owner, price, qty, kept_place: true });
        }
        let others = self.size_at(old.side, price) - if price == old.price { old.qty } else { 0 };
        if others.checked_add(qty.0).is_none() {
            return out.push(reject(RejectReason::LevelOverflow));
        }
        self.rows.remove(i);
        if old.post_only && self.could_trade(&Row { price, ..old }, 1) {
            self.rows.insert(i, old);
            return out.push(reject(RejectReason::WouldTrade));
        }
        out.push(Event::Modified { id, owner, price, qty, kept_place: false });
        let mut taker = Row { price, qty: qty.0, ..old };
        if self.take(&mut taker, Some(price), out) && taker.qty > 0 {
            self.rest(taker, out);
        }
    }

    // ------------------------------------------------------------------------------------------------ records

    fn record(&mut self, record: &RecordInput, out: &mut Vec<Event>) {
        // A snapshot ends with the first record that does not belong to one.
        if !matches!(record, RecordInput::Add { snapshot: true, .. } | RecordInput::Clear) {
            self.rows.retain(|r| r.kind != Kind::Ghost);
        }
        if self.refill == Refill::NextEvent {
            self.give_back(out);
        }
        match *record {
            RecordInput::Add { id, side, price, qty, snapshot } => self.record_add(id, side, price, qty, snapshot, out),
            RecordInput::Modify { id, side, price, qty } => self.record_modify(id, side, price, qty, out),
            RecordInput::Reduce { id, qty } => {
                if let Some((i, qty)) = self.part_of(id, qty, out) {
                    self.shrink(i, qty);
                }
            }
            RecordInput::Fill { id, qty } => {
                if let Some((i, qty)) = self.part_of(id, qty, out) {
                    self.fill_before(i, qty, out);
                }
            }
            RecordInput::Execute { id, qty } => {
                if let Some((i, qty)) = self.part_of(id, qty, out) {
                    self.fill_before(i, qty, out);
                    let i = self.find_named(id).expect("filling ours leaves the record alone");
                    self.shrink(i, qty);
                }
            }
            RecordInput::Print { aggressor, price, exact, qty } => self.print(aggressor, price, exact, qty, out),
            RecordInput::Quote { side, best } => self.quote(side, best, out),
            RecordInput::Level { side, price, qty } => self.level(side, price, qty, out),
            RecordInput::OutOfSight { side, price } => {
                self.levels = true;
                self.rows.retain(|r| !(r.side == side && r.price == price && r.kind == Kind::Segment));
                for row in self.rows.iter_mut().filter(|r| r.side == side && r.price == price) {
                    row.seen = false;
                }
            }
            RecordInput::Clear => {
                self.shown = [None, None];
                self.levels = false;
                // An id leaves one place: the newest.
                let again: Vec<OrderId> = self.rows.iter().filter(|r| r.kind == Kind::Named).map(|r| r.id).collect();
                self.rows.retain(|r| r.kind != Kind::Segment && !(r.kind == Kind::Ghost && again.contains(&r.id)));
                for row in &mut self.rows {
                    row.kind = if row.kind == Kind::Named { Kind::Ghost } else { row.kind };
                    row.seen = false;
                }
            }
        }
    }

    /// All that ours took is there again, and ours that rest across it get it, in price-time order of the record.
    fn give_back(&mut self, out: &mut Vec<Event>) {
        let refilled: Vec<Row> = [Side::Buy, Side::Sell].iter().flat_map(|&side| self.side(side)).collect();
        for row in &mut self.rows {
            row.taken = 0;
        }
        // Ours and segments of a side can share an id, but what was taken from is recorded, and no fill moves it.
        for old in refilled.iter().filter(|r| r.is_recorded() && r.taken > 0) {
            let party = if old.kind == Kind::Named { Party::Record(old.id) } else { Party::Market };
            let given = self.fill_crossed(old.side, old.price, self.available(&Row { taken: 0, ..*old }), party, out);
            let same = |r: &&mut Row| {
                (r.kind, r.id, r.side, r.price, r.qty, r.taken) == (old.kind, old.id, old.side, old.price, old.qty, 0)
            };
            if let Some(row) = self.rows.iter_mut().find(same) {
                row.taken = given;
            }
        }
    }

    /// The row of a recorded order and how much of it an execution or reduction can mean.
    fn part_of(&self, id: OrderId, qty: Lots, out: &mut Vec<Event>) -> Option<(usize, i64)> {
        let Some(i) = self.find_named(id) else {
            out.push(Event::Anomaly(Anomaly::UnknownOrder));
            return None;
        };
        if qty.0 <= 0 {
            out.push(Event::Anomaly(Anomaly::BadSize));
            return None;
        }
        if qty.0 > self.rows[i].qty {
            out.push(Event::Anomaly(Anomaly::TooLarge));
        }
        Some((i, qty.0.min(self.rows[i].qty)))
    }

    fn shrink(&mut self, i: usize, by: i64) {
        let row = &mut self.rows[i];
        row.qty -= by;
        row.taken = row.taken.min(row.qty);
        if row.qty == 0 {
            self.rows.remove(i);
        }
    }

    fn record_add(&mut self, id: OrderId, side: Side, price: Ticks, qty: Lots, snapshot: bool, out: &mut Vec<Event>) {
        if qty.0 <= 0 {
            return out.push(Event::Anomaly(Anomaly::BadSize));
        }
        if !price.in_range() {
            return out.push(Event::Anomaly(Anomaly::BadPrice));
        }
        if self.find_named(id).is_some() {
            out.push(Event::Anomaly(Anomaly::DuplicateId));
            return self.record_modify(id, side, price, qty, out);
        }
        if self.size_at(side, price).checked_add(qty.0).is_none() {
            return out.push(Event::Anomaly(Anomaly::BadSize));
        }
        let mut row = Row::recorded(id, side, price, qty.0, Kind::Named);
        let ghost = self.rows.iter().position(|r| r.kind == Kind::Ghost && r.id == id);
        let mut place = None;
        if let Some(ghost) = ghost {
            let old = self.rows[ghost];
            if snapshot && old.side == side && old.price == price {
                row.taken = old.taken.min(qty.0);
                // Among themselves recorded orders stand as announced: only the places of ours behind them are kept.
                let behind = |r: &Row| r.kind == Kind::Ours && r.side == side && r.price == price;
                place = (ghost..self.rows.len()).find(|&i| behind(&self.rows[i]));
            }
            self.rows.remove(ghost);
            place = place.map(|i| i - 1);
        }
        self.arrive(row, place, Party::Record(id), out);
    }

    /// A recorded order or segment comes to rest: it fills ours that it crosses, and rests in full all the same.
    fn arrive(&mut self, mut row: Row, place: Option<usize>, taker: Party, out: &mut Vec<Event>) {
        let at = place.map(|i| self.rows.get(i).copied());
        row.taken += self.fill_crossed(row.side, row.price, row.qty - row.taken, taker, out);
        let at = at
            .flatten()
            .and_then(|old| self.rows.iter().position(|r| (r.kind, r.id, r.side) == (old.kind, old.id, old.side)));
        self.rows.insert(at.unwrap_or(self.rows.len()), row);
    }

    /// Fills ours that a recorded arrival crosses, at most `qty`, and says how much.
    fn fill_crossed(&mut self, side: Side, price: Ticks, qty: i64, taker: Party, out: &mut Vec<Event>) -> i64 {
        let mut left = qty;
        while left > 0 {
            let crossed = |r: &Row| r.kind == Kind::Ours && r.side != side && side.accepts(price, r.price);
            let Some(i) = self.best_of(crossed) else { break };
            left -= self.fill_ours(i, left, taker, FillReason::Crossed, out);
        }
        qty - left
    }

    /// The best, then oldest of the rows that pass; all of one side.
    fn best_of(&self, pass: impl Fn(&Row) -> bool) -> Option<usize> {
        let mut best: Option<usize> = None;
        for (i, row) in self.rows.iter().enumerate().filter(|(_, r)| pass(r)) {
            if best.is_none_or(|b| better(row.side, row.price, self.rows[b].price)) {
                best = Some(i);
            }
        }
        best
    }

    /// Fills one of ours by at most `at_most` and says by how much.
    fn fill_ours(&mut self, i: usize, at_most: i64, taker: Party, reason: FillReason, out: &mut Vec<Event>) -> i64 {
        let row = &mut self.rows[i];
        let qty = row.qty.min(at_most);
        row.qty -= qty;
        let row = *row;
        out.push(Event::Trade(Trade {
            taker,
            maker: Party::Order { id: row.id, owner: row.owner, left: Lots(row.qty) },
            side: row.side.opposite(),
            price: row.price,
            qty: Lots(qty),
            reason,
        }));
        if row.qty == 0 {
            self.rows.remove(i);
        }
        qty
    }

    /// A recorded order executes: ours that stand before it are filled first.
    fn fill_before(&mut self, maker: usize, qty: i64, out: &mut Vec<Event>) {
        let maker = self.rows[maker];
        let mut left = qty;
        while left > 0 {
            let at = self.find_named(maker.id).expect("filling ours leaves the record alone");
            let before = |(i, r): &(usize, &Row)| {
                r.kind == Kind::Ours
                    && r.side == maker.side
                    && (better(r.side, r.price, maker.price) || (r.price == maker.price && *i < at))
            };
            // `min_by_key` gives the first of equals: the oldest.
            let Some((i, row)) = self.rows.iter().enumerate().filter(before).min_by_key(|(_, r)| r.side.rank(r.price))
            else {
                break;
            };
            let reason = if row.price == maker.price { FillReason::Queue } else { FillReason::Swept };
            left -= self.fill_ours(i, left, Party::Market, reason, out);
        }
    }

    fn record_modify(&mut self, id: OrderId, side: Side, price: Ticks, qty: Lots, out: &mut Vec<Event>) {
        if qty.0 <= 0 {
            return out.push(Event::Anomaly(Anomaly::BadSize));
        }
        let Some(i) = self.find_named(id) else {
            out.push(Event::Anomaly(Anomaly::UnknownOrder));
            return self.record_add(id, side, price, qty, false, out);
        };
        let old = self.rows[i];
        let stays = price == old.price && side == old.side;
        if stays && qty.0 <= old.qty {
            return self.shrink(i, old.qty - qty.0);
        }
        if !price.in_range() {
            return out.push(Event::Anomaly(Anomaly::BadPrice));
        }
        let others = self.size_at(side, price) - if stays { old.qty } else { 0 };
        if others.checked_add(qty.0).is_none() {
            return out.push(Event::Anomaly(Anomaly::BadSize));
        }
        self.rows.remove(i);
        self.arrive(Row { side, price, qty: qty.0, taken: 0, ..old }, None, Party::Record(id), out);
    }

    // ------------------------------------------------------------------------------------------------ prints, quotes

    fn print(&mut self, aggressor: Option<Side>, price: Ticks, exact: bool, qty: Lots, out: &mut Vec<Event>) {
        if qty.0 <= 0 {
            return out.push(Event::Anomaly(Anomaly::BadSize));
        }
        if !price.in_range() {
            return out.push(Event::Anomaly(Anomaly::BadPrice));
        }
        // Where the record does not say who took, the print is shown to both sides. Ours on both cannot be reached by
        // one price: they would have traded with each other.
        for resting in [Side::Buy, Side::Sell] {
            if aggressor.is_none_or(|side| side == resting.opposite()) {
                self.print_on(resting, price, exact, qty.0, out);
            }
        }
    }

    /// What a print does to the orders that rest on one side. The record loses the whole print, ours what is left of it.
    fn print_on(&mut self, side: Side, price: Ticks, exact: bool, size: i64, out: &mut Vec<Event>) {
        let mut left = size;
        // An inexact price lies above its tick: an ask on the tick is better than it, a bid on the tick is worse.
        let is_better = |r: &Row| better(side, r.price, price) || (!exact && side == Side::Sell && r.price == price);
        while left > 0 {
            let Some(i) = self.best_of(|r| r.kind == Kind::Ours && r.side == side && is_better(r)) else { break };
            left -= self.fill_ours(i, left, Party::Market, FillReason::Swept, out);
        }
        if !exact {
            return;
        }
        let mut at = 0;
        while at < self.rows.len() && left > 0 {
            let row = self.rows[at];
            at += 1;
            if row.side != side || row.price != price {
                continue;
            }
            match row.kind {
                Kind::Named => break,
                Kind::Segment => left -= left.min(row.qty),
                Kind::Ghost => {}
                Kind::Ours => {
                    let before = self.rows.len();
                    left -= self.fill_ours(at - 1, left, Party::Market, FillReason::Queue, out);
                    at -= before - self.rows.len();
                }
            }
        }
        let mut eaten = size;
        while eaten > 0 {
            let front = |r: &Row| r.kind == Kind::Segment && r.side == side && r.price == price;
            let Some(i) = self.rows.iter().position(front) else { break };
            let part = eaten.min(self.rows[i].qty);
            self.shrink(i, part);
            eaten -= part;
        }
    }

    fn quote(&mut self, side: Side, best: Option<(Ticks, Lots)>, out: &mut Vec<Event>) {
        let Some((price, qty)) = best else {
            self.shown[side as usize] = None;
            return self.rows.retain(|r| !(r.kind == Kind::Segment && r.side == side));
        };
        if qty.0 <= 0 {
            return out.push(Event::Anomaly(Anomaly::BadSize));
        }
        if !price.in_range() {
            return out.push(Event::Anomaly(Anomaly::BadPrice));
        }
        if self.shown[side as usize] != Some(price) {
            self.shown[side as usize] = Some(price);
            self.forget_segments(side, price);
        }
        self.display(side, price, qty, out);
    }

    /// A level of a feed that shows all of them.
    fn level(&mut self, side: Side, price: Ticks, qty: Lots, out: &mut Vec<Event>) {
        if qty.0 < 0 {
            return out.push(Event::Anomaly(Anomaly::BadSize));
        }
        if !price.in_range() {
            return out.push(Event::Anomaly(Anomaly::BadPrice));
        }
        self.levels = true;
        if qty.0 > 0 {
            return self.display(side, price, qty, out);
        }
        let at_level = |r: &Row| r.side == side && r.price == price;
        self.rows.retain(|r| !(at_level(r) && r.kind == Kind::Segment));
        for row in self.rows.iter_mut().filter(|r| at_level(r)) {
            row.seen = true;
        }
    }

    /// The size at a price becomes what the feed shows.
    fn display(&mut self, side: Side, price: Ticks, qty: Lots, out: &mut Vec<Event>) {
        let at_level = |r: &Row| r.side == side && r.price == price;
        let segment_here = |r: &Row| at_level(r) && r.kind == Kind::Segment;
        let total: i64 = self.rows.iter().filter(|r| segment_here(r)).map(|r| r.qty).sum();
        let mut surplus = total - qty.0;
        while surplus > 0 {
            let last = self.rows.iter().rposition(segment_here).expect("the total is there");
            let part = surplus.min(self.rows[last].qty);
            self.shrink(last, part);
            surplus -= part;
        }
        if surplus < 0 && self.size_at(side, price).checked_add(-surplus).is_none() {
            out.push(Event::Anomaly(Anomaly::BadSize));
        } else if surplus < 0 {
            let unseen = self.rows.iter().position(|r| at_level(r) && r.kind == Kind::Ours && !r.seen);
            let end = unseen.unwrap_or(self.rows.len());
            // A segment is cut only where ours stands: growth right behind one makes it larger.
            match (0..end).rev().find(|&i| at_level(&self.rows[i])) {
                Some(i) if self.rows[i].kind == Kind::Segment => self.rows[i].qty -= surplus,
                _ => self.rows.insert(end, Row::recorded(OrderId(0), side, price, -surplus, Kind::Segment)),
            }
        }
        for row in self.rows.iter_mut().filter(|r| at_level(r)) {
            row.seen = true;
        }
        let free: i64 = self.rows.iter().filter(|r| segment_here(r)).map(|r| r.qty - r.taken).sum();
        let mut given = self.fill_crossed(side, price, free, Party::Market, out);
        for row in self.rows.iter_mut().filter(|r| segment_here(r)) {
            let part = given.min(row.qty - row.taken);
            row.taken += part;
            given -= part;
        }
    }

    /// The best price of a side has moved. What was shown at better prices is gone. What was shown at worse ones is
    /// remembered where ours stands in its queue, or has taken from it.
    fn forget_segments(&mut self, side: Side, best: Ticks) {
        let needed: Vec<Ticks> = self
            .rows
            .iter()
            .filter(|r| r.side == side && (r.kind == Kind::Ours || (r.kind == Kind::Segment && r.taken > 0)))
            .map(|r| r.price)
            .collect();
        self.rows.retain(|r| {
            r.kind != Kind::Segment
                || r.side != side
                || r.price == best
                || (better(side, best, r.price) && needed.contains(&r.price))
        });
    }
}
