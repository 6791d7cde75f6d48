//! A disk that a test can fill: a file system in memory, where this user may mount one.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use tempfile::TempDir;

/// A mounted file system. Unmounted when dropped.
pub struct SmallDisk {
    folder: TempDir,
    bytes: u64,
}

impl SmallDisk {
    /// Mounts one; `None` where this user may not.
    pub fn mount(bytes: u64) -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("netra-disk-").tempdir().expect("a folder");
        let options = format!("size={bytes},mode=777");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path());
        let mounted = mount.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        mounted.then(|| Self { folder, bytes })
    }

    /// Its mount point.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Shrinks it to its used size, so that no room is left.
    pub fn fill(&self) {
        loop {
            let mut used = Command::new("df");
            let used =
                used.args(["-B1", "--output=used"]).arg(self.path()).output().expect("df(1) is installed").stdout;
            let used = String::from_utf8_lossy(&used).lines().last().unwrap_or_default().trim().parse::<u64>();
            // Fails where more was written meanwhile. At least 4,096 bytes: a size of 0 means no limit.
            if self.resize(used.expect("a number of bytes").max(4096)) {
                return;
            }
        }
    }

    /// Gives it its first size again.
    pub fn make_room(&self) {
        assert!(self.resize(self.bytes), "it gets its first size again");
    }

    fn resize(&self, bytes: u64) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,size={bytes}")]).arg(self.path());
        mount.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, as a file on it may still be open.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
