//! The one error type of the crate, named by what the operator or the engine must do about it.
//!
//! Owns: [`Error`], [`Kind`] and their text. Does not own: retry loops (`logic::backoff`) or exit codes (`cli`).

use std::fmt;

/// What has to happen next. An error's kind is the reaction, not the place where it arose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A server or the network failed in a way that may pass: reconnect and do the same again.
    Retry,
    /// Going on would lose or damage data: stop and stay stopped until somebody decides.
    Halt,
    /// One document cannot be written: keep the old one, record the reason, go on with the others.
    Park,
    /// The job file, a setting or a precondition is wrong. Nothing was written.
    Config,
    /// Another engine owns the build now: stop writing at once.
    Fenced,
}

/// An error with its reaction. `Display` prints this error only; the chain is in [`std::error::Error::source`].
pub struct Error {
    kind: Kind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The result of nearly everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of the given kind. The message is lowercase, without a full stop, and holds no row value and no secret.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// A passing failure.
    pub fn retry(message: impl Into<String>) -> Self {
        Self::new(Kind::Retry, message)
    }

    /// A failure after which going on would lose data.
    pub fn halt(message: impl Into<String>) -> Self {
        Self::new(Kind::Halt, message)
    }

    /// A failure of one document.
    pub fn park(message: impl Into<String>) -> Self {
        Self::new(Kind::Park, message)
    }

    /// A mistake in the job, its settings or a precondition.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(Kind::Config, message)
    }

    /// Ownership was lost.
    pub fn fenced(message: impl Into<String>) -> Self {
        Self::new(Kind::Fenced, message)
    }

    /// The same error with its cause attached.
    #[must_use]
    pub fn because(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// The reaction.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The message and those of all causes, in one line, outermost first.
    pub fn chain(&self) -> String {
        let mut text = self.message.clone();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            let line = cause.to_string();
            if !text.contains(&line) {
                text.push_str(": ");
                text.push_str(&line);
            }
            next = cause.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.chain())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|s| s.as_ref() as &(dyn std::error::Error + 'static))
    }
}
