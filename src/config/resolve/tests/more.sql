CREATE TABLE shop.bare (
  a int NOT NULL,
  b int NULL
);
CREATE TABLE shop.half (
  a int NOT NULL,
  email varchar(40) COLLATE utf8mb4_bin NULL,
  UNIQUE KEY email (email)
);
CREATE TABLE shop.second (
  a int NOT NULL,
  b int NOT NULL,
  n int NULL,
  UNIQUE KEY ba (b, a),
  UNIQUE KEY n (n)
);
CREATE TABLE shop.note (
  id int NOT NULL,
  dup int NOT NULL,
  region char(2) NOT NULL,
  no int NOT NULL,
  sku varchar(20) COLLATE utf8mb4_0900_ai_ci NOT NULL,
  customer_code varchar(20) NOT NULL,
  body longtext NULL,
  PRIMARY KEY (id),
  KEY wrong_way (id, region)
);
CREATE TABLE shop.old (
  id int NOT NULL,
  PRIMARY KEY (id)
) ENGINE=MyISAM;
CREATE TABLE shop.place (
  id int NOT NULL,
  at point NOT NULL,
  exact decimal(40,5) NOT NULL,
  seen datetime(6) NULL,
  doc json NULL,
  ratio double NOT NULL,
  state enum('a','b') NOT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY ratio (ratio),
  UNIQUE KEY state (state)
);
CREATE TABLE shop.child (
  id int NOT NULL,
  customer_id bigint unsigned NULL,
  PRIMARY KEY (id),
  KEY customer (customer_id),
  CONSTRAINT child_customer FOREIGN KEY (customer_id) REFERENCES shop.customer (id) ON DELETE CASCADE
);
CREATE TABLE shop.odd (
  id int NOT NULL,
  _id int NOT NULL,
  `a.b` int NOT NULL,
  `$c` int NOT NULL,
  PRIMARY KEY (id)
);
CREATE TABLE shop.person (
  id int NOT NULL,
  name varchar(40) NOT NULL,
  PRIMARY KEY (id)
);
CREATE TABLE shop.friend (
  a int NOT NULL,
  b int NOT NULL,
  PRIMARY KEY (a, b),
  KEY b (b)
);
CREATE TABLE shop.wide (
  id int NOT NULL,
  region char(2) NOT NULL,
  no bigint unsigned NOT NULL,
  PRIMARY KEY (id),
  KEY of_order (region, no)
);
