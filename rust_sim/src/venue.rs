//! The simulated venue of one instrument: the matching engine, with history as a participant.

use std::collections::BTreeMap;

use crate::answer::{Answer, AnswerKind};
use crate::command::{Command, CommandKind};
use crate::feed::{Action, LAST, MboRow, Row};
use crate::market::book_input;
use crate::matching::{
    ANOMALIES, CancelReason, Event, FillReason, Input, MatchingEngine, NewOrder, OrderInput, Party, RecordInput,
    Refill, RejectReason, Trade,
};
use crate::types::{Lots, Nanos, OrderId, OwnerId, Side, Ticks};

/// The one strategy of a simulation.
const OWNER: OwnerId = OwnerId(0);

/// What the venue knows of an order of ours that is not closed.
#[derive(Clone, Copy, Debug)]
struct Ours {
    qty: Lots,
    filled: Lots,
    ahead: Option<Lots>,
}

/// A trade whose makers have not all been named yet.
#[derive(Clone, Copy, Debug)]
struct OpenTrade {
    aggressor: Option<Side>,
    price: Ticks,
    exact: bool,
    left: Lots,
}

/// What the engine was asked, which says what its refusal means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Submit,
    Cancel,
    Modify,
    Nothing,
}

/// The venue of one instrument.
#[derive(Clone, Debug)]
pub struct SimVenue {
    engine: MatchingEngine,
    ours: BTreeMap<OrderId, Ours>,
    open_trade: Option<OpenTrade>,
    events: Vec<Event>,
    anomalies: [u64; ANOMALIES],
    /// From then on there is no trading.
    expiry: Nanos,
}

impl SimVenue {
    /// A venue with an empty book.
    pub fn new(refill: Refill) -> Self {
        SimVenue {
            engine: MatchingEngine::with_refill(refill),
            ours: BTreeMap::new(),
            open_trade: None,
            events: Vec::new(),
            anomalies: [0; ANOMALIES],
            expiry: Nanos(i64::MAX),
        }
    }

    /// The same where trading ends at a time: what rests then is cancelled with the first record or command that comes, and
    /// what arrives later is rejected.
    pub fn expiring(mut self, expiry: Nanos) -> Self {
        self.expiry = expiry;
        self
    }

    /// The engine.
    pub fn engine(&self) -> &MatchingEngine {
        &self.engine
    }

    /// Whether an order of ours is here. Without one, no record has an answer.
    #[inline]
    pub fn has_orders(&self) -> bool {
        !self.ours.is_empty()
    }

    /// Which rows a later quote makes void, as [`MatchingEngine::void_in_front_of`] says.
    pub(crate) fn void_in_front_of(&mut self) -> Option<[i64; 2]> {
        self.engine.void_in_front_of()
    }

    /// How many records did not fit the book, by kind of [`crate::matching::Anomaly`].
    pub fn anomalies(&self) -> [u64; ANOMALIES] {
        self.anomalies
    }

    /// Applies a recorded row; what it does to ours is appended to `answers`.
    #[inline]
    pub fn record(&mut self, row: Row<'_>, answers: &mut Vec<Answer>) {
        if row.ts() >= self.expiry {
            self.expire(row.ts(), answers);
        }
        match row {
            Row::Mbo(row) => self.mbo(row, answers),
            Row::Quote(row) => {
                for side in [Side::Buy, Side::Sell] {
                    self.told(row.ts, RecordInput::Quote { side, best: row.touch(side) }, answers);
                }
            }
            Row::Trade(row) => {
                let (aggressor, price, exact, qty) = (row.aggressor, row.price, row.past_nano == 0, row.qty);
                self.told(row.ts, RecordInput::Print { aggressor, price, exact, qty }, answers);
            }
        }
    }

    #[inline]
    fn mbo(&mut self, row: &MboRow, answers: &mut Vec<Answer>) {
        match row.action {
            Action::Trade => {
                self.close_trade(row.ts, answers);
                let &MboRow { side: aggressor, price, past_nano, qty: left, .. } = row;
                self.open_trade = Some(OpenTrade { aggressor, price, exact: past_nano == 0, left });
            }
            Action::Fill => self.fill(row, answers),
            _ => {
                if let Some(input) = book_input(row) {
                    self.told(row.ts, input, answers);
                }
            }
        }
        if row.flags & LAST != 0 && self.open_trade.is_some() {
            self.close_trade(row.ts, answers);
        }
    }

    /// A named maker of the open trade. Fills on the aggressor's side are the aggressor's own and move nothing.
    fn fill(&mut self, row: &MboRow, answers: &mut Vec<Answer>) {
        if let Some(open) = self.open_trade.as_mut() {
            if open.aggressor.is_some() && open.aggressor == row.side {
                return;
            }
            open.left.0 -= open.left.min(row.qty).0;
        }
        self.told(row.ts, RecordInput::Fill { id: row.id, qty: row.qty }, answers);
    }

    /// What is left of a trade when its event ends names no maker.
    fn close_trade(&mut self, ts: Nanos, answers: &mut Vec<Answer>) {
        let Some(OpenTrade { aggressor, price, exact, left }) = self.open_trade.take() else { return };
        if left > Lots::ZERO {
            self.told(ts, RecordInput::Print { aggressor, price, exact, qty: left }, answers);
        }
    }

    #[inline]
    fn told(&mut self, ts: Nanos, input: RecordInput, answers: &mut Vec<Answer>) {
        self.engine.apply(ts, &Input::Record(input), &mut self.events);
        if !self.events.is_empty() {
            self.answer(ts, Asked::Nothing, answers);
        }
    }

