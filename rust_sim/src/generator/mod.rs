//! A market of our own: a seeded flow of orders that trades through the [`MatchingEngine`] and is written down as the
//! three recorded schemas `mbo`, `quotes` and `trades`.
//!
//! Orders come and go, rest near the touch for moments and far from it for long, and are taken by large orders that are
//! worked in pieces, in calm and in storm. What follows is not put in by hand: returns with fat tails, volatility that
//! clusters, signs of trades with a long memory. The U of the day is. Equal seeds give equal bytes on every machine: no
//! function of libm, no hash order and no clock takes part.
//!
//! Sources: Smith, Farmer, Gillemot and Krishnamurthy (2003), "Statistical Theory of the Continuous Double Auction",
//! Quantitative Finance 3(6), for a book of random orders; Bouchaud, Mezard and Potters (2002), "Statistical Properties of
//! Stock Order Books", Quantitative Finance 2(4), for the power law of placement; those named beside `Clock`, `Weather` and
//! `Demand` for the rest.

mod clock;
mod columns;
mod flow;
mod random;

use self::clock::Clock;
use self::columns::Touch;
pub use self::columns::{MboColumns, MboRow, QuoteColumns, Stamp, TradeColumns, code};
use self::flow::{Demand, Weather};
use self::random::Random;
use crate::book::Book;
use crate::matching::{Event, Input, MatchingEngine, NewOrder, OrderInput, Party, SelfTrade, TimeInForce, Trade};
use crate::types::{Family, Lots, MAX_TICKS, Nanos, OrderId, OwnerId, Side, Ticks};

/// Steps before the record begins, in which the book takes its shape.
const WARM_UP: u32 = 50_000;

// Rates, relative to that of resting orders that come.
const TAKE: f64 = 0.12;
const MODIFY: f64 = 0.05;
/// A fleeting order stays for so many others, a patient one for so many.
const FLEETING_STAY: f64 = 25.0;
const PATIENT_STAY: f64 = 60_000.0;

/// A gap between the best prices draws orders: the rate at which they come rises by this for each tick of it.
const GAP_DRAWS: f64 = 1.0;
const GAP_MAX: i64 = 10;

/// Distance from the opposite best price: half of the orders come within PLACE + 1 ticks, one of ten beyond 9 PLACE.
const PLACE: f64 = 5.0;
const DISTANCE_MAX: f64 = 2_000.0;
/// An order is patient with probability (distance / PATIENT_FROM)^2, at most PATIENT_MOST.
const PATIENT_FROM: f64 = 220.0;
const PATIENT_MOST: f64 = 0.95;
/// How strongly resting orders come on the side that takers want. It keeps the price from following the long memory of
/// the takers' signs.
const LEAN: f64 = -0.12;

/// Of takers: the share that waits for size at the best price, and the share whose rest stays as a limit order.
const MODEST: f64 = 0.85;
const LIMITED: f64 = 0.25;
/// How far beyond the best price the others go, in ticks: a Pareto tail.
const REACH: f64 = 1.0;
const REACH_MAX: f64 = 12.0;
const TAKER_MAX: f64 = 20_000.0;
/// Where no more records than this are left, nobody takes: the rest are events of one record, and the count is met.
const TAIL: u64 = 64;
/// A taker writes two records for each maker, at most one trade for each price, and one for its rest.
const RECORDS_BESIDE_MAKERS: u64 = REACH_MAX as u64 + 2;

/// Order and trade ids of a day begin at its number shifted by this, so that no two days share one.
const DAY_SHIFT: u32 = 36;
const DAY_NS: i64 = 86_400_000_000_000;
/// Fewer ticks than this leave a market no room to fall.
const PRICE_MIN: i64 = 1_000;
const MAX_NS: i64 = i64::MAX / 2;

