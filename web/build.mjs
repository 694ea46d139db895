// Builds the front end into the Python package, where it is committed: who installs from a checkout needs no
// node. The same sources give the same bytes (esbuild is pinned, names of chunks come from their content), and
// a check rebuilds and compares.
import { build, context } from 'esbuild';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const source = join(here, 'src');
const target = join(here, '..', 'src', 'openallen', 'viewer', 'static');

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
const plans = [
  {
    ...common,
    entryPoints: [...KINDS.map(entry).filter(existsSync), join(source, 'page.css')],
    splitting: true,
    chunkNames: 'shared-[hash]',
  },
  { ...common, entryPoints: ALONE.map(entry).filter(existsSync) },
].filter((plan) => plan.entryPoints.length > 0);

await mkdir(target, { recursive: true });
for (const name of await readdir(target)) if (/\.(js|css)$/.test(name)) await rm(join(target, name));
await copyFile(join(source, 'favicon.svg'), join(target, 'favicon.svg'));
if (process.argv.includes('--watch')) {
  for (const plan of plans) await (await context(plan)).watch();
} else {
  for (const plan of plans) await build(plan);
}
