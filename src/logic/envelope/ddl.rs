//! What a statement that a Debezium Server reports does to the tables of a job.
//!
//! Owns: as much reading of DDL as that takes. Does not own: the entries it comes in (`foreign`), the statements in the
//! binlog itself (`edge::mysql::statement`). In doubt it says that more happened: that only makes the engine careful.

use crate::model::change::Unlogged;
use crate::model::plan::TableUse;
use crate::model::schema::ColumnKind;

/// Words behind ADD, DROP or ALTER that say that something else than a column follows. MySQL reserves them all.
const NO_COLUMN: [&str; 10] =
    ["INDEX", "KEY", "FULLTEXT", "SPATIAL", "PRIMARY", "UNIQUE", "CONSTRAINT", "FOREIGN", "CHECK", "PARTITION"];

/// One token: comments are gone, except what stands in a version comment.
#[derive(Debug, PartialEq, Eq)]
enum Token {
    /// A word, in capitals, and as it was written.
    Word(String, String),
    /// A quoted name or a literal.
    Quoted(String),
    Sign(char),
}

/// A statement.
pub(super) struct Statement {
    tokens: Vec<Token>,
}

impl Statement {
    /// Takes a statement apart.
    pub(super) fn read(text: &str) -> Self {
        Self { tokens: tokens(text) }
    }

    fn is(&self, at: usize, words: &[&str]) -> bool {
        matches!(self.tokens.get(at), Some(Token::Word(word, _)) if words.contains(&word.as_str()))
    }

    fn name(&self, at: usize) -> Option<&str> {
        match self.tokens.get(at)? {
            Token::Word(_, name) | Token::Quoted(name) => Some(name),
            Token::Sign(_) => None,
        }
    }

    /// What it does to a table by naming it, or its database. `default` is the database of names without one.
    pub(super) fn effect_on(&self, table: &TableUse, default: &str) -> Option<Unlogged> {
        let same =
            |name: Option<&str>, other: &str| name.is_some_and(|name| name.to_lowercase() == other.to_lowercase());
        if self.is(0, &["DROP", "ALTER"]) && self.is(1, &["DATABASE", "SCHEMA"]) {
            let named = (2..self.tokens.len()).any(|at| same(self.name(at), &table.name.database));
            return (named && self.is(0, &["DROP"])).then_some(Unlogged::Rows);
        }
        let dot = |at: usize| self.tokens.get(at) == Some(&Token::Sign('.'));
        let named = |at: usize| {
            let database = if dot(at - 1) { at.checked_sub(2).and_then(|at| self.name(at)) } else { Some(default) };
            same(self.name(at), &table.name.table) && same(database, &table.name.database) && !dot(at + 1)
        };
        let drops = self.is(0, &["DROP"]) && self.is(1, &["TABLE", "TABLES"]);
        if drops || self.is(0, &["TRUNCATE", "RENAME"]) || self.moves_rows() {
            return (1..self.tokens.len()).any(named).then_some(Unlogged::Rows);
        }
        let target = self.target()?;
        named(if dot(target + 1) { target + 2 } else { target }).then(|| self.altered(table))
    }

    /// Where the name of the table begins that is altered or created, or gets or loses an index.
    fn target(&self) -> Option<usize> {
        let head = (1..self.tokens.len().min(6)).find(|at| self.is(*at, &["TABLE", "INDEX"]))?;
        let from =
            if self.is(head, &["INDEX"]) { (head..self.tokens.len()).find(|at| self.is(*at, &["ON"]))? } else { head };
        (from + 1..self.tokens.len()).find(|at| !self.is(*at, &["IF", "NOT", "EXISTS"]))
    }

    /// ALTER TABLE that takes rows away, or puts others there.
    fn moves_rows(&self) -> bool {
        self.is(0, &["ALTER"])
            && (1..self.tokens.len()).any(|at| {
                let next = at + 1;
                self.is(at, &["DROP", "TRUNCATE", "COALESCE", "EXCHANGE"]) && self.is(next, &["PARTITION"])
                    || self.is(at, &["DISCARD", "IMPORT"]) && self.is(next, &["TABLESPACE", "PARTITION"])
                    || self.is(at, &["RENAME"]) && !self.is(next, &["COLUMN", "INDEX", "KEY"])
            })
    }

