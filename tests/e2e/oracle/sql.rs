//! The oracle's queries: one per projection, written from the schema alone, giving (id, document) as JSON.
//! Owns: the meaning of a job file, said a second time in plain SQL. Imports nothing of the engine.
//! Does not own: comparing (`compare`), nor the form of a value in the target (`canon`).

use crate::schema::types::Ty;
use crate::schema::{Expr, FieldTy, Kind, Node, Projection, Schema, Table};

/// Whether the columns of the id are shown among the fields of the document too.
pub const ID_COLUMNS_ARE_FIELDS: bool = true;

/// Arrays are put together by GROUP_CONCAT, the one aggregate with an order; it must not cut them off.
pub const SESSION: &str = "SET SESSION group_concat_max_len = 33554432, SESSION time_zone = '+00:00'";

/// A query in the dialect of the server that is asked. What these queries need of it differs in one thing: MariaDB has no
/// CAST for JSON.
pub fn for_server(query: &str, mariadb: bool) -> String {
    if !mariadb {
        return query.to_owned();
    }
    query.replace("CAST(CONCAT('[',", "JSON_COMPACT(CONCAT('[',").replace("']') AS JSON)", "']'))")
}

/// A value as text that carries its BSON type; NULL stays NULL.
pub fn leaf(ty: &Ty, x: &str) -> String {
    match ty {
        Ty::Int { bytes: 8, unsigned: true } => {
            format!("IF({x} > 9223372036854775807, CONCAT('d128:', {x}), CONCAT('i64:', {x}))")
        }
        Ty::Int { bytes: 8, .. } | Ty::Int { bytes: 4, unsigned: true } => format!("CONCAT('i64:', {x})"),
        Ty::Int { .. } | Ty::Tiny1 => format!("CONCAT('i32:', {x})"),
        Ty::Year => format!("CONCAT('i32:', {x} + 0)"),
        Ty::Decimal { .. } => format!("CONCAT('d128:', {x})"),
        Ty::Varchar { .. } | Ty::Char { .. } | Ty::Text | Ty::Enum(_) => {
            format!("CONCAT('s:', {x})")
        }
        Ty::Date | Ty::DateTime(_) => {
            format!("CONCAT('t:', TIMESTAMPDIFF(MICROSECOND, TIMESTAMP'1970-01-01 00:00:00', {x}) DIV 1000)")
        }
        Ty::Double => format!("CONCAT('f64:', {x})"),
        Ty::VarBinary(_) | Ty::Binary(_) => format!("CONCAT('x:', HEX({x}))"),
        Ty::Bit1 => format!("CONCAT('bool:', {x} + 0)"),
    }
}

fn field_leaf(ty: FieldTy, x: &str) -> String {
    match ty {
        FieldTy::Int64 => format!("CONCAT('i64:', {x})"),
        FieldTy::Text => format!("CONCAT('s:', {x})"),
    }
}

struct Query<'a> {
    schema: &'a Schema,
    database: &'a str,
    aliases: u32,
}

/// `SELECT id, document` for every document that the projection should have.
pub fn query(schema: &Schema, database: &str, projection: &Projection) -> String {
    let mut query = Query { schema, database, aliases: 0 };
    let root = &projection.root;
    let alias = query.alias();
    let table = &schema.tables[root.table];
    let column = |c: &String| leaf(&table.column(c).ty, &format!("{alias}.`{c}`"));
    let id = match projection.id_columns(&schema.tables) {
        [one] => format!("JSON_ARRAY({})", column(one)),
        many => {
            let parts: Vec<String> = many.iter().map(|c| format!("'{c}', {}", column(c))).collect();
            format!("JSON_ARRAY({})", parts.join(", "))
        }
    };
    let hidden = if ID_COLUMNS_ARE_FIELDS { &[] } else { projection.id_columns(&schema.tables) };
    let document = query.document(root, &alias, hidden, root.max_depth.unwrap_or(1));
    let from = query.table(table);
    let filter = root.filter.as_ref().map_or(String::new(), |f| format!("\nWHERE {}", on(f, &alias)));
    format!("SELECT CAST({id} AS CHAR) AS id, CAST({document} AS CHAR) AS document\nFROM {from} AS {alias}{filter}")
}

