// What an ingress needs at the worst moment: the formula of docs/operations.md, "Memory".

const KIB = 1024;
const MIB = 1024 * KIB;

const HEAD = 64 * KIB;
const TUNNEL_BUFFER = 512 * KIB;
/** Of each tunnel: 128 bytes for each of its streams. */
const NOTICES = 128 * 1024;
/** Of each worker: used memory for queues, and for heads. */
const POOLS = 6 * MIB;
/** Connections that are no callers' and no tunnels. */
const OTHERS = 18 * MIB;
/** Answers of /metrics and /debug/services with the longest names, as many as there are at once. */
const PAGES = 8 * 11 * MIB;
/** What AWS advises to leave to the proxy of Service Connect, which is in the same task. */
const SERVICE_CONNECT_PROXY = 64 * MIB;
/** A long queue owns so much more memory than is in it. */
const OWNED_OF_QUEUED = 1.25;

export interface IngressLimits {
  readonly maxConnections: number;
  readonly maxTunnels: number;
  readonly streamWindowKiB: number;
  readonly windowGrowthKiB: number;
  readonly cpu: number;
  readonly serviceConnectNamespace?: string | undefined;
}

/** Event loops of an ingress task: one for each whole core, and one where there is none. */
export function workers(cpu: number): number {
  return Math.max(1, Math.floor(cpu / 1024));
}

/** What callers and agents can make an ingress hold, and who is beside it, in MiB. */
export function ingressMemoryMiB(limits: IngressLimits): number {
  const window = limits.streamWindowKiB * KIB;
  const connection = 128 * KIB + 2 * HEAD + window + 32 * KIB;
  const tunnel = 512 * KIB + TUNNEL_BUFFER + NOTICES + limits.windowGrowthKiB * KIB;
  const queued = limits.maxConnections * connection + limits.maxTunnels * tunnel + OTHERS + PAGES;
  const proxy = limits.serviceConnectNamespace === undefined ? 0 : SERVICE_CONNECT_PROXY;
  const bytes = OWNED_OF_QUEUED * queued + workers(limits.cpu) * POOLS + proxy;
  return Math.ceil(bytes / MIB);
}

/** The sizes, in MiB, that Fargate has for so many CPU units. */
export function fargateMemory(cpu: number): readonly number[] {
  const steps = (from: number, to: number) =>
    Array.from({ length: (to - from) / 1024 + 1 }, (_, step) => from + step * 1024);
  switch (cpu) {
    case 256:
      return [512, 1024, 2048];
    case 512:
      return steps(1024, 4096);
    case 1024:
      return steps(2048, 8192);
    case 2048:
      return steps(4096, 16384);
    default:
      return [];
  }
}
