//! JSON texts and the BSON that they become: numbers to the last digit, names, depth, what is no JSON.

use bson::{Bson, doc};
use proptest::prelude::*;

use super::*;

fn written(text: &str) -> Result<Bson, Fault> {
    let mut writer = BsonWriter::with_capacity(64);
    write(&mut writer, "v", text)?;
    let document = bson::Document::from_reader(&writer.finish()[..]).expect("valid BSON");
    Ok(document.get("v").expect("the element").clone())
}

fn decimal128(text: &str) -> Bson {
    Bson::Decimal128(text.parse().expect("a decimal"))
}

#[test]
fn numbers_keep_their_digits() {
    for (text, expected) in [
        ("0", Bson::Int32(0)),
        ("-0", Bson::Int32(0)),
        ("-2147483648", Bson::Int32(i32::MIN)),
        ("2147483648", Bson::Int64(2_147_483_648)),
        ("-9223372036854775808", Bson::Int64(i64::MIN)),
        ("18446744073709551615", decimal128("18446744073709551615")),
        ("18446744073709551616", decimal128("18446744073709551616")),
        ("123456789012345678901234567890", decimal128("123456789012345678901234567890")),
        ("0.1", Bson::Double(0.1)),
        ("1.0", Bson::Double(1.0)),
        ("-0.0", Bson::Double(-0.0)),
        ("100000.0", Bson::Double(100_000.0)),
        ("1e15", Bson::Double(1e15)),
        ("1E+5", Bson::Double(1e5)),
        ("0.00000015", Bson::Double(1.5e-7)),
        ("1.7976931348623157e308", Bson::Double(f64::MAX)),
        ("5e-324", Bson::Double(5e-324)),
        ("3033821296817.0312", Bson::Double(3_033_821_296_817.031_3)),
        ("3033821296817.0313", Bson::Double(3_033_821_296_817.031_3)),
        ("0.12345678901234567", decimal128("0.12345678901234567")),
        ("1.10", decimal128("1.10")),
        ("0.00", decimal128("0.00")),
        ("-2.50", decimal128("-2.50")),
        ("1.50e10", decimal128("1.50E+10")),
        ("0.12345678901234567890", decimal128("0.12345678901234567890")),
        ("12345678901234567890.5", decimal128("12345678901234567890.5")),
        ("0.30000000000000000001", decimal128("0.30000000000000000001")),
        // A double reads these, but prints them with other digits.
        ("0.1000000000000000055", decimal128("0.1000000000000000055")),
        ("1e400", decimal128("1E+400")),
        ("1e-400", decimal128("1E-400")),
        ("1234567890123456789012345678901234", decimal128("1234567890123456789012345678901234")),
        ("12345678901234567890123456789012345", Bson::String("12345678901234567890123456789012345".into())),
        ("1.0000000000000000000000000000000001e-3", Bson::String("1.0000000000000000000000000000000001e-3".into())),
        ("1e7000", Bson::String("1e7000".into())),
        ("1e99999999999", Bson::String("1e99999999999".into())),
    ] {
        assert_eq!(written(text), Ok(expected), "{text}");
    }
}

#[test]
fn documents_keep_their_order_and_the_last_of_a_name() {
    let text = "{\"b\": [1, {\"x\": null}, []], \"a\": true, \"\": {}, \"b\": \"\\u00e9\\n\", \"$c.d\": false}";
    let expected = doc! {"b": "é\n", "a": true, "": {}, "$c.d": false};
    let found = written(text).expect("a document");
    assert_eq!(found, Bson::Document(expected.clone()));
    let names: Vec<&str> = found.as_document().expect("a document").keys().map(String::as_str).collect();
    assert_eq!(names, expected.keys().map(String::as_str).collect::<Vec<_>>());
    let many: Vec<String> = (0..40).map(|at| format!("\"k{}\":{at}", at % 20)).collect();
    let many = written(&format!("{{{}}}", many.join(","))).expect("a document");
    let values: Vec<Bson> = many.as_document().expect("a document").values().cloned().collect();
    assert_eq!(values, (20..40).map(Bson::Int32).collect::<Vec<_>>());
    for (text, expected) in [("null", Bson::Null), (" true ", Bson::Boolean(true)), ("\"x\\\\\"", "x\\".into())] {
        assert_eq!(written(text), Ok(expected), "{text}");
    }
}

#[test]
fn what_is_no_document_says_why() {
    for text in [
        "",
        " ",
        "{",
        "[1,]",
        "[1 2]",
        "{a:1}",
        "{\"a\" 1}",
        "{\"a\":1,}",
        "tru",
        "nul",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "-",
        "\"a",
        "\"a\\\"",
        "\"\\x\"",
        "\"\n\"",
        "\"\\ud800\"",
        "1 1",
        "[]]",
        "NaN",
        "'a'",
        "\u{a0}1",
        "é",
    ] {
        assert_eq!(written(text), Err(Fault::Syntax), "{text:?}");
    }
    assert_eq!(written("{\"a\\u0000b\": 1}"), Err(Fault::NulInName));
    assert_eq!(written("[{\"\\u0000\": 1}]"), Err(Fault::NulInName));
    assert_eq!(written("\"a\\u0000b\""), Ok("a\0b".into()));
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(written(&nested(100)).is_ok());
    assert_eq!(written(&nested(101)), Err(Fault::Depth));
    assert_eq!(written(&"[".repeat(1_000_000)), Err(Fault::Depth));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// Whatever a double is, the text by which MySQL prints it inside JSON gives it back as a double.
    #[test]
    fn doubles_stay_doubles(bits in any::<u64>()) {
        let number = f64::from_bits(bits);
        prop_assume!(number.is_finite());
        let text = super::super::numbers::double_text(number);
        let text = if text.contains(['.', 'e']) { text } else { format!("{text}.0") };
        match written(&text) {
            Ok(Bson::Double(found)) => prop_assert_eq!(found.to_bits(), bits),
            other => prop_assert!(false, "{} became {:?}", text, other),
        }
    }

    /// A decimal number keeps every digit, as whatever it is written.
    #[test]
    fn decimals_keep_their_value(whole in "[1-9][0-9]{0,20}", fraction in "[0-9]{1,13}", negative in any::<bool>()) {
        let text = format!("{}{whole}.{fraction}", if negative { "-" } else { "" });
        match written(&text) {
            Ok(Bson::Decimal128(found)) => prop_assert_eq!(found.to_string(), text),
            Ok(Bson::Double(found)) => {
                // As MySQL prints it: where two texts are as near to a double, Rust takes the other one.
                let trimmed = text.trim_end_matches('0').trim_end_matches('.');
                let again = [found.to_string(), super::super::numbers::double_text(found)];
                let plain = !again[1].contains('e');
                prop_assert!(again[0] == trimmed || plain && again[1] == trimmed, "{} became {}", text, found);
            }
            other => prop_assert!(false, "{} became {:?}", text, other),
        }
    }

    /// Other readers of JSON agree about what is JSON at all.
    #[test]
    fn the_same_texts_are_json(text in "[\\[\\]{}\",:0-9.eE+\\-truefalsn \\\\u]{0,12}") {
        let theirs = serde_json::from_str::<Box<serde_json::value::RawValue>>(&text).is_ok();
        let ours = !matches!(written(&text), Err(Fault::Syntax | Fault::Depth));
        prop_assert_eq!(ours, theirs, "{}", text);
    }
}
