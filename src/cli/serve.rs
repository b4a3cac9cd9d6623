//! `switchboard serve`: its options, its first line, its end by signal.

use super::access::{Access, Guard};
use super::api::{self, Api};
use super::config::Setting;
use super::logging::{self, Format, say};
use super::quotas::Shares;
use super::redis::Shared;
use super::reload::Live;
use super::rooms::RoomOptions;
use super::schema::Schemas;
use super::supervision::{self, Supervisor};
use super::{Configured, routes, secrets, units};
use clap::{ArgMatches, Args, FromArgMatches};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::ffi::OsString;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::exit;
use std::time::Duration;
use std::{io, thread};
use switchboard::engine::Store;
use switchboard::{Bound, Budget, Builder, Drain, Limits, Origins, Result, TlsFiles};

#[derive(Args)]
pub(crate) struct Serve {
    /// Address and port to listen on; port 0 takes any free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9527", value_parser = units::address, env = "SWITCHBOARD_BIND")]
    pub(super) bind: String,
    /// Connections at once [default: what the machine grants]
    #[arg(long, value_name = "N", env = "SWITCHBOARD_MAX_CONNECTIONS")]
    max_connections: Option<usize>,
    /// Largest message, as 64K or 1M
    #[arg(long, value_name = "SIZE", default_value = "1M", value_parser = units::size, env = "SWITCHBOARD_MAX_MESSAGE")]
    max_message: usize,
    /// Silence after which a client is pinged, as 20s or 500ms
    #[arg(long, value_name = "T", default_value = "20s", value_parser = units::time, env = "SWITCHBOARD_PING_INTERVAL")]
    ping_interval: Duration,
    /// Silence after a ping that ends the connection
    #[arg(long, value_name = "T", default_value = "20s", value_parser = units::time, env = "SWITCHBOARD_PING_TIMEOUT")]
    ping_timeout: Duration,
    /// Another site whose pages may connect, as https://example.com, or https://*.example.com for all below that name;
    /// repeatable; `*` allows every site [default: only pages of this server, and clients that are no browser]
    #[arg(long, value_name = "ORIGIN", value_parser = units::origin, env = "SWITCHBOARD_ALLOW_ORIGIN", value_delimiter = ',')]
    pub(super) allow_origin: Vec<String>,
    /// Certificate chain in PEM; with it the port speaks https:// and wss://. SIGHUP reads both files again. For
    /// development: `switchboard certificate DIR` makes a pair
    #[arg(long, value_name = "FILE", requires = "tls_key", env = "SWITCHBOARD_TLS_CERT")]
    pub(super) tls_cert: Option<PathBuf>,
    /// The certificate's private key in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert", env = "SWITCHBOARD_TLS_KEY")]
    pub(super) tls_key: Option<PathBuf>,
    /// Do not compress, whatever clients offer
    #[arg(long, env = "SWITCHBOARD_NO_COMPRESSION")]
    no_compression: bool,
    /// Time for clients to take what waits for them when the server is stopped
    #[arg(long, value_name = "T", default_value = "10s", value_parser = units::time, env = "SWITCHBOARD_DRAIN")]
    drain: Duration,
    /// How to log on stderr: for people, or as JSON, one object in each line
    #[arg(long, value_name = "FORMAT", default_value = "text", env = "SWITCHBOARD_LOG_FORMAT")]
    pub(super) log_format: Format,
    /// When it is stopped it is to be started again: clients are closed with 1012 (service restart) instead of 1001
    #[arg(long, env = "SWITCHBOARD_RESTART")]
    restart: bool,
    /// Keep the rooms of /ws in this file, so that they outlive the server: what was acknowledged is on the disk. One server,
    /// one file [default: in memory]
    #[arg(long, value_name = "FILE", env = "SWITCHBOARD_STORE")]
    pub(super) store: Option<PathBuf>,
    #[command(flatten)]
    pub(super) access: Access,
    #[command(flatten)]
    pub(super) api: Api,
    #[command(flatten)]
    pub(super) shares: Shares,
    #[command(flatten)]
    rooms: RoomOptions,
    #[command(flatten)]
    pub(super) schemas: Schemas,
    #[command(flatten)]
    pub(super) shared: Shared,
}

/// What clap cannot know: values that are no values of the library.
pub(crate) fn check(matches: &ArgMatches) -> Result<(), String> {
    let options = Serve::from_arg_matches(matches).map_err(|error| error.to_string())?;
    let limits = limits(&options);
    let checked = limits.check().and_then(|()| options.rooms.check(&limits));
    checked
        .and_then(|()| options.access.check())
        .and_then(|()| options.api.check())
        .and_then(|()| options.shared.engine().map(drop))
        .map_err(|error| error.to_string())
}

