//! Which prices and sizes an order may have: one step everywhere, or a table of steps by price and by time.

use std::sync::Arc;

use crate::types::{Lots, MAX_LOTS, Nanos, Ticks};

/// A step from a time and a distance from zero on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Band {
    /// From when on, in nanoseconds.
    pub since_ns: i64,
    /// From which distance from zero on; 0 for the first band of each time.
    pub from: i64,
    /// Every price of the band is a whole number of these.
    pub step: i64,
}

/// The steps of displayed prices in ticks, or of order sizes in lots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grid {
    /// One step.
    Even(i64),
    /// Several, ascending by time and then by price; before the first of them every whole number will do.
    Banded(Arc<[Band]>),
}

/// What is wrong with a table of bands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBands {
    /// No band.
    #[error("a table of steps needs at least one band")]
    Empty,
    /// Not in order, or twice the same.
    #[error("the bands of a table of steps must ascend by time and by price")]
    Order,
    /// A time whose first band does not begin at zero.
    #[error("the first band of each time must begin at 0")]
    Begin,
    /// A step that is not above zero.
    #[error("the step of a band must be above 0")]
    Step,
    /// A band that begins between two steps of its own or of the band below.
    #[error("a band must begin on a step of its own and of the band below")]
    Seam,
}

impl Grid {
    /// A table of steps.
    pub fn banded(bands: &[Band]) -> Result<Self, BadBands> {
        if bands.is_empty() {
            return Err(BadBands::Empty);
        }
        for (at, band) in bands.iter().enumerate() {
            let before = at.checked_sub(1).map(|at| bands[at]);
            let below = before.filter(|before| before.since_ns == band.since_ns);
            if band.step < 1 {
                return Err(BadBands::Step);
            }
            if before.is_some_and(|before| (before.since_ns, before.from) >= (band.since_ns, band.from)) {
                return Err(BadBands::Order);
            }
            if below.is_none() != (band.from == 0) {
                return Err(BadBands::Begin);
            }
            // So that what is rounded up to the end of a band is on the next one too.
            if band.from % band.step != 0 || below.is_some_and(|below| band.from % below.step != 0) {
                return Err(BadBands::Seam);
            }
        }
        Ok(Grid::Banded(bands.into()))
    }

    /// The step in force at a time, for a distance from zero.
    #[inline]
    pub fn step(&self, at: Nanos, value: i64) -> i64 {
        match self {
            Grid::Even(step) => *step,
            Grid::Banded(bands) => banded_step(bands, at, value),
        }
    }

    /// Whether a value is on the grid that is in force at a time.
    #[inline]
    pub fn takes(&self, at: Nanos, value: i64) -> bool {
        match self {
            // The common case costs a comparison.
            Grid::Even(1) => true,
            Grid::Even(step) => value % step == 0,
            Grid::Banded(bands) => value % banded_step(bands, at, value) == 0,
        }
    }

    /// The neighbours on the grid of what lies at a whole number (`exact`), or between it and the next one; and whether it is
    /// on the grid itself.
    pub fn around(&self, at: Nanos, floor: i64, exact: bool) -> (i64, i64, bool) {
        // Between two whole numbers below zero, the upper one is the nearer to zero and names the band.
        let step = self.step(at, if exact || floor >= 0 { floor } else { floor + 1 });
        let below = floor.div_euclid(step) * step;
        (below, below + step, exact && below == floor)
    }
}

#[inline]
fn banded_step(bands: &[Band], at: Nanos, value: i64) -> i64 {
    let distance = value.saturating_abs();
    let Some(last) = bands.iter().rposition(|band| band.since_ns <= at.0) else { return 1 };
    let since = bands[last].since_ns;
    let mut in_force = bands[..=last].iter().rev().take_while(|band| band.since_ns == since);
    in_force.find(|band| band.from <= distance).map_or(1, |band| band.step)
}

/// What orders of an instrument must keep to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The steps of displayed prices, in ticks.
    pub prices: Grid,
    /// The steps of order sizes, in lots, by time.
    pub sizes: Grid,
    /// The smallest order.
    pub min_qty: Lots,
    /// The largest order.
    pub max_qty: Lots,
    /// The smallest value of an order, in money units.
    pub min_value: i128,
    /// Trading begins.
    pub activation: Nanos,
    /// Trading has ended.
    pub expiry: Nanos,
}

/// Why an order is against the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// The size is between two steps.
    SizeStep,
    /// Smaller than the smallest order.
    TooSmall,
    /// Larger than the largest order.
    TooLarge,
    /// Worth less than the least value.
    Value,
    /// Trading has not begun.
    NotYet,
    /// Trading has ended.
    Expired,
}

impl Rules {
    /// Every price and size, at any time.
    pub const NONE: Rules = Rules {
        prices: Grid::Even(1),
        sizes: Grid::Even(1),
        min_qty: Lots(1),
        max_qty: Lots(MAX_LOTS),
        min_value: 0,
        activation: Nanos(i64::MIN),
        expiry: Nanos(i64::MAX),
    };

    /// Whether an order may be sent now. `unit` is the money of one tick of one lot; without a price, its value is not known.
    pub fn check(&self, now: Nanos, qty: Lots, price: Option<Ticks>, unit: i128) -> Result<(), Against> {
        self.check_time(now)?;
        if qty < self.min_qty {
            return Err(Against::TooSmall);
        }
        if qty > self.max_qty {
            return Err(Against::TooLarge);
        }
        if !self.sizes.takes(now, qty.0) {
            return Err(Against::SizeStep);
        }
        let Some(price) = price.filter(|_| self.min_value > 0) else { return Ok(()) };
        // A product that does not fit is larger than any least value.
        let value = (i128::from(price.0.saturating_abs()) * i128::from(qty.0)).checked_mul(unit);
        if value.is_some_and(|value| value < self.min_value) { Err(Against::Value) } else { Ok(()) }
    }

