//! Documents as BSON bytes, written front to back into one buffer.
//!
//! Owns: [`BsonWriter`] and [`Document`]. Does not own: what goes into a document (`logic::assembly`), sending it
//! (`edge::mongo`). Format: bsonspec.org, version 1.1.

use super::value::Key;

/// One finished document of a root.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The root's key, exactly as it was read.
    pub key: Key,
    /// The whole document, BSON, `_id` first and `_rf` last.
    pub bytes: Vec<u8>,
}

/// Writes BSON without an intermediate tree. Lengths are filled in when a document or array is closed.
#[derive(Debug, Default)]
pub struct BsonWriter {
    bytes: Vec<u8>,
    open: Vec<usize>,
}

/// What `finish` refuses and every element checks: a field name with a NUL byte cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a field name holds a NUL byte")]
pub struct NulInName;

impl BsonWriter {
    /// A writer with its outermost document open, on a buffer of the given capacity.
    pub fn with_capacity(bytes: usize) -> Self {
        let mut writer = Self { bytes: Vec::with_capacity(bytes), open: Vec::with_capacity(8) };
        writer.begin();
        writer
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing but the opening was written.
    pub fn is_empty(&self) -> bool {
        self.bytes.len() <= 4
    }

    /// Closes the outermost document and hands out the bytes.
    ///
    /// # Panics
    /// If a nested document or array is still open.
    pub fn finish(mut self) -> Vec<u8> {
        assert_eq!(self.open.len(), 1, "a nested document is still open");
        self.end();
        self.bytes
    }

    fn begin(&mut self) {
        self.open.push(self.bytes.len());
        self.bytes.extend_from_slice(&[0; 4]);
    }

    /// Closes the innermost open document or array.
    pub fn end(&mut self) {
        let start = self.open.pop().expect("something is open");
        self.bytes.push(0);
        let length = (self.bytes.len() - start) as i32;
        self.bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
    }

    fn element(&mut self, tag: u8, name: &str) {
        debug_assert!(!name.as_bytes().contains(&0), "field names were checked");
        self.bytes.push(tag);
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
    }

    /// Opens a sub-document.
    pub fn begin_document(&mut self, name: &str) {
        self.element(0x03, name);
        self.begin();
    }

    /// Opens an array. Its elements are named `0`, `1`, ...: see [`array_index`].
    pub fn begin_array(&mut self, name: &str) {
        self.element(0x04, name);
        self.begin();
    }

    /// A finished document, as a sub-document.
    pub fn raw_document(&mut self, name: &str, document: &[u8]) {
        self.element(0x03, name);
        self.bytes.extend_from_slice(document);
    }

    /// An element of any type whose value is already encoded.
    pub fn raw_element(&mut self, tag: u8, name: &str, value: &[u8]) {
        self.element(tag, name);
        self.bytes.extend_from_slice(value);
    }

    /// Elements that are already encoded, one after the other.
    pub fn raw_elements(&mut self, elements: &[u8]) {
        self.bytes.extend_from_slice(elements);
    }

    /// null.
    pub fn null(&mut self, name: &str) {
        self.element(0x0a, name);
    }

    /// A boolean.
    pub fn boolean(&mut self, name: &str, value: bool) {
        self.element(0x08, name);
        self.bytes.push(u8::from(value));
    }

    /// A 32-bit integer.
    pub fn int32(&mut self, name: &str, value: i32) {
        self.element(0x10, name);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A 64-bit integer.
    pub fn int64(&mut self, name: &str, value: i64) {
        self.element(0x12, name);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A double.
    pub fn double(&mut self, name: &str, value: f64) {
        self.element(0x01, name);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A date: milliseconds since 1970, UTC.
    pub fn date(&mut self, name: &str, unix_ms: i64) {
        self.element(0x09, name);
        self.bytes.extend_from_slice(&unix_ms.to_le_bytes());
    }

    /// A string.
    pub fn string(&mut self, name: &str, value: &str) {
        self.element(0x02, name);
        self.bytes.extend_from_slice(&(value.len() as i32 + 1).to_le_bytes());
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
    }

    /// Binary data, subtype 0.
    pub fn binary(&mut self, name: &str, value: &[u8]) {
        self.subtyped(name, 0, value);
    }

    /// A UUID: binary data, subtype 4. `value` has to be its sixteen bytes.
    pub fn uuid(&mut self, name: &str, value: &[u8]) {
        debug_assert_eq!(value.len(), 16, "a UUID has sixteen bytes");
        self.subtyped(name, 4, value);
    }

    fn subtyped(&mut self, name: &str, subtype: u8, value: &[u8]) {
        self.element(0x05, name);
        self.bytes.extend_from_slice(&(value.len() as i32).to_le_bytes());
        self.bytes.push(subtype);
        self.bytes.extend_from_slice(value);
    }

    /// A Decimal128 of `digits * 10^-scale`. At most 34 digits, which is what the format holds.
    pub fn decimal128(&mut self, name: &str, digits: i128, scale: u8) {
        self.decimal128_times(name, digits, -i32::from(scale));
    }

    /// A Decimal128 of `digits * 10^exponent`. At most 34 digits, an exponent within [`DECIMAL128_EXPONENTS`].
    pub fn decimal128_times(&mut self, name: &str, digits: i128, exponent: i32) {
        self.element(0x13, name);
        self.bytes.extend_from_slice(&decimal128_bytes(digits, exponent));
    }
}

/// The exponents that a Decimal128 can have, whatever its digits.
pub const DECIMAL128_EXPONENTS: std::ops::RangeInclusive<i32> = -6176..=6111;

/// IEEE 754-2008 decimal128, binary integer significand, little endian, as BSON stores it.
fn decimal128_bytes(digits: i128, exponent: i32) -> [u8; 16] {
    const EXPONENT_BIAS: i32 = 6176;
    debug_assert!(DECIMAL128_EXPONENTS.contains(&exponent), "decimal128 has no such exponent");
    let significand = digits.unsigned_abs();
    debug_assert!(significand < 10u128.pow(34), "decimal128 holds 34 digits");
    let sign = u128::from(digits < 0) << 127;
    let exponent = ((EXPONENT_BIAS + exponent) as u128) << 113;
    (sign | exponent | significand).to_le_bytes()
}

/// The name of an array's element. Small ones are not formatted again and again.
pub fn array_index(index: usize, scratch: &mut String) -> &str {
    const SMALL: [&str; 16] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15"];
    if let Some(name) = SMALL.get(index) {
        return name;
    }
    use std::fmt::Write;
    scratch.clear();
    let _ = write!(scratch, "{index}");
    scratch
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::{Bson, doc};

    #[test]
    fn writes_what_the_bson_crate_reads() {
        let mut writer = BsonWriter::with_capacity(64);
        writer.int32("_id", -7);
        writer.begin_document("sub");
        writer.string("s", "Kö");
        writer.null("n");
        writer.end();
        writer.begin_array("list");
        let mut scratch = String::new();
        for index in 0..20 {
            writer.int64(array_index(index, &mut scratch), index as i64);
        }
        writer.end();
        writer.boolean("b", true);
        writer.double("d", 1.5);
        writer.binary("x", &[0, 255]);
        writer.date("t", -5);
        let bytes = writer.finish();
        let read = bson::Document::from_reader(&bytes[..]).expect("valid BSON");
        let list: Vec<Bson> = (0..20i64).map(Bson::Int64).collect();
        let binary = bson::Binary { subtype: bson::spec::BinarySubtype::Generic, bytes: vec![0, 255] };
        assert_eq!(
            read,
            doc! {"_id": -7, "sub": {"s": "Kö", "n": null}, "list": list, "b": true, "d": 1.5, "x": binary,
            "t": bson::DateTime::from_millis(-5)}
        );
    }

    #[test]
    fn decimals_are_those_of_the_bson_crate() {
        for (digits, scale) in
            [(0i128, 0u8), (1250, 2), (-5, 4), (10i128.pow(34) - 1, 30), (-(10i128.pow(34) - 1), 0), (0, 2)]
        {
            let text = crate::model::row::decimal_text(digits, scale);
            let expected: bson::Decimal128 = text.parse().expect("a decimal");
            assert_eq!(decimal128_bytes(digits, -i32::from(scale)), expected.bytes(), "{text}");
        }
        for (digits, exponent) in [(15i128, 9), (-1, 6111), (1, -6176), (0, 3)] {
            let expected: bson::Decimal128 = format!("{digits}E{exponent}").parse().expect("a decimal");
            assert_eq!(decimal128_bytes(digits, exponent), expected.bytes(), "{digits}E{exponent}");
        }
    }
}
