//! The kernel and its simulated venue from memory, without a strategy: quotes with prints, and every order.

use std::hint::black_box;

use cift_sim::account::Money;
use cift_sim::desk::Desk;
use cift_sim::feed::{LAST, LevelColumns, MboColumns, NO_TIME, QuoteColumns, Schema, Source, TradeColumns};
use cift_sim::fees::Fees;
use cift_sim::instrument::{Instrument, Step};
use cift_sim::journal::Journal;
use cift_sim::kernel::{Halt, Kernel, Progress, Strategy, Wake, Wants};
use cift_sim::latency::Latency;
use cift_sim::market::Market;
use cift_sim::matching::Refill;
use cift_sim::simulation::Simulation;
use cift_sim::venue::SimVenue;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const ROWS: usize = 500_000;
const CHUNK: usize = 65_536;

const CENTS: Instrument = Instrument {
    tick: Step { num: 1, den: 100 },
    lot: Step { num: 1, den: 1 },
    unit: 10_000_000_000_000_000,
    currency: 0,
};

struct Idle;

impl Strategy for Idle {
    fn wants(&self) -> Wants {
        Wants::default()
    }

    fn wake(&mut self, _desk: &mut Box<Desk>, _wake: Wake<'_>) -> Result<(), Halt> {
        Ok(())
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (((z ^ (z >> 31)) >> 32) * n) >> 32
    }
}

#[derive(Default)]
struct Columns {
    ts: Vec<i64>,
    recv: Vec<i64>,
    action: Vec<u8>,
    side: Vec<u8>,
    price: Vec<f64>,
    size: Vec<f64>,
    price2: Vec<f64>,
    size2: Vec<f64>,
    id: Vec<u64>,
    flags: Vec<u8>,
}

/// Adds around a moving mid, and cancels of orders that rest.
fn orders() -> Columns {
    let mut random = Random(7);
    let mut columns = Columns::default();
    let mut live: Vec<(u64, u8, f64, f64)> = Vec::new();
    let mut mid = 100_000_i64;
    for n in 0..ROWS {
        mid += random.below(3) as i64 - 1;
        let cancels = live.len() > 4_000 && random.below(2) == 0;
        let (action, (id, side, price, size)) = if cancels {
            let at = random.below(live.len() as u64) as usize;
            (b'C', live.swap_remove(at))
        } else {
            let away = 1 + random.below(40) as i64;
            let (side, ticks) = if random.below(2) == 0 { (b'B', mid - away - 500) } else { (b'A', mid + away + 500) };
            let order = (n as u64, side, ticks as f64 / 100.0, (1 + random.below(10)) as f64);
            live.push(order);
            (b'A', order)
        };
        columns.ts.push(n as i64 * 1_000);
        columns.recv.push(NO_TIME);
        columns.action.push(action);
        columns.side.push(side);
        columns.price.push(price);
        columns.size.push(size);
        columns.id.push(id);
        columns.flags.push(LAST);
    }
    columns
}

/// Quotes two ticks wide around a moving mid, and a print at the touch for each.
fn quotes() -> Columns {
    let mut random = Random(9);
    let mut columns = Columns::default();
    let mut mid = 100_000_i64;
    for n in 0..ROWS {
        mid += random.below(3) as i64 - 1;
        columns.ts.push(n as i64 * 1_000);
        columns.recv.push(NO_TIME);
        columns.side.push(b'B');
        columns.price.push((mid - 1) as f64 / 100.0);
        columns.size.push((1 + random.below(100)) as f64);
        columns.price2.push((mid + 1) as f64 / 100.0);
        columns.size2.push((1 + random.below(100)) as f64);
    }
    columns
}

