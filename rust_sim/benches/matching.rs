//! What one command of the matching engine costs.
//!
//! `cargo bench --bench matching` prints, first as text, the distribution of single commands and the worst of them while a
//! book of a million orders is built; then criterion's figures: W4 (60 % add, 35 % cancel by id, 5 % marketable, of one
//! book) on a small and on a large book, the same flow as a record, and two floors: a bare price ladder without ids, events
//! or checks, and the same behind a hash of ids. What far memory costs differs from machine to machine and from hour to hour;
//! the second floor, in the same run, says what it costs here and now. The stream is that of the peers' comparison, so that
//! its figures stand beside ours.

// A benchmark reads the clock; the engine never does.
#![allow(clippy::disallowed_types)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use cift_sim::matching::{
    Event, Input, MatchingEngine, NewOrder, OrderInput, Party, RecordInput, SelfTrade, Sink, TimeInForce, Trade,
};
use cift_sim::types::{Lots, Nanos, OrderId, OwnerId, Side, Ticks};
use criterion::{BatchSize, Criterion, SamplingMode, Throughput};

// ------------------------------------------------------------------------------------------------ the floor

const NIL: u32 = u32::MAX;
const BASE: u32 = 50_000;
const WIDTH: u32 = 100_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Add,
    Cancel,
    Market,
}

#[derive(Clone, Copy)]
struct Op {
    kind: Kind,
    buy: bool,
    price: u32,
    qty: u32,
    id: u32,
}

#[derive(Clone, Copy)]
struct Slot {
    next: u32,
    prev: u32,
    qty: u32,
    price: u32,
}

#[derive(Clone, Copy)]
struct Level {
    head: u32,
    tail: u32,
    orders: u32,
}

/// One array of levels and one of orders, found by index: the least that a book can do. It also makes the stream.
#[derive(Clone)]
struct Ladder {
    levels: Vec<Level>,
    orders: Vec<Slot>,
    bid: u32,
    ask: u32,
    fills: u64,
    lots: u64,
}

impl Ladder {
    fn new(orders: usize) -> Self {
        Ladder {
            levels: vec![Level { head: NIL, tail: NIL, orders: 0 }; WIDTH as usize],
            orders: vec![Slot { next: NIL, prev: NIL, qty: 0, price: 0 }; orders],
            bid: BASE,
            ask: BASE + WIDTH - 1,
            fills: 0,
            lots: 0,
        }
    }

    fn level(&mut self, price: u32) -> &mut Level {
        &mut self.levels[(price - BASE) as usize]
    }

    fn find_best(&mut self) {
        while self.bid > BASE && self.levels[(self.bid - BASE) as usize].orders == 0 {
            self.bid -= 1;
        }
        while self.ask < BASE + WIDTH - 1 && self.levels[(self.ask - BASE) as usize].orders == 0 {
            self.ask += 1;
        }
    }

    fn add(&mut self, op: &Op) {
        let tail = self.level(op.price).tail;
        self.orders[op.id as usize] = Slot { next: NIL, prev: tail, qty: op.qty, price: op.price };
        if tail != NIL {
            self.orders[tail as usize].next = op.id;
        }
        let level = self.level(op.price);
        if tail == NIL {
            level.head = op.id;
        }
        level.tail = op.id;
        level.orders += 1;
        if op.buy {
            self.bid = self.bid.max(op.price);
        } else {
            self.ask = self.ask.min(op.price);
        }
    }

    fn remove(&mut self, id: u32) {
        let order = self.orders[id as usize];
        if order.qty == 0 {
            return;
        }
        self.orders[id as usize].qty = 0;
        if order.prev != NIL {
            self.orders[order.prev as usize].next = order.next;
        }
        if order.next != NIL {
            self.orders[order.next as usize].prev = order.prev;
        }
        let level = self.level(order.price);
        if order.prev == NIL {
            level.head = order.next;
        }
        if order.next == NIL {
            level.tail = order.prev;
        }
        level.orders -= 1;
        if level.orders == 0 {
            self.find_best();
        }
    }

    /// Takes `qty` off the other side and tells whom it hit, by how much, and whether that was all of it.
    fn market(&mut self, buy: bool, qty: u32, mut hit: impl FnMut(u32, u32, bool)) {
        let mut left = qty;
        while left > 0 {
            let price = if buy { self.ask } else { self.bid };
            let head = self.level(price).head;
            if head == NIL {
                return;
            }
            let part = left.min(self.orders[head as usize].qty);
            left -= part;
            self.fills += 1;
            self.lots += u64::from(part);
            let is_gone = part == self.orders[head as usize].qty;
            hit(head, part, is_gone);
            if is_gone {
                self.remove(head);
            } else {
                self.orders[head as usize].qty -= part;
            }
        }
    }

