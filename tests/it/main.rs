//! Switchboard from outside: over sockets, through the public interface, or by reading its source.

/// Who may in, how it is told, and how much one may do.
mod access;
/// Every method of a handler and of a server does what it says.
mod api;
/// The walls between the layers.
mod architecture;
/// Clients that break, stall or flood.
mod attacks;
/// The web app in a real browser: what people do with each other.
mod browser;
/// The same: the inspector, the echo, tokens, TLS, and the pictures of the README.
mod browser_lab;
/// The same: when something is wrong.
mod browser_line;
/// Clients that do as they should, all at once.
mod bursts;
/// What `switchboard serve` does with messages, path by path.
mod chat;
/// The client of browsers, in Node.
mod client_js;
/// Flags, environment and file as one; what SIGHUP changes.
mod config;
/// `switchboard connect` as a pipe.
mod connect;
/// `switchboard doctor`: its report and its exit codes.
mod doctor;
/// Callbacks, views, the event loop, the in-process client.
mod embed;
/// What only an engine with a Redis can be asked.
mod engine_redis;
/// What every engine must do, whatever it keeps its rooms in.
mod engines;
/// The examples that are programs of their own, and all of them as a collection.
mod examples;
/// What each path of the gallery does.
mod gallery;
/// What a client may send, hold or forge that is meant to do harm, and what it gets.
mod hostile;
/// Clients that take more than their share or come without a proof of who they are.
mod hostile_quotas;
/// Requests that do and do not become WebSockets.
mod http;
/// Engines whose messages come in after their acknowledgement.
mod late;
/// Beginning, budget and end of a server; what its handlers may do with a connection.
mod lifecycle;
/// `switchboard load`: each mode, and broken servers that it finds out.
mod load;
/// What `/metrics` shows: each number moves when the thing happens, and only then.
mod metrics;
/// The text of `/metrics`, and what Prometheus and Grafana make of it.
mod monitoring;
/// Pages for those who watch a server, while everybody else is refused.
mod probes;
/// Clients that others wrote.
mod programs;
/// `switchboard.v1` on `/ws`.
mod protocol;
/// `--redis`: several servers as one.
mod redis;
/// What a Redis is like that others write to, or that cannot be written to.
mod redis_trouble;
/// What the report of a shutdown says.
mod report;
/// Servers behind a proxy that are restarted one by one.
mod rolling;
/// What is kept of the rooms of `/ws`, as flags and files say.
mod rooms;
/// The protocol without a socket, over real sockets.
mod sansio;
/// What the guide says of several servers.
mod scaling;
/// Messages that are checked against a schema.
#[cfg(feature = "schema")]
mod schema;
/// The server API: publishing, broadcast, direct messages, disconnecting over HTTP.
mod server_api;
/// The client of `switchboard.v1`, over a network that fails.
mod session;
/// A rate holds a session up, and nothing else wakes it.
mod session_pace;
/// The network that fails.
mod session_proxy;
/// `switchboard soak`: a short one, and servers that it finds out.
mod soak;
/// Servers that cannot start.
mod start;
/// Rooms on disk, whatever happens to the server or to the disk.
mod store;
/// A store whose file is damaged while it is open.
mod store_damage;
/// Servers that share a Redis, and publishers, while something fails.
mod storm;
/// Service managers: sockets that are handed over, notifications, logs, health.
mod supervision;
/// The raw client, and the program as a child process.
mod support;
/// A real browser, remote-controlled.
mod support_cdp;
/// A strict reader of the Prometheus text format.
mod support_prometheus;
/// A bad network.
mod support_proxy;
/// A Redis as a child process.
mod support_redis;
/// A client of `switchboard.v1`.
mod support_v1;
/// The program in a terminal: colours, the prompt, the progress bar.
mod terminal;
/// Servers and clients that speak TLS.
mod tls;
