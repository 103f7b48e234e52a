//! What an error of Redis or its driver means: the reaction, and words without a secret or a value.
//!
//! Owns: the map from error codes to [`Kind`], and the fixes. Does not own: repeating anything; which errors are an
//! expected answer of one command (a missing stream, a full server while appending).

use redis::{ErrorKind, RedisError, ServerError, Value};

use crate::error::{Error, Kind, Result};

/// Explains errors of one server.
#[derive(Debug)]
pub(super) struct Failures {
    place: String,
    prefix: String,
    user: String,
}

impl Failures {
    /// `place` is `host:port`; `user` the account's name, for the statement that gives it a right.
    pub(super) fn of(place: String, prefix: String, user: String) -> Self {
        Self { place, prefix, user }
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn user(&self) -> &str {
        &self.user
    }

    /// No reply: the connection failed, or its answer made no sense.
    pub(super) fn of_driver(&self, what: &str, error: RedisError) -> Error {
        let text = format!("{what}: Redis at {} failed", self.place);
        match error.kind() {
            // The driver's words about settings can quote the address.
            ErrorKind::InvalidClientConfig => Error::config(format!("{what}: stream.url cannot be used")),
            ErrorKind::Io if error.is_timeout() => {
                Error::retry(format!("{what}: Redis at {} did not answer in time", self.place))
            }
            ErrorKind::Io => Error::retry(text).because(error),
            _ => Error::retry(text),
        }
    }

    /// The server's own error, about this key if it is known.
    pub(super) fn of_server(&self, what: &str, key: Option<&str>, error: &ServerError) -> Error {
        let (code, details) = cause(error);
        let (kind, words) = self.meaning(key, code, details);
        Error::new(kind, format!("{what}: Redis at {} {words}", self.place))
    }

    /// The replies, unless one of them is an error.
    pub(super) fn checked(&self, what: &str, key: Option<&str>, replies: Vec<Value>) -> Result<Vec<Value>> {
        replies
            .into_iter()
            .map(|reply| match reply {
                Value::ServerError(error) => Err(self.of_server(what, key, &error)),
                reply => Ok(reply),
            })
            .collect()
    }

    fn meaning(&self, key: Option<&str>, code: &str, details: &str) -> (Kind, String) {
        let Self { user, prefix, .. } = self;
        match code {
            "LOADING" => (Kind::Retry, "is still loading its data".to_string()),
            "READONLY" => (Kind::Retry, "is a replica and takes no writes; stream.url must name the master".to_string()),
            "MASTERDOWN" => (Kind::Retry, "is a replica without its master".to_string()),
            "TRYAGAIN" | "ASK" => (Kind::Retry, "is moving the keys to another node of its cluster".to_string()),
            "BUSY" => (Kind::Retry, "is busy with a script".to_string()),
            "NOREPLICAS" => (Kind::Retry, "has too few replicas to take writes (min-replicas-to-write)".to_string()),
            "MISCONF" => (Kind::Retry, "takes no writes because it cannot save its data to disk".to_string()),
            "OOM" => (Kind::Retry, "is full (maxmemory); it needs more memory, or readers that go on".to_string()),
            "NOAUTH" => (
                Kind::Config,
                "asks for a password; write redis://user:password@host:port into stream.url".to_string(),
            ),
            "WRONGPASS" => (Kind::Config, "refused the user name or the password of stream.url".to_string()),
            "NOPERM" => (
                Kind::Config,
                match denied(details) {
                    Denied::Command(name) => {
                        format!("refuses {name} to the user {user}; ACL SETUSER {user} +{}", acl_name(&name))
                    }
                    Denied::Key => format!(
                        "refuses a key to the user {user}; ACL SETUSER {user} ~{}",
                        key.map_or_else(|| format!("{prefix}.*"), str::to_string)
                    ),
                },
            ),
            "WRONGTYPE" => (
                Kind::Config,
                match key {
                    Some(key) => format!("holds something else under the key {key}; remove it, or choose another stream.prefix"),
                    None => format!("holds something else under a key of {prefix}.*; choose another stream.prefix"),
                },
            ),
            "MOVED" => (
                Kind::Config,
                "is a node of a cluster and does not hold these keys; stream.url must name the node that serves their slot"
                    .to_string(),
            ),
            "CROSSSLOT" => (
                Kind::Config,
                format!("is a cluster and holds these keys in several slots; write `prefix: \"{{{prefix}}}\"`"),
            ),
            "CLUSTERDOWN" if details.contains("not served") => {
                (Kind::Config, "is a cluster in which nobody serves these keys' slot; assign it".to_string())
            }
            "CLUSTERDOWN" => (Kind::Retry, "says that its cluster is down".to_string()),
            "ERR" if details.contains("max number of clients") => {
                (Kind::Retry, "has no room for another connection (maxclients)".to_string())
            }
            "ERR" if details.contains("unknown command") || details.contains("unknown subcommand") => {
                (Kind::Config, "lacks a command that is needed; Redis 7.0 or later is".to_string())
            }
            "ERR" if details.contains("DB index") || details.contains("SELECT is not allowed") => {
                (Kind::Config, "does not have the database of stream.url".to_string())
            }
            // The rest of an unforeseen error's words can hold what was sent.
            _ => (Kind::Halt, format!("answered with an unforeseen error ({code})")),
        }
    }
}

/// Code and words of an error. That of an EXEC which was itself refused (no right, no memory by now) stands inside the words:
/// "EXECABORT Transaction discarded because of: OOM command not allowed ...".
pub(super) fn cause(error: &ServerError) -> (&str, &str) {
    let details = error.details().unwrap_or_default();
    let inner = details.split_once("because of: ").filter(|_| error.code() == "EXECABORT");
    inner.map_or((error.code(), details), |(_, inner)| inner.split_once(' ').unwrap_or((inner, "")))
}

/// What an account may not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// A command, with its subcommand: `xgroup|create`.
    Command(String),
    /// A key.
    Key,
}

