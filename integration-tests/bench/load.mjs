// The load generators: wrk, or whole sign-ins, on one core, the service on the other, and what the kernel says the service
// used meanwhile.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import os from 'node:os';
import { fileURLToPath } from 'node:url';

const LUA = fileURLToPath(new URL('lua', import.meta.url));
const TICKS = 100; // of /proc/PID/stat a second: fixed at 100 on Linux for every program
export const [SERVER_CORE, GENERATOR_CORE] = os.cpus().length > 1 ? ['0', '1'] : ['0', '0'];

/** Runs a program to its end and returns what it wrote; throws when it failed. */
export async function run(command, args, options = {}) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk) => { out += chunk; });
  child.stderr.on('data', (chunk) => { err += chunk; });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}\n${err}${out}`);
  return out;
}

/** Processor seconds that a process has used. */
export function cpuSeconds(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

/** Megabytes of memory that a process has resident. */
export function residentMegabytes(pid) {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024;
}

/** One run of wrk: `{ rate, p50, p99, p999, max, cpu, refused, requests }`; times in milliseconds, cpu in microseconds a request. */
export async function wrk(pid, url, { script = 'get.lua', args = [], connections = 64, seconds = 5 }) {
  const before = cpuSeconds(pid);
  const out = await run('taskset', ['-c', GENERATOR_CORE, 'wrk', '-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '5s',
    '-s', `${LUA}/${script}`, url, '--', ...args.map(String)], { env: { ...process.env, BENCH_LUA: LUA } });
  const used = cpuSeconds(pid) - before;
  const result = JSON.parse(/RESULT (.*)/.exec(out)[1]);
  if (result.broken > 0) throw new Error(`${url}: ${result.broken} requests broke off\n${out}`);
  const ms = (micros) => micros / 1000;
  return {
    rate: result.requests / (result.micros / 1e6),
    p50: ms(result.p50), p99: ms(result.p99), p999: ms(result.p999), max: ms(result.max),
    cpu: (used / result.requests) * 1e6,
    refused: result.refused, requests: result.requests,
  };
}

/** Whole sign-ins, so many at once, each of several requests: as `wrk` answers, counted by sign-ins. */
export async function signIns(program, pid, url, { connections = 64, seconds = 5 } = {}) {
  const before = cpuSeconds(pid);
  // A single one that fails ends the program with 1, and so the whole run.
  const out = await run('taskset', ['-c', GENERATOR_CORE, program, 'sign-ins', url, String(connections), String(seconds)]);
  const used = cpuSeconds(pid) - before;
  const { count, in_all: inAll, rate, p50, p99, p999, max } = JSON.parse(out);
  return { rate, p50, p99, p999, max, cpu: (used / inAll) * 1e6, refused: 0, requests: count };
}

/** The middle of an odd number of values, the ends, and how far those are apart, in percent of the middle. */
export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted[Math.floor(sorted.length / 2)];
  const [lowest, highest] = [sorted[0], sorted.at(-1)];
  return { middle, lowest, highest, spread: middle === 0 ? 0 : ((highest - lowest) / middle) * 100 };
}

/** Where a program is, or the way to get it. */
export function require(program) {
  const found = (process.env.PATH ?? '').split(':').some((dir) => existsSync(`${dir}/${program}`));
  if (!found) throw new Error(`${program} is not installed: run this through make, which installs it`);
}