/// Sizes of resting orders, in lots, drawn with equal chances: mostly round, many small.
const SIZES: [i64; 32] = [
    1, 2, 5, 10, 10, 15, 20, 25, 30, 40, 50, 50, 50, 60, 75, 80, 100, 100, 100, 100, 100, 100, 100, 100, 150, 200, 200,
    200, 300, 400, 500, 1_000,
];

/// What market to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarketConfig {
    /// Equal seeds give equal markets.
    pub seed: u64,
    /// Records of `mbo` after those of the opening book.
    pub events: u64,
    /// The time of the opening book.
    pub start: Nanos,
    /// The session's end; no event happens at it or later.
    pub end: Nanos,
    /// About where the price opens.
    pub price: Ticks,
}

/// A market that cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The session does not go forward, or lies out of range.
    #[error("the session must begin at 0 ns or later and end after it begins, not {start} to {end} ns")]
    Session {
        /// Start as given.
        start: Nanos,
        /// End as given.
        end: Nanos,
    },
    /// The price is out of range.
    #[error("the price must be between 1000 and 2^52 ticks, not {0}; choose another tick")]
    Price(Ticks),
}

/// A market that is made as it is read.
#[derive(Clone, Debug)]
pub struct Market {
    engine: MatchingEngine,
    random: Random,
    clock: Clock,
    weather: Weather,
    demand: Demand,
    /// Orders that soon go again, and orders that stay; those that were executed are dropped when they are drawn.
    fleeting: Vec<OrderId>,
    patient: Vec<OrderId>,
    /// The best price of each side, or where the side is empty the one it had last.
    last_price: [Ticks; 2],
    next_id: u64,
    first_id: u64,
    writer: Writer,
    heard: Vec<Event>,
    records_left: u64,
    opened: bool,
}

/// Rows of the event at hand, and the state of the three records.
#[derive(Clone, Debug, Default)]
struct Writer {
    rows: Vec<MboRow>,
    ts_recv: i64,
    touch: Option<Touch>,
    mbo_rows: i64,
    quote_rows: i64,
    trade_rows: i64,
    venue_seq: i64,
}

impl Market {
    /// A market before its first record.
    ///
    /// # Errors
    /// Where the session or the price is out of range.
    pub fn new(config: MarketConfig) -> Result<Self, ConfigError> {
        let MarketConfig { seed, events, start, end, price } = config;
        if start.0 < 0 || end <= start || end.0 > MAX_NS {
            return Err(ConfigError::Session { start, end });
        }
        if !(PRICE_MIN..=MAX_TICKS / 2).contains(&price.0) {
            return Err(ConfigError::Price(price));
        }
        let mut random = Random::new(seed);
        let first_id = ((start.0 / DAY_NS) as u64) << DAY_SHIFT;
        let mut market = Market {
            engine: MatchingEngine::new(),
            clock: Clock::new(start.0, end.0),
            weather: Weather::new(&mut random),
            demand: Demand::new(price.0),
            random,
            fleeting: Vec::new(),
            patient: Vec::new(),
            last_price: [Ticks(price.0 - 1), Ticks(price.0 + 1)],
            next_id: first_id + 1,
            first_id,
            writer: Writer::default(),
            heard: Vec::new(),
            records_left: events,
            opened: false,
        };
        market.warm_up(price);
        Ok(market)
    }

    /// The book as it stands after the last record.
    pub fn book(&self) -> &Book {
        self.engine.book()
    }

    /// Fills the columns with the next whole events: at least `rows` records of `mbo`, unless the market ends first, and at
    /// most one event more. Quotes and trades are those of the same events. Returns false, with empty columns, after
    /// the end.
    pub fn next_chunk(
        &mut self,
        rows: usize,
        mbo: &mut MboColumns,
        quotes: &mut QuoteColumns,
        trades: &mut TradeColumns,
    ) -> bool {
        mbo.clear();
        quotes.clear();
        trades.clear();
        if !self.opened {
            self.open();
            self.write(mbo, quotes, trades);
        }
        while self.records_left > 0 && mbo.len() < rows {
            self.clock.advance(self.weather.pace(), self.records_left, &mut self.random);
            self.step(self.records_left);
            let traded = self.writer.rows.first().is_some_and(|row| row.action == code::TRADE);
            self.clock.excite(traded);
            self.records_left = self.records_left.saturating_sub(self.writer.rows.len() as u64);
            self.write(mbo, quotes, trades);
        }
        !mbo.is_empty()
    }

