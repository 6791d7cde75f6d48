/** Tests what `npm publish` would publish. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

const root = resolve(import.meta.dirname, '../..');

interface Manifest {
  exports: Record<string, Record<string, string>>;
  dependencies: Record<string, string>;
  peerDependencies: Record<string, string>;
}

const packed = async (): Promise<string[]> => {
  const { stdout } = await promisify(execFile)('npm', ['pack', '--dry-run', '--json'], { cwd: root });
  // An array before npm 12; since then an object by the package's name.
  const [about] = Object.values(JSON.parse(stdout) as Record<string, { files: { path: string }[] }>);
  return about!.files.map(({ path }) => path);
};

test('the package contains the modules that it exports, their types, and its licences', async () => {
  const files = await packed();
  const { exports } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as Manifest;
  assert.deepEqual(Object.keys(exports), ['.', './tanstack']);
  for (const [name, conditions] of Object.entries(exports)) {
    assert.deepEqual(Object.keys(conditions), ['types', 'import'], `${name}: types must come first to be found`);
    for (const path of Object.values(conditions)) assert.ok(files.includes(path.replace('./', '')), `${path} is missing`);
  }
  for (const file of ['README.md', 'LICENSE-MIT', 'LICENSE-APACHE']) assert.ok(files.includes(file), `${file} is missing`);
  const others = files.filter((file) => !/^(dist\/\w+\.(js|d\.ts|js\.map)|package\.json|README\.md|LICENSE-\w+)$/.test(file));
  assert.deepEqual(others, [], 'nothing else is in the package');
});

test('every import of the package is a declared dependency', async () => {
  const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as Manifest;
  const named = [...Object.keys(manifest.dependencies), ...Object.keys(manifest.peerDependencies)];
  for (const file of (await packed()).filter((name) => /^dist\/.*\.(js|d\.ts)$/.test(name))) {
    const source = await readFile(join(root, file), 'utf8');
    for (const [, specifier] of source.matchAll(/(?:from|import) ['"]([^.'"][^'"]*)['"]/g)) {
      assert.ok(named.some((name) => specifier === name || specifier!.startsWith(`${name}/`)), `${file} imports ${specifier}`);
      if (!file.includes('tanstack')) assert.ok(!specifier!.startsWith('@tanstack/'), `${file} imports TanStack AI, which is optional`);
    }
  }
});
