//! Random tables and the statements that fill, change and thin them out.
//!
//! Owns: [`Schema`]. Does not own: which types there are (`types`), what is compared (`differential`).

use std::fmt::Write as _;

use crate::random::Random;
use crate::types::{On, TYPES, Type};

/// Most columns of a table, beside those that nobody compares.
const COLUMNS_MAX: u64 = 40;

/// One random table. Its column `id` numbers the rows.
pub struct Schema {
    pub create: String,
    /// Its compared columns in table order, with their names; `None` is `id`.
    pub columns: Vec<(String, Option<&'static Type>)>,
}

impl Schema {
    /// Any columns in any order, `id` somewhere among them, with a primary key of one column, of two, or without one.
    pub fn random(random: &mut Random, server: On, table: &str) -> Self {
        let mut here: Vec<&Type> = TYPES.iter().filter(|one| one.on == On::Both || one.on == server).collect();
        random.shuffle(&mut here);
        here.truncate(1 + random.below(COLUMNS_MAX) as usize);
        Self::of(random, server, table, &here)
    }

    /// Exactly these types.
    pub fn of(random: &mut Random, server: On, table: &str, types: &[&'static Type]) -> Self {
        let names = ["c", "C", "Ö ", "a`b", "select", "d.e"];
        let mut columns: Vec<(String, Option<&'static Type>)> =
            types.iter().enumerate().map(|(at, one)| (format!("{}{at}", random.pick(&names)), Some(*one))).collect();
        columns.insert(random.below(columns.len() as u64 + 1) as usize, ("id".into(), None));
        let mut create = format!("CREATE TABLE {table} (");
        for (at, (name, one)) in columns.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            let name = quoted(name);
            let Some(one) = one else {
                let _ = write!(create, "{comma}{name} INT NOT NULL");
                continue;
            };
            // What has no value for NOT NULL in every mode stays nullable; so does most of the rest.
            let bare = ["TIMESTAMP", "COMPRESSED", "JSON", "GEOMETRY", "VECTOR"];
            let rigid = random.once_in(4) && !bare.iter().any(|word| one.declared.contains(word));
            let _ = write!(create, "{comma}{name} {}{}", one.declared, if rigid { " NOT NULL" } else { "" });
            // Columns that nobody uses lie between.
            match random.below(12) {
                0 => _ = write!(create, ", v{at} INT GENERATED ALWAYS AS (id * 2) VIRTUAL"),
                1 => _ = write!(create, ", v{at} VARCHAR(20) AS (CONCAT('s', id)) STORED"),
                2 => _ = write!(create, ", v{at} INT INVISIBLE DEFAULT 7"),
                3 if server == On::MySql => _ = write!(create, ", v{at} JSON"),
                3 => _ = write!(create, ", v{at} UUID, w{at} INET6, x{at} INET4"),
                4 => _ = write!(create, ", v{at} POINT"),
                _ => {}
            }
        }
        create += match random.below(4) {
            0 => ", KEY (id))",
            1 => ", PRIMARY KEY (id, extra), extra INT NOT NULL DEFAULT 3)",
            _ => ", PRIMARY KEY (id))",
        };
        Self { create, columns }
    }

    /// Inserts rows with these ids.
    pub fn insert(&self, random: &mut Random, table: &str, ids: std::ops::Range<u64>) -> String {
        let names: Vec<String> = self.columns.iter().map(|(name, _)| quoted(name)).collect();
        let mut statement = format!("INSERT IGNORE INTO {table} ({}) VALUES ", names.join(", "));
        for id in ids.clone() {
            statement += if id == ids.start { "(" } else { ", (" };
            for (at, (_, one)) in self.columns.iter().enumerate() {
                let comma = if at == 0 { "" } else { ", " };
                let value = one.map_or_else(|| id.to_string(), |one| value(random, one));
                let _ = write!(statement, "{comma}{value}");
            }
            statement += ")";
        }
        statement
    }

    /// Changes some columns of all rows.
    pub fn update(&self, random: &mut Random, table: &str) -> String {
        let compared: Vec<&(String, Option<&Type>)> = self.columns.iter().filter(|(_, one)| one.is_some()).collect();
        let mut statement = format!("UPDATE IGNORE {table} SET ");
        for at in 0..1 + random.below(3) {
            let (name, one) = compared[random.below(compared.len() as u64) as usize];
            let value = one.map(|one| value(random, one)).unwrap_or_default();
            // A different one for each half of the rows.
            let comma = if at == 0 { "" } else { ", " };
            let other = one.map(|one| value_of(random, one)).unwrap_or_default();
            let name = quoted(name);
            let _ = write!(statement, "{comma}{name} = IF(id % 2 = 0, {value}, {other})");
        }
        statement
    }
}

fn value(random: &mut Random, one: &Type) -> String {
    if random.once_in(8) { "NULL".into() } else { value_of(random, one) }
}

fn value_of(random: &mut Random, one: &Type) -> String {
    if random.once_in(8) { random.pick(one.bounds).to_string() } else { (one.make)(random) }
}

pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}
