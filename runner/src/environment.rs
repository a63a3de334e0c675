//! What a reader of a report may ask of the machine it ran on.

/// Names and values: system, kernel, processors, memory.
pub fn facts() -> Vec<(String, String)> {
    let mut facts = Vec::new();
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    if let Some(name) = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")) {
        facts.push(("system".to_owned(), name.trim_matches('"').to_owned()));
    }
    if let Ok(kernel) = std::fs::read_to_string("/proc/sys/kernel/osrelease") {
        facts.push(("kernel".to_owned(), kernel.trim().to_owned()));
    }
    if let Ok(count) = std::thread::available_parallelism() {
        facts.push(("processors".to_owned(), count.to_string()));
    }
    if let Ok(text) = std::fs::read_to_string("/proc/meminfo") {
        let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
        if let Some(kibibytes) = total.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok()) {
            facts.push(("memory".to_owned(), format!("{:.1} GiB", kibibytes as f64 / f64::from(1 << 20))));
        }
    }
    facts.push(("architecture".to_owned(), std::env::consts::ARCH.to_owned()));
    facts
}
