//! The text of stream entries: Debezium's JSON envelope, compact (without schemas), in its default modes.
//!
//! Owns: [`entries`] and [`unlogged`]. Does not own: where entries lie (`model::stream`), who writes them when (`stream`).

mod encode;

pub use self::encode::{Entry, entries, unlogged};
