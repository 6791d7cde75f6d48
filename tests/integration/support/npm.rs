//! npm packages for tests, installed once into the build folder.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Installs the packages of the lock file in `folder` (of the project) into the folder `name` of the build folder, and returns that.
pub(crate) fn installed(folder: &str, name: &str) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let there = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&there).expect("a folder");
    // Tests run as processes of their own; the first one installs.
    let lock = File::create(there.join("lock")).expect("a lock");
    lock.lock().expect("the lock");
    let wanted = fs::read(here.join("package-lock.json")).expect("the lock file");
    if fs::read(there.join("installed.json")).ok().as_ref() != Some(&wanted) {
        for file in ["package.json", "package-lock.json"] {
            fs::copy(here.join(file), there.join(file)).expect("the file is copied");
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&there);
        let done = npm.stdout(Stdio::null()).status().expect("npm is installed (Node.js 20 or newer)");
        assert!(done.success(), "`npm ci` failed in {}", there.display());
        fs::write(there.join("installed.json"), wanted).expect("a mark");
    }
    there
}
