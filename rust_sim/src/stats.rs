//! Statistics of positions and returns, computed in one pass and a fixed order.

use std::collections::VecDeque;

use crate::account::{MoneyOverflow, divide_half_even};
use crate::instrument::Instrument;
use crate::types::{Lots, Nanos, OrderId, Side, Ticks};

/// What is known of one fill for statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leg {
    /// When.
    pub ts: Nanos,
    /// The order.
    pub order: OrderId,
    /// Side.
    pub side: Side,
    /// Price.
    pub price: Ticks,
    /// Size.
    pub qty: Lots,
    /// Fee in money units.
    pub fee: i128,
}

/// An entry and its exit, paired first in, first out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundTrip {
    /// Size; negative for a short.
    pub qty: Lots,
    /// Entry.
    pub entry: Leg,
    /// Exit; None while it is open.
    pub exit: Option<Leg>,
    /// Fees of both legs, for this size.
    pub fees: i128,
    /// Profit before fees in money units; None while it is open.
    pub profit: Option<i128>,
}

/// A fill whose size is used up piece by piece; its fee goes along in exact shares.
#[derive(Clone, Copy, Debug)]
struct Open {
    leg: Leg,
    left: i64,
    fee_left: i128,
}

impl Open {
    fn take(&mut self, qty: i64) -> i128 {
        let share = if qty == self.left {
            self.fee_left
        } else {
            divide_half_even(self.fee_left * i128::from(qty), i128::from(self.left))
        };
        self.left -= qty;
        self.fee_left -= share;
        share
    }
}

/// Pairs the fills of one instrument as they come, first in, first out.
#[derive(Clone, Debug, Default)]
pub struct Pairing {
    open: VecDeque<Open>,
}

impl Pairing {
    /// Takes the next fill, and hands on what it closes, oldest entry first.
    pub fn fill(
        &mut self,
        instrument: &Instrument,
        leg: &Leg,
        mut closed: impl FnMut(RoundTrip),
    ) -> Result<(), MoneyOverflow> {
        let mut coming = Open { leg: *leg, left: leg.qty.0, fee_left: leg.fee };
        while coming.left > 0 {
            let Some(entry) = self.open.front_mut().filter(|entry| entry.leg.side != leg.side) else {
                self.open.push_back(coming);
                break;
            };
            let qty = coming.left.min(entry.left);
            let fees = entry.take(qty) + coming.take(qty);
            let signed = Lots(entry.leg.side.sign() * qty);
            let bought = instrument.value(entry.leg.price, signed).ok_or(MoneyOverflow)?;
            let sold = instrument.value(leg.price, signed).ok_or(MoneyOverflow)?;
            let profit = Some(sold - bought);
            closed(RoundTrip { qty: signed, entry: entry.leg, exit: Some(*leg), fees, profit });
            if entry.left == 0 {
                self.open.pop_front();
            }
        }
        Ok(())
    }

    /// What has no exit, oldest entry first.
    pub fn open(&self) -> impl Iterator<Item = RoundTrip> + '_ {
        self.open.iter().map(|&(mut entry)| {
            let qty = entry.left;
            let fees = entry.take(qty);
            RoundTrip { qty: Lots(entry.leg.side.sign() * qty), entry: entry.leg, exit: None, fees, profit: None }
        })
    }
}

/// What a list of fills adds up to, in ticks and lots.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PositionStats {
    /// Net size; negative when short.
    pub position: i64,
    /// Size bought.
    pub bought: i64,
    /// Size sold.
    pub sold: i64,
    /// Mean price of what is open, None when flat.
    pub average_price: Option<f64>,
    /// Mean price of all purchases.
    pub average_buy: Option<f64>,
    /// Mean price of all sales.
    pub average_sell: Option<f64>,
    /// Profit of what is closed, in ticks times lots, at average cost.
    pub realised: i64,
    /// Fills counted.
    pub fills: usize,
    /// The largest long position on the way.
    pub longest: i64,
    /// The largest short position on the way, negative.
    pub shortest: i64,
}

/// Adds up fills given as side, price in ticks and positive size in lots. Positions are at average cost; the cost share of
/// a partial close is rounded half to even and the remainder stays with the position. None where a size or the profit
/// exceeds 64 bits.
pub fn position_stats(fills: impl Iterator<Item = (Side, i64, i64)> + Clone) -> Option<PositionStats> {
    narrow_stats(fills.clone()).or_else(|| wide_stats(fills))
}

