//! Files of threads under a second path.

use std::{io, path::Path};

use tokio::fs;

use crate::protocol::FileId;

/// Gives a complete file, which never changes, a second path: by a link, or by a copy where the file system has no links. If the path exists,
/// it is that file: its name is the file's id.
///
/// # Errors
/// As the file system's; `NotFound` if the file does not exist.
pub(super) async fn second_path(original: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(original, path).await {
        // It was given before, by the same command.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            // Under a temporary name, so that a file with the final name is complete.
            let part = path.with_extension(format!("{}.part", FileId::new()));
            let copied = match fs::copy(original, &part).await {
                Ok(_) => fs::rename(&part, path).await,
                Err(error) => Err(error),
            };
            if copied.is_err() {
                let _ = fs::remove_file(&part).await;
            }
            copied
        }
        linked => linked,
    }
}