    /// Applies a command of ours.
    pub fn command(&mut self, ts: Nanos, command: &Command, answers: &mut Vec<Answer>) {
        let id = command.order;
        if ts >= self.expiry {
            self.expire(ts, answers);
            if command.kind == CommandKind::Submit {
                let kind = AnswerKind::Rejected(RejectReason::Expired);
                return answers.push(Answer { ts, order: id, kind });
            }
        }
        let (asked, input) = match command.kind {
            CommandKind::Timer => return,
            CommandKind::Submit => {
                let ours = Ours { qty: command.qty, filled: Lots::ZERO, ahead: None };
                self.ours.entry(id).or_insert(ours);
                let order = NewOrder {
                    id,
                    owner: OWNER,
                    side: command.side,
                    limit: command.has_limit.then_some(command.price),
                    qty: command.qty,
                    tif: command.tif,
                    post_only: command.post_only,
                    self_trade: command.self_trade,
                };
                (Asked::Submit, OrderInput::New(order))
            }
            CommandKind::Cancel => (Asked::Cancel, OrderInput::Cancel { id, owner: OWNER }),
            CommandKind::Modify => match self.open_after_modify(ts, command, answers) {
                Some(qty) => (Asked::Modify, OrderInput::Modify { id, owner: OWNER, price: command.price, qty }),
                None => return,
            },
        };
        self.engine.apply(ts, &Input::Order(input), &mut self.events);
        self.answer(ts, asked, answers);
    }

    /// Cancels what rests of ours.
    #[cold]
    fn expire(&mut self, ts: Nanos, answers: &mut Vec<Answer>) {
        while let Some((id, _)) = self.ours.pop_first() {
            self.engine.apply(ts, &Input::Order(OrderInput::Cancel { id, owner: OWNER }), &mut self.events);
            self.events.clear();
            answers.push(Answer { ts, order: id, kind: AnswerKind::Cancelled(CancelReason::Expired) });
        }
    }

    /// A modify names the total size. What has traded meanwhile is part of it; when nothing is left to be open, the
    /// order is done.
    fn open_after_modify(&mut self, ts: Nanos, command: &Command, answers: &mut Vec<Answer>) -> Option<Lots> {
        let id = command.order;
        let Some(ours) = self.ours.get(&id).copied() else {
            let kind = AnswerKind::ReplaceRejected(RejectReason::UnknownOrder);
            answers.push(Answer { ts, order: id, kind });
            return None;
        };
        let open = Lots(command.qty.0 - ours.filled.0);
        if open > Lots::ZERO {
            return Some(open);
        }
        self.engine.apply(ts, &Input::Order(OrderInput::Cancel { id, owner: OWNER }), &mut self.events);
        self.events.clear();
        self.ours.remove(&id);
        answers.push(Answer { ts, order: id, kind: AnswerKind::Cancelled(CancelReason::ModifiedAway) });
        None
    }

    /// The mid of the record in half ticks, where both sides are quoted. Our own orders are not part of it.
    fn mid_half_ticks(&self) -> Option<i64> {
        let bid = self.engine.book().best_recorded(Side::Buy)?;
        let ask = self.engine.book().best_recorded(Side::Sell)?;
        Some(bid.0 + ask.0)
    }

    /// Turns the engine's events into answers.
    fn answer(&mut self, ts: Nanos, asked: Asked, answers: &mut Vec<Answer>) {
        let mut events = std::mem::take(&mut self.events);
        for event in events.drain(..) {
            match event {
                Event::Accepted { id, .. } => answers.push(Answer { ts, order: id, kind: AnswerKind::Accepted }),
                Event::Rejected { id, reason, .. } => {
                    let kind = match asked {
                        Asked::Cancel => AnswerKind::CancelRejected(reason),
                        Asked::Modify => AnswerKind::ReplaceRejected(reason),
                        Asked::Submit | Asked::Nothing => {
                            self.ours.remove(&id);
                            AnswerKind::Rejected(reason)
                        }
                    };
                    answers.push(Answer { ts, order: id, kind });
                }
                Event::Rested { id, ahead, .. } => {
                    if let Some(ours) = self.ours.get_mut(&id) {
                        ours.ahead = Some(ahead);
                    }
                    answers.push(Answer { ts, order: id, kind: AnswerKind::Rested { ahead } });
                }
                Event::Modified { id, price, qty, .. } => {
                    if let Some(ours) = self.ours.get_mut(&id) {
                        ours.qty = Lots(ours.filled.0 + qty.0);
                        let kind = AnswerKind::Replaced { price, qty: ours.qty };
                        answers.push(Answer { ts, order: id, kind });
                    }
                }
                Event::Cancelled { id, reason, .. } => {
                    self.ours.remove(&id);
                    answers.push(Answer { ts, order: id, kind: AnswerKind::Cancelled(reason) });
                }
                Event::Trade(trade) => self.traded(ts, &trade, answers),
                Event::Anomaly(anomaly) => self.anomalies[anomaly as usize] += 1,
            }
        }
        self.events = events;
    }

    fn traded(&mut self, ts: Nanos, trade: &Trade, answers: &mut Vec<Answer>) {
        let mid_half_ticks = self.mid_half_ticks();
        for (party, takes) in [(trade.taker, true), (trade.maker, false)] {
            let Party::Order { id, left, .. } = party else { continue };
            let Some(ours) = self.ours.get_mut(&id) else { continue };
            ours.filled.0 += trade.qty.0;
            let (reason, ahead) = if takes { (FillReason::Took, None) } else { (trade.reason, ours.ahead) };
            if left == Lots::ZERO {
                self.ours.remove(&id);
            }
            let Trade { price, qty, .. } = *trade;
            let kind = AnswerKind::Fill { price, qty, left, reason, ahead, mid_half_ticks };
            answers.push(Answer { ts, order: id, kind });
        }
    }
}
