//! The tree of a YAML file as a [`JobFile`]; everything that is wrong in the file itself, all at once.
//!
//! Owns: which keys a section has, what each may hold, its default. Does not own: what only the live schema can tell
//! (`config::resolve`).

use std::time::Duration;

use secrecy::SecretString;

use super::Capture;
use super::fields::{Fields, below};
use super::job::{
    ApplyFile, BackfillFile, Entries, IndexFile, JobFile, NodeFile, OFFSETS_KEY, ProjectionFile, Shows, SourceFile,
    StreamFile, TargetFile, ThroughFile,
};
use super::problem::{At, Report, Spot};
use super::values;
use super::yaml::{Node, Yaml};

/// The keys of the job.
pub const JOB: &[&str] = &["name", "source", "stream", "target", "values", "projections", "backfill", "stream_apply"];
/// The keys of `source`.
pub const SOURCE: &[&str] = &["url", "server_id", "allow_unsafe_source", "allow_unlogged_cascades"];
/// The keys of `stream`.
pub const STREAM: &[&str] = &["url", "prefix", "capture", "max_bytes", "lease", "silence_max", "offsets_key"];
/// The keys of `target`.
pub const TARGET: &[&str] = &["url", "database", "lease", "write_deadline", "unsafe_standalone"];
/// The keys of `backfill`.
pub const BACKFILL: &[&str] = &["readers", "writers", "chunk_bytes", "lookup_bytes"];
/// The keys of `stream_apply`.
pub const APPLY: &[&str] = &["workers", "batch", "window", "queue_bytes"];
/// The keys of a projection.
pub const PROJECTION: &[&str] = &[
    "collection",
    "root",
    "id",
    "indexes",
    "columns",
    "exclude",
    "rename",
    "fields",
    "where",
    "one",
    "many",
    "omit_nulls",
    "as",
];
/// The keys of a nested node.
pub const NODE: &[&str] = &[
    "table",
    "join",
    "through",
    "order_by",
    "value",
    "max_depth",
    "allow_scan",
    "columns",
    "exclude",
    "rename",
    "fields",
    "where",
    "one",
    "many",
    "omit_nulls",
    "as",
];
/// The keys of `through`.
pub const THROUGH: &[&str] = &["table", "join", "to"];
/// The keys of an index.
pub const INDEX: &[&str] = &["keys", "unique"];

/// The longest prefix of stream names.
const PREFIX_MAX_BYTES: usize = 128;
/// How deep nodes may nest; a BSON document has at most 100 levels, an array takes two.
const NESTING_MAX: usize = 40;

/// Reads the whole file. `None` only if the file is too broken to go on with; problems are in the report either way.
pub fn job(node: &Node, report: &mut Report) -> Option<JobFile> {
    let fields = Fields::open(node, Spot { line: 1, column: 1 }, "", JOB, report)?;
    fields.missing("name", "shop", report);
    fields.missing("source", "{url: ..., server_id: 7001}", report);
    fields.missing("target", "{url: ..., database: shop}", report);
    fields.missing("projections", "[{collection: orders, root: shop.order}]", report);
    let name = fields.text("name", report);
    if let Some(name) = &name {
        job_name(name, report);
    }
    let source = fields.get("source", report).and_then(|(spot, node)| source(node, spot, report));
    // A section that is there but cannot be read must not turn into none: that would be another way for changes to go.
    let stream = match fields.has("stream") {
        Some(_) => fields.get("stream", report).and_then(|(spot, node)| stream(node, spot, report)).map(Some),
        None => Some(None),
    };
    let target = fields.get("target", report).and_then(|(spot, node)| target(node, spot, report));
    let values = fields.get("values", report).map(|(spot, node)| values::read(node, spot, report));
    let backfill = fields.get("backfill", report).map(|(spot, node)| backfill(node, spot, report));
    let apply = fields.get("stream_apply", report).map(|(spot, node)| apply(node, spot, report));
    let projections = fields.list_of("projections", report).map(|nodes| {
        if nodes.is_empty() {
            let spot = fields.has("projections").unwrap_or_default();
            report.error("E-MISSING", spot, "projections", "a job needs at least one projection", None);
        }
        let each = nodes.iter().enumerate();
        each.filter_map(|(at, node)| projection(node, &format!("projections[{at}]"), report)).collect()
    });
    Some(JobFile {
        name: name?,
        source: source?,
        stream: stream?,
        target: target?,
        values: values.unwrap_or_default(),
        projections: projections?,
        backfill: backfill.unwrap_or_default(),
        stream_apply: apply.unwrap_or_default(),
        report: report.fresh(),
    })
}

