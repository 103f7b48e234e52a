//! TABLE_MAP events: which table the following rows belong to, and how its columns are encoded.
//!
//! Owns: [`TableMap`] and parsing it. Does not own: matching it with the plan (`decode`).
//! Format: MySQL source, `libs/mysql/binlog/event/rows_event.h`, class `Table_map_event`.

use std::collections::HashMap;

use super::cursor::{Cursor, Truncated};

/// Column types as they stand in events (MySQL source, `field_types.h`).
pub(super) mod types {
    pub const TINY: u8 = 1;
    pub const SHORT: u8 = 2;
    pub const LONG: u8 = 3;
    pub const FLOAT: u8 = 4;
    pub const DOUBLE: u8 = 5;
    pub const NULL: u8 = 6;
    pub const TIMESTAMP: u8 = 7;
    pub const LONGLONG: u8 = 8;
    pub const INT24: u8 = 9;
    pub const DATE: u8 = 10;
    pub const TIME: u8 = 11;
    pub const DATETIME: u8 = 12;
    pub const YEAR: u8 = 13;
    pub const NEWDATE: u8 = 14;
    pub const VARCHAR: u8 = 15;
    pub const BIT: u8 = 16;
    pub const TIMESTAMP2: u8 = 17;
    pub const DATETIME2: u8 = 18;
    pub const TIME2: u8 = 19;
    /// MariaDB's BLOB and TEXT with COMPRESSED, and its VARCHAR and VARBINARY.
    pub const BLOB_COMPRESSED: u8 = 140;
    pub const VARCHAR_COMPRESSED: u8 = 141;
    pub const VECTOR: u8 = 242;
    pub const JSON: u8 = 245;
    pub const NEWDECIMAL: u8 = 246;
    pub const ENUM: u8 = 247;
    pub const SET: u8 = 248;
    pub const TINY_BLOB: u8 = 249;
    pub const BLOB: u8 = 252;
    pub const VAR_STRING: u8 = 253;
    pub const STRING: u8 = 254;
    pub const GEOMETRY: u8 = 255;
}

/// A column's type as the event gives it. CHAR, ENUM and SET are told apart here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WireType {
    /// One of [`types`].
    pub(super) code: u8,
    /// Longest length in bytes (strings), bits (BIT), digits of a second, precision; by type.
    pub(super) length: u32,
    /// Bytes of the length (BLOB), scale (DECIMAL); by type.
    pub(super) extra: u8,
}

/// A parsed TABLE_MAP event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct TableMap {
    pub(super) types: Vec<WireType>,
    /// Column names; absent unless `binlog_row_metadata=FULL`.
    pub(super) names: Option<Vec<String>>,
    /// Collation numbers of text columns by position, as far as they are given.
    pub(super) collations: HashMap<usize, u16>,
    /// Whether numeric columns are UNSIGNED, by position, as far as it is given.
    pub(super) unsigned: HashMap<usize, bool>,
    /// The labels of ENUM and SET columns by position, in the column's character set, as far as they are given.
    pub(super) labels: HashMap<usize, Vec<Vec<u8>>>,
}

/// Where an event's table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub(super) table_id: u64,
    pub(super) database: &'a [u8],
    pub(super) table: &'a [u8],
}

/// Why a TABLE_MAP event cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadTableMap {
    /// See [`Truncated`].
    #[error(transparent)]
    Truncated(#[from] Truncated),
    /// A type that this version does not know, so that nobody can tell where its values end.
    #[error("column {column} has the type {code}, which this version of rowfold does not know")]
    Type {
        /// Its number, from 1.
        column: usize,
        /// As it stands in the event.
        code: u8,
    },
}

/// Reads the table's name and leaves the rest of the event for [`TableMap::parse`].
pub(super) fn place<'a>(event: &mut Cursor<'a>) -> Result<Place<'a>, Truncated> {
    let table_id = event.little(6)?;
    event.take(2)?;
    let mut name = || -> Result<&'a [u8], Truncated> {
        let length = event.byte()?;
        let name = event.take(usize::from(length))?;
        event.take(1)?;
        Ok(name)
    };
    let (database, table) = (name()?, name()?);
    Ok(Place { table_id, database, table })
}

