//! Every mistake in a projection: its code, its line, what is said and the fix.

use super::said;

fn says(projections: &str, expected: &[&str]) {
    let said = said(projections);
    assert!(said == expected, "\n{projections}\n{said:#?}\n{expected:#?}");
}

#[test]
fn unknown_tables_and_columns_are_guessed() {
    says(
        "- collection: a
  root: shop.odrer
- collection: b
  root: shop.order
  columns: [region, statsu]
  rename: {nno: number}
  many:
    lines: {table: shop.order_line, join: {regoin: region, no: nno}, order_by: [lin desc]}
    tags: {table: shop.tagg, through: {table: shop.order_tags, join: {zzz: region}, to: {tag_id: id}}}
  one:
    customer: {table: customer, join: {customer_id: id}}
",
        &[
            "6 E-SCHEMA projections[0].root: there is no table shop.odrer, or the source's account may not see it => did you mean shop.order?",
            "9 E-SCHEMA projections[1].columns: table shop.order has no column `statsu` => did you mean status?",
            "10 E-SCHEMA projections[1].rename: table shop.order has no column `nno` => did you mean no?",
            "12 E-SCHEMA projections[1].many.lines.join: table shop.order has no column `regoin` => did you mean region?",
            "12 E-SCHEMA projections[1].many.lines.join: table shop.order_line has no column `nno` => did you mean no?",
            "12 E-SCHEMA projections[1].many.lines.order_by: table shop.order_line has no column `lin` => did you mean line?",
            "13 E-SCHEMA projections[1].many.tags.table: there is no table shop.tagg, or the source's account may not see it => did you mean shop.tag?",
            "13 E-SCHEMA projections[1].many.tags.through.table: there is no table shop.order_tags, or the source's account may not see it => did you mean shop.order_tag?",
            "15 E-SCHEMA projections[1].one.customer.table: `customer` is not a table's full name => write <database>.<table>; a name with a `.` or a backtick in it stands in backticks, as in SQL",
        ],
    );
}

#[test]
fn roots_need_a_key() {
    says(
        "- {collection: a, root: shop.bare}
- {collection: b, root: shop.half}
- {collection: c, root: shop.second}
- {collection: d, root: shop.second, id: [a, b]}
- {collection: e, root: shop.second, id: [n]}
- {collection: f, root: shop.order, id: [region]}
- {collection: g, root: shop.order, id: []}
- {collection: h, root: shop.order, id: [region, region]}
- {collection: i, root: shop.half, id: [a]}
",
        &[
            "5 E-NO-KEY projections[0].root: table shop.bare has no primary key and no unique key without NULL, so its rows have no `_id` => ALTER TABLE `shop`.`bare` ADD COLUMN `id` BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY;",
            "6 E-NO-KEY projections[1].root: table shop.half has no primary key and no unique key without NULL, so its rows have no `_id` => ALTER TABLE `shop`.`half` MODIFY `email` varchar(40) COLLATE utf8mb4_bin NOT NULL;",
            "8 E-NO-KEY projections[3].id: `id` (a, b) has another order than the key ba of table shop.second => id: [b, a]",
            "9 E-NO-KEY projections[4].id: `id` (n) is not a unique key without NULL of table shop.second => ALTER TABLE `shop`.`second` MODIFY `n` int NOT NULL;",
            "10 E-NO-KEY projections[5].id: `id` (region) is not a unique key without NULL of table shop.order => CREATE UNIQUE INDEX `idx_region` ON `shop`.`order` (`region`);",
            "11 E-NO-KEY projections[6].id: `id` names no column => remove it: the primary key is used",
            "12 E-NO-KEY projections[7].id: `id` names the column `region` twice => remove one of them",
            "13 E-NO-KEY projections[8].id: `id` (a) is not a unique key without NULL of table shop.half => CREATE UNIQUE INDEX `idx_a` ON `shop`.`half` (`a`);",
        ],
    );
}