fn job_name(name: &At<String>, report: &mut Report) {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.value.is_empty() || name.value.len() > 64 || !name.value.chars().all(fine) {
        let what = "`name` has to be 1 to 64 letters, digits, `_`, `-` or `.`";
        report.error("E-VALUE", name.spot, "name", what, None);
    }
}

fn source(node: &Node, spot: Spot, report: &mut Report) -> Option<SourceFile> {
    let fields = Fields::open(node, spot, "source", SOURCE, report)?;
    fields.missing("url", "mysql://user:password@host:3306", report);
    fields.missing("server_id", "7001", report);
    let url = url(&fields, &["mysql://"], report);
    let server_id = fields.number("server_id", 1..=u64::from(u32::MAX), report);
    let allow_unsafe_source = fields.flag("allow_unsafe_source", report).unwrap_or(false);
    let allow_unlogged_cascades = fields.flag("allow_unlogged_cascades", report).unwrap_or(false);
    Some(SourceFile { url: url?, server_id: server_id?, allow_unsafe_source, allow_unlogged_cascades })
}

fn stream(node: &Node, spot: Spot, report: &mut Report) -> Option<StreamFile> {
    let fields = Fields::open(node, spot, "stream", STREAM, report)?;
    fields.missing("url", "redis://host:6379", report);
    fields.missing("prefix", "cdc", report);
    let url = url(&fields, &["redis://", "rediss://"], report);
    let prefix = fields.text("prefix", report);
    if let Some(prefix) = &prefix {
        stream_name(prefix, "prefix", report);
    }
    let capture = fields.text("capture", report);
    let capture = match capture.as_ref().map_or("rowfold", |word| word.value.as_str()) {
        "rowfold" => Some(Capture::Rowfold),
        "debezium" => Some(Capture::Debezium),
        other => {
            let what = format!("`capture` cannot be `{other}`");
            let fix = "rowfold (which writes the streams itself) or debezium (whose streams it only reads)".to_string();
            let spot = capture.as_ref().map_or(spot, |word| word.spot);
            report.error("E-VALUE", spot, "stream.capture", what, Some(fix));
            None
        }
    };
    for (key, needs, what) in [
        ("max_bytes", Capture::Rowfold, "rowfold never trims the streams of a Debezium Server"),
        ("silence_max", Capture::Debezium, "it is about a Debezium Server"),
        ("offsets_key", Capture::Debezium, "it is about a Debezium Server"),
    ] {
        if let Some(spot) = fields.has(key).filter(|_| capture.is_some_and(|capture| capture != needs)) {
            let (is, fix) = match needs {
                Capture::Rowfold => {
                    ("`capture: debezium`", format!("remove `{key}`; bound Redis in the Debezium Server"))
                }
                Capture::Debezium => ("rowfold as capture", format!("remove `{key}`, or add `capture: debezium`")),
            };
            let what = format!("`{key}` cannot go with {is}: {what}");
            report.error("E-VALUE", spot, &below("stream", key), what, Some(fix));
        }
    }
    let seconds = Duration::from_secs;
    let max_bytes = fields.bytes("max_bytes", (64 << 10)..=(1 << 44), report);
    let lease = fields.duration("lease", seconds(1)..=seconds(600), report).unwrap_or(seconds(10));
    let silence_max = fields.duration("silence_max", seconds(1)..=seconds(7 * 24 * 3600), report);
    let offsets_key = fields.text("offsets_key", report);
    if let Some(key) = &offsets_key {
        stream_name(key, "offsets_key", report);
    }
    let offsets_key = offsets_key.map_or_else(|| OFFSETS_KEY.to_string(), |key| key.value);
    Some(StreamFile { url: url?, prefix: prefix?, capture: capture?, max_bytes, lease, silence_max, offsets_key })
}

/// What a Redis key can be without surprising somebody who types it.
fn stream_name(name: &At<String>, key: &str, report: &mut Report) {
    let refused = name.value.contains(|c: char| c.is_whitespace() || c.is_control());
    if name.value.is_empty() || name.value.len() > PREFIX_MAX_BYTES || refused {
        let what = format!("`{key}` has to be 1 to {PREFIX_MAX_BYTES} bytes without spaces and control characters");
        report.error("E-VALUE", name.spot, &below("stream", key), what, None);
    }
}

