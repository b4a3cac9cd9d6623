// Owns the chat page: who you are, the conversations, and how they are shown. Each conversation uses a `Link` (see
// connection.js); all direct conversations share one. What arrives is never trusted: it only ever becomes text nodes.
// In reading order: settings, conversations, receiving, sending, drawing, choosing, controls, start.

import { Link, Outbox, bytesOf, hexByte, pass } from './connection.js';
import { $, make, makeButton, stickToEnd, write } from './dom.js';
import { inspect, refresh as refreshInspector, reset as resetInspector, startInspector } from './inspector.js';
import { avatar, elementOf, hue, paintItem } from './messages.js';
import { echoLink, paintEcho, startEcho } from './echo.js';
import { currentLanguage, guestName, setLanguage, t } from './i18n.js';

const ITEMS_KEPT = 500; // messages per conversation; older ones are forgotten
const TEXT_KEPT = 4_000_000; // characters per conversation, likewise
const GROUPED_WITHIN = 5 * 60_000; // ms; one sender's messages closer than this share a heading

// ---- Settings: kept in the browser, and the page works without storage ----

function kept(area, key, value) {
  try {
    if (value === undefined) return area().getItem(`switchboard.${key}`);
    if (value === null) area().removeItem(`switchboard.${key}`);
    else area().setItem(`switchboard.${key}`, value);
  } catch { /* storage is off: nothing is remembered */ }
  return null;
}
const stored = (key, value) => kept(() => localStorage, key, value);
const inTab = (key, value) => kept(() => sessionStorage, key, value);

/** As the server sees names; and "." and "..", even percent-encoded, would be taken out of the URL by the browser. */
function validName(name) {
  const size = bytesOf(name).length;
  return 1 <= size && size <= 128 && !/[\p{Cc}\p{Cs}]/u.test(name) && name !== '.' && name !== '..';
}

function complainUnless(valid) {
  $('problem').textContent = valid ? '' : t('badName');
  return valid;
}