#[test]
fn keys_have_types_that_can_be_told_apart() {
    says(
        "- {collection: a, root: shop.place, id: [ratio], columns: [id]}
- {collection: b, root: shop.place, id: [state], columns: [id]}
",
        &[
            "5 W-KEY-TYPE projections[0].id: shop.place.ratio (double) is a part of `_id`, and fractions that look equal may differ",
            "6 W-KEY-TYPE projections[1].id: shop.place.state (enum('a','b')) is a part of `_id`: MySQL compares it without its index, so chunks are read slowly => choose another unique key with `id`",
        ],
    );
}

#[test]
fn joins_need_indexes_on_both_sides() {
    says(
        "- collection: a
  root: shop.order
  one:
    customer: {table: shop.customer, join: {customer_id: id}}
  many:
    notes: {table: shop.note, join: {region: region}}
    scanned: {table: shop.note, join: {region: region}, allow_scan: true}
- collection: b
  root: shop.note
  one:
    customer: {table: shop.customer, join: {dup: id}, columns: [id]}
- collection: c
  root: shop.order
  many:
    lines: {table: shop.order_line, join: {region: region}}
    events: {table: shop.order_event, join: {no: no, region: region}}
",
        &[
            "10 E-NO-INDEX projections[0].many.notes.join: table shop.note has no index on the join columns (region); each read would scan it (about 1000 rows; `allow_scan: true` allows that) => CREATE INDEX `idx_region` ON `shop`.`note` (`region`);",
            "15 E-NO-INDEX projections[1].one.customer.join: table shop.note has no index on the join columns (dup); each change of a row of shop.customer would scan it (about 1000 rows; `allow_scan: true` allows that) => CREATE INDEX `idx_dup` ON `shop`.`note` (`dup`);",
        ],
    );
}

#[test]
fn lookups_have_to_be_unique() {
    says(
        "- collection: a
  root: shop.order_line
  one:
    note: {table: shop.note, join: {qty: dup}, allow_scan: true}
    tag: {table: shop.order_tag, join: {no: no}, allow_scan: true}
",
        &[
            "8 E-LOOKUP-DUP projections[0].one.note.join: `one` joins table shop.note by (dup), which is not unique: several rows agree in it => nest it under `many`, or join by a unique key",
            "9 E-LOOKUP-DUP projections[0].one.tag.join: `one` joins table shop.order_tag by (no), which no unique index keeps unique (no rows agree in it now) => CREATE UNIQUE INDEX `idx_no` ON `shop`.`order_tag` (`no`);\nor nest it under `many`",
        ],
    );
}

#[test]
fn joined_columns_have_one_type_and_one_collation() {
    says(
        "- collection: a
  root: shop.note
  one:
    order: {table: shop.order, join: {region: no, customer_code: region}, allow_scan: true}
    product: {table: shop.product, join: {sku: sku}, allow_scan: true}
    person: {table: shop.person, join: {dup: id}, allow_scan: true}
  many:
    long: {table: shop.note, join: {body: body}, allow_scan: true, max_depth: 1}
",
        &[
            "8 E-JOIN-TYPE projections[0].one.order.join: the join compares shop.note.region (char(2) utf8mb4_0900_ai_ci) with shop.order.no (int unsigned), and their types differ => join columns of the same type, or change one of them",
            "9 E-JOIN-TYPE projections[0].one.product.join: the join compares shop.note.sku (varchar(20) utf8mb4_0900_ai_ci) with shop.product.sku (varchar(20) utf8mb4_general_ci), and their collations differ => ALTER TABLE `shop`.`product` MODIFY `sku` varchar(20) COLLATE utf8mb4_0900_ai_ci NOT NULL;",
            "12 E-JOIN-TYPE projections[0].many.long.join: the join compares shop.note.body (longtext utf8mb4_0900_ai_ci) with shop.note.body (longtext utf8mb4_0900_ai_ci); over 3072 characters are too long => join by a VARCHAR of at most 3072 characters, or by a key",
        ],
    );
}

