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
 * The middle one of some numbers; of an even count, the mean of the two in the middle.
 * @param {number[]} numbers
 * @returns {number}
 */
export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const [lower, upper] = [sorted[Math.ceil(sorted.length / 2) - 1], sorted[Math.floor(sorted.length / 2)]];
  if (lower === undefined || upper === undefined) throw new Error('there are no numbers');
  return (lower + upper) / 2;
}

/**
 * A figure with three significant digits, and the digits of its integer part separated by commas.
 * @param {number} value
 * @returns {string}
 */
export function figure(value) {
  return Math.abs(value) >= 1000 ? Math.round(value).toLocaleString('en-GB') : value.toLocaleString('en-GB', { maximumSignificantDigits: 3 });
}