    fn apply(&mut self, op: &Op) {
        match op.kind {
            Kind::Add => self.add(op),
            Kind::Cancel => self.remove(op.id),
            Kind::Market => self.market(op.buy, op.qty, |_, _, _| {}),
        }
    }
}

/// The slots of orders by the ids that the outside world uses: open addressing, sized once.
#[derive(Clone)]
struct Names {
    keys: Vec<u64>,
    slots: Vec<u32>,
    id_of: Vec<u64>,
    free: Vec<u32>,
}

impl Names {
    const FREE: u64 = 0;

    fn new(orders: usize) -> Self {
        let size = (2 * orders).next_power_of_two();
        let free = (0..orders as u32).rev().collect();
        Names { keys: vec![Self::FREE; size], slots: vec![0; size], id_of: vec![0; orders], free }
    }

    fn home(&self, id: u64) -> usize {
        (id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize & (self.keys.len() - 1)
    }

    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.keys.len() - 1)
    }

    /// Where an id is, or the free place where it would be.
    fn find(&self, id: u64) -> usize {
        let mut at = self.home(id);
        while self.keys[at] != id && self.keys[at] != Self::FREE {
            at = self.after(at);
        }
        at
    }

    fn add(&mut self, id: u64) -> u32 {
        let at = self.find(id);
        assert!(self.keys[at] == Self::FREE, "the stream uses no id twice");
        let slot = self.free.pop().expect("fewer orders than slots");
        (self.keys[at], self.slots[at], self.id_of[slot as usize]) = (id, slot, id);
        slot
    }

    fn remove(&mut self, id: u64) -> u32 {
        let mut gap = self.find(id);
        let slot = self.slots[gap];
        self.free.push(slot);
        // What found this place in use moves up to it.
        let mut at = self.after(gap);
        while self.keys[at] != Self::FREE {
            let mask = self.keys.len() - 1;
            if at.wrapping_sub(self.home(self.keys[at])) & mask >= at.wrapping_sub(gap) & mask {
                (self.keys[gap], self.slots[gap]) = (self.keys[at], self.slots[at]);
                gap = at;
            }
            at = self.after(at);
        }
        self.keys[gap] = Self::FREE;
        slot
    }
}

/// The floor behind a hash of ids: the least that a book with ids can do.
#[derive(Clone)]
struct NamedLadder {
    ladder: Ladder,
    names: Names,
}

impl NamedLadder {
    fn new(orders: usize) -> Self {
        NamedLadder { ladder: Ladder::new(orders), names: Names::new(orders) }
    }

    fn apply(&mut self, op: &Op) {
        let NamedLadder { ladder, names } = self;
        let id = outside(op.id).0;
        match op.kind {
            Kind::Add => ladder.add(&Op { id: names.add(id), ..*op }),
            Kind::Cancel => ladder.remove(names.remove(id)),
            Kind::Market => ladder.market(op.buy, op.qty, |maker, _, is_gone| {
                if is_gone {
                    names.remove(names.id_of[maker as usize]);
                }
            }),
        }
    }
}

// ------------------------------------------------------------------------------------------------ the stream

/// splitmix64, as in the peers' comparison: the same numbers.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        ((self.next() >> 32) * n) >> 32
    }
}

/// `prefill` adds, then `n` mixed operations whose every cancel hits a live order.
fn stream(n: usize, prefill: usize) -> Vec<Op> {
    let mut rng = Rng(42);
    let total = n + prefill;
    let mut book = Ladder::new(total + 1);
    let mut live: Vec<u32> = Vec::with_capacity(total);
    let mut ops: Vec<Op> = Vec::with_capacity(total);
    let mut id = 0;
    while ops.len() < total {
        let u = rng.below(100);
        let op = if ops.len() < prefill || u < 60 {
            let buy = rng.below(2) == 0;
            // Dense near the touch: 1 to 40 ticks from the opposite best.
            let distance = 1 + (rng.below(40) * rng.below(40) / 40) as u32;
            let bid = if book.bid == BASE { 99_999 } else { book.bid };
            let ask = if book.ask == BASE + WIDTH - 1 { 100_001 } else { book.ask };
            let price = if buy { ask - distance } else { bid + distance };
            live.push(id);
            id += 1;
            Op { kind: Kind::Add, buy, price, qty: 1 + rng.below(10) as u32, id: id - 1 }
        } else if u < 95 {
            let mut hit = None;
            while hit.is_none() && !live.is_empty() {
                let candidate = live.swap_remove(rng.below(live.len() as u64) as usize);
                hit = (book.orders[candidate as usize].qty > 0).then_some(candidate);
            }
            let Some(id) = hit else { continue };
            Op { kind: Kind::Cancel, buy: false, price: 0, qty: 0, id }
        } else {
            id += 1;
            Op { kind: Kind::Market, buy: rng.below(2) == 0, price: 0, qty: 1 + rng.below(50) as u32, id: id - 1 }
        };
        book.apply(&op);
        ops.push(op);
    }
    ops
}

