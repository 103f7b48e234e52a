//! The form in which documents are compared: JSON whose leaves are text tagged with their BSON type.
//! Owns: BSON to that form and back, and the same for the oracle's answers. Does not own: the comparison.

use bson::spec::BinarySubtype;
use bson::{Binary, Bson, DateTime, Decimal128, Document};
use serde_json::{Map, Value};
use std::str::FromStr;

/// Fields of the engine's own, not part of what is compared.
pub const OWN_FIELD: &str = "_rf";

fn leaf(tag: &str, value: impl std::fmt::Display) -> Value {
    Value::String(format!("{tag}:{value}"))
}

pub fn from_bson(value: &Bson) -> Value {
    match value {
        Bson::Null => Value::Null,
        Bson::Document(document) => Value::Object(document.iter().map(|(k, v)| (k.clone(), from_bson(v))).collect()),
        Bson::Array(items) => Value::Array(items.iter().map(from_bson).collect()),
        Bson::Int32(n) => leaf("i32", n),
        Bson::Int64(n) => leaf("i64", n),
        Bson::Double(n) => leaf("f64", format_args!("{n:?}")),
        Bson::Decimal128(n) => leaf("d128", n),
        Bson::Boolean(b) => leaf("bool", u8::from(*b)),
        Bson::String(s) => leaf("s", s),
        Bson::DateTime(t) => leaf("t", t.timestamp_millis()),
        Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes }) => leaf("x", crate::schema::types::hex(bytes)),
        other => leaf("other", format_args!("{other:?}")),
    }
}

/// The id in a form in which distinct keys stay distinct; the fields of a compound id keep their order.
pub fn id(value: &Bson) -> String {
    let parts: Vec<Value> = match value {
        Bson::Document(document) => {
            document.iter().flat_map(|(k, v)| [Value::String(k.clone()), from_bson(v)]).collect()
        }
        scalar => vec![from_bson(scalar)],
    };
    Value::Array(parts).to_string()
}

/// A document of the target without its id and without the engine's own field.
pub fn document(document: &Document) -> Value {
    let kept = document.iter().filter(|(k, _)| *k != "_id" && *k != OWN_FIELD);
    Value::Object(kept.map(|(k, v)| (k.clone(), from_bson(v))).collect())
}

/// The oracle's answer: the same form, except that numbers are spelled as MySQL spells them.
pub fn from_oracle(json: &str) -> Value {
    let value = serde_json::from_str(json).unwrap_or_else(|e| panic!("the oracle gave broken JSON ({e}): {json}"));
    normalized(value)
}

fn normalized(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(k, v)| (k, normalized(v))).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(normalized).collect()),
        Value::String(text) => match text.split_once(':') {
            Some(("f64", n)) => leaf("f64", format_args!("{:?}", n.parse::<f64>().expect("a double"))),
            Some(("d128", n)) => leaf("d128", Decimal128::from_str(n).expect("at most 34 digits")),
            _ => Value::String(text),
        },
        other => other,
    }
}

/// The way back, to make a target out of the oracle's answers where no engine is wanted.
pub fn to_bson(value: &Value) -> Bson {
    match value {
        Value::Null => Bson::Null,
        Value::Object(fields) => Bson::Document(fields.iter().map(|(k, v)| (k.clone(), to_bson(v))).collect()),
        Value::Array(items) => Bson::Array(items.iter().map(to_bson).collect()),
        Value::String(text) => {
            let (tag, rest) = text.split_once(':').expect("a tag");
            match tag {
                "i32" => Bson::Int32(rest.parse().expect("i32")),
                "i64" | "int" => Bson::Int64(rest.parse().expect("i64")),
                "f64" => Bson::Double(rest.parse().expect("f64")),
                "d128" => Bson::Decimal128(rest.parse().expect("d128")),
                "bool" => Bson::Boolean(rest == "1"),
                "s" => Bson::String(rest.to_owned()),
                "t" => Bson::DateTime(DateTime::from_millis(rest.parse().expect("millis"))),
                "x" => Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes: unhex(rest) }),
                _ => panic!("unknown tag {tag}"),
            }
        }
        other => panic!("a leaf that is not tagged: {other}"),
    }
}

/// The id of the target out of the oracle's id.
pub fn id_to_bson(id: &str) -> Bson {
    let Ok(Value::Array(parts)) = serde_json::from_str(id) else { panic!("not an id: {id}") };
    match parts.as_slice() {
        [one] => to_bson(one),
        many => {
            let fields = many.chunks(2).map(|pair| (pair[0].as_str().expect("a name").to_owned(), to_bson(&pair[1])));
            Bson::Document(fields.collect())
        }
    }
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[i * 2..i * 2 + 2], 16).expect("hex")).collect()
}
