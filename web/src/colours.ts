/** Colour maps: 256 colours each, from anchors an equal step apart. */

// Every eighth to sixteenth colour of matplotlib's maps; between them straight lines (off by 2 % at most).
const ANCHORS: Readonly<Record<string, string>> = {
  gray: '000000ffffff',
  inverted: 'ffffff000000',
  viridis: '44015448186a472d7b4240863b528b33638d2c728e26828e21918c1f9f8827ad813dbc745cc86381d34daadc32d5e21afde725',
  turbo: '30123b3c3286434eba466be34685fa3ba0fd28bceb1ad2d21ae4b632f29855fa7680ff53a4fc3cbef434d9e436ecd13afaba39fe9e2ffb8122f26014e5470bd23105b91e029e10017a0403',
  magma: '0000040a08221d114736106b51127c6a1c818326819c2e7fb73779cf4070e55064f4695cfb8761fea571fec287fde0a1fcfdbf',
};

export const COLOUR_MAPS = Object.keys(ANCHORS);

/** One colour for each channel when several are shown together. */
export const CHANNEL_COLOURS = ['00ff66', 'ff33cc', '00ccff', 'ffcc00', 'ff4433', '8866ff'];

const hex = (text: string, at: number): number => Number.parseInt(text.slice(at, at + 2), 16);

/** The colours of a map as RGBA, 256 × 4 bytes; a name that is no map is taken as one colour, from black. */
export function lut(name: string): Uint8Array<ArrayBuffer> {
  const text = ANCHORS[name] ?? `000000${name}`;
  const steps = text.length / 6 - 1;
  const made = new Uint8Array(1024);
  for (let i = 0; i < 256; i++) {
    const at = (i / 255) * steps;
    const left = Math.min(steps - 1, Math.floor(at));
    for (let c = 0; c < 3; c++) {
      const a = hex(text, left * 6 + c * 2);
      const b = hex(text, left * 6 + 6 + c * 2);
      made[i * 4 + c] = Math.round(a + (b - a) * (at - left));
    }
    made[i * 4 + 3] = 255;
  }
  return made;
}
