-- The account of the tests and of the demo, on MySQL and on MariaDB: it may create databases and accounts and change server variables.
-- Native mode runs this at every start, Docker when the data folder is made; it leaves no trace in the binlog.
SET SESSION sql_log_bin = 0;
CREATE USER IF NOT EXISTS 'rowfold'@'%' IDENTIFIED BY 'rowfold';
GRANT ALL PRIVILEGES ON *.* TO 'rowfold'@'%' WITH GRANT OPTION;
