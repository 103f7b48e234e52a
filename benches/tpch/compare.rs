//! The judge: every document of the collection against the same document made by MySQL, both ways.
//!
//! Owns: cutting both sides into the same key ranges, so that memory is bounded, and saying what differs. Also checks the
//! order of fields, that every document has rowfold's own field, and that there is nothing outside of the ranges.
//! Does not own: what a document should be (`mapping`).

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bson::raw::{RawArray, RawBsonRef, RawDocument};
use bson::{RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use futures_util::future::try_join_all;
use mongodb::Collection;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use serde_json::Value;

use crate::Outcome;
use crate::mapping::{self, Leaf, Node, ORDER};
use crate::report::grouped;
use crate::servers::{self, DATABASE, ask};
use crate::wait;

/// Documents of one range.
const RANGE: usize = 2_000;
/// Differences that are printed.
const SHOWN: usize = 10;

#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    pub target: Target,
    /// First wait until the running job has applied all that MySQL has executed.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    job: wait::Job,
    /// Fail if the source has fewer orders: an empty comparison proves nothing.
    #[arg(long, default_value_t = 1)]
    at_least: u64,
}

/// The collection to look at.
#[derive(Clone, Debug, clap::Args)]
pub struct Target {
    /// Database of the documents.
    #[arg(long, default_value = DATABASE)]
    pub database: String,
    /// The collection.
    #[arg(long, default_value = "orders")]
    pub collection: String,
}

impl Target {
    pub async fn open(&self) -> Outcome<Collection<RawDocumentBuf>> {
        Ok(servers::mongo().await?.database(&self.database).collection(&self.collection))
    }
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    pub compared: u64,
    pub different: u64,
    pub missing: u64,
    pub extra: u64,
    examples: Vec<String>,
    expected: u64,
    seconds: f64,
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "compared {} documents in {:.1} s: {} equal, {} different, {} missing, {} extra",
            grouped(self.expected),
            self.seconds,
            grouped(self.compared),
            self.different,
            self.missing,
            self.extra
        )?;
        self.examples.iter().try_for_each(|text| write!(f, "\n  {text}"))
    }
}

impl Findings {
    pub fn wrong(&self) -> u64 {
        self.different + self.missing + self.extra
    }

    fn example(&mut self, text: String) {
        if self.examples.len() < SHOWN {
            self.examples.push(text);
        }
    }

    fn add(&mut self, other: Self) {
        self.compared += other.compared;
        self.different += other.different;
        self.missing += other.missing;
        self.extra += other.extra;
        other.examples.into_iter().for_each(|text| self.example(text));
    }
}

pub async fn run(options: &Options) -> Outcome {
    if options.wait {
        wait::caught_up(&options.job).await?;
    }
    let findings = compare(&options.target, options.at_least).await?;
    println!("{findings}");
    if findings.wrong() > 0 {
        return Err("the documents are not what the rows say".into());
    }
    Ok(())
}

/// Compares everything. Fails if the source has fewer than `at_least` orders.
pub async fn compare(target: &Target, at_least: u64) -> Outcome<Findings> {
    let start = Instant::now();
    let mut conn = servers::mysql(Some(DATABASE)).await?;
    let expected: u64 = ask(&mut conn, "SELECT COUNT(*) FROM orders").await?;
    if expected < at_least {
        return Err(format!("the source has {expected} orders, expected were at least {at_least}").into());
    }
    eprintln!("tpch: comparing {} documents with SQL; about {} s", grouped(expected), 2 + expected / 5_000);
    let before = servers::executed(&mut conn).await?;
    let bounds = Arc::new(bounds(&mut conn).await?);
    let next = Arc::new(AtomicUsize::new(0));
    let workers = (0..2).map(|_| worker(target.clone(), bounds.clone(), next.clone()));
    let mut findings = Findings::default();
    for found in try_join_all(workers.map(flat)).await? {
        findings.add(found);
    }
    // What no range holds: an _id that is not a number.
    let held = target.open().await?.count_documents(doc! {}).await?;
    let seen = findings.compared + findings.different + findings.extra;
    if held != seen {
        findings.extra += held.saturating_sub(seen).max(1);
        findings.example(format!("the collection counts {held} documents, but only {seen} have the _id of an order"));
    }
    findings.expected = expected;
    findings.seconds = start.elapsed().as_secs_f64();
    if findings.wrong() == 0 && findings.compared != expected {
        return Err(format!("{expected} documents were expected, but {} were compared", findings.compared).into());
    }
    if findings.wrong() > 0 && servers::executed(&mut conn).await? != before {
        findings.examples.push("the source executed something meanwhile: stop all writers before comparing".to_owned());
    }
    Ok(findings)
}

