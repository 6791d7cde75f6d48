//! What the server keeps is for its own user: folders have mode 700 and files 600, whatever the umask was and whatever was
//! there before. The store holds the key that signs access tokens; who reads it is everybody.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::config::Config;

/// What a group and others may do.
const OF_OTHERS: u32 = 0o077;
/// How deep folders are looked through: uploads lie two below the data folder.
const MAX_DEPTH: usize = 8;

/// Has every file and folder that this process and its children make belong to its user alone.
pub fn set_umask() {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(OF_OTHERS));
}

/// Makes a folder of mode 700, with those above it. One that is there already loses what others may do in it.
///
/// # Errors
/// Where it cannot be made. One of another user stays as it is, and the log says so.
pub fn private_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    close(path, &fs::metadata(path)?);
    Ok(())
}

/// Takes away what others may do with anything in the folders of data and uploads, and with a store elsewhere.
///
/// # Errors
/// Where a folder cannot be made or read.
pub fn close_all(config: &Config) -> io::Result<()> {
    private_folder(&config.server.data)?;
    private_folder(&config.files_dir())?;
    close_below(&config.server.data, MAX_DEPTH)?;
    if let Some(file) = config.sqlite_file() {
        for ending in ["", "-wal", "-shm", "-journal"] {
            let path = PathBuf::from(format!("{}{ending}", file.display()));
            match fs::metadata(&path) {
                Ok(known) => close(&path, &known),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    let files = config.files_dir();
    if !files.starts_with(&config.server.data) {
        // Many nodes may share it, far away: its own mode keeps others out, and what lies in it follows while people are served.
        std::thread::spawn(move || {
            if let Err(error) = close_below(&files, MAX_DEPTH) {
                tracing::warn!(folder = %files.display(), %error, "the modes of uploaded files could not be looked at");
            }
        });
    }
    Ok(())
}

/// Closes what is in a folder. Symbolic links are neither followed nor changed.
fn close_below(folder: &Path, depth: usize) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match fs::symlink_metadata(&path) {
            Ok(known) if known.is_symlink() => {}
            Ok(known) => {
                close(&path, &known);
                if known.is_dir() && depth > 0 {
                    close_below(&path, depth - 1)?;
                }
            }
            // Files come and go.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn close(path: &Path, known: &fs::Metadata) {
    let mode = known.permissions().mode();
    if mode & OF_OTHERS == 0 {
        return;
    }
    match fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o7777 & !OF_OTHERS)) {
        Ok(()) => tracing::info!(path = %path.display(), "others could open it; now they cannot"),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => {
            let advice = "have the server's user own it, or run chmod go-rwx on it";
            tracing::warn!(path = %path.display(), %error, "others may open it, and that could not be changed; {advice}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).expect("it is there").permissions().mode() & 0o777
    }

    #[test]
    fn what_others_could_open_is_closed_and_what_a_link_points_to_is_left_alone() {
        let place = tempfile::tempdir().expect("a folder");
        let (data, outside) = (place.path().join("data"), place.path().join("outside"));
        let files = data.join("files/thread");
        fs::create_dir_all(&files).expect("made");
        fs::write(&outside, "").expect("written");
        std::os::unix::fs::symlink(&outside, data.join("link")).expect("linked");
        let written = ["netra.db", "netra.db-wal", "netra.db-shm", "netra.db.backup", "files/thread/upload"]
            .map(|name| data.join(name));
        for path in &written {
            fs::write(path, "").expect("written");
            fs::set_permissions(path, fs::Permissions::from_mode(0o664)).expect("set");
        }
        for folder in [&data, &files, &data.join("files")] {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("set");
        }
        fs::set_permissions(&outside, fs::Permissions::from_mode(0o644)).expect("set");

        let mut config = Config::default();
        config.server.data = data.clone();
        close_all(&config).expect("closed");
        assert!(written.iter().all(|path| mode(path) == 0o600));
        assert_eq!([&data, &files, &data.join("files")].map(|folder| mode(folder)), [0o700; 3]);
        assert_eq!(mode(&outside), 0o644);
    }
}
