//! Seeded streams of commands, one kind of mix each. The same seed gives the same stream on every machine.

use std::collections::VecDeque;

use cift_sim::matching::{Input, NewOrder, OrderInput, RecordInput, Refill, SelfTrade, TimeInForce};
use cift_sim::types::{Lots, MAX_LOTS, MAX_OWNERS, MAX_TICKS, OrderId, OwnerId, Side, Ticks};

use crate::reference::{Kind, NaiveEngine, Row, better};

/// splitmix64 (Steele, Lea and Flood, 2014).
#[derive(Clone, Debug)]
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        ((self.next() >> 32) * n) >> 32
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1) as u64) as i64
    }

    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    fn side(&mut self) -> Side {
        self.pick(&[Side::Buy, Side::Sell])
    }
}

/// A mix of commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// 9 % GTC, 3 % IOC, 6 % cancel, 82 % modify: the published mix of exchange-core.
    VenueLike,
    /// Every kind of order and every command alike.
    Uniform,
    /// All at one price.
    OnePrice,
    /// Large aggressors through many levels.
    Sweeps,
    /// Few owners who meet themselves, with every kind of prevention.
    SelfCross,
    PostOnly,
    FillOrKill,
    /// A record of named orders, and ours in its queues.
    Records,
    /// A record of best quotes and prints, and ours in its queues.
    Quotes,
    /// A record of levels and prints, and ours in its queues.
    Levels,
    /// Records with clears and snapshots.
    Snapshots,
}

impl Mix {
    pub const ALL: [Mix; 11] = [
        Mix::VenueLike,
        Mix::Uniform,
        Mix::OnePrice,
        Mix::Sweeps,
        Mix::SelfCross,
        Mix::PostOnly,
        Mix::FillOrKill,
        Mix::Records,
        Mix::Quotes,
        Mix::Levels,
        Mix::Snapshots,
    ];

    pub fn named(name: &str) -> Option<Mix> {
        Mix::ALL.into_iter().find(|mix| format!("{mix:?}").eq_ignore_ascii_case(name))
    }

    fn is_recorded(self) -> bool {
        matches!(self, Mix::Records | Mix::Quotes | Mix::Levels | Mix::Snapshots)
    }
}

const CENTRE: i64 = 100;
const OURS_MAX: usize = 40;
const RECORDED_MAX: usize = 40;

/// A stream of commands. It looks at the reference to name orders that exist and prices that matter.
#[derive(Clone, Debug)]
pub struct Flow {
    rng: Rng,
    mix: Mix,
    /// The record never crosses itself and executes in order of priority.
    pub tidy: bool,
    pub refill: Refill,
    /// Whether the stream sends no command that is wrong on purpose.
    pub clean: bool,
    pending: VecDeque<Input>,
}

impl Flow {
    pub fn new(mix: Mix, seed: u64) -> Self {
        let mut rng = Rng(seed.wrapping_mul(0x2545_F491_4F6C_DD1D) ^ mix as u64);
        let tidy = rng.percent(60);
        let refill = if rng.percent(25) { Refill::NextEvent } else { Refill::Never };
        Flow { rng, mix, tidy, refill, clean: false, pending: VecDeque::new() }
    }

    pub fn next(&mut self, view: &NaiveEngine) -> Input {
        if let Some(input) = self.pending.pop_front() {
            return input;
        }
        let ours = view.rows.iter().filter(|r| r.kind == Kind::Ours).count();
        if self.mix.is_recorded() && self.rng.percent(65) {
            return Input::Record(self.record(view));
        }
        if ours > OURS_MAX || (self.mix.is_recorded() && ours > OURS_MAX / 3) {
            return Input::Order(self.cancel(view));
        }
        if !self.clean && self.rng.percent(4) {
            return Input::Order(self.wrong(view));
        }
        Input::Order(self.order(view, ours))
    }

    // ------------------------------------------------------------------------------------------------ orders

