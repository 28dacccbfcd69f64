//! Bars of prints, of quotes, or of smaller bars: open, high, low, close, volume, count and value, in integers.
//!
//! Whoever asks, columns or a kernel, runs [`Builder::push`]; so both have the same bars, to the last bit.

use crate::instrument::{OffStep, ROUNDS, Step, TOLERANCE};
use crate::types::{Nanos, Side};

/// A price as the engine counts it; a print between two ticks carries the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Price {
    /// Whole ticks, rounded down.
    pub ticks: i64,
    /// What it lies above them, in 1e-9 of the currency.
    pub past_nano: i64,
}

/// A finished bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// When it began: its period, or its first piece.
    pub opened: Nanos,
    /// When it ended: its period, or its last piece.
    pub closed: Nanos,
    /// First price.
    pub open: Price,
    /// Highest price.
    pub high: Price,
    /// Lowest price.
    pub low: Price,
    /// Last price.
    pub close: Price,
    /// Lots that traded.
    pub lots: i64,
    /// Prints or quotes.
    pub count: u64,
    /// Sum of whole ticks times lots.
    pub ticks_lots: i128,
    /// Sum of what lies above the ticks times lots.
    pub nano_lots: i128,
}

impl Bar {
    fn add(&mut self, next: &Bar) -> Result<(), BarError> {
        let too_large = BarError::TooLarge(next.closed);
        self.closed = next.closed;
        self.high = self.high.max(next.high);
        self.low = self.low.min(next.low);
        self.close = next.close;
        self.count += next.count;
        self.lots = self.lots.checked_add(next.lots).ok_or(too_large)?;
        self.ticks_lots = self.ticks_lots.checked_add(next.ticks_lots).ok_or(too_large)?;
        self.nano_lots = self.nano_lots.checked_add(next.nano_lots).ok_or(too_large)?;
        Ok(())
    }
}

/// What bars are made of: a smaller bar, or a print or quote as a bar of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its prices, sizes and times.
    pub bar: Bar,
    /// Who took, where it is known.
    pub aggressor: Option<Side>,
}

impl Piece {
    /// One print, or one quote of no lots.
    pub fn point(ts: Nanos, price: Price, lots: i64, aggressor: Option<Side>) -> Self {
        let bar = Bar {
            opened: ts,
            closed: ts,
            open: price,
            high: price,
            low: price,
            close: price,
            lots,
            count: 1,
            ticks_lots: i128::from(price.ticks) * i128::from(lots),
            nano_lots: i128::from(price.past_nano) * i128::from(lots),
        };
        Piece { bar, aggressor }
    }
}

/// What is weighed against a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Prints.
    Count,
    /// Lots.
    Lots,
    /// Price times size: `scale.0` for each tick-lot and `scale.1` for each nano-lot above it.
    Value(i128, i128),
}

impl Weight {
    fn of(self, bar: &Bar) -> Option<i128> {
        let &Bar { count, lots, ticks_lots, nano_lots, .. } = bar;
        match self {
            Weight::Count => Some(i128::from(count)),
            Weight::Lots => Some(i128::from(lots)),
            Weight::Value(per_tick, per_nano) => {
                ticks_lots.checked_mul(per_tick)?.checked_add(nano_lots.checked_mul(per_nano)?)
            }
        }
    }
}

/// When a bar ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// With its period, `[start, start + length)`: periods lie on multiples of their length since the epoch, or since the
    /// session opened. A period without a piece has no bar.
    Time(i64),
    /// With the piece that brings the weight to the threshold.
    Sum(Weight, i128),
    /// With the piece at which buying outweighs selling, or selling buying, by the threshold. Who took is the aggressor, or
    /// else told by the tick rule: the side of the last change of price.
    Imbalance(Weight, i128),
    /// With the piece at which what buyers took, or what sellers took, comes to the threshold.
    Runs(Weight, i128),
    /// With each brick of so many ticks; a turn takes two of them. Of a smaller bar the close counts.
    Renko(i64),
}

/// Columns of prints, or of quotes of one price, all of one length.
#[derive(Clone, Copy, Debug)]
pub struct Points<'a> {
    /// Nanoseconds.
    pub ts: &'a [i64],
    /// Currency.
    pub price: &'a [f64],
    /// Units; 0 where nothing traded.
    pub size: &'a [f64],
    /// Letters B and A; any other where nobody said who took.
    pub aggressor: &'a [u8],
}

