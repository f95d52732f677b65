//! What a process wrote down of itself.

use std::path::Path;
use std::time::{Duration, Instant};

const WITHIN: Duration = Duration::from_secs(30);

/// Waits for a line with this in it.
pub(crate) fn until(file: &Path, wanted: &str) -> String {
    let since = Instant::now();
    loop {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        if let Some(line) = text.lines().find(|line| line.contains(wanted)) {
            return line.to_owned();
        }
        assert!(since.elapsed() < WITHIN, "no \"{wanted}\" in {}:\n{text}", file.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}
