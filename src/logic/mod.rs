//! Pure decisions: no clock, no chance, no I/O, no drivers. What is decided here runs unchanged in a simulation.

pub mod assembly;
pub mod backoff;
pub mod capturing;
pub mod chunks;
pub mod conversion;
pub mod envelope;
pub mod following;
pub mod grouping;
pub mod lifecycle;
pub mod routing;
