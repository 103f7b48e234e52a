//! Job files: what is read, what is refused, what an editor is told.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use secrecy::ExposeSecret;
use serde_json::Value;

use super::loaded::{Loaded, read};
use super::{Capture, json_schema, parse, place, render};

fn load(text: &str) -> Loaded {
    read("job.yaml", text, &HashMap::new()).unwrap_or_else(|problems| panic!("{}", render(&problems)))
}

/// What is wrong with a file, whether or not a job could be made of it.
fn said(text: &str) -> Vec<String> {
    let problems = match read("job.yaml", text, &HashMap::new()) {
        Ok(loaded) => loaded.problems,
        Err(problems) => problems,
    };
    let text = |problem: &super::Problem| {
        let at = problem.location.as_ref().expect("a problem of a file has a place in it");
        let fix = problem.fix.as_ref().map(|fix| format!(" => {fix}")).unwrap_or_default();
        format!("{}:{} {} {}: {}{fix}", at.spot.line, at.spot.column, problem.code, at.path, problem.what)
    };
    problems.iter().map(text).collect()
}

#[test]
fn settings_have_defaults_and_units() {
    let least = "name: a\nsource: {url: 'mysql://h', server_id: 1}\ntarget: {url: 'mongodb://h', database: d}\n\
                 projections: [{collection: c, root: a.b}]\n";
    let loaded = load(least);
    assert_eq!(render(&loaded.problems), "");
    let settings = loaded.settings;
    assert_eq!(
        (settings.target.lease, settings.target.write_deadline),
        (Duration::from_secs(10), Duration::from_secs(5))
    );
    assert_eq!((settings.backfill.readers, settings.backfill.writers), (4, 2));
    assert_eq!(settings.backfill.chunk_bytes, 8 << 20);
    assert_eq!((settings.apply.workers, settings.apply.batch), (4, 500));
    assert_eq!((settings.apply.window, settings.apply.queue_bytes), (Duration::from_millis(30), 64 << 20));
    assert!(!settings.source.allow_unsafe_source && !settings.target.unsafe_standalone);

    let loaded = load(
        "name: a\nsource: {url: mysql://u:p@h, server_id: 4294967295, allow_unsafe_source: true}\n\
         target: {url: mongodb+srv://h, database: d, lease: 3s, write_deadline: 1500ms, unsafe_standalone: true}\n\
         projections: [{collection: c, root: a.b}]\n\
         backfill: {readers: 1, writers: 64, chunk_bytes: 64 KiB}\n\
         stream_apply: {workers: 2, batch: 1, window: 1s, queue_bytes: 1048576}\n",
    );
    assert_eq!(render(&loaded.problems), "");
    let settings = loaded.settings;
    assert_eq!(settings.source.url.expose_secret(), "mysql://u:p@h");
    assert_eq!(settings.source.server_id, u32::MAX);
    assert!(settings.source.allow_unsafe_source && settings.target.unsafe_standalone);
    assert_eq!(
        (settings.target.lease, settings.target.write_deadline),
        (Duration::from_secs(3), Duration::from_millis(1500))
    );
    assert_eq!((settings.backfill.readers, settings.backfill.writers, settings.backfill.chunk_bytes), (1, 64, 65536));
    assert_eq!((settings.apply.batch, settings.apply.queue_bytes), (1, 1 << 20));
}

/// A job with this `stream` section.
fn with_stream(section: &str) -> String {
    format!(
        "name: a\nsource: {{url: 'mysql://h', server_id: 1}}\ntarget: {{url: 'mongodb://h', database: d}}\n\
         projections: [{{collection: c, root: a.b}}]\nstream: {section}\n"
    )
}

