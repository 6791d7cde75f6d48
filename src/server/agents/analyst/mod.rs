//! The built-in workload analyst.
pub mod dataset;
pub mod ingest;
pub mod pricing;
pub mod profile;
