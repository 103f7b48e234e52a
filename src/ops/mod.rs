//! What operators see and turn: progress, status, stopping, failpoints of test builds.

pub mod failpoint;
pub mod ownership;
pub mod progress;
pub mod shutdown;
