//! Statements over many values: one statement over many values is several times quicker than many statements, on either database.

use super::Engine;

/// How many values one statement may have. The database prepares each text of a statement once, so there are only five sizes, and so only
/// five texts; each is a quarter of the one before, so that a list is cut into few chunks.
const CHUNK_SIZES: [usize; 5] = [256, 64, 16, 4, 1];

/// Cuts a list into chunks of a few sizes, the largest first.
pub(crate) fn chunks<T>(mut rest: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = CHUNK_SIZES.into_iter().find(|size| *size <= rest.len())?;
        let (chunk, left) = rest.split_at(size);
        rest = left;
        Some(chunk)
    })
}

/// `$3, $4`: `count` placeholders, numbered from `first`. Bind their values in this order, after those of smaller numbers.
pub(crate) fn placeholders(engine: Engine, first: usize, count: usize) -> String {
    (first..first + count).map(|number| engine.placeholder(number)).collect::<Vec<_>>().join(", ")
}

/// `($1, $2), ($3, $4)`: placeholders for `count` rows of `columns` values.
pub(crate) fn row_placeholders(engine: Engine, count: usize, columns: usize) -> String {
    let row = |row| format!("({})", placeholders(engine, row * columns + 1, columns));
    (0..count).map(row).collect::<Vec<_>>().join(", ")
}

/// The `ESCAPE` clause that a pattern of [`containing`] needs.
pub(crate) const LIKE_ESCAPE: &str = "ESCAPE '!'";

/// A `LIKE` pattern that matches what contains a text. The statement needs [`LIKE_ESCAPE`].
pub(crate) fn containing(text: &str) -> String {
    format!("%{}%", text.replace('!', "!!").replace('%', "!%").replace('_', "!_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_has_what_is_special_in_patterns_as_it_is() {
        assert_eq!(containing("50%_!"), "%50!%!_!!%");
    }

    #[test]
    fn chunks_have_few_sizes_and_hold_everything_once() {
        let values: Vec<u32> = (0..600).collect();
        let sizes: Vec<usize> = chunks(&values).map(<[u32]>::len).collect();
        assert_eq!(sizes, [256, 256, 64, 16, 4, 4]);
        assert_eq!(chunks(&values).flatten().copied().collect::<Vec<_>>(), values);
        assert_eq!(row_placeholders(Engine::Postgres, 2, 2), "($1, $2), ($3, $4)");
        assert_eq!(row_placeholders(Engine::Sqlite, 2, 2), "(?, ?), (?, ?)");
    }
}
