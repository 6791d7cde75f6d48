/** Recorded runs, the same each time, for agents of the kind `replay`. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The answers that are streamed, by the id of their agent. */
export const answers = { text: mixedText, list: longList, code: codeBlock };
/** The length of a streamed answer, in tokens; a word with the white space before it is a token. */
export const answerTokens = 20_000;
/** The speed of a streamed answer. */
export const tokensPerSecond = 1_000;
/** The last words of each recorded answer. */
export const lastWords = 'End of the answer.';
/** The entries of a turn with the agent `turn`: the message, the run's start and end, and the recorded events. */
export const turnEntries = 50;

const words = 'stream socket thread answer model token entry cursor agent budget number report value server order because under between long small'.split(' ');
const word = (index: number) => words[(index * 7 + Math.floor(index / 20) * 3) % words.length] ?? '';
const sentence = (index: number, length: number) => Array.from({ length }, (_, at) => word(index * 13 + at)).join(' ');

/** Sections with paragraphs, emphasis, links, lists, tables and short code blocks. */
function* mixedText(): Generator<string> {
  for (let index = 0; ; index++) {
    yield `## Section ${index}\n\n`;
    yield `The ${sentence(index, 20)}, **${sentence(index + 1, 3)}** and *${sentence(index + 2, 4)}* with \`${word(index)}_${index}\`.\n\n`;
    yield `Then ${sentence(index + 3, 40)}, see [the ${word(index)}](https://example.org/${index}).\n\n`;
    for (let item = 1; item <= 4; item++) yield `${item}. ${sentence(index + item, 9)}\n`;
    yield '\n';
    if (index % 4 === 0) {
      yield '| name | count | note |\n|---|---|---|\n';
      for (let line = 0; line < 4; line++) yield `| ${word(index + line)} | ${index * 10 + line} | ${sentence(line, 3)} |\n`;
      yield '\n';
    }
    if (index % 5 === 0) yield `\`\`\`rust\nlet ${word(index)} = ${word(index + 1)}(${index});\nassert!(${word(index)} > 0);\n\`\`\`\n\n`;
  }
}

function* longList(): Generator<string> {
  for (let index = 1; ; index++) yield `- Item ${index}: ${sentence(index, 10)}\n`;
}

function* codeBlock(): Generator<string> {
  yield '```rust\n';
  for (let index = 1; ; index++) yield `    let ${word(index)}_${index} = ${word(index + 1)}(${index}, "${word(index + 2)}"); // ${sentence(index, 5)}\n`;
}

/** The tokens of a streamed answer. */
function tokensOf(answer: keyof typeof answers): string[] {
  const end = answer === 'code' ? `\n\`\`\`\n\n${lastWords}` : `\n\n${lastWords}`;
  const split = (text: string) => text.match(/\s*\S+/g) ?? [];
  const last = split(end);
  const tokens: string[] = [];
  let text = '';
  for (const part of answers[answer]()) {
    text += part;
    if (text.length < 4096) continue;
    tokens.push(...split(text));
    text = '';
    if (tokens.length >= answerTokens) break;
  }
  return [...tokens.slice(0, answerTokens - last.length), ...last];
}

/** A recorded message: its start, a delta for each token, and its end. */
function message(id: string, tokens: string[]): object[] {
  const deltas = tokens.map((delta) => ({ type: 'TEXT_MESSAGE_CONTENT', messageId: id, delta }));
  return [{ type: 'TEXT_MESSAGE_START', messageId: id, role: 'assistant' }, ...deltas, { type: 'TEXT_MESSAGE_END', messageId: id }];
}

/** A turn: some text, a call with its result, and an answer. */
function turn(): object[] {
  const call = { toolCallId: 'call' };
  const events = [
    ...message('before', sentence(1, 12).split(/(?= )/)),
    { type: 'TOOL_CALL_START', ...call, toolCallName: 'search' },
    ...['{"query":', ' "tokens', ' of', ' today"}'].map((delta) => ({ type: 'TOOL_CALL_ARGS', ...call, delta })),
    { type: 'TOOL_CALL_END', ...call },
    { type: 'TOOL_CALL_RESULT', messageId: 'result', ...call, role: 'tool', content: JSON.stringify({ found: 3, first: sentence(5, 12) }) },
  ];
  const heading = ['**Found**', '\n\n-', ' first', '\n-', ' second', '\n\n'];
  const rest = turnEntries - 3 - events.length - heading.length - 2;
  return [...events, ...message('after', [...heading, ...sentence(9, rest).split(/(?= )/)])];
}

/** A folder with the recordings. */
export class Recordings {
  private constructor(private readonly folder: string) {}

  static async write(): Promise<Recordings> {
    const folder = await mkdtemp(join(tmpdir(), 'netra-bench-'));
    const lines = (events: object[]) => events.map((event) => `${JSON.stringify(event)}\n`).join('');
    for (const answer of Object.keys(answers) as (keyof typeof answers)[]) {
      await writeFile(join(folder, `${answer}.jsonl`), lines(message('answer', tokensOf(answer))));
    }
    await writeFile(join(folder, 'turn.jsonl'), lines(turn()));
    return new Recordings(folder);
  }

  /** The agents' entries for the configuration file. */
  get config(): string {
    const agent = (id: string, eventsPerSecond: number) =>
      `[[agents]]\nid = "${id}"\nname = "${id}"\nkind = "replay"\nfile = "${join(this.folder, `${id}.jsonl`)}"\nevents_per_second = ${eventsPerSecond}\n`;
    return [...Object.keys(answers).map((answer) => agent(answer, tokensPerSecond)), agent('turn', 1_000_000)].join('');
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** A Playwright fixture: the recordings, for all tests of a worker process. */
export const recordingsFixture: [({}: object, use: (recordings: Recordings) => Promise<void>) => Promise<void>, { scope: 'worker' }] = [
  async ({}, use) => {
    const recordings = await Recordings.write();
    await use(recordings);
    await recordings.remove();
  },
  { scope: 'worker' },
];
