//! Hand-made row events, and what is read of them.

use super::*;
use crate::model::plan::UsedColumn;
use crate::model::schema::TableName;

fn map(names: Option<&[&str]>) -> TableMap {
    let wire = |code, length, extra| WireType { code, length, extra };
    TableMap {
        types: vec![wire(types::LONG, 0, 0), wire(types::VARCHAR, 40, 0), wire(types::JSON, 0, 4)],
        names: names.map(|names| names.iter().map(|name| name.to_string()).collect()),
        collations: [(1, 255)].into(),
        ..TableMap::default()
    }
}

fn used() -> TableUse {
    let column = |name: &str, kind, routes| UsedColumn {
        name: name.into(),
        kind,
        declared: String::new(),
        collation: None,
        routes,
    };
    TableUse {
        name: TableName::new("d", "t"),
        columns: vec![
            column("doc", ColumnKind::Json, false),
            column("id", ColumnKind::Int { bits: 32, unsigned: false }, true),
        ],
    }
}

fn decode(form: u8, event: &[u8]) -> Result<Vec<RowChange>, BadRows> {
    let decoder = TableDecoder::new(&map(Some(&["ID", "name", "doc"])), 3, &used(), None, &Charsets::default(), false)?;
    let mut rows = Vec::new();
    decoder.rows(RowsForm::of(form).expect("a row event"), Cursor(event), |row| rows.push(row))?;
    Ok(rows)
}

fn image(doc: Cell, id: i64) -> Option<Image> {
    Some(Image(vec![doc, Cell::Value(Value::Int(id))]))
}

#[test]
fn rows_of_every_form() {
    let header = [1, 0, 0, 0, 0, 0, 1, 0, 2, 0, 3];
    let row = [&[0b000][..], &[7, 0, 0, 0, 1, b'x', 2, 0, 0, 0, 9, 9]].concat();
    let null = [&[0b110][..], &[8, 0, 0, 0]].concat();
    let event = [&header[..], &[0b111], &row, &null].concat();
    let first = image(Cell::Raw(vec![9, 9]), 7);
    let second = image(Cell::Value(Value::Null), 8);
    let rows = decode(30, &event).expect("rows");
    assert_eq!(rows.len(), 2);
    assert_eq!((&rows[0].before, &rows[0].after, rows[0].table), (&None, &first, 3));
    assert_eq!(rows[1].after, second);
    for cut in 12..event.len() {
        // A cut row is an error and never a panic; a cut between rows cannot be told from an end.
        let _ = decode(30, &event[..cut]);
    }
    // Minimal images: the key before, the document after.
    let update = [&header[..], &[0b001, 0b100], &[0, 7, 0, 0, 0], &[0, 1, 0, 0, 0, 5]].concat();
    let rows = decode(31, &update).expect("rows");
    assert_eq!(rows[0].before, image(Cell::Absent, 7));
    assert_eq!(rows[0].after, Some(Image(vec![Cell::Raw(vec![5]), Cell::Absent])));
    // Differences of a document.
    let partial =
        [&header[..], &[0b101, 0b101], &[0b10, 7, 0, 0, 0], &[1, 1, 0], &[7, 0, 0, 0, 1, 0, 0, 0, 5]].concat();
    let rows = decode(39, &partial).expect("rows");
    assert_eq!(rows[0].before, image(Cell::Value(Value::Null), 7));
    assert_eq!(rows[0].after, image(Cell::Absent, 7));
}

#[test]
fn whole_rows_lack_what_does_not_match() {
    let present = |map: &TableMap| {
        let decoder = TableDecoder::new(map, 0, &used(), None, &Charsets::default(), true).expect("a decoder");
        let event = [&[1, 0, 0, 0, 0, 0, 1, 0, 2, 0, 3, 0b111][..], &[0, 7, 0, 0, 0, 1, b'x', 3, 0, 0, 0, 5, 9, 0]];
        let mut cells = Vec::new();
        let form = RowsForm::of(30).expect("a row event");
        decoder.rows(form, Cursor(&event.concat()), |row| cells = row.after.expect("an insert").0).expect("a row");
        cells
    };
    let (doc, id) = (Cell::Value(Value::Text("9".into())), Cell::Value(Value::Int(7)));
    assert_eq!(present(&map(Some(&["id", "name", "doc"]))), [doc.clone(), id.clone()]);
    assert_eq!(present(&map(Some(&["no", "name", "doc"]))), [doc, Cell::Absent]);
    // The name of a text is now the document's.
    assert_eq!(present(&map(Some(&["id", "doc", "name"]))), [Cell::Absent, id]);
    // Nobody knows which column is which.
    assert_eq!(present(&map(None)), [Cell::Absent, Cell::Absent]);
}

#[test]
fn what_does_not_match_the_plan_is_refused() {
    let new = |map: &TableMap| TableDecoder::new(map, 0, &used(), None, &Charsets::default(), false).map(|_| ());
    assert_eq!(new(&map(None)), Err(BadRows::Count(3, 0)));
    let gone = new(&map(Some(&["no", "name", "doc"])));
    assert_eq!(gone, Err(BadRows::Column("id".into(), "is not in the binlog's rows")));
    let mut retyped = map(Some(&["id", "name", "doc"]));
    retyped.types[0].code = types::LONGLONG;
    assert!(matches!(new(&retyped), Err(BadRows::Column(..))));
}

#[test]
fn columns_without_names_must_all_be_those_of_today() {
    let column = |name: &str, kind| crate::model::schema::Column {
        name: name.into(),
        kind,
        nullable: true,
        collation: None,
        length_max: None,
        declared: String::new(),
    };
    let today = |id, name| Table {
        name: TableName::new("d", "t"),
        columns: vec![column("id", id), column("name", name), column("doc", ColumnKind::Json)],
        indexes: Vec::new(),
        foreign_keys: Vec::new(),
        engine: "InnoDB".into(),
        rows_estimate: 0,
        row_bytes_estimate: 0,
    };
    let int = |unsigned| ColumnKind::Int { bits: 32, unsigned };
    let new = |map: &TableMap, now: &Table, whole| {
        TableDecoder::new(map, 0, &used(), Some(now), &Charsets::default(), whole)
            .map(|decoder| decoder.columns.iter().filter(|column| column.used.is_some()).count())
    };
    let (mut plain, now) = (map(None), today(int(false), ColumnKind::Text));
    assert_eq!(new(&plain, &now, false), Ok(2));
    // Nobody uses `name`; but if it is another column now, so may be its neighbours.
    let other = today(int(false), ColumnKind::Date);
    let says = "has another type than the build was made with";
    assert_eq!(new(&plain, &other, false), Err(BadRows::Unnamed("name".into(), says)));
    // Of whole rows nothing is read then.
    assert_eq!((new(&plain, &now, true), new(&plain, &other, true)), (Ok(2), Ok(0)));
    plain.unsigned.insert(0, true);
    let says = "is UNSIGNED in the binlog, and was not when the build was made";
    assert_eq!(new(&plain, &now, false), Err(BadRows::Unnamed("id".into(), says)));
    let told = new(&plain, &now, false).expect_err("a contradiction").to_string();
    assert!(told.contains("column id") && told.ends_with("set binlog_row_metadata=FULL"), "{told}");
    // With names it is only the used column that counts.
    plain.names = Some(["id", "name", "doc"].map(String::from).to_vec());
    assert_eq!(new(&plain, &other, false), Err(BadRows::Column("id".into(), says)));
    plain.unsigned.clear();
    assert_eq!(new(&plain, &other, false), Ok(2));
}
