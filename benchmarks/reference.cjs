// snarkjs, driven from Python: one command an invocation, its result as one line of JSON.
//
// Times are taken inside the process, after a first run that is not counted, so neither Node's
// start nor the compilation of its WebAssembly is held against it.
"use strict";

const fs = require("node:fs");
const snarkjs = require("snarkjs");

const quiet = undefined; // snarkjs' loggers are optional, all but one
const silent = Object.fromEntries(["debug", "info", "warn", "error"].map((level) => [level, () => {}]));

async function timed(work) {
  const cpu = process.cpuUsage();
  const start = process.hrtime.bigint();
  const result = await work();
  const wall = Number(process.hrtime.bigint() - start) / 1e9;
  const spent = process.cpuUsage(cpu);
  return { result, wall, cpu: (spent.user + spent.system) / 1e6 };
}

async function repeated(count, work) {
  await work();
  const runs = [];
  let result;
  for (let i = 0; i < count; i++) {
    const run = await timed(work);
    result = run.result;
    runs.push([run.wall, run.cpu]);
  }
  return { result, runs };
}

const readJson = (path) => JSON.parse(fs.readFileSync(path, "utf8"));

const commands = {
  // a phase 1 of our own, where no file of one is at hand
  async ptau(power, out) {
    const curve = await snarkjs.curves.getCurveFromName("bn128");
    const begun = { type: "mem" };
    const contributed = { type: "mem" };
    await snarkjs.powersOfTau.newAccumulator(curve, Number(power), begun, quiet);
    await snarkjs.powersOfTau.contribute(begun, contributed, "reference", "no secret: a benchmark", quiet);
    await snarkjs.powersOfTau.preparePhase2(contributed, out, quiet);
    return {};
  },

  // a proving key without any contribution, and one with
  async setup(r1cs, ptau, bare, contributed) {
    const made = await timed(() => snarkjs.zKey.newZKey(r1cs, ptau, bare, quiet));
    if (made.result === -1) throw new Error("snarkjs refuses this circuit or powers of tau");
    await snarkjs.zKey.contribute(bare, contributed, "reference", "no secret: a benchmark", quiet);
    return {
      run: [made.wall, made.cpu],
      bare: await snarkjs.zKey.exportVerificationKey(bare, quiet),
      contributed: await snarkjs.zKey.exportVerificationKey(contributed, quiet),
    };
  },

  async prove(zkey, wtns, count) {
    const { result, runs } = await repeated(Number(count), () => snarkjs.groth16.prove(zkey, wtns, quiet));
    return { proof: result.proof, publics: result.publicSignals, runs };
  },

  async verify(vk, publics, proof, count) {
    const [key, values, points] = [readJson(vk), readJson(publics), readJson(proof)];
    const { result, runs } = await repeated(Number(count), () => snarkjs.groth16.verify(key, values, points, quiet));
    return { holds: result, runs };
  },

  async check(r1cs, wtns) {
    return { holds: await snarkjs.wtns.check(r1cs, wtns, silent) };
  },
};

async function main() {
  const [command, ...args] = process.argv.slice(2);
  const answer = await commands[command](...args);
  process.stdout.write(JSON.stringify(answer) + "\n");
  process.exit(0); // snarkjs keeps its worker threads, and with them the process, alive
}

main().catch((error) => {
  process.stderr.write(`${error.stack || error}\n`);
  process.exit(1);
});
