//! The target's ports against a real server. Needs `ROWFOLD_MONGO_URL`; each test has a database of its own.
#![allow(clippy::disallowed_methods, reason = "tests against real servers measure and poll in real time")]

mod documents;
mod records;

use std::time::Duration;

use bson::{Document as Bson, doc};
use mongodb::{Client, Database};
use rowfold::config::TargetSettings;
use rowfold::edge::mongo::MongoTarget;
use rowfold::model::document::Document;
use rowfold::model::position::Version;
use rowfold::model::value::{Key, Value};
use rowfold::ports::Write;

/// A target with an empty database, and a plain client on the same.
pub struct Bench {
    pub target: MongoTarget,
    pub plain: Database,
    settings: TargetSettings,
}

impl Bench {
    pub async fn new(test: &str) -> Self {
        let settings = TargetSettings {
            url: url().into(),
            database: format!("rf_mongo_{test}"),
            lease: Duration::from_secs(2),
            unsafe_standalone: true,
            write_deadline: Duration::from_secs(3),
        };
        let plain = Client::with_uri_str(url()).await.expect("a client").database(&settings.database);
        plain.drop().await.expect("an empty database");
        Self { target: MongoTarget::connect(&settings).await.expect("the target"), plain, settings }
    }

    /// Another process, so to speak.
    pub async fn another(&self) -> MongoTarget {
        MongoTarget::connect(&self.settings).await.expect("the target")
    }

    /// The server's clock.
    pub async fn now_ms(&self) -> i64 {
        let hello = self.plain.run_command(doc! {"hello": 1}).await.expect("hello");
        hello.get_datetime("localTime").expect("a time").timestamp_millis()
    }

    pub async fn find(&self, collection: &str, id: impl Into<bson::Bson>) -> Option<Bson> {
        self.plain.collection::<Bson>(collection).find_one(doc! {"_id": id.into()}).await.expect("a read")
    }

    pub async fn count(&self, collection: &str) -> u64 {
        self.plain.collection::<Bson>(collection).count_documents(doc! {}).await.expect("a count")
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("left for inspection: database {}", self.settings.database);
        }
    }
}

fn url() -> String {
    std::env::var("ROWFOLD_MONGO_URL").expect("set ROWFOLD_MONGO_URL to a MongoDB server that tests may write to")
}

/// A document of the fields given, with its version.
pub fn document(mut fields: Bson, version: i64) -> Document {
    fields.insert("_rf", doc! {"v": version, "b": 1});
    Document { key: Key(vec![Value::Int(0)]), bytes: bson::serialize_to_vec(&fields).expect("BSON") }
}

pub fn put(fields: Bson, version: i64, likely_new: bool) -> Write {
    Write::Put { document: document(fields, version), likely_new }
}

pub fn delete(id: impl Into<bson::Bson>) -> Write {
    Write::Delete { id: bson::serialize_to_vec(&doc! {"_id": id.into()}).expect("BSON") }
}

pub fn v(number: i64) -> Version {
    Version(number)
}

#[tokio::test]
async fn facts_and_refusals() {
    use rowfold::error::Kind;
    let bench = Bench::new("facts").await;
    bench.target.ping().await.expect("an answer");
    let facts = bench.target.facts().await.expect("facts");
    assert!(facts.wire_version >= 13, "{facts:?}");
    assert_eq!(facts.bson_bytes_max, 16 * 1024 * 1024);
    assert!(facts.deadline_works, "{facts:?}");
    assert_eq!(bench.count("_rowfold.meta").await, 0);

    let mut settings = bench.settings.clone();
    for bad in ["mysql://a:secret@b/", "mongodb://user:sec/ret@host/", "mongodb://user:secret@host:port/", ""] {
        settings.url = bad.to_string().into();
        let error = MongoTarget::connect(&settings).await.expect_err("refused");
        assert_eq!(error.kind(), Kind::Config, "{bad}");
        assert!(!error.chain().contains("sec"), "{}", error.chain());
    }
    settings.url = "mongodb://user:secret@127.0.0.1:1/?serverSelectionTimeoutMS=300".to_string().into();
    let error = MongoTarget::connect(&settings).await.expect_err("nobody there");
    assert_eq!(error.kind(), Kind::Retry);
    assert!(!error.chain().contains("secret"), "{}", error.chain());
    bench.plain.drop().await.expect("gone");
}
