//! Builds beside the streams: their bookmarks, and what these let be trimmed.

use rowfold::model::stream::{Member, Position};
use rowfold::ports::{Groups, StreamStore, group_name};

use super::support::{Bench, at, id, set, table};

fn member(tables: &[&str]) -> Member {
    Member { job: "shop".into(), tables: tables.iter().map(|name| table(name)).collect() }
}

/// `lag` and `entries-read` of the first group of a stream.
fn lag(bench: &mut Bench, name: &str) -> (Option<u64>, Option<u64>) {
    let said = bench.say(&format!("XINFO GROUPS @.t.{name}"));
    let groups: Vec<std::collections::HashMap<String, redis::Value>> = redis::from_redis_value(said).expect("groups");
    let field = |name: &str| redis::from_redis_value(groups[0][name].clone()).expect("a number");
    (field("lag"), field("entries-read"))
}

#[tokio::test]
async fn a_bookmark_is_made_where_there_is_none_and_moves() {
    let mut bench = Bench::new("bookmark").await;
    for number in 1..=4 {
        bench.say(&format!("XADD @.t.a 1-{number} f v"));
    }
    bench.streams.register("build", &member(&["a", "b"])).await.expect("registered");
    let keys = bench.keys(&["a", "b"]);
    let group = |high, low| vec![(group_name("build"), id(high, low))];
    let groups = bench.streams.groups(&keys).await.expect("groups");
    assert_eq!(groups, [Groups { delivered: group(0, 0), first: Some(id(1, 1)) }, Groups::default()]);
    assert_eq!(bench.look(&["b"]).await.streams, [None], "no stream is made");
    let passed = |low, count| Position { id: id(1, low), count };
    let moved = [(keys[0].clone(), passed(3, 3)), (keys[1].clone(), passed(9, 9))];
    bench.streams.bookmark("build", &moved).await.expect("moved");
    assert_eq!(lag(&mut bench, "a"), (Some(1), Some(3)));
    // Registering again leaves it where it is.
    bench.streams.register("build", &member(&["a", "b"])).await.expect("registered");
    assert_eq!(bench.streams.groups(&keys[..1]).await.expect("groups")[0].delivered, group(1, 3));
    // The second stream comes to be; a bookmark there is made on the way.
    bench.say("XADD @.t.b 2-1 f v");
    assert!(bench.streams.groups(&keys[1..]).await.expect("groups")[0].delivered.is_empty());
    let moved = [(keys[1].clone(), Position { id: id(2, 1), count: 1 }), (keys[0].clone(), passed(4, 4))];
    bench.streams.bookmark("build", &moved).await.expect("moved");
    assert_eq!(bench.streams.groups(&keys[1..]).await.expect("groups")[0].delivered, group(2, 1));
    assert_eq!(lag(&mut bench, "b"), (Some(0), Some(1)));
    assert_eq!(lag(&mut bench, "a"), (Some(0), Some(4)));
    bench.streams.bookmark("build", &[]).await.expect("nothing");
}

#[tokio::test]
async fn a_build_leaves_without_a_trace() {
    let mut bench = Bench::new("leave").await;
    bench.say("XADD @.t.a 1-1 f v");
    for build in ["one", "two"] {
        bench.streams.register(build, &member(&["a"])).await.expect("registered");
    }
    bench.streams.request("one", &set(1)).await.expect("requested");
    bench.say("HSET @.__meta refused:one reason");
    let keys = bench.keys(&["a", "none"]);
    for _ in 0..2 {
        bench.streams.unregister("one", &keys).await.expect("gone, or not there");
    }
    let meta = bench.meta().await;
    assert_eq!(meta.members.into_keys().collect::<Vec<_>>(), ["two"]);
    assert!(meta.requests.is_empty() && meta.refused.is_empty());
    let groups = bench.streams.groups(&keys).await.expect("groups");
    assert_eq!(groups[0].delivered, [(group_name("two"), id(0, 0))]);
}

#[tokio::test]
async fn below_an_id_and_not_more_is_trimmed() {
    let mut bench = Bench::new("trim").await;
    // Many entries share a node of the stream's tree: only an exact trim takes part of one.
    for number in 1..=150 {
        bench.say(&format!("XADD @.t.a 1-{number} f v"));
    }
    bench.say("XGROUP CREATE @.t.a somebody 1-7");
    let (a, none) = (bench.key("a"), bench.key("none"));
    bench.streams.trim(&[(a.clone(), id(1, 78)), (none.clone(), id(9, 9))]).await.expect("trimmed");
    let groups = bench.streams.groups(&[a.clone(), none]).await.expect("groups");
    assert_eq!(groups[0], Groups { delivered: vec![("somebody".into(), id(1, 7))], first: Some(id(1, 78)) });
    assert_eq!(bench.values("a").len(), 73);
    let look = bench.look(&["a", "none"]).await;
    assert_eq!(look.streams, [at(1, 150, 150), None]);
    bench.streams.trim(&[(a.clone(), id(2, 0))]).await.expect("trimmed");
    assert_eq!(bench.streams.groups(&[a]).await.expect("groups")[0].first, None);
    assert_eq!(bench.look(&["a"]).await.streams, [at(1, 150, 150)]);
}
