/** The views of one thing in the output of a notebook's cell: the same modules, asking the kernel. */
import views from 'virtual:views';
import { Channel, type Model } from './channel.js';
import { el, schemeChanged } from './dom.js';
import { reason } from './get.js';
import { memoryState, type View } from './state.js';

interface Visual {
  kind: string;
  name: string;
  title: string;
}

// These stand beside the view before them where there is room.
const BESIDE = new Set(['cell']);
const WAITING = 'The live view appears when the kernel is free. In a saved notebook, run the cell again.';

/** Whether the notebook is dark, by what it says of itself or by its colours; null where nothing tells. */
function isDark(of: Element): boolean | null {
  const { body } = document;
  const told = body.dataset['jpThemeLight'] ?? body.dataset['vscodeThemeKind'] ?? '';
  if (told) return told === 'false' || /dark|high-contrast$/.test(told);
  for (let at: Element | null = of; at; at = at.parentElement) {
    const [r = 0, g = 0, b = 0, opaque = 1] = getComputedStyle(at).backgroundColor.match(/[\d.]+/g)?.map(Number) ?? [];
    if (opaque > 0.5) return 0.3 * r + 0.6 * g + 0.1 * b < 128;
  }
  return null;
}

/** Follow the notebook's theme; returns what ends it. */
function themed(root: HTMLElement): () => void {
  const follow = (): void => {
    root.classList.remove('dark', 'light');
    const dark = isDark(root.parentElement ?? document.body);
    if (dark !== null) root.classList.add(dark ? 'dark' : 'light');
    schemeChanged();
  };
  const watch = new MutationObserver(follow);
  watch.observe(document.body, { attributes: true, attributeFilter: ['class', 'data-jp-theme-light', 'data-vscode-theme-kind'] });
  // The root has no place on the page yet: what is behind it is not known before the next frame.
  const first = requestAnimationFrame(follow);
  return () => {
    cancelAnimationFrame(first);
    watch.disconnect();
  };
}

/** The static picture says nothing new once the live view is there. */
function hidePicture(id: unknown): void {
  for (const card of document.querySelectorAll('[data-openallen]'))
    if (card instanceof HTMLElement && card.dataset['openallen'] === id)
      for (const picture of card.querySelectorAll('img')) picture.hidden = true;
}

function mounted(section: HTMLElement, visual: Visual, channel: Channel): View | null {
  const module = Object.hasOwn(views, visual.kind) ? views[visual.kind] : undefined;
  if (!module) return null;
  try {
    const view = module.mount(section, channel.get(visual.name), memoryState());
    section.dataset['live'] = '';
    return view;
  } catch (error) {
    section.append(el('p', { class: 'notice', role: 'status', text: `The live view did not start: ${reason(error)}.` }));
    return null;
  }
}

function render({ model, el: host }: { model: Model; el: HTMLElement }): () => void {
  const root = el('div', { class: 'openallen', 'data-bus': true });
  const channel = new Channel(model, () => hidePicture(model.get('card')));
  const visuals = model.get('visuals') as readonly Visual[];
  const sections = visuals.map((visual) => {
    const { kind, name, title } = visual;
    return el('section', { class: BESIDE.has(kind) ? 'visual beside' : 'visual', 'data-kind': kind, 'data-name': name, 'aria-label': title },
      el('h2', { text: title }), el('div', { class: 'fallback' }, el('p', { class: 'note', text: WAITING })));
  });
  root.append(el('div', { class: 'shown' }, ...sections));
  // Pages of other things are served by the web view, not by the notebook.
  root.addEventListener('click', (event) => {
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (link?.getAttribute('href')?.startsWith('/')) event.preventDefault();
  });
  host.append(root);
  const alive = sections.map((section, i) => mounted(section, visuals[i] as Visual, channel));
  const unthemed = themed(root);
  return () => {
    unthemed();
    for (const view of alive) view?.destroy();
    channel.destroy();
    root.remove();
  };
}

export default { render };
