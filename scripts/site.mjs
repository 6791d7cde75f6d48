// Lays out target/site from what wasm-bindgen left in target/bindgen, style/ and public/: minified, named by content hash (so that
// a browser may keep each file for ever) and compressed beforehand. The hashes go to target/release/hash.txt, where Leptos looks.
import { createHash } from 'node:crypto';
import { cp, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { brotliCompress, gzip } from 'node:zlib';

const root = resolve(import.meta.dirname, '..');
process.chdir(root);
const { build } = createRequire(join(root, 'end2end/'))('esbuild');

const site = 'target/site';
const browsers = ['chrome111', 'edge111', 'firefox114', 'safari16.4'];

/** One file out of an entry point and all it imports. */
async function bundle(entry) {
  const { outputFiles } = await build({
    entryPoints: [`./${entry}`],
    bundle: true,
    minify: true,
    write: false,
    format: 'esm',
    target: browsers,
    logLevel: 'warning',
  });
  return outputFiles[0].contents;
}

/** A compressed twin beside each file that gains from one. */
async function compress(folder) {
  for (const file of await readdir(folder, { recursive: true })) {
    const path = join(folder, file);
    if (!(await stat(path)).isFile() || /\.(png|jpe?g|webp|avif|woff2)$/.test(path)) continue;
    const content = await readFile(path);
    await Promise.all([
      promisify(brotliCompress)(content).then((twin) => writeFile(`${path}.br`, twin)),
      promisify(gzip)(content, { level: 9 }).then((twin) => writeFile(`${path}.gz`, twin)),
    ]);
  }
}

const page = {
  js: await bundle('target/bindgen/netra.js'),
  wasm: await readFile('target/bindgen/netra.wasm'),
  css: await bundle('style/main.css'),
};

await rm(site, { recursive: true, force: true });
await mkdir(join(site, 'pkg'), { recursive: true });
await cp('public', site, { recursive: true });
let hashes = '';
for (const [kind, content] of Object.entries(page)) {
  const hash = createHash('md5').update(content).digest('base64url');
  hashes += `${kind}: ${hash}\n`;
  await writeFile(join(site, 'pkg', `netra.${hash}.${kind}`), content);
}
await compress(site);
await mkdir(dirname('target/release/hash.txt'), { recursive: true });
await writeFile('target/release/hash.txt', hashes);
