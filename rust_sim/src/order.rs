//! The life of an order as its owner knows it: which event may follow which state.
//!
//! The states are those of FIX (OrdStatus), the transitions those of its appendix D as far as the venue can cause them.

use crate::matching::{CancelReason, RejectReason, SelfTrade, TimeInForce};
use crate::types::{Lots, Nanos, OrderId, Side, Ticks};

/// Where an order is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum OrderState {
    /// Sent, not answered.
    PendingNew = 0,
    /// Taken by the venue.
    New = 1,
    /// Part of it has traded.
    PartiallyFilled = 2,
    /// A change was sent, not answered.
    PendingReplace = 3,
    /// A cancel was sent, not answered.
    PendingCancel = 4,
    /// All of it has traded.
    Filled = 5,
    /// What was left of it is cancelled.
    Canceled = 6,
    /// Refused by the venue.
    Rejected = 7,
}

/// What can happen to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum OrderStep {
    /// Its owner sends a change.
    SendReplace = 0,
    /// Its owner sends a cancel.
    SendCancel = 1,
    /// The venue took it.
    Accept = 2,
    /// The venue refused it.
    Reject = 3,
    /// Part of it traded.
    PartialFill = 4,
    /// The last of it traded.
    LastFill = 5,
    /// The venue did the last change that was sent.
    Replace = 6,
    /// The venue refused a change.
    RejectReplace = 7,
    /// What was left is cancelled.
    Cancel = 8,
    /// The venue refused a cancel.
    RejectCancel = 9,
    /// The venue did a change that leaves nothing open.
    LastReplace = 10,
}

/// All states, in order.
pub const ORDER_STATES: [OrderState; 8] = [
    OrderState::PendingNew,
    OrderState::New,
    OrderState::PartiallyFilled,
    OrderState::PendingReplace,
    OrderState::PendingCancel,
    OrderState::Filled,
    OrderState::Canceled,
    OrderState::Rejected,
];

/// All steps, in order.
pub const ORDER_STEPS: [OrderStep; 11] = [
    OrderStep::SendReplace,
    OrderStep::SendCancel,
    OrderStep::Accept,
    OrderStep::Reject,
    OrderStep::PartialFill,
    OrderStep::LastFill,
    OrderStep::Replace,
    OrderStep::RejectReplace,
    OrderStep::Cancel,
    OrderStep::RejectCancel,
    OrderStep::LastReplace,
];

/// A step that the state of the order does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an order that is {state:?} cannot {step:?}")]
pub struct InvalidTransition {
    /// The state.
    pub state: OrderState,
    /// The step.
    pub step: OrderStep,
}

impl OrderState {
    /// Whether nothing more can happen to the order.
    pub fn is_closed(self) -> bool {
        matches!(self, OrderState::Filled | OrderState::Canceled | OrderState::Rejected)
    }

    /// The state after a step. `partly` says whether some of the order has traded, `replacing` whether a change is
    /// still unanswered after this step.
    pub fn after(self, step: OrderStep, partly: bool, replacing: bool) -> Result<OrderState, InvalidTransition> {
        use OrderState::{Canceled, Filled, New, PartiallyFilled, PendingCancel, PendingNew, PendingReplace, Rejected};
        use OrderStep as Step;
        let working = match (replacing, partly) {
            (true, _) => PendingReplace,
            (false, true) => PartiallyFilled,
            (false, false) => New,
        };
        let next = match (self, step) {
            // What the owner sends.
            (PendingNew, Step::SendReplace) => PendingNew,
            (New | PartiallyFilled | PendingReplace, Step::SendReplace) => PendingReplace,
            (PendingNew | New | PartiallyFilled | PendingReplace, Step::SendCancel) => PendingCancel,
            // The answer to the order itself. A cancel may be on its way already.
            (PendingNew, Step::Accept) => working,
            (PendingCancel, Step::Accept) => PendingCancel,
            (PendingNew | PendingCancel, Step::Reject) => Rejected,
            // Fills. A cancel on its way stays on its way.
            (New | PartiallyFilled | PendingReplace, Step::PartialFill) => working,
            (PendingCancel, Step::PartialFill) => PendingCancel,
            (New | PartiallyFilled | PendingReplace | PendingCancel, Step::LastFill) => Filled,
            // Answers to changes.
            (PendingReplace, Step::Replace | Step::RejectReplace) => working,
            (PendingCancel, Step::Replace | Step::RejectReplace) => PendingCancel,
            (PendingReplace | PendingCancel, Step::LastReplace) => Filled,
            // The end, asked for or not.
            (New | PartiallyFilled | PendingReplace | PendingCancel, Step::Cancel) => Canceled,
            (PendingCancel, Step::RejectCancel) => working,
            // The order closed while a change or a cancel was on its way: the late refusal changes nothing.
            (Filled | Canceled | Rejected, Step::RejectReplace | Step::RejectCancel) => self,
            _ => return Err(InvalidTransition { state: self, step }),
        };
        Ok(next)
    }
}

