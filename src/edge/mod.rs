//! The only code that speaks to servers: one module per driver, each implementing traits of `ports`.

pub mod mysql;
