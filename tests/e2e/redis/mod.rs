//! Changes that pass through Redis Streams: the same claims as without them, and those about what Redis may do.
//! Owns: the list of these tests. Does not own: the engine without Redis (the tests above this folder).
//!
//! Every test has a Redis of its own, because it harms it. `ROWFOLD_E2E_REDIS_SCHEMAS` says how many generated schemas.

mod converge;
mod debezium;
mod kills;
mod losses;
mod outage;
mod poison;
mod purged;
mod rig;
mod selftest;
mod shared;
mod streams;