    /// Whether it trades at a time.
    pub fn check_time(&self, now: Nanos) -> Result<(), Against> {
        if now < self.activation {
            return Err(Against::NotYet);
        }
        if now >= self.expiry { Err(Against::Expired) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn band(since_ns: i64, from: i64, step: i64) -> Band {
        Band { since_ns, from, step }
    }

    /// Tables whose seams fit: the step of each band divides the next, and bands begin at multiples of it.
    fn tables() -> impl Strategy<Value = Vec<Band>> {
        let era = prop::collection::vec((1i64..6, 1i64..4), 1..5);
        prop::collection::vec((1i64..50, era), 1..4).prop_map(|eras| {
            let (mut bands, mut since) = (Vec::new(), 0);
            for (later, era) in eras {
                since += later;
                let (mut from, mut step) = (0, 1);
                for (at, (growth, length)) in era.into_iter().enumerate() {
                    step *= growth;
                    bands.push(band(since, from, step));
                    // The next step divides a multiple of 60 steps of this one.
                    from = (from / (60 * step) + at as i64 + length) * 60 * step;
                }
            }
            bands
        })
    }

    /// Reads the table from top to bottom, as a human would.
    fn judge(bands: &[Band], at: i64, value: i64) -> i64 {
        let mut since = None;
        for band in bands {
            if band.since_ns <= at {
                since = Some(band.since_ns);
            }
        }
        let mut step = 1;
        for band in bands {
            if Some(band.since_ns) == since && value.abs() >= band.from {
                step = band.step;
            }
        }
        step
    }

    proptest! {
        #[test]
        fn a_table_says_what_reading_it_says(bands in tables(), at in 0i64..200, value in -20_000i64..20_000) {
            let grid = Grid::banded(&bands).unwrap();
            let step = judge(&bands, at, value);
            prop_assert_eq!(grid.step(Nanos(at), value), step);
            prop_assert_eq!(grid.takes(Nanos(at), value), value % step == 0);
        }

        #[test]
        fn the_neighbours_of_a_price_are_the_nearest_on_the_grid(
            bands in tables(), at in 0i64..200, floor in -20_000i64..20_000, exact in any::<bool>()
        ) {
            let grid = Grid::banded(&bands).unwrap();
            let on = |value: &i64| value % judge(&bands, at, *value) == 0;
            let (below, above, is_on) = grid.around(Nanos(at), floor, exact);
            let nearest_below = (floor - 1_000_000..=floor).rev().find(on).unwrap();
            prop_assert_eq!(is_on, exact && on(&floor));
            prop_assert_eq!(below, nearest_below);
            if !is_on {
                prop_assert_eq!(above, (floor + 1..).find(on).unwrap());
            }
        }
    }

    #[test]
    fn one_step_is_a_table_of_one_band() {
        for step in [1, 5] {
            let (even, table) = (Grid::Even(step), Grid::banded(&[band(i64::MIN, 0, step)]).unwrap());
            for value in -12..12 {
                assert_eq!(even.takes(Nanos(0), value), table.takes(Nanos(0), value));
                assert_eq!(even.around(Nanos(0), value, true), table.around(Nanos(0), value, true));
            }
        }
    }

    #[test]
    fn before_its_first_time_a_table_says_nothing() {
        let grid = Grid::banded(&[band(100, 0, 5)]).unwrap();
        assert!(grid.takes(Nanos(99), 3) && !grid.takes(Nanos(100), 3) && grid.takes(Nanos(100), 5));
    }

    #[test]
    fn a_table_that_cannot_be_read_is_refused() {
        for (bands, wrong) in [
            (vec![], BadBands::Empty),
            (vec![band(0, 0, 0)], BadBands::Step),
            (vec![band(0, 5, 5)], BadBands::Begin),
            (vec![band(0, 0, 1), band(0, 0, 1)], BadBands::Order),
            (vec![band(5, 0, 1), band(0, 0, 1)], BadBands::Order),
            (vec![band(0, 0, 1), band(5, 10, 5)], BadBands::Begin),
            (vec![band(0, 0, 1), band(0, 12, 5)], BadBands::Seam),
            (vec![band(0, 0, 3), band(0, 10, 5)], BadBands::Seam),
        ] {
            assert_eq!(Grid::banded(&bands), Err(wrong), "{bands:?}");
        }
    }

    #[test]
    fn orders_keep_to_the_rules() {
        let rules = Rules {
            prices: Grid::Even(1),
            sizes: Grid::Even(5),
            min_qty: Lots(10),
            max_qty: Lots(100),
            min_value: 1_000,
            activation: Nanos(10),
            expiry: Nanos(20),
        };
        let check = |now, qty, price: Option<i64>| rules.check(Nanos(now), Lots(qty), price.map(Ticks), 2);
        assert_eq!(check(10, 10, Some(50)), Ok(()));
        assert_eq!(check(9, 10, Some(50)), Err(Against::NotYet));
        assert_eq!(check(20, 10, Some(50)), Err(Against::Expired));
        assert_eq!(check(10, 5, Some(50)), Err(Against::TooSmall));
        assert_eq!(check(10, 105, Some(50)), Err(Against::TooLarge));
        assert_eq!(check(10, 12, Some(50)), Err(Against::SizeStep));
        assert_eq!(check(10, 10, Some(49)), Err(Against::Value));
        assert_eq!(check(10, 10, Some(-50)), Ok(()));
        assert_eq!(check(10, 10, None), Ok(()));
    }
}
