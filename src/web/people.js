// Owns who is shown as present: the faces above a room, and the panel that lists everybody in it.

import { $, arrange, avatar, label, make, makeButton, write } from './dom.js';
import { count, t } from './i18n.js';

const FACES = 3;
const LISTED = 200; // people with a line in the panel; the others are counted

let writeTo = () => {};
let lines = new Map(); // user -> its line in the panel

/** `talk(user)` opens the conversation with somebody. */
export function startPeople(talk) {
  writeTo = talk;
}

/** In another language everything is drawn anew. */
export function resetPeople() {
  lines = new Map();
}

/**
 * Shows the members of a room, a Map of users and their numbers of connections, of `all` that there are. Who has none is on
 * the way back, unless that is long ago (`isRecent` false): the server does not tell of everybody who has come back.
 */
export function paintPeople(room, members, all, me, isRecent) {
  // Ourselves first, then those who are on their way back last, by name.
  const isAway = (user) => isRecent && members.get(user) === 0;
  const order = (user) => (user === me ? 0 : isAway(user) ? 2 : 1);
  const users = [...members.keys()].sort((a, b) => order(a) - order(b) || (a < b ? -1 : 1));
  paintFaces(users, all);
  if ($('people').hidden) return;
  write($('people-title'), t('peopleIn', { name: room }));
  const listed = users.slice(0, LISTED);
  for (const user of lines.keys()) if (!members.has(user)) lines.delete(user);
  for (const user of listed) {
    if (!lines.has(user)) lines.set(user, lineOf(user));
    paintLine(lines.get(user), user, user === me, isAway(user));
  }
  arrange($('people-list'), listed.map((user) => lines.get(user)));
  $('people-others').hidden = all <= listed.length;
  write($('people-others'), t('others', { n: all - listed.length }));
}

function paintFaces(users, all) {
  const faces = users.slice(0, FACES);
  const key = JSON.stringify(faces);
  if ($('faces').dataset.key !== key) {
    $('faces').dataset.key = key;
    $('faces').replaceChildren(...faces.map(avatar));
  }
  write($('people-count'), String(all || ''));
  label($('people-toggle'), count('presentLabel', all));
}

function lineOf(user) {
  const item = make('li', 'person');
  const button = makeButton('', '', () => writeTo(user));
  button.dataset.user = user;
  button.append(avatar(user), make('bdi', 'name', user), make('span', 'about'));
  item.append(button);
  return item;
}

function paintLine(item, user, isMe, isAway) {
  const button = item.firstElementChild;
  write(button.querySelector('.about'), isMe ? t('youTag') : isAway ? t('away') : '');
  button.classList.toggle('away', isAway);
  button.title = isMe ? '' : t('writeTo', { name: user });
}
