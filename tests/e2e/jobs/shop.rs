//! `jobs/shop.yaml` on the rows of `jobs/shop.sql`, while people go on selling.
//! Owns: the changes, and some documents said by hand. Does not own: the oracle's queries (`shop_oracle`).

use super::{assert_collection, given, job, looked_at_before, script, shop_oracle};
use crate::harness;
use crate::harness::engine::{Engine, Job};
use crate::harness::servers::{Scratch, execute};
use crate::harness::status;
use crate::harness::world::REST;
use bson::{Bson, Document, doc};
use mysql_async::Conn;
use std::time::Duration;

/// What is done, and how many orders, products and categories there are after it.
const ROUNDS: [(&str, &[&str], [usize; 3]); 8] = [
    ("the rows as they were copied", &[], [3, 4, 2]),
    (
        "links come, go and move; a tag is renamed, another deleted",
        &[
            "INSERT INTO order_tag VALUES ('EU', 2, 3)",
            "DELETE FROM order_tag WHERE region = 'EU' AND no = 1 AND tag_id = 2",
            "UPDATE order_tag SET region = 'EU', no = 2 WHERE region = 'US' AND no = 1",
            "UPDATE tag SET name = 'rush' WHERE id = 2",
            "DELETE FROM tag WHERE id = 1",
        ],
        [3, 4, 2],
    ),
    (
        "categories get other parents, or none",
        &[
            "UPDATE category SET parent_id = 6 WHERE id = 2",
            "UPDATE category SET parent_id = NULL WHERE id = 4",
            "UPDATE category SET name = 'Claws' WHERE id = 5",
            "INSERT INTO category VALUES (7, 5, 'Small claws'), (8, 7, 'Too deep to be seen')",
        ],
        [3, 4, 3],
    ),
    (
        "keys of products change, one of them in case only",
        &[
            "UPDATE product SET sku = 'ham-1' WHERE sku = 'HAM-1'",
            "UPDATE product SET sku = 'PAINT-2' WHERE sku = 'PAINT'",
            "INSERT INTO product VALUES ('gone', 7, 'Found again', 2.50, '[\"new\", 0.5]')",
            "UPDATE product SET category_id = 8, attributes = NULL WHERE sku = 'ham-1'",
            "UPDATE product SET attributes = '{\"grams\": 3000000000, \"grip\": {\"colour\": \"blue\"}}' WHERE sku = 'SAW-1'",
        ],
        [3, 5, 3],
    ),
    (
        "orders pass the condition in both directions",
        &[
            "UPDATE `order` SET status = 'paid' WHERE region = 'US' AND no = 2",
            "UPDATE `order` SET status = 'draft' WHERE region = 'EU' AND no = 1",
            "UPDATE `order` SET status = 'draft' WHERE region = 'EU' AND no = 2",
            "UPDATE `order` SET status = 'open' WHERE region = 'EU' AND no = 2",
        ],
        [3, 5, 3],
    ),
    (
        "an order takes another number, and its lines follow in the same transaction; another leaves them behind",
        &[
            "START TRANSACTION",
            "UPDATE `order` SET no = 7 WHERE region = 'EU' AND no = 2",
            "UPDATE order_line SET no = 7 WHERE region = 'EU' AND no = 2",
            "UPDATE order_tag SET no = 7 WHERE region = 'EU' AND no = 2",
            "COMMIT",
            "UPDATE `order` SET region = 'EU', no = 9, shipped = '2024-03-09' WHERE region = 'US' AND no = 1",
            "START TRANSACTION",
            "DELETE FROM `order`",
            "ROLLBACK",
        ],
        [3, 5, 3],
    ),
    (
        "a table without a key; customers renamed, deleted, twice in one order",
        &[
            "INSERT INTO order_event VALUES ('EU', 7, '2024-03-02 10:00:00', 'packed'), ('EU', 7, '2024-03-02 09:00:00', 'paid')",
            "UPDATE order_event SET region = 'EU', no = 9 WHERE region = 'US'",
            "DELETE FROM order_event WHERE region = 'EU' AND no = 9 LIMIT 1",
            "UPDATE customer SET name = 'Brian II', tier = 'gold', newsletter = 1 WHERE id = 2",
            "DELETE FROM customer WHERE id = 3",
            "UPDATE `order` SET customer_id = 18446744073709551615, internal_note = 'nobody' WHERE region = 'US' AND no = 2",
            "UPDATE `order` SET customer_id = 1 WHERE region = 'US' AND no = 2",
        ],
        [3, 5, 3],
    ),
    (
        "parents in a circle, and most things deleted",
        &[
            "UPDATE category SET parent_id = 5 WHERE id = 6",
            "DELETE FROM order_line WHERE sku = 'gone'",
            "DELETE FROM `order` WHERE region = 'US'",
            "DELETE FROM product WHERE sku = 'NONE'",
        ],
        [2, 4, 2],
    ),
];