    fn order(&mut self, view: &NaiveEngine, ours: usize) -> OrderInput {
        if ours == 0 {
            return OrderInput::New(self.new_order(view, 8, &[TimeInForce::Gtc], 0));
        }
        let u = self.rng.below(100);
        match self.mix {
            Mix::VenueLike => match u {
                0..9 => OrderInput::New(self.new_order(view, 10, &[TimeInForce::Gtc], 0)),
                9..12 => OrderInput::New(self.new_order(view, 12, &[TimeInForce::Ioc], 20)),
                12..18 => self.cancel(view),
                _ => self.modify(view),
            },
            Mix::OnePrice => match u {
                0..60 => OrderInput::New(self.new_order(view, 12, &[TimeInForce::Gtc], 5)),
                60..80 => self.cancel(view),
                _ => self.modify(view),
            },
            Mix::Sweeps => match u {
                0..75 => OrderInput::New(self.new_order(view, 8, &[TimeInForce::Gtc], 0)),
                75..88 => OrderInput::New(self.new_order(view, 250, &[TimeInForce::Ioc, TimeInForce::Gtc], 50)),
                _ => self.cancel(view),
            },
            Mix::FillOrKill if u < 45 => OrderInput::New(self.new_order(view, 60, &[TimeInForce::Fok], 15)),
            Mix::PostOnly if u < 50 => {
                let order = self.new_order(view, 8, &[TimeInForce::Gtc], 0);
                OrderInput::New(NewOrder { post_only: true, ..order })
            }
            _ => match u {
                0..65 => {
                    let all = [TimeInForce::Gtc, TimeInForce::Gtc, TimeInForce::Ioc, TimeInForce::Fok];
                    let order = self.new_order(view, 15, &all, 8);
                    let post_only = order.limit.is_some() && order.tif == TimeInForce::Gtc && self.rng.percent(15);
                    OrderInput::New(NewOrder { post_only, ..order })
                }
                65..82 => self.cancel(view),
                _ => self.modify(view),
            },
        }
    }

    fn new_order(&mut self, view: &NaiveEngine, qty_max: i64, tifs: &[TimeInForce], market: u64) -> NewOrder {
        let side = self.rng.side();
        let prevents = match self.mix {
            Mix::SelfCross => 90,
            Mix::Uniform | Mix::Records | Mix::FillOrKill | Mix::PostOnly => 20,
            _ => 0,
        };
        let self_trade = if self.rng.percent(prevents) {
            self.rng.pick(&[SelfTrade::CancelNewest, SelfTrade::CancelOldest, SelfTrade::CancelBoth])
        } else {
            SelfTrade::Allow
        };
        let mut id = 1 + self.rng.below(400);
        while view.rows.iter().any(|r| r.kind == Kind::Ours && r.id.0 == id) {
            id += 1;
        }
        NewOrder {
            id: OrderId(id),
            owner: OwnerId(self.rng.below(3) as u32),
            side,
            limit: if self.rng.percent(market) { None } else { Some(self.price(side)) },
            qty: Lots(self.rng.between(1, qty_max)),
            tif: self.rng.pick(tifs),
            post_only: false,
            self_trade,
        }
    }

    /// Mostly on the side's own half of the ladder, sometimes across.
    fn price(&mut self, side: Side) -> Ticks {
        if self.mix == Mix::OnePrice {
            return Ticks(CENTRE);
        }
        let depth = self.rng.between(0, 7).min(self.rng.between(0, 9));
        Ticks(CENTRE - side.sign() * (depth - 2))
    }

    fn pick_row(&mut self, view: &NaiveEngine, kind: Kind) -> Option<Row> {
        let n = view.rows.iter().filter(|r| r.kind == kind).count() as u64;
        if n == 0 {
            return None;
        }
        let k = self.rng.below(n) as usize;
        view.rows.iter().filter(|r| r.kind == kind).nth(k).copied()
    }

    fn cancel(&mut self, view: &NaiveEngine) -> OrderInput {
        match self.pick_row(view, Kind::Ours) {
            Some(row) => OrderInput::Cancel { id: row.id, owner: row.owner },
            None => OrderInput::New(self.new_order(view, 8, &[TimeInForce::Gtc], 0)),
        }
    }

