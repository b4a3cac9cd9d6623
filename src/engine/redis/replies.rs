//! What the scripts answer, read. Pure.

use super::access::misplaced;
use super::rooms::State;
use crate::engine::{Listed, Name, Receipt, Stored};
use ::redis::{RedisResult, Value};

pub(super) fn number(value: &Value) -> RedisResult<u64> {
    match value {
        Value::Int(number) => (*number).try_into().map_err(|_| misplaced()),
        Value::BulkString(text) => {
            str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or_else(misplaced)
        }
        _ => Err(misplaced()),
    }
}

pub(super) fn name(value: Value) -> RedisResult<Name> {
    match value {
        Value::BulkString(text) => String::from_utf8(text).map(Name::from).map_err(|_| misplaced()),
        _ => Err(misplaced()),
    }
}

pub(super) fn list(value: Value) -> RedisResult<Vec<Value>> {
    match value {
        Value::Array(values) => Ok(values),
        _ => Err(misplaced()),
    }
}

fn exactly<const N: usize>(value: Value) -> RedisResult<[Value; N]> {
    list(value)?.try_into().map_err(|_| misplaced())
}

pub(super) fn receipt(value: Value) -> RedisResult<Receipt> {
    let [epoch, offset] = exactly(value)?;
    Ok(Receipt { epoch: name(epoch)?, offset: number(&offset)? })
}

/// `None`: nothing was said in it, and nobody is there.
pub(super) fn listed(room: &Name, value: Value) -> RedisResult<Option<Listed>> {
    let [epoch, offset, users, connections] = exactly(value)?;
    let [offset, users, connections] = [number(&offset)?, number(&users)?, number(&connections)?];
    let listed = Listed {
        room: room.clone(),
        epoch: name(epoch)?,
        offset,
        users: users as usize,
        connections: connections as usize,
    };
    Ok((0 < offset || 0 < users).then_some(listed))
}

pub(super) fn state(value: Value) -> RedisResult<State> {
    let [epoch, offset, messages, members] = exactly(value)?;
    let message = |[offset, time, json]: [Value; 3]| {
        Ok(Stored { offset: number(&offset)?, time: number(&time)?, element: name(json)? })
    };
    let messages = groups(messages)?.into_iter().map(message).collect::<RedisResult<_>>()?;
    let at_server = |value: Value| {
        let [node, users] = exactly(value)?;
        let user = |[user, connections]: [Value; 2]| Ok((name(user)?, number(&connections)? as usize));
        let users: Vec<(Name, usize)> = groups(users)?.into_iter().map(user).collect::<RedisResult<_>>()?;
        // An entry without a name keeps the list alive while nobody is in it.
        Ok((name(node)?, users.into_iter().filter(|(user, _)| !user.is_empty()).collect()))
    };
    let members = list(members)?.into_iter().map(at_server).collect::<RedisResult<_>>()?;
    Ok(State { epoch: name(epoch)?, offset: number(&offset)?, messages, members })
}

/// A list whose elements belong together by so many.
pub(super) fn groups<const N: usize>(value: Value) -> RedisResult<Vec<[Value; N]>> {
    let mut values = list(value)?.into_iter();
    let mut groups = Vec::with_capacity(values.len() / N);
    while 0 < values.len() {
        let group: Vec<Value> = values.by_ref().take(N).collect();
        groups.push(group.try_into().map_err(|_| misplaced())?);
    }
    Ok(groups)
}
