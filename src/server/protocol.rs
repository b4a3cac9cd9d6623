//! `switchboard.v1`: JSON requests from a client, read here on its own thread and carried out by the hub.
//!
//! Every reply goes through the hub, errors too, so that replies come in the order of their requests.

use super::builder::Builder;
use super::hub_line::HubLine;
use super::request::{Request, Response, check_name};
use super::shared::Shared;
use super::websocket::WebSocket;
use crate::error::Result;
use crate::hub::protocol::{Ask, Fault, Json, Since, Text};
use crate::hub::{Command, Name};
use crate::limits::{ANSWER, Limits};
use crate::net::meter::Meter;
use crate::net::random::random_name;
use crate::rate::{Bucket, Rate};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::mem;
use std::time::Instant;
use tungstenite::Message;

/// As it is offered and answered in the handshake.
const NAME: &str = "switchboard.v1";
/// Longest `id` and longest key, in bytes.
const TAG_MAX: usize = 64;

pub(super) type Wrong = (Fault, String);
pub(super) type Fields<'a> = HashMap<String, &'a RawValue>;

impl Builder {
    /// A WebSocket at this path that speaks `switchboard.v1`: rooms with presence and history, direct messages, and resuming
    /// after a reconnect, all as JSON. A client says who it is by `?user=NAME`, unless [`Builder::authenticate`] finds out;
    /// who says nothing is a guest.
    ///
    /// ```
    /// # let server = switchboard::Server::builder().protocol("/ws").bind("127.0.0.1:0")?.start()?;
    /// let mut ann = server.connect("/ws?user=ann")?;
    /// assert!(ann.recv()?.unwrap().to_text().unwrap().starts_with(r#"{"type":"welcome""#));
    /// ann.send(r#"{"type":"join","room":"tea","id":1}"#)?;
    /// assert!(ann.recv()?.unwrap().to_text().unwrap().starts_with(r#"{"type":"joined","id":1,"room":"tea""#));
    /// # Ok::<(), switchboard::Error>(())
    /// ```
    #[must_use]
    pub fn protocol(self, path: &str) -> Self {
        let state = self.state.clone();
        let admit = move |request: &Request| match state.read().upgrade() {
            Some(shared) => admit(request, &shared.limits),
            None => Ok(()),
        };
        self.route(path, handle).admit(path, admit).change(path, |route| route.subprotocol = Some(NAME))
    }
}

/// Refuses a name in the query that nobody can have, before the upgrade.
fn admit(request: &Request, limits: &Limits) -> Result<(), Response> {
    let Some(user) = request.try_query("user") else { return Ok(()) };
    let why = match user {
        Ok(user) => check_name(&user, limits.name).err().map(|error| error.to_string()),
        Err(refusal) => Some(refusal.reason),
    };
    why.map_or(Ok(()), |why| Err(Response::text(format!("user: {why}\n")).with_status(400)))
}

fn handle(mut ws: WebSocket) -> Result<()> {
    let line = ws.hub_line();
    let user: Name = match ws.identity().name() {
        Some(name) => name.into(),
        None => ws.request().query("user").map_or_else(guest, Name::from),
    };
    let welcome = line.shared().welcome(&line, &user);
    line.send(Command::Enter { id: line.id, user, welcome })?;
    let asked = line.clone();
    ws.line_mut().link.settle_by(move |within| asked.settle(within));
    let mut asked_much = false;
    let mut bucket = keep_rate(&mut ws).map(|rate| Bucket::new(rate, Instant::now()));
    while let Some(message) = ws.recv()? {
        let (tag, asked) = read(&message, line.shared().limits.name);
        let asked = asked.and_then(|ask| permit(&ws, ask)).and_then(|ask| slow_down(&mut bucket, ask));
        let asked = asked.and_then(|ask| fit(line.shared(), ask));
        let ask = asked.unwrap_or_else(|(fault, why)| Ask::Refused(fault, why));
        if has_large_reply(&ask) {
            // One at a time, as the client takes them: who comes back to many rooms at once is no slow consumer.
            if mem::replace(&mut asked_much, true) {
                line.settle(ANSWER);
            }
            ws.line_mut().link.outbox.wait_for_half();
        }
        line.send(Command::Ask { id: line.id, tag, ask })?;
    }
    Ok(())
}

