//! What the server is to use besides this machine's kernel: a Redis that must answer, a file that must be writable.

use super::Patient;
use super::report::Check;
use rustix::fs::{Access, access, statvfs};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use switchboard::engine::RedisFound;

/// Less free space than that is soon used up.
const SCARCE: u64 = 100 * 1024 * 1024;

pub(super) fn redis(patient: &Patient) -> Vec<Check> {
    const NAME: &str = "redis";
    let redis = match patient.options.shared.engine() {
        Ok(None) => return Vec::new(),
        Ok(Some(redis)) => redis,
        Err(error) => return vec![failure(NAME, &error.to_string())],
    };
    let look = |found: RedisFound| match found.evicts {
        true => Check::warn(NAME, format!("{found}; it throws keys away when its memory is used up"))
            .next("redis-cli CONFIG SET maxmemory-policy noeviction"),
        false => Check::ok(NAME, found.to_string()),
    };
    match redis.check() {
        Err(error) => vec![failure(NAME, &error.to_string())],
        Ok(found) => found.into_iter().map(look).collect(),
    }
}

/// Errors say what is wrong, and behind a semicolon what to do.
fn failure(name: &'static str, error: &str) -> Check {
    let (what, next) = error.split_once("; ").unwrap_or((error, "look at what it says"));
    Check::fail(name, what).next(next)
}

pub(super) fn store(patient: &Patient) -> Vec<Check> {
    const NAME: &str = "store";
    let Some(file) = &patient.options.store else { return Vec::new() };
    vec![match writable(file) {
        Ok(free) if free < SCARCE => {
            Check::warn(NAME, format!("{}: {} MB are free", file.display(), free >> 20))
                .next("make room, or put it on another disk")
        }
        Ok(free) => Check::ok(NAME, format!("{}: writable, {} MB are free", file.display(), free >> 20)),
        Err(error) => Check::fail(NAME, format!("{}: {error}", file.display()))
            .next("make its folder, and let this user write there"),
    }]
}

/// The free bytes of its disk. Writes nothing.
fn writable(file: &Path) -> io::Result<u64> {
    if fs::metadata(file).is_ok_and(|found| !found.is_file()) {
        return Err(io::Error::other("this is no file"));
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.map_or_else(|| PathBuf::from("."), Path::to_path_buf);
    if !fs::metadata(&folder)?.is_dir() {
        return Err(io::Error::other("its folder is none"));
    }
    access(&folder, Access::WRITE_OK | Access::EXEC_OK)?;
    if file.exists() {
        access(file, Access::READ_OK | Access::WRITE_OK)?;
    }
    let disk = statvfs(&folder)?;
    Ok(disk.f_bavail * disk.f_frsize)
}
