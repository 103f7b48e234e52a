//! What the documents of `jobs/shop.yaml` should be, by hand, in plain SQL.
//! Owns: the three queries. Does not own: comparing them.

use super::array;

/// A nested category, with its parents up to `levels`.
fn category(db: &str, child: &str, column: &str, levels: u32) -> String {
    let a = format!("c{levels}");
    // The last level shows no further parent at all.
    let parent =
        if levels == 0 { String::new() } else { format!(", 'parent', {}", category(db, &a, "parent_id", levels - 1)) };
    format!("(SELECT JSON_OBJECT({}{parent}) FROM `{db}`.category {a} WHERE {a}.id = {child}.{column})", own(&a))
}

/// A category's children, down to `levels`.
fn children(db: &str, parent: &str, levels: u32) -> String {
    let a = format!("d{levels}");
    let deeper = if levels == 1 { String::new() } else { format!(", 'children', {}", children(db, &a, levels - 1)) };
    array(
        &format!("JSON_OBJECT({}{deeper})", own(&a)),
        &format!("{a}.name DESC"),
        &format!("`{db}`.category {a} WHERE {a}.parent_id = {parent}.id"),
    )
}

fn own(a: &str) -> String {
    format!("'id', CONCAT('i32:', {a}.id), 'parent_id', CONCAT('i32:', {a}.parent_id), 'name', CONCAT('s:', {a}.name)")
}

fn millis(x: &str) -> String {
    format!("CONCAT('t:', TIMESTAMPDIFF(MICROSECOND, TIMESTAMP'1970-01-01 00:00:00', {x}) DIV 1000)")
}

pub fn orders(db: &str) -> String {
    let product = format!(
        "(SELECT JSON_OBJECT('title', CONCAT('s:', p.title), 'price', CONCAT('d128:', p.price)) FROM `{db}`.product p \
         WHERE p.sku = l.sku)"
    );
    let lines = array(
        &format!(
            "JSON_OBJECT('line', CONCAT('i32:', l.line), 'sku', CONCAT('s:', l.sku), 'qty', CONCAT('i32:', l.qty), \
             'price', CONCAT('d128:', l.price), 'amount', CONCAT('d128:', l.qty * l.price), 'product', {product})"
        ),
        "l.line",
        &format!("`{db}`.order_line l WHERE l.region = o.region AND l.no = o.no"),
    );
    let tags = array(
        "JSON_QUOTE(CONCAT('s:', t.name))",
        "t.name",
        &format!("`{db}`.order_tag x JOIN `{db}`.tag t ON t.id = x.tag_id WHERE x.region = o.region AND x.no = o.no"),
    );
    let history = array(
        &format!("JSON_OBJECT('at', {}, 'event', CONCAT('s:', e.event))", millis("e.at")),
        "e.at",
        &format!("`{db}`.order_event e WHERE e.region = o.region AND e.no = o.no"),
    );
    let (placed, shipped) = (millis("o.placed"), millis("o.shipped"));
    format!(
        "SELECT CAST(JSON_ARRAY('region', CONCAT('s:', o.region), 'number', CONCAT('i64:', o.no)) AS CHAR), \
         CAST(JSON_OBJECT('region', CONCAT('s:', o.region), 'number', CONCAT('i64:', o.no), \
         'customer_id', CONCAT('i64:', o.customer_id), 'recipient_id', CONCAT('i64:', o.recipient_id), \
         'status', CONCAT('s:', o.status), 'placed', {placed}, 'shipped', {shipped}, 'year', CONCAT('int:', \
         EXTRACT(YEAR FROM o.placed)), 'shipped_late', IF(DATE(o.placed) + INTERVAL 3 DAY < o.shipped, 'int:1', 'int:0'), \
         'customer', (SELECT JSON_OBJECT('id', CONCAT('i64:', c.id), 'name', CONCAT('s:', c.name), 'tier', CONCAT('s:', \
         c.tier), 'newsletter', IF(c.newsletter, 'bool:1', 'bool:0')) FROM `{db}`.customer c WHERE c.id = o.customer_id), \
         'recipient', (SELECT JSON_OBJECT('id', CONCAT('i64:', r.id), 'name', CONCAT('s:', r.name)) FROM `{db}`.customer r \
         WHERE r.id = o.recipient_id), 'lines', {lines}, 'tags', {tags}, 'history', {history}) AS CHAR) \
         FROM `{db}`.`order` o WHERE o.status <> 'draft'"
    )
}

/// `omit_nulls` holds for the columns of the product.
pub fn products(db: &str) -> String {
    // The two shapes of `attributes` that the test writes.
    let attributes = "CASE JSON_TYPE(p.attributes) WHEN 'ARRAY' THEN JSON_ARRAY(CONCAT('s:', JSON_UNQUOTE(JSON_EXTRACT(p.attributes, '$[0]'))), \
         CONCAT('f64:', JSON_UNQUOTE(JSON_EXTRACT(p.attributes, '$[1]')))) ELSE JSON_OBJECT('grams', CONCAT('int:', JSON_UNQUOTE(JSON_EXTRACT(p.attributes, '$.grams'))), 'grip', \
         JSON_OBJECT('colour', CONCAT('s:', JSON_UNQUOTE(JSON_EXTRACT(p.attributes, '$.grip.colour'))))) END";
    format!(
        "SELECT CAST(JSON_ARRAY(CONCAT('s:', p.sku)) AS CHAR), CAST(JSON_MERGE_PRESERVE(JSON_OBJECT('sku', CONCAT('s:', \
         p.sku), 'title', CONCAT('s:', p.title), 'price', CONCAT('d128:', p.price), 'category', {}), \
         IF(p.category_id IS NULL, JSON_OBJECT(), JSON_OBJECT('category_id', CONCAT('i32:', p.category_id))), \
         IF(p.attributes IS NULL, JSON_OBJECT(), JSON_OBJECT('attributes', {attributes}))) AS CHAR) FROM `{db}`.product p",
        category(db, "p", "category_id", 3)
    )
}

pub fn categories(db: &str) -> String {
    let products = array(
        "JSON_OBJECT('sku', CONCAT('s:', p.sku), 'title', CONCAT('s:', p.title))",
        "p.sku",
        &format!("`{db}`.product p WHERE p.category_id = c.id"),
    );
    format!(
        "SELECT CAST(JSON_ARRAY(CONCAT('i32:', c.id)) AS CHAR), CAST(JSON_OBJECT({}, 'products', {products}, 'children', \
         {}) AS CHAR) FROM `{db}`.category c WHERE c.parent_id IS NULL",
        own("c"),
        children(db, "c", 3)
    )
}
