// Owns who we are, and the line to the server under that name. Keeps a log of its frames for the inspector.

import { connect } from './client.js';
import { attach, settled } from './conversations.js';
import { bytesOf } from './dom.js';
import { FrameLog } from './frames.js';
import { guestName } from './i18n.js';
import { browser, tab } from './store.js';

const MAX_DELAY = 10_000; // ms, the longest wait before another attempt: somebody is looking
const SETTLE = 5000; // ms that what is under way has before the name changes
const ASKS = 'authentication failed';

const url = new URL('/ws', location.href);
url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';

export const session = {
  line: null,
  log: new FrameLog(url.href),
  nick: '',
  token: '',
  wasOpen: false, // in this window, ever
  away: 0, // the close code with which the server left us, until an attempt to come back fails
  renamed: false, // somebody has just chosen a name
  overruled: false, // the server gives us another one
  end: null, // why the line is closed for good: {code, reason}
  isKicked: false, // and that the server wanted it
  byHand: false, // or somebody here
  get state() { return session.line.state; },
  /** Whether the server wants a token, or another one; then what it said about ours. */
  get tokenProblem() {
    const { end } = session;
    return end?.code === 1008 && end.reason.startsWith(ASKS) ? end.reason.slice(ASKS.length).replace(/^:\s*/, '') : null;
  },
};
let keeper = browser; // where the name is kept; null: it came with the token or from the server
let changed = () => {};
let opened = () => {};

/** As the server sees names; and "." and "..", even percent-encoded, would be taken out of a URL by the browser. */
export function validName(name) {
  const size = bytesOf(name).length;
  return 1 <= size && size <= 128 && !/[\p{Cc}\p{Cs}]/u.test(name) && name !== '.' && name !== '..';
}

/** A token may come with the address, as `#token=…` or `#room/tea?token=…`. It stays in this window, but not in the address. */
export function takeToken() {
  const [whole, encoded] = location.hash.match(/[#?&]token=([^&]*)/) ?? [];
  if (whole === undefined) return false;
  try { keepToken(decodeURIComponent(encoded)); } catch { /* no valid percent-encoding */ }
  history.replaceState(null, '', location.pathname + location.search + location.hash.replace(whole, ''));
  return true;
}

/** So may a name, as `?nick=ann`. The address is what people share, and whoever comes by it is somebody else. */
function takeNick() {
  const query = new URLSearchParams(location.search);
  const given = query.get('nick') ?? query.get('user');
  if (given === null) return;
  if (validName(given.trim())) tab.set('nick', given.trim());
  history.replaceState(null, '', location.pathname + location.hash);
}

function keepToken(token) {
  session.token = token.trim();
  tab.set('token', session.token || null);
}

/** Whose token it is, if it says so (JWT). Read, not checked: that is the server's to do. */
function userOfToken() {
  try {
    const claims = atob(session.token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/'));
    const { sub } = JSON.parse(new TextDecoder().decode(Uint8Array.from(claims, (c) => c.charCodeAt(0))));
    return typeof sub === 'string' && validName(sub) ? sub : null;
  } catch {
    return null;
  }
}

/** Finds out who we are and connects. `onChange()` is called whenever something here has changed, `onOpen()` when we are in. */
export function startSession(onChange, onOpen) {
  changed = onChange;
  opened = onOpen;
  if (!takeToken()) session.token = tab.get('token') ?? '';
  takeNick();
  const user = userOfToken();
  if (user !== null) keeper = null;
  else if (tab.get('nick') !== null) keeper = tab;
  session.nick = user ?? keeper.get('nick') ?? '';
  if (!validName(session.nick)) session.nick = guestName();
  keeper?.set('nick', session.nick);
  begin();
}

/** A new line: under another name, with another token, or after the end of the last one. */
export function begin() {
  const { log } = session;
  session.end = null;
  session.isKicked = false;
  session.byHand = false;
  session.line?.close();
  const line = (session.line = connect('/ws', { token: session.token || undefined, user: session.nick, maxDelay: MAX_DELAY }));
  log.opening();
  const on = (name, then) => line.on(name, (value) => {
    if (line !== session.line) return;
    then(value);
    changed();
  });
  on('frame', ({ out, text }) => {
    if (!out) log.opened();
    log.message(out ? 'out' : 'in', text);
  });
  on('state', (state) => { if (state === 'connecting') log.opening(); });
  on('kicked', ({ room }) => { if (room === undefined) session.isKicked = true; });
  on('welcome', ({ user }) => {
    opened();
    session.wasOpen = true;
    session.overruled = session.renamed && user !== session.nick;
    session.renamed = false;
    if (user === session.nick) return;
    session.nick = user;
    keeper = null;
  });
  on('close', (end) => {
    session.away = end.code === 1001 || end.code === 1012 ? end.code : 0;
    log.closed(end, session.byHand ? { code: 1000, reason: '' } : null);
    if (line.state === 'closed') session.end = end;
  });
  attach(line, session.nick);
  changed();
}

/** Connects now: at once after a loss, anew after the end. */
export function retry() {
  if (session.state === 'closed') begin();
  else session.line.reconnect();
}

export function hangUp() {
  session.byHand = true;
  session.line.close();
}

/** Goes on under another name, once what is under way is settled. */
export async function rename(nick) {
  session.nick = nick;
  session.renamed = true;
  keeper?.set('nick', nick);
  await settled(SETTLE);
  begin();
}

export function bringToken(token) {
  keepToken(token);
  enter();
}

/** With another token, as whom it says. */
export function enter() {
  const user = userOfToken();
  if (user !== null && user !== session.nick) {
    session.nick = user;
    keeper = null;
  }
  begin();
}
