//! What the operating system says of this process, under the names that every exporter uses. Linux only: elsewhere
//! there is nothing here.

use std::fs;

use prometheus::proto::MetricFamily;

use super::moment::{Head, Kind, family};

/// Clock ticks per second in /proc, the same on every Linux (`USER_HZ`, proc(5)).
const TICKS: f64 = 100.0;

/// What can be read; all of it on Linux.
pub(super) fn families() -> Vec<MetricFamily> {
    let stat = fs::read_to_string("/proc/self/stat").ok().and_then(|text| Stat::parse(&text));
    let resident = number_after(&read("/proc/self/status"), "VmRSS:").map(|kilobytes| kilobytes * 1024.0);
    let booted = number_after(&read("/proc/stat"), "btime ");
    let open = fs::read_dir("/proc/self/fd")
        .ok()
        .map(|entries| f64::from(u32::try_from(entries.count()).unwrap_or(u32::MAX)));
    let most = number_after(&read("/proc/self/limits"), "Max open files");
    let counter = |name, help, value: Option<f64>| one(Head { name, kind: Kind::Counter, help }, value);
    let gauge = |name, help, value: Option<f64>| one(Head { name, kind: Kind::Gauge, help }, value);
    [
        counter(
            "process_cpu_seconds_total",
            "Seconds of CPU time that the process has used.",
            stat.map(|stat| stat.ticks / TICKS),
        ),
        gauge("process_resident_memory_bytes", "Memory that the process holds.", resident),
        gauge("process_open_fds", "File descriptors that are open, connections among them.", open),
        gauge("process_max_fds", "File descriptors that may be open.", most),
        gauge("process_threads", "Threads of the process.", stat.map(|stat| stat.threads)),
        gauge(
            "process_start_time_seconds",
            "When the process was started, in seconds since 1970.",
            stat.zip(booted).map(|(stat, booted)| booted + stat.started / TICKS),
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// How many files the process may have open.
#[must_use]
pub fn most_open_files() -> Option<usize> {
    let line = read("/proc/self/limits");
    let words = line.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    words.split_whitespace().next()?.parse().ok()
}

fn one(head: Head, value: Option<f64>) -> Option<MetricFamily> {
    value.map(|value| family(head, [(None, value)]))
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The first number in the line that begins like this.
fn number_after(text: &str, beginning: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(beginning))?;
    line.split_whitespace().next()?.parse().ok()
}

/// What is wanted of /proc/self/stat (proc(5)).
#[derive(Debug, Clone, Copy, PartialEq)]
struct Stat {
    ticks: f64,
    threads: f64,
    started: f64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The second field is the name, in brackets and with anything in it; the third one follows the last bracket.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
        Some(Self { ticks: number(14)? + number(15)?, threads: number(20)?, started: number(22)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_blanks_moves_no_field() {
        let text = "7 (a) b) (c) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 7 8 20 0 12 0 98765 1 2";
        let stat = Stat::parse(text).unwrap();
        assert_eq!(stat, Stat { ticks: 200.0, threads: 12.0, started: 98765.0 });
        assert_eq!(Stat::parse("nonsense"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_all_of_them() {
        let families = families();
        assert_eq!(families.len(), 6);
        for family in families {
            let metric = &family.get_metric()[0];
            let value = metric.get_counter().get_value() + metric.get_gauge().get_value();
            assert!(value > 0.0 || family.name() == "process_cpu_seconds_total", "{}", family.name());
        }
    }
}
