//! The strategy's desk: what it sees, and the buffer that its verbs write to. Verbs never reach into the kernel; they
//! take effect in call order when the handler returns.

use std::collections::BTreeMap;

use crate::account::{Money, MoneyOverflow, Position};
use crate::command::{Command, CommandKind};
use crate::grid::{Against, Rules};
use crate::instrument::Instrument;
use crate::market::Market;
use crate::matching::{SelfTrade, TimeInForce};
use crate::order::{Order, OrderEnd, OrderState, OrderStep};
use crate::types::{Lots, MAX_LOTS, Nanos, OrderId, Side, Ticks};

/// Why a verb was refused on the spot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeskError {
    /// A size that is not between 1 and the largest.
    #[error("the size is not between one lot and {MAX_LOTS} lots")]
    Size,
    /// A price off the grid of displayed orders, or out of range.
    #[error("the price is not on the price increment, or out of range")]
    Price,
    /// The order is against a rule of the instrument.
    #[error("the order is against a rule of its instrument: {0:?}")]
    Rule(Against),
    /// Post-only cannot go with a market order, IOC or FOK.
    #[error("post-only cannot go with a market order, IOC or FOK")]
    PostOnly,
    /// No order of this id is open.
    #[error("no order of this id is open")]
    UnknownOrder,
    /// A cancel of this order is already on its way.
    #[error("a cancel of this order is on its way")]
    BeingCancelled,
}

/// What a new order is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Index of the instrument.
    pub instrument: u16,
    /// Side.
    pub side: Side,
    /// Size.
    pub qty: Lots,
    /// Limit, None for a market order.
    pub limit: Option<Ticks>,
    /// How long it may stay.
    pub tif: TimeInForce,
    /// Never to trade on arrival.
    pub post_only: bool,
    /// Self-trade prevention.
    pub self_trade: SelfTrade,
    /// Label.
    pub tag: Option<u32>,
}

/// Equity at a time, in half money units so that a mid in half ticks is exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EquitySample {
    /// When.
    pub ts: Nanos,
    /// Cash plus the value of all positions, doubled.
    pub equity_doubled: i128,
    /// Cash.
    pub cash: Money,
    /// Profit of open positions, doubled.
    pub unrealised_doubled: i128,
}

/// The desk.
#[derive(Clone, Debug, Default)]
pub struct Desk {
    /// Kernel time.
    pub now: Nanos,
    /// Number of the input that is being handled.
    pub input: u64,
    /// What the running handler has asked for so far.
    pub commands: Vec<Command>,
    /// The market of each instrument, as it arrived.
    pub markets: Vec<Market>,
    /// The position in each instrument, as answers told.
    pub positions: Vec<Position>,
    /// Cash in each currency, as answers told.
    pub cash: Vec<Money>,
    /// The instruments.
    pub instruments: Vec<Instrument>,
    /// What orders of each instrument must keep to.
    pub rules: Vec<Rules>,
    /// Boxed: most orders come alone, and a map of whole orders would take and give back room for eleven each time.
    pub(crate) open: BTreeMap<OrderId, Box<Order>>,
    /// Signed open size in each instrument, sent and unanswered included.
    pub(crate) open_net: Vec<i64>,
    pub(crate) orders_sent: u64,
    pub(crate) timers_set: u64,
}

impl Desk {
    /// A desk with starting cash in each currency.
    pub fn new(instruments: Vec<Instrument>, markets: Vec<Market>, cash: Vec<Money>) -> Self {
        let count = instruments.len();
        Desk {
            positions: vec![Position::default(); count],
            open_net: vec![0; count],
            rules: vec![Rules::NONE; count],
            instruments,
            markets,
            cash,
            ..Desk::default()
        }
    }

    /// Orders that are not closed, oldest first; those sent and unanswered included.
    pub fn open_orders(&self) -> impl Iterator<Item = &Order> {
        self.open.values().map(Box::as_ref)
    }

    /// An open order.
    pub fn open_order(&self, id: OrderId) -> Option<&Order> {
        self.open.get(&id).map(Box::as_ref)
    }

    /// Signed open size in an instrument, sent and unanswered included.
    pub fn open_net(&self, instrument: u16) -> i64 {
        self.open_net[instrument as usize]
    }

    /// How many orders were ever sent.
    pub fn orders_sent(&self) -> u64 {
        self.orders_sent
    }