async fn flat<T: Send + 'static>(work: impl Future<Output = Outcome<T>> + Send + 'static) -> Outcome<T> {
    tokio::spawn(work).await?
}

/// Ends of the ranges. Before the first and after the last lies a range too.
async fn bounds(conn: &mut Conn) -> Outcome<Vec<i64>> {
    let mut bounds: Vec<i64> = Vec::new();
    loop {
        let after = bounds.last().map(|key| format!("WHERE o_orderkey > {key}")).unwrap_or_default();
        let sql = format!("SELECT o_orderkey FROM orders {after} ORDER BY o_orderkey LIMIT 1 OFFSET {}", RANGE - 1);
        match conn.query_first(sql).await? {
            Some(key) => bounds.push(key),
            None => return Ok(bounds),
        }
    }
}

async fn worker(target: Target, bounds: Arc<Vec<i64>>, next: Arc<AtomicUsize>) -> Outcome<Findings> {
    let mut conn = servers::mysql(Some(DATABASE)).await?;
    let collection = target.open().await?;
    let mut findings = Findings::default();
    loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        if at > bounds.len() {
            return Ok(findings);
        }
        let (after, up_to) = (at.checked_sub(1).map(|before| bounds[before]), bounds.get(at).copied());
        range(&mut conn, &collection, after, up_to, &mut findings).await?;
    }
}

async fn range(
    conn: &mut Conn,
    collection: &Collection<RawDocumentBuf>,
    after: Option<i64>,
    up_to: Option<i64>,
    findings: &mut Findings,
) -> Outcome {
    let rows: Vec<(i64, String)> = conn.query(mapping::query(after, up_to)).await?;
    let mut within = doc! {"$gte": i64::MIN};
    if let Some(key) = after {
        within = doc! {"$gt": key};
    }
    if let Some(key) = up_to {
        within.insert("$lte", key);
    }
    let documents: Vec<RawDocumentBuf> =
        collection.find(doc! {"_id": within}).sort(doc! {"_id": 1}).await?.try_collect().await?;
    let mut documents = documents.iter().peekable();
    for (key, json) in &rows {
        while let Some(document) = documents.next_if(|document| id(document).is_none_or(|id| id < *key)) {
            extra(document, findings);
        }
        let Some(document) = documents.next_if(|document| id(document) == Some(*key)) else {
            findings.missing += 1;
            findings.example(format!("order {key}: missing"));
            continue;
        };
        let value: Value = serde_json::from_str(json).map_err(|error| format!("order {key}: MySQL's JSON: {error}"))?;
        match order_matches(document, *key, &value) {
            Ok(()) => findings.compared += 1,
            Err(what) => {
                findings.different += 1;
                findings.example(format!("order {key}: {what}"));
            }
        }
    }
    documents.for_each(|document| extra(document, findings));
    Ok(())
}

fn extra(document: &RawDocument, findings: &mut Findings) {
    findings.extra += 1;
    findings.example(format!("_id {:?}: no such order", document.get("_id").ok().flatten()));
}

fn id(document: &RawDocument) -> Option<i64> {
    match document.get("_id").ok().flatten() {
        Some(RawBsonRef::Int64(key)) => Some(key),
        Some(RawBsonRef::Int32(key)) => Some(i64::from(key)),
        _ => None,
    }
}

/// A field of a document as it is read from bytes: one that stands there twice is seen twice.
type Element<'a> = bson::error::Result<(&'a bson::raw::CStr, RawBsonRef<'a>)>;

/// Fails with the first difference: path, expected, found.
fn order_matches(document: &RawDocument, key: i64, expected: &Value) -> Result<(), String> {
    let mut elements = document.iter();
    match field(&mut elements, "", "_id")? {
        RawBsonRef::Int64(id) if id == key => {}
        other => return Err(differs("_id", format_args!("i64:{key}"), other)),
    }
    node_matches(&ORDER, &mut elements, expected, "")?;
    match field(&mut elements, "", "_rf")? {
        RawBsonRef::Document(_) => ends(elements, ""),
        other => Err(differs("_rf", "a document", other)),
    }
}

