//! The MySQL edge against a real server: what it reads, what it finds, what it follows.
//!
//! Needs a server that may be written to, in `ROWFOLD_MYSQL_URL` (user with all privileges; databases `rf_mysql_*` are
//! dropped and made again).
#![allow(clippy::disallowed_methods, reason = "tests against real servers measure and poll in real time")]

mod broken;
mod charsets;
mod collations;
mod damage;
mod definitions;
mod differential;
mod entries;
mod log;
mod mariadb;
mod parity;
mod printed;
#[path = "../e2e/harness/private.rs"]
mod private;
mod random;
mod reads;
mod record;
mod schemas;
mod support;
mod types;
mod values;
mod whole;
