//! Reads any bytes as a usage log and analyses it: no input may panic, run out of memory, or count a row twice.
//!
//! The analyst's sources are compiled directly: without the rest of Netra, building takes a minute.
#![no_main]

#[path = "../../src/analyst/mod.rs"]
#[allow(dead_code, unused_imports, reason = "only reading and computing are called here")]
mod analyst;
#[path = "../../src/json_size.rs"]
#[allow(dead_code, reason = "the analyst uses a part of it")]
mod json_size;

use analyst::{analysis::Analysis, ingest, pricing::PriceTable};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(log) = ingest::read(bytes, &|| false) else { return };
    assert_eq!(log.report.rows, log.data.len() as u64);
    let table = PriceTable::shipped();
    let analysis = Analysis::compute("log", "Where does the money go?", &log, &table, &|| false).expect("not stopped");
    assert!(analysis.profile.cost.is_finite());
    assert!(!analyst::report::markdown(&analysis).is_empty());
});