    fn modify(&mut self, view: &NaiveEngine) -> OrderInput {
        let Some(row) = self.pick_row(view, Kind::Ours) else { return self.cancel(view) };
        let price = if self.rng.percent(35) { row.price } else { self.price(row.side) };
        let qty = if self.rng.percent(30) { row.qty } else { self.rng.between(1, 12) };
        OrderInput::Modify { id: row.id, owner: row.owner, price, qty: Lots(qty) }
    }

    /// A command that must be refused, or close to one.
    fn wrong(&mut self, view: &NaiveEngine) -> OrderInput {
        let good = self.new_order(view, 8, &[TimeInForce::Gtc, TimeInForce::Ioc, TimeInForce::Fok], 10);
        let live = self.pick_row(view, Kind::Ours);
        let bad_qty = Lots(self.rng.pick(&[0, -1, i64::MIN, MAX_LOTS + 1, i64::MAX]));
        let bad_price = Ticks(self.rng.pick(&[MAX_TICKS + 1, -MAX_TICKS - 1, i64::MIN, i64::MAX]));
        match self.rng.below(9) {
            0 => OrderInput::New(NewOrder { qty: bad_qty, ..good }),
            1 => OrderInput::New(NewOrder { limit: Some(bad_price), ..good }),
            2 => OrderInput::New(NewOrder { owner: OwnerId(MAX_OWNERS + self.rng.below(3) as u32), ..good }),
            3 => OrderInput::New(NewOrder { post_only: true, ..good }),
            4 => OrderInput::New(NewOrder { id: live.map_or(good.id, |r| r.id), ..good }),
            5 => OrderInput::Cancel { id: good.id, owner: good.owner },
            6 => {
                let owner = OwnerId(live.map_or(0, |r| r.owner.0) + 1);
                OrderInput::Cancel { id: live.map_or(good.id, |r| r.id), owner }
            }
            7 => {
                let owner = live.map_or(good.owner, |r| r.owner);
                OrderInput::Modify { id: live.map_or(good.id, |r| r.id), owner, price: Ticks(CENTRE), qty: bad_qty }
            }
            _ => {
                let owner = live.map_or(good.owner, |r| r.owner);
                OrderInput::Modify { id: live.map_or(good.id, |r| r.id), owner, price: bad_price, qty: Lots(3) }
            }
        }
    }

    // ------------------------------------------------------------------------------------------------ records

    fn record(&mut self, view: &NaiveEngine) -> RecordInput {
        if self.mix == Mix::Quotes {
            return self.quote_or_print(view);
        }
        if self.mix == Mix::Levels {
            return self.level_or_print(view);
        }
        if self.mix == Mix::Snapshots && self.rng.percent(3) {
            self.plan_snapshot(view);
            return RecordInput::Clear;
        }
        let recorded = view.rows.iter().filter(|r| r.kind == Kind::Named).count();
        let u = self.rng.below(100);
        if !self.clean && u < 4 {
            return self.wrong_record(view);
        }
        if recorded < 4 || (u < 44 && recorded < RECORDED_MAX) {
            return self.add(view);
        }
        match u {
            0..60 => self.reduce(view),
            60..70 => self.record_modify(view),
            70..84 => self.execution(view),
            84..91 => self.fill_and_reduce(view),
            _ => self.print(view),
        }
    }

    fn best(view: &NaiveEngine, side: Side) -> Option<Row> {
        let mut best: Option<Row> = None;
        for row in view.rows.iter().filter(|r| r.kind == Kind::Named && r.side == side) {
            if best.is_none_or(|b| better(side, row.price, b.price)) {
                best = Some(*row);
            }
        }
        best
    }

    /// A price that does not cross the record, where it is tidy.
    fn record_price(&mut self, view: &NaiveEngine, side: Side) -> Ticks {
        let price = self.price(side);
        match Self::best(view, side.opposite()) {
            Some(best) if self.tidy && better(side.opposite(), price, best.price) => price,
            Some(best) if self.tidy => Ticks(best.price.0 - side.sign()),
            _ => price,
        }
    }