/// Whether the reply may have as many bytes as a message may: histories, and members.
fn has_large_reply(ask: &Ask) -> bool {
    matches!(ask, Ask::Join { .. } | Ask::History { .. } | Ask::Members { .. })
}

/// A name for somebody who has none. Long enough: who has the same would be taken for the same user.
fn guest() -> Name {
    format!("guest-{}", random_name(8)).into()
}

/// The first message of a connection.
pub(crate) fn welcome(line: &HubLine, user: &str, node: &str, limits: &str) -> String {
    let text = Text::new("welcome", None).string("connection", &line.id.0.to_string()).string("user", user);
    text.string("node", node).number("version", 1).raw("limits", limits).end()
}

/// Whether the client's token lets it do that.
fn permit(ws: &WebSocket, ask: Ask) -> Result<Ask, Wrong> {
    let identity = ws.identity();
    let forbidden = |what: &str, room: &str| {
        Err((Fault::Forbidden, format!("your token does not allow you to {what} the room `{room}`")))
    };
    match &ask {
        Ask::Join { room, .. } if !identity.reads(room) => forbidden("join", room),
        Ask::Publish { room, .. } if !identity.writes(room) => forbidden("publish in", room),
        _ => Ok(ask),
    }
}

/// The rate of messages, which is kept here; beyond a burst of what is refused the connection is closed.
fn keep_rate(ws: &mut WebSocket) -> Option<Rate> {
    let quotas = ws.hub_line().shared().quotas();
    let rate = quotas.messages?;
    ws.line_mut().link.set_meter(Meter::new(Some(rate.lenient()), quotas.bytes, Instant::now()));
    Some(rate)
}

/// Who asks too often is told first, and closed with 1008 when that does not help.
fn slow_down(bucket: &mut Option<Bucket>, ask: Ask) -> Result<Ask, Wrong> {
    match bucket.as_mut().map(|bucket| bucket.take(1, Instant::now())) {
        Some(Err(wait)) => {
            let wait = wait.as_millis() + 1;
            Err((
                Fault::RateLimited,
                format!("too many requests: wait {wait} ms, or the connection will be closed"),
            ))
        }
        _ => Ok(ask),
    }
}

/// Whether what is to be published is what the room takes: the last to be looked at, as it takes the most work.
fn fit(shared: &Shared, ask: Ask) -> Result<Ask, Wrong> {
    match &ask {
        Ask::Publish { room, data, .. } => shared.check_data(room, data).map(|()| ask),
        _ => Ok(ask),
    }
}

/// A request and its `id`, which is told as far as there is a good one.
fn read(message: &Message, name_max: usize) -> (Option<Json>, Result<Ask, Wrong>) {
    let Message::Text(text) = message else {
        return (None, Err(bad("send JSON as a text message, not a binary one")));
    };
    let fields = match fields(text) {
        Ok(fields) => fields,
        Err(wrong) => return (None, Err(wrong)),
    };
    match tag(&fields) {
        Ok(tag) => (tag, request(&fields, name_max)),
        Err(wrong) => (None, Err(wrong)),
    }
}

/// The fields of a JSON object, of which none is looked into yet.
pub(super) fn fields(text: &str) -> Result<Fields<'_>, Wrong> {
    serde_json::from_str(text).map_err(|object| {
        // What begins like another kind of value may be no JSON either.
        let json = serde_json::from_str::<IgnoredAny>(text);
        match json.err().or_else(|| (!object.is_data()).then_some(object)) {
            Some(why) => (Fault::BadJson, format!("this is not JSON: {why}")),
            None => bad("send a JSON object"),
        }
    })
}

fn tag(fields: &Fields<'_>) -> Result<Option<Json>, Wrong> {
    let Some(raw) = fields.get("id") else { return Ok(None) };
    let is_integer = || is_whole(raw.get().trim_start_matches('-')) && raw.get().len() <= TAG_MAX;
    let is_string = || serde_json::from_str::<String>(raw.get()).is_ok_and(|text| text.len() <= TAG_MAX);
    if is_integer() || is_string() {
        return Ok(Some(raw.get().into()));
    }
    Err(bad("`id` must be an integer, or a string of at most 64 bytes"))
}

