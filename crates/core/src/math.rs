//! Whole-number arithmetic that neither overflows nor divides by zero.

/// Greatest common divisor; `gcd(0, b) == b`.
pub(crate) const fn gcd(mut a: u64, mut b: u64) -> u64 {
    while let Some(rest) = a.checked_rem(b) {
        a = b;
        b = rest;
    }
    a
}

/// Least common multiple, or `None` if it does not fit; `lcm(0, b) == Some(0)`.
pub(crate) const fn lcm(a: u64, b: u64) -> Option<u64> {
    match a.checked_div(gcd(a, b)) {
        Some(part) => part.checked_mul(b),
        None => Some(0),
    }
}

/// Two numbers in one word, for places that are read while they are written.
pub(crate) const fn joined(high: u32, low: u32) -> u64 {
    (high as u64) << u32::BITS | low as u64
}

/// What [`joined`] put together.
pub(crate) const fn halves(both: u64) -> (u32, u32) {
    ((both >> u32::BITS) as u32, both as u32)
}

/// `value` rounded down to a multiple of `step`; a step of 0 leaves nothing.
pub(crate) const fn floor_to(value: u64, step: u64) -> u64 {
    match value.checked_rem(step) {
        Some(rest) => value.saturating_sub(rest),
        None => 0,
    }
}

/// `value % modulus`, and 0 for a modulus of 0.
pub(crate) const fn modulo(value: u64, modulus: u64) -> u64 {
    match value.checked_rem(modulus) {
        Some(rest) => rest,
        None => 0,
    }
}

/// `(a + b) % modulus` for any `a` and `b`.
pub(crate) const fn add_mod(a: u64, b: u64, modulus: u64) -> u64 {
    let a = modulo(a, modulus);
    let b = modulo(b, modulus);
    let room = modulus.saturating_sub(a);
    if b >= room {
        b.saturating_sub(room)
    } else {
        a.saturating_add(b)
    }
}

/// `(a * b) % modulus` for any `a` and `b`.
///
/// By doubling: a 128-bit division would pull a helper of the compiler's runtime into the kernel
/// image.
pub(crate) const fn mul_mod(a: u64, mut b: u64, modulus: u64) -> u64 {
    let mut term = modulo(a, modulus);
    let mut sum = 0;
    while b != 0 {
        if b & 1 == 1 {
            sum = add_mod(sum, term, modulus);
        }
        term = add_mod(term, term, modulus);
        b >>= 1;
    }
    sum
}

/// The smallest multiple of `step` that leaves `rest` when divided by `modulus`; `None` if none
/// does.
///
/// Of the congruence `step * k = rest`, divided by what all three have in common.
pub(crate) const fn first_multiple(step: u64, rest: u64, modulus: u64) -> Option<u64> {
    let common = gcd(step, modulus);
    if common == 0 || modulo(rest, common) != 0 {
        return None;
    }
    let modulus = modulus / common;
    let inverse = inverse(step / common, modulus);
    let turns = mul_mod(modulo(rest / common, modulus), inverse, modulus);
    step.checked_mul(turns)
}

/// The number that multiplied with `value` leaves 1 when divided by `modulus`. The two have no
/// divisor in common.
///
/// Euclid's algorithm, its coefficients kept as remainders so that none is negative.
const fn inverse(value: u64, modulus: u64) -> u64 {
    let (mut high, mut low) = (modulus, modulo(value, modulus));
    let (mut before, mut this) = (0, modulo(1, modulus));
    while low > 1 {
        let Some(quotient) = high.checked_div(low) else {
            break;
        };
        let taken = mul_mod(quotient, this, modulus);
        let next = add_mod(before, modulus.saturating_sub(taken), modulus);
        before = this;
        this = next;
        let rest = modulo(high, low);
        high = low;
        low = rest;
    }
    this
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_numbers_against_their_definitions() {
        let most = if cfg!(miri) { 9 } else { 40 };
        for a in 0..most {
            for b in 0..most {
                let divides = |d: &u64| a % d == 0 && b % d == 0;
                if a != 0 || b != 0 {
                    assert_eq!(Some(gcd(a, b)), (1..=a.max(b)).rev().find(divides));
                }
                if b != 0 {
                    assert_eq!(floor_to(a, b), (0..=a).rev().find(|x| x % b == 0).unwrap());
                    assert_eq!(modulo(a, b), a % b);
                }
                let first = (1..=a * b).find(|x| x % a == 0 && x % b == 0);
                assert_eq!(lcm(a, b), Some(first.unwrap_or(0)));
                for m in 1..most {
                    assert_eq!(add_mod(a, b, m), (a + b) % m);
                    assert_eq!(mul_mod(a, b, m), a * b % m);
                }
            }
        }
    }

    #[test]
    fn first_multiples_against_their_definition() {
        let most = if cfg!(miri) { 7 } else { 30 };
        for step in 1..most {
            for modulus in 1..most {
                for rest in 0..modulus {
                    let first = (0..modulus).map(|k| k * step).find(|x| x % modulus == rest);
                    assert_eq!(first_multiple(step, rest, modulus), first);
                }
            }
        }
        // Inverses at the top of the range.
        let prime = 0xFFFF_FFFF_FFFF_FFC5;
        for value in [2, 3, 512, 520, u64::from(u32::MAX), prime - 1] {
            assert_eq!(mul_mod(value, inverse(value, prime), prime), 1);
        }
    }

    #[test]
    fn large_numbers_against_128_bits() {
        let numbers = [0, 1, 511, 1 << 32, (1 << 63) + 7, u64::MAX - 1, u64::MAX];
        for a in numbers {
            for b in numbers {
                for m in numbers.into_iter().filter(|&m| m != 0) {
                    let (wide_a, wide_b, wide_m) = (u128::from(a), u128::from(b), u128::from(m));
                    assert_eq!(u128::from(add_mod(a, b, m)), (wide_a + wide_b) % wide_m);
                    assert_eq!(u128::from(mul_mod(a, b, m)), wide_a * wide_b % wide_m);
                }
                assert_eq!(mul_mod(a, b, 0), 0);
                assert_eq!(add_mod(a, b, 0), 0);
            }
        }
        assert_eq!(lcm(u64::MAX, u64::MAX - 1), None);
        assert_eq!(lcm(0, 0), Some(0));
    }
}