    fn add(&mut self, view: &NaiveEngine) -> RecordInput {
        let side = self.rng.side();
        let mut id = 1 + self.rng.below(300);
        while view.rows.iter().any(|r| r.kind == Kind::Named && r.id.0 == id) {
            id += 1;
        }
        let price = self.record_price(view, side);
        let snapshot = self.rng.percent(3);
        RecordInput::Add { id: OrderId(id), side, price, qty: Lots(self.rng.between(1, 12)), snapshot }
    }

    fn reduce(&mut self, view: &NaiveEngine) -> RecordInput {
        let Some(row) = self.pick_row(view, Kind::Named) else { return self.add(view) };
        let qty = if self.rng.percent(60) { row.qty } else { self.rng.between(1, row.qty) };
        RecordInput::Reduce { id: row.id, qty: Lots(qty) }
    }

    fn record_modify(&mut self, view: &NaiveEngine) -> RecordInput {
        let Some(row) = self.pick_row(view, Kind::Named) else { return self.add(view) };
        let price = if self.rng.percent(50) { row.price } else { self.record_price(view, row.side) };
        let qty = if self.rng.percent(20) { row.qty } else { self.rng.between(1, 12) };
        RecordInput::Modify { id: row.id, side: row.side, price, qty: Lots(qty) }
    }

    /// The order that history executes next: the best and oldest, unless the record is untidy.
    fn maker(&mut self, view: &NaiveEngine) -> Option<Row> {
        let side = self.rng.side();
        if self.tidy || self.rng.percent(70) { Self::best(view, side) } else { self.pick_row(view, Kind::Named) }
    }

    fn execution(&mut self, view: &NaiveEngine) -> RecordInput {
        let Some(row) = self.maker(view) else { return self.add(view) };
        RecordInput::Execute { id: row.id, qty: Lots(self.rng.between(1, row.qty)) }
    }

    fn fill_and_reduce(&mut self, view: &NaiveEngine) -> RecordInput {
        let Some(row) = self.maker(view) else { return self.add(view) };
        let qty = Lots(self.rng.between(1, row.qty));
        self.pending.push_back(Input::Record(RecordInput::Reduce { id: row.id, qty }));
        RecordInput::Fill { id: row.id, qty }
    }

    fn print(&mut self, view: &NaiveEngine) -> RecordInput {
        let aggressor = self.rng.pick(&[None, Some(Side::Buy), Some(Side::Sell)]);
        let side = self.rng.side();
        let at_ours = self.pick_row(view, Kind::Ours).filter(|_| self.rng.percent(50)).map(|r| r.price);
        let price = at_ours.unwrap_or_else(|| self.price(side));
        let exact = self.rng.percent(75);
        RecordInput::Print { aggressor, price, exact, qty: Lots(self.rng.between(1, 15)) }
    }

    fn wrong_record(&mut self, view: &NaiveEngine) -> RecordInput {
        let live = self.pick_row(view, Kind::Named);
        let (id, qty) = live.map_or((OrderId(9_999), 5), |r| (r.id, r.qty));
        let side = self.rng.side();
        let bad = Lots(self.rng.pick(&[0, -3, i64::MIN]));
        let far = Ticks(self.rng.pick(&[MAX_TICKS + 1, i64::MIN, i64::MAX]));
        // An untidy record may cross itself here; a tidy one stays on its half.
        let price = if self.tidy { self.record_price(view, live.map_or(side, |r| r.side)) } else { self.price(side) };
        let side = if self.tidy { live.map_or(side, |r| r.side) } else { side };
        match self.rng.below(11) {
            0 => RecordInput::Reduce { id: OrderId(9_999), qty: Lots(1) },
            1 => RecordInput::Reduce { id, qty: Lots(qty + 3) },
            2 => RecordInput::Execute { id, qty: Lots(qty + 3) },
            3 => RecordInput::Fill { id, qty: Lots(qty + 30) },
            4 => RecordInput::Execute { id: OrderId(9_999), qty: Lots(1) },
            5 => RecordInput::Add { id, side, price, qty: Lots(qty + 1), snapshot: false },
            6 => RecordInput::Modify { id: OrderId(9_000 + self.rng.below(20)), side, price, qty: Lots(4) },
            7 => RecordInput::Reduce { id, qty: bad },
            8 => RecordInput::Print { aggressor: None, price: far, exact: true, qty: Lots(1) },
            9 => RecordInput::Add { id: OrderId(9_998), side, price: far, qty: Lots(1), snapshot: false },
            _ => RecordInput::Modify { id, side, price, qty: bad },
        }
    }

