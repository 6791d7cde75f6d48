//! Python programs for tests, each in its own virtual environment.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// The `bin` folder of a virtual environment with these requirements, which is created once and again when they change.
/// Panics where it cannot be created, as the test cannot run without it.
pub fn environment(name: &str, requirements: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let (programs, made) = (folder.join("bin"), folder.join("made-from.txt"));
    // Other tests may be creating the same.
    std::fs::create_dir_all(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let lock = std::fs::File::create(folder.with_extension("lock")).expect("a lock's file");
    lock.lock().expect("a lock");
    if std::fs::read_to_string(&made).is_ok_and(|from| from == requirements) {
        return programs;
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
    let list = folder.join("requirements.txt");
    std::fs::write(&list, requirements).expect("the file is written");
    let install = ["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "-r"];
    run(Command::new(programs.join("python")).args(install).arg(list));
    std::fs::write(made, requirements).expect("the file is written");
    programs
}

/// Runs a program that must succeed.
fn run(command: &mut Command) {
    let why = "these tests need python3 with venv and pip, and a package index that pip reaches";
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}; {why}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {stderr}\n{why}");
}
