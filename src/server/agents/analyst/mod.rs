//! The built-in workload analyst.
pub mod dataset;
pub mod goals;
pub mod ingest;
pub mod pricing;
pub mod profile;
