//! The way to Redis: its URL, connections with a bound on every wait, and what to do when there is none.

use super::RedisFound;
use super::batch::Scripts;
use crate::error::{Error, Result};
use ::redis::{
    Client, Connection, ConnectionAddr, ErrorKind, IntoConnectionInfo, ProtocolVersion, RedisError,
    RedisResult, ServerErrorKind, Value, cmd,
};
use std::io;
use std::time::{Duration, Instant};

/// For a connection with all that belongs to it, AUTH included.
const CONNECT: Duration = Duration::from_secs(2);

/// For any single answer, and for what is sent to go out.
pub(super) const ANSWER: Duration = Duration::from_secs(4);

/// A Redis.
#[derive(Clone)]
pub(super) struct Access {
    client: Client,
    pub(super) database: i64,
    /// For people: without a password.
    pub(super) address: String,
}

impl Access {
    pub(super) fn parse(url: &str) -> Result<Self> {
        // Never with the URL in it: it may hold a password.
        let wrong = |what: &str| {
            Error::Config(format!(
                "this is no URL of a Redis ({what}); write redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], rediss:// for \
                 TLS, or unix:///PATH"
            ))
        };
        let info = url.into_connection_info().map_err(|error| wrong(&text(&error)))?;
        if !info.addr().is_supported() {
            return Err(wrong("rediss:// needs the feature `tls`"));
        }
        if let ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } = info.addr()
            && host.is_empty()
        {
            return Err(wrong("it has no host"));
        }
        #[cfg(feature = "tls")]
        if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            // Without one, and with several to choose from, rustls would panic. Whoever was first stays.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let settings =
            info.redis_settings().clone().set_protocol(ProtocolVersion::RESP2).set_skip_set_lib_name();
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        let (database, address) = (settings.db(), info.addr().to_string());
        let info = info.set_redis_settings(settings).set_tcp_settings(tcp);
        let client = Client::open(info).map_err(|error| wrong(&text(&error)))?;
        Ok(Self { client, database, address })
    }

    /// A connection that Redis' list of clients calls by this name. It waits for answers only as long as for connecting.
    pub(super) fn connect(&self, name: &str) -> RedisResult<Connection> {
        let mut connection = self.client.get_connection_with_timeout(CONNECT)?;
        connection.set_read_timeout(Some(CONNECT))?;
        connection.set_write_timeout(Some(ANSWER))?;
        // That a Redis allows no names does no harm; what is none does not answer so.
        match ask(&mut connection, cmd("CLIENT").arg("SETNAME").arg(name)) {
            Err(error) if !matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) => {
                return Err(error);
            }
            _ => {}
        }
        Ok(connection)
    }

    /// Why Redis cannot be reached, and what would help.
    pub(super) fn why(&self, error: &RedisError) -> String {
        let at = &self.address;
        match (error.kind(), error.code()) {
            (ErrorKind::AuthenticationFailed, _) | (_, Some("WRONGPASS")) => {
                format!("Redis at {at} refuses the password; correct it in the URL")
            }
            (_, Some("NOAUTH")) => {
                format!("Redis at {at} wants a password; put it into the URL: redis://:PASSWORD@HOST")
            }
            (_, Some("NOPERM")) => {
                format!(
                    "Redis at {at} does not permit its user all that is needed ({}); change its ACL",
                    text(error)
                )
            }
            (_, Some("READONLY")) => {
                format!("Redis at {at} is a replica, which cannot be written to; give the URL of the master")
            }
            (_, Some("OOM")) => {
                format!("Redis at {at} has no more memory; raise its maxmemory, or keep less of the rooms")
            }
            (_, Some("MISCONF")) => {
                format!(
                    "Redis at {at} cannot save, so it takes no writes; see in its log what its disk lacks"
                )
            }
            (_, Some("LOADING")) => format!("Redis at {at} is reading its data; wait"),
            (_, Some(_)) => format!("Redis at {at} cannot serve ({}); see its log", text(error)),
            (ErrorKind::Parse | ErrorKind::UnexpectedReturnType, _) => {
                format!("what answers at {at} is no Redis; correct the URL")
            }
            _ if error.is_connection_refusal() => {
                format!("nobody listens at {at}; start Redis there, or correct the URL")
            }
            _ if error.is_timeout() => {
                format!(
                    "Redis at {at} does not answer; look whether it is overloaded, or cut off by a firewall"
                )
            }
            _ => format!("Redis at {at} cannot be reached ({}); look whether it runs", text(error)),
        }
    }
}

