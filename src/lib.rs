//! rowfold folds the rows of many MySQL tables into documents and keeps them in MongoDB.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod assembling;
pub mod backfill;
pub mod cli;
pub mod config;
pub mod edge;
pub mod engine;
pub mod error;
pub mod logic;
pub mod model;
pub mod ops;
pub mod ports;
pub mod reading;
pub mod stream;
