// Owns the theme before the first paint: a script of the head, so that no page flashes white in the dark.

try {
  document.documentElement.dataset.theme = localStorage.getItem('switchboard.theme') ?? '';
} catch { /* storage is off: the system's theme */ }
