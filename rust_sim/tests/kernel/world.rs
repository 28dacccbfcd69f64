//! A small world to run strategies in: feeds as text that a trader can read, one tick and one lot a unit of price and size.
//!
//! ```text
//! 100 add bid #1 5@99          an order of history comes to rest at time 100; `100>130` reaches the strategy at 130
//! 110 trade buy 3@101          a print; `+` at the end of a line says that the event goes on with the next one
//! 120 quote 5@99 7@101         best bid and best ask of a feed that shows nothing else; `-` for an empty side
//! ```

use cift_sim::account::Money;
use cift_sim::desk::{Desk, Ticket};
use cift_sim::feed::{LevelColumns, MboColumns, NO_TIME, QuoteColumns, Schema, Source, TradeColumns};
use cift_sim::fees::Fees;
use cift_sim::grid::Rules;
use cift_sim::instrument::{Instrument, Step};
use cift_sim::journal::Journal;
use cift_sim::kernel::{Fill, Halt, Kernel, KernelError, Progress, Strategy, Wake, Wants};
use cift_sim::latency::Latency;
use cift_sim::market::Market;
use cift_sim::matching::{Refill, SelfTrade, TimeInForce};
use cift_sim::order::{Order, OrderEnd};
use cift_sim::simulation::{Alarm, Observation, Simulation};
use cift_sim::types::{Lots, Nanos, Side, Ticks};
use cift_sim::venue::SimVenue;

pub const INSTRUMENT: Instrument = Instrument {
    tick: Step { num: 1, den: 1 },
    lot: Step { num: 1, den: 1 },
    unit: 1_000_000_000_000_000_000,
    currency: 0,
};
pub const CASH: Money = Money(1_000_000 * INSTRUMENT.unit);
const LAST: u8 = 128;
const SNAPSHOT: u8 = 32;

/// One line of a feed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line {
    pub ts: i64,
    pub received: Option<i64>,
    pub action: u8,
    pub side: u8,
    pub price: f64,
    pub size: f64,
    pub id: u64,
    pub flags: u8,
    pub bid: Option<(f64, f64)>,
    pub ask: Option<(f64, f64)>,
}

/// One source.
#[derive(Clone, Debug)]
pub struct Feed {
    pub instrument: u16,
    pub schema: Schema,
    pub lines: Vec<Line>,
}

fn size_at_price(text: &str) -> (f64, f64) {
    let (size, price) = text.split_once('@').unwrap_or_else(|| panic!("{text} is not size@price"));
    (size.parse().unwrap(), price.parse().unwrap())
}

fn line(text: &str) -> Line {
    let mut words: Vec<&str> = text.split_whitespace().collect();
    let mut line = Line { flags: LAST, side: b'N', price: f64::NAN, ..Line::default() };
    while let Some(mark) = words.last().filter(|word| ["+", "snapshot"].contains(word)) {
        line.flags = if *mark == "+" { line.flags & !LAST } else { line.flags | SNAPSHOT };
        words.pop();
    }
    match words[0].split_once('>') {
        Some((ts, received)) => (line.ts, line.received) = (ts.parse().unwrap(), Some(received.parse().unwrap())),
        None => line.ts = words[0].parse().unwrap(),
    }
    let side = |word: &str| match word {
        "bid" | "buy" => b'B',
        "ask" | "sell" => b'A',
        "none" => b'N',
        other => panic!("unknown side {other}"),
    };
    let id = |word: &str| word.trim_start_matches('#').parse().unwrap();
    match words[1..] {
        ["add", stands, name, size] => {
            (line.action, line.side, line.id) = (b'A', side(stands), id(name));
            (line.size, line.price) = size_at_price(size);
        }
        ["modify", stands, name, size] => {
            (line.action, line.side, line.id) = (b'M', side(stands), id(name));
            (line.size, line.price) = size_at_price(size);
        }
        ["cancel", name, size] => {
            (line.action, line.id, line.size, line.price) = (b'C', id(name), size.parse().unwrap(), 0.0);
        }
        ["fill", stands, name, size] => {
            (line.action, line.side, line.id) = (b'F', side(stands), id(name));
            (line.size, line.price) = size_at_price(size);
        }
        ["trade", took, size] => {
            (line.action, line.side) = (b'T', side(took));
            (line.size, line.price) = size_at_price(size);
        }
        ["set", stands, size] => {
            (line.action, line.side) = (b'S', side(stands));
            (line.size, line.price) = size_at_price(size);
        }
        ["clear"] => line.action = b'R',
        ["quote", bid, ask] => {
            let some = |word: &str| (word != "-").then(|| size_at_price(word));
            (line.bid, line.ask) = (some(bid), some(ask));
        }
        ref other => panic!("unknown line {other:?}"),
    }
    line
}

