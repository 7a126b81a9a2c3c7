// Holds the verifier in JavaScript to the vectors in this folder, and to proofs that a test hands in: prints what differs.
// node second_verifier.mjs VERIFIER PROOFS, where PROOFS is JSON: {inclusion: [...], consistency: [...]}

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const verifier = await import(pathToFileURL(process.argv[2]).href);
const read = (name) => JSON.parse(readFileSync(new URL(name, import.meta.url), "utf-8"));
const bytes = (text) => Buffer.from(text, "hex");
const differences = [];
let compared = 0;

const same = (what, found, expected) => {
  compared += 1;
  if (String(found) !== String(expected)) differences.push(`${what}: ${found}, expected ${expected}`);
};

const refuses = (action) => {
  try {
    action();
    return false;
  } catch {
    return true;
  }
};

const merkle = read("rfc9162.json");
const leaves = merkle.leaves.map((leaf) => verifier.leafHash(bytes(leaf)));
const root = (size) => bytes(merkle.roots[size]);
merkle.roots.forEach((one, size) => same(`root ${size}`, verifier.rootOf(leaves.slice(0, size)).toString("hex"), one));
for (const { index, size, proof } of merkle.inclusion) {
  same(`${index}/${size}`, verifier.includes(index, size, leaves[index], proof.map(bytes), root(size)), true);
}
for (const { first, second, proof } of merkle.consistency) {
  same(`${first}-${second}`, verifier.continues(first, root(first), second, root(second), proof.map(bytes)), true);
}
for (const { public: key, message, signature } of read("rfc8032.json").signatures) {
  same("signature", verifier.ed25519(bytes(key), bytes(message), bytes(signature)), true);
  same("other message", verifier.ed25519(bytes(key), bytes(`${message}00`), bytes(signature)), false);
}
const jcs = read("rfc8785.json");
for (const { json, canonical } of jcs.documents) same("canonical", verifier.canonical(JSON.parse(json)), canonical);
for (const json of jcs.refused) same(json, refuses(() => verifier.canonical(JSON.parse(json))), true);
for (const { key, note } of read("c2sp.json").signed) {
  same("note", verifier.signedBy(note, key), true);
  same("altered note", refuses(() => verifier.signedBy(note.replace("answer", "Answer"), key)), true);
}
for (const { event, leaf_hash: leaf, rows_hash: rows } of read("events.json").events) {
  const rowsRoot = verifier.rootOf(event.rows.map((row) => verifier.leafHash(verifier.canonical(row))));
  same("rows", rowsRoot.toString("hex"), rows);
  same("leaf", verifier.eventLeaf(event, rowsRoot).toString("hex"), leaf);
  for (const [name, value] of Object.entries(event.payload)) {
    same(name, verifier.commitment(name, value, event.salts[name]), event.commitments[name]);
  }
}
const given = JSON.parse(readFileSync(process.argv[3], "utf-8"));
for (const { index, size, leaf, proof, root: top, holds } of given.inclusion) {
  same(`leaf ${index} of ${size}`, verifier.includes(index, size, bytes(leaf), proof.map(bytes), bytes(top)), holds);
}
for (const { first, second, old, top, proof, holds } of given.consistency) {
  same(`${first} to ${second}`, verifier.continues(first, bytes(old), second, bytes(top), proof.map(bytes)), holds);
}
process.stdout.write(JSON.stringify({ compared, differences: differences.slice(0, 20) }));