/// The id that the outside world knows an order by.
fn outside(id: u32) -> OrderId {
    OrderId((u64::from(id) + 2).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 2)
}

fn side(buy: bool) -> Side {
    if buy { Side::Buy } else { Side::Sell }
}

impl Op {
    #[inline(always)]
    fn input(&self) -> Input {
        let id = outside(self.id);
        let owner = OwnerId(0);
        if self.kind == Kind::Cancel {
            return Input::Order(OrderInput::Cancel { id, owner });
        }
        Input::Order(OrderInput::New(NewOrder {
            id,
            owner,
            side: side(self.buy),
            limit: (self.kind == Kind::Add).then_some(Ticks(i64::from(self.price))),
            qty: Lots(i64::from(self.qty)),
            tif: TimeInForce::Gtc,
            post_only: false,
            self_trade: SelfTrade::Allow,
        }))
    }
}

/// The same flow as history: adds, reductions, and an execution for each order that a market order hit.
fn as_record(ops: &[Op]) -> Vec<RecordInput> {
    let mut book = Ladder::new(ops.len() + 1);
    let mut records = Vec::with_capacity(2 * ops.len());
    for op in ops {
        let id = outside(op.id);
        match op.kind {
            Kind::Add => {
                let (price, qty) = (Ticks(i64::from(op.price)), Lots(i64::from(op.qty)));
                records.push(RecordInput::Add { id, side: side(op.buy), price, qty, snapshot: false });
                book.add(op);
            }
            Kind::Cancel => {
                let qty = Lots(i64::from(book.orders[op.id as usize].qty));
                records.push(RecordInput::Reduce { id, qty });
                book.remove(op.id);
            }
            Kind::Market => book.market(op.buy, op.qty, |maker, qty, _| {
                records.push(RecordInput::Execute { id: outside(maker), qty: Lots(i64::from(qty)) });
            }),
        }
    }
    records
}

/// Counts fills, as a venue would hand them on.
#[derive(Default)]
struct Fills {
    count: u64,
    lots: i64,
}

impl Sink for Fills {
    #[inline(always)]
    fn event(&mut self, event: Event) {
        if let Event::Trade(Trade { qty, taker: Party::Order { .. }, .. }) = event {
            self.count += 1;
            self.lots += qty.0;
        }
    }
}

fn apply_all(engine: &mut MatchingEngine, ops: &[Op]) -> Fills {
    let mut fills = Fills::default();
    for op in ops {
        engine.apply(Nanos(0), &op.input(), &mut fills);
    }
    fills
}

// ------------------------------------------------------------------------------------------------ one by one

fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().filter(|word| !word.is_empty()).unwrap_or("unknown").to_owned()
}

/// What the clock itself costs, in nanoseconds.
fn clock_ns() -> u64 {
    let mut costs: Vec<u64> = (0..10_001).map(|_| Instant::now().elapsed().as_nanos() as u64).collect();
    costs.sort_unstable();
    costs[costs.len() / 2]
}

fn timed(engine: &mut MatchingEngine, input: &Input, fills: &mut Fills, clock: u64) -> u64 {
    let start = Instant::now();
    engine.apply(Nanos(0), black_box(input), fills);
    (start.elapsed().as_nanos() as u64).saturating_sub(clock)
}

fn distribution(name: &str, ops: &[Op], prefill: usize) {
    let clock = clock_ns();
    let mut engine = MatchingEngine::new();
    let mut fills = Fills::default();
    apply_all(&mut engine, &ops[..prefill]);
    let mut times: [Vec<u64>; 3] = Default::default();
    for op in &ops[prefill..] {
        times[op.kind as usize].push(timed(&mut engine, &op.input(), &mut fills, clock));
    }
    let all: Vec<u64> = times.concat();
    for (kind, mut times) in ["all", "add", "cancel", "market"].into_iter().zip([vec![all], times.into()].concat()) {
        times.sort_unstable();
        let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
        println!(
            "{name:<22} {kind:<7} p50 {:>4}  p99 {:>5}  p99.9 {:>6}  worst {:>9} ns",
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0)
        );
    }
}