    /// What a statement other than those that move rows does to the table that it alters or creates.
    pub(super) fn altered(&self, table: &TableUse) -> Unlogged {
        if self.moves_rows() {
            return Unlogged::Rows;
        }
        let used = |name: Option<&str>| {
            name.is_some_and(|name| table.columns.iter().any(|used| used.name.to_lowercase() == name.to_lowercase()))
        };
        let texts = || table.columns.iter().any(|used| used.kind == ColumnKind::Text);
        let touches = (1..self.tokens.len()).any(|at| {
            let skip = |mut at: usize, words: &[&str]| {
                while self.is(at, words) {
                    at += 1;
                }
                at
            };
            let column = skip(at + 1, &["COLUMN", "IF", "NOT", "EXISTS"]);
            if self.is(at, &["ADD", "DROP", "ALTER"]) && !self.is(at + 1, &NO_COLUMN) {
                // Several new columns stand in brackets: every name in there is taken for one.
                let list = self.tokens.get(column) == Some(&Token::Sign('('));
                return if list {
                    (column..self.tokens.len()).any(|at| used(self.name(at)))
                } else {
                    used(self.name(column))
                };
            }
            self.is(at, &["MODIFY"]) && used(self.name(column))
                || self.is(at, &["CHANGE"]) && (used(self.name(column)) || used(self.name(column + 1)))
                || self.is(at, &["RENAME"]) && (used(self.name(column)) || used(self.name(skip(column + 1, &["TO"]))))
                || self.is(at, &["CONVERT"]) && texts()
        });
        if self.is(0, &["ALTER"]) && touches { Unlogged::UsedColumns } else { Unlogged::Definition }
    }
}

fn tokens(text: &str) -> Vec<Token> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii();
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(comment) = rest.strip_prefix("/*!") {
            rest = comment.trim_start_matches(|c: char| c.is_ascii_digit());
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/").map_or("", |(_, rest)| rest);
        } else if let Some(end) = rest.strip_prefix("*/") {
            rest = end;
        } else if first == '#' || rest.starts_with("-- ") || rest.starts_with("--\n") || rest.starts_with("--\t") {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
        } else if matches!(first, '`' | '"' | '\'') {
            let (content, length) = quoted(rest, first);
            tokens.push(Token::Quoted(content));
            rest = &rest[length..];
        } else if is_word(first) {
            let word = &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())];
            tokens.push(Token::Word(word.to_uppercase(), word.to_string()));
            rest = &rest[word.len()..];
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
            if chars.next_if(|(_, next)| *next == quote).is_none() {
                return (content, at + quote.len_utf8());
            }
        } else if c == '\\' && quote != '`' {
            content.extend(chars.next().map(|(_, next)| next));
            continue;
        }
        content.push(c);
    }
    (content, text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::plan::UsedColumn;
    use crate::model::schema::TableName;

    fn table() -> TableUse {
        let column = |name: &str, kind| UsedColumn {
            name: name.into(),
            kind,
            declared: String::new(),
            collation: None,
            routes: false,
        };
        let columns = vec![column("title", ColumnKind::Text), column("Price", ColumnKind::Year)];
        TableUse { name: TableName::new("shop", "product"), columns }
    }

    #[test]
    fn statements_and_what_they_do() {
        let effect = |text: &str| Statement::read(text).effect_on(&table(), "shop");
        for text in [
            "truncate table product",
            "TRUNCATE `shop`.`product`",
            "drop table if exists a, product",
            "rename table x to y, old to product",
            "DROP DATABASE IF EXISTS `shop`",
            "alter table product rename to p2",
            "alter table a exchange partition p with table product",
            "alter table product drop partition p0",
            "alter table a rename product",
        ] {
            assert_eq!(effect(text), Some(Unlogged::Rows), "{text}");
        }
        for text in [
            "alter table product drop column title",
            "ALTER TABLE `shop`.`product` ADD INDEX (title), MODIFY price int",
            "alter table product change x title text, algorithm=inplace",
            "alter table product rename column a to `Title`",
            "alter table product add (a int, price int)",
            "alter table product /*!80000 convert to character set latin1 */",
        ] {
            assert_eq!(effect(text), Some(Unlogged::UsedColumns), "{text}");
        }
        for text in [
            "alter table product add column weight_g int null after title, algorithm=instant",
            "ALTER TABLE shop.product ADD KEY (title), add unique price (price)",
            "create unique index product on product (title)",
            "drop index i on product",
            "create table if not exists product (title text)",
            "alter table product comment 'drop title, rename to x'",
        ] {
            assert_eq!(effect(text), Some(Unlogged::Definition), "{text}");
        }
        for text in [
            "",
            "truncate table other.product",
            "drop table products",
            "drop database other",
            "alter database shop default charset utf8mb4",
            "alter table a add foreign key (x) references product (id)",
            "create table a (product int)",
            "create table product.a (product int)",
            "create index product on a (product)",
            "drop table product.x",
        ] {
            assert_eq!(effect(text), None, "{text}");
        }
    }
}
