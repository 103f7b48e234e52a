//! Expressions of `fields` and `where`: deterministic, over one row, and nothing else.
//!
//! Owns: which words may stand where, the used columns of an expression. Does not own: tokens (`scan`), lists of words
//! (`functions`), an expression's type (the source tells).

use std::collections::BTreeSet;

use crate::model::schema::Table;

use super::super::suggest::did_you_mean;
use super::functions::{
    ALLOWED, BEFORE_CHARSET, BEFORE_PARENTHESIS, KEYWORDS, NOT_DETERMINISTIC, NOT_DETERMINISTIC_BARE, OVER_ROWS, QUERY,
    is_in,
};
use super::scan::{Token, tokens};

/// Something in an expression that cannot be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The problem's code.
    pub code: &'static str,
    /// What is wrong.
    pub what: String,
    /// How to mend it.
    pub fix: Option<String>,
}

/// The table's columns that an expression uses, or all that is wrong with it.
pub fn columns_of(text: &str, table: &Table) -> Result<BTreeSet<usize>, Vec<Fault>> {
    let tokens = tokens(text).map_err(|what| vec![fault(what, None)])?;
    if tokens.is_empty() {
        return Err(vec![fault("the expression is empty".into(), None)]);
    }
    let mut scan = Scan { table, tokens: &tokens, used: BTreeSet::new(), query: None, faults: Vec::new() };
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Word(word) => scan.word(at, word),
            Token::Quoted(name) => scan.quoted(at, name),
            _ => {}
        }
    }
    if let Some(query) = scan.query {
        // What else is in it belongs to other tables.
        return Err(vec![query]);
    }
    if scan.faults.is_empty() { Ok(scan.used) } else { Err(scan.faults) }
}

fn fault(what: String, fix: Option<String>) -> Fault {
    Fault { code: "E-EXPRESSION", what, fix }
}

struct Scan<'a> {
    table: &'a Table,
    tokens: &'a [Token],
    used: BTreeSet<usize>,
    /// The first word of a query.
    query: Option<Fault>,
    faults: Vec<Fault>,
}

impl Scan<'_> {
    fn refuse(&mut self, what: String, fix: Option<String>) {
        let fault = fault(what, fix);
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    fn symbol(&self, at: Option<usize>, symbol: char) -> bool {
        at.and_then(|at| self.tokens.get(at)) == Some(&Token::Symbol(symbol))
    }

    /// Whether the name is a part of `table.column`; reported once, at its first part.
    fn qualified(&mut self, at: usize) -> bool {
        if self.symbol(at.checked_sub(1), '.') {
            return true;
        }
        if self.symbol(Some(at + 1), '.') {
            let fix = "write the column's name alone: an expression sees one row of its own table".to_string();
            self.refuse("a name with a `.` cannot be in an expression".into(), Some(fix));
            return true;
        }
        false
    }

    fn word(&mut self, at: usize, word: &str) {
        let upper = word.to_uppercase();
        let is = |list: &str| is_in(list, &upper);
        let call = self.symbol(Some(at + 1), '(');
        let column = self.table.column(word);
        self.used.extend(column);
        if self.qualified(at) {
            return;
        }
        if is(QUERY) {
            let fix = "an expression is deterministic over one row of its own table; nest others under `one` or `many`";
            let query = fault(format!("a query ({upper}) cannot be in an expression"), Some(fix.into()));
            self.query.get_or_insert(query);
        } else if is(NOT_DETERMINISTIC_BARE) || (call && is(NOT_DETERMINISTIC)) {
            let fix = "the same row has to give the same value whenever it is read; store the value in a column";
            self.refuse(format!("{upper} is not deterministic"), Some(fix.into()));
        } else if upper == "OVER" || (call && is(OVER_ROWS)) {
            let fix = "nest the other rows under `many`, and aggregate where you read";
            self.refuse(format!("{upper} looks at many rows; an expression sees one"), Some(fix.into()));
        } else if call {
            self.call(at, word, &upper);
        } else if column.is_none() && !is(KEYWORDS) && !self.names_charset(at) {
            self.unknown(word);
        }
    }

    fn call(&mut self, at: usize, word: &str, upper: &str) {
        if upper == "UNIX_TIMESTAMP" && self.symbol(Some(at + 2), ')') {
            let fix = "give it a column".to_string();
            self.refuse("UNIX_TIMESTAMP() without an argument is not deterministic".into(), Some(fix));
        } else if !is_in(ALLOWED, upper) && !is_in(BEFORE_PARENTHESIS, upper) {
            let what = format!("`{word}` is not a deterministic function that MySQL has built in");
            let fix = "stored and loadable functions can change without a trace; store the value in a generated column";
            self.refuse(what, Some(fix.into()));
        }
    }

    /// `_utf8mb4'...'`, `x'...'`, `COLLATE name`, `USING name`, `CHARACTER SET name`.
    fn names_charset(&self, at: usize) -> bool {
        let next = self.tokens.get(at + 1);
        match (&self.tokens[at], at.checked_sub(1).map(|at| &self.tokens[at])) {
            (_, Some(Token::Word(previous))) if is_in(BEFORE_CHARSET, &previous.to_uppercase()) => true,
            (Token::Word(word), _) if word.starts_with('_') => matches!(next, Some(Token::Text | Token::Number)),
            (Token::Word(word), _) => {
                next == Some(&Token::Text) && matches!(word.as_str(), "x" | "X" | "b" | "B" | "n" | "N")
            }
            _ => false,
        }
    }

    fn quoted(&mut self, at: usize, name: &str) {
        let column = self.table.column(name);
        self.used.extend(column);
        if self.qualified(at) {
            return;
        }
        if self.symbol(Some(at + 1), '(') {
            self.call(at, name, "");
        } else if column.is_none() {
            self.unknown(name);
        }
    }

    fn unknown(&mut self, name: &str) {
        let what = format!("table {} has no column `{name}`", self.table.name);
        let fix = did_you_mean(name, self.table.columns.iter().map(|column| column.name.as_str()));
        let fault = Fault { code: "E-SCHEMA", what, fix };
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }
}