fn node_matches<'a>(
    node: &Node,
    elements: &mut impl Iterator<Item = Element<'a>>,
    expected: &Value,
    path: &str,
) -> Result<(), String> {
    let mut text = String::new();
    for (name, leaf) in node.fields {
        let value = field(elements, path, name)?;
        text.clear();
        write_leaf(*leaf, value, &mut text);
        let expected = expected.get(name).and_then(Value::as_str);
        if expected != Some(&text) {
            return Err(differs(&format!("{path}{name}"), expected.unwrap_or("nothing"), &text));
        }
    }
    for nested in node.nested {
        let value = field(elements, path, nested.field)?;
        let expected = expected.get(nested.field).unwrap_or(&Value::Null);
        let path = format!("{path}{}", nested.field);
        match (value, expected) {
            (RawBsonRef::Null, Value::Null) if !nested.many => {}
            (RawBsonRef::Document(document), Value::Object(_)) if !nested.many => {
                whole_matches(&nested.node, document, expected, &path)?;
            }
            (RawBsonRef::Array(array), Value::Array(items)) if nested.many => {
                array_matches(&nested.node, array, items, &path)?;
            }
            (found, expected) => return Err(differs(&path, expected, found)),
        }
    }
    Ok(())
}

fn whole_matches(node: &Node, document: &RawDocument, expected: &Value, path: &str) -> Result<(), String> {
    let mut elements = document.iter();
    let path = format!("{path}.");
    node_matches(node, &mut elements, expected, &path)?;
    ends(elements, &path)
}

fn array_matches(node: &Node, array: &RawArray, expected: &[Value], path: &str) -> Result<(), String> {
    let mut items = array.into_iter();
    for (at, expected) in expected.iter().enumerate() {
        let path = format!("{path}.{at}");
        match items.next() {
            Some(Ok(RawBsonRef::Document(document))) => whole_matches(node, document, expected, &path)?,
            other => return Err(differs(&path, expected, other)),
        }
    }
    items.next().map_or(Ok(()), |more| Err(differs(path, "no more items", more)))
}

/// The value of the next field, which must have this name.
fn field<'a>(
    elements: &mut impl Iterator<Item = Element<'a>>,
    path: &str,
    name: &str,
) -> Result<RawBsonRef<'a>, String> {
    match elements.next() {
        Some(Ok((found, value))) if found == name => Ok(value),
        other => Err(differs(&format!("{path}{name}"), "this field here", name_of(other))),
    }
}

fn ends<'a>(mut elements: impl Iterator<Item = Element<'a>>, path: &str) -> Result<(), String> {
    match elements.next() {
        None => Ok(()),
        more => Err(differs(path, "no more fields", name_of(more))),
    }
}

fn name_of(element: Option<Element<'_>>) -> String {
    match element {
        Some(Ok((name, _))) => format!("the field {}", name.as_str()),
        Some(Err(error)) => format!("broken BSON: {error}"),
        None => "the end".to_owned(),
    }
}

fn differs(path: &str, expected: impl fmt::Display, found: impl fmt::Debug) -> String {
    let short =
        |text: String| if text.len() > 200 { text.chars().take(200).chain("...".chars()).collect() } else { text };
    format!("{path}: expected {}, found {}", short(expected.to_string()), short(format!("{found:?}")))
}

/// As `mapping` tags it. A type that is not the expected one gets no tag of it, and so differs.
fn write_leaf(leaf: Leaf, value: RawBsonRef<'_>, text: &mut String) {
    let written = match (leaf, value) {
        (Leaf::Int32, RawBsonRef::Int32(number)) => write!(text, "i32:{number}"),
        (Leaf::Int64, RawBsonRef::Int64(number)) => write!(text, "i64:{number}"),
        (Leaf::Decimal, RawBsonRef::Decimal128(number)) => write!(text, "d128:{number}"),
        (Leaf::Text, RawBsonRef::String(string)) => write!(text, "s:{string}"),
        (Leaf::Date, RawBsonRef::DateTime(time)) => write!(text, "t:{}", time.timestamp_millis()),
        (_, other) => write!(text, "{other:?}"),
    };
    written.expect("memory can be written");
}
