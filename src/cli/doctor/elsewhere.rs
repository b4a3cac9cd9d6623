//! What the server is to use besides this machine's kernel: a Redis that must answer, a file that must be writable.

use super::Patient;
use super::report::Check;
use rustix::fs::{Access, access, statvfs};
use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(3);
/// Less free space than that is soon used up.
const SCARCE: u64 = 100 * 1024 * 1024;

/// `redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]`
#[derive(Debug, PartialEq, Eq)]
struct Redis {
    user: Option<String>,
    password: Option<String>,
    address: String,
}

pub(super) fn redis(patient: &Patient) -> Vec<Check> {
    const NAME: &str = "redis";
    let Some(url) = &patient.redis else { return Vec::new() };
    let Some(redis) = Redis::parse(url) else {
        return vec![
            Check::fail(NAME, "this is no URL of a Redis").next("write redis://[:PASSWORD@]HOST[:PORT]"),
        ];
    };
    let began = Instant::now();
    vec![match redis.ping() {
        Ok(answer) if answer.starts_with("+PONG") => {
            Check::ok(NAME, format!("{} answers, after {:.1?}", redis.address, began.elapsed()))
        }
        Ok(answer) if answer.starts_with("-NOAUTH") => {
            Check::fail(NAME, format!("{} wants a password", redis.address))
                .next("put it into the URL: redis://:PASSWORD@HOST")
        }
        Ok(answer) if answer.starts_with("-WRONGPASS") => {
            Check::fail(NAME, format!("{} refuses the password", redis.address)).next("correct it in the URL")
        }
        Ok(answer) => {
            Check::fail(NAME, format!("{} answers {:.80}", redis.address, answer.trim().escape_debug()))
                .next("look whether that is a Redis, and ready")
        }
        Err(error) => Check::fail(NAME, format!("{}: {error}", redis.address))
            .next("start Redis, or correct the URL; look for a firewall between"),
    }]
}

impl Redis {
    fn parse(url: &str) -> Option<Self> {
        let rest = url.strip_prefix("redis://")?;
        let (login, place) = rest.rsplit_once('@').map_or(("", rest), |(login, place)| (login, place));
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let host = place.split('/').next().filter(|host| !host.is_empty())?;
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let address = if has_port { host.to_string() } else { format!("{host}:6379") };
        let given = |text: &str| (!text.is_empty()).then(|| text.to_string());
        Some(Self { user: given(user), password: given(password), address })
    }

    /// What it answers to PING, or to the password if that is refused.
    fn ping(&self) -> io::Result<String> {
        let unknown = || io::Error::new(io::ErrorKind::NotFound, "there is no such host");
        let address = self.address.to_socket_addrs()?.next().ok_or_else(unknown)?;
        let mut redis = TcpStream::connect_timeout(&address, PATIENCE)?;
        redis.set_read_timeout(Some(PATIENCE))?;
        if let Some(password) = &self.password {
            let login: Vec<&str> = self.user.as_deref().into_iter().chain([password.as_str()]).collect();
            redis.write_all(&command(&[&["AUTH"], &login[..]].concat()))?;
            let answer = line(&mut redis)?;
            if !answer.starts_with("+OK") {
                return Ok(answer);
            }
        }
        redis.write_all(&command(&["PING"]))?;
        line(&mut redis)
    }
}

/// An array of strings, as Redis reads commands.
fn command(words: &[&str]) -> Vec<u8> {
    let strings: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
    format!("*{}\r\n{strings}", words.len()).into_bytes()
}

/// Up to the end of a line; not much longer, whoever it is that answers.
fn line(stream: &mut TcpStream) -> io::Result<String> {
    let mut bytes = Vec::new();
    let mut part = [0; 256];
    while !bytes.contains(&b'\n') && bytes.len() < 1024 {
        match stream.read(&mut part)? {
            0 => break,
            read => bytes.extend_from_slice(&part[..read]),
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_redis_are_taken_apart() {
        for (url, user, password, address) in [
            ("redis://localhost", None, None, "localhost:6379"),
            ("redis://10.0.0.1:7000/2", None, None, "10.0.0.1:7000"),
            ("redis://:secret@h", None, Some("secret"), "h:6379"),
            ("redis://ann:p@ss:w@h:1", Some("ann"), Some("p@ss:w"), "h:1"),
            ("redis://[::1]:6380", None, None, "[::1]:6380"),
        ] {
            let redis = Redis::parse(url).unwrap();
            let expected = (user.map(String::from), password.map(String::from), address.to_string());
            assert_eq!((redis.user, redis.password, redis.address), expected, "{url}");
        }
        for url in ["", "localhost", "http://h", "redis://", "redis:///0", "redis://user@"] {
            assert_eq!(Redis::parse(url), None, "{url}");
        }
    }

    #[test]
    fn commands_are_arrays_of_strings() {
        assert_eq!(command(&["PING"]), b"*1\r\n$4\r\nPING\r\n");
        assert_eq!(command(&["AUTH", "p$x"]), b"*2\r\n$4\r\nAUTH\r\n$3\r\np$x\r\n");
    }
}
