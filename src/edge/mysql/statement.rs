//! Statements in the binlog: which of them change a table without row events, and the XA commands.
//!
//! Owns: reading as much of a statement as tells its kind and the tables it names. Does not own: what follows from it
//! (`transaction`). Not a parser: only the heads of statements are understood, the way MySQL writes them to the log.

mod alter;

pub(super) use self::alter::Altered;
use crate::model::change::Unlogged;
use crate::model::plan::TableUse;
use crate::model::schema::TableName;

/// A branch of an XA transaction: format, global part, branch part.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Xid {
    pub(super) format: i64,
    pub(super) global: Vec<u8>,
    pub(super) branch: Vec<u8>,
}

/// What a statement in the binlog is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Statement {
    /// BEGIN.
    Begin,
    /// COMMIT.
    Commit,
    /// ROLLBACK: what came before was on tables that cannot roll back, and stays.
    Rollback,
    /// XA START.
    XaStart,
    /// XA COMMIT of a prepared branch.
    XaCommit(Xid),
    /// XA ROLLBACK of a prepared branch.
    XaRollback(Xid),
    /// Something inside a transaction that changes nothing: SAVEPOINT, XA END.
    Aside,
    /// A statement that creates a table and is followed by its rows (CREATE TABLE ... SELECT, since MySQL 8.0.21).
    CreateWithRows(Vec<Effect>),
    /// Anything else, with what it does to tables; often nothing.
    Other(Vec<Effect>),
}

/// A statement's effect on a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Effect {
    /// The table, or every table of the database.
    pub(super) on: Target,
    /// What happens to it.
    pub(super) what: Unlogged,
    /// Columns that it changes.
    pub(super) altered: Altered,
}

impl Effect {
    fn on(table: TableName, what: Unlogged) -> Self {
        Self { on: Target::Table(table), what, altered: Altered::default() }
    }
}

/// What a statement names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// One table.
    Table(TableName),
    /// All tables of a database.
    Database(String),
}

impl Target {
    /// Whether a table is meant. `fold` is for servers that ignore case in table names.
    pub(super) fn is(&self, table: &TableName, fold: bool) -> bool {
        let same = |left: &str, right: &str| left == right || fold && left.to_lowercase() == right.to_lowercase();
        match self {
            Self::Table(name) => same(&name.database, &table.database) && same(&name.table, &table.table),
            Self::Database(database) => same(database, &table.database),
        }
    }
}

/// What statements' effects are to these tables (by their index), each once.
pub(super) fn touched(effects: &[Effect], tables: &[TableUse], fold: bool) -> Vec<(usize, Unlogged)> {
    let mut said: Vec<(usize, Unlogged)> = Vec::new();
    for effect in effects {
        for (at, table) in tables.iter().enumerate().filter(|(_, table)| effect.on.is(&table.name, fold)) {
            let used = effect.what == Unlogged::Definition && effect.altered.touches(table);
            let what = if used { Unlogged::UsedColumns } else { effect.what };
            if !said.contains(&(at, what)) {
                said.push((at, what));
            }
        }
    }
    said
}

/// One token. Comments are gone; what stands in a version comment (`/*!80000 ... */`, MariaDB's `/*M!100000 ... */`) counts.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// A word, unquoted.
    Word(String),
    /// A name in backticks, or in double quotes, which is a name under ANSI_QUOTES.
    Name(String),
    /// A literal in single quotes.
    Literal(String),
    /// One other character.
    Sign(char),
}

/// Reads a statement. `database` is the default one, `text` what stands in the event.
pub(super) fn read(text: &str, database: &str) -> Statement {
    let tokens = tokens(text);
    let tokens = Tokens { list: settings_apart(&tokens), database };
    match tokens.word(0).as_deref() {
        Some("BEGIN") => Statement::Begin,
        Some("COMMIT") => Statement::Commit,
        Some("ROLLBACK") if tokens.list.len() == 1 => Statement::Rollback,
        Some("ROLLBACK" | "SAVEPOINT" | "RELEASE") => Statement::Aside,
        Some("XA") => tokens.xa(),
        Some("CREATE") if tokens.ends_with(&["START", "TRANSACTION"]) => Statement::CreateWithRows(tokens.effects()),
        _ => Statement::Other(tokens.effects()),
    }
}