impl Feed {
    pub fn read(instrument: u16, schema: Schema, text: &str) -> Feed {
        let lines = text.lines().map(str::trim).filter(|text| !text.is_empty()).map(line).collect();
        Feed { instrument, schema, lines }
    }

    fn push(&self, source: &mut Source, from: usize, to: usize) {
        let lines = &self.lines[from..to];
        let ts_event: Vec<i64> = lines.iter().map(|line| line.ts).collect();
        let ts_recv: Vec<i64> = lines.iter().map(|line| line.received.unwrap_or(NO_TIME)).collect();
        let price: Vec<f64> = lines.iter().map(|line| line.price).collect();
        let size: Vec<f64> = lines.iter().map(|line| line.size).collect();
        let side: Vec<u8> = lines.iter().map(|line| line.side).collect();
        let pushed = match self.schema {
            Schema::Mbo => {
                let action: Vec<u8> = lines.iter().map(|line| line.action).collect();
                let order_id: Vec<u64> = lines.iter().map(|line| line.id).collect();
                let flags: Vec<u8> = lines.iter().map(|line| line.flags).collect();
                source.push_mbo(
                    &INSTRUMENT,
                    &MboColumns {
                        ts_event: &ts_event,
                        ts_recv: &ts_recv,
                        action: &action,
                        side: &side,
                        price: &price,
                        size: &size,
                        order_id: &order_id,
                        flags: &flags,
                    },
                )
            }
            Schema::Mbp => {
                let action: Vec<u8> = lines.iter().map(|line| line.action).collect();
                let flags: Vec<u8> = lines.iter().map(|line| line.flags).collect();
                source.push_levels(
                    &INSTRUMENT,
                    &LevelColumns {
                        ts_event: &ts_event,
                        ts_recv: &ts_recv,
                        action: &action,
                        side: &side,
                        price: &price,
                        size: &size,
                        flags: &flags,
                    },
                )
            }
            Schema::Quotes => {
                let part = |of: fn(&Line) -> Option<(f64, f64)>, price: bool| -> Vec<f64> {
                    lines
                        .iter()
                        .map(|line| match of(line) {
                            Some((size, at)) => {
                                if price {
                                    at
                                } else {
                                    size
                                }
                            }
                            None => {
                                if price {
                                    f64::NAN
                                } else {
                                    0.0
                                }
                            }
                        })
                        .collect()
                };
                source.push_quotes(
                    &INSTRUMENT,
                    &QuoteColumns {
                        ts_event: &ts_event,
                        ts_recv: &ts_recv,
                        bid_price: &part(|line| line.bid, true),
                        bid_size: &part(|line| line.bid, false),
                        ask_price: &part(|line| line.ask, true),
                        ask_size: &part(|line| line.ask, false),
                    },
                )
            }
            Schema::Trades => source.push_trades(
                &INSTRUMENT,
                &TradeColumns { ts_event: &ts_event, ts_recv: &ts_recv, price: &price, size: &size, aggressor: &side },
            ),
        };
        pushed.unwrap_or_else(|bad| panic!("a line of the scenario is bad: {bad:?}"));
    }
}

/// Feeds, latencies and fees.
#[derive(Clone, Debug, Default)]
pub struct World {
    pub feeds: Vec<Feed>,
    pub latency: Latency,
    pub fees: Fees,
    pub refill: Refill,
    /// Where conditions turn true: source, row and number of the condition, rows of a source in order.
    pub edges: Vec<(u16, u64, u32)>,
    /// Venues act on every row when its time comes, even where nobody could tell: an alarm that never rings sees to it.
    pub row_by_row: bool,
    /// When every instrument expires.
    pub expiry: Option<i64>,
}