fn target(node: &Node, spot: Spot, report: &mut Report) -> Option<TargetFile> {
    let fields = Fields::open(node, spot, "target", TARGET, report)?;
    fields.missing("url", "mongodb://host:27017", report);
    fields.missing("database", "shop", report);
    let url = url(&fields, &["mongodb://", "mongodb+srv://"], report);
    let database = fields.text("database", report);
    if let Some(name) = &database {
        let refused = name.value.contains(|c: char| "/\\. \"$*<>:|?".contains(c) || c.is_control());
        let own = ["admin", "local", "config"].contains(&name.value.as_str());
        if name.value.is_empty() || name.value.len() > 63 || refused || own {
            let what = format!("`{}` cannot be the target's database", name.value);
            let fix = "1 to 63 bytes without /\\. \"$*<>:|? and not admin, local or config".to_string();
            report.error("E-VALUE", name.spot, "target.database", what, Some(fix));
        }
    }
    let seconds = Duration::from_secs;
    let lease = fields.duration("lease", seconds(1)..=seconds(600), report).unwrap_or(seconds(10));
    let write_deadline =
        fields.duration("write_deadline", Duration::from_millis(200)..=seconds(300), report).unwrap_or(seconds(5));
    let unsafe_standalone = fields.flag("unsafe_standalone", report).unwrap_or(false);
    Some(TargetFile { url: url?, database: database?, lease, write_deadline, unsafe_standalone })
}

fn url(fields: &Fields<'_>, schemes: &[&str], report: &mut Report) -> Option<At<SecretString>> {
    let url = fields.text("url", report)?;
    let lower = url.value.to_ascii_lowercase();
    if !schemes.iter().any(|scheme| lower.starts_with(scheme) && lower.len() > scheme.len()) {
        let quoted = url.value.contains("${");
        let what = format!("`url` has to begin with {} and name a host", schemes.join(" or "));
        let fix = quoted.then(|| "a ${VARIABLE} in quotes is not expanded: remove the quotes".to_string());
        report.error("E-VALUE", url.spot, &below(&fields.path, "url"), what, fix);
        return None;
    }
    Some(At { value: SecretString::from(url.value), spot: url.spot })
}

fn backfill(node: &Node, spot: Spot, report: &mut Report) -> BackfillFile {
    let mut file = BackfillFile::default();
    if let Some(fields) = Fields::open(node, spot, "backfill", BACKFILL, report) {
        file.readers = fields.number("readers", 1..=64, report).map_or(file.readers, |at| at.value);
        file.writers = fields.number("writers", 1..=64, report).map_or(file.writers, |at| at.value);
        file.lookup_bytes = fields.bytes("lookup_bytes", 0..=(1 << 36), report).unwrap_or(file.lookup_bytes);
        file.chunk_bytes = fields.bytes("chunk_bytes", (1 << 10)..=(1 << 30), report).unwrap_or(file.chunk_bytes);
    }
    file
}

fn apply(node: &Node, spot: Spot, report: &mut Report) -> ApplyFile {
    let mut file = ApplyFile::default();
    if let Some(fields) = Fields::open(node, spot, "stream_apply", APPLY, report) {
        let window = Duration::from_millis(1)..=Duration::from_secs(10);
        file.workers = fields.number("workers", 1..=64, report).map_or(file.workers, |at| at.value);
        file.batch = fields.number("batch", 1..=10_000, report).map_or(file.batch, |at| at.value);
        file.window = fields.duration("window", window, report).unwrap_or(file.window);
        file.queue_bytes = fields.bytes("queue_bytes", (1 << 20)..=(16 << 30), report).unwrap_or(file.queue_bytes);
    }
    file
}

fn projection(node: &Node, path: &str, report: &mut Report) -> Option<ProjectionFile> {
    let fields = Fields::open(node, node.spot, path, PROJECTION, report)?;
    fields.missing("collection", "orders", report);
    fields.missing("root", "shop.order", report);
    let collection = fields.text("collection", report);
    let root = fields.text("root", report);
    let id = fields.texts("id", report);
    let indexes = fields.list_of("indexes", report).unwrap_or_default().iter().enumerate();
    let indexes = indexes.filter_map(|(at, node)| index(node, &format!("{path}.indexes[{at}]"), report)).collect();
    let shows = shows(&fields, 1, report);
    Some(ProjectionFile { collection: collection?, root: root?, id, indexes, shows, path: path.to_string() })
}

