//! Column types with the boundaries of each, in one table: what the differential test draws from and `docs/types.md` lists.
//!
//! Owns: [`TYPES`], random values of each type, and the page made of them. Does not own: schemas and statements (`schemas`).

use std::fmt::Write as _;

use crate::random::Random;

/// Which servers have a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    Both,
    MySql,
    MariaDb,
}

/// How the two sides are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// What the copy reads against what the log's decoder gives, exactly.
    Value,
    /// Documents: the same text but for spaces and the spelling of numbers.
    Document,
}

/// One type. Boundaries and random values are SQL expressions.
pub struct Type {
    pub declared: &'static str,
    pub on: On,
    pub by: By,
    pub bounds: &'static [&'static str],
    pub make: fn(&mut Random) -> String,
}

fn signed(random: &mut Random, bits: u32) -> String {
    ((random.next() as i64) >> (64 - bits)).to_string()
}

fn unsigned(random: &mut Random, bits: u32) -> String {
    (random.next() >> (64 - bits)).to_string()
}

fn decimal(random: &mut Random, whole: u64, scale: u64) -> String {
    let whole = random.below(whole + 1);
    let sign = random.pick(&["", "-"]);
    let (left, right) = (random.digits(whole), random.digits(scale));
    format!("{sign}0{left}.{right}0")
}

fn clock(random: &mut Random, hours: u64) -> String {
    format!("{:02}:{:02}:{:02}.{}", random.below(hours), random.below(60), random.below(60), random.digits(6))
}

fn date(random: &mut Random) -> String {
    format!("{:04}-{:02}-{:02}", random.below(9999) + 1, random.below(13), random.below(32))
}

fn moment(random: &mut Random) -> String {
    format!("'{} {}'", date(random), clock(random, 24))
}

fn stamp(random: &mut Random) -> String {
    let (year, month, day) = (1971 + random.below(66), random.below(12) + 1, random.below(28) + 1);
    format!("'{year}-{month:02}-{day:02} {}'", clock(random, 24))
}

fn time(random: &mut Random) -> String {
    format!("'{}{}'", random.pick(&["", "-"]), clock(random, 838))
}

fn bytes(random: &mut Random, longest: u64) -> String {
    let length = random.below(longest + 1);
    let zeros = random.once_in(3);
    let mut text = String::from("X'");
    for _ in 0..length {
        let _ = write!(text, "{:02X}", if zeros { random.below(2) } else { random.below(256) });
    }
    text + "'"
}

fn word(random: &mut Random, alphabet: &[&str], longest: u64) -> String {
    let length = random.below(longest + 1);
    let letters: String = (0..length).map(|_| random.pick(alphabet)).collect();
    format!("'{letters}'")
}

/// Long enough to be compressed now and then, and made so that it can be.
fn repeated(random: &mut Random, longest: u64) -> String {
    let word = word(random, WIDE, 9);
    format!("LEFT(REPEAT({word}, {}), {longest})", random.below(40))
}

fn document(random: &mut Random) -> String {
    let number = random.pick(&["0", "-1", "65536", "-2147483649", "18446744073709551615", "2.5", "-1e300", "5e-324"]);
    let text = random.pick(&["", "a", "ö€😀", "\\\\\"q\\\\\"", "\\\\u0001"]);
    let rest = random.pick(&["null", "true", "[]", "{}", "[[1],{\"k\":[]}]"]);
    let key = random.pick(&["k", "", "long key ö", "$a.b"]);
    match random.below(4) {
        0 => format!("'[{number}, \"{text}\", {rest}]'"),
        1 => format!("'{{\"{key}\": {number}, \"b\": {{\"c\": \"{text}\"}}, \"d\": {rest}}}'"),
        2 => format!("JSON_ARRAY(REPEAT('x', {}), {})", random.below(300), random.below(1 << 40)),
        _ => format!("'{number}'"),
    }
}

fn place(random: &mut Random) -> String {
    let mut point = || format!("{} {}", random.below(360) as i64 - 180, random.below(1800) as f64 / 10.0 - 90.0);
    let (first, second) = (point(), point());
    match random.below(3) {
        0 => format!("ST_GeomFromText('POINT({first})')"),
        1 => format!("ST_GeomFromText('LINESTRING({first}, {second})', 3857)"),
        _ => format!("ST_GeomFromText('MULTIPOINT({first}, {second})')"),
    }
}

