//! What the kernel says of itself.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;

use anyhow::{Context as _, Result};

/// Words of a kernel that found itself wrong. What it says of others (a flood of SYNs, a full table) is no fault of it.
const FAULTS: [&str; 9] = [
    "WARNING:",
    "BUG:",
    "Oops",
    "Call Trace",
    "general protection fault",
    "refcount_t:",
    "unregister_netdevice: waiting",
    "self-detected stall",
    "blocked for more than",
];

/// The kernel's log from now on.
pub(super) struct KernelLog(File);

impl KernelLog {
    pub(super) fn follow() -> Result<Self> {
        let mut options = File::options();
        let options = options.read(true).custom_flags(libc::O_NONBLOCK);
        let mut file = options.open("/dev/kmsg").context("/dev/kmsg")?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self(file))
    }

    /// Lines that tell of a fault since.
    pub(super) fn faults(&mut self) -> Result<Vec<String>> {
        let lines = self.lines()?.into_iter();
        Ok(lines.filter(|line| is_fault(line)).collect())
    }

    fn lines(&mut self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        // A record is read as a whole, and none is longer.
        let mut buffer = [0; 8192];
        loop {
            match self.0.read(&mut buffer) {
                Ok(length) => found.extend(line(&String::from_utf8_lossy(&buffer[..length]))),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(found),
                // Records were overwritten before they were read.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Of `PRIORITY,NUMBER,TIME,FLAGS;TEXT` (Documentation/ABI/testing/dev-kmsg) the text.
fn line(record: &str) -> Option<String> {
    let text = record.split_once(';')?.1;
    text.lines().next().map(str::to_owned)
}

fn is_fault(line: &str) -> bool {
    FAULTS.iter().any(|word| line.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_from_what_befell_others() {
        let warning = "4,1512,88,-;WARNING: CPU: 1 PID: 7 at kernel/bpf/hashtab.c:1 f\n SUB=a\n";
        let told = line(warning).unwrap();
        assert!(is_fault(&told) && told.ends_with('f'));
        let flood = "6,9,88,-;TCP: request_sock_TCP: Possible SYN flooding on port [::]:443.\n";
        assert!(!is_fault(&line(flood).unwrap()));
    }

    #[test]
    fn what_is_written_is_read() {
        crate::need_root!();
        let mut log = KernelLog::follow().unwrap();
        std::fs::write("/dev/kmsg", "a word of a test\n").unwrap();
        let found = log.lines().unwrap();
        assert!(
            found.iter().any(|line| line == "a word of a test"),
            "{found:?}"
        );
    }
}
