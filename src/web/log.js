// Owns the log of the conversation on the page: which of its lines have an element, and where it is scrolled to. However
// many messages there are, the page holds WINDOW of them; more come while somebody scrolls. In a conversation each line
// has a number `n`, one more than the line above it, so that a range of numbers says what is shown.

import { $, arrange, stickToEnd, write } from './dom.js';
import { elementOf, paintHead, paintStatus } from './messages.js';
import { t } from './i18n.js';

const WINDOW = 240; // lines with an element, at most
const PAGE = 60; // lines that come at a time
const NEAR = 400; // px from an edge at which the next page is wanted

const scroller = $('scroll');
const list = $('messages');
const stick = stickToEnd(scroller, scrolled);

let conversation = null;
let from = 0; // the first line shown, as its number
let to = 0; // behind the last
let hushed; // a timer
let changed = () => {};

/** `onChange()` is called when more or less is shown than before; it should lead to sync(). */
export function startLog(onChange) {
  changed = onChange;
  $('jump').addEventListener('click', toEnd);
}

/** Shows a conversation, from its end. */
export function showLog(next) {
  conversation = next;
  hush();
  list.replaceChildren();
  from = next.end - PAGE;
  to = next.end;
  stick.following = true;
  syncLog();
}

/** What comes on the page now is no news: a whole conversation, or older messages. */
function hush() {
  list.setAttribute('aria-live', 'off');
  clearTimeout(hushed);
  hushed = setTimeout(() => list.setAttribute('aria-live', 'polite'), 200);
}

/** Forgets the elements, which are in another language now. */
export function relabelLog(conversations) {
  for (const { items, pending } of conversations) for (const item of [...items, ...pending]) item.element = null;
  list.replaceChildren();
}

export function toEnd() {
  from = Math.max(from, conversation.end - WINDOW);
  stick.following = true;
  syncLog();
  stick.toEnd();
  changed();
}

/** Whether somebody sees the newest message, or scrolled away from it. */
export const atEnd = () => stick.following;

/** Brings the page up to date with the conversation. */
export function syncLog() {
  const { items, pending, begin, end } = conversation;
  stick.check();
  if (stick.following) {
    to = end;
    from = Math.max(begin, Math.min(from, end), end - WINDOW);
  } else {
    from = Math.min(Math.max(from, begin), end);
    // What is new comes below, as long as there is place for it.
    to = Math.min(end, from + WINDOW);
  }
  const shown = items.slice(from - begin, to - begin);
  if (to === end) shown.push(...pending);
  keepPlace(() => {
    let previous = items[from - begin - 1];
    for (const item of shown) {
      elementOf(item, conversation);
      paintHead(item, previous, item.n === conversation.firstUnread);
      if (item.own) paintStatus(item, conversation);
      previous = item;
    }
    arrange(list, shown.map((item) => item.element));
    paintTop();
  });
  for (const item of items) if (item.n < from || to <= item.n) item.element = null;
  if (scroller.scrollHeight <= scroller.clientHeight) older(); // nobody can scroll to ask for it
  const missed = stick.following ? 0 : conversation.missed;
  $('jump').hidden = missed === 0 && (stick.following || to === end);
  $('jump').textContent = missed ? t('newMessages', { n: missed }) : t('toNewest');
}

/** Above the first message: whether there were older ones. */
function paintTop() {
  const { begin, items, more, loading } = conversation;
  const isCut = from === begin && !more && 1 < items[0]?.offset;
  $('log-top').hidden = !isCut && !loading;
  write($('log-top'), t(loading ? 'loading' : 'noOlder'));
}

/** Changes the page, and leaves what somebody reads where it is. */
function keepPlace(change) {
  if (stick.following) {
    change();
    return stick.keep();
  }
  const edge = scroller.getBoundingClientRect().top;
  const anchor = [...list.children].find((el) => edge < el.getBoundingClientRect().bottom);
  const before = anchor?.getBoundingClientRect().top;
  change();
  stick.shift(anchor?.isConnected ? anchor.getBoundingClientRect().top - before : 0);
}

function scrolled() {
  if (!conversation) return;
  if (scroller.scrollTop < NEAR) older();
  if (to < conversation.end && scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR) newer();
  changed();
}

function older() {
  if (conversation.begin < from) {
    hush();
    from = Math.max(conversation.begin, from - PAGE); // syncLog() drops as many at the other end
    changed();
  } else if (conversation.more && !conversation.loading) {
    const asked = conversation;
    asked.loadOlder().then((came) => {
      if (asked === conversation) from -= Math.min(came, PAGE);
      hush();
      changed();
    });
  }
}

function newer() {
  to = Math.min(conversation.end, to + PAGE);
  from = Math.max(from, to - WINDOW);
}