impl<'a> Points<'a> {
    fn rows(self, range: std::ops::Range<usize>) -> Self {
        let Points { ts, price, size, aggressor } = self;
        Points {
            ts: &ts[range.clone()],
            price: &price[range.clone()],
            size: &size[range.clone()],
            aggressor: &aggressor[range],
        }
    }

    fn piece(self, row: usize, tick: Step, lot: Step) -> Result<Piece, BarError> {
        let price = price_of(self.price[row], tick).ok_or(BarError::Price(row, self.price[row]))?;
        let lots = lot.count(self.size[row]).ok().filter(|&lots| lots >= 0);
        let lots = lots.ok_or(BarError::Size(row, self.size[row]))?;
        let side = match self.aggressor[row] {
            b'B' => Some(Side::Buy),
            b'A' => Some(Side::Sell),
            _ => None,
        };
        Ok(Piece::point(Nanos(self.ts[row]), price, lots, side))
    }

    /// All rows as one piece, where each is in order and on its step, and their sums are whole numbers that floats hold; else
    /// None. Then the rows have to be looked at one by one.
    fn sum(self, tick: Step, lot: Step) -> Option<Piece> {
        /// A block of such products has a sum below 2^51.
        const LARGEST: f64 = ((1_i64 << 51) / BLOCK as i64) as f64;
        let per_one = |step: Step| step.den as f64 / step.num as f64;
        let (ticks_per_one, lots_per_one) = (per_one(tick), per_one(lot));
        let mut fine = self.ts.windows(2).all(|pair| pair[0] <= pair[1]);
        let (mut high, mut low, mut most) = (f64::NEG_INFINITY, f64::INFINITY, 0.0_f64);
        let (mut volume, mut value) = (0.0, 0.0);
        for (&price, &size) in self.price.iter().zip(self.size) {
            let (ticks, lots) = (price * ticks_per_one, size * lots_per_one);
            let (whole_ticks, whole_lots) = ((ticks + ROUNDS) - ROUNDS, (lots + ROUNDS) - ROUNDS);
            fine &= (ticks - whole_ticks).abs() <= TOLERANCE && (lots - whole_lots).abs() <= TOLERANCE && lots >= 0.0;
            high = if whole_ticks > high { whole_ticks } else { high };
            low = if whole_ticks < low { whole_ticks } else { low };
            most = if whole_lots > most { whole_lots } else { most };
            volume += whole_lots;
            value += whole_ticks * whole_lots;
        }
        let (first, last) = (*self.price.first()?, *self.price.last()?);
        let largest = high.abs().max(low.abs()).max(1.0) * most.max(1.0);
        if !fine || largest > LARGEST {
            return None;
        }
        let whole = |ticks: f64| Price { ticks: ticks as i64, past_nano: 0 };
        let bar = Bar {
            opened: Nanos(*self.ts.first()?),
            closed: Nanos(*self.ts.last()?),
            open: price_of(first, tick)?,
            high: whole(high),
            low: whole(low),
            close: price_of(last, tick)?,
            lots: volume as i64,
            count: self.ts.len() as u64,
            ticks_lots: value as i128,
            nano_lots: 0,
        };
        Some(Piece { bar, aggressor: None })
    }
}

/// A price in ticks; None where it is no price.
pub fn price_of(value: f64, tick: Step) -> Option<Price> {
    match tick.count(value) {
        Ok(ticks) => Some(Price { ticks, past_nano: 0 }),
        Err(OffStep::Between(ticks)) => Some(Price { ticks, past_nano: tick.past_nano(value, ticks) }),
        Err(_) => None,
    }
}

/// Rows that are summed at once: few enough that their sum stays a whole number that floats hold.
const BLOCK: usize = 1_024;

/// Why no more bars can be made.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum BarError {
    /// A row of the columns whose price is none.
    #[error("row {0}, column 'price': {1} is no price that can be counted in ticks")]
    Price(usize, f64),
    /// A row of the columns whose size is none.
    #[error("row {0}, column 'size': {1} is no whole number of lots, from 0 on")]
    Size(usize, f64),
    /// A piece came before the one in front of it.
    #[error("a row at {} comes after one at {}; sort the rows by time", .1.0, .0.0)]
    TimeOrder(Nanos, Nanos),
    /// A sum is more than 128 bits hold, or a volume more than 64.
    #[error("a bar at {} holds more than can be counted; choose smaller bars", .0.0)]
    TooLarge(Nanos),
    /// One move makes more bricks than any market has.
    #[error("the price at {} makes {} bricks at once; choose larger bricks, or look at that price", .0.0, .1)]
    Bricks(Nanos, i128),
}

