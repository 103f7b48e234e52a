//! What a failure of the target means: the reaction, and words without a secret or a value of a document.
//!
//! Owns: the server's error codes as far as they matter here. Does not own: running commands (`command`), deciding what
//! becomes of a single write (`writer`). Codes: MongoDB's `src/mongo/base/error_codes.yml`; FerretDB over DocumentDB
//! uses the same ones and large numbers of its own.

use bson::Document;
use mongodb::error::ErrorKind;

use crate::error::{Error, Kind};

pub(super) const DUPLICATE_KEY: i32 = 11000;
pub(super) const UNAUTHORIZED: i32 = 13;
pub(super) const NAMESPACE_NOT_FOUND: i32 = 26;
pub(super) const NAMESPACE_EXISTS: i32 = 48;
pub(super) const INDEX_CONFLICTS: [i32; 3] = [85, 86, 68];

/// Passing states: elections, networks, timeouts, conflicts, a full disk.
const PASSING: [i32; 36] = [
    1, 6, 7, 8, 24, 43, 46, 50, 63, 64, 89, 91, 100, 112, 117, 125, 133, 134, 150, 175, 189, 202, 237, 262, 290, 391,
    9001, 10058, 10107, 11600, 11601, 11602, 13388, 13435, 13436, 14031,
];

/// Somebody has to change a setting, a privilege or a name.
const SETTINGS: [i32; 9] = [13, 18, 20, 59, 73, 79, 166, 303, 8000];

/// Said of a whole command, these can be one document's fault: the others are sent without it.
const DOCUMENTS: [i32; 8] = [2, 9, 14, 15, 22, 121, 10334, 17419];

/// The reaction to an error code.
pub(super) fn kind_of(code: i32) -> Kind {
    if PASSING.contains(&code) {
        Kind::Retry
    } else if SETTINGS.contains(&code) {
        Kind::Config
    } else if DOCUMENTS.contains(&code) {
        Kind::Park
    } else {
        Kind::Halt
    }
}

/// A failed command: the server's code if it answered, and the error to hand on.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) code: Option<i32>,
    /// The server's own words. They can hold values: for decisions only, never for a message.
    pub(super) words: String,
    pub(super) error: Error,
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

impl Failure {
    pub(super) fn new(error: Error) -> Self {
        Self { code: None, words: String::new(), error }
    }

    /// `what` names the attempt: "inserting into `orders`".
    pub(super) fn of_driver(what: &str, error: &mongodb::error::Error) -> Self {
        let labelled = ["RetryableWriteError", "TransientTransactionError", "SystemOverloadedError"]
            .iter()
            .any(|label| error.contains_label(label));
        match error.kind.as_ref() {
            ErrorKind::Command(answer) => Self {
                code: Some(answer.code),
                words: answer.message.clone(),
                error: of_code(what, answer.code, &answer.code_name, labelled),
            },
            ErrorKind::Authentication { .. } => {
                Self::new(Error::config(format!("{what}: the target refused the user name or the password")))
            }
            ErrorKind::InvalidTlsConfig { .. } | ErrorKind::IncompatibleServer { .. } => {
                Self::new(Error::config(format!("{what}: {error}")))
            }
            ErrorKind::Io(_)
            | ErrorKind::ConnectionPoolCleared { .. }
            | ErrorKind::ServerSelection { .. }
            | ErrorKind::DnsResolve { .. }
            | ErrorKind::InvalidResponse { .. }
            | ErrorKind::Internal { .. }
            | ErrorKind::Shutdown => Self::new(Error::retry(format!("{what}: {error}"))),
            _ if labelled => Self::new(Error::retry(format!("{what}: {error}"))),
            // Whatever else the driver says may quote what it was given.
            _ => Self::new(Error::halt(format!("{what}: the driver failed in an unforeseen way"))),
        }
    }
}

fn of_code(what: &str, code: i32, name: &str, labelled: bool) -> Error {
    let kind = match kind_of(code) {
        _ if labelled => Kind::Retry,
        Kind::Park => Kind::Halt,
        kind => kind,
    };
    let name = if name.is_empty() { String::new() } else { format!(" ({name})") };
    let fix = match code {
        UNAUTHORIZED => ": the user lacks a privilege; grant readWrite on the target database",
        100 => ": a majority of the replica set cannot be reached",
        14031 => ": the target's disk is full",
        _ => "",
    };
    Error::new(kind, format!("{what}: the target answered with error {code}{name}{fix}"))
}

/// The error in a reply's `writeConcernError`: applied, but not known to be durable.
pub(super) fn of_write_concern(what: &str, reply: &Document) -> Option<Error> {
    let error = reply.get_document("writeConcernError").ok()?;
    let code = int(error, "code").unwrap_or_default();
    let kind = if kind_of(code) == Kind::Config { Kind::Config } else { Kind::Retry };
    let name = error.get_str("codeName").unwrap_or_default();
    Some(Error::new(kind, format!("{what}: no majority acknowledged the write (error {code} {name})")))
}

/// An integer of whatever width the server chose.
pub(super) fn int(document: &Document, field: &str) -> Option<i32> {
    long(document, field).and_then(|number| i32::try_from(number).ok())
}

