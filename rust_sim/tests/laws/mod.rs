//! Laws that hold after every command, checked from what the engine says and shows, without the reference.

use std::collections::BTreeMap;

use cift_sim::matching::{Event, Input, MatchingEngine, OrderInput, Party, RecordInput, Refill, Trade};
use cift_sim::types::{Family, Lots, OrderId, Side, Ticks};

/// What one of ours was sent for, and what became of it.
#[derive(Clone, Copy, Debug)]
struct Line {
    side: Side,
    limit: Option<Ticks>,
    ordered: i64,
    filled: i64,
    cancelled: i64,
    /// Where it rests, and its rank of arrival there.
    rests: Option<(Ticks, u64)>,
}

impl Line {
    fn open(&self) -> i64 {
        self.ordered - self.filled - self.cancelled
    }
}

/// What history displays of a recorded order, and what ours got of that display.
#[derive(Clone, Copy, Debug)]
struct Shown {
    side: Side,
    price: Ticks,
    qty: i64,
    got: i64,
}

/// The books that an auditor keeps beside the engine.
#[derive(Clone, Debug, Default)]
pub struct Auditor {
    refill: Refill,
    ours: BTreeMap<OrderId, Line>,
    record: BTreeMap<OrderId, Shown>,
    /// Recorded orders that a clear made void and a snapshot may announce again.
    void: BTreeMap<OrderId, Shown>,
    arrivals: u64,
    /// Lots bought and lots sold, over all trades.
    traded: [i64; 2],
    pub fills: u64,
}

macro_rules! law {
    ($holds:expr, $($text:tt)*) => {
        if !$holds {
            return Err(format!($($text)*));
        }
    };
}

impl Auditor {
    pub fn new(refill: Refill) -> Self {
        Auditor { refill, ..Auditor::default() }
    }

    /// Books one command with what followed from it, and checks every law. `tidy`: the record never crosses itself.
    pub fn check(
        &mut self,
        input: &Input,
        events: &[Event],
        engine: &MatchingEngine,
        tidy: bool,
    ) -> Result<(), String> {
        if let Input::Record(record) = input {
            self.before_record(record);
        }
        let mut to_fill = i64::MAX;
        if let Input::Record(record) = input {
            to_fill = match *record {
                RecordInput::Add { qty, .. }
                | RecordInput::Modify { qty, .. }
                | RecordInput::Fill { qty, .. }
                | RecordInput::Execute { qty, .. }
                | RecordInput::Level { qty, .. }
                | RecordInput::Print { qty, .. } => qty.0.max(0),
                RecordInput::Quote { best, .. } => best.map_or(0, |(_, qty)| qty.0.max(0)),
                RecordInput::Reduce { .. } | RecordInput::OutOfSight { .. } | RecordInput::Clear => 0,
            };
            // A refill at the next event adds what comes back to what this event brings.
            if self.refill == Refill::NextEvent {
                to_fill = i64::MAX;
            }
        }
        for event in events {
            self.book(input, event)?;
            if let Event::Trade(trade) = event {
                to_fill -= trade.qty.0;
                law!(to_fill >= 0, "the record filled ours beyond its own size");
            }
        }
        self.after_record(input);
        law!(self.traded[0] == self.traded[1], "bought {} but sold {}", self.traded[0], self.traded[1]);
        self.check_book(engine, tidy)
    }

    /// Books what a record shows. Sizes that it shows anew may fill ours anew.
    fn before_record(&mut self, record: &RecordInput) {
        if self.refill == Refill::NextEvent {
            self.record.values_mut().chain(self.void.values_mut()).for_each(|shown| shown.got = 0);
        }
        if !matches!(record, RecordInput::Add { snapshot: true, .. } | RecordInput::Clear) {
            self.void.clear();
        }
        match *record {
            RecordInput::Add { id, side, price, qty, .. } | RecordInput::Modify { id, side, price, qty } => {
                if qty.0 <= 0 || !price.in_range() {
                    return;
                }
                let back = self.void.remove(&id).filter(|old| old.side == side && old.price == price);
                let shown = self.record.entry(id).or_insert(Shown {
                    side,
                    price,
                    qty: qty.0,
                    got: back.map_or(0, |old| old.got.min(qty.0)),
                });
                if shown.side != side || shown.price != price || qty.0 > shown.qty {
                    *shown = Shown { side, price, qty: qty.0, got: 0 };
                }
                shown.qty = qty.0;
                shown.got = shown.got.min(qty.0);
            }
            RecordInput::Clear => self.void.append(&mut self.record),
            _ => {}
        }
    }