/// The worst single command while a book of a million orders is built, and what a sweep of all of it costs for each fill.
fn worst(name: &str, price_of: impl Fn(u64) -> i64) {
    const N: u64 = 1_000_000;
    let clock = clock_ns();
    let mut engine = MatchingEngine::new();
    let mut fills = Fills::default();
    let order = |id: u64, side, limit, qty| {
        let (owner, tif, self_trade) = (OwnerId(0), TimeInForce::Gtc, SelfTrade::Allow);
        let new = NewOrder { id: OrderId(id), owner, side, limit, qty: Lots(qty), tif, post_only: false, self_trade };
        Input::Order(OrderInput::New(new))
    };
    let mut slowest = 0;
    for id in 0..N {
        let input = order(id, Side::Sell, Some(Ticks(price_of(id))), 1);
        slowest = slowest.max(timed(&mut engine, &input, &mut fills, clock));
    }
    let sweep = timed(&mut engine, &order(N, Side::Buy, None, N as i64), &mut fills, clock);
    assert_eq!(fills.count, N);
    println!(
        "{name:<22} worst add {:>7.1} us, a sweep of all {:>5.1} ns a fill",
        slowest as f64 / 1e3,
        sweep as f64 / N as f64
    );
}

fn print_single_commands() {
    println!("single commands, load {}, clock of {} ns taken off", load(), clock_ns());
    for (name, prefill) in [("W4, 5 k resting", 5_000), ("W4, 300 k resting", 300_000)] {
        distribution(name, &stream(1_000_000, prefill), prefill);
    }
    worst("10^6 orders, one level", |_| 100);
    worst("10^6 levels, dense", |n| (n * 611_953 % 1_000_000) as i64);
    worst("10^6 levels, spread", |n| (n * 611_953 % 1_000_000) as i64 * 1_000);
    println!();
}

// ------------------------------------------------------------------------------------------------ all together

fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("matching");
    group.sampling_mode(SamplingMode::Flat).sample_size(10).warm_up_time(Duration::from_secs(1));
    for (name, prefill) in [("5k", 5_000), ("300k", 300_000)] {
        let ops = stream(1_000_000, prefill);
        let mut floor = Ladder::new(ops.len() + 1);
        ops[..prefill].iter().for_each(|op| floor.apply(op));
        let (before, mut after) = (floor.clone(), floor);
        ops[prefill..].iter().for_each(|op| after.apply(op));
        if prefill == 5_000 {
            assert_eq!(after.fills, 273_933, "not the stream of the peers' comparison");
        }

        let mut engine = MatchingEngine::new();
        apply_all(&mut engine, &ops[..prefill]);
        group.throughput(Throughput::Elements(1_000_000));
        group.bench_function(format!("w4_{name}"), |bencher| {
            bencher.iter_batched_ref(
                || engine.clone(),
                |engine| {
                    let fills = apply_all(engine, &ops[prefill..]);
                    assert_eq!((fills.count, fills.lots as u64), (after.fills, after.lots));
                    let best = |side| engine.book().best(side).map(|(price, _)| price.0 as u32);
                    assert_eq!((best(Side::Buy), best(Side::Sell)), (Some(after.bid), Some(after.ask)));
                },
                BatchSize::PerIteration,
            );
        });
        group.bench_function(format!("floor_{name}"), |bencher| {
            bencher.iter_batched_ref(
                || before.clone(),
                |book| ops[prefill..].iter().for_each(|op| book.apply(op)),
                BatchSize::PerIteration,
            );
        });

        // As in the peers' comparison: room for 65,536 orders, or for a million.
        let mut named = NamedLadder::new((3 * prefill).next_power_of_two().max(1 << 16));
        ops[..prefill].iter().for_each(|op| named.apply(op));
        group.bench_function(format!("floor_with_ids_{name}"), |bencher| {
            bencher.iter_batched_ref(
                || named.clone(),
                |book| {
                    ops[prefill..].iter().for_each(|op| book.apply(op));
                    assert_eq!((book.ladder.fills, book.ladder.lots), (after.fills, after.lots));
                },
                BatchSize::PerIteration,
            );
        });

        let records = as_record(&ops);
        let (start, rest) = records.split_at(prefill);
        let mut engine = MatchingEngine::new();
        let mut fills = Fills::default();
        start.iter().for_each(|record| engine.apply(Nanos(0), &Input::Record(*record), &mut fills));
        group.throughput(Throughput::Elements(rest.len() as u64));
        group.bench_function(format!("w4_records_{name}"), |bencher| {
            bencher.iter_batched_ref(
                || engine.clone(),
                |engine| {
                    rest.iter().for_each(|record| engine.apply(Nanos(0), &Input::Record(*record), &mut fills));
                    let best = |side| engine.book().best(side).map(|(price, _)| price.0 as u32);
                    assert_eq!((best(Side::Buy), best(Side::Sell)), (Some(after.bid), Some(after.ask)));
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    // Only where everything is asked for: `cargo bench` passes --bench and nothing else.
    if std::env::args().skip(1).all(|arg| arg == "--bench") {
        print_single_commands();
    }
    benches(&mut criterion);
    criterion.final_summary();
}
