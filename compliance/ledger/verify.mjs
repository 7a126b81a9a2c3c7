#!/usr/bin/env node
// Verify an evidence kit offline: node verify.mjs KIT.zip [--head ROOT] [--key KEY] [--witness KEY] [--manifest SHA256]
//
// The second verifier: another language and no shared code, the same rules (they stand at the head of verify.py).
// It needs Node 18 or later and no package. Exit status: 0 nothing was altered, 1 something was, 2 wrong usage.
// Kits beyond 2 GiB, or with a file beyond 4 GiB, are for verify.py.

import { createHash, createPublicKey, verify as verifySignature } from "node:crypto";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { inflateRawSync } from "node:zlib";

const MARK = 8;
const SHOWN = 10;
const NEEDED = ["checkpoint.txt", "events.jsonl", "proofs.json", "records.jsonl"];
const ED25519_DER = Buffer.from("302a300506032b6570032100", "hex");

class Refused extends Error {}

const refuse = (message) => {
  throw new Refused(message);
};

// Bytes and hashes

export const sha256 = (...parts) => {
  const hash = createHash("sha256");
  parts.forEach((part) => hash.update(part));
  return hash.digest();
};

const hex = (bytes) => Buffer.from(bytes).toString("hex");

export const unhex = (text, length = -1) => {
  if (typeof text !== "string" || !/^([0-9a-f]{2})*$/.test(text)) refuse("a hash is not in hexadecimal");
  const bytes = Buffer.from(text, "hex");
  return length >= 0 && bytes.length !== length ? refuse(`a hash has not ${length} bytes`) : bytes;
};

const unbase64 = (text) => {
  const bytes = Buffer.from(text, "base64");
  return bytes.toString("base64") === text ? bytes : refuse("base64 that is not in its one form");
};

const utf8 = (bytes) => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);

// Canonical JSON (RFC 8785) of null, booleans, strings, whole numbers, lists and objects

const wellFormed = (text) => !/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(text);

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

export const canonical = (value) => {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "string") return wellFormed(value) ? JSON.stringify(value) : refuse("half of a surrogate pair");
  if (typeof value === "number") {
    // JavaScript's own text of a whole number this small is its decimal digits; minus zero has none.
    return Number.isSafeInteger(value) && !Object.is(value, -0) ? String(value) : refuse("not a small whole number");
  }
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (!isObject(value)) return refuse("a value that has no canonical form");
  // sort() without a comparison orders by UTF-16 code units, as the standard asks.
  const keys = Object.keys(value).sort();
  return `{${keys.map((key) => `${canonical(key)}:${canonical(value[key])}`).join(",")}}`;
};

const readLine = (line) => {
  const value = JSON.parse(line);
  return canonical(value) === line ? value : refuse("the line is not in canonical form");
};

const linesOf = (bytes) => {
  if (bytes.length === 0) return [];
  const text = utf8(bytes);
  return text.endsWith("\n") ? text.slice(0, -1).split("\n") : refuse("the last line is cut short");
};

// Merkle trees (RFC 9162)

export const leafHash = (data) => sha256(Buffer.of(0), data);

export const rootOf = (leaves) => {
  if (leaves.length === 0) return sha256();
  let level = leaves;
  while (level.length > 1) {
    const above = [];
    for (let place = 0; place < level.length; place += 2) {
      above.push(place + 1 < level.length ? sha256(Buffer.of(1), level[place], level[place + 1]) : level[place]);
    }
    level = above;
  }
  return level[0];
};

// The largest power of two below a number, beyond the 32 bits of shifts.
const split = (size) => {
  let left = 1;
  while (left * 2 < size) left *= 2;
  return left;
};

// Proofs are checked by the recursive definition of section 2.1.3.1 and 2.1.4.1, where verify_proof.py goes step by step.
export const includes = (index, size, leaf, proof, root) => {
  if (!Number.isSafeInteger(index) || index < 0 || index >= size) return false;
  const steps = [...proof];
  const climb = (at, width) => {
    if (width === 1) return leaf;
    const sibling = steps.pop();
    if (sibling === undefined || sibling.length !== 32) return refuse("the proof is too short");
    const left = split(width);
    return at < left
      ? sha256(Buffer.of(1), climb(at, left), sibling)
      : sha256(Buffer.of(1), sibling, climb(at - left, width - left));
  };
  try {
    return climb(index, size).equals(root) && steps.length === 0;
  } catch (error) {
    if (error instanceof Refused) return false;
    throw error;
  }
};

