//! Numbers as base62 digits of a fixed width.
//!
//! A width and a value have exactly one text: decoding refuses a text whose
//! number does not fit its type, so what decodes encodes to the same text.
//! Digits are `0-9A-Za-z`, the most significant first.

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Digits that hold any `u32`.
pub const U32_DIGITS: usize = 6;
/// Digits that hold any `u128`.
pub const U128_DIGITS: usize = 22;
/// Digits that hold any 32 bytes.
pub const BYTES32_DIGITS: usize = 43;

/// The most digits whose number always fits a `u64`.
const CHUNK: usize = 10;
/// Marks a byte that is no digit; no digit has either of its two high bits.
const NO_DIGIT: u8 = 0xff;
const HIGH_BITS: u8 = 0xc0;

const VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut digit = 0;
    while digit < 62 {
        values[ALPHABET[digit as usize] as usize] = digit;
        digit += 1;
    }
    values
};

/// A text that is not a number of the asked type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotBase62 {
    /// A byte is not one of the 62 digits.
    Alphabet,
    /// The number is greater than its type holds.
    Range,
}

/// Writes `value` in 6 digits.
pub fn encode_u32(value: u32, out: &mut [u8; U32_DIGITS]) {
    encode_chunk(u64::from(value), out);
}

/// Reads 6 digits.
///
/// # Errors
///
/// [`NotBase62`] if they are no digits or the number exceeds a `u32`.
pub fn decode_u32(digits: &[u8; U32_DIGITS]) -> Result<u32, NotBase62> {
    let value = decode_chunk(digits)?;
    u32::try_from(value).map_err(|_| NotBase62::Range)
}

/// Writes `value` in 22 digits.
pub fn encode_u128(value: u128, out: &mut [u8; U128_DIGITS]) {
    let limbs = [low(value), low(value >> 64)];
    encode_limbs(limbs, out);
}

/// Reads 22 digits.
///
/// # Errors
///
/// [`NotBase62`] if they are no digits or the number exceeds a `u128`.
pub fn decode_u128(digits: &[u8; U128_DIGITS]) -> Result<u128, NotBase62> {
    let [low, high] = decode_limbs::<2>(digits)?;
    Ok(u128::from(high) << 64 | u128::from(low))
}

/// Writes the big-endian number `bytes` in 43 digits.
pub fn encode_bytes32(bytes: &[u8; 32], out: &mut [u8; BYTES32_DIGITS]) {
    let mut limbs = [0; 4];
    for (limb, chunk) in limbs.iter_mut().rev().zip(bytes.chunks_exact(8)) {
        *limb = chunk.iter().fold(0, |n, &byte| n << 8 | u64::from(byte));
    }
    encode_limbs(limbs, out);
}

/// Reads 43 digits as a big-endian number.
///
/// # Errors
///
/// [`NotBase62`] if they are no digits or the number exceeds 32 bytes.
pub fn decode_bytes32(digits: &[u8; BYTES32_DIGITS]) -> Result<[u8; 32], NotBase62> {
    let limbs = decode_limbs::<4>(digits)?;
    let mut bytes = [0; 32];
    for (chunk, limb) in bytes.chunks_exact_mut(8).zip(limbs.iter().rev()) {
        chunk.copy_from_slice(&limb.to_be_bytes());
    }
    Ok(bytes)
}

/// The number of up to ten digits.
fn decode_chunk(digits: &[u8]) -> Result<u64, NotBase62> {
    debug_assert!(digits.len() <= CHUNK);
    let mut value = 0;
    let mut seen = 0;
    for &digit in digits {
        let digit = VALUES[usize::from(digit)];
        seen |= digit;
        value = value * 62 + u64::from(digit & !HIGH_BITS);
    }
    if seen & HIGH_BITS == 0 {
        Ok(value)
    } else {
        Err(NotBase62::Alphabet)
    }
}

