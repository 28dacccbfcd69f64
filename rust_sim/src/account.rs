//! Money and positions, in whole units: nothing is lost to rounding but what is rounded once, half to even.

use crate::instrument::Instrument;
use crate::types::{Lots, Side, Ticks};

/// An amount in 1e-18 of its currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(pub i128);

/// An amount that 128 bits cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an amount is too large for the account: more than 1.7e20 units of currency")]
pub struct MoneyOverflow;

/// Divides, rounding half to even. `by` is positive.
pub fn divide_half_even(amount: i128, by: i128) -> i128 {
    let quotient = amount.div_euclid(by);
    let rest = amount.rem_euclid(by);
    // `rest` lies in [0, by), so doubling it is compared without overflow by subtracting.
    match rest.cmp(&(by - rest)) {
        std::cmp::Ordering::Less => quotient,
        std::cmp::Ordering::Greater => quotient + 1,
        std::cmp::Ordering::Equal => quotient + (quotient & 1),
    }
}

/// What the account holds of one instrument, at average cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Size; negative when short.
    pub qty: Lots,
    /// What the open size was bought for; negative when short.
    pub cost: Money,
    /// Profit of what is closed, before fees.
    pub realised: Money,
    /// Fees paid so far.
    pub fees: Money,
}

impl Position {
    /// Books one fill and returns the change of cash.
    pub fn fill(
        &mut self,
        instrument: &Instrument,
        side: Side,
        price: Ticks,
        qty: Lots,
        fee: Money,
    ) -> Result<Money, MoneyOverflow> {
        let signed = side.sign() * qty.0;
        let value = instrument.value(price, Lots(signed)).ok_or(MoneyOverflow)?;
        let held = self.qty.0;
        let closing = if held.signum() == -signed.signum() { held.abs().min(qty.0) } else { 0 };
        let mut next = *self;
        if closing > 0 {
            let share = if closing == held.abs() {
                self.cost.0
            } else {
                let scaled = self.cost.0.checked_mul(i128::from(closing)).ok_or(MoneyOverflow)?;
                divide_half_even(scaled, i128::from(held.abs()))
            };
            let closed_value = instrument.value(price, Lots(held.signum() * closing)).ok_or(MoneyOverflow)?;
            next.cost.0 -= share;
            next.realised.0 = next.realised.0.checked_add(closed_value - share).ok_or(MoneyOverflow)?;
        }
        let opening = signed - signed.signum() * closing;
        let opened_value = instrument.value(price, Lots(opening)).ok_or(MoneyOverflow)?;
        next.cost.0 = next.cost.0.checked_add(opened_value).ok_or(MoneyOverflow)?;
        next.qty.0 = held.checked_add(signed).ok_or(MoneyOverflow)?;
        next.fees.0 = next.fees.0.checked_add(fee.0).ok_or(MoneyOverflow)?;
        let cash = value.checked_add(fee.0).and_then(i128::checked_neg).ok_or(MoneyOverflow)?;
        *self = next;
        Ok(Money(cash))
    }

    /// Value of the position at a mark in half ticks, in half money units.
    pub fn value_at_half_ticks(&self, instrument: &Instrument, mark_half_ticks: i64) -> Option<i128> {
        (i128::from(self.qty.0) * i128::from(mark_half_ticks)).checked_mul(instrument.unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instrument::Step;
    use proptest::prelude::*;

    const CENTS: Instrument = Instrument {
        tick: Step { num: 1, den: 100 },
        lot: Step { num: 1, den: 1 },
        unit: 10_000_000_000_000_000,
        currency: 0,
    };

    #[test]
    fn halves_are_rounded_to_even() {
        let cases = [(5, 2, 2), (7, 2, 4), (-5, 2, -2), (-7, 2, -4), (4, 3, 1), (5, 3, 2), (-4, 3, -1), (0, 9, 0)];
        for (amount, by, expected) in cases {
            assert_eq!(divide_half_even(amount, by), expected, "{amount} / {by}");
        }
    }

    proptest! {
        /// Cash, cost and profit are three views of one sum: they agree after every fill, to the last unit.
        #[test]
        fn the_books_balance_after_every_fill(
            fills in prop::collection::vec((any::<bool>(), -500i64..500, 1i64..50, 0i128..9_999), 1..60)
        ) {
            let mut position = Position::default();
            let mut cash = 0;
            for (buys, price, qty, fee) in fills {
                let side = if buys { Side::Buy } else { Side::Sell };
                cash += position.fill(&CENTS, side, Ticks(price), Lots(qty), Money(fee)).unwrap().0;
                prop_assert_eq!(cash + position.cost.0, position.realised.0 - position.fees.0);
                if position.qty == Lots::ZERO {
                    prop_assert_eq!(position.cost, Money(0));
                }
            }
        }
    }

    #[test]
    fn a_sale_through_zero_closes_and_opens() {
        let mut position = Position::default();
        position.fill(&CENTS, Side::Buy, Ticks(100), Lots(3), Money(0)).unwrap();
        position.fill(&CENTS, Side::Sell, Ticks(110), Lots(5), Money(0)).unwrap();
        assert_eq!(position.qty, Lots(-2));
        assert_eq!(position.realised.0, 30 * CENTS.unit);
        assert_eq!(position.cost.0, -220 * CENTS.unit);
    }

    #[test]
    fn too_much_money_is_an_error_and_changes_nothing() {
        let rich = Instrument { unit: i128::MAX / 1_000, ..CENTS };
        let mut position = Position::default();
        assert_eq!(position.fill(&rich, Side::Buy, Ticks(1_000), Lots(1_000), Money(0)), Err(MoneyOverflow));
        assert_eq!(position, Position::default());
    }
}
