// OpenSeadragon on planes of a stack that our server serves, set up as kindly as it allows: small
// levels as one picture, the planes beside loaded ahead, planes swapped when the next one is whole.
const query = new URLSearchParams(location.search);
const base = query.get('base');
const box = document.getElementById('osd');
box.style.width = `${query.get('w')}px`;
box.style.height = `${query.get('h')}px`;
const meta = await (await fetch(`${base}meta.json`)).json();
const keys = meta.planes.map((plane) => plane.key);
const most = meta.levels - 1;
const coarsest = Math.log2(meta.overviews[0]);
const finest = Math.log2(meta.overviews.at(-1));
const images = new Map();
let shown = null;
let plane = Number(query.get('plane')) - 1;

function source(index) {
  const one = (level) => most - level >= finest; // a level that is a single picture
  const size = (px, level) => Math.ceil(px / 2 ** (most - level));
  return {
    width: meta.width_px, height: meta.height_px, tileSize: meta.tile_px, tileOverlap: 0,
    minLevel: most - coarsest, maxLevel: most,
    getTileWidth: (level) => (one(level) ? size(meta.width_px, level) : meta.tile_px),
    getTileHeight: (level) => (one(level) ? size(meta.height_px, level) : meta.tile_px),
    getTileUrl: (level, x, y) =>
      one(level)
        ? `${base}over/${2 ** (most - level)}/0/${keys[index]}.jpg`
        : `${base}tile/0/${keys[index]}/${most - level}/${x}_${y}.jpg`,
  };
}

const viewer = OpenSeadragon({
  element: box, drawer: query.get('drawer'), showNavigationControl: false, animationTime: 0,
  blendTime: 0, immediateRender: true, keyboardNavEnabled: false, imageLoaderLimit: 6,
  visibilityRatio: 0, minZoomImageRatio: 0, preload: true,
});

function load(index) {
  if (index < 0 || index >= keys.length || !keys[index] || images.has(index)) return;
  images.set(index, null);
  viewer.addTiledImage({
    tileSource: source(index), opacity: 0, preload: true,
    success: ({ item }) => {
      images.set(index, item);
      if (images.size === 1) look(item);
      item.addHandler('fully-loaded-change', () => swap());
      swap();
    },
  });
}

function look(item) {
  const [x, y] = (query.get('at') ?? '').split(',').map(Number);
  if (!query.get('zoom')) return viewer.viewport.goHome(true);
  viewer.viewport.zoomTo(item.imageToViewportZoom(Number(query.get('zoom'))), null, true);
  viewer.viewport.panTo(item.imageToViewportCoordinates(x, y), true);
}

/** Show the plane that is wanted, once it is whole; the first one as it comes. */
function swap() {
  const item = images.get(plane);
  if (!item || shown === item || (shown && !item.getFullyLoaded())) return;
  item.setOpacity(1);
  shown?.setOpacity(0);
  shown = item;
  if (item.getFullyLoaded()) beside();
  else item.addOnceHandler('fully-loaded-change', beside);
}

function beside() {
  for (const [index, item] of images) {
    if (!item || Math.abs(index - plane) <= 1) continue;
    images.delete(index);
    viewer.world.removeItem(item);
  }
  load(plane + 1);
  load(plane - 1);
}

addEventListener('keydown', (event) => {
  const by = { ArrowUp: 1, ArrowDown: -1 }[event.key];
  if (!by || !keys[plane + by]) return;
  plane += by;
  load(plane);
  swap();
});
load(plane);
