//! rowfold folds the rows of many MySQL tables into documents and keeps them in MongoDB.
#![forbid(unsafe_code)]

pub mod config;
pub mod edge;
pub mod error;
pub mod model;
pub mod ports;
