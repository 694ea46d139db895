/** The scale bar, and the picture that a reader saves. */
import { el } from './dom.js';
import { fetched, type Seen, type StackMeta } from './stack-meta.js';

export interface Bar {
  text: string;
  /** Length on screen, in the pixels that were asked about. */
  length_px: number;
}

/** A bar of a round length (1, 2 or 5 times a power of ten) of at most `most_px`. */
export function scaleBar(um_per_px: number | null, image_px_per_px: number, most_px: number): Bar {
  const per = um_per_px ?? image_px_per_px;
  const most = most_px * per;
  const power = 10 ** Math.floor(Math.log10(most));
  const value = [5, 2, 1].map((step) => step * power).find((step) => step <= most) ?? power;
  const digits = (n: number): string => String(Number(n.toPrecision(3)));
  if (um_per_px === null) return { text: `${digits(value)} px`, length_px: value / per };
  const text = value >= 1000 ? `${digits(value / 1000)} mm` : value < 1 ? `${digits(value * 1000)} nm` : `${digits(value)} µm`;
  return { text, length_px: value / per };
}

/** What a saved picture says of itself. */
export function caption(meta: StackMeta, seen: Seen, middle: string, map: string): string[] {
  const { address, planes, simulated, pixel_um, channels } = meta;
  const depth = planes[seen.plane]?.z_um;
  const where = seen.projection
    ? `${seen.projection} of ${fetched(meta)} planes`
    : `plane ${seen.plane + 1} of ${planes.length}${depth == null ? '' : `, ${depth.toFixed(2)} µm`}`;
  const pixel = pixel_um ? ` · ${Number(pixel_um[0].toPrecision(4))} µm a pixel` : '';
  const channel = channels[seen.channel] ? ` · ${channels[seen.channel]?.name ?? ''}` : '';
  return [`${address}${simulated ? ' (simulated)' : ''} · ${where}`, `middle at ${middle}${pixel}${channel} · ${map}`];
}

const FONT = 'system-ui, "Liberation Sans", "DejaVu Sans", sans-serif';

/** What is on a canvas, with a scale bar on it and a line below that says what it is. */
export function composed(from: HTMLCanvasElement, dense: number, bar: Bar, lines: readonly string[]): HTMLCanvasElement {
  const [pad, line] = [10 * dense, 18 * dense];
  const made = el('canvas', { width: from.width, height: Math.round(from.height + lines.length * line + 1.2 * pad) });
  const to = made.getContext('2d');
  if (!to) return made;
  to.fillStyle = '#fff';
  to.fillRect(0, 0, made.width, made.height);
  to.drawImage(from, 0, 0);
  to.font = `600 ${12 * dense}px ${FONT}`;
  const wide = Math.max(bar.length_px * dense, to.measureText(bar.text).width);
  to.fillStyle = '#000a';
  to.fillRect(pad, from.height - pad - 34 * dense, wide + 18 * dense, 34 * dense);
  to.fillStyle = '#fff';
  to.fillRect(pad + 9 * dense, from.height - pad - 27 * dense, bar.length_px * dense, 3 * dense);
  to.fillText(bar.text, pad + 9 * dense, from.height - pad - 9 * dense);
  to.fillStyle = '#1a1e22';
  to.font = `${12 * dense}px ${FONT}`;
  lines.forEach((text, i) => to.fillText(text, pad, from.height + pad + (i + 0.5) * line, made.width - 2 * pad));
  return made;
}

/** Hand a canvas to the reader as a PNG. */
export async function download(canvas: HTMLCanvasElement, name: string): Promise<void> {
  const blob = await new Promise<Blob | null>((then) => canvas.toBlob(then, 'image/png'));
  if (!blob) throw new Error('the browser made no PNG of it');
  const url = URL.createObjectURL(blob);
  el('a', { href: url, download: `${name.replace(/[^\w.-]+/g, '-')}.png` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