/// Of a version from 1 to 7: others are no UUID to MariaDB when their variant is another.
fn uuid(random: &mut Random) -> String {
    let (high, low, version, variant) =
        (random.next(), random.next(), 1 + random.below(7), random.pick(&["8", "9", "a", "b"]));
    let (high, low) = (format!("{high:016x}"), format!("{low:016x}"));
    format!("'{}-{}-{version}{}-{variant}{}-{}'", &high[..8], &high[8..12], &high[13..], &low[1..4], &low[4..])
}

const WIDE: &[&str] = &["a", "Z", "ö", "ß", "€", "水", "😀", " ", "''", "\\\\", "%"];
const LATIN: &[&str] = &["a", "Z", "ö", "ß", "é", "€", "ÿ", " ", "0"];
const KANJI: &[&str] = &["テ", "ス", "ｱ", "表", "～", "a", "\\\\"];
const HANZI: &[&str] = &["水", "火", "丂", "€", "a", "\\\\", " "];
const HANGUL: &[&str] = &["한", "글", "똠", "a"];

const fn of(declared: &'static str, bounds: &'static [&'static str], make: fn(&mut Random) -> String) -> Type {
    Type { declared, on: On::Both, by: By::Value, bounds, make }
}

const fn only(on: On, by: By, of: Type) -> Type {
    Type { on, by, ..of }
}

pub const TYPES: &[Type] = &[
    of("TINYINT", &["-128", "127", "0"], |r| signed(r, 8)),
    of("TINYINT(1)", &["1", "0"], |r| signed(r, 8)),
    of("TINYINT UNSIGNED", &["255", "0"], |r| unsigned(r, 8)),
    of("SMALLINT", &["-32768", "32767"], |r| signed(r, 16)),
    of("SMALLINT UNSIGNED", &["65535"], |r| unsigned(r, 16)),
    of("MEDIUMINT", &["-8388608", "8388607", "-1"], |r| signed(r, 24)),
    of("MEDIUMINT UNSIGNED", &["16777215"], |r| unsigned(r, 24)),
    of("INT", &["-2147483648", "2147483647"], |r| signed(r, 32)),
    of("INT UNSIGNED", &["4294967295"], |r| unsigned(r, 32)),
    of("INT(7) ZEROFILL", &["7", "4294967295"], |r| unsigned(r, 32)),
    of("BIGINT", &["-9223372036854775808", "9223372036854775807"], |r| signed(r, 64)),
    of("BIGINT UNSIGNED", &["18446744073709551615", "9223372036854775808"], |r| unsigned(r, 64)),
    of("FLOAT", &["0", "-0.0", "3.4028235e38", "1e-45", "-1635948301"], |r| format!("{:e}", r.next() as f32 / 1e9)),
    of("FLOAT(7,3)", &["-9999.999", "0.001"], |r| format!("{:.3}", r.below(9_000_000) as f32 / 1e3)),
    of("DOUBLE", &["0", "-1.7976931348623157e308", "5e-324", "0.1"], |r| format!("{:e}", r.next() as f64 / 1e9)),
    of("DOUBLE UNSIGNED", &["1.7976931348623157e308"], |r| format!("{:e}", r.next() as f64 / 1e3)),
    of("DECIMAL(10,2)", &["-99999999.99", "0.00", "-0.01", "12.5"], |r| decimal(r, 8, 2)),
    of("DECIMAL(1,0)", &["-9", "9", "0"], |r| decimal(r, 1, 0)),
    of("DECIMAL(34,17)", &["-0.00000000000000001"], |r| decimal(r, 17, 17)),
    of("DECIMAL(65,30)", &["-1", "0.000000000000000000000000000001"], |r| decimal(r, 35, 30)),
    of("DECIMAL(65,0)", &["-99999999999999999999999999999999999999999999999999999999999999999"], |r| decimal(r, 65, 0)),
    of("DECIMAL(20,20)", &["0.5", "-0.00000000000000000001"], |r| decimal(r, 0, 20)),
    of("DECIMAL(18,9) UNSIGNED", &["999999999.999999999"], |r| decimal(r, 9, 9).replace('-', "")),
    of("YEAR", &["'0000'", "1901", "2155"], |r| (1901 + r.below(255)).to_string()),
    of("DATE", &["'0000-00-00'", "'2024-02-30'", "'9999-12-31'", "'2024-00-00'"], |r| format!("'{}'", date(r))),
    of("DATETIME", &["'0000-00-00'", "'9999-12-31 23:59:59'"], moment),
    of("DATETIME(1)", &["'1000-01-01 00:00:00.1'"], moment),
    of("DATETIME(2)", &["'2024-02-30 00:00:00.01'"], moment),
    of("DATETIME(3)", &["'0000-00-00'"], moment),
    of("DATETIME(4)", &["'2024-01-01 00:00:00.0001'"], moment),
    of("DATETIME(5)", &["'2024-01-01 00:00:00.00001'"], moment),
    of("DATETIME(6)", &["'9999-12-31 23:59:59.499999'"], moment),
    of("TIMESTAMP NULL", &["'0000-00-00'", "'1970-01-01 00:00:01'", "'2038-01-19 03:14:07'"], stamp),
    of("TIMESTAMP(1) NULL", &["'1970-01-01 00:00:01.9'"], stamp),
    of("TIMESTAMP(2) NULL", &["'0000-00-00'"], stamp),
    of("TIMESTAMP(3) NULL", &["'1970-01-01 00:00:01.999'"], stamp),
    of("TIMESTAMP(4) NULL", &["'1970-01-01 00:00:01.0001'"], stamp),
    of("TIMESTAMP(5) NULL", &["'1970-01-01 00:00:01.00001'"], stamp),
    of("TIMESTAMP(6) NULL", &["'2038-01-19 03:14:07.499999'"], stamp),
    only(On::MariaDb, By::Value, of("TIMESTAMP(6)", &["'2106-02-07 06:28:15.999999'", "'2038-01-19 03:14:08'"], stamp)),
    of("TIME", &["'-838:59:59'", "'838:59:59'", "'00:00:00'", "'-00:00:01'"], time),
    of("TIME(1)", &["'-00:00:00.1'", "'-244:58:27.4'"], time),
    of("TIME(2)", &["'-00:00:00.01'", "'-838:59:59'"], time),
    of("TIME(3)", &["'-00:00:00.001'"], time),
    of("TIME(4)", &["'-00:00:59.9999'"], time),
    of("TIME(5)", &["'-00:00:00.00001'"], time),
    of("TIME(6)", &["'-00:00:00.000001'", "'838:59:59'"], time),
    of("CHAR(0)", &["''"], |_| "''".into()),
    of("CHAR(10)", &["''", "'a  '", "'😀😀'"], |r| word(r, WIDE, 10)),
    of("CHAR(255)", &["'ö'"], |r| word(r, WIDE, 200)),
    of("VARCHAR(20)", &["''", "'a  '", "'\\0'"], |r| word(r, WIDE, 20)),
    of("VARCHAR(400)", &["REPEAT('😀', 400)"], |r| word(r, WIDE, 300)),
    of("VARCHAR(20) CHARACTER SET latin1", &["'€'", "_latin1 X'8190'"], |r| word(r, LATIN, 20)),
    of("VARCHAR(20) CHARACTER SET latin2", &["'őŁ'"], |r| word(r, &["ő", "Ł", "a"], 20)),
    of("CHAR(20) CHARACTER SET cp1251", &["'Ж'"], |r| word(r, &["Ж", "я", "a"], 20)),
    of("VARCHAR(20) CHARACTER SET utf8mb3", &["'水'"], |r| word(r, &["ö", "水", "x"], 20)),
    of("VARCHAR(20) CHARACTER SET sjis", &["'テ'"], |r| word(r, &KANJI[..4], 20)),
    of("VARCHAR(20) CHARACTER SET cp932", &["'①'", "'～'"], |r| word(r, KANJI, 20)),
    of("CHAR(20) CHARACTER SET ujis", &["'テ '"], |r| word(r, &KANJI[..4], 20)),
    of("TEXT CHARACTER SET eucjpms", &["'①'"], |r| word(r, KANJI, 20)),
    of("VARCHAR(20) CHARACTER SET gbk", &["'水'"], |r| word(r, &HANZI[..3], 20)),
    of("CHAR(20) CHARACTER SET gb2312", &["'水 '"], |r| word(r, &HANZI[..2], 20)),
    only(On::MySql, By::Value, of("VARCHAR(20) CHARACTER SET gb18030", &["'😀'"], |r| word(r, WIDE, 20))),
    of("VARCHAR(20) CHARACTER SET big5", &["'水'"], |r| word(r, &HANZI[..2], 20)),
    of("VARCHAR(20) CHARACTER SET euckr", &["'똠'"], |r| word(r, HANGUL, 20)),
    of("VARCHAR(20) CHARACTER SET utf16", &["'😀'"], |r| word(r, WIDE, 20)),
    of("CHAR(9) CHARACTER SET utf16le", &["'😀 '"], |r| word(r, WIDE, 9)),
    of("CHAR(9) CHARACTER SET utf32", &["'😀 '"], |r| word(r, WIDE, 9)),
    of("CHAR(9) CHARACTER SET ucs2", &["'水 '"], |r| word(r, &["ö", "水", " "], 9)),
    of("VARCHAR(20) CHARACTER SET ascii", &["'x'"], |r| word(r, &["x", "y"], 20)),
    of("VARCHAR(20) COLLATE utf8mb4_bin", &["'A'", "'a '"], |r| word(r, WIDE, 20)),
    of("CHAR(20) COLLATE latin1_german1_ci", &["'ß'"], |r| word(r, LATIN, 20)),
    only(On::MySql, By::Value, of("VARCHAR(20) COLLATE utf8mb4_0900_as_cs", &["'a '"], |r| word(r, WIDE, 20))),
    only(On::MariaDb, By::Value, of("VARCHAR(20) COLLATE utf8mb4_uca1400_ai_ci", &["'a '"], |r| word(r, WIDE, 20))),
    of("TINYTEXT", &["''"], |r| word(r, WIDE, 60)),
    of("TEXT", &["REPEAT('ö', 3000)"], |r| word(r, WIDE, 100)),
    of("MEDIUMTEXT", &["REPEAT('😀', 300)"], |r| word(r, WIDE, 100)),
    of("LONGTEXT", &["''", "'a'", "REPEAT('x', 7000)", "REPEAT('x', 70000)"], |r| word(r, WIDE, 100)),
    of("ENUM('', 'a', 'it''s', 'ö', 'b')", &["1", "'ö'", "5"], |r| (r.below(5) + 1).to_string()),
    of("ENUM('Ж', 'b') CHARACTER SET cp1251", &["'Ж'"], |r| (r.below(2) + 1).to_string()),
    of("SET('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'ö')", &["0", "511", "'a,ö'"], |r| r.below(512).to_string()),
    of("SET('ö', 'b') CHARACTER SET latin1", &["0", "3"], |r| r.below(4).to_string()),
    of("BIT(1)", &["0", "1"], |r| r.below(2).to_string()),
    of("BIT(17)", &["131071"], |r| r.below(131_072).to_string()),
    of("BIT(64)", &["18446744073709551615"], |r| r.next().to_string()),
    of("BINARY(1)", &["X'00'", "''"], |r| bytes(r, 1)),
    of("BINARY(16)", &["X'00'", "X'0102030405060708090A0B0C0D0E0000'", "''"], |r| bytes(r, 16)),
    of("BINARY(255)", &["X'FF'"], |r| bytes(r, 255)),
    of("VARBINARY(20)", &["X'00'", "''"], |r| bytes(r, 20)),
    of("VARBINARY(300)", &["X'00'", "''"], |r| bytes(r, 300)),
    of("TINYBLOB", &["''"], |r| bytes(r, 90)),
    of("BLOB", &["X'00'"], |r| bytes(r, 90)),
    of("MEDIUMBLOB", &["X'00'", "X''", "REPEAT('x', 7000)", "REPEAT('x', 70000)"], |r| bytes(r, 90)),
    of("LONGBLOB", &["X'00FF'"], |r| bytes(r, 90)),
    only(
        On::MySql,
        By::Document,
        of(
            "JSON",
            &[
                "'null'",
                "'{}'",
                "'[]'",
                "'\"\"'",
                "JSON_ARRAY(CAST('-838:59:59' AS TIME), CAST('0000-00-00' AS DATE))",
                "JSON_OBJECT('d', CAST(-12.30 AS DECIMAL(10,2)), 'b', X'00FF')",
                "JSON_OBJECT('l', REPEAT('x', 70000))",
            ],
            document,
        ),
    ),
    of("GEOMETRY", &["ST_GeomFromText('POINT(0 0)')"], place),
    only(
        On::MySql,
        By::Value,
        of("VECTOR(3)", &["STRING_TO_VECTOR('[1,-2,3e30]')"], |r| {
            format!("STRING_TO_VECTOR('[{},{},0.5]')", r.below(9), r.below(99))
        }),
    ),
    only(On::MariaDb, By::Document, of("JSON", &["'null'", "'{}'", "'{\"a\": 1.10, \"a\" :2}'"], document)),
    only(
        On::MariaDb,
        By::Value,
        of(
            "UUID",
            &[
                "'00000000-0000-0000-0000-000000000000'",
                "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
                "'018fe8a2-0000-7000-8000-000000000000'",
            ],
            uuid,
        ),
    ),
    only(
        On::MariaDb,
        By::Value,
        of("INET4", &["'0.0.0.0'", "'255.255.255.255'", "'10.0.0.0'"], |r| {
            let part = |r: &mut Random| r.below(256);
            format!("'{}.{}.{}.{}'", part(r), part(r), part(r), part(r))
        }),
    ),
    only(
        On::MariaDb,
        By::Value,
        of("INET6", &["'::'", "'::ffff:1.2.3.4'", "'::1.2.3.0'", "'1::'"], |r| {
            let sparse = r.once_in(2);
            let part = |r: &mut Random| if sparse && r.below(3) > 0 { 0 } else { r.below(65_536) };
            let parts: Vec<String> = (0..8).map(|_| format!("{:x}", part(r))).collect();
            format!("'{}'", parts.join(":"))
        }),
    ),
    only(
        On::MariaDb,
        By::Value,
        of("VECTOR(3)", &["VEC_FromText('[1,-2,3e30]')"], |r| {
            format!("VEC_FromText('[{},{},0.5]')", r.below(9), r.below(99))
        }),
    ),
    only(
        On::MariaDb,
        By::Value,
        of("VARCHAR(999) COMPRESSED", &["''", "'x'", "REPEAT('ö', 999)"], |r| repeated(r, 999)),
    ),
    only(
        On::MariaDb,
        By::Value,
        of("TEXT COMPRESSED CHARACTER SET latin1", &["''", "REPEAT('é', 5000)"], |r| {
            format!("REPEAT({}, {})", word(r, LATIN, 5), r.below(90))
        }),
    ),
    only(On::MariaDb, By::Value, of("LONGTEXT COMPRESSED", &["REPEAT('😀', 900)"], |r| repeated(r, 9000))),
    only(On::MariaDb, By::Value, of("VARBINARY(300) COMPRESSED", &["X'00'", "''"], |r| bytes(r, 300))),
    only(On::MariaDb, By::Value, of("BLOB COMPRESSED", &["REPEAT(X'00', 9000)"], |r| bytes(r, 300))),
];

/// The page that lists them. `scripts/test` holds it to this table.
pub fn page() -> String {
    let mut page = String::from(
        "# Types that were proved, and with which boundaries\n\n\
         Made from `tests/mysql/types.rs`. For each type the tests insert, update and delete random rows and rows of these boundary\n\
         values (and NULL), and compare what SELECT reads with what the decoder reads of the binlog, in images before and after, with\n\
         `binlog_row_metadata` FULL, MINIMAL and none. `cargo test --test mysql -- differential charsets` runs them; `ROWFOLD_SEED`\n\
         varies them. Every character of every character set of the server is compared in the same way.\n\n\
         *value*: equal values; *document*: equal documents.\n\n\
         | type | MySQL | MariaDB | compared by | boundaries |\n|---|---|---|---|---|\n",
    );
    for one in TYPES {
        let yes = |is: bool| if is { "yes" } else { "" };
        let by = format!("{:?}", one.by).to_lowercase();
        let bounds: Vec<String> = one.bounds.iter().map(|bound| format!("`{}`", bound.replace('|', "\\|"))).collect();
        let (mysql, mariadb) = (yes(one.on != On::MariaDb), yes(one.on != On::MySql));
        let _ = writeln!(page, "| `{}` | {mysql} | {mariadb} | {by} | {} |", one.declared, bounds.join(", "));
    }
    page
}

#[test]
fn the_page_of_types_is_made_from_them() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/types.md");
    if std::env::var_os("ROWFOLD_WRITE_PAGES").is_some() {
        std::fs::write(path, page()).expect("the page");
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == page(), "docs/types.md is not what tests/mysql/types.rs says: ROWFOLD_WRITE_PAGES=1 writes it");
}