export const continues = (first, firstRoot, second, secondRoot, proof) => {
  if (first === second) return proof.length === 0 && firstRoot.equals(secondRoot);
  if (first === 0) return proof.length === 0 && firstRoot.equals(rootOf([]));
  if (first > second || first < 0) return false;
  const steps = [...proof];
  const take = () => {
    const step = steps.pop();
    return step === undefined || step.length !== 32 ? refuse("the proof is too short") : step;
  };
  // Returns [root of the part that both trees have, root of this subtree].
  const climb = (old, width, known) => {
    if (old === width) {
      const whole = known ? firstRoot : take();
      return [whole, whole];
    }
    const left = split(width);
    if (old <= left) {
      const right = take();
      const [before, now] = climb(old, left, known);
      return [before, sha256(Buffer.of(1), now, right)];
    }
    const shared = take();
    const [before, now] = climb(old - left, width - left, false);
    return [sha256(Buffer.of(1), shared, before), sha256(Buffer.of(1), shared, now)];
  };
  try {
    const [before, now] = climb(first, second, true);
    return before.equals(firstRoot) && now.equals(secondRoot) && steps.length === 0;
  } catch (error) {
    if (error instanceof Refused) return false;
    throw error;
  }
};

// Signed notes (c2sp.org/signed-note, tlog-checkpoint, tlog-cosignature)

export const ed25519 = (publicKey, message, signature) => {
  const key = createPublicKey({ key: Buffer.concat([ED25519_DER, publicKey]), format: "der", type: "spki" });
  return signature.length === 64 && verifySignature(null, message, key, signature);
};

export const publicKey = (key) => {
  const parts = /^([^+\s]+)\+([0-9a-f]{8})\+(.+)$/.exec(key) ?? refuse("a key is name+id+base64");
  const data = unbase64(parts[3]);
  const id = sha256(parts[1], "\n", data).subarray(0, 4);
  if (data.length !== 33 || ![1, 4].includes(data[0]) || hex(id) !== parts[2]) refuse("not an Ed25519 verifier key");
  return { name: parts[1], id, kind: data[0], bytes: data.subarray(1) };
};

export const signedBy = (note, key) => {
  const wanted = publicKey(key);
  const cut = note.lastIndexOf("\n\n");
  if (cut < 0 || !note.endsWith("\n")) refuse("the note has no signature");
  const text = note.slice(0, cut + 1);
  let found = false;
  for (const line of note.slice(cut + 2, -1).split("\n")) {
    const [, name, material] = /^\u2014 ([^ ]+) ([^ ]+)$/.exec(line) ?? refuse("a signature line is not in its format");
    const data = unbase64(material);
    if (data.length < 5) refuse("a signature line is not in its format");
    if (name !== wanted.name || !data.subarray(0, 4).equals(wanted.id)) continue;
    let message = Buffer.from(text);
    let signature = data.subarray(4);
    if (wanted.kind === 4) {
      if (signature.length !== 72) refuse(`the signature of ${name} does not hold`);
      message = Buffer.from(`cosignature/v1\ntime ${signature.readBigUInt64BE(0)}\n${text}`);
      signature = signature.subarray(8);
    }
    if (!ed25519(wanted.bytes, message, signature)) refuse(`the signature of ${name} does not hold`);
    found = true;
  }
  return found;
};

const checkNote = (kit, note, witness) => {
  try {
    const [origin, size, root, ...more] = note.slice(0, note.lastIndexOf("\n\n")).split("\n");
    const fits = size === String(kit.leaves.length) && unbase64(root).equals(kit.root);
    if (!origin || more.length || !fits) {
      kit.report(`the checkpoint says root ${root} over ${size} events; found ${hex(kit.root)} over ${kit.leaves.length}`);
    }
    if (!kit.key || !signedBy(note, kit.key)) kit.report("the checkpoint is not signed by the ledger's key");
    if (witness && !signedBy(note, witness)) kit.report("the checkpoint is not signed by the witness");
  } catch (error) {
    kit.report(`the checkpoint cannot be relied on (${error.message})`);
  }
};