#[test]
fn cycles_need_a_depth() {
    says(
        "- collection: a
  root: shop.category
  many:
    children: {table: shop.category, join: {id: parent_id}}
    products:
      table: shop.product
      join: {id: category_id}
      one:
        again: {table: shop.category, join: {category_id: id}}
        fine: {table: shop.category, join: {category_id: id}, max_depth: 1}
- collection: b
  root: shop.category
  many:
    children:
      table: shop.category
      join: {id: parent_id}
      max_depth: 30
      many:
        children: {table: shop.product, join: {id: category_id}}
",
        &[
            "8 E-CYCLE projections[0].many.children: table shop.category stands below itself: shop.category > shop.category => set `max_depth` on this node: how deep it may nest",
            "13 E-CYCLE projections[0].many.products.one.again: table shop.category stands below itself: shop.category > shop.product > shop.category => set `max_depth` on this node: how deep it may nest",
            "18 E-FIELD projections[1].many.children: two fields of one document are called `children` (the other: projections[1].many.children.many.children) => `rename` the column, or call the field something else",
        ],
    );
}

#[test]
fn documents_can_nest_so_deep_only() {
    says(
        "- collection: a
  root: shop.person
  many:
    friends:
      table: shop.person
      through: {table: shop.friend, join: {id: a}, to: {b: id}}
      max_depth: 32
      many:
        fans: {table: shop.person, through: {table: shop.friend, join: {id: b}, to: {a: id}}, max_depth: 32}
",
        &[
            "8 E-DEPTH projections[0].many.friends: the documents nest too deep (over 80 levels or 500 nodes in all) => lower `max_depth`",
            "13 E-DEPTH projections[0].many.friends.many.fans: the documents nest too deep (over 80 levels or 500 nodes in all) => lower `max_depth`",
        ],
    );
}

#[test]
fn fields_have_good_names_and_each_its_own() {
    says(
        "- collection: a
  root: shop.odd
- collection: b
  root: shop.order
  rename: {status: placed, shipped: _rf, region: ''}
  fields: {no: no + 1, $x: no, customer: no}
  one:
    customer: {table: shop.customer, join: {customer_id: id}, fields: {_id: id}}
    a.b: {table: shop.customer, join: {recipient_id: id}}
- collection: c
  root: shop.order
  columns: [no, NO]
  rename: {status: x}
  as: {status: bool, no: bool, region: bool, nope: bool, placed: string}
- collection: d
  root: shop.order
  columns: [region]
  exclude: [no]
  as: {region: bool}
",
        &[
            "6 E-FIELD projections[0]._id: the field `_id` is rowfold's own => rename: {_id: id_}",
            "6 E-FIELD projections[0].a.b: the field `a.b` has a `.` in it, which MongoDB reads as a path => rename: {\"a.b\": a_b}",
            "6 E-FIELD projections[0].$c: the field `$c` begins with `$`, which MongoDB reads as an operator => rename: {\"$c\": c}",
            "8 E-FIELD projections[1].placed: two fields of one document are called `placed` (the other: projections[1].status) => `rename` the column, or call the field something else",
            "9 E-FIELD projections[1].shipped: the field `_rf` is rowfold's own => `rename` the column, or call the field something else",
            "9 E-FIELD projections[1].region: a field needs a name => `rename` the column, or call the field something else",
            "10 E-FIELD projections[1].fields.no: two fields of one document are called `no` (the other: projections[1].no) => `rename` the column, or call the field something else",
            "10 E-FIELD projections[1].fields.$x: the field `$x` begins with `$`, which MongoDB reads as an operator => `rename` the column, or call the field something else",
            "12 E-FIELD projections[1].one.customer: two fields of one document are called `customer` (the other: projections[1].fields.customer) => `rename` the column, or call the field something else",
            "13 E-FIELD projections[1].one.a.b: the field `a.b` has a `.` in it, which MongoDB reads as a path => `rename` the column, or call the field something else",
            "16 E-FIELD projections[2].columns: the column `NO` is listed twice => remove one of them",
            "17 E-FIELD projections[2].rename: `rename` names the column `status`, which is not shown => remove it, or show the column",
            "18 E-FIELD projections[2].as.status: `as` names the column `status`, which is not shown => remove it, or show the column",
            "18 E-FIELD projections[2].as.region: `as` names the column `region`, which is not shown => remove it, or show the column",
            "18 E-SCHEMA projections[2].as.nope: table shop.order has no column `nope` => write one of region, no, customer_id, recipient_id, status, placed, shipped, internal_note",
            "18 E-FIELD projections[2].as.placed: `as` names the column `placed`, which is not shown => remove it, or show the column",
            "22 E-VALUE projections[3].exclude: a node has either `columns` or `exclude` => remove one of them",
            "23 E-VALUE projections[3].as.region: shop.order.region (varchar(2) utf8mb4_0900_ai_ci) cannot be written as `bool` => write one of string, json",
        ],
    );
}

