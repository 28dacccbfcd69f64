//! Changes of a stream of commands whose effect on the events is known.

use cift_sim::matching::{Event, Input, NewOrder, OrderInput, RecordInput, SelfTrade, TimeInForce, Trade};
use cift_sim::types::{Lots, OrderId, OwnerId, Side, Ticks};
use proptest::prelude::*;

/// Buys become sells, and prices change sign.
pub struct Mirror;
/// Every price times a factor, as on an instrument with a finer tick.
pub struct Scale(pub i64);
/// Every price moved.
pub struct Shift(pub i64);

/// Both kinds of change come down to a price and a side.
fn input_with(
    input: Input,
    price: impl Fn(Ticks) -> Ticks,
    side: impl Fn(Side) -> Side,
    printed: impl Fn(Ticks, bool) -> Ticks,
) -> Input {
    match input {
        Input::Order(OrderInput::New(order)) => {
            Input::Order(OrderInput::New(NewOrder { side: side(order.side), limit: order.limit.map(price), ..order }))
        }
        Input::Order(OrderInput::Modify { id, owner, price: at, qty }) => {
            Input::Order(OrderInput::Modify { id, owner, price: price(at), qty })
        }
        Input::Order(OrderInput::Cancel { .. }) => input,
        Input::Record(record) => Input::Record(match record {
            RecordInput::Add { id, side: of, price: at, qty, snapshot } => {
                RecordInput::Add { id, side: side(of), price: price(at), qty, snapshot }
            }
            RecordInput::Modify { id, side: of, price: at, qty } => {
                RecordInput::Modify { id, side: side(of), price: price(at), qty }
            }
            RecordInput::Print { aggressor, price: at, exact, qty } => {
                RecordInput::Print { aggressor: aggressor.map(side), price: printed(at, exact), exact, qty }
            }
            RecordInput::Quote { side: of, best } => {
                RecordInput::Quote { side: side(of), best: best.map(|(at, qty)| (price(at), qty)) }
            }
            RecordInput::OutOfSight { side: of, price: at } => {
                RecordInput::OutOfSight { side: side(of), price: price(at) }
            }
            RecordInput::Level { side: of, price: at, qty } => {
                RecordInput::Level { side: side(of), price: price(at), qty }
            }
            RecordInput::Reduce { .. }
            | RecordInput::Fill { .. }
            | RecordInput::Execute { .. }
            | RecordInput::Clear => record,
        }),
    }
}

fn event_with(event: Event, price: impl Fn(Ticks) -> Ticks, side: impl Fn(Side) -> Side) -> Event {
    match event {
        Event::Trade(trade) => Event::Trade(Trade { price: price(trade.price), side: side(trade.side), ..trade }),
        Event::Rested { id, owner, price: at, qty, ahead } => Event::Rested { id, owner, price: price(at), qty, ahead },
        Event::Modified { id, owner, price: at, qty, kept_place } => {
            Event::Modified { id, owner, price: price(at), qty, kept_place }
        }
        Event::Accepted { .. } | Event::Rejected { .. } | Event::Cancelled { .. } | Event::Anomaly(_) => event,
    }
}

impl Mirror {
    pub fn input(&self, input: Input) -> Input {
        let negative = |price: Ticks| Ticks(-price.0);
        // A price between two ticks, named by the lower one, is between their mirror images: the lower is the other one.
        let printed = |price: Ticks, exact: bool| Ticks(if exact { -price.0 } else { -price.0 - 1 });
        input_with(input, negative, Side::opposite, printed)
    }

    pub fn event(&self, event: Event) -> Event {
        event_with(event, |price| Ticks(-price.0), Side::opposite)
    }
}

impl Scale {
    pub fn input(&self, input: Input) -> Input {
        input_with(input, |price| Ticks(price.0 * self.0), |side| side, |price, _| Ticks(price.0 * self.0))
    }

    pub fn event(&self, event: Event) -> Event {
        event_with(event, |price| Ticks(price.0 * self.0), |side| side)
    }
}

impl Shift {
    pub fn input(&self, input: Input) -> Input {
        let moved = |price: Ticks| Ticks(price.0.saturating_add(self.0));
        input_with(input, moved, |side| side, |price, _| moved(price))
    }

    pub fn event(&self, event: Event) -> Event {
        event_with(event, |price| Ticks(price.0 + self.0), |side| side)
    }
}

