// Owns how the connection is doing, as people see it: the state under the title, the banner when something is wrong, and
// the field for a token.

import { isPresent } from './conversations.js';
import { $, write } from './dom.js';
import { echo } from './echo.js';
import { closeMeaning, count, said, sentences, t } from './i18n.js';
import { session } from './session.js';

let answered = null; // the end of a line that the field for a token was shown for

const awayText = { 1001: 'bannerAway', 1012: 'bannerRestart' };
const stateText = { connecting: 'connecting', open: 'stateOpen', waiting: 'waiting', closed: 'closed' };

/** Shows the state of a conversation's line, or with null that of the echo. */
export function paintStatus(conversation) {
  const state = conversation ? session.state : echo.state;
  document.body.dataset.line = session.state;
  const isNew = $('state').dataset.state !== state;
  $('state').dataset.state = state;
  write($('state'), t(stateText[state]));
  // Beside somebody's name it would say that they are connected.
  $('state').hidden = state === 'open' && conversation?.kind === 'direct';
  write($('presence'), presence(conversation));
  paintToken();
  const [text, button] = conversation ? troubles(conversation) : echoTroubles();
  $('banner').hidden = !text;
  write($('banner-text'), text);
  $('retry').hidden = !button;
  write($('retry'), button);
  if (isNew) write($('announce'), text || t(stateText[state]));
}

function presence(conversation) {
  if (!conversation) return session.state === 'open' ? '/echo' : '';
  if (session.state !== 'open') return '';
  if (conversation.kind === 'direct') return t(isPresent(conversation.name) ? 'here' : 'unseen');
  return conversation.room?.state === 'joined' ? count('presentLabel', conversation.room.users) : '';
}

/** What is wrong, in words, and what the button beside it does; both empty when nothing is. */
function troubles({ problem }) {
  const { state, end, line } = session;
  if (state === 'waiting') {
    const n = Math.max(1, Math.ceil((line.retryAt - Date.now()) / 1000));
    return [sentences(t(awayText[session.away] ?? 'bannerWaiting', { n }), t('bannerKept')), t('retry')];
  }
  if (state === 'connecting' && session.wasOpen) return [sentences(t('bannerConnecting'), t('bannerKept')), ''];
  if (state === 'closed' && session.byHand) return [t('bannerHangUp'), t('connect')];
  if (state === 'closed' && session.tokenProblem === null) {
    return [t(session.isKicked ? 'bannerKicked' : 'bannerClosed', { why: said(end?.reason) || closeMeaning(end?.code) }), t('connect')];
  }
  if (state === 'open' && problem) return [t('bannerRoom', { why: said(problem) }), ''];
  return ['', ''];
}

function echoTroubles() {
  const { lastClose } = echo.log;
  if (echo.state !== 'closed' || lastClose === null) return ['', ''];
  return [t('bannerClosed', { why: echo.reason || `${lastClose} ${closeMeaning(lastClose)}` }), t('connect')];
}

/** The field for a token, as long as the server asks for one. */
function paintToken() {
  const why = session.tokenProblem;
  const isNew = why !== null && answered !== session.end;
  answered = session.end;
  $('token-form').hidden = why === null;
  if (why !== null) write($('token-reason'), session.token ? said(why) : '');
  if (isNew) $('token').focus();
}
