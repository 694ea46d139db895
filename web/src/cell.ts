/** The view of a reconstruction in 3D: to turn, and to click for the plane a branch lies in. */
import { busOf, type Bus } from './bus.js';
import { extentOf, onCanvas, project, turned, type Extent, type Orbit, type Projection } from './cell-camera.js';
import { CellPainter, type Sheet } from './cell-gl.js';
import { clamp, cssColour, el, fitCanvas, framed, grouped, onScheme, stage } from './dom.js';
import { aborted, reason, type Get } from './get.js';
import { context, survive } from './gl.js';
import { numbers, type State, type View } from './state.js';
import { colourOf, kindOf, readSwc, TYPES, type Node } from './swc.js';

const LABEL = 'The reconstruction in 3D. Drag or use the arrow keys to turn it, plus and minus zoom, zero puts it back; a click on a branch goes to its plane';
const START: Orbit = { yaw: 0.5, pitch: 0.25, near: 1 };
// Tubes come back when the reader has stopped turning.
const REST_MS = 180;
const SHEET_MS = 120;
const REACH_PX = 12;

/** Show the reconstruction that `get` answers for. */
export function mount(root: HTMLElement, get: Get, state: State): View {
  const end = new AbortController();
  let cell: Cell | null = null;
  get('cell.swc', { signal: end.signal })
    .then((answer) => answer.text())
    .then((text) => {
      if (!end.signal.aborted) cell = new Cell(root, state, readSwc(text));
    })
    .catch((error: unknown) => {
      if (aborted(error)) return;
      root.prepend(el('p', { class: 'notice', role: 'status', text: `The reconstruction cannot be shown: ${reason(error)}.` }));
    });
  return {
    destroy() {
      end.abort();
      cell?.destroy();
    },
  };
}

class Cell {
  readonly #root: HTMLElement;
  readonly #state: State;
  readonly #bus: Bus;
  readonly #nodes: readonly Node[];
  readonly #extent: Extent;
  readonly #canvas = el('canvas', { role: 'img', tabindex: 0, 'aria-label': LABEL });
  readonly #said = el('p', { class: 'said', role: 'status' });
  readonly #end = new AbortController();
  readonly #ends: (() => void)[] = [];
  readonly #draw = framed(() => this.#paint());
  readonly #gl: WebGL2RenderingContext | null;
  #painter: CellPainter | null = null;
  #orbit: Orbit;
  #sheet: Sheet | null = null;
  #turning = 0;
  #soon = 0;

