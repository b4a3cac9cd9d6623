// Owns all conversations of the page's user: who is in which room, what comes, what is sent and becomes of it. Speaks to the
// server through the client (client.js). Knows nothing of elements: `page` is told that something has changed.

import { Conversation, words } from './conversation.js';
import { bytesOf, randomId } from './dom.js';
import { read, remember, remembered, tab, write } from './store.js';

const PAGE = 50; // messages of a room's history asked for at once
const DIRECT_KEPT = 100; // direct messages of one conversation kept across a reload; the server keeps none
const RETURN_LIMIT = 20_000; // ms after a reconnect in which somebody we write to may still be on the way back
const RETURN_CHECK = 1_000; // ms between two tries within it
const SAVE_AFTER = 300; // ms, so that a flood is saved once

const all = new Map(); // "kind/name" -> conversation, in the order of the sidebar
let line = null;
let user = '';
let reconnectedAt = -Infinity;
let saving = null;
/** changed(); sees(conversation): whether somebody looks at it; notice(text): the server speaks to everybody. */
let page = null;

export const conversations = () => [...all.values()];
export const find = (kind, name) => all.get(`${kind}/${name}`);

export function startConversations(callbacks) {
  page = callbacks;
  addEventListener('pagehide', save);
  if (windows) windows.onmessage = ({ data }) => mirrored(data);
}

// ---- The line

/** From now on everything goes over `next`, in the name of `name`. What waits moves over. */
export function attach(next, name) {
  line = next;
  reconnectedAt = -Infinity;
  become(name);
  let isBack = false;
  line.on('welcome', (m) => {
    if (m.user !== user) {
      become(m.user);
      resume();
    }
    if (isBack) reconnectedAt = Date.now();
    isBack = true;
  });
  line.on('direct', hearDirect);
  line.on('broadcast', ({ data }) => page.notice(words(data).text));
  line.on('error', ({ message }) => page.notice(message));
  line.on('kicked', ({ room, reason }) => {
    const conversation = room === undefined ? undefined : find('room', room);
    if (conversation) conversation.problem = reason;
  });
  line.on('state', restate);
  resume();
}

/** Every room is joined on this line, and whatever waits is sent on it. */
function resume() {
  for (const conversation of all.values()) {
    if (conversation.kind === 'room' && conversation.line !== line) enter(conversation);
    for (const item of conversation.pending) if (item.line !== line && item.status !== 'failed') dispatch(conversation, item);
  }
}

/** The user's own rooms and people come back, and what could not be sent before a reload. */
function become(name) {
  if (name === user) return;
  user = name;
  const { known, rooms, people, read: marks } = remembered(user);
  for (const room of known ? rooms : ['lobby']) converse('room', room).readTo ??= marks[room] ?? null;
  for (const person of people) converse('direct', person);
  if (all.size === 0) converse('room', 'lobby');
  for (const conversation of all.values()) keep(conversation); // who takes another name keeps the rooms
  restore();
  page.changed();
}

/** The conversation of that kind and name, begun if there is none yet. */
export function converse(kind, name) {
  const known = find(kind, name);
  if (known) return known;
  const conversation = new Conversation(kind, name);
  conversation.retry = (item) => dispatch(conversation, item);
  conversation.discard = (item) => {
    conversation.drop(item);
    page.changed();
  };
  conversation.loadOlder = () => loadOlder(conversation);
  all.set(`${kind}/${name}`, conversation);
  keep(conversation);
  if (kind === 'room' && line) enter(conversation);
  page.changed();
  return conversation;
}

function keep({ kind, name }) {
  const listed = ({ rooms, people }) => (kind === 'room' ? rooms : people);
  if (!listed(remembered(user)).includes(name)) remember(user, (record) => listed(record).push(name));
}

export function leave(conversation) {
  const { kind, name } = conversation;
  all.delete(`${kind}/${name}`);
  conversation.off?.();
  conversation.room?.leave();
  remember(user, (record) => {
    record.rooms = record.rooms.filter((room) => kind !== 'room' || room !== name);
    record.people = record.people.filter((person) => kind !== 'direct' || person !== name);
    if (kind === 'room') delete record.read[name];
  });
  saveSoon();
  page.changed();
}

// ---- Rooms

function enter(conversation) {
  conversation.problem = '';
  conversation.off?.();
  conversation.line = line;
  const room = line.room(conversation.name, { history: PAGE });
  conversation.room = room;
  const offs = [
    room.on('message', (m) => hear(conversation, m)),
    room.on('gap', ({ epoch, missed }) => {
      if (missed !== 0) conversation.mark(missed === null ? 'restarted' : 'gap');
      conversation.newest = { epoch, offset: null };
    }),
    room.on('joined', (joined) => entered(conversation, joined)),
    room.on('members', (members) => {
      // Who comes back within the grace period does so unsaid.
      if ([...members.values()].includes(0)) conversation.awayUntil = Date.now() + (line.limits.grace ?? 0);
      page.changed();
    }),
    room.on('error', ({ message }) => {
      conversation.problem = message;
      page.changed();
    }),
  ];
  conversation.off = () => offs.forEach((off) => off());
}

