//! What the venue charges for a fill.

use crate::account::{Money, MoneyOverflow, divide_half_even};
use crate::instrument::Instrument;
use crate::types::{Lots, Ticks};

/// A fee schedule. A negative rate is a rebate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fees {
    /// Rate of value for an order that rested, in 1e-12.
    pub maker_rate: i64,
    /// Rate of value for an order that took, in 1e-12.
    pub taker_rate: i64,
    /// Charge for each lot.
    pub per_lot: Money,
    /// Charge for each fill.
    pub per_fill: Money,
}

/// Rates are counted in this part of the value.
pub const RATE_SCALE: i128 = 1_000_000_000_000;

impl Fees {
    /// The fee of one fill, rounded once, half to even.
    pub fn of(&self, instrument: &Instrument, price: Ticks, qty: Lots, taker: bool) -> Result<Money, MoneyOverflow> {
        let rate = if taker { self.taker_rate } else { self.maker_rate };
        let mut fee = self.per_fill.0;
        if rate != 0 {
            let value = instrument.value(Ticks(price.0.abs()), qty).ok_or(MoneyOverflow)?;
            let scaled = value.checked_mul(i128::from(rate)).ok_or(MoneyOverflow)?;
            fee = fee.checked_add(divide_half_even(scaled, RATE_SCALE)).ok_or(MoneyOverflow)?;
        }
        let by_lot = self.per_lot.0.checked_mul(i128::from(qty.0)).ok_or(MoneyOverflow)?;
        fee.checked_add(by_lot).map(Money).ok_or(MoneyOverflow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instrument::Step;

    #[test]
    fn a_fee_is_a_rate_of_value_and_charges_for_lots_and_fills() {
        let instrument = Instrument {
            tick: Step { num: 1, den: 100 },
            lot: Step { num: 1, den: 1 },
            unit: 10_000_000_000_000_000,
            currency: 0,
        };
        let cent = Money(10_000_000_000_000_000);
        let fees = Fees { maker_rate: -20_000_000, taker_rate: 50_000_000, per_lot: Money(1), per_fill: cent };
        // 100 shares at 100.00: a value of 10,000.00; half a basis point is 0.50, a fifth of one 0.20.
        let taker = fees.of(&instrument, Ticks(10_000), Lots(100), true).unwrap();
        assert_eq!(taker, Money(50 * cent.0 + 100 + cent.0));
        let maker = fees.of(&instrument, Ticks(10_000), Lots(100), false).unwrap();
        assert_eq!(maker, Money(-20 * cent.0 + 100 + cent.0));
    }
}
