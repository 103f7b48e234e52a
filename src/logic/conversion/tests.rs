//! Every row of the table: cells of each type, with each option, and the BSON that they become.

use std::sync::Arc;

use arrow_array::{BinaryArray, Decimal128Array, Float32Array, Float64Array, Int64Array, StringArray, UInt64Array};
use bson::spec::BinarySubtype;
use bson::{Bson, doc};

use super::*;
use crate::error::Kind;
use crate::model::plan::ZeroDates;
use crate::model::row::arrow_type;
use crate::model::zone::Zone;

fn column(kind: ColumnKind, write: WriteAs) -> NodeColumn {
    NodeColumn { sql: "`c`".into(), kind, field: Some("c".into()), write }
}

fn try_write(kind: ColumnKind, write: WriteAs, array: ArrayRef) -> Result<(Bson, Written)> {
    assert_eq!(*array.data_type(), arrow_type(&kind), "{kind:?}");
    let column = column(kind, write);
    let cell = CellWriter::new(&array, &column)?;
    let mut writer = BsonWriter::with_capacity(64);
    let written = cell.write(&mut writer, "c", 0)?;
    let document = bson::Document::from_reader(&writer.finish()[..]).expect("valid BSON");
    assert_eq!(document.len(), 1);
    Ok((document.get("c").expect("the element").clone(), written))
}

fn written(kind: ColumnKind, write: WriteAs, array: ArrayRef) -> Bson {
    let shown = format!("{kind:?} {write:?}");
    let (bson, written) = try_write(kind, write, array).unwrap_or_else(|error| panic!("{shown}: {error:?}"));
    assert_eq!(written, Written::Value, "{shown}");
    bson
}

/// The reason why a document is parked.
fn parked(kind: ColumnKind, write: WriteAs, array: ArrayRef) -> String {
    let error = try_write(kind, write, array).expect_err("a value without a BSON form");
    assert_eq!(error.kind(), Kind::Park);
    error.chain()
}

fn int(number: i64) -> ArrayRef {
    Arc::new(Int64Array::from(vec![number]))
}

fn uint(number: u64) -> ArrayRef {
    Arc::new(UInt64Array::from(vec![number]))
}

fn text(text: &str) -> ArrayRef {
    Arc::new(StringArray::from(vec![text]))
}

fn bytes(bytes: &[u8]) -> ArrayRef {
    Arc::new(BinaryArray::from(vec![bytes]))
}

fn decimal(digits: i128, kind: &ColumnKind) -> ArrayRef {
    Arc::new(Decimal128Array::from(vec![digits]).with_data_type(arrow_type(kind)))
}

fn decimal128(text: &str) -> Bson {
    Bson::Decimal128(text.parse().expect("a decimal"))
}

fn binary(subtype: BinarySubtype, bytes: &[u8]) -> Bson {
    Bson::Binary(bson::Binary { subtype, bytes: bytes.to_vec() })
}