fn index(node: &Node, path: &str, report: &mut Report) -> Option<IndexFile> {
    let fields = Fields::open(node, node.spot, path, INDEX, report)?;
    fields.missing("keys", "{\"customer.id\": 1}", report);
    let mut keys: Entries<i32> = Vec::new();
    for (name, node) in fields.entries_of("keys", report).unwrap_or_default() {
        match node.yaml {
            Yaml::Int(1) => keys.push((name.clone(), 1)),
            Yaml::Int(-1) => keys.push((name.clone(), -1)),
            _ => report.error("E-VALUE", node.spot, &below(path, "keys"), "a direction is 1 or -1", None),
        }
    }
    let unique = fields.flag("unique", report).unwrap_or(false);
    Some(IndexFile { keys, unique, path: path.to_string() })
}

fn shows(fields: &Fields<'_>, depth: usize, report: &mut Report) -> Shows {
    Shows {
        columns: fields.texts("columns", report),
        exclude: fields.texts("exclude", report),
        rename: fields.pairs("rename", report).unwrap_or_default(),
        fields: fields.pairs("fields", report).unwrap_or_default(),
        filter: fields.text("where", report),
        one: nested(fields, "one", depth, report),
        many: nested(fields, "many", depth, report),
        omit_nulls: fields.flag("omit_nulls", report),
        kinds: fields.pairs("as", report).unwrap_or_default(),
    }
}

fn nested(fields: &Fields<'_>, key: &str, depth: usize, report: &mut Report) -> Entries<NodeFile> {
    let path = below(&fields.path, key);
    let entries = fields.entries_of(key, report).unwrap_or_default();
    if let [(name, _), ..] = entries
        && depth > NESTING_MAX
    {
        let what = format!("tables nest deeper than {NESTING_MAX} levels; a document cannot");
        report.error("E-DEPTH", name.spot, &path, what, None);
        return Vec::new();
    }
    let mut nodes = Vec::new();
    for (name, node) in entries {
        if let Some(file) = nested_node(node, name.spot, &below(&path, &name.value), depth, report) {
            nodes.push((name.clone(), file));
        }
    }
    nodes
}

fn nested_node(node: &Node, spot: Spot, path: &str, depth: usize, report: &mut Report) -> Option<NodeFile> {
    let fields = Fields::open(node, spot, path, NODE, report)?;
    fields.missing("table", "shop.customer", report);
    let table = fields.text("table", report);
    let through = fields.get("through", report).and_then(|(spot, node)| through(node, spot, path, report));
    let joined = fields.pairs("join", report);
    let nothing = joined.as_ref().is_some_and(Vec::is_empty);
    let join = joined.unwrap_or_default();
    match (fields.has("join"), fields.has("through")) {
        (None, None) => fields.missing("join", "{parent_column: column}", report),
        (Some(spot), Some(_)) => {
            let what = "a node has either `join` or `through`; with `through` the join stands inside it";
            report.error("E-JOIN", spot, &below(path, "join"), what, Some("move `join` into `through`".into()));
        }
        (Some(spot), None) if nothing => {
            report.error("E-JOIN", spot, &below(path, "join"), "`join` names no column", None);
        }
        _ => {}
    }
    let order_by = fields.texts("order_by", report);
    let value = fields.text("value", report);
    let max_depth = fields.number("max_depth", 1..=32, report);
    let allow_scan = fields.flag("allow_scan", report).unwrap_or(false);
    let shows = shows(&fields, depth + 1, report);
    let path = path.to_string();
    Some(NodeFile { table: table?, join, through, order_by, value, max_depth, allow_scan, shows, path, spot })
}

fn through(node: &Node, spot: Spot, path: &str, report: &mut Report) -> Option<ThroughFile> {
    let path = below(path, "through");
    let fields = Fields::open(node, spot, &path, THROUGH, report)?;
    fields.missing("table", "shop.order_tag", report);
    fields.missing("join", "{parent_column: link_column}", report);
    fields.missing("to", "{link_column: column}", report);
    let table = fields.text("table", report);
    let (join, to) = (fields.pairs("join", report), fields.pairs("to", report));
    for (pairs, key) in [(&join, "join"), (&to, "to")] {
        if pairs.as_ref().is_some_and(Vec::is_empty) {
            report.error("E-JOIN", spot, &below(&path, key), format!("`{key}` names no column"), None);
        }
    }
    Some(ThroughFile { table: table?, join: join?, to: to?, path })
}
