//! The edges of the engine (M8): extreme prices and sizes, a million orders or levels, and memory.
//!
//! Steps and allocations are counted here; times are the business of `cargo bench --bench matching`.

// The streams are shared with the reference test, which uses more of them.
#[allow(dead_code)]
mod flow;
#[allow(dead_code)]
mod reference;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use cift_sim::matching::{
    Anomaly, CancelReason, Event, FillReason, Input, MatchingEngine, NewOrder, OrderInput, Party, RecordInput, Refill,
    RejectReason, SelfTrade, Sink, TimeInForce, Trade,
};
use cift_sim::types::{Family, Lots, MAX_LOTS, MAX_OWNERS, MAX_TICKS, Nanos, OrderId, OwnerId, Side, Ticks};

use flow::{Flow, Mix, Rng};
use reference::NaiveEngine;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

/// More than any command may ask for at once: what grows with the book grows in steps.
const TOO_LARGE: usize = 1 << 20;

/// The system's allocator, noting how often each thread asks it, and the most that it asks for.
struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; the counter is a plain cell of the calling thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        LARGEST.set(LARGEST.get().max(layout.size()));
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        LARGEST.set(LARGEST.get().max(size));
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        unsafe { System.dealloc(old, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Counts events and keeps none.
#[derive(Default)]
struct Tally {
    events: u64,
    trades: u64,
    lots: i128,
}

impl Sink for Tally {
    fn event(&mut self, event: Event) {
        self.events += 1;
        if let Event::Trade(trade) = event {
            self.trades += 1;
            self.lots += i128::from(trade.qty.0);
        }
    }
}

fn limit(id: u64, side: Side, price: i64, qty: i64) -> NewOrder {
    NewOrder {
        id: OrderId(id),
        owner: OwnerId(0),
        side,
        limit: Some(Ticks(price)),
        qty: Lots(qty),
        tif: TimeInForce::Gtc,
        post_only: false,
        self_trade: SelfTrade::Allow,
    }
}

fn new(order: NewOrder) -> Input {
    Input::Order(OrderInput::New(order))
}

fn send<S: Sink>(engine: &mut MatchingEngine, input: Input, sink: &mut S) {
    engine.apply(Nanos(0), &input, sink);
}

fn events(engine: &mut MatchingEngine, input: Input) -> Vec<Event> {
    let mut events = Vec::new();
    send(engine, input, &mut events);
    events
}

fn refused(order: NewOrder) -> Option<RejectReason> {
    let mut engine = MatchingEngine::new();
    let events = events(&mut engine, new(order));
    match events[..] {
        [Event::Rejected { reason, .. }] => {
            assert!(engine.book().is_empty(), "a refused order left something behind");
            Some(reason)
        }
        _ => None,
    }
}

#[test]
fn sizes_prices_and_owners_out_of_range_are_refused_by_name() {
    let plain = limit(1, Side::Buy, 100, 5);
    for (qty, reason) in [
        (i64::MIN, Some(RejectReason::SizeOutOfRange)),
        (-1, Some(RejectReason::SizeOutOfRange)),
        (0, Some(RejectReason::SizeOutOfRange)),
        (1, None),
        (MAX_LOTS, None),
        (MAX_LOTS + 1, Some(RejectReason::SizeOutOfRange)),
        (i64::MAX, Some(RejectReason::SizeOutOfRange)),
    ] {
        assert_eq!(refused(NewOrder { qty: Lots(qty), ..plain }), reason, "size {qty}");
    }
    for (price, reason) in [
        (i64::MIN, Some(RejectReason::PriceOutOfRange)),
        (-MAX_TICKS - 1, Some(RejectReason::PriceOutOfRange)),
        (-MAX_TICKS, None),
        (0, None),
        (MAX_TICKS, None),
        (MAX_TICKS + 1, Some(RejectReason::PriceOutOfRange)),
        (i64::MAX, Some(RejectReason::PriceOutOfRange)),
    ] {
        for side in [Side::Buy, Side::Sell] {
            assert_eq!(refused(NewOrder { side, limit: Some(Ticks(price)), ..plain }), reason, "price {price}");
        }
    }
    assert_eq!(refused(NewOrder { owner: OwnerId(MAX_OWNERS - 1), ..plain }), None);
    assert_eq!(refused(NewOrder { owner: OwnerId(MAX_OWNERS), ..plain }), Some(RejectReason::OwnerOutOfRange));
    assert_eq!(refused(NewOrder { owner: OwnerId(u32::MAX), ..plain }), Some(RejectReason::OwnerOutOfRange));
}

#[test]
fn the_largest_size_trades_at_the_largest_price() {
    for price in [MAX_TICKS, -MAX_TICKS, 0] {
        for side in [Side::Buy, Side::Sell] {
            let mut engine = MatchingEngine::new();
            send(&mut engine, new(limit(1, side, price, MAX_LOTS)), &mut Tally::default());
            let events = events(&mut engine, new(limit(u64::MAX, side.opposite(), price, MAX_LOTS)));
            let trade = Trade {
                taker: Party::Order { id: OrderId(u64::MAX), owner: OwnerId(0), left: Lots(0) },
                maker: Party::Order { id: OrderId(1), owner: OwnerId(0), left: Lots(0) },
                side: side.opposite(),
                price: Ticks(price),
                qty: Lots(MAX_LOTS),
                reason: FillReason::Queue,
            };
            assert_eq!(events[1..], [Event::Trade(trade)]);
            assert!(engine.book().is_empty());
        }
    }
}

#[test]
fn an_owner_with_the_largest_number_keeps_it() {
    let mut engine = MatchingEngine::new();
    let owner = OwnerId(MAX_OWNERS - 1);
    let order = NewOrder { owner, post_only: true, self_trade: SelfTrade::CancelBoth, ..limit(7, Side::Sell, 15, 3) };
    send(&mut engine, new(order), &mut Tally::default());
    assert_eq!(engine.book().get(OrderId(7), Family::Order).map(|order| order.owner), Some(owner));
    let gone = events(&mut engine, Input::Order(OrderInput::Cancel { id: OrderId(7), owner }));
    assert_eq!(gone, [Event::Cancelled { id: OrderId(7), owner, qty: Lots(3), reason: CancelReason::Requested }]);
}

#[test]
fn a_level_whose_total_would_overflow_takes_no_more() {
    let mut engine = MatchingEngine::new();
    let fits = (i64::MAX / MAX_LOTS) as u64;
    for id in 0..fits {
        assert!(matches!(events(&mut engine, new(limit(id, Side::Buy, 5, MAX_LOTS)))[..], [_, Event::Rested { .. }]));
    }
    let reject = |id| Event::Rejected { id: OrderId(id), owner: OwnerId(0), reason: RejectReason::LevelOverflow };
    assert_eq!(events(&mut engine, new(limit(fits, Side::Buy, 5, MAX_LOTS))), [reject(fits)]);
    // Elsewhere there is room, and an order that does not rest needs none.
    assert!(matches!(events(&mut engine, new(limit(fits, Side::Buy, 6, MAX_LOTS)))[..], [_, Event::Rested { .. }]));
    let to_full_level =
        OrderInput::Modify { id: OrderId(fits), owner: OwnerId(0), price: Ticks(5), qty: Lots(MAX_LOTS) };
    assert_eq!(events(&mut engine, Input::Order(to_full_level)), [reject(fits)]);
    let ioc = NewOrder { tif: TimeInForce::Ioc, ..limit(fits + 1, Side::Buy, 5, MAX_LOTS) };
    assert!(matches!(events(&mut engine, new(ioc))[..], [Event::Accepted { .. }, Event::Cancelled { .. }]));
    assert_eq!(engine.book().len() as u64, fits + 1);
}

#[test]
fn a_record_that_would_overflow_is_left_out() {
    let mut engine = MatchingEngine::new();
    let add = |id, side, price, qty| {
        Input::Record(RecordInput::Add { id: OrderId(id), side, price: Ticks(price), qty: Lots(qty), snapshot: false })
    };
    assert_eq!(events(&mut engine, add(1, Side::Buy, 10, i64::MAX)), []);
    assert_eq!(events(&mut engine, add(2, Side::Buy, 10, 1)), [Event::Anomaly(Anomaly::BadSize)]);
    assert_eq!(engine.book().get(OrderId(2), Family::Record), None);
    let modify = RecordInput::Modify { id: OrderId(3), side: Side::Buy, price: Ticks(10), qty: Lots(9) };
    send(&mut engine, add(3, Side::Buy, 8, 9), &mut Tally::default());
    assert_eq!(events(&mut engine, Input::Record(modify)), [Event::Anomaly(Anomaly::BadSize)]);
    assert_eq!(engine.book().get(OrderId(3), Family::Record).map(|order| order.price), Some(Ticks(8)));
}

/// Every kind of input with every extreme of price and size, thousands of times in random order, against the reference.
#[test]
fn extreme_inputs_never_panic_and_agree_with_the_reference() {
    let prices = [i64::MIN, -MAX_TICKS - 1, -MAX_TICKS, -1, 0, 1, MAX_TICKS, MAX_TICKS + 1, i64::MAX];
    let sizes = [i64::MIN, -1, 0, 1, 2, MAX_LOTS, MAX_LOTS + 1, i64::MAX];
    for seed in 0..40 {
        let mut rng = Rng(seed);
        let (mut engine, mut naive) = (MatchingEngine::new(), NaiveEngine::default());
        for step in 0..2_500 {
            let price = Ticks(prices[rng.below(prices.len() as u64) as usize]);
            let qty = Lots(sizes[rng.below(sizes.len() as u64) as usize]);
            let id = OrderId([0, 1, 2, u64::MAX][rng.below(4) as usize]);
            let owner = OwnerId([0, MAX_OWNERS - 1, MAX_OWNERS, u32::MAX][rng.below(4) as usize]);
            let side = [Side::Buy, Side::Sell][rng.below(2) as usize];
            let by_quotes = seed % 2 == 0;
            let input = match rng.below(10) {
                0..3 => new(NewOrder {
                    limit: (!rng.percent(10)).then_some(price),
                    post_only: rng.percent(10),
                    owner,
                    tif: [TimeInForce::Gtc, TimeInForce::Ioc, TimeInForce::Fok][rng.below(3) as usize],
                    ..limit(id.0, side, 0, qty.0)
                }),
                3 => Input::Order(OrderInput::Modify { id, owner, price, qty }),
                4 => Input::Record(RecordInput::Print { aggressor: None, price, exact: rng.percent(50), qty }),
                5 => Input::Order(OrderInput::Cancel { id, owner }),
                6 | 7 if by_quotes => Input::Record(RecordInput::Quote { side, best: Some((price, qty)) }),
                6 => Input::Record(RecordInput::Add { id, side, price, qty, snapshot: false }),
                7 => Input::Record(RecordInput::Modify { id, side, price, qty }),
                8 => Input::Record(RecordInput::Execute { id, qty }),
                _ => Input::Record(RecordInput::Reduce { id, qty }),
            };
            let (fast, mut slow) = (events(&mut engine, input), Vec::new());
            naive.apply(&input, &mut slow);
            assert_eq!(fast, slow, "seed {seed}, step {step}: {input:?}");
        }
    }
}

#[test]
fn a_million_orders_stand_on_one_level() {
    const N: u64 = 1_000_000;
    let mut engine = MatchingEngine::new();
    let mut tally = Tally::default();
    let mut most = 0;
    LARGEST.set(0);
    for id in 0..N {
        let before = ALLOCATIONS.get();
        send(&mut engine, new(limit(id, Side::Sell, 100, 1)), &mut tally);
        most = most.max(ALLOCATIONS.get() - before);
    }
    assert!(most <= 8, "one command allocated {most} times");
    assert!(LARGEST.get() < TOO_LARGE, "one command asked for {} bytes", LARGEST.get());
    assert_eq!(tally.events, 2 * N);
    let last = engine.book().ahead_of(OrderId(N - 1), Family::Order);
    assert_eq!(last, Some(Lots(N as i64 - 1)));
    // A cancel in the middle of the queue and one at each end say one thing each, and ask for no memory.
    for id in [N / 2, 0, N - 1] {
        let cancel = Input::Order(OrderInput::Cancel { id: OrderId(id), owner: OwnerId(0) });
        let mut tally = Tally::default();
        let before = ALLOCATIONS.get();
        send(&mut engine, cancel, &mut tally);
        assert_eq!((tally.events, ALLOCATIONS.get()), (1, before));
    }
    let mut sweep = Tally::default();
    send(&mut engine, new(limit(N, Side::Buy, 100, N as i64)), &mut sweep);
    assert_eq!((sweep.trades, sweep.lots), (N - 3, i128::from(N - 3)));
    assert_eq!(engine.book().best(Side::Buy), Some((Ticks(100), Lots(3))));
    assert_eq!(engine.book().len(), 1);
}

#[test]
fn a_million_levels_stand_side_by_side_or_far_apart() {
    const N: i64 = 1_000_000;
    for gap in [1, 1_000] {
        let mut engine = MatchingEngine::new();
        let mut tally = Tally::default();
        let mut most = 0;
        LARGEST.set(0);
        for n in 0..N {
            // From the middle outwards and back, so that new levels come in front of, between and behind the others.
            let price = gap * ((n * 611_953) % N);
            let before = ALLOCATIONS.get();
            send(&mut engine, new(limit(n as u64, Side::Sell, price, 2)), &mut tally);
            most = most.max(ALLOCATIONS.get() - before);
        }
        assert!(most <= 16, "one command allocated {most} times");
        assert!(LARGEST.get() < TOO_LARGE, "one command asked for {} bytes", LARGEST.get());
        assert_eq!(engine.book().levels(Side::Sell) as i64, N);
        assert!(engine.book().depth(Side::Sell).map(|level| level.price.0).eq((0..N).map(|n| n * gap)));
        let mut sweep = Tally::default();
        send(&mut engine, new(NewOrder { limit: None, ..limit(u64::MAX, Side::Buy, 0, 2 * N) }), &mut sweep);
        assert_eq!(sweep.trades as i64, N);
        assert!(engine.book().is_empty());
    }
}

/// A recorded order of one lot to sell.
fn recorded(id: u64, price: i64) -> Input {
    let (id, price) = (OrderId(id), Ticks(price));
    Input::Record(RecordInput::Add { id, side: Side::Sell, price, qty: Lots(1), snapshot: false })
}

#[test]
fn taking_from_a_million_recorded_orders_asks_for_little_memory() {
    const N: u64 = 1_000_000;
    let mut engine = MatchingEngine::new();
    let mut tally = Tally::default();
    for id in 0..N {
        send(&mut engine, recorded(id, 100 + (id % 50) as i64), &mut tally);
    }
    LARGEST.set(0);
    for n in 0..50 {
        let before = ALLOCATIONS.get();
        send(&mut engine, new(limit(n, Side::Buy, 100, 1)), &mut tally);
        let asked = ALLOCATIONS.get() - before;
        assert!(asked <= 8, "taking one lot allocated {asked} times");
    }
    assert_eq!(tally.trades, 50);
    assert!(LARGEST.get() < TOO_LARGE, "one command asked for {} bytes", LARGEST.get());
}

#[test]
fn what_is_taken_is_given_back_once_wherever_its_orders_were_moved_meanwhile() {
    const N: u64 = 20_000;
    let mut engine = MatchingEngine::with_refill(Refill::NextEvent);
    let mut tally = Tally::default();
    (0..N).for_each(|id| send(&mut engine, recorded(id, 100), &mut tally));
    for round in 0..2 {
        let ours = N * 3 * round;
        send(&mut engine, new(limit(ours, Side::Buy, 100, N as i64)), &mut tally);
        assert_eq!(tally.trades, N * (round + 1), "round {round}");
        // The table grows threefold, and so its orders move.
        (1..2 * N).for_each(|n| send(&mut engine, new(limit(ours + n, Side::Buy, 50, 1)), &mut tally));
        assert!((0..N).all(|id| engine.taken_of(OrderId(id)) == Lots(1)), "round {round}: all of it is still taken");
        send(&mut engine, recorded(N * (round + 1), 200), &mut tally);
        assert!((0..N).all(|id| engine.taken_of(OrderId(id)) == Lots::ZERO), "round {round}: all of it is given back");
    }
}

/// Once its buffers have grown, a million operations of every family ask for no memory at all.
#[test]
fn a_warm_engine_allocates_nothing() {
    for mix in [Mix::VenueLike, Mix::Uniform, Mix::Sweeps, Mix::SelfCross, Mix::Records, Mix::Quotes] {
        let mut flow = Flow::new(mix, 11);
        let mut naive = NaiveEngine::with_refill(flow.refill);
        let mut engine = MatchingEngine::with_refill(flow.refill);
        let mut ignored = Vec::new();
        let inputs: Vec<Input> = std::iter::repeat_with(|| {
            let input = flow.next(&naive);
            ignored.clear();
            naive.apply(&input, &mut ignored);
            input
        })
        // A clear remembers the places of the whole book; it is no part of the hot path.
        .filter(|input| !matches!(input, Input::Record(RecordInput::Clear)))
        .take(200_000)
        .collect();
        let mut tally = Tally::default();
        let mut before = 0;
        // Two rounds to warm up, five to measure: a million operations.
        for round in 0..7 {
            if round == 2 {
                before = ALLOCATIONS.get();
            }
            inputs.iter().for_each(|input| engine.apply(Nanos(0), input, &mut tally));
        }
        assert_eq!(ALLOCATIONS.get() - before, 0, "{mix:?}: allocations in a million operations after warm-up");
        assert!(tally.trades > 10_000, "{mix:?} hardly traded");
    }
}
