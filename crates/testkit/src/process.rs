//! What a process takes of the machine, as Linux tells it under `/proc`.

use std::fs;
use std::time::Duration;

/// A clock tick of `/proc/PID/stat`: a hundredth of a second on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// Returns the resident memory of a process now, in bytes.
pub fn rss_bytes(pid: u32) -> u64 {
    status_kib(pid, "VmRSS:") << 10
}

/// Returns the most resident memory that a process ever had, in bytes.
pub fn peak_rss_bytes(pid: u32) -> u64 {
    status_kib(pid, "VmHWM:") << 10
}

/// Returns the processor time of a process, all threads, user and system.
pub fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in brackets may hold anything; fields are counted from behind it.
    let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks: u32 = fields
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|text| text.parse::<u32>().ok())
        .sum();
    TICK * ticks
}

/// Returns the processor time that everything on the machine took, stolen time included.
pub fn machine_cpu() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks: u64 = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .enumerate()
        // 3 and 4 are idle and waiting for the disk; from 8 on, guests are counted twice.
        .filter(|(field, _)| !matches!(field, 3 | 4 | 8..))
        .filter_map(|(_, text)| text.parse::<u64>().ok())
        .sum();
    Duration::from_millis(10 * ticks)
}

fn status_kib(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}
