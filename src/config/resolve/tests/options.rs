//! `values` and `as`: what each type can be written as, what is lost, what an edited option changes.

use super::{HEADER, facts, loaded, plan, resolved, said, shop, show};
use crate::model::plan::{NodeColumn, ProjectionPlan, WriteAs, ZeroDates};
use crate::model::zone::Zone;

/// A projection over all kinds, under a `values` section.
fn with(values: &str, projections: &str) -> (Option<ProjectionPlan>, Vec<String>) {
    let text = format!("{}{projections}", HEADER.replace("projections:", &format!("values: {values}\nprojections:")));
    let (plan, problems) = resolved(&text, &shop(), &facts());
    (plan.map(|mut plan| plan.projections.remove(0)), problems.iter().map(show).collect())
}

fn written<'a>(plan: &'a ProjectionPlan, field: &str) -> &'a WriteAs {
    let named = |column: &&NodeColumn| column.field.as_deref() == Some(field);
    &plan.root().columns.iter().find(named).expect(field).write
}

const ALL: &str = "- {collection: a, root: shop.kinds}\n";

#[test]
fn every_type_says_what_it_can_be() {
    let columns = "n y d l f b t e s k k8 x day at ts tm j g v u i".split(' ');
    let said = |column: &str| {
        let problems =
            said(&format!("- {{collection: a, root: shop.kinds, columns: [{column}], as: {{{column}: odd}}}}\n"));
        problems.into_iter().find(|problem| problem.contains("E-VALUE")).expect("an error")
    };
    let possible: Vec<String> = columns
        .map(|column| {
            let said = said(column);
            let (what, fix) = said.split_once(" => ").expect("a fix");
            assert!(what.contains(&format!("`as` cannot be `odd`; it stands at shop.kinds.{column} (")), "{said}");
            format!("{column}: {}", fix.trim_start_matches("write one of "))
        })
        .collect();
    let alone = "remove it: this type is written in one way only";
    assert_eq!(
        possible,
        [
            "n: bool, string, double",
            "y: string",
            "d: string, double, decimal128",
            "l: string, double",
            "f: string",
            "b: bool, string",
            "t: string, json",
            "e: string",
            "s: string",
            "k: uuid",
            &format!("k8: {alone}"),
            &format!("x: {alone}"),
            "day: string",
            "at: string",
            "ts: string",
            "tm: string",
            "j: string, json",
            "g: geojson, wkb",
            &format!("v: {alone}"),
            "u: string",
            "i: string",
        ]
    );
    assert_eq!(
        said_of("{collection: a, root: shop.kinds, columns: [t], as: {t: jsno}}"),
        [
            "5 E-VALUE projections[0].as.t: `as` cannot be `jsno`; it stands at shop.kinds.t (text utf8mb4_0900_ai_ci) => did you mean json?"
        ]
    );
    assert_eq!(
        said_of("{collection: a, root: shop.kinds, columns: [x], as: {x: uuid}}"),
        [
            "5 E-VALUE projections[0].as.x: shop.kinds.x (blob) cannot be written as `uuid` => remove it: this type is written in one way only"
        ]
    );
    // A computed field is named by what it gives.
    assert_eq!(
        said_of("{collection: a, root: shop.kinds, columns: [id], fields: {c: id + 1}, as: {c: json}}"),
        [
            "5 E-VALUE projections[0].as.c: the field `c` (bigint) cannot be written as `json` => write one of bool, string, double"
        ]
    );
}

fn said_of(projection: &str) -> Vec<String> {
    said(&format!("- {projection}\n"))
}

#[test]
fn options_of_the_job_reach_every_node_and_a_node_goes_before() {
    let values =
        "{time_zone: Europe/Berlin, zero_dates: error, omit_nulls: true, json: string, geometry: wkb, decimal: double}";
    let projection = "- collection: a
  root: shop.kinds
  id: [at, day]
  fields: {sum: id + 1}
  as: {b: bool, s: string, t: json, k: uuid, sum: bool, l: string, f: string, u: string}
";
    let (plan, _) = with(values, projection);
    let plan = plan.expect("a plan");
    let moment = |zone: &str| WriteAs::Moment { zone: Zone::parse(zone).expect("a zone"), zero_dates: ZeroDates::Park };
    for (field, expected) in [
        ("id", WriteAs::Plain),
        ("d", WriteAs::Double),
        ("l", WriteAs::Text),
        ("f", WriteAs::Text),
        ("b", WriteAs::Bool),
        ("t", WriteAs::Json),
        ("s", WriteAs::Text),
        ("k", WriteAs::Uuid),
        ("k8", WriteAs::Plain),
        ("day", moment("UTC")),
        ("at", moment("Europe/Berlin")),
        ("ts", moment("UTC")),
        ("tm", WriteAs::Plain),
        ("j", WriteAs::Text),
        ("g", WriteAs::Wkb),
        ("u", WriteAs::Text),
        ("sum", WriteAs::Bool),
    ] {
        assert_eq!(*written(&plan, field), expected, "{field}");
    }
    assert!(plan.root().omit_nulls);
    let zones: Vec<&Zone> = plan.id.iter().map(|id| &id.zone).collect();
    assert_eq!(zones, [&Zone::Named("Europe/Berlin".into()), &Zone::Utc]);
    let back = "- {collection: a, root: shop.kinds, omit_nulls: false, as: {d: decimal128, j: json, g: geojson, at: string}}\n";
    let (plan, _) = with(values, back);
    let plan = plan.expect("a plan");
    let forms = ["d", "j", "g", "at"].map(|field| written(&plan, field).clone());
    assert_eq!(forms, [WriteAs::Plain, WriteAs::Plain, WriteAs::Plain, WriteAs::Text]);
    assert!(!plan.root().omit_nulls);
}

