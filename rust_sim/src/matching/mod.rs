//! The matching engine: price-time priority over one book, for two families of input.
//!
//! *Orders* are matched. *Records* are history and are done as told, never matched against each other. Without orders
//! the book is the record by construction; with orders in the same queues, what a record does to the orders around it
//! follows from their places. [`MatchingEngine::apply`] is the one entry; everything that happens leaves through the
//! sink, and nothing is allocated once the buffers have grown.

mod orders;
mod places;
mod quotes;
mod records;
mod taken;

use std::collections::BTreeMap;

use crate::book::Book;
use crate::types::{Family, Lots, Nanos, OrderId, OwnerId, Side, Ticks};

/// How long an order may stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum TimeInForce {
    /// Good till cancelled: what does not trade rests.
    #[default]
    Gtc = 0,
    /// Immediate or cancel: what does not trade at once is cancelled.
    Ioc = 1,
    /// Fill or kill: all of it trades at once, or nothing does.
    Fok = 2,
}

/// What happens when an order meets one of the same owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum SelfTrade {
    /// They trade.
    #[default]
    Allow = 0,
    /// What is left of the arriving order is cancelled.
    CancelNewest = 1,
    /// The resting order is cancelled, and the arriving one goes on.
    CancelOldest = 2,
    /// Both are cancelled.
    CancelBoth = 3,
}

impl SelfTrade {
    fn from_code(code: u32) -> Self {
        match code {
            1 => SelfTrade::CancelNewest,
            2 => SelfTrade::CancelOldest,
            3 => SelfTrade::CancelBoth,
            _ => SelfTrade::Allow,
        }
    }
}

/// A new order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewOrder {
    /// Its name, not in use by another resting order.
    pub id: OrderId,
    /// Who sends it.
    pub owner: OwnerId,
    /// Buy or sell.
    pub side: Side,
    /// The worst price it accepts; None for a market order.
    pub limit: Option<Ticks>,
    /// Its size.
    pub qty: Lots,
    /// How long it may stay. A market order never rests.
    pub tif: TimeInForce,
    /// Refuse the order rather than let it trade on arrival.
    pub post_only: bool,
    /// What to do when it meets an order of its owner.
    pub self_trade: SelfTrade,
}

/// The family of inputs that the engine matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderInput {
    /// Send an order.
    New(NewOrder),
    /// Take an order out.
    Cancel {
        /// The order.
        id: OrderId,
        /// Its owner.
        owner: OwnerId,
    },
    /// Change an order. A smaller size at the same price keeps its place; anything else goes to the back of the queue,
    /// and may trade on its way there.
    Modify {
        /// The order.
        id: OrderId,
        /// Its owner.
        owner: OwnerId,
        /// Its new price.
        price: Ticks,
        /// What shall be open of it from now on.
        qty: Lots,
    },
}

/// The family of inputs that are done as told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordInput {
    /// An order of history came to rest.
    Add {
        /// The venue's name for it.
        id: OrderId,
        /// Side.
        side: Side,
        /// Price.
        price: Ticks,
        /// Size.
        qty: Lots,
        /// Whether it is part of a snapshot: announced again rather than new.
        snapshot: bool,
    },
    /// Part of a recorded order, or all of it, left without trading.
    Reduce {
        /// The order.
        id: OrderId,
        /// The size taken away.
        qty: Lots,
    },
    /// A recorded order got a new price and total size.
    Modify {
        /// The order.
        id: OrderId,
        /// Side.
        side: Side,
        /// New price.
        price: Ticks,
        /// New size.
        qty: Lots,
    },
    /// A recorded order was executed; the record's own reduction follows apart, as in normalised feeds.
    Fill {
        /// The maker.
        id: OrderId,
        /// The size executed.
        qty: Lots,
    },
    /// A recorded order was executed and shrinks by the same size.
    Execute {
        /// The maker.
        id: OrderId,
        /// The size executed.
        qty: Lots,
    },
    /// A trade that names no maker: hidden, off the book, or of a feed without orders.
    Print {
        /// The side that took, where the record says so.
        aggressor: Option<Side>,
        /// Price, rounded down to a tick.
        price: Ticks,
        /// Whether the price was exactly on that tick.
        exact: bool,
        /// Size.
        qty: Lots,
    },
    /// The best price of a side, of a feed that shows nothing else. None: the side is empty.
    Quote {
        /// Side.
        side: Side,
        /// Price and size.
        best: Option<(Ticks, Lots)>,
    },
    /// The whole size of a level, of a feed that shows every level and no orders.
    Level {
        /// Side.
        side: Side,
        /// Price.
        price: Ticks,
        /// The size that stands there now; zero: none.
        qty: Lots,
    },
    /// A level that the record does not show any more, as one that left the best ten: nothing is known of it.
    OutOfSight {
        /// Side.
        side: Side,
        /// Price.
        price: Ticks,
    },
    /// All recorded orders are void; what still stands is announced again.
    Clear,
}

