//! The port `StreamStore` against a real Redis: each line of its contract, and servers that are full, emptied, restarted,
//! narrow in rights or a cluster.
//!
//! Needs a server in `ROWFOLD_REDIS_URL`; each test has a prefix of its own there. Tests that harm a server start one.
#![allow(clippy::disallowed_methods, reason = "tests against real servers measure and poll in real time")]

mod append;
mod facts;
mod harm;
mod look;
mod members;
mod read;
mod server;
mod session;
mod support;
