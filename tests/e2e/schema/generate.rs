//! From a seed and a number to a schema: which tables there are and which documents are asked for.
//! Owns: the choices, and that twenty schemas in a row between them have every feature, whatever the seed.
//! Does not own: how tables are put together (`build`).

use super::build::{Builder, ChildKey, Join, KeyStyle, LOOKUP_STYLES, ROOT_STYLES};
use super::types::{Collation, Ty};
use super::{Column, Expr, FieldTy, Kind, Node, Projection, Schema, Select, Through};
use crate::rng::Rng;

/// Nested levels of schema `i`, the root included.
const LEVELS: [u32; 10] = [3, 2, 4, 1, 3, 4, 2, 3, 4, 2];
pub const ROOT_ROWS: u64 = 1000;

struct Features {
    many_to_many: bool,
    keyless_child: bool,
    same_table_twice: bool,
    self_reference: bool,
    id_from_unique: bool,
    second_projection: bool,
}

impl Features {
    /// Coprime strides: each feature meets every depth and every kind of root key sooner or later.
    fn of(index: u64, levels: u32) -> Self {
        let nested = levels > 1;
        Features {
            many_to_many: nested && index.is_multiple_of(3),
            keyless_child: nested && index % 3 == 1,
            same_table_twice: nested && index % 5 == 2,
            self_reference: index % 5 == 3 || index % 5 == 4,
            id_from_unique: index % 7 == 5,
            second_projection: nested && index % 4 == 1,
        }
    }
}

pub fn schema(seed: u64, index: u64) -> Schema {
    let rng = Rng::new(seed).fork(index + 1);
    let levels = LEVELS[(index % LEVELS.len() as u64) as usize];
    let style = ROOT_STYLES[(index % ROOT_STYLES.len() as u64) as usize];
    let features = Features::of(index, levels);
    let mut made = Generator { build: Builder { rng, tables: vec![] }, names: 0 };
    let rows = if levels == 1 { ROOT_ROWS * 2 } else { ROOT_ROWS };
    let table = made.build.table("root", style, rows);
    let mut root = Node::new("docs", table, Kind::Root);
    made.dress(&mut root);
    made.features(&mut root, &features);
    made.grow(&mut root, levels - 1);
    let mut projections = vec![Projection { id: vec![], root }];
    if features.id_from_unique {
        made.unique_column(table);
        projections[0].id = vec!["ext".into()];
    }
    if features.second_projection {
        let second = made.upside_down(&projections[0].root);
        projections.push(Projection { id: vec![], root: second });
    }
    let label = describe(&projections, style, &features);
    Schema { seed, label, tables: made.build.tables, projections }
}

struct Generator {
    build: Builder,
    names: u32,
}

impl Generator {
    fn name(&mut self, stem: &str) -> String {
        self.names += 1;
        format!("{stem}{}", self.names)
    }

    fn rng(&mut self) -> &mut Rng {
        &mut self.build.rng
    }

    /// What the node shows of its row.
    fn dress(&mut self, node: &mut Node) {
        let table = self.build.tables[node.table].clone();
        let payload: Vec<String> = table.payload().map(|c| c.name.clone()).filter(|c| c != "hidden").collect();
        let rng = &mut self.build.rng;
        node.select = match rng.below(10) {
            0..=3 => Select::All,
            4..=7 => Select::Exclude(vec!["hidden".into()]),
            _ => Select::Only(payload.iter().filter(|c| *c == "n" || rng.percent(60)).cloned().collect()),
        };
        let shows_all = !matches!(node.select, Select::Only(_));
        if shows_all && rng.percent(25) {
            node.rename.push((rng.pick(&payload).clone(), "renamed".into()));
        }
        if rng.percent(25) {
            node.fields.push(("twice".into(), Expr("CAST({n} * 2 AS SIGNED)".into()), FieldTy::Int64));
        }
        if rng.percent(20) {
            node.fields.push(("tagged".into(), Expr("CONCAT('#', {n}, '.')".into()), FieldTy::Text));
        }
        let filtered = if matches!(node.kind, Kind::Root) { 40 } else { 20 };
        if rng.percent(filtered) {
            let filters = ["{n} % 7 <> 3", "{n} > -2000000000", "{hidden} IS NULL OR {hidden} <> 'x'"];
            node.filter = Some(Expr((*rng.pick(&filters)).into()));
        }
        if matches!(node.kind, Kind::Many { .. } | Kind::Through(_)) && !table.primary.is_empty() && rng.percent(30) {
            node.order_by = vec!["n".into()];
            node.order_by.extend(table.primary.clone());
        }
    }

