//! What the source's account may do, read roughly from SHOW GRANTS.
//!
//! Owns: which privileges a job needs, the GRANT that is missing. Does not own: exact privilege rules (the server's).

use crate::model::schema::TableName;

use super::super::job::JobFile;
use super::{Work, sql};

/// One line of SHOW GRANTS.
#[derive(Debug, PartialEq, Eq)]
struct Grant {
    /// Uppercase, without column lists.
    privileges: Vec<String>,
    /// Privileges that are limited to some columns.
    on_columns: Vec<String>,
    /// `None` for `*`.
    database: Option<String>,
    /// `None` for `*`.
    table: Option<String>,
}

/// Checks the account's privileges.
pub fn check(job: &JobFile, lines: &[String], work: &mut Work<'_>) {
    if lines.is_empty() {
        return;
    }
    let grants: Vec<Grant> = lines.iter().filter_map(|line| parse(line)).collect();
    let account = lines.iter().find_map(|line| account(line)).unwrap_or_else(|| "CURRENT_USER()".to_string());
    let mut missing = Vec::new();
    let global = |privilege: &str| grants.iter().any(|grant| grant.database.is_none() && grant.gives(privilege));
    let needed: Vec<&str> =
        ["REPLICATION SLAVE", "REPLICATION CLIENT"].into_iter().filter(|privilege| !global(privilege)).collect();
    if !needed.is_empty() {
        missing.push((needed.join(" and "), format!("GRANT {} ON *.* TO {account};", needed.join(", "))));
    }
    // Of tables that were not found too: without SELECT they cannot be seen.
    for table in work.named.keys() {
        let covers = |grant: &&Grant| grant.covers(table);
        if !grants.iter().filter(covers).any(|grant| grant.gives("SELECT")) {
            let partly = grants.iter().filter(covers).any(|grant| grant.on_columns.iter().any(|name| name == "SELECT"));
            let what = if partly { "SELECT on all columns of" } else { "SELECT on" };
            let statement = format!("GRANT SELECT ON {} TO {account};", sql::quoted_table(table));
            missing.push((format!("{what} {table}"), statement));
        }
    }
    // A role's privileges are not in these lines unless it was asked for; then the server itself refuses what is missing.
    let roles = lines.iter().any(|line| is_role(line));
    for (privilege, statement) in missing {
        let spot = job.source.url.spot;
        if roles {
            let what = format!("the source's account has no {privilege} of its own; a role may give it");
            work.report.warning("W-GRANT", spot, "source.url", what, Some(statement));
        } else {
            let what = format!("the source's account lacks {privilege}");
            work.report.error("E-GRANT", spot, "source.url", what, Some(statement));
        }
    }
}

impl Grant {
    fn gives(&self, privilege: &str) -> bool {
        // MariaDB prints another name for one of them since 10.5.
        let alias = if privilege == "REPLICATION CLIENT" { "BINLOG MONITOR" } else { privilege };
        let gives = |name: &String| name == privilege || name == alias || name == "ALL PRIVILEGES" || name == "ALL";
        self.privileges.iter().any(gives)
    }

    fn covers(&self, table: &TableName) -> bool {
        self.database.as_ref().is_none_or(|pattern| like(pattern, &table.database))
            && self.table.as_ref().is_none_or(|name| name.eq_ignore_ascii_case(&table.table))
    }
}

/// `GRANT <privileges> ON <object> TO <account> ...`
fn parse(line: &str) -> Option<Grant> {
    let rest = line.trim().strip_prefix("GRANT ")?;
    let (list, rest) = rest.split_once(" ON ")?;
    let (object, _) = rest.split_once(" TO ")?;
    if object.starts_with("PROCEDURE ") || object.starts_with("FUNCTION ") || list.trim() == "PROXY" {
        return None;
    }
    let mut grant = Grant { privileges: Vec::new(), on_columns: Vec::new(), database: None, table: None };
    for (name, limited) in privileges(list) {
        if limited { grant.on_columns.push(name) } else { grant.privileges.push(name) }
    }
    let (database, table) = split_object(object)?;
    grant.database = part(database);
    grant.table = part(table);
    Some(grant)
}