/// What a run left behind.
pub struct Played {
    pub kernel: Kernel<Vec<u8>>,
    pub result: Result<(), KernelError>,
    /// What `look_ahead` told.
    pub ahead: Vec<(u16, Observation)>,
    pub venues: Vec<SimVenue>,
}

impl Played {
    pub fn digest(&self) -> String {
        self.kernel.journal.digest()
    }

    pub fn journal(&self) -> &[u8] {
        self.kernel.journal.storage()
    }

    pub fn fills(&self) -> Vec<String> {
        self.kernel.fills.iter().map(fill_text).collect()
    }

    /// Closed orders by id, as text.
    pub fn closed(&self) -> Vec<String> {
        let mut closed: Vec<&Order> = self.kernel.closed.iter().collect();
        closed.sort_by_key(|order| order.id);
        closed.into_iter().map(order_text).collect()
    }
}

pub fn fill_text(fill: &Fill) -> String {
    let side = if fill.side == Side::Buy { "buy" } else { "sell" };
    let ahead = fill.ahead.map_or(String::new(), |ahead| format!(", {ahead} ahead"));
    let reason = format!("{:?}", fill.reason).to_lowercase();
    format!("{} #{} {side} {}@{} {reason}{ahead}", fill.ts, fill.order, fill.qty, fill.price)
}

pub fn order_text(order: &Order) -> String {
    let end = match order.end {
        OrderEnd::None => String::new(),
        OrderEnd::Rejected(reason) => format!(" ({reason:?})"),
        OrderEnd::Cancelled(reason) => format!(" ({reason:?})"),
    };
    format!("#{} {:?}{end}, {} of {}", order.id, order.state, order.filled, order.qty)
}

impl World {
    pub fn mbo(text: &str) -> World {
        World { feeds: vec![Feed::read(0, Schema::Mbo, text)], ..World::default() }
    }

    pub fn levels(text: &str) -> World {
        World { feeds: vec![Feed::read(0, Schema::Mbp, text)], ..World::default() }
    }

    pub fn quotes(text: &str) -> World {
        World { feeds: vec![Feed::read(0, Schema::Quotes, text)], ..World::default() }
    }

    pub fn and_trades(self, text: &str) -> World {
        self.and(0, Schema::Trades, text)
    }

    pub fn and(mut self, instrument: u16, schema: Schema, text: &str) -> World {
        self.feeds.push(Feed::read(instrument, schema, text));
        self
    }

    pub fn latency(mut self, feed_ns: i64, entry_ns: i64, response_ns: i64) -> World {
        self.latency = Latency { feed_ns, entry_ns, response_ns };
        self
    }

    /// Runs a strategy with every feed in one chunk.
    pub fn play<S: Strategy>(&self, strategy: &mut S) -> Played {
        self.play_in_chunks(strategy, |_| usize::MAX)
    }

