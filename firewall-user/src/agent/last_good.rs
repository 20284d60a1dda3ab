//! The agent file as it was last read without a fault, kept in the state directory.
//!
//! A host whose agent file is damaged must not stay unguarded after a reboot. So where a service manager starts the
//! agent, and nobody is there to mend the file, the copy is used, and a warning says so for as long as that is so.
//! Who starts it by hand gets the error.

use std::path::Path;

use super::config::AgentConfig;
use super::paths::Paths;
use super::store;
use crate::policy::diagnostic::Refusal;

const COPY: &str = "agent.last-good.yaml";

/// What the agent goes by.
#[derive(Debug)]
pub struct Given {
    /// The settings.
    pub config: AgentConfig,
    /// Why they are not those of the file.
    pub trouble: Option<String>,
    /// The text of the file, to be kept once the agent has started with it.
    text: Option<Vec<u8>>,
}

/// Reads the agent file. With `unattended` what cannot be read gives way to the copy.
///
/// # Errors
/// It is refused, and there is no copy of it.
pub fn read(paths: &Paths, unattended: bool) -> Result<Given, Refusal> {
    let found = AgentConfig::bytes_if_present(&paths.config).and_then(|bytes| {
        Ok((
            AgentConfig::read_bytes(&paths.config, bytes.clone())?,
            bytes,
        ))
    });
    let refusal = match found {
        Ok((config, bytes)) => {
            return Ok(Given {
                config,
                trouble: None,
                text: Some(bytes),
            });
        }
        Err(refusal) => refusal,
    };
    let copy = unattended.then(|| copy(paths)).flatten();
    let config = copy.ok_or_else(|| refusal.clone())?;
    let trouble = format!(
        "{} is refused, and its last good copy is used instead until it is mended (then `systemctl reload ringwall`):\n{refusal}",
        paths.config.display()
    );
    Ok(Given {
        config,
        trouble: Some(trouble),
        text: None,
    })
}

impl Given {
    /// Keeps the text, which an agent works with now.
    ///
    /// # Errors
    /// It could not be written.
    pub fn keep(&self, paths: &Paths) -> std::io::Result<()> {
        let Some(text) = &self.text else {
            return Ok(());
        };
        let mut bytes = head(&paths.config).into_bytes();
        bytes.extend(text);
        let at = paths.state.join(COPY);
        if std::fs::read(&at).is_ok_and(|there| there == bytes) {
            return Ok(());
        }
        store::write(&at, &bytes)
    }
}

/// The first line: of which file it is a copy.
fn head(of: &Path) -> String {
    format!("# The last good copy of {}\n", of.display())
}

fn copy(paths: &Paths) -> Option<AgentConfig> {
    let at = paths.state.join(COPY);
    let bytes = std::fs::read(&at).ok()?;
    let own = bytes.starts_with(head(&paths.config).as_bytes());
    own.then(|| AgentConfig::read_bytes(&at, bytes).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(dir: &Path) -> Paths {
        Paths {
            config: dir.join("agent.yaml"),
            socket: dir.join("socket"),
            state: dir.to_owned(),
            bpf: dir.join("bpf"),
        }
    }

    #[test]
    fn the_copy_stands_in_for_a_damaged_file_where_nobody_is_there_to_mend_it() {
        let dir = tempfile::tempdir().unwrap();
        let paths = paths(dir.path());
        let good = "labels: {role: web}\n";
        std::fs::write(&paths.config, good).unwrap();
        let given = read(&paths, true).unwrap();
        given.keep(&paths).unwrap();
        std::fs::write(&paths.config, "labels: {role\n").unwrap();
        assert!(read(&paths, false).is_err());
        let instead = read(&paths, true).unwrap();
        assert_eq!(instead.config, given.config);
        let trouble = instead.trouble.as_ref().unwrap();
        assert!(trouble.contains("last good copy"), "{trouble}");
        // What is damaged is never kept.
        instead.keep(&paths).unwrap();
        assert_eq!(read(&paths, true).unwrap().config, given.config);
        std::fs::write(&paths.config, good).unwrap();
        assert_eq!(read(&paths, true).unwrap().trouble, None);
    }

    #[test]
    fn the_copy_of_another_file_stands_in_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let paths = paths(dir.path());
        std::fs::write(&paths.config, "").unwrap();
        read(&paths, true).unwrap().keep(&paths).unwrap();
        let other = Paths {
            config: dir.path().join("other.yaml"),
            ..paths.clone()
        };
        std::fs::write(&other.config, "labels: [").unwrap();
        assert!(read(&other, true).is_err());
        // A damaged copy is as good as none.
        std::fs::write(&paths.config, "labels: [").unwrap();
        std::fs::write(dir.path().join(COPY), "labels: [").unwrap();
        assert!(read(&paths, true).is_err());
    }

    #[test]
    fn an_absent_file_means_the_defaults_and_so_does_its_copy() {
        let dir = tempfile::tempdir().unwrap();
        let paths = paths(dir.path());
        read(&paths, true).unwrap().keep(&paths).unwrap();
        std::fs::write(&paths.config, "labels: [").unwrap();
        assert_eq!(read(&paths, true).unwrap().config, AgentConfig::default());
    }
}
