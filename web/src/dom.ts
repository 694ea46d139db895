/** Small helpers for building elements and reading the page's look. */

type Props = Record<string, string | number | boolean | EventListener>;

/** An element with attributes (`onX` listens, `text` is its text, false leaves out) and children. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === 'function') made.addEventListener(name.slice(2), value);
    else if (name === 'text') made.textContent = String(value);
    else if (value !== false) made.setAttribute(name, value === true ? '' : String(value));
  }
  made.append(...children);
  return made;
}

/** Put a live view where the server's words and pictures are; returns what brings these back. */
export function stage(root: HTMLElement, view: HTMLElement): () => void {
  const fallback = root.querySelector(':scope > .fallback');
  if (fallback) fallback.replaceWith(view);
  else root.append(view);
  return () => (fallback ? view.replaceWith(fallback) : view.remove());
}

/** A label around a control. */
export const labelled = (text: string, control: HTMLElement): HTMLLabelElement => el('label', {}, `${text} `, control);

/** A list to choose from; `names` are values, or [value, text] pairs. */
export function choose(
  names: readonly (string | readonly [string, string])[],
  value: string,
  then: (value: string) => void,
): HTMLSelectElement {
  const list = el('select', { onchange: () => then(list.value) });
  for (const name of names) {
    const [key, text] = typeof name === 'string' ? [name, name] : name;
    list.append(el('option', { value: key, text, selected: key === value }));
  }
  return list;
}

/** A colour of the page as `[r, g, b]` from 0 to 1; follows light and dark. */
export function cssColour(of: Element, property: string): [number, number, number] {
  const probe = el('i');
  probe.style.color = `var(${property})`;
  of.append(probe);
  const parts = getComputedStyle(probe).color.match(/[\d.]+/g)?.map(Number) ?? [];
  probe.remove();
  return [(parts[0] ?? 0) / 255, (parts[1] ?? 0) / 255, (parts[2] ?? 0) / 255];
}

const repaints = new Set<() => void>();

/** Call `then` when the page turns light or dark; returns what ends it. */
export function onScheme(then: () => void): () => void {
  const query = matchMedia('(prefers-color-scheme: light)');
  query.addEventListener('change', then);
  repaints.add(then);
  return () => {
    query.removeEventListener('change', then);
    repaints.delete(then);
  };
}

/** A notebook has turned light or dark, which no media query tells. */
export function schemeChanged(): void {
  for (const then of repaints) then();
}

/** Make a canvas as many device pixels as it covers; true if that changed it (and cleared it). */
export function fitCanvas(canvas: HTMLCanvasElement): boolean {
  // Beyond 2 nobody sees the difference, and the pixels cost four times as much and more.
  const dense = Math.min(devicePixelRatio || 1, 2);
  const width = Math.max(1, Math.round(canvas.clientWidth * dense));
  const height = Math.max(1, Math.round(canvas.clientHeight * dense));
  if (canvas.width === width && canvas.height === height) return false;
  canvas.width = width;
  canvas.height = height;
  return true;
}

/** Call `paint` once in the next frame, however often it is asked for. */
export function framed(paint: () => void): { (): void; cancel(): void } {
  let frame = 0;
  const ask = (): void => {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      paint();
    });
  };
  ask.cancel = (): void => cancelAnimationFrame(frame);
  return ask;
}

export const clamp = (value: number, low: number, high: number): number => Math.min(high, Math.max(low, value));

/** 5760 as "5,760". */
export const grouped = (value: number): string => value.toLocaleString('en-US');