    /// Lets the book take its shape, unrecorded.
    fn warm_up(&mut self, price: Ticks) {
        let mut due = 0.0;
        for distance in 1..=DISTANCE_MAX as i64 {
            // Come at this distance, on one side, while a patient order stays: what rests there in the long run.
            let d = distance as f64;
            due += 0.5 * PATIENT_STAY * PLACE / (d * d) * patience(d);
            while due >= 1.0 {
                due -= 1.0;
                for side in [Side::Buy, Side::Sell] {
                    let at = Ticks(price.0 - side.sign() * distance);
                    if at.0 >= 1 {
                        self.rest(side, at, true);
                    }
                }
            }
        }
        for _ in 0..WARM_UP {
            self.step(u64::MAX);
        }
        self.writer.rows.clear();
    }

    /// The opening book as a clear and adds.
    fn open(&mut self) {
        self.opened = true;
        let rows = &mut self.writer.rows;
        rows.push(MboRow {
            action: code::CLEAR,
            side: code::NONE,
            price_ticks: 0,
            size_lots: 0,
            order_id: 0,
            flags: code::SNAPSHOT,
        });
        for side in [Side::Buy, Side::Sell] {
            rows.extend(self.engine.book().orders(side).map(|order| MboRow {
                flags: code::SNAPSHOT,
                ..row(code::ADD, side, order.price, order.qty, order.id)
            }));
        }
    }

    /// One thing that somebody does, in at most `room` records.
    fn step(&mut self, room: u64) {
        self.writer.rows.clear();
        self.weather.advance(&mut self.random);
        let storm = self.weather.storm;
        let fleeting = self.fleeting.len() as f64 / FLEETING_STAY * storm;
        let patient = self.patient.len() as f64 / PATIENT_STAY;
        let take = if room <= TAIL { 0.0 } else { TAKE * storm };
        let gap = (self.last_price[1].0 - self.last_price[0].0 - 1).clamp(0, GAP_MAX) as f64;
        let come = 1.0 + GAP_DRAWS * gap;
        let mut drawn = self.random.unit() * (come + take + MODIFY + fleeting + patient);
        let mut is = |rate: f64| {
            drawn -= rate;
            drawn <= 0.0
        };
        let done = if is(take) {
            self.take(room)
        } else if is(MODIFY) {
            self.modify()
        } else if is(fleeting) {
            self.cancel(false)
        } else if is(patient) {
            self.cancel(true)
        } else {
            false
        };
        if !done {
            self.place();
        }
        for (last, side) in self.last_price.iter_mut().zip([Side::Buy, Side::Sell]) {
            *last = self.engine.book().best(side).map_or(*last, |(price, _)| price);
        }
    }

    fn next_id(&mut self) -> OrderId {
        let id = OrderId(self.next_id);
        self.next_id += 1;
        id
    }

    /// A new order comes to rest.
    fn place(&mut self) {
        let pressure = self.demand.pressure;
        // Sellers come to buyers.
        let side = if self.random.chance(0.5 - LEAN * pressure) { Side::Buy } else { Side::Sell };
        let (price, distance) = self.draw_price(side);
        let patient = self.random.chance(patience(distance));
        self.rest(side, price, patient);
    }

    /// A price behind the opposite best one, and its distance from it in ticks.
    fn draw_price(&mut self, side: Side) -> (Ticks, f64) {
        let u = self.random.unit();
        let distance = (1.0 + PLACE * (1.0 / u - 1.0)).min(DISTANCE_MAX);
        let opposite = self.last_price[side.opposite() as usize];
        // No bid is below one tick, so no ask is below two, and the price never meets the opposite one.
        (Ticks((opposite.0 - side.sign() * distance as i64).max(1)), distance)
    }

