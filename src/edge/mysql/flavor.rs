//! MySQL or MariaDB: where the two differ in what has to be asked.
//!
//! Owns: [`Flavor`]. Does not own: settings of a session (`server`), what a snapshot contains (`fence`), events of the
//! binlog (`mariadb`).

use super::server::MySqlServer;
use crate::error::Result;
use crate::model::schema::is_mariadb;

/// Which of the two a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flavor {
    MySql,
    MariaDb,
}

impl Flavor {
    /// By `@@version`.
    fn of(version: &str) -> Self {
        if is_mariadb(version) { Self::MariaDb } else { Self::MySql }
    }
}

impl MySqlServer {
    /// Which of the two it is; asked once.
    pub(super) async fn flavor(&self) -> Result<Flavor> {
        let ask = async || Ok(Flavor::of(&self.version().await?));
        self.known_flavor().get_or_try_init(ask).await.copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_tell() {
        for (version, flavor) in [
            ("9.7.4", Flavor::MySql),
            ("8.4.2-log", Flavor::MySql),
            ("11.8.9-MariaDB-4 from Debian-log", Flavor::MariaDb),
            ("5.5.5-10.11.6-MariaDB-log", Flavor::MariaDb),
        ] {
            assert_eq!(Flavor::of(version), flavor, "{version}");
        }
    }
}
