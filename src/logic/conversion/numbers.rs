//! Numbers: whole ones, decimals and floating ones, and their texts.
//!
//! Owns: which BSON number holds a value exactly, and how MySQL prints a floating one. Does not own: numbers inside JSON
//! (`json`), what a column is (`logic::conversion`).

use std::fmt::LowerExp;
use std::str::FromStr;

use crate::model::document::BsonWriter;

/// A whole number above 2^63-1 needs a Decimal128; MongoDB compares numbers across types.
pub(super) fn write_u64(writer: &mut BsonWriter, name: &str, number: u64) {
    match i64::try_from(number) {
        Ok(number) => writer.int64(name, number),
        Err(_) => writer.decimal128(name, i128::from(number), 0),
    }
}

/// The unscaled digits and the scale of a decimal as MySQL prints it; `None` beyond what an i128 holds.
pub(super) fn parse_decimal(text: &str) -> Option<(i128, u8)> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut number: i128 = 0;
    for byte in whole.bytes().chain(fraction.bytes()) {
        if !byte.is_ascii_digit() {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
    }
    Some((sign * number, u8::try_from(fraction.len()).ok()?))
}

/// Digits of a positive number, and where its point stands: 10 to this power times 0.digits. `printed` is in Rust's `{:e}`.
pub(super) fn significant(printed: &str) -> (String, i32) {
    let (mantissa, exponent) = printed.split_once('e').unwrap_or((printed, "0"));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    (digits, exponent.parse::<i32>().unwrap_or_default() + 1)
}

/// A positive number with the fewest digits that tell it from every other of its size, in Rust's `{:e}`. Where two numbers
/// of so many digits are as near to it, MySQL takes the even one, and Rust the larger.
pub(super) fn shortest<T: LowerExp + FromStr + PartialEq>(number: &T) -> String {
    let printed = format!("{number:e}");
    let digits = significant(&printed).0.len();
    let even = format!("{number:.*e}", digits - 1);
    if even.parse::<T>().is_ok_and(|read| read == *number) { even } else { printed }
}

/// A DOUBLE as MySQL prints it.
pub(super) fn double_text(number: f64) -> String {
    if number.is_finite() { floating(number.is_sign_negative(), &shortest(&number.abs())) } else { number.to_string() }
}

/// A FLOAT in the form in which MySQL prints a DOUBLE. MySQL itself cuts it to six digits.
pub(super) fn float_text(number: f32) -> String {
    if number.is_finite() { floating(number.is_sign_negative(), &shortest(&number.abs())) } else { number.to_string() }
}

/// MySQL source, `strings/dtoa.cc`, `my_gcvt`: with an exponent where the point stands too far from the digits.
fn floating(negative: bool, printed: &str) -> String {
    /// DBL_DIG.
    const PLAIN_DIGITS: i32 = 15;
    let (digits, point) = significant(printed);
    let count = digits.len() as i32;
    let sign = if negative { "-" } else { "" };
    if digits == "0" {
        return format!("{sign}0");
    }
    let plain = (1 - PLAIN_DIGITS..=PLAIN_DIGITS).contains(&point) || point == PLAIN_DIGITS + 1 && count > point;
    if !plain {
        let (first, rest) = digits.split_at(1);
        let dot = if rest.is_empty() { "" } else { "." };
        return format!("{sign}{first}{dot}{rest}e{}", point - 1);
    }
    match usize::try_from(point) {
        Ok(whole @ 1..) if whole < digits.len() => format!("{sign}{}.{}", &digits[..whole], &digits[whole..]),
        Ok(whole @ 1..) => format!("{sign}{digits}{}", "0".repeat(whole - digits.len())),
        _ => format!("{sign}0.{}{digits}", "0".repeat(point.unsigned_abs() as usize)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floating_numbers_print_as_mysql_prints_them() {
        for (number, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (100_000.0, "100000"),
            (1e14, "100000000000000"),
            (1e15, "1e15"),
            (1_006_628_815_851_623.8, "1006628815851623.8"),
            (123_456_789_012_345_680.0, "1.2345678901234568e17"),
            (1e-15, "0.000000000000001"),
            (1e-16, "1e-16"),
            (-5.688824613605777e-8, "-0.00000005688824613605777"),
            (5e-324, "5e-324"),
            // Exactly between ...312 and ...313.
            (3_033_821_296_817.031_3, "3033821296817.0312"),
            (-1.797_693_134_862_315_7e308, "-1.7976931348623157e308"),
        ] {
            assert_eq!(double_text(number), expected);
        }
        assert_eq!(float_text(0.1), "0.1");
        assert_eq!(float_text(-1_635_948_301.0), "-1635948300");
        assert_eq!(float_text(3.402_823_5e38), "3.4028235e38");
    }

    #[test]
    fn decimals_are_read_with_their_scale() {
        assert_eq!(parse_decimal("-12.30"), Some((-1230, 2)));
        assert_eq!(parse_decimal("0.05"), Some((5, 2)));
        assert_eq!(parse_decimal("7"), Some((7, 0)));
        assert_eq!(parse_decimal("1e5"), None);
        assert_eq!(parse_decimal(&"9".repeat(40)), None);
    }
}
