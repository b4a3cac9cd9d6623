// Owns the lists of conversations in the sidebar: an entry for each, with what is unread in it.

import { $, arrange, avatar, label, make, makeButton, write } from './dom.js';
import { t } from './i18n.js';

let act = { go: () => {}, leave: () => {} };

/** `go(conversation)` shows it, `leave(conversation)` ends it. */
export function startSidebar(actions) {
  act = actions;
}

function entryOf(conversation) {
  const { kind, name } = conversation;
  const entry = make('li', 'entry');
  const button = makeButton('conversation', '', () => act.go(conversation));
  Object.assign(button.dataset, { kind, name });
  const sign = kind === 'direct' ? avatar(name) : make('span', 'badge-icon', '#');
  sign.setAttribute('aria-hidden', 'true');
  button.append(sign, make('bdi', 'name', name), unreadBadge());
  if (kind === 'direct') button.append(make('span', 'dot'));
  entry.append(button, makeButton('icon leave', '×', () => act.leave(conversation)));
  return entry;
}

function unreadBadge() {
  const el = make('span', 'unread');
  el.setAttribute('role', 'img'); // so that its label is read in place of the number
  return el;
}

/** Brings the lists up to date. `isPresent(user)` says whether somebody is in a room with us. */
export function paintSidebar(conversations, current, isPresent) {
  for (const kind of ['room', 'direct']) {
    const listed = conversations.filter((conversation) => conversation.kind === kind);
    for (const conversation of listed) {
      conversation.entry ??= entryOf(conversation);
      paintEntry(conversation, conversation === current, isPresent);
      // There is always a room: the page has nothing to show otherwise.
      conversation.entry.lastElementChild.hidden = kind === 'room' && listed.length === 1;
    }
    arrange($(`${kind}-list`), listed.map((conversation) => conversation.entry));
  }
  markCurrent($('echo-tab'), !current);
}

function paintEntry({ entry, kind, name, unread }, isCurrent, isPresent) {
  const [button, leave] = entry.children;
  const number = button.querySelector('.unread');
  write(number, 99 < unread ? '99+' : String(unread || ''));
  number.hidden = !unread;
  if (unread) label(number, t('unread', { n: unread }));
  markCurrent(button, isCurrent);
  label(leave, t('leave', { name }));
  if (kind === 'direct') {
    const present = isPresent(name);
    const dot = button.querySelector('.dot');
    dot.dataset.state = present ? 'open' : '';
    dot.title = t(present ? 'here' : 'unseen');
  }
}

function markCurrent(button, is) {
  if (is) button.setAttribute('aria-current', 'page');
  else button.removeAttribute('aria-current');
}

/** The entry `step` below (or above) the present one. */
export function neighbour(step) {
  const buttons = [...document.querySelectorAll('.entry > .conversation, #echo-tab')];
  const at = buttons.findIndex((button) => button.hasAttribute('aria-current'));
  buttons[(at + step + buttons.length) % buttons.length].click();
}