#[test]
fn what_cannot_be_read_is_never_dropped_silently() {
    says(
        "- collection: a
  root: shop.place
- collection: b
  root: shop.place
  exclude: [at, exact, seen]
  fields: {p: ST_CENTROID(point)}
- collection: c
  root: shop.place
  columns: [id, doc]
  fields: {p: ST_CENTROID(at), wrong: id id, twice: id * 2}
- collection: d
  root: shop.old
",
        &[
            "6 E-COLUMN-TYPE projections[0]: the column shop.place.at (curve) has a type that rowfold cannot read => exclude it: `exclude: [at]`",
            "6 W-DECIMAL projections[0]: shop.place.exact (decimal(40,5)) has more than 34 digits, so its values become text",
            "6 W-FRACTION projections[0]: shop.place.seen (datetime(6)) is finer than the milliseconds of a BSON date; the rest is cut off",
            "10 E-SCHEMA projections[1].fields.p: table shop.place has no column `point` => write one of id, at, exact, seen, doc, ratio, state",
            "14 E-COLUMN-TYPE projections[2].fields.p: the expression gives a curve, which rowfold cannot read => CAST it to another type",
            "14 E-EXPRESSION projections[2].fields.wrong: the source refuses the expression: You have an error in your SQL syntax near 'id'",
            "16 E-ENGINE projections[3].root: table shop.old uses the engine MyISAM, which gives no consistent read => ALTER TABLE `shop`.`old` ENGINE=InnoDB;",
        ],
    );
}

#[test]
fn values_and_links_stand_alone() {
    says(
        "- collection: a
  root: shop.order
  one:
    tag: {table: shop.tag, through: {table: shop.order_tag, join: {region: region, no: no}, to: {tag_id: id}}}
    name: {table: shop.customer, join: {customer_id: id}, value: name, order_by: [name]}
  many:
    tags:
      table: shop.tag
      through: {table: shop.order_tag, join: {region: region, no: no}, to: {tag_id: id}}
      value: nam
      columns: [id]
      fields: {x: id}
    lines: {table: shop.order_line, join: {region: region, no: region}, order_by: [line, line desc]}
",
        &[
            "8 E-JOIN projections[0].one.tag.through: `through` gives any number of rows, so it stands under `many`",
            "9 E-VALUE projections[0].one.name.order_by: `order_by` orders an array, so it stands under `many` => remove it",
            "9 E-VALUE projections[0].one.name.value: `value` makes an array, so it stands under `many`",
            "14 E-VALUE projections[0].many.tags.value: `value` makes an array of one column's values, so there is no room for `columns` => remove `value` or `columns`",
            "14 E-VALUE projections[0].many.tags.value: `value` makes an array of one column's values, so there is no room for `fields` => remove `value` or `fields`",
            "14 E-SCHEMA projections[0].many.tags.value: table shop.tag has no column `nam` => did you mean name?",
            "17 E-JOIN projections[0].many.lines.join: the column `region` of shop.order_line is joined twice => remove one of them",
            "17 E-VALUE projections[0].many.lines.order_by: `order_by` names the column `line` twice => remove one of them",
        ],
    );
}