#[test]
fn integers() {
    let kind = |bits, unsigned| ColumnKind::Int { bits, unsigned };
    for (kind, number, expected) in [
        (kind(8, false), -128, Bson::Int32(-128)),
        (kind(24, true), 16_777_215, Bson::Int32(16_777_215)),
        (kind(32, false), -2_147_483_648, Bson::Int32(i32::MIN)),
        (kind(32, true), 7, Bson::Int64(7)),
        (kind(64, false), i64::MIN, Bson::Int64(i64::MIN)),
        (ColumnKind::Year, 0, Bson::Int32(0)),
    ] {
        assert_eq!(written(kind, WriteAs::Plain, int(number)), expected);
    }
    let big = kind(64, true);
    assert_eq!(written(big.clone(), WriteAs::Plain, uint(7)), Bson::Int64(7));
    assert_eq!(written(big.clone(), WriteAs::Plain, uint(u64::MAX)), decimal128("18446744073709551615"));
    assert_eq!(written(big.clone(), WriteAs::Text, uint(u64::MAX)), "18446744073709551615".into());
    assert_eq!(written(big.clone(), WriteAs::Double, uint(u64::MAX)), Bson::Double(18_446_744_073_709_551_616.0));
    assert_eq!(written(big, WriteAs::Bool, uint(2)), Bson::Boolean(true));
    assert_eq!(written(kind(8, false), WriteAs::Bool, int(0)), Bson::Boolean(false));
    assert_eq!(written(kind(8, false), WriteAs::Bool, int(-1)), Bson::Boolean(true));
    assert_eq!(written(kind(8, false), WriteAs::Double, int(-1)), Bson::Double(-1.0));
    assert_eq!(written(kind(32, false), WriteAs::Text, int(-1)), "-1".into());
    assert_eq!(written(ColumnKind::Year, WriteAs::Text, int(0)), "0000".into());
    assert_eq!(written(ColumnKind::Bit { length: 1 }, WriteAs::Plain, uint(1)), Bson::Boolean(true));
    assert_eq!(written(ColumnKind::Bit { length: 8 }, WriteAs::Plain, uint(1)), Bson::Int64(1));
    assert_eq!(written(ColumnKind::Bit { length: 8 }, WriteAs::Bool, uint(4)), Bson::Boolean(true));
    assert_eq!(written(ColumnKind::Bit { length: 1 }, WriteAs::Text, uint(1)), "1".into());
    assert_eq!(
        written(ColumnKind::Bit { length: 64 }, WriteAs::Plain, uint(1 << 63)),
        decimal128("9223372036854775808")
    );
}

#[test]
fn fractions() {
    let money = ColumnKind::Decimal { precision: 12, scale: 2 };
    assert_eq!(written(money.clone(), WriteAs::Plain, decimal(-1250, &money)), decimal128("-12.50"));
    assert_eq!(written(money.clone(), WriteAs::Text, decimal(5, &money)), "0.05".into());
    assert_eq!(written(money.clone(), WriteAs::Double, decimal(1010, &money)), Bson::Double(10.1));
    let long = ColumnKind::Decimal { precision: 40, scale: 2 };
    let digits = "12345678901234567890123456789012345678.90";
    assert_eq!(written(long.clone(), WriteAs::Plain, text(digits)), digits.into());
    assert_eq!(written(long.clone(), WriteAs::Text, text(digits)), digits.into());
    assert_eq!(written(long, WriteAs::Double, text(digits)), Bson::Double(1.234_567_890_123_456_8e37));
    let float: ArrayRef = Arc::new(Float32Array::from(vec![0.1f32]));
    assert_eq!(written(ColumnKind::Float, WriteAs::Plain, float.clone()), Bson::Double(f64::from(0.1f32)));
    assert_eq!(written(ColumnKind::Float, WriteAs::Text, float), "0.1".into());
    let double: ArrayRef = Arc::new(Float64Array::from(vec![-1e300]));
    assert_eq!(written(ColumnKind::Double, WriteAs::Plain, double.clone()), Bson::Double(-1e300));
    assert_eq!(written(ColumnKind::Double, WriteAs::Text, double), "-1e300".into());
}