fn push(simulation: &mut Simulation, source: u16, c: &Columns, from: usize) -> bool {
    let to = (from + CHUNK).min(c.ts.len());
    if from >= to {
        simulation.end(source);
        return false;
    }
    let rows = from..to;
    let pushed = simulation.push(source, |feed| match feed.schema {
        Schema::Mbo => feed.push_mbo(
            &CENTS,
            &MboColumns {
                ts_event: &c.ts[rows.clone()],
                ts_recv: &c.recv[rows.clone()],
                action: &c.action[rows.clone()],
                side: &c.side[rows.clone()],
                price: &c.price[rows.clone()],
                size: &c.size[rows.clone()],
                order_id: &c.id[rows.clone()],
                flags: &c.flags[rows.clone()],
            },
        ),
        Schema::Mbp => feed.push_levels(
            &CENTS,
            &LevelColumns {
                ts_event: &c.ts[rows.clone()],
                ts_recv: &c.recv[rows.clone()],
                action: &c.action[rows.clone()],
                side: &c.side[rows.clone()],
                price: &c.price[rows.clone()],
                size: &c.size[rows.clone()],
                flags: &c.flags[rows.clone()],
            },
        ),
        Schema::Quotes => feed.push_quotes(
            &CENTS,
            &QuoteColumns {
                ts_event: &c.ts[rows.clone()],
                ts_recv: &c.recv[rows.clone()],
                bid_price: &c.price[rows.clone()],
                bid_size: &c.size[rows.clone()],
                ask_price: &c.price2[rows.clone()],
                ask_size: &c.size2[rows.clone()],
            },
        ),
        Schema::Trades => feed.push_trades(
            &CENTS,
            &TradeColumns {
                ts_event: &c.ts[rows.clone()],
                ts_recv: &c.recv[rows.clone()],
                price: &c.price[rows.clone()],
                size: &c.size[rows.clone()],
                aggressor: &c.side[rows.clone()],
            },
        ),
    });
    assert_eq!(pushed, Ok(()));
    true
}

fn run(schemas: &[Schema], columns: &Columns, feed_ns: i64) -> u64 {
    let market = || if schemas.contains(&Schema::Mbo) { Market::deep() } else { Market::default() };
    let sources = schemas.iter().map(|&schema| Source::new(0, schema, feed_ns, 0)).collect();
    let latency = Latency { feed_ns, entry_ns: 0, response_ns: 0 };
    let mut simulation = Simulation::new(sources, vec![SimVenue::new(Refill::Never)], &[market()], latency);
    simulation.look_at(|_| false);
    let desk = Desk::new(vec![CENTS], vec![market()], vec![Money(0)]);
    let journal = Journal::new(Vec::new(), schemas.len(), "{}");
    let mut kernel = Kernel::new(desk, journal, Fees::default(), schemas.len(), 1_000_000_000);
    let mut pushed = vec![0; schemas.len()];
    loop {
        match kernel.run(&mut simulation, &mut Idle, u64::MAX) {
            Ok(Progress::NeedsData(source)) => {
                let at = source as usize;
                if push(&mut simulation, source, columns, pushed[at]) {
                    pushed[at] += CHUNK;
                }
            }
            Ok(_) => return kernel.journal.inputs(),
            Err(error) => panic!("{error}"),
        }
    }
}

fn replay(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("replay without a strategy, delayed view kept");
    group.sample_size(10);
    let columns = orders();
    group.throughput(Throughput::Elements(ROWS as u64));
    for (name, feed_ns) in [("orders, no latency", 0), ("orders, 50 us late", 50_000)] {
        let bench = |()| black_box(run(&[Schema::Mbo], &columns, feed_ns));
        group.bench_function(name, |bencher| bencher.iter_batched(|| (), bench, BatchSize::LargeInput));
    }
    let columns = quotes();
    group.throughput(Throughput::Elements(2 * ROWS as u64));
    let bench = |()| black_box(run(&[Schema::Quotes, Schema::Trades], &columns, 0));
    group.bench_function("quotes and prints", |bencher| bencher.iter_batched(|| (), bench, BatchSize::LargeInput));
    group.finish();
}

criterion_group!(benches, replay);
criterion_main!(benches);
