//! Sessions of capture: exactly one begins on what several have seen.

use std::sync::Arc;

use rowfold::model::stream::Member;
use rowfold::ports::{Begin, StreamStore};

use super::support::{Bench, append, begin, set, table};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_those_that_saw_the_same_exactly_one_begins() {
    let bench = Bench::new("race").await;
    let mut owners = Vec::new();
    for _ in 0..4 {
        owners.push(Arc::new(bench.another().await));
    }
    let mut seen = None;
    for epoch in 1..=50 {
        let start = Arc::new(tokio::sync::Barrier::new(owners.len()));
        let race: Vec<_> = (0..owners.len())
            .map(|at| {
                let (owner, start, seen) = (owners[at].clone(), start.clone(), seen.clone());
                tokio::spawn(async move {
                    let begin = Begin { owner: format!("owner {at}"), ..begin(seen, &format!("g{at}"), epoch) };
                    start.wait().await;
                    owner.begin(&begin).await.expect("an answer")
                })
            })
            .collect();
        let mut winners = Vec::new();
        for (at, task) in race.into_iter().enumerate() {
            if task.await.expect("no panic") {
                winners.push(at);
            }
        }
        assert_eq!(winners.len(), 1, "epoch {epoch}: {winners:?}");
        let meta = bench.meta().await;
        assert_eq!((meta.epoch, meta.owner), (epoch, format!("owner {}", winners[0])));
        seen = Some((meta.generation, epoch));
    }
}

#[tokio::test]
async fn on_an_outdated_look_nothing_is_written() {
    let bench = Bench::new("outdated").await;
    bench.begin(1).await;
    bench.begin(2).await;
    let before = bench.meta().await;
    let outdated = [None, Some(("g".to_string(), 1)), Some(("h".to_string(), 2)), Some(("g".to_string(), 3))];
    for seen in outdated {
        let late = Begin { owner: "late".into(), ..begin(seen, "g", 4) };
        assert!(!bench.streams.begin(&late).await.expect("an answer"));
        assert_eq!(bench.meta().await, before);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn builds_that_come_and_go_do_not_hinder_it() {
    let bench = Bench::new("busy").await;
    let builds = bench.another().await;
    let task = tokio::spawn(async move {
        let member = Member { job: "job".into(), tables: [table("a")].into() };
        loop {
            builds.register("build", &member).await.expect("registered");
            // Far more often than builds start, and not in step with the others.
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    });
    super::support::until("a build", async || bench.look(&[]).await.meta.is_some()).await;
    // A record that only builds have written to is none yet.
    assert_eq!(bench.meta().await.generation, "");
    assert!(bench.streams.begin(&begin(None, "g", 1)).await.expect("an answer"));
    for epoch in 2..=100 {
        bench.begin(epoch).await;
        let said = bench.streams.append(&append(epoch, Vec::new(), set(epoch))).await.expect("an answer");
        assert_eq!(said, rowfold::ports::Appended::Done);
    }
    task.abort();
    assert!(task.await.is_err_and(|error| error.is_cancelled()), "the builds failed");
}

#[tokio::test]
async fn what_was_served_refused_and_forgotten_is_gone() {
    let bench = Bench::new("served").await;
    for epoch in 1..=3 {
        bench.begin(epoch).await;
    }
    for id in ["served", "hopeless", "waiting"] {
        bench.streams.request(id, &set(1)).await.expect("requested");
    }
    let next = Begin {
        served: vec!["served".into()],
        refused: vec![("hopeless".into(), "purged".into()), ("member".into(), "no such table".into())],
        forget: vec![1, 2],
        ..begin(Some(("g".into(), 3)), "g", 4)
    };
    assert!(bench.streams.begin(&next).await.expect("an answer"));
    let meta = bench.meta().await;
    assert_eq!(meta.requests.into_keys().collect::<Vec<_>>(), ["waiting"]);
    assert_eq!(meta.epochs.into_keys().collect::<Vec<_>>(), [3, 4]);
    let reasons = [("hopeless".to_string(), "purged".to_string()), ("member".to_string(), "no such table".to_string())];
    assert_eq!(meta.refused, reasons.into());
    // Whoever asks again wants a new answer.
    bench.streams.request("hopeless", &set(2)).await.expect("requested");
    assert_eq!(bench.meta().await.refused.into_keys().collect::<Vec<_>>(), ["member"]);
}

#[tokio::test]
async fn only_its_own_lease_is_ended() {
    let bench = Bench::new("release").await;
    bench.streams.release("g", 1).await.expect("nothing to do");
    assert_eq!(bench.look(&[]).await.meta, None);
    bench.begin(1).await;
    bench.begin(2).await;
    for (generation, epoch) in [("g", 1), ("h", 2)] {
        bench.streams.release(generation, epoch).await.expect("nothing to do");
        let look = bench.look(&[]).await;
        assert!(look.meta.expect("a record").until_ms > look.now_ms);
    }
    bench.streams.release("g", 2).await.expect("released");
    let look = bench.look(&[]).await;
    let meta = look.meta.expect("a record");
    assert!(meta.until_ms < look.now_ms);
    assert_eq!((meta.epoch, meta.owner.as_str()), (2, "me"));
}
