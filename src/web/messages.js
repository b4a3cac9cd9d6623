// Owns how one message looks, and what its signs say about its fate. An item is {from, to, text, own, again, at}, with
// the status its Outbox gives it; `from` is null when the sender is unknown. Content only ever becomes text nodes.

import { make, makeButton, number } from './dom.js';
import { currentLanguage, t } from './i18n.js';

const TEXT_SHOWN = 8_000; // characters; laying out a megabyte without a blank would freeze the page for seconds
const NAME_SHOWN = 128; // characters

export function hue(name) {
  let hash = 7;
  for (const char of name.slice(0, NAME_SHOWN)) hash = (hash * 31 + char.codePointAt(0)) >>> 0;
  return hash % 360;
}

export function avatar(name) {
  const el = make('span', 'avatar', (name === null ? '?' : [...name.slice(0, 2)][0]).toLocaleUpperCase());
  el.setAttribute('aria-hidden', 'true');
  if (name !== null) el.style.setProperty('--hue', hue(name));
  else el.classList.add('nobody');
  return el;
}

const clock = (date) => date.toLocaleTimeString(currentLanguage(), { hour: '2-digit', minute: '2-digit', hour12: false });

/** Makes the element of an item, and keeps it in `item.element`. */
export function elementOf(item) {
  const el = make('article', 'message');
  el.classList.toggle('own', item.own);
  el.classList.toggle('again', item.again);
  const from = make('bdi', 'from', item.from?.slice(0, NAME_SHOWN) ?? t('someone'));
  if (item.from === null) from.classList.add('nobody');
  else from.style.setProperty('--hue', hue(item.from));
  const meta = make('span', 'meta');
  const time = make('time', '', clock(item.at));
  time.dateTime = item.at.toISOString();
  time.title = item.at.toLocaleString(currentLanguage());
  meta.append(time, make('span', 'status'));
  const whole = item.text.length <= TEXT_SHOWN;
  const text = make('div', 'text', whole ? item.text : `${item.text.slice(0, TEXT_SHOWN).replace(/[\uD800-\uDBFF]$/, '')}…`);
  el.append(avatar(item.from), from, text, meta, make('div', 'note'));
  if (!whole) {
    const more = makeButton('quiet more', t('showAll', { n: number(item.text.length) }), () => {
      text.textContent = item.text;
      more.remove();
    });
    el.append(more);
  }
  item.element = el;
  paintItem(item);
  return el;
}

const statusSign = { waiting: '◷', sent: '✓', delivered: '✓✓', failed: '!' };
const statusText = { waiting: 'statusWaiting', sent: 'statusSent', delivered: 'statusDelivered', failed: 'statusFailed' };

/** Brings the fate of an own message up to date. */
export function paintItem(item) {
  const el = item.element;
  if (!el || !item.own) return;
  el.dataset.status = item.status;
  const status = el.querySelector('.status');
  status.textContent = statusSign[item.status] + (item.status === 'waiting' ? ` ${t('waitingShort')}` : '');
  status.title = t(statusText[item.status]);
  status.setAttribute('role', 'img');
  status.setAttribute('aria-label', status.title);
  const note = el.querySelector('.note');
  note.replaceChildren();
  if (item.status !== 'failed') return;
  const { code, why } = item.error;
  note.dataset.code = code;
  note.append(make('span', '', t(why === undefined || code === 'no_such_user' ? code : 'refused', { name: item.to, why })), makeButton('quiet', t('sendAgain'), () => item.retry()));
}