/// The same in 64 bits, which nearly all fills allow, and four times as fast; None where one step overflows.
#[inline]
fn narrow_stats(fills: impl Iterator<Item = (Side, i64, i64)>) -> Option<PositionStats> {
    let (mut position, mut cost, mut realised) = (0_i64, 0_i64, 0_i64);
    let (mut longest, mut shortest, mut count) = (0, 0, 0);
    let (mut lots, mut values) = ([0_i64; 2], [0_i64; 2]);
    for (side, price, qty) in fills {
        let at = side as usize;
        lots[at] = lots[at].checked_add(qty)?;
        let value = price.checked_mul(qty)?;
        values[at] = values[at].checked_add(value)?;
        let held: i64 = position;
        let signed = side.sign() * qty;
        position = held.checked_add(signed)?;
        if held == 0 || (held ^ signed) >= 0 {
            cost = cost.checked_add(side.sign() * value)?;
        } else {
            let open = held.abs();
            let closing = qty.min(open);
            let scaled = cost.checked_mul(closing)?;
            let (floor, rest) = (scaled.div_euclid(open), scaled.rem_euclid(open));
            let (above, tie) = (rest > open - rest, rest == open - rest);
            let share = floor + i64::from(above) + (i64::from(tie) & floor);
            let closed = held.signum() * closing;
            realised = realised.checked_add(closed.checked_mul(price)?.checked_sub(share)?)?;
            cost = cost.checked_add((signed + closed).checked_mul(price)?.checked_sub(share)?)?;
        }
        longest = longest.max(position);
        shortest = shortest.min(position);
        count += 1;
    }
    let values = values.map(i128::from);
    PositionStats::of(position, lots, values, (cost.into(), realised.into()), count, (longest, shortest))
}

fn wide_stats(fills: impl Iterator<Item = (Side, i64, i64)>) -> Option<PositionStats> {
    let (mut position, mut cost, mut realised) = (0_i64, 0_i128, 0_i128);
    let (mut longest, mut shortest, mut count) = (0, 0, 0);
    let (mut lots, mut values) = ([0_i64; 2], [0_i128; 2]);
    for (side, price, qty) in fills {
        let (at, price) = (side as usize, i128::from(price));
        lots[at] = lots[at].checked_add(qty)?;
        // The sizes of a side fit 63 bits together and a price 63, so no sum of values exceeds 127.
        values[at] += price * i128::from(qty);
        let held = position;
        let signed = side.sign() * qty;
        position = held.checked_add(signed)?;
        if held == 0 || (held > 0) == (signed > 0) {
            cost += price * i128::from(signed);
        } else {
            let closing = qty.min(held.abs());
            let scaled = cost.checked_mul(i128::from(closing));
            let share = if closing == held.abs() { cost } else { divide_half_even(scaled?, i128::from(held.abs())) };
            let closed = held.signum() * closing;
            realised += price * i128::from(closed) - share;
            cost += price * i128::from(signed + closed) - share;
        }
        longest = longest.max(position);
        shortest = shortest.min(position);
        count += 1;
    }
    PositionStats::of(position, lots, values, (cost, realised), count, (longest, shortest))
}

impl PositionStats {
    fn of(
        position: i64,
        [bought, sold]: [i64; 2],
        [paid, received]: [i128; 2],
        (cost, realised): (i128, i128),
        fills: usize,
        (longest, shortest): (i64, i64),
    ) -> Option<Self> {
        let mean = |sum: i128, qty: i64| (qty != 0).then(|| sum as f64 / qty as f64);
        Some(PositionStats {
            position,
            bought,
            sold,
            average_price: mean(cost, position),
            average_buy: mean(paid, bought),
            average_sell: mean(received, sold),
            realised: i64::try_from(realised).ok()?,
            fills,
            longest,
            shortest,
        })
    }
}

/// The Sharpe ratio of periodic returns over a riskless rate of zero: mean over standard deviation (of the sample,
/// n - 1), times the root of the periods in a year. NaN is no observation. None with fewer than two returns or without
/// variation.
///
/// Source: Sharpe (1994), "The Sharpe Ratio", Journal of Portfolio Management 21(1). The sums run in input order.
pub fn sharpe(returns: &[f64], periods_per_year: f64) -> Option<f64> {
    let n = returns.len();
    if n < 2 {
        return None;
    }
    let mean = lanes(returns, |x| x) / n as f64;
    if mean.is_nan() && returns.iter().any(|x| x.is_nan()) {
        let seen: Vec<f64> = returns.iter().copied().filter(|x| !x.is_nan()).collect();
        return sharpe(&seen, periods_per_year);
    }
    let squares = lanes(returns, |x| (x - mean) * (x - mean));
    let deviation = (squares / (n - 1) as f64).sqrt();
    // A constant series leaves only rounding: relative to the mean that is nothing.
    (deviation > mean.abs() * 1e-14).then(|| mean / deviation * periods_per_year.sqrt())
}