#[test]
fn indexes_name_fields_that_exist() {
    says(
        "- collection: a
  root: shop.order
  exclude: [internal_note]
  one:
    customer: {table: shop.customer, join: {customer_id: id}, columns: [id, name]}
  many:
    lines: {table: shop.order_line, join: {region: region, no: no}, one: {product: {table: shop.product, join: {sku: sku}}}}
    tags: {table: shop.tag, through: {table: shop.order_tag, join: {region: region, no: no}, to: {tag_id: id}}, value: name}
  indexes:
    - {keys: {customer.tier: 1}}
    - {keys: {custmer.id: 1}}
    - {keys: {internal_note: 1}}
    - {keys: {lines.line: 1, tags: -1}}
    - {keys: {lines.product.attributes.any.thing: 1, lines: 1}}
    - {keys: {_id.no: 1, _rf.v: 1, customer: 1, status: -1}, unique: true}
    - {keys: {_id.number: 1}}
    - {keys: {tags: 1}}
    - {keys: {tags: 1}}
    - {keys: {status.x: 1}}
",
        &[
            "14 E-INDEX projections[0].indexes[0].keys: the index names `customer.tier`, and the documents have no field `tier` there => write one of id, name",
            "15 E-INDEX projections[0].indexes[1].keys: the index names `custmer.id`, and the documents have no field `custmer` there => did you mean customer?",
            "16 E-INDEX projections[0].indexes[2].keys: the index names `internal_note`, and the documents have no field `internal_note` there => write one of region, no, customer_id, recipient_id, status, placed, shipped, customer, lines, tags",
            "17 E-INDEX projections[0].indexes[3].keys: an index cannot hold two arrays that are not nested in each other => make an index for each",
            "20 E-INDEX projections[0].indexes[6].keys: the index names `_id.number`, and `_id` has no field `number` => write one of region, no",
            "22 E-INDEX projections[0].indexes[8].keys: another index has the same keys => remove one of them",
            "23 E-INDEX projections[0].indexes[9].keys: the index names `status.x`, and `status` has no field `x`",
        ],
    );
}

#[test]
fn collections_have_good_names_and_each_its_own() {
    says(
        "- {collection: orders, root: shop.order}
- {collection: orders, root: shop.tag}
- {collection: _rowfold.mine, root: shop.tag}
- {collection: system.users, root: shop.tag}
- {collection: a$b, root: shop.tag}
- {collection: orders__b12, root: shop.tag}
- {collection: '', root: shop.tag}
- {collection: fine__back, root: shop.tag}
",
        &[
            "6 E-COLLECTION projections[1].collection: two projections write the collection `orders` (the other: projections[0]) => give each its own collection",
            "7 E-COLLECTION projections[2].collection: `_rowfold.mine` cannot be a collection's name: `_rowfold` holds rowfold's own records => choose another name",
            "8 E-COLLECTION projections[3].collection: `system.users` cannot be a collection's name: `system.` is MongoDB's own => choose another name",
            "9 E-COLLECTION projections[4].collection: `a$b` cannot be a collection's name: MongoDB allows no `$` and no NUL in it => choose another name",
            "10 E-COLLECTION projections[5].collection: `orders__b12` cannot be a collection's name: names that end like `__b1` belong to builds => choose another name",
            "11 E-COLLECTION projections[6].collection: `` cannot be a collection's name: it is empty => choose another name",
        ],
    );
}

#[test]
fn expressions_are_refused_where_they_stand() {
    says(
        "- collection: a
  root: shop.order
  fields:
    fine: YEAR(placed)
    bad: NOW()
  where: placed > CURDATE() AND plced < 1
",
        &[
            "9 E-EXPRESSION projections[0].fields.bad: NOW is not deterministic => the same row has to give the same value whenever it is read; store the value in a column",
            "10 E-EXPRESSION projections[0].where: CURDATE is not deterministic => the same row has to give the same value whenever it is read; store the value in a column",
            "10 E-SCHEMA projections[0].where: table shop.order has no column `plced` => did you mean placed?",
        ],
    );
}
