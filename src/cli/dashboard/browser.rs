//! The desktop's browser.

use std::process::{Command, Stdio};

/// The desktop's program that opens a URL.
const OPENER: &str = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };

/// Opens a URL; whether a page appears nobody tells.
///
/// # Errors
/// Why there is no browser, in words.
pub(super) fn open(url: &str) -> Result<(), String> {
    let mut command = Command::new(OPENER);
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map(drop).map_err(|error| format!("no browser opens the page ({OPENER}: {error})"))
}