    /// Equity at the marks that the strategy sees.
    pub fn equity_sample(&self, ts: Nanos) -> Result<EquitySample, MoneyOverflow> {
        let cash = self.cash.iter().try_fold(0_i128, |sum, cash| sum.checked_add(cash.0)).ok_or(MoneyOverflow)?;
        let mut value = 0_i128;
        let mut unrealised = 0_i128;
        for ((position, market), instrument) in self.positions.iter().zip(&self.markets).zip(&self.instruments) {
            if position.qty == Lots::ZERO {
                continue;
            }
            // Without any price to mark at, a position is worth what it cost.
            let doubled_cost = position.cost.0.checked_mul(2).ok_or(MoneyOverflow)?;
            let doubled = match market.mark_half_ticks() {
                Some(mark) => position.value_at_half_ticks(instrument, mark).ok_or(MoneyOverflow)?,
                None => doubled_cost,
            };
            value = value.checked_add(doubled).ok_or(MoneyOverflow)?;
            unrealised = unrealised.checked_add(doubled - doubled_cost).ok_or(MoneyOverflow)?;
        }
        let equity = cash.checked_mul(2).and_then(|cash| cash.checked_add(value)).ok_or(MoneyOverflow)?;
        Ok(EquitySample { ts, equity_doubled: equity, cash: Money(cash), unrealised_doubled: unrealised })
    }

    /// Equity now, in half money units.
    pub fn equity(&self) -> Result<i128, MoneyOverflow> {
        self.equity_sample(self.now).map(|sample| sample.equity_doubled)
    }

    /// Sends an order and returns its id.
    pub fn submit(&mut self, ticket: &Ticket) -> Result<OrderId, DeskError> {
        let &Ticket { instrument, side, qty, limit, tif, post_only, self_trade, tag } = ticket;
        if !qty.in_range() {
            return Err(DeskError::Size);
        }
        if let Some(price) = limit {
            self.check_price(instrument, price)?;
        }
        self.check_rules(instrument, side, qty, limit)?;
        if post_only && (limit.is_none() || tif != TimeInForce::Gtc) {
            return Err(DeskError::PostOnly);
        }
        self.orders_sent += 1;
        let id = OrderId(self.orders_sent);
        let order = Order {
            id,
            instrument,
            side,
            limit,
            qty,
            filled: Lots::ZERO,
            filled_ticks_lots: 0,
            tif,
            post_only,
            self_trade,
            state: OrderState::PendingNew,
            replaces_pending: 0,
            asked: None,
            end: OrderEnd::None,
            ahead: None,
            tag,
            ts_submitted: self.now,
            ts_accepted: None,
            ts_closed: None,
        };
        self.open.insert(id, Box::new(order));
        self.open_net[instrument as usize] += side.sign() * qty.0;
        self.commands.push(Command {
            kind: CommandKind::Submit,
            side,
            tif,
            self_trade,
            has_limit: limit.is_some(),
            post_only,
            instrument,
            order: id,
            price: limit.unwrap_or_default(),
            qty,
            at_ns: 0,
        });
        Ok(id)
    }

    fn check_price(&self, instrument: u16, price: Ticks) -> Result<(), DeskError> {
        let grid = &self.rules[instrument as usize].prices;
        if price.in_range() && grid.takes(self.now, price.0) { Ok(()) } else { Err(DeskError::Price) }
    }

    /// Checks an order of a size against the instrument's rules; one at the market is worth what the market shows.
    fn check_rules(&self, instrument: u16, side: Side, qty: Lots, limit: Option<Ticks>) -> Result<(), DeskError> {
        let at = instrument as usize;
        let rules = &self.rules[at];
        let price = limit.or_else(|| if rules.min_value > 0 { self.markets[at].price_for(side) } else { None });
        rules.check(self.now, qty, price, self.instruments[at].unit).map_err(DeskError::Rule)
    }

    /// Sends a cancel. A second one for the same order sends nothing.
    pub fn cancel(&mut self, id: OrderId) -> Result<(), DeskError> {
        let order = self.open.get_mut(&id).ok_or(DeskError::UnknownOrder)?;
        if order.state == OrderState::PendingCancel {
            return Ok(());
        }
        order.take(OrderStep::SendCancel).map_err(|_| DeskError::UnknownOrder)?;
        let command = Command { kind: CommandKind::Cancel, ..Self::about(order) };
        self.commands.push(command);
        Ok(())
    }

