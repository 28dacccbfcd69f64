//! Random worlds and random strategies, each a function of its seed.

use cift_sim::desk::{Desk, Ticket};
use cift_sim::feed::Schema;
use cift_sim::kernel::Wake;
use cift_sim::matching::{SelfTrade, TimeInForce};
use cift_sim::types::{Lots, Nanos, OrderId, Side, Ticks};

use crate::world::{Feed, Line, World, limit, market};

/// A small generator of numbers; equal seeds give equal numbers.
pub struct Chance {
    state: u64,
    /// What a strategy may still ask for: each answer wakes it, so it would never come to rest.
    patience: u32,
}

impl Chance {
    pub fn new(seed: u64) -> Self {
        Chance { state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1, patience: 120 }
    }

    /// A number below `end`.
    pub fn below(&mut self, end: i64) -> i64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 33) as i64 % end
    }

    fn one_in(&mut self, n: i64) -> bool {
        self.below(n) == 0
    }

    fn side(&mut self) -> Side {
        if self.one_in(2) { Side::Buy } else { Side::Sell }
    }
}

fn times(chance: &mut Chance, ts: &mut i64, line: &mut Line) {
    // Many equal stamps, some that run backwards, some rows without a time of receipt.
    *ts += [0, 0, 0, 1, 2, 30, 400][chance.below(7) as usize];
    line.ts = *ts - if chance.one_in(9) { chance.below(5) } else { 0 };
    line.received = chance.one_in(2).then(|| line.ts + chance.below(90));
}

fn mbo(chance: &mut Chance, rows: usize) -> Vec<Line> {
    let mut ts = 1_000 + chance.below(50);
    let mut lines = Vec::new();
    let mut known: Vec<u64> = Vec::new();
    for n in 0..rows {
        let mut line = Line { flags: if chance.one_in(4) { 0 } else { 128 }, ..Line::default() };
        times(chance, &mut ts, &mut line);
        let stands = chance.side();
        line.side = if stands == Side::Buy { b'B' } else { b'A' };
        // Around 100, now and then through the other side.
        let away = chance.below(6) - i64::from(chance.one_in(5)) * 2;
        line.price = (100 - stands.sign() * away) as f64;
        line.size = (1 + chance.below(9)) as f64;
        line.id = known.get(chance.below(known.len().max(1) as i64) as usize).copied().unwrap_or(999);
        line.action = match chance.below(20) {
            0..=9 => {
                line.id = n as u64 + 1;
                known.push(line.id);
                b'A'
            }
            10..=12 => b'C',
            13 | 14 => b'M',
            15 | 16 => {
                line.side = [b'B', b'A', b'N'][chance.below(3) as usize];
                b'T'
            }
            17 | 18 => b'F',
            _ if chance.one_in(6) => b'R',
            _ => b'C',
        };
        lines.push(line);
    }
    lines
}

fn quotes(chance: &mut Chance, rows: usize) -> Vec<Line> {
    let mut ts = 1_000 + chance.below(50);
    let mut mid = 100;
    (0..rows)
        .map(|_| {
            let mut line = Line { flags: 128, ..Line::default() };
            times(chance, &mut ts, &mut line);
            mid += chance.below(3) - 1;
            let side = |chance: &mut Chance, price: i64| {
                let size = (1 + chance.below(9)) as f64;
                (!chance.one_in(12)).then_some((size, price as f64))
            };
            line.bid = side(chance, mid - 1);
            line.ask = side(chance, mid + 1);
            line
        })
        .collect()
}

fn levels(chance: &mut Chance, rows: usize) -> Vec<Line> {
    let mut ts = 1_000 + chance.below(50);
    (0..rows)
        .map(|_| {
            // An event often has several rows.
            let mut line = Line { flags: if chance.one_in(3) { 0 } else { 128 }, ..Line::default() };
            times(chance, &mut ts, &mut line);
            line.action = if chance.one_in(40) { b'R' } else { b'S' };
            line.side = [b'B', b'A'][chance.below(2) as usize];
            let away = chance.below(5) - i64::from(chance.one_in(12)) * 3;
            line.price = (100 + if line.side == b'B' { -1 - away } else { away }) as f64;
            line.size = if chance.one_in(4) { 0.0 } else { (1 + chance.below(9)) as f64 };
            line
        })
        .collect()
}

fn trades(chance: &mut Chance, rows: usize) -> Vec<Line> {
    let mut ts = 1_000 + chance.below(50);
    (0..rows)
        .map(|_| {
            let mut line = Line { flags: 128, ..Line::default() };
            times(chance, &mut ts, &mut line);
            line.price = (96 + chance.below(9)) as f64 + if chance.one_in(6) { 0.5 } else { 0.0 };
            line.size = (1 + chance.below(9)) as f64;
            line.side = [b'B', b'A', b'N'][chance.below(3) as usize];
            line
        })
        .collect()
}

