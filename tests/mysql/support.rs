//! A database per test, plans made by hand, and short ways to ask.

use std::sync::Arc;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};
use rowfold::config::SourceSettings;
use rowfold::edge::mysql::{MySqlServer, MySqlSource};
use rowfold::model::plan::{
    Equality, IdColumn, JobPlan, JoinPair, JoinPlan, NodeColumn, NodePlan, ProjectionPlan, Shape, TableUse, Through,
    UsedColumn, WriteAs,
};
use rowfold::model::schema::{ColumnKind, Table, TableName};
use rowfold::model::time::{Civil, time_text};
use rowfold::model::value::{Key, Value};
use rowfold::model::zone::Zone;

/// Which of the two servers a test is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    MySql,
    MariaDb,
}

impl Engine {
    fn url(self) -> String {
        let name = match self {
            Self::MySql => "ROWFOLD_MYSQL_URL",
            Self::MariaDb => "ROWFOLD_MARIADB_URL",
        };
        std::env::var(name).unwrap_or_else(|_| panic!("{name} must name a server that tests may write to"))
    }
}

/// A database of its own, and a connection to prepare it.
pub struct Database {
    pub name: String,
    pub conn: Conn,
    pub server: MySqlServer,
}

impl Database {
    /// On MySQL; see [`Database::on`].
    pub async fn with(name: &str, server_id: u32, statements: &[&str]) -> Self {
        Self::on(Engine::MySql, name, server_id, statements).await
    }

    /// Makes `rf_mysql_<name>` anew and runs the statements in it. `server_id` is for its log.
    pub async fn on(engine: Engine, name: &str, server_id: u32, statements: &[&str]) -> Self {
        let url = engine.url();
        let name = format!("rf_mysql_{name}");
        let opts = OptsBuilder::from_opts(Opts::from_url(&url).expect("a url")).prefer_socket(false).setup(vec![
            "SET NAMES utf8mb4, sql_mode='ALLOW_INVALID_DATES', time_zone='+00:00' \
             /*!80000 , cte_max_recursion_depth=1000000 */ /*M!100000 , max_recursive_iterations=1000000 */",
        ]);
        let mut conn = Conn::new(opts).await.expect("a connection");
        for statement in
            [&format!("DROP DATABASE IF EXISTS {name}"), &format!("CREATE DATABASE {name}"), &format!("USE {name}")]
        {
            conn.query_drop(statement).await.expect("a database");
        }
        let settings = SourceSettings { url: url.into(), server_id, allow_unsafe_source: true };
        let server = MySqlServer::new(&settings).expect("settings");
        let mut database = Self { name, conn, server };
        database.run(statements).await;
        database
    }

    pub async fn run(&mut self, statements: &[&str]) {
        for statement in statements {
            if let Err(error) = self.conn.query_drop(*statement).await {
                panic!("{statement}: {error}");
            }
        }
    }