// The zip file: its central directory, and nothing but stored and deflated entries

const unzip = (kit, bytes) => {
  const end = bytes.lastIndexOf(Buffer.from("504b0506", "hex"));
  if (end < 0 || bytes.length < end + 22) refuse("it is not a zip file");
  const entries = new Map();
  let at = bytes.readUInt32LE(end + 16);
  for (let number = bytes.readUInt16LE(end + 10); number > 0; number -= 1) {
    if (bytes.readUInt32LE(at) !== 0x02014b50) refuse("its directory is damaged");
    const [method, packed, size] = [bytes.readUInt16LE(at + 10), bytes.readUInt32LE(at + 20), bytes.readUInt32LE(at + 24)];
    const lengths = [28, 30, 32].map((field) => bytes.readUInt16LE(at + field));
    const name = utf8(bytes.subarray(at + 46, at + 46 + lengths[0]));
    const local = bytes.readUInt32LE(at + 42);
    const nameEnd = local + 30 + bytes.readUInt16LE(local + 26);
    const start = nameEnd + bytes.readUInt16LE(local + 28);
    // Both places that describe a file have to agree, or two programs could read two files from one kit.
    const twice = bytes.readUInt32LE(local) === 0x04034b50 && utf8(bytes.subarray(local + 30, nameEnd)) === name;
    const plain = twice && (bytes.readUInt16LE(at + 8) & 0x2061) === 0;
    if (entries.has(name)) kit.report(`file ${name}: it is in the kit twice`);
    const checksum = bytes.readUInt32LE(at + 16);
    entries.set(name, { method: plain ? method : -1, size, checksum, data: bytes.subarray(start, start + packed) });
    at += 46 + lengths[0] + lengths[1] + lengths[2];
  }
  return entries;
};

const CRC = Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

const crc32 = (bytes) => {
  let value = -1;
  for (const byte of bytes) value = CRC[(value ^ byte) & 0xff] ^ (value >>> 8);
  return ~value >>> 0;
};

const contentOf = ({ method, size, checksum, data }) => {
  if (method !== 0 && method !== 8) refuse("it is packed in an unknown way");
  const content = method === 0 ? data : inflateRawSync(data, { maxOutputLength: Math.max(size, 1) });
  return content.length === size && crc32(content) === checksum ? content : refuse("it is not as the zip file states");
};

const sortedDeep = (value) =>
  isObject(value) ? Object.fromEntries(Object.keys(value).sort().map((key) => [key, sortedDeep(value[key])])) : value;

const checkFiles = (kit, entries) => {
  let files;
  let ledger;
  try {
    const data = contentOf(entries.get("manifest.json") ?? refuse("it is missing"));
    kit.manifest = hex(sha256(data));
    const manifest = JSON.parse(utf8(data));
    files = new Map(Object.entries(manifest.files));
    ledger = manifest.ledger;
    const fields = (value, names) => isObject(value) && Object.keys(value).sort().join() === names;
    const fileFacts = [...files.values()].every((fact) => fields(fact, "sha256,size") && Number.isSafeInteger(fact.size));
    const whole = fields(manifest, "files,format,ledger,version") && fields(ledger, "root,size") && fileFacts;
    const named = manifest.format === "label-qa-evidence-kit" && manifest.version === 2;
    if (!whole || !named || data.toString() !== `${JSON.stringify(sortedDeep(manifest), null, 2)}\n`) {
      refuse("it is not as the service writes it");
    }
  } catch (error) {
    kit.report(`file manifest.json: it cannot be relied on (${error.message})`);
    return null;
  }
  for (const name of new Set([...entries.keys(), ...NEEDED])) {
    if (!files.has(name) && name !== "manifest.json") kit.report(`file ${name}: the manifest does not name it`);
  }
  for (const [name, fact] of files) {
    if (!entries.has(name)) {
      kit.report(`file ${name}: it is missing`);
      continue;
    }
    try {
      const content = contentOf(entries.get(name));
      kit.files.set(name, content);
      if (hex(sha256(content)) !== fact.sha256 || content.length !== fact.size) {
        kit.report(`file ${name}: it was altered; its SHA-256 is ${hex(sha256(content))}, not ${fact.sha256}`);
      }
    } catch (error) {
      kit.report(`file ${name}: it is damaged (${error.message})`);
    }
  }
  return ledger;
};

