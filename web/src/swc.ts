/** Reading a reconstruction (SWC): nodes with a type, a place, a radius and a parent. */

export interface Node {
  type: number;
  x: number;
  y: number;
  z: number;
  r: number;
  /** Index of the parent in the list, or -1. */
  parent: number;
}

/** Types of the standard, named; everything else is `other`. */
export const TYPES: readonly { type: number; name: string; colour: readonly [number, number, number] }[] = [
  { type: 1, name: 'soma', colour: [0.98, 0.75, 0.14] },
  { type: 2, name: 'axon', colour: [0.26, 0.6, 0.98] },
  { type: 3, name: 'dendrite', colour: [0.93, 0.29, 0.26] },
  { type: 4, name: 'apical dendrite', colour: [0.96, 0.55, 0.2] },
  { type: 0, name: 'other', colour: [0.6, 0.6, 0.6] },
];

const OTHER = TYPES.length - 1;

/** Index into `TYPES`. */
export const kindOf = (node: Node): number => (node.type >= 1 && node.type <= 4 ? node.type - 1 : OTHER);

export const colourOf = (node: Node): readonly [number, number, number] => TYPES[kindOf(node)]?.colour ?? [0.6, 0.6, 0.6];

/** The nodes of an SWC text; lines that are no node are left out, as the readers of Python's side do. */
export function readSwc(text: string): Node[] {
  const nodes: Node[] = [];
  const parents: number[] = [];
  const index = new Map<number, number>();
  for (const line of text.split('\n')) {
    if (line.startsWith('#')) continue;
    const [id, type, x, y, z, r, parent] = line.trim().split(/\s+/).map(Number);
    if (id === undefined || type === undefined || parent === undefined || Number.isNaN(parent)) continue;
    index.set(id, nodes.length);
    parents.push(parent);
    nodes.push({ type, x: x ?? 0, y: y ?? 0, z: z ?? 0, r: r ?? 0, parent: -1 });
  }
  nodes.forEach((node, i) => (node.parent = index.get(parents[i] ?? -1) ?? -1));
  return nodes;
}

/** Each pair of a node and its parent: 12 floats, [x y z r] of both in µm, then [r g b 0]. */
export function segments(nodes: readonly Node[]): Float32Array<ArrayBuffer> {
  const pairs = nodes.filter((node) => node.parent >= 0);
  const made = new Float32Array(pairs.length * 12);
  pairs.forEach((node, i) => {
    const parent = nodes[node.parent] as Node;
    // A branch leaves the soma with its own radius, not as a cone as wide as the soma.
    const wide = parent.type === 1 ? node.r : parent.r;
    made.set([node.x, node.y, node.z, node.r, parent.x, parent.y, parent.z, wide, ...colourOf(node), 0], i * 12);
  });
  return made;
}
