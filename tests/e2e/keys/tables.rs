//! The tables of one key type: roots keyed by it, children and lookups joined by it, alone and beside a number.
//! Owns: their DDL, the job, what happens to their rows, and the documents as SQL. Does not own: types (`types`).

use super::types::KeyType;
use crate::rng::Rng;

/// Numbers beside the key, and of children.
const NUMBERS: u64 = 3;
const CHILDREN: u64 = 12;

impl KeyType {
    pub fn ddl(&self) -> Vec<String> {
        let KeyType { name, sql, .. } = self;
        vec![
            format!("CREATE TABLE r_{name} (k {sql} NOT NULL PRIMARY KEY, v INT, l {sql} NULL, KEY (l))"),
            format!("CREATE TABLE c_{name} (id INT PRIMARY KEY, k {sql} NULL, KEY (k))"),
            format!("CREATE TABLE l_{name} (k {sql} NOT NULL PRIMARY KEY, v INT)"),
            format!("CREATE TABLE p_{name} (k {sql} NOT NULL, n INT NOT NULL, v INT, PRIMARY KEY (k, n))"),
            format!("CREATE TABLE q_{name} (id INT PRIMARY KEY, k {sql} NULL, n INT, KEY (k, n))"),
        ]
    }

    /// Two projections of a job.
    pub fn job(&self, db: &str) -> String {
        let name = self.name;
        format!(
            "  - collection: r_{name}\n    root: {db}.r_{name}\n    one:\n      look: {{table: {db}.l_{name}, join: {{l: k}}}}\n    \
             many:\n      kids: {{table: {db}.c_{name}, join: {{k: k}}}}\n  - collection: p_{name}\n    root: {db}.p_{name}\n    \
             many:\n      kids: {{table: {db}.q_{name}, join: {{k: k, n: n}}}}\n"
        )
    }

    /// `(collection, query)`: id and document as JSON.
    pub fn oracle(&self) -> [(String, String); 2] {
        let name = self.name;
        let (id, json) = (|x: &str| self.id(x), |x: &str| self.json(x));
        let number = |x: &str| format!("IFNULL(CONCAT('\"i32:', {x}, '\"'), 'null')");
        let look = format!(
            "IFNULL((SELECT CONCAT('{{\"k\":', {}, ',\"v\":', {}, '}}') FROM l_{name} l WHERE l.k = r.l), 'null')",
            json("l.k"),
            number("l.v")
        );
        let kids = |table: &str, more: &str, on: &str| {
            format!(
                "IFNULL((SELECT GROUP_CONCAT(CONCAT('{{\"id\":\"i32:', c.id, '\",\"k\":', {}, {more} '}}') ORDER BY c.id \
                 SEPARATOR ',') FROM {table}_{name} c WHERE {on}), '')",
                json("c.k")
            )
        };
        let roots = format!(
            "SELECT CONCAT('[', {}, ']'), CONCAT('{{\"k\":', {}, ',\"v\":', {}, ',\"l\":', {}, ',\"look\":', {look}, \
             ',\"kids\":[', {}, ']}}') FROM r_{name} r",
            id("r.k"),
            json("r.k"),
            number("r.v"),
            json("r.l"),
            kids("c", "", "c.k = r.k")
        );
        let number_of_kid = format!("',\"n\":', {},", number("c.n"));
        let pairs = format!(
            "SELECT CONCAT('[\"k\",', {}, ',\"n\",\"i32:', r.n, '\"]'), CONCAT('{{\"k\":', {}, ',\"n\":', {}, ',\"v\":', {}, \
             ',\"kids\":[', {}, ']}}') FROM p_{name} r",
            id("r.k"),
            json("r.k"),
            number("r.n"),
            number("r.v"),
            kids("q", &number_of_kid, "c.k = r.k AND c.n = r.n")
        );
        [(format!("r_{name}"), roots), (format!("p_{name}"), pairs)]
    }

    /// Statements of one transaction.
    pub fn change(&self, rng: &mut Rng) -> Vec<String> {
        (0..rng.between(1, 3)).map(|_| self.statement(rng)).collect()
    }

    /// Something that happens to a row. What breaks a unique key is passed over.
    fn statement(&self, rng: &mut Rng) -> String {
        let name = self.name;
        let mut value = || rng.pick(&self.values).clone();
        let (one, other) = (value(), value());
        let (number, n, id) = (rng.below(1000), rng.below(NUMBERS), rng.below(CHILDREN));
        let maybe = if rng.percent(10) { "NULL".to_owned() } else { one.clone() };
        match rng.below(14) {
            0 | 1 => format!("INSERT IGNORE INTO r_{name} VALUES ({one}, {number}, {other})"),
            2 | 3 => format!("UPDATE IGNORE r_{name} SET k = {other} WHERE k = {one}"),
            4 => format!("DELETE FROM r_{name} WHERE k = {one}"),
            5 => format!("UPDATE r_{name} SET l = {other}, v = {number} WHERE k = {one}"),
            6 => format!("REPLACE INTO c_{name} VALUES ({id}, {maybe})"),
            7 => format!("UPDATE c_{name} SET k = {other} WHERE k = {one}"),
            8 => format!("DELETE FROM c_{name} WHERE id = {id}"),
            9 => format!("INSERT IGNORE INTO l_{name} VALUES ({one}, {number})"),
            10 => match rng.below(3) {
                0 => format!("DELETE FROM l_{name} WHERE k = {one}"),
                1 => format!("UPDATE l_{name} SET v = {number} WHERE k = {one}"),
                _ => format!("UPDATE IGNORE l_{name} SET k = {other} WHERE k = {one}"),
            },
            11 => format!("INSERT IGNORE INTO p_{name} VALUES ({one}, {n}, {number})"),
            12 => match rng.below(3) {
                0 => format!("DELETE FROM p_{name} WHERE k = {one} AND n = {n}"),
                _ => format!("UPDATE IGNORE p_{name} SET k = {other}, v = {number} WHERE k = {one} AND n = {n}"),
            },
            _ => format!("REPLACE INTO q_{name} VALUES ({id}, {maybe}, {n})"),
        }
    }

    /// One root, child, lookup and pair of each value; of equal ones the first.
    pub fn fill(&self) -> Vec<String> {
        let name = self.name;
        let mut all = Vec::new();
        for (at, value) in self.values.iter().enumerate() {
            let next = &self.values[(at + 1) % self.values.len()];
            all.push(format!("INSERT IGNORE INTO r_{name} VALUES ({value}, {at}, {next})"));
            all.push(format!("INSERT INTO c_{name} VALUES ({at}, {value})"));
            all.push(format!("INSERT IGNORE INTO l_{name} VALUES ({value}, {at})"));
            all.push(format!("INSERT IGNORE INTO p_{name} VALUES ({value}, {}, {at})", at as u64 % NUMBERS));
            all.push(format!("INSERT INTO q_{name} VALUES ({at}, {value}, {})", at as u64 % NUMBERS));
        }
        all
    }

    /// Every row's key becomes the next value, one transaction each: many of them equal to the one before.
    pub fn respell(&self) -> Vec<String> {
        let name = self.name;
        let mut all = Vec::new();
        for pair in self.values.windows(2) {
            let (one, other) = (&pair[0], &pair[1]);
            for table in ["r", "c", "l", "p", "q"] {
                all.push(format!("UPDATE IGNORE {table}_{name} SET k = {other} WHERE k = {one}"));
            }
        }
        all
    }
}
