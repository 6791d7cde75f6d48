// Creates target/site from wasm-bindgen's output in target/bindgen, style/ and public/: minified, with content hashes in the names (so
// that browsers may cache the files for ever) and precompressed. The hashes go to target/release/hash.txt, where Leptos reads them.
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

/**
 * Bundles an entry point and all its imports into one file, except for `netra:…`: the scripts that are files of their own, and are
 * loaded when they are needed.
 */
async function bundle(entry, format = 'esm') {
  const { outputFiles } = await build({
    entryPoints: [`./${entry}`],
    bundle: true,
    minify: true,
    write: false,
    external: ['netra:*'],
    nodePaths: ['end2end/node_modules'],
    format,
    target: browsers,
    logLevel: 'warning',
    // wasm-bindgen imports the loader of the parts once for each part.
    logOverride: { 'duplicate-object-key': 'silent' },
  });
  return outputFiles[0].contents;
}

/** The packages whose code is in a script. */
const packages = { highlight: ['highlight.js'], math: ['katex'], diagram: [], answers: [] };

/** The licences of packages, as a comment at the beginning of a file that contains their code. */
async function licences(names) {
  const texts = names.map(async (name) => `/*!\n${name}\n\n${(await readFile(`end2end/node_modules/${name}/LICENSE`, 'utf8')).trim()}\n*/\n`);
  return (await Promise.all(texts)).join('');
}

/** Writes a compressed copy next to each file that is not compressed already. */
async function compress(folder) {
  for (const file of await readdir(folder, { recursive: true })) {
    const path = join(folder, file);
    if (!(await stat(path)).isFile() || /\.(png|jpe?g|webp|avif|woff2)$/.test(path)) continue;
    const content = await readFile(path);
    await Promise.all([
      promisify(brotliCompress)(content).then((compressed) => writeFile(`${path}.br`, compressed)),
      promisify(gzip)(content, { level: 9 }).then((compressed) => writeFile(`${path}.gz`, compressed)),
    ]);
  }
}

const hashOf = (content) => createHash('md5').update(content).digest('base64url');

await rm(site, { recursive: true, force: true });
await mkdir(join(site, 'pkg'), { recursive: true });
await cp('public', site, { recursive: true });

// Scripts that import others come later. Each imports `netra:<name>`, which becomes the name of the file.
const scripts = new Map();
const withScripts = (js) => {
  for (const [name, file] of scripts) js = js.replaceAll(`"netra:${name}"`, `"./${file}"`);
  const missing = /"netra:\w+"/.exec(js);
  if (missing) throw new Error(`there is no script ${missing[0]}`);
  return js;
};

// The page that draws diagrams. In its sandbox it has no origin, so its script cannot be a module. Mermaid defines a global variable.
const mermaid = await readFile('end2end/node_modules/@mermaid-js/tiny/dist/mermaid.tiny.js', 'utf8');
const drawer = Buffer.from(await bundle('src/ui/scripts/diagram_page.js', 'iife')).toString();
const drawing = [await licences(['@mermaid-js/tiny']), mermaid, drawer].join('\n');
const drawingFile = `netra-diagram_page.${hashOf(drawing)}.js`;
const drawingPage = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Draws diagrams</title><script src="${drawingFile}"></script></html>\n`;
scripts.set('diagram_page', `netra-diagram_page.${hashOf(drawingPage)}.html`);
await writeFile(join(site, 'pkg', drawingFile), drawing);
await writeFile(join(site, 'pkg', scripts.get('diagram_page')), drawingPage);

for (const name of Object.keys(packages)) {
  const content = (await licences(packages[name])) + withScripts(Buffer.from(await bundle(`src/ui/scripts/${name}.js`)).toString());
  const file = `netra-${name}.${hashOf(content)}.js`;
  scripts.set(name, file);
  await writeFile(join(site, 'pkg', file), content);
}

// The files of the parts that are loaded when they are shown. Their names are in the JavaScript.
const optimised = 'target/bindgen/optimised';
let js = withScripts(Buffer.from(await bundle('target/bindgen/netra.js')).toString());
for (const file of await readdir(optimised)) {
  if (file === 'netra_bg.wasm') continue;
  const content = await readFile(join(optimised, file));
  const hashed = `netra-${file.slice(0, -'.wasm'.length)}.${hashOf(content)}.wasm`;
  if (!js.includes(`"./${file}"`)) throw new Error(`the JavaScript does not load ${file}`);
  js = js.replaceAll(`"./${file}"`, `"./${hashed}"`);
  await writeFile(join(site, 'pkg', hashed), content);
}

const page = {
  js,
  wasm: await readFile(join(optimised, 'netra_bg.wasm')),
  css: await bundle('style/main.css'),
};
let hashes = '';
for (const [kind, content] of Object.entries(page)) {
  const hash = hashOf(content);
  hashes += `${kind}: ${hash}\n`;
  await writeFile(join(site, 'pkg', `netra.${hash}.${kind}`), content);
}
await compress(site);
await mkdir(dirname('target/release/hash.txt'), { recursive: true });
await writeFile('target/release/hash.txt', hashes);
