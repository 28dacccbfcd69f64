//! What the core must know of an instrument: how many units of money one tick times one lot is.

use crate::types::{Lots, Ticks};

/// Units of [`crate::account::Money`] in one unit of currency.
pub const MONEY_SCALE: i128 = 1_000_000_000_000_000_000;

/// A step of prices or sizes as the fraction `num / den`, `den` a power of ten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Numerator, positive.
    pub num: i64,
    /// Denominator, a power of ten.
    pub den: i64,
}

/// Why a number could not be turned into steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OffStep {
    /// Not a number, or infinite.
    NotFinite,
    /// Between two steps; the nearest one below is given.
    Between(i64),
    /// More steps than the engine counts.
    OutOfRange,
}

/// Values that differ from a step by less than this part of it are on it: what decimal text costs in binary.
pub(crate) const TOLERANCE: f64 = 1e-6;
const EXACT: f64 = 9_007_199_254_740_992.0;
/// 1.5 x 2^52: a sum with it keeps whole numbers only, in the lowest bits of its mantissa.
pub(crate) const ROUNDS: f64 = 6_755_399_441_055_744.0;
const ROUNDS_BELOW: f64 = 1_125_899_906_842_624.0;

impl Step {
    /// The number of steps in a value.
    #[inline]
    pub fn count(self, value: f64) -> Result<i64, OffStep> {
        let scaled = value * self.den as f64;
        let steps = if self.num == 1 { scaled } else { scaled / self.num as f64 };
        // Nearly every value of a feed: adding this number leaves no bit for a fraction, so it rounds, in two instructions.
        let shifted = steps + ROUNDS;
        if steps.abs() < ROUNDS_BELOW && (steps - (shifted - ROUNDS)).abs() <= TOLERANCE {
            return Ok(shifted.to_bits() as i64 - ROUNDS.to_bits() as i64);
        }
        Self::count_far(value, steps)
    }

    /// Where the quick way does not do: many steps, or between two.
    #[cold]
    fn count_far(value: f64, steps: f64) -> Result<i64, OffStep> {
        let nearest = steps.round();
        let off = (steps - nearest).abs();
        if steps.abs() < EXACT && off <= TOLERANCE.max(steps.abs() * 4.0 * f64::EPSILON) {
            return Ok(nearest as i64);
        }
        if !value.is_finite() {
            Err(OffStep::NotFinite)
        } else if steps.abs() >= EXACT {
            Err(OffStep::OutOfRange)
        } else {
            Err(OffStep::Between(steps.floor() as i64))
        }
    }

    /// What a value lies above a number of steps, in 1e-9.
    pub fn past_nano(self, value: f64, steps: i64) -> i64 {
        ((value * 1e9).round() as i128 - self.nano(steps)) as i64
    }

    /// The value that lies `past_nano` above a number of steps, by one division.
    #[inline]
    pub fn value_past(self, steps: i64, past_nano: i64) -> f64 {
        if past_nano == 0 {
            return self.value(steps);
        }
        (self.nano(steps) + i128::from(past_nano)) as f64 / 1e9
    }

    fn nano(self, steps: i64) -> i128 {
        (i128::from(steps) * i128::from(self.num) * 1_000_000_000).div_euclid(i128::from(self.den))
    }

    /// The value of a number of steps, by one division: the same float that the decimal text has.
    #[inline]
    pub fn value(self, steps: i64) -> f64 {
        (steps as f64 * self.num as f64) / self.den as f64
    }
}

/// An instrument as the core sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instrument {
    /// The price step of the engine.
    pub tick: Step,
    /// The size step of the engine.
    pub lot: Step,
    /// Money units of one tick times one lot times the multiplier.
    pub unit: i128,
    /// Index of its currency.
    pub currency: u16,
}

impl Instrument {
    /// Value of a size at a price in money units.
    #[inline]
    pub fn value(&self, price: Ticks, qty: Lots) -> Option<i128> {
        // Both factors are below 2^63, so their product fits 128 bits; the unit may push it over.
        (i128::from(price.0) * i128::from(qty.0)).checked_mul(self.unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_price_survives_the_way_through_ticks(steps in -10_000_000_000i64..10_000_000_000, digits in 0u32..9, num in 1i64..30) {
            let step = Step { num, den: 10i64.pow(digits) };
            prop_assert_eq!(step.count(step.value(steps)), Ok(steps));
        }
    }

    proptest! {
        #[test]
        fn the_quick_way_counts_as_the_slow_one(value in prop::num::f64::ANY, near in -3e9..3e9f64, num in 1i64..30) {
            let step = Step { num, den: 100 };
            for value in [value, near, (near * 100.0).round() / 100.0] {
                let scaled = value * 100.0;
                prop_assert_eq!(step.count(value), Step::count_far(value, scaled / num as f64));
            }
        }
    }

    #[test]
    fn a_price_between_two_ticks_keeps_its_decimals() {
        for (num, den, value) in [(1, 100, 100.005), (1, 100, -0.0049), (5, 1, 12.345_678_901), (25, 100, 4_321.123)] {
            let step = Step { num, den };
            let Err(OffStep::Between(below)) = step.count(value) else { panic!("{value} is on a step") };
            let past = step.past_nano(value, below);
            assert!(past > 0, "{past}");
            assert_eq!(step.value_past(below, past), value);
        }
    }

    #[test]
    fn what_lies_between_two_ticks_is_said() {
        let cent = Step { num: 1, den: 100 };
        assert_eq!(cent.count(100.005), Err(OffStep::Between(10_000)));
        assert_eq!(cent.count(-0.005), Err(OffStep::Between(-1)));
        assert_eq!(cent.count(f64::NAN), Err(OffStep::NotFinite));
        assert_eq!(cent.count(f64::INFINITY), Err(OffStep::NotFinite));
        assert_eq!(cent.count(1e300), Err(OffStep::OutOfRange));
    }
}
