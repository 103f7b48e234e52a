//! End-to-end tests: the engine as a process on real servers, judged by an oracle that is plain SQL.
//! Owns: the list of what is tested. Does not own: servers (`scripts/services`).
//!
//! `ROWFOLD_E2E_SEED` repeats a run, `ROWFOLD_E2E_SCHEMAS` and `ROWFOLD_E2E_FIRST` choose its generated schemas,
//! `ROWFOLD_E2E_CASE` one of the mistakes by part of its name.

mod cases;
mod converge;
mod gap;
mod harness;
mod kill;
mod ledger;
mod oracle;
mod rng;
mod schema;
mod selftest;
mod stop;
mod writer;
