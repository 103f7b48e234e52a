//! One generated schema, loaded, with a job file for it: where most tests begin and end.
//! Owns: the set-up and the final judgement. Does not own: what happens in between.

use super::engine::{Engine, Job};
use super::servers::{Scratch, execute};
use super::status;
use crate::oracle;
use crate::rng::Rng;
use crate::schema::job::{Settings, render};
use crate::schema::{Schema, ddl, generate, rows};
use crate::writer::Writer;
use mysql_async::Conn;
use std::sync::Arc;
use std::time::Duration;

/// How long an engine may take to come to rest on a busy machine.
pub const REST: Duration = Duration::from_secs(120);

pub struct World {
    pub seed: u64,
    pub index: u64,
    pub schema: Arc<Schema>,
    pub scratch: Scratch,
    pub settings: Settings,
    pub job: Job,
    pub conn: Conn,
}

pub async fn load(conn: &mut Conn, schema: &Schema, rng: &mut Rng) {
    for statement in ddl::statements(schema) {
        execute(conn, &statement).await;
    }
    for statement in rows::fill(schema, rng) {
        execute(conn, &statement).await;
    }
}

impl World {
    /// Schema `index` of `seed`, filled, and nothing in the target. Small chunks make a small copy a long one.
    pub async fn create(name: &str, seed: u64, index: u64) -> World {
        World::create_over(name, seed, index, String::new()).await
    }

    /// The same with a section `stream:` in the job.
    pub async fn create_over(name: &str, seed: u64, index: u64, stream: String) -> World {
        let schema = Arc::new(generate::schema(seed, index));
        let scratch = Scratch::create(name).await;
        let mut conn = scratch.mysql().await;
        load(&mut conn, &schema, &mut Rng::new(seed).fork(index)).await;
        let settings = Settings::of(name, &scratch.name, "2KiB", stream);
        let job = Job::create(name, &render(&schema, &settings));
        World { seed: seed ^ (index << 32), index, schema, scratch, settings, job, conn }
    }

    pub fn write(&self, pace: Duration) -> Writer {
        self.write_as(0, pace)
    }

    /// One of several writers in turn: each does something else.
    pub fn write_as(&self, turn: u64, pace: Duration) -> Writer {
        Writer::start(&self.schema, &self.scratch.name, self.seed ^ (turn << 16), pace)
    }

    /// Every document is what the oracle says, and there are enough of them to mean something.
    pub async fn assert_equal(&mut self) -> usize {
        const ENOUGH: usize = 100;
        oracle::assert_equal(&mut self.conn, &self.scratch.mongo, &self.schema, &self.scratch.name, ENOUGH).await
    }

    /// Comes to rest, is judged, and is stopped in order.
    pub async fn finish(mut self, mut engine: Engine) -> usize {
        status::wait_quiescent(&self.job, &mut engine, REST).await;
        let compared = self.assert_equal().await;
        let finished = engine.stop(Duration::from_secs(10)).await;
        assert_eq!(finished.code, 0, "stopped in order while live: {}", finished.stderr);
        self.scratch.remove().await;
        compared
    }
}
