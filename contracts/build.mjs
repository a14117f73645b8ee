// Compiles contracts/src with npm's solc into contracts/build, one JSON file for each contract.
// `node contracts/build.mjs` writes them; with `--check` nothing is written and the exit code says whether they are current.

import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import solc from "solc";

const here = dirname(fileURLToPath(import.meta.url));
const wanted = ["LocalAgents", "LocalDelegateRegistry", "LocalPasses", "LocalUSDC", "LocalSmartWallet", "LocalSmartWalletFactory"];

const names = readdirSync(join(here, "src")).filter((name) => name.endsWith(".sol")).sort();
const sources = Object.fromEntries(names.map((name) => [name, { content: readFileSync(join(here, "src", name), "utf8") }]));
const sourceHash = names
  .reduce((hash, name) => hash.update(`${name}\0${sources[name].content}\0`), createHash("sha256"))
  .digest("hex");

const settings = {
  evmVersion: "paris",
  optimizer: { enabled: true, runs: 10000 },
  metadata: { appendCBOR: false, bytecodeHash: "none" },
  outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object", "storageLayout"] } },
};
const output = JSON.parse(solc.compile(JSON.stringify({ language: "Solidity", sources, settings })));
const errors = (output.errors ?? []).filter((entry) => entry.severity === "error");
if (errors.length > 0) {
  console.error(errors.map((entry) => entry.formattedMessage).join("\n"));
  process.exit(1);
}

const outdated = [];
mkdirSync(join(here, "build"), { recursive: true });
for (const contracts of Object.values(output.contracts)) {
  for (const [name, contract] of Object.entries(contracts)) {
    if (!wanted.includes(name)) continue;
    const slots = Object.fromEntries(contract.storageLayout.storage.map((entry) => [entry.label, Number(entry.slot)]));
    const document = {
      name,
      compiler: solc.version(),
      source_sha256: sourceHash,
      storage_slots: slots,
      abi: contract.abi,
      creation: `0x${contract.evm.bytecode.object}`,
      runtime: `0x${contract.evm.deployedBytecode.object}`,
    };
    const path = join(here, "build", `${name}.json`);
    const text = `${JSON.stringify(document, null, 1)}\n`;
    if (process.argv.includes("--check")) {
      if (readFileSync(path, "utf8") !== text) outdated.push(name);
    } else {
      writeFileSync(path, text);
      console.log(`${name}: ${document.runtime.length / 2 - 1} bytes`);
    }
  }
}
if (outdated.length > 0) {
  console.error(`Not current: ${outdated.join(", ")}. Run: node contracts/build.mjs`);
  process.exit(1);
}
