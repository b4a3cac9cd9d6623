//! A Redis as a child process.

use crate::support::{PATIENCE, eventually};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::{env, fs};

/// Killed when dropped.
pub(crate) struct Redis {
    child: Child,
    pub(crate) port: u16,
    folder: PathBuf,
    options: Vec<String>,
}

impl Redis {
    /// Without persistence, but for what the options say.
    pub(crate) fn start(options: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("switchboard-redis-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let folder = env::temp_dir().join(name);
        // What a process of the same number has left when it was killed.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        loop {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            // Somebody else may have taken the port meanwhile.
            if let Some(child) = run(port, &folder, &options) {
                return Self { child, port, folder, options };
            }
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// As by `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// After a [`Redis::kill`], with what it had written to disk.
    pub(crate) fn revive(&mut self) {
        let mut child = None;
        eventually("Redis starts again", || {
            child = run(self.port, &self.folder, &self.options);
            child.is_some()
        });
        self.child = child.unwrap();
    }

    /// Stops without ending.
    pub(crate) fn freeze(&self) {
        kill_process(Pid::from_child(&self.child), Signal::STOP).unwrap();
    }

    pub(crate) fn thaw(&self) {
        kill_process(Pid::from_child(&self.child), Signal::CONT).unwrap();
    }

    /// The answer to a command whose words have no space in them: a simple one or a text.
    pub(crate) fn ask(&self, command: &str) -> String {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let words: Vec<&str> = command.split_whitespace().collect();
        let strings: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
        (&stream).write_all(format!("*{}\r\n{strings}", words.len()).as_bytes()).unwrap();
        let (mut reader, mut line) = (BufReader::new(stream), String::new());
        reader.read_line(&mut line).unwrap();
        let Some(length) = line.strip_prefix('$') else { return line.trim_end().into() };
        let Ok(length) = length.trim_end().parse() else { return "(nil)".into() };
        let mut text = vec![0; length];
        reader.read_exact(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    /// Ends the connections that Redis' list of clients calls by this name; how many.
    pub(crate) fn cut(&self, name: &str) -> usize {
        let clients = self.ask("CLIENT LIST");
        let named = clients.lines().filter(|line| line.contains(&format!(" name={name} ")));
        let ids: Vec<&str> = named.filter_map(|line| line.split(' ').next()?.strip_prefix("id=")).collect();
        ids.iter().for_each(|id| assert_eq!(self.ask(&format!("CLIENT KILL ID {id}")), ":1"));
        ids.len()
    }
}

/// `None`: it has ended before it was ready.
fn run(port: u16, folder: &std::path::Path, options: &[String]) -> Option<Child> {
    let program = env::var("SWITCHBOARD_TEST_REDIS").unwrap_or("redis-server".into());
    let mut command = Command::new(program);
    command.args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string(), "--dir"]).arg(folder);
    let mut child = command.args(options).stdout(Stdio::piped()).spawn().expect("tests/run installs Redis");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let is_ready = lines.any(|line| line.unwrap().to_lowercase().contains("ready to accept connections"));
    // All of it is read, or Redis would end with the pipe.
    std::thread::spawn(move || lines.for_each(drop));
    if !is_ready {
        child.wait().unwrap();
    }
    is_ready.then_some(child)
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