fn on(expr: &Expr, alias: &str) -> String {
    format!("({})", expr.render(|c| format!("{alias}.`{c}`")))
}

impl Query<'_> {
    fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("t{}", self.aliases)
    }

    fn table(&self, table: &Table) -> String {
        format!("`{}`.`{}`", self.database, table.name)
    }

    fn document(&mut self, node: &Node, alias: &str, hidden: &[String], levels_left: u32) -> String {
        let table = &self.schema.tables[node.table];
        let mut parts = Vec::new();
        for (column, field) in node.shown(table) {
            if !hidden.iter().any(|h| h == column) {
                parts.push(format!("'{field}', {}", leaf(&table.column(column).ty, &format!("{alias}.`{column}`"))));
            }
        }
        for (field, expr, ty) in &node.fields {
            parts.push(format!("'{field}', {}", field_leaf(*ty, &on(expr, alias))));
        }
        for child in &node.children {
            parts.push(format!("'{}', {}", child.field, self.nested(child, alias, child.max_depth.unwrap_or(1))));
        }
        // A node that refers to itself holds itself again, one level less deep; the last level lacks the field.
        if levels_left > 1 {
            parts.push(format!("'{}', {}", node.field, self.nested(node, alias, levels_left - 1)));
        }
        format!("JSON_OBJECT({})", parts.join(", "))
    }

    fn nested(&mut self, node: &Node, parent: &str, levels_left: u32) -> String {
        let table = &self.schema.tables[node.table];
        let alias = self.alias();
        let mut from = format!("{} AS {alias}", self.table(table));
        let equal = |pairs: &[(String, String)], left: &str, right: &str| -> String {
            let pairs: Vec<String> = pairs.iter().map(|(a, b)| format!("{left}.`{a}` = {right}.`{b}`")).collect();
            pairs.join(" AND ")
        };
        let mut condition = match &node.kind {
            Kind::Root => unreachable!("a root is not nested"),
            Kind::One { join } | Kind::Many { join } => equal(join, parent, &alias),
            Kind::Through(through) => {
                let link = self.alias();
                let link_table = self.table(&self.schema.tables[through.table]);
                from = format!("{link_table} AS {link} JOIN {from} ON {}", equal(&through.to, &link, &alias));
                equal(&through.join, parent, &link)
            }
        };
        if let Some(filter) = &node.filter {
            condition = format!("{condition} AND {}", on(filter, &alias));
        }
        let element = match &node.value {
            Some(column) => leaf(&table.column(column).ty, &format!("{alias}.`{column}`")),
            None => self.document(node, &alias, &[], levels_left),
        };
        if matches!(node.kind, Kind::One { .. }) {
            return format!("(SELECT {element} FROM {from} WHERE {condition})");
        }
        // GROUP_CONCAT passes over NULL: a scalar has to become JSON text first.
        let element = if node.value.is_some() { format!("IFNULL(JSON_QUOTE({element}), 'null')") } else { element };
        let order = if node.order_by.is_empty() { &table.primary } else { &node.order_by };
        // GROUP_CONCAT orders a NULL decimal among the zeros, not first as ORDER BY does.
        let nulls_first = |column: &String| format!("{alias}.`{column}` IS NOT NULL, {alias}.`{column}`");
        let order = order.iter().map(nulls_first).collect::<Vec<_>>().join(", ");
        format!(
            "(SELECT CAST(CONCAT('[', IFNULL(GROUP_CONCAT({element} ORDER BY {order} SEPARATOR ','), ''), ']') AS JSON) \
             FROM {from} WHERE {condition})"
        )
    }
}