function entered(conversation, { epoch, offset }) {
  const { newest } = conversation;
  if (newest && newest.epoch !== epoch) conversation.mark('restarted');
  conversation.newest = { epoch, offset };
  conversation.readTo ??= conversation.newest;
  conversation.problem = '';
  // The client remembers a room that was left, and brings only what came since.
  conversation.more ||= conversation.items.length === 0 && 0 < offset;
  page.changed();
}

function hear(conversation, m) {
  const { newest, readTo } = conversation;
  const goesOn = newest?.epoch === m.epoch;
  if (goesOn && newest.offset !== null && m.offset <= newest.offset) return; // known from an earlier line
  if (newest && !goesOn) conversation.mark('restarted');
  if (goesOn && newest.offset !== null && newest.offset + 1 < m.offset) conversation.mark('gap');
  conversation.newest = { epoch: m.epoch, offset: m.offset };
  if (conversation.items.length === 0) conversation.more = 1 < m.offset;
  const own = m.from === user ? ownOf(conversation, m) : null;
  const item = own ?? itemOf(m);
  if (own) conversation.settle(Object.assign(own, { epoch: m.epoch, offset: m.offset, at: m.time }));
  else conversation.add(item);
  const isNew = readTo !== null && (readTo.epoch !== m.epoch || readTo.offset < m.offset);
  if (isNew && !item.own) count(conversation, item);
  page.changed();
}

function count(conversation, item) {
  if (!page.sees(conversation)) conversation.count(item);
  conversation.missed += 1; // until the page says that the end is in sight
}

/** The message of ours that this one is: by the offset that was acknowledged, or, if it comes before that, by its text. */
function ownOf({ pending }, m) {
  const { text } = words(m.data);
  return pending.find((item) => item.epoch === m.epoch && item.offset === m.offset)
    ?? pending.find((item) => item.offset === undefined && item.status !== 'failed' && item.text === text);
}

function itemOf({ from, data, time, epoch, offset }) {
  const own = from !== null && from === user;
  return { from, ...words(data), own, at: time, epoch, offset, status: own ? 'done' : undefined };
}

/** Asks for older messages; the number of those that have come. */
async function loadOlder(conversation) {
  const { room, loading, newest } = conversation;
  const oldest = () => conversation.items.find((item) => item.offset !== undefined);
  const first = oldest() ?? { epoch: newest?.epoch, offset: (newest?.offset ?? 0) + 1 };
  if (!conversation.more || loading || room?.state !== 'joined') return 0;
  conversation.more = first.epoch === room.epoch;
  if (!conversation.more) return 0;
  conversation.loading = true;
  try {
    const older = await room.history({ before: first.offset, limit: PAGE });
    if ((oldest() ?? first) !== first) return 0; // others came or went meanwhile
    conversation.prepend(older.messages.map(itemOf));
    conversation.more = older.more;
    return older.messages.length;
  } catch ({ code }) {
    conversation.more = code === 'closed';
    return 0;
  } finally {
    conversation.loading = false;
    page.changed();
  }
}

/** Somebody looks at it. */
export function see(conversation) {
  conversation.unread = 0;
  const { newest, readTo, kind } = conversation;
  if (kind !== 'room' || newest?.offset == null || (readTo?.epoch === newest.epoch && readTo.offset === newest.offset)) return;
  conversation.readTo = newest;
  saveSoon();
}

/** Whether this user is in a room with us. */
export const isPresent = (name) => conversations().some(({ room }) => room?.members.has(name));

// ---- Direct messages

function hearDirect({ from, data, time }) {
  if (from === null) return page.notice(words(data).text);
  const conversation = converse('direct', from);
  if (conversation.repeated(data?.id)) return;
  const item = { from, ...words(data), own: from === user, at: time, id: data?.id, status: 'done' };
  conversation.add(item);
  if (!item.own) count(conversation, item);
  saveSoon();
  page.changed();
}

/** Other windows of this browser: the server tells the recipient only what was said, not our own other windows. */
const windows = channel();

function channel() {
  try { return new BroadcastChannel('switchboard'); } catch { return null; }
}

function mirrored({ user: name, to, item }) {
  if (name !== user) return;
  const conversation = converse('direct', to);
  if (conversation.repeated(item.id)) return;
  conversation.add(item);
  saveSoon();
  page.changed();
}

// ---- Sending