/// One input of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// To be matched.
    Order(OrderInput),
    /// To be done as told.
    Record(RecordInput),
}

/// Why an order was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RejectReason {
    /// The size is not between 1 and [`crate::types::MAX_LOTS`].
    SizeOutOfRange = 1,
    /// The price is further than [`crate::types::MAX_TICKS`] from zero.
    PriceOutOfRange = 2,
    /// An order with this id rests already.
    DuplicateId = 3,
    /// No order of this id and owner rests.
    UnknownOrder = 4,
    /// Post-only, and it would have traded on arrival.
    WouldTrade = 5,
    /// Post-only cannot go with a market order, IOC or FOK.
    PostOnlyConflict = 6,
    /// The owner's number is not below [`crate::types::MAX_OWNERS`].
    OwnerOutOfRange = 7,
    /// The total size at the price would overflow.
    LevelOverflow = 8,
    /// The instrument has expired.
    Expired = 9,
}

/// Why an order, or what was left of it, is gone without trading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CancelReason {
    /// Its owner asked.
    Requested = 1,
    /// IOC, and nothing more to trade against.
    Immediate = 2,
    /// FOK, and not all of it could trade.
    FillOrKill = 3,
    /// A market order that found the book empty.
    NoLiquidity = 4,
    /// It met an order of its owner.
    SelfTrade = 5,
    /// A modify left nothing open.
    ModifiedAway = 6,
    /// The instrument has expired.
    Expired = 7,
}

/// How an order came to trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FillReason {
    /// It arrived and took.
    Took = 1,
    /// An execution at its price reached its place in the queue.
    Queue = 2,
    /// A recorded order or quote arrived that crossed its price.
    Crossed = 3,
    /// An execution at a worse price went through its price.
    Swept = 4,
}

/// Who stood on one side of a trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// An order that the engine matches, and what is left of it.
    Order {
        /// Name.
        id: OrderId,
        /// Owner.
        owner: OwnerId,
        /// What is left of it after the trade.
        left: Lots,
    },
    /// A recorded order.
    Record(OrderId),
    /// The recorded market, where it names nobody.
    Market,
}

/// One trade that involves an order of the matched family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    /// Who arrived.
    pub taker: Party,
    /// Who stood in the book.
    pub maker: Party,
    /// The side of the taker.
    pub side: Side,
    /// Price: the maker's.
    pub price: Ticks,
    /// Size.
    pub qty: Lots,
    /// How it came about, from the view of the order that is ours (the maker, where both are).
    pub reason: FillReason,
}

/// What was wrong with a record. It was applied as far as it makes sense, and is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Anomaly {
    /// A reduction, fill or modify of an order that the book does not hold.
    UnknownOrder = 0,
    /// An add of an id that rests already; taken as a modify.
    DuplicateId = 1,
    /// A reduction or fill larger than the order; taken as all of it.
    TooLarge = 2,
    /// A size that is not positive, or a total that would overflow; left out.
    BadSize = 3,
    /// A price out of range; left out.
    BadPrice = 4,
}

/// Number of kinds of [`Anomaly`].
pub const ANOMALIES: usize = 5;

/// What leaves the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A new order was taken.
    Accepted {
        /// The order.
        id: OrderId,
        /// Its owner.
        owner: OwnerId,
    },
    /// A new order, cancel or modify was refused; the book is as it was.
    Rejected {
        /// The order.
        id: OrderId,
        /// Who sent it.
        owner: OwnerId,
        /// Why.
        reason: RejectReason,
    },
    /// An order came to rest in the book.
    Rested {
        /// The order.
        id: OrderId,
        /// Its owner.
        owner: OwnerId,
        /// Price.
        price: Ticks,
        /// Open size.
        qty: Lots,
        /// The size that stands ahead of it at its price.
        ahead: Lots,
    },
    /// Two parties traded.
    Trade(Trade),
    /// A modify was done. Where the place was lost, [`Event::Rested`] or trades follow.
    Modified {
        /// The order.
        id: OrderId,
        /// Its owner.
        owner: OwnerId,
        /// Price.
        price: Ticks,
        /// Open size.
        qty: Lots,
        /// Whether it kept its place in the queue.
        kept_place: bool,
    },
    /// An order is gone.
    Cancelled {
        /// The order.
        id: OrderId,
        /// Its owner.
        owner: OwnerId,
        /// The open size that is gone with it.
        qty: Lots,
        /// Why.
        reason: CancelReason,
    },
    /// A record did not fit the book.
    Anomaly(Anomaly),
}

