//! What a strategy asks for: plain C structs in a buffer, so that a compiled strategy can fill it too.

use crate::matching::{SelfTrade, TimeInForce};
use crate::types::{Lots, OrderId, Side, Ticks};

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CommandKind {
    /// Send an order.
    Submit = 0,
    /// Cancel one.
    Cancel = 1,
    /// Change one.
    Modify = 2,
    /// Wake the strategy at a time.
    Timer = 3,
}

/// One command. Fields that a kind does not use are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Command {
    /// What to do.
    pub kind: CommandKind,
    /// Side of a submit.
    pub side: Side,
    /// Time in force of a submit.
    pub tif: TimeInForce,
    /// Self-trade prevention of a submit.
    pub self_trade: SelfTrade,
    /// Whether `price` is a limit.
    pub has_limit: bool,
    /// Never to trade on arrival.
    pub post_only: bool,
    /// Index of the instrument.
    pub instrument: u16,
    /// The order, or the number of the timer.
    pub order: OrderId,
    /// Limit of a submit, new price of a modify.
    pub price: Ticks,
    /// Size of a submit, new total size of a modify.
    pub qty: Lots,
    /// When a timer is due, in nanoseconds.
    pub at_ns: i64,
}

impl Command {
    /// The size of a command in the journal and the digest.
    pub const ENCODED: usize = 40;

    /// The one encoding: little-endian, fields in order.
    pub fn encode(&self) -> [u8; Command::ENCODED] {
        let mut bytes = [0; Command::ENCODED];
        bytes[0] = self.kind as u8;
        bytes[1] = self.side as u8;
        bytes[2] = self.tif as u8;
        bytes[3] = self.self_trade as u8;
        bytes[4] = u8::from(self.has_limit);
        bytes[5] = u8::from(self.post_only);
        bytes[6..8].copy_from_slice(&self.instrument.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.order.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.price.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.qty.0.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.at_ns.to_le_bytes());
        bytes
    }

    /// Reads what [`Command::encode`] wrote; None where a code is unknown.
    pub fn decode(bytes: &[u8; Command::ENCODED]) -> Option<Command> {
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            i64::from_le_bytes(word)
        };
        Some(Command {
            kind: match bytes[0] {
                0 => CommandKind::Submit,
                1 => CommandKind::Cancel,
                2 => CommandKind::Modify,
                3 => CommandKind::Timer,
                _ => return None,
            },
            side: match bytes[1] {
                0 => Side::Buy,
                1 => Side::Sell,
                _ => return None,
            },
            tif: match bytes[2] {
                0 => TimeInForce::Gtc,
                1 => TimeInForce::Ioc,
                2 => TimeInForce::Fok,
                _ => return None,
            },
            self_trade: match bytes[3] {
                0 => SelfTrade::Allow,
                1 => SelfTrade::CancelNewest,
                2 => SelfTrade::CancelOldest,
                3 => SelfTrade::CancelBoth,
                _ => return None,
            },
            has_limit: bytes[4] == 1,
            post_only: bytes[5] == 1,
            instrument: u16::from_le_bytes([bytes[6], bytes[7]]),
            order: OrderId(word(8) as u64),
            price: Ticks(word(16)),
            qty: Lots(word(24)),
            at_ns: word(32),
        })
    }
}