    fn rest(&mut self, side: Side, price: Ticks, patient: bool) {
        let id = self.next_id();
        let qty = Lots(SIZES[self.random.below(SIZES.len())]);
        self.send(OrderInput::New(NewOrder {
            id,
            owner: OwnerId(0),
            side,
            limit: Some(price),
            qty,
            tif: TimeInForce::Gtc,
            post_only: false,
            self_trade: SelfTrade::Allow,
        }));
        self.hear(side);
        if patient { self.patient.push(id) } else { self.fleeting.push(id) }
    }

    /// A live order of a pool, drawn by chance, and its place there.
    fn draw(&mut self, patient: bool) -> Option<(usize, OrderId)> {
        let pool = if patient { &mut self.patient } else { &mut self.fleeting };
        while !pool.is_empty() {
            let at = self.random.below(pool.len());
            let id = pool[at];
            if self.engine.book().get(id, Family::Order).is_some() {
                return Some((at, id));
            }
            pool.swap_remove(at);
        }
        None
    }

    fn cancel(&mut self, patient: bool) -> bool {
        let Some((at, id)) = self.draw(patient) else { return false };
        let Some(order) = self.engine.book().get(id, Family::Order) else { return false };
        if patient {
            self.patient.swap_remove(at)
        } else {
            self.fleeting.swap_remove(at)
        };
        self.send(OrderInput::Cancel { id, owner: OwnerId(0) });
        self.writer.rows.push(row(code::CANCEL, order.side, order.price, order.qty, id));
        true
    }

    /// Somebody makes an order smaller, which keeps its place, or moves it to another price.
    fn modify(&mut self) -> bool {
        let Some((_, id)) = self.draw(false) else { return false };
        let Some(order) = self.engine.book().get(id, Family::Order) else { return false };
        let smaller = self.random.chance(0.5);
        let price = if smaller { order.price } else { self.draw_price(order.side).0 };
        let qty = if price == order.price { Lots(order.qty.0 / 2) } else { order.qty };
        if qty == Lots::ZERO {
            return false;
        }
        self.send(OrderInput::Modify { id, owner: OwnerId(0), price, qty });
        self.writer.rows.push(row(code::MODIFY, order.side, price, qty, id));
        true
    }

    /// Somebody trades at once, with so many makers at most that the records fit into `room`.
    fn take(&mut self, room: u64) -> bool {
        let mid = 0.5 * (self.last_price[0].0 + self.last_price[1].0) as f64;
        let side = if self.demand.buys(mid, &mut self.random) { Side::Buy } else { Side::Sell };
        let Some((price, shown)) = self.engine.book().best(side.opposite()) else { return false };
        let wanted = (self.random.pareto() * SIZES[self.random.below(SIZES.len())] as f64).min(TAKER_MAX);
        // Each maker gives one lot or more.
        let makers_max = room.saturating_sub(RECORDS_BESIDE_MAKERS) / 2;
        let mut qty = Lots((wanted as u64).clamp(1, makers_max.max(1)) as i64);
        if self.random.chance(MODEST) {
            qty = qty.min(shown);
        }
        let limited = self.random.chance(LIMITED);
        let reach = if limited { 0 } else { (REACH * self.random.pareto()).min(REACH_MAX) as i64 };
        let id = self.next_id();
        self.send(OrderInput::New(NewOrder {
            id,
            owner: OwnerId(0),
            side,
            limit: Some(Ticks((price.0 + side.sign() * reach).max(1))),
            qty,
            tif: if limited { TimeInForce::Gtc } else { TimeInForce::Ioc },
            post_only: false,
            self_trade: SelfTrade::Allow,
        }));
        self.hear(side);
        if self.writer.rows.last().is_some_and(|row| row.action == code::ADD) {
            self.fleeting.push(id);
        }
        true
    }