impl TableMap {
    /// Reads what follows the table's name. `of_geometry` says that the server lists the collation of GEOMETRY columns too.
    pub(super) fn parse(mut event: Cursor<'_>, of_geometry: bool) -> Result<Self, BadTableMap> {
        let count = event.packed_length()?;
        let codes = event.take(count)?;
        let length = event.packed_length()?;
        let mut metadata = Cursor(event.take(length)?);
        let column = |(at, code): (usize, &u8)| {
            WireType::parse(*code, &mut metadata)?.ok_or(BadTableMap::Type { column: at + 1, code: *code })
        };
        let types = codes.iter().enumerate().map(column).collect::<Result<Vec<_>, _>>()?;
        event.take(count.div_ceil(8))?;
        let mut map = Self { types, ..Self::default() };
        while !event.is_empty() {
            let field = event.byte()?;
            let length = event.packed_length()?;
            map.optional(field, Cursor(event.take(length)?), of_geometry)?;
        }
        Ok(map)
    }

    /// One field of the optional metadata (`Optional_metadata_field_type` in MySQL's source).
    fn optional(&mut self, field: u8, mut data: Cursor<'_>, of_geometry: bool) -> Result<(), Truncated> {
        match field {
            1 => {
                // One bit for each numeric column, the highest first.
                let numeric = self.positions(is_numeric);
                let bits = data.take(numeric.len().div_ceil(8))?;
                let unsigned = |at: usize| bits[at / 8] & 0x80 >> (at % 8) != 0;
                self.unsigned = numeric.iter().enumerate().map(|(at, column)| (*column, unsigned(at))).collect();
            }
            2 | 10 => {
                // A default, then (index among the columns of that sort, collation) for those that differ.
                let columns = self.columns_with_charset(field == 10, of_geometry);
                let default = data.packed()? as u16;
                self.collations.extend(columns.iter().map(|column| (*column, default)));
                while !data.is_empty() {
                    let (index, collation) = (data.packed_length()?, data.packed()? as u16);
                    self.collations.insert(*columns.get(index).ok_or(Truncated)?, collation);
                }
            }
            3 | 11 => {
                for column in self.columns_with_charset(field == 11, of_geometry) {
                    self.collations.insert(column, data.packed()? as u16);
                }
            }
            4 => {
                let mut names = Vec::with_capacity(self.types.len());
                while !data.is_empty() {
                    let length = data.packed_length()?;
                    names.push(String::from_utf8_lossy(data.take(length)?).into_owned());
                }
                self.names = Some(names);
            }
            5 | 6 => {
                let code = if field == 5 { types::SET } else { types::ENUM };
                for column in self.positions(|listed| listed == code) {
                    let mut labels = Vec::new();
                    for _ in 0..data.packed_length()? {
                        let length = data.packed_length()?;
                        labels.push(data.take(length)?.to_vec());
                    }
                    self.labels.insert(column, labels);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Positions of the columns to which character sets are listed: ENUM and SET, or strings and BLOBs. Both servers list `binary`
    /// for some that are neither: MySQL for VECTOR, MariaDB for GEOMETRY.
    fn columns_with_charset(&self, labelled: bool, of_geometry: bool) -> Vec<usize> {
        self.positions(|code| match code {
            types::ENUM | types::SET => labelled,
            types::STRING | types::VAR_STRING | types::VARCHAR | types::VARCHAR_COMPRESSED => !labelled,
            types::TINY_BLOB..=types::BLOB | types::BLOB_COMPRESSED | types::VECTOR => !labelled,
            types::GEOMETRY => !labelled && of_geometry,
            _ => false,
        })
    }

    fn positions(&self, listed: impl Fn(u8) -> bool) -> Vec<usize> {
        self.types.iter().enumerate().filter(|(_, wire)| listed(wire.code)).map(|(at, _)| at).collect()
    }
}

/// Whether the signedness of a column of this type is listed. That of YEAR is too.
fn is_numeric(code: u8) -> bool {
    use types::*;
    matches!(code, TINY | SHORT | INT24 | LONG | LONGLONG | YEAR | NEWDECIMAL | FLOAT | DOUBLE)
}

impl WireType {
    /// The type whose values a compressed column holds; else itself.
    pub(super) fn plain(self) -> Self {
        let code = match self.code {
            types::BLOB_COMPRESSED => types::BLOB,
            types::VARCHAR_COMPRESSED => types::VARCHAR,
            code => code,
        };
        Self { code, ..self }
    }

    /// `None` if the type is unknown: then nobody can tell how much metadata it has either.
    fn parse(code: u8, metadata: &mut Cursor<'_>) -> Result<Option<Self>, Truncated> {
        let plain = |length: u64| Self { code, length: length as u32, extra: 0 };
        Ok(Some(match code {
            types::TINY..=types::LONG | types::LONGLONG..=types::NEWDATE | types::NULL | types::TIMESTAMP => plain(0),
            types::FLOAT | types::DOUBLE => plain(metadata.little(1)?),
            types::TIMESTAMP2..=types::TIME2 => plain(metadata.little(1)?),
            types::VARCHAR | types::VARCHAR_COMPRESSED => plain(metadata.little(2)?),
            types::BIT => {
                let (bits, bytes) = (metadata.little(1)?, metadata.little(1)?);
                plain(bytes * 8 + bits)
            }
            types::VECTOR | types::JSON | types::GEOMETRY | types::TINY_BLOB..=types::BLOB | types::BLOB_COMPRESSED => {
                Self { code, length: 0, extra: metadata.byte()? }
            }
            types::NEWDECIMAL => Self { code, length: u32::from(metadata.byte()?), extra: metadata.byte()? },
            types::ENUM | types::SET | types::STRING | types::VAR_STRING => {
                let (high, low) = (metadata.byte()?, metadata.byte()?);
                // The upper bits of a length above 255 hide, inverted, in bits of the type (WL#2933 in MySQL's log_event).
                if high & 0x30 == 0x30 {
                    Self { code: high, length: u32::from(low), extra: 0 }
                } else {
                    let above = u32::from((high & 0x30) ^ 0x30) << 4;
                    Self { code: high | 0x30, length: u32::from(low) | above, extra: 0 }
                }
            }
            _ => return Ok(None),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_map_with_names_and_charsets() {
        let event = [
            7, 0, 0, 0, 0, 0, 1, 0, 1, b'd', 0, 2, b't', b't', 0, // place
            4, 3, 15, 254, 252, // INT, VARCHAR, CHAR (as STRING), TEXT
            5, 200, 0, 0xee, 0xfc, 2, // metadata: VARCHAR(200 bytes), CHAR with 508 bytes, two length bytes
            0, // nullable bits
            2, 4, 45, 1, 0xfc, 255, // default charset field, cut below
        ];
        let mut cursor = Cursor(&event[..event.len() - 6]);
        let found = place(&mut cursor).expect("a place");
        assert_eq!((found.table_id, found.database, found.table), (7, &b"d"[..], &b"tt"[..]));
        let mut rest = cursor.0.to_vec();
        rest.extend([2, 5, 45, 1, 0xfc, 255, 0]);
        rest.extend([4, 9, 1, b'a', 1, b'b', 1, b'c', 2, b'd', b'd']);
        let map = TableMap::parse(Cursor(&rest), false).expect("a table map");
        assert_eq!(map.types[1], WireType { code: types::VARCHAR, length: 200, extra: 0 });
        assert_eq!(map.types[2], WireType { code: types::STRING, length: 508, extra: 0 });
        assert_eq!(map.types[3], WireType { code: types::BLOB, length: 0, extra: 2 });
        assert_eq!(map.collations, HashMap::from([(1, 45), (2, 255), (3, 45)]));
        assert_eq!(map.names.as_deref(), Some(&["a".to_string(), "b".into(), "c".into(), "dd".into()][..]));
        for cut in 0..rest.len() {
            // Never a panic, whatever is missing.
            let _ = TableMap::parse(Cursor(&rest[..cut]), false);
        }
    }

    #[test]
    fn signs_and_labels() {
        // TINY, VARCHAR, YEAR, ENUM, DECIMAL, SET, then six BIGINT and one INT: nine numbers, in two bytes of signs.
        let codes = [&[1, 15, 13, 254, 246, 254][..], &[8; 6], &[3]].concat();
        let metadata = [&[20, 0][..], &[247, 1], &[10, 2], &[248, 1]].concat();
        let mut event = [&[13][..], &codes, &[metadata.len() as u8], &metadata, &[0, 0]].concat();
        event.extend([1, 2, 0b1010_0000, 0b1000_0000]);
        event.extend([5, 5, 2, 1, b'x', 1, 0xf6]);
        event.extend([6, 4, 1, 2, b'a', b'b']);
        let map = TableMap::parse(Cursor(&event), false).expect("a table map");
        let mut signs: Vec<(usize, bool)> = map.unsigned.into_iter().collect();
        signs.sort_unstable();
        let unsigned: Vec<usize> = signs.iter().filter(|(_, unsigned)| *unsigned).map(|(at, _)| *at).collect();
        assert_eq!((signs.len(), unsigned), (10, vec![0, 4, 11]));
        assert_eq!(map.labels, HashMap::from([(5, vec![b"x".to_vec(), vec![0xf6]]), (3, vec![b"ab".to_vec()])]));
        event[codes.len() + 1 + 1 + metadata.len() + 2 + 1] = 1;
        assert!(TableMap::parse(Cursor(&event), false).is_err(), "fewer signs than numbers");
    }

    #[test]
    fn collations_are_counted_as_the_server_counts_them() {
        // What MySQL 9.7 and MariaDB 11.8 wrote of (VARCHAR latin1, POINT, TEXT latin2, VECTOR, VARCHAR ascii, BINARY); MariaDB has no type
        // for VECTOR.
        let codes = |vector: u8| [&[6, 15, 255, 252, vector, 15, 254][..]].concat();
        let event = |vector: u8, metadata: &[u8], collations: &[u8]| {
            let length = metadata.len() as u8;
            [&codes(vector)[..], &[length], metadata, &[0], collations].concat()
        };
        let mysql = event(242, &[5, 0, 4, 2, 4, 7, 0, 0xfe, 3], &[3, 5, 8, 9, 63, 11, 63]);
        let mariadb = event(15, &[5, 0, 4, 2, 12, 0, 7, 0, 0xfe, 3], &[2, 7, 63, 0, 8, 2, 9, 4, 11]);
        let read = |event: &[u8], of_geometry| TableMap::parse(Cursor(event), of_geometry).expect("a map").collations;
        let texts = [(0, 8), (2, 9), (3, 63), (4, 11), (5, 63)];
        assert_eq!(read(&mysql, false), HashMap::from(texts));
        assert_eq!(read(&mariadb, true), HashMap::from_iter(texts.into_iter().chain([(1, 63)])));
    }

    #[test]
    fn a_type_that_nobody_knows_is_named() {
        let map = TableMap::parse(Cursor(&[2, 3, 200, 0, 0]), false);
        assert_eq!(map, Err(BadTableMap::Type { column: 2, code: 200 }));
        let told = "column 2 has the type 200, which this version of rowfold does not know";
        assert_eq!(map.expect_err("unknown").to_string(), told);
        let map = TableMap::parse(Cursor(&[2, 140, 141, 3, 4, 0x2c, 1, 0]), false).expect("a table map");
        assert_eq!(map.types[0], WireType { code: types::BLOB_COMPRESSED, length: 0, extra: 4 });
        assert_eq!(map.types[1], WireType { code: types::VARCHAR_COMPRESSED, length: 300, extra: 0 });
    }
}
