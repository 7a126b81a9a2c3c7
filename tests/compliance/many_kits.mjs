// Verifies many kits in one process: node many_kits.mjs VERIFIER KIT... prints for each what is wrong with it.

import { pathToFileURL } from "node:url";

const { verifyKit } = await import(pathToFileURL(process.argv[2]).href);
const found = process.argv.slice(3).map((path) => verifyKit(path).problems.map(({ message }) => message));
process.stdout.write(JSON.stringify(found));
