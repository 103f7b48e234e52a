CREATE TABLE orders (id INT PRIMARY KEY, `a.b` INT, `$c` INT);