/// What the library says, without what Redis was asked.
fn text(error: &RedisError) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail:.120}", error.category()),
        None => error.to_string(),
    }
}

/// One command, and its answer.
pub(super) fn ask(connection: &mut Connection, command: &::redis::Cmd) -> RedisResult<Value> {
    connection.send_packed_command(&command.get_packed_command())?;
    match connection.recv_response()? {
        Value::ServerError(error) => Err(error.into()),
        value => Ok(value),
    }
}

/// What kind of Redis it is.
pub(super) fn look(access: &Access) -> RedisResult<RedisFound> {
    let mut connection = access.connect("switchboard-check")?;
    let began = Instant::now();
    ask(&mut connection, &cmd("PING"))?;
    let round_trip = began.elapsed();
    let info = info(&mut connection, "everything")?;
    let field = |name: &str| {
        info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default()
    };
    if field("role") == "slave" {
        return Err(RedisError::from((ErrorKind::Server(ServerErrorKind::ReadOnly), "a replica")));
    }
    Scripts::load(&mut connection)?;
    let policy = field("maxmemory_policy");
    let evicts = field("maxmemory") != "0" && !policy.is_empty() && policy != "noeviction";
    Ok(RedisFound {
        address: access.address.clone(),
        version: field("redis_version").into(),
        round_trip,
        evicts,
    })
}

/// What Redis tells about itself, in lines; nothing if it does not, as some services do.
fn info(connection: &mut Connection, section: &str) -> RedisResult<String> {
    match ask(connection, cmd("INFO").arg(section)) {
        Ok(Value::BulkString(info)) => Ok(String::from_utf8_lossy(&info).into_owned()),
        Ok(_) => Err(misplaced()),
        Err(error) if error.code().is_some_and(|code| code != "NOAUTH") => Ok(String::new()),
        Err(error) => Err(error),
    }
}

/// What tells this life of Redis' data from another, in which the newest messages may be missing: a restart, or another Redis
/// that has taken over. A Redis that writes everything to its disk before it answers loses nothing by a restart, so all its
/// lives are one. Where Redis does not tell, what there is, is compared with what was told, and no more.
pub(super) fn life(connection: &mut Connection) -> RedisResult<String> {
    let info = info(connection, "everything")?;
    let field = |name: &str| {
        info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default().trim()
    };
    // A replica that was made the master may not have had what its master had written.
    let was_replica = field("master_replid2").contains(|c| c != '0');
    if !was_replica
        && setting(connection, "appendonly")? == "yes"
        && setting(connection, "appendfsync")? == "always"
    {
        return Ok("all".into());
    }
    Ok(field("run_id").into())
}

/// A setting of Redis; nothing if it does not tell, as some services do.
fn setting(connection: &mut Connection, name: &str) -> RedisResult<String> {
    let value = match ask(connection, cmd("CONFIG").arg("GET").arg(name)) {
        Ok(Value::Array(pair)) => pair.into_iter().nth(1),
        Ok(_) => None,
        Err(error) if error.code().is_some() => None,
        Err(error) => return Err(error),
    };
    match value {
        Some(Value::BulkString(value)) => Ok(String::from_utf8_lossy(&value).into_owned()),
        _ => Ok(String::new()),
    }
}

/// Silence that has lasted too long.
pub(super) fn silence() -> RedisError {
    io::Error::from(io::ErrorKind::TimedOut).into()
}

/// An answer of another kind than Redis gives to what was asked.
pub(super) fn misplaced() -> RedisError {
    (ErrorKind::UnexpectedReturnType, "an answer that does not fit").into()
}
