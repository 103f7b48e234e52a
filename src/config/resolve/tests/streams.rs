//! The judgement of a Redis server: each problem alone, and none on a sound one.

use std::time::Duration;

use super::super::super::{Capture, StreamSettings};
use super::super::{StreamFacts, stream_problems};

fn settings() -> StreamSettings {
    StreamSettings {
        url: "redis://rf:secret@redis:6379".to_string().into(),
        prefix: "cdc".into(),
        capture: Capture::Rowfold,
        max_bytes: None,
        lease: Duration::from_secs(10),
        silence_max: None,
        offsets_key: "metadata:debezium:offsets".into(),
    }
}

fn sound() -> StreamFacts {
    StreamFacts {
        version: Some("7.0.0".into()),
        eviction: Some("noeviction".into()),
        memory_max_bytes: Some(1 << 30),
        user: "rf".into(),
        ..StreamFacts::default()
    }
}

/// Code and fix of each problem.
fn found(settings: &StreamSettings, facts: &StreamFacts) -> Vec<(&'static str, String)> {
    let problems = stream_problems(settings, facts);
    assert!(problems.iter().all(|problem| !format!("{problem:?}").contains("secret")));
    problems.into_iter().map(|problem| (problem.code, problem.fix.expect("a fix"))).collect()
}

fn codes(settings: &StreamSettings, facts: &StreamFacts) -> Vec<&'static str> {
    found(settings, facts).into_iter().map(|(code, _)| code).collect()
}

#[test]
fn a_sound_server_has_no_problem() {
    assert!(codes(&settings(), &sound()).is_empty());
    assert!(codes(&settings(), &StreamFacts::default()).is_empty(), "what is not known is not held against it");
    let valkey = StreamFacts { version: Some("8.1.0".into()), ..sound() };
    assert!(codes(&settings(), &valkey).is_empty());
}

#[test]
fn each_problem_has_its_code() {
    let old = StreamFacts { version: Some("6.2.14".into()), ..sound() };
    assert_eq!(codes(&settings(), &old), ["E-REDIS-VERSION"]);
    let evicts = StreamFacts { eviction: Some("allkeys-lru".into()), ..sound() };
    assert_eq!(codes(&settings(), &evicts), ["E-REDIS-EVICT"]);
    let replica = StreamFacts { is_replica: true, ..sound() };
    assert_eq!(codes(&settings(), &replica), ["E-REDIS-REPLICA"]);
    let taken = StreamFacts { foreign_types: vec![("cdc.a.b".into(), "list".into())], ..sound() };
    assert_eq!(codes(&settings(), &taken), ["E-REDIS-KEY"]);
}

#[test]
fn memory_is_bounded_by_either_side() {
    let boundless = StreamFacts { memory_max_bytes: Some(0), ..sound() };
    assert_eq!(codes(&settings(), &boundless), ["E-REDIS-MEMORY"]);
    let bounded = StreamSettings { max_bytes: Some(1), ..settings() };
    assert!(codes(&bounded, &boundless).is_empty());
    let reader = StreamSettings { capture: Capture::Debezium, ..settings() };
    assert!(codes(&reader, &boundless).is_empty(), "who only reads does not fill it");
}

#[test]
fn a_cluster_needs_a_hash_tag() {
    let cluster = StreamFacts { is_cluster: true, ..sound() };
    assert_eq!(found(&settings(), &cluster), [("E-REDIS-CLUSTER", "prefix: \"{cdc}\"".to_string())]);
    for (prefix, fine) in [("{cdc}", true), ("a{cdc}.b", true), ("{}cdc", false), ("{cdc", false)] {
        let settings = StreamSettings { prefix: prefix.into(), ..settings() };
        assert_eq!(codes(&settings, &cluster).is_empty(), fine, "{prefix}");
    }
    let tagged = StreamSettings { prefix: "{cdc}".into(), ..settings() };
    let elsewhere = StreamFacts { keys_elsewhere: true, ..cluster };
    assert_eq!(codes(&tagged, &elsewhere), ["E-REDIS-CLUSTER"]);
}

#[test]
fn missing_rights_are_one_statement() {
    let facts = StreamFacts {
        denied_commands: vec!["xadd".into(), "xgroup|create".into()],
        denied_keys: vec!["cdc.*".into()],
        ..sound()
    };
    let fix = "ACL SETUSER rf ~cdc.* +xadd +xgroup|create".to_string();
    assert_eq!(found(&settings(), &facts), [("E-REDIS-ACL", fix)]);
}

#[test]
fn streams_of_another_producer_are_not_written_to_by_chance() {
    let facts = StreamFacts { foreign_streams: vec!["cdc.a.b".into()], ..sound() };
    assert_eq!(codes(&settings(), &facts), ["E-STREAM-FOREIGN"]);
    let taken_over = StreamFacts { has_record: true, ..facts.clone() };
    assert!(codes(&settings(), &taken_over).is_empty());
    let reader = StreamSettings { capture: Capture::Debezium, ..settings() };
    assert!(codes(&reader, &facts).is_empty());
}
