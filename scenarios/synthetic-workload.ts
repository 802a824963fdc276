/** Deployments for a cluster made up from numbers: service k's pods are those of Deployment `svc-k`. */
import type { ServicePort } from '../model/cluster.ts';
import type { Deployment, Node, Pod, ServiceBinding, WorkloadPlan } from '../model/workload.ts';
import type { SyntheticCluster } from './spec.ts';

/** `servicePorts` are those of the crowd, `spec.ports` a service, in order, the i-th on `firstTargetPort + i`. Without probes a pod is ready as soon as it runs. */
export function syntheticWorkload(
  spec: SyntheticCluster,
  servicePorts: readonly ServicePort[],
  nodes: readonly Node[],
  firstFreePodAddress: number,
  firstTargetPort: number,
): WorkloadPlan {
  const deployments: Deployment[] = [];
  const pods: Pod[] = [];
  const bindings: ServiceBinding[] = [];
  const { trafficDistribution } = spec;
  servicePorts.forEach(({ id, namespace, name, protocol, endpoints }, i) => {
    const deployment = Math.floor(i / spec.ports);
    if (i % spec.ports === 0) {
      deployments.push(deploymentOf(namespace, name, endpoints.length));
      endpoints.forEach(({ address, nodeName }, e) =>
        pods.push({ name: `${name}-${e}`, address, nodeName, deployment }),
      );
    }
    bindings.push({
      servicePortId: id,
      deployment,
      targetPort: firstTargetPort + (i % spec.ports),
      protocol,
      ...(trafficDistribution === undefined ? {} : { trafficDistribution }),
    });
  });
  return { nodes, deployments, pods, bindings, firstFreePodAddress };
}

/** The API server's defaults. */
function deploymentOf(namespace: string, name: string, replicas: number): Deployment {
  return {
    namespace,
    name,
    replicas,
    labels: { app: name },
    strategy: 'RollingUpdate',
    maxSurge: { value: 25, percent: true },
    maxUnavailable: { value: 25, percent: true },
    minReadySeconds: 0,
    progressDeadlineSeconds: 600,
    terminationGracePeriodSeconds: 30,
    preStopSleepSeconds: 0,
  };
}
