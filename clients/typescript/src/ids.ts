/**
 * Converts ids. The ids of Netra's threads and messages are UUIDs of version 7, AG-UI's may be any text. A UUIDv7 is used as it is. From
 * any other text an id is derived with a hash, as the server does for `POST /api/agents/<id>/agui`: the same user and text give the same
 * thread over the socket and over HTTP. The timestamp of a derived id is 0.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { utf8ToBytes } from '@noble/hashes/utils.js';
import { stringify, v7, validate, version } from 'uuid';

/** A new id. */
export const newId = (): string => v7();

/** Whether a text is a UUIDv7. */
export const isId = (text: string): boolean => validate(text) && version(text) === 7;

/** The Netra id for an AG-UI id. `namespace` is the user's id for a thread, and the thread's id for a message. */
export function idFor(namespace: string, text: string): string {
  if (isId(text)) return text.toLowerCase();
  const bytes = sha256(utf8ToBytes(`${namespace}/${text}`)).slice(0, 16);
  // The timestamp, the version (7) and the variant of a UUID.
  bytes.fill(0, 0, 6);
  bytes[6] = (bytes[6]! & 0x0f) | 0x70;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return stringify(bytes);
}