struct Shop {
    scratch: Scratch,
    conn: Conn,
    job: Job,
}

impl Shop {
    async fn find(&self, collection: &str, id: impl Into<Bson>) -> Document {
        let id = id.into();
        let found = self.scratch.mongo.collection::<Document>(collection).find_one(doc! { "_id": &id }).await;
        found.expect("the target can be read").unwrap_or_else(|| panic!("no {id} in {collection}"))
    }

    async fn assert_equal(&mut self, engine: &mut Engine, what: &str, counts: [usize; 3]) {
        status::wait_quiescent(&self.job, engine, REST).await;
        let db = &self.scratch.name;
        let queries = [
            ("orders", shop_oracle::orders(db)),
            ("products", shop_oracle::products(db)),
            ("categories", shop_oracle::categories(db)),
        ];
        println!("{what}");
        for ((collection, query), count) in queries.into_iter().zip(counts) {
            let compared = assert_collection(&mut self.conn, &self.scratch.mongo, collection, &query).await;
            assert_eq!(compared, count, "{what}: documents in {collection}");
        }
    }
}

fn no(region: &str, number: i64) -> Document {
    doc! { "region": region, "number": number }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shop_is_sold_from_while_it_is_followed() {
    let _seat = harness::seat().await;
    let scratch = Scratch::create("shop").await;
    let db = scratch.name.clone();
    let sql = given("shop.sql").replace("shop.", &format!("{db}."));
    let sql = sql.replace("DATABASE IF EXISTS shop", &format!("DATABASE IF EXISTS {db}"));
    let sql = sql.replace("CREATE DATABASE shop", &format!("CREATE DATABASE {db}"));
    let mut conn = scratch.mysql().await;
    script(&mut conn, &sql).await;
    execute(&mut conn, &format!("USE `{db}`")).await;
    let mut shop = Shop { job: job("shop", "shop.yaml", "shop", &db), scratch, conn };
    looked_at_before(&shop.job, "shop", &["orders", "products", "categories"]).await;

    let mut engine = shop.job.run();
    status::wait_live(&shop.job, &mut engine, REST).await;
    for (what, changes, counts) in ROUNDS {
        for change in changes {
            execute(&mut shop.conn, change).await;
        }
        shop.assert_equal(&mut engine, what, counts).await;
        said_by_hand(&shop, what).await;
    }
    let indexes = shop.scratch.mongo.collection::<Document>("orders").list_index_names().await.expect("indexes");
    assert_eq!(indexes.len(), 4, "three of the job and that of _id: {indexes:?}");
    let finished = engine.stop(Duration::from_secs(10)).await;
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    shop.scratch.remove().await;
}

/// So that the oracle and the engine cannot be wrong together.
async fn said_by_hand(shop: &Shop, what: &str) {
    let tags = async |region, number| shop.find("orders", no(region, number)).await.get_array("tags").ok().cloned();
    match what {
        "the rows as they were copied" => {
            let order = shop.find("orders", no("EU", 1)).await;
            assert_eq!(
                order.get_document("customer").ok(),
                Some(&doc! { "id": 1_i64, "name": "Ada", "tier": "gold", "newsletter": true })
            );
            assert_eq!(tags("EU", 1).await, Some(vec!["express".into(), "gift".into()]));
            let saw = shop.find("products", "SAW-1").await;
            let names = ["category", "parent", "parent"];
            let top = names.iter().fold(&saw, |document, name| document.get_document(name).expect("a category"));
            assert_eq!(top.get_str("name").ok(), Some("Tools"));
            assert!(!order.contains_key("internal_note") && !saw.contains_key("attributes"));
        }
        w if w.starts_with("links") => {
            assert_eq!(tags("EU", 1).await, Some(vec![]));
            assert_eq!(tags("EU", 2).await, Some(vec!["rush".into(), "unused".into()]));
        }
        w if w.starts_with("keys of products") => {
            let order = shop.find("orders", no("US", 1)).await;
            let found =
                order.get_array("lines").expect("lines")[1].as_document().expect("a line").get_document("product");
            assert_eq!(found.expect("a product").get_str("title").ok(), Some("Found again"));
        }
        w if w.starts_with("parents in a circle") => {
            let lines = shop.find("orders", no("EU", 7)).await.get_array("lines").expect("lines").len();
            assert_eq!(lines, 1);
        }
        _ => {}
    }
}
