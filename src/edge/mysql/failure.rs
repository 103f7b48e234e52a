//! What an error of MySQL or its driver means for rowfold.
//!
//! Owns: the map from error codes to [`Kind`], and which of MySQL's messages may be shown. Does not own: retrying.
//! Codes: MySQL manual, "Server Error Message Reference".

use mysql_async::{Error as DriverError, ServerError};

use crate::error::{Error, Kind};

/// What was going on: the same code means different things before and after the job was found to be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// Connecting, reading definitions, `check`.
    Setup,
    /// Reading rows by a plan that was proved right.
    Read,
}

/// Explains errors of one server.
#[derive(Debug)]
pub(super) struct Failures {
    place: String,
}

/// MySQL's own words, where they hold no row values.
#[derive(Debug, thiserror::Error)]
#[error("error {code} ({state}): {message}")]
struct Told {
    code: u16,
    state: String,
    message: String,
}

impl Failures {
    /// `place` is `host:port`.
    pub(super) fn at(place: String) -> Self {
        Self { place }
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// The error of this crate for one of the driver. `what` says what was tried: `reading rows of shop.order`.
    pub(super) fn explain(&self, doing: Doing, what: &str, error: DriverError) -> Error {
        match error {
            DriverError::Server(error) => {
                let kind = kind_of(doing, error.code);
                let text = format!("{what} on {} failed", self.place);
                if shows_no_values(error.code) || doing == Doing::Setup {
                    let ServerError { code, state, message } = error;
                    Error::new(kind, text).because(Told { code, state, message })
                } else {
                    Error::new(kind, format!("{text} with error {} ({})", error.code, error.state))
                }
            }
            DriverError::Url(error) => Error::config("the source's url cannot be read").because(error),
            // Everything else is a broken or misunderstood connection. The driver's texts hold no row values.
            error => Error::retry(format!("{what} on {} failed", self.place)).because(error),
        }
    }
}

fn kind_of(doing: Doing, code: u16) -> Kind {
    match code {
        // Too many connections, out of resources, shutdown, network, killed, idle too long, host blocked for now, a
        // statement to prepare again, offline mode.
        1037
        | 1038
        | 1040
        | 1041
        | 1053
        | 1077
        | 1079
        | 1129
        | 1135
        | 1152
        | 1158..=1161
        | 1184
        | 1189
        | 1190
        | 1203
        | 1226
        | 1615
        | 1927
        | 2003
        | 2006
        | 2013
        | 2055
        | 3032
        | 3168
        | 3169
        | 4031 => Kind::Retry,
        // Lock wait timeout, deadlock, interrupted, too slow, storage engine trouble, temporary table full.
        1030 | 1114 | 1205 | 1213 | 1317 | 1969 | 3024 => Kind::Retry,
        // The definition changed inside a snapshot; an index that was named is gone.
        1176 | 1412 => Kind::Retry,
        // A user's expression fails for some row: out of range, division by zero, wrong value, invalid JSON, text that
        // has no form in another character set.
        1365 | 1366 | 1264 | 1292 | 1411 | 1426 | 1690 | 3140..=3158 | 3854 if doing == Doing::Read => Kind::Park,
        _ if doing == Doing::Setup => Kind::Config,
        _ => Kind::Halt,
    }
}

/// Codes whose messages name objects and limits only.
fn shows_no_values(code: u16) -> bool {
    matches!(
        code,
        1030 | 1037..=1053 | 1054 | 1077 | 1079 | 1114 | 1129 | 1135 | 1142 | 1143 | 1146 | 1158..=1161 | 1176 | 1184 | 1189
            | 1190 | 1203 | 1205 | 1213 | 1226 | 1227 | 1236 | 1317 | 1412 | 1615 | 1927 | 2003 | 2006 | 2013 | 3024 | 3032 | 3168
            | 3169 | 4031
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(code: u16) -> DriverError {
        DriverError::Server(ServerError { code, state: "HY000".into(), message: "value 'secret'".into() })
    }

    #[test]
    fn kinds_follow_the_code_and_the_occasion() {
        let failures = Failures::at("db:3306".into());
        let kind = |doing, code| failures.explain(doing, "reading", server(code)).kind();
        assert_eq!(kind(Doing::Setup, 1045), Kind::Config);
        assert_eq!(kind(Doing::Read, 1054), Kind::Halt);
        assert_eq!(kind(Doing::Read, 1146), Kind::Halt);
        assert_eq!(kind(Doing::Read, 1412), Kind::Retry);
        assert_eq!(kind(Doing::Read, 1690), Kind::Park);
        for code in [1040, 1129, 1203, 1615, 1927, 2006, 2013, 3032] {
            assert_eq!(kind(Doing::Setup, code), Kind::Retry, "{code}");
            assert_eq!(kind(Doing::Read, code), Kind::Retry, "{code}");
        }
    }

    #[test]
    fn row_values_stay_out_of_messages() {
        let failures = Failures::at("db:3306".into());
        let chain = failures.explain(Doing::Read, "reading rows of a.b", server(1292)).chain();
        assert_eq!(chain, "reading rows of a.b on db:3306 failed with error 1292 (HY000)");
    }
}