#[test]
fn texts_and_bytes() {
    let labels = vec!["a".to_string(), "b".into(), String::new()];
    assert_eq!(written(ColumnKind::Text, WriteAs::Plain, text("Kö\0")), "Kö\0".into());
    assert_eq!(written(ColumnKind::Enum(labels.clone()), WriteAs::Plain, text("")), "".into());
    let set = ColumnKind::Set(labels);
    assert_eq!(written(set.clone(), WriteAs::Plain, text("a,b")), Bson::Array(vec!["a".into(), "b".into()]));
    assert_eq!(written(set.clone(), WriteAs::Plain, text("")), Bson::Array(vec![]));
    assert_eq!(written(set, WriteAs::Text, text("a,b")), "a,b".into());
    let generic = binary(BinarySubtype::Generic, &[0, 255]);
    assert_eq!(written(ColumnKind::Binary, WriteAs::Plain, bytes(&[0, 255])), generic);
    assert_eq!(written(ColumnKind::FixedBinary { length: 2 }, WriteAs::Plain, bytes(&[0, 255])), generic);
    let uuid = binary(BinarySubtype::Uuid, &[7; 16]);
    assert_eq!(written(ColumnKind::FixedBinary { length: 16 }, WriteAs::Uuid, bytes(&[7; 16])), uuid);
    assert_eq!(written(ColumnKind::Uuid, WriteAs::Plain, bytes(&[7; 16])), uuid);
    assert_eq!(
        written(ColumnKind::Uuid, WriteAs::Text, bytes(&[0xab; 16])),
        "abababab-abab-abab-abab-abababababab".into()
    );
    assert_eq!(written(ColumnKind::Inet4, WriteAs::Plain, text("192.0.2.1")), "192.0.2.1".into());
    assert_eq!(written(ColumnKind::Inet6, WriteAs::Plain, text("::1")), "::1".into());
}

fn civil(year: u16, month: u8, day: u8, hour: u8, micros: u32) -> ArrayRef {
    int(Civil { year, month, day, hour, minute: 0, second: 0, micros }.pack())
}

#[test]
fn dates_and_times() {
    let moment = |zone: &str, zero_dates| WriteAs::Moment { zone: Zone::parse(zone).expect("a zone"), zero_dates };
    let date = |ms| Bson::DateTime(bson::DateTime::from_millis(ms));
    let noon = 1_720_008_000_000; // 2024-07-03 12:00:00 UTC
    let micros = ColumnKind::DateTime { fsp: 6 };
    let berlin = moment("Europe/Berlin", ZeroDates::Null);
    assert_eq!(written(micros.clone(), WriteAs::Plain, civil(2024, 7, 3, 12, 1999)), date(noon + 1));
    assert_eq!(written(micros.clone(), berlin.clone(), civil(2024, 7, 3, 12, 0)), date(noon - 7_200_000));
    assert_eq!(
        written(micros.clone(), moment("-03:30", ZeroDates::Null), civil(2024, 7, 3, 12, 0)),
        date(noon + 12_600_000)
    );
    // An instant and a day have no zone.
    let stamp = ColumnKind::Timestamp { fsp: 0 };
    assert_eq!(written(stamp.clone(), berlin.clone(), civil(2024, 7, 3, 12, 0)), date(noon));
    assert_eq!(written(ColumnKind::Date, berlin.clone(), civil(2024, 7, 3, 0, 0)), date(noon - 43_200_000));
    let text = |kind, array| written(kind, WriteAs::Text, array);
    assert_eq!(text(micros.clone(), civil(2024, 7, 3, 12, 0)), "2024-07-03 12:00:00.000000".into());
    assert_eq!(text(stamp, civil(2024, 7, 3, 12, 0)), "2024-07-03 12:00:00".into());
    assert_eq!(text(ColumnKind::Date, civil(0, 0, 0, 0, 0)), "0000-00-00".into());
    assert_eq!(written(ColumnKind::Time { fsp: 2 }, WriteAs::Plain, int(-3_020_399_000_000)), "-838:59:59.00".into());
    for (kind, array, printed) in [
        (ColumnKind::Date, civil(2024, 2, 30, 0, 0), "2024-02-30"),
        (micros.clone(), civil(0, 0, 0, 0, 0), "0000-00-00 00:00:00.000000"),
        (ColumnKind::Timestamp { fsp: 3 }, civil(0, 0, 0, 0, 0), "0000-00-00 00:00:00.000"),
    ] {
        for write in [WriteAs::Plain, berlin.clone()] {
            let null = try_write(kind.clone(), write, array.clone()).expect("null");
            assert_eq!(null, (Bson::Null, Written::ZeroDate));
        }
        assert_eq!(written(kind.clone(), moment("UTC", ZeroDates::Text), array.clone()), printed.into());
        assert_eq!(
            parked(kind, moment("UTC", ZeroDates::Park), array),
            "column `c` holds a zero or impossible date, and `zero_dates` is `error`"
        );
    }
    let nowhere = WriteAs::Moment { zone: Zone::Named("Nowhere".into()), zero_dates: ZeroDates::Null };
    assert_eq!(try_write(micros, nowhere, civil(2024, 7, 3, 12, 0)).expect_err("no such zone").kind(), Kind::Halt);
}

