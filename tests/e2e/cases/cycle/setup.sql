CREATE TABLE category (id INT PRIMARY KEY, parent_id INT, name VARCHAR(20), KEY (parent_id));