// Events

export const commitment = (name, value, salt) => hex(sha256(Buffer.of(3), unhex(salt, 16), canonical([name, value])));

export const eventLeaf = (event, rowsRoot) => {
  const { payload, salts, commitments, rows, ...kept } = event;
  const payloadHash = hex(sha256(Buffer.of(4), canonical(commitments)));
  return leafHash(canonical({ ...kept, payload: payloadHash, rows: hex(rowsRoot) }));
};

const has = (object, name) => Object.prototype.hasOwnProperty.call(object, name);

const checkEvent = (kit, index, event, stated) => {
  const name = `event ${index} (${event.kind}, ${event.id})`;
  const { payload, salts, commitments, rows } = event;
  if (![payload, salts, commitments].every(isObject)) refuse("its payload is not an object");
  if (!eventLeaf(event, rootOf(rows.map((row) => leafHash(canonical(row))))).equals(stated)) {
    kit.report(`${name}: its content was altered; it does not hash to its leaf`, index);
  }
  for (const field of new Set([...Object.keys(payload), ...Object.keys(salts)].sort())) {
    const shown = has(payload, field) && has(salts, field) && has(commitments, field);
    if (!shown || commitment(field, payload[field], salts[field]) !== commitments[field]) {
      kit.report(`${name}: the payload field ${field} was altered`, index);
    }
  }
  for (const field of Object.keys(commitments)) {
    if (!has(payload, field)) kit.gone.push({ index, name, id: event.id, field });
  }
  if (event.kind === "record.redacted") payload.fields.forEach((field) => kit.said.add(`${event.subject_id} ${field}`));
  if (event.kind === "ledger.key-installed" || event.kind === "ledger.key-rotated") {
    const rotated = event.kind === "ledger.key-rotated" && kit.key;
    if (!rotated && kit.key) kit.report(`${name}: a key was installed beside the one that the ledger has`, index);
    const text = Buffer.from(`ledger key rotation\n${payload.key}\n`);
    if (rotated && !ed25519(publicKey(kit.key).bytes, text, unbase64(payload.signature))) {
      kit.report(`${name}: the new key is not signed by the old one`, index);
    }
    kit.key = payload.key;
    kit.keys.push(payload.key);
  }
  for (const row of rows) {
    if (has(row, "root")) kit.bulk.set(`${event.id} ${row.table}`, { index, ...row, digests: new Map() });
    else kit.single.set(canonical([row.table, row.id, row.history_id]), { index, ...row });
  }
};

const checkEvents = (kit, content) => {
  let previous = Buffer.alloc(32);
  for (const [place, line] of linesOf(content).entries()) {
    let entry;
    let stated;
    try {
      entry = readLine(line);
      stated = unhex(entry.leaf_hash, 32);
      const fields = Object.keys(entry).filter((key) => key !== "event").sort().join();
      if (fields !== "index,leaf_hash,link_hash") refuse("it is not a ledger entry");
    } catch (error) {
      return kit.report(`event ${place}: its line cannot be read (${error.message})`, place);
    }
    if (entry.index !== place) {
      return kit.report(`event ${place}: it is missing or out of order; event ${entry.index} stands in its place`, place);
    }
    if (has(entry, "event")) {
      try {
        checkEvent(kit, place, entry.event, stated);
      } catch (error) {
        kit.report(`event ${place}: what it says cannot be read (${error.message})`, place);
      }
    } else {
      kit.withheld += 1;
    }
    previous = sha256(Buffer.of(2), previous, stated);
    if (hex(previous) !== entry.link_hash) {
      kit.report(`event ${place}: its link does not follow from the event before it`, place);
      previous = unhex(entry.link_hash, 32);
    }
    kit.leaves.push(stated);
  }
  for (const { index, name, id, field } of kit.gone) {
    if (kit.said.has(`${id} ${field}`)) kit.redacted += 1;
    else kit.report(`${name}: the payload field ${field} is gone, and no event says that it was redacted`, index);
  }
};

