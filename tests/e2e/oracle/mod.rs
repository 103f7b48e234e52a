//! The independent judge: what the documents should be, asked from MySQL in plain SQL, against what is in the target.
//! Owns: reading both sides in one form. Does not own: how they are compared (`compare`).

pub mod canon;
pub mod compare;
pub mod sql;

use crate::harness::servers;
use crate::schema::{Projection, Schema};
use bson::{Bson, Document, doc};
use compare::{Documents, Report};
use futures_util::TryStreamExt;
use mongodb::Database;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

/// The documents that should be there, as the connection sees the source now.
pub async fn expected(conn: &mut Conn, query: &str) -> Documents {
    let query = &sql::for_server(query, servers::is_mariadb(conn).await);
    let rows: Vec<(String, String)> = match conn.query(query).await {
        Ok(rows) => rows,
        Err(e) => panic!("{e}\nin the oracle's query:\n{query}"),
    };
    let count = rows.len();
    let documents: Documents =
        rows.into_iter().map(|(id, document)| (oracle_id(&id), canon::from_oracle(&document))).collect();
    assert_eq!(documents.len(), count, "the oracle gave an id twice");
    documents
}

/// Numbers in an id are spelled as in a document.
fn oracle_id(id: &str) -> String {
    canon::from_oracle(id).to_string()
}

/// The documents that are there.
pub async fn actual(database: &Database, collection: &str) -> Documents {
    let mut cursor = database.collection::<Document>(collection).find(doc! {}).await.expect("the target can be read");
    let mut documents = Documents::new();
    while let Some(document) = cursor.try_next().await.expect("the target can be read") {
        let id = document.get("_id").cloned().unwrap_or(Bson::Null);
        assert!(document.contains_key(canon::OWN_FIELD), "a document without {}: {document}", canon::OWN_FIELD);
        let before = documents.insert(canon::id(&id), canon::document(&document));
        assert!(before.is_none(), "the target gave {id} twice");
    }
    documents
}

pub async fn check(
    conn: &mut Conn,
    target: &Database,
    schema: &Schema,
    source: &str,
    projection: &Projection,
) -> Report {
    let expected = expected(conn, &sql::query(schema, source, projection)).await;
    compare::compare(&expected, &actual(target, &projection.root.field).await)
}

/// Every projection of the schema; anything but equality fails the test.
pub async fn assert_equal(conn: &mut Conn, target: &Database, schema: &Schema, source: &str, at_least: usize) -> usize {
    let mut compared = 0;
    for projection in &schema.projections {
        let report = check(conn, target, schema, source, projection).await;
        assert!(
            report.is_equal(),
            "{} of {source} (seed {}, {}): {report}",
            projection.root.field,
            schema.seed,
            schema.label
        );
        compared += report.compared;
    }
    assert!(compared >= at_least, "only {compared} documents were compared, of at least {at_least}");
    compared
}
