// Owns the choice of the language. Knows nothing of connections. Elements with data-i18n="key" get their text from here,
// data-i18n-label="key" their accessible name and tooltip, data-i18n-hint="key" their placeholder.

import { english, englishOfServer } from './words.js';
import { chinese, chineseOfServer } from './words.zh.js';

const tables = { en: english, zh: chinese };
const ofServer = { en: englishOfServer, zh: chineseOfServer };
let language = 'en';

export const currentLanguage = () => language;

/** The text of `key`, with {name} replaced from `values`. */
export function t(key, values = {}) {
  const text = tables[language][key] ?? english[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** The same for a number of things: `key` has the words for one and, behind a bar, for several. */
export function count(key, n) {
  const forms = t(key, { n }).split(' | ');
  return n === 1 ? forms[0] : forms.at(-1);
}

/** Sentences, one after another, as the language joins them. */
export const sentences = (...all) => all.join(t('space'));

/** What the server says, in the words of the page where there are any. Behind a colon it goes into details. */
export const said = (text = '') => ofServer[language].get(text.split(': ')[0]) ?? text;

/** What a close code means. */
export const closeMeaning = (code) => t(`c${code}` in english ? `c${code}` : 'cOther');

/** Switches to 'en' or 'zh' and fills in the static parts of the page. */
export function setLanguage(next) {
  language = next in tables ? next : 'en';
  document.documentElement.lang = language === 'zh' ? 'zh-Hans' : 'en';
  for (const el of document.querySelectorAll('[data-i18n]')) el.textContent = t(el.dataset.i18n);
  for (const el of document.querySelectorAll('[data-i18n-hint]')) el.placeholder = t(el.dataset.i18nHint);
  for (const el of document.querySelectorAll('[data-i18n-label]')) {
    el.setAttribute('aria-label', t(el.dataset.i18nLabel));
    if (el.matches('button')) el.title = t(el.dataset.i18nLabel);
  }
}

/** A friendly name for someone who has not chosen one. */
export function guestName() {
  const [a, b, n] = crypto.getRandomValues(new Uint32Array(3));
  const pick = (list, i) => list[i % list.length];
  return t('guest', { adjective: pick(t('adjectives').split(' '), a), animal: pick(t('animals').split(' '), b), n: 10 + (n % 90) });
}
