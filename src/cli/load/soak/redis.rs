//! A Redis as a child process, that is killed and started again: it writes each command to disk before it answers, so that
//! nothing acknowledged may be lost by that.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{env, fs, io, process, thread};
use switchboard::{Error, Result};

/// Killed when dropped; what it wrote is removed.
pub(super) struct Redis {
    program: PathBuf,
    child: Child,
    port: u16,
    folder: PathBuf,
    pub(super) restarts: u64,
}

impl Redis {
    /// Blocks until it is ready.
    pub(super) fn start(program: &Path) -> Result<Self> {
        let folder = env::temp_dir().join(format!("switchboard-soak-{}", process::id()));
        // What a process of the same number has left when it was killed.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = run(program, port, &folder).inspect_err(|_| drop(fs::remove_dir_all(&folder)))?;
        Ok(Self { program: program.into(), child, port, folder, restarts: 0 })
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// As by `kill -9`, and then started again. Blocks until it is ready.
    pub(super) fn restart(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        self.child = run(&self.program, self.port, &self.folder)?;
        self.restarts += 1;
        Ok(())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn run(program: &Path, port: u16, folder: &Path) -> Result<Child> {
    let mut command = Command::new(program);
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", "always"]);
    command.args(["--port", &port.to_string(), "--dir"]).arg(folder);
    let unfit = |what: String| Error::other(format!("{} {what}; is it a redis-server?", program.display()));
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = child.map_err(|error| unfit(format!("cannot be started: {error}")))?;
    let Some(stdout) = child.stdout.take() else { return Err(unfit("has no output".into())) };
    let mut lines = BufReader::new(stdout).lines().map_while(io::Result::ok);
    if !lines.any(|line| line.to_lowercase().contains("ready to accept connections")) {
        let _ = child.kill();
        return Err(unfit(format!("has ended before it was ready ({})", child.wait()?)));
    }
    // All of it is read, or Redis would end with the pipe.
    thread::Builder::new().name("redis".into()).spawn(move || lines.for_each(drop))?;
    Ok(child)
}