    fn after_record(&mut self, input: &Input) {
        if let Input::Record(RecordInput::Reduce { id, qty } | RecordInput::Execute { id, qty }) = *input
            && qty.0 > 0
            && let Some(shown) = self.record.get_mut(&id)
        {
            shown.qty -= qty.0.min(shown.qty);
            shown.got = shown.got.min(shown.qty);
            if shown.qty == 0 {
                self.record.remove(&id);
            }
        }
    }

    fn book(&mut self, input: &Input, event: &Event) -> Result<(), String> {
        match *event {
            Event::Accepted { id, .. } => {
                let Input::Order(OrderInput::New(order)) = input else {
                    return Err("accepted without an order".into());
                };
                law!(order.id == id, "accepted another order");
                let line = Line {
                    side: order.side,
                    limit: order.limit,
                    ordered: order.qty.0,
                    filled: 0,
                    cancelled: 0,
                    rests: None,
                };
                law!(self.ours.insert(id, line).is_none(), "accepted #{id} twice");
            }
            Event::Rejected { .. } | Event::Anomaly(_) => {}
            Event::Rested { id, price, qty, .. } => {
                self.arrivals += 1;
                let arrival = self.arrivals;
                let line = self.line(id)?;
                law!(line.open() == qty.0, "#{id} rests with {qty}, open is {}", line.open());
                law!(line.limit == Some(price), "#{id} rests at {price}, its limit is {:?}", line.limit);
                line.rests = Some((price, arrival));
            }
            Event::Modified { id, price, qty, kept_place, .. } => {
                let line = self.line(id)?;
                line.ordered = line.filled + line.cancelled + qty.0;
                line.limit = Some(price);
                line.rests = line.rests.filter(|_| kept_place);
            }
            Event::Cancelled { id, qty, .. } => {
                let line = self.line(id)?;
                line.cancelled += qty.0;
                law!(line.open() == 0, "#{id} ends with {} neither filled nor cancelled", line.open());
                self.ours.remove(&id);
            }
            Event::Trade(trade) => self.trade(&trade)?,
        }
        Ok(())
    }

    fn trade(&mut self, trade: &Trade) -> Result<(), String> {
        let qty = trade.qty.0;
        law!(qty > 0, "a trade of {qty}");
        self.fills += 1;
        for (party, side, is_maker) in [(trade.taker, trade.side, false), (trade.maker, trade.side.opposite(), true)] {
            self.traded[side as usize] += qty;
            match party {
                Party::Order { id, left, .. } => {
                    if is_maker {
                        self.check_priority(id, trade)?;
                    }
                    let line = self.line(id)?;
                    law!(line.side == side, "#{id} traded on the other side");
                    line.filled += qty;
                    law!(line.open() == left.0, "#{id} has {left} left, the sum says {}", line.open());
                    let within = line.limit.is_none_or(|limit| side.accepts(limit, trade.price));
                    law!(within, "#{id} traded at {}, beyond its limit {:?}", trade.price, line.limit);
                    if line.open() == 0 {
                        self.ours.remove(&id);
                    }
                }
                Party::Record(id) => {
                    // A refill may fill ours from an order that the record takes away in the same input.
                    if let Some(shown) = self.record.get_mut(&id) {
                        shown.got += qty;
                        let all = shown.got <= shown.qty || self.refill == Refill::NextEvent;
                        law!(all, "recorded {id} shows {} and gave ours {}", shown.qty, shown.got);
                    }
                }
                Party::Market => {}
            }
        }
        let ours = |party| matches!(party, Party::Order { .. });
        law!(ours(trade.taker) || ours(trade.maker), "a trade without ours");
        Ok(())
    }