/// More bricks than one move may make.
const BRICKS_MAX: i128 = 100_000;

/// Makes bars, piece by piece.
#[derive(Clone, Debug)]
pub struct Builder {
    rule: Rule,
    /// When the market is open, in order; empty where it always is.
    sessions: Vec<(i64, i64)>,
    session: usize,
    bar: Option<Bar>,
    last: Nanos,
    /// Of the tick rule: the last price, and the sign of its last change.
    price: Option<Price>,
    sign: i128,
    /// What buyers and sellers took in this bar.
    taken: [i128; 2],
    /// The edges of the last brick.
    brick: Option<(i64, i64)>,
    /// Pieces that came while the market was closed.
    pub outside: u64,
}

impl Builder {
    /// A builder. `sessions` are pairs of open and close in nanoseconds, in order: a bar never spans two of them, and what
    /// comes between them is left out. None: the market never closes.
    pub fn new(rule: Rule, sessions: Vec<(i64, i64)>) -> Self {
        Builder {
            rule,
            sessions,
            session: 0,
            bar: None,
            last: Nanos(i64::MIN),
            price: None,
            sign: 0,
            taken: [0; 2],
            brick: None,
            outside: 0,
        }
    }

    /// Takes a piece, and emits the bars that it ends.
    pub fn push(&mut self, piece: &Piece, mut emit: impl FnMut(Bar)) -> Result<(), BarError> {
        if piece.bar.closed < self.last {
            return Err(BarError::TimeOrder(self.last, piece.bar.closed));
        }
        self.last = piece.bar.closed;
        // A smaller bar belongs to where it began.
        let at = piece.bar.opened.0;
        let before = self.session;
        while self.sessions.get(self.session).is_some_and(|&(_, close)| at >= close) {
            self.session += 1;
        }
        if self.session != before {
            self.flush(&mut emit);
        }
        let origin = match self.sessions.get(self.session) {
            Some(&(open, _)) if at >= open => open,
            None if self.sessions.is_empty() => 0,
            _ => {
                self.outside += 1;
                return Ok(());
            }
        };
        match self.rule {
            Rule::Time(length) => {
                let start = origin + (at - origin).div_euclid(length) * length;
                if self.bar.is_some_and(|bar| bar.opened.0 != start) {
                    self.flush(&mut emit);
                }
                self.add(piece)?;
                if let Some(bar) = &mut self.bar {
                    let close = self.sessions.get(self.session).map_or(i64::MAX, |&(_, close)| close);
                    (bar.opened, bar.closed) = (Nanos(start), Nanos(start.saturating_add(length).min(close)));
                }
                Ok(())
            }
            Rule::Sum(weight, threshold) => {
                let bar = self.add(piece)?;
                let sum = weight.of(&bar);
                self.end_at(sum, threshold, piece.bar.closed, emit)
            }
            Rule::Imbalance(weight, threshold) => {
                self.take(weight, piece)?;
                let [bought, sold] = self.taken;
                self.end_at(Some((bought - sold).abs()), threshold, piece.bar.closed, emit)
            }
            Rule::Runs(weight, threshold) => {
                self.take(weight, piece)?;
                let [bought, sold] = self.taken;
                self.end_at(Some(bought.max(sold)), threshold, piece.bar.closed, emit)
            }
            Rule::Renko(brick) => {
                self.add(piece)?;
                self.lay(brick, piece, emit)
            }
        }
    }

