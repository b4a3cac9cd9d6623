//! The session's thread, and what it shares with the program's: one lock around the state machine.
//!
//! The thread connects, reads and keeps the time. Requests are sent by the thread that makes them, as far as they may leave
//! at once, in the order of the lock; what has to wait leaves with the next answer.

use super::Event;
use super::core::{Ask, Core, Loss, Reply, Said};
use super::token::{Token, with_token};
use crate::client::{Client, ClientBuilder};
use crate::error::{Error, Result};
use crate::limits::from_now;
use crate::sender::Sender;
use crossbeam_channel::{Receiver, Sender as Teller, bounded};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tungstenite::Message;

/// As it is offered in the handshake.
pub(super) const PROTOCOL: &str = "switchboard.v1";
const NO_PROTOCOL: &str = "it does not speak switchboard.v1 on this path; usually that is /ws";
/// How soon a full outbox is tried again, should no answer come: it is seldom full without one under way.
const FULL_RETRY: Duration = Duration::from_millis(10);

pub(super) struct Shared {
    state: Mutex<State>,
    /// Something has happened that somebody may wait for.
    changed: Condvar,
}

struct State {
    core: Core,
    /// There while there is a connection.
    sender: Option<Sender>,
    /// The outbox had no room for the next text.
    is_full: bool,
    /// Who waits for an answer.
    waiting: HashMap<u64, Teller<Result<Reply>>>,
    /// The thread is in a try to connect, which takes its time.
    is_dialing: bool,
}

/// An answer that will come.
pub(super) struct Ticket {
    id: u64,
    answer: Receiver<Result<Reply>>,
    deadline: Instant,
}

impl Shared {
    pub(super) fn new(core: Core) -> Self {
        let state = State { core, sender: None, is_full: false, waiting: HashMap::new(), is_dialing: true };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Makes a request, which leaves behind those made before. Blocks while too many wait, until `deadline`.
    pub(super) fn ask(&self, ask: Ask, patience: Duration) -> Result<Ticket> {
        let deadline = from_now(patience);
        let mut state = self.state.lock();
        loop {
            if let Some(error) = state.core.over() {
                return Err(error);
            }
            if state.core.has_room(&ask) {
                break;
            }
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                return Err(Error::Timeout);
            }
        }
        let (tell, answer) = bounded(1);
        let id = state.core.ask(ask, deadline);
        state.waiting.insert(id, tell);
        self.settle(state);
        Ok(Ticket { id, answer, deadline })
    }

    pub(super) fn wait(&self, ticket: &Ticket) -> Result<Reply> {
        let answer = ticket.answer.recv_deadline(ticket.deadline).or_else(|_| {
            let mut state = self.state.lock();
            state.core.give_up(ticket.id);
            self.settle(state);
            ticket.answer.try_recv()
        });
        answer.unwrap_or(Err(Error::Timeout))
    }

    /// The next event; blocks until there is one, or `until`. `None`: it is time, or the session is over.
    pub(super) fn next_event(&self, until: Option<Instant>) -> Option<Event> {
        let mut state = self.state.lock();
        loop {
            if let Some(event) = state.core.next_event() {
                // There may be room now for what did not fit before.
                self.settle(state);
                return Some(event);
            }
            if state.core.over().is_some() {
                return None;
            }
            match until {
                None => self.changed.wait(&mut state),
                Some(until) if self.changed.wait_until(&mut state, until).timed_out() => {
                    return state.core.next_event();
                }
                Some(_) => {}
            }
        }
    }

    pub(super) fn read<T>(&self, look: impl FnOnce(&Core) -> T) -> T {
        look(&self.state.lock().core)
    }