/// Read out of NOPERM's words: "User x has no permissions to run the 'xadd' command", "No permissions to access a key".
pub(super) fn denied(details: &str) -> Denied {
    let named = details.split_once("run the '").and_then(|(_, rest)| rest.split_once('\''));
    named.map_or(Denied::Key, |(name, _)| Denied::Command(name.to_lowercase()))
}

/// A command's name in `ACL SETUSER`.
fn acl_name(command: &str) -> String {
    command.replace(' ', "|")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures() -> Failures {
        Failures::of("redis:6379".into(), "cdc".into(), "rf".into())
    }

    #[test]
    fn kinds_follow_the_code() {
        let kind = |code, details| failures().meaning(Some("cdc.a.b"), code, details).0;
        for code in ["LOADING", "READONLY", "MASTERDOWN", "TRYAGAIN", "OOM", "MISCONF", "NOREPLICAS", "BUSY"] {
            assert_eq!(kind(code, ""), Kind::Retry, "{code}");
        }
        for code in ["NOAUTH", "WRONGPASS", "NOPERM", "WRONGTYPE", "MOVED", "CROSSSLOT"] {
            assert_eq!(kind(code, ""), Kind::Config, "{code}");
        }
        assert_eq!(kind("CLUSTERDOWN", "The cluster is down"), Kind::Retry);
        assert_eq!(kind("CLUSTERDOWN", "Hash slot not served"), Kind::Config);
        assert_eq!(kind("ERR", "max number of clients reached"), Kind::Retry);
        assert_eq!(kind("ERR", "unknown command 'XADD', with args beginning with: 'secret'"), Kind::Config);
        assert_eq!(kind("ERR", "something new"), Kind::Halt);
    }

    #[test]
    fn words_name_the_fix_and_no_value() {
        let words = |key, code, details| failures().meaning(key, code, details).1;
        let said = words(None, "NOPERM", "User rf has no permissions to run the 'xgroup|create' command");
        assert!(said.ends_with("ACL SETUSER rf +xgroup|create"), "{said}");
        let said = words(None, "NOPERM", "No permissions to access a key");
        assert!(said.ends_with("ACL SETUSER rf ~cdc.*"), "{said}");
        assert!(words(Some("cdc.a.b"), "WRONGTYPE", "").contains("the key cdc.a.b;"));
        for details in ["unknown command 'X', with args beginning with: 'secret'", "oh, 'secret'"] {
            assert!(!words(None, "ERR", details).contains("secret"));
        }
    }
}
