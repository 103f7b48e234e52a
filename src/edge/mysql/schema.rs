//! Tables, as information_schema describes them.
//!
//! Owns: reading [`Table`]s and telling what a declared type holds. Does not own: facts about the server and kinds of
//! expressions (`facts`), what a job makes of tables (`config::resolve`).
//! Source: MySQL manual, "INFORMATION_SCHEMA COLUMNS", "STATISTICS", "KEY_COLUMN_USAGE", "TABLES".

use std::collections::HashMap;

use mysql_async::Row;

use super::failure::Doing;
use super::flavor::Flavor;
use super::server::{MySqlServer, STATEMENT_LIMIT, commas, nullable_text, number, text};
use super::sql;
use crate::error::Result;
use crate::model::schema::{Column, ColumnKind, ForeignKey, Index, Table, TableName};

impl MySqlServer {
    /// The definitions of those of the given tables that exist, in the order asked for. Views are not tables.
    pub async fn tables(&self, names: &[TableName]) -> Result<Vec<Table>> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        // A list of databases and one of tables, each usable as an index condition on the dictionary; the cross product
        // is filtered below.
        let databases = commas(names.iter().map(|name| sql::text_literal(&name.database)));
        let tables = commas(names.iter().map(|name| sql::text_literal(&name.table)));
        let found = self
            .read_tables(&|database, table| format!("{database} IN ({databases}) AND {table} IN ({tables})"))
            .await?;
        let exact_or_alike =
            |name: &TableName| found.iter().find(|table| table.name == *name).or_else(|| only_alike(&found, name));
        Ok(names.iter().filter_map(exact_or_alike).cloned().collect())
    }

    /// All tables of a database.
    pub async fn tables_of(&self, database: &str) -> Result<Vec<Table>> {
        let literal = sql::text_literal(database);
        self.read_tables(&|database, _| format!("{database} = {literal}")).await
    }

    /// `condition` gets the names of the columns that hold the database and the table.
    async fn read_tables(&self, condition: &(dyn Fn(&str, &str) -> String + Sync)) -> Result<Vec<Table>> {
        let wanted = condition("TABLE_SCHEMA", "TABLE_NAME");
        let ask = async |what: &str, sql: String| -> Result<Vec<Row>> {
            self.query(Doing::Setup, what, &sql, STATEMENT_LIMIT).await
        };
        let mut tables: Vec<Table> = ask(
            "reading tables",
            format!(
                "SELECT TABLE_SCHEMA, TABLE_NAME, ENGINE, TABLE_ROWS, AVG_ROW_LENGTH FROM information_schema.TABLES \
                 WHERE {wanted} AND TABLE_TYPE = 'BASE TABLE' ORDER BY 1, 2"
            ),
        )
        .await?
        .iter()
        .map(|row| Table {
            name: table_name(row),
            columns: Vec::new(),
            indexes: Vec::new(),
            foreign_keys: Vec::new(),
            engine: text(row, 2),
            rows_estimate: number(row, 3),
            row_bytes_estimate: number(row, 4),
        })
        .collect();
        let at: HashMap<TableName, usize> =
            tables.iter().enumerate().map(|(at, table)| (table.name.clone(), at)).collect();

        let columns = ask(
            "reading columns",
            format!(
                "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IS_NULLABLE, COLLATION_NAME, \
                 CHARACTER_MAXIMUM_LENGTH, NUMERIC_PRECISION, NUMERIC_SCALE, DATETIME_PRECISION \
                 FROM information_schema.COLUMNS WHERE {wanted} ORDER BY 1, 2, ORDINAL_POSITION"
            ),
        )
        .await?;
        for row in &columns {
            if let Some(&at) = at.get(&table_name(row)) {
                tables[at].columns.push(column(row));
            }
        }

        if self.flavor().await? == Flavor::MariaDb {
            // Its JSON is a LONGTEXT with this check.
            let checks = ask(
                "reading checks",
                format!(
                    "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME FROM information_schema.CHECK_CONSTRAINTS \
                     WHERE {} AND CHECK_CLAUSE = CONCAT('json_valid(`', REPLACE(CONSTRAINT_NAME, '`', '``'), '`)')",
                    condition("CONSTRAINT_SCHEMA", "TABLE_NAME")
                ),
            )
            .await?;
            for row in &checks {
                let table = at.get(&table_name(row)).map(|&at| &mut tables[at]);
                let column = table.and_then(|table| {
                    let name = text(row, 2);
                    table.columns.iter_mut().find(|column| column.name == name && column.declared == "longtext")
                });
                if let Some(column) = column {
                    (column.kind, column.collation, column.length_max) = (ColumnKind::Json, None, None);
                }
            }
        }

        let parts = ask(
            "reading indexes",
            format!(
                "SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, NON_UNIQUE, COLUMN_NAME, SUB_PART, SEQ_IN_INDEX \
                 FROM information_schema.STATISTICS WHERE {wanted} AND INDEX_TYPE IN ('BTREE' /*!80000 , 'HASH' */) \
                 /*!80000 AND IS_VISIBLE = 'YES' */ /*M!100600 AND IGNORED = 'NO' */ ORDER BY 1, 2, INDEX_NAME <> 'PRIMARY', INDEX_NAME, SEQ_IN_INDEX"
            ),
        )
        .await?;
        for row in &parts {
            if let Some(&at) = at.get(&table_name(row)) {
                add_index_part(&mut tables[at], row);
            }
        }
        for table in &mut tables {
            // One whose first part already is an expression or a prefix helps nobody.
            table.indexes.retain(|index| !index.columns.is_empty());
        }

        let foreign = condition("k.TABLE_SCHEMA", "k.TABLE_NAME");
        let keys = ask(
            "reading foreign keys",
            format!(
                "SELECT k.TABLE_SCHEMA, k.TABLE_NAME, k.CONSTRAINT_NAME, k.COLUMN_NAME, k.REFERENCED_TABLE_SCHEMA, \
                 k.REFERENCED_TABLE_NAME, k.REFERENCED_COLUMN_NAME, r.UPDATE_RULE, r.DELETE_RULE \
                 FROM information_schema.KEY_COLUMN_USAGE k JOIN information_schema.REFERENTIAL_CONSTRAINTS r \
                 ON r.CONSTRAINT_SCHEMA = k.CONSTRAINT_SCHEMA AND r.CONSTRAINT_NAME = k.CONSTRAINT_NAME \
                 AND r.TABLE_NAME = k.TABLE_NAME \
                 WHERE {foreign} AND k.REFERENCED_TABLE_NAME IS NOT NULL ORDER BY 1, 2, 3, k.ORDINAL_POSITION"
            ),
        )
        .await?;
        for row in &keys {
            if let Some(&at) = at.get(&table_name(row)) {
                add_foreign_key_part(&mut tables[at], row);
            }
        }
        Ok(tables)
    }
}

