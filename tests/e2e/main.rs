//! End-to-end tests: the engine as a process on real servers, judged by an oracle that is plain SQL.
//! Owns: the list of what is tested. Does not own: servers (`scripts/services`).
//!
//! `ROWFOLD_E2E_SEED` repeats a run, `ROWFOLD_E2E_SCHEMAS` and `ROWFOLD_E2E_FIRST` choose its generated schemas,
//! `ROWFOLD_E2E_CASE` the mistakes and `ROWFOLD_E2E_KEYS` the types of keys by part of their name,
//! `ROWFOLD_E2E_REDIS_SCHEMAS` how many of them pass through Redis, `ROWFOLD_E2E_KILL_SCHEMA` the schema under kill -9, `ROWFOLD_E2E_BINARY` another build of the engine.
//! What engines wrote is in `target/tmp/e2e/<test>/`; after a failure the databases `rf_e2e_<pid>_<test>` stay until the
//! next run.
#![allow(clippy::disallowed_methods, reason = "tests against real servers measure and poll in real time")]

mod capture;
mod cases;
mod converge;
mod ddl;
mod gap;
mod harness;
mod jobs;
mod keys;
mod kill;
mod ledger;
mod lost;
mod names;
mod oracle;
mod parity;
mod parked;
mod position;
#[path = "../mysql/random.rs"]
mod random;
mod redis;
mod rng;
mod schema;
mod secrets;
mod selftest;
mod stop;
#[path = "../mysql/types.rs"]
mod types;
mod writer;
