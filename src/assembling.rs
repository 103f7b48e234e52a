//! Assembles documents on threads of their own.
//!
//! Owns: the CPU pool and the bridge to it. Does not own: assembly itself (`logic::assembly`). The bridge is a oneshot
//! channel per job: no async task ever waits on a thread, and no thread of the pool ever waits on a task.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::error::{Error, Result};
use crate::logic::assembly::{Assembled, RowSet, assemble};
use crate::model::plan::JobPlan;
use crate::model::position::Version;

/// The threads that assemble documents. Cheap to clone.
#[derive(Clone)]
pub struct Pool {
    threads: Arc<rayon::ThreadPool>,
}

impl Pool {
    /// A pool with one thread per core but one, at least one.
    ///
    /// # Errors
    /// `Retry` if the threads cannot be started.
    pub fn new() -> Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, |cores| (cores.get() - 1).max(1));
        let threads = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|at| format!("assemble-{at}"))
            .build()
            .map_err(|error| Error::retry("the threads that assemble documents could not be started").because(error))?;
        Ok(Self { threads: Arc::new(threads) })
    }

    /// The documents of these rows.
    pub async fn assemble(
        &self,
        plan: Arc<JobPlan>,
        projection: usize,
        rows: RowSet,
        version: Version,
        build: i32,
    ) -> Result<Assembled> {
        let (send, receive) = oneshot::channel();
        self.threads.spawn(move || {
            // A panic in a pool's job would end the process; it has to become an error instead.
            let assembled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                assemble(&plan.projections[projection], &rows, version, build)
            }));
            let assembled = assembled.unwrap_or_else(|_| Err(Error::halt("assembling documents panicked")));
            // Nobody waits any more when the engine is stopping: then the result is not needed.
            let _ = send.send(assembled);
        });
        receive.await.map_err(|_| Error::halt("assembling documents panicked"))?
    }
}
