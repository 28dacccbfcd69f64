//! What the venue tells about an order.

use crate::matching::{CancelReason, FillReason, RejectReason};
use crate::types::{Lots, Nanos, OrderId, Ticks};

/// What happened to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerKind {
    /// It was taken.
    Accepted,
    /// It was refused.
    Rejected(RejectReason),
    /// It rests, with this size ahead of it.
    Rested {
        /// Size ahead at its price.
        ahead: Lots,
    },
    /// It traded.
    Fill {
        /// Price.
        price: Ticks,
        /// Size.
        qty: Lots,
        /// What is left open.
        left: Lots,
        /// How it came to trade.
        reason: FillReason,
        /// Size that stood ahead when it joined its queue; None for a taker.
        ahead: Option<Lots>,
        /// The venue's mid at the fill, in half ticks, where both sides were quoted.
        mid_half_ticks: Option<i64>,
    },
    /// A change was done: new price and new total size.
    Replaced {
        /// Price.
        price: Ticks,
        /// Total size, filled and open.
        qty: Lots,
    },
    /// A change was refused.
    ReplaceRejected(RejectReason),
    /// What was left is cancelled.
    Cancelled(CancelReason),
    /// A cancel was refused.
    CancelRejected(RejectReason),
}

/// One answer of the venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// When it happened at the venue.
    pub ts: Nanos,
    /// The order.
    pub order: OrderId,
    /// What happened.
    pub kind: AnswerKind,
}

impl Answer {
    /// The size of an answer in the journal and the digest.
    pub const ENCODED: usize = 64;

    /// The one encoding: little-endian, a code and then the fields of that code.
    pub fn encode(&self) -> [u8; Answer::ENCODED] {
        let mut bytes = [0; Answer::ENCODED];
        let (code, detail, words): (u8, u8, [i64; 5]) = match self.kind {
            AnswerKind::Accepted => (0, 0, [0; 5]),
            AnswerKind::Rejected(reason) => (1, reason as u8, [0; 5]),
            AnswerKind::Rested { ahead } => (2, 0, [ahead.0, 0, 0, 0, 0]),
            AnswerKind::Fill { price, qty, left, reason, ahead, mid_half_ticks } => {
                let none = i64::MIN;
                let ahead = ahead.map_or(none, |ahead| ahead.0);
                (3, reason as u8, [price.0, qty.0, left.0, ahead, mid_half_ticks.unwrap_or(none)])
            }
            AnswerKind::Replaced { price, qty } => (4, 0, [price.0, qty.0, 0, 0, 0]),
            AnswerKind::ReplaceRejected(reason) => (5, reason as u8, [0; 5]),
            AnswerKind::Cancelled(reason) => (6, reason as u8, [0; 5]),
            AnswerKind::CancelRejected(reason) => (7, reason as u8, [0; 5]),
        };
        bytes[0] = code;
        bytes[1] = detail;
        bytes[8..16].copy_from_slice(&self.ts.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.order.0.to_le_bytes());
        for (word, at) in words.iter().zip((24..64).step_by(8)) {
            bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}