    /// Takes columns, and emits the bars that they end: the same as by [`Builder::push`] row by row. Rows are numbered from
    /// `first` in errors.
    pub fn push_points(
        &mut self,
        points: Points<'_>,
        (tick, lot): (Step, Step),
        first: usize,
        mut emit: impl FnMut(Bar),
    ) -> Result<(), BarError> {
        let mut row = 0;
        let numbered = |error: BarError, from: usize| match error {
            BarError::Price(row, value) => BarError::Price(first + from + row, value),
            BarError::Size(row, value) => BarError::Size(first + from + row, value),
            other => other,
        };
        while row < points.ts.len() {
            // Rows of one period are summed at once; any other rule has to see each.
            let end = (row + BLOCK).min(points.ts.len());
            let rest = points.rows(row..end);
            let length = match self.period_end(rest.ts[0]) {
                Some(period_end) => rest.ts.partition_point(|&ts| ts < period_end).max(1),
                None => 1,
            };
            let run = rest.rows(0..length);
            let sum = if length > 1 { run.sum(tick, lot) } else { None };
            match sum {
                Some(piece) => self.push(&piece, &mut emit)?,
                None => {
                    for at in 0..length {
                        let piece = run.piece(at, tick, lot).map_err(|error| numbered(error, row))?;
                        self.push(&piece, &mut emit)?;
                    }
                }
            }
            row += length;
        }
        Ok(())
    }

    /// Up to when all that happens from `at` on belongs into one bar; None where that depends on what happens.
    fn period_end(&self, at: i64) -> Option<i64> {
        let Rule::Time(length) = self.rule else { return None };
        if self.sessions.is_empty() {
            return Some(at.div_euclid(length).checked_add(1)?.saturating_mul(length));
        }
        let later = self.sessions[self.session..].partition_point(|&(_, close)| close <= at);
        match self.sessions.get(self.session + later) {
            Some(&(open, close)) if at >= open => {
                Some((open + ((at - open) / length + 1).saturating_mul(length)).min(close))
            }
            // While the market is closed each row is counted.
            _ => None,
        }
    }

    /// The bar that is not finished yet, as if it were.
    pub fn unfinished(&self) -> Option<Bar> {
        self.bar
    }

    fn flush(&mut self, emit: &mut impl FnMut(Bar)) {
        self.taken = [0; 2];
        if let Some(bar) = self.bar.take() {
            emit(bar);
        }
    }

    fn add(&mut self, piece: &Piece) -> Result<Bar, BarError> {
        match &mut self.bar {
            Some(bar) => {
                bar.add(&piece.bar)?;
                Ok(*bar)
            }
            None => Ok(*self.bar.insert(piece.bar)),
        }
    }

    fn end_at(
        &mut self,
        sum: Option<i128>,
        threshold: i128,
        ts: Nanos,
        mut emit: impl FnMut(Bar),
    ) -> Result<(), BarError> {
        if sum.ok_or(BarError::TooLarge(ts))? >= threshold {
            self.flush(&mut emit);
        }
        Ok(())
    }

    /// Adds a piece to its bar and to what its side took.
    fn take(&mut self, weight: Weight, piece: &Piece) -> Result<(), BarError> {
        self.add(piece)?;
        if let Some(before) = self.price
            && before != piece.bar.close
        {
            self.sign = if piece.bar.close > before { 1 } else { -1 };
        }
        self.price = Some(piece.bar.close);
        let sign = piece.aggressor.map_or(self.sign, |side| i128::from(side.sign()));
        let weight = weight.of(&piece.bar);
        let weight = weight.ok_or(BarError::TooLarge(piece.bar.closed))?;
        if sign != 0 {
            let side = &mut self.taken[usize::from(sign < 0)];
            *side = side.checked_add(weight).ok_or(BarError::TooLarge(piece.bar.closed))?;
        }
        Ok(())
    }

    /// Emits the bricks that the price of a piece completes. What traded since the last one belongs to the first of them.
    fn lay(&mut self, brick: i64, piece: &Piece, mut emit: impl FnMut(Bar)) -> Result<(), BarError> {
        let price = piece.bar.close.ticks;
        let start = price.div_euclid(brick) * brick;
        let (mut bottom, mut top) = *self.brick.get_or_insert((start, start));
        let far = (i128::from(price) - i128::from(top)).max(i128::from(bottom) - i128::from(price));
        if far / i128::from(brick) > BRICKS_MAX {
            return Err(BarError::Bricks(piece.bar.closed, far / i128::from(brick)));
        }
        let at = |ticks: i64| Price { ticks, past_nano: 0 };
        let mut laid = |open: i64, close: i64, bar: Option<Bar>| {
            let held = bar.unwrap_or(Bar {
                opened: piece.bar.closed,
                lots: 0,
                count: 0,
                ticks_lots: 0,
                nano_lots: 0,
                ..piece.bar
            });
            let (low, high) = (at(open.min(close)), at(open.max(close)));
            emit(Bar { open: at(open), high, low, close: at(close), closed: piece.bar.closed, ..held });
        };
        while price >= top.saturating_add(brick) {
            laid(top, top + brick, self.bar.take());
            (bottom, top) = (top, top + brick);
        }
        while price <= bottom.saturating_sub(brick) {
            laid(bottom, bottom - brick, self.bar.take());
            (bottom, top) = (bottom - brick, bottom);
        }
        self.brick = Some((bottom, top));
        Ok(())
    }
}

