//! What `check` learns of a server, an account and the keys, without writing anything.

use redis::Value;
use rowfold::config::resolve::{StreamFacts, stream_problems};
use rowfold::config::{Capture, StreamSettings};
use rowfold::edge::redis::RedisStreams;
use rowfold::error::Kind;
use rowfold::model::stream::EntryId;
use rowfold::ports::StreamStore;

use super::server::PrivateRedis;
use super::support::{Bench, append, entry, plain, say, set, settings, table};

async fn facts(bench: &Bench) -> StreamFacts {
    bench.streams.facts(&bench.settings, &[table("a"), table("b")]).await.expect("facts")
}

fn codes(settings: &StreamSettings, facts: &StreamFacts) -> Vec<&'static str> {
    stream_problems(settings, facts).into_iter().map(|problem| problem.code).collect()
}

#[tokio::test]
async fn a_sound_server_and_its_keys() {
    let Some(server) = PrivateRedis::start("--maxmemory 100mb") else { return };
    let mut bench = Bench::at(&server.url(), "cdc").await;
    let found = facts(&bench).await;
    assert!(codes(&bench.settings, &found).is_empty(), "{found:?}");
    assert_eq!((found.memory_max_bytes, found.eviction.as_deref()), (Some(100 << 20), Some("noeviction")));
    assert!(found.version.is_some() && !found.is_cluster && !found.is_replica && !found.has_record);
    assert_eq!(bench.say("DBSIZE"), Value::Int(0), "nothing is written");
    // Another producer's streams, and later ours behind them.
    bench.say("XADD @.t.a * f v");
    bench.say("XADD @.t.c * f v");
    let found = facts(&bench).await;
    assert_eq!(found.foreign_streams, [bench.key("a")]);
    assert_eq!(codes(&bench.settings, &found), ["E-STREAM-FOREIGN"]);
    bench.begin(1).await;
    let id = EntryId::of(1, 1, 4, 0).expect("an ID");
    let entries = vec![(bench.key("a"), entry(id, "v"))];
    bench.streams.append(&append(1, entries, set(1))).await.expect("an answer");
    let before = bench.look(&["a", "b"]).await;
    let found = facts(&bench).await;
    assert!(found.foreign_streams.is_empty() && found.has_record);
    let (owner, left_ms) = found.owner.expect("an owner");
    assert!(owner == "me" && (1..=30_000).contains(&left_ms), "{left_ms}");
    let after = bench.look(&["a", "b"]).await;
    assert_eq!((before.meta, before.streams), (after.meta, after.streams), "nothing is written");
    bench.streams.release("g", 1).await.expect("released");
    assert_eq!(facts(&bench).await.owner, None);
}

#[tokio::test]
async fn an_evicting_server_without_a_bound() {
    let Some(server) = PrivateRedis::start("--maxmemory-policy allkeys-lru") else { return };
    let mut bench = Bench::at(&server.url(), "cdc").await;
    bench.say("SET @.t.b text");
    bench.say("SET @.__meta text");
    let found = facts(&bench).await;
    assert_eq!(codes(&bench.settings, &found), ["E-REDIS-EVICT", "E-REDIS-MEMORY", "E-REDIS-KEY", "E-REDIS-KEY"]);
    let keys = [(bench.meta_key(), "string".to_string()), (bench.key("b"), "string".to_string())];
    assert_eq!(found.foreign_types, keys);
}

/// All that a capturing engine needs, in the words of `ACL SETUSER`.
const RIGHTS: &str = "+auth +time +info +multi +exec +discard +watch +unwatch +hgetall +hmget +hset +hdel +type +xinfo|stream \
                      +xinfo|groups +xread +xrange +memory|usage +xadd +xtrim +xgroup|create +xgroup|setid \
                      +xgroup|destroy";