const checkTree = (kit, content, witness) => {
  checkNote(kit, utf8(kit.files.get("checkpoint.txt")), witness);
  for (const { size, root, proof } of readLine(linesOf(content)[0]).consistency) {
    kit.roots.push(root);
    const steps = proof.map((step) => unhex(step, 32));
    const fits = continues(size, unhex(root, 32), kit.leaves.length, kit.root, steps);
    if (!fits || !rootOf(kit.leaves.slice(0, size)).equals(unhex(root))) {
      kit.report(`proofs.json: ${root} is not proved to be the root over the first ${size} events`);
    }
  }
};

// Time-stamps (RFC 3161): what they stamp; who signed them is openssl's to say

const children = (bytes) => {
  const found = [];
  for (let at = 0; at < bytes.length; ) {
    if (at + 2 > bytes.length) refuse("DER that is cut short");
    let length = bytes[at + 1];
    at += 2;
    if (length & 0x80) {
      const count = length & 0x7f;
      if (count < 1 || count > 4 || at + count > bytes.length) refuse("DER of an unknown length");
      length = bytes.readUIntBE(at, count);
      at += count;
    }
    if (at + length > bytes.length) refuse("DER that is cut short");
    found.push(bytes.subarray(at, at + length));
    at += length;
  }
  return found;
};

const within = (bytes, ...path) =>
  path.reduce((data, place) => children(data)[place] ?? refuse("DER without an element that belongs there"), bytes);

const checkStamp = (kit, content) => {
  const note = utf8(kit.files.get("checkpoint.txt"));
  const digest = hex(sha256(note.slice(0, note.lastIndexOf("\n\n") + 1)));
  const token = within(content, 0, 1, 1, 0);
  const info = within(token, 2, 1, 0, 0);
  const [algorithm, stamped] = [within(info, 2, 0, 0), within(info, 2, 1)];
  if (hex(algorithm) !== "608648016503040201" || hex(stamped) !== digest) {
    kit.report("file checkpoint.tsr: it stamps something else than this checkpoint by SHA-256");
  }
  kit.stamp = { at: within(info, 4).toString("latin1"), digest };
};

// Records

const mark = (value) => hex(sha256(canonical(value))).slice(0, MARK);

const alteredField = (values, marks) => {
  const names = Object.keys(values).sort();
  if (marks.length !== MARK * names.length) return "";
  return names.find((name, n) => mark({ [name]: values[name] }) !== marks.slice(n * MARK, (n + 1) * MARK)) ?? "";
};

const recordName = (table, id, history) => `record ${table} ${id}${history === null ? "" : ` (history ${history})`}`;

const checkRecords = (kit, content) => {
  const waiting = new Map(kit.single);
  for (const [place, line] of linesOf(content).entries()) {
    try {
      const record = readLine(line);
      if (Object.keys(record).sort().join() !== "history_id,id,table,values") refuse("it is not a record");
      const { table, id, history_id: history, values } = record;
      const event = has(values, "event_id") && typeof id === "string" ? values.event_id : refuse("it is not a record");
      kit.records += 1;
      const key = canonical([table, id, history]);
      const digest = hex(sha256(canonical(values)));
      const one = waiting.get(key);
      const many = kit.bulk.get(`${event} ${table}`);
      if (one) {
        waiting.delete(key);
        if (one.digest !== digest) {
          const field = alteredField(values, one.marks);
          const what = field ? `field ${field} was altered` : "altered";
          kit.report(`${recordName(table, id, history)} of event ${one.index}: ${what}`, one.index);
        }
      } else if (many && history === null && !many.digests.has(id) && String(values[many.key]) === id) {
        many.digests.set(id, digest);
      } else {
        const name = recordName(table, id, history);
        kit.report(`${name}: no event names it, or it is there twice (event ${event})`, many?.index);
      }
    } catch (error) {
      kit.report(`record on line ${place + 1}: it cannot be read (${error.message})`);
    }
  }
  for (const { table, id, history_id: history, index } of waiting.values()) {
    kit.report(`${recordName(table, id, history)} of event ${index}: the record is missing`, index);
  }
  for (const { table, index, count, root, marks, digests } of kit.bulk.values()) {
    const keys = [...digests.keys()].sort();
    if (keys.length !== count) {
      kit.report(`rows of ${table} of event ${index}: ${keys.length} records, and the event says ${count}`, index);
      continue;
    }
    const leaves = [...digests.values()].sort().map((digest) => leafHash(unhex(digest)));
    if (hex(rootOf(leaves)) !== root) {
      const known = new Set(marks.match(new RegExp(`.{${MARK}}`, "g")));
      const key = keys.find((one) => !known.has(digests.get(one).slice(0, MARK)));
      const name = key === undefined ? `rows of ${table}` : `record ${table} ${key}`;
      kit.report(`${name} of event ${index}: altered; the rows do not hash to the event's root`, index);
    }
  }
};

