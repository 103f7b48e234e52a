//! The statements that create a generated schema.
//! Owns: DDL text. Does not own: running it.

use super::{Schema, Table};

pub fn statements(schema: &Schema) -> Vec<String> {
    schema.tables.iter().map(create).collect()
}

fn create(table: &Table) -> String {
    let mut lines: Vec<String> = table
        .columns
        .iter()
        .map(|c| format!("`{}` {}{}", c.name, c.ty.sql(), if c.nullable { "" } else { " NOT NULL" }))
        .collect();
    if !table.primary.is_empty() {
        lines.push(format!("PRIMARY KEY ({})", list(&table.primary)));
    }
    if let Some(unique) = &table.unique {
        lines.push(format!("UNIQUE KEY (`{unique}`)"));
    }
    lines.extend(table.indexes.iter().map(|columns| format!("KEY ({})", list(columns))));
    format!("CREATE TABLE `{}` (\n  {}\n) DEFAULT CHARSET=utf8mb4", table.name, lines.join(",\n  "))
}

pub fn list(columns: &[String]) -> String {
    columns.iter().map(|c| format!("`{c}`")).collect::<Vec<_>>().join(", ")
}