#[tokio::test]
async fn an_account_is_told_each_right_that_it_lacks() {
    let Some(server) = PrivateRedis::start("--maxmemory 100mb") else { return };
    let mut admin = plain(&server.url());
    let url = format!("redis://rf:hush-hush@127.0.0.1:{}", server.port);
    let settings = settings(&url, "cdc");
    let tables = [table("a")];
    say(&mut admin, &format!("ACL SETUSER rf on >hush-hush ~cdc.* {RIGHTS}"));
    let streams = RedisStreams::connect(&settings).await.expect("a connection");
    let found = streams.facts(&settings, &tables).await.expect("facts");
    assert!(codes(&settings, &found).is_empty(), "{found:?}");

    say(&mut admin, "ACL SETUSER rf -xadd -xgroup|setid -exec -watch -info -type");
    let found = streams.facts(&settings, &tables).await.expect("facts");
    assert_eq!(codes(&settings, &found), ["E-REDIS-ACL"]);
    let fix = stream_problems(&settings, &found)[0].fix.clone().expect("a fix");
    for right in ["+xadd", "+xgroup|setid", "+exec", "+watch", "+info", "+type"] {
        assert!(fix.split(' ').any(|word| word == right), "{right} is not in {fix}");
    }
    assert_eq!(found.denied_commands.len(), 6, "{found:?}");
    let error = streams.look(&[]).await.expect_err("no EXEC");
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.to_string().contains("ACL SETUSER rf +exec"), "{error}");
    // The fix is one.
    say(&mut admin, &fix);
    let found = streams.facts(&settings, &tables).await.expect("facts");
    assert!(codes(&settings, &found).is_empty(), "{found:?}");

    // Without MULTI the trial itself must not write.
    say(&mut admin, "ACL SETUSER rf -multi");
    let found = streams.facts(&settings, &tables).await.expect("facts");
    assert_eq!(found.denied_commands, ["multi"]);
    say(&mut admin, "ACL SETUSER rf +multi resetkeys ~other.*");
    let found = streams.facts(&settings, &tables).await.expect("facts");
    assert_eq!((found.denied_commands.len(), found.denied_keys.as_slice()), (0, &["cdc.*".to_string()][..]));
    assert_eq!(say(&mut admin, "DBSIZE"), Value::Int(0), "nothing was written");

    // Who only reads needs less, and is asked for less.
    say(
        &mut admin,
        "ACL SETUSER rf ~cdc.* ~metadata:* +xrevrange -xadd -xtrim -hset -hdel -hmget -xgroup -watch -memory",
    );
    let reader = StreamSettings { capture: Capture::Debezium, ..settings.clone() };
    let found = streams.facts(&reader, &tables).await.expect("facts");
    assert!(codes(&reader, &found).is_empty(), "{found:?}");

    say(&mut admin, "ACL SETUSER rf resetpass >another");
    let fresh = RedisStreams::new(&settings).expect("settings");
    let error = fresh.look(&[]).await.expect_err("a wrong password");
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.to_string().contains("password") && !error.chain().contains("hush"), "{}", error.chain());
}

#[tokio::test]
async fn addresses_that_cannot_work() {
    for bad in ["mysql://a:hush@b/", "redis://a:hu/sh@b/", "", "redis://a:hush@"] {
        let error = RedisStreams::new(&settings(bad, "cdc")).err().unwrap_or_else(|| panic!("{bad} is taken"));
        assert_eq!(error.kind(), Kind::Config, "{bad}");
        assert!(!error.chain().contains("hu"), "{}", error.chain());
    }
    let nobody = RedisStreams::connect(&settings("redis://a:hush@127.0.0.1:1/", "cdc")).await.err().expect("nobody");
    assert_eq!(nobody.kind(), Kind::Retry);
    assert!(nobody.to_string().contains("127.0.0.1:1") && !nobody.chain().contains("hush"), "{}", nobody.chain());
    let Some(server) = PrivateRedis::start("--requirepass hush --databases 1") else { return };
    let settings_of =
        |login: &str, db: &str| settings(&format!("redis://{login}127.0.0.1:{}/{db}", server.port), "cdc");
    for (login, db, word) in [("", "", "asks for a password"), (":hus@", "", "refused"), (":hush@", "3", "database")] {
        let error = RedisStreams::connect(&settings_of(login, db)).await.err().expect("refused");
        assert_eq!(error.kind(), Kind::Config, "{word}");
        assert!(error.to_string().contains(word) && !error.chain().contains("hus"), "{}", error.chain());
    }
    RedisStreams::connect(&settings_of(":hush@", "0")).await.expect("a connection");
}
