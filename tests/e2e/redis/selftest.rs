//! The instruments of these tests, without the engine.
//! Owns: proof that a mortal Redis loses what it must lose and keeps what it must keep. Does not own: claims about the
//! engine.

use super::streams::Streams;
use crate::harness::mortal::{Keeps, MortalRedis};

async fn three(redis: &MortalRedis) -> Streams<'_> {
    for id in ["1-1", "1-2", "2-1"] {
        redis.ask::<String>(&["XADD", "p.d.t", id, "{}", "{\"a\": 1}"]).await;
    }
    Streams { redis, prefix: "p", database: "d" }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mortal_redis_keeps_what_it_is_told_to_keep() {
    let Some(mut redis) = MortalRedis::start(Keeps::Everything).await else { return };
    let before = three(&redis).await.stream("t").await.expect("a stream");
    assert_eq!((before.added, before.length, before.first.as_str(), before.last.as_str()), (3, 3, "1-1", "2-1"));
    redis.restart().await;
    let streams = Streams { redis: &redis, prefix: "p", database: "d" };
    assert_eq!(streams.stream("t").await, Some(before));
    assert!(streams.bytes().await > 100);
    assert_eq!(redis.ask::<u64>(&["XTRIM", "p.d.t", "MAXLEN", "0"]).await, 3);
    let trimmed = streams.stream("t").await.expect("a stream");
    assert_eq!((trimmed.added, trimmed.length, trimmed.last.as_str()), (3, 0, "2-1"));
    redis.replace().await;
    assert_eq!(Streams { redis: &redis, prefix: "p", database: "d" }.stream("t").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mortal_redis_without_an_aof_forgets() {
    let Some(mut redis) = MortalRedis::start(Keeps::Nothing).await else { return };
    assert!(three(&redis).await.stream("t").await.is_some());
    redis.restart().await;
    assert_eq!(Streams { redis: &redis, prefix: "p", database: "d" }.stream("t").await, None);
    // Less room than is in use: a write is refused, a reading is not.
    let _: String = redis.ask(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let refused = redis.try_ask::<String>(&["XADD", "p.d.t", "*", "a", "b"]).await;
    assert!(refused.is_err_and(|e| e.to_string().contains("OOM")));
}