/// The float nearest to a quotient, halves to even; the divisor is positive.
pub fn nearest(dividend: i128, divisor: i128) -> f64 {
    let (negative, mut rest) = (dividend < 0, dividend.unsigned_abs());
    let divisor = divisor.unsigned_abs();
    let whole = rest / divisor;
    rest %= divisor;
    // 55 bits and whether anything follows them decide the rounding.
    let mut bits = whole;
    let mut shift = 0;
    while bits < 1 << 54 && rest != 0 && shift < 1_000 {
        rest <<= 1;
        bits <<= 1;
        if rest >= divisor {
            rest -= divisor;
            bits |= 1;
        }
        shift += 1;
    }
    let mut dropped = 0;
    while bits >= 1 << 62 {
        let lost = bits & 1;
        bits = bits >> 1 | lost;
        dropped += 1;
    }
    if rest != 0 {
        bits |= 1;
    }
    // A power of two, exactly.
    let scale = f64::from_bits(((1_023 + dropped - shift) as u64) << 52);
    let value = bits as u64 as f64 * scale;
    if negative { -value } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn price(ticks: i64) -> Price {
        Price { ticks, past_nano: 0 }
    }

    /// Prints as `time price size side`, and the bars that they make as `opened-closed open high low close lots/count`.
    fn bars(rule: Rule, sessions: &[(i64, i64)], prints: &str) -> Vec<String> {
        let mut builder = Builder::new(rule, sessions.to_vec());
        let mut made = Vec::new();
        for line in prints.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let number = |at: usize| words[at].parse::<i64>().unwrap();
            let side = words.get(3).map(|side| if *side == "buy" { Side::Buy } else { Side::Sell });
            let print = Piece::point(Nanos(number(0)), price(number(1)), number(2), side);
            builder.push(&print, |bar| made.push(text(&bar))).unwrap();
        }
        made.extend(builder.unfinished().map(|bar| format!("{} ...", text(&bar))));
        made
    }

    fn text(bar: &Bar) -> String {
        let Bar { opened, closed, open, high, low, close, lots, count, .. } = bar;
        let prices = [open, high, low, close].map(|price| price.ticks.to_string()).join(" ");
        format!("{}-{} {prices} {lots}/{count}", opened.0, closed.0)
    }

    const PRINTS: &str = "
        3   100 5 buy
        9   104 1 buy
        10   99 2 sell
        10  101 2 buy
        35  101 7 sell
    ";

    #[test]
    fn a_period_takes_what_comes_before_its_end_and_has_no_bar_without_a_print() {
        let made = bars(Rule::Time(10), &[], PRINTS);
        assert_eq!(made, ["0-10 100 104 100 104 6/2", "10-20 99 101 99 101 4/2", "30-40 101 101 101 101 7/1 ..."]);
    }

    #[test]
    fn periods_begin_with_the_session_and_end_with_it() {
        let made = bars(Rule::Time(10), &[(2, 9), (10, 14), (50, 60)], PRINTS);
        assert_eq!(made, ["2-9 100 100 100 100 5/1", "10-14 99 101 99 101 4/2"]);
    }

    #[test]
    fn a_sum_ends_with_the_print_that_reaches_it() {
        assert_eq!(
            bars(Rule::Sum(Weight::Count, 2), &[], PRINTS),
            ["3-9 100 104 100 104 6/2", "10-10 99 101 99 101 4/2", "35-35 101 101 101 101 7/1 ..."]
        );
        assert_eq!(
            bars(Rule::Sum(Weight::Lots, 6), &[], PRINTS),
            ["3-9 100 104 100 104 6/2", "10-35 99 101 99 101 11/3"]
        );
        assert_eq!(
            bars(Rule::Sum(Weight::Value(1, 0), 604), &[], PRINTS),
            ["3-9 100 104 100 104 6/2", "10-35 99 101 99 101 11/3"]
        );
    }

    #[test]
    fn an_imbalance_is_buying_less_selling_and_a_run_is_either() {
        assert_eq!(
            bars(Rule::Imbalance(Weight::Lots, 6), &[], PRINTS),
            ["3-9 100 104 100 104 6/2", "10-35 99 101 99 101 11/3"]
        );
        assert_eq!(
            bars(Rule::Runs(Weight::Lots, 8), &[], PRINTS),
            ["3-10 100 104 99 101 10/4", "35-35 101 101 101 101 7/1 ..."]
        );
    }

    #[test]
    fn who_took_is_told_by_the_last_change_of_price_where_the_feed_does_not_say() {
        let prints = "1 100 1\n 2 101 1\n 3 101 1\n 4 101 1\n 5 100 1\n 6 100 1";
        assert_eq!(
            bars(Rule::Imbalance(Weight::Count, 2), &[], prints),
            ["1-3 100 101 100 101 3/3", "4-4 101 101 101 101 1/1 ..."]
                .map(|text| text.replace("4-4 101 101 101 101 1/1", "4-6 101 101 100 100 3/3"))
        );
    }

    #[test]
    fn a_brick_needs_its_whole_height_and_a_turn_two() {
        let prints = "1 103 1\n 2 109 1\n 3 111 1\n 4 131 4\n 5 121 1\n 6 109 1";
        assert_eq!(
            bars(Rule::Renko(10), &[], prints),
            [
                "1-3 100 110 100 110 3/3",
                "4-4 110 120 110 120 4/1",
                "4-4 120 130 120 130 0/0",
                "5-6 120 120 110 110 2/2",
            ]
        );
    }

    #[test]
    fn rows_out_of_order_and_impossible_moves_are_refused() {
        let mut builder = Builder::new(Rule::Renko(1), Vec::new());
        let point = |ts, ticks| Piece::point(Nanos(ts), price(ticks), 1, None);
        builder.push(&point(5, 100), |_| ()).unwrap();
        assert_eq!(builder.push(&point(4, 100), |_| ()), Err(BarError::TimeOrder(Nanos(5), Nanos(4))));
        assert_eq!(builder.push(&point(6, 1 << 40), |_| ()), Err(BarError::Bricks(Nanos(6), (1 << 40) - 100)));
        let mut builder = Builder::new(Rule::Sum(Weight::Count, 9), Vec::new());
        let point = Piece::point(Nanos(1), price(1), i64::MAX, None);
        builder.push(&point, |_| ()).unwrap();
        assert_eq!(builder.push(&point, |_| ()), Err(BarError::TooLarge(Nanos(1))));
    }

    proptest! {
        /// Columns, however they are cut, make the bars of their rows one by one.
        #[test]
        fn columns_make_the_bars_of_their_rows(
            rows in prop::collection::vec((0i64..40, 90i64..110, 0i64..9, 0u8..3, 0u8..40), 1..3_000),
            kind in 0usize..3, cut in 1usize..2_000, tick in prop::sample::select(vec![(1, 100), (5, 100), (25, 1)]),
        ) {
            let (tick, lot) = (Step { num: tick.0, den: tick.1 }, Step { num: 1, den: 1_000 });
            let rule = [Rule::Time(500), Rule::Time(7), Rule::Sum(Weight::Lots, 50)][kind];
            let sessions = if kind == 1 { vec![(100, 5_003), (5_003, 9_000), (20_000, 90_000)] } else { Vec::new() };
            let (mut ts, mut columns) = (0, (Vec::new(), Vec::new(), Vec::new(), Vec::new()));
            for (gap, ticks, lots, side, odd) in rows {
                ts += gap;
                // Some prints lie between two ticks.
                let past = if odd == 0 { 0.5 * tick.value(1) } else { 0.0 };
                columns.0.push(ts);
                columns.1.push(tick.value(ticks) + past);
                columns.2.push(lot.value(lots));
                columns.3.push(b"BAN"[usize::from(side)]);
            }
            let points = Points { ts: &columns.0, price: &columns.1, size: &columns.2, aggressor: &columns.3 };
            let mut slow = (Builder::new(rule, sessions.clone()), Vec::new());
            for row in 0..points.ts.len() {
                slow.0.push(&points.piece(row, tick, lot).unwrap(), |bar| slow.1.push(bar)).unwrap();
            }
            let mut fast = (Builder::new(rule, sessions), Vec::new());
            for from in (0..points.ts.len()).step_by(cut) {
                let rows = points.rows(from..(from + cut).min(points.ts.len()));
                fast.0.push_points(rows, (tick, lot), from, |bar| fast.1.push(bar)).unwrap();
            }
            prop_assert_eq!(fast.1, slow.1);
            prop_assert_eq!(fast.0.unfinished(), slow.0.unfinished());
            prop_assert_eq!(fast.0.outside, slow.0.outside);
        }

        /// Bars of small bars are the bars of what these were made of, where the larger period is a multiple.
        #[test]
        fn bars_of_bars_are_bars(prints in prop::collection::vec((0i64..40, 90i64..110, 1i64..9), 1..300)) {
            let mut ts = 0;
            let prints: Vec<Piece> = prints.into_iter().map(|(gap, ticks, lots)| {
                ts += gap;
                Piece::point(Nanos(ts), price(ticks), lots, None)
            }).collect();
            let make = |length: i64, pieces: &[Piece]| {
                let (mut builder, mut bars) = (Builder::new(Rule::Time(length), Vec::new()), Vec::new());
                pieces.iter().for_each(|piece| builder.push(piece, |bar| bars.push(bar)).unwrap());
                bars.extend(builder.unfinished());
                bars
            };
            let small: Vec<Piece> = make(10, &prints).iter().map(|&bar| Piece { bar, aggressor: None }).collect();
            prop_assert_eq!(make(60, &small), make(60, &prints));
        }

        /// Whatever ends them, bars hold every print once, in order, and lie within their prices.
        #[test]
        fn no_print_is_lost(
            prints in prop::collection::vec((0i64..40, 90i64..110, 1i64..9), 1..300), kind in 0usize..6, threshold in 1i128..60,
        ) {
            let rule = [
                Rule::Time(threshold as i64), Rule::Sum(Weight::Count, threshold), Rule::Sum(Weight::Lots, threshold),
                Rule::Sum(Weight::Value(1, 0), threshold * 50), Rule::Imbalance(Weight::Lots, threshold),
                Rule::Runs(Weight::Count, threshold),
            ][kind];
            let (mut builder, mut bars, mut ts) = (Builder::new(rule, Vec::new()), Vec::new(), 0);
            for &(gap, ticks, lots) in &prints {
                ts += gap;
                builder.push(&Piece::point(Nanos(ts), price(ticks), lots, None), |bar| bars.push(bar)).unwrap();
            }
            bars.extend(builder.unfinished());
            prop_assert_eq!(bars.iter().map(|bar| bar.count).sum::<u64>(), prints.len() as u64);
            prop_assert_eq!(bars.iter().map(|bar| bar.lots).sum::<i64>(), prints.iter().map(|print| print.2).sum::<i64>());
            let mut rest = &prints[..];
            for bar in &bars {
                let (mine, others) = rest.split_at(bar.count as usize);
                rest = others;
                let ticks = || mine.iter().map(|print| print.1);
                prop_assert_eq!(bar.open.ticks, mine[0].1);
                prop_assert_eq!(bar.close.ticks, mine[mine.len() - 1].1);
                prop_assert_eq!(Some(bar.high.ticks), ticks().max());
                prop_assert_eq!(Some(bar.low.ticks), ticks().min());
                prop_assert_eq!(bar.ticks_lots, mine.iter().map(|print| i128::from(print.1 * print.2)).sum::<i128>());
            }
        }

        /// A quotient of numbers that floats hold is the one that floats give.
        #[test]
        fn the_nearest_float_is_that_of_an_exact_division(dividend in -(1i64 << 53)..1 << 53, divisor in 1i64..1 << 53) {
            prop_assert_eq!(nearest(dividend.into(), divisor.into()), dividend as f64 / divisor as f64);
            let far = i128::from(dividend) << 60;
            prop_assert_eq!(nearest(far, divisor.into()), dividend as f64 / divisor as f64 * 2f64.powi(60));
            prop_assert_eq!(nearest(dividend.into(), i128::from(divisor) << 60), dividend as f64 / divisor as f64 / 2f64.powi(60));
        }
    }
}