    /// Sends a change: new price and new total size. What is not given stays as the change before it asked.
    pub fn modify(&mut self, id: OrderId, price: Option<Ticks>, qty: Option<Lots>) -> Result<(), DeskError> {
        let order = **self.open.get(&id).ok_or(DeskError::UnknownOrder)?;
        let (asked_price, asked_qty) = order.asked.unzip();
        let price = price.or(asked_price).or(order.limit).ok_or(DeskError::Price)?;
        let qty = qty.or(asked_qty).unwrap_or(order.qty);
        if !qty.in_range() {
            return Err(DeskError::Size);
        }
        self.check_price(order.instrument, price)?;
        self.check_rules(order.instrument, order.side, qty, Some(price))?;
        let order = self.open.get_mut(&id).ok_or(DeskError::UnknownOrder)?;
        order.take(OrderStep::SendReplace).map_err(|_| DeskError::BeingCancelled)?;
        order.replaces_pending += 1;
        order.asked = Some((price, qty));
        let command = Command { kind: CommandKind::Modify, price, qty, has_limit: true, ..Self::about(order) };
        self.commands.push(command);
        Ok(())
    }

    /// Sends what brings position and open orders together to `target`; None where that is nothing.
    pub fn target(&mut self, instrument: u16, target: Lots, tag: Option<u32>) -> Result<Option<OrderId>, DeskError> {
        let at = instrument as usize;
        self.send_missing(instrument, target.0 - self.positions[at].qty.0 - self.open_net[at], tag)
    }

    /// Cancels every order of an instrument that may rest, and sends what makes the position flat; None where that is
    /// nothing. Orders that cannot rest are on their way and count as done, so a second call in flight sends nothing.
    pub fn close(&mut self, instrument: u16, tag: Option<u32>) -> Result<Option<OrderId>, DeskError> {
        let mine = self.open_orders().copied().filter(|order| order.instrument == instrument);
        let (resting, passing): (Vec<Order>, Vec<Order>) = mine.partition(|order| order.may_rest());
        for order in resting {
            self.cancel(order.id)?;
        }
        let on_its_way: i64 = passing.iter().map(|order| order.side.sign() * order.open().0).sum();
        self.send_missing(instrument, -self.positions[instrument as usize].qty.0 - on_its_way, tag)
    }

    /// Sends a signed size at the market.
    fn send_missing(&mut self, instrument: u16, missing: i64, tag: Option<u32>) -> Result<Option<OrderId>, DeskError> {
        if missing == 0 {
            return Ok(None);
        }
        let side = if missing > 0 { Side::Buy } else { Side::Sell };
        self.submit(&Ticket {
            instrument,
            side,
            qty: Lots(missing.abs()),
            limit: None,
            tif: TimeInForce::Ioc,
            post_only: false,
            self_trade: SelfTrade::Allow,
            tag,
        })
        .map(Some)
    }

    /// Asks to be woken at a time, and returns the number of the timer.
    pub fn set_timer(&mut self, at: Nanos) -> u64 {
        self.timers_set += 1;
        self.commands.push(Command {
            kind: CommandKind::Timer,
            side: Side::Buy,
            tif: TimeInForce::Gtc,
            self_trade: SelfTrade::Allow,
            has_limit: false,
            post_only: false,
            instrument: 0,
            order: OrderId(self.timers_set),
            price: Ticks(0),
            qty: Lots::ZERO,
            at_ns: at.0.max(self.now.0),
        });
        self.timers_set
    }

    /// Forgets what a handler asked for before it raised: none of it leaves.
    pub(crate) fn discard(&mut self) {
        for command in self.commands.drain(..) {
            if command.kind == CommandKind::Submit
                && let Some(order) = self.open.remove(&command.order)
            {
                self.open_net[order.instrument as usize] -= order.side.sign() * order.open().0;
            }
        }
    }

    fn about(order: &Order) -> Command {
        Command {
            kind: CommandKind::Cancel,
            side: order.side,
            tif: order.tif,
            self_trade: order.self_trade,
            has_limit: false,
            post_only: false,
            instrument: order.instrument,
            order: order.id,
            price: Ticks(0),
            qty: Lots::ZERO,
            at_ns: 0,
        }
    }
}
