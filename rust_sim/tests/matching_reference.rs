//! The fast engine against the naive one: every event compared, every law checked after every command (M1, M2, M3).
//!
//! A failure prints the mix, the seed and the number of the command. `CIFT_REPLAY=Records:17` runs that stream alone;
//! `CIFT_REPLAY=Records:17:4211` also prints the commands that lead up to it.

mod change;
mod flow;
mod laws;
mod reference;

use cift_sim::matching::{Event, Input, MatchingEngine, RecordInput, Refill};
use cift_sim::types::{Family, Nanos, Side};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use flow::{Flow, Mix};
use laws::Auditor;
use reference::{Kind, NaiveEngine, Row};

/// One engine beside its judge.
struct Trial {
    engine: MatchingEngine,
    naive: NaiveEngine,
    auditor: Auditor,
    tidy: bool,
    events: Vec<Event>,
    expected: Vec<Event>,
}

impl Trial {
    fn new(flow: &Flow) -> Self {
        Trial {
            engine: MatchingEngine::with_refill(flow.refill),
            naive: NaiveEngine::with_refill(flow.refill),
            auditor: Auditor::new(flow.refill),
            tidy: flow.tidy,
            events: Vec::new(),
            expected: Vec::new(),
        }
    }

    fn step(&mut self, n: u64, input: &Input) -> Result<(), String> {
        self.events.clear();
        self.expected.clear();
        self.engine.apply(Nanos(n as i64), input, &mut self.events);
        self.naive.apply(input, &mut self.expected);
        if self.events != self.expected {
            return Err(format!("events differ\n  engine    {:?}\n  reference {:?}", self.events, self.expected));
        }
        self.auditor.check(input, &self.events, &self.engine, self.tidy)?;
        if let Some(row) = self.naive.crossed_by_ours() {
            return Err(format!("ours rest across {row:?}, which is not taken"));
        }
        Ok(())
    }

    /// All orders of both sides in priority order, and what is taken of each.
    fn compare_books(&self) -> Result<(), String> {
        for side in [Side::Buy, Side::Sell] {
            let rows = self.naive.side(side);
            let orders: Vec<_> = self.engine.book().orders(side).collect();
            let same = |order: &cift_sim::book::RestingOrder, row: &Row| {
                let family = if row.kind == Kind::Ours { Family::Order } else { Family::Record };
                let taken = if row.kind == Kind::Named { self.engine.taken_of(row.id).0 } else { row.taken };
                (order.id, order.family, order.owner, order.price, order.qty.0, taken)
                    == (row.id, family, row.owner, row.price, row.qty, row.taken)
            };
            if orders.len() != rows.len() || !orders.iter().zip(&rows).all(|(order, row)| same(order, row)) {
                return Err(format!("the {side:?} books differ\n  engine    {orders:?}\n  reference {rows:?}"));
            }
        }
        Ok(())
    }
}

/// What a stream has been through, to see that it exercised what it is for.
#[derive(Default)]
struct Seen {
    commands: u64,
    fills: u64,
}

fn run(mix: Mix, seed: u64, commands: u64, show_from: u64) -> Seen {
    let mut flow = Flow::new(mix, seed);
    let mut trial = Trial::new(&flow);
    for n in 1..=commands {
        let input = flow.next(&trial.naive);
        let mut result = trial.step(n, &input);
        if result.is_ok() && n % 100 == 0 {
            result = trial.compare_books();
        }
        if n >= show_from {
            println!("{n}: {input:?} -> {:?}", trial.expected);
        }
        if let Err(why) = result {
            panic!(
                "{why}\n  command {n}: {input:?}\n  refill {:?}, tidy {}\n  replay: CIFT_REPLAY={mix:?}:{seed}:{n} cargo test -p cift-sim --test matching_reference replay -- --nocapture",
                flow.refill, flow.tidy
            );
        }
    }
    Seen { commands, fills: trial.auditor.fills }
}