    /// The first column of all rows as text.
    pub async fn texts(&mut self, statement: &str) -> Vec<String> {
        self.conn.query(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"))
    }

    pub fn table(&self, table: &str) -> TableName {
        TableName::new(&self.name, table)
    }

    pub async fn definition(&self, table: &str) -> Table {
        self.server.tables(&[self.table(table)]).await.expect("a definition").remove(0)
    }

    pub fn source(&self, plan: JobPlan) -> MySqlSource {
        MySqlSource::on(self.server.clone(), Arc::new(plan))
    }
}

/// A node over all columns of a table.
pub fn node(table: &Table, parent: Option<(usize, Shape)>, join: Option<JoinPlan>, order_by: &[&str]) -> NodePlan {
    let column = |column: &rowfold::model::schema::Column| NodeColumn {
        sql: format!("`{}`", column.name),
        kind: column.kind.clone(),
        field: Some(column.name.clone()),
        write: WriteAs::Plain,
    };
    NodePlan {
        table: table.name.clone(),
        parent: parent.as_ref().map(|(parent, _)| *parent),
        field: parent.as_ref().map(|_| table.name.table.clone()).unwrap_or_default(),
        shape: parent.map_or(Shape::Root, |(_, shape)| shape),
        columns: table.columns.iter().map(column).collect(),
        join,
        filter: None,
        order_by: order_by.iter().map(|term| term.to_string()).collect(),
        omit_nulls: false,
    }
}

/// A join of `parent.column = child.column` pairs. Text columns are compared by weight.
pub fn join(parent: &Table, child: &Table, pairs: &[(&str, &str)], follows_root_key: bool) -> JoinPlan {
    let pair = |(left, right): &(&str, &str)| {
        let (left, right) = (parent.column(left).expect("a column"), child.column(right).expect("a column"));
        let (from, to) = (&parent.columns[left], &child.columns[right]);
        JoinPair {
            parent_column: from.name.clone(),
            parent_position: left,
            child_column: to.name.clone(),
            child_position: Some(right),
            kind: to.kind.clone(),
            equality: match &from.collation {
                Some(collation) => {
                    Equality::Collated { collation: collation.clone(), pads: !collation.contains("_0900_") }
                }
                None => Equality::Exact,
            },
        }
    };
    JoinPlan { pairs: pairs.iter().map(pair).collect(), through: None, follows_root_key }
}

/// The same through a link table: `pairs` join the parent with the link, `to` the link with the child.
pub fn join_through(
    parent: &Table,
    link: &Table,
    pairs: &[(&str, &str)],
    to: &[(&str, &str)],
    follows_root_key: bool,
) -> JoinPlan {
    let mut join = join(parent, link, pairs, follows_root_key);
    for pair in &mut join.pairs {
        pair.child_position = None;
    }
    let kinds = join.pairs.iter().map(|pair| pair.kind.clone()).collect();
    let to = to.iter().map(|(link, own)| (link.to_string(), own.to_string())).collect();
    join.through = Some(Through { table: link.name.clone(), to, kinds });
    join
}

/// A job of one projection over these nodes. Every column of every table is used; those in `routes` route.
pub fn job(nodes: Vec<NodePlan>, id: &[&str], tables: &[&Table], routes: impl Fn(&ColumnKind) -> bool) -> JobPlan {
    let root = &nodes[0];
    let position = |name: &str| root.columns.iter().position(|c| c.sql == format!("`{name}`")).expect("an id column");
    let id = id
        .iter()
        .map(|name| IdColumn {
            position: position(name),
            column: name.to_string(),
            field: name.to_string(),
            zone: Zone::Utc,
        })
        .collect();
    let used = |table: &&Table| TableUse {
        name: table.name.clone(),
        columns: table
            .columns
            .iter()
            .map(|c| UsedColumn {
                name: c.name.clone(),
                kind: c.kind.clone(),
                declared: c.declared.clone(),
                collation: c.collation.clone(),
                routes: routes(&c.kind),
            })
            .collect(),
    };
    let projection = ProjectionPlan { collection: "c".into(), nodes, id, indexes: Vec::new(), mapping: String::new() };
    JobPlan { name: "job".into(), projections: vec![projection], tables: tables.iter().map(used).collect() }
}

pub fn int(number: i64) -> Value {
    Value::Int(number)
}

pub fn text(text: &str) -> Value {
    Value::Text(text.into())
}

pub fn key(values: impl IntoIterator<Item = Value>) -> Key {
    Key(values.into_iter().collect())
}

/// What prints a key in a test's expectation. Tests may show values.
pub fn shown(keys: &[Key]) -> Vec<String> {
    let value = |value: &Value| match value {
        Value::Null => "NULL".to_string(),
        Value::Int(number) => number.to_string(),
        Value::Text(text) | Value::Decimal(text) => text.clone(),
        other => panic!("{other:?}"),
    };
    keys.iter().map(|key| key.0.iter().map(value).collect::<Vec<_>>().join("/")).collect()
}

/// A value in words. Tests may show values.
pub fn told(value: &Value) -> String {
    match value {
        Value::Null => "NULL".into(),
        Value::Int(number) => number.to_string(),
        Value::UInt(number) => number.to_string(),
        Value::Double(bits) => format!("{} ({bits:x})", f64::from_bits(*bits)),
        Value::Decimal(text) | Value::Text(text) => format!("{text:?}"),
        Value::Bytes(bytes) => format!("{bytes:02x?}"),
        Value::Civil(packed) => Civil::unpack(*packed).datetime_text(6),
        Value::Time(micros) => time_text(*micros, 6),
    }
}
