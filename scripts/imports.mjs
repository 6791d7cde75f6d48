// Checks that imports only point down: a module may import modules on earlier lines of LAYERS, not other modules on its own line or
// later ones. Modules inside one listed module may import each other. Run by `make lint`.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

// Each line is one layer, the lowest first. Modules on the same line must not import each other.
const LAYERS = [
  ['protocol', 'text', 'json_size'],
  ['thread'],
  ['analyst', 'socket'],
  ['ui'],
  ['server::backoff', 'server::bounded_cache', 'server::clock', 'server::fault_injection', 'server::graphemes', 'server::json_schema', 'server::offload', 'server::outage'],
  ['server::config'],
  ['server::file_modes', 'server::headers', 'server::metrics', 'server::telemetry'],
  ['server::error'],
  ['server::one_line', 'server::problem', 'server::store'],
  ['server::access'],
  ['server::outbound', 'server::quotas', 'server::rates'],
  ['server::admission', 'server::channel', 'server::sweep'],
  ['server::bus', 'server::raw_events', 'server::usage'],
  ['server::auth', 'server::prompts', 'server::threads'],
  ['server::leases', 'server::search'],
  ['server::runs'],
  ['server::agents'],
  ['server::connections'],
  ['server::commands'],
  ['server::ws'],
  ['server::site'],
  ['server::state'],
  ['server::http'],
  ['server::page'],
  ['server::router'],
  ['server::tcp'],
  ['server'],
  ['cli'],
];

const layerOf = new Map(LAYERS.flatMap((modules, layer) => modules.map((module) => [module, layer])));

function* sourceFiles(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* sourceFiles(path);
    else if (path.endsWith('.rs')) yield path;
  }
}

/** The module path of a file: `src/server/ws/mod.rs` is `['server', 'ws']`; `x_tests.rs` belongs to the module `x`. */
function moduleOf(file) {
  const path = file.slice('src/'.length, -'.rs'.length).split('/');
  if (path.at(-1) === 'mod') path.pop();
  else if (path.at(-1).endsWith('_tests')) path.splice(-1, 1, path.at(-1).slice(0, -'_tests'.length), 'tests');
  return path;
}

/** All paths in the tree of a `use` declaration: `a::{b, c::d}` is `[['a', 'b'], ['a', 'c', 'd']]`. */
function expand(tree) {
  let at = 0;
  const parse = (prefix) => {
    const paths = [];
    let name = '';
    for (;;) {
      const char = tree[at];
      if (char === undefined || char === ',' || char === '}') {
        if (name.trim()) paths.push([...prefix, ...segments(name)]);
        return paths;
      }
      at++;
      if (char !== '{') {
        name += char;
        continue;
      }
      const inner = [...prefix, ...segments(name)];
      do paths.push(...parse(inner));
      while (tree[at++] === ',');
      name = '';
    }
  };
  return parse([]);
}

const segments = (path) =>
  path
    .replace(/\bas\s+\w+/, '')
    .split('::')
    .map((segment) => segment.trim())
    .filter(Boolean);

/** The paths of this crate in a source file, absolute and without `crate`. */
function imports(source, module) {
  const [code, tests] = source.replace(/\/\/.*$/gm, '').replace(/\bpub\(in [^)]*\)/g, '').split(/^mod tests \{$/m);
  if (tests !== undefined) return [...imports(code, module), ...imports(tests, [...module, 'tests'])];
  const paths = [];
  const rest = code.replace(/\buse\s+([^;]+);/g, (_, tree) => {
    paths.push(...expand(tree));
    return '';
  });
  for (const [path] of rest.matchAll(/\b(?:crate|super)(?:::\w+)+/g)) paths.push(segments(path));
  return paths.flatMap((path) => {
    if (path[0] === 'crate') return [path.slice(1)];
    if (path[0] !== 'super') return [];
    const base = [...module];
    while (path[0] === 'super') {
      base.pop();
      path = path.slice(1);
    }
    return [[...base, ...path]];
  });
}

/** The module of LAYERS that contains a path. */
function listed(path) {
  for (let length = path.length; length > 0; length--) {
    const name = path.slice(0, length).join('::');
    if (layerOf.has(name)) return name;
  }
  return undefined;
}

const upward = new Set();
const unlisted = new Set();
for (const file of sourceFiles('src')) {
  const module = moduleOf(file);
  const from = listed(module);
  if (from === undefined) {
    if (!['lib', 'main'].includes(module[0])) unlisted.add(module[0]);
    continue;
  }
  if (from === 'server' && module.length > 1) unlisted.add(module.slice(0, 2).join('::'));
  for (const path of imports(readFileSync(file, 'utf8'), module)) {
    const to = listed(path);
    if (to === undefined || to === from || layerOf.get(to) < layerOf.get(from)) continue;
    upward.add(`${file}: ${from} must not import ${to} (${path.join('::')})`);
  }
}

for (const name of unlisted) console.error(`error: ${name} is in no layer: add it to LAYERS in scripts/imports.mjs`);
for (const message of upward) console.error(`error: ${message}`);
if (upward.size + unlisted.size > 0) {
  console.error(`error: ${upward.size} imports point up; move shared code to a lower layer (docs/architecture.md)`);
  process.exit(1);
}