/// A server with `lower_case_table_names` above 0 finds a table under any spelling; there is only one then.
fn only_alike<'a>(found: &'a [Table], name: &TableName) -> Option<&'a Table> {
    let fold = |name: &TableName| (name.database.to_lowercase(), name.table.to_lowercase());
    let mut alike = found.iter().filter(|table| fold(&table.name) == fold(name));
    alike.next().filter(|_| alike.next().is_none())
}

fn table_name(row: &Row) -> TableName {
    TableName::new(text(row, 0), text(row, 1))
}

fn column(row: &Row) -> Column {
    let declared = text(row, 4);
    let length_max = nullable_text(row, 7).and_then(|length| length.parse().ok());
    let kind = kind_of(&Declared {
        data_type: &text(row, 3).to_lowercase(),
        declared: &declared,
        length: length_max,
        precision: number(row, 8),
        scale: number(row, 9),
        fsp: number(row, 10),
    });
    Column {
        name: text(row, 2),
        collation: matches!(kind, ColumnKind::Text).then(|| nullable_text(row, 6)).flatten(),
        length_max: matches!(kind, ColumnKind::Text | ColumnKind::Binary | ColumnKind::FixedBinary { .. })
            .then_some(length_max)
            .flatten(),
        kind,
        nullable: text(row, 5) == "YES",
        declared,
    }
}

fn add_index_part(table: &mut Table, row: &Row) {
    let name = text(row, 2);
    if table.indexes.last().is_none_or(|index| index.name != name) {
        let unique = number(row, 3) == 0;
        table.indexes.push(Index { name, columns: Vec::new(), unique });
    }
    let position = nullable_text(row, 4)
        .filter(|_| nullable_text(row, 5).is_none())
        .and_then(|column| table.columns.iter().position(|known| known.name == column));
    let Some(index) = table.indexes.last_mut() else {
        return;
    };
    // SEQ_IN_INDEX counts from 1; a part behind one that was cut off does not continue the list.
    let continues = index.columns.len() as u64 + 1 == number(row, 6);
    match position {
        Some(position) if continues => index.columns.push(position),
        _ => index.unique = false,
    }
}

