// Owns how one line of the log looks: a message, or a mark where some may be missing. A message is {from, text, own, at},
// with `code` for what is no text of a person; an own one has a `status`, and an `error` when it has failed. `from` is null
// for the server. Content only ever becomes text nodes.

import { avatar, hue, make, makeButton, number, write } from './dom.js';
import { currentLanguage, t } from './i18n.js';

const TEXT_SHOWN = 8_000; // characters; laying out a megabyte without a blank would freeze the page for seconds
const NAME_SHOWN = 128; // characters
const GROUPED_WITHIN = 5 * 60_000; // ms; one sender's messages closer than this share a heading

const clock = (at) => new Date(at).toLocaleTimeString(currentLanguage(), { hour: '2-digit', minute: '2-digit', hour12: false });
const dayOf = (at) => new Date(at).toDateString();

function dayText(at) {
  const days = Math.round((new Date(dayOf(Date.now())) - new Date(dayOf(at))) / 86_400_000);
  if (days === 0 || days === 1) return t(days ? 'yesterday' : 'today');
  return new Date(at).toLocaleDateString(currentLanguage(), { weekday: 'long', day: 'numeric', month: 'long' });
}

/** The element of an item, made when it is first wanted. */
export function elementOf(item, conversation) {
  item.element ??= item.mark ? markElement(item) : messageElement(item, conversation);
  return item.element;
}

function markElement(item) {
  const el = make('div', 'mark');
  el.dataset.mark = item.mark;
  el.append(make('span', '', t(item.mark)));
  return el;
}

function messageElement(item, conversation) {
  const el = make('article', 'message');
  el.classList.toggle('own', item.own);
  const from = make('bdi', 'from', item.from?.slice(0, NAME_SHOWN) ?? t('server'));
  if (item.from === null) from.classList.add('nobody');
  else from.style.setProperty('--hue', hue(item.from));
  const meta = make('span', 'meta');
  const time = make('time', '', clock(item.at));
  time.dateTime = new Date(item.at).toISOString();
  time.title = new Date(item.at).toLocaleString(currentLanguage());
  meta.append(time, make('span', 'status'));
  const whole = item.text.length <= TEXT_SHOWN;
  const text = make('div', 'text', whole ? item.text : `${item.text.slice(0, TEXT_SHOWN).replace(/[\uD800-\uDBFF]$/, '')}…`);
  text.classList.toggle('code', Boolean(item.code));
  el.append(make('div', 'day'), avatar(item.from), from, text, meta, make('div', 'note'));
  if (!whole) {
    const more = makeButton('quiet more', t('showAll', { n: number(item.text.length) }), () => {
      text.textContent = item.text;
      more.remove();
    });
    el.append(more);
  }
  item.element = el;
  paintStatus(item, conversation);
  return el;
}

/** What stands above a message: whether it goes on from `previous`, begins a day, is the first unread one. */
export function paintHead(item, previous, isFirstUnread) {
  if (item.mark) return;
  const begins = !previous || dayOf(previous.at) !== dayOf(item.at);
  const again = !begins && !isFirstUnread && !previous.mark && previous.from === item.from && previous.own === item.own
    && item.at - previous.at < GROUPED_WITHIN;
  item.element.classList.toggle('again', again);
  item.element.classList.toggle('unread-from', isFirstUnread);
  const words = [begins ? dayText(item.at) : '', isFirstUnread ? t('unreadFrom') : ''].filter(Boolean).join(' · ');
  write(item.element.firstElementChild, words);
}

const statusSign = { waiting: '◷', sending: '◷', done: '✓', failed: '!' };
const statusText = { waiting: 'statusWaiting', sending: 'statusSending', done: 'statusDone', failed: 'statusFailed' };

/** Brings the fate of an own message up to date. */
export function paintStatus(item, { retry, discard }) {
  const el = item.element;
  if (!el || !item.own || el.dataset.status === item.status) return;
  el.dataset.status = item.status;
  const status = el.querySelector('.status');
  status.textContent = statusSign[item.status] + (item.status === 'waiting' ? ` ${t('waitingShort')}` : '');
  status.title = t(statusText[item.status]);
  status.setAttribute('role', 'img');
  status.setAttribute('aria-label', status.title);
  const note = el.querySelector('.note');
  note.replaceChildren();
  if (item.status !== 'failed') return;
  const { code, message } = item.error;
  note.dataset.code = code;
  const why = code === 'no_such_user' || code === 'too_long' ? t(code, { name: item.to }) : t('refused', { why: message });
  note.append(make('span', '', why), makeButton('quiet', t('sendAgain'), () => retry(item)), makeButton('quiet', t('discard'), () => discard(item)));
}