/** A token may come with the address, as `#token=…` or `#lobby?token=…`. It stays in this tab, but not in the address. */
function takeToken() {
  const [whole, encoded] = location.hash.match(/[#?&]token=([^&]*)/) ?? [];
  if (whole === undefined) return false;
  try { setToken(decodeURIComponent(encoded)); } catch { /* no valid percent-encoding */ }
  history.replaceState(null, '', location.pathname + location.search + location.hash.replace(whole, ''));
  return true;
}

function setToken(token) {
  pass.token = token.trim();
  inTab('token', pass.token || null);
}

/** Whose token it is, if it says so (JWT). Read, not checked: that is the server's to do. */
function userOfToken() {
  try {
    const claims = atob(pass.token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/'));
    const { sub } = JSON.parse(new TextDecoder().decode(Uint8Array.from(claims, (c) => c.charCodeAt(0))));
    return typeof sub === 'string' && validName(sub) ? sub : null;
  } catch {
    return null;
  }
}

const randomId = () => [...crypto.getRandomValues(new Uint8Array(9))].map(hexByte).join('');

let nick;
let nickIsOurs = true; // false: it came with ?nick= and is not stored

// ---- Conversations ----

const conversations = new Map(); // "kind/name" -> conversation, in the order of the sidebar
const keyOf = (kind, name) => `${kind}/${name}`;
const direct = { link: null, outbox: null }; // the line all direct conversations share
let current; // the conversation shown, or null for the echo tab

const currentLink = () => current?.link() ?? echoLink;

function converse(kind, name) {
  const known = conversations.get(keyOf(kind, name));
  if (known) return known;
  const conversation = { kind, name, items: [], seen: new Set(), size: 0, unread: 0, missed: 0, draft: '' };
  if (kind === 'direct') {
    conversation.link = () => direct.link;
    conversation.outbox = () => direct.outbox;
  } else {
    const path = kind === 'group' ? '/conn_ws' : `/room/${encodeURIComponent(name)}`;
    const { link, outbox } = line(path, {
      echoes: true,
      encode: ({ from, text, id }) => JSON.stringify({ from, text, id }),
      message: (data) => receive(conversation, data),
    });
    conversation.link = () => link;
    conversation.outbox = () => outbox;
    link.connect();
  }
  conversations.set(keyOf(kind, name), conversation);
  addEntry(conversation);
  remember();
  return conversation;
}

/** A link with its outbox. */
function line(path, { echoes, encode, message }) {
  const link = new Link(path, {
    open: () => {
      if (link === direct.link) $('problem').textContent = '';
      outbox.resume();
    },
    close: (last) => {
      outbox.interrupted(last);
      if (link === direct.link && link.refused && !asksForToken(link)) $('problem').textContent = link.refused;
    },
    change: soon,
    message,
  });
  const outbox = new Outbox(link, { echoes, encode, changed: paintItem });
  return { link, outbox };
}

/** Opens the line for direct messages under the present nick; what still waits on the old one moves over. */
function openDirectLine() {
  const waiting = direct.outbox?.abandon() ?? [];
  direct.link?.close('new name');
  Object.assign(direct, line(`/conn_ws/${encodeURIComponent(nick)}`, {
    echoes: false,
    encode: ({ to, text, id }) => JSON.stringify({ from_user: nick, to_user: to, message: text, id }),
    message: receiveDirect,
  }));
  for (const item of waiting) direct.outbox.add(Object.assign(item, { wire: null }));
  direct.link.connect();
}

function leave(conversation) {
  if (conversation.kind === 'room') conversation.link().close('left the room');
  conversations.delete(keyOf(conversation.kind, conversation.name));
  conversation.entry.remove();
  remember();
  if (conversation === current) {
    show(converse('group', 'lobby'));
    location.replace('#lobby'); // not in the history: going back must not join again
  }
  soon();
}

function remember() {
  inTab('conversations', JSON.stringify([...conversations.values()].map(({ kind, name }) => [kind, name])));
}

function recall() {
  let list = [];
  try { list = JSON.parse(inTab('conversations')) ?? []; } catch { /* not ours */ }
  converse('group', 'lobby');
  for (const [kind, name] of list) if (kind !== 'group' && validName(name)) converse(kind, name);
}

// ---- Receiving ----

function parse(data) {
  if (typeof data !== 'string') return null;
  try {
    const value = JSON.parse(data);
    return typeof value === 'object' ? value : null;
  } catch {
    return null;
  }
}

/** A message of the lobby or a room: an echo of ours, a message of this page elsewhere, or anything else, verbatim. */
function receive(conversation, data) {
  const own = typeof data === 'string' && conversation.outbox().confirm(data);
  const parsed = parse(data);
  // Only a server that knows who we are says so.
  if (pass.token && parsed?.type === 'error' && parsed.code === 'forbidden' && parsed.from === undefined
    && conversation.outbox().refuse({ code: 'forbidden', why: String(parsed.message) })) return;
  const ours = parsed && typeof parsed.from === 'string' && parsed.from !== '' && typeof parsed.text === 'string';
  if ((ours && repeated(conversation, parsed.id, parsed.from, parsed.text)) || own) return;
  arrived(conversation, ours ? { from: parsed.from, text: parsed.text } : { from: null, text: verbatim(data) });
}

/** Whether this message was here before: sent again after a broken connection, known by its id. */
function repeated({ seen }, id, from, text) {
  if (typeof id !== 'string') return false;
  const key = JSON.stringify([id.slice(0, 64), from.slice(0, 128), text.length, text.slice(0, 64)]);
  if (seen.has(key)) return true;
  seen.add(key);
  if (ITEMS_KEPT < seen.size) seen.delete(seen.values().next().value);
  return false;
}

function verbatim(data) {
  if (typeof data === 'string') return data;
  const bytes = new Uint8Array(data);
  const hex = [...bytes.subarray(0, 32)].map(hexByte).join(' ');
  return t('binary', { n: bytes.length, hex: hex + (32 < bytes.length ? ' …' : '') });
}

function receiveDirect(data) {
  const parsed = parse(data);
  if (!parsed) return; // a broadcast of the server: the lobby shows it
  const { from_user: from, message: text } = parsed;
  // A person's message always has from_user, the server sees to that; without one it is the server speaking.
  if (parsed.type === 'error' && from === undefined) {
    direct.outbox.refuse({ code: String(parsed.code), why: String(parsed.message ?? parsed.code) });
    return;
  }
  if (typeof from !== 'string' || typeof text !== 'string' || direct.outbox.confirm(data)) return;
  const conversation = converse('direct', from);
  if (!repeated(conversation, parsed.id, from, text)) arrived(conversation, { from, text });
}

function arrived(conversation, { from, text }) {
  addItem(conversation, { from, text, own: false, at: new Date() });
  if (conversation !== current || document.hidden) {
    conversation.unread += 1;
    soon();
  }
}

// ---- Sending ----

function send(conversation, text) {
  const item = { from: nick, to: conversation.name, text, id: randomId(), own: true, at: new Date() };
  item.retry = () => conversation.outbox().add(Object.assign(item, { tries: 0 }));
  addItem(conversation, item);
  conversation.outbox().add(item);
}

function addItem(conversation, item) {
  item.conversation = conversation;
  const previous = conversation.items.at(-1);
  item.again = previous?.from === item.from && previous.own === item.own && item.at - previous.at < GROUPED_WITHIN;
  conversation.items.push(item);
  conversation.size += item.text.length;
  while (ITEMS_KEPT < conversation.items.length || (TEXT_KEPT < conversation.size && 1 < conversation.items.length)) {
    const oldest = conversation.items.shift();
    conversation.size -= oldest.text.length;
    if (oldest.element) gone.push(oldest.element);
  }
  if (conversation !== current) return;
  fresh.push(item);
  soon();
}

// ---- Drawing: collected, so that a flood of messages costs one layout per turn ----

const fresh = []; // items of the current conversation without an element on the page yet
const gone = []; // elements of forgotten items, still on the page
let drawing = null;

/** Asks for a draw(), which brings everything up to date with the state above. */
function soon() {
  drawing ??= setTimeout(draw, 16);
}

function draw() {
  drawing = null;
  stick.check();
  for (const element of gone.splice(0)) element.remove();
  const items = fresh.splice(0).filter((item) => item.conversation === current && current.items.includes(item));
  if (items.length) {
    $('messages').append(...items.map(elementOf));
    if (items.some((item) => item.own)) toEnd();
    else if (!stick.following) current.missed += items.length;
  }
  stick.keep();
  for (const conversation of conversations.values()) paintEntry(conversation);
  paintTitle();
  paintJump();
  paintEmpty();
  paintState();
  refreshInspector();
}

const stick = stickToEnd($('messages').parentElement, caughtUp);

function toEnd() {
  stick.toEnd();
  caughtUp();
}

function caughtUp() {
  if (!current?.missed) return;
  current.missed = 0;
  paintJump();
}

function titleOf({ kind, name }) {
  return kind === 'group' ? t('lobby') : name;
}

function addEntry(conversation) {
  const { kind, name } = conversation;
  const entry = make('li', 'entry');
  const button = makeButton('conversation', '', () => go(conversation));
  Object.assign(button.dataset, { kind, name });
  const sign = kind === 'direct' ? avatar(name) : make('span', 'badge-icon', kind === 'group' ? '◎' : '#');
  sign.setAttribute('aria-hidden', 'true');
  button.append(sign, make('bdi', 'name'), make('span', 'unread'), make('span', 'dot'));
  entry.append(button);
  if (kind !== 'group') entry.append(makeButton('icon leave', '×', () => leave(conversation)));
  conversation.entry = entry;
  $(`${kind}-list`).append(entry);
  paintEntry(conversation);
}

function paintEntry(conversation) {
  const { entry, unread, kind } = conversation;
  const button = entry.firstElementChild;
  const badge = button.querySelector('.unread');
  write(button.querySelector('.name'), titleOf(conversation));
  write(badge, 99 < unread ? '99+' : String(unread || ''));
  badge.setAttribute('aria-label', unread ? t('unread', { n: unread }) : '');
  button.querySelector('.dot').dataset.state = conversation.link().state;
  markCurrent(button, conversation === current);
  if (kind !== 'group') {
    entry.lastElementChild.title = t('leave', { name: conversation.name });
    entry.lastElementChild.setAttribute('aria-label', entry.lastElementChild.title);
  }
}

function markCurrent(button, is) {
  if (is) button.setAttribute('aria-current', 'page');
  else button.removeAttribute('aria-current');
}

function paintTitle() {
  const unread = [...conversations.values()].reduce((sum, conversation) => sum + conversation.unread, 0);
  const title = current ? titleOf(current) : t('echo');
  const whole = `${unread ? `(${unread}) ` : ''}${title} · Switchboard`;
  if (document.title !== whole) document.title = whole;
  write($('title'), title);
  write($('path'), decodeURI(currentLink().path));
  write($('menu-unread'), String(unread || ''));
}

const stateText = { connecting: 'connecting', open: 'stateOpen', waiting: 'waiting', closed: 'closed' };

const ASKS = 'authentication failed: ';
const asksForToken = (link) => link.refused?.startsWith(ASKS) ?? false;

/** The field for a token, as long as the server asks for one. */
function paintTokenForm() {
  const refused = [...everyLink()].find(asksForToken);
  const appears = $('token-form').hidden && refused;
  $('token-form').hidden = !refused;
  if (refused) write($('token-reason'), pass.token ? refused.refused.slice(ASKS.length) : '');
  if (appears) $('token').focus();
}

function paintState() {
  paintTokenForm();
  const link = currentLink();
  const seconds = Math.max(1, Math.ceil((link.retryAt - Date.now()) / 1000));
  const el = $('state');
  const text = link.refused && !asksForToken(link) ? link.refused : t(stateText[link.state], { n: seconds });
  write(el, text);
  if (el.dataset.state !== link.state) {
    el.dataset.state = link.state;
    $('announce').textContent = text;
  }
  $('retry').hidden = link.state !== 'waiting' && link.state !== 'closed';
  write($('retry'), t(link.state === 'closed' ? 'connect' : 'retry'));
}

function paintEmpty() {
  if (!current) return;
  const { kind, name, items } = current;
  $('empty').hidden = items.length > 0;
  if (items.length) return;
  const title = { group: 'emptyTitleGroup', room: 'emptyTitleRoom', direct: 'emptyTitleDirect' }[kind];
  const text = { group: 'emptyGroup', room: 'emptyRoom', direct: 'emptyDirect' }[kind];
  $('empty-title').textContent = t(title, { nick, name });
  $('empty-text').textContent = t(text, { name });
  $('empty-buttons').hidden = $('tries').hidden = kind !== 'group';
  // Of a direct conversation, the other end.
  const url = kind === 'direct' ? new URL(encodeURIComponent(name), current.link().url).href : current.link().url;
  $('empty-command').textContent = `websocat '${url.replaceAll("'", '%27')}'`;
}

function paintJump() {
  const missed = current?.missed ?? 0;
  $('jump').hidden = missed === 0;
  $('jump').textContent = t('newMessages', { n: missed });
}

function paintNick() {
  $('nick').value = nick;
  $('nick-avatar').textContent = [...nick][0].toLocaleUpperCase();
  $('nick-avatar').style.setProperty('--hue', hue(nick));
}

// ---- Choosing: the hash of the address says what is shown ----

function hashOf(conversation) {
  if (!conversation) return '#echo';
  const { kind, name } = conversation;
  if (kind === 'group') return '#lobby';
  return `#${kind === 'room' ? 'room' : 'user'}/${encodeURIComponent(name)}`;
}

function go(conversation) {
  openDrawer(false);
  show(conversation); // now, not when the browser gets round to its hashchange event: keys may already be on their way
  focusInput();
  location.hash = hashOf(conversation);
}

function follow() {
  if (takeToken()) enter();
  if (location.hash === '#echo') return show(null);
  const [, kind, encoded] = location.hash.match(/^#(room|user)\/(.+)$/) ?? [];
  let name = '';
  try { name = decodeURIComponent(encoded ?? ''); } catch { /* no valid percent-encoding */ }
  if (!kind || !complainUnless(validName(name))) return show(converse('group', 'lobby'));
  show(converse(kind === 'room' ? 'room' : 'direct', name));
}

/** Shows a conversation, or with null the echo tab. */
function show(conversation) {
  if (conversation === current) return;
  if (current) current.draft = $('composer').value;
  current = conversation;
  $('chat-pane').hidden = !current;
  $('echo-pane').hidden = Boolean(current);
  if (current) {
    current.unread = 0;
    fresh.length = 0;
    const list = $('messages');
    list.setAttribute('aria-live', 'off'); // a whole conversation is not news
    list.replaceChildren(...current.items.map((item) => item.element ?? elementOf(item)));
    setTimeout(() => list.setAttribute('aria-live', 'polite'), 100);
    $('composer').value = current.draft;
    $('composer').placeholder = t('composeHint', { name: titleOf(current) });
    fit();
    toEnd();
  } else echoLink.connect();
  markCurrent($('echo-tab'), !current);
  inspect(currentLink());
  draw();
  focusInput();
}

/** Not on a touch screen, where it would open the keyboard. */
function focusInput() {
  if (matchMedia('(pointer: fine)').matches) $(current ? 'composer' : 'echo-input').focus();
}

/** The entry `step` below (or above) the present one in the sidebar. */
function neighbour(step) {
  const buttons = [...document.querySelectorAll('.entry > .conversation, #echo-tab')];
  const at = buttons.findIndex((button) => button.hasAttribute('aria-current'));
  buttons[(at + step + buttons.length) % buttons.length].click();
}

// ---- Controls ----

function openDrawer(open) {
  document.body.classList.toggle('drawer', open);
  $('menu').setAttribute('aria-expanded', String(open));
}

/** Takes someone to a field of the sidebar. */
function ask(field) {
  openDrawer(true);
  $(field).select();
  $(field).focus();
}

function showInspector(open) {
  $('inspector').hidden = !open;
  $('inspector-toggle').setAttribute('aria-expanded', String(open));
  stored('inspector', open ? 'open' : 'closed');
  inspect(currentLink());
}

function fit() {
  const box = $('composer');
  box.style.height = 'auto';
  box.style.height = `${box.scrollHeight + box.offsetHeight - box.clientHeight}px`;
}

function rename() {
  const next = $('nick').value.trim();
  if (next === nick || !complainUnless(validName(next))) return paintNick();
  nick = next;
  if (nickIsOurs) stored('nick', nick);
  paintNick();
  openDirectLine();
  inspect(currentLink());
  soon();
}

function speak(language) {
  setLanguage(language);
  $('queue-label').title = t('queueHelp');
  $('rtt-label').title = t('rttHelp');
  $('overhead-label').title = t('overheadHelp');
  resetInspector();
  paintEcho();
  for (const conversation of conversations.values()) for (const item of conversation.items) item.element = null;
  if (current) {
    $('messages').replaceChildren(...current.items.map(elementOf));
    $('composer').placeholder = t('composeHint', { name: titleOf(current) });
  }
  if (nick) draw();
}

function toggleTheme() {
  const system = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
  const now = document.documentElement.dataset.theme || system;
  const next = now === 'dark' ? 'light' : 'dark';
  // Back at the system's theme: follow it again.
  document.documentElement.dataset.theme = next === system ? '' : next;
  stored('theme', next === system ? null : next);
}

/** Tries the token everywhere. */
function enter() {
  const user = userOfToken();
  if (user !== null && user !== nick) {
    nick = user;
    nickIsOurs = false;
    paintNick();
    openDirectLine();
  }
  for (const link of everyLink()) if (link.refused) link.connect();
}

/** Wires a form with one name in it to what is to be done with the name. */
function onName(form, input, act) {
  $(form).addEventListener('submit', (event) => {
    event.preventDefault();
    const name = $(input).value.trim();
    if (!name || !complainUnless(validName(name))) return;
    $(input).value = '';
    act(name);
  });
}

function startControls() {
  onName('room-form', 'room-name', (name) => go(converse('room', name)));
  onName('dm-form', 'dm-name', (name) => go(converse('direct', name)));
  $('nick-form').addEventListener('submit', (event) => {
    event.preventDefault();
    rename();
    $('nick').blur();
  });
  $('nick').addEventListener('blur', rename);
  $('token-form').addEventListener('submit', (event) => {
    event.preventDefault();
    setToken($('token').value);
    $('token').value = '';
    enter();
    focusInput();
  });
  $('compose-form').addEventListener('submit', (event) => {
    event.preventDefault();
    const text = $('composer').value;
    if (!text.trim()) return;
    $('composer').value = '';
    fit();
    send(current, text);
  });
  $('composer').addEventListener('input', fit);
  $('composer').addEventListener('keydown', (event) => {
    // While an input method composes (Chinese, Japanese), Enter belongs to it; 229 is how Safari says so.
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    $('compose-form').requestSubmit();
  });
  $('echo-tab').addEventListener('click', () => go(null));
  $('second').addEventListener('click', () => open(`/?nick=${encodeURIComponent(guestName())}#lobby${pass.token && `?token=${encodeURIComponent(pass.token)}`}`, '_blank', 'noopener,width=900,height=700'));
  $('rename').addEventListener('click', () => ask('nick'));
  $('try-room').addEventListener('click', () => ask('room-name'));
  $('try-direct').addEventListener('click', () => ask('dm-name'));
  $('try-inspector').addEventListener('click', () => showInspector(true));
  $('retry').addEventListener('click', () => currentLink().connect());
  $('jump').addEventListener('click', toEnd);
  $('menu').addEventListener('click', () => openDrawer(!document.body.classList.contains('drawer')));
  $('shade').addEventListener('click', () => openDrawer(false));
  $('inspector-toggle').addEventListener('click', () => showInspector($('inspector').hidden));
  $('inspector-close').addEventListener('click', () => {
    showInspector(false);
    $('inspector-toggle').focus();
  });
  $('theme').addEventListener('click', toggleTheme);
  $('lang').addEventListener('click', () => {
    const next = currentLanguage() === 'en' ? 'zh' : 'en';
    stored('language', next);
    speak(next);
  });
}

const everyLink = () => new Set([...conversations.values()].map((conversation) => conversation.link()).concat(direct.link, echoLink));

function retryLost() {
  for (const link of everyLink()) if (link.state === 'waiting') link.connect();
}

function startEvents() {
  addEventListener('hashchange', follow);
  addEventListener('online', retryLost);
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) return;
    retryLost();
    if (!current?.unread) return;
    current.unread = 0;
    soon();
  });
  document.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') openDrawer(false);
    if (!event.altKey || (event.key !== 'ArrowUp' && event.key !== 'ArrowDown')) return;
    event.preventDefault();
    neighbour(event.key === 'ArrowUp' ? -1 : 1);
  });
  addEventListener('beforeunload', (event) => {
    const unsent = direct.outbox.unsent || [...conversations.values()].some((conversation) => conversation.outbox().unsent);
    if (unsent) event.preventDefault();
  });
  echoLink.on.change = soon;
  setInterval(paintState, 1000); // the countdown
}

// ---- Start ----

speak(stored('language') ?? (navigator.language.startsWith('zh') ? 'zh' : 'en'));
if (!takeToken()) pass.token = inTab('token') ?? '';
const given = userOfToken() ?? new URLSearchParams(location.search).get('nick')?.trim();
nickIsOurs = !given || !validName(given);
nick = nickIsOurs ? stored('nick') ?? guestName() : given;
if (!validName(nick)) nick = guestName();
if (nickIsOurs) stored('nick', nick);
paintNick();
openDirectLine();
recall();
startControls();
startEvents();
startEcho();
startInspector();
showInspector(stored('inspector') === 'open');
follow();
document.body.classList.add('ready'); // shown at once and whole, in the right language
