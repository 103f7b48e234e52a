//! Pure data: what the other modules talk about. No I/O, no decisions, no drivers.

pub mod address;
pub mod build;
pub mod change;
pub mod document;
pub mod plan;
pub mod position;
pub mod row;
pub mod schema;
pub mod stream;
pub mod time;
pub mod value;
pub mod zone;