/// Whether the JSON is a number of digits only, of any length: JSON sets none. RFC 8259 §6
fn is_whole(json: &str) -> bool {
    json.bytes().all(|byte| byte.is_ascii_digit())
}

fn request(fields: &Fields<'_>, name_max: usize) -> Result<Ask, Wrong> {
    let kind: String = field(fields, "type", "a string")?;
    let name = |field_name: &str| -> Result<Name, Wrong> {
        let name: String = field(fields, field_name, "a string")?;
        check_name(&name, name_max).map_err(|error| bad(&format!("`{field_name}`: {error}")))?;
        Ok(name.into())
    };
    let data = || fields.get("data").map(|raw| Json::from(raw.get())).ok_or_else(|| bad("`data` is missing"));
    Ok(match kind.as_str() {
        "join" => {
            Ask::Join { room: name("room")?, since: since(fields)?, history: count(fields, "history")? }
        }
        "leave" => Ask::Leave { room: name("room")? },
        "publish" => Ask::Publish { room: name("room")?, data: data()?, key: key(fields)? },
        "direct" => Ask::Direct { to: name("to")?, data: data()? },
        "members" => Ask::Members { room: name("room")? },
        "history" => Ask::History {
            room: name("room")?,
            before: whole(fields, "before")?,
            after: whole(fields, "after")?,
            limit: count(fields, "limit")?,
        },
        "ping" => Ask::Ping,
        _ => {
            let kinds = "join, leave, publish, direct, members, history or ping";
            return Err((Fault::UnknownType, format!("this `type` is not known; send {kinds}")));
        }
    })
}

const OFFSET: &str = "a whole number, 0 or more";

fn since(fields: &Fields<'_>) -> Result<Option<Since>, Wrong> {
    let Some(raw) = fields.get("since") else { return Ok(None) };
    let wrong = |_| bad("`since` must be {\"epoch\":…,\"offset\":…}");
    let since: Fields<'_> = serde_json::from_str(raw.get()).map_err(wrong)?;
    let offset = whole(&since, "offset")?.ok_or_else(|| missing("offset", OFFSET))?;
    Ok(Some(Since { epoch: field(&since, "epoch", "a string")?, offset }))
}

pub(super) fn key(fields: &Fields<'_>) -> Result<Option<String>, Wrong> {
    let key: Option<String> = optional(fields, "key", "a string")?;
    match key {
        Some(key) if !is_key(&key) => Err(bad("`key` must have 1 to 64 bytes")),
        key => Ok(key),
    }
}

/// Whether a publishing may have this key.
pub(super) fn is_key(key: &str) -> bool {
    (1..=TAG_MAX).contains(&key.len())
}

fn count(fields: &Fields<'_>, name: &str) -> Result<Option<usize>, Wrong> {
    Ok(whole(fields, name)?.map(|count| usize::try_from(count).unwrap_or(usize::MAX)))
}

/// A whole number; one that is too large for us is as large as there is.
fn whole(fields: &Fields<'_>, name: &str) -> Result<Option<u64>, Wrong> {
    match fields.get(name) {
        Some(raw) if is_whole(raw.get()) => Ok(Some(raw.get().parse().unwrap_or(u64::MAX))),
        Some(_) => Err(bad(&format!("`{name}` must be {OFFSET}"))),
        None => Ok(None),
    }
}

pub(super) fn field<'a, T: serde::Deserialize<'a>>(
    fields: &Fields<'a>,
    name: &str,
    kind: &str,
) -> Result<T, Wrong> {
    optional(fields, name, kind)?.ok_or_else(|| missing(name, kind))
}

fn missing(name: &str, kind: &str) -> Wrong {
    bad(&format!("`{name}` is missing; it must be {kind}"))
}

pub(super) fn optional<'a, T: serde::Deserialize<'a>>(
    fields: &Fields<'a>,
    name: &str,
    kind: &str,
) -> Result<Option<T>, Wrong> {
    let Some(raw) = fields.get(name) else { return Ok(None) };
    serde_json::from_str(raw.get()).map(Some).map_err(|_| bad(&format!("`{name}` must be {kind}")))
}

pub(super) fn bad(message: &str) -> Wrong {
    (Fault::BadRequest, message.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_guests_have_the_same_name() {
        let names: HashSet<Name> = (0..300_000).map(|_| guest()).collect();
        assert_eq!(names.len(), 300_000);
    }
}