/// One to three instruments, each with orders, or with levels or quotes, and prints.
pub fn world(seed: u64) -> World {
    let mut chance = Chance::new(seed);
    let mut world = World::default();
    for instrument in 0..1 + chance.below(3) as u16 {
        let rows = 20 + chance.below(60) as usize;
        let schema = [Schema::Mbo, Schema::Mbo, Schema::Quotes, Schema::Mbp][chance.below(4) as usize];
        let lines = match schema {
            Schema::Mbo => mbo(&mut chance, rows),
            Schema::Mbp => levels(&mut chance, rows),
            _ => quotes(&mut chance, rows),
        };
        world.feeds.push(Feed { instrument, schema, lines });
        if chance.one_in(2) || schema != Schema::Mbo {
            let lines = trades(&mut chance, rows);
            world.feeds.push(Feed { instrument, schema: Schema::Trades, lines });
        }
    }
    let leg = |chance: &mut Chance| [0, 1, 40][chance.below(3) as usize];
    let world = world.latency(leg(&mut chance), leg(&mut chance), leg(&mut chance));
    World { refill: if chance.one_in(3) { cift_sim::matching::Refill::NextEvent } else { Default::default() }, ..world }
}

/// Quotes that go to and fro between few prices, with prints around them: what ours leave behind is met again and again.
pub fn narrow_quotes(seed: u64) -> World {
    let mut chance = Chance::new(seed);
    let mut ts = 1_000;
    let mut bid = 100;
    let mut quotes = Vec::new();
    let mut prints = Vec::new();
    for _ in 0..120 {
        let mut line = Line { flags: 128, ..Line::default() };
        ts += [0, 1, 10, 30][chance.below(4) as usize];
        line.ts = ts;
        if chance.one_in(3) {
            line.price = (bid + chance.below(4) - 1) as f64;
            line.size = (1 + chance.below(9)) as f64;
            line.side = [b'B', b'A', b'N'][chance.below(3) as usize];
            prints.push(line);
        } else {
            bid = (bid + chance.below(3) - 1).clamp(99, 101);
            let size = |chance: &mut Chance| (1 + chance.below(12)) as f64;
            line.bid = (!chance.one_in(20)).then(|| (size(&mut chance), bid as f64));
            line.ask = (!chance.one_in(20)).then(|| (size(&mut chance), (bid + 1 + chance.below(2)) as f64));
            quotes.push(line);
        }
    }
    let mut world = World::default();
    world.feeds.push(Feed { instrument: 0, schema: Schema::Quotes, lines: quotes });
    world.feeds.push(Feed { instrument: 0, schema: Schema::Trades, lines: prints });
    let leg = |chance: &mut Chance| [0, 0, 5][chance.below(3) as usize];
    let world = world.latency(leg(&mut chance), leg(&mut chance), leg(&mut chance));
    World { refill: if chance.one_in(4) { cift_sim::matching::Refill::NextEvent } else { Default::default() }, ..world }
}

/// Orders at and around the prices of [`narrow_quotes`], and their cancels.
pub fn trade_near(chance: &mut Chance, desk: &mut Desk) {
    let open: Vec<OrderId> = desk.open_orders().map(|order| order.id).collect();
    for id in open {
        if chance.one_in(2) {
            desk.cancel(id).unwrap();
        }
    }
    for _ in 0..chance.below(3) {
        let (side, qty) = (chance.side(), 1 + chance.below(9));
        let ticket = if chance.one_in(3) { market(side, qty) } else { limit(side, qty, 99 + chance.below(4)) };
        desk.submit(&ticket).unwrap();
    }
}

/// What a strategy without any sense asks for when it is woken.
pub fn act(chance: &mut Chance, desk: &mut Desk, wake: &Wake<'_>) {
    if chance.patience == 0 || chance.one_in(3) || matches!(wake, Wake::Stop) && chance.one_in(2) {
        return;
    }
    for _ in 0..1 + chance.below(2) {
        chance.patience = chance.patience.saturating_sub(1);
        let instrument = chance.below(desk.markets.len() as i64) as u16;
        let open: Vec<OrderId> = desk.open_orders().map(|order| order.id).collect();
        let some = open.get(chance.below(open.len().max(1) as i64) as usize).copied().unwrap_or(OrderId(1));
        // A verb that is refused changes nothing, and this strategy does not care.
        let _refused = match chance.below(10) {
            0..=3 => {
                let side = chance.side();
                let price = 100 - side.sign() * (chance.below(6) - 1);
                let tif = [TimeInForce::Gtc, TimeInForce::Gtc, TimeInForce::Gtc, TimeInForce::Ioc, TimeInForce::Fok]
                    [chance.below(5) as usize];
                let post_only = tif == TimeInForce::Gtc && chance.one_in(3);
                let self_trade =
                    [SelfTrade::Allow, SelfTrade::CancelNewest, SelfTrade::CancelOldest, SelfTrade::CancelBoth]
                        [chance.below(4) as usize];
                let qty = 1 + chance.below(12);
                desk.submit(&Ticket { instrument, tif, post_only, self_trade, ..limit(side, qty, price) }).map(drop)
            }
            4 => desk.submit(&Ticket { instrument, ..market(chance.side(), 1 + chance.below(5)) }).map(drop),
            5 => desk.cancel(some),
            6 | 7 => {
                let price = chance.one_in(2).then(|| Ticks(96 + chance.below(9)));
                let qty = chance.one_in(2).then(|| Lots(1 + chance.below(12)));
                desk.modify(some, price, qty)
            }
            8 => desk.target(instrument, Lots(chance.below(21) - 10), None).map(drop),
            _ => {
                desk.set_timer(Nanos(desk.now.0 + chance.below(200)));
                if chance.one_in(4) { desk.close(instrument, None).map(drop) } else { Ok(()) }
            }
        };
    }
}