#[test]
fn json() {
    let expected: Bson = doc! {"a": [1, 2.5, null]}.into();
    let held = "{\"a\": [1, 2.5, null]}";
    assert_eq!(written(ColumnKind::Json, WriteAs::Plain, text(held)), expected);
    assert_eq!(written(ColumnKind::Text, WriteAs::Json, text(held)), expected);
    assert_eq!(written(ColumnKind::Json, WriteAs::Text, text(held)), held.into());
    assert_eq!(written(ColumnKind::Text, WriteAs::Plain, text(held)), held.into());
    assert_eq!(parked(ColumnKind::Text, WriteAs::Json, text("{a")), "column `c` holds a text that is not JSON");
    assert!(
        parked(ColumnKind::Json, WriteAs::Plain, text("{\"\\u0000\": 1}"))
            .starts_with("column `c` holds a JSON object")
    );
}

/// The internal form of a geometry: its SRID, and WKB with the lowest byte first.
fn place(srid: u32, wkb: &[&[u8]]) -> ArrayRef {
    bytes(&[&srid.to_le_bytes()[..], &wkb.concat()].concat())
}

fn head(kind: u32) -> Vec<u8> {
    [&[1][..], &kind.to_le_bytes()].concat()
}

fn points(list: &[[f64; 2]]) -> Vec<u8> {
    list.iter().flatten().flat_map(|number| number.to_le_bytes()).collect()
}

const COUNT: fn(u32) -> [u8; 4] = u32::to_le_bytes;

#[test]
fn places() {
    let geo = |array| written(ColumnKind::Geometry, WriteAs::Plain, array);
    let point = [head(1), points(&[[13.4, 52.5]])].concat();
    let expected: Bson = doc! {"type": "Point", "coordinates": [13.4, 52.5]}.into();
    assert_eq!(geo(place(4326, &[&point])), expected);
    assert_eq!(geo(place(0, &[&point])), expected);
    let big = [&[0, 0, 0, 0, 1][..], &13.4f64.to_be_bytes(), &52.5f64.to_be_bytes()].concat();
    assert_eq!(geo(place(0, &[&big])), expected);
    let line = [&head(2)[..], &COUNT(2), &points(&[[0.0, 1.0], [2.0, 3.0]])].concat();
    assert_eq!(geo(place(0, &[&line])), doc! {"type": "LineString", "coordinates": [[0.0, 1.0], [2.0, 3.0]]}.into());
    let ring = [&COUNT(3)[..], &points(&[[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]])].concat();
    let polygon = [&head(3)[..], &COUNT(2), &ring, &ring].concat();
    let rings = vec![vec![vec![0.0, 0.0], vec![1.0, 1.0], vec![0.0, 0.0]]; 2];
    assert_eq!(geo(place(0, &[&polygon])), doc! {"type": "Polygon", "coordinates": rings.clone()}.into());
    let many = |kind, members: &[&[u8]]| [&head(kind)[..], &COUNT(members.len() as u32), &members.concat()].concat();
    let multi = many(4, &[&point, &point]);
    assert_eq!(
        geo(place(0, &[&multi])),
        doc! {"type": "MultiPoint", "coordinates": [[13.4, 52.5], [13.4, 52.5]]}.into()
    );
    let multi = many(5, &[&line]);
    assert_eq!(
        geo(place(0, &[&multi])),
        doc! {"type": "MultiLineString", "coordinates": [[[0.0, 1.0], [2.0, 3.0]]]}.into()
    );
    let multi = many(6, &[&polygon]);
    assert_eq!(geo(place(0, &[&multi])), doc! {"type": "MultiPolygon", "coordinates": [rings]}.into());
    let empty = many(7, &[]);
    let collection = many(7, &[&point, &empty]);
    assert_eq!(
        geo(place(4326, &[&collection])),
        doc! {"type": "GeometryCollection", "geometries": [expected, {"type": "GeometryCollection", "geometries": []}]}
            .into()
    );
    let nested = (0..1000).fold(empty, |inner, _| many(7, &[&inner]));
    assert!(geo(place(0, &[&nested])).as_document().is_some_and(|document| document.contains_key("wkb")));
}

