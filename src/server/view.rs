//! What one member gets of a room: the program's filter or transform, applied to frames in the hub's turn.

use super::connection::FAILED;
use super::shared::Shared;
use crate::hub::View;
use crate::sender::data_of;
use crate::wire::frame::{self, Outgoing};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tungstenite::protocol::frame::Utf8Bytes;
use tungstenite::protocol::frame::coding::OpCode;
use tungstenite::{Bytes, Message};

/// A panic in `view` ends the member with 1011, not the hub.
pub(crate) fn view(
    shared: &Arc<Shared>,
    mut view: impl FnMut(Message) -> Option<Message> + Send + 'static,
) -> Box<View> {
    let metrics = shared.metrics.clone();
    Box::new(View(Box::new(move |frames| {
        catch_unwind(AssertUnwindSafe(|| through(frames, &mut view))).map_err(|_| {
            metrics.panics.add(1);
            log::error!("a member's view of a room panicked");
            let (code, reason) = FAILED;
            frame::encode_close(code, reason)
        })
    })))
}

fn through(frames: &Bytes, view: &mut impl FnMut(Message) -> Option<Message>) -> Bytes {
    let mut out = Vec::new();
    for seen in frame::split(frames).filter_map(|(opcode, payload)| view(message(opcode, payload)?)) {
        match data_of(&seen) {
            Ok((opcode, payload)) => Outgoing::new(opcode, payload).encode_into(&mut out, None),
            Err(error) => log::warn!("a member's view of a room: {error}"),
        }
    }
    out.into()
}

fn message(opcode: OpCode, payload: Bytes) -> Option<Message> {
    match opcode {
        frame::TEXT => Utf8Bytes::try_from(payload).ok().map(Message::Text),
        _ => Some(Message::Binary(payload)),
    }
}
