//! How values are written, as the job file says it: the section `values`, and the words of `as`.
//!
//! Owns: [`ValuesFile`], [`AsKind`], their documentation (which is the JSON Schema's) and reading them. Does not own: which
//! column can be written how (`config::resolve::options`), writing it (`logic::conversion`).

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::fields::Fields;
use super::problem::{Report, Spot};
use super::yaml::Node;
use crate::model::plan::ZeroDates;
use crate::model::zone::Zone;

/// The keys of `values`.
pub const VALUES: &[&str] = &["time_zone", "zero_dates", "omit_nulls", "json", "geometry", "decimal"];

/// How values are written, for the whole job. A node's `as` and `omit_nulls` go before.
#[derive(Clone, Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ValuesFile {
    /// The zone of DATETIME columns: `UTC`, an offset such as `+02:00`, or an IANA name such as `Europe/Berlin`. A local
    /// time that a clock change skips is read by the offset before the change, one that comes twice is the first of the
    /// two. TIMESTAMP columns are instants already, and DATE columns have no zone.
    #[schemars(default, with = "String", extend("default" = "UTC"))]
    pub time_zone: Zone,
    /// What becomes of zero and impossible dates (`0000-00-00`, `2024-02-30`): `null`, and how many there were is
    /// reported; `string`, the text that MySQL prints; `error`, which parks the document and names the column.
    #[schemars(default, schema_with = "zero_dates_schema", extend("default" = null))]
    pub zero_dates: ZeroDates,
    /// Leave a field out when it is NULL, instead of writing null.
    #[schemars(default)]
    pub omit_nulls: bool,
    /// How JSON columns are written.
    #[schemars(default, extend("default" = "document"))]
    pub json: JsonForm,
    /// How GEOMETRY columns are written.
    #[schemars(default, extend("default" = "geojson"))]
    pub geometry: GeometryForm,
    /// How DECIMAL columns are written.
    #[schemars(default, extend("default" = "decimal128"))]
    pub decimal: DecimalForm,
}

/// The words of `zero_dates`. YAML's own null is one of them.
fn zero_dates_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "enum": [null, "null", "string", "error"],
    })
}

/// How JSON columns are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum JsonForm {
    /// As a document, array or scalar.
    #[default]
    Document,
    /// As text.
    String,
}

/// How GEOMETRY columns are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum GeometryForm {
    /// As GeoJSON with the longitude first if the SRID is 0 or 4326, else as `wkb`.
    #[default]
    Geojson,
    /// As `{srid, wkb}`.
    Wkb,
}

/// How DECIMAL columns are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum DecimalForm {
    /// As Decimal128 with all digits; columns of more than 34 digits as text.
    #[default]
    Decimal128,
    /// As text.
    String,
    /// As the nearest double, which is not exact.
    Double,
}

/// What a column can be written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum AsKind {
    /// An integer or a BIT as a boolean: false for 0.
    Bool,
    /// The text that MySQL prints, dates and times with all digits of a second. Of every type that is not binary.
    String,
    /// An integer or a DECIMAL as the nearest double.
    Double,
    /// A DECIMAL as Decimal128.
    Decimal128,
    /// A JSON column, or text that holds JSON, as a document, array or scalar. A document whose text is no JSON is parked.
    Json,
    /// A BINARY(16) as a UUID: Binary of subtype 4.
    Uuid,
    /// A GEOMETRY as GeoJSON.
    Geojson,
    /// A GEOMETRY as `{srid, wkb}`.
    Wkb,
}

impl AsKind {
    /// All of them, in the order in which messages name them.
    pub const ALL: [Self; 8] =
        [Self::Bool, Self::String, Self::Double, Self::Decimal128, Self::Json, Self::Uuid, Self::Geojson, Self::Wkb];

    /// The word in the file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::String => "string",
            Self::Double => "double",
            Self::Decimal128 => "decimal128",
            Self::Json => "json",
            Self::Uuid => "uuid",
            Self::Geojson => "geojson",
            Self::Wkb => "wkb",
        }
    }
}

/// Reads the section.
pub fn read(node: &Node, spot: Spot, report: &mut Report) -> ValuesFile {
    let mut file = ValuesFile::default();
    let Some(fields) = Fields::open(node, spot, "values", VALUES, report) else { return file };
    if let Some(text) = fields.text("time_zone", report) {
        match Zone::parse(&text.value) {
            Some(zone) => file.time_zone = zone,
            None => {
                let what = format!("`time_zone` cannot be `{}`", text.value);
                let fix = "UTC, an offset from -13:59 to +14:00, or an IANA name such as Europe/Berlin".to_string();
                report.error("E-VALUE", text.spot, "values.time_zone", what, Some(fix));
            }
        }
    }
    file.omit_nulls = fields.flag("omit_nulls", report).unwrap_or_default();
    let zero_dates = [("null", ZeroDates::Null), ("string", ZeroDates::Text), ("error", ZeroDates::Park)];
    file.zero_dates = fields.choice("zero_dates", &zero_dates, report).unwrap_or_default();
    let json = [("document", JsonForm::Document), ("string", JsonForm::String)];
    file.json = fields.choice("json", &json, report).unwrap_or_default();
    let geometry = [("geojson", GeometryForm::Geojson), ("wkb", GeometryForm::Wkb)];
    file.geometry = fields.choice("geometry", &geometry, report).unwrap_or_default();
    let decimal =
        [("decimal128", DecimalForm::Decimal128), ("string", DecimalForm::String), ("double", DecimalForm::Double)];
    file.decimal = fields.choice("decimal", &decimal, report).unwrap_or_default();
    file
}