    /// Runs a strategy; `rows` says how many rows the next chunk of a source has.
    pub fn play_in_chunks<S: Strategy>(&self, strategy: &mut S, mut rows: impl FnMut(usize) -> usize) -> Played {
        let count = 1 + self.feeds.iter().map(|feed| feed.instrument as usize).max().unwrap_or(0);
        let market = |at: usize| {
            let is_deep = self.feeds.iter().any(|feed| feed.instrument as usize == at && feed.schema.is_deep());
            if is_deep { Market::deep() } else { Market::default() }
        };
        let markets: Vec<Market> = (0..count).map(market).collect();
        let sources = self.feeds.iter().map(|feed| Source::new(feed.instrument, feed.schema, self.latency.feed_ns, 0));
        let rules = Rules { expiry: Nanos(self.expiry.unwrap_or(i64::MAX)), ..Rules::NONE };
        let venues = vec![SimVenue::new(self.refill).expiring(rules.expiry); count];
        let mut simulation = Simulation::new(sources.collect(), venues, &markets, self.latency);
        let mut desk = Desk::new(vec![INSTRUMENT; count], markets, vec![CASH]);
        desk.rules = vec![rules; count];
        let journal = Journal::new(Vec::new(), self.feeds.len(), "{}");
        let mut kernel = Kernel::new(desk, journal, self.fees, self.feeds.len(), 1_000);
        if self.row_by_row {
            simulation.set_alarms([Alarm { source: 0, row: u64::MAX, alarm: 0 }]);
        }
        for &(source, row, condition) in &self.edges {
            kernel.add_edges(source, [(row, condition)]);
        }
        let mut ahead = Vec::new();
        let mut at = vec![0_usize; self.feeds.len()];
        let mut stopped = false;
        let mut step = || -> Result<(), KernelError> {
            loop {
                match kernel.run(&mut simulation, strategy, 5)? {
                    Progress::Paused => {}
                    Progress::Ended if stopped => return Ok(()),
                    Progress::Ended => {
                        stopped = true;
                        kernel.stop(&mut simulation, strategy)?;
                    }
                    Progress::NeedsData(source) => {
                        let (feed, from) = (&self.feeds[source as usize], at[source as usize]);
                        let to = from.saturating_add(rows(source as usize).max(1)).min(feed.lines.len());
                        if from == to {
                            simulation.end(source);
                        } else {
                            let push = |source: &mut Source| -> Result<(), ()> {
                                feed.push(source, from, to);
                                Ok(())
                            };
                            simulation.push(source, push).unwrap();
                            at[source as usize] = to;
                        }
                        simulation.look_ahead(|seen| ahead.push((seen.instrument, seen.what)));
                    }
                }
            }
        };
        let result = step();
        kernel.journal.end();
        Played { kernel, result, ahead, venues: simulation.venues().to_vec() }
    }
}

/// A strategy made of one function.
pub struct Plan<F>(pub F);

impl<F: FnMut(&mut Desk, Wake<'_>) -> Result<(), Halt>> Strategy for Plan<F> {
    fn wants(&self) -> Wants {
        Wants { trades: true, quotes: true, books: true, orders: true, fills: true }
    }

    fn wake(&mut self, desk: &mut Box<Desk>, wake: Wake<'_>) -> Result<(), Halt> {
        (self.0)(desk, wake)
    }
}

/// A strategy made of one function that is woken for conditions, orders, fills and timers, and sees rows or does not.
pub struct OnEdges<F> {
    pub sees_rows: bool,
    pub act: F,
}

impl<F: FnMut(&mut Desk, Wake<'_>)> Strategy for OnEdges<F> {
    fn wants(&self) -> Wants {
        let rows = self.sees_rows;
        Wants { trades: rows, quotes: rows, books: rows, orders: true, fills: true }
    }

    fn wake(&mut self, desk: &mut Box<Desk>, wake: Wake<'_>) -> Result<(), Halt> {
        if !matches!(wake, Wake::Trade(_) | Wake::Quote(_) | Wake::Book(_)) {
            (self.act)(desk, wake);
        }
        Ok(())
    }
}

/// A limit order.
pub fn limit(side: Side, qty: i64, price: i64) -> Ticket {
    Ticket {
        instrument: 0,
        side,
        qty: Lots(qty),
        limit: Some(Ticks(price)),
        tif: TimeInForce::Gtc,
        post_only: false,
        self_trade: SelfTrade::Allow,
        tag: None,
    }
}

pub fn buy(qty: i64, price: i64) -> Ticket {
    limit(Side::Buy, qty, price)
}

pub fn sell(qty: i64, price: i64) -> Ticket {
    limit(Side::Sell, qty, price)
}

pub fn market(side: Side, qty: i64) -> Ticket {
    Ticket { limit: None, tif: TimeInForce::Ioc, ..limit(side, qty, 0) }
}

/// Runs `act(desk, n)` at the n-th time that the best prices change, and logs every change of an order with kernel time.
pub fn at_quotes(world: &World, mut act: impl FnMut(&mut Desk, usize)) -> (Played, Vec<String>) {
    let mut log = Vec::new();
    let mut quotes = 0;
    let played = world.play(&mut Plan(|desk: &mut Desk, wake: Wake<'_>| {
        match wake {
            Wake::Quote(_) => {
                quotes += 1;
                act(desk, quotes);
            }
            Wake::Order(order) => log.push(format!("{} {}", desk.now, order_text(order))),
            _ => {}
        }
        Ok(())
    }));
    (played, log)
}
