//! Places: from MySQL's bytes to GeoJSON.
//!
//! Owns: reading WKB, and which geometries have a GeoJSON form. Does not own: what a geometry without one becomes
//! (`logic::conversion`).
//! Formats: MySQL manual, "Internal Geometry Storage Format"; OGC 06-103r4, "Well-known Binary"; RFC 7946.
//!
//! The first coordinate is the longitude: MySQL keeps SRID 4326 so inside, although its texts have the latitude first;
//! MariaDB keeps what it was given, and its functions take the first for the longitude.

use crate::model::document::{BsonWriter, array_index};

/// The spatial reference systems that are written as GeoJSON: none, and WGS 84.
const SRIDS: [u32; 2] = [0, 4326];
/// How deep collections may nest: two levels of a document each.
const DEPTH_MAX: usize = 32;
/// The parts of a geometry whose bytes are shortest: the count of points of a line.
const PART_BYTES_MIN: usize = 4;

/// A geometry in GeoJSON's terms.
#[derive(Debug, PartialEq)]
pub(super) enum Geometry {
    /// Its type, and its coordinates.
    Simple(&'static str, Coordinates),
    /// A GeometryCollection.
    Collection(Vec<Geometry>),
}

#[derive(Debug, PartialEq)]
pub(super) enum Coordinates {
    Place([f64; 2]),
    List(Vec<Coordinates>),
}

/// What the bytes of a column hold.
#[derive(Debug, PartialEq)]
pub(super) enum Held<'a> {
    /// What has a GeoJSON form.
    Geometry(Geometry),
    /// Another reference system, heights or measures, or a type that GeoJSON does not have: its SRID and the WKB.
    Other(u32, &'a [u8]),
}

/// Why bytes give no geometry in GeoJSON.
enum Fault {
    Malformed,
    NoGeoJson,
}

/// The SRID and the WKB; `None` if there is no room for them.
pub(super) fn split(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (srid, wkb) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*srid), wkb))
}

/// Reads a column's bytes; `None` if they are no geometry.
pub(super) fn read(bytes: &[u8]) -> Option<Held<'_>> {
    let (srid, wkb) = split(bytes)?;
    if !SRIDS.contains(&srid) {
        return Some(Held::Other(srid, wkb));
    }
    let mut reader = Reader { rest: wkb };
    match reader.geometry(0) {
        Ok(geometry) if reader.rest.is_empty() => Some(Held::Geometry(geometry)),
        Err(Fault::NoGeoJson) => Some(Held::Other(srid, wkb)),
        _ => None,
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(Fault::Malformed)?;
        self.rest = rest;
        Ok(*head)
    }

    fn number(&mut self, big: bool) -> Result<u32, Fault> {
        let bytes = self.take::<4>()?;
        Ok(if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    /// The byte order, true for the most significant first, and the type.
    fn head(&mut self) -> Result<(bool, u32), Fault> {
        let big = match self.take::<1>()? {
            [0] => true,
            [1] => false,
            _ => return Err(Fault::Malformed),
        };
        match self.number(big)? {
            kind @ 1..=7 => Ok((big, kind)),
            // With heights or measures (from 1001 on, or the upper bits), curves, surfaces.
            _ => Err(Fault::NoGeoJson),
        }
    }

    fn place(&mut self, big: bool) -> Result<Coordinates, Fault> {
        let mut number = || {
            let bytes = self.take::<8>()?;
            Ok(if big { f64::from_be_bytes(bytes) } else { f64::from_le_bytes(bytes) })
        };
        let place = [number()?, number()?];
        // The empty point is written so.
        if place.iter().all(|number| number.is_finite()) {
            Ok(Coordinates::Place(place))
        } else {
            Err(Fault::NoGeoJson)
        }
    }

    /// As many parts as a count in front of them says.
    fn list<T>(&mut self, big: bool, mut part: impl FnMut(&mut Self) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
        let count = self.number(big)? as usize;
        if count > self.rest.len() / PART_BYTES_MIN {
            return Err(Fault::Malformed);
        }
        (0..count).map(|_| part(self)).collect()
    }

    fn line(&mut self, big: bool) -> Result<Coordinates, Fault> {
        self.list(big, |reader| reader.place(big)).map(Coordinates::List)
    }

    fn rings(&mut self, big: bool) -> Result<Coordinates, Fault> {
        self.list(big, |reader| reader.line(big)).map(Coordinates::List)
    }

    /// Parts that each have a head of their own.
    fn members(
        &mut self,
        big: bool,
        kind: u32,
        part: fn(&mut Self, bool) -> Result<Coordinates, Fault>,
    ) -> Result<Coordinates, Fault> {
        let member = |reader: &mut Self| match reader.head()? {
            (big, found) if found == kind => part(reader, big),
            _ => Err(Fault::Malformed),
        };
        self.list(big, member).map(Coordinates::List)
    }

    fn geometry(&mut self, depth: usize) -> Result<Geometry, Fault> {
        let (big, kind) = self.head()?;
        Ok(match kind {
            1 => Geometry::Simple("Point", self.place(big)?),
            2 => Geometry::Simple("LineString", self.line(big)?),
            3 => Geometry::Simple("Polygon", self.rings(big)?),
            4 => Geometry::Simple("MultiPoint", self.members(big, 1, Self::place)?),
            5 => Geometry::Simple("MultiLineString", self.members(big, 2, Self::line)?),
            6 => Geometry::Simple("MultiPolygon", self.members(big, 3, Self::rings)?),
            _ if depth == DEPTH_MAX => return Err(Fault::NoGeoJson),
            _ => Geometry::Collection(self.list(big, |reader| reader.geometry(depth + 1))?),
        })
    }
}

/// Writes a geometry as a sub-document.
pub(super) fn write(writer: &mut BsonWriter, name: &str, geometry: &Geometry) {
    let mut scratch = String::new();
    writer.begin_document(name);
    match geometry {
        Geometry::Simple(kind, coordinates) => {
            writer.string("type", kind);
            write_coordinates(writer, "coordinates", coordinates);
        }
        Geometry::Collection(geometries) => {
            writer.string("type", "GeometryCollection");
            writer.begin_array("geometries");
            for (at, geometry) in geometries.iter().enumerate() {
                write(writer, array_index(at, &mut scratch), geometry);
            }
            writer.end();
        }
    }
    writer.end();
}

fn write_coordinates(writer: &mut BsonWriter, name: &str, coordinates: &Coordinates) {
    let mut scratch = String::new();
    writer.begin_array(name);
    match coordinates {
        Coordinates::Place([longitude, latitude]) => {
            writer.double("0", *longitude);
            writer.double("1", *latitude);
        }
        Coordinates::List(list) => {
            for (at, coordinates) in list.iter().enumerate() {
                write_coordinates(writer, array_index(at, &mut scratch), coordinates);
            }
        }
    }
    writer.end();
}
