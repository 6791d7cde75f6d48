//! Columns whose values repeat, to group by.

use std::collections::HashMap;

/// A column whose values repeat, to group by.
#[derive(Debug, Clone, Default)]
pub struct GroupColumn {
    /// Its name in the log, such as `user`.
    pub name: String,
    /// The distinct values, in order of appearance.
    pub values: Vec<String>,
    /// The value of each row as an index into `values`; [`NO_VALUE`] in a row without one.
    pub codes: Vec<u16>,
    pub(super) index: HashMap<String, u16>,
}

/// The code of a row without a value.
pub const NO_VALUE: u16 = u16::MAX;

impl GroupColumn {
    /// The value of row `i`, if it has one.
    pub fn value(&self, i: usize) -> Option<&str> {
        self.values.get(usize::from(*self.codes.get(i)?)).map(String::as_str)
    }
}
