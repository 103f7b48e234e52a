//! The drivers, and nothing else: each part implements ports of [`crate::ports`] for one kind of server.

pub mod clock;
pub mod mongo;
pub mod mysql;
pub mod redis;