    /// Of ours, nobody better or older may be passed over.
    fn check_priority(&self, id: OrderId, trade: &Trade) -> Result<(), String> {
        let maker = self.ours.get(&id).ok_or("a maker that nobody sent")?;
        let (price, arrival) = maker.rests.ok_or("a maker that does not rest")?;
        law!(price == trade.price, "#{id} rests at {price} and traded at {}", trade.price);
        let before = (maker.side.rank(price), arrival);
        for (other, line) in &self.ours {
            if let Some((price, arrival)) = line.rests
                && line.side == maker.side
            {
                law!((line.side.rank(price), arrival) >= before, "#{other} stood before #{id} and was passed over");
            }
        }
        Ok(())
    }

    fn line(&mut self, id: OrderId) -> Result<&mut Line, String> {
        self.ours.get_mut(&id).ok_or_else(|| format!("an event of #{id}, which is not open"))
    }

    fn check_book(&mut self, engine: &MatchingEngine, tidy: bool) -> Result<(), String> {
        let book = engine.book();
        let mut count = [0; 2];
        let mut orders = 0;
        let mut best: [[Option<Ticks>; 2]; 2] = [[None; 2]; 2];
        let mut best_free: [Option<Ticks>; 2] = [None; 2];
        for side in [Side::Buy, Side::Sell] {
            let mut rank = i64::MIN;
            let mut levels = 0;
            for level in book.depth(side) {
                levels += 1;
                law!(side.rank(level.price) > rank, "levels out of order at {}", level.price);
                rank = side.rank(level.price);
                let (mut qty, mut n, mut arrival) = (0, 0, 0);
                for order in book.queue(side, level.price) {
                    law!(order.qty > Lots::ZERO, "an order of size {}", order.qty);
                    law!(order.price == level.price && order.side == side, "an order in a queue not its own");
                    qty += order.qty.0;
                    n += 1;
                    count[order.family as usize] += 1;
                    best[order.family as usize][side as usize].get_or_insert(order.price);
                    if order.family == Family::Order {
                        let line = self.ours.get(&order.id).ok_or("an order rests that is not open")?;
                        law!(
                            line.open() == order.qty.0,
                            "#{} rests with {}, open {}",
                            order.id,
                            order.qty,
                            line.open()
                        );
                        let rests = line.rests.ok_or("an order rests that never came to rest")?;
                        law!(rests.0 == order.price, "#{} rests at {}", order.id, order.price);
                        law!(rests.1 > arrival, "#{} stands before one that came earlier", order.id);
                        arrival = rests.1;
                    } else if let Some(shown) = self.record.get(&order.id) {
                        let taken = engine.taken_of(order.id);
                        law!(taken.0 >= 0 && taken <= order.qty, "taken {taken} of {}", order.qty);
                        if shown.price == order.price && taken < order.qty {
                            best_free[side as usize].get_or_insert(order.price);
                        }
                    }
                }
                law!(qty == level.qty.0 && qty > 0, "the level {} says {}, its orders {qty}", level.price, level.qty);
                law!(n == level.orders && n > 0, "the level {} says {} orders, it has {n}", level.price, level.orders);
                orders += n as usize;
            }
            law!(levels == book.levels(side), "{levels} levels, the book says {}", book.levels(side));
        }
        law!(orders == book.len(), "{orders} orders, the book says {}", book.len());
        let open = self.ours.len();
        law!(count[Family::Order as usize] == open, "{} of ours rest, {open} are open", count[Family::Order as usize]);
        let [of_record, of_ours] = best;
        let crossed = |bid: Option<Ticks>, ask: Option<Ticks>| bid.zip(ask).is_some_and(|(bid, ask)| bid >= ask);
        law!(!crossed(of_ours[0], of_ours[1]), "ours cross each other: {of_ours:?}");
        law!(!crossed(of_ours[0], best_free[1]), "our bid crosses an offer not taken: {of_ours:?} {best_free:?}");
        law!(!crossed(best_free[0], of_ours[1]), "our offer crosses a bid not taken: {of_ours:?} {best_free:?}");
        law!(!tidy || !crossed(of_record[0], of_record[1]), "the record is crossed: {of_record:?}");
        Ok(())
    }
}
