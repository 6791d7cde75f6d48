//! Keeps the server's files private to its user: folders have mode 700 and files 600, whatever the umask or the modes of
//! existing files were. The store holds the key that signs access tokens: with it anyone could sign in as anyone.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::config::Config;

/// The permission bits of group and others.
const GROUP_AND_OTHERS: u32 = 0o077;
/// How deep folders are searched; uploads are two levels below the data folder.
const MAX_DEPTH: usize = 8;

/// Makes files and folders that this process and its children create private to their user.
pub fn set_umask() {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(GROUP_AND_OTHERS));
}

/// Creates a folder, and its parents, with mode 700. An existing folder loses the permissions of group and others.
///
/// # Errors
/// It cannot be created. The mode of another user's folder stays as it is; a warning is logged.
pub fn private_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    make_private(path, &fs::metadata(path)?);
    Ok(())
}

/// Removes the permissions of group and others from the data folder, the upload folder, all files in them, and an SQLite file
/// elsewhere.
///
/// # Errors
/// A folder cannot be created or read.
pub fn make_all_private(config: &Config) -> io::Result<()> {
    private_folder(&config.server.data)?;
    private_folder(&config.files_dir())?;
    make_contents_private(&config.server.data, MAX_DEPTH)?;
    if let Some(file) = config.sqlite_file() {
        for ending in ["", "-wal", "-shm", "-journal"] {
            let path = PathBuf::from(format!("{}{ending}", file.display()));
            match fs::metadata(&path) {
                Ok(known) => make_private(&path, &known),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    let files = config.files_dir();
    if !files.starts_with(&config.server.data) {
        // It may be a large network folder that many nodes share. The folder's own mode protects its files already, so those are
        // changed in the background, while the server starts.
        std::thread::spawn(move || {
            if let Err(error) = make_contents_private(&files, MAX_DEPTH) {
                tracing::warn!(folder = %files.display(), %error, "the modes of uploaded files could not be checked");
            }
        });
    }
    Ok(())
}

/// Makes everything in a folder private. Symbolic links are neither followed nor changed.
fn make_contents_private(folder: &Path, depth: usize) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match fs::symlink_metadata(&path) {
            Ok(known) if known.is_symlink() => {}
            Ok(known) => {
                make_private(&path, &known);
                if known.is_dir() && depth > 0 {
                    make_contents_private(&path, depth - 1)?;
                }
            }
            // It was removed meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn make_private(path: &Path, metadata: &fs::Metadata) {
    let mode = metadata.permissions().mode();
    if mode & GROUP_AND_OTHERS == 0 {
        return;
    }
    match fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o7777 & !GROUP_AND_OTHERS)) {
        Ok(()) => tracing::info!(path = %path.display(), "removed the permissions of group and others"),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => {
            let advice = "make the server's user its owner, or run chmod go-rwx on it";
            tracing::warn!(path = %path.display(), %error, "other users can open it, and its mode could not be changed; {advice}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).expect("the file exists").permissions().mode() & 0o777
    }

    #[test]
    fn files_become_private_and_targets_of_links_stay_as_they_are() {
        let place = tempfile::tempdir().expect("a folder");
        let (data, outside) = (place.path().join("data"), place.path().join("outside"));
        let files = data.join("files/thread");
        fs::create_dir_all(&files).expect("the folder is created");
        fs::write(&outside, "").expect("the file is written");
        std::os::unix::fs::symlink(&outside, data.join("link")).expect("the link is created");
        let written = ["netra.db", "netra.db-wal", "netra.db-shm", "netra.db.backup", "files/thread/upload"]
            .map(|name| data.join(name));
        for path in &written {
            fs::write(path, "").expect("the file is written");
            fs::set_permissions(path, fs::Permissions::from_mode(0o664)).expect("the permissions are set");
        }
        for folder in [&data, &files, &data.join("files")] {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("the permissions are set");
        }
        fs::set_permissions(&outside, fs::Permissions::from_mode(0o644)).expect("the permissions are set");

        let mut config = Config::default();
        config.server.data = data.clone();
        make_all_private(&config).expect("the permissions are set");
        assert!(written.iter().all(|path| mode(path) == 0o600));
        assert_eq!([&data, &files, &data.join("files")].map(|folder| mode(folder)), [0o700; 3]);
        assert_eq!(mode(&outside), 0o644);
    }
}
