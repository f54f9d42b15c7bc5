//! Numbers that look random and are the same on every machine: nothing but sums, products and quotients, which IEEE 754
//! fixes to the last bit, where a machine's own `exp` and `ln` may differ.

/// A stream of numbers (SplitMix64) that its seed determines.
pub struct Numbers(u64);

impl Numbers {
    /// A stream of its own for each purpose.
    pub fn new(seed: u64, purpose: &str) -> Numbers {
        let mut state = seed;
        for byte in purpose.bytes() {
            state = Numbers(state ^ u64::from(byte)).next();
        }
        Numbers(state)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..end`.
    pub fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }

    /// A number in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number with mean 0 and deviation 1: the sum of twelve, which is as good as normal up to three deviations.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

/// The exponential of `x`: halved until its series is short, then squared as often.
pub fn exp(x: f64) -> f64 {
    const HALVINGS: i32 = 10;
    let small = x / f64::from(1 << HALVINGS);
    let (mut sum, mut term) = (1.0, 1.0);
    for n in 1..12 {
        term *= small / f64::from(n);
        sum += term;
    }
    for _ in 0..HALVINGS {
        sum *= sum;
    }
    sum
}

/// The natural logarithm of `x > 0`, by Newton's steps on [`exp`].
pub fn ln(x: f64) -> f64 {
    let mut guess = 0.0;
    let mut rest = x;
    while rest > 2.0 {
        rest /= 2.0;
        guess += std::f64::consts::LN_2;
    }
    for _ in 0..20 {
        let at = exp(guess);
        guess += 2.0 * (x - at) / (x + at);
    }
    guess
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_functions_agree_with_the_machines() {
        for x in [-7.5, -1.0, -0.1, 0.0, 0.3, 1.0, 2.5, 9.0] {
            assert!((exp(x) / f64::exp(x) - 1.0).abs() < 1e-11, "exp {x}");
        }
        for x in [0.3, 1.0, 2.0, 7.0, 1e3, 1e6] {
            assert!((ln(x) - f64::ln(x)).abs() < 1e-10, "ln {x}");
        }
    }

    #[test]
    fn normal_numbers_have_mean_zero_and_deviation_one() {
        let mut numbers = Numbers::new(1, "test");
        let drawn: Vec<f64> = (0..20_000).map(|_| numbers.normal()).collect();
        let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
        let variance = drawn.iter().map(|x| x * x).sum::<f64>() / drawn.len() as f64;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.04, "{mean} {variance}");
    }
}
