//! The agent's own process, under the names that Prometheus clients use.

use super::family::{Family, Value};

/// What /proc says of the process; `None` where it says nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Process {
    /// Seconds of processor time.
    pub cpu: Option<f64>,
    /// Bytes of memory in use.
    pub resident: Option<u64>,
    /// Seconds since 1970 when it started.
    pub started: Option<f64>,
    /// Open files.
    pub files: Option<u64>,
}

/// Ticks a second in /proc: the kernel's ABI fixes it, whatever its own timer does.
const TICKS: f64 = 100.0;

impl Process {
    /// Reads /proc.
    #[must_use]
    pub fn read() -> Self {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let boot = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let files = std::fs::read_dir("/proc/self/fd").map(|entries| entries.count() as u64);
        Self {
            files: files.ok(),
            ..Self::parse(&stat, &status, &boot)
        }
    }

    fn parse(stat: &str, status: &str, boot: &str) -> Self {
        // The name, in parentheses, may hold anything; the fields count from behind it: the state is the 3rd.
        let behind = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let field = |number: usize| -> Option<f64> {
            behind.split_whitespace().nth(number - 3)?.parse().ok()
        };
        let line = |text: &str, key: &str| -> Option<u64> {
            let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
            rest.split_whitespace().next()?.parse().ok()
        };
        let cpu = field(14)
            .zip(field(15))
            .map(|(user, kernel)| (user + kernel) / TICKS);
        let begun = line(boot, "btime ").zip(field(22));
        Self {
            cpu,
            resident: line(status, "VmRSS:").map(|kilobytes| kilobytes * 1024),
            started: begun.map(|(boot, ticks)| boot as f64 + ticks / TICKS),
            files: None,
        }
    }

    pub(super) fn families(&self) -> Vec<Family> {
        let mut families = Vec::new();
        if let Some(cpu) = self.cpu {
            families.push(Family::counter(
                "process_cpu_seconds",
                "Processor time of the agent in seconds.",
                &[],
                vec![(Vec::new(), Value::Real(cpu))],
            ));
        }
        let gauges = [
            (
                "process_resident_memory_bytes",
                "Memory of the agent in bytes.",
                self.resident.map(Value::Whole),
            ),
            (
                "process_start_time_seconds",
                "When the agent started, in seconds since 1970.",
                self.started.map(Value::Real),
            ),
            (
                "process_open_fds",
                "Open files of the agent.",
                self.files.map(Value::Whole),
            ),
        ];
        let known = gauges
            .into_iter()
            .filter_map(|(name, help, value)| Some((name, help, value?)));
        families.extend(known.map(|(name, help, value)| Family::single(name, help, value)));
        families
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_is_read_by_its_fields_whatever_the_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 0 0 0 0 0 150 50 0 0 20 0 1 0 4200 1 2";
        let process = Process::parse(stat, "Name:\tx\nVmRSS:\t  12 kB\n", "cpu 1\nbtime 1000\n");
        assert_eq!(process.cpu, Some(2.0));
        assert_eq!(process.resident, Some(12 * 1024));
        assert_eq!(process.started, Some(1042.0));
    }
}