  constructor(root: HTMLElement, state: State, nodes: readonly Node[]) {
    this.#root = root;
    this.#state = state;
    this.#nodes = nodes;
    this.#bus = busOf(root);
    this.#extent = extentOf(nodes);
    const [yaw, pitch, near] = numbers(state.get('turn'), 3) ?? [START.yaw, START.pitch, START.near];
    this.#orbit = { yaw: yaw ?? 0, pitch: pitch ?? 0, near: clamp(near ?? 1, 0.3, 60) };
    this.#gl = context(this.#canvas, { antialias: true });
    if (this.#gl) this.#painter = new CellPainter(this.#gl, nodes, this.#extent);
    else this.#said.textContent = 'This browser has no WebGL2: the reconstruction is drawn as lines, which turn more slowly.';
    root.dataset['painter'] = this.#gl ? 'webgl' : 'flat';
    this.#ends.push(stage(root, el('div', { class: 'cell' }, this.#canvas, this.#key(), this.#said)));
    this.#listen();
    if (this.#gl) this.#ends.push(this.#bus.on('plane', (plane) => this.#planeIs(plane), true));
  }

  /** Which colour is what, of the types that are there, with how many nodes. */
  #key(): HTMLElement {
    const list = el('ul', { class: 'key' });
    TYPES.forEach(({ name, colour }, kind) => {
      const count = this.#nodes.filter((node) => kindOf(node) === kind).length;
      if (!count) return;
      const dot = el('i');
      dot.style.background = rgb(colour);
      list.append(el('li', { title: `${grouped(count)} nodes` }, dot, name));
    });
    return list;
  }

  #listen(): void {
    const canvas = this.#canvas;
    const resized = new ResizeObserver(() => this.#paint());
    resized.observe(canvas);
    this.#ends.push(() => resized.disconnect(), onScheme(this.#draw));
    const gl = this.#gl;
    if (gl)
      this.#ends.push(survive(canvas, () => (this.#painter = null), () => {
        this.#painter = new CellPainter(gl, this.#nodes, this.#extent);
        this.#draw();
      }));
    const signal = this.#end.signal;
    canvas.style.touchAction = 'none';
    this.#pointers(signal);
    canvas.addEventListener('wheel', (event) => {
      // A page that holds more than the cell must still scroll under the mouse.
      if (!event.ctrlKey && !event.metaKey && document.activeElement !== canvas) return;
      event.preventDefault();
      this.#turn(0, 0, Math.exp(-event.deltaY / 500));
    }, { signal, passive: false });
    canvas.addEventListener('keydown', (event) => {
      const does: Record<string, readonly [number, number, number]> = {
        ArrowLeft: [-0.1, 0, 1], ArrowRight: [0.1, 0, 1], ArrowUp: [0, -0.1, 1], ArrowDown: [0, 0.1, 1],
        '+': [0, 0, 1.25], '=': [0, 0, 1.25], '-': [0, 0, 0.8],
      };
      const turn = does[event.key];
      if (event.ctrlKey || event.altKey || event.metaKey || (!turn && event.key !== '0')) return;
      event.preventDefault();
      if (turn) this.#turn(...turn);
      else this.#set({ ...START });
    }, { signal });
  }

  #pointers(signal: AbortSignal): void {
    const canvas = this.#canvas;
    const down = new Map<number, readonly [number, number]>();
    let moved = 0;
    canvas.addEventListener('pointerdown', (event) => {
      canvas.setPointerCapture(event.pointerId);
      if (!down.size) moved = 0;
      down.set(event.pointerId, [event.clientX, event.clientY]);
    }, { signal });
    canvas.addEventListener('pointermove', (event) => {
      const before = down.get(event.pointerId);
      if (!before) return;
      const [x, y] = [event.clientX, event.clientY];
      const [other] = [...down].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
      down.set(event.pointerId, [x, y]);
      moved += Math.hypot(x - before[0], y - before[1]);
      const apart = (at: readonly [number, number]): number => (other ? Math.max(10, Math.hypot(at[0] - other[0], at[1] - other[1])) : 1);
      if (other) this.#turn(0, 0, apart([x, y]) / apart(before));
      else if (moved > 3) this.#turn((x - before[0]) / 150, (y - before[1]) / 150, 1);
    }, { signal });
    const up = (event: PointerEvent): void => {
      if (down.delete(event.pointerId) && event.type === 'pointerup' && !down.size && moved <= 3) this.#pick(event);
      if (down.size) moved = 99;
    };
    canvas.addEventListener('pointerup', up, { signal });
    canvas.addEventListener('pointercancel', up, { signal });
  }

  #turn(yaw: number, pitch: number, near: number): void {
    const now = this.#orbit;
    this.#set({
      yaw: now.yaw + yaw, pitch: clamp(now.pitch + pitch, -1.55, 1.55), near: clamp(now.near * near, 0.3, 60),
    });
  }

  #set(orbit: Orbit): void {
    this.#orbit = orbit;
    const text = [orbit.yaw, orbit.pitch, orbit.near].map((part) => Number(part.toFixed(3))).join();
    this.#state.set('turn', text === `${START.yaw},${START.pitch},${START.near}` ? null : text);
    this.#quickly(REST_MS);
  }

  /** Draw lines now, and tubes when nothing has moved for a while. */
  #quickly(rest_ms: number): void {
    clearTimeout(this.#turning);
    this.#turning = setTimeout(() => {
      this.#turning = 0;
      this.#draw();
    }, rest_ms) as unknown as number;
    this.#draw();
  }

  /** The sheet follows the stack a little behind: the plane itself must not wait for this view. */
  #planeIs(sheet: Sheet): void {
    const first = !this.#sheet;
    this.#sheet = sheet;
    if (first) return this.#draw();
    this.#soon ||= setTimeout(() => {
      this.#soon = 0;
      this.#quickly(3 * REST_MS);
    }, SHEET_MS) as unknown as number;
  }

  get #projection(): Projection {
    return project(this.#orbit, this.#extent, this.#canvas.width, this.#canvas.height);
  }

  /** Say what was clicked, and tell the stack beside. */
  #pick(event: PointerEvent): void {
    const box = this.#canvas.getBoundingClientRect();
    const projection = this.#projection;
    let best: { node: Node; off: number } | null = null;
    for (const node of this.#nodes) {
      const [x, y] = onCanvas(projection, turned(this.#extent, node.x, node.y, node.z));
      const off = Math.hypot(x * box.width - (event.clientX - box.left), y * box.height - (event.clientY - box.top));
      if (off < (best?.off ?? REACH_PX)) best = { node, off };
    }
    if (!best) return;
    const { node } = best;
    const place = [node.x, node.y, node.z].map((um) => um.toFixed(1)).join(', ');
    this.#said.textContent = `${TYPES[kindOf(node)]?.name ?? ''} at ${place} µm, radius ${node.r.toFixed(2)} µm`;
    this.#bus.emit('branch', { x_um: node.x, y_um: node.y, z_um: node.z });
  }

  #paint(): void {
    const canvas = this.#canvas;
    if (!canvas.clientWidth || !canvas.clientHeight) return;
    fitCanvas(canvas);
    const background = cssColour(canvas.parentElement ?? canvas, '--pic');
    if (!this.#gl) return this.#flat(background);
    this.#painter?.paint({
      projection: this.#projection, extent: this.#extent, background, sheet: this.#sheet,
      accent: cssColour(canvas.parentElement ?? canvas, '--accent'), quick: this.#turning !== 0,
    });
    this.#root.dataset['state'] = this.#turning ? 'quick' : 'whole';
  }

  /** Without WebGL2: each branch as a line, one path for each type. */
  #flat(background: readonly [number, number, number]): void {
    const to = this.#canvas.getContext('2d', { willReadFrequently: true });
    if (!to) return;
    const { width, height } = this.#canvas;
    const projection = this.#projection;
    to.fillStyle = rgb(background);
    to.fillRect(0, 0, width, height);
    const at = (node: Node): [number, number, number] => onCanvas(projection, turned(this.#extent, node.x, node.y, node.z));
    const paths = TYPES.map(() => new Path2D());
    for (const node of this.#nodes) {
      const parent = this.#nodes[node.parent];
      if (!parent) continue;
      const [[x0, y0], [x1, y1]] = [at(node), at(parent)];
      const path = paths[kindOf(node)];
      path?.moveTo(x0 * width, y0 * height);
      path?.lineTo(x1 * width, y1 * height);
    }
    to.lineWidth = 1.5 * (width / this.#canvas.clientWidth);
    TYPES.forEach(({ colour }, i) => {
      to.strokeStyle = rgb(colour);
      const path = paths[i];
      if (path) to.stroke(path);
    });
    const soma = this.#nodes.find((node) => node.type === 1);
    if (soma) {
      const [x, y, deep] = at(soma);
      to.fillStyle = rgb(colourOf(soma));
      to.beginPath();
      to.arc(x * width, y * height, Math.max(4, soma.r / (deep * projection.um_per_px)), 0, 7);
      to.fill();
    }
    this.#root.dataset['state'] = 'whole';
  }

  destroy(): void {
    this.#draw.cancel();
    clearTimeout(this.#turning);
    clearTimeout(this.#soon);
    this.#end.abort();
    for (const end of this.#ends) end();
    this.#gl?.getExtension('WEBGL_lose_context')?.loseContext();
  }
}

const rgb = (colour: readonly number[]): string => `rgb(${colour.map((part) => Math.round(part * 255)).join(' ')})`;
