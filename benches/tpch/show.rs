//! Documents for people, as mongosh would print them.

use std::fmt::Write;

use bson::{Bson, Document, doc};
use futures_util::TryStreamExt;

use crate::Outcome;
use crate::compare::Target;
use crate::servers;

/// What fits in a line stays in one.
const WIDTH: usize = 150;

#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How many, spread over the collection.
    #[arg(default_value_t = 3)]
    count: u32,
    /// The document of this order instead.
    #[arg(long)]
    id: Option<i64>,
    #[command(flatten)]
    target: Target,
}

pub async fn run(options: &Options) -> Outcome {
    let collection =
        servers::mongo().await?.database(&options.target.database).collection::<Document>(&options.target.collection);
    let mut documents = Vec::new();
    if let Some(id) = options.id {
        documents.extend(collection.find_one(doc! {"_id": id}).await?);
    } else {
        let last = collection.find_one(doc! {}).sort(doc! {"_id": -1}).projection(doc! {"_id": 1}).await?;
        let last = last.and_then(|document| document.get_i64("_id").ok()).unwrap_or_default();
        for at in 0..i64::from(options.count) {
            // Short ones first: whoever reads them has seen enough of one with seven line items.
            let from = doc! {"$gte": last * at / i64::from(options.count), "$lte": last};
            let few = doc! {"_id": from, "lineitems.1": {"$exists": false}, "lineitems.0": {"$exists": true}};
            let mut cursor = collection.find(few).sort(doc! {"_id": 1}).limit(1).await?;
            documents.extend(cursor.try_next().await?);
        }
    }
    if documents.is_empty() {
        return Err(format!("{}.{} has no such document", options.target.database, options.target.collection).into());
    }
    for document in documents {
        println!("{}\n", render(&Bson::Document(document), 0));
    }
    Ok(())
}

fn render(value: &Bson, depth: usize) -> String {
    let line = flat(value);
    if line.chars().count() + depth * 2 <= WIDTH {
        return line;
    }
    let inner = "  ".repeat(depth + 1);
    let (open, close, parts): (_, _, Vec<String>) = match value {
        Bson::Document(document) => {
            // Scalars share lines, what is nested has lines of its own.
            let mut parts: Vec<String> = Vec::new();
            let mut open_line = false;
            for (name, value) in document {
                let text = format!("{name}: {}", render(value, depth + 1));
                let nested = matches!(value, Bson::Document(_) | Bson::Array(_));
                match parts.last_mut() {
                    Some(last)
                        if open_line && !nested && last.chars().count() + text.chars().count() + depth * 2 < WIDTH =>
                    {
                        write!(last, ", {text}").expect("memory can be written");
                    }
                    _ => parts.push(text),
                }
                open_line = !nested;
            }
            ('{', '}', parts)
        }
        Bson::Array(items) => ('[', ']', items.iter().map(|item| render(item, depth + 1)).collect()),
        _ => return line,
    };
    let lines: Vec<String> = parts.into_iter().map(|part| format!("{inner}{part}")).collect();
    format!("{open}\n{}\n{}{close}", lines.join(",\n"), "  ".repeat(depth))
}

fn flat(value: &Bson) -> String {
    match value {
        Bson::Document(document) if document.is_empty() => "{}".to_owned(),
        Bson::Document(document) => {
            let fields: Vec<String> = document.iter().map(|(name, value)| format!("{name}: {}", flat(value))).collect();
            format!("{{ {} }}", fields.join(", "))
        }
        Bson::Array(items) => format!("[{}]", items.iter().map(flat).collect::<Vec<_>>().join(", ")),
        Bson::String(text) => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
        Bson::Int64(number) => format!("Long('{number}')"),
        Bson::Decimal128(number) => format!("Decimal128('{number}')"),
        Bson::DateTime(time) => match time.try_to_rfc3339_string() {
            Ok(text) => format!("ISODate('{text}')"),
            Err(_) => format!("ISODate({})", time.timestamp_millis()),
        },
        Bson::Null => "null".to_owned(),
        other => other.to_string(),
    }
}