#[test]
fn a_stream_has_defaults_and_two_kinds_of_capture() {
    let least = load(&with_stream("{url: redis://u:p@h/1, prefix: cdc}")).settings.stream.expect("a stream");
    assert_eq!((least.place().as_str(), least.prefix.as_str(), least.capture), ("h:6379", "cdc", Capture::Rowfold));
    assert_eq!((least.max_bytes, least.lease, least.silence_max), (None, Duration::from_secs(10), None));
    assert_eq!(least.offsets_key, "metadata:debezium:offsets");
    assert!(!format!("{least:?}").contains("u:p"), "{least:?}");

    let ours = "{url: rediss://h:1, prefix: \"{cdc}\", capture: rowfold, max_bytes: 2GiB, lease: 3s}";
    let ours = load(&with_stream(ours)).settings.stream.expect("a stream");
    assert_eq!((ours.prefix.as_str(), ours.max_bytes, ours.lease), ("{cdc}", Some(2 << 30), Duration::from_secs(3)));

    let theirs = "{url: redis://h, prefix: cdc, capture: debezium, silence_max: 1m, offsets_key: my:offsets}";
    let theirs = load(&with_stream(theirs)).settings.stream.expect("a stream");
    assert_eq!((theirs.capture, theirs.silence_max), (Capture::Debezium, Some(Duration::from_secs(60))));
    assert_eq!(theirs.offsets_key, "my:offsets");
}

