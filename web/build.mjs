// Builds the front end into the Python package, where it is committed: who installs from a checkout needs no
// node. The same sources give the same bytes (esbuild is pinned, names of chunks come from their content), and
// a check rebuilds and compares.
import { build, context, transform } from 'esbuild';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const source = join(here, 'src');
const committed = join(here, '..', 'src', 'openallen', 'viewer', 'static');
// `--to FOLDER` builds elsewhere: to compare.
const to = process.argv.indexOf('--to');
const target = to < 0 ? committed : process.argv[to + 1];

// One ES module for each kind of view; what several share goes into chunks beside them.
const KINDS = ['page', 'stack', 'cell', 'slices', 'traces', 'raster', 'table', 'graph', 'tree', 'jobs'];
// These must stand in one file, since they are loaded from a string (the notebook) and can import nothing.
const ALONE = ['widget'];

const entry = (name) => join(source, `${name}.ts`);
const common = {
  absWorkingDir: here,
  bundle: true,
  charset: 'utf8',
  format: 'esm',
  legalComments: 'none',
  logLevel: 'info',
  minify: true,
  outdir: target,
  sourcemap: false,
  target: ['es2022', 'chrome110', 'firefox115', 'safari16.4'],
};

// All views that there are, for who cannot load them one by one.
const views = {
  name: 'views',
  setup(builder) {
    const kinds = KINDS.filter((kind) => kind !== 'page' && kind !== 'jobs' && existsSync(entry(kind)));
    const lines = kinds.map((kind) => `import * as ${kind} from './${kind}.ts';`);
    const contents = `${lines.join('\n')}\nexport default { ${kinds.join(', ')} };`;
    builder.onResolve({ filter: /^virtual:views$/ }, () => ({ path: 'views', namespace: 'views' }));
    builder.onLoad({ filter: /./, namespace: 'views' }, () => ({ contents, resolveDir: source, loader: 'ts' }));
  },
};

// The look of a notebook's output: that of pages, but of nothing outside `.openallen`. A notebook says whether it is
// light or dark with a class, as what the browser prefers says nothing of it.
async function widgetCss() {
  const made = await build({ ...common, entryPoints: [join(source, 'widget.css')], write: false });
  const text = made.outputFiles[0].text;
  const light = [...text.matchAll(/@media ?\(prefers-color-scheme: ?light\) ?\{:root\{([^}]*)\}\}/g)].map((found) => found[1]);
  const dark = [...text.matchAll(/:root\{(color-scheme[^}]*)\}/g)].map((found) => found[1]);
  const themes = `&.dark{${dark.join(';')};color-scheme:dark}&.light{${light.join(';')};color-scheme:light}`;
  const below = text.replaceAll(/(^|[{},;])(:root|html|body)(?=[{,.:\s>])/g, '$1&');
  const { code } = await transform(`.openallen{${below}${themes}}`, { loader: 'css', minify: true, charset: 'utf8', target: common.target });
  await writeFile(join(target, 'widget.css'), code);
}

const plans = [
  {
    ...common,
    entryPoints: [...KINDS.map(entry).filter(existsSync), join(source, 'page.css')],
    splitting: true,
    chunkNames: 'shared-[hash]',
  },
  { ...common, entryPoints: ALONE.map(entry).filter(existsSync), plugins: [views] },
].filter((plan) => plan.entryPoints.length > 0);

await mkdir(target, { recursive: true });
await copyFile(join(source, 'favicon.svg'), join(target, 'favicon.svg'));
if (process.argv.includes('--watch')) {
  for (const plan of plans) await (await context(plan)).watch();
} else {
  const made = new Set(['widget.css']);
  await widgetCss();
  for (const plan of plans)
    for (const path of Object.keys((await build({ ...plan, metafile: true })).metafile.outputs)) made.add(basename(path));
  // Chunks of an earlier build; only now, so that one that fails leaves everything as it was.
  for (const name of await readdir(target)) if (/\.(js|css)$/.test(name) && !made.has(name)) await rm(join(target, name));
}
