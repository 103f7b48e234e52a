-- The tables of shop.yaml with a few rows. Run it against a scratch server: it drops the database `shop`.
DROP DATABASE IF EXISTS shop;
CREATE DATABASE shop CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci;

CREATE TABLE shop.customer (
  id bigint unsigned NOT NULL AUTO_INCREMENT,
  name varchar(100) NOT NULL,
  tier enum('basic','silver','gold') NOT NULL DEFAULT 'basic',
  newsletter tinyint NOT NULL DEFAULT 0,
  PRIMARY KEY (id)
);

CREATE TABLE shop.category (
  id int NOT NULL,
  parent_id int NULL,
  name varchar(60) NOT NULL,
  PRIMARY KEY (id),
  KEY parent (parent_id)
);

CREATE TABLE shop.product (
  sku varchar(20) COLLATE utf8mb4_general_ci NOT NULL,
  category_id int NULL,
  title varchar(120) NOT NULL,
  price decimal(10,2) NOT NULL,
  attributes json NULL,
  PRIMARY KEY (sku),
  KEY category (category_id)
);

CREATE TABLE shop.`order` (
  region varchar(2) NOT NULL,
  no int unsigned NOT NULL,
  customer_id bigint unsigned NULL,
  recipient_id bigint unsigned NULL,
  status varchar(12) NOT NULL,
  placed datetime(3) NOT NULL,
  shipped date NULL,
  internal_note text NULL,
  PRIMARY KEY (region, no),
  KEY customer (customer_id),
  KEY recipient (recipient_id)
);

CREATE TABLE shop.order_line (
  region varchar(2) NOT NULL,
  no int unsigned NOT NULL,
  line smallint NOT NULL,
  sku varchar(20) COLLATE utf8mb4_general_ci NOT NULL,
  qty int NOT NULL,
  price decimal(10,2) NOT NULL,
  PRIMARY KEY (region, no, line),
  KEY product (sku)
);

CREATE TABLE shop.tag (
  id int NOT NULL,
  name varchar(40) NOT NULL,
  PRIMARY KEY (id)
);

CREATE TABLE shop.order_tag (
  region varchar(2) NOT NULL,
  no int unsigned NOT NULL,
  tag_id int NOT NULL,
  PRIMARY KEY (region, no, tag_id),
  KEY tag (tag_id)
);

CREATE TABLE shop.order_event (
  region varchar(2) NOT NULL,
  no int unsigned NOT NULL,
  at datetime(3) NOT NULL,
  event varchar(40) NOT NULL,
  KEY of_order (region, no)
);

INSERT INTO shop.customer (id, name, tier, newsletter) VALUES
  (1, 'Ada', 'gold', 1), (2, 'Brian', 'basic', 0), (3, 'Ćelo', 'silver', 1);
INSERT INTO shop.category (id, parent_id, name) VALUES
  (1, NULL, 'Tools'), (2, 1, 'Hand tools'), (3, 2, 'Hammers'), (4, 2, 'Saws'), (5, 3, 'Claw hammers'), (6, NULL, 'Paint');
INSERT INTO shop.product (sku, category_id, title, price, attributes) VALUES
  ('HAM-1', 5, 'Claw hammer', 19.90, '{"grams": 450, "grip": {"colour": "red"}}'),
  ('SAW-1', 4, 'Fine saw', 24.50, NULL),
  ('PAINT', 6, 'White paint', 12.00, '["matt", 2.5]'),
  ('NONE', NULL, 'Uncategorized', 0.01, NULL);
INSERT INTO shop.`order` (region, no, customer_id, recipient_id, status, placed, shipped, internal_note) VALUES
  ('EU', 1, 1, 2, 'paid', '2024-02-29 12:00:00.123', '2024-03-05', 'call first'),
  ('EU', 2, 2, 2, 'open', '2024-03-01 08:30:00', NULL, NULL),
  ('US', 1, 3, NULL, 'paid', '2024-03-02 23:59:59.999', '2024-03-03', NULL),
  ('US', 2, NULL, NULL, 'draft', '2024-03-03 00:00:00', NULL, 'not yet');
-- `ham-1 ` joins the product `HAM-1`: the column's collation ignores case and trailing spaces.
INSERT INTO shop.order_line (region, no, line, sku, qty, price) VALUES
  ('EU', 1, 1, 'HAM-1', 2, 19.90), ('EU', 1, 2, 'paint', 1, 12.00), ('EU', 2, 1, 'ham-1 ', 1, 19.90),
  ('US', 1, 1, 'SAW-1', 3, 24.50), ('US', 1, 2, 'GONE', 1, 1.00), ('US', 2, 1, 'HAM-1', 1, 19.90);
INSERT INTO shop.tag (id, name) VALUES (1, 'gift'), (2, 'express'), (3, 'unused');
INSERT INTO shop.order_tag (region, no, tag_id) VALUES ('EU', 1, 1), ('EU', 1, 2), ('US', 1, 2), ('US', 2, 1);
INSERT INTO shop.order_event (region, no, at, event) VALUES
  ('EU', 1, '2024-02-29 12:00:00', 'placed'), ('EU', 1, '2024-02-29 12:05:00', 'paid'),
  ('US', 1, '2024-03-02 23:59:59', 'placed'), ('US', 1, '2024-03-02 23:59:59', 'placed');
