//! The job file of a generated schema.
//! Owns: YAML text. Does not own: what it should mean (`oracle::sql`).

use super::{Kind, Node, Schema, Select, Table};
use crate::harness::servers::server_id;
use std::fmt::Write as _;

/// What differs between two jobs over the same schema.
#[derive(Clone, Debug)]
pub struct Settings {
    pub name: String,
    pub mysql_database: String,
    pub mongo_database: String,
    pub server_id: u32,
    pub readers: u32,
    pub chunk_bytes: String,
    /// The section `stream:` with its line ends; empty for the in-process queue.
    pub stream: String,
}

impl Settings {
    /// The settings of `job_NAME`, between databases of one name.
    pub fn of(name: &str, database: &str, chunk_bytes: &str, stream: String) -> Settings {
        Settings {
            name: format!("job_{name}"),
            mysql_database: database.to_owned(),
            mongo_database: database.to_owned(),
            server_id: server_id(),
            readers: 2,
            chunk_bytes: chunk_bytes.to_owned(),
            stream,
        }
    }
}

/// Everything above `projections:`. Small chunks stretch a small copy; short leases keep a restart after kill -9 short.
pub fn header(settings: &Settings) -> String {
    format!(
        "name: {name}\n\
         source:\n  url: ${{ROWFOLD_MYSQL_URL}}\n  server_id: {server_id}\n\
         target:\n  url: ${{ROWFOLD_MONGO_URL}}\n  database: {mongo}\n  lease: 3s\n  write_deadline: 2s\n{stream}\
         backfill: {{readers: {readers}, chunk_bytes: {chunk_bytes}}}\n",
        name = settings.name,
        server_id = settings.server_id,
        mongo = settings.mongo_database,
        readers = settings.readers,
        chunk_bytes = settings.chunk_bytes,
        stream = settings.stream,
    )
}

pub fn render(schema: &Schema, settings: &Settings) -> String {
    let mut out = header(settings);
    out.push_str("projections:\n");
    for projection in &schema.projections {
        let root = &projection.root;
        let _ = writeln!(out, "  - collection: {}", root.field);
        let _ = writeln!(out, "    root: {}.{}", settings.mysql_database, schema.tables[root.table].name);
        if !projection.id.is_empty() {
            let _ = writeln!(out, "    id: [{}]", projection.id.join(", "));
        }
        body(&mut out, schema, &settings.mysql_database, root, 4);
    }
    out
}

/// The keys that every node takes.
fn body(out: &mut String, schema: &Schema, db: &str, node: &Node, indent: usize) {
    let pad = " ".repeat(indent);
    match &node.select {
        Select::All => {}
        Select::Only(columns) => drop(writeln!(out, "{pad}columns: [{}]", columns.join(", "))),
        Select::Exclude(columns) => drop(writeln!(out, "{pad}exclude: [{}]", columns.join(", "))),
    }
    if !node.rename.is_empty() {
        let _ = writeln!(out, "{pad}rename: {{{}}}", pairs(&node.rename));
    }
    if !node.fields.is_empty() {
        let _ = writeln!(out, "{pad}fields:");
        for (name, expr, _) in &node.fields {
            let _ = writeln!(out, "{pad}  {name}: {}", quoted(&expr.bare()));
        }
    }
    if let Some(filter) = &node.filter {
        let _ = writeln!(out, "{pad}where: {}", quoted(&filter.bare()));
    }
    if !node.order_by.is_empty() {
        let _ = writeln!(out, "{pad}order_by: [{}]", node.order_by.join(", "));
    }
    if let Some(value) = &node.value {
        let _ = writeln!(out, "{pad}value: {value}");
    }
    if let Some(depth) = node.max_depth {
        let _ = writeln!(out, "{pad}max_depth: {depth}");
    }
    for (key, is_one) in [("one", true), ("many", false)] {
        let mut children = node.children.iter().filter(|c| matches!(c.kind, Kind::One { .. }) == is_one).peekable();
        if children.peek().is_some() {
            let _ = writeln!(out, "{pad}{key}:");
        }
        for child in children {
            nested(out, schema, db, child, indent + 2);
        }
    }
}

fn nested(out: &mut String, schema: &Schema, db: &str, node: &Node, indent: usize) {
    let pad = " ".repeat(indent);
    let _ = writeln!(out, "{pad}{}:", node.field);
    let table = |t: &Table| format!("{db}.{}", t.name);
    let _ = writeln!(out, "{pad}  table: {}", table(&schema.tables[node.table]));
    match &node.kind {
        Kind::Root => unreachable!("a root is not nested"),
        Kind::One { join } | Kind::Many { join } => drop(writeln!(out, "{pad}  join: {{{}}}", pairs(join))),
        Kind::Through(through) => {
            let link = table(&schema.tables[through.table]);
            let (join, to) = (pairs(&through.join), pairs(&through.to));
            let _ = writeln!(out, "{pad}  through: {{table: {link}, join: {{{join}}}, to: {{{to}}}}}");
        }
    }
    body(out, schema, db, node, indent + 2);
}

fn pairs(pairs: &[(String, String)]) -> String {
    pairs.iter().map(|(a, b)| format!("{a}: {b}")).collect::<Vec<_>>().join(", ")
}

/// A YAML string in double quotes.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
