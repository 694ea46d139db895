/** What was made from what: boxes in layers, laid out by the server, each a link to its page. */
import { el, stage } from './dom.js';
import { aborted, reason, type Get } from './get.js';
import type { State, View } from './state.js';

interface Box {
  id: string;
  label: string;
  short: string;
  kind: string;
  path: string | null;
  x: number;
  y: number;
  width: number;
}

interface Graph {
  title: string;
  width: number;
  height: number;
  node_height: number;
  nodes: Box[];
  edges: [string, string, string][];
}

const SVG = 'http://www.w3.org/2000/svg';

function svg(tag: string, props: Record<string, string | number>, ...children: (Node | string)[]): SVGElement {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(props)) made.setAttribute(name, String(value));
  made.append(...children);
  return made;
}

/** Show the graph that `get` answers for. */
export function mount(root: HTMLElement, get: Get, _state: State): View {
  const end = new AbortController();
  let leave = (): void => {};
  get('graph.json', { signal: end.signal })
    .then((answer) => answer.json())
    .then((told) => {
      if (!end.signal.aborted) leave = show(root, told as Graph);
    })
    .catch((error: unknown) => {
      if (aborted(error)) return;
      root.prepend(el('p', { class: 'notice', role: 'status', text: `The graph cannot be shown: ${reason(error)}.` }));
    });
  return {
    destroy() {
      end.abort();
      leave();
    },
  };
}

function show(root: HTMLElement, graph: Graph): () => void {
  const boxes = new Map(graph.nodes.map((box) => [box.id, box]));
  const half = graph.node_height / 2;
  const lines = graph.edges.flatMap(([start, end, label]) => {
    const [from, to] = [boxes.get(start), boxes.get(end)];
    if (!from || !to) return [];
    const [x1, y1, x2, y2] = [from.x + from.width, from.y + half, to.x, to.y + half];
    const bend = Math.max(30, Math.abs(x2 - x1) / 2);
    const line = svg('path', { class: 'edge', d: `M${x1},${y1}C${x1 + bend},${y1} ${x2 - bend},${y2} ${x2},${y2}` });
    if (label) line.append(svg('title', {}, label));
    line.dataset['ends'] = JSON.stringify([start, end]);
    return [line];
  });
  const linked = root.dataset['base'] !== undefined;
  const nodes = graph.nodes.map((box) => drawn(box, graph.node_height, linked, (on) => {
    for (const line of lines) line.classList.toggle('near', on && JSON.parse(line.dataset['ends'] ?? '[]').includes(box.id));
  }));
  const here = location.pathname;
  const picture = svg('svg', {
    viewBox: `0 0 ${graph.width} ${graph.height}`, width: graph.width, height: graph.height,
    role: 'group', 'aria-label': `${graph.title}: ${graph.nodes.length} items`, 'data-here': here,
  }, ...lines, ...nodes);
  // The same as a table, for whoever reads it line by line.
  const rows = root.querySelector('.fallback > .scroll')?.cloneNode(true);
  const parts: Node[] = [el('div', { class: 'scroll drawing', tabindex: 0, role: 'region', 'aria-label': `${graph.title}: drawing` }, picture as unknown as Node)];
  if (rows) parts.push(el('details', {}, el('summary', { text: 'As a table' }), rows));
  return stage(root, el('div', { class: 'graph' }, ...parts));
}

function drawn(box: Box, height: number, linked: boolean, near: (on: boolean) => void): SVGElement {
  const parts = [
    svg('title', {}, `${box.kind} ${box.label}`.trim()),
    svg('rect', { x: box.x, y: box.y, width: box.width, height, rx: 7 }),
    svg('text', { class: 'kind', x: box.x + 12, y: box.y + 17 }, box.kind),
    svg('text', { x: box.x + 12, y: box.y + 34 }, box.short),
  ];
  const own = box.path !== null && box.path === location.pathname;
  const made = linked && box.path
    ? svg('a', { href: box.path, class: 'node' }, ...parts)
    : svg('g', { class: 'node' }, ...parts);
  if (own) made.setAttribute('aria-current', 'page');
  for (const [event, on] of [['pointerenter', true], ['pointerleave', false], ['focus', true], ['blur', false]] as const)
    made.addEventListener(event, () => near(on));
  return made;
}
