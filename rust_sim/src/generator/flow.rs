//! Who trades and how: calm and storm, and large orders that are worked in pieces.

use super::random::Random;

/// Components of the storm, and how far each one swings the variance.
const COMPONENTS: usize = 6;
const SWING: f64 = 0.4;
/// The chance of an event to redraw a component, slowest first; each is RATIO times as fast as the one before.
const SLOWEST: f64 = 1.0 / 60_000.0;
const RATIO: f64 = 4.0;

/// How stormy it is: the variance of the market relative to its mean, a product of components that are redrawn at
/// widely different rates, so that storms come at every time scale.
///
/// Source: Calvet and Fisher (2004), "How to Forecast Long-Run Volatility: Regime Switching and the Estimation of
/// Multifractal Processes", J. Fin. Econometrics 2(1).
#[derive(Clone, Debug)]
pub(super) struct Weather {
    high: [bool; COMPONENTS],
    chance_any: f64,
    /// Square root of the variance.
    pub(super) storm: f64,
}

impl Weather {
    pub(super) fn new(random: &mut Random) -> Self {
        let mut high = [false; COMPONENTS];
        high.iter_mut().for_each(|high| *high = random.chance(0.5));
        let mut weather = Weather { high, chance_any: 0.0, storm: 1.0 };
        let mut chance = SLOWEST;
        for _ in 0..COMPONENTS {
            weather.chance_any += chance;
            chance *= RATIO;
        }
        weather.measure();
        weather
    }

    /// One event later.
    #[inline]
    pub(super) fn advance(&mut self, random: &mut Random) {
        let mut drawn = random.unit();
        if drawn > self.chance_any {
            return;
        }
        let mut chance = SLOWEST;
        for high in &mut self.high {
            if drawn <= chance {
                *high = random.chance(0.5);
                break;
            }
            drawn -= chance;
            chance *= RATIO;
        }
        self.measure();
    }

    /// How quickly things happen, relative to the mean: more in a storm, but less so than prices move.
    #[inline]
    pub(super) fn pace(&self) -> f64 {
        0.5 + 0.5 * self.storm
    }

    fn measure(&mut self) {
        let variance =
            self.high.iter().fold(1.0, |product, &high| product * if high { 1.0 + SWING } else { 1.0 - SWING });
        self.storm = variance.sqrt();
    }
}

/// Large orders that are worked at the same time.
const WORKED: usize = 4;
/// No large order has more pieces than this.
const PIECES_MAX: f64 = 3_000.0;
/// How strongly buyers turn up below the opening price and sellers above it. Weak: not felt over a day of a million
/// events, it keeps the price within some ten percent over a hundred times as many.
const PULL: f64 = 0.02;
/// How quickly recent trades are forgotten by those who lean against them.
const MEMORY: f64 = 1.0 / 40.0;

/// A large order, one piece after the other.
#[derive(Clone, Copy, Debug, Default)]
struct Parent {
    buys: bool,
    pieces: u32,
}

/// The demand for immediate trades. Large orders are worked in pieces, the number of pieces has a fat tail, and so the
/// signs of trades have a long memory.
///
/// Source: Lillo, Mike and Farmer (2005), "Theory for Long Memory in Supply and Demand", Phys. Rev. E 71, 066122.
#[derive(Clone, Debug)]
pub(super) struct Demand {
    parents: [Parent; WORKED],
    opening_ticks: f64,
    /// Recent trades: towards +1 where buyers took, -1 where sellers did.
    pub(super) pressure: f64,
}

impl Demand {
    pub(super) fn new(opening_ticks: i64) -> Self {
        Demand { parents: [Parent::default(); WORKED], opening_ticks: opening_ticks as f64, pressure: 0.0 }
    }

    /// Whether the next taker buys, where the price now is `price_ticks`.
    pub(super) fn buys(&mut self, price_ticks: f64, random: &mut Random) -> bool {
        let parent = &mut self.parents[random.below(WORKED)];
        if parent.pieces == 0 {
            let away = (price_ticks - self.opening_ticks) / self.opening_ticks;
            parent.buys = random.chance(0.5 - (PULL * away).clamp(-0.4, 0.4));
            parent.pieces = random.pareto().min(PIECES_MAX) as u32;
        }
        parent.pieces -= 1;
        let sign = if parent.buys { 1.0 } else { -1.0 };
        self.pressure += MEMORY * (sign - self.pressure);
        parent.buys
    }
}
