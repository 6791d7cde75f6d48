//! The migrations of `migrations/`, compiled in.
//!
//! The list stands in for `sqlx::migrate!`: sqlx's macros would compile both database drivers a second time, for the compiler.

use sqlx::{
    SqlStr,
    migrate::{Migration, MigrationType, Migrator},
};

use super::Engine;

/// A migration: its version, its description, its SQL.
type File = (i64, &'static str, &'static str);

/// Each file of `migrations/`, in order. The store keeps version, description and a checksum of the SQL, and refuses to open where the
/// checksum differs.
const FILES: [File; 21] = [
    (1, "init", include_str!("../../../migrations/0001_init.sql")),
    (2, "nodes", include_str!("../../../migrations/0002_nodes.sql")),
    (3, "turns", include_str!("../../../migrations/0003_turns.sql")),
    (4, "expiry", include_str!("../../../migrations/0004_expiry.sql")),
    (200, "quotas", include_str!("../../../migrations/0200_quotas.sql")),
    (300, "credentials", include_str!("../../../migrations/0300_credentials.sql")),
    (400, "run problem", include_str!("../../../migrations/0400_run_problem.sql")),
    (500, "raw events", include_str!("../../../migrations/0500_raw_events.sql")),
    (600, "run state", include_str!("../../../migrations/0600_run_state.sql")),
    (700, "search", include_str!("../../../migrations/0700_search.sql")),
    (710, "pinned archived", include_str!("../../../migrations/0710_pinned_archived.sql")),
    (800, "feedback", include_str!("../../../migrations/0800_feedback.sql")),
    (820, "share links", include_str!("../../../migrations/0820_share_links.sql")),
    (850, "steering", include_str!("../../../migrations/0850_steering.sql")),
    (900, "inbox", include_str!("../../../migrations/0900_inbox.sql")),
    (910, "fork", include_str!("../../../migrations/0910_fork.sql")),
    (920, "temporary", include_str!("../../../migrations/0920_temporary.sql")),
    (940, "title source", include_str!("../../../migrations/0940_title_source.sql")),
    (941, "tags", include_str!("../../../migrations/0941_tags.sql")),
    (950, "members", include_str!("../../../migrations/0950_members.sql")),
    (960, "prompts", include_str!("../../../migrations/0960_prompts.sql")),
];

/// Each file of `migrations/sqlite/`: what only SQLite has.
const SQLITE_FILES: [File; 2] = [
    (701, "search index", include_str!("../../../migrations/sqlite/0701_search_index.sql")),
    (930, "unsent files", include_str!("../../../migrations/sqlite/0930_unsent_files.sql")),
];

/// Each file of `migrations/postgres/`: what only PostgreSQL has.
const POSTGRES_FILES: [File; 2] = [
    (701, "search index", include_str!("../../../migrations/postgres/0701_search_index.sql")),
    (930, "unsent files", include_str!("../../../migrations/postgres/0930_unsent_files.sql")),
];

/// All migrations of an engine.
pub(super) fn migrator(engine: Engine) -> Migrator {
    let own = match engine {
        Engine::Sqlite => SQLITE_FILES,
        Engine::Postgres => POSTGRES_FILES,
    };
    let mut files = [&FILES[..], &own[..]].concat();
    files.sort_unstable_by_key(|(version, ..)| *version);
    Migrator::with_migrations(files.into_iter().map(migration).collect())
}

fn migration((version, description, sql): File) -> Migration {
    Migration::new(version, description.into(), MigrationType::Simple, SqlStr::from_static(sql), false)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    type Parts = (i64, String, String, Vec<u8>, bool);

    fn parts(migration: &Migration) -> Parts {
        let Migration { version, description, sql, checksum, no_tx, .. } = migration;
        (*version, description.to_string(), sql.as_str().to_owned(), checksum.to_vec(), *no_tx)
    }

    /// The migrations of a folder, as sqlx reads them.
    async fn read(folder: &str) -> Vec<Parts> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        Migrator::new(folder).await.expect("the migrations are read").iter().map(parts).collect()
    }

    #[tokio::test]
    async fn the_lists_have_each_file_of_the_folders_as_sqlx_reads_it() {
        for (engine, folder) in [(Engine::Sqlite, "migrations/sqlite"), (Engine::Postgres, "migrations/postgres")] {
            let mut all = read("migrations").await;
            all.extend(read(folder).await);
            all.sort_unstable_by_key(|(version, ..)| *version);
            assert_eq!(migrator(engine).iter().map(parts).collect::<Vec<_>>(), all, "{engine:?}");
        }
    }
}
