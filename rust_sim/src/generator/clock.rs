//! When things happen: a U over the session, bursts that excite themselves, and an end that meets the count.

use super::random::{Random, decay};

/// Activity in the middle of the session and what its ends have more, relative to the mean: 0.55 to 1.9.
const MIDDLE: f64 = 0.55;
const EDGES: f64 = 3.0 * (1.0 - MIDDLE);

/// Each event raises the rate of the next ones; the raise fades at these rates per mean gap between events, and calls
/// forth so many events in all.
const FADES: [f64; 3] = [2.0, 0.05, 0.001];
const OFFSPRING: [f64; 3] = [0.35, 0.2, 0.15];
/// A trade excites more than an order that comes or goes; the mean over all events is about 1.
const WEIGHT_TRADE: f64 = 3.0;
const WEIGHT_OTHER: f64 = 0.9;
/// Records that an event writes on average, times the mean gap in the units of the excitation: measured.
const RECORDS_PER_EVENT: f64 = 1.0;

/// The clock of a market: a self-exciting process in business time, laid over the session.
///
/// Source: Ogata (1981), "On Lewis' Simulation Method for Point Processes", IEEE Trans. Information Theory 27(1), for the
/// thinning; Bacry, Mastromatteo and Muzy (2015), "Hawkes Processes in Finance", for excitation at several scales.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    start_ns: i64,
    end_ns: i64,
    pub(super) now_ns: i64,
    excitation: [f64; 3],
}

impl Clock {
    pub(super) fn new(start_ns: i64, end_ns: i64) -> Self {
        Clock { start_ns, end_ns, now_ns: start_ns, excitation: [0.0; 3] }
    }

    /// Moves to the next event. `pace` is the rate relative to the mean, `records_left` what is still to be written: the
    /// mean gap is chosen so that the count and the session end together, however the bursts fall.
    pub(super) fn advance(&mut self, pace: f64, records_left: u64, random: &mut Random) {
        let base = pace * (1.0 - OFFSPRING.iter().sum::<f64>());
        let mut gap = 0.0;
        let mut rate = base + self.excitation.iter().sum::<f64>();
        loop {
            let step = random.exponential() / rate;
            gap += step;
            for (excitation, fade) in self.excitation.iter_mut().zip(FADES) {
                *excitation *= decay(fade * step);
            }
            let faded = base + self.excitation.iter().sum::<f64>();
            if random.unit() * rate <= faded {
                break;
            }
            rate = faded;
        }
        let session_ns = (self.end_ns - self.start_ns) as f64;
        let passed = (self.now_ns - self.start_ns) as f64 / session_ns;
        let per_gap = business_after(passed) * RECORDS_PER_EVENT / (records_left as f64 + 1.0);
        let gap_ns = gap * per_gap / activity(passed) * session_ns;
        // The end is never reached: the last events share what is left of the session.
        let left_ns = self.end_ns - 1 - self.now_ns;
        self.now_ns += (gap_ns as i64).clamp(1, left_ns.max(2) / 2).min(left_ns);
    }

    /// The event that has just happened excites the next ones.
    pub(super) fn excite(&mut self, traded: bool) {
        let weight = if traded { WEIGHT_TRADE } else { WEIGHT_OTHER };
        for ((excitation, fade), offspring) in self.excitation.iter_mut().zip(FADES).zip(OFFSPRING) {
            *excitation += weight * offspring * fade;
        }
    }
}

/// Activity at a point of the session in 0..=1, relative to the mean.
fn activity(passed: f64) -> f64 {
    let x = 2.0 * passed - 1.0;
    MIDDLE + EDGES * x * x
}

/// The share of the session's activity that lies after a point of it: the integral of [`activity`].
fn business_after(passed: f64) -> f64 {
    let x = 2.0 * passed - 1.0;
    0.5 * (MIDDLE * (1.0 - x) + EDGES * (1.0 - x * x * x) / 3.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_holds_all_activity() {
        assert!((business_after(0.0) - 1.0).abs() < 1e-12);
        assert!(business_after(1.0).abs() < 1e-12);
        let sum: f64 = (0..1_000).map(|n| activity((f64::from(n) + 0.5) / 1_000.0)).sum::<f64>() / 1_000.0;
        assert!((sum - 1.0).abs() < 1e-5);
    }

    #[test]
    fn time_never_falls_and_never_reaches_the_end() {
        // Far more events than nanoseconds: the clock stands still rather than leave the session.
        let mut random = Random::new(3);
        let mut clock = Clock::new(100, 600);
        let mut last = clock.now_ns;
        for left in (0..5_000).rev() {
            clock.advance(1.0, left, &mut random);
            clock.excite(left % 7 == 0);
            assert!(last <= clock.now_ns && clock.now_ns < 600);
            last = clock.now_ns;
        }
    }
}
