// Verifies many kits in one process: node many_kits.mjs VERIFIER KIT... prints for each how many problems it has.

import { pathToFileURL } from "node:url";

const { verifyKit } = await import(pathToFileURL(process.argv[2]).href);
process.stdout.write(JSON.stringify(process.argv.slice(3).map((path) => verifyKit(path).problems.length)));
