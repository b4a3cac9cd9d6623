//! A database that panics, as it does when it meets in its file what it never wrote there, ends nothing but what it was asked.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Does what may panic, as the database does when it meets in its file what it never wrote there.
///
/// # Errors
/// What is wrong, and what to do; also instead of a panic.
pub(super) fn survive<T>(path: &Path, what: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let panicked = |panic: Box<dyn Any + Send>| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason was given");
        Err(format!(
            "the store {} is damaged ({said}); move the file away to begin without history, or put a copy of it back",
            path.display()
        ))
    };
    // What it leaves half done is given up: the file is read again.
    catch_unwind(AssertUnwindSafe(what)).unwrap_or_else(panicked)
}