#[test]
fn what_the_documents_lack_is_warned_of() {
    assert_eq!(
        said(ALL),
        [
            "5 W-DECIMAL projections[0]: shop.kinds.l (decimal(40,2)) has more than 34 digits, so its values become text",
            "5 W-FRACTION projections[0]: shop.kinds.at (datetime(6)) is finer than the milliseconds of a BSON date; the rest is cut off",
            "5 W-FRACTION projections[0]: shop.kinds.ts (timestamp(6)) is finer than the milliseconds of a BSON date; the rest is cut off",
        ]
    );
    let kept = "- {collection: a, root: shop.kinds, as: {l: string, at: string, ts: string}}\n";
    assert_eq!(said(kept), [""; 0]);
    let doubles = "- {collection: a, root: shop.kinds, columns: [d, n, id], as: {d: double, n: double, id: double}}\n";
    assert_eq!(
        said(doubles),
        [
            "5 W-DOUBLE projections[0]: shop.kinds.d (decimal(20,4)) becomes a double: few decimal fractions are exact there, zeros at the end are gone, and what is beyond 15 digits is rounded",
            "5 W-DOUBLE projections[0]: shop.kinds.n (bigint unsigned) becomes a double, which does not hold every number above 2^53",
        ]
    );
    assert_eq!(
        said("- {collection: a, root: shop.kinds, columns: [id], fields: {c: TIMESTAMP(day)}}\n"),
        [
            "5 W-FRACTION projections[0].fields.c: the field `c` (datetime(6)) is finer than the milliseconds of a BSON date; the rest is cut off"
        ]
    );
}

#[test]
fn the_section_is_read_with_all_its_mistakes() {
    let (plan, said) =
        with("{time_zone: CEST, zero_dates: never, json: text, geometry: 5, decimal: [], omit_nulls: 1, tz: x}", ALL);
    assert!(plan.is_none());
    let said: Vec<&str> = said.iter().map(String::as_str).filter(|problem| !problem.contains(" W-")).collect();
    assert_eq!(
        said,
        [
            "4 E-VALUE values.time_zone: `time_zone` cannot be `CEST` => UTC, an offset from -13:59 to +14:00, or an IANA name such as Europe/Berlin",
            "4 E-VALUE values.zero_dates: `zero_dates` cannot be `never` => write one of null, string, error",
            "4 E-VALUE values.json: `json` cannot be `text` => write one of document, string",
            "4 E-VALUE values.geometry: `geometry` cannot be `5` => write one of geojson, wkb",
            "4 E-VALUE values.decimal: text is expected here, not a list",
            "4 E-VALUE values.omit_nulls: `omit_nulls` has to be true or false, not a number",
            "4 E-KEY values.tz: unknown key `tz` => write one of time_zone, zero_dates, omit_nulls, json, geometry, decimal",
        ]
    );
    for (word, zone) in [
        ("+02:00", "+02:00"),
        ("-05:30", "-05:30"),
        ("'+02:00'", "+02:00"),
        ("UTC", "UTC"),
        ("asia/tokyo", "Asia/Tokyo"),
    ] {
        let loaded = loaded(&format!(
            "{}{ALL}",
            HEADER.replace("projections:", &format!("values: {{time_zone: {word}}}\nprojections:"))
        ));
        assert_eq!(Some(loaded.job.values.time_zone), Zone::parse(zone), "{word}");
    }
    for word in ["null", "'null'"] {
        let (plan, _) = with(&format!("{{zero_dates: {word}}}"), ALL);
        assert_eq!(*written(&plan.expect("a plan"), "at"), WriteAs::Plain);
    }
}

#[test]
fn an_edited_option_is_an_edited_mapping() {
    let mapping = |values: &str| with(values, ALL).0.expect("a plan").mapping;
    let usual = mapping("{}");
    assert_eq!(usual, plan(ALL).projections[0].mapping);
    // What is written out changes nothing.
    let spelled = "{time_zone: '+00:00', zero_dates: 'null', omit_nulls: false, json: document, geometry: geojson, decimal: decimal128}";
    assert_eq!(mapping(spelled), usual);
    let edited = [
        "{time_zone: '+01:00'}",
        "{time_zone: Europe/Berlin}",
        "{zero_dates: string}",
        "{zero_dates: error}",
        "{omit_nulls: true}",
        "{json: string}",
        "{geometry: wkb}",
        "{decimal: string}",
        "{decimal: double}",
    ];
    let mut mappings: Vec<String> = edited.iter().map(|values| mapping(values)).collect();
    mappings.push(usual);
    let count = mappings.len();
    mappings.sort_unstable();
    mappings.dedup();
    assert_eq!(mappings.len(), count);
}

#[test]
fn places_and_vectors_are_no_keys() {
    let problems = said("- {collection: a, root: shop.kinds, id: [g], columns: [id]}\n");
    assert_eq!(
        problems,
        [
            "5 E-KEY-TYPE projections[0].id: shop.kinds.g (point) cannot be a part of `_id` => choose another unique key with `id`"
        ]
    );
}
