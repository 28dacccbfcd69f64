//! Bars of prints, of quotes, or of smaller bars: open, high, low, close, volume, count and value, in integers.
//!
//! Whoever asks, columns or a kernel, runs [`Builder::push`]; so both have the same bars, to the last bit.

use crate::types::{Nanos, Side};

/// A price as the engine counts it; a print between two ticks carries the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Price {
    /// Whole ticks, rounded down.
    pub ticks: i64,
    /// What it lies above them, in 1e-9 of the currency.
    pub past_nano: i64,
}

/// What bars are made of: a print, a quote, or a smaller bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// When it began.
    pub opened: Nanos,
    /// When it was there.
    pub ts: Nanos,
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
    /// How many prints or quotes it stands for.
    pub count: u64,
    /// Sum of whole ticks times lots.
    pub ticks_lots: i128,
    /// Sum of what lies above the ticks times lots.
    pub nano_lots: i128,
    /// Who took, where it is known.
    pub aggressor: Option<Side>,
}

impl Piece {
    /// One print, or one quote of no lots.
    pub fn point(ts: Nanos, price: Price, lots: i64, aggressor: Option<Side>) -> Self {
        Piece {
            opened: ts,
            ts,
            open: price,
            high: price,
            low: price,
            close: price,
            lots,
            count: 1,
            ticks_lots: i128::from(price.ticks) * i128::from(lots),
            nano_lots: i128::from(price.past_nano) * i128::from(lots),
            aggressor,
        }
    }
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
    fn of(piece: &Piece) -> Self {
        let &Piece { opened, ts, open, high, low, close, lots, count, ticks_lots, nano_lots, .. } = piece;
        Bar { opened, closed: ts, open, high, low, close, lots, count, ticks_lots, nano_lots }
    }

    fn add(&mut self, piece: &Piece) -> Result<(), BarError> {
        self.closed = piece.ts;
        self.high = self.high.max(piece.high);
        self.low = self.low.min(piece.low);
        self.close = piece.close;
        self.count += piece.count;
        self.lots = self.lots.checked_add(piece.lots).ok_or(BarError::TooLarge(piece.ts))?;
        self.ticks_lots = self.ticks_lots.checked_add(piece.ticks_lots).ok_or(BarError::TooLarge(piece.ts))?;
        self.nano_lots = self.nano_lots.checked_add(piece.nano_lots).ok_or(BarError::TooLarge(piece.ts))?;
        Ok(())
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
    fn of(self, count: u64, lots: i64, ticks_lots: i128, nano_lots: i128) -> Option<i128> {
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

/// Why no more bars can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BarError {
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
        if piece.ts < self.last {
            return Err(BarError::TimeOrder(self.last, piece.ts));
        }
        self.last = piece.ts;
        // A smaller bar belongs to where it began.
        let at = piece.opened.0;
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
                let sum = weight.of(bar.count, bar.lots, bar.ticks_lots, bar.nano_lots);
                self.end_at(sum, threshold, piece.ts, emit)
            }
            Rule::Imbalance(weight, threshold) => {
                self.take(weight, piece)?;
                let [bought, sold] = self.taken;
                self.end_at(Some((bought - sold).abs()), threshold, piece.ts, emit)
            }
            Rule::Runs(weight, threshold) => {
                self.take(weight, piece)?;
                let [bought, sold] = self.taken;
                self.end_at(Some(bought.max(sold)), threshold, piece.ts, emit)
            }
            Rule::Renko(brick) => {
                self.add(piece)?;
                self.lay(brick, piece, emit)
            }
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
                bar.add(piece)?;
                Ok(*bar)
            }
            None => Ok(*self.bar.insert(Bar::of(piece))),
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
            && before != piece.close
        {
            self.sign = if piece.close > before { 1 } else { -1 };
        }
        self.price = Some(piece.close);
        let sign = piece.aggressor.map_or(self.sign, |side| i128::from(side.sign()));
        let weight = weight.of(piece.count, piece.lots, piece.ticks_lots, piece.nano_lots);
        let weight = weight.ok_or(BarError::TooLarge(piece.ts))?;
        if sign != 0 {
            let side = &mut self.taken[usize::from(sign < 0)];
            *side = side.checked_add(weight).ok_or(BarError::TooLarge(piece.ts))?;
        }
        Ok(())
    }

    /// Emits the bricks that the price of a piece completes. What traded since the last one belongs to the first of them.
    fn lay(&mut self, brick: i64, piece: &Piece, mut emit: impl FnMut(Bar)) -> Result<(), BarError> {
        let price = piece.close.ticks;
        let start = price.div_euclid(brick) * brick;
        let (mut bottom, mut top) = *self.brick.get_or_insert((start, start));
        let far = (i128::from(price) - i128::from(top)).max(i128::from(bottom) - i128::from(price));
        if far / i128::from(brick) > BRICKS_MAX {
            return Err(BarError::Bricks(piece.ts, far / i128::from(brick)));
        }
        let at = |ticks: i64| Price { ticks, past_nano: 0 };
        let mut laid = |open: i64, close: i64, bar: Option<Bar>| {
            let held = bar.unwrap_or(Bar {
                opened: piece.ts,
                lots: 0,
                count: 0,
                ticks_lots: 0,
                nano_lots: 0,
                ..Bar::of(piece)
            });
            let (low, high) = (at(open.min(close)), at(open.max(close)));
            emit(Bar { open: at(open), high, low, close: at(close), closed: piece.ts, ..held });
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
            let small: Vec<Piece> = make(10, &prints).iter().map(|bar| {
                let &Bar { opened, closed, open, high, low, close, lots, count, ticks_lots, nano_lots } = bar;
                Piece { opened, ts: closed, open, high, low, close, lots, count, ticks_lots, nano_lots, aggressor: None }
            }).collect();
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
