// Tables on standard output.

/**
 * Lays out rows of cells in columns of equal width, the first of them the header. Columns whose cells below it are all numbers (or
 * empty) are aligned to the right.
 * @param {string[][]} rows
 * @returns {string}
 */
export function table(rows) {
  const columns = rows[0]?.map((_, column) => rows.map((row) => row[column] ?? '')) ?? [];
  const widths = columns.map((cells) => Math.max(...cells.map((cell) => cell.length)));
  const isNumeric = columns.map((cells) => cells.slice(1).every((cell) => /^[\d.,–-]*$/.test(cell)));
  const pad = (/** @type {string} */ cell, /** @type {number} */ column) =>
    isNumeric[column] ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0);
  return rows.map((row) => row.map(pad).join('  ').trimEnd()).join('\n');
}

/**
 * The middle one of some numbers; of an even count, the higher of the two in the middle.
 * @param {number[]} numbers
 * @returns {number}
 */
export function median(numbers) {
  const middle = [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
  if (middle === undefined) throw new Error('there are no numbers');
  return middle;
}

/**
 * A figure with three significant digits, and the digits of its integer part separated by commas.
 * @param {number} value
 * @returns {string}
 */
export function figure(value) {
  const rounded = Math.abs(value) >= 1000 ? Math.round(value) : Number(value.toPrecision(3));
  return rounded.toLocaleString('en-GB', { maximumFractionDigits: 3 });
}
