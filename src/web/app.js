// Owns the page as a whole: which conversation is shown, when it is drawn, and what the controls do. What arrives is never
// trusted: it only ever becomes text nodes.

import { conversations, converse, find, hasUnsent, isPresent, leave, see, send, startConversations } from './conversations.js';
import { $, hue, initial, write } from './dom.js';
import { echo, paintEcho, setEchoAccess, startEcho } from './echo.js';
import { count, currentLanguage, guestName, setLanguage, t } from './i18n.js';
import { inspect, refreshInspector, resetInspector, startInspector } from './inspector.js';
import { atEnd, relabelLog, showLog, startLog, syncLog, toEnd } from './log.js';
import { allowPeople, openDrawer, showPanel, startPanels } from './panels.js';
import { paintPeople, resetPeople, startPeople } from './people.js';
import { bringToken, enter, hangUp, rename, retry, session, startSession, takeToken, validName } from './session.js';
import { neighbour, paintSidebar, startSidebar } from './sidebar.js';
import { paintStatus } from './status.js';
import { browser } from './store.js';

let current; // the conversation shown, or null for the echo tab

// ---- Drawing: collected, so that a flood of messages costs one layout per turn ----

let drawing = null;

/** Asks for a draw(), which brings everything up to date. */
function soon() {
  drawing ??= setTimeout(draw, 16);
}

const rooms = {
  log: session.log,
  queue: () => count('requests', session.line.pending),
  isOpen: () => session.state === 'open',
  hangUp,
};

function draw() {
  clearTimeout(drawing);
  drawing = null;
  if (current === undefined) return;
  if (current) {
    if (!document.hidden) see(current);
    syncLog();
    if (atEnd()) current.missed = 0;
    paintEmpty();
  }
  paintSidebar(conversations(), current, isPresent);
  paintTitle();
  paintNick();
  paintStatus(current);
  const { room, name, awayUntil } = current ?? {};
  const hasPeople = Boolean(room) && session.state !== 'closed';
  allowPeople(hasPeople);
  if (hasPeople) paintPeople(name, room.members, room.users, session.line.user, Date.now() < awayUntil);
  refreshInspector();
}

function paintTitle() {
  const unread = conversations().reduce((sum, conversation) => sum + conversation.unread, 0);
  const title = current ? current.name : t('echo');
  const whole = `${unread ? `(${unread}) ` : ''}${title} · Switchboard`;
  if (document.title !== whole) document.title = whole;
  write($('title'), title);
  write($('menu-unread'), unread ? String(Math.min(unread, 99)) : '');
}

function paintNick() {
  if (document.activeElement !== $('nick')) $('nick').value = session.nick;
  write($('nick-avatar'), initial(session.nick));
  $('nick-avatar').style.setProperty('--hue', hue(session.nick));
  $('nick-dot').dataset.state = session.state;
  if (session.overruled) write($('problem'), t('taken', { name: session.nick }));
  session.overruled = false;
}

/** Not as long as we are on our way in for the first time; but without a connection too. */
function hasNothing({ items, pending, loading, room, newest }) {
  if (items.length + pending.length !== 0 || loading) return false;
  if (!room || room.state === 'joined') return true;
  if (session.state === 'open') return room.state === 'joining' && newest !== null;
  return session.state !== 'connecting' || newest !== null || !$('empty').hidden;
}

function paintEmpty() {
  const { kind, name, newest } = current;
  const isEmpty = hasNothing(current);
  $('empty').hidden = !isEmpty;
  if (!isEmpty) return;
  const isRoom = kind === 'room';
  // Of a room that we were never in nobody knows what was said there.
  write($('empty-title'), isRoom && !newest ? name : t(isRoom ? 'emptyTitleRoom' : 'emptyTitleDirect', { name }));
  write($('empty-text'), t(isRoom ? 'emptyRoom' : 'emptyDirect', { name }));
  $('empty-buttons').hidden = $('tries').hidden = !isRoom;
  const request = isRoom ? { type: 'publish', room: name, data: 'hello' } : { type: 'direct', to: name, data: 'hello' };
  write($('empty-command'), `echo '${JSON.stringify(request).replaceAll("'", "'\\''")}' | switchboard connect ${session.log.url}`);
}

// ---- Choosing: the hash of the address says what is shown ----

const hashOf = (conversation) => (conversation ? `#${conversation.kind === 'room' ? 'room' : 'user'}/${encodeURIComponent(conversation.name)}` : '#echo');

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
  if (kind && complainUnless(validName(name))) show(converse(kind === 'room' ? 'room' : 'direct', name));
  else show(find('room', 'lobby') ?? conversations()[0]);
}

function complainUnless(valid) {
  write($('problem'), valid ? '' : t('badName'));
  return valid;
}

/** Shows a conversation, or with null the echo tab. */
function show(conversation) {
  if (conversation === current) return;
  if (current === null) echo.rest();
  if (current) Object.assign(current, { draft: $('composer').value, firstUnread: null, missed: 0 });
  current = conversation;
  $('chat-pane').hidden = !current;
  $('echo-pane').hidden = Boolean(current);
  if (current) {
    current.missed = 0;
    showLog(current);
    $('composer').value = current.draft;
    $('composer').placeholder = t('composeHint', { name: current.name });
    fit();
  } else echo.connect();
  inspect(current ? rooms : echo);
  draw();
  focusInput();
}

