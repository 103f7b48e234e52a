CREATE TABLE customer (id INT PRIMARY KEY, name VARCHAR(40), tier INT);
CREATE TABLE orders (id INT PRIMARY KEY, customer_id INT, placed DATETIME, status VARCHAR(10), KEY (customer_id));
CREATE TABLE order_line (order_id INT, line INT, sku VARCHAR(20), qty INT, PRIMARY KEY (order_id, line));
INSERT INTO customer VALUES (1, 'Ann', 1), (2, 'Bob', 2);
INSERT INTO orders VALUES (1, 1, '2024-01-02 03:04:05', 'open'), (2, 2, NULL, 'draft');
INSERT INTO order_line VALUES (1, 1, 'a', 1), (1, 2, 'b', 2);