fn add_foreign_key_part(table: &mut Table, row: &Row) {
    let name = text(row, 2);
    if table.foreign_keys.last().is_none_or(|key| key.name != name) {
        let changes = |rule: String| matches!(rule.as_str(), "CASCADE" | "SET NULL" | "SET DEFAULT");
        table.foreign_keys.push(ForeignKey {
            name,
            columns: Vec::new(),
            parent: TableName::new(text(row, 4), text(row, 5)),
            parent_columns: Vec::new(),
            changes_rows: changes(text(row, 7)) || changes(text(row, 8)),
        });
    }
    if let Some(key) = table.foreign_keys.last_mut() {
        key.columns.push(text(row, 3));
        key.parent_columns.push(text(row, 6));
    }
}

/// What information_schema.COLUMNS says of a column's type.
struct Declared<'a> {
    data_type: &'a str,
    declared: &'a str,
    length: Option<u64>,
    precision: u64,
    scale: u64,
    fsp: u64,
}

fn kind_of(column: &Declared<'_>) -> ColumnKind {
    let unsigned = column.declared.to_lowercase().contains("unsigned");
    let fsp = column.fsp as u8;
    match column.data_type {
        "tinyint" => ColumnKind::Int { bits: 8, unsigned },
        "smallint" => ColumnKind::Int { bits: 16, unsigned },
        "mediumint" => ColumnKind::Int { bits: 24, unsigned },
        "int" => ColumnKind::Int { bits: 32, unsigned },
        "bigint" => ColumnKind::Int { bits: 64, unsigned },
        "year" => ColumnKind::Year,
        "decimal" => ColumnKind::Decimal { precision: column.precision as u8, scale: column.scale as u8 },
        "float" => ColumnKind::Float,
        "double" => ColumnKind::Double,
        "bit" => ColumnKind::Bit { length: column.precision as u8 },
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => ColumnKind::Text,
        "enum" => ColumnKind::Enum(labels(column.declared)),
        "set" => ColumnKind::Set(labels(column.declared)),
        "binary" => ColumnKind::FixedBinary { length: column.length.unwrap_or_default() as u16 },
        "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => ColumnKind::Binary,
        "date" => ColumnKind::Date,
        "datetime" => ColumnKind::DateTime { fsp },
        "timestamp" => ColumnKind::Timestamp { fsp },
        "time" => ColumnKind::Time { fsp },
        "json" => ColumnKind::Json,
        other => ColumnKind::Other(other.to_string()),
    }
}

/// The labels in `enum('a','b''c')`. MySQL doubles quotes there and writes NUL, newline, return and backslash with a
/// backslash (`append_unescaped` in its source).
fn labels(declared: &str) -> Vec<String> {
    let mut labels = Vec::new();
    let mut label: Option<String> = None;
    let mut chars = declared.chars().peekable();
    while let Some(c) = chars.next() {
        match (&mut label, c) {
            (None, '\'') => label = Some(String::new()),
            (None, _) => {}
            (Some(text), '\'') if chars.peek() == Some(&'\'') => {
                chars.next();
                text.push('\'');
            }
            (Some(_), '\'') => labels.extend(label.take()),
            (Some(text), '\\') => match chars.next() {
                Some('0') => text.push('\0'),
                Some('n') => text.push('\n'),
                Some('r') => text.push('\r'),
                Some(other) => text.push(other),
                None => {}
            },
            (Some(text), other) => text.push(other),
        }
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_unquoted() {
        assert_eq!(labels("enum('a','b''c','d,e','')"), ["a", "b'c", "d,e", ""]);
        assert_eq!(labels(r"set('x\\y','n\nl')"), [r"x\y", "n\nl"]);
    }

    #[test]
    fn declared_types_have_kinds() {
        let kind = |data_type, declared, precision, scale| {
            kind_of(&Declared { data_type, declared, length: Some(16), precision, scale, fsp: 3 })
        };
        assert_eq!(kind("int", "int unsigned", 10, 0), ColumnKind::Int { bits: 32, unsigned: true });
        assert_eq!(kind("tinyint", "tinyint(1)", 3, 0), ColumnKind::Int { bits: 8, unsigned: false });
        assert_eq!(kind("decimal", "decimal(12,2)", 12, 2), ColumnKind::Decimal { precision: 12, scale: 2 });
        assert_eq!(kind("bit", "bit(9)", 9, 0), ColumnKind::Bit { length: 9 });
        assert_eq!(kind("binary", "binary(16)", 0, 0), ColumnKind::FixedBinary { length: 16 });
        assert_eq!(kind("point", "point", 0, 0), ColumnKind::Other("point".into()));
    }
}
