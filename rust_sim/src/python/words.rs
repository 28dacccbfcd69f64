//! The words that codes have in Python.

use pyo3::prelude::*;

use super::errors::raise;
use crate::matching::{CancelReason, FillReason, RejectReason, SelfTrade, TimeInForce};
use crate::order::{OrderEnd, OrderState};

pub(crate) fn reject_text(reason: RejectReason) -> &'static str {
    match reason {
        RejectReason::SizeOutOfRange => "size out of range",
        RejectReason::PriceOutOfRange => "price out of range",
        RejectReason::DuplicateId => "duplicate id",
        RejectReason::UnknownOrder => "unknown order",
        RejectReason::WouldTrade => "post-only order would have traded",
        RejectReason::PostOnlyConflict => "post-only conflicts with the order type",
        RejectReason::OwnerOutOfRange => "owner out of range",
        RejectReason::LevelOverflow => "total size at the price would overflow",
        RejectReason::Expired => "expired",
    }
}

pub(crate) fn cancel_text(reason: CancelReason) -> &'static str {
    match reason {
        CancelReason::Requested => "requested",
        CancelReason::Immediate => "immediate or cancel",
        CancelReason::FillOrKill => "fill or kill",
        CancelReason::NoLiquidity => "no liquidity",
        CancelReason::SelfTrade => "self-trade prevention",
        CancelReason::ModifiedAway => "modified to less than filled",
        CancelReason::Expired => "expired",
    }
}

pub(crate) fn end_text(end: OrderEnd) -> Option<&'static str> {
    match end {
        OrderEnd::None => None,
        OrderEnd::Rejected(reason) => Some(reject_text(reason)),
        OrderEnd::Cancelled(reason) => Some(cancel_text(reason)),
    }
}

pub(crate) fn status_text(state: OrderState) -> &'static str {
    match state {
        OrderState::PendingNew => "sent",
        OrderState::New => "open",
        OrderState::PartiallyFilled => "partially filled",
        OrderState::PendingReplace => "replace sent",
        OrderState::PendingCancel => "cancel sent",
        OrderState::Filled => "filled",
        OrderState::Canceled => "cancelled",
        OrderState::Rejected => "rejected",
    }
}

pub(crate) fn tif_text(tif: TimeInForce) -> &'static str {
    match tif {
        TimeInForce::Gtc => "GTC",
        TimeInForce::Ioc => "IOC",
        TimeInForce::Fok => "FOK",
    }
}

pub(crate) fn parse_tif(py: Python<'_>, text: &str) -> PyResult<TimeInForce> {
    match text {
        "GTC" => Ok(TimeInForce::Gtc),
        "IOC" => Ok(TimeInForce::Ioc),
        "FOK" => Ok(TimeInForce::Fok),
        other => Err(raise(
            py,
            "UnknownName",
            format!("tif {other:?} is not known; supported are \"GTC\", \"IOC\" and \"FOK\""),
        )),
    }
}

pub(crate) fn parse_self_trade(py: Python<'_>, text: Option<&str>) -> PyResult<SelfTrade> {
    match text {
        None => Ok(SelfTrade::Allow),
        Some("cancel_newest") => Ok(SelfTrade::CancelNewest),
        Some("cancel_oldest") => Ok(SelfTrade::CancelOldest),
        Some("cancel_both") => Ok(SelfTrade::CancelBoth),
        Some(other) => Err(raise(
            py,
            "UnknownName",
            format!(
                "self_trade {other:?} is not known; supported are None, \"cancel_newest\", \"cancel_oldest\" and \
                 \"cancel_both\""
            ),
        )),
    }
}

pub(crate) fn self_trade_text(self_trade: SelfTrade) -> Option<&'static str> {
    match self_trade {
        SelfTrade::Allow => None,
        SelfTrade::CancelNewest => Some("cancel_newest"),
        SelfTrade::CancelOldest => Some("cancel_oldest"),
        SelfTrade::CancelBoth => Some("cancel_both"),
    }
}

pub(crate) fn reason_text(reason: FillReason) -> &'static str {
    match reason {
        FillReason::Took => "took",
        FillReason::Queue => "queue",
        FillReason::Crossed => "crossed",
        FillReason::Swept => "swept",
    }
}

pub(crate) fn liquidity_text(reason: FillReason) -> &'static str {
    if reason == FillReason::Took { "taker" } else { "maker" }
}