/// What follows `SET STATEMENT variable = value, ... FOR`, with which MariaDB and Percona Server set variables for one
/// statement.
fn settings_apart(tokens: &[Token]) -> &[Token] {
    let is = |token: Option<&Token>, word: &str| matches!(token, Some(Token::Word(found)) if found.eq_ignore_ascii_case(word));
    if !is(tokens.first(), "SET") || !is(tokens.get(1), "STATEMENT") {
        return tokens;
    }
    let behind = tokens.iter().position(|token| is(Some(token), "FOR")).map_or(tokens.len(), |at| at + 1);
    &tokens[behind..]
}

struct Tokens<'a> {
    list: &'a [Token],
    database: &'a str,
}

impl Tokens<'_> {
    /// The word at a position, in upper case.
    fn word(&self, at: usize) -> Option<String> {
        match self.list.get(at)? {
            Token::Word(word) => Some(word.to_uppercase()),
            _ => None,
        }
    }

    fn is(&self, at: usize, word: &str) -> bool {
        matches!(self.list.get(at), Some(Token::Word(found)) if found.eq_ignore_ascii_case(word))
    }

    fn ends_with(&self, words: &[&str]) -> bool {
        let start = self.list.len().checked_sub(words.len());
        start.is_some_and(|start| words.iter().enumerate().all(|(at, word)| self.is(start + at, word)))
    }

    /// The first position from `at` on that holds one of the words.
    fn find(&self, at: usize, words: &[&str]) -> Option<usize> {
        (at..self.list.len()).find(|at| words.iter().any(|word| self.is(*at, word)))
    }

    /// The position after any of the words, repeated.
    fn skip(&self, mut at: usize, words: &[&str]) -> usize {
        while words.iter().any(|word| self.is(at, word)) {
            at += 1;
        }
        at
    }

    fn name(&self, at: usize) -> Option<&str> {
        match self.list.get(at)? {
            Token::Word(name) | Token::Name(name) => Some(name),
            _ => None,
        }
    }

    /// A table's name at a position, and the position behind it.
    fn table(&self, at: usize) -> Option<(TableName, usize)> {
        let first = self.name(at)?;
        if self.list.get(at + 1) == Some(&Token::Sign('.')) {
            return Some((TableName::new(first, self.name(at + 2)?), at + 3));
        }
        Some((TableName::new(self.database, first), at + 1))
    }

    /// The position behind MariaDB's `WAIT seconds` or `NOWAIT`, if one stands there.
    fn wait(&self, at: usize) -> usize {
        if self.is(at, "WAIT") { at + 2 } else { self.skip(at, &["NOWAIT"]) }
    }

    /// Everything in a stretch of tokens that can be a table's name.
    fn names_in(&self, range: std::ops::Range<usize>) -> Vec<TableName> {
        let starts = range.filter(|at| *at == 0 || self.list.get(at - 1) != Some(&Token::Sign('.')));
        starts.filter_map(|at| Some(self.table(at)?.0)).collect()
    }

    fn xa(&self) -> Statement {
        let xid = || {
            let mut literals = (2..self.list.len()).filter_map(|at| match (&self.list[at], self.list.get(at + 1)) {
                (Token::Word(x), Some(Token::Literal(hex))) if x.eq_ignore_ascii_case("x") => bytes(hex),
                _ => None,
            });
            let (global, branch) = (literals.next()?, literals.next()?);
            let format = self.list.iter().rev().find_map(|token| match token {
                Token::Word(number) => number.parse().ok(),
                _ => None,
            })?;
            Some(Xid { format, global, branch })
        };
        match (self.word(1).as_deref(), xid()) {
            (Some("START" | "BEGIN"), _) => Statement::XaStart,
            (Some("COMMIT"), Some(xid)) => Statement::XaCommit(xid),
            (Some("ROLLBACK"), Some(xid)) => Statement::XaRollback(xid),
            _ => Statement::Aside,
        }
    }

    fn effects(&self) -> Vec<Effect> {
        let on = |tables: Vec<TableName>, what| -> Vec<Effect> {
            tables.into_iter().map(|table| Effect::on(table, what)).collect()
        };
        let one = |at: usize, what| on(self.table(at).map(|found| found.0).into_iter().collect(), what);
        let end = self.list.len();
        match self.word(0).as_deref() {
            Some("TRUNCATE") => one(self.skip(1, &["TABLE"]), Unlogged::Rows),
            Some("DROP") => match self.word(1).as_deref() {
                Some("TABLE" | "TABLES") => on(self.names_in(self.skip(2, &["IF", "EXISTS"])..end), Unlogged::Rows),
                Some("DATABASE" | "SCHEMA") => {
                    let database = self.name(self.skip(2, &["IF", "EXISTS"]));
                    let on = |name: &str| Target::Database(name.into());
                    let drop = |name| Effect { on: on(name), what: Unlogged::Rows, altered: Altered::default() };
                    database.map(drop).into_iter().collect()
                }
                Some("INDEX") => self.find(2, &["ON"]).map_or(Vec::new(), |at| one(at + 1, Unlogged::Definition)),
                _ => Vec::new(),
            },
            Some("RENAME") if self.is(1, "TABLE") || self.is(1, "TABLES") => on(self.renames(), Unlogged::Rows),
            Some("ALTER") => self.alter(),
            Some("CREATE") => {
                let at = self.skip(1, &["OR", "REPLACE", "UNIQUE", "FULLTEXT", "SPATIAL", "ONLINE", "OFFLINE"]);
                match self.word(at).as_deref() {
                    Some("TABLE") => {
                        // MariaDB's OR REPLACE drops the table that was there.
                        let what = if self.is(1, "OR") { Unlogged::Rows } else { Unlogged::Definition };
                        one(self.skip(at + 1, &["IF", "NOT", "EXISTS"]), what)
                    }
                    Some("INDEX") => self.find(at, &["ON"]).map_or(Vec::new(), |at| one(at + 1, Unlogged::Definition)),
                    _ => Vec::new(),
                }
            }
            Some("INSERT" | "REPLACE") => {
                let options = ["LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE", "INTO"];
                one(self.skip(1, &options), Unlogged::Statement)
            }
            Some("LOAD") => self.find(1, &["TABLE"]).map_or(Vec::new(), |at| one(at + 1, Unlogged::Statement)),
            // Several tables can stand before SET and before WHERE; a name too many only makes the engine careful.
            Some("UPDATE") => {
                let end = self.find(1, &["SET"]).unwrap_or(end);
                on(self.names_in(1..end), Unlogged::Statement)
            }
            Some("DELETE") => {
                let end = self.find(1, &["WHERE"]).unwrap_or(end);
                on(self.names_in(1..end), Unlogged::Statement)
            }
            Some("WITH" | "CALL") => on(self.names_in(1..end), Unlogged::Statement),
            _ => Vec::new(),
        }
    }

    /// RENAME TABLE: a name that is given to another table holds that one's rows now, and a name that is given up holds
    /// none, or those of a table that is created later.
    fn renames(&self) -> Vec<TableName> {
        let mut found = Vec::new();
        let mut at = self.skip(2, &["IF", "EXISTS"]);
        while let Some((from, next)) = self.table(at) {
            found.push(from);
            let Some((to, next)) = self.table(self.skip(self.wait(next), &["TO"])) else { break };
            found.push(to);
            at = next + 1;
        }
        found
    }
}

