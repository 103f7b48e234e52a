//! The text of stream entries: Debezium's change events as JSON.
//!
//! Owns: what an entry of ours says (`encode`), reading entries (`entry`, `decode`, `decode_value`), and what else a Debezium Server
//! leaves in Redis (`foreign`, `ddl`). Does not own: streams and positions (`model::stream`), where entries are kept (`edge`),
//! what follows from a change (`logic::routing`).

mod ddl;
pub mod decode;
mod decode_value;
mod encode;
mod entry;
pub mod foreign;
mod moment_text;

pub use self::encode::{Entry, entries, starter, unlogged};

#[cfg(test)]
mod round_trip_tests;
