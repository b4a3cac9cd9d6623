//! Commands that are sent together, and their answers. Scripts are called by their digests.

use super::access::{misplaced, silence};
use ::redis::{Cmd, Connection, RedisError, RedisResult, Value, cmd};
use std::ops::Range;
use std::time::{Duration, Instant};

/// For all answers of a batch. One that comes later is not believed to come.
const TOGETHER: Duration = Duration::from_secs(5);

/// A script, in the order of [`TEXTS`].
#[derive(Clone, Copy, Debug)]
pub(super) enum Script {
    Publish,
    Open,
    Presence,
    Announce,
    Listen,
    Refresh,
    Tell,
    Beat,
    Bye,
    Look,
}

const TEXTS: [&str; 10] = [
    concat!(include_str!("lua/room.lua"), include_str!("lua/publish.lua")),
    concat!(include_str!("lua/room.lua"), include_str!("lua/open.lua")),
    include_str!("lua/presence.lua"),
    include_str!("lua/announce.lua"),
    include_str!("lua/listen.lua"),
    include_str!("lua/refresh.lua"),
    include_str!("lua/tell.lua"),
    include_str!("lua/beat.lua"),
    include_str!("lua/bye.lua"),
    include_str!("lua/look.lua"),
];

/// The digests of the scripts, which Redis knows.
pub(super) struct Scripts(Vec<String>);

impl Scripts {
    pub(super) fn load(connection: &mut Connection) -> RedisResult<Self> {
        let mut bytes = Vec::new();
        TEXTS.iter().for_each(|text| cmd("SCRIPT").arg("LOAD").arg(*text).write_packed_command(&mut bytes));
        connection.send_packed_command(&bytes)?;
        let digest = |_| match connection.recv_response()? {
            Value::BulkString(digest) => String::from_utf8(digest).map_err(|_| misplaced()),
            Value::ServerError(error) => Err(error.into()),
            _ => Err(misplaced()),
        };
        // All answers are read, also behind an error.
        let digests: Vec<RedisResult<String>> = TEXTS.iter().map(digest).collect();
        digests.into_iter().collect::<RedisResult<_>>().map(Self)
    }

    pub(super) fn call(&self, script: Script, keys: &[&str]) -> Cmd {
        let mut command = cmd("EVALSHA");
        command.arg(self.0.get(script as usize)).arg(keys.len()).arg(keys);
        command
    }
}

/// Commands, each with what its answer is for.
pub(super) struct Batch<T> {
    bytes: Vec<u8>,
    commands: Vec<(Range<usize>, T)>,
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Self { bytes: Vec::new(), commands: Vec::new() }
    }
}

impl<T> Batch<T> {
    pub(super) fn add(&mut self, command: &Cmd, then: T) {
        let start = self.bytes.len();
        command.write_packed_command(&mut self.bytes);
        self.commands.push((start..self.bytes.len(), then));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// Sends all of it and passes on what is answered: exactly one answer to each, in order.
    ///
    /// # Errors
    /// When the connection cannot be used any more; what was not answered gets this error too.
    pub(super) fn run(
        self,
        connection: &mut Connection,
        mut answer: impl FnMut(T, RedisResult<Value>),
    ) -> RedisResult<()> {
        let unknown = self.pass(connection, None, true, &mut answer)?;
        if unknown.commands.is_empty() {
            return Ok(());
        }
        // Somebody has made Redis forget the scripts.
        let lost = Scripts::load(connection).err();
        unknown.pass(connection, lost, false, &mut answer).map(drop)
    }

    /// Gives back what calls a script that Redis does not know, if it is to `keep` that.
    fn pass(
        self,
        connection: &mut Connection,
        mut lost: Option<RedisError>,
        keep: bool,
        answer: &mut impl FnMut(T, RedisResult<Value>),
    ) -> RedisResult<Self> {
        if self.commands.is_empty() {
            return Ok(self);
        }
        let (mut unknown, deadline) = (Self::default(), Instant::now() + TOGETHER);
        if lost.is_none() {
            lost = connection.send_packed_command(&self.bytes).err();
        }
        for (range, then) in self.commands {
            let result = match lost.clone() {
                Some(error) => Err(error),
                None => connection.recv_response(),
            };
            match result {
                Ok(Value::ServerError(error)) if keep && error.code() == "NOSCRIPT" => {
                    let start = unknown.bytes.len();
                    unknown.bytes.extend_from_slice(&self.bytes[range]);
                    unknown.commands.push((start..unknown.bytes.len(), then));
                }
                Ok(Value::ServerError(error)) => answer(then, Err(error.into())),
                Ok(value) => answer(then, Ok(value)),
                Err(error) => {
                    answer(then, Err(error.clone()));
                    lost = Some(error);
                }
            }
            if lost.is_none() && deadline < Instant::now() {
                lost = Some(silence());
            }
        }
        match lost {
            None => Ok(unknown),
            Some(error) => {
                unknown.commands.into_iter().for_each(|(_, then)| answer(then, Err(error.clone())));
                Err(error)
            }
        }
    }
}
