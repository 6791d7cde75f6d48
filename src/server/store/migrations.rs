//! The migrations of `migrations/`, compiled in.
//!
//! The list stands in for `sqlx::migrate!`: sqlx's macros would compile both database drivers a second time, for the compiler.

use sqlx::{
    SqlStr,
    migrate::{Migration, MigrationType, Migrator},
};

/// Each file of `migrations/`, in order: its version, its description, its SQL. The store keeps version, description and a
/// checksum of the SQL, and refuses to open where the checksum differs.
const FILES: [(i64, &str, &str); 9] = [
    (1, "init", include_str!("../../../migrations/0001_init.sql")),
    (2, "nodes", include_str!("../../../migrations/0002_nodes.sql")),
    (3, "turns", include_str!("../../../migrations/0003_turns.sql")),
    (4, "expiry", include_str!("../../../migrations/0004_expiry.sql")),
    (200, "quotas", include_str!("../../../migrations/0200_quotas.sql")),
    (300, "credentials", include_str!("../../../migrations/0300_credentials.sql")),
    (400, "run problem", include_str!("../../../migrations/0400_run_problem.sql")),
    (500, "raw events", include_str!("../../../migrations/0500_raw_events.sql")),
    (600, "run state", include_str!("../../../migrations/0600_run_state.sql")),
];

/// All migrations.
pub(super) fn migrator() -> Migrator {
    let migration = |(version, description, sql): (i64, &'static str, &'static str)| {
        Migration::new(version, description.into(), MigrationType::Simple, SqlStr::from_static(sql), false)
    };
    Migrator::with_migrations(FILES.map(migration).to_vec())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[tokio::test]
    async fn the_list_has_each_file_of_the_folder_as_sqlx_reads_it() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        let read = Migrator::new(folder).await.expect("the migrations are read");
        let parts = |migrator: &Migrator| -> Vec<_> {
            let parts = |m: &Migration| {
                (m.version, m.description.clone(), m.sql.as_str().to_owned(), m.checksum.clone(), m.no_tx)
            };
            migrator.iter().map(parts).collect()
        };
        assert_eq!(parts(&migrator()), parts(&read));
    }
}
