//! Statements over many values: one over many is several times quicker than many over one, on either database.

use super::Engine;

/// How many values a statement has: few sizes, so that the database prepares few statements.
const SIZES: [usize; 4] = [256, 64, 8, 1];

/// Cuts a list into pieces of few sizes, the largest first.
pub(crate) fn chunks<T>(mut rest: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = SIZES.into_iter().find(|size| *size <= rest.len())?;
        let (chunk, left) = rest.split_at(size);
        rest = left;
        Some(chunk)
    })
}

/// `$3, $4`: so many places from a number on. What is bound to them comes in this order, after what is bound before.
pub(crate) fn places(engine: Engine, from: usize, count: usize) -> String {
    (from..from + count).map(|number| engine.place(number)).collect::<Vec<_>>().join(", ")
}

/// `($1, $2), ($3, $4)`: so many rows of so many columns.
pub(crate) fn rows(engine: Engine, count: usize, columns: usize) -> String {
    let row = |row| format!("({})", places(engine, row * columns + 1, columns));
    (0..count).map(row).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_come_in_few_sizes_and_hold_everything_once() {
        let values: Vec<u32> = (0..600).collect();
        let sizes: Vec<usize> = chunks(&values).map(<[u32]>::len).collect();
        assert_eq!(sizes, [256, 256, 64, 8, 8, 8]);
        assert_eq!(chunks(&values).flatten().copied().collect::<Vec<_>>(), values);
        assert_eq!(rows(Engine::Postgres, 2, 2), "($1, $2), ($3, $4)");
        assert_eq!(rows(Engine::Sqlite, 2, 2), "(?, ?), (?, ?)");
    }
}
