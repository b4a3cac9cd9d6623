//! The server API: plain HTTP below one path, JSON in and JSON out, for who has a key. RFC 9110, RFC 6750
//!
//! The key comes first: without a good one nobody is told what is there. Then path, method, media type and length or coding,
//! all by the head; the body is read when these are right.

use super::builder::Builder;
use super::calls::RoomState;
use super::protocol::{Fields, Wrong, field, fields, key, optional};
use super::request::{Request, Response, check_name};
use super::shared::Shared;
use crate::error::{Error, Result};
use crate::hub::Name;
use crate::hub::protocol::Fault;
use crate::limits::LISTED;
use crate::wire::body::Body;
use crate::wire::http::{Refusal, decode_segment};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use std::sync::Arc;

/// Whether a key is good; `None`: there are no keys, and so there is no API.
pub(crate) type KeyCheck = Box<dyn Fn(&str) -> Option<bool> + Send + Sync>;

/// What users are told who are disconnected without a reason.
const NO_REASON: &str = "disconnected by the server";

impl Builder {
    /// The API below `path`, for who has a key.
    pub(crate) fn api_for(mut self, path: &str, check: KeyCheck) -> Self {
        let state = [self.state.clone(), self.state.clone()];
        let [at_gate, behind] = state.map(|state| move || state.read().upgrade().ok_or_else(ended));
        let prefix = [path.len(); 2];
        let gate = move |request: &Request| {
            at_gate().and_then(|shared| admit(&shared, request, prefix[0], &check)).map_err(Failure::response)
        };
        let responder = move |request: &Request| {
            let answered = behind().and_then(|shared| answer(&shared, request, prefix[1]));
            answered.map_or_else(Failure::response, |value| respond(200, &value))
        };
        let refuse = |refusal| Failure::from(refusal).response();
        if let Err(mistake) = self.router.set_subtree(path, Box::new(gate), Arc::new(responder), refuse) {
            self.mistake = self.mistake.or(Some(mistake));
        }
        self
    }
}

/// What is at one path.
#[derive(Debug, PartialEq)]
enum Endpoint {
    Publish,
    Broadcast,
    Direct,
    Disconnect,
    Rooms,
    Room(String),
    Stats,
}

impl Endpoint {
    /// `path`: what is behind the API's own.
    fn find(path: &str, name_max: usize) -> Result<Self, Failure> {
        Ok(match path {
            "/publish" => Self::Publish,
            "/broadcast" => Self::Broadcast,
            "/direct" => Self::Direct,
            "/disconnect" => Self::Disconnect,
            "/rooms" => Self::Rooms,
            "/stats" => Self::Stats,
            _ => match path.strip_prefix("/rooms/") {
                Some(room) if !room.contains('/') => {
                    let room = decode_segment(room)?;
                    check_name(&room, name_max).map_err(|error| bad(format!("room: {error}")))?;
                    Self::Room(room)
                }
                _ => return Err(not_found()),
            },
        })
    }

    fn is_read_only(&self) -> bool {
        matches!(self, Self::Rooms | Self::Room(_) | Self::Stats)
    }
}

/// By the head alone: the body that is to be read.
fn admit(shared: &Shared, request: &Request, prefix: usize, check: &KeyCheck) -> Result<Body, Failure> {
    match check(request.bearer().unwrap_or_default()) {
        Some(true) => {}
        Some(false) => {
            log::info!("{}: no good key at {}", request.peer(), request.path());
            return Err(unauthorized());
        }
        None => return Err(not_found()),
    }
    let endpoint = Endpoint::find(&request.path()[prefix..], shared.limits.name)?;
    let allowed = if endpoint.is_read_only() { "GET, HEAD" } else { "POST" };
    if !allowed.split(", ").any(|method| method == request.method().as_str()) {
        return Err(method_not_allowed(request, allowed));
    }
    if endpoint.is_read_only() {
        return Ok(Body::none());
    }
    if !is_json(request) {
        let text = "send JSON, and say so: Content-Type: application/json";
        return Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", text));
    }
    // What fits a message fits as JSON, whose escapes can double it.
    Ok(Body::new(&request.head, shared.limits.message.saturating_mul(2), &shared.limits)?)
}

fn is_json(request: &Request) -> bool {
    let value = request.header("content-type").unwrap_or_default();
    let media = value.split(';').next().unwrap_or_default();
    media.trim().eq_ignore_ascii_case("application/json")
}

/// The request that was let in, carried out.
fn answer(shared: &Shared, request: &Request, prefix: usize) -> Result<Value, Failure> {
    let name_max = shared.limits.name;
    match Endpoint::find(&request.path()[prefix..], name_max)? {
        Endpoint::Rooms => {
            let (after, most) = page(request)?;
            let (rooms, is_more) = shared.rooms(&after, most)?;
            let mut answer = json!({ "rooms": rooms.iter().map(room_json).collect::<Vec<Value>>() });
            if is_more {
                answer["more"] = true.into();
            }
            Ok(answer)
        }
        Endpoint::Room(room) => {
            let (state, members) = shared.room(&room)?.ok_or_else(no_such_room)?;
            let member =
                |(user, connections): (Name, usize)| json!({ "user": &*user, "connections": connections });
            let members: Vec<Value> = members.into_iter().map(member).collect();
            let RoomState { room, epoch, offset, .. } = state;
            Ok(json!({ "room": room, "members": members, "epoch": epoch, "offset": offset }))
        }
        Endpoint::Stats => {
            let totals = shared.totals()?;
            let (connections, users, rooms) = (totals.connections, totals.users, totals.rooms);
            let node = &shared.node;
            Ok(json!({ "node": node, "connections": connections, "users": users, "rooms": rooms }))
        }
        posted => post(shared, &posted, &fields(text(request.body())?)?),
    }
}

