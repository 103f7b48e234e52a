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
  at curve NOT NULL,
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
CREATE TABLE shop.kinds (
  id int NOT NULL,
  n bigint unsigned NOT NULL,
  y year NOT NULL,
  d decimal(20,4) NOT NULL,
  l decimal(40,2) NOT NULL,
  f float NOT NULL,
  b bit(4) NOT NULL,
  t text NOT NULL,
  e enum('a','b') NOT NULL,
  s set('a','b') NOT NULL,
  k binary(16) NOT NULL,
  k8 binary(8) NOT NULL,
  x blob NOT NULL,
  day date NOT NULL,
  at datetime(6) NOT NULL,
  ts timestamp(6) NOT NULL,
  tm time(6) NOT NULL,
  j json NOT NULL,
  g point NOT NULL,
  v vector NOT NULL,
  u uuid NOT NULL,
  i inet6 NOT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY moment (at, day),
  UNIQUE KEY far (g)
);