/** Not on a touch screen, where it would open the keyboard. */
function focusInput() {
  if (matchMedia('(pointer: fine)').matches) $(current ? 'composer' : 'echo-input').focus();
}

function depart(conversation) {
  leave(conversation);
  if (conversation !== current) return;
  const next = find('room', 'lobby') ?? conversations()[0];
  show(next);
  location.replace(hashOf(next)); // not in the history: going back must not join again
}

// ---- Controls ----

/** Takes someone to a field of the sidebar. */
function ask(field) {
  openDrawer(true);
  $(field).select();
  $(field).focus();
}

function fit() {
  const box = $('composer');
  box.style.height = 'auto';
  box.style.height = `${box.scrollHeight + box.offsetHeight - box.clientHeight}px`;
}

function changeNick() {
  const next = $('nick').value.trim();
  if (next !== session.nick && complainUnless(validName(next))) rename(next);
  $('nick').value = session.nick;
}

function speak(language) {
  setLanguage(language);
  $('queue-label').title = t('queueHelp');
  $('rtt-label').title = t('rttHelp');
  $('overhead-label').title = t('overheadHelp');
  resetInspector();
  resetPeople();
  paintEcho();
  relabelLog(conversations());
  if (current) $('composer').placeholder = t('composeHint', { name: current.name });
  draw();
}

function toggleTheme() {
  const system = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
  const now = document.documentElement.dataset.theme || system;
  const next = now === 'dark' ? 'light' : 'dark';
  // Back at the system's theme: follow it again.
  document.documentElement.dataset.theme = next === system ? '' : next;
  browser.set('theme', next === system ? null : next);
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

function startCompose() {
  $('compose-form').addEventListener('submit', (event) => {
    event.preventDefault();
    const text = $('composer').value;
    if (!text.trim()) return;
    $('composer').value = '';
    fit();
    send(current, text);
    toEnd();
  });
  $('composer').addEventListener('input', fit);
  $('composer').addEventListener('keydown', (event) => {
    // While an input method composes (Chinese, Japanese), Enter belongs to it; 229 is how Safari says so.
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    $('compose-form').requestSubmit();
  });
}

function secondWindow() {
  const token = session.token && `?token=${encodeURIComponent(session.token)}`;
  open(`/?nick=${encodeURIComponent(guestName())}${hashOf(current)}${token}`, '_blank', 'noopener,width=900,height=700');
}

function startControls() {
  const click = (id, act) => $(id).addEventListener('click', act);
  onName('room-form', 'room-name', (name) => go(converse('room', name)));
  onName('dm-form', 'dm-name', (name) => go(converse('direct', name)));
  $('nick-form').addEventListener('submit', (event) => {
    event.preventDefault();
    $('nick').blur();
    focusInput();
  });
  $('nick').addEventListener('blur', changeNick);
  $('token-form').addEventListener('submit', (event) => {
    event.preventDefault();
    bringToken($('token').value);
    $('token').value = '';
    focusInput();
  });
  click('skip', (event) => {
    event.preventDefault();
    $(current ? 'composer' : 'echo-input').focus();
  });
  click('echo-tab', () => go(null));
  click('second', secondWindow);
  click('rename', () => ask('nick'));
  click('try-room', () => ask('room-name'));
  click('try-direct', () => ask('dm-name'));
  click('try-inspector', () => showPanel('inspector', true));
  click('retry', () => {
    if (current) retry();
    else echo.connect();
    focusInput();
  });
  click('theme', toggleTheme);
  click('notice-close', () => { $('notice').hidden = true; });
  click('lang', () => {
    const next = currentLanguage() === 'en' ? 'zh' : 'en';
    browser.set('language', next);
    speak(next);
  });
}

function startEvents() {
  addEventListener('hashchange', follow);
  document.addEventListener('visibilitychange', soon);
  document.addEventListener('keydown', (event) => {
    if (!event.altKey || (event.key !== 'ArrowUp' && event.key !== 'ArrowDown')) return;
    event.preventDefault();
    neighbour(event.key === 'ArrowUp' ? -1 : 1);
  });
  addEventListener('beforeunload', (event) => {
    if (hasUnsent()) event.preventDefault();
  });
  setInterval(() => { if (session.state !== 'open') draw(); }, 1000); // the countdown
}

function notice(text) {
  $('notice').hidden = false;
  write($('notice-text'), t('notice', { text: text.slice(0, 500) }));
}

// ---- Start ----

setLanguage(browser.get('language') ?? (navigator.language.startsWith('zh') ? 'zh' : 'en'));
startConversations({ changed: soon, sees: (conversation) => conversation === current && !document.hidden, notice });
startLog(soon);
startSidebar({ go, leave: depart });
startPeople((user) => {
  go(converse('direct', user));
  if (!matchMedia('(min-width: 721px)').matches) showPanel(null);
});
startControls();
startCompose();
startEvents();
startEcho();
startInspector();
startPanels(soon);
setEchoAccess({ token: () => session.token, changed: soon });
startSession(soon, () => { if (current === null) echo.connect(); });
speak(currentLanguage());
document.body.classList.add('ready'); // shown at once and whole, in the right language
follow();