export function send(conversation, text) {
  const item = { from: user, to: conversation.name, text, own: true, at: Date.now(), id: randomId() };
  conversation.firstUnread = null;
  conversation.pending.push(item);
  dispatch(conversation, item);
}

/** Gives it to the client, which waits for a connection if there is none. The server, or the recipient, knows a repetition by its id. */
function dispatch(conversation, item) {
  const { kind, name, room } = conversation;
  const most = line?.limits.message ?? Infinity;
  if (most < 6 * item.text.length && most < bytesOf(JSON.stringify(item.text)).length + 512) return fail(conversation, item, { code: 'too_long' });
  item.from = user;
  item.line = line;
  item.error = undefined;
  item.status = line?.state === 'open' ? 'sending' : 'waiting';
  const attempt = (item.attempt = {});
  const mine = (then) => (value) => {
    if (item.attempt === attempt) then(conversation, item, value);
    saveSoon();
    page.changed();
  };
  const promise = kind === 'room' ? room.publish(item.text, { key: item.id }) : line.direct(name, { text: item.text, id: item.id });
  promise.then(mine(kind === 'room' ? published : delivered), mine(fail));
  saveSoon();
  page.changed();
}

/** Acknowledged. It becomes a line when the room brings it, in its place among the others. */
function published(conversation, item, { epoch, offset }) {
  const isHere = conversation.newest?.epoch === epoch && offset <= conversation.newest.offset;
  if (!conversation.pending.includes(item)) return;
  Object.assign(item, { epoch, offset, status: 'done' });
  if (isHere) conversation.drop(item);
}

function delivered(conversation, item) {
  const { from, to, text, id, at } = item;
  // To oneself it has come back already.
  if (conversation.repeated(id)) return conversation.drop(item);
  conversation.settle(item);
  windows?.postMessage({ user, to, item: { from, to, text, id, at, own: true, status: 'done' } });
}

function fail(conversation, item, { code, message }) {
  item.status = 'waiting';
  if (code === 'closed') return; // the next line sends it
  if (code === 'unknown') return dispatch(conversation, item);
  // The outage hit the recipient too, who may have not reconnected yet.
  if (code === 'no_such_user' && Date.now() - reconnectedAt < RETURN_LIMIT) {
    const { attempt } = item;
    setTimeout(() => { if (item.attempt === attempt && item.status === 'waiting') dispatch(conversation, item); }, RETURN_CHECK);
    return;
  }
  item.status = 'failed';
  item.error = { code: code === 'too_large' ? 'too_long' : code, message };
  page.changed();
}

function restate() {
  for (const { pending } of all.values()) {
    for (const item of pending) if (item.status === 'sending' || item.status === 'waiting') item.status = line.state === 'open' ? 'sending' : 'waiting';
  }
  page.changed();
}

/** Whether something has not reached the server. */
export const hasUnsent = () => conversations().some(({ pending }) => pending.some(({ status }) => status === 'waiting' || status === 'sending'));

/** Everything under way is settled, or the connection is lost, or time is up: then a change of the name does no harm. */
export function settled(ms) {
  if (line?.state !== 'open' || line.pending === 0) return Promise.resolve();
  return new Promise((done) => {
    line.on('pending', (pending) => pending === 0 && done());
    line.on('state', done);
    setTimeout(done, ms);
  });
}

// ---- Across a reload

function saveSoon() {
  saving ??= setTimeout(save, SAVE_AFTER);
}

function save() {
  clearTimeout(saving);
  saving = null;
  if (!user) return;
  const seen = conversations().filter(({ kind, readTo }) => kind === 'room' && readTo?.offset != null);
  remember(user, ({ read: marks }) => {
    // Another window may have read further.
    for (const { name, readTo } of seen) if (!(marks[name]?.epoch === readTo.epoch && readTo.offset < marks[name].offset)) marks[name] = readTo;
  });
  const plain = ({ from, to, text, code, own, at, id, status }) => ({ from, to, text, code, own, at, id, status });
  const direct = conversations().filter(({ kind }) => kind === 'direct').map(({ name, items }) => [name, items.slice(-DIRECT_KEPT).map(plain)]);
  const unsent = conversations().map(({ kind, name, pending }) => [kind, name, pending.filter(({ status }) => status === 'waiting' || status === 'sending').map(plain)]);
  write(tab, `kept.${user}`, { direct, unsent: unsent.filter(([, , items]) => 0 < items.length) });
}

function restore() {
  const { direct = [], unsent = [] } = read(tab, `kept.${user}`) ?? {};
  for (const [name, items] of direct) {
    const conversation = find('direct', name);
    for (const item of items) if (conversation && !conversation.repeated(item.id)) conversation.add(item);
  }
  for (const [kind, name, items] of unsent) {
    const conversation = converse(kind, name);
    conversation.pending.push(...items.filter(({ id }) => !conversation.pending.some((item) => item.id === id)));
  }
}