/// The bytes in a hexadecimal literal.
fn bytes(hex: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pair = |pair: &[u8; 2]| Some((digit(pair[0])? * 16 + digit(pair[1])?) as u8);
    if rest.is_empty() { pairs.iter().map(pair).collect() } else { None }
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii();
        if let Some(comment) = rest.strip_prefix("/*!").or_else(|| rest.strip_prefix("/*M!")) {
            // The version number, if any, is not a token of the statement.
            rest = comment.trim_start_matches(|c: char| c.is_ascii_digit());
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/").map_or("", |(_, rest)| rest);
        } else if let Some(end) = rest.strip_prefix("*/") {
            rest = end;
        } else if first == '#' || rest.starts_with("-- ") || rest.starts_with("--\n") || rest.starts_with("--\t") {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
        } else if matches!(first, '`' | '"' | '\'') {
            let (content, length) = quoted(rest, first);
            tokens.push(if first == '\'' { Token::Literal(content) } else { Token::Name(content) });
            rest = &rest[length..];
        } else if is_word(first) {
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            tokens.push(Token::Word(rest[..end].to_string()));
            rest = &rest[end..];
        } else {
            if !first.is_whitespace() {
                tokens.push(Token::Sign(first));
            }
            rest = &rest[first.len_utf8()..];
        }
    }
    tokens
}

/// The content of a quoted stretch at the start of `text`, and the length of it all. A doubled quote stands for one; a
/// backslash takes the next character, except in backticks.
fn quoted(text: &str, quote: char) -> (String, usize) {
    let mut content = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == quote {
            if chars.peek().is_none_or(|(_, next)| *next != quote) {
                return (content, at + quote.len_utf8());
            }
            chars.next();
        } else if c == '\\' && quote != '`' {
            content.extend(chars.next().map(|(_, next)| next));
            continue;
        }
        content.push(c);
    }
    (content, text.len())
}

#[cfg(test)]
#[path = "statement_tests.rs"]
mod tests;