    /// The features that this schema must have, hung on its root.
    fn features(&mut self, root: &mut Node, features: &Features) {
        if features.self_reference {
            self.self_reference(root);
        }
        if features.same_table_twice {
            let lookup = self.lookup(60);
            for prefix in ["billing", "shipping"] {
                let child = self.one(root.table, lookup, prefix);
                root.children.push(child);
            }
        }
        if features.many_to_many {
            let child = self.many_to_many(root.table);
            root.children.push(child);
        }
        if features.keyless_child {
            let name = self.name("bare");
            let (table, join) = self.build.child(&name, root.table, ChildKey::None, ROOT_ROWS * 3 / 2);
            let shown: Vec<String> =
                self.build.tables[table].payload().map(|c| c.name.clone()).filter(|c| c != "hidden").collect();
            let mut node = Node::new(&name, table, Kind::Many { join });
            // Rows that are equal in all that is shown cannot be told apart, and need not be.
            node.order_by = shown.clone();
            node.select = Select::Only(shown);
            root.children.push(node);
        }
    }

    /// Children until the given number of levels is reached along at least one path.
    fn grow(&mut self, node: &mut Node, levels: u32) {
        if levels == 0 || self.build.tables[node.table].primary.is_empty() {
            return;
        }
        let mut child = if self.rng().percent(60) { self.many(node.table) } else { self.new_one(node.table) };
        self.grow(&mut child, levels - 1);
        node.children.push(child);
        if self.rng().percent(45) && self.build.tables.len() < 7 {
            let mut second = if self.rng().percent(40) { self.many(node.table) } else { self.new_one(node.table) };
            if levels > 1 && self.rng().percent(30) {
                self.grow(&mut second, 1);
            }
            node.children.push(second);
        }
    }

    fn lookup(&mut self, rows: u64) -> usize {
        let style = *self.build.rng.pick(&LOOKUP_STYLES);
        let name = self.name("look");
        self.build.table(&name, style, rows)
    }

    fn new_one(&mut self, parent: usize) -> Node {
        let rows = self.rng().between(20, 120);
        let lookup = self.lookup(rows);
        let prefix = self.name("fk");
        self.one(parent, lookup, &prefix)
    }

    fn one(&mut self, parent: usize, lookup: usize, prefix: &str) -> Node {
        let nullable = self.rng().percent(50);
        let join = self.build.link(parent, prefix, lookup, nullable);
        let mut node = Node::new(&format!("{prefix}_doc"), lookup, Kind::One { join });
        self.dress(&mut node);
        node
    }

    fn many(&mut self, parent: usize) -> Node {
        let key = if self.rng().percent(50) { ChildKey::Own } else { ChildKey::Extends };
        let name = self.name("many");
        let rows = (self.build.tables[parent].rows * 2).min(ROOT_ROWS * 3);
        let (table, join) = self.build.child(&name, parent, key, rows);
        let mut node = Node::new(&name, table, Kind::Many { join });
        self.dress(&mut node);
        node
    }