// All of it

export const verifyKit = (path, { head = "", key = "", witness = "", manifest = "" } = {}) => {
  const kit = {
    problems: [], leaves: [], keys: [], roots: [], gone: [], files: new Map(), single: new Map(), bulk: new Map(),
    said: new Set(), stamp: null, key: "", root: rootOf([]), manifest: "", withheld: 0, records: 0, redacted: 0,
    report(message, index = Infinity) {
      this.problems.push({ message, index });
    },
  };
  let ledger = null;
  try {
    ledger = checkFiles(kit, unzip(kit, readFileSync(path)));
  } catch (error) {
    kit.report(`the kit cannot be opened (${error.message})`);
    return kit;
  }
  const checks = [["events.jsonl", checkEvents], ["records.jsonl", checkRecords], ["proofs.json", checkTree]];
  if (kit.files.has("checkpoint.tsr")) checks.push(["checkpoint.tsr", checkStamp]);
  for (const [name, check] of checks) {
    try {
      check(kit, kit.files.get(name) ?? refuse("it is missing"), witness);
    } catch (error) {
      kit.report(`file ${name}: it cannot be read to its end (${error.message})`);
    }
    kit.root = rootOf(kit.leaves);
  }
  const root = hex(kit.root);
  if (ledger && (ledger.size !== kit.leaves.length || ledger.root !== root)) {
    kit.report(`the ledger ends at event ${kit.leaves.length - 1}, root ${root}; the manifest says otherwise`);
  }
  if (head && ![root, ...kit.roots].includes(head.toLowerCase())) {
    kit.report(`the root is ${root}, and ${head} was expected: this is not the ledger that was reported`);
  }
  if (key && !kit.keys.includes(key)) kit.report(`the ledger's key is ${kit.key || "unknown"}, and ${key} was expected`);
  if (manifest && kit.manifest !== manifest.toLowerCase()) {
    kit.report(`the manifest's SHA-256 is ${kit.manifest}, and ${manifest} was expected`);
  }
  kit.problems.sort((one, other) => (one.index === other.index ? 0 : one.index - other.index));
  return kit;
};

const main = (given) => {
  const options = {};
  const paths = [];
  for (let place = 0; place < given.length; place += 1) {
    const option = /^--(head|key|witness|manifest)$/.exec(given[place]);
    if (option && place + 1 < given.length) options[option[1]] = given[(place += 1)];
    else paths.push(given[place]);
  }
  if (paths.length !== 1 || paths[0].startsWith("--")) {
    process.stderr.write("usage: node verify.mjs KIT.zip [--head ROOT] [--key KEY] [--witness KEY] [--manifest SHA256]\n");
    return 2;
  }
  const kit = verifyKit(paths[0], options);
  const say = (line) => process.stdout.write(`${line}\n`);
  const { withheld, records, redacted } = kit;
  say(`${kit.leaves.length} events (${withheld} withheld), ${records} records, ${redacted} fields redacted`);
  say(`root     ${hex(kit.root)}\nkey      ${kit.key}\nmanifest ${kit.manifest}`);
  if (kit.stamp) {
    say(`stamped  ${kit.stamp.at}, says checkpoint.tsr; to check who says it, take it out of the kit and run:`);
    say(`         openssl ts -verify -digest ${kit.stamp.digest} -in checkpoint.tsr -CAfile AUTHORITY.pem`);
  }
  if (kit.problems.length) {
    say(`FAILED: ${kit.problems[0].message}`);
    kit.problems.slice(1, SHOWN).forEach(({ message }) => say(`        ${message}`));
    say(`${kit.problems.length} problems in all`);
    return 1;
  }
  if (!(options.head || options.key || options.witness)) {
    say("whole in itself; compared with nothing outside (--head, --key, --witness)");
  }
  say("OK: nothing was altered");
  return 0;
};

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.exitCode = main(process.argv.slice(2));
}
