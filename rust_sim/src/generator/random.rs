//! Random numbers that are equal on every machine: integers, and floats made with + - * / alone.
//!
//! `ln` and `exp` of a platform's libm differ in the last bit between machines, which would give two machines two
//! markets of one seed. The two functions here are series in a fixed order.

use std::f64::consts::{LN_2, LOG2_E, SQRT_2};

/// A stream of random numbers: xoshiro256**, seeded through splitmix64.
///
/// Source: Blackman and Vigna (2021), "Scrambled Linear Pseudorandom Number Generators", ACM TOMS 47(4).
#[derive(Clone, Debug)]
pub(super) struct Random {
    state: [u64; 4],
}

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        let mut at = seed;
        let mut split_mix = || {
            at = at.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = at;
            z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ z >> 31
        };
        Random { state: [split_mix(), split_mix(), split_mix(), split_mix()] }
    }

    #[inline]
    pub(super) fn bits(&mut self) -> u64 {
        let s = &mut self.state;
        let out = s[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        out
    }

    /// Uniform in (0, 1]: never 0, so that it may be divided by.
    #[inline]
    pub(super) fn unit(&mut self) -> f64 {
        const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
        ((self.bits() >> 11) + 1) as f64 * STEP
    }

    /// Uniform in 0..n; 0 where n is 0.
    #[inline]
    pub(super) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// True with the given probability.
    #[inline]
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.unit() <= probability
    }

    /// Exponential with mean 1.
    #[inline]
    pub(super) fn exponential(&mut self) -> f64 {
        -ln(self.unit())
    }

    /// Pareto with exponent 1.6 from 1 upwards: the chance to exceed x is x^-1.6.
    #[inline]
    pub(super) fn pareto(&mut self) -> f64 {
        // u^(-1/1.6) = 1 / (u^(1/2) u^(1/8)): square roots are exact to the last bit everywhere, powers are not.
        let root = self.unit().sqrt();
        1.0 / (root * root.sqrt().sqrt())
    }
}

/// The natural logarithm of a positive, normal number, to about 1e-14.
#[inline]
fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = (bits >> 52) as i64 - 1023;
    let mut mantissa = f64::from_bits(bits & 0x000F_FFFF_FFFF_FFFF | 1023 << 52);
    if mantissa > SQRT_2 {
        mantissa *= 0.5;
        exponent += 1;
    }
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let z = s * s;
    let mut series = 1.0 / 17.0;
    for odd in [15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        series = series * z + 1.0 / odd;
    }
    exponent as f64 * LN_2 + 2.0 * s * series
}

/// e^-x for x >= 0, to about 1e-14; 0 from 700 on.
#[inline]
pub(super) fn decay(x: f64) -> f64 {
    if x >= 700.0 {
        return 0.0;
    }
    let halvings = (x * LOG2_E + 0.5) as u64;
    let r = halvings as f64 * LN_2 - x;
    let mut series = 1.0;
    for n in [12.0, 11.0, 10.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0] {
        series = 1.0 + series * (r / n);
    }
    series * f64::from_bits((1023 - halvings) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "the platform's functions are the judge here, to a tolerance")]
    fn the_series_agree_with_the_platform() {
        let mut random = Random::new(1);
        for _ in 0..100_000 {
            let u = random.unit();
            assert!((ln(u) - u.ln()).abs() <= 1e-13 * (1.0 + u.ln().abs()), "ln({u})");
            let x = u * 50.0;
            assert!((decay(x) / (-x).exp() - 1.0).abs() < 1e-12, "decay({x})");
        }
        assert_eq!((ln(1.0), decay(0.0), decay(700.0)), (0.0, 1.0, 0.0));
    }

    #[test]
    fn the_stream_is_the_published_one() {
        // The first outputs of xoshiro256** from the state 1, 2, 3, 4, as its reference code gives them.
        let mut random = Random { state: [1, 2, 3, 4] };
        let first: Vec<u64> = (0..4).map(|_| random.bits()).collect();
        assert_eq!(first, [11520, 0, 1_509_978_240, 1_215_971_899_390_074_240]);
    }
}