    /// Ends the session: the connection, a wait for the next, and everybody's waiting. Does not block.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.core.close();
        if let Some(sender) = state.sender.take() {
            sender.close(1000, "");
        }
        self.settle(state);
    }

    /// Whether the thread ends within the time of a closing handshake, the session being over.
    pub(super) fn ends_soon(&self) -> bool {
        !self.state.lock().is_dialing
    }

    /// Connects, reads, and comes back, until the session is over.
    pub(super) fn run(&self, builder: &ClientBuilder, token: Option<&Token>, url: &str) {
        loop {
            let url = self.read(|core| core.user().map_or(url.into(), |user| with_user(url, user)));
            let loss = match self.dial(builder, token, &url) {
                Ok(client) => self.receive(client, from_now(builder.head_deadline())),
                Err(loss) => loss,
            };
            let mut state = self.state.lock();
            state.sender = None;
            let retry_at = state.core.lost(loss, Instant::now());
            // Before anybody is told of the end: who then drops the session waits for this thread.
            state.is_dialing = false;
            self.settle(state);
            let Some(retry_at) = retry_at else { return };
            if !self.wait_to_dial(retry_at) {
                return;
            }
        }
    }

    /// A connection with a token that is asked for first, which may take its time.
    fn dial(
        &self,
        builder: &ClientBuilder,
        token: Option<&Token>,
        url: &str,
    ) -> std::result::Result<Client, Loss> {
        let Some(token) = token else { return connect(builder, url).map_err(Loss::Failed) };
        let token = token.get().map_err(Loss::NoToken)?;
        if self.read(|core| core.over().is_some()) {
            return Err(Loss::Failed(Error::Closed));
        }
        let builder = with_token(builder, &token);
        // What no header field can hold is no token: the next may be one.
        builder.check(url).map_err(Loss::NoToken)?;
        connect(&builder, url).map_err(Loss::Failed)
    }

    /// Waits for the time of the next try. `false`: the session is over.
    fn wait_to_dial(&self, at: Instant) -> bool {
        let mut state = self.state.lock();
        while state.core.over().is_none() {
            if self.changed.wait_until(&mut state, at).timed_out() {
                // Requests have their time without a connection, too.
                state.is_dialing = state.core.over().is_none();
                let is_on = state.is_dialing;
                self.settle(state);
                return is_on;
            }
        }
        false
    }

    /// Takes in what comes, until the connection has ended. The welcome must come by then.
    fn receive(&self, mut client: Client, welcome_by: Instant) -> Loss {
        let mut state = self.state.lock();
        state.is_dialing = false;
        state.sender = state.core.over().is_none().then(|| client.sender());
        drop(state);
        loop {
            let (is_over, is_here) = self.read(|core| (core.over().is_some(), core.is_here()));
            if is_over {
                break Loss::Failed(Error::Closed);
            }
            if !is_here && welcome_by <= Instant::now() {
                break Loss::Failed(Error::Handshake(format!(
                    "the server has said no welcome: {NO_PROTOCOL}"
                )));
            }
            let until = self.next_deadline().into_iter().chain((!is_here).then_some(welcome_by)).min();
            let received = match until {
                None => client.recv(),
                Some(until) => client.recv_timeout(until.saturating_duration_since(Instant::now())),
            };
            let said = match received {
                Ok(Some(Message::Text(text))) => Said::read(&text),
                Ok(Some(_)) => None,
                Ok(None) if !client.is_closed() => None,
                Ok(None) => {
                    let (code, reason) = client.closed().unwrap_or((1006, ""));
                    break Loss::Closed(code, reason.into());
                }
                Err(error) => break Loss::Failed(error),
            };
            let mut state = self.state.lock();
            if let Some(said) = said {
                state.core.hear(said, Instant::now());
            }
            self.settle(state);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let state = self.state.lock();
        let now = Instant::now();
        let retry = state.is_full.then(|| now + FULL_RETRY);
        state.core.next_deadline(now).into_iter().chain(retry).min()
    }

    /// Does what the state machine has come to: sends, answers, and wakes who waits.
    fn settle(&self, mut state: MutexGuard<'_, State>) {
        let State { core, sender, is_full, waiting, .. } = &mut *state;
        *is_full = false;
        core.send(Instant::now(), |text| {
            let sent = sender.as_ref().map_or(Err(Error::Closed), |sender| sender.try_send(text));
            *is_full |= matches!(sent, Err(Error::Full));
            sent.is_ok()
        });
        for (id, answer) in core.answers() {
            if let Some(tell) = waiting.remove(&id) {
                // Whoever asked may wait no longer.
                let _ = tell.try_send(answer);
            }
        }
        drop(state);
        self.changed.notify_all();
    }
}

fn connect(builder: &ClientBuilder, url: &str) -> Result<Client> {
    let client = builder.connect(url)?;
    match client.subprotocol() {
        Some(PROTOCOL) => Ok(client),
        _ => Err(Error::Config(NO_PROTOCOL.into())),
    }
}

/// The URL with the user's name in its query, if there is none.
pub(super) fn with_user(url: &str, user: &str) -> String {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    if query.split('&').any(|pair| pair.split('=').next() == Some("user")) {
        return url.into();
    }
    let mut name = String::new();
    for byte in user.bytes() {
        // What a name may be in, unencoded. RFC 3986 §2.3
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    let and = if query.is_empty() { "" } else { "&" };
    format!("{path}?{query}{and}user={name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_goes_into_the_query_once() {
        for (url, expected) in [
            ("ws://h/ws", "ws://h/ws?user=a%20%E5%A4%A7&-"),
            ("ws://h/ws?x=1", "ws://h/ws?x=1&user=a%20%E5%A4%A7&-"),
            ("ws://h/ws?x=1&user=b", "ws://h/ws?x=1&user=b"),
            ("ws://h/ws?username=b", "ws://h/ws?username=b&user=a%20%E5%A4%A7&-"),
        ] {
            assert_eq!(with_user(url, "a 大&-"), expected.replace("&-", "%26-"), "{url}");
        }
    }
}