    fn send(&mut self, order: OrderInput) {
        self.heard.clear();
        self.engine.apply(Nanos(self.clock.now_ns), &Input::Order(order), &mut self.heard);
    }

    /// Writes down what became of a new order: for each price a trade, its fills and what they take away; then its rest.
    fn hear(&mut self, side: Side) {
        let mut trades = self.heard.iter().filter_map(|event| if let Event::Trade(t) = event { Some(t) } else { None });
        let rows = &mut self.writer.rows;
        let mut next = trades.next();
        while let Some(first) = next {
            let trade_at = rows.len();
            rows.push(row(code::TRADE, side, first.price, Lots::ZERO, OrderId(0)));
            while let Some(trade) = next.filter(|trade| trade.price == first.price) {
                rows[trade_at].size_lots += trade.qty.0;
                rows.push(row(code::FILL, side.opposite(), trade.price, trade.qty, maker_of(trade)));
                next = trades.next();
            }
            for fill in trade_at + 1..rows.len() {
                rows.push(MboRow { action: code::CANCEL, ..rows[fill] });
            }
        }
        for event in &self.heard {
            if let &Event::Rested { id, price, qty, .. } = event {
                rows.push(row(code::ADD, side, price, qty, id));
            }
        }
    }

    /// Ends the event at hand and hands its rows over.
    fn write(&mut self, mbo: &mut MboColumns, quotes: &mut QuoteColumns, trades: &mut TradeColumns) {
        let writer = &mut self.writer;
        let Some(last) = writer.rows.last_mut() else { return };
        last.flags |= code::LAST;
        // The way to the reader: 60 us, and an exponential 20 us on top; records never overtake each other.
        let arrival = self.clock.now_ns + 60_000 + (20_000.0 * self.random.exponential()) as i64;
        writer.ts_recv = writer.ts_recv.max(arrival);
        writer.venue_seq += 1;
        let stamp = Stamp { ts_event: self.clock.now_ns, ts_recv: writer.ts_recv, venue_seq: writer.venue_seq };
        let mut prints = writer.rows.iter().filter(|row| row.action == code::TRADE).count();
        for row in &writer.rows {
            mbo.push(stamp, row, writer.mbo_rows);
            writer.mbo_rows += 1;
            if row.action == code::TRADE {
                prints -= 1;
                let flags = if prints == 0 { code::LAST } else { 0 };
                let trade_id = self.first_id + writer.trade_rows as u64 + 1;
                trades.push(stamp, row, trade_id, flags, writer.trade_rows);
                writer.trade_rows += 1;
            }
        }
        writer.rows.clear();
        let best = |side| self.engine.book().best(side).map_or((0, 0), |(price, qty)| (price.0, qty.0));
        let touch = Touch { bid: best(Side::Buy), ask: best(Side::Sell) };
        if writer.touch != Some(touch) {
            writer.touch = Some(touch);
            quotes.push(stamp, touch, writer.quote_rows);
            writer.quote_rows += 1;
        }
    }
}

/// The chance that an order so far from the opposite best price is patient.
fn patience(distance: f64) -> f64 {
    let share = distance / PATIENT_FROM;
    (share * share).min(PATIENT_MOST)
}

fn row(action: u8, side: Side, price: Ticks, size: Lots, id: OrderId) -> MboRow {
    let side = match side {
        Side::Buy => code::BID,
        Side::Sell => code::ASK,
    };
    MboRow { action, side, price_ticks: price.0, size_lots: size.0, order_id: id.0, flags: 0 }
}

/// Everybody in this market is an order of the matched family.
fn maker_of(trade: &Trade) -> OrderId {
    match trade.maker {
        Party::Order { id, .. } | Party::Record(id) => id,
        Party::Market => OrderId(0),
    }
}
