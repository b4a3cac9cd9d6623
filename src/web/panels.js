// Owns what opens and closes beside the conversation: the panel of people, the inspector, and the drawer of narrow screens.
// At most one panel is open. Whoever opens or closes something finds the focus where they would look for it.

import { $ } from './dom.js';
import { browser } from './store.js';

const PANELS = ['people', 'inspector'];
let wanted = null; // the panel that somebody has opened
let hasPeople = false; // whether there is anything to show in that of people
let opened = () => {};

/** Opens one panel, or with null none. */
export function showPanel(panel, focus = false) {
  const last = wanted;
  wanted = panel;
  browser.set('panel', wanted ?? 'none');
  if (focus && last && $(last).contains(document.activeElement)) $(`${last}-toggle`).focus();
  apply();
  if (focus && wanted) $(`${wanted}-close`).focus();
  opened();
}

/** Whether the conversation has people to show: only rooms have. */
export function allowPeople(yes) {
  if (yes === hasPeople) return;
  hasPeople = yes;
  apply();
}

function apply() {
  $('people-toggle').hidden = !hasPeople;
  for (const panel of PANELS) {
    const isShown = panel === wanted && (hasPeople || panel !== 'people');
    $(panel).hidden = !isShown;
    $(`${panel}-toggle`).setAttribute('aria-expanded', String(isShown));
  }
}

export function openDrawer(open) {
  const wasOpen = document.body.classList.contains('drawer');
  if (open === wasOpen) return;
  document.body.classList.toggle('drawer', open);
  $('menu').setAttribute('aria-expanded', String(open));
  // Behind the drawer nothing is to be reached, by keyboard or screen reader either.
  document.querySelector('main').inert = open;
  if (open) document.querySelector('#sidebar [aria-current]')?.focus();
  else $('menu').focus();
}

/** `onOpen()` is called after a panel was opened or closed. */
export function startPanels(onOpen) {
  opened = onOpen;
  for (const panel of PANELS) {
    $(`${panel}-toggle`).addEventListener('click', () => showPanel(panel === wanted ? null : panel, true));
    $(`${panel}-close`).addEventListener('click', () => showPanel(null, true));
  }
  $('menu').addEventListener('click', () => openDrawer(!document.body.classList.contains('drawer')));
  for (const id of ['shade', 'drawer-close']) $(id).addEventListener('click', () => openDrawer(false));
  document.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || event.isComposing) return;
    if (document.body.classList.contains('drawer')) openDrawer(false);
    else if (PANELS.some((panel) => $(panel).contains(document.activeElement))) showPanel(null, true);
  });
  // Wide enough: the drawer is no drawer any more.
  matchMedia('(min-width: 721px)').addEventListener('change', () => openDrawer(false));
  const kept = browser.get('panel');
  const wide = matchMedia('(min-width: 1121px)').matches;
  showPanel(wide ? (kept === null ? 'people' : PANELS.find((panel) => panel === kept) ?? null) : null);
}