/// Runs every mix over the same number of seeds, on two threads.
fn run_all(seeds_a_mix: u64, commands_a_seed: u64) {
    let jobs: Vec<(Mix, u64)> = Mix::ALL.into_iter().flat_map(|mix| (1..=seeds_a_mix).map(move |s| (mix, s))).collect();
    let halves: Vec<Vec<(Mix, u64)>> =
        (0..2).map(|half| jobs.iter().copied().skip(half).step_by(2).collect()).collect();
    let seen: Vec<(Mix, Seen)> = std::thread::scope(|scope| {
        let threads: Vec<_> = halves
            .iter()
            .map(|jobs| {
                scope.spawn(move || -> Vec<(Mix, Seen)> {
                    jobs.iter().map(|&(mix, seed)| (mix, run(mix, seed, commands_a_seed, u64::MAX))).collect()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let total: u64 = seen.iter().map(|(_, s)| s.commands).sum();
    for mix in Mix::ALL {
        let commands: u64 = seen.iter().filter(|(m, _)| *m == mix).map(|(_, s)| s.commands).sum();
        let fills: u64 = seen.iter().filter(|(m, _)| *m == mix).map(|(_, s)| s.fills).sum();
        println!("{mix:?}: {commands} commands, {fills} fills, 0 differences");
        assert!(commands * 20 >= total, "{mix:?} is less than 5 % of the commands");
        assert!(fills * 50 >= commands, "{mix:?} hardly trades: {fills} fills in {commands} commands");
    }
}

/// T0: 10 million commands, 200 seeds.
#[test]
fn the_fast_engine_does_what_the_naive_one_does() {
    if std::env::var_os("CIFT_REPLAY").is_none() {
        run_all(20, 50_000);
    }
}

/// T1, for `make nightly`: a billion commands.
#[test]
#[ignore = "a quarter of an hour: cargo test --release -p cift-sim --test matching_reference -- --ignored --nocapture"]
fn the_fast_engine_does_what_the_naive_one_does_a_billion_times() {
    run_all(2_000, 50_000);
}

/// A market that wanders over thousands of levels and comes back: what the ladder keeps of levels long empty must not
/// be mistaken for those that took their place.
#[test]
fn a_market_that_wanders_far_agrees() {
    for seed in 0..8 {
        let mut flow = Flow::new(Mix::Uniform, seed);
        let mut trial = Trial::new(&flow);
        let mut wanders = flow::Rng(seed);
        let mut centre = 0;
        for n in 1..=25_000 {
            if wanders.percent(30) {
                centre = wanders.between(-8_000, 8_000);
            }
            let input = change::Shift(centre).input(flow.next(&trial.naive));
            let result = trial.step(n, &input).and_then(|()| trial.compare_books());
            assert!(result.is_ok(), "seed {seed}, command {n}: {input:?}\n{}", result.unwrap_err());
        }
    }
}

#[test]
fn replay_of_one_stream() {
    let Ok(asked) = std::env::var("CIFT_REPLAY") else { return };
    let parts: Vec<&str> = asked.split(':').collect();
    let mix = parts.first().and_then(|name| Mix::named(name)).expect("CIFT_REPLAY is MIX:SEED or MIX:SEED:COMMAND");
    let number = |i: usize| parts.get(i).and_then(|text| text.parse::<u64>().ok());
    let seed = number(1).expect("CIFT_REPLAY is MIX:SEED or MIX:SEED:COMMAND");
    run(mix, seed, number(2).unwrap_or(50_000), number(2).map_or(u64::MAX, |n| n.saturating_sub(30)));
}

// ------------------------------------------------------------------------------------------------ metamorphic (M7)

/// A stream written down, so that it can be changed and run again.
fn written_down(mix: Mix, seed: u64, commands: usize) -> (Flow, Vec<Input>) {
    let mut flow = Flow::new(mix, seed);
    flow.clean = true;
    let start = flow.clone();
    let mut naive = NaiveEngine::with_refill(flow.refill);
    let mut out = Vec::new();
    let inputs = (0..commands)
        .map(|_| {
            let input = flow.next(&naive);
            naive.apply(&input, &mut out);
            input
        })
        .collect();
    (start, inputs)
}

fn events_of(engine: &mut MatchingEngine, inputs: &[Input], first_ts: i64) -> Vec<Event> {
    let mut events = Vec::new();
    for (n, input) in inputs.iter().enumerate() {
        engine.apply(Nanos(first_ts + n as i64), input, &mut events);
    }
    events
}

/// Says at the first event where two runs part, not the whole of both.
fn assert_same(plain: &[Event], other: &[Event], what: &str) {
    if let Some(n) = (0..plain.len().max(other.len())).find(|&n| plain.get(n) != other.get(n)) {
        panic!("{what}, event {n}\n  expected {:?}\n  got      {:?}", plain.get(n), other.get(n));
    }
}

/// 10,000 sequences of 60 commands, each changed by `change`; the events of both must agree once changed likewise.
fn metamorphic(refill: Option<Refill>, change: impl Fn(Input) -> Input, of_event: impl Fn(Event) -> Event) {
    for seed in 0..10_000 {
        let mix = Mix::ALL[seed as usize % Mix::ALL.len()];
        let (flow, inputs) = written_down(mix, seed, 60);
        let refill = refill.unwrap_or(flow.refill);
        let plain = events_of(&mut MatchingEngine::with_refill(refill), &inputs, 0);
        let changed: Vec<Input> = inputs.iter().map(|input| change(*input)).collect();
        let other = events_of(&mut MatchingEngine::with_refill(refill), &changed, 0);
        let expected: Vec<Event> = plain.into_iter().map(&of_event).collect();
        assert_same(&expected, &other, &format!("{mix:?}, seed {seed}"));
    }
}

#[test]
fn mirrored_sides_give_mirrored_trades() {
    // Without refills: where one event gives back sizes on both sides, bids come first by convention.
    metamorphic(Some(Refill::Never), |input| change::Mirror.input(input), |event| change::Mirror.event(event));
}

#[test]
fn a_finer_tick_gives_the_same_trades() {
    for k in [2, 1_000] {
        metamorphic(None, |input| change::Scale(k).input(input), |event| change::Scale(k).event(event));
    }
}

#[test]
fn moved_prices_give_moved_trades() {
    for by in [-100, 1_000_000_007] {
        metamorphic(None, |input| change::Shift(by).input(input), |event| change::Shift(by).event(event));
    }
}

#[test]
fn the_time_of_day_changes_nothing() {
    for seed in 0..10_000 {
        let (flow, inputs) = written_down(Mix::ALL[seed as usize % Mix::ALL.len()], seed, 60);
        let now = events_of(&mut MatchingEngine::with_refill(flow.refill), &inputs, 0);
        let later = events_of(&mut MatchingEngine::with_refill(flow.refill), &inputs, 1_767_571_200_000_000_000);
        assert_same(&now, &later, &format!("seed {seed}"));
    }
}

#[test]
fn a_feed_split_in_two_gives_the_same_trades() {
    for seed in 0..10_000 {
        let (flow, inputs) = written_down(Mix::ALL[seed as usize % Mix::ALL.len()], seed, 60);
        let whole = events_of(&mut MatchingEngine::with_refill(flow.refill), &inputs, 0);
        let (first, second) = inputs.split_at(seed as usize % inputs.len());
        let mut engine = MatchingEngine::with_refill(flow.refill);
        let mut parts = events_of(&mut engine, first, 0);
        // The second part meets a copy, as after a restart from a snapshot.
        parts.extend(events_of(&mut engine.clone(), second, 0));
        assert_same(&whole, &parts, &format!("seed {seed}"));
    }
}

/// A stream that never reaches orders far off, and what it leads to.
fn near_stream(mix: Mix, seed: u64, commands: usize) -> (Refill, Vec<Input>, Vec<Event>) {
    let (flow, inputs) = written_down(mix, seed, commands);
    let inputs: Vec<Input> = inputs.into_iter().map(change::without_market_orders).collect();
    let events = events_of(&mut MatchingEngine::with_refill(flow.refill), &inputs, 0);
    (flow.refill, inputs, events)
}

#[test]
fn far_orders_that_never_trade_change_nothing() {
    for seed in 0..10_000 {
        let (refill, inputs, plain) = near_stream(Mix::ALL[seed as usize % Mix::ALL.len()], seed, 60);
        let mut crowded = MatchingEngine::with_refill(refill);
        let far: Vec<Input> = (seed % 2..seed % 2 + 10).map(change::far_order).collect();
        events_of(&mut crowded, &far, 0);
        assert_same(&plain, &events_of(&mut crowded, &inputs, 0), &format!("seed {seed}"));
    }
}

/// A book that grows all the time gives its orders other slots; nobody may notice.
#[test]
fn a_book_that_grows_meanwhile_changes_nothing() {
    for seed in 0..300 {
        let mix = Mix::ALL[seed as usize % Mix::ALL.len()];
        let (refill, inputs, plain) = near_stream(mix, seed, 300);
        let mut engine = MatchingEngine::with_refill(refill);
        let (mut events, mut ignored) = (Vec::new(), Vec::new());
        for (n, input) in inputs.iter().enumerate() {
            (0..10).for_each(|m| engine.apply(Nanos(0), &change::far_order(10 * n as u64 + m), &mut ignored));
            engine.apply(Nanos(0), input, &mut events);
        }
        assert_same(&plain, &events, &format!("{mix:?}, seed {seed}"));
    }
}

/// Only a large book looks ahead of its takers.
#[test]
fn a_large_book_does_what_a_small_one_does() {
    let far: Vec<Input> = (0..40_000).map(change::far_order).collect();
    for refill in [Refill::Never, Refill::NextEvent] {
        let mut large = MatchingEngine::with_refill(refill);
        events_of(&mut large, &far, 0);
        for seed in 0..40 {
            let mix = Mix::ALL[seed as usize % Mix::ALL.len()];
            let (_, inputs, _) = near_stream(mix, seed, 2_000);
            let plain = events_of(&mut MatchingEngine::with_refill(refill), &inputs, 0);
            assert_same(&plain, &events_of(&mut large.clone(), &inputs, 0), &format!("{mix:?}, seed {seed}"));
        }
    }
}

#[test]
fn without_orders_of_ours_the_book_is_the_record() {
    for seed in 0..2_000 {
        let (_, inputs) = written_down([Mix::Records, Mix::Snapshots][seed as usize % 2], seed, 400);
        let mut engine = MatchingEngine::new();
        let mut naive = NaiveEngine::default();
        for input in inputs.iter().filter(|input| matches!(input, Input::Record(_))) {
            let mut events = Vec::new();
            engine.apply(Nanos(0), input, &mut events);
            assert!(events.iter().all(|event| matches!(event, Event::Anomaly(_))), "seed {seed}: {events:?}");
            naive.apply(input, &mut events);
            if matches!(input, Input::Record(RecordInput::Clear)) {
                assert!(engine.book().is_empty());
            }
        }
        for side in [Side::Buy, Side::Sell] {
            let told: Vec<_> = naive.side(side).iter().map(|row| (row.id, row.price, row.qty)).collect();
            let shown: Vec<_> = engine.book().orders(side).map(|order| (order.id, order.price, order.qty.0)).collect();
            assert_eq!(shown, told, "seed {seed}");
        }
    }
}

// ------------------------------------------------------------------------------------------------ with shrinking

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("proptest-regressions/matching_reference.txt"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn short_sequences_of_anything_agree(inputs in prop::collection::vec(change::any_input(), 1..40), refills in any::<bool>()) {
        let refill = if refills { Refill::NextEvent } else { Refill::Never };
        let mut engine = MatchingEngine::with_refill(refill);
        let mut naive = NaiveEngine::with_refill(refill);
        for input in &inputs {
            let (mut fast, mut slow) = (Vec::new(), Vec::new());
            engine.apply(Nanos(0), input, &mut fast);
            naive.apply(input, &mut slow);
            prop_assert_eq!(fast, slow);
        }
    }
}