/// The limbs, least significant first, of a number of any width.
fn decode_limbs<const N: usize>(digits: &[u8]) -> Result<[u64; N], NotBase62> {
    let mut limbs = [0; N];
    for chunk in digits.chunks(CHUNK) {
        let factor = POWERS[chunk.len()];
        let mut carry = decode_chunk(chunk)?;
        for limb in &mut limbs {
            let product = u128::from(*limb) * u128::from(factor) + u128::from(carry);
            *limb = low(product);
            carry = low(product >> 64);
        }
        if carry != 0 {
            return Err(NotBase62::Range);
        }
    }
    Ok(limbs)
}

fn encode_limbs<const N: usize>(mut limbs: [u64; N], out: &mut [u8]) {
    for chunk in out.rchunks_mut(CHUNK) {
        let divisor = u128::from(POWERS[chunk.len()]);
        let mut remainder = 0_u128;
        for limb in limbs.iter_mut().rev() {
            let dividend = remainder << 64 | u128::from(*limb);
            *limb = low(dividend / divisor);
            remainder = dividend % divisor;
        }
        encode_chunk(low(remainder), chunk);
    }
    debug_assert_eq!(limbs, [0; N], "the number fits the digits");
}

fn encode_chunk(mut value: u64, out: &mut [u8]) {
    for digit in out.iter_mut().rev() {
        // The remainder is below 62, so the index is in range.
        *digit = ALPHABET[usize::try_from(value % 62).unwrap_or_default()];
        value /= 62;
    }
}

/// Powers of 62, up to the tenth.
const POWERS: [u64; CHUNK + 1] = {
    let mut powers = [1; CHUNK + 1];
    let mut exponent = 1;
    while exponent <= CHUNK {
        powers[exponent] = powers[exponent - 1] * 62;
        exponent += 1;
    }
    powers
};

/// The low 64 bits.
#[allow(
    clippy::cast_possible_truncation,
    reason = "dropping the high bits is what this function is for"
)]
const fn low(value: u128) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_greatest_values_fit_their_width_and_the_next_text_does_not_decode() {
        let mut digits = [0; U32_DIGITS];
        encode_u32(u32::MAX, &mut digits);
        assert_eq!(&digits, b"4gfFC3");
        assert_eq!(decode_u32(b"4gfFC4"), Err(NotBase62::Range));

        let mut digits = [0; U128_DIGITS];
        encode_u128(u128::MAX, &mut digits);
        assert_eq!(&digits, b"7n42DGM5Tflk9n8mt7Fhc7");
        assert_eq!(
            decode_u128(b"7n42DGM5Tflk9n8mt7Fhc8"),
            Err(NotBase62::Range)
        );

        let mut digits = [0; BYTES32_DIGITS];
        encode_bytes32(&[0xff; 32], &mut digits);
        assert_eq!(decode_bytes32(&digits), Ok([0xff; 32]));
        assert_eq!(decode_bytes32(&[b'z'; 43]), Err(NotBase62::Range));
    }

    proptest! {
        #[test]
        fn what_was_encoded_decodes_to_the_same(a: u32, b: u128, c: [u8; 32]) {
            let mut digits = [0; U32_DIGITS];
            encode_u32(a, &mut digits);
            prop_assert_eq!(decode_u32(&digits), Ok(a));
            let mut digits = [0; U128_DIGITS];
            encode_u128(b, &mut digits);
            prop_assert_eq!(decode_u128(&digits), Ok(b));
            let mut digits = [0; BYTES32_DIGITS];
            encode_bytes32(&c, &mut digits);
            prop_assert_eq!(decode_bytes32(&digits), Ok(c));
        }

        #[test]
        fn what_decodes_encodes_to_the_same_text(text in "[0-9A-Za-z]{43}") {
            let digits: [u8; BYTES32_DIGITS] = text.as_bytes().try_into().unwrap();
            if let Ok(bytes) = decode_bytes32(&digits) {
                let mut again = [0; BYTES32_DIGITS];
                encode_bytes32(&bytes, &mut again);
                prop_assert_eq!(again, digits);
            }
        }

        #[test]
        fn a_byte_that_is_no_digit_is_refused(at in 0..22_usize, byte: u8) {
            prop_assume!(!byte.is_ascii_alphanumeric());
            let mut digits = *b"0000000000000000000000";
            digits[at] = byte;
            prop_assert_eq!(decode_u128(&digits), Err(NotBase62::Alphabet));
        }
    }
}
