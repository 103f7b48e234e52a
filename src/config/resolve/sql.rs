//! Names and statements as SQL text, for plans and for fixes.
//!
//! Owns: quoting of identifiers, the statements that messages suggest. Does not own: queries (`edge::mysql::sql`).

use crate::model::schema::{Column, Shown, Table, TableName};

/// An identifier in backticks.
pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A table's full name in backticks.
pub fn quoted_table(name: &TableName) -> String {
    format!("{}.{}", quoted(&name.database), quoted(&name.table))
}

/// `<database>.<table>`, each part with or without backticks. One with a `.` in it needs them.
pub fn table_name(text: &str) -> Option<TableName> {
    let (database, rest) = name_part(text.trim())?;
    let (table, rest) = name_part(rest.trim_start().strip_prefix('.')?.trim_start())?;
    (rest.is_empty() && !database.is_empty() && !table.is_empty()).then(|| TableName::new(database, table))
}

/// The name at the start of `text`, and what follows it.
fn name_part(text: &str) -> Option<(String, &str)> {
    let Some(mut rest) = text.strip_prefix('`') else {
        let end = text.find(['.', '`']).unwrap_or(text.len());
        return Some((text[..end].trim_end().to_string(), &text[end..]));
    };
    let mut name = String::new();
    loop {
        let (before, after) = rest.split_once('`')?;
        name.push_str(before);
        match after.strip_prefix('`') {
            Some(after) => {
                name.push('`');
                rest = after;
            }
            None => return Some((name, after)),
        }
    }
}

/// Columns of a table by position, in backticks with commas.
pub fn column_list(table: &Table, columns: &[usize]) -> String {
    let names: Vec<String> = columns.iter().map(|&at| quoted(&table.columns[at].name)).collect();
    names.join(", ")
}

/// Columns of a table by position, as messages show them.
pub fn plain_list(table: &Table, columns: &[usize]) -> String {
    let names: Vec<String> = columns.iter().map(|&at| Shown(&table.columns[at].name).to_string()).collect();
    format!("({})", names.join(", "))
}

/// The statement that creates an index (`kind` is `INDEX` or `UNIQUE INDEX`).
pub fn create_index(kind: &str, table: &Table, columns: &[usize]) -> String {
    let names: Vec<&str> = columns.iter().map(|&at| table.columns[at].name.as_str()).collect();
    let mut name: String = format!("idx_{}", names.join("_")).chars().take(60).collect();
    while table.indexes.iter().any(|index| index.name.eq_ignore_ascii_case(&name)) {
        name.push('x');
    }
    format!("CREATE {kind} {} ON {} ({});", quoted(&name), quoted_table(&table.name), column_list(table, columns))
}

/// The statement that gives a column another collation.
pub fn change_collation(table: &Table, column: &Column, collation: &str) -> String {
    let null = if column.nullable { "NULL" } else { "NOT NULL" };
    let (table, name) = (quoted_table(&table.name), quoted(&column.name));
    format!("ALTER TABLE {table} MODIFY {name} {} COLLATE {collation} {null};", column.declared)
}

/// The statement that forbids NULL in columns.
pub fn forbid_null(table: &Table, columns: &[usize]) -> String {
    let modify = |&at: &usize| {
        let column = &table.columns[at];
        let collation = column.collation.as_ref().map(|name| format!(" COLLATE {name}")).unwrap_or_default();
        format!("MODIFY {} {}{collation} NOT NULL", quoted(&column.name), column.declared)
    };
    let parts: Vec<String> = columns.iter().map(modify).collect();
    format!("ALTER TABLE {} {};", quoted_table(&table.name), parts.join(", "))
}

/// A column with its type and collation, as messages show it.
pub fn describe(table: &Table, column: &Column) -> String {
    let collation = column.collation.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
    format!("{}.{} ({}{collation})", table.name, Shown(&column.name), column.declared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_read_back() {
        assert_eq!(quoted("a`b"), "`a``b`");
        assert_eq!(table_name("shop.order"), Some(TableName::new("shop", "order")));
        assert_eq!(table_name("`my shop`.`a``b`"), Some(TableName::new("my shop", "a`b")));
        assert_eq!(table_name("`my.db`.`my table`"), Some(TableName::new("my.db", "my table")));
        assert_eq!(table_name("shop.`a.b`"), Some(TableName::new("shop", "a.b")));
        assert_eq!(table_name("my shop . order line"), Some(TableName::new("my shop", "order line")));
        for odd in ["a`.`b", "a``b.c", "`", "``.``", "a.b.c", "`a.b", "`a`b.c"] {
            let name = TableName::new(odd, odd);
            assert_eq!(table_name(&quoted_table(&name)), Some(name.clone()), "{odd}");
            assert_eq!(table_name(&name.to_string()), Some(name), "{odd}");
        }
        for wrong in ["order", ".order", "shop.", "", "a.b.c", "`a.b", "`a`b.c", "a.b`", "``.b"] {
            assert_eq!(table_name(wrong), None, "{wrong}");
        }
    }
}