/// Which rooms are asked for: `?after=ROOM&limit=N`.
fn page(request: &Request) -> Result<(String, usize), Failure> {
    let after = request.try_query("after").transpose()?.unwrap_or_default();
    let Some(limit) = request.try_query("limit").transpose()? else { return Ok((after, LISTED)) };
    match limit.parse() {
        Ok(limit @ 1..=LISTED) => Ok((after, limit)),
        _ => Err(bad(format!("`limit` must be a number from 1 to {LISTED}"))),
    }
}

fn post(shared: &Shared, endpoint: &Endpoint, fields: &Fields<'_>) -> Result<Value, Failure> {
    let name = |what: &str| -> Result<String, Failure> {
        let name: String = field(fields, what, "a string")?;
        check_name(&name, shared.limits.name).map_err(|error| bad(format!("`{what}`: {error}")))?;
        Ok(name)
    };
    let data =
        || fields.get("data").map(|raw| raw.get()).ok_or_else(|| bad("`data` is missing: send any JSON"));
    let connections = match endpoint {
        Endpoint::Publish => {
            let (room, data, key) = (name("room")?, data()?, key(fields)?);
            let published = shared.publish(&room, data.into(), key.as_deref())?;
            return Ok(json!({ "room": room, "epoch": published.epoch, "offset": published.offset }));
        }
        Endpoint::Direct => match shared.direct(&name("to")?, data()?.into())? {
            0 => {
                let (code, text) = (Fault::NoSuchUser.code(), "this user is not connected");
                return Err(Failure::new(StatusCode::NOT_FOUND, code, text));
            }
            connections => connections,
        },
        Endpoint::Disconnect => {
            let reason: Option<String> = optional(fields, "reason", "a string")?;
            shared.kick(&name("user")?, reason.as_deref().unwrap_or(NO_REASON))?
        }
        _ => shared.announce(data()?)?,
    };
    Ok(json!({ "connections": connections }))
}

fn room_json(state: &RoomState) -> Value {
    let RoomState { room, users, connections, epoch, offset } = state;
    json!({ "room": room, "users": users, "connections": connections, "epoch": epoch, "offset": offset })
}

/// JSON is UTF-8. RFC 8259 §8.1
fn text(body: &[u8]) -> Result<&str, Failure> {
    str::from_utf8(body).map_err(|error| {
        let text = format!("the body is not UTF-8 from byte {} on", error.valid_up_to());
        Failure::new(StatusCode::BAD_REQUEST, Fault::BadJson.code(), text)
    })
}

/// Why a request is not carried out.
#[derive(Debug)]
struct Failure {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// JSON pointer to what is wrong in the data.
    path: Option<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Failure {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), path: None, headers: Vec::new() }
    }

    fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.push((name, HeaderValue::from_static(value)));
        self
    }

    fn response(self) -> Response {
        let mut body = json!({ "code": self.code, "message": self.message });
        if let Some(path) = self.path {
            body["path"] = path.into();
        }
        let mut response = respond(self.status.as_u16(), &body);
        response.inner.headers_mut().extend(self.headers);
        response
    }
}

fn respond(status: u16, body: &Value) -> Response {
    Response::json(body.to_string()).with_status(status).with_header("cache-control", "no-store")
}

fn unauthorized() -> Failure {
    let text = "a good key is needed: Authorization: Bearer KEY";
    // RFC 6750 §3
    Failure::new(StatusCode::UNAUTHORIZED, "unauthorized", text).with(header::WWW_AUTHENTICATE, "Bearer")
}

fn not_found() -> Failure {
    Failure::new(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path")
}

fn no_such_room() -> Failure {
    let text = "nobody is in this room, and it has no history";
    Failure::new(StatusCode::NOT_FOUND, "no_such_room", text)
}

fn method_not_allowed(request: &Request, allowed: &'static str) -> Failure {
    let text = format!("{} is not possible here; this path takes {allowed}", request.method());
    let failure = Failure::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", text);
    failure.with(header::ALLOW, allowed)
}

fn bad(text: impl Into<String>) -> Failure {
    Failure::new(StatusCode::BAD_REQUEST, Fault::BadRequest.code(), text)
}

fn unavailable(text: impl Into<String>) -> Failure {
    let failure = Failure::new(StatusCode::SERVICE_UNAVAILABLE, Fault::Unavailable.code(), text);
    failure.with(header::RETRY_AFTER, "5")
}

/// The server has ended; or this is none of its requests.
fn ended() -> Failure {
    unavailable("the server is going away; try again in a moment")
}

impl From<Wrong> for Failure {
    fn from((fault, text): Wrong) -> Self {
        Self::new(StatusCode::BAD_REQUEST, fault.code(), text)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Unavailable(text) => unavailable(text),
            Error::Stopped => ended(),
            Error::InvalidData { path, what } => {
                Self { path: Some(path), ..Self::new(StatusCode::BAD_REQUEST, "invalid_data", what) }
            }
            Error::TooLarge(text) => Self::new(StatusCode::PAYLOAD_TOO_LARGE, Fault::TooLarge.code(), text),
            error => bad(error.to_string()),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal.status {
            StatusCode::PAYLOAD_TOO_LARGE => Fault::TooLarge.code(),
            StatusCode::REQUEST_TIMEOUT => "timeout",
            StatusCode::NOT_IMPLEMENTED => "not_implemented",
            _ => Fault::BadRequest.code(),
        };
        Self { headers: refusal.headers, ..Self::new(refusal.status, code, refusal.reason) }
    }
}
