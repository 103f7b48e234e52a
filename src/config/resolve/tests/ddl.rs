//! Tables from CREATE TABLE statements of a simple form, as a server would describe them.

use std::collections::BTreeMap;

use crate::model::schema::{Column, ColumnKind, ForeignKey, Index, Table, TableName};

use super::super::sql::table_name;

/// The tables of a script: one column or key a line, upper-case keywords.
pub fn tables(script: &str) -> BTreeMap<TableName, Table> {
    let mut tables = BTreeMap::new();
    let mut lines = script.lines();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix("CREATE TABLE ").and_then(|rest| rest.strip_suffix(" (")) else { continue };
        let name = table_name(name).expect("a table's full name");
        let mut table = Table {
            name: name.clone(),
            columns: Vec::new(),
            indexes: Vec::new(),
            foreign_keys: Vec::new(),
            engine: "InnoDB".to_string(),
            rows_estimate: 1000,
            row_bytes_estimate: 100,
        };
        for line in lines.by_ref() {
            if let Some(options) = line.strip_prefix(')') {
                if let Some((_, engine)) = options.split_once("ENGINE=") {
                    table.engine = engine.trim_end_matches(';').to_string();
                }
                break;
            }
            part(&mut table, line.trim().trim_end_matches(','));
        }
        table.indexes.sort_by_key(|index| index.name != "PRIMARY");
        tables.insert(name, table);
    }
    tables
}

fn part(table: &mut Table, line: &str) {
    let key = |prefix: &str| line.strip_prefix(prefix).and_then(|rest| rest.split_once('('));
    if let Some((_, rest)) = key("PRIMARY KEY ") {
        push_index(table, "PRIMARY", rest, true);
    } else if let Some((name, rest)) = key("UNIQUE KEY ") {
        push_index(table, name, rest, true);
    } else if let Some((name, rest)) = key("KEY ") {
        push_index(table, name, rest, false);
    } else if let Some(rest) = line.strip_prefix("CONSTRAINT ") {
        let (name, rest) = rest.split_once(" FOREIGN KEY (").expect("a foreign key");
        let (columns, rest) = rest.split_once(") REFERENCES ").expect("what it references");
        let (parent, rest) = rest.split_once(" (").expect("the parent's columns");
        let (parent_columns, rules) = rest.split_once(')').expect("the end of the columns");
        table.foreign_keys.push(ForeignKey {
            name: name.to_string(),
            columns: names(columns),
            parent: table_name(parent).expect("a table's full name"),
            parent_columns: names(parent_columns),
            changes_rows: rules.contains("CASCADE") || rules.contains("SET"),
        });
    } else {
        table.columns.push(column(line));
    }
}

fn names(list: &str) -> Vec<String> {
    list.split(',').map(|name| name.trim().trim_matches('`').to_string()).collect()
}

fn push_index(table: &mut Table, name: &str, rest: &str, unique: bool) {
    let list = rest.trim_end_matches(')');
    let columns = names(list).iter().map(|name| table.column(name).expect("a column of the table")).collect();
    table.indexes.push(Index { name: name.trim().to_string(), columns, unique });
}

fn column(line: &str) -> Column {
    let (name, rest) = line.split_once(' ').expect("a name and a type");
    let mut words = rest.split(' ');
    let mut declared = words.next().expect("a type").to_string();
    if rest.contains(" unsigned") {
        declared.push_str(" unsigned");
    }
    let (base, arguments) = declared.split_once('(').unwrap_or((&declared, ")"));
    let base = base.trim_end_matches(" unsigned");
    let arguments = &arguments[..arguments.rfind(')').expect("the end of the arguments")];
    let numbers: Vec<u64> = arguments.split(',').filter_map(|number| number.parse().ok()).collect();
    let number = |at: usize| numbers.get(at).copied().unwrap_or_default();
    let unsigned = declared.ends_with("unsigned");
    let int = |bits| ColumnKind::Int { bits, unsigned };
    let labels = || arguments.split(',').map(|label| label.trim_matches('\'').to_string()).collect();
    let fsp = number(0) as u8;
    let (kind, length_max) = match base {
        "tinyint" => (int(8), None),
        "smallint" => (int(16), None),
        "int" => (int(32), None),
        "bigint" => (int(64), None),
        "decimal" => (ColumnKind::Decimal { precision: number(0) as u8, scale: number(1) as u8 }, None),
        "double" => (ColumnKind::Double, None),
        "char" | "varchar" => (ColumnKind::Text, Some(number(0))),
        "text" => (ColumnKind::Text, Some(65_535)),
        "longtext" => (ColumnKind::Text, Some(4_294_967_295)),
        "enum" => (ColumnKind::Enum(labels()), None),
        "date" => (ColumnKind::Date, None),
        "datetime" => (ColumnKind::DateTime { fsp }, None),
        "json" => (ColumnKind::Json, None),
        "bit" => (ColumnKind::Bit { length: number(0) as u8 }, None),
        "year" => (ColumnKind::Year, None),
        "float" => (ColumnKind::Float, None),
        "set" => (ColumnKind::Set(labels()), None),
        "binary" => (ColumnKind::FixedBinary { length: number(0) as u16 }, Some(number(0))),
        "blob" => (ColumnKind::Binary, Some(65_535)),
        "timestamp" => (ColumnKind::Timestamp { fsp }, None),
        "time" => (ColumnKind::Time { fsp }, None),
        "point" => (ColumnKind::Geometry, None),
        "vector" => (ColumnKind::Vector, None),
        "uuid" => (ColumnKind::Uuid, None),
        "inet6" => (ColumnKind::Inet6, None),
        other => (ColumnKind::Other(other.to_string()), None),
    };
    let collation = rest
        .split_once("COLLATE ")
        .map_or("utf8mb4_0900_ai_ci", |(_, rest)| rest.split(' ').next().expect("a collation"));
    Column {
        name: name.trim_matches('`').to_string(),
        collation: matches!(kind, ColumnKind::Text).then(|| collation.to_string()),
        length_max,
        kind,
        nullable: !rest.contains("NOT NULL"),
        declared,
    }
}