/// Serves until SIGINT or SIGTERM, then drains. A second signal ends the process at once.
pub(crate) fn run(configured: Configured, settings: Vec<Setting>, args: Vec<OsString>) -> Result<()> {
    let Configured { file, options } = configured;
    let socket = supervision::listener()?;
    tell(&settings, file.path.as_deref());
    raise_descriptor_limit();
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let mut drain = Drain::within(options.drain);
    if options.restart {
        drain = drain.with_code(1012).with_reason("the server restarts");
    }
    let limits = limits(&options);
    let (wanted, history) = (limits.connections, limits.history);
    let tls = tls_files(&options)?;
    let guard = Guard::read(&options.access)?;
    let keys = options.api.keys()?;
    let schemas = options.schemas.read()?;
    let mut builder = api::apply(routes::all(guard.is_some()), &keys)
        .limits(limits)
        .compression(!options.no_compression)
        .origins(origins(&options.allow_origin));
    builder = options.rooms.apply(options.shares.apply(options.access.apply(builder, guard.as_ref())));
    builder = schemas.apply(builder);
    builder = options.shared.apply(builder)?;
    if let Some(files) = &tls {
        builder = builder.tls(files);
    }
    if let Some(file) = &options.store {
        builder = builder.engine(Store::open_bounded(file, history)?);
    }
    let server = listen(builder, socket, &options.bind)?.start()?;
    announce(&server, wanted, tls.is_some())?;
    if guard.is_none() && !server.local_addr().ip().is_loopback() {
        let address = server.local_addr();
        say!(Warn, "warning: others can reach {address}, and nobody is asked for a token; see --token-file");
    }
    let supervisor = Supervisor::start(server.handle());
    let handle = server.handle();
    let mut live = Live { server: handle, tls, guard, keys, schemas, settings, file: file.path, args };
    for signal in signals.forever() {
        if signal != SIGHUP {
            break;
        }
        supervisor.reload(|| live.reload());
    }
    supervisor.stopping(options.drain);
    thread::spawn(move || {
        let signal = signals.forever().find(|signal| *signal != SIGHUP);
        // As a shell tells who was ended by it.
        exit(128 + signal.unwrap_or(SIGTERM));
    });
    say!(Info, "stopping; once more to stop at once");
    let report = server.shutdown(drain);
    if 0 < report.open {
        say!(Info, "{report}");
    }
    Ok(())
}

fn listen(builder: Builder, socket: Option<TcpListener>, bind: &str) -> Result<Bound> {
    let Some(socket) = socket else { return builder.bind(bind) };
    say!(Info, "the socket was handed over (LISTEN_FDS): `bind` does not count");
    builder.listen_on(socket)
}

/// The configuration that holds, for the log; and whoever else can read its secrets.
fn tell(settings: &[Setting], file: Option<&Path>) {
    if let Some(file) = file {
        log::info!("configuration file: {}", file.display());
    }
    for setting in settings.iter().filter(|setting| setting.is_set()) {
        log::info!("{setting}");
    }
    for path in secrets::files(settings, file) {
        if let Some((what, mend)) = secrets::exposure(&path) {
            say!(Warn, "warning: {} holds a secret, and {what}; {mend}", path.display());
        }
    }
}

/// As many descriptors as the system lets the program have. Shells and systemd start it with 1024 for the sake of `select`,
/// which is not used here.
pub(super) fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Whoever may not raise it goes on with what there is, and is told how many connections that makes.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

fn tls_files(options: &Serve) -> Result<Option<TlsFiles>> {
    match (&options.tls_cert, &options.tls_key) {
        (Some(certificate), Some(key)) => TlsFiles::read(certificate, key).map(Some),
        _ => Ok(None),
    }
}

pub(super) fn limits(options: &Serve) -> Limits {
    let defaults = Limits::default();
    Limits {
        connections: options.max_connections,
        message: options.max_message,
        // A message that is allowed in must fit on its way out, and as JSON into a request.
        outbox: defaults.outbox.max(options.max_message.saturating_mul(2)),
        hub_queue: defaults.hub_queue.max(options.max_message.saturating_mul(2)),
        body: defaults.body.max(options.max_message.saturating_mul(2)),
        ping_interval: options.ping_interval,
        ping_timeout: options.ping_timeout,
        history: options.rooms.total(),
        ..defaults
    }
}

pub(super) fn origins(allowed: &[String]) -> Origins {
    if allowed.iter().any(|origin| origin == "*") {
        Origins::Any
    } else if allowed.is_empty() {
        Origins::SameHost
    } else {
        Origins::List(allowed.to_vec())
    }
}

/// The first line on stdout, which scripts wait for; the rest is for people.
fn announce(server: &switchboard::Server, wanted: Option<usize>, tls: bool) -> Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "listening on {}://{}", if tls { "https" } else { "http" }, server.local_addr())?;
    stdout.flush()?;
    let budget = Budget::new(tls);
    match wanted {
        Some(wanted) if wanted <= budget.connections => {
            say!(Info, "room for {wanted} connections, as asked");
        }
        wanted => {
            let asked = wanted.map(|wanted| format!(" (of {wanted} asked for)")).unwrap_or_default();
            say!(
                Info,
                "room for {} connections{asked}: {} binds, {}",
                budget.connections,
                budget.limit,
                budget.advice
            );
        }
    }
    if logging::is_for_people() {
        say!(Info, "Ctrl-C stops");
    }
    Ok(())
}