/// Takes what leaves the engine.
pub trait Sink {
    /// One event, in order.
    fn event(&mut self, event: Event);
}

impl Sink for Vec<Event> {
    #[inline]
    fn event(&mut self, event: Event) {
        self.push(event);
    }
}

/// When a displayed size that one of ours took is there again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Refill {
    /// Only when the record shows a new order.
    #[default]
    Never,
    /// At the next event of the record.
    NextEvent,
}

/// The engine of one instrument.
#[derive(Clone, Debug, Default)]
pub struct MatchingEngine {
    book: Book,
    /// What ours have taken from recorded orders that history still shows.
    taken: taken::Taken,
    refill: Refill,
    quotes: quotes::Quotes,
    /// After a clear: the recorded orders that may be announced again.
    places: places::Places,
}

impl MatchingEngine {
    /// An engine with an empty book.
    pub fn new() -> Self {
        MatchingEngine::default()
    }

    /// An engine that gives taken sizes back as `refill` says.
    pub fn with_refill(refill: Refill) -> Self {
        MatchingEngine { refill, ..MatchingEngine::default() }
    }

    /// The book.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// What ours have taken of a recorded order, which history still shows in full.
    pub fn taken_of(&self, id: OrderId) -> Lots {
        self.book.find(id, Family::Record).map_or(Lots::ZERO, |slot| self.taken_in(slot))
    }

    /// Applies one input and hands what follows to the sink. `_ts` is the time at the venue; the engine's decisions do
    /// not depend on it.
    #[inline]
    pub fn apply<S: Sink>(&mut self, _ts: Nanos, input: &Input, sink: &mut S) {
        if self.book.is_crowded() {
            self.make_room();
        }
        self.book.look_ahead();
        match input {
            Input::Order(order) => self.apply_order(order, sink),
            Input::Record(record) => self.apply_record(record, sink),
        }
    }

    /// Between inputs nobody else holds the slot of an order.
    #[cold]
    #[inline(never)]
    fn make_room(&mut self) {
        let (taken, places) = (&mut self.taken, &mut self.places);
        let mut ours = BTreeMap::new();
        self.book.make_room(|marks, from, to| {
            if marks.is_taken() {
                taken.moved(from, to);
            }
            if marks.is_ours() && !places.is_empty() {
                ours.insert(from, to);
            }
        });
        if !ours.is_empty() {
            for place in places.values_mut() {
                place.before = ours.get(&place.before).copied().unwrap_or(place.before);
            }
        }
    }

    /// Removes every order; the memory stays.
    pub fn clear(&mut self) {
        self.book.clear();
        self.taken.clear();
        self.places.clear();
        self.quotes = quotes::Quotes::default();
    }

    #[inline]
    fn taken_in(&self, slot: u32) -> Lots {
        if self.book.node(slot).marks.is_taken() { self.taken.of(slot) } else { Lots::ZERO }
    }

    #[inline(never)]
    fn set_taken(&mut self, slot: u32, qty: Lots) {
        let was = self.book.node(slot).marks.is_taken();
        let is = qty != Lots::ZERO;
        if is {
            self.taken.set(slot, qty);
        }
        if is != was {
            self.taken.count(is);
            self.book.mark_taken(slot, is);
            if !is {
                self.mark_stale(slot);
            }
        }
        if is && !was && self.refill == Refill::NextEvent {
            self.taken.remember(slot);
        }
    }

    /// Takes any order out, and what the engine remembers beside it.
    #[inline]
    fn remove(&mut self, slot: u32) {
        let marks = self.book.node(slot).marks;
        if marks.is_taken() {
            self.set_taken(slot, Lots::ZERO);
        }
        if marks.is_ours() {
            self.mark_stale(slot);
            if !self.places.is_empty() {
                self.leave_place(slot);
            }
        }
        self.book.remove(slot);
    }
}