    /// After a clear: most of the orders again, some changed, some gone, some new, and now and then one of ours between.
    fn plan_snapshot(&mut self, view: &NaiveEngine) {
        if self.rng.percent(10) {
            self.pending.push_back(Input::Record(RecordInput::Clear));
        }
        let mut rows: Vec<Row> = view.rows.iter().filter(|r| r.kind == Kind::Named).copied().collect();
        if self.rng.percent(20) && rows.len() > 1 {
            let i = self.rng.below(rows.len() as u64 - 1) as usize;
            rows.swap(i, i + 1);
        }
        for row in rows {
            if self.rng.percent(12) {
                continue;
            }
            let price = if self.rng.percent(5) && !self.tidy { self.price(row.side) } else { row.price };
            let qty = Lots(if self.rng.percent(15) { self.rng.between(1, 12) } else { row.qty });
            let snapshot = !self.rng.percent(1);
            let add = RecordInput::Add { id: row.id, side: row.side, price, qty, snapshot };
            self.pending.push_back(Input::Record(add));
            if self.rng.percent(5) {
                let input = match self.rng.below(3) {
                    0 => self.cancel(view),
                    1 => self.modify(view),
                    _ => OrderInput::New(self.new_order(view, 9, &[TimeInForce::Gtc, TimeInForce::Ioc], 5)),
                };
                self.pending.push_back(Input::Order(input));
            }
        }
    }

    fn level_or_print(&mut self, view: &NaiveEngine) -> RecordInput {
        let u = self.rng.below(100);
        let side = self.rng.side();
        if !self.clean && u < 2 {
            let (price, qty) = self.rng.pick(&[(Ticks(CENTRE), Lots(-7)), (Ticks(i64::MAX), Lots(1))]);
            return RecordInput::Level { side, price, qty };
        }
        if u < 3 {
            return RecordInput::Clear;
        }
        if u < 30 {
            return self.print(view);
        }
        let through = i64::from(!self.tidy && self.rng.percent(20)) * 3;
        let price = Ticks(CENTRE - side.sign() * (1 + self.rng.between(0, 6) - through));
        if self.rng.percent(10) {
            return RecordInput::OutOfSight { side, price };
        }
        let qty = Lots(if self.rng.percent(25) { 0 } else { self.rng.between(1, 30) });
        RecordInput::Level { side, price, qty }
    }

    fn quote_or_print(&mut self, view: &NaiveEngine) -> RecordInput {
        let u = self.rng.below(100);
        if !self.clean && u < 2 {
            let bad = self.rng.pick(&[(Ticks(CENTRE), Lots(0)), (Ticks(CENTRE), Lots(-7)), (Ticks(i64::MAX), Lots(1))]);
            return RecordInput::Quote { side: self.rng.side(), best: Some(bad) };
        }
        if u < 3 {
            return RecordInput::Clear;
        }
        if u < 6 {
            return RecordInput::Quote { side: self.rng.side(), best: None };
        }
        if u < 35 {
            return self.print(view);
        }
        let side = self.rng.side();
        let shown = view.rows.iter().rfind(|r| r.kind == Kind::Segment && r.side == side).map(|r| r.price);
        let price = match shown {
            Some(price) if self.rng.percent(60) => price,
            _ => {
                let depth = self.rng.between(0, 4) - i64::from(!self.tidy && self.rng.percent(20)) * 3;
                Ticks(CENTRE - side.sign() * (depth + 1))
            }
        };
        RecordInput::Quote { side, best: Some((price, Lots(self.rng.between(1, 30)))) }
    }
}