    fn many_to_many(&mut self, parent: usize) -> Node {
        let name = self.name("tag");
        let coll = *self.rng().pick(&[KeyStyle::Signed(2), KeyStyle::Text(Collation::AiCi), KeyStyle::VarBinary]);
        let tag = self.build.table(&name, coll, 40);
        let twice_allowed = self.rng().percent(40);
        let rows = self.build.tables[parent].rows * 3 / 2;
        let (link, join, to) = self.build.link_table(&format!("{name}_link"), parent, tag, rows, twice_allowed);
        let to = to.into_iter().map(|(theirs, own)| (own, theirs)).collect();
        let mut node = Node::new(&format!("{name}s"), tag, Kind::Through(Through { table: link, join, to }));
        self.dress(&mut node);
        if self.rng().percent(40) {
            let plain: Vec<String> = self.build.tables[tag].payload().map(|c| c.name.clone()).collect();
            node.value = Some(self.rng().pick(&plain).clone());
            node.select = Select::All;
            node.rename.clear();
            node.fields.clear();
        }
        node
    }

    /// A row that points at another row of its own table: the chain upwards, or the rows below.
    fn self_reference(&mut self, root: &mut Node) {
        let table = root.table;
        let upwards = self.build.link(table, "parent", table, true);
        let depth = self.rng().between(1, 3) as u32;
        let mut node = if self.rng().percent(60) {
            Node::new("parent", table, Kind::One { join: upwards })
        } else {
            let down: Join = upwards.into_iter().map(|(own, theirs)| (theirs, own)).collect();
            Node::new("below", table, Kind::Many { join: down })
        };
        node.select = Select::Only(vec!["n".into()]);
        node.max_depth = Some(depth);
        root.children.push(node);
    }

    fn unique_column(&mut self, table: usize) {
        let ty = Ty::Varchar { len: 40, coll: Collation::AiCi };
        let table = &mut self.build.tables[table];
        table.columns.push(Column { name: "ext".into(), ty, nullable: false });
        table.unique = Some("ext".into());
    }

    /// A second collection over the same tables, rooted at a nested table of the first.
    fn upside_down(&mut self, first: &Node) -> Node {
        let usable = |n: &&Node| match &n.kind {
            Kind::One { .. } => n.max_depth.is_none(),
            Kind::Many { .. } => n.max_depth.is_none() && !self.build.tables[n.table].primary.is_empty(),
            _ => false,
        };
        let Some(child) = first.children.iter().find(usable).cloned() else {
            return self.flat("second", first.table);
        };
        let mut root = self.flat("second", child.table);
        let turned = |join: &Join| join.iter().map(|(a, b)| (b.clone(), a.clone())).collect();
        let kind = match &child.kind {
            Kind::One { join } => Kind::Many { join: turned(join) },
            Kind::Many { join } => Kind::One { join: turned(join) },
            _ => unreachable!("chosen above"),
        };
        let mut nested = Node::new("was_root", first.table, kind);
        self.dress(&mut nested);
        root.children.push(nested);
        root
    }

    fn flat(&mut self, collection: &str, table: usize) -> Node {
        let mut root = Node::new(collection, table, Kind::Root);
        self.dress(&mut root);
        root
    }
}

fn describe(projections: &[Projection], style: KeyStyle, features: &Features) -> String {
    let mut depth = 0;
    let mut kinds = [0; 3];
    for projection in projections {
        projection.root.walk(&mut |node, level| {
            depth = depth.max(level);
            match node.kind {
                Kind::Root => {}
                Kind::One { .. } => kinds[0] += 1,
                Kind::Many { .. } => kinds[1] += 1,
                Kind::Through(_) => kinds[2] += 1,
            }
        });
    }
    let mut label =
        format!("{depth} levels, root key {style:?}, {} one, {} many, {} through", kinds[0], kinds[1], kinds[2]);
    for (on, what) in [
        (features.keyless_child, "child without key"),
        (features.same_table_twice, "same table twice"),
        (features.self_reference, "self-reference"),
        (features.id_from_unique, "id from a unique key"),
        (features.second_projection, "two projections"),
    ] {
        if on {
            label.push_str(", ");
            label.push_str(what);
        }
    }
    label
}
