// What the ingress is told, as MESH_ variables.

import type { Params } from './params';
import { workers } from './params/memory';

export const PORTS = { traffic: 8080, health: 8081, tunnels: 8082 } as const;

/** Where callers connect, and agents if they have a load balancer of their own and are told to. */
export const HTTPS_PORT = 443;

/** The ingress keeps idle connections this much longer than the load balancer, which would
 * otherwise send a request on one that is being closed, and answer 502. */
const IDLE_MARGIN_SECONDS = 15;

/** The name that agents dial. */
export function agentDomain(params: Params): string {
  return params.agentLoadBalancer === 'nlb' ? `agents.${params.domainName}` : params.domainName;
}

export function agentEndpoint(params: Params): string {
  const { agentPort } = params;
  return `wss://${agentDomain(params)}${agentPort === HTTPS_PORT ? '' : `:${agentPort}`}`;
}

/** Who may register, as far as the stack knows. */
export interface Admission {
  /** Whose sessions may register every host. */
  readonly roles: readonly string[];
  /** Where every AWS identity has to run. */
  readonly clusters: readonly string[];
  /** About which clusters the ingress may ask ECS. */
  readonly describable: readonly string[];
}

export function ingressEnvironment(params: Params, admission: Admission): Record<string, string> {
  const optional = {
    MESH_ALLOWED_ROLE_ARNS: admission.roles.join(','),
    MESH_ALLOWED_CLUSTERS: admission.clusters.join(','),
    MESH_CONFIG: params.configPath ?? '',
    MESH_ECS_GRACE: params.ecsGraceSeconds?.toString() ?? '',
  };
  return {
    MESH_ALB_PORT: String(PORTS.traffic),
    MESH_HEALTH_PORT: String(PORTS.health),
    MESH_WEBSOCKET_PORT: String(PORTS.tunnels),
    MESH_SERVER_ID: agentDomain(params),
    MESH_REQUEST_TIMEOUT: String(params.requestTimeoutSeconds),
    MESH_IDLE_TIMEOUT: String(params.idleTimeoutSeconds + IDLE_MARGIN_SECONDS),
    MESH_DRAIN_TIMEOUT: String(params.drainTimeoutSeconds),
    MESH_WARM_UP: String(params.warmUpSeconds),
    MESH_MAX_CONNECTIONS: String(params.maxConnections),
    // The nodes of the load balancer are few addresses, and all callers come from them.
    MESH_MAX_CONNECTIONS_PER_ADDRESS: String(params.maxConnections),
    MESH_MAX_TUNNELS: String(params.maxTunnels),
    MESH_STREAM_WINDOW: `${params.streamWindowKiB}KiB`,
    MESH_WINDOW_GROWTH: `${params.windowGrowthKiB}KiB`,
    MESH_WORKERS: String(workers(params.cpu)),
    MESH_ACCESS_LOG: params.accessLog,
    MESH_LOG_LEVEL: params.logLevel,
    ...Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== '')),
  };
}
