//! What the server has to be asked for before rows can be read on.
//!
//! Owns: [`Need`] and meeting it. Does not own: noticing it (`transaction`).

use super::charset_codes::Codes;
use super::server::MySqlServer;
use super::transaction::Assembler;
use crate::error::{Error, Result};

/// Something that the log does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Today's definition of this table (index into the plan's): its rows do not name their columns.
    Table(usize),
    /// The characters of this set: a column has it.
    Charset(String),
}

impl Need {
    /// Asks for it, and gives it to the assembler. Then the event that waits can be fed again.
    pub(super) async fn meet(&self, server: &MySqlServer, assembler: &mut Assembler) -> Result<()> {
        match self {
            Self::Table(table) => {
                let name = assembler.table(*table).clone();
                let definition = server.tables(std::slice::from_ref(&name)).await?.pop();
                let gone = || Error::halt(format!("table {name} is gone from the source"));
                assembler.define(*table, definition.ok_or_else(gone)?);
            }
            Self::Charset(set) => assembler.tables.charsets.put(set, Codes::read(server, set).await?),
        }
        Ok(())
    }
}