/// Sums in four fixed lanes: the same order on every machine, and four times the speed of one chain.
fn lanes(values: &[f64], of: impl Fn(f64) -> f64) -> f64 {
    let mut sums = [0.0; 4];
    let (fours, rest) = values.as_chunks::<4>();
    for four in fours {
        for (sum, value) in sums.iter_mut().zip(four) {
            *sum += of(*value);
        }
    }
    let tail: f64 = rest.iter().fold(0.0, |sum, value| sum + of(*value));
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + tail
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::{Money, Position};
    use crate::instrument::Step;
    use proptest::prelude::*;

    const CENTS: Instrument = Instrument {
        tick: Step { num: 1, den: 100 },
        lot: Step { num: 1, den: 1 },
        unit: 10_000_000_000_000_000,
        currency: 0,
    };

    fn legs() -> impl proptest::strategy::Strategy<Value = Vec<(bool, i64, i64, i128)>> {
        prop::collection::vec((any::<bool>(), -200i64..200, 1i64..40, 0i128..1_000), 1..80)
    }

    proptest! {
        /// FIFO and average cost spread profit differently, but agree on the total once the position is flat.
        #[test]
        fn pairing_and_average_cost_agree_when_flat(fills in legs()) {
            let mut position = Position::default();
            let mut all = Vec::new();
            let mut book = |side: Side, price: i64, qty: i64, fee: i128, position: &mut Position| {
                position.fill(&CENTS, side, Ticks(price), Lots(qty), Money(fee)).unwrap();
                let leg = Leg { ts: Nanos(0), order: OrderId(0), side, price: Ticks(price), qty: Lots(qty), fee };
                all.push(leg);
            };
            for (buys, price, qty, fee) in fills {
                let side = if buys { Side::Buy } else { Side::Sell };
                book(side, price, qty, fee, &mut position);
            }
            let left = position.qty.0;
            if left != 0 {
                let side = if left > 0 { Side::Sell } else { Side::Buy };
                book(side, 17, left.abs(), 3, &mut position);
            }
            let (mut pairing, mut trips) = (Pairing::default(), Vec::new());
            all.iter().for_each(|leg| pairing.fill(&CENTS, leg, |trip| trips.push(trip)).unwrap());
            trips.extend(pairing.open());
            prop_assert_eq!(trips.iter().filter_map(|trip| trip.profit).sum::<i128>(), position.realised.0);
            prop_assert_eq!(trips.iter().map(|trip| trip.fees).sum::<i128>(), position.fees.0);
            prop_assert!(trips.iter().all(|trip| trip.exit.is_some()));
        }

        #[test]
        fn position_stats_agree_with_the_account(fills in legs()) {
            let mut position = Position::default();
            for &(buys, price, qty, _) in &fills {
                let side = if buys { Side::Buy } else { Side::Sell };
                position.fill(&Instrument { unit: 1, ..CENTS }, side, Ticks(price), Lots(qty), Money(0)).unwrap();
            }
            let sides = fills.iter().map(|&(buys, price, qty, _)| (if buys { Side::Buy } else { Side::Sell }, price, qty));
            let stats = position_stats(sides).unwrap();
            prop_assert_eq!(stats.position, position.qty.0);
            prop_assert_eq!(i128::from(stats.realised), position.realised.0);
        }
    }

    proptest! {
        #[test]
        fn sixty_four_bits_give_what_more_bits_give(
            fills in prop::collection::vec((any::<bool>(), -1i64 << 34..1 << 34, 1i64..1 << 20), 1..60)
        ) {
            let fills = fills.iter().map(|&(buys, price, qty)| (if buys { Side::Buy } else { Side::Sell }, price, qty));
            let wide = wide_stats(fills.clone());
            prop_assert!(wide.is_some());
            prop_assert_eq!(position_stats(fills.clone()), wide);
            let small = fills.map(|(side, price, qty)| (side, price % 100, qty % 9 + 1));
            prop_assert!(narrow_stats(small.clone()).is_some());
            prop_assert_eq!(narrow_stats(small.clone()), wide_stats(small));
        }
    }

    #[test]
    fn a_sharpe_ratio_by_hand() {
        let returns = [0.01, -0.02, 0.03, 0.0, 0.01];
        let mean = 0.006;
        let squares: f64 = returns.iter().map(|r: &f64| (r - mean) * (r - mean)).sum();
        let expected = mean / (squares / 4.0).sqrt() * 252f64.sqrt();
        assert!((sharpe(&returns, 252.0).unwrap() - expected).abs() < 1e-12);
        assert_eq!(sharpe(&[0.01], 252.0), None);
        assert_eq!(sharpe(&[0.01; 9], 252.0), None);
        let gaps = [f64::NAN, 0.01, -0.02, f64::NAN, 0.03, 0.0, 0.01];
        assert_eq!(sharpe(&gaps, 252.0), sharpe(&returns, 252.0));
        assert_eq!(sharpe(&[f64::NAN; 3], 252.0), None);
    }
}
