/** The figures of a benchmark, which the reporter prints as one table. */
import type { TestInfo } from '@playwright/test';
import { median } from '../../scripts/table.mjs';

/** How often each measurement is repeated; the table has the medians. */
export const repeats = Number(process.env['REPEATS'] ?? 3);
if (!Number.isInteger(repeats) || repeats < 1) throw new Error('REPEATS must be a number from 1');

/** What a page is slowed down by. */
export interface Profile {
  name: string;
  /** How many times slower the page's CPU is. */
  cpu: number;
  /** Whether the network is that of a slow phone connection (`slowNetwork` in pages.ts). */
  isSlowNetwork: boolean;
}

const unthrottled: Profile = { name: 'unthrottled', cpu: 1, isSlowNetwork: false };
const slowCpu: Profile = { name: '4x CPU', cpu: 4, isSlowNetwork: false };
const slow: Profile = { name: '4x CPU, slow network', cpu: 4, isSlowNetwork: true };

/** The profiles of measurements that load a page. */
export const loadProfiles: Profile[] = [unthrottled, slowCpu, slow];
/** The profiles of measurements on a page that is open already. */
export const cpuProfiles: Profile[] = [unthrottled, slowCpu];

/** A row of the table: a figure of each profile. */
export interface Row {
  what: string;
  unit: string;
  /** By the profile's name. */
  values: Record<string, number>;
}

/** The attachment's name under which a test hands its rows to the reporter. */
export const attachmentName = 'figures';

/** Collects the samples of one benchmark. */
export class Figures {
  private readonly samples = new Map<string, { what: string; unit: string; profile: string; values: number[] }>();

  add(profile: Profile, what: string, unit: string, value: number): void {
    if (!Number.isFinite(value)) throw new Error(`${what} (${profile.name}) was not measured: ${value}`);
    const key = `${what}\0${profile.name}`;
    const sample = this.samples.get(key) ?? { what, unit, profile: profile.name, values: [] };
    sample.values.push(value);
    this.samples.set(key, sample);
  }

  /** Hands the medians to the reporter. */
  async report(info: TestInfo): Promise<void> {
    const rows = new Map<string, Row>();
    for (const { what, unit, profile, values } of this.samples.values()) {
      const row = rows.get(what) ?? { what, unit, values: {} };
      row.values[profile] = median(values);
      rows.set(what, row);
    }
    await info.attach(attachmentName, { body: JSON.stringify([...rows.values()]), contentType: 'application/json' });
  }
}