/// How an order came to its end, beside its state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OrderEnd {
    /// Filled, or not at its end.
    #[default]
    None,
    /// The venue refused it.
    Rejected(RejectReason),
    /// It was cancelled.
    Cancelled(CancelReason),
}

/// An order as its owner knows it: what was sent, and what answers have told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its name: the count of orders of its strategy.
    pub id: OrderId,
    /// Index of its instrument.
    pub instrument: u16,
    /// Side.
    pub side: Side,
    /// Limit, None for a market order.
    pub limit: Option<Ticks>,
    /// Total size, filled and open.
    pub qty: Lots,
    /// Size that has traded.
    pub filled: Lots,
    /// Sum of price times size of its fills.
    pub filled_ticks_lots: i128,
    /// How long it may stay.
    pub tif: TimeInForce,
    /// Never to trade on arrival.
    pub post_only: bool,
    /// Self-trade prevention.
    pub self_trade: SelfTrade,
    /// State.
    pub state: OrderState,
    /// Changes sent and not answered.
    pub replaces_pending: u32,
    /// Price and total size that the last unanswered change asks for.
    pub asked: Option<(Ticks, Lots)>,
    /// Why it ended.
    pub end: OrderEnd,
    /// Size that stood ahead when it last joined a queue; None before.
    pub ahead: Option<Lots>,
    /// The strategy's label, as an index into its labels.
    pub tag: Option<u32>,
    /// When it was sent.
    pub ts_submitted: Nanos,
    /// When the venue took it.
    pub ts_accepted: Option<Nanos>,
    /// When it ended at the venue.
    pub ts_closed: Option<Nanos>,
}

impl Order {
    /// Whether the venue may put it into its book; else all that can happen to it happens when it arrives.
    pub fn may_rest(&self) -> bool {
        self.limit.is_some() && self.tif == TimeInForce::Gtc
    }

    /// What is still open.
    pub fn open(&self) -> Lots {
        Lots(self.qty.0 - self.filled.0)
    }

    /// A change was answered. What the next one leaves as it is, is then what the venue knows.
    pub fn replace_answered(&mut self) {
        self.replaces_pending = self.replaces_pending.saturating_sub(1);
        if self.replaces_pending == 0 {
            self.asked = None;
        }
    }

    /// Takes a step.
    pub fn take(&mut self, step: OrderStep) -> Result<(), InvalidTransition> {
        self.state = self.state.after(step, self.filled > Lots::ZERO, self.replaces_pending > 0)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every pair of state and step, as text: `.` is a typed error, a letter the state that follows.
    const TABLE: &str = "
        state            SR SC A  R  PF LF Re RR C  RC LR
        PendingNew       N  C  n  X  .  .  .  .  .  .  .
        New              R  C  .  .  p  F  .  .  K  .  .
        PartiallyFilled  R  C  .  .  p  F  .  .  K  .  .
        PendingReplace   R  C  .  .  p  F  n  n  K  .  F
        PendingCancel    .  .  C  X  C  F  C  C  K  n  F
        Filled           .  .  .  .  .  .  .  F  .  F  .
        Canceled         .  .  .  .  .  .  .  K  .  K  .
        Rejected         .  .  .  .  .  .  .  X  .  X  .
    ";

    #[test]
    fn every_pair_of_state_and_step_is_named_or_a_typed_error() {
        let rows: Vec<Vec<&str>> = TABLE
            .lines()
            .map(|line| line.split_whitespace().collect())
            .filter(|row: &Vec<&str>| !row.is_empty())
            .collect();
        let mut pairs = 0;
        for (state, row) in ORDER_STATES.into_iter().zip(&rows[1..]) {
            assert_eq!(row[0], format!("{state:?}"));
            for (step, cell) in ORDER_STEPS.into_iter().zip(&row[1..]) {
                pairs += 1;
                // `n` and `p` follow from what is open: nothing traded and nothing pending, or part of it traded.
                let expected = match *cell {
                    "." => Err(InvalidTransition { state, step }),
                    "N" => Ok(OrderState::PendingNew),
                    "n" => Ok(OrderState::New),
                    "p" => Ok(OrderState::PartiallyFilled),
                    "R" => Ok(OrderState::PendingReplace),
                    "C" => Ok(OrderState::PendingCancel),
                    "F" => Ok(OrderState::Filled),
                    "K" => Ok(OrderState::Canceled),
                    "X" => Ok(OrderState::Rejected),
                    other => panic!("unknown cell {other}"),
                };
                assert_eq!(state.after(step, *cell == "p", false), expected, "{state:?} {step:?}");
            }
        }
        assert_eq!(pairs, ORDER_STATES.len() * ORDER_STEPS.len());
    }

    #[test]
    fn an_unanswered_change_keeps_the_order_pending() {
        assert_eq!(OrderState::PendingReplace.after(OrderStep::Replace, true, true), Ok(OrderState::PendingReplace));
        assert_eq!(OrderState::PendingNew.after(OrderStep::Accept, false, true), Ok(OrderState::PendingReplace));
        assert_eq!(
            OrderState::PendingCancel.after(OrderStep::RejectCancel, true, true),
            Ok(OrderState::PendingReplace)
        );
    }
}
