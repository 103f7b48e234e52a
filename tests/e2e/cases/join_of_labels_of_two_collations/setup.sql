CREATE TABLE orders (id INT PRIMARY KEY, k ENUM('a', 'b') COLLATE utf8mb4_bin, KEY (k));
CREATE TABLE order_line (id INT PRIMARY KEY, k ENUM('a', 'b') COLLATE utf8mb4_0900_ai_ci, KEY (k));