#[test]
fn what_a_stream_cannot_be_is_told() {
    for (section, told) in [
        (
            "{url: redis://h, prefix: ''}",
            "5:34 E-VALUE stream.prefix: `prefix` has to be 1 to 128 bytes without spaces",
        ),
        (
            "{url: redis://h, prefix: a b}",
            "5:34 E-VALUE stream.prefix: `prefix` has to be 1 to 128 bytes without spaces",
        ),
        (r#"{url: redis://h, prefix: "a\tb"}"#, "5:34 E-VALUE stream.prefix: `prefix` has to be 1 to 128 bytes"),
        ("{url: redis://h, prefix: {cdc: 1}}", "5:34 E-VALUE stream.prefix: text is expected here, not a mapping"),
        ("{prefix: cdc}", "5:1 E-MISSING stream.url: stream needs `url` => url: redis://host:6379"),
        ("{url: redis://h, prefix: c, lease: 1h}", "5:44 E-VALUE stream.lease: `lease` has to be a duration"),
        ("{url: redis://h, prefix: c, max_bytes: 1kB}", "5:48 E-VALUE stream.max_bytes: `max_bytes` has to be a size"),
        (
            "{url: redis://h, prefix: c, capture: debezium, max_bytes: 1GiB}",
            "5:56 E-VALUE stream.max_bytes: `max_bytes` cannot go with `capture: debezium`: rowfold never trims",
        ),
        (
            "{url: redis://h, prefix: c, silence_max: 1m}",
            "5:37 E-VALUE stream.silence_max: `silence_max` cannot go with rowfold as capture",
        ),
        (
            "{url: redis://h, prefix: c, offsets_key: o}",
            "5:37 E-VALUE stream.offsets_key: `offsets_key` cannot go with rowfold as capture",
        ),
        ("[a]", "5:9 E-VALUE stream: stream has to be a mapping of keys, not a list"),
        ("", "5:1 E-VALUE stream: `stream` has no value => give it one or remove it"),
    ] {
        let said = said(&with_stream(section));
        assert!(said.len() == 1 && said[0].starts_with(told), "{section}: {said:#?}");
    }
    let long = said(&with_stream(&format!("{{url: redis://h, prefix: {}}}", "p".repeat(129))));
    assert!(long.len() == 1 && long[0].contains("1 to 128 bytes"), "{long:#?}");
}

const EXPECTED: &[&str] = &[
    "1:7 E-VALUE name: `name` has to be 1 to 64 letters, digits, `_`, `-` or `.`",
    "3:8 E-VALUE source.url: `url` has to begin with mysql:// and name a host",
    "4:14 E-VALUE source.server_id: `server_id` has to be a whole number from 1 to 4294967295",
    "5:3 E-UNSUPPORTED source.throttle: `throttle` is not supported yet: leave it out",
    "6:1 E-MISSING stream.prefix: stream needs `prefix` => prefix: cdc",
    "6:10 E-KEY stream.prefx: unknown key `prefx` => did you mean prefix?",
    "6:27 E-VALUE stream.url: `url` has to begin with redis:// or rediss:// and name a host",
    "6:46 E-VALUE stream.capture: `capture` cannot be `kafka` => rowfold (which writes the streams itself) or debezium (whose streams it only reads)",
    "8:8 E-VALUE target.url: `url` has to begin with mongodb:// or mongodb+srv:// and name a host => a ${VARIABLE} in quotes is not expanded: remove the quotes",
    "9:13 E-VALUE target.database: `admin` cannot be the target's database => 1 to 63 bytes without /\\. \"$*<>:|? and not admin, local or config",
    "10:10 E-VALUE target.lease: `lease` has to be a duration with its unit, from 1s to 10m",
    "11:19 E-VALUE target.write_deadline: `write_deadline` has to be a duration with its unit, from 200ms to 5m",
    "12:1 E-KEY backfil: unknown key `backfil` => did you mean backfill?",
    "13:21 E-VALUE backfill.readers: `readers` has to be a whole number from 1 to 64",
    "13:37 E-VALUE backfill.chunk_bytes: `chunk_bytes` has to be a size such as 8MiB, from 1KiB to 1GiB",
    "14:15 E-VALUE stream_apply: stream_apply has to be a mapping of keys, not a list",
    "16:17 E-VALUE projections[0].collection: text is expected here, not a boolean => put it in quotes",
    "18:5 E-KEY projections[0].exclud: unknown key `exclud` => did you mean exclude?",
    "19:5 E-VALUE projections[0].exclude: `exclude` has no value => give it one or remove it",
    "20:14 E-VALUE projections[0].columns: `columns` has to be a list of names, not a mapping => columns: [a, b]",
    "21:26 E-VALUE projections[0].indexes[0].keys: a direction is 1 or -1",
    "21:31 E-MISSING projections[0].indexes[1].keys: projections[0].indexes[1] needs `keys` => keys: {\"customer.id\": 1}",
    "22:17 E-VALUE projections[0].omit_nulls: `omit_nulls` has to be true or false, not text",
    "24:7 E-MISSING projections[0].one.c.join: projections[0].one.c needs `join` => join: {parent_column: column}",
    "24:23 E-KEY projections[0].one.c.on: unknown key `on` => the key is `join` here (YAML readers turn `on` into a boolean)",
    "25:23 E-JOIN projections[0].one.d.join: `join` names no column",
    "26:23 E-JOIN projections[0].one.e.join: a node has either `join` or `through`; with `through` the join stands inside it => move `join` into `through`",
    "26:37 E-MISSING projections[0].one.e.through.join: projections[0].one.e.through needs `join` => join: {parent_column: link_column}",
    "26:37 E-JOIN projections[0].one.e.through.to: `to` names no column",
    "27:10 E-VALUE projections[0].one.f: projections[0].one.f has to be a mapping of keys, not text",
    "29:7 E-MISSING projections[0].many.g.table: projections[0].many.g needs `table` => table: shop.customer",
    "29:17 E-VALUE projections[0].many.g.join: `join` has to be a mapping of names, not a list => join: {a: b}",
    "29:33 E-VALUE projections[0].many.g.max_depth: `max_depth` has to be a whole number from 1 to 32",
    "29:47 E-VALUE projections[0].many.g.order_by: `order_by` has to be a list of names, not a mapping => order_by: [a, b]",
    "29:62 E-VALUE projections[0].many.g.value: text is expected here, not a number with a fraction => put it in quotes",
    "29:67 E-VALUE projections[0].many.g.where: `where` has no value => give it one or remove it",
];

#[test]
fn every_mistake_of_a_file_is_told_at_once() {
    let text = "name: a job
source:
  url: postgres://h
  server_id: 0
  throttle: {threads_running: 50}
stream: {prefx: cdc, url: http://h, capture: kafka}
target:
  url: '${ROWFOLD_MONGO_URL}'
  database: admin
  lease: 10
  write_deadline: 1h
backfil: {readers: 2}
backfill: {readers: 0, chunk_bytes: big}
stream_apply: [1]
projections:
  - collection: true
    root: a.b
    exclud: [x]
    exclude:
    columns: {a: b}
    indexes: [{keys: {a: 2}}, {}]
    omit_nulls: maybe
    one:
      c: {table: a.c, on: {x: y}}
      d: {table: a.d, join: {}}
      e: {table: a.e, join: {x: y}, through: {table: a.f, to: {}}}
      f: a.f
    many:
      g: {join: [x], max_depth: 99, order_by: {a: b}, value: 1.5, where: null}
";
    assert!(said(text) == EXPECTED, "{:#?}", said(text));
}

#[test]
fn a_file_that_is_no_job_is_said_to_be_none() {
    assert_eq!(said("- a\n- b\n"), ["1:1 E-VALUE : the job has to be a mapping of keys, not a list"]);
    assert_eq!(said(""), ["1:1 E-VALUE : the job has to be a mapping of keys, not nothing"]);
    let missing = said("name: x\n");
    assert_eq!(missing.len(), 3, "{missing:#?}");
    assert_eq!(missing[0], "1:1 E-MISSING source: the job needs `source` => source: {url: ..., server_id: 7001}");
}

#[test]
fn nodes_nest_without_end_only_so_far() {
    let mut text = "name: a\nsource: {url: 'mysql://h', server_id: 1}\ntarget: {url: 'mongodb://h', database: d}\n\
                    projections:\n- collection: c\n  root: a.b\n"
        .to_string();
    for depth in 0..60 {
        let pad = "  ".repeat(2 * depth + 1);
        text.push_str(&format!("{pad}one:\n{pad}  n:\n{pad}    table: a.b\n{pad}    join: {{a: b}}\n"));
    }
    let said = said(&text);
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(said[0].contains("E-DEPTH") && said[0].contains("tables nest deeper than 40 levels"), "{said:#?}");
}

#[test]
fn places_show_no_account() {
    for (url, shown) in [
        ("mysql://u:p@db:3307/shop?x=1", "db:3307"),
        ("mysql://db", "db:3306"),
        ("mysql://u:p@ss/w@db:1", "db:1"),
        ("mysql://u:p@[::1]:3306/", "[::1]:3306"),
        ("mysql://u:p@[::1]", "[::1]:3306"),
        ("mongodb://u:p@a:1,b/admin?replicaSet=rs", "a:1,b:3306"),
    ] {
        assert_eq!(place(url, "3306"), shown);
    }
}

/// The keys of an object of the schema.
fn keys(schema: &Value, name: &str) -> BTreeSet<String> {
    let object = if name == "JobFile" { schema } else { &schema["$defs"][name] };
    let properties = object["properties"].as_object().unwrap_or_else(|| panic!("{name} has no properties: {object}"));
    properties.keys().cloned().collect()
}

#[test]
fn the_schema_has_the_keys_that_are_read() {
    let schema: Value = serde_json::from_str(&json_schema()).expect("the schema is JSON");
    let read = |keys: &[&str]| keys.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    for (name, known) in [
        ("SourceFile", parse::SOURCE),
        ("StreamFile", parse::STREAM),
        ("TargetFile", parse::TARGET),
        ("BackfillFile", parse::BACKFILL),
        ("ApplyFile", parse::APPLY),
        ("ProjectionFile", parse::PROJECTION),
        ("NodeFile", parse::NODE),
        ("ThroughFile", parse::THROUGH),
        ("IndexFile", parse::INDEX),
    ] {
        assert_eq!(keys(&schema, name), read(known), "{name}");
    }
    assert_eq!(keys(&schema, "JobFile"), read(parse::JOB));
    assert_eq!(schema["required"], serde_json::json!(["name", "source", "target", "projections"]));
    let node = &schema["$defs"]["NodeFile"];
    assert_eq!(node["required"], serde_json::json!(["table"]));
    assert!(!node.to_string().contains("At_"), "{node}");
    assert_eq!(schema["$defs"]["TargetFile"]["properties"]["lease"]["default"], "10s");
    let stream = &schema["$defs"]["StreamFile"];
    assert_eq!(stream["required"], serde_json::json!(["url", "prefix"]));
    assert_eq!(stream["properties"]["capture"]["default"], "rowfold");
    assert_eq!(stream["properties"]["offsets_key"]["default"], "metadata:debezium:offsets");
}
