//! Does the judge see? Makes the right documents from its own SQL, without rowfold, then spoils them one by one.
//!
//! Owns: the mistakes that `compare` must find. Works on a database of its own, which it drops.

use bson::{Bson, DateTime, Decimal128, Document, doc};
use mongodb::Collection;
use mysql_async::prelude::Queryable;
use serde_json::Value;

use crate::Outcome;
use crate::compare::{self, Findings, Target};
use crate::mapping::{self, Leaf, Node, ORDER};
use crate::servers::{self, DATABASE};

const SCRATCH: &str = "rowfold_tpch_selftest";

#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Leave the right documents there, and plant nothing.
    #[arg(long)]
    keep: bool,
}

pub async fn run(options: &Options) -> Outcome {
    let target = Target { database: SCRATCH.to_owned(), collection: "orders".to_owned() };
    let database = servers::mongo().await?.database(SCRATCH);
    database.drop().await?;
    let orders: Collection<Document> = database.collection(&target.collection);
    let some = fill(&orders).await?;
    let clean = compare::compare(&target, some.len() as u64).await?;
    println!("{clean}");
    if clean.wrong() > 0 {
        return Err("right documents were called wrong".into());
    }
    if options.keep {
        return Ok(());
    }
    let key = *some.get(some.len() / 2).ok_or("too few orders")?;
    let original = orders.find_one(doc! {"_id": key}).await?.ok_or("a document is gone")?;
    let mistakes: [(&str, Document); 9] = [
        ("a value", doc! {"$set": {"customer.nation.region.r_name": "ELSEWHERE"}}),
        ("a type", doc! {"$set": {"o_custkey": i64::from(original.get_i32("o_custkey")?)}}),
        ("a type of the key's field", doc! {"$set": {"o_orderkey": i32::try_from(key)?}}),
        ("a null", doc! {"$set": {"customer": Bson::Null}}),
        ("a scale", doc! {"$set": {"o_totalprice": Bson::Decimal128("1.5".parse()?)}}),
        ("a field too many", doc! {"$set": {"customer.more": 1}}),
        ("a field too few", doc! {"$unset": {"customer.nation": ""}}),
        ("an item too few", doc! {"$pop": {"lineitems": 1}}),
        ("no field of rowfold's own", doc! {"$unset": {"_rf": ""}}),
    ];
    for (what, mistake) in mistakes {
        orders.update_one(doc! {"_id": key}, mistake).await?;
        expect(what, &compare::compare(&target, 1).await?, |found| found.different == 1 && found.wrong() == 1)?;
        orders.replace_one(doc! {"_id": key}, &original).await?;
    }
    orders.delete_one(doc! {"_id": key}).await?;
    expect("a missing document", &compare::compare(&target, 1).await?, |found| {
        found.missing == 1 && found.wrong() == 1
    })?;
    orders.insert_many([doc! {"_id": -5_i64}, doc! {"_id": "word"}]).await?;
    orders.insert_one(&original).await?;
    expect("two documents too many", &compare::compare(&target, 1).await?, |found| {
        found.extra == 2 && found.wrong() == 2
    })?;
    let few = compare::compare(&target, u64::MAX).await;
    if few.is_ok() {
        return Err("fewer documents than expected were accepted".into());
    }
    database.drop().await?;
    println!("selftest: every planted mistake was found");
    Ok(())
}

fn expect(what: &str, findings: &Findings, found: impl Fn(&Findings) -> bool) -> Outcome {
    println!("{what}: {findings}");
    if found(findings) { Ok(()) } else { Err(format!("not found: {what}").into()) }
}

/// Makes the document of every order. Returns the keys.
async fn fill(orders: &Collection<Document>) -> Outcome<Vec<i64>> {
    let mut conn = servers::mysql(Some(DATABASE)).await?;
    let mut keys: Vec<i64> = Vec::new();
    loop {
        let after = keys.last().copied();
        let sql = mapping::query(after, Some(after.unwrap_or_default() + 8_000));
        let mut rows: Vec<(i64, String)> = conn.query(sql).await?;
        if rows.is_empty() {
            rows = conn.query(mapping::query(after, None)).await?;
        }
        let mut documents = Vec::new();
        for (key, json) in rows {
            let mut document = doc! {"_id": key};
            document.extend(document_of(&ORDER, &serde_json::from_str(&json)?)?);
            document.insert("_rf", doc! {"v": 1_i64, "b": 1});
            documents.push(document);
            keys.push(key);
        }
        if documents.is_empty() {
            return Ok(keys);
        }
        orders.insert_many(documents).ordered(false).await?;
    }
}

fn document_of(node: &Node, value: &Value) -> Outcome<Document> {
    let mut document = Document::new();
    for (field, leaf) in node.fields {
        let text = value[field].as_str().and_then(|text| text.split_once(':')).ok_or("a leaf without a tag")?.1;
        let leaf = match leaf {
            Leaf::Int32 => Bson::Int32(text.parse()?),
            Leaf::Int64 => Bson::Int64(text.parse()?),
            Leaf::Decimal => Bson::Decimal128(text.parse::<Decimal128>()?),
            Leaf::Text => Bson::String(text.to_owned()),
            Leaf::Date => Bson::DateTime(DateTime::from_millis(text.parse()?)),
        };
        document.insert(*field, leaf);
    }
    for nested in node.nested {
        let inner = match &value[nested.field] {
            Value::Array(items) => Bson::Array(
                items
                    .iter()
                    .map(|item| Ok(Bson::Document(document_of(&nested.node, item)?)))
                    .collect::<Outcome<_>>()?,
            ),
            Value::Null => Bson::Null,
            one => Bson::Document(document_of(&nested.node, one)?),
        };
        document.insert(nested.field, inner);
    }
    Ok(document)
}
