//! `<prefix>.__meta` as a Redis hash: the names of its fields, and how they are read.
//!
//! Owns: the form of the record. Does not own: its meaning (`model::stream::Meta`), who writes what when (`session`,
//! `members`).

use crate::model::position::GtidSet;
use crate::model::stream::{Epoch, Meta};

pub(super) const GENERATION: &str = "generation";
pub(super) const EPOCH: &str = "epoch";
pub(super) const SOURCE: &str = "source";
pub(super) const OWNER: &str = "owner";
pub(super) const UNTIL_MS: &str = "until_ms";
pub(super) const BEAT_MS: &str = "beat_ms";
pub(super) const IMPORTED: &str = "imported";

/// The Redis key of the record.
pub(super) fn key(prefix: &str) -> String {
    format!("{prefix}.__meta")
}

pub(super) fn epoch(number: u64) -> String {
    format!("epoch:{number}")
}

pub(super) fn captured(number: u64) -> String {
    format!("captured:{number}")
}

pub(super) fn open(number: u64) -> String {
    format!("open:{number}")
}

pub(super) fn build(id: &str) -> String {
    format!("build:{id}")
}

pub(super) fn request(id: &str) -> String {
    format!("request:{id}")
}

pub(super) fn refused(id: &str) -> String {
    format!("refused:{id}")
}

/// What an epoch's record holds; C and the open transaction have fields of their own, because they change.
#[derive(serde::Serialize, serde::Deserialize)]
struct Stored {
    from: GtidSet,
    tables: std::collections::BTreeSet<crate::model::schema::TableName>,
    base: std::collections::BTreeMap<String, crate::model::stream::Position>,
}

/// The value of `epoch:<e>`.
pub(super) fn epoch_record(epoch: &Epoch) -> Option<String> {
    let Epoch { from, tables, base, .. } = epoch;
    serde_json::to_string(&Stored { from: from.clone(), tables: tables.clone(), base: base.clone() }).ok()
}

/// Reads the record. On failure the field that cannot be read. Fields that are not known here are another version's.
pub(super) fn parse(fields: Vec<(Vec<u8>, Vec<u8>)>) -> Result<Meta, String> {
    let mut meta = Meta::default();
    let (mut captured, mut open) = (Vec::new(), Vec::new());
    for (name, value) in fields {
        let Ok(name) = String::from_utf8(name) else { continue };
        let text = String::from_utf8(value).map_err(|_| name.clone())?;
        let known = match name.split_once(':') {
            None => plain(&mut meta, &name, &text),
            Some((kind, of)) => match kind {
                "epoch" => of.parse().ok().zip(stored(&text)).map(|(number, epoch)| {
                    meta.epochs.insert(number, epoch);
                }),
                "captured" => of.parse::<u64>().ok().zip(text.parse().ok()).map(|found| captured.push(found)),
                "open" => of.parse::<u64>().ok().zip(text.parse().ok()).map(|found| open.push(found)),
                "build" => serde_json::from_str(&text).ok().map(|member| {
                    meta.members.insert(of.to_string(), member);
                }),
                "request" => text.parse().ok().map(|applied| {
                    meta.requests.insert(of.to_string(), applied);
                }),
                "refused" => {
                    meta.refused.insert(of.to_string(), text);
                    Some(())
                }
                _ => Some(()),
            },
        };
        known.ok_or(name)?;
    }
    for (number, set) in captured {
        if let Some(epoch) = meta.epochs.get_mut(&number) {
            epoch.captured = set;
        }
    }
    for (number, gtid) in open {
        if let Some(epoch) = meta.epochs.get_mut(&number) {
            epoch.open = Some(gtid);
        }
    }
    Ok(meta)
}

fn plain(meta: &mut Meta, name: &str, text: &str) -> Option<()> {
    let number = || text.parse().ok();
    match name {
        GENERATION => meta.generation = text.to_string(),
        EPOCH => meta.epoch = number()?,
        SOURCE => meta.source = text.to_string(),
        OWNER => meta.owner = text.to_string(),
        UNTIL_MS => meta.until_ms = number()?,
        BEAT_MS => meta.beat_ms = number()?,
        IMPORTED => meta.imported = text == "1",
        _ => {}
    }
    Some(())
}

/// What `from` leaves out counts as captured from the first moment on.
fn stored(text: &str) -> Option<Epoch> {
    let Stored { from, tables, base } = serde_json::from_str(text).ok()?;
    Some(Epoch { captured: from.clone(), from, tables, base, open: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::position::Gtid;

    fn fields(pairs: &[(&str, &str)]) -> Vec<(Vec<u8>, Vec<u8>)> {
        pairs.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
    }

    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    #[test]
    fn c_begins_as_what_was_left_out() {
        let record = format!(r#"{{"from":"{A}:1-5","tables":[{{"database":"a","table":"b"}}],"base":{{}}}}"#);
        let meta = parse(fields(&[("epoch:3", &record)])).expect("a record");
        assert_eq!(meta.epochs[&3].captured.to_string(), format!("{A}:1-5"));
        let (captured, open) = (format!("{A}:1-7"), format!("{A}:blue:8"));
        let all = [("open:3", open.as_str()), ("captured:3", &captured), ("epoch:3", &record), ("captured:2", "")];
        let meta = parse(fields(&all)).expect("a record");
        assert_eq!(meta.epochs[&3].captured.to_string(), captured);
        assert_eq!(meta.epochs[&3].open.as_ref().map(Gtid::to_string), Some(open));
        assert_eq!(meta.epochs.len(), 1);
        // One transaction of MariaDB is written like a position of it.
        let meta = parse(fields(&[("epoch:3", &record), ("open:3", "0-2-8")])).expect("a record");
        assert_eq!(meta.epochs[&3].open.as_ref().map(|open| open.number), Some(8));
    }

    #[test]
    fn a_field_that_cannot_be_read_is_named() {
        for (name, value) in [
            ("epoch", "x"),
            ("epoch:1", "{}"),
            ("captured:x", ""),
            ("open:1", "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-2"),
            ("build:j", "[]"),
            ("request:j", "none"),
        ] {
            assert_eq!(parse(fields(&[("generation", "g"), (name, value)])), Err(name.to_string()));
        }
        assert!(parse(fields(&[("of a later version", "x"), ("new:1", "y")])).is_ok());
    }
}