#[test]
fn places_without_geojson() {
    let point = [head(1), points(&[[1.0, 2.0]])].concat();
    let other =
        |srid: i64, wkb: &[u8]| -> Bson { doc! {"srid": srid, "wkb": binary(BinarySubtype::Generic, wkb)}.into() };
    let geo = |array| written(ColumnKind::Geometry, WriteAs::Plain, array);
    assert_eq!(geo(place(3857, &[&point])), other(3857, &point));
    assert_eq!(geo(place(u32::MAX, &[&point])), other(4_294_967_295, &point));
    assert_eq!(written(ColumnKind::Geometry, WriteAs::Wkb, place(4326, &[&point])), other(4326, &point));
    // Heights, in both ways to write them; the empty point.
    for odd in [
        [head(1001), points(&[[1.0, 2.0]]), 3f64.to_le_bytes().to_vec()].concat(),
        [head(0x8000_0001), points(&[[1.0, 2.0]]), 3f64.to_le_bytes().to_vec()].concat(),
        [head(1), points(&[[f64::NAN, f64::NAN]])].concat(),
    ] {
        assert_eq!(geo(place(4326, &[&odd])), other(4326, &odd));
    }
    let reason = "column `c` holds bytes that are no geometry";
    let line = [&head(2)[..], &COUNT(2), &points(&[[0.0, 1.0], [2.0, 3.0]])].concat();
    let of_points = [&head(4)[..], &COUNT(1), &line].concat();
    let endless = [&head(2)[..], &COUNT(u32::MAX)].concat();
    for broken in [&[][..], &[2], &point[..9], &[&point[..], &[0]].concat(), &line[..30], &of_points, &endless] {
        assert_eq!(parked(ColumnKind::Geometry, WriteAs::Plain, place(0, &[broken])), reason, "{broken:?}");
    }
    assert_eq!(parked(ColumnKind::Geometry, WriteAs::Plain, bytes(&[1, 2])), reason);
    assert_eq!(parked(ColumnKind::Geometry, WriteAs::Wkb, bytes(&[1, 2])), reason);
}

#[test]
fn vectors() {
    let held: Vec<u8> = [1.0f32, -2.5, 0.1].iter().flat_map(|number| number.to_le_bytes()).collect();
    let expected: Vec<f64> = vec![1.0, -2.5, f64::from(0.1f32)];
    assert_eq!(written(ColumnKind::Vector, WriteAs::Plain, bytes(&held)), doc! {"v": expected}["v"]);
    assert_eq!(written(ColumnKind::Vector, WriteAs::Plain, bytes(&[])), Bson::Array(vec![]));
    assert_eq!(parked(ColumnKind::Vector, WriteAs::Plain, bytes(&[1])), "column `c` holds bytes that are no vector");
}

#[test]
fn nothing_stays_null() {
    let null: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>]));
    for (kind, write) in [(ColumnKind::Json, WriteAs::Plain), (ColumnKind::Text, WriteAs::Json)] {
        assert_eq!(try_write(kind, write, null.clone()).expect("null"), (Bson::Null, Written::Null));
    }
}
