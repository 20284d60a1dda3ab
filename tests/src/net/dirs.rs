//! One agent's directories.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::clean;

/// A directory of its own for each agent: configuration, state, socket, and a place for a bpffs.
/// Dropped, it is unmounted and removed.
pub struct RunDir(PathBuf);

impl RunDir {
    /// Makes `config`, `state`, `run` and `bpf` below a new directory that only root may enter.
    pub fn new(prefix: &str) -> Result<Self> {
        let path = Path::new(clean::RUN_DIR).join(clean::unique(prefix));
        clean::on_death("dir", &path.to_string_lossy());
        for part in ["config", "state", "run", "bpf"] {
            let dir = path.join(part);
            std::fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
        }
        Ok(Self(path))
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The agent's own file, `RINGWALL_CONFIG`.
    pub fn config(&self) -> PathBuf {
        self.0.join("config/agent.yaml")
    }

    /// The policy file that the agent watches.
    pub fn policy(&self) -> PathBuf {
        self.0.join("config/policy.yaml")
    }

    /// `RINGWALL_STATE_DIR`.
    pub fn state(&self) -> PathBuf {
        self.0.join("state")
    }

    /// `RINGWALL_SOCKET`.
    pub fn socket(&self) -> PathBuf {
        self.0.join("run/ringwall.sock")
    }

    /// `RINGWALL_BPF_DIR`; the agent mounts a bpffs there if nobody did.
    pub fn bpf(&self) -> PathBuf {
        self.0.join("bpf")
    }

    /// What the agent wrote to its output and error.
    pub fn log(&self) -> PathBuf {
        self.0.join("run/agent.log")
    }

    /// Mounts a bpffs on [`RunDir::bpf`], for tests that load programs without an agent.
    pub fn mount_bpffs(&self) -> Result<()> {
        use rustix::mount::{MountFlags, mount};
        let none: Option<&std::ffi::CStr> = None;
        mount("bpf", self.bpf(), "bpf", MountFlags::empty(), none).context("mounting a bpffs")
    }

    /// What tells `ringwall`, agent or command, to live here.
    pub fn env(&self) -> [(&'static str, PathBuf); 4] {
        [
            ("RINGWALL_CONFIG", self.config()),
            ("RINGWALL_STATE_DIR", self.state()),
            ("RINGWALL_SOCKET", self.socket()),
            ("RINGWALL_BPF_DIR", self.bpf()),
        ]
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        clean::remove_dir(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mounted_bpffs_goes_with_its_directory() {
        crate::need_root!();
        let dir = RunDir::new("t").unwrap();
        dir.mount_bpffs().unwrap();
        std::fs::create_dir(dir.bpf().join("pins")).unwrap();
        let path = dir.path().to_owned();
        drop(dir);
        assert!(!path.exists());
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        assert!(!mounts.contains(path.to_str().unwrap()));
    }
}