/// A market order becomes a limit order that reaches everything but the far orders.
pub fn without_market_orders(input: Input) -> Input {
    match input {
        Input::Order(OrderInput::New(order)) if order.limit.is_none() => {
            let tif = if order.tif == TimeInForce::Gtc { TimeInForce::Ioc } else { order.tif };
            let limit = Some(Ticks(100 + order.side.sign() * 10_000));
            Input::Order(OrderInput::New(NewOrder { limit, tif, ..order }))
        }
        other => other,
    }
}

/// The first id of [`far_order`]; no other input names one from here on.
pub const FAR: u64 = 5_000_000;

/// An order a million ticks from everything else. In a record of quotes nothing behind the best is shown, so it is ours.
pub fn far_order(n: u64) -> Input {
    let side = if n.is_multiple_of(2) { Side::Buy } else { Side::Sell };
    Input::Order(OrderInput::New(NewOrder {
        id: OrderId(FAR + n),
        owner: OwnerId(n as u32 % 3),
        side,
        limit: Some(Ticks(100 - side.sign() * (1_000_000 + 17 * (n as i64 % 4)))),
        qty: Lots(1 + n as i64 % 10),
        tif: TimeInForce::Gtc,
        post_only: n.is_multiple_of(3),
        self_trade: SelfTrade::Allow,
    }))
}

/// Any input at all on a small ladder with few ids, so that they meet.
pub fn any_input() -> impl Strategy<Value = Input> {
    let id = (1u64..12).prop_map(OrderId);
    let side = prop_oneof![Just(Side::Buy), Just(Side::Sell)];
    let price = (-2i64..4).prop_map(Ticks);
    let qty = prop_oneof![9 => 1i64..9, 1 => Just(0), 1 => Just(-1)].prop_map(Lots);
    let tif = prop_oneof![4 => Just(TimeInForce::Gtc), 1 => Just(TimeInForce::Ioc), 1 => Just(TimeInForce::Fok)];
    let self_trade = prop_oneof![
        2 => Just(SelfTrade::Allow),
        1 => Just(SelfTrade::CancelNewest),
        1 => Just(SelfTrade::CancelOldest),
        1 => Just(SelfTrade::CancelBoth),
    ];
    let owner = (0u32..2).prop_map(OwnerId);
    let new = (
        id.clone(),
        owner.clone(),
        side.clone(),
        prop::option::weighted(0.9, price.clone()),
        qty.clone(),
        tif,
        prop::bool::weighted(0.15),
        self_trade,
    )
        .prop_map(|(id, owner, side, limit, qty, tif, post_only, self_trade)| {
            Input::Order(OrderInput::New(NewOrder { id, owner, side, limit, qty, tif, post_only, self_trade }))
        });
    let cancel = (id.clone(), owner.clone()).prop_map(|(id, owner)| Input::Order(OrderInput::Cancel { id, owner }));
    let modify = (id.clone(), owner, price.clone(), qty.clone())
        .prop_map(|(id, owner, price, qty)| Input::Order(OrderInput::Modify { id, owner, price, qty }));
    let add = (id.clone(), side.clone(), price.clone(), qty.clone(), any::<bool>()).prop_map(
        |(id, side, price, qty, snapshot)| Input::Record(RecordInput::Add { id, side, price, qty, snapshot }),
    );
    let record_modify = (id.clone(), side.clone(), price.clone(), qty.clone())
        .prop_map(|(id, side, price, qty)| Input::Record(RecordInput::Modify { id, side, price, qty }));
    let of_one = (id, qty.clone(), 0..3).prop_map(|(id, qty, kind)| {
        Input::Record(match kind {
            0 => RecordInput::Reduce { id, qty },
            1 => RecordInput::Fill { id, qty },
            _ => RecordInput::Execute { id, qty },
        })
    });
    let print = (prop::option::of(side), price, any::<bool>(), qty)
        .prop_map(|(aggressor, price, exact, qty)| Input::Record(RecordInput::Print { aggressor, price, exact, qty }));
    prop_oneof![
        8 => new,
        2 => cancel,
        3 => modify,
        6 => add,
        2 => record_modify,
        4 => of_one,
        2 => print,
        1 => Just(Input::Record(RecordInput::Clear)),
    ]
}
