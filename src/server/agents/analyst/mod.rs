//! The built-in workload analyst.
pub mod analysis;
pub mod answer;
pub mod charts;
pub mod dataset;
pub mod forecast;
pub mod goals;
pub mod ingest;
pub mod optimize;
pub mod pricing;
pub mod profile;
pub mod report;
pub mod sample;
pub mod words;
