//! Generated source schemas: the tables, how their keys are made, and the documents asked for.
//! Owns: the model that DDL, rows, job file, writer and oracle are all rendered from.
//! Does not own: any of those renderings, nor the choices (`generate`).

pub mod build;
pub mod ddl;
pub mod generate;
pub mod job;
pub mod rows;
pub mod types;

use types::Ty;

#[derive(Clone, Debug)]
pub struct Column {
    pub name: String,
    pub ty: Ty,
    pub nullable: bool,
}

/// One digit of a key: the column it fills and how many values it takes (`None`: whatever is left of the index).
#[derive(Clone, Debug)]
pub struct KeyPart {
    pub column: String,
    pub ty: Ty,
    pub radix: Option<u64>,
}

/// A numbered set of possible keys, larger than what the table holds: index in, literals out.
#[derive(Clone, Debug)]
pub struct KeySpace {
    pub parts: Vec<KeyPart>,
    pub size: u64,
}

impl KeySpace {
    /// The literals of key `i`, in the order of the parts.
    pub fn literals(&self, i: u64) -> Vec<String> {
        let mut rest = i;
        let mut digits = vec![0; self.parts.len()];
        for (digit, part) in digits.iter_mut().zip(&self.parts) {
            if let Some(radix) = part.radix {
                *digit = rest % radix;
                rest /= radix;
            }
        }
        let literal = |(digit, part): (&u64, &KeyPart)| part.ty.key(if part.radix.is_some() { *digit } else { rest });
        digits.iter().zip(&self.parts).map(literal).collect()
    }
}

/// Columns that hold the key of another table. Never a declared constraint: orphans are part of the game.
#[derive(Clone, Debug)]
pub struct Link {
    pub columns: Vec<String>,
    pub to: usize,
    pub nullable: bool,
}

#[derive(Clone, Debug)]
pub struct Table {
    pub name: String,
    pub columns: Vec<Column>,
    /// Empty for a table without a key.
    pub primary: Vec<String>,
    /// A second unique NOT NULL key, where a projection takes its id from one.
    pub unique: Option<String>,
    pub indexes: Vec<Vec<String>>,
    /// For a table without a key: only the size counts.
    pub keys: KeySpace,
    pub links: Vec<Link>,
    /// How many rows the table starts with.
    pub rows: u64,
}

impl Table {
    pub fn column(&self, name: &str) -> &Column {
        self.columns.iter().find(|c| c.name == name).unwrap_or_else(|| panic!("no column {name} in {}", self.name))
    }

    /// Columns that are neither key nor link: free to take any value of their type.
    pub fn payload(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|c| {
            !self.primary.contains(&c.name)
                && self.unique.as_ref() != Some(&c.name)
                && !self.links.iter().any(|l| l.columns.contains(&c.name))
        })
    }
}

/// What a node shows of its table.
#[derive(Clone, Debug, PartialEq)]
pub enum Select {
    All,
    Only(Vec<String>),
    Exclude(Vec<String>),
}

#[derive(Clone, Debug)]
pub struct Through {
    pub table: usize,
    /// column of the parent, column of the link table
    pub join: Vec<(String, String)>,
    /// column of the link table, column of the nested table
    pub to: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
pub enum Kind {
    Root,
    One { join: Vec<(String, String)> },
    Many { join: Vec<(String, String)> },
    Through(Through),
}

/// A SQL expression over columns of the node's row, written `{column}`, and the type its value has in a document.
#[derive(Clone, Debug)]
pub struct Expr(pub String);

impl Expr {
    pub fn render(&self, column: impl Fn(&str) -> String) -> String {
        let mut out = String::new();
        let mut rest = self.0.as_str();
        while let Some(open) = rest.find('{') {
            let close = rest[open..].find('}').expect("closed") + open;
            out.push_str(&rest[..open]);
            out.push_str(&column(&rest[open + 1..close]));
            rest = &rest[close + 1..];
        }
        out + rest
    }

    /// As it stands in a job file.
    pub fn bare(&self) -> String {
        self.render(str::to_owned)
    }
}

#[derive(Clone, Debug)]
pub struct Node {
    /// The field that holds it; for a root the collection.
    pub field: String,
    pub table: usize,
    pub kind: Kind,
    pub select: Select,
    pub rename: Vec<(String, String)>,
    pub fields: Vec<(String, Expr, FieldTy)>,
    pub filter: Option<Expr>,
    /// Empty: the primary key.
    pub order_by: Vec<String>,
    pub value: Option<String>,
    pub max_depth: Option<u32>,
    pub children: Vec<Node>,
}

/// What a field made of an expression becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldTy {
    Int64,
    Text,
}

impl Node {
    pub fn new(field: &str, table: usize, kind: Kind) -> Self {
        Node {
            field: field.to_owned(),
            table,
            kind,
            select: Select::All,
            rename: vec![],
            fields: vec![],
            filter: None,
            order_by: vec![],
            value: None,
            max_depth: None,
            children: vec![],
        }
    }

    /// Every node below and this one.
    pub fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Node, usize)) {
        fn go<'a>(node: &'a Node, depth: usize, visit: &mut impl FnMut(&'a Node, usize)) {
            visit(node, depth);
            for child in &node.children {
                go(child, depth + 1, visit);
            }
        }
        go(self, 1, visit);
    }

    /// The columns shown, in table order, as (column, field).
    pub fn shown<'a>(&'a self, table: &'a Table) -> Vec<(&'a str, &'a str)> {
        let kept = |c: &&Column| match &self.select {
            Select::All => true,
            Select::Only(names) => names.contains(&c.name),
            Select::Exclude(names) => !names.contains(&c.name),
        };
        let field =
            |name: &'a str| self.rename.iter().find(|(from, _)| from == name).map_or(name, |(_, to)| to.as_str());
        table.columns.iter().filter(kept).map(|c| (c.name.as_str(), field(&c.name))).collect()
    }
}

#[derive(Clone, Debug)]
pub struct Projection {
    /// Empty: the primary key.
    pub id: Vec<String>,
    pub root: Node,
}

impl Projection {
    pub fn id_columns<'a>(&'a self, tables: &'a [Table]) -> &'a [String] {
        if self.id.is_empty() { &tables[self.root.table].primary } else { &self.id }
    }
}

#[derive(Clone, Debug)]
pub struct Schema {
    pub seed: u64,
    /// What the seed made of it, in words, for the log.
    pub label: String,
    pub tables: Vec<Table>,
    pub projections: Vec<Projection>,
}
