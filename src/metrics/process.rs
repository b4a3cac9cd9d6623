//! What every Prometheus client tells of its process, under the names that all of them use. From `/proc`; what cannot be read
//! is left out.

use super::text::Text;
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};
use std::fs::{metadata, read_dir, read_to_string};
use std::sync::OnceLock;

const DESCRIPTORS: &str = "/proc/self/fd";

pub(super) fn write(text: &mut Text) {
    if let Some(stat) = Stat::read() {
        stat.write(text);
    }
    if let Some(open) = open_descriptors() {
        text.gauge("process_open_fds", "Open file descriptors.", open);
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        text.gauge("process_max_fds", "File descriptors that may be open.", most);
    }
}

/// Linux tells how many there are as the size of the folder since 6.2; before that they must be counted.
fn open_descriptors() -> Option<u64> {
    let told = metadata(DESCRIPTORS).ok()?.len();
    if 0 < told { Some(told) } else { Some(read_dir(DESCRIPTORS).ok()?.count() as u64) }
}

/// The numbers of `/proc/self/stat`, in its units.
struct Stat {
    cpu: u64,
    threads: u64,
    start: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn read() -> Option<Self> {
        Self::parse(&read_to_string("/proc/self/stat").ok()?)
    }

    fn parse(stat: &str) -> Option<Self> {
        // The second field is the program's name, and may hold anything. Behind it is the third.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |at: usize| fields.get(at - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu: number(14)? + number(15)?,
            threads: number(20)?,
            start: number(22)?,
            virtual_bytes: number(23)?,
            resident_pages: number(24)?,
        })
    }

    fn write(&self, text: &mut Text) {
        let ticks = clock_ticks_per_second() as f64;
        text.counter(
            "process_cpu_seconds_total",
            "User and system time spent, in seconds.",
            self.cpu as f64 / ticks,
        );
        text.gauge("process_threads", "Threads.", self.threads);
        let resident = self.resident_pages * page_size() as u64;
        text.gauge("process_resident_memory_bytes", "Resident memory, in bytes.", resident);
        text.gauge("process_virtual_memory_bytes", "Virtual memory, in bytes.", self.virtual_bytes);
        if let Some(boot) = boot_time() {
            let help = "When the process started, in seconds since the Unix epoch.";
            text.gauge("process_start_time_seconds", help, boot as f64 + self.start as f64 / ticks);
        }
    }
}

/// In seconds since the Unix epoch. Read once: the line that has it is behind one for each processor.
fn boot_time() -> Option<u64> {
    static BOOT: OnceLock<Option<u64>> = OnceLock::new();
    *BOOT.get_or_init(|| {
        let stat = read_to_string("/proc/stat").ok()?;
        stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_brackets_is_no_obstacle() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 130 20 13 14 15 16 42 18 99 1000 25 26 27";
        let stat = Stat::parse(stat).unwrap();
        assert_eq!((stat.cpu, stat.threads, stat.start), (150, 42, 99));
        assert_eq!((stat.virtual_bytes, stat.resident_pages), (1000, 25));
        assert!(Stat::parse("7 (a) S 1 2").is_none() && Stat::parse("").is_none());
    }

    #[test]
    fn this_process_is_told_of() {
        let mut text = Text::default();
        write(&mut text);
        let text = text.finish();
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("process_{name} ")));
            line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
        };
        assert!(1e6 < value("resident_memory_bytes") && 1e6 < value("virtual_memory_bytes"));
        assert!(3.0 <= value("open_fds") && value("open_fds") <= value("max_fds"));
        assert!(1.0 <= value("threads") && 0.0 <= value("cpu_seconds_total"));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        // Within a day: tests do not run for longer, and clocks are set by less.
        assert!((0.0..86_400.0).contains(&(now + 60.0 - value("start_time_seconds"))), "{text}");
    }
}