/// An integer of whatever width the server chose.
pub(super) fn long(document: &Document, field: &str) -> Option<i64> {
    match document.get(field)? {
        bson::Bson::Int32(number) => Some(i64::from(*number)),
        bson::Bson::Int64(number) => Some(*number),
        bson::Bson::Double(number) if number.fract() == 0.0 => Some(*number as i64),
        _ => None,
    }
}

/// One entry of `writeErrors`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WriteError {
    /// Which statement of the command.
    pub(super) index: usize,
    pub(super) code: i32,
    /// The server's own words. They can hold values: for decisions only.
    words: String,
    /// The fields of the violated index, if the server says so.
    fields: Option<Vec<String>>,
}

impl WriteError {
    pub(super) fn all(reply: &Document) -> Vec<Self> {
        let Ok(list) = reply.get_array("writeErrors") else {
            return Vec::new();
        };
        let of = |error: &Document| Self {
            index: long(error, "index").and_then(|index| usize::try_from(index).ok()).unwrap_or(usize::MAX),
            code: int(error, "code").unwrap_or_default(),
            words: error.get_str("errmsg").unwrap_or_default().to_string(),
            fields: error.get_document("keyPattern").ok().map(|keys| keys.keys().cloned().collect()),
        };
        list.iter().filter_map(|error| error.as_document()).map(of).collect()
    }

    /// The name of the violated unique index.
    fn index_name(&self) -> Option<&str> {
        // mongod: `... index: NAME dup key: {...}`; DocumentDB: `... Index 'NAME'`.
        if let Some((_, rest)) = self.words.split_once(" index: ") {
            return Some(rest.split(" dup key").next().unwrap_or(rest).trim());
        }
        let (_, rest) = self.words.split_once("Index '")?;
        rest.rsplit_once('\'').map(|(name, _)| name)
    }

    /// Whether a document with this `_id` is there already.
    pub(super) fn is_duplicate_id(&self) -> bool {
        self.code == DUPLICATE_KEY
            && match &self.fields {
                Some(fields) => fields.as_slice() == ["_id"],
                None => self.index_name() == Some("_id_"),
            }
    }

    /// Whether another created the same document in the same moment: DocumentDB's own way to say so.
    pub(super) fn is_lost_race(&self) -> bool {
        self.code == 1 && self.words.contains("duplicate key value")
    }

    /// Whether the server refused to create because the deadline has passed.
    pub(super) fn is_past_deadline(&self) -> bool {
        self.words.contains(super::batch::DEADLINE_TEXT)
    }

    /// Why the document was refused, without a value of it.
    pub(super) fn reason(&self) -> String {
        match self.code {
            DUPLICATE_KEY => match self.index_name() {
                Some(name) => format!("another document has the same values in the unique index `{name}`"),
                None => "another document has the same values in a unique index".to_string(),
            },
            10334 | 17419 | 17420 | 302_776_349 => too_large().to_string(),
            121 => "the collection's validator refuses the document".to_string(),
            66 => "the stored document's `_id` is written differently".to_string(),
            code => format!("the target refuses the document with error {code}"),
        }
    }
}

/// Why a document of more than 16 MiB is refused.
pub(super) fn too_large() -> &'static str {
    "the document exceeds the 16 MiB that MongoDB allows"
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::doc;

    fn error(document: Document) -> WriteError {
        WriteError::all(&doc! {"writeErrors": [document]}).remove(0)
    }

    #[test]
    fn duplicate_keys_are_told_apart_and_values_kept_out() {
        let id = error(doc! {"index": 0, "code": 11000,
        "errmsg": "E11000 duplicate key error collection: a.b index: _id_ dup key: { _id: \"secret\" }"});
        assert!(id.is_duplicate_id());
        let user = error(doc! {"index": 0, "code": 11000, "keyPattern": {"mail": 1},
        "errmsg": "E11000 duplicate key error collection: a.b index: mail_1 dup key: { mail: \"secret\" }"});
        assert!(!user.is_duplicate_id());
        assert_eq!(user.reason(), "another document has the same values in the unique index `mail_1`");
        let other = "Duplicate key violation on the requested collection: Index '_id_'";
        assert!(error(doc! {"index": 3i64, "code": 11000, "errmsg": other}).is_duplicate_id());
        let late = format!(
            "Failed to parse number '{}int' in $convert with no onError",
            crate::edge::mongo::batch::DEADLINE_TEXT
        );
        assert!(error(doc! {"index": 0, "code": 241, "errmsg": late}).is_past_deadline());
        let other = error(doc! {"index": 3.0, "code": 11000, "errmsg": other.replace("_id_", "it's_1")});
        assert_eq!((other.index, other.index_name()), (3, Some("it's_1")));
    }

    #[test]
    fn every_code_has_a_reaction() {
        assert_eq!(kind_of(10107), Kind::Retry);
        assert_eq!(kind_of(13), Kind::Config);
        assert_eq!(kind_of(4_711), Kind::Halt);
        assert_eq!(of_code("x", 2, "BadValue", false).kind(), Kind::Halt);
        assert_eq!(of_code("x", 2, "BadValue", true).kind(), Kind::Retry);
        let reply = doc! {"ok": 1, "writeConcernError": {"code": 64, "codeName": "WriteConcernTimeout"}};
        assert_eq!(of_write_concern("x", &reply).map(|error| error.kind()), Some(Kind::Retry));
    }
}