/// Privileges with commas between them; a column list in parentheses marks one as limited.
fn privileges(list: &str) -> Vec<(String, bool)> {
    let (mut parts, mut depth, mut name, mut limited) = (Vec::new(), 0_u32, String::new(), false);
    for c in list.chars().chain([',']) {
        match c {
            '(' => {
                depth += 1;
                limited = true;
            }
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push((name.trim().to_uppercase(), limited));
                name.clear();
                limited = false;
            }
            c if depth == 0 => name.push(c),
            _ => {}
        }
    }
    parts
}

/// The two parts of `` `db`.`table` ``; a `.` inside backticks counts as text.
fn split_object(object: &str) -> Option<(&str, &str)> {
    let mut inside = false;
    for (at, c) in object.char_indices() {
        match c {
            '`' => inside = !inside,
            '.' if !inside => return Some((&object[..at], &object[at + 1..])),
            _ => {}
        }
    }
    None
}

fn part(text: &str) -> Option<String> {
    let text = text.trim();
    (text != "*").then(|| text.trim_matches('`').replace("``", "`"))
}

/// `` TO `user`@`host` ``
fn account(line: &str) -> Option<String> {
    let (_, rest) = line.split_once(" TO ")?;
    let account = rest.split(" WITH ").next()?.split(" IDENTIFIED ").next()?.split(" REQUIRE ").next()?;
    Some(account.trim().replace('`', "'"))
}

/// ``GRANT `role`@`%` TO ...``
fn is_role(line: &str) -> bool {
    line.trim().strip_prefix("GRANT ").is_some_and(|rest| !rest.contains(" ON ") && rest.contains(" TO "))
}

/// A database pattern of GRANT: `%`, `_`, and `\` before either.
fn like(pattern: &str, text: &str) -> bool {
    let mut pattern_chars = pattern.chars();
    match pattern_chars.next() {
        None => text.is_empty(),
        Some('%') => {
            let rest = pattern_chars.as_str();
            text.char_indices().any(|(at, _)| like(rest, &text[at..])) || like(rest, "")
        }
        Some(first) => {
            let (wanted, any) = match first {
                '\\' => (pattern_chars.next().unwrap_or('\\'), false),
                '_' => ('_', true),
                c => (c, false),
            };
            let mut text_chars = text.chars();
            let fits = text_chars.next().is_some_and(|c| any || c.eq_ignore_ascii_case(&wanted));
            fits && like(pattern_chars.as_str(), text_chars.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_read() {
        let grant = parse("GRANT SELECT, INSERT (`a`, `b`), REPLICATION SLAVE ON `my\\_db`.* TO `u`@`%`").unwrap();
        assert_eq!(grant.privileges, ["SELECT", "REPLICATION SLAVE"]);
        assert_eq!(grant.on_columns, ["INSERT"]);
        assert_eq!(grant.database.as_deref(), Some("my\\_db"));
        assert!(grant.covers(&TableName::new("my_db", "t")));
        assert!(!grant.covers(&TableName::new("myxdb", "t")));
        assert!(parse("GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION").unwrap().gives("SELECT"));
        assert_eq!(parse("GRANT EXECUTE ON FUNCTION `a`.`b` TO `u`@`%`"), None);
        assert_eq!(parse("GRANT PROXY ON ``@`` TO `root`@`localhost`"), None);
        assert_eq!(parse("GRANT `reader`@`%` TO `u`@`%`"), None);
        assert!(is_role("GRANT `reader`@`%` TO `u`@`%`"));
        assert_eq!(account("GRANT USAGE ON *.* TO `u`@`10.%` WITH GRANT OPTION").as_deref(), Some("'u'@'10.%'"));
    }

    #[test]
    fn patterns_match_like_mysql() {
        for (pattern, text, fits) in [
            ("shop%", "shop", true),
            ("shop%", "shop_eu", true),
            ("sh_p", "shop", true),
            ("sh\\_p", "shop", false),
            ("%", "", true),
            ("a%c", "abbc", true),
            ("a%c", "abb", false),
        ] {
            assert_eq!(like(pattern, text), fits, "{pattern} {text}");
        }
    }
}
